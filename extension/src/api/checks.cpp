// plan, plan_hash, preflight, verify
#include "core/spec.hpp"

#include "bridge/results.hpp"
#include "catalog/run_store.hpp"
#include "steps/checks.hpp"

using namespace tenantmig;

namespace {
std::optional<std::string> filled(const std::string &text) {
    return text.empty() ? std::nullopt : std::optional(text);
}

void add_checks(ResultSet &rows, const std::vector<CheckRow> &checks) {
    for (const CheckRow &check : checks)
        rows.add(
            {check.check_name, check.status, check.expected, check.actual, filled(check.detail), filled(check.hint)});
}
} // namespace

TENANTMIG_FUNCTION(tenantmig_plan) {
    std::string name = Arguments(fcinfo).text(0, "name");
    ResultSet rows(fcinfo);
    SpiSession spi;
    tenantmig::LockTimeout timeout; // ::LockTimeout is PostgreSQL's
    for (const PlanRow &row : plan_migration(get_migration(name)))
        rows.add({std::to_string(row.step), row.kind, row.count.relation, row.count.outcome, row.count.source,
                  std::to_string(row.count.rows), row.path, filled(row.locks),
                  row.seconds ? filled(fmt::format("{:.2f}", *row.seconds)) : std::nullopt,
                  row.wal_bytes ? filled(std::to_string(*row.wal_bytes)) : std::nullopt, filled(row.note),
                  std::to_string(row.count.deleted)});
    return static_cast<Datum>(0);
}

TENANTMIG_FUNCTION(tenantmig_plan_hash) {
    Arguments arguments(fcinfo);
    std::string name = arguments.text(0, "name");
    bool with_counts = arguments.boolean(1, "with_counts");
    MemoryContext caller = CurrentMemoryContext;
    std::string hash;
    {
        SpiSession spi;
        tenantmig::LockTimeout timeout; // ::LockTimeout is PostgreSQL's
        MigrationRecord record = get_migration(name);
        if (const auto run = unfinished_run(record.id)) record.scope = run->steps;
        ResolvedMigration migration = resolve_for_run(record);
        hash = hash_plan(migration);
        if (with_counts) hash += ":" + counts_token(forecast(migration, false));
    }
    MemoryContextSwitchTo(caller);
    return text_result(hash);
}

TENANTMIG_FUNCTION(tenantmig_preflight) {
    std::string name = Arguments(fcinfo).text(0, "name");
    ResultSet rows(fcinfo);
    SpiSession spi;
    tenantmig::LockTimeout timeout; // ::LockTimeout is PostgreSQL's
    add_checks(rows, preflight_migration(get_migration(name)));
    return static_cast<Datum>(0);
}

TENANTMIG_FUNCTION(tenantmig_verify) {
    std::string name = Arguments(fcinfo).text(0, "name");
    ResultSet rows(fcinfo);
    SpiSession spi;
    tenantmig::LockTimeout timeout; // ::LockTimeout is PostgreSQL's
    add_checks(rows, verify_migration(get_migration(name)));
    return static_cast<Datum>(0);
}
