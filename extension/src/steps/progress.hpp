// A line of progress for whoever is waiting.
#pragma once
#include "bridge/boundary.hpp"

namespace tenantmig {

// "customers: 300000 of 950000 rows, 32 %, 250000 rows/s, 3 s left". `microseconds`: since the start.
inline std::string progress_line(const std::string &relation, std::int64_t done, std::int64_t total,
                                 std::int64_t microseconds) {
    double seconds = static_cast<double>(microseconds) / USECS_PER_SEC;
    double rate = static_cast<double>(done) / std::max(seconds, 0.001);
    double left = static_cast<double>(std::max<std::int64_t>(0, total - done)) / std::max(rate, 1.0);
    return fmt::format("{}: {} of {} rows, {:.0f} %, {:.0f} rows/s, {:.0f} s left", relation, done, total,
                       total > 0 ? 100.0 * static_cast<double>(done) / static_cast<double>(total) : 100.0, rate, left);
}

} // namespace tenantmig
