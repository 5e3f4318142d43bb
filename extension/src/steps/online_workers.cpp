// Background workers: start() registers the leader of a run, the leader registers the others. All connect as the
// session's user of whoever called start(), and take the role that was current there.
#include "core/undo_text.hpp"

#include "bridge/fault.hpp"
#include "bridge/results.hpp"
#include "engine/walk_setup.hpp"
#include "steps/crew.hpp"
#include "steps/enforce.hpp"
#include "steps/progress.hpp"

namespace tenantmig {

namespace {
constexpr long connect_patience = 10 * 1000; // milliseconds that start() waits for its leader to connect

RunShared *shared_of_this_process = nullptr;
std::int32_t number_of_this_process = 0;

// Whatever ends the process: the others must not wait for it.
void tell_that_we_go(int, Datum) {
    RunShared *shared = shared_of_this_process;
    if (!shared) return;
    {
        SpinGuard guard(&shared->mutex);
        if (number_of_this_process == 1) shared->leader_gone = true;
        shared->slots[number_of_this_process - 1].state = WorkerState::gone;
    }
    ConditionVariableBroadcast(&shared->changed);
}

void take_role(Transactions &transactions, Oid role) {
    transactions.run(false, [role] {
        if (GetSessionUserId() == role) return;
        std::string name = role_name(role);
        const char *text = name.c_str();
        pg_call([text] {
            (void)set_config_option("role", text, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SET, true, 0, false);
        });
    });
}

// True if start()'s transaction has committed.
bool wait_for_starter(Transactions &transactions, TransactionId starter) {
    if (!TransactionIdIsValid(starter)) return true;
    bool committed = false;
    transactions.run(
        false,
        [&] {
            committed = pg_call([starter] {
                XactLockTableWait(starter, nullptr, nullptr, XLTW_None);
                return TransactionIdDidCommit(starter);
            });
        },
        0);
    return committed;
}

void wait_for_work(RunShared *shared) {
    pg_call([shared] {
        (void)ConditionVariableTimedSleep(&shared->changed, 1000, PG_WAIT_EXTENSION);
        ConditionVariableCancelSleep();
        CHECK_FOR_INTERRUPTS();
    });
}

void log_error(const std::string &text, std::int64_t run, std::int32_t number) {
    const char *words = text.c_str();
    pg_call([words, run, number] {
        ereport(LOG, (errmsg("tenantmig run %lld, worker %d: %s", static_cast<long long>(run), number, words)));
    });
}

void work(RunShared *shared, dsm_handle segment, std::int32_t number) {
    auto transactions = worker_transactions();
    take_role(*transactions, shared->role);
    if (number == 1) {
        {
            SpinGuard guard(&shared->mutex);
            shared->leader_connected = true;
        }
        ConditionVariableBroadcast(&shared->changed);
        if (!wait_for_starter(*transactions, shared->starter)) return;
    }
    MigrationRecord record;
    transactions->run(false, [&] {
        const RunRecord run = get_run(shared->run);
        record = get_migration(run.migration_id);
        record.scope = run.steps;
        if (number > 1) stay_in_crew(record.id);
    });
    if (number > 1) {
        follow_run(*transactions, shared, record, number);
        return;
    }
    ActiveLock lock;
    transactions->run(false, [&] { (void)lock.acquire(record.id, true); });
    lead_run(*transactions, shared, segment, record, lock);
}
} // namespace

void follow_run(Transactions &transactions, RunShared *shared, const MigrationRecord &record, std::int32_t number) {
    OnlineWorker worker(transactions, shared, record, number);
    {
        SpinGuard guard(&shared->mutex);
        shared->slots[number - 1].pid = MyProcPid;
        shared->slots[number - 1].state = WorkerState::waiting;
    }
    bool resolved = false;
    try {
        TENANTMIG_FAULT("worker_started");
        while (stop_of(shared) == Stop::no) {
            JoinedWalk joined;
            if (!join_walk(shared, number, &joined)) {
                wait_for_work(shared);
                continue;
            }
            Segment segment = Segment::attach(joined.segment);
            auto *walk = static_cast<WalkShared *>(segment.address());
            if (walk) {
                if (!resolved) transactions.run(false, [&] { worker.resolve(); });
                resolved = true;
                const ResolvedStep &step = worker.migration.steps.at(joined.step_position);
                worker.report.step = step.spec.number;
                worker.report.changed_columns.clear();
                worker.tell("walk", step.label(), "direct");
                core::SharedEvidence evidence(walk->evidence());
                TenantDictionary tenants(step.tenant_class);
                std::unique_ptr<BackfillWalker> walker;
                transactions.run(false, [&] {
                    tenants.adopt(evidence);
                    walker = std::make_unique<BackfillWalker>(
                        worker, step, tenants, walk_verdicts(shared, joined.number, step, walk, evidence), walk);
                });
                (void)walker->walk();
                worker.report.state = "done";
                worker.report.throttle.clear();
                worker.report.done = worker.report.written = worker.report.hot = 0;
                transactions.run(false, [&] { save_worker(shared->run, worker.report); });
            }
            leave_walk(shared, number, joined.number);
        }
    } catch (...) {
        std::exception_ptr error = std::current_exception();
        worker.report.state = "failed";
        worker.report.error = error_text(error);
        worker.report.done = worker.report.written = worker.report.hot = 0;
        transactions.run(false, [&] {
            save_worker(shared->run, worker.report);
            OnlineBatch row;
            row.run = shared->run;
            row.batch = worker.next_batch();
            row.step = worker.report.step;
            row.worker = number;
            row.relation = worker.report.relation;
            row.started = GetCurrentTimestamp();
            row.error = worker.report.error;
            insert_online_batch(row);
        });
        std::rethrow_exception(error);
    }
    TENANTMIG_FAULT("worker_exit");
}

std::int64_t start_in_background(const std::string &name, const OnlineOptions &wanted, bool resume) {
    OnlineOptions options = wanted;
    MigrationRecord record = get_migration(name);
    if (resume && !unfinished_run(record.id) && has_leftovers(record)) {
        require_owner(record);
        (void)clean_up_enforcements(record);
        return 0; // no run was interrupted, but an enforce or a relax
    }
    if (resume && options.workers == 0) {
        auto run = unfinished_run(record.id);
        options.workers = run ? run_workers(run->id) : 1;
    }
    std::int64_t run = prepare_run(record, options, resume, resume);
    tell_of_later_steps(record);
    Segment segment =
        create_run_segment(run, options.workers, pg_call([] { return GetCurrentTransactionId(); }), options.budget);
    auto *shared = static_cast<RunShared *>(segment.address());
    BackgroundWorkerHandle *handle = register_worker(segment.handle(), 1, run);
    if (!handle)
        throw Error(sqlstate::limit_exceeded, "no background worker slot is free",
                    fmt::format("max_worker_processes is {}.", max_worker_processes),
                    fmt::format("Wait until others have ended, raise max_worker_processes, or CALL tenantmig.run({}).",
                                core::sql_literal(name)));
    TimestampTz deadline = GetCurrentTimestamp() + connect_patience * 1000;
    for (;;) {
        bool connected;
        {
            SpinGuard guard(&shared->mutex);
            connected = shared->leader_connected;
        }
        if (connected) return run;
        bool stopped = pg_call([handle] {
            pid_t pid;
            return GetBackgroundWorkerPid(handle, &pid) == BGWH_STOPPED;
        });
        if (stopped || GetCurrentTimestamp() > deadline)
            throw Error(sqlstate::limit_exceeded, "the worker of the run could not connect",
                        fmt::format("It connects as {}, the user of this session; the server's log says why it failed.",
                                    role_name(GetSessionUserId())),
                        "Look at the connection limits of role and database, and that the role may log in; or CALL "
                        "tenantmig.run(name) in this session.");
        pg_call([shared] {
            (void)ConditionVariableTimedSleep(&shared->changed, 50, PG_WAIT_EXTENSION);
            ConditionVariableCancelSleep();
            CHECK_FOR_INTERRUPTS();
        });
    }
}

void wait_for_run(FunctionCallInfo call, const std::string &name, std::int64_t timeout) {
    auto transactions = session_transactions(call, "tenantmig.wait");
    MigrationRecord record;
    transactions->run(false, [&] {
        record = get_migration(name);
        require_owner(record);
    });
    TimestampTz started = GetCurrentTimestamp(), told = started;
    std::int64_t nap = 10;
    for (int unheld = 0;;) {
        bool active = false;
        std::string state, error, line;
        std::int64_t run = 0;
        bool tell = GetCurrentTimestamp() - told >= 2 * USECS_PER_SEC;
        transactions->run(false, [&] {
            active = is_active(record.id);
            Rows rows = own_query("SELECT id, state, error, taken_up_at > now() - interval '10 seconds' FROM "
                                  "tenantmig.run_log WHERE migration_id = $1 ORDER BY id DESC LIMIT 1",
                                  {bigint_value(record.id)});
            if (rows.empty()) return;
            run = rows.bigint(0, 1);
            state = rows.text_or(0, 2);
            error = rows.text_or(0, 3);
            // between start()'s commit and its leader's lock
            if (!active && state == "planned" && rows.boolean(0, 4)) active = true;
            if (!active || !tell) return;
            Rows progress =
                own_query("SELECT relation, rows_done, rows_total FROM tenantmig.stat_progress WHERE run_id "
                          "= $1",
                          {bigint_value(run)});
            if (!progress.empty() && !progress.is_null(0, 1))
                line = progress_line(progress.text_or(0, 1, "?"), progress.bigint(0, 2), progress.bigint(0, 3),
                                     GetCurrentTimestamp() - started);
        });
        // The state was read after the lock: the run may have ended, or begun, in between.
        if (!active && state == "running" && ++unheld < 5) active = true;
        if (!active) {
            if (state == "running")
                notice(fmt::format("run {} is interrupted; SELECT tenantmig.resume({}) goes on", run,
                                   core::sql_literal(name)));
            if (state == "failed")
                throw Error(sqlstate::run_failed,
                            fmt::format("run {} of migration {} failed", run, core::excerpt(name)), error,
                            fmt::format("SELECT tenantmig.resume({}) goes on with it.", core::sql_literal(name)));
            return;
        }
        if (!line.empty()) {
            told = GetCurrentTimestamp();
            notice(line);
        }
        if (timeout > 0 && GetCurrentTimestamp() - started > timeout)
            throw Error(sqlstate::query_canceled, fmt::format("migration {} is still at work", core::excerpt(name)),
                        "The time given to wait is over; the run goes on.", "Call this again, or give it more time.");
        long pause = static_cast<long>(nap);
        nap = std::min<std::int64_t>(nap * 2, 100);
        pg_call([pause] {
            (void)WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, pause, PG_WAIT_EXTENSION);
            ResetLatch(MyLatch);
            CHECK_FOR_INTERRUPTS();
        });
    }
}

} // namespace tenantmig

