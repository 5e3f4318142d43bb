// isolation_speed
#include "steps/isolation_speed.hpp"
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

std::optional<std::string> filled(const std::string &text) {
    return text.empty() ? std::nullopt : std::optional(text);
}
} // namespace

TENANTMIG_FUNCTION(tenantmig_isolation_speed) {
    const Arguments arguments(fcinfo);
    ProbeOptions options;
    options.migration = arguments.optional_text(0);
    options.role = arguments.optional_text(1);
    options.tables = texts(fcinfo, 2, "tables");
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
