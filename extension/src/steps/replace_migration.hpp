// Another spec in the place of a stored one, as far as nothing of the stored one has begun.
#pragma once
#include "catalog/migration_store.hpp"

namespace tenantmig {

// SHA-256 of a spec's text as jsonb, hex: what migration.checksum holds.
std::string spec_checksum(const std::string &document);

// Stores the document as the spec of the migration that it names. Steps that have begun (applied, on the way there or
// back, a guard attached, a constraint enforced, a run that was not taken back) must be the same at the same places,
// and the tenants too: TM017. Holds the migration's lock until the end of the transaction (55006).
MigrationRecord replace_migration(const std::string &document);

} // namespace tenantmig
