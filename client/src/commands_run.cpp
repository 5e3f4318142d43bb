// verify, rollback, report: what became of a run.
#include "client_error.hpp"
#include "commands.hpp"
#include "messages.hpp"
#include "text.hpp"
#include <fmt/format.h>

namespace tenantmig::client {

namespace {

constexpr std::size_t longest_run_number = 18; // digits of a bigint that cannot overflow

std::string latest_run(Connection &connection, const std::string &migration) {
    const Result found = connection.query(
        "SELECT (SELECT pg_catalog.max(r.id) FROM tenantmig.runs r WHERE r.migration OPERATOR(pg_catalog.=) $1) "
        "FROM tenantmig.migrations m WHERE m.migration OPERATOR(pg_catalog.=) $1",
        {migration});
    if (found.rows.empty()) no_such_migration(migration);
    if (!found.rows[0][0])
        throw ClientError(ExitStatus::failure, fmt::format("migration \"{}\" has no run yet", migration), "",
                          fmt::format("tenantmig run {}", migration));
    return *found.rows[0][0];
}

} // namespace

void no_such_migration(const std::string &name) {
    throw ClientError(ExitStatus::failure, ErrorText{fmt::format("migration \"{}\" does not exist", name), "",
                                                     "tenantmig status  lists all migrations", "42704", ""});
}

Connection connect_checked(const GlobalOptions &global) {
    Connection connection(global.connect);
    check_server(connection);
    return connection;
}

std::string resolve_run(Connection &connection, const std::string &text) {
    constexpr std::string_view latest = "latest:";
    if (text.starts_with(latest)) return latest_run(connection, text.substr(latest.size()));
    if (text.empty() || text.size() > longest_run_number || text.find_first_not_of("0123456789") != std::string::npos)
        throw ClientError(ExitStatus::usage, fmt::format("\"{}\" is not a run", text), "",
                          "give a run's number, or latest:MIGRATION; tenantmig status lists the runs");
    return text;
}

ExitStatus verify(const GlobalOptions &global, const std::string &migration) {
    Connection connection = connect_checked(global);
    const Result checks = connection.query("SELECT * FROM tenantmig.verify($1)", {migration});
    print_result(checks, global.format);
    flush_output();
    return checks.any("status", "FAIL") ? ExitStatus::mismatch : ExitStatus::done;
}

ExitStatus rollback(const GlobalOptions &global, const std::string &run, bool script) {
    Connection connection = connect_checked(global);
    const std::string number = resolve_run(connection, run);
    if (script) {
        for (const auto &row : connection.query("SELECT tenantmig.undo_script($1::pg_catalog.int8)", {number}).rows)
            print_text(row.at(0).value_or("") + "\n");
        flush_output();
        return ExitStatus::done;
    }
    const Result outcome = connection.query("SELECT * FROM tenantmig.rollback($1::pg_catalog.int8)", {number});
    print_result(outcome, global.format);
    flush_output("the rollback is done and committed");
    return undo_outcome(outcome, number);
}

ExitStatus undo_outcome(const Result &outcome, const std::string &run) {
    if (!outcome.any("outcome", "skipped")) return ExitStatus::done;
    messages::show_remark(fmt::format("rows that did not hold what the run wrote were left alone: "
                                      "SELECT * FROM tenantmig.undo_skipped WHERE run_id = {}",
                                      run));
    return ExitStatus::findings;
}

ExitStatus report(const GlobalOptions &global, const std::string &run, const std::string &format) {
    Connection connection = connect_checked(global);
    const std::string number = resolve_run(connection, run);
    const std::string wanted = !format.empty() ? format : global.format == Format::json ? "json" : "markdown";
    const Result text = connection.query("SELECT tenantmig.report($1::pg_catalog.int8, $2)", {number, wanted});
    std::string shown = text.rows.at(0).at(0).value_or("");
    if (!shown.ends_with('\n')) shown += '\n';
    print_text(shown);
    flush_output();
    return ExitStatus::done;
}

} // namespace tenantmig::client
