// The session that enforces registers the worker, waits for it without a snapshot or transaction of its own (the worker
// would wait for us), and ends it if it is cancelled itself. They talk through a segment of shared memory: the
// statement one way, the error the other way, each written once, before the other side looks.

#include "steps/constraint_index.hpp"
#include "bridge/fault.hpp"
#include "bridge/results.hpp"
#include "bridge/top_level.hpp"
#include "engine/run_shared.hpp"

namespace tenantmig {

namespace {
constexpr int attempts = 3;
constexpr std::size_t text_size = 8192;

struct IndexJob {
    Oid role;
    char statement[text_size]; // written by the session before the worker exists
    bool done;                 // all below: written by the worker, read after its end
    char state[6], message[text_size], detail[text_size], hint[text_size];
};

void copy(char *to, std::string_view text) {
    const std::size_t size = std::min(text.size(), text_size - 1);
    memcpy(to, text.data(), size);
    to[size] = 0;
}

BackgroundWorkerHandle *register_builder(dsm_handle segment) {
    const Oid session_user = GetSessionUserId();
    return pg_call([segment, session_user] {
        BackgroundWorker worker = {};
        strlcpy(worker.bgw_name, "tenantmig index build", BGW_MAXLEN);
        strlcpy(worker.bgw_type, "tenantmig index build", BGW_MAXLEN);
        worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
        worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
        worker.bgw_restart_time = BGW_NEVER_RESTART;
        strlcpy(worker.bgw_library_name, "tenantmig", BGW_MAXLEN);
        strlcpy(worker.bgw_function_name, "tenantmig_index_main", BGW_MAXLEN);
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

bool ended(BackgroundWorkerHandle *handle) {
    return pg_call([handle] {
        pid_t pid;
        const BgwHandleStatus status = GetBackgroundWorkerPid(handle, &pid);
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
void wait_for(BackgroundWorkerHandle *handle) {
    const Datum argument = PointerGetDatum(handle);
    pg_call([argument] { before_shmem_exit(end_worker, argument); });
    std::exception_ptr failure;
    try {
        while (!ended(handle)) {
            rest();
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

// Connects as the session's user, then takes the role of the table's owner.
void build(IndexJob *job) {
    auto transactions = worker_transactions();
    transactions->run(false, [job] {
        const std::string name = role_name(job->role);
        const bool other = GetSessionUserId() != job->role;
        pg_call([text = name.c_str(), other] {
            auto set = [](const char *setting, const char *value) {
                (void)set_config_option(setting, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SET, true, 0, false);
            };
            if (other) set("role", text);
            set("search_path", "pg_catalog, pg_temp");
            set("lock_timeout", "60s");
            set("statement_timeout", "0");
            set("idle_in_transaction_session_timeout", "0");
        });
    });
    TENANTMIG_FAULT("enforce_index_building");
    run_at_top_level(job->statement);
}
} // namespace

void build_index(const Table &table, const std::string &name, const std::vector<std::string> &columns,
                 ConstraintChanger &changer) {
    std::string list;
    for (const std::string &column : columns)
        list += (list.empty() ? "" : ", ") + quoted(column);
    const std::string statement =
        fmt::format("CREATE UNIQUE INDEX CONCURRENTLY {} ON {} ({})", quoted(name), table.sql(), list);
    const std::string drop = fmt::format("DROP INDEX IF EXISTS {}", qualified(table.schema, name));
    if (statement.size() >= text_size)
        throw Error(sqlstate::limit_exceeded, fmt::format("the index on {} names too many columns", table.label()),
                    fmt::format("The statement has {} bytes.", statement.size()), "Use fewer columns.");
    for (int attempt = 1;; attempt++) {
        Segment segment = Segment::create(sizeof(IndexJob));
        auto *job = new (segment.address()) IndexJob{};
        job->role = table.owner;
        copy(job->statement, statement);
        BackgroundWorkerHandle *handle = register_builder(segment.handle());
        if (!handle)
            throw Error(sqlstate::limit_exceeded, "no background worker slot is free",
                        fmt::format("An index is built concurrently by a worker; max_worker_processes is {}.",
                                    max_worker_processes),
                        "Wait until others have ended, or raise max_worker_processes.");
        wait_for(handle);
        if (job->done) return;
        const std::string state = job->state, message = job->message, detail = job->detail;
        if (state == "23505")
            throw Error(sqlstate::constraint_violated, fmt::format("rows of {} are not unique", table.label()), detail,
                        "Correct them: the gate's check duplicates tells how many there are.");
        const bool again = state == sqlstate::lock_not_available || state == "40P01";
        if (!again || attempt == attempts) {
            static std::set<std::string> states; // an Error holds its SQLSTATE by address
            throw Error(state.empty() ? sqlstate::prerequisite_state : states.insert(state).first->c_str(),
                        state.empty() ? fmt::format("the index on {} was not built", table.label()) : message, detail,
                        state.empty() ? "Its worker was ended; the server's log tells why. Call this again."
                                      : std::string(job->hint));
        }
        notice(fmt::format("the index on {} could not be built, attempt {} of {}: {}", table.label(), attempt, attempts,
                           message));
        (void)changer.strong(table, {{table.oid}}, [&] { change_as_owner(table, drop); });
    }
}

} // namespace tenantmig

extern "C" {
PGDLLEXPORT void tenantmig_index_main(Datum argument);
}

void tenantmig_index_main(Datum argument) {
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
    auto *job = static_cast<IndexJob *>(dsm_segment_address(segment));
    pgstat_report_activity(STATE_RUNNING, job->statement);
    try {
        build(job);
        job->done = true;
    } catch (const PgError &error) {
        const ErrorData *data = error.data();
        auto given = [](const char *words) { return std::string_view(words ? words : ""); };
        strlcpy(job->state, unpack_sql_state(data->sqlerrcode), sizeof job->state);
        copy(job->message, given(data->message));
        copy(job->detail, given(data->detail));
        copy(job->hint, given(data->hint));
    } catch (const Error &error) {
        strlcpy(job->state, error.state(), sizeof job->state);
        copy(job->message, error.message());
        copy(job->detail, error.detail());
        copy(job->hint, error.hint());
    } catch (...) { // an empty state says that it was not built
    }
}
