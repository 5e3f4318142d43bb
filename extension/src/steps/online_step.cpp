// What the leader of a run does for one step: reads the evidence, publishes the walk and walks along, then sweeps and
// checks with the evidence as it is at the end.
#include "core/evidence_map.hpp"
#include "core/key_text.hpp"
#include "core/undo_text.hpp"
#include <nlohmann/json.hpp>

#include "bridge/engine_write.hpp"
#include "bridge/fault.hpp"
#include "bridge/memory.hpp"
#include "bridge/text_input.hpp"
#include "engine/key_spool.hpp"
#include "engine/row_writer.hpp"
#include "engine/walk_setup.hpp"
#include "steps/backfill.hpp"
#include "steps/crew.hpp"
#include "steps/online.hpp"

namespace tenantmig {

namespace {
constexpr std::size_t suspects_at_once = 100000; // rows, bounds the memory of the closing check
constexpr int write_lock_timeout = 300;          // milliseconds that a batch by key waits for rows of others
constexpr int most_sweeps = 5;                   // while tenants go away under our hands
constexpr int locked_rounds = 8;                 // with rests in between, before rows that stay locked pause the run

enum SpoolKind : std::uint8_t { assign_row, delete_row, suspect_row };

RowAction::Kind action_of(const SpooledRow &row) {
    return row.kind == delete_row ? RowAction::Kind::soft_delete : RowAction::Kind::assign;
}

// Takes ACCESS SHARE on all tables of the step until the transaction's end. TM009 if one has gone, or lost what is read
// of it.
void hold_tables(const ResolvedStep &step, const std::string &migration) {
    auto hold = [&](const Table &table, const std::vector<AttrNumber> &columns) {
        Oid oid = table.oid;
        bool exists = pg_call([oid] {
            Relation rel = try_relation_open(oid, AccessShareLock);
            if (rel) relation_close(rel, NoLock);
            return rel != nullptr;
        });
        std::string what = exists ? "" : fmt::format("table {} was dropped", table.label());
        for (AttrNumber number : columns) {
            if (!what.empty()) break;
            bool there = pg_call([oid, number] { return get_atttype(oid, number) != InvalidOid; });
            if (!there)
                what =
                    fmt::format("column {} of {} was dropped", tenantmig::quoted(table.at(number).name), table.label());
        }
        if (what.empty()) return;
        throw Error(
            sqlstate::table_changed, fmt::format("table {} was changed while the run was on", table.label()),
            fmt::format("Since the run began, {}.", what),
            fmt::format("Without it the run cannot go on: SELECT tenantmig.cancel({}); what was written can be undone.",
                        core::sql_literal(migration)));
    };
    std::vector<AttrNumber> columns = step.target.key;
    columns.push_back(step.target.column.number);
    hold(step.target.table, columns);
    hold(step.target.root, {step.target.root_key.number});
    auto hold_hop = [&](const Hop &hop) {
        std::vector<AttrNumber> read = hop.key;
        read.insert(read.end(), hop.value.begin(), hop.value.end());
        hold(hop.table, read);
    };
    for (const ResolvedSource &source : step.sources) {
        for (const Hop &hop : source.hops)
            hold_hop(hop);
        for (const auto &[type, hop] : source.types)
            hold_hop(hop);
    }
}

core::DigestSeed random_seed() {
    core::DigestSeed seed{};
    auto *bytes = seed.data();
    std::size_t size = sizeof(seed);
    pg_call([bytes, size] {
        if (!pg_strong_random(bytes, size))
            ereport(ERROR, (errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION), errmsg("could not generate random values"),
                            errhint("Check the server's source of randomness.")));
    });
    return seed;
}

// Orphans that this run has soft-deleted: they have no tenant key, and are done with all the same.
std::set<std::uint64_t> soft_deleted_rows(std::int64_t run, const ResolvedStep &step) {
    std::set<std::uint64_t> rows;
    if (step.spec.on_orphan != core::OnOrphan::soft_delete) return rows;
    for_each_entry(run, false, [&](const ChangeEntry &entry) {
        if (entry.step != step.spec.number || entry.kind != "backfill" || entry.source != "soft_delete") return;
        for (const std::string &key : entry.keys)
            rows.insert(core::hash_key(key));
    });
    return rows;
}

// Rows of one evaluation: those that are to be written go to a spool, those that nobody can decide to the queue.
class Sorter : public RowConsumer {
public:
    Sorter(const ResolvedStep &step, BatchRecorder &recorder, RowRules &rules, ChangeLogWriter &log,
           const TenantDictionary &tenants, const std::set<std::uint64_t> &deleted, KeySpool &writes,
           KeySpool *suspects)
        : step_(step), recorder_(recorder), rules_(rules), log_(log), tenants_(tenants), deleted_(deleted),
          writes_(writes), suspects_(suspects), counts_(step) {}

