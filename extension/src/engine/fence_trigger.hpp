// The triggers of fences on tables, made and dropped as the tables' owner, whose privileges the caller needs.
#pragma once
#include "bridge/relation.hpp"
#include "catalog/fence_store.hpp"

namespace tenantmig {

// Whether writes reach the table by statements on another one (a parent that it inherits from, or is a partition of),
// whose triggers of statements are not the table's.
bool written_through_others(Oid table);

// Makes what is missing. The table is locked by the caller, who has called lock_guards().
void make_fence_triggers(const MigrationRecord &migration, const Table &table, bool for_rows);

// Takes off what is there, on those tables whose locks are to be had within a tenth of a second and whose owner's
// privileges we have; the others' do nothing any more. In the caller's transaction. Returns how many stay.
std::size_t drop_fence_triggers(const MigrationRecord &migration);

// For a migration that is being dropped: 55006 while its fence is in force, unless `force`.
void end_fence(const MigrationRecord &migration, bool force);

} // namespace tenantmig
