// Statements of the user. Transactional: all of them and the step's row in one transaction. Otherwise each on its own,
// at top level in a worker; how many are done is put down after each.
#include "core/excerpt.hpp"
#include "core/undo_text.hpp"

#include <nlohmann/json.hpp>

#include "bridge/fault.hpp"
#include "bridge/identity.hpp"
#include "bridge/results.hpp"
#include "bridge/sql_script.hpp"
#include "engine/evaluation.hpp"
#include "steps/lock_patience.hpp"
#include "steps/step_kinds.hpp"
#include "steps/top_level_worker.hpp"

namespace tenantmig {

namespace {
std::string what_of(const core::SqlStep &step, const char *part) {
    return fmt::format("spec: {}.{}", step.path, part);
}

// The statements of up or down; refuses those that no step may hold.
std::vector<ScriptStatement> statements_of(const core::SqlStep &step, bool up) {
    const std::string &script = up ? step.up : step.down;
    const std::string what = what_of(step, up ? "up" : "down");
    std::vector<ScriptStatement> statements = split_script(script, what);
    if (statements.empty() && up)
        throw Error(sqlstate::syntax_error, fmt::format("{}: there is no statement in it", what), {},
                    "Write what the step is to do.");
    for (std::size_t i = 0; i < statements.size(); i++) {
        const ScriptStatement &statement = statements[i];
        const std::string place = fmt::format("{}, statement {}", what, i + 1);
        const std::string found = fmt::format("Line {}: {}", statement.line, core::excerpt(statement.text));
        if (statement.refused)
            throw Error(sqlstate::feature_not_supported,
                        fmt::format("{}: {} has no place in a step: {}", place, statement.command, statement.refused),
                        found, "Take it out.");
        if (step.transactional && statement.outside_only)
            throw Error(sqlstate::feature_not_supported,
                        fmt::format("{}: {} cannot run inside a transaction block", place, statement.command), found,
                        "Put it into a sql step of its own with transactional: false.");
        if (!step.transactional && statement.session_only)
            throw Error(
                sqlstate::feature_not_supported,
                fmt::format("{}: {} has no effect in a step that is not transactional", place, statement.command),
                found, "Each of its statements runs in a session of its own: take it out.");
    }
    return statements;
}

std::string verify_statement(const core::SqlStep &step) {
    const std::string what = what_of(step, "verify");
    std::vector<ScriptStatement> statements = split_script(step.verify, what);
    if (statements.size() != 1 || !statements[0].reads)
        throw Error(sqlstate::syntax_error, fmt::format("{}: expected one query", what),
                    statements.size() == 1 ? fmt::format("It is {}.", statements[0].command)
                                           : fmt::format("It has {} statements.", statements.size()),
                    "Write one SELECT with one boolean column; each of its rows has to be true.");
    return statements[0].text;
}

Oid owner_of(const MigrationRecord &migration) {
    if (OidIsValid(migration.owner_oid)) return migration.owner_oid;
    throw Error(sqlstate::undefined_object, fmt::format("role {} does not exist", core::excerpt(migration.owner)),
                fmt::format("It owns migration {}, whose SQL runs as that role.", core::excerpt(migration.name)),
                "Create the role again.");
}

// SQL of a step runs as the migration's owner, restricted, with the search_path under which the migration was made.
class OwnerScope {
public:
    explicit OwnerScope(const MigrationRecord &migration) : owner_(owner_of(migration), Purpose::write) {
        settings_.use_search_path(migration.search_path);
    }

private:
    RunAs owner_;
    ScriptSettings settings_;
};

// Names the place in front of the message; SQLSTATE, DETAIL, HINT and the names of objects stay.
void name_place(const PgError &error, const std::string &place) {
    ErrorData *data = error.data();
    const std::string text = fmt::format("{}: {}", place, data->message ? data->message : "");
    pg_call([data, message = text.c_str()] {
        data->message = MemoryContextStrdup(GetMemoryChunkContext(data), message);
        data->cursorpos = data->internalpos = 0; // of a statement that the client does not see
    });
}

// While it lives, nothing may be written.
class ReadOnly {
public:
    ReadOnly() : before_(XactReadOnly) { XactReadOnly = true; }
    ~ReadOnly() { XactReadOnly = before_; }
    ReadOnly(const ReadOnly &) = delete;
    ReadOnly &operator=(const ReadOnly &) = delete;

private:
    bool before_;
};

// How far statements that are not transactional are, and whether anything of the step may stand.
struct Progress {
    bool touched = false;
    std::string direction; // up or down
    int done = 0;          // statements of that direction