extern "C" {
PGDLLEXPORT void tenantmig_worker_main(Datum argument);
}

void tenantmig_worker_main(Datum argument) {
    using namespace tenantmig;
    std::int32_t number;
    Oid database, user;
    memcpy(&number, MyBgworkerEntry->bgw_extra, sizeof number);
    memcpy(&database, MyBgworkerEntry->bgw_extra + sizeof number, sizeof database);
    memcpy(&user, MyBgworkerEntry->bgw_extra + sizeof number + sizeof database, sizeof user);
    pqsignal(SIGTERM, die);
    pqsignal(SIGHUP, SignalHandlerForConfigReload);
    BackgroundWorkerUnblockSignals();
    BackgroundWorkerInitializeConnectionByOid(database, user, 0);
    MemoryContextSwitchTo(AllocSetContextCreate(TopMemoryContext, "tenantmig process", ALLOCSET_DEFAULT_SIZES));
    dsm_segment *segment = dsm_attach(DatumGetUInt32(argument));
    if (!segment) return; // whoever wanted us has gone
    dsm_pin_mapping(segment);
    auto *shared = static_cast<RunShared *>(dsm_segment_address(segment));
    SharedFileSetAttach(&shared->files, segment);
    shared_of_this_process = shared;
    number_of_this_process = number;
    before_shmem_exit(tell_that_we_go, 0);
    pgstat_report_activity(STATE_RUNNING, MyBgworkerEntry->bgw_name);
    try {
        work(shared, DatumGetUInt32(argument), number);
    } catch (...) {
        std::string error = error_text(std::current_exception());
        try {
            log_error(error, shared->run, number);
            if (number == 1) worker_transactions()->run(true, [&] { fail_planned_run(shared->run, error); });
        } catch (...) { // the server's log says it
        }
    }
}
