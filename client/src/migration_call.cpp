#include "migration_call.hpp"
#include "client_error.hpp"
#include "core/error.hpp"
#include "interrupt.hpp"
#include "messages.hpp"
#include "progress.hpp"
#include "spec_check.hpp"
#include "text.hpp"
#include "watch.hpp"
#include <chrono>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace tenantmig::client {

namespace {

using std::chrono::steady_clock;

std::string padded(const std::string &text, std::size_t width) {
    const std::size_t taken = display_width(text);
    return text + std::string(width > taken ? width - taken : 0, ' ');
}

std::string label_text(const CallLabel &label) {
    const std::string count = std::to_string(label.count);
    std::string text = fmt::format("{:>{}}/{}", label.number, count.size(), count);
    if (!label.file.empty()) text += "  " + padded(printable(label.file), label.file_width);
    return text + "  " + padded(printable(label.migration), label.name_width);
}

std::string seconds_text(steady_clock::time_point start) {
    return fmt::format("{:.2f} s", std::chrono::duration<double>(steady_clock::now() - start).count());
}

// The step that is under way: step 2/3 index; and of a backfill the rows.
std::string step_under_way(Connection &second, const std::string &migration) {
    const Result step = second.query(
        "SELECT s.step, pg_catalog.max(s.step) OVER () AS last, s.kind, s.relation, s.state FROM tenantmig.steps s "
        "WHERE s.migration OPERATOR(pg_catalog.=) $1 ORDER BY s.state OPERATOR(pg_catalog.=) ANY "
        "('{applying,reverting,running}') DESC, s.step LIMIT 1",
        {migration});
    if (step.rows.empty()) return {};
    const auto &row = step.rows.front();
    const std::string state = row[4].value_or("");
    if (state != "applying" && state != "reverting" && state != "running") return {};
    std::string text = fmt::format("step {}/{} {}", row[0].value_or(""), row[1].value_or(""), row[2].value_or(""));
    if (row[3]) text += " " + printable(*row[3]);
    const Result run = second.query("SELECT p.run_id FROM tenantmig.stat_progress p WHERE p.migration "
                                    "OPERATOR(pg_catalog.=) $1 ORDER BY p.run_id DESC LIMIT 1",
                                    {migration});
    if (run.rows.empty()) return text;
    const Progress progress = read_progress(second, run.rows[0][0].value_or(""));
    return progress.is_active() ? text + "  " + progress_text(progress) : text;
}

// What follows in the text has the same end: how to see how it stands, and how to go on.
[[noreturn]] void fail(const ClientError &error, const CallLabel &label) {
    ErrorText text = error.text();
    ExitStatus status = error.status();
    const std::string look = "tenantmig status " + shell_word(label.migration);
    if (text.state == core::sqlstate::gate_closed) status = ExitStatus::gate_closed;
    if (status == ExitStatus::interrupted) {
        text.message = fmt::format("interrupted while at work on migration \"{}\"", label.migration);
        text.detail = "The server has ended the statement; steps and batches that were committed stand.";
        text.hint = look + "  says how it stands; the same command goes on from there";
    } else if (status == ExitStatus::connection) {
        text.detail = fmt::format("The connection was lost while at work on migration \"{}\"; steps and batches that "
                                  "were committed stand.",
                                  label.migration);
        text.hint = look + "  says how it stands; the same command goes on from there";
    } else if (label.spec != nullptr) {
        const std::string path = path_in(text.message);
        text.location = path.empty() ? label.spec->name : label.spec->location(path);
    }
    if (text.hint.empty()) text.hint = look + "  says how it stands";
    throw ClientError(status, text);
}

} // namespace

void call_with_label(Connection &connection, const Call &call, const CallLabel &label, const char *outcome) {
    const auto start = steady_clock::now();
    const std::string name = label_text(label);
    const interrupt::Deferred deferred;
    std::optional<Connection> second;
    if (messages::progress_on_terminal()) {
        try {
            second.emplace(connection.another());
        } catch (const ClientError &) { // no connection is left: then there is a line at the end only
        }
    }
    messages::ignore_progress_notices(second.has_value());
    messages::align_step_notices(true);
    PollPause pause;
    try {
        connection.send(call.sql + ")", call.parameters);
        while (!connection.receive(pause.next())) {
            if (!second) continue;
            try {
                const std::string shown = name + "  " + step_under_way(*second, label.migration);
                messages::show_progress(fitting(shown, messages::terminal_width() - 1));
            } catch (const ClientError &) { // what matters comes from the first: it says if the server is gone
            }
        }
    } catch (const ClientError &error) {
        messages::ignore_progress_notices(false);
        messages::align_step_notices(false);
        messages::finish_progress(fmt::format("{}  {}  {}", name,
                                              error.status() == ExitStatus::interrupted ? "interrupted" : "failed",
                                              seconds_text(start)));
        fail(error, label);
    }
    messages::ignore_progress_notices(false);
    messages::align_step_notices(false);
    messages::finish_progress(fmt::format("{}  {}  {}", name, outcome, seconds_text(start)));
}

void watch_for_death(Connection &connection) {
    try {
        connection.query("SELECT pg_catalog.set_config('client_connection_check_interval', '2s', false)");
    } catch (const ClientError &error) { // not every system can; then it notices when it says something next
        if (error.status() != ExitStatus::failure) throw;
    }
}

std::string server_time(Connection &connection) {
    return connection.query("SELECT pg_catalog.clock_timestamp()").rows.at(0).at(0).value_or("");
}

Result execution_log(Connection &connection, const std::vector<std::string> &migrations, const std::string &since) {
    return connection.query(
        "SELECT l.* FROM tenantmig.execution_log l WHERE pg_catalog.jsonb_exists($1::pg_catalog.jsonb, l.migration) "
        "AND l.started_at OPERATOR(pg_catalog.>=) $2::pg_catalog.timestamptz ORDER BY l.started_at, l.step",
        {nlohmann::json(migrations).dump(), since});
}

void print_execution_log(const Result &log, Format format) {
    if (format == Format::table && log.rows.empty()) return;
    print_result(log, format);
}

} // namespace tenantmig::client
