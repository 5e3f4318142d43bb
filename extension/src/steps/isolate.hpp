// The step isolate: row-level security for an application role.
//
//   isolate_scope.cpp     which tables, keys and roles are meant; what can never be isolated
//   isolate_criteria.cpp  what has to hold before, and is looked at again by verify and observe
//   isolate_rights.cpp    the part of it that is about roles and rights
//   isolate_spec.cpp      CALL isolate
//   isolate_policies.cpp  policies and flags of one table: made, compared, taken back
//   isolate_verify.cpp    what has become of them
//   isolate_index.cpp     the index that leads with the tenant key
//   isolate_keys.hpp      composite keys and references
//   step_isolate.cpp      the walk through them, up and down
//
// Nothing of the application may break half-way: a table gets its policies and ENABLE in one transaction, and FORCE
// comes when all tables have theirs. Each table's row in tenantmig.isolation, with the flags that stood there before,
// commits with its policies.
#pragma once
#include "catalog/isolation_store.hpp"
#include "catalog/name_book.hpp"
#include "steps/isolate_keys.hpp"

namespace tenantmig {

// A table that gets policies.
struct IsolateMember {
    Table table;
    Column key;
    Oid top = InvalidOid; // the table of the spec that it is, or that it is a partition or an inheritance child of
    bool is_top() const { return top == table.oid; }
};

struct IsolateScope {
    std::vector<IsolateMember> members; // the tables of the spec, each followed by what hangs below it
    std::vector<RoleSite> roles;
    std::optional<RoleSite> super_role;
    std::string setting;
    bool force = true;
    std::set<Oid> ours; // tables that this step has made policies on
    std::vector<const IsolateMember *> tops() const;
    std::vector<const IsolateMember *> below(Oid top) const; // and itself
};

// What the step means now. Errors: those of NameBook, 42704 (no such role), 42703 (no tenant key can be told), TM001
// (one of several), 0A000 (foreign tables, temporary ones, children of another owner, a partition by itself).
IsolateScope isolate_scope(const MigrationRecord &migration, const core::Spec &spec, const core::IsolateStep &step,
                           NameBook &names);
// The same under the migration's own names and search_path.
IsolateScope isolate_scope(const MigrationRecord &migration, const core::Spec &spec, const core::IsolateStep &step);
// Partitions and inheritance children at any depth, without the table itself; by OID.
std::vector<Table> isolate_children(const Table &table);

// ---- criteria

// All that up asks for. `rows`: count NULL keys too, which reads the tables. Reads only.
std::vector<CheckRow> isolate_criteria(const core::IsolateStep &step, const IsolateScope &scope, bool rows);
// Those of roles and rights alone: catalogue only.
void isolate_rights(const IsolateScope &scope, std::vector<CheckRow> &rows);
IsolateKeys isolate_keys(const core::IsolateStep &step, const IsolateScope &scope);
// Of all isolate steps of a migration; what isolation_criteria() shows.
std::vector<CheckRow> isolation_criteria(const MigrationRecord &migration);

// ---- CALL isolate

struct IsolateArguments {
    std::vector<std::string> tables;
    std::string role; // one or several, separated by commas
    std::optional<std::string> tenants, super_role;
    std::string setting, null_keys, name;
    bool force = true;
};
// "tenant root companies; customers by company_id, …"
std::string isolate_announcement(const MigrationRecord &migration);
// 22023 if the tenant root is not given and can't be told.
std::string isolate_spec(const IsolateArguments &arguments);
// An error of that spec as one of the arguments.
Error isolate_argument_error(const Error &error);

// ---- policies

// What is wrong with the policies and flags of a table now; empty: nothing. `forced`: FORCE is asked for.
std::string policy_defect(const IsolationRecord &row, const Table &table, bool forced);
// In the transaction that is open, under ACCESS EXCLUSIVE: makes ours, and ENABLE. Nothing else is touched.
void make_policies(const IsolateMember &member, const IsolateScope &scope);
void force_policies(const Table &table);
// Takes them back; the flags become what they were.
void take_policies(const Table &table, bool row_security, bool force);
// Whether a policy of one of our names stands on the table, whoever has made it.
bool has_our_policies(Oid table);

// What is not as the step has made it, policies, flags and tables that came in below.
struct IsolationDefect {
    std::string kind; // isolation_gone, isolation_missing (a table that came after the step), table_gone
    std::string relation, what;
};
std::vector<IsolationDefect> isolation_defects(const MigrationRecord &migration, int step);
std::vector<CheckRow> verify_isolation(const MigrationRecord &migration, int step);

// ---- index

// A valid index that leads with the column and that a policy can use: its name; empty: none.
std::string leading_index(const Table &table, const Column &column);
// Tables that need an index of their own: a partitioned one stands for all of its partitions.
std::vector<const IsolateMember *> index_tables(const IsolateScope &scope);
// Builds it. `before`: JSON of the table's row in tenantmig.isolation; `save`: stores it, durably.
bool build_isolate_index(const IsolateMember &member, std::string &before, const std::function<void()> &save,
                         ConstraintChanger &changer);
bool drop_isolate_index(const Table &table, const std::string &before, ConstraintChanger &changer);

} // namespace tenantmig
