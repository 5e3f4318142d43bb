// A day of a migration, from what observe() has kept.
#pragma once
#include "catalog/migration_store.hpp"
#include "engine/checks.hpp"

namespace tenantmig {

struct ReportDay { // of the view observed_days; what is not known is empty
    std::string day, health, nulls, new_nulls, unknown_tenants, mismatches, open_reviews, drift;
    std::int64_t samples = 0, deep_samples = 0, bad = 0, alerts = 0;
};

struct DailyReport {
    std::string migration, owner, day, at; // at: when it was made
    bool today = false;
    std::string health; // now, or the worst of the day if that is past; empty:
                        // not observed
    std::vector<std::string> reasons;
    std::string soak, soak_detail;            // now
    std::vector<ReportDay> days;              // seven, the last one is `day`
    std::string observed_at;                  // the last observation of the day; empty: none
    std::vector<CheckRow> checks;             // what it returned
    std::int64_t resolved = 0, dismissed = 0; // reviews decided that day
    std::vector<std::string> runs;            // what happened to runs that day, in words
    std::vector<std::string> next;            // what to do
};

// `day`: a date (days since 2000-01-01) in UTC; not set: today by our_time().
// 22023 for a day to come.
DailyReport gather_daily_report(const MigrationRecord &migration, std::optional<std::int32_t> day);
std::string markdown_daily_report(const DailyReport &report);
std::string json_daily_report(const DailyReport &report);

} // namespace tenantmig
