// The step `guard`: what it means in this database, attaching and detaching.
#pragma once
#include "engine/guard_trigger.hpp"
#include "steps/guard_resolve.hpp"

namespace tenantmig {

// While a spec is checked: resolves the names of its guard steps, so that `names` remembers them. To be called before
// resolve_spec(); what it returns goes to check_guards() afterwards. Errors of resolve_guard(), and TM001 for the same
// guard twice.
std::vector<GuardTarget> resolve_guards(const core::Spec &spec, MigrationNames &names);
// A guard of kind tenant_key must have its backfill step, and evidence that can be read for one row. TM001, TM011,
// 0A000.
void check_guards(const ResolvedMigration &migration, const std::vector<GuardTarget> &targets);

struct GuardOutcome {
    std::optional<std::int32_t> step;                           // none: a guard of no migration
    std::string relation, column, kind, mode, trigger, outcome; // outcome: attached, unchanged, replaced; detached,
                                                                // missing
    std::int64_t guard = 0;
};
// Attaches the guards of all guard steps, or of one. Idempotent. Errors as of the SQL function; TM019 if the step, or
// each of them, comes after a structural step that is not applied.
std::vector<GuardOutcome> attach_guards(const MigrationRecord &migration, std::optional<std::int32_t> step);
std::vector<GuardOutcome> detach_guards(const MigrationRecord &migration, std::optional<std::int32_t> step);

// A guard of no migration. `options`: JSON text. Idempotent.
GuardOutcome attach_guard_alone(const std::string &relation, const std::optional<std::string> &column,
                                const std::string &kind, const std::string &options);
// Of a migration or of none.
GuardOutcome detach_guard_alone(std::int64_t guard);

// Before the walk of an online run, in a transaction of its own: attaches those guards that fill the tenant key of a
// table that the migration writes, unless they are. Errors as of attach_guards(); 55P03 is worth another attempt.
void attach_capture_guards(const MigrationRecord &migration);

} // namespace tenantmig
