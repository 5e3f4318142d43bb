// spec_checksum, spec_difference, replace_migration
#include "core/spec_difference.hpp"
#include "core/error.hpp"
#include <nlohmann/json.hpp>

#include "bridge/results.hpp"
#include "catalog/migration_store.hpp"
#include "steps/replace_migration.hpp"

using namespace tenantmig;

namespace {
// jsonb holds numbers that no double does.
nlohmann::json document_of(const std::string &text) {
    try {
        return nlohmann::json::parse(text);
    } catch (const nlohmann::json::exception &) {
        throw Error(sqlstate::spec_invalid, "spec: a number is out of range",
                    "A spec holds numbers of double precision.", "Write the value as a string: \"1e400\".");
    }
}
} // namespace

TENANTMIG_FUNCTION(tenantmig_spec_checksum) {
    Arguments arguments(fcinfo);
    std::string spec = arguments.json(0, "spec");
    MemoryContext caller = CurrentMemoryContext;
    std::string checksum;
    {
        SpiSession spi;
        checksum = spec_checksum(spec);
    }
    MemoryContextSwitchTo(caller);
    return text_result(checksum);
}

TENANTMIG_FUNCTION(tenantmig_spec_difference) {
    Arguments arguments(fcinfo);
    std::string name = arguments.text(0, "migration");
    std::string spec = arguments.json(1, "spec");
    ResultSet rows(fcinfo);
    SpiSession spi;
    const nlohmann::json stored = document_of(get_migration(name).spec), given = document_of(spec);
    for (const core::SpecDifference &difference : core::spec_difference(stored, given))
        rows.add({difference.path, difference.stored, difference.given});
    return static_cast<Datum>(0);
}

TENANTMIG_FUNCTION(tenantmig_replace_migration) {
    Arguments arguments(fcinfo);
    std::string spec = arguments.json(0, "spec");
    MemoryContext caller = CurrentMemoryContext;
    std::string name;
    {
        SpiSession spi;
        name = replace_migration(spec).name;
    }
    MemoryContextSwitchTo(caller);
    return text_result(name);
}
