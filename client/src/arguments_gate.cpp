// Arguments of the commands around the gate, guards and monitoring.
#include "command_line.hpp"

namespace tenantmig::client {

namespace {

// All that the extension sends.
const std::vector<std::string> event_kinds{"progress", "run",         "enforce", "relax", "approval", "backup",
                                           "guard",    "observation", "alert",   "drift", "purge",    "maintenance"};

CLI::App *with_migration(CLI::App *app, std::string &name, bool required = true) {
    add_word(app, "migration", name, "MIGRATION", required ? "Its name" : "Its name; all of them unless given",
             required);
    return app;
}

void add_guard_commands(CLI::App &app, CommandLine &line) {
    CLI::App *guard = app.add_subcommand("guard", "Triggers that keep new rows right");
    guard->require_subcommand(1);
    GuardOptions &options = line.guard;
    const auto step = [&](CLI::App *of) {
        of->add_option("--step", options.step, "Only this step of it")
            ->check(a_number("the number of a step", 1, 1e6))
            ->type_name("N");
    };
    const auto number = [&](CLI::App *of) {
        of->add_option("--guard", options.guard, "The guard's number")
            ->check(a_number("the number of a guard", 1, 1e18))
            ->type_name("N");
    };
    CLI::App *attach = command(*guard, line, "attach", "Attach the guards of a migration, or one by itself",
                               [&line] { return guard_attach(line.global, line.guard); });
    with_migration(attach, options.migration, false)
        ->get_option("migration")
        ->description("The migration whose guard "
                      "steps it are");
    step(attach);
    attach->add_option("--table", options.table, "Table of a guard of no migration")->type_name("TABLE");
    attach->add_option("--column", options.column, "Its column")->type_name("COLUMN");
    attach->add_option("--kind", options.kind, "prefix, tenant_key, same_tenant, reference, acyclic or immutable")
        ->type_name("KIND");
    attach->add_option("--options", options.json, "The other fields of a guard step, as a JSON object")
        ->type_name("JSON");
    attach->add_option("--set", options.settings, "One of them; may be repeated")
        ->type_name("KEY=VALUE")
        ->expected(1)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);

    CLI::App *detach = command(*guard, line, "detach", "Take guards off their tables",
                               [&line] { return guard_detach(line.global, line.guard); });
    with_migration(detach, options.migration, false)
        ->get_option("migration")
        ->description("The migration whose guards "
                      "they are");
    step(detach);
    number(detach);

    CLI::App *check = command(*guard, line, "check",
                              "Hold the rows that are there to what guards ask of new ones; exit status 4 if some fail",
                              [&line] { return guard_check(line.global, line.guard); });
    with_migration(check, options.migration, false);
    number(check);

    with_migration(command(*guard, line, "list", "Show the guards that are attached",
                           [&line] { return guard_list(line.global, line.guard); }),
                   options.migration, false);
}

void add_watch(CLI::App &app, CommandLine &line) {
    WatchEventsOptions &options = line.events;
    CLI::App *watch = command(app, line, "watch", "Show events as they come, and run a command for each",
                              [&line] { return watch_events(line.global, line.events); });
    with_migration(watch, options.migration, false);
    watch
        ->add_option("--exec", options.command,
                     "Command for each event, run by sh: the event is in its environment (TENANTMIG_EVENT, "
                     "TENANTMIG_MIGRATION, …) and on its standard input")
        ->check(CLI::Validator(
            [](const std::string &text) {
                return text.find_first_not_of(" \t\n") == std::string::npos ? "the command is empty" : std::string();
            },
            ""))
        ->type_name("CMD");
    watch->add_option("--event", options.kinds, "Only events of this kind; may be repeated")
        ->check(CLI::IsMember(event_kinds).description(""))
        ->type_name("KIND")
        ->expected(1)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
    watch->add_option("--count", options.count, "End after so many events")
        ->check(a_number("a number of events, 1 or more", 1, 1e15))
        ->type_name("N");
    watch
        ->add_option("--timeout", options.timeout,
                     "End after so many seconds; exit status 1 if --count was not reached")
        ->check(a_number("a number of seconds, 0 or more", 0, 1e9))
        ->type_name("SECONDS");
    watch
        ->add_option("--reconnect", options.reconnect,
                     "Seconds for which a lost connection is tried again (as long as it takes)")
        ->check(a_number("a number of seconds", 0, 1e6))
        ->type_name("SECONDS");
}

} // namespace

