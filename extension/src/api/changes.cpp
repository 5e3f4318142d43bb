// unpack, row_key, digest, verify_changes: the change log as people read it.
#include "core/key_text.hpp"

#include "bridge/memory.hpp"
#include "bridge/results.hpp"
#include "catalog/migration_store.hpp"
#include "catalog/report_archive.hpp"
#include "catalog/text_arrays.hpp"
#include "engine/log_check.hpp"

using namespace tenantmig;

namespace {
std::vector<std::string> names_argument(FunctionCallInfo call, int number, const char *name) {
    if (call->args[number].isnull)
        throw Error(sqlstate::null_value_not_allowed, fmt::format("argument \"{}\" must not be null", name), {},
                    fmt::format("Give a value for \"{}\".", name));
    std::vector<std::string> result;
    for (std::string_view view : view_text_array(call->args[number].value))
        result.emplace_back(view.data() ? view : std::string_view());
    return result;
}

std::string json_of_key(const std::vector<std::string> &columns, const std::vector<std::string> &types,
                        std::string_view key) {
    return core::key_json(columns, types, core::unpack_key(key, columns.size()));
}

Datum jsonb_datum(const std::string &text) {
    char *data = const_cast<char *>(text.c_str());
    return pg_call([data] { return DirectFunctionCall1(jsonb_in, CStringGetDatum(data)); });
}

// A list of old or new values; NULL stands for as many NULLs as there are keys.
std::vector<std::string_view> values_argument(FunctionCallInfo call, int number, std::size_t count) {
    if (call->args[number].isnull) return std::vector<std::string_view>(count);
    std::vector<std::string_view> values = view_text_array(call->args[number].value);
    if (values.size() != count)
        throw Error(
            sqlstate::log_tampered, "keys and values of an entry of the change log differ in number",
            fmt::format("{} keys, {} values.", count, values.size()),
            "The entry was not written by tenantmig; verify_changes(run) names the first bad entry of a change log.");
    return values;
}
} // namespace

TENANTMIG_FUNCTION(tenantmig_unpack) {
    auto columns = names_argument(fcinfo, 0, "key_columns"), types = names_argument(fcinfo, 1, "key_types");
    if (fcinfo->args[2].isnull)
        throw Error(sqlstate::null_value_not_allowed, "argument \"keys\" must not be null", {},
                    "Give a value for \"keys\".");
    auto keys = view_text_array(fcinfo->args[2].value);
    auto old_values = values_argument(fcinfo, 3, keys.size()), new_values = values_argument(fcinfo, 4, keys.size());
    pg_call([fcinfo] { InitMaterializedSRF(fcinfo, 0); });
    auto *info = reinterpret_cast<ReturnSetInfo *>(fcinfo->resultinfo);
    Tuplestorestate *store = info->setResult;
    TupleDesc descriptor = info->setDesc;
    MemoryScope scope;
    constexpr std::size_t rows_between_resets = 1000;
    for (std::size_t i = 0; i < keys.size(); i++) {
        std::string json = json_of_key(columns, types, keys[i]);
        char *key = json.data();
        std::string_view old_value = old_values[i], new_value = new_values[i];
        pg_call([key, old_value, new_value, store, descriptor] {
            auto to_text = [](std::string_view value) {
                return value.data()
                           ? PointerGetDatum(cstring_to_text_with_len(value.data(), static_cast<int>(value.size())))
                           : Datum(0);
            };
            Datum values[3] = {DirectFunctionCall1(jsonb_in, CStringGetDatum(key)), to_text(old_value),
                               to_text(new_value)};
            bool nulls[3] = {false, !old_value.data(), !new_value.data()};
            tuplestore_putvalues(store, descriptor, values, nulls);
        });
        if (i % rows_between_resets == rows_between_resets - 1) scope.reset();
    }
    return Datum(0);
}

TENANTMIG_FUNCTION(tenantmig_row_key) {
    Arguments arguments(fcinfo);
    auto columns = names_argument(fcinfo, 0, "key_columns"), types = names_argument(fcinfo, 1, "key_types");
    return jsonb_datum(json_of_key(columns, types, arguments.text(2, "key")));
}

TENANTMIG_FUNCTION(tenantmig_digest) {
    std::int64_t run = Arguments(fcinfo).bigint(0, "run");
    std::string digest;
    {
        SpiSession session;
        digest = log_digest(archived_report(run) ? run : get_run(run).id);
    }
    return text_result(digest);
}

TENANTMIG_FUNCTION(tenantmig_verify_changes) {
    Arguments arguments(fcinfo);
    std::int64_t run = arguments.bigint(0, "run");
    auto digest = arguments.optional_text(1);
    SpiSession session;
    auto checks = check_log(archived_report(run) ? run : get_run(run).id, digest);
    ResultSet results(fcinfo);
    for (const CheckRow &check : checks)
        results.add({check.check_name, check.status, check.expected, check.actual,
                     check.detail.empty() ? std::optional<std::string>() : check.detail,
                     check.hint.empty() ? std::optional<std::string>() : check.hint});
    return Datum(0);
}
