// status: how the runs stand.
#include "commands.hpp"
#include "progress.hpp"
#include <algorithm>
#include <fmt/format.h>
#include <initializer_list>

namespace tenantmig::client {

namespace {

ExitStatus by_open_reviews(const Result &runs) {
    const std::size_t open = runs.column("open_reviews");
    for (const auto &row : runs.rows)
        if (row[open].value_or("0") != "0") return ExitStatus::open_reviews;
    return ExitStatus::done;
}

Result latest_runs(Connection &connection) {
    return connection.query(
        "SELECT m.migration, r.id AS run_id, r.state, p.phase, coalesce(p.rows_done, r.row_done) AS rows_done, "
        "coalesce(p.rows_total, r.row_total) AS rows_total, coalesce(pg_catalog.round("
        "p.percent::pg_catalog.numeric, 1), pg_catalog.round(100.0 * r.row_done / nullif(r.row_total, 0), 1)) AS "
        "percent, "
        "pg_catalog.round(p.rate::pg_catalog.numeric) AS rate, pg_catalog.date_trunc('second', p.eta) AS eta, "
        "p.throttle, p.workers, m.open_reviews, pg_catalog.date_trunc('second', r.started_at) AS started_at, "
        "pg_catalog.date_trunc('second', r.finished_at) AS finished_at, r.error "
        "FROM tenantmig.migrations m "
        "LEFT JOIN LATERAL (SELECT * FROM tenantmig.runs l WHERE l.migration OPERATOR(pg_catalog.=) m.migration "
        "                   ORDER BY l.id DESC LIMIT 1) r ON true "
        "LEFT JOIN tenantmig.stat_progress p ON p.run_id OPERATOR(pg_catalog.=) r.id ORDER BY m.migration");
}

Result all_runs(Connection &connection, const std::string &migration) {
    return connection.query(
        "SELECT m.migration, r.id AS run_id, r.state, r.mode, r.workers, pg_catalog.date_trunc('second', r.started_at) "
        "AS started_at, pg_catalog.date_trunc('second', r.finished_at) AS finished_at, r.row_total, r.row_done, "
        "r.assigned, r.conflicts, r.orphans, r.unknown, m.open_reviews, r.started_by, r.error "
        "FROM tenantmig.migrations m LEFT JOIN tenantmig.runs r ON r.migration OPERATOR(pg_catalog.=) m.migration "
        "WHERE m.migration OPERATOR(pg_catalog.=) $1 ORDER BY r.id",
        {migration});
}

Result steps_of(Connection &connection, const std::string &migration) {
    return connection.query(
        "SELECT s.step, s.kind, s.relation, s.column_name, s.state, s.phase, pg_catalog.date_trunc('second', "
        "s.started_at) AS started_at, pg_catalog.date_trunc('second', s.finished_at) AS finished_at, s.error, "
        "s.next_command, s.applied FROM tenantmig.steps s WHERE s.migration OPERATOR(pg_catalog.=) $1 ORDER BY s.step",
        {migration});
}

// Where runs do not tell all: up has been at work on it, or will have to be.
bool is_whole_migration(Connection &connection, const std::string &migration, const Result &steps) {
    for (const auto &row : steps.rows)
        if (row[1] != "backfill" && row[1] != "guard" && row[1] != "constraint") return true;
    return !connection
                .query("SELECT 1 FROM tenantmig.execution_log l WHERE l.migration OPERATOR(pg_catalog.=) $1 LIMIT 1",
                       {migration})
                .rows.empty();
}

// Of the migration's latest run.
struct Details {
    Result progress, workers, errors;
};

Details details(Connection &connection, const std::string &run) {
    const auto of_run = [&](const std::string &sql) { return connection.query(sql, {run}); };
    const std::string condition = "WHERE run_id OPERATOR(pg_catalog.=) $1::pg_catalog.int8 ";
    return {of_run("SELECT * FROM tenantmig.stat_progress " + condition),
            of_run("SELECT worker, pid, state, phase, relation, rows_done, rows_written, hot_rows, batch_rows, "
                   "throttle, error, pg_catalog.date_trunc('second', started_at) AS started_at, "
                   "pg_catalog.date_trunc('second', updated_at) AS updated_at FROM tenantmig.stat_workers " +
                   condition + "ORDER BY worker"),
            of_run("SELECT batch, step, relation, worker, phase, from_block, to_block, "
                   "pg_catalog.date_trunc('second', finished_at) AS finished_at, error FROM tenantmig.batches " +
                   condition + "AND error IS NOT NULL ORDER BY batch DESC LIMIT 10")};
}

// 2026-11-21 05:44:50+00 without its time zone, which is the user's; and of an error its first line
Cell shortened(const std::string &name, Cell cell) {
    constexpr std::size_t length = 19, space = 10;
    if (!cell) return cell;
    if (name == "error") cell->resize(std::min(cell->find('\n'), cell->size()));
    if ((name == "started_at" || name == "finished_at") && cell->size() > length && (*cell)[space] == ' ' &&
        ((*cell)[length] == '+' || (*cell)[length] == '-'))
        cell->resize(length);
    return cell;
}

// A table must fit into a terminal of 80 columns; JSON and CSV have all columns.
Result narrow(const Result &all, std::initializer_list<const char *> names) {
    Result result = some(all, names);
    for (std::size_t at = 0; at < result.columns.size(); ++at)
        for (auto &row : result.rows)
            row[at] = shortened(result.columns[at].name, row[at]);
    return result;
}

// What stands in no column of the table: how far it is, and what is wrong.
std::string in_words(const Progress &progress, bool name) {
    const bool shown = progress.state != "completed" || progress.is_undo();
    std::string text;
    if (shown)
        text =
            fmt::format("run {}{}, {}: {}{}\n", progress.run, name ? fmt::format(" of \"{}\"", progress.migration) : "",
                        progress.state, progress_text(progress),
                        progress.throttle.empty() ? "" : "  throttled: " + progress.throttle);
    return progress.error.empty() ? text : text + progress.error + '\n';
}

ExitStatus status_of_all(Connection &connection, Format format) {
    const Result runs = latest_runs(connection);
    if (format != Format::table) {
        print_result(runs, format);
    } else {
        std::string out = as_table(narrow(runs, {"migration", "run_id", "state", "percent", "eta", "open_reviews"}));
        std::string words;
        const std::size_t run = runs.column("run_id"), state = runs.column("state");
        for (const auto &row : runs.rows) {
            const std::string is = row[state].value_or("");
            if (is == "running" || is == "failed" || is == "paused" || is == "interrupted")
                words += in_words(read_progress(connection, *row[run]), true);
        }
        print_text(out + (words.empty() ? "" : "\n" + words));
    }
    flush_output();
    return by_open_reviews(runs);
}

} // namespace

ExitStatus status(const GlobalOptions &global, const std::string &migration) {
    Connection connection = connect_checked(global);
    if (migration.empty()) return status_of_all(connection, global.format);
    const Result runs = all_runs(connection, migration);
    if (runs.rows.empty()) no_such_migration(migration);
    const std::string run = runs.rows.back().at(runs.column("run_id")).value_or("");
    Details of_run;
    if (!run.empty() && global.format != Format::csv) of_run = details(connection, run);
    if (global.format == Format::json) {
        const Result steps = steps_of(connection, migration);
        print_text(as_json({{"runs", &runs},
                            {"progress", &of_run.progress},
                            {"workers", &of_run.workers},
                            {"failed_batches", &of_run.errors},
                            {"steps", &steps}}));
    } else if (global.format == Format::csv) {
        print_result(runs, global.format);
    } else {
        std::string out;
        if (const Result steps = steps_of(connection, migration); is_whole_migration(connection, migration, steps)) {
            out = as_table(narrow(steps, {"step", "kind", "relation", "column_name", "state", "finished_at"}));
            const Result errors = narrow(steps, {"step", "error"});
            for (const auto &row : errors.rows)
                if (row[1]) out += fmt::format("step {}: {}\n", row[0].value_or(""), *row[1]);
            out += '\n';
        }
        out += run.empty() ? "no run yet\n"
                           : as_table(narrow(runs, {"run_id", "state", "mode", "started_at", "row_total", "assigned"}));
        if (!of_run.progress.rows.empty()) out += '\n' + in_words(read_progress(connection, run), false);
        if (!of_run.workers.rows.empty()) {
            out += fmt::format("\nworkers of run {}\n", run) +
                   as_table(narrow(of_run.workers,
                                   {"worker", "pid", "state", "phase", "rows_done", "hot_rows", "batch_rows"}));
            const Result errors = narrow(of_run.workers, {"worker", "error"});
            for (const auto &row : errors.rows)
                if (row[1]) out += fmt::format("worker {}: {}\n", row[0].value_or(""), *row[1]);
        }
        if (!of_run.errors.rows.empty())
            out += fmt::format("\nlast batches of run {} that failed\n", run) +
                   as_table(narrow(of_run.errors, {"batch", "worker", "phase", "from_block", "to_block", "error"}));
        const std::string open = runs.rows.back().at(runs.column("open_reviews")).value_or("0");
        print_text(out + fmt::format("\n{} {} open\n", open, open == "1" ? "review" : "reviews"));
    }
    flush_output();
    return by_open_reviews(runs);
}

} // namespace tenantmig::client
