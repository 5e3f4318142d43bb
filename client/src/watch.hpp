// Watching a run that goes on in the background: a poll now and then, each a transaction of its own, so that no
// snapshot is held in between (it would keep the run from reusing the space of the rows it has moved).
#pragma once
#include "progress.hpp"
#include <chrono>
#include <optional>

namespace tenantmig::client {

struct WatchOptions {
    enum class OnSignal { pause, leave };
    OnSignal on_signal = OnSignal::leave; // pause: the first one pauses the run, the second one leaves
    bool show = true;                     // a live line
    std::string taken_up_from;            // the state that it was resumed from, which may stand there a moment longer
    std::optional<double> timeout;        // seconds
    int reconnect = 60;                   // seconds for which a lost connection is tried again
};

struct Watched {
    enum class How { settled, left, timed_out };
    How how = How::settled;
    Progress progress;
    bool asked_to_pause = false; // by a signal
};

// Until nobody is at work on the run any more, or one of the other ends. Status 2 if the connection is lost for good.
Watched watch(Connection &connection, const std::string &run, const WatchOptions &options);

// Draws the progress on the terminal; not on a terminal, a line, at most one a second.
class LiveLine {
public:
    void show(const Progress &progress);
    void complete(); // on a terminal: what is done does not stay at the share of the last look

private:
    std::optional<Progress> last_;
    std::chrono::steady_clock::time_point shown_ = std::chrono::steady_clock::now();
};

// Milliseconds to wait between two polls. The first come quickly, for runs that are done in no time.
class PollPause {
public:
    int next();

private:
    int last_ = 0;
};

} // namespace tenantmig::client
