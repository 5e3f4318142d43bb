// The report of a run: what it found and did, how it stands now, how to undo it.
#pragma once
#include "catalog/migration_store.hpp"
#include "engine/checks.hpp"

namespace tenantmig {

struct ReportCount { // rows of one outcome
    std::string relation, outcome, source;
    std::int64_t rows = 0, deleted = 0;
};
struct ReportReview {
    std::int64_t id = 0;
    std::string relation, row_key, review_class, candidates; // row_key, candidates: JSON
};
struct ReportTriggers { // columns that the user's triggers changed while we wrote another one
    std::string relation, column;
    std::vector<std::string> changed;
};
struct ReportSkipped {
    std::string relation, reason;
    std::int64_t rows = 0;
};

struct RunReport {
    RunRecord run;
    std::string owner, digest;
    double seconds = 0; // 0: not finished
    std::vector<ReportCount> counts;
    std::vector<CheckRow> checks; // of verify and verify_changes
    std::string checks_note;      // why verify's checks are missing
    std::int64_t open = 0, resolved = 0, dismissed = 0;
    std::vector<std::pair<std::string, std::int64_t>> open_by_class;
    std::vector<ReportReview> first_open; // the first max_reviews
    std::vector<ReportTriggers> triggers;
    std::int64_t restored = 0; // by a rollback
    std::vector<ReportSkipped> skipped;
    static constexpr std::size_t max_reviews = 20;
};

// Everything but the checks. 42704.
RunReport gather_report(std::int64_t run);
std::string markdown_report(const RunReport &report);
std::string json_report(const RunReport &report);

} // namespace tenantmig
