// What plan, preflight and verify say of a migration. All of them only read.
#pragma once
#include "engine/checks.hpp"
#include "steps/backfill.hpp"

namespace tenantmig {

struct PlanRow {
    std::int32_t step = 0;
    std::string kind;
    OutcomeCount count;
    std::string path, locks, note;
    std::optional<double> seconds;
    std::optional<std::int64_t> wal_bytes;
};
std::vector<PlanRow> plan_migration(const MigrationRecord &migration);

// Before a run. Names: coverage, conflicts, expected_nulls, unknown_tenants, existing_keys, tenant_root, row_triggers,
// tenant_key_index, rights, old_transactions, read_only, other_run.
std::vector<CheckRow> preflight_migration(const MigrationRecord &migration);

// After a run. Names: nulls_living, nulls_deleted, mismatches SOURCE, accounted, row_count, unknown_tenants, chain.
// 55000 without a completed run.
std::vector<CheckRow> verify_migration(const MigrationRecord &migration);

// The row of a step that is not looked at, and why: of one that comes later WARN, of one that is past PASS.
CheckRow aside_check(const MigrationRecord &migration, const StepAside &step);

// What is known of a step's table without reading its rows.
struct TriggerNote {
    std::string trigger;
    std::vector<std::string> columns; // that its function assigns, as far as its text says
};
std::vector<TriggerNote> update_triggers(const ResolvedStep &step);

} // namespace tenantmig
