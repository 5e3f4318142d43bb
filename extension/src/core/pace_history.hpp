// When a counter that only grows (a WAL position, the next transaction id) passed a value: what a standby's lag in
// seconds is made of where the server does not say.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace tenantmig::core {

class PaceHistory {
public:
    // The counter stands at `mark` at time `now` (seconds, never backwards).
    void add(double now, std::uint64_t mark) {
        if (!samples_.empty() && mark <= samples_.back().mark) return; // since then nothing has happened
        samples_.push_back({now, mark});
        // The older, the coarser: an age is at most a tenth too small, and a day takes about a hundred samples.
        std::size_t kept = 1;
        for (std::size_t i = 1; i + 1 < samples_.size(); i++)
            if (samples_[i + 1].time - samples_[kept - 1].time >= (now - samples_[i].time) / 10)
                samples_[kept++] = samples_[i];
        if (samples_.size() > 1) samples_[kept++] = samples_.back();
        samples_.resize(kept);
    }

    // For how many seconds at least the counter has been beyond `mark`; 0 if it is not.
    double behind(double now, std::uint64_t mark) const {
        auto first = std::upper_bound(samples_.begin(), samples_.end(), mark,
                                      [](std::uint64_t value, const Sample &sample) { return value < sample.mark; });
        return first == samples_.end() ? 0 : now - first->time;
    }

    std::size_t size() const { return samples_.size(); }

private:
    struct Sample {
        double time;
        std::uint64_t mark;
    };
    std::vector<Sample> samples_;
};

} // namespace tenantmig::core
