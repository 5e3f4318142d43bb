// A process is killed while a migration goes up: a background worker if there is one, else the session that calls up.
// Signal 9 in a cluster of our own (which restarts all of it, as after a crash); pg_terminate_backend elsewhere. Then
// up goes on, and the end has to be that of an undisturbed up.
#include "client_error.hpp"
#include "rehearsal_run.hpp"
#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fmt/format.h>
#include <thread>

namespace tenantmig::client {

namespace {

using Clock = std::chrono::steady_clock;
constexpr int poll_milliseconds = 2;
constexpr auto patience = std::chrono::seconds(60); // for a cluster that recovers

// The process to be ended: of the copy, not ours. A worker is better than the session that waits for it.
struct Victim {
    std::string process, what;
};

std::optional<Victim> find_worker(Connection &watcher) {
    const Result rows = watcher.query(
        "SELECT a.pid, a.backend_type FROM pg_catalog.pg_stat_activity a WHERE a.datname OPERATOR(pg_catalog.=) "
        "pg_catalog.current_database() AND a.backend_type OPERATOR(pg_catalog.~) '^tenantmig' ORDER BY a.pid LIMIT 1");
    if (rows.rows.empty()) return {};
    return Victim{rows.rows[0][0].value_or(""), rows.rows[0][1].value_or("")};
}

// Whether it was there to be killed.
bool kill_process(Connection &watcher, const Victim &victim, bool ours) {
    const long process = std::strtol(victim.process.c_str(), nullptr, 10);
    if (process <= 1) return false;
    if (ours) return ::kill(static_cast<pid_t>(process), SIGKILL) == 0;
    const Result rows = watcher.query("SELECT pg_catalog.pg_terminate_backend($1::pg_catalog.int4)", {victim.process});
    return rows.rows.at(0)[0] == "t";
}

// Whether the server comes down, as it does when one of its processes is killed. That takes a moment, in which it still
// lets us in; and a process that had just ended by itself makes no difference to it.
bool goes_down(Connection &watcher) {
    constexpr auto moment = std::chrono::seconds(5);
    for (const auto until = Clock::now() + moment; Clock::now() < until;) {
        try {
            watcher.query("SELECT 1");
        } catch (const ClientError &error) {
            if (error.status() != ExitStatus::connection) throw;
            return true;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return false;
}

Connection connect_again(const RehearsalCopy &copy) {
    const auto until = Clock::now() + patience;
    for (;;) {
        try {
            return copy.connect();
        } catch (const ClientError &error) {
            if (error.status() != ExitStatus::connection || Clock::now() > until) throw;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
}

} // namespace

std::string Rehearsal::kill_and_go_on() {
    const auto longest = std::max_element(migrations_.begin(), migrations_.end(),
                                          [](const auto &a, const auto &b) { return a.up < b.up; });
    for (auto at = migrations_.begin(); at != longest; ++at)
        up(*at);
    std::string killed;
    // Later than half-way would often be too late, as the second time is faster.
    for (const double share : {0.5, 0.25, 0.1, 0.02, 0.0}) {
        create(*longest);
        Connection runner = copy_.connect();
        const std::string session = runner.query("SELECT pg_catalog.pg_backend_pid()").rows.at(0)[0].value_or("");
        const auto start = Clock::now();
        const auto due =
            start + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(longest->up * share));
        runner.send("CALL tenantmig.up($1, workers => 2)", {longest->name});
        bool ended = false;
        try {
            while (!ended && Clock::now() < due)
                ended = runner.receive(poll_milliseconds).has_value();
            if (!ended) {
                const Victim victim = find_worker(*connection_).value_or(Victim{session, "the session that called up"});
                if (kill_process(*connection_, victim, copy_.ours()))
                    killed = fmt::format("{} of {}, {:.0f} ms after its start, {}", victim.what, longest->name,
                                         1000 * std::chrono::duration<double>(Clock::now() - start).count(),
                                         copy_.ours() ? "by signal 9" : "terminated");
            }
            while (!ended)
                ended = runner.receive(-1).has_value();
        } catch (const ClientError &error) { // that is what it was killed for
            if (error.status() == ExitStatus::interrupted) throw;
            // it came to a gate that is closed: too late for us
            if (killed.empty() && error.text().state != "TM013") throw;
        }
        if (!killed.empty() && copy_.ours() && !goes_down(*connection_)) killed.clear();
        if (!killed.empty()) break; // a worker's end need not be that of the run
        down(*longest);
    }
    connection_.reset();
    connection_.emplace(connect_again(copy_));
    if (killed.empty()) {
        up_all();
        require_equal(end_, Tolerance::repeated);
        return "every attempt came too late: up was done; the end is the same";
    }
    up_all();
    require_equal(end_, Tolerance::repeated);
    return killed + "; up again came to the same end";
}

} // namespace tenantmig::client
