// backup, backup --verify, maintenance, and the backups' part of purge.
#include "commands_backup.hpp"
#include "backup_parts.hpp"
#include "call.hpp"
#include "client_error.hpp"
#include "interrupt.hpp"
#include "messages.hpp"
#include "text.hpp"
#include <algorithm>
#include <filesystem>
#include <fmt/format.h>

namespace tenantmig::client {

namespace {

namespace fs = std::filesystem;

ExitStatus verify_backup(const GlobalOptions &global, const std::string &folder) {
    const interrupt::Deferred deferred;
    const Result files = compare_files(folder, read_manifest(folder));
    messages::end_progress();
    print_result(files, global.format);
    flush_output();
    return files.any("status", "FAIL") ? ExitStatus::mismatch : ExitStatus::done;
}

std::string joined(const std::vector<std::string> &names) {
    std::string text;
    for (const std::string &name : names)
        text += (text.empty() ? "" : ", ") + name;
    return text;
}

Result summary(const TakenBackup &taken) {
    const auto manifest = nlohmann::json::parse(taken.manifest);
    std::uint64_t rows = 0;
    for (const nlohmann::json &table : manifest.at("tables"))
        rows += table.at("rows").get<std::uint64_t>();
    Result result;
    result.columns = {{"location"},
                      {"taken_at"},
                      {"scope"},
                      {"tables", ColumnKind::number},
                      {"rows", ColumnKind::number},
                      {"bytes", ColumnKind::number},
                      {"restored", ColumnKind::boolean},
                      {"registered_for"}};
    result.rows.push_back({taken.location, taken.taken_at, manifest.at("scope").get<std::string>(),
                           std::to_string(manifest.at("tables").size()), std::to_string(rows),
                           std::to_string(taken.bytes), manifest.at("checks").at("restored").get<bool>() ? "t" : "f",
                           taken.registered.empty() ? Cell() : Cell(joined(taken.registered))});
    return result;
}

} // namespace

ExitStatus backup(const GlobalOptions &global, const BackupRequest &request, const std::string &verify) {
    if (!verify.empty()) return verify_backup(global, verify);
    if (request.directory.empty())
        throw ClientError(ExitStatus::usage, "--to is required", "",
                          "tenantmig backup [MIGRATION] --to DIR, or --verify DIR");
    const TakenBackup taken = take_backup(global, request);
    print_result(summary(taken), global.format);
    flush_output(fmt::format("the backup is complete, in {}", taken.location));
    if (taken.registered.empty()) messages::show_remark("there is no migration that it could be registered for");
    return ExitStatus::done;
}

void UpBackup::take(const GlobalOptions &global, Connection &connection, const std::vector<std::string> &migrations) {
    request.unregistered = true;
    if (request.directory.empty()) request.directory = "backups";
    try {
        taken = take_backup(global, request);
    } catch (const ClientError &error) {
        if (error.status() == ExitStatus::interrupted) throw;
        ErrorText text = error.text();
        if (!text.hint.empty()) text.hint += "; ";
        text.hint += "up --no-backup goes without one. Nothing was changed";
        throw ClientError(error.status(), text);
    }
    messages::show_remark(fmt::format("backup: {}, {:.1f} s", printable(taken->location), taken->seconds));
    const Result there = connection.query("SELECT m.migration FROM tenantmig.migrations m");
    for (const std::string &migration : migrations)
        if (there.any("migration", migration)) register_for(connection, migration);
}

void UpBackup::register_for(Connection &connection, const std::string &migration) {
    if (!taken || std::find(taken->registered.begin(), taken->registered.end(), migration) != taken->registered.end())
        return;
    register_taken(connection, migration, *taken);
    taken->registered.push_back(migration);
}

ExitStatus maintenance(const GlobalOptions &global, const MaintenanceOptions &options) {
    Call call{"SELECT * FROM tenantmig.maintenance($1, $2::pg_catalog.bool",
              {options.migration, options.mode == "on" ? "true" : "false"}};
    call.add("time_limit", "interval", options.time_limit);
    Connection connection = connect_checked(global);
    print_result(connection.query(call.sql + ")", call.parameters), global.format);
    flush_output(options.mode == "on" ? "the tables are fenced" : "the tables are open");
    return ExitStatus::done;
}

namespace {

constexpr const char *retention = "90 days";

// Files that the manifest names, the manifest, and folders that are empty then; nothing else.
void remove_backup(const std::string &folder, const nlohmann::json &manifest) {
    const auto remove = [&folder](const std::string &path) {
        std::error_code problem;
        fs::remove(folder + "/" + path, problem);
        if (problem)
            throw ClientError(ExitStatus::failure, fmt::format("could not delete \"{}\"", printable(path)),
                              problem.message() + ".");
    };
    // the manifest last: whatever happens in between, what is left is told from a backup by its missing files
    for (const nlohmann::json &file : manifest.at("files"))
        remove(file.at("path").get<std::string>());
    remove(manifest_name);
    std::vector<fs::path> folders{folder};
    std::error_code problem;
    for (fs::recursive_directory_iterator at(folder, problem), end; !problem && at != end; at.increment(problem))
        if (at->is_directory(problem)) folders.push_back(at->path());
    std::sort(folders.rbegin(), folders.rend());
    for (const fs::path &path : folders)
        fs::remove(path, problem); // not if something is in it
}

struct OldBackup {
    std::string folder, location; // as given; as registered
    nlohmann::json manifest;
    std::string reason; // why it stays; empty: it may go
};

class BackupPurge {
public:
    BackupPurge(Connection &connection, const PurgeOptions &options) : connection_(connection), options_(options) {}

