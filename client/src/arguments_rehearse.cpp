// Arguments of rehearse.
#include "client_error.hpp"
#include "command_line.hpp"

namespace tenantmig::client {

void add_rehearse_commands(CLI::App &app, CommandLine &line) {
    RehearseOptions &options = line.rehearse;
    CLI::App *rehearse_app = command(
        app, line, "rehearse",
        "Take migrations up and down in a copy of the database; exit status 0 only if every scenario passes, 7 if "
        "something differs from what it was, 4 for other failures",
        [&line] { return rehearse(line.global, line.rehearse); });
    add_word(rehearse_app, "spec", options.file, "SPEC|DIRECTORY", "A spec file, or a directory of migrations");
    CLI::Option *dsn = rehearse_app
                           ->add_option("--rehearsal-dsn", options.rehearsal_dsn,
                                        "An empty database to make the copy in, instead of a throw-away cluster")
                           ->type_name("CONNINFO");
    CLI::Option *filled =
        rehearse_app->add_flag("--filled", options.filled, "It holds a copy already; it is left as it was")->needs(dsn);
    rehearse_app->add_flag("--same-server", options.same_server, "In a new database on the same server")->excludes(dsn);
    CLI::Option *schema_only =
        rehearse_app->add_flag("--schema-only", options.schema_only, "Copy no rows; generate some instead")
            ->excludes(filled);
    rehearse_app->add_option("--rows", options.rows, "So many rows for each table (100)")
        ->check(a_number("a number of rows, 1 or more", 1, 1e7))
        ->type_name("N")
        ->needs(schema_only);
    rehearse_app->add_option("--workers", options.workers, "Background workers of each run")
        ->check(a_number("a number of workers, 1 or more", 1, 64))
        ->type_name("N");
    rehearse_app->add_option("--report", options.report, "Write a report in Markdown")->type_name("FILE");
    rehearse_app->add_flag("--keep", options.keep, "Leave the copy, and say where it is");
    rehearse_app->add_option("--pg-bindir", options.programs, "Folder of pg_dump, pg_restore and initdb")
        ->type_name("DIR");
}

} // namespace tenantmig::client
