// validate, plan, preflight, run: commands that take a spec, or the migration that was made from it.
#include "client_error.hpp"
#include "commands.hpp"
#include "core/error.hpp"
#include "core/spec.hpp"
#include "messages.hpp"
#include "spec_file.hpp"
#include <fmt/format.h>

namespace tenantmig::client {

namespace {

// "spec: steps[0].backfill["a: b"]: …" -> "steps[0].backfill["a: b"]"
std::string path_in(const std::string &message) {
    constexpr std::string_view start = "spec: ";
    if (!message.starts_with(start)) return {};
    bool quoted = false;
    for (std::size_t at = start.size(); at < message.size(); ++at) {
        if (message[at] == '\\' && quoted)
            ++at;
        else if (message[at] == '"')
            quoted = !quoted;
        else if (message[at] == ':' && !quoted)
            return message.substr(start.size(), at - start.size());
    }
    return {};
}

// What the document alone tells, checked without a server. An error gets the line that its path stands in.
core::Spec checked(const SpecFile &file) {
    try {
        return core::parse_spec(file.document);
    } catch (const core::Error &error) {
        throw ClientError(ExitStatus::usage, ErrorText{error.message(), error.detail(), error.hint(), error.state(),
                                                       file.location(path_in(error.message()))});
    }
}

// Sends a document to a function of the server; what the server finds wrong with it is an error about the document too.
Result send_spec(Connection &connection, const std::string &sql, const SpecFile &file) {
    try {
        return connection.query(sql, {file.document.dump()});
    } catch (const ClientError &error) {
        ErrorText text = error.text();
        const std::string path = path_in(text.message);
        if (!path.empty()) text.location = file.location(path);
        // what is wrong with the document is the file's fault wherever it is noticed; missing rights are not
        const bool is_document = !path.empty() || text.state == core::sqlstate::spec_invalid;
        throw ClientError(is_document && text.state != core::sqlstate::insufficient_privilege ? ExitStatus::usage
                                                                                              : error.status(),
                          text);
    }
}

bool is_file(const Target &target) {
    if (target.is_name) return false;
    const std::string &text = target.text;
    return text == "-" || text.find('/') != std::string::npos || text.ends_with(".yaml") || text.ends_with(".yml") ||
           text.ends_with(".json");
}

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

ExitStatus validate(const GlobalOptions &global, const std::string &spec, bool offline) {
    const SpecFile file = read_spec(spec);
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
