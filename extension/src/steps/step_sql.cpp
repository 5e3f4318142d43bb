// Statements of the user. Transactional: all of them and the step's row in one transaction. Otherwise each on its own,
// at top level in a worker; how many are done is put down after each.
#include "core/excerpt.hpp"
#include "core/undo_text.hpp"

#include <nlohmann/json.hpp>

#include "bridge/fault.hpp"
#include "bridge/identity.hpp"
#include "bridge/results.hpp"
#include "bridge/sql_script.hpp"
#include "steps/step_kinds.hpp"

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

// SQL of a step runs as the migration's owner, restricted, with the search_path under which the migration was made.
class OwnerScope {
public:
    explicit OwnerScope(const MigrationRecord &migration) : owner_(owner_of(migration), Purpose::write) {
        settings_.use_search_path(migration.search_path);
    }

private:
    static Oid owner_of(const MigrationRecord &migration) {
        if (OidIsValid(migration.owner_oid)) return migration.owner_oid;
        throw Error(sqlstate::undefined_object, fmt::format("role {} does not exist", core::excerpt(migration.owner)),
                    fmt::format("It owns migration {}, whose SQL runs as that role.", core::excerpt(migration.name)),
                    "Create the role again.");
    }
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
        row.path = step_.transactional ? "one transaction" : "one transaction a statement";
        row.locks = "as its statements take";
        row.note = fmt::format("{} statement{}{}", count, count == 1 ? "" : "s",
                               step_.down.empty() ? "; there is no way back" : "");
        return {row};
    }

    bool applied(const MigrationRecord & /*migration*/, const StepState &state) override {
        return state.state == "applied";
    }

    void check_down(const MigrationRecord & /*migration*/, const StepState &state) override {
        if (!step_.down.empty()) return;
        if (state.state == "applying" && done_of(state, "up") == 0) return; // nothing of it stands
        throw Error(
            sqlstate::no_way_back, fmt::format("step {} (sql) has no way back", step_.number),
            fmt::format("{} has no down.", step_.path),
            fmt::format("Take back the steps after it only: CALL tenantmig.down(name, to_step => {}).", step_.number));
    }

    bool up(StepContext &context) override { return walk(context, true); }
    bool down(StepContext &context) override { return walk(context, false); }

    std::vector<CheckRow> verify(const MigrationRecord &migration, const StepState & /*state*/) override {
        if (step_.verify.empty()) return {};
        return {verify_row(migration)};
    }

private:
    core::SqlStep step_;

    static int done_of(const StepState &state, const char *direction) {
        const nlohmann::json detail = nlohmann::json::parse(state.detail);
        return detail.contains(direction) ? detail.at(direction).get<int>() : 0;
    }

    bool walk(StepContext &context, bool up) {
        const std::vector<ScriptStatement> statements =
            up || !step_.down.empty() ? statements_of(step_, up) : std::vector<ScriptStatement>{};
        return transactional(context, statements, up);
    }

    void finish(StepContext &context, bool up, std::size_t count) {
        context.state.state = up ? "applied" : "";
        context.save("", "{}");
        context.log = nlohmann::json{{"statements", count}}.dump();
    }

    bool transactional(StepContext &context, const std::vector<ScriptStatement> &statements, bool up) {
        // of an up that failed nothing stands
        const bool nothing = !up && context.state.state == "reverting" && context.state.phase == "nothing";
        context.transactions.run(true, [&] {
            if (!nothing) run_statements(context, statements);
            finish(context, up, statements.size());
            TENANTMIG_FAULT("step_sql_committing");
        });
        return !nothing;
    }

    void run_statements(StepContext &context, const std::vector<ScriptStatement> &statements) {
        OwnerScope owner(context.migration);
        for (std::size_t i = 0; i < statements.size(); i++) {
            const std::string place = fmt::format("{}, statement {}", context.label(), i + 1);
            try {
                execute_statement(statements[i].text);
            } catch (const PgError &error) {
                name_place(error, place);
                throw;
            }
            TENANTMIG_FAULT("step_sql_statement");
        }
        // what they have deferred belongs to them
        execute_statement("SET CONSTRAINTS ALL IMMEDIATE");
    }

    CheckRow verify_row(const MigrationRecord &migration);
};

CheckRow SqlStepRunner::verify_row(const MigrationRecord &migration) {
    CheckRow row;
    row.check_name = fmt::format("step {} (sql)", step_.number);
    const std::string query = verify_statement(step_);
    OwnerScope owner(migration);
    Rows rows = run_query(query, {}, true);
    row.status = "PASS";
    row.expected = "true";
    row.actual = fmt::format("{} rows", rows.size());
    return row;
}
} // namespace

std::unique_ptr<Step> make_sql_step(const core::SqlStep &step) {
    return std::make_unique<SqlStepRunner>(step);
}

} // namespace tenantmig
