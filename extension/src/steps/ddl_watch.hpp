// Drift of the catalogue: what a gate enforced or attach_guard attached and is not there any more, or not as it was,
// and tables that came later and have no tenant key.
#pragma once
#include "catalog/migration_store.hpp"

namespace tenantmig {

struct CatalogueDrift {
    std::string kind;     // constraint_gone, constraint_loosened, guard_gone, guard_disabled, table_without_key,
                          // exemption_unneeded, table_gone, isolation_gone, isolation_missing, isolation_open
    std::string relation; // schema.table
    std::string object;   // constraint, column or trigger; of tables: empty
    std::string found, expected, hint;
    std::int64_t guard = 0; // its number, of guards only
};

// Compares the catalogue with what is recorded. Only reads; nobody's rows. New tables are found once there is a
// fingerprint to compare with.
std::vector<CatalogueDrift> catalogue_drift(const MigrationRecord &migration);

// Remembers which tables there are, unless that has been done. To be called when a run has completed and when
// constraints have been enforced.
void ensure_fingerprint(const MigrationRecord &migration);

// Both of the above; writes into tenantmig.drift and announces what was not found last time, or not like that. What
// observe calls. Returns all findings, those that are known already too.
std::vector<CatalogueDrift> record_catalogue_drift(const MigrationRecord &migration);

// Takes the fingerprint anew: tables that are there now are no drift any more. Returns those that were. 42501.
std::vector<std::string> accept_tables(const MigrationRecord &migration);

} // namespace tenantmig
