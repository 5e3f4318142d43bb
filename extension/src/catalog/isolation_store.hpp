// Which tables are isolated, by which step and how (tenantmig.isolation): one row per table, one for each of its
// partitions and inheritance children too.
#pragma once
#include "bridge/relation.hpp"
#include "catalog/enforcement_store.hpp"

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
// The type of that cast; it never cuts.
std::string tenant_cast_type(const Column &key);

// The names of the policies that isolate makes.
inline constexpr const char *tenant_policy = "tenantmig_tenant";
inline constexpr const char *super_policy = "tenantmig_super";

// A role as it is remembered: by number in the server it was remembered in, by name everywhere.
struct RoleSite {
    Oid oid = InvalidOid; // InvalidOid: there is no such role (any more)
    std::string name;     // not quoted; as it is called today
};

// A row of tenantmig.isolation: what a step has put its hand on, whether it is applied or on its way.
struct IsolationRecord {
    std::int64_t migration_id = 0;
    int step = 0;
    Site site; // as it is stored
    std::string column;
    AttrNumber column_number = 0;
    std::optional<Site> parent; // as it is stored
    Oid database = InvalidOid;
    std::string system;
    std::vector<RoleSite> roles;
    std::optional<RoleSite> super_role;
    std::string setting;
    bool force = false;
    std::string before = "{}"; // JSON text
};

// By schema and name. The roles are those of today.
std::vector<IsolationRecord> isolations(std::int64_t migration, int step);
// The row of this table, if there is one.
std::optional<IsolationRecord> find_isolation(std::int64_t migration, int step, const Table &table);
// The table as it stands now, and its tenant key (nullptr: the column is gone); nullopt: the table is gone.
std::optional<Table> isolated_table(const IsolationRecord &row);
const Column *isolated_key(const IsolationRecord &row, const Table &table);
// Whether its policies were made (it may stand there for an index only).
bool isolation_made(const IsolationRecord &row);
// Of this database, server, table and column; a row of the same step and name is overwritten.
void save_isolation(const IsolationRecord &row);
void delete_isolation(const IsolationRecord &row);

} // namespace tenantmig