    void row(const EvaluatedRow &row) override {
        const Datum *key = row.slot->tts_values;
        if (row.current != core::no_tenant) {
            if (!suspects_ || row.current == rules_.expected(row.decision)) return;
            SpooledRow suspect;
            suspect.kind = suspect_row;
            suspect.key = recorder_.packed_key(key);
            suspect.outcome = static_cast<std::uint8_t>(row.decision.outcome);
            suspect.deleted = row.deleted;
            suspect.current = tenants_.text(row.current);
            suspect.candidates = candidates_json(step_, tenants_, core::asked(step_.policy, row.candidates));
            suspects_->write(suspect);
            return;
        }
        RowAction action = rules_.act(row.decision, row.deleted, key, row.candidates);
        if (action.kind == RowAction::Kind::queue) {
            if (row.deleted && row.decision.outcome == core::Outcome::orphan && !deleted_.empty() &&
                deleted_.contains(core::hash_key(recorder_.packed_key(key))))
                return;
            counts_.add(row.decision, row.candidates, row.deleted);
            recorder_.queue(row.decision.outcome, key, row.candidates);
            return;
        }
        SpooledRow write;
        write.kind = action.kind == RowAction::Kind::soft_delete ? delete_row : assign_row;
        write.key = recorder_.packed_key(key);
        write.label = action.label;
        write.tenant = action.tenant;
        write.deleted = row.deleted;
        writes_.write(write);
    }

    void portion_done() override {
        pg_call([] { CHECK_FOR_INTERRUPTS(); });
        queued_ += recorder_.flush(log_, 0).queued;
    }

    const OutcomeCounts &counts() const { return counts_; }
    std::int64_t queued() const { return queued_; }

private:
    const ResolvedStep &step_;
    BatchRecorder &recorder_;
    RowRules &rules_;
    ChangeLogWriter &log_;
    const TenantDictionary &tenants_;
    const std::set<std::uint64_t> &deleted_; // rows, by the hash of their keys
    KeySpool &writes_;
    KeySpool *suspects_;
    OutcomeCounts counts_;
    std::int64_t queued_ = 0;
};

// Writes spooled rows by key, through SQL.
class KeyWriter {
public:
    KeyWriter(OnlineWorker &worker, const ResolvedStep &step, BatchRecorder &recorder, RowRules &rules,
              const char *phase)
        : worker_(worker), step_(step), recorder_(recorder), rules_(rules), phase_(phase) {}

    // A batch, in transactions of its own; rows that others hold locked are put into `locked`.
    void write(std::vector<SpooledRow> rows, std::vector<SpooledRow> &locked) {
        if (rows.empty()) return;
        TimestampTz started = GetCurrentTimestamp();
        std::string error;
        try {
            worker_.transactions.run(
                false, [&] { batch(rows, started); }, write_lock_timeout);
        } catch (const PgError &caught) {
            if (!goes_away(caught)) throw;
            error = caught.what();
        }
        if (error.empty()) {
            worker_.batch_done(static_cast<std::int64_t>(rows.size()), started);
            return;
        }
        recorder_.discard();
        worker_.pacer.timed_out();
        if (rows.size() == 1) {
            locked.push_back(std::move(rows.front()));
            return;
        }
        auto middle = rows.begin() + static_cast<std::ptrdiff_t>(rows.size() / 2);
        std::vector<SpooledRow> rest(std::make_move_iterator(middle), std::make_move_iterator(rows.end()));
        rows.erase(middle, rows.end());
        write(std::move(rows), locked);
        write(std::move(rest), locked);
    }

private:
    void batch(const std::vector<SpooledRow> &rows, TimestampTz started) {
        MemoryScope scope;
        TENANTMIG_FAULT("sweep_batch_open");
        fire_deferred_as_caller();
        OutcomeCounts counts(step_);
        {
            SnapshotScope snapshot;
            EngineWriteScope ours(step_.target.table.oid);
            for (RowAction::Kind kind : {RowAction::Kind::assign, RowAction::Kind::soft_delete})
                write_kind(kind, rows, counts);
        }
        TENANTMIG_FAULT("sweep_batch_written");
        ChangeLogWriter log(worker_.shared->run, worker_.number);
        OnlineBatch row;
        row.batch = worker_.next_batch();
        BatchRecorder::Batch recorded = recorder_.flush(log, row.batch);
        row.run = worker_.shared->run;
        row.step = step_.spec.number;
        row.worker = worker_.number;
        row.phase = phase_;
        row.relation = step_.label();
        row.rows = recorded.rows;
        row.started = started;
        row.counts = counts_json(counts.list());
        if (recorded.rows > 0) insert_online_batch(row);
        worker_.report_pace();
        worker_.report.done = worker_.report.written = recorded.rows;
        worker_.report.hot = 0;
        worker_.report.batch_rows = worker_.pacer.batch_rows();
        save_worker(worker_.shared->run, worker_.report);
        Oid table = step_.target.table.oid;
        worker_.read_pace_signals({&table, 1});
    }

