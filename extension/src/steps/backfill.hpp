// The step `backfill`: plan (reads ahead), up (in the caller's transaction). Undo is engine/…: the change log knows all
// that is needed.
#pragma once
#include "engine/evaluation.hpp"

namespace tenantmig {

// Rows of one outcome. `source`: the source that named the tenant (assigned, unknown_tenant), those that disagree
// (conflict), or soft_delete / assign (orphans that a rule decides).
struct OutcomeCount {
    std::string relation;
    std::string outcome;
    std::optional<std::string> source;
    std::int64_t rows = 0, deleted = 0;
};

// Counts by outcome and source, in the order: assigned by source, conflict, unknown_tenant, orphan.
class OutcomeCounts {
public:
    explicit OutcomeCounts(const ResolvedStep &step) : step_(step), assigned_(step.sources.size()) {}
    void add(const core::Decision &decision, const std::vector<core::Candidate> &candidates, bool deleted);
    // Rows of `outcome` that turned out otherwise when they were written (gone or filled by somebody else meanwhile).
    void skipped(std::int64_t rows) { skipped_ += rows; }
    void unassign(std::uint32_t source, bool deleted);
    void withdraw_rule(const std::string &rule,
                       bool deleted); // an orphan that a rule (assign, soft_delete) was to decide
    std::vector<OutcomeCount> list() const;
    std::int64_t total(core::Outcome outcome) const { return totals_[static_cast<std::size_t>(outcome)]; }
    std::int64_t total() const;
    std::int64_t skipped() const { return skipped_; }

private:
    struct Number {
        std::int64_t rows = 0, deleted = 0;
    };
    static void count(Number &number, bool deleted);
    const ResolvedStep &step_;
    std::vector<Number> assigned_;
    std::map<std::pair<core::Outcome, std::string>, Number> others_;
    std::int64_t totals_[4] = {0, 0, 0, 0};
    std::int64_t skipped_ = 0;
};

// Labels of the sources that the candidates come from, in order, joined with ", ".
std::string source_labels(const ResolvedStep &step, std::span<const core::Candidate> candidates);
// [{"tenant": 3, "source": "appointments.customer_id", "count": 2}, …]
std::string candidates_json(const ResolvedStep &step, const TenantDictionary &tenants,
                            std::span<const core::Candidate> candidates);

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

// "assigned=27,conflict=2,orphan=2,unknown_tenant=0": what plan_hash(name, with_counts => true) appends.
std::string counts_token(const std::vector<StepForecast> &forecasts);

} // namespace tenantmig
