// The step `backfill`, up: evaluates, writes by compare-and-set, logs and queues, portion by portion, in the caller's
// transaction.
#include "core/decide.hpp"
#include "core/evidence_map.hpp"
#include "core/key_text.hpp"
#include "core/undo_text.hpp"
#include <nlohmann/json.hpp>

#include "bridge/results.hpp"
#include "bridge/subtransaction.hpp"
#include "catalog/change_log.hpp"
#include "catalog/review_store.hpp"
#include "engine/row_writer.hpp"
#include "steps/backfill.hpp"

namespace tenantmig {

namespace {

constexpr std::int64_t progress_interval = 2 * USECS_PER_SEC;

std::uint32_t fingerprint(std::string_view review_class, std::string_view candidates) {
    std::string text(review_class);
    text += candidates;
    return static_cast<std::uint32_t>(core::hash_key(text) & 0x7fffffffU);
}

// Writes, logs and queues the rows of one step.
class BackfillWriter : public RowConsumer {
public:
    BackfillWriter(const MigrationRecord &migration, const ResolvedStep &step, TenantDictionary &tenants,
                   std::int64_t run, ChangeLogWriter &log, std::int64_t row_total, std::int64_t write_limit,
                   EvidenceTable *overlay);
    ~BackfillWriter() override { MemoryContextDelete(memory_); }

    void row(const EvaluatedRow &row) override;
    void portion_done() override;
    void close_settled();

    const OutcomeCounts &counts() const { return counts_; }
    const std::vector<std::string> &changed_columns() const { return writer_.changed_columns(); }
    std::int64_t written() const { return written_; }

private:
    struct Pending { // rows of one portion that get the same column written
        WriteBatch batch;
        std::vector<std::uint32_t> source;  // position in labels_
        std::vector<core::TenantNo> tenant; // tenant key only
        std::vector<bool> deleted;
    };
    struct Queue {
        std::vector<std::string> keys, candidates;
    };

    void remember(Pending &pending, const EvaluatedRow &row, Datum value, std::uint32_t label, core::TenantNo tenant);
    void queue(core::Outcome review_class, const EvaluatedRow &row);
    std::string packed_key(const std::vector<std::vector<Datum>> &keys, std::size_t row);
    std::string packed_key(TupleTableSlot *slot);
    void write(Pending &pending, RowWriter &writer, const Column &column, bool is_tenant_key);
    void queue_reviews(core::Outcome review_class, Queue &queue);
    void close_review_of(const std::string &key);
    void report_progress();
    Datum tenant_datum(core::TenantNo tenant);
    [[noreturn]] void fail(const char *state, const char *what, const char *policy, const EvaluatedRow &row);