    static Progress of(const StepState &state) {
        const nlohmann::json detail = nlohmann::json::parse(state.detail);
        return {detail.value("touched", false), detail.value("direction", ""), detail.value("done", 0)};
    }
    std::string json() const {
        return nlohmann::json{{"touched", touched}, {"direction", direction}, {"done", done}}.dump();
    }
};

class SqlStepRunner : public Step {
public:
    explicit SqlStepRunner(core::SqlStep step) : step_(std::move(step)) {}

    void check(const MigrationRecord & /*migration*/, NameBook & /*names*/) override {
        (void)statements_of(step_, true);
        if (!step_.down.empty()) (void)statements_of(step_, false);
        if (!step_.verify.empty()) (void)verify_statement(step_);
    }

    std::vector<PlanRow> plan(const MigrationRecord & /*migration*/) override {
        PlanRow row;
        row.step = step_.number;
        row.kind = "sql";
        const std::size_t count = statements_of(step_, true).size();
        row.count.outcome = "sql";
        row.count.rows = static_cast<std::int64_t>(count);
        row.path = step_.transactional ? "one transaction" : "each statement on its own";
        row.locks = "those of its statements";
        row.note = fmt::format("{} statement{}{}", count, count == 1 ? "" : "s",
                               step_.down.empty() ? "; there is no way back" : "");
        return {row};
    }

    bool applied(const MigrationRecord & /*migration*/, const StepState &state) override {
        return state.state == "applied";
    }

    void check_down(const MigrationRecord &migration, const StepState &state) override {
        if (!step_.down.empty() || !Progress::of(state).touched) return;
        throw Error(sqlstate::no_way_back, fmt::format("step {} (sql) has no way back", step_.number),
                    fmt::format("{} has no down.", step_.path),
                    fmt::format("Take back the steps after it only: CALL tenantmig.down({}, to_step => {}).",
                                core::sql_literal(migration.name), step_.number));
    }

    bool may_stand(const StepState &state) override { return Progress::of(state).touched; }

    bool up(StepContext &context) override { return walk(context, true); }
    bool down(StepContext &context) override { return walk(context, false); }

    std::vector<CheckRow> verify(const MigrationRecord &migration, const StepState & /*state*/) override {
        if (step_.verify.empty()) return {};
        return {verify_row(migration)};
    }

private:
    core::SqlStep step_;

    bool walk(StepContext &context, bool up) {
        if (!up && !Progress::of(context.state).touched) { // an up that has left nothing
            context.transactions.run(true, [&] { finish(context, up, 0); });
            return false;
        }
        const std::vector<ScriptStatement> statements = statements_of(step_, up);
        if (up && step_.transactional && Progress::of(context.state).touched) { // a down that has changed nothing
            context.transactions.run(true, [&] { finish(context, up, statements.size()); });
            return false;
        }
        if (step_.transactional)
            transactional(context, statements, up);
        else
            one_by_one(context, statements, up);
        return true;
    }

