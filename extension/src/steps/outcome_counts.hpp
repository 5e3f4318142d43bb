// Counts of rows by outcome and source, and how evidence is shown to people.
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
    explicit OutcomeCounts(const ResolvedStep &step) : step_(&step), assigned_(step.sources.size()) {}
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
    const ResolvedStep *step_;
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

// [{relation, outcome, source, row_count, deleted_count}, …]: JSON text, as runs.counts holds it.
std::string counts_json(const std::vector<OutcomeCount> &counts);

} // namespace tenantmig
