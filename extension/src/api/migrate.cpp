// up, down
#include "steps/migrate.hpp"
#include "bridge/results.hpp"
#include "bridge/transaction.hpp"

using namespace tenantmig;

namespace {
std::optional<std::int32_t> optional_int(const Arguments &arguments, int number, const char *name) {
    if (arguments.is_null(number)) return std::nullopt;
    return static_cast<std::int32_t>(arguments.bigint(number, name));
}
} // namespace

TENANTMIG_FUNCTION(tenantmig_up) {
    Arguments arguments(fcinfo);
    require_writable();
    const std::string name = arguments.text(0, "name");
    WalkOptions options;
    options.to_step = optional_int(arguments, 1, "to_step");
    options.steps = optional_int(arguments, 2, "steps");
    options.workers = optional_int(arguments, 3, "workers").value_or(1);
    options.maintenance = arguments.boolean(4, "maintenance");
    up_in_session(fcinfo, name, options);
    return static_cast<Datum>(0);
}

TENANTMIG_FUNCTION(tenantmig_down) {
    Arguments arguments(fcinfo);
    require_writable();
    const std::string name = arguments.text(0, "name");
    WalkOptions options;
    options.to_step = optional_int(arguments, 1, "to_step");
    options.steps = optional_int(arguments, 2, "steps");
    down_in_session(fcinfo, name, options);
    return static_cast<Datum>(0);
}
