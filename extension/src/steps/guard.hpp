// The step `guard`: what it means in this database, attaching and detaching.
#pragma once
#include "engine/guard_trigger.hpp"

namespace tenantmig {

// While a spec is checked: resolves the names of its guard steps, so that `names` remembers them. To be called before
// resolve_spec(); what it returns goes to check_guards() afterwards.
struct GuardTarget {
    core::GuardStep step;
    Table table;
    Column column;
};
std::vector<GuardTarget> resolve_guards(const core::Spec &spec, NameBook &names);
// Each guard must have its backfill step, and evidence that can be read for one row. TM001, TM011, 0A000.
void check_guards(const ResolvedMigration &migration, const std::vector<GuardTarget> &targets);

struct GuardOutcome {
    std::int32_t step = 0;
    std::string relation, column, kind, mode, trigger, outcome; // outcome: attached, unchanged, replaced; detached,
                                                                // missing
};
// Attaches the guards of all guard steps, or of one. Idempotent. Errors as of the SQL function.
std::vector<GuardOutcome> attach_guards(const MigrationRecord &migration, std::optional<std::int32_t> step);
std::vector<GuardOutcome> detach_guards(const MigrationRecord &migration, std::optional<std::int32_t> step);

// Before the walk of an online run, in a transaction of its own: attaches those guards that fill the tenant key of a
// table that the migration writes, unless they are. Errors as of attach_guards(); 55P03 is worth another attempt.
void attach_capture_guards(const MigrationRecord &migration);

} // namespace tenantmig
