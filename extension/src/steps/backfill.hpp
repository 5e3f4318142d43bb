// The step `backfill`: plan (reads ahead), up (in the caller's transaction). Undo is engine/…: the change log knows all
// that is needed.
#pragma once
#include "steps/outcome_counts.hpp"

namespace tenantmig {

struct StepForecast {
    const ResolvedStep *step = nullptr;
    std::vector<OutcomeCount> counts;
    bool spilled = false;
    std::int64_t mismatches = 0; // rows that have a key which the evidence contradicts; counted only if asked for
    std::uint64_t evidence_rows = 0;
};
// Room for what earlier steps would write, where later ones read it.
Overlays make_overlays(const ResolvedMigration &migration, EvidenceMemory &memory);
// Exact counts of what a run would do, reading only; steps that depend on each other see what the earlier one would
// write.
std::vector<StepForecast> forecast(const ResolvedMigration &migration, bool with_mismatches);

struct BackfillOptions {
    bool dry_run = false;
    std::int64_t dry_run_rows = 10000; // rows that a dry run writes and undoes
    std::optional<std::string> plan_hash;
    double max_count_change = 0.01;
};
// Runs all steps in the caller's transaction; a dry run undoes itself. Returns the counts in the order of execution.
std::vector<OutcomeCount> run_backfill(const MigrationRecord &migration, const BackfillOptions &options);

// TM004 if the plan is no longer the one whose hash was given, TM005 if its counts have changed by more than that
// share.
void check_approved_plan(const MigrationRecord &record, const ResolvedMigration &migration, const std::string &hash,
                         const std::string &given, double max_count_change);

struct RowCounts {
    std::int64_t all, null;
};
// Rows of the step's table, and those without a tenant key that its conditions let in.
RowCounts count_rows(const ResolvedStep &step);

// "assigned=27,conflict=2,orphan=2,unknown_tenant=0": what plan_hash(name, with_counts => true) appends.
std::string counts_token(const std::vector<StepForecast> &forecasts);

} // namespace tenantmig
