// One process at work on a run: between its batches it hears requests and minds the pace. And the life of a run:
// planned, running, then paused, failed, cancelled or completed.
#include "core/undo_text.hpp"
#include <nlohmann/json.hpp>

#include "bridge/fault.hpp"
#include "bridge/results.hpp"
#include "catalog/events.hpp"
#include "steps/backfill.hpp"
#include "steps/baseline.hpp"
#include "steps/crew.hpp"
#include "steps/ddl_watch.hpp"
#include "steps/enforce.hpp"
#include "steps/guard.hpp"
#include "steps/online.hpp"
#include "steps/progress.hpp"

namespace tenantmig {

namespace {
constexpr std::int64_t poll_interval = 500 * 1000;          // microseconds between two looks at requests and settings
constexpr std::int64_t signal_interval = USECS_PER_SEC;     // between two readings of the server's signals
constexpr std::int64_t notice_interval = 2 * USECS_PER_SEC; // between two lines of progress

TimestampTz now() {
    return GetCurrentTimestamp();
}
} // namespace

bool goes_away(const PgError &error) {
    int state = error.data()->sqlerrcode;
    return state == ERRCODE_LOCK_NOT_AVAILABLE || state == ERRCODE_T_R_DEADLOCK_DETECTED ||
           state == ERRCODE_T_R_SERIALIZATION_FAILURE;
}

std::string error_text(const std::exception_ptr &error) {
    auto lines = [](std::string text, const std::string &detail, const std::string &hint) {
        if (!detail.empty()) text += "\nDETAIL: " + detail;
        if (!hint.empty()) text += "\nHINT: " + hint;
        return text;
    };
    auto given = [](const char *text) { return text ? std::string(text) : std::string(); };
    try {
        std::rethrow_exception(error);
    } catch (const PgError &caught) {
        const ErrorData *data = caught.data();
        return lines(fmt::format("{}: {}", unpack_sql_state(data->sqlerrcode), given(data->message)),
                     given(data->detail), given(data->hint));
    } catch (const Error &caught) {
        return lines(fmt::format("{}: {}", caught.state(), caught.what()), caught.detail(), caught.hint());
    } catch (const std::exception &caught) {
        return caught.what();
    }
}

// ---- one process

OnlineWorker::OnlineWorker(Transactions &transactions_, RunShared *shared_, const MigrationRecord &record_,
                           std::int32_t number_)
    : transactions(transactions_), shared(shared_), record(record_), number(number_),
      memory(
          pg_call([] { return AllocSetContextCreate(TopMemoryContext, "tenantmig worker", ALLOCSET_DEFAULT_SIZES); })) {
    report.worker = number;
    told_ = notified_ = now();
    if (leads() && shared->budget > 0) deadline = now() + shared->budget;
}

OnlineWorker::~OnlineWorker() {
    MemoryContextDelete(memory);
}

void OnlineWorker::resolve() {
    require_owner(record);
    migration = resolve_migration(record);
}

std::int32_t OnlineWorker::next_batch() {
    SpinGuard guard(&shared->mutex);
    return shared->next_batch++;
}

void OnlineWorker::rest(double milliseconds) {
    auto left = static_cast<std::int64_t>(milliseconds * 1000);
    TimestampTz until = now() + left;
    while (left > 0) {
        long nap = std::clamp<long>(static_cast<long>(left / 1000), 1, 100);
        pg_call([nap] {
            (void)WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, nap, PG_WAIT_EXTENSION);
            ResetLatch(MyLatch);
            CHECK_FOR_INTERRUPTS();
        });
        if (stop_of(shared) != Stop::no) return;
        left = until - now();
    }
}

void OnlineWorker::insist(bool durable, const std::function<void()> &work) {
    constexpr int most_attempts = 30;
    for (int attempt = 1;; attempt++) {
        try {
            transactions.run(durable, work, 2000);
            return;
        } catch (const PgError &error) {
            if (!goes_away(error) || attempt == most_attempts) throw;
        }
        rest(20.0 * (1 << std::min(attempt, 5)));
    }
}

