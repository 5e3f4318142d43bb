// Indexes built concurrently, by a background worker at top level: a procedure may not do that.
#pragma once
#include "steps/constraint_change.hpp"

namespace tenantmig {

// Builds the index as the table's owner and returns when it is valid; meanwhile no transaction of ours is open. Several
// attempts if others hold the table; TM014 if rows are not unique, 55P03, 53400 (no background worker is free). What a
// failed attempt leaves behind is an invalid index, which is the caller's to remove.
void build_index(const Table &table, const std::string &name, const std::vector<std::string> &columns,
                 ConstraintChanger &changer);

struct IndexBuild {
    std::string name, statement; // statement: CREATE [UNIQUE] INDEX CONCURRENTLY name ON … without a tablespace
    std::optional<std::string> tablespace; // empty: the database's; not set: as the role has it
};
// Any other index: unless a valid one of that name stands there already (false). An invalid one on the same table is
// dropped first, and what a failed attempt leaves is dropped, too. TM018 if rows are not unique, 42P07 (the name means
// something else), otherwise as above. Tells how far it is every few seconds.
bool ensure_index(const Table &table, const IndexBuild &build, ConstraintChanger &changer);

// Drops an index that stands on the table, concurrently, by a worker. False: there is none.
bool drop_index_concurrently(const Table &table, const std::string &name, ConstraintChanger &changer);

// What stands under a name in the table's schema.
struct NamedIndex {
    Oid oid = InvalidOid;    // InvalidOid: nothing
    std::string what;        // index public.i on public.t; table public.i
    bool here = false;       // an index of this table
    bool valid = false;      // and valid and ready
    bool constraint = false; // of a constraint
    std::string definition;  // pg_get_indexdef
};
NamedIndex find_named_index(const Table &table, const std::string &name);

} // namespace tenantmig
