// guard attach, detach, check, list: triggers that keep new rows right.
#include "call.hpp"
#include "client_error.hpp"
#include "commands.hpp"
#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace tenantmig::client {

namespace {

// --set key=value: JSON where the value is some, otherwise text. "types={…}" is an object, "separator=." is text.
nlohmann::json option_value(const std::string &text) {
    const nlohmann::json value = nlohmann::json::parse(text, nullptr, false);
    return value.is_discarded() || value.is_number() ? nlohmann::json(text) : value; // no field of a guard is a number
}

std::string guard_options(const GuardOptions &options) {
    nlohmann::json document = nlohmann::json::object();
    if (options.json) {
        document = nlohmann::json::parse(*options.json, nullptr, false);
        if (!document.is_object())
            throw ClientError(ExitStatus::usage, "--options is not a JSON object", *options.json,
                              R"(such as '{"key": "domain", "separator": "."}')");
    }
    for (const std::string &setting : options.settings) {
        const std::size_t sign = setting.find('=');
        if (sign == 0 || sign == std::string::npos)
            throw ClientError(ExitStatus::usage, fmt::format("\"{}\" is not an option of a guard", setting), "",
                              "key=value, such as separator=. or via=staff_id");
        const std::string key = setting.substr(0, sign);
        if (document.contains(key))
            throw ClientError(ExitStatus::usage, fmt::format("\"{}\" is set twice", key), "", "give each key once");
        document[key] = option_value(setting.substr(sign + 1));
    }
    return document.dump();
}

} // namespace

ExitStatus guard_attach(const GlobalOptions &global, const GuardOptions &options) {
    const bool of_migration = !options.migration.empty();
    const bool by_hand = options.table || options.column || options.kind || options.json || !options.settings.empty();
    if (of_migration == by_hand || (options.step && !of_migration))
        throw ClientError(ExitStatus::usage, "a migration, or a table, a column and a kind, are required", "",
                          "tenantmig guard attach MIGRATION [--step N], or --table TABLE --column COLUMN --kind KIND");
    Call call;
    if (of_migration) {
        call = {"SELECT * FROM tenantmig.attach_guard(migration => $1", {options.migration}};
        call.add("only_step", "int4", options.step);
    } else {
        if (!options.table || !options.kind)
            throw ClientError(ExitStatus::usage, options.table ? "--kind is required" : "--table is required", "",
                              "tenantmig guard attach --table TABLE --column COLUMN --kind KIND");
        call = {"SELECT * FROM tenantmig.attach_guard(relation => $1, column_name => $2, kind => $3, options => "
                "$4::pg_catalog.jsonb",
                {options.table, options.column, options.kind, guard_options(options)}};
    }
    Connection connection = connect_checked(global);
    print_result(connection.query(call.sql + ")", call.parameters), global.format);
    flush_output("the guards are attached");
    return ExitStatus::done;
}

ExitStatus guard_detach(const GlobalOptions &global, const GuardOptions &options) {
    if (options.migration.empty() == !options.guard || (options.step && options.guard))
        throw ClientError(
            ExitStatus::usage, "a migration, or a guard, is required", "",
            "tenantmig guard detach MIGRATION [--step N], or --guard N; tenantmig guard list  shows them");
    Call call;
    if (options.guard) {
        call = {"SELECT * FROM tenantmig.detach_guard(guard => $1::pg_catalog.int8", {options.guard}};
    } else {
        call = {"SELECT * FROM tenantmig.detach_guard(migration => $1", {options.migration}};
        call.add("only_step", "int4", options.step);
    }
    Connection connection = connect_checked(global);
    print_result(connection.query(call.sql + ")", call.parameters), global.format);
    flush_output("the guards are detached");
    return ExitStatus::done;
}

ExitStatus guard_check(const GlobalOptions &global, const GuardOptions &options) {
    Call call{"SELECT * FROM tenantmig.check_guards(", {}};
    if (!options.migration.empty()) call.add("migration", "text", options.migration);
    call.add("guard", "int8", options.guard);
    Connection connection = connect_checked(global);
    const Result checks = connection.query(call.sql + ")", call.parameters);
    print_result(checks, global.format);
    flush_output();
    return checks.any("status", "FAIL") || checks.any("status", "WARN") ? ExitStatus::findings : ExitStatus::done;
}

ExitStatus guard_list(const GlobalOptions &global, const GuardOptions &options) {
    Connection connection = connect_checked(global);
    std::string sql =
        "SELECT g.id, g.migration, g.relation, g.column_name, g.kind, g.mode, g.always, g.enabled, g.trigger, "
        "pg_catalog.date_trunc('second', g.attached_at) AS attached_at, g.attached_by FROM tenantmig.guards g";
    std::vector<Cell> parameters;
    if (!options.migration.empty()) {
        sql += " WHERE g.migration OPERATOR(pg_catalog.=) $1";
        parameters.emplace_back(options.migration);
    }
    print_result(connection.query(sql + " ORDER BY g.migration, g.relation, g.column_name, g.id", parameters),
                 global.format);
    flush_output();
    return ExitStatus::done;
}

} // namespace tenantmig::client
