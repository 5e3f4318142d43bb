// attach_guard, detach_guard
#include "bridge/results.hpp"
#include "steps/guard.hpp"

using namespace tenantmig;

namespace {
std::optional<std::int32_t> step_argument(FunctionCallInfo call) {
    if (call->args[1].isnull) return std::nullopt;
    return DatumGetInt32(call->args[1].value);
}

void add(ResultSet &rows, const std::vector<GuardOutcome> &outcomes) {
    for (const GuardOutcome &outcome : outcomes)
        rows.add({std::to_string(outcome.step), outcome.relation, outcome.column, outcome.kind, outcome.mode,
                  outcome.trigger, outcome.outcome});
}
} // namespace

TENANTMIG_FUNCTION(tenantmig_attach_guard) {
    Arguments arguments(fcinfo);
    std::string name = arguments.text(0, "migration");
    ResultSet rows(fcinfo);
    SpiSession spi;
    add(rows, attach_guards(get_migration(name), step_argument(fcinfo)));
    return Datum(0);
}

TENANTMIG_FUNCTION(tenantmig_detach_guard) {
    Arguments arguments(fcinfo);
    std::string name = arguments.text(0, "migration");
    ResultSet rows(fcinfo);
    SpiSession spi;
    add(rows, detach_guards(get_migration(name), step_argument(fcinfo)));
    return Datum(0);
}
