// The session registers the worker, waits for it without a snapshot or transaction of its own (a concurrent index build
// would wait for us), and ends it if it is cancelled itself. They talk through a segment of shared memory: the
// statement one way, the error the other way, each written once, before the other side looks.
#include "steps/top_level_worker.hpp"
#include "bridge/fault.hpp"
#include "bridge/top_level.hpp"
#include "bridge/transaction.hpp"
#include "engine/run_shared.hpp"

namespace tenantmig {

namespace {
constexpr std::size_t text_size = 8192; // of an error
constexpr std::size_t most_statement = 1024 * 1024;
constexpr std::size_t name_size = 64, path_size = 1024;

struct WorkerJob {
    Oid role; // all above `done`: written by the session before the worker exists
    char search_path[path_size], tablespace[name_size], lock_timeout[name_size];
    bool has_tablespace;
    bool done; // all below: written by the worker, read after its end
    char state[6], message[text_size], detail[text_size], hint[text_size];
    char statement[1]; // and as much more as it needs
};

void copy(char *to, std::size_t room, std::string_view text) {
    const std::size_t size = std::min(text.size(), room - 1);
    memcpy(to, text.data(), size);
    to[size] = 0;
}

BackgroundWorkerHandle *register_worker(dsm_handle segment, const std::string &name) {
    const Oid session_user = GetSessionUserId();
    return pg_call([segment, session_user, text = name.c_str()] {
        BackgroundWorker worker = {};
        strlcpy(worker.bgw_name, text, BGW_MAXLEN);
        strlcpy(worker.bgw_type, text, BGW_MAXLEN);
        worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
        worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
        worker.bgw_restart_time = BGW_NEVER_RESTART;
        strlcpy(worker.bgw_library_name, "tenantmig", BGW_MAXLEN);
        strlcpy(worker.bgw_function_name, "tenantmig_statement_main", BGW_MAXLEN);
        worker.bgw_main_arg = UInt32GetDatum(segment);
        worker.bgw_notify_pid = MyProcPid;
        memcpy(worker.bgw_extra, &MyDatabaseId, sizeof MyDatabaseId);
        memcpy(worker.bgw_extra + sizeof MyDatabaseId, &session_user, sizeof session_user);
        MemoryContext previous = MemoryContextSwitchTo(TopMemoryContext);
        BackgroundWorkerHandle *handle = nullptr;
        const bool registered = RegisterDynamicBackgroundWorker(&worker, &handle);
        MemoryContextSwitchTo(previous);
        return registered ? handle : nullptr;
    });
}

void end_worker(int, Datum handle) {
    TerminateBackgroundWorker(reinterpret_cast<BackgroundWorkerHandle *>(DatumGetPointer(handle)));
}

bool ended(BackgroundWorkerHandle *handle, int *process) {
    return pg_call([handle, process] {
        pid_t pid = 0;
        const BgwHandleStatus status = GetBackgroundWorkerPid(handle, &pid);
        *process = status == BGWH_STARTED ? pid : 0;
        return status == BGWH_STOPPED || status == BGWH_POSTMASTER_DIED;
    });
}

void rest() {
    pg_call([] {
        (void)WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 200, PG_WAIT_EXTENSION);
        ResetLatch(MyLatch);
        CHECK_FOR_INTERRUPTS();
    });
}

// However this session ends, the worker ends with it: nobody would look after what it builds.
void wait_for(BackgroundWorkerHandle *handle, const std::function<void(int)> &tick) {
    const Datum argument = PointerGetDatum(handle);
    pg_call([argument] { before_shmem_exit(end_worker, argument); });
    std::exception_ptr failure;
    try {
        for (int process = 0; !ended(handle, &process);) {
            rest();
            if (tick && process > 0) tick(process);
            TENANTMIG_FAULT("enforce_index_waiting");
        }
    } catch (...) {
        failure = std::current_exception();
    }
    if (failure) {
        pg_call([handle] {
            TerminateBackgroundWorker(handle);
            HOLD_INTERRUPTS();
            (void)WaitForBackgroundWorkerShutdown(handle);
            RESUME_INTERRUPTS();
        });
    }
    pg_call([argument] { cancel_before_shmem_exit(end_worker, argument); });
    pfree(handle);
    if (failure) std::rethrow_exception(failure);
}

// Connected as the session's user; the statement runs as the other role.
void execute(WorkerJob *job) {
    auto transactions = worker_transactions();
    transactions->run(false, [job] {
        pg_call([job] {
            auto set = [](const char *setting, const char *value) {
                (void)set_config_option(setting, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SET, true, 0, false);
            };
            if (job->has_tablespace) set("default_tablespace", job->tablespace);
            set("search_path", job->search_path);
            set("lock_timeout", job->lock_timeout);
            set("standard_conforming_strings", "on"); // as the text was checked
            set("statement_timeout", "0");
            set("idle_in_transaction_session_timeout", "0");
        });
    });
    TENANTMIG_FAULT("enforce_index_building");
    run_at_top_level(job->statement, job->role);
}
} // namespace

