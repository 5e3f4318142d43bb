// create_migration, check_migration
#include "core/spec.hpp"

#include "bridge/results.hpp"
#include "steps/migration.hpp"

using namespace tenantmig;

TENANTMIG_FUNCTION(tenantmig_create_migration) {
    Arguments arguments(fcinfo);
    std::string spec = arguments.json(0, "spec");
    MemoryContext caller = CurrentMemoryContext;
    std::string name;
    {
        SpiSession spi;
        name = create_migration(spec).name;
    }
    MemoryContextSwitchTo(caller);
    return text_result(name);
}

TENANTMIG_FUNCTION(tenantmig_check_migration) {
    Arguments arguments(fcinfo);
    std::string spec = arguments.json(0, "spec");
    ResultSet rows(fcinfo);
    SpiSession spi;
    const auto filled = [](const std::string &value) { return value.empty() ? std::nullopt : std::optional(value); };
    for (const CheckedStep &step : check_migration(spec).steps)
        rows.add({std::to_string(step.step), std::string(core::step_name(step.kind)), filled(step.relation),
                  filled(step.column), filled(step.source), filled(step.tenant), filled(step.note)});
    return static_cast<Datum>(0);
}