    void write_kind(RowAction::Kind kind, const std::vector<SpooledRow> &rows, OutcomeCounts &counts) {
        const StepTarget &target = step_.target;
        WriteBatch batch;
        batch.keys.resize(target.key.size());
        std::vector<const SpooledRow *> members;
        {
            RunAs reader(target.table.owner, Purpose::read); // the form in which keys were recorded
            std::vector<TextInput> inputs;
            for (AttrNumber number : target.key)
                inputs.emplace_back(target.table.at(number).type, target.table.at(number).typmod);
            for (const SpooledRow &row : rows) {
                if (action_of(row) != kind) continue;
                std::vector<std::string> parts = core::unpack_key(row.key, target.key.size());
                for (std::size_t k = 0; k < parts.size(); k++)
                    batch.keys[k].push_back(inputs[k](parts[k]));
                batch.new_values.push_back(kind == RowAction::Kind::assign ? rules_.tenant_datum(row.tenant)
                                                                           : rules_.delete_time());
                members.push_back(&row);
            }
        }
        if (members.empty()) return;
        const Column &column = kind == RowAction::Kind::assign ? target.column : *target.soft_delete;
        RowWriter writer(target.table, column, target.key, true, target.table.owner);
        std::vector<bool> done;
        writer.write(batch, done);
        worker_.report.changed_columns = writer.changed_columns();
        std::vector<Datum> key(target.key.size());
        for (std::size_t i = 0; i < members.size(); i++) {
            if (!done[i]) continue; // gone, or filled by somebody else
            const SpooledRow &row = *members[i];
            for (std::size_t k = 0; k < key.size(); k++)
                key[k] = batch.keys[k][i];
            core::Decision decision;
            if (row.label < step_.sources.size()) decision = {core::Outcome::assigned, row.tenant, row.label};
            counts.add(decision, {}, row.deleted);
            if (kind == RowAction::Kind::assign)
                recorder_.wrote(key.data(), row.label, row.tenant);
            else
                recorder_.wrote_deletion(key.data(), rules_.delete_time_text());
        }
    }

    OnlineWorker &worker_;
    const ResolvedStep &step_;
    BatchRecorder &recorder_;
    RowRules &rules_;
    const char *phase_;
};
} // namespace

StepLeader::StepLeader(OnlineWorker &worker, const ResolvedStep &step, std::size_t position)
    : worker_(worker), step_(step), position_(position) {}

// The numbers that verify compares with: once, at the step's beginning.
void StepLeader::count_rows() {
    RunRecord run = get_run(worker_.shared->run);
    nlohmann::json tables = run.tables.empty() ? nlohmann::json::array() : nlohmann::json::parse(run.tables);
    for (const auto &entry : tables)
        if (entry.value("step", 0) == step_.spec.number) return;
    SnapshotScope snapshot;
    RowCounts before = tenantmig::count_rows(step_);
    tables.push_back({{"step", step_.spec.number},
                      {"relation", step_.label()},
                      {"column", step_.target.column.name},
                      {"row_count", before.all},
                      {"null_count", before.null},
                      {"skipped", 0},
                      {"changed_columns", nlohmann::json::array()}});
    set_run_tables(run.id, run.row_total + before.null,
                   tables.dump(-1, ' ', false, nlohmann::json::error_handler_t::ignore));
}