std::optional<WorkerFailure> run_in_worker(const WorkerStatement &work, const std::function<void(int)> &tick) {
    if (work.statement.size() >= most_statement || work.search_path.size() >= path_size)
        throw Error(sqlstate::limit_exceeded, "the statement is too long for a background worker",
                    fmt::format("It has {} bytes.", work.statement.size()), "Use a shorter one.");
    Segment segment = Segment::create(sizeof(WorkerJob) + work.statement.size() + 1);
    auto *job = new (segment.address()) WorkerJob{};
    job->role = work.role;
    copy(job->search_path, path_size, work.search_path.empty() ? "pg_catalog, pg_temp" : work.search_path);
    job->has_tablespace = work.tablespace.has_value();
    copy(job->lock_timeout, name_size, work.lock_timeout);
    copy(job->tablespace, name_size, work.tablespace.value_or(""));
    copy(job->statement, work.statement.size() + 1, work.statement);
    BackgroundWorkerHandle *handle = register_worker(segment.handle(), work.application);
    if (!handle)
        throw Error(sqlstate::limit_exceeded, "no background worker slot is free",
                    fmt::format("The statement is run by a worker; max_worker_processes is {}.", max_worker_processes),
                    "Wait until others have ended, or raise max_worker_processes.");
    wait_for(handle, tick);
    if (job->done) return std::nullopt;
    return WorkerFailure{job->state, job->message, job->detail, job->hint};
}

void raise_failure(const WorkerFailure &failure, const std::string &what) {
    static std::set<std::string> states; // an Error holds its SQLSTATE by address
    if (failure.state.empty())
        throw Error(sqlstate::prerequisite_state, what, "The worker was ended; the server's log tells why.",
                    "Call this again.");
    throw Error(states.insert(failure.state).first->c_str(), failure.message, failure.detail, failure.hint);
}

} // namespace tenantmig

extern "C" {
PGDLLEXPORT void tenantmig_statement_main(Datum argument);
}

void tenantmig_statement_main(Datum argument) {
    using namespace tenantmig;
    Oid database, user;
    memcpy(&database, MyBgworkerEntry->bgw_extra, sizeof database);
    memcpy(&user, MyBgworkerEntry->bgw_extra + sizeof database, sizeof user);
    pqsignal(SIGTERM, die);
    pqsignal(SIGHUP, SignalHandlerForConfigReload);
    BackgroundWorkerUnblockSignals();
    BackgroundWorkerInitializeConnectionByOid(database, user, 0);
    MemoryContextSwitchTo(AllocSetContextCreate(TopMemoryContext, "tenantmig process", ALLOCSET_DEFAULT_SIZES));
    dsm_segment *segment = dsm_attach(DatumGetUInt32(argument));
    if (!segment) return; // whoever wanted us has gone
    dsm_pin_mapping(segment);
    auto *job = static_cast<WorkerJob *>(dsm_segment_address(segment));
    pgstat_report_activity(STATE_RUNNING, job->statement);
    try {
        execute(job);
        job->done = true;
    } catch (const PgError &error) {
        const ErrorData *data = error.data();
        auto given = [](const char *words) { return std::string_view(words ? words : ""); };
        strlcpy(job->state, unpack_sql_state(data->sqlerrcode), sizeof job->state);
        copy(job->message, text_size, given(data->message));
        copy(job->detail, text_size, given(data->detail));
        copy(job->hint, text_size, given(data->hint));
    } catch (const Error &error) {
        strlcpy(job->state, error.state(), sizeof job->state);
        copy(job->message, text_size, error.message());
        copy(job->detail, text_size, error.detail());
        copy(job->hint, text_size, error.hint());
    } catch (...) { // an empty state says that it was not built
    }
}
