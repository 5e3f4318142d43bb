// up, down, migration_report
#include "steps/migrate.hpp"
#include "core/excerpt.hpp"
#include "engine/migration_report.hpp"

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

TENANTMIG_FUNCTION(tenantmig_migration_report) {
    Arguments arguments(fcinfo);
    const std::string name = arguments.text(0, "name"), format = arguments.text(1, "format");
    if (format != "markdown" && format != "json" && format != "html")
        throw Error(sqlstate::invalid_parameter_value,
                    fmt::format("{} is not a format of reports", core::excerpt(format)), {},
                    "Formats are markdown, json and html.");
    MemoryContext caller = CurrentMemoryContext;
    MigrationReport report;
    {
        SpiSession session;
        report = migration_report(name);
    }
    MemoryContextSwitchTo(caller);
    return text_result(format == "json" ? report.json : format == "html" ? report.html : report.markdown);
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
