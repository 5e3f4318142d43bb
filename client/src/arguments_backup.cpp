// Arguments of backup and maintenance.
#include "command_line.hpp"

namespace tenantmig::client {

namespace {

void add_to_up(CLI::App &app, CommandLine &line) {
    CLI::App *up_app = app.get_subcommand("up");
    BackupRequest &request = line.up_backup.request;
    CLI::Option *none = up_app->get_option("--no-backup");
    up_app->add_option("--backup-dir", request.directory, "Folder of the backup before the first change (backups)")
        ->type_name("DIR")
        ->excludes(none);
    up_app->add_option("--backup-jobs", request.jobs, "Tables that are backed up at once")
        ->check(a_number("a number of jobs, 1 to 64", 1, 64))
        ->type_name("N")
        ->excludes(none);
    up_app->add_option("--pg-bindir", request.programs, "Folder of pg_dump and pg_restore")
        ->type_name("DIR")
        ->excludes(none);
    line.up.before_first_change = [&line](const GlobalOptions &global, Connection &connection,
                                          const std::vector<std::string> &migrations) {
        line.up_backup.take(global, connection, migrations);
    };
    line.up.after_stored = [&line](Connection &connection, const std::string &migration) {
        line.up_backup.register_for(connection, migration);
    };
}

} // namespace

void add_backup_commands(CLI::App &app, CommandLine &line) {
    add_to_up(app, line);
    BackupRequest &request = line.dump;
    CLI::App *backup_app =
        command(app, line, "backup", "Take a backup with pg_dump, check it, and register it with tenantmig",
                [&line] { return backup(line.global, line.dump, line.verify_folder); });
    CLI::Option *migration =
        backup_app
            ->add_option("migration", request.migration, "The migration that it is for; without it: all that there are")
            ->type_name("MIGRATION");
    CLI::Option *to =
        backup_app->add_option("--to", request.directory, "Folder in which the backup gets a folder of its own")
            ->type_name("DIR");
    CLI::Option *verify =
        backup_app
            ->add_option("--verify", line.verify_folder,
                         "Only hold the files of this backup against its manifest; exit status 7 if they differ")
            ->type_name("FOLDER")
            ->excludes(to)
            ->excludes(migration);
    const auto only_when_taken = [&](CLI::Option *option) { option->excludes(verify); };
    only_when_taken(backup_app->add_flag("--tables-only", request.tables_only,
                                         "Rows of the tables that the migration writes, not the whole database"));
    only_when_taken(backup_app
                        ->add_option("--jobs,-j", request.jobs,
                                     "Work on so many tables at once; from 2 on in pg_dump's directory format")
                        ->check(a_number("a number of jobs, 1 to 64", 1, 64))
                        ->type_name("N"));
    only_when_taken(
        backup_app->add_option("--compress", request.compress, "0 (none) to 9 (most); pg_dump's own unless given")
            ->check(a_number("a level of compression, 0 to 9", 0, 9))
            ->type_name("LEVEL"));
    only_when_taken(backup_app->add_flag("--restore-test", request.restore_test,
                                         "Restore it into a throw-away cluster and compare the rows"));
    only_when_taken(backup_app
                        ->add_option("--lock-wait", request.lock_wait,
                                     "Seconds to wait for a table whose definition is being changed (60)")
                        ->check(a_number("a number of seconds, 1 or more", 1, 1e6))
                        ->type_name("SECONDS"));
    only_when_taken(
        backup_app->add_option("--pg-bindir", request.programs, "Folder of pg_dump and pg_restore")->type_name("DIR"));

    MaintenanceOptions &options = line.maintenance;
    CLI::App *maintenance_app =
        command(app, line, "maintenance", "Refuse the writes of others to a migration's tables for a limited time",
                [&line] { return maintenance(line.global, line.maintenance); });
    add_word(maintenance_app, "migration", options.migration, "MIGRATION", "Its name");
    maintenance_app->add_option("mode", options.mode, "on or off")
        ->required()
        ->check(CLI::IsMember({"on", "off"}).description(""))
        ->type_name("MODE");
    maintenance_app->add_option("--time-limit", options.time_limit, "It ends by itself then, such as '10 min' (30 min)")
        ->type_name("TIME");
}

} // namespace tenantmig::client