    void finish(StepContext &context, bool up, std::size_t count) {
        nlohmann::json log = {{"statements", count}};
        if (up && !step_.verify.empty()) {
            const CheckRow row = verify_row(context.migration);
            if (row.status != "PASS")
                throw Error(sqlstate::precheck_failed,
                            fmt::format("{}: what its verify asks for does not hold", context.label()), row.detail,
                            step_.transactional ? "All of the step was rolled back. Correct what it does, or the query."
                                                : "Correct what stands there, then CALL tenantmig.up again.");
            log["checks"] = {{{"check", row.check_name}, {"status", row.status}, {"actual", row.actual}}};
        }
        context.state.state = up ? "applied" : "";
        context.save("", Progress{up, up ? "up" : "down", static_cast<int>(count)}.json());
        context.log = log.dump();
    }

    void transactional(StepContext &context, const std::vector<ScriptStatement> &statements, bool up) {
        const int own_timeout = ::LockTimeout; // of the session
        LockPatience patience(own_timeout);
        patience.insist(context.label(), [&](int timeout) {
            context.transactions.run(
                true,
                [&] {
                    keep_lock(context);
                    run_statements(context, statements);
                    finish(context, up, statements.size());
                    TENANTMIG_FAULT("step_sql_committing");
                },
                timeout);
        });
        TENANTMIG_FAULT("step_sql_committed");
    }

    void run_statements(const StepContext &context, const std::vector<ScriptStatement> &statements) {
        OwnerScope owner(context.migration);
        for (std::size_t i = 0; i < statements.size(); i++) {
            try {
                execute_statement(statements[i].text);
            } catch (const PgError &error) {
                name_place(error, place(context, i));
                throw;
            }
            TENANTMIG_FAULT("step_sql_statement");
        }
        try { // what they have deferred belongs to them
            execute_statement("SET CONSTRAINTS ALL IMMEDIATE");
        } catch (const PgError &error) {
            name_place(error, fmt::format("{}, deferred constraints", context.label()));
            throw;
        }
    }

    void one_by_one(StepContext &context, const std::vector<ScriptStatement> &statements, bool up) {
        const char *direction = up ? "up" : "down";
        Progress progress = Progress::of(context.state);
        if (progress.direction != direction)
            progress = {progress.touched, direction, 0}; // the other way: from its start
        for (auto i = static_cast<std::size_t>(progress.done); i < statements.size(); i++) {
            progress = {true, direction, static_cast<int>(i)};
            note(context, progress, fmt::format("statement {} of {}", i + 1, statements.size()));
            TENANTMIG_FAULT("step_sql_next");
            outside(context, statements[i], i);
            progress.done++;
            note(context, progress, fmt::format("{} of {} statements done", i + 1, statements.size()));
            TENANTMIG_FAULT("step_sql_counted");
        }
        context.transactions.run(true, [&] {
            keep_lock(context);
            finish(context, up, statements.size());
        });
    }

    void outside(StepContext &context, const ScriptStatement &statement, std::size_t number) {
        WorkerStatement work;
        context.transactions.run(false, [&] {
            work.role = owner_of(context.migration);
            refuse_invalid_index(context, statement, number);
        });
        work.statement = statement.text;
        work.search_path = context.migration.search_path;
        work.application = "tenantmig sql step";
        const bool builds = statement.outside_only; // these wait for others without stopping anybody
        LockPatience patience(::LockTimeout);
        try {
            patience.insist(place(context, number), [&](int timeout) {
                work.lock_timeout = builds ? "60s" : std::to_string(timeout);
                if (auto failure = run_in_worker(work)) raise_failure(*failure, "the statement was not run to its end");
            });
        } catch (const Error &error) {
            std::string hint = error.hint();
            if (!statement.new_index.empty())
                hint += fmt::format("{}If an invalid index {} is left: DROP INDEX CONCURRENTLY it before the next up.",
                                    hint.empty() ? "" : " ", core::excerpt(statement.new_index));
            throw Error(error.state(), fmt::format("{}: {}", place(context, number), error.message()), error.detail(),
                        hint);
        }
    }

