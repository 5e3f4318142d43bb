// Putting guards on tables and taking them off. The DDL runs as the table's owner, whose privileges the caller needs.
// The locks that it takes are strong: they are waited for in short attempts with pauses in between, so that writers
// queue behind us for a moment only.
#pragma once
#include "catalog/guard_store.hpp"
#include "engine/resolve.hpp"

namespace tenantmig {

// Makes the trigger of a guard that stands in the catalogue. `columns`: an UPDATE of any of them fires it. Errors:
// 42501, 55P03.
void make_guard_trigger(const GuardRecord &guard, const Table &table, const std::vector<std::string> &columns);

// Takes a guard off and out of the catalogue. False: its trigger had gone already. Errors: 42501, 55P03.
bool remove_guard(const GuardRecord &guard);

// All guards of a migration that is being dropped, and what they noted.
void remove_guards(const MigrationRecord &migration);

} // namespace tenantmig
