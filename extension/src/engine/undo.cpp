// The change log backwards, in the caller's transaction.
#include "catalog/review_store.hpp"
#include "catalog/run_store.hpp"
#include "engine/log_check.hpp"
#include "engine/undo_rows.hpp"

namespace tenantmig {

void require_undoable(const RunRecord &run) {
    // Whether one that says running is at work its migration's lock tells, which is taken next.
    if (run.state != "rolled_back") return;
    throw Error(sqlstate::prerequisite_state, fmt::format("run {} was rolled back already", run.id), {},
                "SELECT * FROM tenantmig.undo_skipped lists the rows that were left alone.");
}

std::vector<UndoCount> undo_run(std::int64_t id) {
    LockTimeout timeout;
    RunRecord run = get_run(id);
    MigrationRecord migration = get_migration(run.migration_id);
    require_owner(migration);
    require_undoable(run);
    if (undo_started(id))
        throw Error(sqlstate::prerequisite_state, fmt::format("an undo of run {} by batches has begun", id), {},
                    fmt::format("CALL tenantmig.undo({}) goes on with it.", id));
    lock_migration(migration);
    lock_run(id); // waits for decisions on this run that have not committed yet
    run = get_run(id);
    require_undoable(run);
    require_intact_log(id);
    fire_deferred_as_caller();

    UndoRows undo(migration, id, 0, next_batch(id));
    for_each_entry(id, true, [&undo](const ChangeEntry &entry) { (void)undo.entry(entry); });
    withdraw_run(id, actor_name(), fmt::format("run {} was rolled back", id));
    run.state = "rolled_back";
    update_run(run);
    return undo.counts();
}

} // namespace tenantmig
