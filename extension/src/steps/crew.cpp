#include "steps/crew.hpp"
#include "bridge/results.hpp"

namespace tenantmig {

namespace {
constexpr int most_replacements = 2; // of one worker; then its work is done by the others
}

BackgroundWorkerHandle *register_worker(dsm_handle segment, std::int32_t number, std::int64_t run) {
    std::string name = fmt::format("tenantmig run {} worker {}", run, number);
    const char *text = name.c_str();
    Oid session_user = GetSessionUserId();
    return pg_call([segment, number, text, session_user] {
        BackgroundWorker worker = {};
        strlcpy(worker.bgw_name, text, BGW_MAXLEN);
        strlcpy(worker.bgw_type, "tenantmig worker", BGW_MAXLEN);
        worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
        worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
        worker.bgw_restart_time = BGW_NEVER_RESTART;
        strlcpy(worker.bgw_library_name, "tenantmig", BGW_MAXLEN);
        strlcpy(worker.bgw_function_name, "tenantmig_worker_main", BGW_MAXLEN);
        worker.bgw_main_arg = UInt32GetDatum(segment);
        worker.bgw_notify_pid = MyProcPid;
        memcpy(worker.bgw_extra, &number, sizeof number);
        memcpy(worker.bgw_extra + sizeof number, &MyDatabaseId, sizeof MyDatabaseId);
        memcpy(worker.bgw_extra + sizeof number + sizeof MyDatabaseId, &session_user, sizeof session_user);
        BackgroundWorkerHandle *handle = nullptr;
        return RegisterDynamicBackgroundWorker(&worker, &handle) ? handle : nullptr;
    });
}

Crew::Crew(OnlineWorker &leader, dsm_handle segment, int limit) : leader_(leader), segment_(segment) {
    int missing = 0;
    for (std::int32_t number = 2; number <= limit; number++) {
        Member member = {number};
        if (hire(member))
            members_.push_back(member);
        else
            missing++;
    }
    if (missing == 0) return;
    std::string message =
        fmt::format("{} of {} workers could not be started: no background worker slot is free (max_worker_processes = "
                    "{}); the run goes on with {}",
                    missing, limit, max_worker_processes, limit - missing);
    leader_.transactions.run(false, [&] {
        warning(message, "", "Raise max_worker_processes and restart the server, or wait until others have ended.");
        WorkerReport report;
        report.worker = limit;
        report.state = "failed";
        report.error = message;
        save_worker(leader_.shared->run, report);
    });
}

Crew::~Crew() {
    for (Member &member : members_)
        if (member.handle) pfree(member.handle);
}

bool Crew::hire(Member &member) {
    {
        SpinGuard guard(&leader_.shared->mutex);
        WorkerSlot &slot = leader_.shared->slots[member.number - 1];
        slot.state = WorkerState::starting;
        slot.pid = 0;
        slot.walk = 0;
    }
    MemoryContext previous = MemoryContextSwitchTo(leader_.memory);
    member.handle = register_worker(segment_, member.number, leader_.shared->run);
    MemoryContextSwitchTo(previous);
    return member.handle != nullptr;
}

bool Crew::ended(const Member &member) const {
    BackgroundWorkerHandle *handle = member.handle;
    return pg_call([handle] {
        pid_t pid;
        BgwHandleStatus status = GetBackgroundWorkerPid(handle, &pid);
        return status == BGWH_STOPPED || status == BGWH_POSTMASTER_DIED;
    });
}

CrewState Crew::look(WalkShared *walk) {
    CrewState state;
    for (Member &member : members_) {
        if (member.gone || !ended(member)) continue;
        {
            SpinGuard guard(&leader_.shared->mutex);
            leader_.shared->slots[member.number - 1].state = WorkerState::gone;
        }
        if (give_back_ranges(leader_.shared, walk, member.number)) state.ranges_came_back = true;
        pfree(member.handle);
        member.handle = nullptr;
        note_end(member.number);
        if (member.replaced++ >= most_replacements || !hire(member)) member.gone = true;
    }
    return state;
}

void Crew::look_while_walking() {
    RunShared *shared = leader_.shared;
    dsm_handle handle;
    {
        SpinGuard guard(&shared->mutex);
        handle = shared->walk_segment;
        if (shared->stop != Stop::no) return;
    }
    if (handle == DSM_HANDLE_INVALID) return;
    dsm_segment *segment = pg_call([handle] { return dsm_find_mapping(handle); });
    if (segment) (void)look(static_cast<WalkShared *>(dsm_segment_address(segment)));
}

// Why a worker has gone, beside its name and among the batches.
void Crew::note_end(std::int32_t number) {
    const WorkerReport &leader = leader_.report;
    leader_.transactions.run(false, [&] {
        OnlineBatch row;
        row.error = note_worker_gone(leader_.shared->run, number, leader.phase, leader.step);
        if (row.error.empty()) return; // it has done that itself
        row.run = leader_.shared->run;
        row.batch = leader_.next_batch();
        row.step = leader.step;
        row.worker = number;
        row.relation = leader.relation;
        row.started = GetCurrentTimestamp();
        insert_online_batch(row);
    });
}

void Crew::wait_until_idle() {
    for (;;) {
        bool walking = false;
        {
            SpinGuard guard(&leader_.shared->mutex);
            for (const Member &member : members_)
                walking |= leader_.shared->slots[member.number - 1].state == WorkerState::walking;
        }
        bool alive = false;
        for (const Member &member : members_)
            alive |= !member.gone && !ended(member);
        if (!walking || !alive) return;
        pg_call([] {
            (void)WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 10, PG_WAIT_EXTENSION);
            ResetLatch(MyLatch);
            CHECK_FOR_INTERRUPTS();
        });
    }
}

void Crew::dismiss() {
    for (Member &member : members_) {
        while (!member.gone && !ended(member)) {
            ConditionVariableBroadcast(&leader_.shared->changed);
            pg_call([] {
                (void)WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 10, PG_WAIT_EXTENSION);
                ResetLatch(MyLatch);
                CHECK_FOR_INTERRUPTS();
            });
        }
        member.gone = true;
    }
}

} // namespace tenantmig
