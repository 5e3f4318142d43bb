// probe_isolation
#include "steps/probe.hpp"
#include "bridge/identity.hpp"
#include "bridge/results.hpp"

using namespace tenantmig;

namespace {
std::optional<std::vector<std::string>> texts(FunctionCallInfo call, int number, const char *name) {
    if (call->args[number].isnull) return std::nullopt;
    struct Parts {
        Datum *values;
        bool *nulls;
        int count;
    };
    Datum value = call->args[number].value;
    const Parts parts = pg_call([value] {
        Parts out;
        deconstruct_array(DatumGetArrayTypeP(value), TEXTOID, -1, false, TYPALIGN_INT, &out.values, &out.nulls,
                          &out.count);
        return out;
    });
    std::vector<std::string> result;
    for (int i = 0; i < parts.count; i++) {
        if (parts.nulls[i])
            throw Error(sqlstate::null_value_not_allowed, fmt::format("argument \"{}\" must not contain null", name),
                        {}, "Leave the argument out for all.");
        result.emplace_back(text_view(parts.values[i]));
    }
    return result;
}

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
    options.tables = texts(fcinfo, 2, "tables");
    options.tenants = texts(fcinfo, 3, "tenants");
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
