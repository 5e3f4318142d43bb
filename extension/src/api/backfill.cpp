// backfill, both forms
#include "core/spec.hpp"

#include "bridge/results.hpp"
#include "bridge/subtransaction.hpp"
#include "steps/backfill.hpp"
#include "steps/migration.hpp"

using namespace tenantmig;

namespace {
void add_counts(ResultSet &rows, const std::vector<OutcomeCount> &counts) {
    for (const OutcomeCount &count : counts)
        rows.add(
            {count.relation, count.outcome, count.source, std::to_string(count.rows), std::to_string(count.deleted)});
}

std::int64_t dry_run_rows(const Arguments &arguments, int rows, int full) {
    std::int64_t number = arguments.bigint(rows, "dry_run_rows");
    if (number < 0)
        throw Error(sqlstate::invalid_parameter_value, "dry_run_rows must not be negative",
                    fmt::format("It is {}.", number), "Give a number of rows, 0 for none.");
    if (!arguments.boolean(full, "dry_run_full")) return number;
    warning("a full dry run writes every row and undoes it",
            "The undone row versions stay in the table until vacuum removes them.",
            "Run VACUUM afterwards, or do with dry_run_rows.");
    return INT64_MAX;
}
} // namespace

TENANTMIG_FUNCTION(tenantmig_backfill_table) {
    Arguments arguments(fcinfo);
    TableBackfill table;
    table.relation = arguments.text(0, "relation");
    table.column = arguments.text(1, "column_name");
    table.tenants = arguments.optional_text(2);
    table.sources = arguments.optional_json(3);
    table.evidence = arguments.text(4, "evidence");
    table.on_conflict = arguments.text(5, "on_conflict");
    table.on_orphan = arguments.text(6, "on_orphan");
    table.assign_orphans_to = arguments.optional_text(7);
    table.soft_delete = arguments.optional_text(8);
    table.conditions = arguments.optional_json(9);
    BackfillOptions options;
    options.dry_run = arguments.boolean(10, "dry_run");
    options.dry_run_rows = dry_run_rows(arguments, 11, 12);
    ResultSet rows(fcinfo);
    SpiSession spi;
    std::string spec = spec_of(table);
    if (!options.dry_run) {
        add_counts(rows, run_backfill(create_migration(spec), options));
        return static_cast<Datum>(0);
    }
    std::vector<OutcomeCount> counts;
    {
        Subtransaction rehearsal; // a dry run leaves nothing, the migration included
        counts = run_backfill(create_migration(spec), options);
        rehearsal.undo();
    }
    add_counts(rows, counts);
    return static_cast<Datum>(0);
}

TENANTMIG_FUNCTION(tenantmig_backfill_migration) {
    Arguments arguments(fcinfo);
    std::string name = arguments.text(0, "migration");
    BackfillOptions options;
    options.dry_run = arguments.boolean(1, "dry_run");
    options.plan_hash = arguments.optional_text(2);
    options.max_count_change = arguments.numeric(3, "max_count_change");
    if (!(options.max_count_change >= 0))
        throw Error(sqlstate::invalid_parameter_value, "max_count_change must not be negative",
                    fmt::format("It is {:g}.", options.max_count_change), "Give a share, for example 0.01 for 1 %.");
    options.dry_run_rows = dry_run_rows(arguments, 4, 5);
    ResultSet rows(fcinfo);
    SpiSession spi;
    add_counts(rows, run_backfill(get_migration(name), options));
    return static_cast<Datum>(0);
}
