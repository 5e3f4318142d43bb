#include "bridge/text_array_argument.hpp"

namespace tenantmig {

std::optional<std::vector<std::string>> text_array_argument(FunctionCallInfo call, int number, const char *name,
                                                            const char *hint) {
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
                        {}, hint);
        result.emplace_back(text_view(parts.values[i]));
    }
    return result;
}

} // namespace tenantmig
