// The pace of a migration: its thresholds, which stand in tenantmig.pace and may be changed while it runs, and the
// signals of the server that they are compared with. What follows from them is decided by core::Pacer.
#pragma once
#include "core/pace_history.hpp"
#include "core/pacer.hpp"

#include "bridge/sql.hpp"

namespace tenantmig {

// The thresholds in force. One query; needs an SPI connection.
core::PaceSettings load_pace(std::int64_t migration);

// Puts a JSON object of settings over those of a migration, null taking one away; returns all that are in force then,
// as JSON. Errors: 42704, 42501 (not the migration's owner), 22023, 25006.
std::string set_pace(const std::string &migration, const std::string &changes);

// What read_signals keeps from one call to the next: one for each worker, for as long as it lives.
class PaceMemory {
public:
    PaceMemory() = default;
    ~PaceMemory();
    PaceMemory(const PaceMemory &) = delete;
    PaceMemory &operator=(const PaceMemory &) = delete;

private:
    friend class SignalReader;
    core::PaceHistory wal_, transactions_;
    double rate_time_ = 0; // when rate_position_ was read, 0: never
    std::uint64_t rate_position_ = 0;
    std::optional<double> rate_;
    double archive_due_ = 0; // a folder that is slow to read is read less often
    std::optional<double> archive_backlog_;
    std::array<SPIPlanPtr, 5> plans_{};
};

// Reads the signals that `settings` ask for, as the owner of the extension. `tables`: those that are written; a
// partitioned one stands for its partitions. `worker_pids`: all of this run, the caller included. To be called once a
// second at most, inside a transaction, and best just before its end, while the batch still holds its locks: only then
// can anybody be seen waiting for them. Takes about a millisecond, no locks on user tables. A signal that can't be read
// says so; only cancellation is an error.
core::PaceSignals read_signals(const core::PaceSettings &settings, std::span<const Oid> tables,
                               std::span<const int> worker_pids, PaceMemory &memory);

// Whether another session waits for a row that the current transaction holds. So cheap that it can be asked at the end
// of every batch; if true, Pacer::timed_out().
bool somebody_waits_for_us();

} // namespace tenantmig