void OnlineWorker::poll() {
    polled_ = now();
    transactions.run(false, [this] {
        request_ = read_request(shared->run);
        pacer.use(load_pace(record.id));
        if (lock && !lock->keep())
            throw Error(
                sqlstate::object_in_use, fmt::format("the lock of migration {} was lost", core::excerpt(record.name)),
                "Code of a user in one of our transactions released all locks of the session, a trigger that calls "
                "pg_advisory_unlock_all() for instance, and another run has begun.",
                "SELECT * FROM tenantmig.stat_progress shows the other run.");
    });
    if (crew) crew->look_while_walking();
}

void OnlineWorker::read_pace_signals(std::span<const Oid> tables) {
    somebody_waited_ = somebody_waits_for_us();
    if (now() - signals_read_ < signal_interval) return;
    signals_read_ = now();
    std::vector<int> pids;
    {
        SpinGuard guard(&shared->mutex);
        for (const WorkerSlot &slot : shared->slots)
            if (slot.pid != 0) pids.push_back(slot.pid);
    }
    pacer.assess(read_signals(pacer.settings(), tables, pids, pace_memory_));
}

void OnlineWorker::report_pace() {
    report.throttle = pacer.pace().reason;
    report.state = report.throttle.empty() ? "running" : "throttled";
}

void OnlineWorker::batch_done(std::int64_t rows, TimestampTz started) {
    TimestampTz ended = now();
    double ms = std::max(0.01, static_cast<double>(ended - started) / 1000.0);
    if (rows > 0) {
        pacer.batch_done(rows, ms);
        // rests between batches count, as for whoever waits for the end
        TimestampTz since = last_batch_ != 0 ? last_batch_ : started;
        double rate =
            static_cast<double>(rows) * USECS_PER_SEC / std::max<double>(1, static_cast<double>(ended - since));
        report.rate = report.rate == 0 ? rate : 0.9 * report.rate + 0.1 * rate;
    }
    last_batch_ = ended;
    if (std::exchange(somebody_waited_, false)) pacer.timed_out();
}

Stop OnlineWorker::between_batches() {
    if (polled_ == 0 || now() - polled_ >= poll_interval) poll();
    if (leads()) tell_progress();
    for (;;) {
        if (request_ == "pause") set_stop(shared, Stop::pause);
        if (request_ == "cancel") set_stop(shared, Stop::cancel);
        if (deadline != 0 && now() >= deadline) set_stop(shared, Stop::pause);
        Stop stop = stop_of(shared);
        if (stop != Stop::no) return stop;
        core::Pace pace = pacer.pace();
        if (pace.action == core::PaceAction::go) return Stop::no;
        bool stopped = pace.action == core::PaceAction::stop;
        if (report.throttle != pace.reason) {
            report_pace();
            report.done = report.written = report.hot = 0;
            transactions.run(false, [this] { save_worker(shared->run, report); });
        }
        rest_for_pace(pace.rest_ms);
        if (!stopped) return stop_of(shared);
        poll();
        transactions.run(false, [this] {
            std::vector<Oid> tables;
            for (const ResolvedStep &step : migration.steps)
                tables.push_back(step.target.table.oid);
            signals_read_ = 0;
            read_pace_signals(tables);
        });
        if (leads()) tell_progress();
    }
}

// Rests in pieces, and hears meanwhile of requests and of other settings.
void OnlineWorker::rest_for_pace(double milliseconds) {
    TimestampTz begun = now();
    auto rested = [begun] { return static_cast<double>(now() - begun) / 1000.0; };
    while (rested() < milliseconds && stop_of(shared) == Stop::no) {
        rest(std::min(milliseconds - rested(), static_cast<double>(poll_interval) / 1000.0));
        if (now() - polled_ < poll_interval) continue;
        poll();
        if (!request_.empty()) return;
        milliseconds = std::min(milliseconds, pacer.pace().rest_ms);
    }
}

