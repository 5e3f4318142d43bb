// rehearse
#include "client_error.hpp"
#include "generate_rows.hpp"
#include "interrupt.hpp"
#include "messages.hpp"
#include "migration_directory.hpp"
#include "output.hpp"
#include "output_file.hpp"
#include "rehearsal_report.hpp"
#include "rehearsal_run.hpp"
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fmt/format.h>

namespace tenantmig::client {

namespace {

// Takes out what has to be waited for, or decided by several people: in the copy, and nowhere else.
void leave_out_waiting(nlohmann::json &spec, const std::string &name, std::vector<std::string> &remarks) {
    const auto steps = spec.find("steps");
    if (steps == spec.end() || !steps->is_array()) return;
    int number = 0;
    for (auto &step : *steps) {
        number++;
        if (!step.is_object() || !step.contains("constraint") || !step["constraint"].is_object()) continue;
        auto &constraint = step["constraint"];
        if (!constraint.contains("gate") || !constraint["gate"].is_object()) continue;
        for (const char *criterion : {"soak", "approvals"}) {
            if (!constraint["gate"].contains(criterion)) continue;
            const auto &value = constraint["gate"][criterion];
            remarks.push_back(fmt::format("migration \"{}\", step {}: the gate was not asked for {} ({})", name, number,
                                          criterion, value.is_string() ? value.get<std::string>() : value.dump()));
            constraint["gate"].erase(criterion);
        }
        if (constraint["gate"].empty()) constraint.erase("gate");
    }
}

struct Chosen {
    std::vector<RehearsedMigration> migrations;
    RehearsalSummary summary;
};

// What of the migrations the source has not applied yet.
void choose(Connection &source, const MigrationDirectory &directory, bool schema_only, Chosen &chosen) {
    for (const auto &file : directory.files) {
        const std::string spec = file.spec.document.dump();
        const Result stored = source.query("SELECT m.progress, m.spec OPERATOR(pg_catalog.=) $2::pg_catalog.jsonb FROM "
                                           "tenantmig.migrations m WHERE m.migration OPERATOR(pg_catalog.=) $1",
                                           {file.migration, spec});
        RehearsedMigration migration;
        migration.name = file.migration;
        migration.file = file.file;
        migration.spec = file.spec.document;
        migration.steps = static_cast<int>(file.spec.document.at("steps").size());
        migration.applied = std::string(static_cast<std::size_t>(migration.steps), '0');
        const std::string progress = stored.rows.empty() ? "" : stored.rows.front()[0].value_or("pending");
        const bool begun = progress == "applied" || progress == "partly applied";
        if (begun && stored.rows.front()[1] != "t")
            throw ClientError(ExitStatus::failure,
                              fmt::format("migration \"{}\" was changed after it was applied", file.migration),
                              fmt::format("The source has another spec than {}.", file.file),
                              fmt::format("tenantmig status, or tenantmig up --dir, shows the difference"));
        if (progress == "applied") {
            chosen.summary.passed_over.push_back(file.migration);
            continue;
        }
        if (begun && schema_only)
            throw ClientError(ExitStatus::failure,
                              fmt::format("migration \"{}\" is partly applied in the source", file.migration),
                              "A copy without rows does not know how far it is.", "leave out --schema-only");
        if (begun) {
            migration.stored = true;
            migration.applied.clear();
            const Result steps = source.query("SELECT s.applied FROM tenantmig.steps s WHERE s.migration "
                                              "OPERATOR(pg_catalog.=) $1 ORDER BY s.step",
                                              {file.migration});
            for (const auto &row : steps.rows)
                migration.applied += row[0] == "t" ? '1' : '0';
        } else {
            leave_out_waiting(migration.spec, file.migration, chosen.summary.remarks);
        }
        chosen.migrations.push_back(std::move(migration));
    }
}

ExitStatus status_of(const std::vector<Scenario> &scenarios) {
    bool failed = false;
    for (const Scenario &scenario : scenarios) {
        if (scenario.verdict == Verdict::fail && scenario.comparison) return ExitStatus::mismatch;
        failed = failed || scenario.verdict == Verdict::fail;
    }
    return failed ? ExitStatus::findings : ExitStatus::done;
}

void fill_with_rows(const RehearsalCopy &copy, const RehearseOptions &options, Chosen &chosen) {
    constexpr long rows_unless_given = 100;
    std::vector<nlohmann::json> specs;
    for (const RehearsedMigration &migration : chosen.migrations)
        specs.push_back(migration.spec);
    messages::show_progress("rehearsal: generating rows");
    Connection there = copy.connect();
    const long wanted = options.rows ? std::strtol(options.rows->c_str(), nullptr, 10) : rows_unless_given;
    for (const GeneratedTable &table : generate_rows(there, row_plan(specs), wanted))
        if (!table.problem.empty())
            chosen.summary.remarks.push_back(
                fmt::format("{}: {} rows were generated: {}", table.table, table.made, table.problem));
    there.query("ANALYZE");
    chosen.summary.remarks.push_back("the rows were generated: how long things take, and what evidence there is, tells "
                                     "nothing of the source");
}

double seconds_since(std::chrono::steady_clock::time_point start) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void show(const Rehearsal &rehearsal, const RehearsalSummary &summary, Format format) {
    const Result table = scenario_table(rehearsal.scenarios(), summary.copy_seconds);
    if (format != Format::table) {
        print_result(table, format);
        return;
    }
    print_table(table);
    for (const Scenario &scenario : rehearsal.scenarios()) {
        if (scenario.found.empty()) continue;
        print_text(fmt::format("\n{}:\n", scenario.name));
        for (const std::string &line : scenario.found)
            print_text(fmt::format("  {}\n", line));
    }
}

} // namespace

ExitStatus rehearse(const GlobalOptions &global, const RehearseOptions &options) {
    const interrupt::Deferred in_order; // a signal ends the rehearsal, not what cleans up after it
    if (options.keep && !options.same_server && !options.rehearsal_dsn)
        throw ClientError(ExitStatus::usage, "--keep needs --same-server or --rehearsal-dsn", "",
                          "a throw-away cluster ends with the client");
    const auto begun = std::chrono::steady_clock::now();
    const MigrationDirectory directory = std::filesystem::is_directory(options.file)
                                             ? read_directory(options.file, false)
                                             : read_single(options.file, false);
    require_sound(directory);
    Connection source = connect_checked(global);
    Chosen chosen;
    choose(source, directory, options.schema_only, chosen);
    RehearsalSummary &summary = chosen.summary;
    if (chosen.migrations.empty()) {
        messages::show_remark(fmt::format("nothing to rehearse: all {} are applied", directory.files.size()));
        return ExitStatus::done;
    }
    summary.source = source.database();
    summary.server = "PostgreSQL " + source.server_version_text();
    summary.date =
        source.query("SELECT pg_catalog.to_char(pg_catalog.now() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI UTC')")
            .rows.at(0)[0]
            .value_or("");
    messages::show_progress(fmt::format("rehearsal: copying database \"{}\"", source.database()));
    const auto copying = std::chrono::steady_clock::now();
    RehearsalCopy copy(global, source, options);
    summary.copy_seconds = seconds_since(copying);
    summary.place = copy.where();
    {
        Connection there = copy.connect();
        for (const RehearsedMigration &migration : chosen.migrations)
            if (!migration.stored) // known but not begun: the file counts
                there.query("SELECT tenantmig.drop_migration(m.migration, true) FROM tenantmig.migrations m WHERE "
                            "m.migration OPERATOR(pg_catalog.=) $1",
                            {migration.name});
    }
    if (options.schema_only) fill_with_rows(copy, options, chosen);
    ExitStatus status = ExitStatus::done;
    {
        Rehearsal rehearsal(copy, options, chosen.migrations);
        rehearsal.run(options.filled);
        summary.total_seconds = seconds_since(begun);
        messages::end_progress();
        show(rehearsal, summary, global.format);
        if (!options.report.empty()) replace_file(options.report, rehearsal_markdown(summary, rehearsal));
        for (const std::vector<std::string> &remarks : {summary.remarks, rehearsal.remarks()})
            for (const std::string &remark : remarks)
                messages::show_remark(remark);
        for (const std::string &name : summary.passed_over)
            messages::show_remark(fmt::format("not rehearsed, as it is applied: {}", name));
        status = status_of(rehearsal.scenarios());
    }
    if (options.keep)
        copy.keep();
    else
        copy.drop();
    flush_output();
    return status;
}

} // namespace tenantmig::client
