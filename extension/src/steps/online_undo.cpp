// Undo by batches: the change log backwards, one entry a transaction. Which entries have been dealt with stands in the
// batches' rows, so that it goes on where it was interrupted.
#include "core/undo_text.hpp"

#include "bridge/fault.hpp"
#include "bridge/memory.hpp"
#include "bridge/results.hpp"
#include "catalog/review_store.hpp"
#include "engine/log_check.hpp"
#include "engine/undo_rows.hpp"
#include "steps/online.hpp"

namespace tenantmig {

namespace {
constexpr int entry_lock_timeout = 1000; // milliseconds
constexpr int most_attempts = 10;        // at one entry, with growing rests, before locked rows pause the undo

void undo_entry(OnlineWorker &worker, UndoRows &undo, EntryRef which) {
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
            std::int32_t number = worker.next_batch();
            undo.use_batch(number);
            undo.clear_counts();
            done = undo.entry(entry);
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

Stop undo_entries(OnlineWorker &worker, const MigrationRecord &record) {
    std::int64_t run = worker.shared->run;
    std::set<EntryRef> done;
    std::vector<EntryRef> entries;
    MemoryContext previous = MemoryContextSwitchTo(worker.memory);
    UndoRows undo(record, run, worker.number, 0);
    MemoryContextSwitchTo(previous);
    worker.transactions.run(false, [&] {
        done = undone_entries(run);
        entries = list_entries(run, true);
        undo.load_skipped();
    });
    for (EntryRef which : entries) {
        if (done.contains(which)) continue;
        for (int attempt = 1;; attempt++) {
            Stop stop = worker.between_batches();
            if (stop != Stop::no) return stop;
            std::string error;
            try {
                undo_entry(worker, undo, which);
            } catch (const PgError &caught) {
                if (!goes_away(caught)) throw;
                error = caught.what();
            }
            if (error.empty()) break;
            undo.log_again();
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

void undo_online(FunctionCallInfo call, std::int64_t id, std::int64_t budget) {
    auto transactions = session_transactions(call, "tenantmig.undo");
    MigrationRecord record;
    transactions->run(true, [&] {
        RunRecord run = get_run(id);
        record = get_migration(run.migration_id);
        require_owner(record);
        require_undoable(run);
        lock_migration(record);
        lock_run(id);
        require_undoable(get_run(id));
        require_intact_log(id);
        mark_undo_started(id);
        retire_workers(id);
        clear_request(id);
    });
    ActiveLock lock;
    bool locked = false;
    transactions->run(false, [&] { locked = lock.acquire(record.id); });
    if (!locked)
        throw Error(sqlstate::object_in_use,
                    fmt::format("another run is active on migration {}", core::excerpt(record.name)),
                    "It began at this moment.", "SELECT * FROM tenantmig.stat_progress shows it.");
    Segment segment = create_run_segment(id, 1, InvalidTransactionId, budget);
    auto *shared = static_cast<RunShared *>(segment.address());
    OnlineWorker worker(*transactions, shared, record, 1);
    transactions->run(false, [&] {
        std::int32_t highest = highest_batch(id);
        SpinGuard guard(&shared->mutex);
        shared->next_batch = highest + 1;
        shared->slots[0].pid = MyProcPid;
    });
    worker.tell("undo", "", "sql: by key");
    Stop stop = undo_entries(worker, record);
    transactions->run(true, [&] {
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
    if (stop != Stop::no) notice(fmt::format("the undo of run {} is paused; CALL tenantmig.undo({}) goes on", id, id));
}

} // namespace tenantmig
