// Putting guards on tables and taking them off. The DDL runs as the table's owner, whose privileges the caller needs.
// The locks that it takes are strong: they are waited for in short attempts with pauses in between, so that writers
// queue behind us for a moment only.
#pragma once
#include "catalog/guard_store.hpp"
#include "engine/resolve.hpp"

namespace tenantmig {

struct GuardTriggerForm {
    std::string name;
    const char *when = "BEFORE", *on = "INSERT OR UPDATE";
    std::vector<std::string> columns; // an UPDATE of any of them fires it; empty: every UPDATE
    std::string condition;            // SQL; empty: none
};
// Makes a trigger of a guard that stands in the catalogue. Errors: 42501, 55P03.
void make_guard_trigger(const GuardRecord &guard, const Table &table, const GuardTriggerForm &form);

// Takes a guard off and out of the catalogue. False: its trigger had gone already. Errors: 42501, 55P03.
bool remove_guard(const GuardRecord &guard);

// 42501 unless the current user has the privileges of the table's owner.
void require_table_rights(const Table &table);

// All guards of a migration that is being dropped, and what they noted.
void remove_guards(const MigrationRecord &migration);

} // namespace tenantmig
