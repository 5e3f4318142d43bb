#include "watch.hpp"
#include "client_error.hpp"
#include "interrupt.hpp"
#include "messages.hpp"
#include "text.hpp"
#include <algorithm>
#include <fmt/format.h>

namespace tenantmig::client {

namespace {

using std::chrono::steady_clock;

double seconds_since(steady_clock::time_point moment) {
    return std::chrono::duration<double>(steady_clock::now() - moment).count();
}

// A run says `interrupted` for a moment too while its workers are being started or replaced.
constexpr double believe_interrupted = 3;
// A run that is taken up has its old state until its first worker is there.
constexpr double believe_not_begun = 10;

class Watcher {
public:
    Watcher(Connection &connection, const std::string &run, const WatchOptions &options)
        : connection_(connection), run_(run), options_(options) {}

    Watched watch() {
        PollPause pause;
        while (true) {
            if (interrupt::requested()) {
                interrupt::take();
                if (watched_.asked_to_pause || options_.on_signal == WatchOptions::OnSignal::leave)
                    return ended(Watched::How::left);
                messages::show_remark(fmt::format("pausing run {}; Ctrl-C again leaves at once", run_));
                watched_.asked_to_pause = to_be_paused_ = true;
            }
            if (to_be_paused_) ask_to_pause();
            if (poll() && settled()) return ended(Watched::How::settled);
            if (options_.timeout && seconds_since(started_) >= *options_.timeout) return ended(Watched::How::timed_out);
            if (options_.show && watched_.progress.is_active()) line_.show(watched_.progress);
            deferred_.sleep(pause.next());
        }
    }

private:
    Watched ended(Watched::How how) {
        if (how == Watched::How::settled && watched_.progress.state == "completed") line_.complete();
        messages::end_progress();
        watched_.how = how;
        return watched_;
    }

    bool settled() {
        if (watched_.progress.is_active()) seen_active_ = true;
        if (!seen_active_ && watched_.progress.state == options_.taken_up_from &&
            seconds_since(started_) < believe_not_begun)
            return false;
        if (watched_.progress.state != "interrupted") {
            interrupted_since_.reset();
            return !watched_.progress.is_active();
        }
        if (!interrupted_since_) interrupted_since_ = steady_clock::now();
        return seconds_since(*interrupted_since_) >= believe_interrupted;
    }

    // False if there was no answer this time.
    bool poll() {
        try {
            watched_.progress = read_progress(connection_, run_);
            return true;
        } catch (const ClientError &error) {
            if (error.status() == ExitStatus::connection)
                reconnect(error.text().message);
            else if (error.status() != ExitStatus::interrupted && error.text().state != "57014") // a time-out of theirs
                throw;
            return false;
        }
    }

    void reconnect(const std::string &reason) {
        messages::show_remark(fmt::format("the connection was lost ({}); trying again for {} s",
                                          reason.substr(0, reason.find('\n')), options_.reconnect));
        const auto lost = steady_clock::now();
        std::string problem = reason;
        while (true) {
            const double left = options_.reconnect - seconds_since(lost);
            if (interrupt::requested())
                throw ClientError(ExitStatus::interrupted, "interrupted while there was no connection",
                                  fmt::format("How run {} stands is not known; if the server lives, it goes on.", run_),
                                  "tenantmig status");
            if (left <= 0)
                throw ClientError(
                    ExitStatus::connection,
                    fmt::format("the connection was lost, and there was none again for {} s", options_.reconnect),
                    problem,
                    "A run in the background needs no client: tenantmig status  says how it stands, and "
                    "tenantmig resume MIGRATION  takes it up if the server crashed.");
            if (connection_.reconnect(static_cast<int>(std::min(left, longest_attempt) * 1000))) {
                messages::show_remark("connected again");
                return;
            }
            problem = connection_.last_error();
            deferred_.sleep(500);
        }
    }

    void ask_to_pause() {
        try {
            connection_.query("SELECT tenantmig.pause(r.migration) FROM tenantmig.runs r "
                              "WHERE r.id OPERATOR(pg_catalog.=) $1::pg_catalog.int8",
                              {run_});
            to_be_paused_ = false;
        } catch (const ClientError &error) {
            // 55000: it has just ended, or has not begun yet and is asked again; and what is wrong with the connection,
            // the next poll finds out
            if (error.status() != ExitStatus::failure || error.text().state == "55000") return;
            to_be_paused_ = false;
            messages::show_error(error.text());
        }
    }

    static constexpr double longest_attempt = 5;

    Connection &connection_;
    const std::string &run_;
    const WatchOptions &options_;
    const interrupt::Deferred deferred_;
    const steady_clock::time_point started_ = steady_clock::now();
    std::optional<steady_clock::time_point> interrupted_since_;
    bool seen_active_ = false, to_be_paused_ = false;
    LiveLine line_;
    Watched watched_;
};

} // namespace

Watched watch(Connection &connection, const std::string &run, const WatchOptions &options) {
    return Watcher(connection, run, options).watch();
}

void LiveLine::complete() {
    if (!last_ || !messages::progress_on_terminal()) return;
    Progress all = *last_;
    all.done = all.total;
    all.percent = 100;
    all.eta.reset();
    all.throttle.clear();
    if (!all.is_undo()) all.phase.clear();
    show(all);
}

void LiveLine::show(const Progress &progress) {
    last_ = progress;
    const std::string alert = progress.throttle.empty() ? "" : "  throttled: " + progress.throttle;
    if (messages::progress_on_terminal()) {
        const std::size_t width = messages::terminal_width();
        // the reason is what somebody looks for who sees it stand still; but the name and the percentage stay
        const std::string shown = fitting(alert, width / 2);
        messages::show_progress(progress_bar(progress, width, display_width(printable(shown))), shown);
    } else if (seconds_since(shown_) >= 1) {
        shown_ = steady_clock::now();
        messages::show_progress(progress_text(progress), alert);
    }
}

int PollPause::next() {
    constexpr int first = 50, longest = 500;
    last_ = last_ == 0 ? first : std::min(last_ * 2, longest);
    return last_;
}

} // namespace tenantmig::client
