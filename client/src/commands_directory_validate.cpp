// validate of a directory: every file, and what the server says of those whose turn it is.
#include "client_error.hpp"
#include "core/error.hpp"
#include "directory_check.hpp"
#include "messages.hpp"
#include "spec_check.hpp"
#include <algorithm>
#include <array>
#include <filesystem>
#include <fmt/format.h>

namespace tenantmig::client {

namespace {

// What an earlier migration may have to make first.
bool may_come_later(const std::string &state) {
    using namespace core::sqlstate;
    const std::array later{std::string_view(undefined_table),
                           std::string_view(undefined_column),
                           std::string_view("3F000"),
                           std::string_view(undefined_object),
                           std::string_view(invalid_foreign_key),
                           std::string_view(prerequisite_state)};
    return std::find(later.begin(), later.end(), state) != later.end();
}

class Validation {
public:
    Validation(const GlobalOptions &global, MigrationDirectory directory)
        : global_(global), directory_(std::move(directory)) {
        table_.columns = {{"file"}, {"migration"}, {"steps", ColumnKind::number}, {"status"}, {"detail"}};
    }

    ExitStatus offline() {
        for (const MigrationFile &file : directory_.files)
            add(file, file.problem ? "FAIL" : "PASS", file.problem ? file.problem->message : "the document");
        return conclude();
    }

    ExitStatus online() {
        Connection connection = connect_checked(global_);
        const std::vector<DirectoryEntry> entries = compare(connection, directory_, true);
        const std::vector<const DirectoryEntry *> late = out_of_order(entries);
        bool first = true; // of those that are not applied
        for (const DirectoryEntry &entry : entries) {
            if (entry.file->problem) {
                add(*entry.file, "FAIL", entry.file->problem->message);
                continue;
            }
            if (entry.state == MigrationState::changed)
                changed(connection, entry);
            else if (entry.state == MigrationState::applied)
                add(*entry.file, "PASS", "applied");
            else if (std::find(late.begin(), late.end(), &entry) != late.end())
                finding(*entry.file, "not applied, and a later one is");
            else
                ask(connection, entry, first);
            if (!entry.is_complete()) first = false;
        }
        return conclude();
    }

private:
    void add(const MigrationFile &file, const char *status, const std::string &detail) {
        table_.rows.push_back({file.file, file.migration.empty() ? Cell() : Cell(file.migration),
                               std::to_string(file.parsed.order.size()), status, detail});
    }
    void finding(const MigrationFile &file, const std::string &detail) {
        findings_ = true;
        add(file, "FAIL", detail);
    }

    void changed(Connection &connection, const DirectoryEntry &entry) {
        const Result difference = spec_difference(connection, *entry.file);
        const std::string path = difference.rows.empty() ? "" : difference.rows[0][0].value_or("");
        finding(*entry.file, fmt::format("changed since it was applied{}", path.empty() ? "" : ": " + path));
    }

    void ask(Connection &connection, const DirectoryEntry &entry, bool its_turn) {
        if (entry.state == MigrationState::partly_applied) {
            add(*entry.file, "PASS", fmt::format("partly applied, {} of {} steps", entry.done, entry.total));
            return;
        }
        try {
            send_spec(connection, "SELECT * FROM tenantmig.check_migration($1::pg_catalog.jsonb)", entry.file->spec);
            add(*entry.file, "PASS", "checked against the database");
        } catch (const ClientError &error) {
            if (error.status() == ExitStatus::connection || error.status() == ExitStatus::interrupted) throw;
            if (!its_turn && may_come_later(error.text().state)) {
                add(*entry.file, "PASS",
                    "the document; the rest is checked when earlier ones are applied: " + error.text().message);
                return;
            }
            add(*entry.file, "FAIL", error.text().message);
            errors_.push_back(error.text());
            if (errors_.back().location.empty()) errors_.back().location = entry.file->spec.name;
        }
    }

    ExitStatus conclude() {
        print_result(table_, global_.format);
        flush_output();
        show_remarks(directory_);
        for (const MigrationFile &file : directory_.files)
            if (file.problem) errors_.push_back(*file.problem);
        for (const ErrorText &error : errors_)
            messages::show_error(error);
        if (!errors_.empty()) return ExitStatus::usage;
        return findings_ ? ExitStatus::findings : ExitStatus::done;
    }

    const GlobalOptions &global_;
    MigrationDirectory directory_;
    Result table_;
    std::vector<ErrorText> errors_;
    bool findings_ = false;
};

} // namespace

ExitStatus validate_path(const GlobalOptions &global, const DirectoryOptions &options, const std::string &path,
                         bool offline) {
    std::error_code unknown;
    if (path == "-" || !std::filesystem::is_directory(path, unknown))
        return validate(global, path, offline, options.sql_files_anywhere);
    Validation validation(global, read_directory(path, options.sql_files_anywhere));
    return offline ? validation.offline() : validation.online();
}

} // namespace tenantmig::client