Stop StepLeader::run() {
    worker_.transactions.run(false, [this] { path_ = write_path(step_.target); });
    worker_.tell("evidence", step_.label(), path_);
    worker_.insist(true, [this] {
        hold_tables(step_, worker_.record.name);
        count_rows();
    });
    Stop stop = worker_.between_batches();
    if (stop != Stop::no) return stop;
    if (path_ == "direct") {
        std::vector<Leaf> leaves;
        worker_.transactions.run(false, [&] { leaves = leaves_of(step_.target.table); });
        stop = walk_direct(leaves);
        if (stop != Stop::no) return stop;
    }
    // Through SQL the last sweep is the whole work: it writes by key whatever has no tenant key.
    for (int attempt = 1;; attempt++) {
        try {
            return sweep_and_check();
        } catch (const PgError &error) {
            // a tenant was deleted since the evidence was read: it is read again
            bool tenant_gone = error.data()->sqlerrcode == ERRCODE_FOREIGN_KEY_VIOLATION;
            if (!(tenant_gone || goes_away(error)) || attempt == most_sweeps) throw;
        }
        if (recorder_) recorder_->discard();
        worker_.rest(200.0 * attempt);
    }
}

// ---- the walk

Stop StepLeader::walk_direct(const std::vector<Leaf> &leaves) {
    RunShared *shared = worker_.shared;
    std::uint64_t number;
    {
        SpinGuard guard(&shared->mutex);
        number = shared->walk + 1;
    }
    WalkShared *walk = nullptr;
    seed_ = random_seed();
    worker_.insist(false, [&] {
        MemoryScope scope;
        hold_tables(step_, worker_.record.name);
        SnapshotScope snapshot;
        EvidenceMemory memory(evidence_memory_limit());
        tenants_ = std::make_unique<TenantDictionary>(step_.tenant_class);
        EvaluationOptions options;
        options.positions = true;
        options.digest_seed = seed_;
        Evaluation evaluation(step_, *tenants_, memory, options);
        evaluation.read_evidence();
        digest_ = evaluation.evidence_digest();
        TENANTMIG_FAULT("evidence_read");
        walk_segment_ = publish_walk(shared, number, step_, leaves, evaluation, *tenants_,
                                     done_ranges(shared->run, step_.spec.number));
        walk = static_cast<WalkShared *>(walk_segment_.address());
    });
    worker_.tell("walk", step_.label(), path_);
    open_walk(shared, number, walk_segment_.handle(), position_);
    core::SharedEvidence evidence(walk->evidence());
    if (walk->segment_blocks == 0) walk_evidence_.emplace(walk->evidence());
    std::unique_ptr<BackfillWalker> walker;
    worker_.transactions.run(false, [&] {
        walker = std::make_unique<BackfillWalker>(worker_, step_, *tenants_,
                                                  walk_verdicts(shared, number, step_, walk, evidence), walk);
    });
    Stop stop = walker->walk();
    while (stop == Stop::no) {
        CrewState crew = worker_.crew ? worker_.crew->look(walk) : CrewState{};
        if (crew.ranges_came_back) {
            worker_.transactions.run(false, [&] { walker->reload_queue(); });
            stop = walker->walk();
        } else if (close_walk(shared)) {
            break;
        } else {
            stop = worker_.between_batches();
            worker_.rest(5);
        }
    }
    if (stop != Stop::no && worker_.crew) worker_.crew->wait_until_idle();
    return stop;
}

// ---- the last sweep and the closing check

