// validate, plan, preflight, run: commands that take a spec, or the migration that was made from it.
#include "client_error.hpp"
#include "commands.hpp"
#include "messages.hpp"
#include "spec_check.hpp"
#include <fmt/format.h>

namespace tenantmig::client {

namespace {

// A connection, and the migration's name: that of the argument, or that of the file, which is created first.
struct Opened {
    Connection connection;
    std::string migration;
};

Opened open(const GlobalOptions &global, const Target &target) {
    if (!is_file(target)) return {connect_checked(global), target.text};
    const SpecFile file = read_spec(target.text); // before connecting: a bad file needs no server
    checked(file);
    Opened opened{connect_checked(global), {}};
    opened.migration = send_spec(opened.connection, "SELECT tenantmig.create_migration($1::pg_catalog.jsonb)", file)
                           .rows.at(0)
                           .at(0)
                           .value_or("");
    return opened;
}

Result resolved_offline(const core::Spec &spec) {
    Result result;
    result.columns = {
        {"step", ColumnKind::number}, {"kind"}, {"relation"}, {"column_name"}, {"source"}, {"tenant_column"}, {"note"}};
    for (const core::BackfillStep &step : spec.steps) {
        const auto add = [&](const Cell &source, const Cell &tenant) {
            result.rows.push_back({std::to_string(step.number), "backfill", step.table, step.column, source, tenant,
                                   "names not resolved: no server was asked"});
        };
        if (step.sources.empty()) add(std::nullopt, std::nullopt);
        for (const core::Source &source : step.sources)
            add(source.label, source.tenant);
    }
    return result;
}

} // namespace

ExitStatus validate(const GlobalOptions &global, const std::string &spec, bool offline, bool sql_files_anywhere) {
    const SpecFile file = read_spec(spec, sql_files_anywhere);
    const core::Spec parsed = checked(file);
    if (offline) {
        print_result(resolved_offline(parsed), global.format);
    } else {
        Connection connection = connect_checked(global);
        print_result(send_spec(connection, "SELECT * FROM tenantmig.check_migration($1::pg_catalog.jsonb)", file),
                     global.format);
    }
    flush_output();
    messages::show_remark(
        fmt::format("{} is valid{}", file.name, offline ? " as far as the document alone tells" : ""));
    return ExitStatus::done;
}

ExitStatus plan(const GlobalOptions &global, const Target &target, bool hash_only) {
    Opened opened = open(global, target);
    if (hash_only) {
        const Result hash = opened.connection.query("SELECT tenantmig.plan_hash($1, true)", {opened.migration});
        print_text(hash.rows.at(0).at(0).value_or("") + "\n");
    } else {
        print_result(opened.connection.query("SELECT * FROM tenantmig.plan($1)", {opened.migration}), global.format);
    }
    flush_output();
    return ExitStatus::done;
}

ExitStatus preflight(const GlobalOptions &global, const Target &target) {
    Opened opened = open(global, target);
    const Result checks = opened.connection.query("SELECT * FROM tenantmig.preflight($1)", {opened.migration});
    print_result(checks, global.format);
    flush_output();
    return checks.any("status", "FAIL") ? ExitStatus::findings : ExitStatus::done;
}

ExitStatus run(const GlobalOptions &global, const RunOptions &options) {
    Opened opened = open(global, options.target);
    if (!options.dry_run && !options.single_transaction)
        return run_online(global, options, opened.connection, opened.migration);
    std::string sql = "SELECT * FROM tenantmig.backfill(migration => $1, dry_run => $2::pg_catalog.bool";
    std::vector<Cell> parameters{opened.migration, options.dry_run ? "true" : "false"};
    const auto add = [&](const char *argument, const Cell &value) { // what is not given has its default in the server
        if (!value) return;
        parameters.push_back(value);
        sql += fmt::format(", {} => ${}::pg_catalog.", argument, parameters.size());
    };
    const auto add_typed = [&](const char *argument, const char *type, const Cell &value) {
        add(argument, value);
        if (value) sql += type;
    };
    add_typed("plan_hash", "text", options.plan_hash);
    add_typed("max_count_change", "numeric", options.max_count_change);
    add_typed("dry_run_rows", "int8", options.dry_run_rows);
    add_typed("dry_run_full", "bool", options.dry_run_full ? Cell("true") : Cell());
    const Result counts = opened.connection.query(sql + ")", parameters);
    print_result(counts, global.format);
    flush_output(options.dry_run ? "a dry run leaves nothing" : "the run is done and committed; see tenantmig status");
    if (options.dry_run) return ExitStatus::done;

    const Result state = opened.connection.query(
        "SELECT r.id, r.state, r.assigned, r.row_total, m.open_reviews FROM tenantmig.migrations m "
        "JOIN tenantmig.runs r ON r.migration OPERATOR(pg_catalog.=) m.migration "
        "WHERE m.migration OPERATOR(pg_catalog.=) $1 ORDER BY r.id DESC LIMIT 1",
        {opened.migration});
    if (state.rows.empty()) return ExitStatus::done;
    const auto &row = state.rows.front();
    messages::show_remark(fmt::format("run {} of \"{}\" {}: {} of {} rows assigned, {} {} open", row[0].value_or(""),
                                      opened.migration, row[1].value_or(""), row[2].value_or("0"), row[3].value_or("0"),
                                      row[4].value_or("0"), row[4].value_or("0") == "1" ? "review" : "reviews"));
    return row[4].value_or("0") == "0" ? ExitStatus::done : ExitStatus::open_reviews;
}

} // namespace tenantmig::client
