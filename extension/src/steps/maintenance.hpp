// Maintenance mode: the writes of everybody else to the tables of a migration are refused for a limited time
// (guards/maintenance_fence.cpp does that; catalog/fence_store.hpp holds what it goes by).
#pragma once
#include "catalog/migration_store.hpp"
#include "steps/constraint_change.hpp"

namespace tenantmig {

struct FenceOutcome {
    std::string relation;
    std::string state;                // fenced; open
    std::optional<std::string> until; // fenced: text of a timestamptz
};

struct FenceOptions {
    std::string time_limit = "30 minutes"; // text of an interval
    bool whole_login = true; // whoever has logged in as the session's user is exempt; false: only this session
};

// Switches the fence of a migration on (again: a new limit from now; tables that have come are fenced too) or off.
// When the transaction has committed, none that wrote to the tables before is still open. Exempt are the session that
// calls, see FenceOptions, and tenantmig's own work for any migration. Switched off at once, whatever locks others
// hold; what is left of the triggers then does nothing, and the next call takes it off. Errors: 42501 (not the owner of
// the migration, or of a table), 55000 (the migration writes no table that is there), 22023 (time limit), 55P03
// (nothing is fenced then), 25006. In the changer's own transactions, one after the other: none is open when it is
// called.
std::vector<FenceOutcome> set_maintenance(ConstraintChanger &changer, const MigrationRecord &migration, bool enabled,
                                          const FenceOptions &options = {});
// Within the caller's transaction, whose end releases the locks.
std::vector<FenceOutcome> set_maintenance(const MigrationRecord &migration, bool enabled, const FenceOptions &options);

// The tables that a migration writes, those of them that are there: with partitions, each once.
struct WrittenTable {
    Table table;
    std::vector<std::string> keys; // its tenant key columns, as they are called now
};
std::vector<WrittenTable> written_tables(const MigrationRecord &migration);

} // namespace tenantmig