Stop StepLeader::sweep_and_check() {
    worker_.tell("check", step_.label(), path_);
    TENANTMIG_FAULT("check_started");
    RunShared *shared = worker_.shared;
    KeySpool writes, suspects;
    worker_.transactions.run(true, [&] {
        MemoryScope scope;
        TimestampTz started = GetCurrentTimestamp();
        hold_tables(step_, worker_.record.name);
        SnapshotScope snapshot;
        EvidenceMemory memory(evidence_memory_limit());
        EvaluationOptions options;
        options.all_rows = true;
        bool unchanged = false;
        if (walk_evidence_) {
            options.digest_seed = seed_;
            options.shared = &*walk_evidence_;
            unchanged = Evaluation(step_, *tenants_, memory, options).read_digest_only() == digest_;
        }
        if (!unchanged) {
            options.digest_seed.reset();
            options.shared = nullptr;
            tenants_ = std::make_unique<TenantDictionary>(step_.tenant_class);
        }
        Evaluation evaluation(step_, *tenants_, memory, options);
        if (!unchanged) evaluation.read_evidence();
        rules_ = std::make_unique<RowRules>(worker_.record, step_, *tenants_, worker_.memory);
        recorder_ = std::make_unique<BatchRecorder>(worker_.record, step_, *tenants_, shared->run, worker_.memory);
        recorder_->load_queue();
        ChangeLogWriter log(shared->run, worker_.number);
        const std::set<std::uint64_t> deleted = soft_deleted_rows(shared->run, step_);
        Sorter sorter(step_, *recorder_, *rules_, log, *tenants_, deleted, writes, &suspects);
        evaluation.evaluate(sorter);
        sorter.portion_done();
        recorder_->close_settled();
        OnlineBatch row;
        row.run = shared->run;
        row.batch = worker_.next_batch();
        row.step = step_.spec.number;
        row.worker = worker_.number;
        row.phase = "check";
        row.relation = step_.label();
        row.queued = sorter.queued();
        row.started = started;
        row.counts = counts_json(sorter.counts().list());
        insert_check_batch(row); // in the place of what an earlier attempt counted
        worker_.report.done = sorter.queued();
        worker_.report.written = worker_.report.hot = 0;
        save_worker(shared->run, worker_.report);
    });
    Stop stop = write_spool(writes, path_ == "direct" ? "check" : "walk");
    if (stop != Stop::no) return stop;
    stop = take_back(suspects);
    worker_.insist(false, [&] { note_changed_columns(shared->run, step_.spec.number); });
    return stop;
}

Stop StepLeader::write_spool(KeySpool &spool, const char *phase) {
    KeyWriter writer(worker_, step_, *recorder_, *rules_, phase);
    std::vector<SpooledRow> rows, locked;
    SpooledRow row;
    spool.rewind();
    for (bool more = spool.rows() > 0; more;) {
        Stop stop = worker_.between_batches();
        if (stop != Stop::no) return stop;
        rows.clear();
        while (static_cast<std::int64_t>(rows.size()) < worker_.pacer.batch_rows() && (more = spool.read(&row)))
            rows.push_back(row);
        writer.write(std::move(rows), locked);
        rows = {};
    }
    for (int round = 0; round < locked_rounds && !locked.empty(); round++) {
        worker_.rest(100.0 * (1 << std::min(round, 4)));
        Stop stop = worker_.between_batches();
        if (stop != Stop::no) return stop;
        std::vector<SpooledRow> again = std::exchange(locked, {});
        writer.write(std::move(again), locked);
    }
    if (!locked.empty())
        throw Error(sqlstate::rows_locked,
                    fmt::format("{} rows of {} stay locked by other sessions", locked.size(), step_.label()),
                    fmt::format("One of them has the key {}.", locked.front().key),
                    fmt::format("Find the session in pg_stat_activity and let it finish; then SELECT "
                                "tenantmig.resume({}).",
                                core::sql_literal(worker_.record.name)));
    return Stop::no;
}

