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
    ResolvedMigration migration = check_migration(spec);
    for (const ResolvedStep &step : migration.steps) {
        const StepTarget &target = step.target;
        std::string key;
        for (AttrNumber number : target.key)
            key += (key.empty() ? "" : ", ") + quoted(target.table.at(number).name);
        for (const ResolvedSource &source : step.sources) {
            const char *kind = source.kind == core::SourceKind::children ? "rows that point here"
                               : source.kind == core::SourceKind::parent ? "the row's parent"
                               : source.kind == core::SourceKind::path   ? "a parent over several hops"
                                                                         : "a polymorphic reference";
            rows.add({std::to_string(step.spec.number), "backfill", step.label(), target.column.name, source.label,
                      source.tenant_label(), fmt::format("{}; rows are identified by ({})", kind, key)});
        }
    }
    return static_cast<Datum>(0);
}
