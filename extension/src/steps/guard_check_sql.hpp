// The conditions of a guard as SQL over whole tables.
#pragma once
#include "core/guard_definition.hpp"

#include "bridge/relation.hpp"

namespace tenantmig {

struct GuardQuery {
    Table table;                          // the guarded one: t in the query
    std::string column;                   // its column, as it is called now; empty: none
    std::string from, violation;          // FROM … WHERE …
    std::vector<Table> looked_at;         // other tables that it reads
    std::optional<Column> key, reference; // kind acyclic, which goes from row to row instead
    std::optional<Column> id, embedded;   // kind prefix: for reading below SQL
};

// The guard in this place: by identity, or by name after a restore. `oid`: where its trigger stands, or InvalidOid.
// Errors: 42P01, 42703 (what it names is gone).
GuardQuery guard_query(const core::GuardDefinition &definition, Oid oid);

} // namespace tenantmig
