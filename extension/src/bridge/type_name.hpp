// Names of types as PostgreSQL's own parser reads them.
#pragma once
#include "bridge/boundary.hpp"

namespace tenantmig {

struct NamedType {
    Oid oid = InvalidOid;
    std::int32_t typmod = -1;
    bool pseudo = false;
    std::string sql; // qualified, with its modifier
};
// Under the search_path in force; nothing but the name of a type may stand there. PgError with 42601, 42704.
NamedType type_by_name(const std::string &written);

} // namespace tenantmig
