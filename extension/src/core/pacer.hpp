// How fast a run may go: how many rows the next batch takes, and how long to rest before it. Knows neither the server
// nor the clock: times and signals are given to it. One for each worker, none is shared.
#pragma once
#include "core/pace_settings.hpp"
#include <array>

namespace tenantmig::core {

// One thing that was looked at. A signal that is off, or has nothing to say (no standby there), has no value.
struct Signal {
    std::optional<double> value = std::nullopt; // in the unit of its setting
    std::string what = {};                      // which standby, session, table: for people, may be empty
    bool readable = true;                       // false counts as bad; `what` says why
};

struct PaceSignals {
    Signal replica_lag = {};     // seconds
    Signal wal_rate = {};        // MiB a second
    Signal archive_backlog = {}; // files
    Signal autovacuum = {};      // seconds for which a vacuum of a target has been running
    bool wraparound = false;     // that vacuum prevents transaction id wraparound
    Signal lock_waiters = {};    // sessions
    Signal transaction_age = {}; // seconds
};

enum class PaceAction { go, slow, stop };

struct Pace {
    PaceAction action = PaceAction::go;
    double rest_ms = 0; // before the next batch, or (stop) before the signals are read again: then never more than 1000
    std::string reason; // "replica lag 23 s (limit 10 s)"; empty at full speed
};

class Pacer {
public:
    explicit Pacer(PaceSettings settings = {});

    // Also while it runs. What was measured stays.
    void use(PaceSettings settings);
    const PaceSettings &settings() const { return settings_; }

    // Rows of the next batch.
    std::int64_t batch_rows() const { return rows_; }

    // After a batch that has been committed: `rows` in the unit of batch_rows(), `ms` from its start to its commit.
    void batch_done(std::int64_t rows, double ms);

    // A batch failed for lack of time (statement, lock or deadlock timeout), or somebody was seen waiting for its
    // locks: half as many rows from now on; what was lost comes back slowly.
    void timed_out();

    // New signals. The worst one decides; each has hysteresis. Returns pace().
    Pace assess(const PaceSignals &signals);

    // What to do now, by the last signals and the time of the last batch. Ask after each batch; while it says stop,
    // sleep rest_ms (so that pause and cancel are heard), read the signals and assess() again.
    Pace pace() const;

private:
    enum Kind : std::size_t {
        replica_lag,
        wal_rate,
        archive_backlog,
        autovacuum,
        lock_waiters,
        transaction_age,
        kinds
    };
    struct Verdict {
        PaceAction action = PaceAction::go;
        double share = 1;  // of the time that may be worked
        double excess = 0; // how far beyond the limit, to find the worst of several
        std::string reason;
    };

    Verdict judge_limit(Kind kind, const Signal &signal, std::optional<double> limit);
    Verdict judge_wal(const Signal &signal);
    Verdict judge_autovacuum(const PaceSignals &signals) const;
    Verdict judge_waiters(const Signal &signal);
    Verdict judge_transaction(const Signal &signal);
    void resize(double wanted);

    PaceSettings settings_;
    std::int64_t rows_;
    double ms_per_row_ = 0;                 // exponential average; 0: nothing measured yet
    double last_ms_ = 0;                    // time of the last batch
    double ceiling_;                        // of rows_, lowered by time-outs
    std::array<PaceAction, kinds> level_{}; // of the last assess(), for hysteresis
    double wal_share_ = 1;
    double ramp_ = 1; // share of the time after a stop, grows back to 1
    int polls_ = 0;   // in a row that said stop
    Verdict decided_;
    std::string stopped_by_;
};

} // namespace tenantmig::core
