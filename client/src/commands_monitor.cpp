// observe, health, report --daily, ddl-watch, purge: how migrations fare after their runs.
#include "call.hpp"
#include "client_error.hpp"
#include "commands_backup.hpp"
#include "messages.hpp"
#include "progress.hpp"
#include "text.hpp"
#include <algorithm>
#include <cstdlib>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace tenantmig::client {

namespace {

void require_migration(Connection &connection, const std::string &migration) {
    if (migration.empty()) return;
    if (connection
            .query("SELECT 1 FROM tenantmig.migrations m WHERE m.migration OPERATOR(pg_catalog.=) $1", {migration})
            .rows.empty())
        no_such_migration(migration);
}

// The worst of them: a bad sign is 7, a warning 4.
ExitStatus by_column(const Result &result, const char *column, const char *bad, const char *warning) {
    if (result.any(column, bad)) return ExitStatus::mismatch;
    return result.any(column, warning) ? ExitStatus::findings : ExitStatus::done;
}

Result health_rows(Connection &connection, const std::string &migration) {
    connection.query("SET jit = off"); // a view that joins much and reads little: compiling it would take seconds
    return connection.query(
        "SELECT h.migration, h.health, pg_catalog.to_jsonb(h.reasons) AS reasons, pg_catalog.date_trunc('second', "
        "h.soak) AS soak, pg_catalog.date_part('epoch', h.soak) AS soak_seconds, pg_catalog.date_trunc('second', "
        "h.soak_since) AS soak_since, pg_catalog.date_trunc('second', "
        "h.last_observed) AS last_observed, pg_catalog.date_trunc('second', h.last_deep) AS last_deep, h.open_reviews, "
        "h.nulls, h.new_nulls, h.unknown_tenants, h.mismatches, h.drift FROM tenantmig.health h "
        "WHERE $1 OPERATOR(pg_catalog.=) '' OR h.migration OPERATOR(pg_catalog.=) $1 ORDER BY h.migration",
        {migration});
}

// The table has no room for the reasons: they stand below it, one a line.
void print_health(const Result &health) {
    Result shown = some(health, {"migration", "health", "soak_seconds", "last_observed", "last_deep", "open_reviews"});
    const std::size_t soak = shown.column("soak_seconds");
    shown.columns[soak] = {"soak"};
    for (auto &row : shown.rows)
        if (row[soak]) row[soak] = duration_text(std::strtod(row[soak]->c_str(), nullptr));
    print_table(shown);
    std::string words;
    const std::size_t reasons = health.column("reasons"), name = health.column("migration");
    for (const auto &row : health.rows) {
        const nlohmann::json list = nlohmann::json::parse(row.at(reasons).value_or("[]"), nullptr, false);
        if (!list.is_array()) continue;
        for (const auto &reason : list)
            words += fmt::format("{}: {}\n", printable(row.at(name).value_or("")),
                                 printable(reason.is_string() ? reason.get<std::string>() : reason.dump()));
    }
    if (!words.empty()) print_text("\n" + words);
}

} // namespace

ExitStatus observe(const GlobalOptions &global, const std::string &migration, bool deep) {
    Call call{"SELECT * FROM tenantmig.observe(", {}};
    if (!migration.empty()) call.add("name", "text", migration);
    call.add_flag("deep", deep);
    Connection connection = connect_checked(global);
    const Result checks = connection.query(call.sql + ")", call.parameters);
    print_result(checks, global.format);
    flush_output("the observation is recorded");
    return by_column(checks, "status", "FAIL", "WARN");
}

ExitStatus health(const GlobalOptions &global, const std::string &migration, bool week) {
    Connection connection = connect_checked(global);
    require_migration(connection, migration);
    const Result now = health_rows(connection, migration);
    Result days;
    if (week)
        days = connection.query("SELECT * FROM tenantmig.week w WHERE $1 OPERATOR(pg_catalog.=) '' OR w.migration "
                                "OPERATOR(pg_catalog.=) $1",
                                {migration});
    if (global.format == Format::json && week) {
        print_text(as_json({{"health", &now}, {"week", &days}}));
    } else if (global.format != Format::table) {
        print_result(week ? days : now, global.format);
    } else {
        print_health(now);
        if (week) {
            print_text("\n");
            print_table(days);
        }
    }
    flush_output();
    return by_column(now, "health", "RED", "YELLOW");
}

ExitStatus daily_report(const GlobalOptions &global, const DailyOptions &options, const std::string &format) {
    const std::string wanted = !format.empty() ? format : global.format == Format::json ? "json" : "markdown";
    Call call{"SELECT tenantmig.daily_report($1", {options.migration}};
    call.add("day", "date", options.day);
    call.add("format", "text", wanted);
    Connection connection = connect_checked(global);
    std::string shown = connection.query(call.sql + ")", call.parameters).rows.at(0).at(0).value_or("");
    if (!shown.ends_with('\n')) shown += '\n';
    print_text(shown);
    flush_output();
    return ExitStatus::done;
}

ExitStatus ddl_watch(const GlobalOptions &global, const Cell &mode) {
    Connection connection = connect_checked(global);
    print_result(connection.query("SELECT tenantmig.ddl_watch($1) AS ddl_watch", {mode}), global.format);
    flush_output(mode ? "the mode is set" : "");
    return ExitStatus::done;
}

namespace {

Call purge_call(const PurgeOptions &options, bool execute) {
    Call call{"SELECT * FROM tenantmig.purge(", {}};
    if (!options.kinds.empty()) {
        nlohmann::json kinds = options.kinds;
        call.parameters.emplace_back(kinds.dump());
        call.sql += "kinds => ARRAY(SELECT pg_catalog.jsonb_array_elements_text($1::pg_catalog.jsonb))";
    }
    call.add("older_than", "interval", options.older_than);
    call.add_flag("execute", execute);
    call.add_flag("force", options.force);
    call.sql += ")";
    return call;
}

} // namespace

ExitStatus purge(const GlobalOptions &global, const PurgeOptions &options) {
    const bool files = !options.backup_dir.empty();
    if (files && !options.kinds.empty() &&
        std::find(options.kinds.begin(), options.kinds.end(), "backups") == options.kinds.end())
        throw ClientError(ExitStatus::usage, "--backup-dir goes with the kind backups", "",
                          "leave out --kinds, or name backups there as well");
    const Call call = purge_call(options, options.execute);
    Connection connection = connect_checked(global);
    if (files && options.execute) connection.query("BEGIN");
    Result rows = connection.query(call.sql, call.parameters);
    if (files) {
        if (!options.execute) { // what is registered then is seen by doing it, and undone
            connection.query("BEGIN");
            const Call tried = purge_call(options, true);
            connection.query(tried.sql, tried.parameters);
        }
        purge_backup_files(connection, options, rows);
    }
    print_result(rows, global.format);
    flush_output(options.execute ? "the purge is done and committed" : "");
    if (!options.execute) messages::show_remark("nothing was deleted; --execute does it");
    return ExitStatus::done;
}

} // namespace tenantmig::client
