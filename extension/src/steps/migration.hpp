// Making migrations: from a spec, or from the one-line form of backfill().
#pragma once
#include "engine/resolve.hpp"

namespace tenantmig {

// Checks and resolves a spec (with the caller's search_path) and stores it. The same spec again changes nothing; 42710
// for another one.
MigrationRecord create_migration(const std::string &spec);
ResolvedMigration check_migration(const std::string &spec); // the same without storing

// The arguments of the one-line form.
struct TableBackfill {
    std::string relation, column, evidence, on_conflict, on_orphan;
    std::optional<std::string> tenants, sources, assign_orphans_to, soft_delete,
        conditions; // sources, conditions: JSON
};
// The spec that they stand for; sources and tenant root found from foreign keys where they are not given.
std::string spec_of(const TableBackfill &arguments);

} // namespace tenantmig
