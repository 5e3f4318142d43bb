// The thresholds of a run's pace (docs/pace.md): their defaults, and strict reading of what people set.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tenantmig::core {

// An empty optional: off, the signal is neither read nor obeyed.
struct PaceSettings {
    double batch_target_ms = 100;                          // time that one batch should take
    std::int64_t min_batch_rows = 100;                     // however slow it is
    std::int64_t max_batch_rows = 10000;                   // however fast it is
    std::int64_t first_batch_rows = 2000;                  // before anything has been measured
    std::optional<double> max_replica_lag_s = 10;          // of the standby or subscriber that is furthest behind
    std::optional<double> max_wal_mb_per_s = std::nullopt; // of the whole server, in MiB
    std::optional<double> max_archive_backlog = 100;       // WAL files that wait for the archiver
    bool wait_for_autovacuum = true;                       // give way to autovacuum on the tables that are written
    std::optional<double> max_lock_waiters = 0;            // sessions that wait for a lock of ours
    std::optional<double> max_transaction_age_s = 900;     // a transaction elsewhere that holds back clean-up
    double work_share = 1;                                 // of the time, at most; the rest is rest
    std::optional<double> notify_minutes = std::nullopt;   // between messages on channel tenantmig

    bool operator==(const PaceSettings &) const = default;
};

// What was set (a JSON object with those settings only that differ from the defaults), read: 22023 as for merge.
PaceSettings parse_pace_settings(std::string_view stored);

// `stored` with the members of `changes` put over it; null takes one away. Returns the new object to store. 22023 for
// an unknown setting, a wrong type, a value out of its range; nothing is stored then.
std::string merge_pace_settings(std::string_view stored, std::string_view changes);

// All settings as a JSON object in their order; "off" for those that are.
std::string pace_settings_json(const PaceSettings &settings);

} // namespace tenantmig::core
