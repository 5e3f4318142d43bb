// grant_access.
#include "engine/access.hpp"
#include "bridge/results.hpp"

using namespace tenantmig;

TENANTMIG_FUNCTION(tenantmig_grant_access) {
    Arguments arguments(fcinfo);
    std::string role = arguments.text(0, "role"), level = arguments.text(1, "level");
    SpiSession session;
    grant_access_level(role, level);
    return Datum(0);
}
