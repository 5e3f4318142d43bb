// run, resume, pause, cancel, wait, undo, pace: runs that go on in background workers, and what can be done with them.
#include "call.hpp"
#include "client_error.hpp"
#include "commands.hpp"
#include "interrupt.hpp"
#include "messages.hpp"
#include "text.hpp"
#include "watch.hpp"
#include <fmt/format.h>
#include <functional>
#include <nlohmann/json.hpp>

namespace tenantmig::client {

namespace {

std::string latest_run(Connection &connection, const std::string &migration) {
    return resolve_run(connection, "latest:" + migration);
}

std::string run_of(const Progress &progress) {
    return fmt::format("run {} of \"{}\"", progress.run, progress.migration);
}

// The run's error holds DETAIL and HINT as lines of their own.
ErrorText error_of(const Progress &progress) {
    ErrorText text;
    std::string *part = &text.message;
    std::string_view rest = progress.error;
    while (!rest.empty()) {
        const std::size_t end = std::min(rest.find('\n'), rest.size());
        std::string_view line = rest.substr(0, end);
        rest.remove_prefix(std::min(end + 1, rest.size()));
        const auto starts = [&](std::string_view label, std::string &which) {
            if (!line.starts_with(label)) return;
            line.remove_prefix(label.size());
            part = &which;
        };
        starts("DETAIL: ", text.detail);
        starts("HINT: ", text.hint);
        starts("SQLSTATE: ", text.state);
        *part += (part->empty() ? "" : "\n") + std::string(line);
    }
    // "23514: no way; Found it." is SQLSTATE, message and DETAIL in one line
    constexpr std::size_t state_length = 5;
    const std::string_view letters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    std::string &message = text.message;
    if (text.state.empty() && message.find_first_not_of(letters) == state_length &&
        message.compare(state_length, 2, ": ") == 0) {
        text.state = message.substr(0, state_length);
        message.erase(0, state_length + 2);
        if (const std::size_t end = message.find("; "); text.detail.empty() && end != std::string::npos) {
            text.detail = message.substr(end + 2);
            message.erase(end);
        }
    }
    text.message = run_of(progress) + " failed" + (text.message.empty() ? "" : ": " + text.message);
    if (text.hint.empty())
        text.hint = fmt::format("tenantmig status {0}  shows more; tenantmig resume {0}  goes on once the cause is "
                                "gone",
                                shell_word(progress.migration));
    return text;
}

ExitStatus completed(const GlobalOptions &global, Connection &connection, const Progress &progress) {
    print_result(
        connection.query("SELECT c.relation, c.outcome, c.source, c.row_count, c.deleted_count FROM tenantmig.runs r, "
                         "ROWS FROM (pg_catalog.jsonb_to_recordset(r.counts) AS (relation pg_catalog.text, outcome "
                         "pg_catalog.text, source pg_catalog.text, row_count pg_catalog.int8, deleted_count "
                         "pg_catalog.int8)) WITH ORDINALITY AS c (relation, outcome, source, row_count, deleted_count, "
                         "place) WHERE r.id OPERATOR(pg_catalog.=) $1::pg_catalog.int8 ORDER BY c.place",
                         {progress.run}),
        global.format);
    flush_output("the run is done and committed; see tenantmig status");
    const Result found = connection.query(
        "SELECT r.assigned, r.row_total, m.open_reviews FROM tenantmig.runs r JOIN tenantmig.migrations m ON "
        "m.migration OPERATOR(pg_catalog.=) r.migration WHERE r.id OPERATOR(pg_catalog.=) $1::pg_catalog.int8",
        {progress.run});
    if (found.rows.empty()) return ExitStatus::done; // dropped meanwhile
    const auto &row = found.rows.front();
    const std::string open = row[2].value_or("0");
    messages::show_remark(fmt::format("{} completed: {} of {} rows assigned, {} {} open", run_of(progress),
                                      row[0].value_or("0"), row[1].value_or("0"), open,
                                      open == "1" ? "review" : "reviews"));
    return open == "0" ? ExitStatus::done : ExitStatus::open_reviews;
}

ExitStatus rolled_back(const GlobalOptions &global, Connection &connection, const Progress &progress) {
    const Result outcome = connection.query("SELECT relation, outcome, reason, row_count FROM tenantmig.undo_counts "
                                            "WHERE run_id OPERATOR(pg_catalog.=) $1::pg_catalog.int8 "
                                            "ORDER BY relation, outcome, reason",
                                            {progress.run});
    print_result(outcome, global.format);
    flush_output("the run is undone and committed");
    messages::show_remark(run_of(progress) + " is undone");
    return undo_outcome(outcome, progress.run);
}

ExitStatus paused(const Progress &progress, bool by_signal, const std::string &next) {
    const bool undo = next.starts_with("tenantmig undo ");
    const std::string at = undo && !progress.is_undo() ? "" : " at " + percent_text(progress); // if it is known
    const std::string how = fmt::format("paused{}; go on with: {}", at, next);
    const std::string what = (undo ? "the undo of " : "") + run_of(progress);
    messages::show_remark(by_signal ? how : fmt::format("{} is {}", what, how));
    if (!by_signal && !progress.error.empty()) messages::show_remark("DETAIL: " + progress.error); // why, if it says
    return by_signal ? ExitStatus::interrupted : ExitStatus::paused;
}

// Prints what became of a run that nobody is at work on any more.
ExitStatus conclude(const GlobalOptions &global, Connection &connection, const Progress &progress, bool by_signal,
                    const std::string &go_on = {}) {
    const std::string resume = go_on.empty() ? "tenantmig resume " + shell_word(progress.migration) : go_on;
    if (progress.is_undo()) return paused(progress, by_signal, "tenantmig undo " + progress.run);
    if (progress.state == "completed") return completed(global, connection, progress);
    if (progress.state == "rolled_back") return rolled_back(global, connection, progress);
    if (progress.state == "paused") return paused(progress, by_signal, resume);
    if (progress.state == "failed") throw ClientError(ExitStatus::failure, error_of(progress));
    if (progress.state == "interrupted")
        throw ClientError(ExitStatus::failure,
                          fmt::format("{} was interrupted at {}", run_of(progress), percent_text(progress)),
                          "Nobody is at work on it: the server was restarted, or its processes were ended. What was "
                          "committed stands.",
                          resume + "  takes it up");
    throw ClientError(ExitStatus::failure, fmt::format("{} is {}", run_of(progress), progress.state),
                      "What it wrote stands.", fmt::format("tenantmig undo {}  takes it back", progress.run));
}

ExitStatus conclude(const GlobalOptions &global, Connection &connection, const Watched &watched) {
    const Progress &progress = watched.progress;
    const std::string name = shell_word(progress.migration);
    if (watched.how == Watched::How::settled) return conclude(global, connection, progress, watched.asked_to_pause);
    if (watched.how == Watched::How::timed_out)
        throw ClientError(ExitStatus::failure,
                          fmt::format("{} is still {} when the time is up", run_of(progress), progress.state),
                          progress_text(progress), fmt::format("tenantmig wait {}  waits again", name));
    messages::show_remark(fmt::format("{} goes on in the background, at {}{}", run_of(progress), percent_text(progress),
                                      watched.asked_to_pause ? "; it was asked to pause" : ""));
    messages::show_remark(fmt::format(
        "tenantmig status {0}  shows it, tenantmig wait {0}  waits for it, tenantmig pause {0}  pauses it", name));
    return ExitStatus::interrupted;
}

// What a run that was started or taken up in the background needs of us: nothing, or to be watched.
ExitStatus follow(const GlobalOptions &global, Connection &connection, const RunOptions &options,
                  const std::string &migration, const std::string &run, const std::string &taken_up_from = {}) {
    if (!options.detach) {
        WatchOptions how;
        how.taken_up_from = taken_up_from;
        how.on_signal = WatchOptions::OnSignal::pause;
        how.reconnect = options.reconnect;
        return conclude(global, connection, watch(connection, run, how));
    }
    if (global.format == Format::table) {
        print_text(run + "\n");
    } else {
        Result started;
        started.columns = {{"migration"}, {"run_id", ColumnKind::number}};
        started.rows.push_back({migration, run});
        print_result(started, global.format);
    }
    flush_output("the run goes on in the background");
    messages::show_remark(fmt::format("run {0} goes on in the background: tenantmig status {1}  shows it, "
                                      "tenantmig wait {1}  waits for it",
                                      run, shell_word(migration)));
    return ExitStatus::done;
}

ExitStatus take_up(const GlobalOptions &global, Connection &connection, const RunOptions &options,
                   const std::string &migration, const std::string &state) {
    Call call{"SELECT tenantmig.resume($1", {migration}};
    call.add("workers", "int4", options.workers);
    call.add("budget", "interval", options.budget);
    call.add("plan_hash", "text", options.plan_hash);
    const Result taken = connection.query(call.sql + ")", call.parameters);
    return follow(global, connection, options, migration, taken.rows.at(0).at(0).value_or(""), state);
}

// Throws it again; if the connection was lost amid a call that commits as it goes, with what to do next.
[[noreturn]] void goes_on_with(const ClientError &error, const std::string &hint) {
    ErrorText text = error.text();
    if (error.status() == ExitStatus::connection && text.hint.empty()) text.hint = hint;
    throw ClientError(error.status(), text);
}

struct Called {
    Progress progress; // at its end
    bool by_signal;    // that ended it
};

// A call that commits as it goes, until it is in this state. Another connection is asked meanwhile how far it is.
Called call_with_progress(Connection &connection, const Call &call, const std::string &if_lost, const std::string &done,
                          const std::function<Progress(Connection &)> &read) {
    const interrupt::Deferred deferred;
    std::optional<Connection> second;
    try {
        second.emplace(connection.another());
    } catch (const ClientError &) { // no connection is left: then what the call itself says is shown
    }
    messages::ignore_progress_notices(second.has_value());
    bool by_signal = false;
    LiveLine line;
    PollPause pause;
    try {
        connection.send(call.sql + ")", call.parameters);
        while (!connection.receive(pause.next())) {
            if (!second) continue;
            try {
                const Progress progress = read(*second);
                if (progress.is_active()) line.show(progress);
            } catch (const ClientError &) { // what matters comes from the first: it says if the server is gone
            }
        }
    } catch (const ClientError &error) {
        messages::end_progress();
        if (error.status() != ExitStatus::interrupted) goes_on_with(error, if_lost);
        by_signal = true;
    }
    by_signal = by_signal || interrupt::requested();
    interrupt::take();
    const Progress progress = read(connection);
    if (progress.state == done) line.complete();
    messages::end_progress();
    return {progress, by_signal};
}

ExitStatus run_in_foreground(const GlobalOptions &global, Connection &connection, const RunOptions &options,
                             const std::string &migration) {
    Call call{"CALL tenantmig.run($1", {migration}};
    call.add("budget", "interval", options.budget);
    call.add("plan_hash", "text", options.plan_hash);
    call.add("max_count_change", "numeric", options.max_count_change);
    const auto read = [&](Connection &second) { return read_progress(second, latest_run(second, migration)); };
    const std::string go_on = "tenantmig run --foreground " + shell_word(migration);
    const auto [progress, by_signal] =
        call_with_progress(connection, call, go_on + "  goes on with what had not committed", "completed", read);
    return conclude(global, connection, progress, by_signal, go_on);
}

// A run that waits to be taken up, if the latest is one.
std::optional<Progress> unfinished(Connection &connection, const std::string &migration) {
    const Result latest = connection.query("SELECT r.id, r.state FROM tenantmig.runs r WHERE r.migration "
                                           "OPERATOR(pg_catalog.=) $1 ORDER BY r.id DESC LIMIT 1",
                                           {migration});
    if (latest.rows.empty()) return std::nullopt;
    const std::string state = latest.rows[0][1].value_or("");
    if (state != "paused" && state != "failed" && state != "interrupted") return std::nullopt;
    return read_progress(connection, latest.rows[0][0].value_or(""));
}

// A run that was started this moment hears nothing until its first worker is there.
void ask_once_begun(Connection &connection, const std::string &migration, const std::string &run,
                    const std::string &sql, const interrupt::Deferred &deferred) {
    constexpr int attempts = 20, rest = 100; // milliseconds
    for (int attempt = 1;; ++attempt) {
        try {
            connection.query(sql, {migration});
            return;
        } catch (const ClientError &error) {
            if (error.text().state != "55000" || attempt == attempts || !read_progress(connection, run).is_active())
                throw;
        }
        deferred.sleep(rest);
    }
}

// pause and cancel: asks, and waits until it has happened.
Progress ask(const GlobalOptions &global, Connection &connection, const WaitOptions &options, const char *function) {
    const std::string run = latest_run(connection, options.migration);
    const interrupt::Deferred deferred;
    ask_once_begun(connection, options.migration, run, fmt::format("SELECT tenantmig.{}($1)", function), deferred);
    Progress progress;
    if (options.no_wait) {
        progress = read_progress(connection, run);
    } else {
        WatchOptions how;
        how.show = false;
        how.timeout = options.timeout;
        how.reconnect = options.reconnect;
        const Watched watched = watch(connection, run, how);
        if (watched.how == Watched::How::left)
            throw ClientError(ExitStatus::interrupted, "interrupted",
                              fmt::format("{} was asked to {}, and is still {}.", run_of(watched.progress), function,
                                          watched.progress.state),
                              "tenantmig status " + shell_word(options.migration));
        if (watched.how == Watched::How::timed_out) conclude(global, connection, watched);
        progress = watched.progress;
    }
    Result shown;
    shown.columns = {{"migration"}, {"run_id", ColumnKind::number}, {"state"}, {"percent", ColumnKind::number}};
    shown.rows.push_back({progress.migration, progress.run, progress.state, fmt::format("{:.1f}", progress.percent)});
    print_result(shown, global.format);
    flush_output();
    return progress;
}

nlohmann::json setting_value(const std::string &text) {
    const nlohmann::json value = nlohmann::json::parse(text, nullptr, false);
    // a number, true, false or null is what it looks like; 10 s is text
    return value.is_number() || value.is_boolean() || value.is_null() ? value : nlohmann::json(text);
}

} // namespace

ExitStatus run_online(const GlobalOptions &global, const RunOptions &options, Connection &connection,
                      const std::string &migration) {
    const interrupt::Deferred deferred; // from the start on: a signal never leaves a run that nobody knows of
    const std::optional<Progress> waiting = unfinished(connection, migration);
    if (waiting) {
        messages::show_remark(
            fmt::format("{} is {} at {}; it goes on", run_of(*waiting), waiting->state, percent_text(*waiting)));
    }
    if (options.foreground) return run_in_foreground(global, connection, options, migration);
    if (waiting) return take_up(global, connection, options, migration, waiting->state);
    Call call{"SELECT tenantmig.start($1", {migration}};
    call.add("workers", "int4", options.workers);
    call.add("budget", "interval", options.budget);
    call.add("plan_hash", "text", options.plan_hash);
    call.add("max_count_change", "numeric", options.max_count_change);
    const Result started = connection.query(call.sql + ")", call.parameters);
    return follow(global, connection, options, migration, started.rows.at(0).at(0).value_or(""));
}

ExitStatus resume(const GlobalOptions &global, const RunOptions &options) {
    Connection connection = connect_checked(global);
    const interrupt::Deferred deferred;
    const std::optional<Progress> waiting = unfinished(connection, options.target.text);
    return take_up(global, connection, options, options.target.text, waiting ? waiting->state : "");
}

ExitStatus pause(const GlobalOptions &global, const WaitOptions &options) {
    Connection connection = connect_checked(global);
    const Progress progress = ask(global, connection, options, "pause");
    if (progress.state == "failed" || progress.state == "interrupted")
        return conclude(global, connection, progress, false);
    if (progress.state == "paused")
        messages::show_remark(fmt::format("go on with: tenantmig resume {}", shell_word(options.migration)));
    return ExitStatus::done;
}

ExitStatus cancel(const GlobalOptions &global, const WaitOptions &options) {
    Connection connection = connect_checked(global);
    const Progress progress = ask(global, connection, options, "cancel");
    if (progress.state == "cancelled")
        messages::show_remark(fmt::format("what it wrote stands; tenantmig undo {}  takes it back", progress.run));
    else if (progress.state == "completed")
        throw ClientError(ExitStatus::failure,
                          fmt::format("{} completed before it could be cancelled", run_of(progress)), "",
                          fmt::format("tenantmig undo {}  takes back what it wrote", progress.run));
    else if (!progress.is_active())
        return conclude(global, connection, progress, false);
    return ExitStatus::done;
}

ExitStatus wait(const GlobalOptions &global, const WaitOptions &options) {
    Connection connection = connect_checked(global);
    WatchOptions how;
    how.timeout = options.timeout;
    how.reconnect = options.reconnect;
    return conclude(global, connection, watch(connection, latest_run(connection, options.migration), how));
}

ExitStatus undo(const GlobalOptions &global, const UndoOptions &options) {
    Connection connection = connect_checked(global);
    const std::string run = resolve_run(connection, options.run);
    Call call{"CALL tenantmig.undo($1::pg_catalog.int8", {run}};
    call.add("budget", "interval", options.budget);
    const auto [progress, by_signal] =
        call_with_progress(connection, call, "tenantmig undo " + run + "  goes on with what had not committed",
                           "rolled_back", [&](Connection &second) { return read_progress(second, run); });
    if (progress.state == "rolled_back") return rolled_back(global, connection, progress);
    return paused(progress, by_signal, "tenantmig undo " + run);
}

ExitStatus pace(const GlobalOptions &global, const std::string &migration, const std::vector<std::string> &settings) {
    nlohmann::json document = nlohmann::json::object();
    for (const std::string &setting : settings) {
        const std::size_t sign = setting.find('=');
        if (sign == 0 || sign == std::string::npos)
            throw ClientError(
                ExitStatus::usage, fmt::format("\"{}\" is not a setting", setting), "",
                "key=value, such as batch_target_ms=50 or max_replica_lag_s=off; key=null is the default again");
        const std::string key = setting.substr(0, sign);
        if (document.contains(key))
            throw ClientError(ExitStatus::usage, fmt::format("\"{}\" is set twice", key), "", "give each key once");
        document[key] = setting_value(setting.substr(sign + 1));
    }
    Connection connection = connect_checked(global);
    print_result(connection.query("SELECT s.key AS setting, s.value FROM pg_catalog.jsonb_each_text("
                                  "tenantmig.set_pace($1, $2::pg_catalog.jsonb)) s ORDER BY s.key",
                                  {migration, document.dump()}),
                 global.format);
    flush_output("the settings hold from now on, also for a run that is under way");
    return ExitStatus::done;
}

} // namespace tenantmig::client
