// backup, maintenance, and the backups' part of purge: what their arguments ask for.
#pragma once
#include "backup.hpp"

namespace tenantmig::client {

struct MaintenanceOptions {
    std::string migration, mode; // on, off
    std::optional<std::string> time_limit;
};

// `verify`: the folder of a backup that is to be checked instead; empty: none.
ExitStatus backup(const GlobalOptions &global, const BackupRequest &request, const std::string &verify);
ExitStatus maintenance(const GlobalOptions &global, const MaintenanceOptions &options);

// The backup before an up: taken once, and registered for each of its migrations as soon as that is in the database.
struct UpBackup {
    BackupRequest request;
    std::optional<TakenBackup> taken;
    void take(const GlobalOptions &global, Connection &connection, const std::vector<std::string> &migrations);
    void register_for(Connection &connection, const std::string &migration); // once
};

// The folders of backups in options.backup_dir, after purge() has been called with --execute, in a transaction that
// ends here (undone unless options.execute): adds a row for each to what purge() returned, and deletes the files of
// those that nobody needs any more.
void purge_backup_files(Connection &connection, const PurgeOptions &options, Result &rows);

} // namespace tenantmig::client
