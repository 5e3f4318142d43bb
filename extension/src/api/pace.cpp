#include "engine/pace.hpp"
#include "bridge/results.hpp"

using namespace tenantmig;

TENANTMIG_FUNCTION(tenantmig_set_pace) {
    Arguments arguments(fcinfo);
    std::string name = arguments.text(0, "name"), settings = arguments.json(1, "settings");
    std::string in_force;
    {
        SpiSession session; // what is allocated in it does not outlive it
        in_force = set_pace(name, settings);
    }
    const char *json = in_force.c_str();
    return pg_call([json] { return DirectFunctionCall1(jsonb_in, CStringGetDatum(json)); });
}
