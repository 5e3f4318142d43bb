#include "engine/lent_right.hpp"

namespace tenantmig {

LentRight::LentRight(Oid role, const std::string &function) : role_(quoted(role_name(role))) {
    Rows rows = own_query("SELECT has_schema_privilege($1, 'tenantmig', 'USAGE'), "
                          "has_function_privilege($1, $2, 'EXECUTE')",
                          {Value{OIDOID, ObjectIdGetDatum(role), false}, text_value(function)});
    if (!rows.boolean(0, 1)) lend("USAGE ON SCHEMA tenantmig");
    if (!rows.boolean(0, 2)) lend("EXECUTE ON FUNCTION " + function);
}

void LentRight::take_back() {
    for (const std::string &right : lent_)
        own_query(fmt::format("REVOKE {} FROM {}", right, role_));
}

void LentRight::lend(const std::string &right) {
    own_query(fmt::format("GRANT {} TO {}", right, role_));
    lent_.push_back(right);
}

} // namespace tenantmig