    const MigrationRecord &migration_;
    const ResolvedStep &step_;
    const StepTarget &target_;
    TenantDictionary &tenants_;
    std::int64_t run_;
    ChangeLogWriter &log_;
    std::int64_t row_total_, write_limit_, written_ = 0, seen_ = 0;
    EvidenceTable *overlay_;
    OutcomeCounts counts_;
    RowWriter writer_;
    std::unique_ptr<RowWriter> delete_writer_;
    Datum delete_time_ = 0;
    std::vector<std::string> labels_; // the sources', then "assign", "soft_delete"
    core::TenantNo for_orphans_ = core::no_tenant;
    KeyShape key_shape_;
    std::vector<TextOutput> key_text_;
    std::vector<std::pair<std::int16_t, bool>> key_storage_; // length, by value
    std::vector<Datum> tenant_datums_;
    MemoryContext memory_, portion_memory_;
    Pending assigned_, deleted_;
    std::map<core::Outcome, Queue> reviews_;
    core::EvidenceMap queued_; // reviews of earlier runs: key -> fingerprint of class and candidates, id
    std::vector<std::int64_t> outdated_, met_; // ids of these: to be withdrawn, and seen again
    TimestampTz portion_started_, started_, last_report_;
    bool reported_ = false;
};

BackfillWriter::BackfillWriter(const MigrationRecord &migration, const ResolvedStep &step, TenantDictionary &tenants,
                               std::int64_t run, ChangeLogWriter &log, std::int64_t row_total, std::int64_t write_limit,
                               EvidenceTable *overlay)
    : migration_(migration), step_(step), target_(step.target), tenants_(tenants), run_(run), log_(log),
      row_total_(row_total), write_limit_(write_limit), overlay_(overlay), counts_(step),
      writer_(target_.table, target_.column, target_.key, true, target_.table.owner), queued_(false, SIZE_MAX) {
    memory_ = pg_call(
        [] { return AllocSetContextCreate(CurTransactionContext, "tenantmig backfill", ALLOCSET_DEFAULT_SIZES); });
    MemoryContext parent = memory_;
    portion_memory_ =
        pg_call([parent] { return AllocSetContextCreate(parent, "tenantmig portion", ALLOCSET_DEFAULT_SIZES); });
    for (const ResolvedSource &source : step.sources)
        labels_.push_back(source.label);
    labels_.insert(labels_.end(), {"assign", "soft_delete"});
    for (AttrNumber number : target_.key) {
        const Column &column = target_.table.at(number);
        key_shape_.columns.push_back(column.name);
        key_shape_.types.push_back(type_label(column.type));
        key_text_.emplace_back(column.type);
        Oid type = column.type;
        std::pair<std::int16_t, bool> storage;
        pg_call([type, &storage] { get_typlenbyval(type, &storage.first, &storage.second); });
        key_storage_.push_back(storage);
    }
    assigned_.batch.keys.resize(target_.key.size());
    deleted_.batch.keys.resize(target_.key.size());
    if (step.spec.on_orphan == core::OnOrphan::assign) {
        for_orphans_ = tenants_.number_of_text(step.spec.assign);
        tenants_.check_known(target_);
        if (!tenants_.known()[for_orphans_])
            throw Error(sqlstate::foreign_key_violation,
                        fmt::format("tenant {} of on_orphan does not exist", step.spec.assign),
                        fmt::format("{} has no row with \"{}\" = {}.", target_.root.label(), target_.root_key.name,
                                    step.spec.assign),
                        "Name an existing tenant, or let orphans go to review.");
    }
    if (step.spec.on_orphan == core::OnOrphan::soft_delete) {
        delete_writer_ =
            std::make_unique<RowWriter>(target_.table, *target_.soft_delete, target_.key, true, target_.table.owner);
        Rows now =
            run_query(fmt::format("SELECT pg_catalog.now()::{}::pg_catalog.text", target_.soft_delete->type_name));
        delete_time_ = datum_from_text(target_.soft_delete->type, target_.soft_delete->typmod, now.text_or(0, 1));
    }
    for_each_queued(migration.id, step.spec.number, [this](const ReviewRow &review) {
        if (queued_.add(review.key, fingerprint(review.review_class, review.candidates),
                        static_cast<std::uint64_t>(review.id)) != core::EvidenceMap::Added::ok)
            throw std::bad_alloc();
    });
    portion_started_ = started_ = last_report_ = GetCurrentTimestamp();
}

Datum BackfillWriter::tenant_datum(core::TenantNo tenant) {
    while (tenant_datums_.size() <= tenant) {
        Datum datum = 0;
        if (tenants_.known().size() > tenant_datums_.size() && tenants_.known()[tenant_datums_.size()]) {
            datum = datum_from_text(target_.column.type, target_.column.typmod,
                                    tenants_.text(static_cast<core::TenantNo>(tenant_datums_.size())));
            datum = pg_call([datum, type = target_.column.type, context = memory_] {
                std::int16_t length;
                bool by_value;
                get_typlenbyval(type, &length, &by_value);
                MemoryContext previous = MemoryContextSwitchTo(context);
                Datum copy = datumCopy(datum, by_value, length);
                MemoryContextSwitchTo(previous);
                return copy;
            });
        }
        tenant_datums_.push_back(datum);
    }
    return tenant_datums_[tenant];
}

void BackfillWriter::remember(Pending &pending, const EvaluatedRow &row, Datum value, std::uint32_t label,
                              core::TenantNo tenant) {
    MemoryContext context = portion_memory_;
    TupleTableSlot *slot = row.slot;
    for (std::size_t i = 0; i < row.key_columns; i++) {
        auto [length, by_value] = key_storage_[i];
        Datum datum = slot->tts_values[i];
        if (!by_value)
            datum = pg_call([context, datum, length = length] {
                MemoryContext previous = MemoryContextSwitchTo(context);
                Datum copy =
                    length == -1 ? PointerGetDatum(PG_DETOAST_DATUM_COPY(datum)) : datumCopy(datum, false, length);
                MemoryContextSwitchTo(previous);
                return copy;
            });
        pending.batch.keys[i].push_back(datum);
    }
    pending.batch.new_values.push_back(value);
    pending.source.push_back(label);
    pending.tenant.push_back(tenant);
    pending.deleted.push_back(row.deleted);
}

std::string BackfillWriter::packed_key(const std::vector<std::vector<Datum>> &keys, std::size_t row) {
    std::vector<std::string> texts;
    std::vector<std::string_view> views;
    for (std::size_t i = 0; i < keys.size(); i++)
        texts.push_back(key_text_[i](keys[i][row]));
    views.assign(texts.begin(), texts.end());
    return core::pack_key(views);
}

std::string BackfillWriter::packed_key(TupleTableSlot *slot) {
    std::vector<std::string> texts;
    std::vector<std::string_view> views;
    for (std::size_t i = 0; i < key_text_.size(); i++)
        texts.push_back(key_text_[i](slot->tts_values[i]));
    views.assign(texts.begin(), texts.end());
    return core::pack_key(views);
}

void BackfillWriter::fail(const char *state, const char *what, const char *policy, const EvaluatedRow &row) {
    std::string key = packed_key(row.slot);
    std::string columns;
    for (const std::string &name : key_shape_.columns)
        columns += (columns.empty() ? "" : ", ") + tenantmig::quoted(name);
    throw Error(
        state, fmt::format("{} in {}", what, target_.table.label()),
        fmt::format("Row ({})=({}), candidates: {}.", columns, key,
                    candidates_json(step_, tenants_, core::asked(step_.policy, row.candidates))),
        fmt::format("The spec says {}: fail; nothing was changed. See all of them: SELECT * FROM tenantmig.plan({}).",
                    policy, core::sql_literal(migration_.name)));
}

void BackfillWriter::row(const EvaluatedRow &row) {
    seen_++;
    const core::BackfillStep &spec = step_.spec;
    counts_.add(row.decision, row.candidates, row.deleted);
    bool writing = written_ + static_cast<std::int64_t>(assigned_.batch.size() + deleted_.batch.size()) < write_limit_;
    core::TenantNo tenant = core::no_tenant;
    switch (row.decision.outcome) {
    case core::Outcome::assigned:
        tenant = row.decision.tenant;
        if (writing) remember(assigned_, row, tenant_datum(tenant), row.decision.source, tenant);
        break;
    case core::Outcome::conflict:
        if (spec.on_conflict == core::OnConflict::fail)
            fail(sqlstate::conflict_found, "evidence disagrees", "on_conflict", row);
        queue(core::Outcome::conflict, row);
        break;
    case core::Outcome::unknown_tenant:
        queue(core::Outcome::unknown_tenant, row);
        break;
    case core::Outcome::orphan:
        if (spec.on_orphan == core::OnOrphan::fail)
            fail(sqlstate::orphan_found, "a row has no evidence", "on_orphan", row);
        if (spec.on_orphan == core::OnOrphan::assign) {
            tenant = for_orphans_;
            if (writing)
                remember(assigned_, row, tenant_datum(tenant), static_cast<std::uint32_t>(labels_.size() - 2), tenant);
        } else if (spec.on_orphan == core::OnOrphan::soft_delete && !row.deleted) {
            if (writing)
                remember(deleted_, row, delete_time_, static_cast<std::uint32_t>(labels_.size() - 1), core::no_tenant);
        } else {
            queue(core::Outcome::orphan, row);
        }
        break;
    }
    if (overlay_ && tenant != core::no_tenant) overlay_->add(row.key, tenant);
}

void BackfillWriter::queue(core::Outcome review_class, const EvaluatedRow &row) {
    std::string key = packed_key(row.slot);
    std::string candidates = review_class == core::Outcome::orphan
                                 ? "[]"
                                 : candidates_json(step_, tenants_, core::asked(step_.policy, row.candidates));
    if (queued_.size() > 0) {
        std::vector<core::Candidate> found;
        queued_.find(key, 0, found);
        if (!found.empty()) {
            met_.push_back(static_cast<std::int64_t>(found[0].count));
            if (found[0].tenant == fingerprint(core::outcome_name(review_class), candidates))
                return; // queued or dismissed already, on the same evidence
            outdated_.push_back(static_cast<std::int64_t>(found[0].count));
        }
    }
    Queue &queue = reviews_[review_class];
    queue.keys.push_back(std::move(key));
    if (review_class != core::Outcome::orphan) queue.candidates.push_back(std::move(candidates));
}

void BackfillWriter::write(Pending &pending, RowWriter &writer, const Column &column, bool is_tenant_key) {
    std::size_t count = pending.batch.size();
    if (count == 0) return;
    std::vector<bool> done;
    written_ += static_cast<std::int64_t>(writer.write(pending.batch, done));
    std::string time;
    if (!is_tenant_key) {
        RunAs fixed(GetUserId(), Purpose::read);
        time = TextOutput(column.type)(delete_time_);
    }
    std::vector<ChangeEntry> entries(labels_.size());
    {
        RunAs fixed(GetUserId(), Purpose::read); // text forms that do not depend on the session
        for (std::size_t i = 0; i < count; i++) {
            if (!done[i]) { // gone, or filled by somebody else since the snapshot: left alone
                if (pending.source[i] < step_.sources.size())
                    counts_.unassign(pending.source[i], pending.deleted[i]);
                else
                    counts_.withdraw_rule(labels_[pending.source[i]], pending.deleted[i]);
                continue;
            }
            ChangeEntry &entry = entries[pending.source[i]];
            entry.keys.push_back(packed_key(pending.batch.keys, i));
            entry.new_values.emplace_back(is_tenant_key ? tenants_.text(pending.tenant[i]) : time);
            if (is_tenant_key && queued_.size() > 0) close_review_of(entry.keys.back());
        }
    }
    std::int32_t number = next_batch(run_);
    std::int64_t rows = 0;
    for (std::size_t i = 0; i < entries.size(); i++) {
        ChangeEntry &entry = entries[i];
        if (entry.keys.empty()) continue;
        rows += static_cast<std::int64_t>(entry.keys.size());
        entry.batch = number;
        entry.step = step_.spec.number;
        entry.kind = "backfill";
        entry.schema = target_.table.schema;
        entry.table = target_.table.name;
        entry.column = column.name;
        entry.key = key_shape_;
        entry.source = labels_[i];
        log_.append(entry);
    }
    if (rows > 0)
        insert_batch(run_, number, step_.spec.number, "backfill", target_.table.label(), rows, portion_started_);
    for (auto &keys : pending.batch.keys)
        keys.clear();
    pending.batch.new_values.clear();
    pending.source.clear();
    pending.tenant.clear();
    pending.deleted.clear();
}

void BackfillWriter::close_review_of(const std::string &key) {
    std::vector<core::Candidate> found;
    queued_.find(key, 0, found);
    if (!found.empty()) outdated_.push_back(static_cast<std::int64_t>(found[0].count));
}

void BackfillWriter::queue_reviews(core::Outcome review_class, Queue &queue) {
    if (queue.keys.empty()) return;
    ReviewBatch batch;
    batch.migration = migration_.id;
    batch.run = run_;
    batch.step = step_.spec.number;
    batch.schema = target_.table.schema;
    batch.table = target_.table.name;
    batch.column = target_.column.name;
    batch.key = key_shape_;
    batch.review_class = core::outcome_name(review_class);
    batch.keys = std::move(queue.keys);
    batch.candidates = std::move(queue.candidates);
    insert_reviews(batch);
    queue = {};
}

void BackfillWriter::portion_done() {
    SpiSession portion; // its results and parameters go with it: memory does not grow with the rows
    pg_call([] { CHECK_FOR_INTERRUPTS(); });
    write(assigned_, writer_, target_.column, true);
    if (delete_writer_) write(deleted_, *delete_writer_, *target_.soft_delete, false);
    if (!outdated_.empty()) {
        withdraw(outdated_, "tenantmig", fmt::format("replaced by run {}: its evidence has changed", run_));
        outdated_.clear();
    }
    for (auto &[review_class, queue] : reviews_)
        queue_reviews(review_class, queue);
    MemoryContextReset(portion_memory_);
    report_progress();
    portion_started_ = GetCurrentTimestamp();
}

// Rows in the queue that did not come by: somebody gave them a key, they have gone, or the step's conditions leave them
// out now. Nobody has to decide on them any more.
void BackfillWriter::close_settled() {
    if (queued_.size() == 0) return;
    std::sort(met_.begin(), met_.end());
    std::vector<std::int64_t> settled;
    queued_.for_each([&](std::string_view, core::TenantNo, std::uint64_t id) {
        if (!std::binary_search(met_.begin(), met_.end(), static_cast<std::int64_t>(id)))
            settled.push_back(static_cast<std::int64_t>(id));
    });
    withdraw(settled, "tenantmig", fmt::format("settled before run {}: the row has a key, or is gone", run_));
}

void BackfillWriter::report_progress() {
    TimestampTz now = GetCurrentTimestamp();
    if (now - last_report_ < progress_interval) return;
    last_report_ = now;
    double seconds = static_cast<double>(now - started_) / USECS_PER_SEC;
    double rate = static_cast<double>(seen_) / std::max(seconds, 0.001);
    double left = static_cast<double>(std::max<std::int64_t>(0, row_total_ - seen_)) / std::max(rate, 1.0);
    notice(fmt::format(
        "{}: {} of {} rows, {:.0f} %, {:.0f} rows/s, {:.0f} s left", target_.table.label(), seen_, row_total_,
        row_total_ > 0 ? 100.0 * static_cast<double>(seen_) / static_cast<double>(row_total_) : 100.0, rate, left));
}

// The counts that were approved with the plan, against those of now.
void compare_counts(const std::string &approved, const ResolvedMigration &migration, double max_change) {
    std::string now = counts_token(forecast(migration, false));
    std::string_view left = approved, right = now;
    while (!left.empty() && !right.empty()) {
        std::string_view a = left.substr(0, left.find(',')), b = right.substr(0, right.find(','));
        std::size_t a_equals = a.find('='), b_equals = b.find('=');
        if (a_equals == std::string_view::npos || a.substr(0, a_equals) != b.substr(0, b_equals)) break;
        double was = std::atof(std::string(a.substr(a_equals + 1)).c_str()),
               is = std::atof(std::string(b.substr(b_equals + 1)).c_str());
        if (std::abs(is - was) > max_change * std::max(was, 1.0))
            throw Error(
                sqlstate::counts_changed,
                fmt::format("the count of \"{}\" has changed since the plan was approved", b.substr(0, b_equals)),
                fmt::format("Approved were {:.0f} rows, now there are {:.0f}; allowed is a change of {:g} %.", was, is,
                            max_change * 100),
                "Look at the plan again, and approve its new hash.");
        left.remove_prefix(std::min(left.size(), a.size() + 1));
        right.remove_prefix(std::min(right.size(), b.size() + 1));
    }
    if (!left.empty() || !right.empty())
        throw Error(sqlstate::invalid_parameter_value, "the counts of the plan hash can't be read",
                    fmt::format("They are \"{}\".", approved),
                    "Use the text of tenantmig.plan_hash(name, with_counts => true).");
}

nlohmann::json counts_json(const std::vector<OutcomeCount> &counts) {
    nlohmann::json list = nlohmann::json::array();
    for (const OutcomeCount &count : counts) {
        nlohmann::json item = {{"relation", count.relation},
                               {"outcome", count.outcome},
                               {"row_count", count.rows},
                               {"deleted_count", count.deleted}};
        item["source"] = count.source ? nlohmann::json(*count.source) : nlohmann::json();
        list.push_back(item);
    }
    return list;
}

struct RowCounts {
    std::int64_t all, null;
};
RowCounts count_rows(const ResolvedStep &step) {
    const StepTarget &target = step.target;
    std::vector<Value> values;
    std::string where = condition_sql("t", step.where, values);
    RunAs owner(target.table.owner, Purpose::read);
    Rows rows = run_query(
        fmt::format("SELECT pg_catalog.count(*), pg_catalog.count(*) FILTER (WHERE t.{} IS NULL{}) FROM {} AS t",
                    tenantmig::quoted(target.column.name), where, target.table.target()),
        values, true);
    return {rows.bigint(0, 1), rows.bigint(0, 2)};
}

std::vector<OutcomeCount> run_steps(const MigrationRecord &record, const ResolvedMigration &migration,
                                    const BackfillOptions &options, const std::string &hash, std::int64_t *written) {
    RunRecord run;
    run.id = insert_run(record.id, hash);
    run.migration_id = record.id;
    ChangeLogWriter log(run.id);
    std::vector<OutcomeCount> result;
    nlohmann::json tables = nlohmann::json::array();
    std::int64_t limit = options.dry_run ? options.dry_run_rows : INT64_MAX;
    *written = 0;
    TenantDictionary tenants(migration.steps.empty() ? KeyClass::integer : migration.steps[0].tenant_class);
    EvidenceMemory overlay_memory(evidence_memory_limit() / 4);
    Overlays overlays;
    if (options.dry_run) // writes a part only, so that later steps must be told of the rest
        overlays = make_overlays(migration, overlay_memory);
    for (std::size_t i = 0; i < migration.steps.size(); i++) {
        const ResolvedStep &step = migration.steps[i];
        SnapshotScope snapshot;
        RowCounts before = count_rows(step);
        EvidenceMemory memory(evidence_memory_limit());
        EvidenceTable *overlay = options.dry_run ? overlays[i].table.get() : nullptr;
        EvaluationOptions evaluation_options;
        evaluation_options.row_keys = overlay != nullptr;
        evaluation_options.overlays = options.dry_run ? &overlays : nullptr;
        Evaluation evaluation(step, tenants, memory, evaluation_options);
        evaluation.read_evidence();
        BackfillWriter writer(record, step, tenants, run.id, log, before.null, limit, overlay);
        evaluation.evaluate(writer);
        writer.close_settled();
        if (overlay) overlay->finish();
        limit -= std::min(limit, writer.written());
        *written += writer.written();
        const OutcomeCounts &counts = writer.counts();
        for (OutcomeCount &count : counts.list()) {
            if (count.outcome == "assigned")
                run.assigned += count.rows;
            else if (count.outcome == "conflict")
                run.conflicts += count.rows;
            else if (count.outcome == "orphan")
                run.orphans += count.rows;
            else if (count.outcome == "unknown_tenant")
                run.unknown += count.rows;
            result.push_back(std::move(count));
        }
        run.row_total += before.null;
        run.row_done += counts.total() + counts.skipped();
        tables.push_back({{"step", step.spec.number},
                          {"relation", step.label()},
                          {"column", step.target.column.name},
                          {"row_count", before.all},
                          {"null_count", before.null},
                          {"skipped", counts.skipped()},
                          {"changed_columns", writer.changed_columns()}});
    }
    run.state = "completed";
    // in a database of another encoding than UTF8 names of columns may hold what JSON cannot
    run.counts = counts_json(result).dump(-1, ' ', false, nlohmann::json::error_handler_t::ignore);
    run.tables = tables.dump(-1, ' ', false, nlohmann::json::error_handler_t::ignore);
    update_run(run);
    return result;
}
} // namespace

namespace {
std::vector<OutcomeCount> run_locked(const MigrationRecord &record, const BackfillOptions &options) {
    require_owner(record);
    lock_migration(record);
    ResolvedMigration migration = resolve_migration(record);
    if (migration.by_name) update_identity(record.id, migration.identity);
    std::string hash = hash_plan(migration);
    if (options.plan_hash) {
        std::string approved = options.plan_hash->substr(0, options.plan_hash->find(':'));
        if (approved != hash)
            throw Error(
                sqlstate::plan_changed,
                fmt::format("the plan of migration \"{}\" is no longer the one that was approved", record.name),
                fmt::format(
                    "Approved was {}, now it is {}: a table, type, trigger, constraint, index or the spec has changed.",
                    approved.size() == hash.size() ? approved : core::excerpt(approved), hash),
                "Look at the plan again, and approve its new hash.");
        if (options.plan_hash->size() > approved.size())
            compare_counts(options.plan_hash->substr(approved.size() + 1), migration, options.max_count_change);
    }
    fire_deferred_as_caller();
    std::int64_t written = 0;
    if (!options.dry_run) return run_steps(record, migration, options, hash, &written);
    std::vector<OutcomeCount> counts;
    {
        Subtransaction rehearsal;
        counts = run_steps(record, migration, options, hash, &written);
        rehearsal.undo();
    }
    std::int64_t total = 0;
    for (const OutcomeCount &count : counts)
        total += count.outcome == "assigned" || count.source == "soft_delete" ? count.rows : 0;
    notice(fmt::format("dry run: {} of {} rows to write were written and undone; nothing was changed", written, total));
    return counts;
}

} // namespace

std::vector<OutcomeCount> run_backfill(const MigrationRecord &record, const BackfillOptions &options) {
    LockTimeout timeout;
    try {
        return run_locked(record, options);
    } catch (const PgError &error) {
        if (error.data()->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE && !error.data()->hint)
            error.data()->hint =
                const_cast<char *>("Another session holds a row or table that the run needs; nothing was changed. "
                                   "Run again, or set lock_timeout to wait longer.");
        throw;
    }
}

} // namespace tenantmig