void OnlineWorker::tell(const char *phase, const std::string &relation, const std::string &path) {
    report.phase = phase;
    report.relation = relation;
    report.path = path;
    report.state = "running";
    report.throttle.clear();
    report.done = report.written = report.hot = 0;
    transactions.run(false, [this] { save_worker(shared->run, report); });
}

void OnlineWorker::tell_progress() {
    const auto &minutes = pacer.settings().notify_minutes;
    bool line = transactions.in_session() && now() - told_ >= notice_interval;
    bool message = minutes && static_cast<double>(now() - notified_) >= *minutes * 60 * USECS_PER_SEC;
    if (!line && !message) return;
    std::string text;
    transactions.run(false, [&] {
        Rows rows =
            own_query("SELECT relation, rows_done, rows_total, rate, extract(epoch from eta)::bigint, throttle, "
                      "state, phase, percent::float8 FROM tenantmig.stat_progress WHERE run_id = $1",
                      {bigint_value(shared->run)});
        if (rows.empty()) return;
        std::string rate = rows.text_or(0, 4, "0");
        text = fmt::format("{}: {} of {} rows, {} %, {} rows/s, {} s left{}{}", rows.text_or(0, 1, "?"),
                           rows.text_or(0, 2, "0"), rows.text_or(0, 3, "0"), rows.text_or(0, 9, "0"), rate,
                           rows.text_or(0, 5, "?"), rows.is_null(0, 6) ? "" : "; ", rows.text_or(0, 6));
        if (!message) return;
        nlohmann::json json = {{"run", shared->run},
                               {"state", rows.text_or(0, 7)},
                               {"phase", rows.text_or(0, 8)},
                               {"rows_done", rows.bigint(0, 2)},
                               {"rows_total", rows.bigint(0, 3)},
                               {"percent", std::atof(rows.text_or(0, 9, "0").c_str())}};
        json["eta_seconds"] = rows.is_null(0, 5) ? nlohmann::json() : nlohmann::json(rows.bigint(0, 5));
        announce("progress", record.name, json);
    });
    if (message) notified_ = now();
    if (line && !text.empty()) {
        told_ = now();
        notice(text);
    }
}

// ---- the life of a run

namespace {
struct StateChange {
    const char *state;
    std::string error;
};

// What an error makes of the run: cancelled queries and tables that were changed pause it, everything else fails it.
StateChange state_after(const std::exception_ptr &error) {
    std::string text = error_text(error);
    try {
        std::rethrow_exception(error);
    } catch (const PgError &caught) {
        int code = caught.data()->sqlerrcode;
        if (code == ERRCODE_QUERY_CANCELED || code == ERRCODE_UNDEFINED_TABLE || code == ERRCODE_UNDEFINED_COLUMN ||
            goes_away(caught))
            return {"paused", text};
    } catch (const Error &caught) {
        std::string_view state = caught.state();
        if (state == sqlstate::table_changed || state == sqlstate::rows_locked || state == sqlstate::plan_changed ||
            state == sqlstate::lock_not_available)
            return {"paused", text};
    } catch (...) { // fails it
    }
    return {"failed", text};
}

void note_state(OnlineWorker &worker, const StateChange &change) {
    worker.insist(true, [&] {
        set_run_state(worker.shared->run, change.state, change.error);
        worker.report.state = std::string_view(change.state) == "failed" ? "failed" : "done";
        worker.report.error = change.error;
        worker.report.throttle.clear();
        worker.report.done = worker.report.written = worker.report.hot = 0;
        save_worker(worker.shared->run, worker.report);
        clear_request(worker.shared->run);
        complete_run(worker.shared->run);
    });
}

Stop run_steps(OnlineWorker &worker) {
    for (std::size_t position = 0; position < worker.migration.steps.size(); position++) {
        std::int32_t done = 0;
        worker.transactions.run(false, [&] { done = steps_done(worker.shared->run); });
        if (static_cast<std::int32_t>(position) < done) continue;
        const ResolvedStep &step = worker.migration.steps[position];
        worker.report.step = step.spec.number;
        worker.report.changed_columns.clear();
        StepLeader leader(worker, step, position);
        Stop stop = leader.run();
        if (stop != Stop::no) return stop;
        TENANTMIG_FAULT("step_done");
        worker.insist(false, [&] { set_steps_done(worker.shared->run, static_cast<std::int32_t>(position) + 1); });
    }
    return Stop::no;
}
} // namespace

