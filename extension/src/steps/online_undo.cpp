// Undo by batches. First the tables are walked and what still stands there is taken back (steps/undo_walk.hpp); then
// the change log is gone through backwards, one entry a transaction, for the rows that are left: those that were
// changed, have gone, or were written more than once. Which rows were restored the log itself tells, which entries have
// been dealt with the batches' rows, so that it goes on where it was interrupted.
#include "core/undo_text.hpp"

#include "bridge/fault.hpp"
#include "bridge/memory.hpp"
#include "bridge/results.hpp"
#include "catalog/review_store.hpp"
#include "engine/evidence.hpp"
#include "engine/log_check.hpp"
#include "engine/undo_rows.hpp"
#include "engine/walk_setup.hpp"
#include "steps/undo_walk.hpp"

namespace tenantmig {

namespace {
constexpr int entry_lock_timeout = 1000; // milliseconds
constexpr int most_attempts = 10;        // at one entry, with growing rests, before locked rows pause the undo

void undo_entry(OnlineWorker &worker, UndoRows &undo, EntryRef which, const UndoRows::Wanted &wanted) {
    TimestampTz started = GetCurrentTimestamp();
    UndoRows::Done done;
    std::int64_t run = worker.shared->run;
    worker.transactions.run(
        false,
        [&] {
            MemoryScope scope;
            SnapshotScope snapshot;
            TENANTMIG_FAULT("undo_batch_open");
            fire_deferred_as_caller();
            ChangeEntry entry = get_entry(run, which.first, which.second);
            if (entry.kind == "rollback") return;
            std::int32_t number = worker.next_batch();
            undo.use_batch(number);
            undo.clear_counts();
            done = undo.entry(entry, wanted);
            TENANTMIG_FAULT("undo_batch_written");
            for (const UndoCount &count : undo.counts())
                add_undo_count(run, count.relation, count.outcome, count.reason, count.rows);
            OnlineBatch row;
            row.run = run;
            row.batch = number;
            row.step = entry.step;
            row.worker = worker.number;
            row.kind = "rollback";
            row.phase = "undo";
            row.relation = done.relation;
            row.rows = done.restored;
            row.started = started;
            row.undone_chain = which.first;
            row.undone_entry = which.second;
            insert_online_batch(row);
            worker.report.step = entry.step;
            worker.report.relation = done.relation;
            worker.report_pace();
            worker.report.done = worker.report.written = done.restored;
            save_worker(run, worker.report);
            worker.read_pace_signals({});
        },
        entry_lock_timeout);
    worker.batch_done(done.restored + done.skipped, started);
}

// What a run wrote in the tenant key of each of its steps; steps whose rows are not found that way, or whose keys don't
// fit into memory, are left out.
using KeysByStep = std::map<std::int32_t, std::unique_ptr<WrittenKeys>>;

KeysByStep load_written(const MigrationRecord &record, std::int64_t run, std::map<std::int32_t, StepTarget> &targets) {
    KeysByStep keys;
    std::set<std::int32_t> left_out;
    for_each_entry(run, false, [&](const ChangeEntry &entry) {
        if (left_out.contains(entry.step)) return;
        if (!targets.contains(entry.step)) {
            StepTarget target = locate_target(record, entry.step);
            if (WrittenKeys::not_possible(target) || !has_privileges_of(target.table.owner)) {
                left_out.insert(entry.step);
                return;
            }
            targets.emplace(entry.step, std::move(target));
        }
        const StepTarget &target = targets.at(entry.step);
        // renamed meanwhile: by key is the safe way
        bool same = entry.table == target.table.name && entry.schema == target.table.schema &&
                    entry.key.columns.size() == target.key.size();
        for (std::size_t i = 0; same && i < target.key.size(); i++)
            same = entry.key.columns[i] == target.table.at(target.key[i]).name;
        if (entry.column != target.column.name) {
            if (target.soft_delete && entry.column == target.soft_delete->name) return;
            same = false;
        }
        auto &known = keys[entry.step];
        if (!known) known = std::make_unique<WrittenKeys>(target, evidence_memory_limit());
        if (same && entry.kind == "rollback")
            known->mark_restored(entry);
        else if (!same || !known->add(entry))
            left_out.insert(entry.step);
    });
    for (std::int32_t step : left_out)
        keys.erase(step);
    return keys;
}

Stop walk_back(OnlineWorker &worker, const StepTarget &target, WrittenKeys &keys) {
    worker.tell("undo", target.table.label(), "direct");
    Segment segment;
    std::unique_ptr<UndoWalker> walker;
    worker.transactions.run(false, [&] {
        std::vector<Leaf> leaves = leaves_of(target.table);
        segment = publish_blocks(leaves);
        walker = std::make_unique<UndoWalker>(worker, target, static_cast<WalkShared *>(segment.address()), keys);
    });
    return walker->walk();
}

Stop undo_entries(OnlineWorker &worker, const MigrationRecord &record) {
    std::int64_t run = worker.shared->run;
    std::set<EntryRef> done;
    std::vector<EntryRef> entries;
    std::map<std::int32_t, StepTarget> targets;
    KeysByStep written;
    worker.transactions.run(false, [&] {
        MemoryScope scope;
        written = load_written(record, run, targets);
    });
    for (auto &[step, keys] : written) {
        Stop stop = walk_back(worker, targets.at(step), *keys);
        if (stop != Stop::no) return stop;
    }
    MemoryContext previous = MemoryContextSwitchTo(worker.memory);
    UndoRows undo(record, run, worker.number, 0);
    MemoryContextSwitchTo(previous);
    worker.transactions.run(false, [&] {
        done = undone_entries(run);
        for (EntryRef which : list_entries(run, true)) {
            bool over = done.contains(which);
            for (const auto &[step, keys] : written)
                over = over || keys->entry_done(which);
            if (!over) entries.push_back(which);
        }
        undo.load_skipped();
    });
    worker.tell("undo", "", "sql: by key");
    UndoRows::Wanted wanted = [&](const ChangeEntry &entry, const std::string &key) {
        auto keys = written.find(entry.step);
        return keys == written.end() || entry.column != targets.at(entry.step).column.name || keys->second->wanted(key);
    };
    for (EntryRef which : entries) {
        for (int attempt = 1;; attempt++) {
            Stop stop = worker.between_batches();
            if (stop != Stop::no) return stop;
            std::string error;
            try {
                undo_entry(worker, undo, which, wanted);
            } catch (const PgError &caught) {
                if (!goes_away(caught)) throw;
                error = caught.what();
            }
            if (error.empty()) break;
            undo.rolled_back();
            worker.pacer.timed_out();
            if (attempt == most_attempts)
                throw Error(sqlstate::rows_locked, fmt::format("rows of run {} stay locked by other sessions", run),
                            error,
                            fmt::format("Find the session in pg_stat_activity and let it finish; then CALL "
                                        "tenantmig.undo({}) again.",
                                        run));
            worker.rest(50.0 * (1 << std::min(attempt, 5)));
        }
    }
    return Stop::no;
}
} // namespace

namespace {
// The transaction that the undo begins with. Returns the run's migration.
MigrationRecord begin_undo(std::int64_t id) {
    RunRecord run = get_run(id);
    MigrationRecord record = get_migration(run.migration_id);
    require_owner(record);
    require_undoable(run);
    lock_migration(record);
    lock_run(id);
    require_undoable(get_run(id));
    require_intact_log(id);
    mark_undo_started(id);
    retire_workers(id);
    clear_request(id);
    return record;
}

RunEnd undo_led(Transactions &transactions, ActiveLock &lock, const MigrationRecord &record, std::int64_t id,
                std::int64_t budget) {
    Segment segment = create_run_segment(id, 1, InvalidTransactionId, budget);
    auto *shared = static_cast<RunShared *>(segment.address());
    OnlineWorker worker(transactions, shared, record, 1);
    worker.lock = &lock;
    transactions.run(false, [&] {
        std::int32_t highest = highest_batch(id);
        SpinGuard guard(&shared->mutex);
        shared->next_batch = highest + 1;
        shared->slots[0].pid = MyProcPid;
    });
    Stop stop = undo_entries(worker, record);
    transactions.run(true, [&] {
        worker.report.state = "done";
        worker.report.throttle.clear();
        worker.report.done = worker.report.written = 0;
        save_worker(id, worker.report);
        clear_request(id);
        if (stop != Stop::no) return;
        lock_run(id);
        withdraw_run(id, actor_name(), fmt::format("run {} was rolled back", id));
        set_run_state(id, "rolled_back", "");
    });
    if (stop == Stop::no) return {id, "rolled_back", ""};
    const bool budget_used = worker.deadline != 0 && GetCurrentTimestamp() >= worker.deadline;
    return {id, stop == Stop::cancel ? "cancelled" : "paused", budget_used ? "budget used up" : ""};
}
} // namespace

RunEnd undo_scoped(Transactions &transactions, ActiveLock &lock, std::int64_t run, std::int64_t budget) {
    MigrationRecord record;
    transactions.run(true, [&] { record = begin_undo(run); });
    return undo_led(transactions, lock, record, run, budget);
}

void undo_online(FunctionCallInfo call, std::int64_t id, std::int64_t budget) {
    auto transactions = session_transactions(call, "tenantmig.undo");
    MigrationRecord record;
    transactions->run(true, [&] { record = begin_undo(id); });
    ActiveLock lock;
    bool locked = false;
    transactions->run(false, [&] { locked = lock.acquire(record.id); });
    if (!locked)
        throw Error(sqlstate::object_in_use,
                    fmt::format("another run is active on migration {}", core::excerpt(record.name)),
                    "It began at this moment.", "SELECT * FROM tenantmig.stat_progress shows it.");
    const RunEnd end = undo_led(*transactions, lock, record, id, budget);
    if (end.state != "rolled_back")
        notice(fmt::format("the undo of run {} is paused; CALL tenantmig.undo({}) goes on", id, id));
}

} // namespace tenantmig
