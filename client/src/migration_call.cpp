#include "migration_call.hpp"
#include "client_error.hpp"
#include "core/error.hpp"
#include "interrupt.hpp"
#include "messages.hpp"
#include "progress.hpp"
#include "spec_check.hpp"
#include "text.hpp"
#include "watch.hpp"
#include <algorithm>
#include <chrono>
#include <cstdlib>
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

Result execution_log(Connection &connection, const std::vector<std::string> &migrations, std::int64_t after) {
    return connection.query("SELECT l.* FROM tenantmig.execution_log l WHERE "
                            "pg_catalog.jsonb_exists($1::pg_catalog.jsonb, l.migration) "
                            "AND l.id OPERATOR(pg_catalog.>) $2::pg_catalog.int8 ORDER BY l.id",
                            {nlohmann::json(migrations).dump(), std::to_string(after)});
}

std::int64_t last_attempt(Connection &connection) {
    const Result last = connection.query("SELECT coalesce(pg_catalog.max(l.id), 0) FROM tenantmig.execution_log l");
    return std::strtoll(last.rows.at(0).at(0).value_or("0").c_str(), nullptr, 10);
}

namespace {

constexpr std::size_t second = 19; // 2026-11-21 05:44:50.123456+00 up to here

// 00:00:01.234567, as the server writes an interval: 1.23 s; longer ones as they are, up to seconds.
Cell short_duration(Cell cell) {
    constexpr std::string_view no_minutes = "00:00:";
    constexpr std::size_t hundredths = 5, whole = 8;
    if (!cell || cell->size() < whole || (*cell)[2] != ':') return cell;
    if (!cell->starts_with(no_minutes)) return cell->substr(0, whole);
    std::string seconds = cell->substr(no_minutes.size(), hundredths);
    if (seconds.find('.') == std::string::npos) seconds += ".00";
    while (seconds.size() < hundredths)
        seconds += '0';
    if (seconds.starts_with('0')) seconds.erase(0, 1);
    return seconds + " s";
}

// {a,b} -> a, b; nothing for an empty list.
Cell list_text(const Cell &cell) {
    if (!cell || cell->size() < 3) return {};
    std::string text = cell->substr(1, cell->size() - 2);
    for (std::size_t at = text.find(','); at != std::string::npos; at = text.find(',', at + 2))
        text.insert(at + 1, " ");
    return text;
}

// [{check, status, actual}, …] -> rows PASS, nulls FAIL; of more than three, those that pass are only counted.
Cell checks_text(const Cell &cell) {
    const nlohmann::json checks = nlohmann::json::parse(cell.value_or(""), nullptr, false);
    constexpr std::size_t by_name = 3;
    std::string text;
    std::size_t passed = 0;
    if (!checks.is_array()) return {};
    for (const nlohmann::json &check : checks) {
        if (!check.is_object()) continue;
        const auto part = [&](const char *name) {
            const auto found = check.find(name);
            return found == check.end() || found->is_null() ? std::string()
                   : found->is_string()                     ? found->get<std::string>()
                                                            : found->dump();
        };
        if (checks.size() > by_name && part("status") == "PASS") {
            passed++;
            continue;
        }
        text += fmt::format("{}{} {}", text.empty() ? "" : ", ", part("check"), part("status"));
    }
    if (passed > 0) text = fmt::format("{} PASS{}{}", passed, text.empty() ? "" : ", ", text);
    return text.empty() ? Cell() : Cell(text);
}

// For a table: what is for people, on one line, and without the columns that say nothing.
Result for_people(const Result &log) {
    Result shown = some(log, {"migration", "step", "kind", "action", "outcome", "started_at", "duration", "backup",
                              "checks", "columns_added", "columns_removed", "columns_converted", "error"});
    for (auto &row : shown.rows)
        for (std::size_t at = 0; at < row.size(); ++at) {
            const std::string &name = shown.columns[at].name;
            if (name == "started_at" && row[at] && row[at]->size() > second)
                row[at]->resize(second);
            else if (name == "duration")
                row[at] = short_duration(row[at]);
            else if (name == "checks")
                row[at] = checks_text(row[at]);
            else if (name.starts_with("columns_"))
                row[at] = list_text(row[at]);
            else if (name == "error" && row[at])
                row[at]->resize(std::min(row[at]->find('\n'), row[at]->size()));
        }
    constexpr std::size_t always = 7; // columns
    for (std::size_t at = shown.columns.size(); at-- > always;) {
        if (std::any_of(shown.rows.begin(), shown.rows.end(), [&](const auto &row) { return row[at].has_value(); }))
            continue;
        shown.columns.erase(shown.columns.begin() + static_cast<std::ptrdiff_t>(at));
        for (auto &row : shown.rows)
            row.erase(row.begin() + static_cast<std::ptrdiff_t>(at));
    }
    return shown;
}

} // namespace

void print_execution_log(const Result &log, Format format) {
    if (format != Format::table)
        print_result(log, format);
    else if (!log.rows.empty())
        print_table(for_people(log));
}

} // namespace tenantmig::client
