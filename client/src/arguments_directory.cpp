// Arguments of the commands for whole migrations, in a directory or in the database.
#include "command_line.hpp"

namespace tenantmig::client {

namespace {

CLI::Option *directory_option(CLI::App *app, std::string &path) {
    return app->add_option("--dir", path, "Directory of the migrations (migrations)")->type_name("DIR");
}

void sql_files_option(CLI::App *app, DirectoryOptions &options) {
    app->add_flag("--sql-files-anywhere", options.sql_files_anywhere,
                  "Specs may name SQL files outside of their own folder");
}

CLI::Option *missing_option(CLI::App *app, DirectoryOptions &options) {
    return app->add_flag("--ignore-missing", options.ignore_missing,
                         "Applied migrations that no file names belong to somebody else");
}

// --to-step and --steps, which exclude each other and go with one migration.
void step_options(CLI::App *app, CLI::Option *target, std::optional<std::string> &to_step,
                  std::optional<std::string> &steps, const char *to_help) {
    CLI::Option *to = app->add_option("--to-step", to_step, to_help)
                          ->check(a_number("the number of a step, or 0", 0, 1e6))
                          ->type_name("N");
    CLI::Option *count = app->add_option("--steps", steps, "Only so many steps")
                             ->check(a_number("a number of steps, 1 or more", 1, 1e6))
                             ->type_name("N");
    to->needs(target)->excludes(count);
    count->needs(target);
}

void add_up(CLI::App &app, CommandLine &line) {
    UpOptions &options = line.up;
    CLI::App *up_app = command(app, line, "up",
                               "Apply the migrations of a directory, or one; exit status 4 if files and database do "
                               "not go together, 5 if reviews are open",
                               [&line] { return up(line.global, line.up); });
    CLI::Option *target = up_app
                              ->add_option("spec-or-migration", options.target.text,
                                           "Only this: a spec file, or a migration that is in the database")
                              ->type_name("SPEC|MIGRATION");
    up_app->add_flag("--name", options.target.is_name, "It is a migration's name, even if it looks like a file")
        ->needs(target);
    directory_option(up_app, options.directory.path)->excludes(target);
    up_app->add_option("--to", options.to, "The last migration to apply")->type_name("MIGRATION")->excludes(target);
    step_options(up_app, target, options.to_step, options.steps, "The last step to apply");
    up_app->add_option("--workers", options.workers, "Number of workers of each backfill (1)")
        ->check(a_number("a number of workers, 1 or more", 1, 1e6))
        ->type_name("N");
    up_app->add_flag("--maintenance", options.maintenance, "Refuse writes to the tables meanwhile");
    up_app->add_flag("--no-backup", options.no_backup, "Take no backup before the first change");
    up_app->add_flag("--dry-run", options.dry_run, "Only show what would be done");
    up_app->add_flag("--out-of-order", options.out_of_order, "Also what comes before a migration that is applied")
        ->excludes(target);
    missing_option(up_app, options.directory)->excludes(target);
    sql_files_option(up_app, options.directory);
}

void add_down(CLI::App &app, CommandLine &line) {
    DownOptions &options = line.down;
    CLI::App *down_app = command(app, line, "down", "Take the last migrations of a directory back, or one",
                                 [&line] { return down(line.global, line.down); });
    CLI::Option *target = down_app
                              ->add_option("number-or-migration", options.target.text,
                                           "How many (1), or only this one, which is in the database")
                              ->type_name("N|MIGRATION");
    down_app->add_flag("--name", options.target.is_name, "It is a migration's name, even if it looks like a number")
        ->needs(target);
    directory_option(down_app, options.directory.path);
    CLI::Option *to = down_app->add_option("--to", options.to, "The last migration that stays")->type_name("MIGRATION");
    CLI::Option *all = down_app->add_flag("--all", options.all, "All of them");
    to->excludes(target)->excludes(all);
    all->excludes(target);
    step_options(down_app, target, options.to_step, options.steps, "The last step that stays; 0: none");
    down_app->add_flag("--dry-run", options.dry_run, "Only show what would be done");
    missing_option(down_app, options.directory);
    sql_files_option(down_app, options.directory);
}

} // namespace

void add_directory_commands(CLI::App &app, CommandLine &line) {
    add_up(app, line);
    add_down(app, line);

    NewOptions &made = line.made;
    CLI::App *new_app = command(app, line, "new", "Write the next file of a directory: a template with all steps",
                                [&line] { return new_migration(line.global, line.made); });
    add_word(new_app, "name", made.name, "NAME", "Name of the migration");
    directory_option(new_app, made.directory);

    // these two are there already, for runs and for single specs
    StatusOptions &options = line.status;
    CLI::App *status_app = app.get_subcommand("status");
    status_app->description("How the migrations of a directory stand, exit status 4 if one asks for something; how the "
                            "runs stand, exit status 5 if reviews are open");
    CLI::Option *migration = status_app->get_option("migration");
    CLI::Option *directory = directory_option(status_app, options.directory.path)->excludes(migration);
    status_app->add_flag("--runs", options.runs, "The runs, also where there is a directory of migrations")
        ->excludes(directory);
    missing_option(status_app, options.directory)->excludes(migration);
    sql_files_option(status_app, options.directory);
    status_app->callback([&line, directory] {
        line.status.directory.given = directory->count() > 0;
        line.chosen = [&line] {
            line.status.migration = line.name;
            return directory_status(line.global, line.status);
        };
    });

    CLI::App *validate_app = app.get_subcommand("validate");
    validate_app->description("Check a spec file and show its steps as resolved, or all files of a directory");
    sql_files_option(validate_app, options.directory);
    validate_app->callback([&line] {
        line.chosen = [&line] { return validate_path(line.global, line.status.directory, line.file, line.flag); };
    });

    app.add_option("--log", line.log, "Append all that is said to this file, with time stamps")->type_name("FILE");
}

} // namespace tenantmig::client
