// isolation_speed
#include "steps/isolation_speed.hpp"
#include "bridge/identity.hpp"
#include "bridge/results.hpp"
#include "bridge/text_array_argument.hpp"

using namespace tenantmig;

namespace {
constexpr const char *for_all = "Leave the argument out for all.";

std::optional<std::string> filled(const std::string &text) {
    return text.empty() ? std::nullopt : std::optional(text);
}
} // namespace

TENANTMIG_FUNCTION(tenantmig_isolation_speed) {
    const Arguments arguments(fcinfo);
    ProbeOptions options;
    options.migration = arguments.optional_text(0);
    options.role = arguments.optional_text(1);
    options.tables = text_array_argument(fcinfo, 2, "tables", for_all);
    options.tenant_root = arguments.optional_text(3);
    options.setting = arguments.optional_text(4);
    const bool measure = arguments.boolean(5, "measure");
    ResultSet rows(fcinfo);
    SpiSession spi;
    tenantmig::LockTimeout timeout; // ::LockTimeout is PostgreSQL's
    for (const SpeedRow &row : isolation_speed(options, measure))
        rows.add({row.relation, row.check_name, filled(row.object), row.expected, row.actual,
                  row.ratio ? std::optional(fmt::format("{:.2f}", *row.ratio)) : std::nullopt, row.status,
                  filled(row.detail), filled(row.remedy), row.acted_as});
    return static_cast<Datum>(0);
}
