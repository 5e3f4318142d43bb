// Backups: pg_dump under a snapshot that the rows are counted in as well, checked, described by a manifest, and
// registered with tenantmig. A backup is a folder; it has its name only once it is complete.
#pragma once
#include "commands.hpp"
#include <cstdint>

namespace tenantmig::client {

struct BackupRequest {
    std::string migration;                     // empty: of none in particular
    std::string directory;                     // where the backup's folder is made; made itself if it is not there
    bool tables_only = false;                  // the tables that the migration writes, instead of the database
    std::optional<std::string> jobs, compress; // checked numbers; jobs: directory format from 2 on
    bool restore_test = false;
    std::string programs;                 // folder of pg_dump and pg_restore; empty: looked for
    std::optional<std::string> lock_wait; // seconds
    bool unregistered = false;            // don't tell the server; see register_taken()
};

struct TakenBackup {
    std::string location, taken_at, manifest; // manifest: JSON text
    std::uint64_t bytes = 0;
    double seconds = 0;
    std::vector<std::string> registered; // the migrations that it is registered for
};

// Throws ClientError: status 1 (nothing that looks complete is left, nothing is registered), 2, 3, 7 (the restored rows
// are not those that were counted), 130. Shows progress from two seconds on.
TakenBackup take_backup(const GlobalOptions &global, const BackupRequest &request);

// For a backup that was taken before its migration was created.
void register_taken(Connection &connection, const std::string &migration, const TakenBackup &backup);

// Folder of pg_dump, pg_restore, initdb, … for a server of this version: of its major version, else newer. `given`:
// looked for there only. Status 1 with what was found, and where.
std::string find_programs(int server_version, const std::string &given, const char *program = "pg_dump");

} // namespace tenantmig::client
