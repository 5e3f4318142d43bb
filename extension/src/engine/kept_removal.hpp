// What a migration that is being dropped has kept of columns.
#pragma once
#include "catalog/kept_store.hpp"

namespace tenantmig {

// Refuses while values of dropped columns are kept (55006), unless forced: then they are gone, and with them the way
// back. Within the caller's transaction; each table is dropped as its owner, whose rights the caller needs (42501).
void remove_kept_columns(const MigrationRecord &migration, bool force);
// Drops the tables of one, if they are there.
void forget_values(const KeptColumn &kept);

} // namespace tenantmig