void add_gate_commands(CLI::App &app, CommandLine &line) {
    with_migration(command(app, line, "gate",
                           "What has to hold before constraints; exit status 5 if the gate is closed",
                           [&line] { return gate(line.global, line.name); }),
                   line.name);

    CLI::App *approve_app = command(app, line, "approve", "Approve a migration's constraints, as the gate asks for",
                                    [&line] { return approve(line.global, line.approval); });
    with_migration(approve_app, line.approval.migration);
    CLI::Option *note = approve_app->add_option("--note", line.approval.note, "Why")->type_name("TEXT");
    approve_app->add_flag("--revoke", line.approval.revoke, "Take one's approval back")->excludes(note);

    BackupOptions &backup = line.backup;
    CLI::App *backup_app = command(app, line, "register-backup", "Say that a backup was taken, as the gate asks for",
                                   [&line] { return register_backup(line.global, line.backup); });
    with_migration(backup_app, backup.migration);
    backup_app->add_option("--location", backup.location, "Where it is")->required()->type_name("PATH");
    backup_app->add_option("--taken-at", backup.taken_at, "When it was begun, such as '2026-11-21 03:00+00'")
        ->required()
        ->type_name("TIME");
    backup_app->add_option("--manifest", backup.manifest, "Its manifest, a JSON file; - is standard input")
        ->type_name("FILE");

    CLI::App *enforce_app = command(
        app, line, "enforce",
        "Apply a migration's constraints and prove them; exit status 5 if the gate is closed, 7 if a proof failed",
        [&line] { return enforce(line.global, line.name, line.flag); });
    with_migration(enforce_app, line.name);
    enforce_app->add_flag("--no-proofs", line.flag, "Do not try what must fail now");

    with_migration(command(app, line, "relax", "Take the constraints back, exactly",
                           [&line] { return relax(line.global, line.name); }),
                   line.name);
    with_migration(command(app, line, "prove", "Prove the constraints once more; exit status 7 if a proof failed",
                           [&line] { return prove(line.global, line.name); }),
                   line.name);
    with_migration(command(app, line, "proofs", "What was proved the last time; exit status 7 if a proof failed",
                           [&line] { return proofs(line.global, line.name); }),
                   line.name);
    add_guard_commands(app, line);
}

void add_monitor_commands(CLI::App &app, CommandLine &line) {
    CLI::App *observe_app = command(app, line, "observe",
                                    "Take a sample of how migrations fare; exit status 4 with a warning, 7 with a "
                                    "failure",
                                    [&line] { return observe(line.global, line.name, line.flag); });
    with_migration(observe_app, line.name, false);
    observe_app->add_flag("--deep", line.flag, "Compare every row with the evidence too");

    CLI::App *health_app = command(app, line, "health", "GREEN, YELLOW (exit status 4) or RED (7), and why",
                                   [&line] { return health(line.global, line.name, line.flag); });
    with_migration(health_app, line.name, false);
    health_app->add_flag("--week", line.flag, "The last 7 days, too");

    add_watch(app, line);

    CLI::App *metrics_app = command(app, line, "metrics", "Numbers in Prometheus' text format",
                                    [&line] { return metrics(line.global, line.file); });
    metrics_app->add_option("--output,-o", line.file, "File to replace at once; otherwise standard output")
        ->type_name("FILE");

    CLI::App *ddl_app = command(app, line, "ddl-watch", "Show or set what is done about ALTER TABLE that loosens",
                                [&line] { return ddl_watch(line.global, line.word); });
    ddl_app->add_option("mode", line.word, "off, warn or on")
        ->check(CLI::IsMember({"off", "warn", "on"}).description(""))
        ->type_name("MODE");

    PurgeOptions &options = line.purge;
    CLI::App *purge_app =
        command(app, line, "purge", "Delete what is old and no longer needed; shows it unless --execute",
                [&line] { return purge(line.global, line.purge); });
    purge_app->add_option("--kinds", options.kinds, "Only these, separated by commas")
        ->type_name("KIND")
        ->expected(1)
        ->delimiter(',')
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
    purge_app->add_option("--older-than", options.older_than, "In place of each kind's own time, such as '1 year'")
        ->type_name("TIME");
    CLI::Option *execute = purge_app->add_flag("--execute", options.execute, "Do it");
    purge_app->add_flag("--force", options.force, "Even what an undo would need")->needs(execute);
    purge_app->add_option("--backup-dir", options.backup_dir, "Look at the backups in this folder, too")
        ->type_name("DIR");
}

} // namespace tenantmig::client
