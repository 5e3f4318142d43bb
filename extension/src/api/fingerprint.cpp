// fingerprint
#include "core/excerpt.hpp"

#include "bridge/identity.hpp"
#include "bridge/results.hpp"
#include "catalog/own_tables.hpp"
#include "steps/fingerprint.hpp"

using namespace tenantmig;

namespace {

std::vector<std::string> schemas_argument(Datum argument) {
    Rows given = own_query("SELECT $1, (SELECT u.s FROM unnest($1) u (s) WHERE u.s NOT IN (SELECT nspname FROM "
                           "pg_namespace) ORDER BY 1 LIMIT 1)",
                           {Value{TEXTARRAYOID, argument, false}});
    std::vector<std::string> schemas;
    for (const auto &name : given.nullable_text_array(0, 1)) {
        if (!name)
            throw Error(sqlstate::null_value_not_allowed, "an element of \"schemas\" is NULL", {},
                        "Name schemas, or leave the argument out for all of them.");
        schemas.push_back(*name);
    }
    if (!given.is_null(0, 2))
        throw Error(sqlstate::undefined_object,
                    fmt::format("schema {} does not exist", core::excerpt(given.text_or(0, 2))), {},
                    "Names are taken as written: \\dn lists the schemas.");
    return schemas;
}
} // namespace

TENANTMIG_FUNCTION(tenantmig_fingerprint) {
    Arguments arguments(fcinfo);
    const auto name = arguments.optional_text(0);
    const bool with_data = arguments.boolean(2, "with_data");
    ResultSet results(fcinfo);
    SpiSession session;
    tenantmig::LockTimeout timeout; // ::LockTimeout is PostgreSQL's
    FingerprintScope scope;
    if (!arguments.is_null(1)) scope.schemas = schemas_argument(fcinfo->args[1].value);
    if (name) scope.tables = tables_of(get_migration(*name));
    for (const FingerprintRow &row : fingerprint(scope, with_data))
        results.add({row.part, row.object, row.rows ? std::optional(std::to_string(*row.rows)) : std::nullopt,
                     core::hex(row.hash), row.definition});
    return Datum(0);
}