    // An earlier attempt at CREATE INDEX CONCURRENTLY: IF NOT EXISTS would take it for what was wanted.
    static void refuse_invalid_index(const StepContext &context, const ScriptStatement &statement, std::size_t number) {
        if (statement.new_index.empty()) return;
        OwnerScope owner(context.migration);
        Rows rows =
            run_query("SELECT i.indexrelid::pg_catalog.regclass::pg_catalog.text FROM pg_catalog.pg_index AS i JOIN "
                      "pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) i.indexrelid WHERE c.relname "
                      "OPERATOR(pg_catalog.=) $1::pg_catalog.name AND i.indrelid OPERATOR(pg_catalog.=) "
                      "pg_catalog.to_regclass($2) AND NOT i.indisvalid",
                      {text_value(statement.new_index), text_value(statement.index_table)});
        if (rows.empty()) return;
        throw Error(sqlstate::prerequisite_state,
                    fmt::format("{}: index {} is there, but invalid", place(context, number), rows.text_or(0, 1)),
                    "An attempt to build it has failed or was interrupted.",
                    fmt::format("DROP INDEX CONCURRENTLY {}; then CALL tenantmig.up({}).", rows.text_or(0, 1),
                                core::sql_literal(context.migration.name)));
    }

    static std::string place(const StepContext &context, std::size_t number) {
        return fmt::format("{}, statement {}", context.label(), number + 1);
    }

    static void keep_lock(StepContext &context) {
        if (context.lock.keep()) return;
        throw Error(
            sqlstate::object_in_use,
            fmt::format("another session has begun to work on migration {}", core::excerpt(context.migration.name)),
            "This session has lost its lock.", "Call this again when it has ended.");
    }

    static void note(StepContext &context, const Progress &progress, const std::string &phase) {
        context.transactions.run(true, [&] {
            keep_lock(context);
            context.save(phase, progress.json());
        });
    }

    CheckRow verify_row(const MigrationRecord &migration);
};

CheckRow SqlStepRunner::verify_row(const MigrationRecord &migration) {
    CheckRow row;
    row.check_name = fmt::format("step {} (sql)", step_.number);
    row.expected = "true in every row";
    const std::string query = verify_statement(step_);
    std::int64_t count = 0, refused = 0;
    OwnerScope owner(migration);
    {
        ReadOnly nothing_written;
        SnapshotScope snapshot;
        try {
            Cursor cursor(query, {});
            if (cursor.descriptor()->natts != 1 || TupleDescAttr(cursor.descriptor(), 0)->atttypid != BOOLOID)
                throw Error(sqlstate::datatype_mismatch,
                            fmt::format("{}: expected one boolean column", what_of(step_, "verify")),
                            fmt::format("It has {}.", cursor.descriptor()->natts == 1
                                                          ? "a column of another type"
                                                          : std::to_string(cursor.descriptor()->natts) + " columns"),
                            "Write a query like SELECT count(*) = 0 FROM …");
            while (cursor.fetch(1000, [&](TupleTableSlot *slot) {
                bool null = false;
                const Datum value = slot_getattr(slot, 1, &null);
                count++;
                if (null || !DatumGetBool(value)) refused++;
                return true;
            }) > 0) {
            }
        } catch (const PgError &error) {
            name_place(error, fmt::format("step {} (sql), verify", step_.number));
            throw;
        }
    }
    row.status = refused == 0 && count > 0 ? "PASS" : "FAIL";
    row.actual = fmt::format("{} row{}, {} not true", count, count == 1 ? "" : "s", refused);
    if (row.status == "FAIL") {
        row.detail = count == 0 ? "The query returns no row." : row.actual + ": " + core::excerpt(query, 200);
        row.hint = "Look at what the query of the step's verify counts.";
    }
    return row;
}
} // namespace

std::unique_ptr<Step> make_sql_step(const core::SqlStep &step) {
    return std::make_unique<SqlStepRunner>(step);
}

} // namespace tenantmig