namespace {
std::string listed(const std::vector<int> &steps) {
    std::string text = steps.size() == 1 ? "step " : "steps ";
    for (std::size_t i = 0; i < steps.size(); i++)
        text += (i ? ", " : "") + std::to_string(steps[i]);
    return text;
}

// A run of all steps of the document has no list of them, so that it is one of those that there always were.
void normalize_scope(MigrationRecord &record) {
    MigrationRecord whole = record;
    whole.scope.clear();
    if (!reach_of(whole).structural && all_steps_of_run(whole, record.scope) == all_steps_of_run(whole, {}))
        record.scope.clear();
}

void require_same_steps(const MigrationRecord &record, const RunRecord &run) {
    const std::vector<int> steps = all_steps_of_run(record, run.steps);
    if (record.scope.empty() || all_steps_of_run(record, record.scope) == steps) return;
    const std::string name = core::sql_literal(record.name);
    throw Error(
        sqlstate::prerequisite_state,
        fmt::format("run {} of migration {} is not finished", run.id, core::excerpt(record.name)),
        fmt::format("It is {}, and about {}.", run.state == "running" ? "interrupted" : run.state, listed(steps)),
        fmt::format("CALL tenantmig.run({0}) takes it up; SELECT tenantmig.cancel({0}) ends it.", name));
}

// The latest runs of these steps.
void require_no_undo_begun(const MigrationRecord &record) {
    std::vector<std::optional<RunRecord>> last;
    if (record.scope.empty()) last.push_back(latest_run(record.id, false));
    for (int step : record.scope)
        last.push_back(latest_run_of_step(record.id, step, false));
    for (const auto &run : last)
        if (run && run->state != "rolled_back" && undo_started(run->id))
            throw Error(sqlstate::prerequisite_state, fmt::format("run {} is being undone", run->id),
                        "An undo by batches has begun, and is not finished.",
                        fmt::format("CALL tenantmig.undo({}) goes on with it.", run->id));
}
} // namespace

std::int64_t prepare_run(MigrationRecord &record, const OnlineOptions &options, bool must_resume, bool may_resume) {
    require_owner(record);
    if (has_leftovers(record)) (void)clean_up_enforcements(record);
    lock_migration(record);
    const auto run = unfinished_run(record.id);
    if (run) {
        require_same_steps(record, *run);
        record.scope = run->steps;
    } else {
        record.scope = steps_to_run(record);
        normalize_scope(record);
    }
    ResolvedMigration migration = resolve_migration(record);
    if (migration.by_name) {
        update_identity(record.id, migration.identity);
        record.identity = migration.identity;
    }
    std::string hash = hash_plan(migration);
    std::string name = core::sql_literal(record.name);
    if (run) {
        if (!may_resume)
            throw Error(sqlstate::prerequisite_state,
                        fmt::format("run {} of migration {} is not finished", run->id, core::excerpt(record.name)),
                        fmt::format("It is {}.", run->state == "running" ? "interrupted" : run->state),
                        fmt::format("SELECT tenantmig.resume({0}) takes it up; tenantmig.cancel({0}) ends it.", name));
        std::string approved =
            options.plan_hash ? options.plan_hash->substr(0, options.plan_hash->find(':')) : run->plan_hash;
        if (approved != hash)
            throw Error(
                sqlstate::plan_changed,
                fmt::format("the plan of migration {} has changed since run {} began", core::excerpt(record.name),
                            run->id),
                fmt::format("The run was begun with {}, now it is {}: a table, type, trigger, constraint, index "
                            "or setting has changed.",
                            core::excerpt(approved), hash),
                fmt::format("Look at tenantmig.plan({0}); to go on with it: SELECT tenantmig.resume({0}, plan_hash "
                            "=> tenantmig.plan_hash({0})).",
                            name));
        take_up_run(run->id, options.workers, hash);
        retire_workers(run->id);
        clear_request(run->id);
        return run->id;
    }
    require_no_undo_begun(record);
    if (must_resume)
        throw Error(sqlstate::prerequisite_state,
                    fmt::format("migration {} has no run to resume", core::excerpt(record.name)),
                    "There is no paused, failed or interrupted online run.",
                    fmt::format("SELECT tenantmig.start({}) begins one.", name));
    if (options.plan_hash) check_approved_plan(record, migration, hash, *options.plan_hash, options.max_count_change);
    return insert_online_run(record.id, hash, options.workers, record.scope);
}