// Rows whose key is not what the evidence says now: if it was this run that wrote it, it is taken back and queued.
Stop StepLeader::take_back(KeySpool &suspects) {
    RunShared *shared = worker_.shared;
    const StepTarget &target = step_.target;
    suspects.rewind();
    for (bool more = suspects.rows() > 0; more;) {
        std::unordered_map<std::string, SpooledRow> portion;
        SpooledRow row;
        while (portion.size() < suspects_at_once && (more = suspects.read(&row)))
            portion.emplace(row.key, row);
        struct Wrong {
            SpooledRow row;
            std::string source;
        };
        std::map<std::string, Wrong> wrong; // by key
        worker_.transactions.run(false, [&] {
            for_each_entry(shared->run, false, [&](const ChangeEntry &entry) {
                if (entry.step != step_.spec.number || entry.kind != "backfill" || entry.column != target.column.name)
                    return;
                for (std::size_t i = 0; i < entry.keys.size(); i++) {
                    auto found = portion.find(entry.keys[i]);
                    if (found == portion.end() || entry.new_values.empty() ||
                        entry.new_values[i] != found->second.current)
                        continue;
                    wrong[entry.keys[i]] = {found->second, entry.source};
                }
            });
        });
        auto next = wrong.begin();
        while (next != wrong.end()) {
            Stop stop = worker_.between_batches();
            if (stop != Stop::no) return stop;
            auto from = next;
            for (std::int64_t n = worker_.pacer.batch_rows(); n > 0 && next != wrong.end(); n--)
                ++next;
            worker_.insist(false, [&] {
                MemoryScope scope;
                recorder_->discard(); // of an attempt that failed
                TENANTMIG_FAULT("check_takeback");
                TimestampTz started = GetCurrentTimestamp();
                fire_deferred_as_caller();
                WriteBatch batch;
                batch.keys.resize(target.key.size());
                std::vector<const Wrong *> members;
                {
                    RunAs reader(target.table.owner, Purpose::read);
                    std::vector<TextInput> inputs;
                    for (AttrNumber column : target.key)
                        inputs.emplace_back(target.table.at(column).type, target.table.at(column).typmod);
                    TextInput value(target.column.type, target.column.typmod);
                    for (auto at = from; at != next; ++at) {
                        std::vector<std::string> parts = core::unpack_key(at->first, target.key.size());
                        for (std::size_t k = 0; k < parts.size(); k++)
                            batch.keys[k].push_back(inputs[k](parts[k]));
                        batch.new_values.push_back(0);
                        batch.expected.push_back(value(at->second.row.current));
                        members.push_back(&at->second);
                    }
                }
                batch.new_nulls = std::make_unique<bool[]>(members.size());
                batch.expected_nulls = std::make_unique<bool[]>(members.size());
                std::fill_n(batch.new_nulls.get(), members.size(), true);
                std::vector<bool> done;
                {
                    SnapshotScope snapshot;
                    EngineWriteScope ours(target.table.oid);
                    RowWriter writer(target.table, target.column, target.key, false, target.table.owner);
                    writer.write(batch, done);
                }
                std::map<std::string, std::pair<std::int64_t, std::int64_t>> counts; // source -> rows, deleted
                for (std::size_t i = 0; i < members.size(); i++) {
                    if (!done[i]) continue; // somebody else has changed it since
                    const SpooledRow &taken = members[i]->row;
                    recorder_->took_back(taken.key, target.column.name, taken.current);
                    auto outcome = static_cast<core::Outcome>(taken.outcome);
                    if (outcome == core::Outcome::assigned) outcome = core::Outcome::conflict; // with what we wrote
                    recorder_->queue_text(outcome, taken.key, taken.candidates);
                    auto &count = counts[members[i]->source];
                    count.first++;
                    count.second += taken.deleted;
                    auto &queued = counts["\t" + std::string(core::outcome_name(outcome))];
                    queued.first--;
                    queued.second -= taken.deleted;
                }
                nlohmann::json list = nlohmann::json::array();
                for (const auto &[source, number] : counts) {
                    bool queued = source.starts_with('\t');
                    nlohmann::json item = {{"relation", step_.label()},
                                           {"outcome", queued ? source.substr(1) : "assigned"},
                                           {"row_count", -number.first},
                                           {"deleted_count", -number.second}};
                    item["source"] = queued ? nlohmann::json("closing check") : nlohmann::json(source);
                    list.push_back(item);
                }
                ChangeLogWriter log(shared->run, worker_.number);
                OnlineBatch batch_row;
                batch_row.run = shared->run;
                batch_row.batch = worker_.next_batch();
                BatchRecorder::Batch recorded = recorder_->flush(log, batch_row.batch);
                batch_row.step = step_.spec.number;
                batch_row.worker = worker_.number;
                batch_row.phase = "check";
                batch_row.relation = step_.label();
                batch_row.rows = recorded.rows;
                batch_row.queued = recorded.queued;
                batch_row.started = started;
                batch_row.counts = list.dump(-1, ' ', false, nlohmann::json::error_handler_t::ignore);
                if (recorded.rows > 0) insert_online_batch(batch_row);
            });
        }
    }
    return Stop::no;
}

} // namespace tenantmig
