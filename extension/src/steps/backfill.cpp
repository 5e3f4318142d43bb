// The step `backfill`, up: evaluates, writes by compare-and-set, logs and queues, portion by portion, in the caller's
// transaction.
#include "core/undo_text.hpp"
#include <nlohmann/json.hpp>

#include "bridge/engine_write.hpp"
#include "bridge/results.hpp"
#include "bridge/subtransaction.hpp"
#include "catalog/change_log.hpp"
#include "engine/row_writer.hpp"
#include "steps/backfill.hpp"
#include "steps/baseline.hpp"
#include "steps/batch_recorder.hpp"
#include "steps/ddl_watch.hpp"
#include "steps/progress.hpp"
#include "steps/row_rules.hpp"

namespace tenantmig {

namespace {

constexpr std::int64_t progress_interval = 2 * USECS_PER_SEC;

// Writes, logs and queues the rows of one step, portion by portion.
class BackfillWriter : public RowConsumer {
public:
    BackfillWriter(const MigrationRecord &migration, const ResolvedStep &step, TenantDictionary &tenants,
                   std::int64_t run, ChangeLogWriter &log, std::int64_t row_total, std::int64_t write_limit,
                   EvidenceTable *overlay);

    void row(const EvaluatedRow &row) override;
    void portion_done() override;
    void close_settled() { recorder_.close_settled(); }

    const OutcomeCounts &counts() const { return counts_; }
    const std::vector<std::string> &changed_columns() const { return writer_.changed_columns(); }
    std::int64_t written() const { return written_; }

private:
    struct Pending { // rows of one portion that get the same column written
        NotedKeys keys;
        std::vector<Datum> values;
        std::vector<std::uint32_t> label;
        std::vector<core::TenantNo> tenant; // tenant key only
        std::vector<bool> deleted;
    };
    void remember(Pending &pending, const EvaluatedRow &row, const RowAction &action);
    void write(Pending &pending, RowWriter &writer, bool is_tenant_key);
    void report_progress();

