// observe(): one sample of a migration's health, kept as an observation.
#pragma once
#include "engine/checks.hpp"
#include "engine/resolve.hpp"

namespace tenantmig {

// Looks, stores, and tells those who listen. What can't be read for a reason
// that lies in the migration's tables is a finding (check `tables`); rights,
// locks and a read-only transaction are errors. Needs an SPI connection.
std::vector<CheckRow> observe_migration(const MigrationRecord &migration, bool deep);

// The migrations whose owner's privileges the current user has, by name.
std::vector<MigrationRecord> observable_migrations();

} // namespace tenantmig
