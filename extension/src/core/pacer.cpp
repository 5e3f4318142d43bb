#include "core/pacer.hpp"
#include <algorithm>
#include <cmath>
#include <fmt/format.h>

namespace tenantmig::core {
namespace {

constexpr double weight = 0.3;         // of a full batch in the average
constexpr double growth = 2;           // from one batch to the next, at most
constexpr double ceiling_growth = 1.1; // from one batch to the next, after a time-out
constexpr double least_share = 0.05;   // something always goes on, unless it says stop
// Parts of a limit: where it starts to slow, where a stop ends, where all is well again.
constexpr double slow_from = 0.8, well_below = 0.6;
constexpr double longest_rest_ms = 60'000, longest_poll_ms = 1000, first_poll_ms = 250;

// 23, 10.4, 0.35. Rounded up, so that 10.04 does not read as 10 where the limit is 10.
std::string amount(double value) {
    const int digits = value >= 100 ? 0 : value >= 1 ? 1 : 2;
    const double unit = std::pow(10, digits);
    std::string text = fmt::format("{:.{}f}", std::ceil(value * unit - 1e-6) / unit + 0.0, digits);
    if (digits > 0) text.erase(text.find_last_not_of('0') + 1);
    if (text.back() == '.') text.pop_back();
    return text;
}

struct Words {
    const char *name, *unit;
};
// In the order of Pacer::Kind.
constexpr Words words[] = {{"replica lag", " s"},
                           {"WAL rate", " MB/s"},
                           {"archive backlog", " files"},
                           {"autovacuum", " s"},
                           {"sessions that wait for us", ""},
                           {"transaction elsewhere", " s"}};

std::string about(const Signal &signal) {
    return signal.what.empty() ? std::string() : ": " + signal.what;
}

std::string reason_of(std::size_t kind, const Signal &signal, double limit) {
    return fmt::format("{} {}{} (limit {}{}){}", words[kind].name, amount(*signal.value), words[kind].unit,
                       amount(limit), words[kind].unit, about(signal));
}

std::string unreadable(std::size_t kind, const Signal &signal) {
    return fmt::format("{} cannot be read{}", words[kind].name, about(signal));
}

double excess_of(double value, double limit) {
    return limit > 0 ? value / limit : 1 + value;
}

} // namespace

Pacer::Pacer(PaceSettings settings) : settings_(settings), rows_(0), ceiling_(0) {
    rows_ = std::clamp(settings_.first_batch_rows, settings_.min_batch_rows, settings_.max_batch_rows);
    ceiling_ = static_cast<double>(settings_.max_batch_rows);
}

void Pacer::use(PaceSettings settings) {
    // A ceiling that no time-out has lowered follows the setting.
    const bool free = ceiling_ >= static_cast<double>(settings_.max_batch_rows);
    settings_ = settings;
    const auto most = static_cast<double>(settings_.max_batch_rows);
    ceiling_ = free ? most : std::min(ceiling_, most);
    rows_ = std::clamp(rows_, settings_.min_batch_rows, settings_.max_batch_rows);
}

void Pacer::resize(double wanted) {
    const double most = std::min(ceiling_, static_cast<double>(settings_.max_batch_rows));
    rows_ = std::max(static_cast<std::int64_t>(std::min(wanted, most)), settings_.min_batch_rows);
}

void Pacer::batch_done(std::int64_t rows, double ms) {
    if (!(ms >= 0)) return;
    last_ms_ = ms;
    if (ceiling_ < static_cast<double>(settings_.max_batch_rows)) ceiling_ *= ceiling_growth;
    if (rows <= 0) return;
    // A batch with few rows (the end of a range) says little about a row, because it costs about as much to begin and
    // to commit; unless it took too long all the same.
    const double fullness = std::min(1.0, static_cast<double>(rows) / static_cast<double>(rows_));
    const double share = weight * (ms > settings_.batch_target_ms ? 1 : fullness);
    const double measured = std::max(ms, 0.001) / static_cast<double>(rows);
    ms_per_row_ = ms_per_row_ == 0 ? measured : ms_per_row_ + share * (measured - ms_per_row_);
    // One batch that took far too long shrinks the next at once, whatever the average says.
    if (ms > 2 * settings_.batch_target_ms) ms_per_row_ = std::max(ms_per_row_, measured);
    const auto current = static_cast<double>(rows_);
    resize(std::min(settings_.batch_target_ms / ms_per_row_, fullness >= 0.5 ? current * growth : current));
}

void Pacer::timed_out() {
    const double half = static_cast<double>(rows_) / 2;
    ceiling_ = std::max(half, static_cast<double>(settings_.min_batch_rows));
    resize(half);
}

Pacer::Verdict Pacer::judge_limit(Kind kind, const Signal &signal, std::optional<double> limit) {
    PaceAction &level = level_[kind];
    if (!limit) {
        level = PaceAction::go;
        return {};
    }
    if (!signal.readable) {
        level = PaceAction::stop;
        return {PaceAction::stop, 0, 1, unreadable(kind, signal)};
    }
    const double value = signal.value.value_or(0), slow = *limit * slow_from, well = *limit * well_below;
    if (value > *limit || (level == PaceAction::stop && value > slow))
        level = PaceAction::stop;
    else if (value > slow || (level != PaceAction::go && value > well))
        level = PaceAction::slow;
    else
        level = PaceAction::go;
    if (level == PaceAction::go) return {};
    return {level, 0.5, excess_of(value, *limit), reason_of(kind, signal, *limit)};
}

// A rate is brought to its limit, not stopped: the share of the time that we work is what regulates it. What others
// write counts too, so there is a least share.
Pacer::Verdict Pacer::judge_wal(const Signal &signal) {
    if (!settings_.max_wal_mb_per_s) {
        wal_share_ = 1;
        return {};
    }
    if (!signal.readable) return {PaceAction::slow, 0.25, 1, unreadable(wal_rate, signal)};
    const double limit = *settings_.max_wal_mb_per_s;
    if (signal.value) wal_share_ *= std::clamp(limit / std::max(*signal.value, limit / 1000), 0.25, 1.25);
    wal_share_ = std::clamp(wal_share_, least_share, 1.0);
    if (wal_share_ >= 1 || !signal.value) return {};
    return {PaceAction::slow, wal_share_, excess_of(*signal.value, limit), reason_of(wal_rate, signal, limit)};
}

// Our locks do not stand in its way, but our writes take its disk: it gets half of the time, after a minute three
// quarters, and all of it when the server needs the vacuum to stay alive.
Pacer::Verdict Pacer::judge_autovacuum(const PaceSignals &signals) const {
    const Signal &signal = signals.autovacuum;
    if (!settings_.wait_for_autovacuum) return {};
    if (!signal.readable) return {PaceAction::slow, 0.25, 1, unreadable(autovacuum, signal)};
    if (!signal.value) return {};
    const std::string since =
        fmt::format(" of a table that is written, for {} s{}", amount(std::floor(*signal.value)), about(signal));
    if (signals.wraparound) return {PaceAction::stop, 0, 1, "autovacuum (to prevent wraparound)" + since};
    return {PaceAction::slow, *signal.value < 60 ? 0.5 : 0.25, 1, "autovacuum" + since};
}

Pacer::Verdict Pacer::judge_waiters(const Signal &signal) {
    if (!settings_.max_lock_waiters) return {};
    if (!signal.readable) return {PaceAction::slow, 0.25, 1, unreadable(lock_waiters, signal)};
    if (signal.value.value_or(0) <= *settings_.max_lock_waiters) return {};
    timed_out();
    return {PaceAction::slow, 0.5, excess_of(*signal.value, *settings_.max_lock_waiters),
            reason_of(lock_waiters, signal, *settings_.max_lock_waiters)};
}

// Every version of a row that we replace stays until that transaction has ended: the more, the longer it lasts.
Pacer::Verdict Pacer::judge_transaction(const Signal &signal) {
    if (!settings_.max_transaction_age_s) return {};
    if (!signal.readable) return {PaceAction::slow, 0.25, 1, unreadable(transaction_age, signal)};
    const double limit = *settings_.max_transaction_age_s;
    if (signal.value.value_or(0) <= limit) return {}; // an age only grows until it is gone: no hysteresis is needed
    return {PaceAction::slow, std::max(0.1, 0.5 * limit / *signal.value), excess_of(*signal.value, limit),
            reason_of(transaction_age, signal, limit)};
}

Pace Pacer::assess(const PaceSignals &signals) {
    const Verdict verdicts[] = {
        judge_limit(replica_lag, signals.replica_lag, settings_.max_replica_lag_s),
        judge_wal(signals.wal_rate),
        judge_limit(archive_backlog, signals.archive_backlog, settings_.max_archive_backlog),
        judge_autovacuum(signals),
        judge_waiters(signals.lock_waiters),
        judge_transaction(signals.transaction_age),
    };
    // The worst: a stop before all others; then who leaves the least time; then what is furthest beyond its limit.
    const auto worse = [](const Verdict &a, const Verdict &b) {
        if (a.action != b.action) return a.action < b.action;
        if (a.action == PaceAction::slow && a.share != b.share) return a.share > b.share;
        return a.excess < b.excess;
    };
    decided_ = *std::max_element(std::begin(verdicts), std::end(verdicts), worse);
    if (decided_.action == PaceAction::stop) {
        polls_++;
        ramp_ = 0.125;
        stopped_by_ = decided_.reason;
    } else {
        polls_ = 0;
        ramp_ = std::min(1.0, ramp_ * 2); // not from nothing to everything, or the same signal stops us again
        if (ramp_ < 1 && ramp_ < decided_.share)
            decided_ = {PaceAction::slow, ramp_, 1, "getting up to speed again after " + stopped_by_};
    }
    return pace();
}

Pace Pacer::pace() const {
    Pace now{decided_.action, 0, decided_.reason};
    if (now.action == PaceAction::stop) {
        now.rest_ms = std::min(longest_poll_ms, std::ldexp(first_poll_ms, std::min(polls_, 10) - 1));
        return now;
    }
    if (settings_.work_share < 1 && now.action == PaceAction::go) {
        now.action = PaceAction::slow;
        now.reason = fmt::format("work_share {}", amount(settings_.work_share));
    }
    const double share = std::max(least_share, decided_.share * settings_.work_share);
    if (share < 1) now.rest_ms = std::min(longest_rest_ms, last_ms_ * (1 / share - 1));
    return now;
}

} // namespace tenantmig::core