    std::vector<OldBackup> judge() {
        std::vector<OldBackup> backups;
        std::error_code problem;
        for (fs::directory_iterator at(options_.backup_dir, problem), end; !problem && at != end;
             at.increment(problem)) {
            const std::string folder = at->path().string();
            std::error_code ignored;
            if (at->is_symlink(ignored) || !fs::exists(folder + "/" + manifest_name, ignored)) continue;
            try {
                backups.push_back({folder, fs::canonical(folder, ignored).string(), read_manifest(folder), {}});
            } catch (const ClientError &error) {
                if (error.status() == ExitStatus::interrupted) throw;
                messages::show_remark(fmt::format("{} is left alone: {}", printable(folder), error.text().detail));
            }
        }
        if (problem)
            throw ClientError(ExitStatus::failure,
                              fmt::format("could not read the folder \"{}\"", printable(options_.backup_dir)),
                              problem.message() + ".", "--backup-dir is the folder that backup --to was given");
        const auto taken = [](const OldBackup &backup) { return backup.manifest.at("taken_at").get<std::string>(); };
        std::sort(backups.begin(), backups.end(),
                  [&](const OldBackup &a, const OldBackup &b) { return taken(a) < taken(b); });
        bool newest_passed = false;
        for (auto backup = backups.rbegin(); backup != backups.rend(); ++backup) {
            backup->reason = why_it_stays(*backup, newest_passed);
            newest_passed |= !is_foreign_;
        }
        return backups;
    }

private:
    std::string why_it_stays(const OldBackup &backup, bool newest_passed) {
        const Result facts = connection_.query(
            "SELECT $1::pg_catalog.timestamptz OPERATOR(pg_catalog.<) (pg_catalog.now() OPERATOR(pg_catalog.-) "
            "coalesce($2, $3)::pg_catalog.interval), pg_catalog.current_database() OPERATOR(pg_catalog.=) $4 AND "
            "(SELECT s.system_identifier::pg_catalog.text FROM pg_catalog.pg_control_system() s) "
            "OPERATOR(pg_catalog.=) $5, (SELECT pg_catalog.min(b.migration) FROM tenantmig.backups b WHERE b.location "
            "OPERATOR(pg_catalog.=) $6), EXISTS (SELECT FROM tenantmig.backups b WHERE b.location "
            "OPERATOR(pg_catalog.=) $6), coalesce($2, $3)::pg_catalog.interval",
            {backup.manifest.at("taken_at").get<std::string>(), options_.older_than, retention,
             backup.manifest.at("database").get<std::string>(),
             backup.manifest.at("server").at("system_identifier").get<std::string>(), backup.location});
        const auto &row = facts.rows.at(0);
        is_foreign_ = row.at(1) != "t";
        if (is_foreign_) return "of another database";
        if (row.at(0) != "t") return fmt::format("younger than {}", row.at(4).value_or(""));
        if (!newest_passed) return "the newest one here";
        if (row.at(3) == "t")
            return row.at(2) ? fmt::format("registered for {}, which keeps it", *row.at(2)) : "registered";
        if (compare_files(backup.folder, backup.manifest).any("status", "FAIL"))
            return "its files are not those of its manifest: tenantmig backup --verify says which";
        return {};
    }

    Connection &connection_;
    const PurgeOptions &options_;
    bool is_foreign_ = false;
};

} // namespace

void purge_backup_files(Connection &connection, const PurgeOptions &options, Result &rows) {
    const interrupt::Deferred deferred;
    const std::vector<OldBackup> backups = BackupPurge(connection, options).judge();
    connection.query(options.execute ? "COMMIT" : "ROLLBACK");
    for (const OldBackup &backup : backups) {
        const bool goes = backup.reason.empty();
        if (goes && options.execute) remove_backup(backup.folder, backup.manifest);
        const std::string taken = backup.manifest.at("taken_at").get<std::string>();
        const nlohmann::json &migration = backup.manifest.at("migration");
        std::vector<Cell> row(rows.columns.size());
        const auto set = [&](const char *column, Cell value) {
            if (const std::size_t at = rows.column(column); at < row.size()) row[at] = std::move(value);
        };
        set("kind", "backup_files");
        set("migration", migration.is_string() ? Cell(migration.get<std::string>()) : Cell());
        set("row_count", std::to_string(backup.manifest.at("files").size()));
        set("oldest", taken);
        set("newest", taken);
        set("outcome", !goes ? "kept" : options.execute ? "deleted" : "would go");
        set("reason", goes ? backup.location : backup.location + ": " + backup.reason);
        rows.rows.push_back(std::move(row));
    }
}

} // namespace tenantmig::client
