// accept_tables
#include "steps/ddl_watch.hpp"
#include "bridge/results.hpp"

using namespace tenantmig;

TENANTMIG_FUNCTION(tenantmig_accept_tables) {
    std::string name = Arguments(fcinfo).text(0, "name");
    SpiSession session;
    std::vector<std::string> tables = accept_tables(get_migration(name));
    ResultSet results(fcinfo);
    for (const std::string &table : tables)
        results.add({table, "accepted"});
    return Datum(0);
}
