// status of a directory, and of one migration's steps.
#include "client_error.hpp"
#include "commands_directory.hpp"
#include "directory_check.hpp"
#include "messages.hpp"
#include "text.hpp"
#include <algorithm>
#include <filesystem>
#include <fmt/format.h>

namespace tenantmig::client {

namespace {

std::string next_command(const DirectoryEntry &entry, bool late) {
    const std::string name = shell_word(entry.migration);
    switch (entry.state) {
    case MigrationState::pending:
        return late ? "tenantmig up --out-of-order, or another file name" : "tenantmig up";
    case MigrationState::partly_applied:
        return fmt::format("tenantmig up, or tenantmig down {}", name);
    case MigrationState::applied:
        return entry.open_reviews > 0 ? "tenantmig review list " + name : "";
    case MigrationState::changed:
        return entry.is_complete() && !entry.said.empty()
                   ? "tenantmig up takes it over"
                   : fmt::format("put the file back, or tenantmig down {}", name);
    case MigrationState::file_missing:
        return fmt::format("bring the file back, or tenantmig down {}", name);
    case MigrationState::unusable:
        return "tenantmig validate " + shell_word(entry.file->path);
    }
    return {};
}

Result table_of(const std::vector<DirectoryEntry> &entries) {
    Result table;
    table.columns = {{"file"},
                     {"migration"},
                     {"state"},
                     {"steps_done", ColumnKind::number},
                     {"steps", ColumnKind::number},
                     {"applied_at"},
                     {"applied_by"},
                     {"problem"},
                     {"next_command"}};
    const std::vector<const DirectoryEntry *> late = out_of_order(entries);
    for (const DirectoryEntry &entry : entries) {
        const bool is_late = std::find(late.begin(), late.end(), &entry) != late.end();
        std::string problem = entry.failed_step;
        if (entry.state == MigrationState::unusable) problem = entry.file->problem->message;
        if (is_late && problem.empty()) problem = "a later one is applied";
        const auto cell = [](const std::string &text) { return text.empty() ? Cell() : Cell(text); };
        table.rows.push_back({entry.file == nullptr ? Cell() : Cell(entry.file->file), cell(entry.migration),
                              state_text(entry.state), std::to_string(entry.done), std::to_string(entry.total),
                              entry.applied_at, entry.applied_by, cell(problem), cell(next_command(entry, is_late))});
    }
    return table;
}

// 2026-11-21 05:44:50+00 without its time zone, and 2/3 in one column: a table is for reading.
Result for_people(const Result &all) {
    constexpr std::size_t length = 19;
    Result table;
    table.columns = {{"file"}, {"migration"}, {"state"}, {"steps"}, {"applied_at"}, {"by"}, {"next_command"}};
    const auto at = [&](const char *name) { return all.column(name); };
    for (const auto &row : all.rows) {
        Cell applied_at = row[at("applied_at")];
        if (applied_at && applied_at->size() > length) applied_at->resize(length);
        const std::string steps =
            row[at("state")] == "unusable"
                ? ""
                : fmt::format("{}/{}", row[at("steps_done")].value_or(""), row[at("steps")].value_or(""));
        table.rows.push_back({row[at("file")], row[at("migration")], row[at("state")], steps, applied_at,
                              row[at("applied_by")], row[at("next_command")]});
    }
    return table;
}

ExitStatus status_of_entries(const std::vector<DirectoryEntry> &entries) {
    bool unusable = false, findings = !out_of_order(entries).empty(), reviews = false;
    for (const DirectoryEntry &entry : entries) {
        unusable = unusable || entry.state == MigrationState::unusable;
        findings = findings || entry.state == MigrationState::partly_applied ||
                   entry.state == MigrationState::changed || entry.state == MigrationState::file_missing ||
                   !entry.failed_step.empty();
        reviews = reviews || (entry.has_begun() && entry.open_reviews > 0);
    }
    return unusable   ? ExitStatus::usage
           : findings ? ExitStatus::findings
           : reviews  ? ExitStatus::open_reviews
                      : ExitStatus::done;
}

ExitStatus status_of_directory(const GlobalOptions &global, const DirectoryOptions &options) {
    const MigrationDirectory directory = read_directory(options.path, options.sql_files_anywhere);
    Connection connection = connect_checked(global);
    const std::vector<DirectoryEntry> entries = compare(connection, directory, options.ignore_missing);
    const Result table = table_of(entries);
    if (global.format == Format::table)
        print_table(for_people(table));
    else
        print_result(table, global.format);
    flush_output();
    show_remarks(directory);
    if (global.format == Format::table)
        for (const auto &row : table.rows)
            if (row[table.column("problem")])
                messages::show_remark(
                    fmt::format("{}: {}", row[1] ? *row[1] : row[0].value_or(""), *row[table.column("problem")]));
    for (const MigrationFile &file : directory.files)
        if (file.problem) messages::show_error(*file.problem);
    return status_of_entries(entries);
}

} // namespace

ExitStatus directory_status(const GlobalOptions &global, const StatusOptions &options) {
    std::error_code unknown;
    const bool there = options.directory.given || std::filesystem::is_directory(options.directory.path, unknown);
    if (options.migration.empty() && !options.runs && there) return status_of_directory(global, options.directory);
    return status(global, options.migration);
}

} // namespace tenantmig::client
