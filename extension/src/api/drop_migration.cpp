#include "bridge/results.hpp"
#include "engine/removal.hpp"

using namespace tenantmig;

TENANTMIG_FUNCTION(tenantmig_drop_migration) {
    Arguments arguments(fcinfo);
    std::string name = arguments.text(0, "name");
    bool force = arguments.boolean(1, "force");
    SpiSession session;
    remove_migration(name, force);
    return Datum(0);
}