RunEnd lead_run(Transactions &transactions, RunShared *shared, dsm_handle own_segment, const MigrationRecord &record,
                ActiveLock &lock) {
    MigrationRecord whole = record;
    whole.scope.clear();
    OnlineWorker worker(transactions, shared, record, 1);
    worker.lock = &lock;
    std::unique_ptr<Crew> crew;
    StateChange change = {"completed", ""};
    std::exception_ptr failure;
    bool begun = true; // if not, its state is not ours to set
    try {
        worker.insist(true, [&] {
            begun = false;
            worker.resolve();
            begin_run(shared->run);
            SpinGuard guard(&shared->mutex);
            shared->slots[0].pid = MyProcPid;
            shared->slots[0].state = WorkerState::walking;
        });
        begun = true;
        transactions.run(false, [&] {
            std::int32_t highest = highest_batch(shared->run);
            SpinGuard guard(&shared->mutex);
            shared->next_batch = highest + 1;
        });
        worker.tell("starting", "", "");
        transactions.run(false, [&] {
            take_baseline(record, worker.migration.steps, shared->run);
            ensure_fingerprint(whole);
        });
        worker.insist(true, [&] { attach_capture_guards(record); });
        if (shared->worker_limit > 1) {
            crew = std::make_unique<Crew>(worker, own_segment, shared->worker_limit);
            worker.crew = crew.get();
        }
        TENANTMIG_FAULT("run_started");
        switch (run_steps(worker)) {
        case Stop::no:
        case Stop::finished:
            break;
        case Stop::pause:
            change = {"paused", worker.deadline != 0 && now() >= worker.deadline ? "budget used up" : ""};
            break;
        case Stop::cancel:
            change = {"cancelled", ""};
            break;
        case Stop::failed:
            change = {"failed", "a worker failed"};
            break;
        }
    } catch (...) {
        failure = std::current_exception();
    }
    if (failure) change = state_after(failure);
    TENANTMIG_FAULT("run_finishing");
    set_stop(shared, Stop::finished);
    if (worker.crew) worker.crew->dismiss();
    try {
        if (begun) note_state(worker, change);
    } catch (...) {
        if (!failure) throw; // without our tables there is nothing to note it in; the first error tells why
    }
    if (failure) std::rethrow_exception(failure);
    return {shared->run, change.state, change.error};
}

// ---- in a session

namespace {
// Whatever ends a session that leads: the workers must not wait for it.
void leader_detaches(dsm_segment *, Datum argument) {
    auto *shared = reinterpret_cast<RunShared *>(DatumGetPointer(argument));
    {
        SpinGuard guard(&shared->mutex);
        shared->leader_gone = true;
    }
    ConditionVariableBroadcast(&shared->changed);
}

RunEnd lead_in_session(Transactions &transactions, ActiveLock &lock, const MigrationRecord &record, std::int64_t run,
                       const OnlineOptions &options) {
    Segment segment = create_run_segment(run, options.workers, InvalidTransactionId, options.budget);
    auto *shared = static_cast<RunShared *>(segment.address());
    dsm_segment *own = segment.get();
    pg_call([own, shared] { on_dsm_detach(own, leader_detaches, PointerGetDatum(shared)); });
    return lead_run(transactions, shared, segment.handle(), record, lock);
}
} // namespace

