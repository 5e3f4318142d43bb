// probe_isolation
#include "steps/probe.hpp"
#include "bridge/identity.hpp"
#include "bridge/results.hpp"
#include "bridge/text_array_argument.hpp"

using namespace tenantmig;

namespace {
constexpr const char *for_all = "Leave the argument out for all.";

int whole(FunctionCallInfo call, int number, const char *name) {
    if (call->args[number].isnull)
        throw Error(sqlstate::null_value_not_allowed, fmt::format("argument \"{}\" must not be null", name), {},
                    "Leave the argument out for its default.");
    return DatumGetInt32(call->args[number].value);
}

std::optional<std::string> filled(const std::string &text) {
    return text.empty() ? std::nullopt : std::optional(text);
}
} // namespace

TENANTMIG_FUNCTION(tenantmig_probe_isolation) {
    const Arguments arguments(fcinfo);
    ProbeOptions options;
    options.migration = arguments.optional_text(0);
    options.role = arguments.optional_text(1);
    options.tables = text_array_argument(fcinfo, 2, "tables", for_all);
    options.tenants = text_array_argument(fcinfo, 3, "tenants", for_all);
    options.pairs = whole(fcinfo, 4, "pairs");
    options.writes = arguments.boolean(5, "writes");
    options.tenant_root = arguments.optional_text(6);
    options.setting = arguments.optional_text(7);
    options.max_tenants = whole(fcinfo, 8, "max_tenants");
    ResultSet rows(fcinfo);
    SpiSession spi;
    tenantmig::LockTimeout timeout; // ::LockTimeout is PostgreSQL's
    for (const ProbeRow &row : probe_isolation(options))
        rows.add({row.relation, row.attack, row.tenant, row.victim, row.expected, row.seen, row.status,
                  filled(row.remedy), row.key, row.exempt, row.acted_as});
    return static_cast<Datum>(0);
}
