// maintenance, written_tables
#include "steps/maintenance.hpp"
#include "bridge/results.hpp"

using namespace tenantmig;

TENANTMIG_FUNCTION(tenantmig_maintenance) {
    Arguments arguments(fcinfo);
    const std::string name = arguments.text(0, "migration");
    const bool enabled = arguments.boolean(1, "enabled");
    FenceOptions options;
    if (arguments.is_null(2))
        throw Error(sqlstate::null_value_not_allowed, "argument \"time_limit\" must not be null", {},
                    "Give an interval, such as '30 minutes'.");
    options.whole_login = arguments.boolean(3, "whole_login");
    ResultSet rows(fcinfo);
    SpiSession spi;
    options.time_limit = own_query("SELECT $1", {Value{INTERVALOID, fcinfo->args[2].value, false}}).text_or(0, 1);
    for (const FenceOutcome &outcome : set_maintenance(get_migration(name), enabled, options))
        rows.add({outcome.relation, outcome.state, outcome.until});
    return Datum(0);
}

TENANTMIG_FUNCTION(tenantmig_written_tables) {
    Arguments arguments(fcinfo);
    const std::string name = arguments.text(0, "migration");
    ResultSet rows(fcinfo);
    SpiSession spi;
    const MigrationRecord migration = get_migration(name);
    require_owner(migration);
    for (const WrittenTable &table : written_tables(migration)) {
        const std::string keys = own_query("SELECT $1", {text_array_value(table.keys)}).text_or(0, 1);
        rows.add({table.table.label(), table.table.schema, table.table.name, keys});
    }
    return Datum(0);
}
