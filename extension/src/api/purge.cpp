// purge
#include "steps/purge.hpp"
#include "bridge/results.hpp"
#include "catalog/own_tables.hpp"

using namespace tenantmig;

TENANTMIG_FUNCTION(tenantmig_purge) {
    Arguments arguments(fcinfo);
    PurgeOptions options;
    options.execute = arguments.boolean(2, "execute");
    options.force = arguments.boolean(3, "force");
    SpiSession session;
    if (!arguments.is_null(0)) {
        options.kinds.emplace();
        Rows rows = own_query("SELECT $1", {Value{TEXTARRAYOID, fcinfo->args[0].value, false}});
        for (const auto &kind : rows.nullable_text_array(0, 1)) {
            if (!kind)
                throw Error(sqlstate::null_value_not_allowed, "a kind to be purged is NULL", {},
                            "Kinds are change_log, reviews, runs, observations, drift, backups and kept_columns.");
            options.kinds->push_back(*kind);
        }
    }
    if (!arguments.is_null(1))
        options.older_than = own_query("SELECT $1", {Value{INTERVALOID, fcinfo->args[1].value, false}}).text(0, 1);
    std::vector<PurgeRow> rows = purge(options);
    ResultSet results(fcinfo);
    for (const PurgeRow &row : rows)
        results.add({row.kind, row.migration.empty() ? std::nullopt : std::optional<std::string>(row.migration),
                     std::to_string(row.rows), row.oldest, row.newest, row.outcome, row.reason});
    return Datum(0);
}