    const ResolvedStep &step_;
    const StepTarget &target_;
    std::int64_t run_;
    ChangeLogWriter &log_;
    std::int64_t row_total_, write_limit_, written_ = 0, seen_ = 0;
    EvidenceTable *overlay_;
    OutcomeCounts counts_;
    RowWriter writer_;
    std::unique_ptr<RowWriter> delete_writer_;
    BatchRecorder recorder_;
    RowRules rules_;
    Pending assigned_, deleted_;
    TimestampTz portion_started_, started_, last_report_;
};

BackfillWriter::BackfillWriter(const MigrationRecord &migration, const ResolvedStep &step, TenantDictionary &tenants,
                               std::int64_t run, ChangeLogWriter &log, std::int64_t row_total, std::int64_t write_limit,
                               EvidenceTable *overlay)
    : step_(step), target_(step.target), run_(run), log_(log), row_total_(row_total), write_limit_(write_limit),
      overlay_(overlay), counts_(step), writer_(target_.table, target_.column, target_.key, true, target_.table.owner),
      recorder_(migration, step, tenants, run, CurTransactionContext),
      rules_(migration, step, tenants, CurTransactionContext) {
    if (step.spec.on_orphan == core::OnOrphan::soft_delete)
        delete_writer_ =
            std::make_unique<RowWriter>(target_.table, *target_.soft_delete, target_.key, true, target_.table.owner);
    recorder_.load_queue();
    portion_started_ = started_ = last_report_ = GetCurrentTimestamp();
}

void BackfillWriter::remember(Pending &pending, const EvaluatedRow &row, const RowAction &action) {
    recorder_.add_key(pending.keys, row.slot->tts_values);
    pending.values.push_back(action.value);
    pending.label.push_back(action.label);
    pending.tenant.push_back(action.tenant);
    pending.deleted.push_back(row.deleted);
}

void BackfillWriter::row(const EvaluatedRow &row) {
    seen_++;
    counts_.add(row.decision, row.candidates, row.deleted);
    bool writing =
        written_ + static_cast<std::int64_t>(assigned_.values.size() + deleted_.values.size()) < write_limit_;
    RowAction action = rules_.act(row.decision, row.deleted, row.slot->tts_values, row.candidates);
    switch (action.kind) {
    case RowAction::Kind::assign:
        if (writing) remember(assigned_, row, action);
        break;
    case RowAction::Kind::soft_delete:
        if (writing) remember(deleted_, row, action);
        break;
    case RowAction::Kind::queue:
        recorder_.queue(row.decision.outcome, row.slot->tts_values, row.candidates);
        break;
    }
    if (overlay_ && action.tenant != core::no_tenant) overlay_->add(row.key, action.tenant);
}

void BackfillWriter::write(Pending &pending, RowWriter &writer, bool is_tenant_key) {
    std::size_t count = pending.values.size();
    if (count == 0) return;
    WriteBatch batch;
    batch.keys = std::move(pending.keys.columns);
    batch.new_values = std::move(pending.values);
    std::vector<bool> done;
    {
        EngineWriteScope ours(target_.table.oid);
        written_ += static_cast<std::int64_t>(writer.write(batch, done));
    }
    std::vector<Datum> key(batch.keys.size());
    for (std::size_t i = 0; i < count; i++) {
        if (!done[i]) { // gone, or filled by somebody else since the snapshot: left alone
            if (pending.label[i] < step_.sources.size())
                counts_.unassign(pending.label[i], pending.deleted[i]);
            else
                counts_.withdraw_rule(recorder_.labels()[pending.label[i]], pending.deleted[i]);
            continue;
        }
        for (std::size_t k = 0; k < key.size(); k++)
            key[k] = batch.keys[k][i];
        if (is_tenant_key)
            recorder_.wrote(key.data(), pending.label[i], pending.tenant[i]);
        else
            recorder_.wrote_deletion(key.data(), rules_.delete_time_text());
    }
    pending = {};
}

void BackfillWriter::portion_done() {
    SpiSession portion; // its results and parameters go with it: memory does not grow with the rows
    pg_call([] { CHECK_FOR_INTERRUPTS(); });
    write(assigned_, writer_, true);
    if (delete_writer_) write(deleted_, *delete_writer_, false);
    BatchRecorder::Batch batch = recorder_.flush(log_, next_batch(run_));
    if (batch.rows > 0)
        insert_batch(run_, batch.number, step_.spec.number, "backfill", target_.table.label(), batch.rows,
                     portion_started_);
    report_progress();
    portion_started_ = GetCurrentTimestamp();
}

void BackfillWriter::report_progress() {
    TimestampTz now = GetCurrentTimestamp();
    if (now - last_report_ < progress_interval) return;
    last_report_ = now;
    notice(progress_line(target_.table.label(), seen_, row_total_, now - started_));
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

} // namespace

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

namespace {
std::vector<OutcomeCount> run_steps(const MigrationRecord &record, const ResolvedMigration &migration,
                                    const BackfillOptions &options, const std::string &hash, std::int64_t *written) {
    RunRecord run;
    run.id = insert_run(record.id, hash, record.scope);
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
    run.counts = counts_json(result);
    run.tables = tables.dump(-1, ' ', false, nlohmann::json::error_handler_t::ignore);
    update_run(run);
    return result;
}
} // namespace

void check_approved_plan(const MigrationRecord &record, const ResolvedMigration &migration, const std::string &hash,
                         const std::string &given, double max_count_change) {
    std::string approved = given.substr(0, given.find(':'));
    if (approved != hash)
        throw Error(
            sqlstate::plan_changed,
            fmt::format("the plan of migration \"{}\" is no longer the one that was approved", record.name),
            fmt::format(
                "Approved was {}, now it is {}: a table, type, trigger, constraint, index or the spec has changed.",
                approved.size() == hash.size() ? approved : core::excerpt(approved), hash),
            "Look at the plan again, and approve its new hash.");
    if (given.size() > approved.size()) compare_counts(given.substr(approved.size() + 1), migration, max_count_change);
}

namespace {
std::vector<OutcomeCount> run_locked(const MigrationRecord &whole, const BackfillOptions &options) {
    require_owner(whole);
    lock_migration(whole);
    MigrationRecord record = whole;
    ResolvedMigration migration = resolve_for_run(record);
    if (migration.by_name) update_identity(record.id, migration.identity);
    std::string hash = hash_plan(migration);
    if (options.plan_hash) check_approved_plan(record, migration, hash, *options.plan_hash, options.max_count_change);
    fire_deferred_as_caller();
    std::int64_t written = 0;
    if (!options.dry_run) {
        take_baseline(record, migration.steps, std::nullopt);
        ensure_fingerprint(whole);
        tell_of_later_steps(whole);
        return run_steps(record, migration, options, hash, &written);
    }
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
