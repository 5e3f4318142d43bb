// Row-level security as the catalogue has it: the policies of a table, and whether one of them is exactly a condition
// that we would write. Conditions are compared as PostgreSQL stores them, not as text: columns and roles may have been
// renamed, and a dump that was restored writes them in other words.
#pragma once
#include "bridge/sql.hpp"

namespace tenantmig {

struct Policy {
    Oid oid = InvalidOid;
    std::string name;
    char command = '*'; // pg_policy.polcmd
    bool permissive = true;
    std::vector<Oid> roles; // InvalidOid among them: PUBLIC
    bool has_using = false, has_check = false;
};

// By name. Under the current user; needs an SPI connection.
std::vector<Policy> policies_of(Oid table);

struct RowSecurity {
    bool enabled = false, forced = false;
};
RowSecurity row_security_of(Oid table); // of a table that exists

// Whether USING and WITH CHECK both are this condition; `condition` is parsed under the search_path in force, which has
// to be pinned (RunAs, Purpose::read). Locks: ACCESS SHARE on the table.
bool policy_is(const Policy &policy, Oid table, const std::string &condition);

} // namespace tenantmig
