#include "core/percent.hpp"
#include "core/spec.hpp"
#include "core/undo_text.hpp"

#include "steps/checks.hpp"
#include "steps/constraint_rights.hpp"

namespace tenantmig {

namespace {
// From this age a transaction of another session counts as old: its snapshot keeps dead row versions, and the table
// grows. The setting tenantmig.old_transaction_seconds is taken instead if it is a number.
int old_transaction_age() {
    constexpr int seconds = 300;
    return static_cast<int>(own_query("SELECT CASE WHEN s ~ '^[0-9]{1,8}$' THEN s::integer ELSE $1 END "
                                      "FROM current_setting('tenantmig.old_transaction_seconds', true) s",
                                      {int_value(seconds)})
                                .bigint(0, 1));
}

class Checks {
public:
    void add(const std::string &name, const char *status, const std::string &expected, const std::string &actual,
             const std::string &detail, const std::string &hint = {}) {
        bool fine = std::string_view(status) == "PASS";
        rows_.push_back({name, status, expected, actual, detail, fine ? "" : hint});
    }
    void check(const std::string &name, bool good, const std::string &expected, const std::string &actual,
               const std::string &detail, const std::string &hint, const char *otherwise = "FAIL") {
        add(name, good ? "PASS" : otherwise, expected, actual, detail, hint);
    }
    std::vector<CheckRow> take() { return std::move(rows_); }

private:
    std::vector<CheckRow> rows_;
};

void check_counts(Checks &checks, const StepForecast &forecast, const std::string &migration) {
    const ResolvedStep &step = *forecast.step;
    const core::PreflightLimits &limits = step.spec.preflight;
    std::string where = step.label() + "." + quoted(step.target.column.name);
    std::int64_t total = 0, assigned = 0, conflicts = 0, unknown = 0;
    for (const OutcomeCount &count : forecast.counts) {
        total += count.rows;
        assigned += count.outcome == "assigned" ? count.rows : 0;
        conflicts += count.outcome == "conflict" ? count.rows : 0;
        unknown += count.outcome == "unknown_tenant" ? count.rows : 0;
    }
    std::string see =
        fmt::format("SELECT * FROM tenantmig.plan({}) shows them by source.", core::sql_literal(migration));
    double coverage = total > 0 ? static_cast<double>(assigned) / static_cast<double>(total) : 1;
    checks.check("coverage", coverage >= limits.min_coverage.value_or(0),
                 limits.min_coverage ? ">= " + core::percent(*limits.min_coverage) : "any", core::percent(coverage),
                 fmt::format("{}: {} of {} rows", where, assigned, total),
                 "Find more sources, or look at the orphans: " + see);
    checks.check("conflicts", !limits.max_conflicts || conflicts < *limits.max_conflicts,
                 limits.max_conflicts ? fmt::format("< {}", *limits.max_conflicts) : "any", std::to_string(conflicts),
                 where, "Find out why the sources disagree before you go on: " + see);
    checks.check("expected_nulls", !limits.expected_nulls || total == *limits.expected_nulls,
                 limits.expected_nulls ? std::to_string(*limits.expected_nulls) : "any", std::to_string(total), where,
                 "The table is not as it was when the spec was written: compare, then correct expected_nulls.");
    checks.check("unknown_tenants", unknown == 0, "0", std::to_string(unknown), where,
                 "Evidence names tenants that the tenant root does not have; these rows go to review.", "WARN");
    checks.check("existing_keys", forecast.mismatches == 0, "0", std::to_string(forecast.mismatches),
                 where + ": rows whose key contradicts the evidence",
                 "These rows are not touched; whoever is wrong, find out before constraints rely on them.", "WARN");
}

void check_table(Checks &checks, const ResolvedStep &step) {
    const Table &table = step.target.table;
    std::vector<TriggerNote> triggers = update_triggers(step);
    std::string names;
    for (const TriggerNote &trigger : triggers) {
        names += (names.empty() ? "" : ", ") + trigger.trigger;
        std::string columns;
        for (const std::string &column : trigger.columns)
            columns += (columns.empty() ? "" : ", ") + column;
        if (!columns.empty()) names += " (" + columns + ")";
    }
    checks.check("row_triggers", triggers.empty(), "0", std::to_string(triggers.size()),
                 names.empty() ? table.label() : table.label() + ": " + names,
                 "They fire for each row that is written; columns that they change are not restored by a rollback.",
                 "WARN");
    Rows indexes = own_query(
        "SELECT count(*), string_agg(indexrelid::regclass::text, ', ' ORDER BY indexrelid) FROM pg_index "
        "WHERE indrelid = $1 AND $2 = ANY (indkey::int2[])",
        {{OIDOID, ObjectIdGetDatum(table.oid), false}, {INT2OID, Int16GetDatum(step.target.column.number), false}});
    checks.check("tenant_key_index", indexes.bigint(0, 1) == 0, "0", std::to_string(indexes.bigint(0, 1)),
                 indexes.text(0, 2) ? table.label() + ": " + *indexes.text(0, 2) : table.label(),
                 "Each row written costs an entry in it: cheaper is to build the index after the backfill.", "WARN");
    std::string root = step.target.root.target();
    bool has_tenants;
    {
        RunAs owner(step.target.root.owner, Purpose::read);
        has_tenants = run_query(fmt::format("SELECT EXISTS (SELECT FROM {})", root), {}, true).boolean(0, 1);
    }
    checks.check("tenant_root", has_tenants, "tenants", has_tenants ? "tenants" : "none", step.target.root.label(),
                 "Fill the tenant root first.");
}

void check_server(Checks &checks, const MigrationRecord &migration) {
    int age = old_transaction_age();
    Rows old = own_query("SELECT count(*), string_agg(format('pid %s since %s', pid, date_trunc('second', "
                         "xact_start)), ', ' ORDER BY xact_start) FROM pg_stat_activity "
                         "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND xact_start < now() - "
                         "make_interval(secs => $1)",
                         {int_value(age)});
    checks.check("old_transactions", old.bigint(0, 1) == 0, "0", std::to_string(old.bigint(0, 1)),
                 old.text(0, 2)  ? *old.text(0, 2)
                 : age % 60 == 0 ? fmt::format("none older than {} minutes", age / 60)
                                 : fmt::format("none older than {} seconds", age),
                 "End them: as long as they run, dead row versions stay and the table grows.", "WARN");
    bool writable = !XactReadOnly;
    checks.check("read_only", writable, "read write", writable ? "read write" : "read only",
                 RecoveryInProgress() ? "the server is a standby" : "this transaction",
                 "Run on the primary, in a transaction that may write.");
    // a run in a transaction holds its migration's row; its own records are not visible yet
    Rows lock =
        own_query("SELECT count(*), string_agg(format('pid %s', l.pid), ', ') FROM tenantmig.migration m JOIN pg_locks "
                  "l ON l.transactionid = m.xmax "
                  "WHERE m.id = $1 AND l.locktype = 'transactionid' AND l.granted AND l.pid <> pg_backend_pid()",
                  {bigint_value(migration.id)});
    checks.check("other_run", lock.bigint(0, 1) == 0, "0", std::to_string(lock.bigint(0, 1)),
                 lock.text_or(0, 2, "nobody else is at work on this migration"), "Wait for the other session.");
}

// What the owners of the tables lack for the constraint steps.
void check_rights(Checks &checks, const MigrationRecord &migration) {
    for (const ConstraintTarget &target : resolve_constraints(migration)) {
        std::string what, grants;
        const std::vector<MissingRight> missing = missing_rights(target);
        for (const MissingRight &right : missing) {
            what += (what.empty() ? "" : "; ") + right.what;
            grants += (grants.empty() ? "" : " ") + right.grant;
        }
        checks.check("rights", missing.empty(), "0 missing", fmt::format("{} missing", missing.size()),
                     what.empty() ? target.label() : fmt::format("{}: {}", target.label(), what), grants);
    }
}
} // namespace

CheckRow aside_check(const MigrationRecord &migration, const StepAside &step) {
    const std::string detail = fmt::format("{}: {}", step_label(step.step, step.kind), step.reason);
    if (!step.later) return {"step", "PASS", "past", "past", detail, ""};
    return {"step",
            "WARN",
            "reached",
            "comes later",
            detail,
            fmt::format("CALL tenantmig.up({}) takes the steps in their order.", core::sql_literal(migration.name))};
}

std::vector<CheckRow> preflight_migration(const MigrationRecord &record) {
    ResolvedMigration migration = resolve_migration(record);
    Checks checks;
    for (const StepForecast &forecast : forecast(migration, true)) {
        check_counts(checks, forecast, record.name);
        check_table(checks, *forecast.step);
    }
    if (!migration.spec.constraints.empty()) check_rights(checks, record);
    check_server(checks, record);
    std::vector<CheckRow> rows = checks.take();
    for (const StepAside &step : migration.aside)
        rows.push_back(aside_check(record, step));
    return rows;
}

} // namespace tenantmig
