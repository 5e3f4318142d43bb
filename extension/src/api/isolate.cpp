// isolate, isolation_criteria
#include "steps/isolate.hpp"

#include "bridge/results.hpp"
#include "bridge/transaction.hpp"
#include "steps/migrate.hpp"
#include "steps/migration.hpp"

using namespace tenantmig;

namespace {
std::optional<std::string> filled(const std::string &text) {
    return text.empty() ? std::nullopt : std::optional(text);
}

IsolateArguments read_arguments(FunctionCallInfo call) {
    const Arguments given(call);
    IsolateArguments arguments;
    if (given.is_null(0))
        throw Error(sqlstate::null_value_not_allowed, "argument \"tables\" must not be null", {},
                    "Name the tables: ARRAY['customers', 'orders'].");
    {
        SpiSession spi;
        const Rows rows = run_query("SELECT $1", {Value{TEXTARRAYOID, call->args[0].value, false}});
        for (const auto &table : rows.nullable_text_array(0, 1)) {
            if (!table)
                throw Error(sqlstate::null_value_not_allowed, "argument \"tables\" has a NULL in it", {},
                            "Name the tables: ARRAY['customers', 'orders'].");
            arguments.tables.push_back(*table);
        }
    }
    if (arguments.tables.empty())
        throw Error(sqlstate::invalid_parameter_value, "argument \"tables\" is empty", {},
                    "Name the tables: ARRAY['customers', 'orders'].");
    arguments.role = given.text(1, "role");
    arguments.tenants = given.optional_text(2);
    arguments.setting = given.text(3, "setting");
    arguments.super_role = given.optional_text(4);
    arguments.force = given.boolean(5, "force");
    arguments.null_keys = given.text(6, "null_keys");
    arguments.name = given.text(7, "name");
    return arguments;
}
} // namespace

TENANTMIG_FUNCTION(tenantmig_isolate) {
    require_writable();
    const IsolateArguments arguments = read_arguments(fcinfo);
    {
        const std::unique_ptr<Transactions> transactions = session_transactions(fcinfo, "tenantmig.isolate");
        transactions->run(true, [&] {
            try {
                notice(isolate_announcement(create_migration(isolate_spec(arguments))));
            } catch (const Error &error) {
                throw isolate_argument_error(error);
            }
        });
    }
    up_in_session(fcinfo, arguments.name, {});
    return static_cast<Datum>(0);
}

TENANTMIG_FUNCTION(tenantmig_isolation_criteria) {
    const std::string name = Arguments(fcinfo).text(0, "name");
    ResultSet rows(fcinfo);
    SpiSession spi;
    tenantmig::LockTimeout timeout; // ::LockTimeout is PostgreSQL's
    for (const CheckRow &check : isolation_criteria(get_migration(name)))
        rows.add(
            {check.check_name, check.status, check.expected, check.actual, filled(check.detail), filled(check.hint)});
    return static_cast<Datum>(0);
}
