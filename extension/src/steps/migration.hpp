// Making migrations: from a spec, or from the one-line form of backfill().
#pragma once
#include "engine/resolve.hpp"

namespace tenantmig {

// A step as check_migration() lists it; a backfill has a line per source.
struct CheckedStep {
    int step = 0;
    core::StepKind kind = core::StepKind::backfill;
    std::string relation, column, source, tenant, note;
};

struct CheckedMigration {
    std::vector<CheckedStep> steps; // all, in the order of execution
    std::string identity;           // what the names mean that can be resolved now
};

// Checks and resolves a spec (with the caller's search_path) and stores it. The same spec again changes nothing; 42710
// for another one. Names of steps after a structural one are resolved when up reaches them; what they name and what can
// be there by then is refused now.
MigrationRecord create_migration(const std::string &spec);
CheckedMigration check_migration(const std::string &spec); // the same without storing

// For up, when it reaches the segment of this step: all that stands in it but for the structural step at its end is
// resolved and checked as create_migration() does, and what the names mean is stored, in `migration` too. In a
// transaction that may write.
void resolve_segment(MigrationRecord &migration, int step);

// JSON is UTF-8; beyond ASCII the texts of a database with another encoding are not: 0A000. Needs an SPI connection.
void require_utf8(const std::string &text);

// The arguments of the one-line form.
struct TableBackfill {
    std::string relation, column, evidence, on_conflict, on_orphan;
    std::optional<std::string> tenants, sources, assign_orphans_to, soft_delete,
        conditions; // sources, conditions: JSON
};
// The spec that they stand for; sources and tenant root found from foreign keys where they are not given.
std::string spec_of(const TableBackfill &arguments);

} // namespace tenantmig
