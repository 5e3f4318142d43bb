// A guard step as it stands in this database: names resolved, types and rights checked.
#pragma once
#include "core/guard_definition.hpp"

#include "engine/resolve.hpp"

namespace tenantmig {

struct GuardTarget {
    core::GuardStep step;
    Table table;
    Column column;               // number 0: reference that asks only whether rows exist
    std::optional<Table> parent; // same_tenant: it has a trigger too, unless it is `table` itself
    bool deferrable = false;     // same_tenant: a row may be there before its parent
    // What the trigger will know; of kind tenant_key, whose sources come from the backfill step, only the frame.
    core::GuardDefinition definition;
    std::vector<Table> looked_at; // whose owner's privileges are needed as well
};

// The table of tenants and its key, as far as they are known.
struct TenantRoot {
    std::optional<Table> table;
    Column key;
};
TenantRoot tenant_root(const core::Spec &spec, NameBook &names);

// Resolves one step and checks what can be checked without a backfill step; with `root` empty the tenant root is what
// the column references. Errors: 42P01, 42703, 42809, 42501 (not the owner of a table), 42804, 0A000, 55000 (no foreign
// key or primary key to go by), TM001 (several).
GuardTarget resolve_guard(const core::GuardStep &step, NameBook &names, const TenantRoot &root,
                          const std::string &migration);

// Whether two guards, on the same table, are the same one: kind, column and via.
bool same_guard(const core::GuardDefinition &a, const core::GuardDefinition &b);

core::GuardTable guard_identity(const Table &table);
core::GuardColumn guard_identity(const Column &column);
std::vector<core::GuardColumn> guard_identities(const Table &table, const std::vector<AttrNumber> &numbers);

} // namespace tenantmig
