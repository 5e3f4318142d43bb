// Observations and baselines: typed access to tenantmig.observation and
// baseline, and to what health says without reading tables of users.
#pragma once
#include "catalog/migration_store.hpp"

namespace tenantmig {

struct HealthReason {
    std::string level; // RED, YELLOW
    int weight = 0;    // orders the reasons of one level, the gravest first
    bool deep = false; // only a deep observation can tell, or take it back
    std::string reason;
};

struct ObservationRecord {
    std::int64_t migration_id = 0;
    TimestampTz at = 0;
    bool deep = false, good = false;
    std::string health;
    std::vector<std::string> reasons;
    std::optional<std::int64_t> nulls, new_nulls, unknown_tenants, mismatches, drift;
    std::int64_t open_reviews = 0;
    std::int32_t guards_missing = 0, constraints_missing = 0;
    std::string samples, checks; // JSON
    std::int64_t duration = 0;   // microseconds
};
void insert_observation(const ObservationRecord &observation);

// An earlier sample of the same migration.
struct PastSample {
    std::string health, samples; // samples: JSON
    double hours = 0;            // ago
};
std::optional<PastSample> last_observation(std::int64_t migration, TimestampTz now);
std::optional<PastSample> last_deep_observation(std::int64_t migration, TimestampTz now);
// What rates are taken against: the newest observation that is an hour old or
// more, else the oldest one, else the baseline.
std::optional<PastSample> rate_reference(std::int64_t migration, TimestampTz now);

// What is wrong as far as no table of a user has to be read, as the view
// health_facts has it, and of which kind it is.
struct HealthFact {
    HealthReason reason;
    std::string kind; // enforcement, constraint, guard, isolation, run, reviews
};
std::vector<HealthFact> health_facts(std::int64_t migration);

std::int64_t count_open_reviews(std::int64_t migration);
// Rows that guards let pass although they were not right; `since_run`: those
// after that run ended.
std::int64_t count_drift(const std::string &migration, std::optional<std::int64_t> since_run);
// Guards that are attached, constraints that are enforced.
std::int64_t count_guards(const std::string &migration);
std::int64_t count_enforced(std::int64_t migration);

// ---- baseline

std::optional<std::string> read_baseline(std::int64_t migration); // its samples, JSON
// Whether there is none, or only one of the time before runs that were all
// undone. `run` is about to begin, or goes on.
bool wants_baseline(std::int64_t migration, std::optional<std::int64_t> run);
void save_baseline(std::int64_t migration, TimestampTz at, const std::string &samples);

// Counters of this database, as JSON: commits, rollbacks, deadlocks, reset
// (when they began), hours (that they cover), refusals (of guards).
std::string server_counters();

} // namespace tenantmig
