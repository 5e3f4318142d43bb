// Which tables are isolated, by which step and how (tenantmig.isolation): one row per table, one for each of its
// partitions and inheritance children too.
#pragma once
#include "bridge/relation.hpp"
#include "catalog/migration_store.hpp"

namespace tenantmig {

// A table that an isolate step has policies on, as it stands now; tables that are gone are left out.
struct IsolatedTable {
    std::string migration;
    int step = 0;
    Table table;
    Column key;                     // the tenant key, as it is called today
    Oid parent = InvalidOid;        // of a partition or an inheritance child: the table of the spec above it
    std::vector<std::string> roles; // of the application; not quoted; as they are called today
    std::string super_role;         // not quoted; empty: there is none
    std::string setting;
    bool force = false;
};

// Of the applied isolate steps of one migration, or of all; by schema and name.
std::vector<IsolatedTable> isolated_tables(const std::optional<std::int64_t> &migration);

// The condition of the policy: column = (SELECT nullif(current_setting('…', true), '')::type), qualified to the last
// operator. What isolate writes, and what lint and the speed check compare with.
std::string tenant_condition(const Column &key, const std::string &setting);

// The names of the policies that isolate makes.
inline constexpr const char *tenant_policy = "tenantmig_tenant";
inline constexpr const char *super_policy = "tenantmig_super";

} // namespace tenantmig