RunEnd run_scoped(Transactions &transactions, ActiveLock &lock, const MigrationRecord &scoped,
                  const OnlineOptions &options) {
    MigrationRecord record = scoped;
    std::int64_t run = 0;
    transactions.run(true, [&] {
        record = get_migration(scoped.id);
        record.scope = scoped.scope;
        run = prepare_run(record, options, false, true);
    });
    return lead_in_session(transactions, lock, record, run, options);
}

void run_in_session(FunctionCallInfo call, const std::string &name, const OnlineOptions &wanted) {
    auto transactions = session_transactions(call, "tenantmig.run");
    OnlineOptions options = wanted;
    if (StatementTimeout > 0) {
        std::int64_t most = static_cast<std::int64_t>(StatementTimeout) * 800; // 80 % of it, in microseconds
        if (options.budget == 0 || options.budget > most) {
            options.budget = most;
            notice(fmt::format("statement_timeout is {} ms: the budget is 80 % of it", StatementTimeout));
        }
    }
    MigrationRecord record;
    std::int64_t run = 0;
    transactions->run(true, [&] {
        record = get_migration(name);
        run = prepare_run(record, options, false, true);
        tell_of_later_steps(record);
    });
    ActiveLock lock;
    bool locked = false;
    transactions->run(false, [&] { locked = lock.acquire(record.id); });
    if (!locked)
        throw Error(sqlstate::object_in_use,
                    fmt::format("another run is active on migration {}", core::excerpt(record.name)),
                    "It began at this moment.", "SELECT * FROM tenantmig.stat_progress shows it.");
    const RunEnd end = lead_in_session(*transactions, lock, record, run, options);
    if (end.state == "paused")
        notice(fmt::format("run {} is paused{}{}; CALL tenantmig.run({}) goes on", end.run,
                           end.error.empty() ? "" : ": ", end.error, core::sql_literal(record.name)));
}

// ---- requests

namespace {
RunRecord active_run(const MigrationRecord &record, const char *what) {
    require_owner(record);
    // an undo works on a run of the past; a run that start() has planned has its leader in a moment
    Rows rows =
        own_query("SELECT id, state = 'planned' AND taken_up_at > now() - interval '1 minute' FROM "
                  "tenantmig.run_log WHERE migration_id = $1 AND (mode = 'online' OR undo_started_at IS NOT NULL "
                  "AND state <> 'rolled_back') ORDER BY (undo_started_at IS NOT NULL AND state <> "
                  "'rolled_back') DESC, id DESC LIMIT 1",
                  {bigint_value(record.id)});
    if (rows.empty() || (!rows.boolean(0, 2) && !is_active(record.id)))
        throw Error(sqlstate::prerequisite_state,
                    fmt::format("no run of migration {} is at work", core::excerpt(record.name)), {},
                    fmt::format("There is nothing to {}; SELECT * FROM tenantmig.runs shows what there was.", what));
    return get_run(rows.bigint(0, 1));
}
} // namespace

std::string pause_run(const std::string &name) {
    MigrationRecord record = get_migration(name);
    RunRecord run = active_run(record, "pause");
    request_stop(run.id, "pause");
    return "pausing";
}

std::string cancel_run(const std::string &name) {
    MigrationRecord record = get_migration(name);
    require_owner(record);
    auto run = unfinished_run(record.id);
    if (is_active(record.id) || !run || run->state == "planned") {
        request_stop(active_run(record, "cancel").id, "cancel"); // says if there is none
        return "cancelling";
    }
    lock_migration(record);
    set_run_state(run->id, "cancelled", run->error);
    clear_request(run->id);
    complete_run(run->id);
    return "cancelled";
}

} // namespace tenantmig
