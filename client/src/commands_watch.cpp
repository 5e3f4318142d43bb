// watch: events of the database as they come, one line each, and a command that is run for each.
#include "client_error.hpp"
#include "commands.hpp"
#include "event.hpp"
#include "interrupt.hpp"
#include "messages.hpp"
#include "text.hpp"
#include <algorithm>
#include <chrono>
#include <fmt/format.h>

namespace tenantmig::client {

namespace {

using std::chrono::steady_clock;

double seconds_since(steady_clock::time_point moment) {
    return std::chrono::duration<double>(steady_clock::now() - moment).count();
}

class EventWatcher {
public:
    EventWatcher(Connection &connection, const GlobalOptions &global, const WatchEventsOptions &options)
        : connection_(connection), global_(global), options_(options) {}

    ExitStatus watch() {
        connection_.query("LISTEN tenantmig");
        messages::show_remark(fmt::format("listening for events{}; Ctrl-C ends it",
                                          options_.migration.empty() ? "" : " of \"" + options_.migration + "\""));
        while (true) {
            require_uninterrupted();
            if (options_.count && shown_ >= *options_.count) return ExitStatus::done;
            const double left = time_left();
            if (left <= 0) return timed_out();
            if (const auto payload = next(static_cast<int>(std::min(left, longest_wait) * 1000))) received(*payload);
        }
    }

private:
    static constexpr double longest_wait = 60, longest_attempt = 5, first_rest = 0.5, longest_rest = 30;

    static void require_uninterrupted() {
        if (interrupt::requested()) throw ClientError(ExitStatus::interrupted, "interrupted");
    }

    [[nodiscard]] double time_left() const {
        return options_.timeout ? *options_.timeout - seconds_since(started_) : longest_wait;
    }

    [[nodiscard]] ExitStatus timed_out() const {
        if (!options_.count) return ExitStatus::done;
        throw ClientError(ExitStatus::failure,
                          fmt::format("{} of {} events came when the time is up", shown_, *options_.count));
    }

    std::optional<std::string> next(int milliseconds) {
        try {
            return connection_.notification(milliseconds);
        } catch (const ClientError &error) {
            if (error.status() != ExitStatus::connection) throw;
            reconnect(error.text().message);
            return std::nullopt;
        }
    }

    // Until it works again, with longer and longer rests; what was sent meanwhile is not delivered later.
    void reconnect(const std::string &reason) {
        messages::show_remark(
            fmt::format("the connection was lost ({}); trying again", reason.substr(0, reason.find('\n'))));
        const auto lost = steady_clock::now();
        double rest = first_rest;
        while (true) {
            require_uninterrupted();
            double left = time_left();
            if (options_.reconnect) left = std::min(left, *options_.reconnect - seconds_since(lost));
            if (options_.reconnect && seconds_since(lost) >= *options_.reconnect)
                throw ClientError(
                    ExitStatus::connection,
                    fmt::format("the connection was lost, and there was none again for {} s", *options_.reconnect),
                    connection_.last_error());
            if (options_.timeout && left <= 0) return; // the time is up, which ends it
            if (listens_again(std::min(left, longest_attempt))) {
                messages::show_remark("connected again; events of the meantime may have been missed");
                return;
            }
            deferred_.sleep(static_cast<int>(std::clamp(time_left(), 0.0, rest) * 1000));
            rest = std::min(rest * 2, longest_rest);
        }
    }

    bool listens_again(double seconds) {
        if (!connection_.reconnect(static_cast<int>(std::max(seconds, 0.1) * 1000))) return false;
        try {
            connection_.query("LISTEN tenantmig");
            return true;
        } catch (const ClientError &error) {
            if (error.status() == ExitStatus::interrupted) throw;
            return false; // it went again, or is not yet ready
        }
    }

    void received(const std::string &payload) {
        const std::optional<Event> event = parse_event(payload);
        if (!event) { // anybody may send to a channel
            messages::show_remark(fmt::format("ignored, no event of tenantmig: {}", printable(payload)));
            return;
        }
        const auto &kinds = options_.kinds;
        if (!kinds.empty() && std::find(kinds.begin(), kinds.end(), event->event) == kinds.end()) return;
        if (!options_.migration.empty() && event->migration != options_.migration) return;
        show(*event);
        ++shown_;
        if (!options_.command.empty()) run_command(*event);
    }

    void show(const Event &event) {
        if (global_.format == Format::json) {
            std::string line = json_printable(event.payload);
            // line feeds between the members would break one event a line
            std::replace(line.begin(), line.end(), '\n', ' ');
            std::replace(line.begin(), line.end(), '\r', ' ');
            print_text(line + "\n");
        } else if (global_.format == Format::csv) {
            Result row;
            row.columns = {{"time"}, {"migration"}, {"event"}, {"fields"}};
            row.rows.push_back({event.at, event.migration, event.event, fields_text(event)});
            const std::string text = as_csv(row);
            print_text(shown_ == 0 ? text : text.substr(text.find('\n') + 1));
        } else {
            const std::string fields = fields_text(event);
            print_text(fmt::format("{}  {}  {}{}\n", event.at.empty() ? "-" : printable(event.at),
                                   event.migration.empty() ? "-" : printable(event.migration), event.event,
                                   fields.empty() ? "" : "  " + printable(fields)));
        }
        flush_output(); // at once: somebody is waiting for it at the end of a pipe
    }

    // One after the other, in the order of the events. What arrives meanwhile is read, so that the server never waits
    // for us.
    void run_command(const Event &event) {
        constexpr int rest = 20;
        constexpr double patience = 5; // seconds that a command has for its end after a signal
        Hook hook(options_.command, event);
        std::optional<steady_clock::time_point> asked;
        while (!hook.ended()) {
            if (interrupt::requested() && !asked) {
                hook.terminate(false);
                asked = steady_clock::now();
            }
            if (asked && seconds_since(*asked) > patience) break; // its end is the destructor's
            if (asked)
                deferred_.sleep(rest);
            else
                connection_.take_in(rest);
        }
        if (asked) return;
        if (const auto problem = hook.problem())
            messages::show_error(
                {fmt::format("the command for event {} of \"{}\" {}", event.event, event.migration, *problem), "", "",
                 "", ""});
    }

    Connection &connection_;
    const GlobalOptions &global_;
    const WatchEventsOptions &options_;
    const interrupt::Deferred deferred_;
    const steady_clock::time_point started_ = steady_clock::now();
    std::int64_t shown_ = 0;
};

} // namespace

ExitStatus watch_events(const GlobalOptions &global, const WatchEventsOptions &options) {
    Connection connection = connect_checked(global);
    if (!options.migration.empty() &&
        connection
            .query("SELECT 1 FROM tenantmig.migrations m WHERE m.migration OPERATOR(pg_catalog.=) $1",
                   {options.migration})
            .rows.empty())
        no_such_migration(options.migration);
    return EventWatcher(connection, global, options).watch();
}

} // namespace tenantmig::client
