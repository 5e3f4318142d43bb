// Command line of tenantmig. This file and those called arguments_* know CLI11, which takes long to compile; no other.
#include "client_error.hpp"
#include "command_line.hpp"
#include "commands_isolation.hpp"
#include "commands_lint.hpp"
#include "core/error.hpp"
#include "interrupt.hpp"
#include "log_file.hpp"
#include "messages.hpp"
#include <CLI/CLI.hpp>
#include <charconv>
#include <cstdio>
#include <fmt/format.h>
#include <new>

namespace tenantmig::client {

CLI::App *command(CLI::App &parent, CommandLine &line, const char *name, const char *help,
                  std::function<ExitStatus()> call) {
    CLI::App *app = parent.add_subcommand(name, help);
    app->callback([&line, call = std::move(call)] { line.chosen = call; });
    return app;
}

void add_word(CLI::App *app, const char *name, std::string &value, const char *type, const char *help, bool required) {
    app->add_option(name, value, help)->required(required)->type_name(type);
}

CLI::Validator a_number(const char *what, double lowest, double highest) {
    const auto check = [what, lowest, highest](const std::string &text) -> std::string {
        double number = 0;
        const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
        const bool whole = lowest < 1 || text.find('.') == std::string::npos;
        if (parsed.ec == std::errc() && parsed.ptr == text.data() + text.size() && whole && number >= lowest &&
            number <= highest)
            return {};
        return fmt::format("\"{}\" is not {}", text, what);
    };
    return {check, ""};
}

} // namespace tenantmig::client

namespace {

using namespace tenantmig::client;

constexpr const char *exit_statuses =
    "Exit status: 0 done, 1 failure, 2 no connection, 3 usage or bad input file, 4 findings (a check of preflight or "
    "a\n"
    "guard failed, a probe came through, a rollback left rows alone, health is YELLOW), 5 reviews are open or the "
    "gate\n"
    "is closed, 6 paused, 7 verification mismatch or health is RED, 130 interrupted.\n";

void add_target(CLI::App *app, Target &target) {
    app->add_option("spec-or-migration", target.text,
                    "A spec file (*.yaml, *.yml, *.json, a path with /, or -) or a migration")
        ->required()
        ->type_name("SPEC|MIGRATION");
    app->add_flag("--name", target.is_name, "It is a migration's name, even if it looks like a file");
}

// CLI11's message in our style; an unknown command is called that, which CLI11 only does where none is required.
std::string parse_problem(const CLI::App &app, const CLI::ParseError &error) {
    const std::vector<std::string> unknown = app.remaining(true);
    if (dynamic_cast<const CLI::RequiredError *>(&error) != nullptr && !unknown.empty())
        return fmt::format("\"{}\" is not a command", unknown.front());
    std::string text = error.what();
    if (text == "A subcommand is required") return "a command is required";
    if (text.starts_with("A ")) text.front() = 'a';
    if (text.starts_with("The ")) text.front() = 't';
    return text;
}

void add_globals(CLI::App &app, CommandLine &line) {
    GlobalOptions &global = line.global;
    app.add_option("-h,--host", global.connect.host, "Server's host name or socket folder")->type_name("HOST");
    app.add_option("-p,--port", global.connect.port, "Server's port")->type_name("PORT");
    app.add_option("-U,--username", global.connect.user, "Role to connect as")->type_name("NAME");
    app.add_option("-d,--dbname", global.connect.database, "Database: a name, a URI or a conninfo string")
        ->type_name("DBNAME");
    app.add_flag("-w,--no-password", global.connect.no_password, "Never ask for a password");
    app.add_option("--format", line.format, "Format of results: table, json, csv")
        ->check(CLI::IsMember({"table", "json", "csv"}).description(""))
        ->type_name("FORMAT");
    app.add_flag("--json", line.json, "The same as --format json");
    app.add_flag("-q,--quiet", global.quiet, "Only results and errors: no progress, no notices, no remarks");
}

void add_reconnect(CLI::App *app, int &seconds) {
    app->add_option("--reconnect", seconds, "Seconds for which a lost connection is tried again (60)")
        ->check(a_number("a number of seconds", 0, 1e6))
        ->type_name("SECONDS");
}

CLI::Option *budget_option(CLI::App *app, std::optional<std::string> &budget) {
    return app->add_option("--budget", budget, "Pause when so much time is used up, such as '50 s' or '2 h'")
        ->type_name("TIME");
}

// Of runs in background workers.
std::vector<CLI::Option *> background_options(CLI::App *app, RunOptions &options) {
    add_reconnect(app, options.reconnect);
    return {app->add_option("--workers", options.workers, "Number of background workers")
                ->check(a_number("a number of workers, 1 or more", 1, 1e6))
                ->type_name("N"),
            app->add_flag("--detach", options.detach, "Print the run's number and leave it to the background")};
}

void add_spec_commands(CLI::App &app, CommandLine &line) {
    CLI::App *validate_app = command(app, line, "validate", "Check a spec file and show its steps as resolved",
                                     [&line] { return validate(line.global, line.file, line.flag); });
    add_word(validate_app, "spec", line.file, "SPEC", "YAML or JSON file, - is standard input");
    validate_app->add_flag("--offline", line.flag, "Check only the document, without a server");

    CLI::App *plan_app = command(app, line, "plan", "Show what a run would do: exact counts by outcome and source",
                                 [&line] { return plan(line.global, line.target, line.flag); });
    add_target(plan_app, line.target);
    plan_app->add_flag("--hash", line.flag, "Print only the plan's hash with its counts, for run --plan-hash");

    CLI::App *preflight_app = command(app, line, "preflight", "Checks before a run; exit status 4 if one fails",
                                      [&line] { return preflight(line.global, line.target); });
    add_target(preflight_app, line.target);

    CLI::App *run_app = command(app, line, "run",
                                "Fill the tenant keys in background workers; exit status 5 if reviews are open "
                                "afterwards, 6 if it was paused",
                                [&line] { return run(line.global, line.run); });
    RunOptions &options = line.run;
    add_target(run_app, options.target);
    CLI::Option *dry = run_app->add_flag("--dry-run", options.dry_run, "Evaluate everything, write a sample, undo it");
    CLI::Option *rows = run_app->add_option("--dry-run-rows", options.dry_run_rows, "Size of the sample (10000)");
    rows->needs(dry)->check(a_number("a number of rows, 1 or more", 1, 1e15))->type_name("N");
    run_app->add_flag("--dry-run-full", options.dry_run_full, "Write and undo all rows; leaves bloat")
        ->needs(dry)
        ->excludes(rows);
    run_app->add_option("--plan-hash", options.plan_hash, "Refuse to run if the plan is no longer this one")
        ->type_name("HASH");
    run_app
        ->add_option("--max-count-change", options.max_count_change,
                     "Share by which a count may differ from that of the plan (0.01)")
        ->check(a_number("a share, 0 or more", 0, 1e6))
        ->type_name("SHARE");
    CLI::Option *single = run_app
                              ->add_flag("--single-transaction", options.single_transaction,
                                         "Everything in one transaction, as tenantmig.backfill does")
                              ->excludes(dry);
    CLI::Option *foreground =
        run_app
            ->add_flag("--foreground", options.foreground, "In this connection, with one worker, committing by batches")
            ->excludes(dry)
            ->excludes(single);
    for (CLI::Option *option : background_options(run_app, options))
        option->excludes(dry)->excludes(single)->excludes(foreground);
    budget_option(run_app, options.budget)->excludes(dry)->excludes(single);
}

void add_review_commands(CLI::App &app, CommandLine &line) {
    CLI::App *review = app.add_subcommand("review", "Rows that need a decision");
    review->require_subcommand(1);

    CLI::App *list = command(*review, line, "list", "Show the open reviews of a migration",
                             [&line] { return review_list(line.global, line.name, line.flag); });
    add_word(list, "migration", line.name, "MIGRATION", "Its name");
    list->add_flag("--all", line.flag, "Resolved and dismissed ones too");

    CLI::App *export_app = command(*review, line, "export", "Write the open reviews as CSV, to be filled in",
                                   [&line] { return review_export(line.global, line.exported); });
    add_word(export_app, "migration", line.exported.migration, "MIGRATION", "Its name");
    export_app->add_option("--output,-o", line.exported.output, "File to write; otherwise standard output")
        ->type_name("FILE");
    export_app->add_flag("--force", line.exported.force, "Write over an existing file");
    export_app->add_flag("--bom", line.exported.byte_order_mark, "Start with a byte order mark, for Excel");

    CLI::App *import_app = command(*review, line, "import", "Apply the decisions of a CSV file, or none of them",
                                   [&line] { return review_import(line.global, line.name, line.file); });
    add_word(import_app, "migration", line.name, "MIGRATION", "Its name");
    add_word(import_app, "file", line.file, "FILE",
             "The file that review export wrote, filled in; - is standard input");

    CLI::App *resolve = command(*review, line, "resolve", "Give a row its tenant",
                                [&line] { return review_resolve(line.global, line.decision); });
    add_word(resolve, "id", line.decision.id, "ID", "Id of the review");
    add_word(resolve, "tenant", line.decision.tenant, "TENANT", "The tenant (after -- if it starts with -)");
    resolve->add_option("--note", line.decision.note, "Why")->type_name("TEXT");

    CLI::App *dismiss = command(*review, line, "dismiss", "Close a review without writing",
                                [&line] { return review_dismiss(line.global, line.decision); });
    add_word(dismiss, "id", line.decision.id, "ID", "Id of the review");
    dismiss->add_option("--note", line.decision.note, "Why")->type_name("TEXT");
}

void add_run_commands(CLI::App &app, CommandLine &line) {
    static constexpr const char *run_help = "A run's number, or latest:MIGRATION";
    CLI::App *verify_app = command(app, line, "verify", "Prove what a run did; exit status 7 if a check fails",
                                   [&line] { return verify(line.global, line.name); });
    add_word(verify_app, "migration", line.name, "MIGRATION", "Its name");

    CLI::App *rollback_app = command(app, line, "rollback", "Undo a run exactly; exit status 4 if rows were left alone",
                                     [&line] { return rollback(line.global, line.name, line.flag); });
    add_word(rollback_app, "run", line.name, "RUN", run_help);
    rollback_app->add_flag("--script", line.flag, "Only print the same undo as plain SQL");

    CLI::App *report_app = command(app, line, "report", "Report of a run, or of a migration's day", [&line] {
        if (!line.daily.migration.empty()) return daily_report(line.global, line.daily, line.report_format);
        if (line.name.empty())
            throw ClientError(ExitStatus::usage, "run is required", "",
                              "a run's number, or latest:MIGRATION; or --daily MIGRATION");
        return report(line.global, line.name, line.report_format);
    });
    CLI::Option *of_run = report_app->add_option("run", line.name, run_help)->type_name("RUN");
    CLI::Option *daily = report_app->add_option("--daily", line.daily.migration, "A day of this migration instead")
                             ->type_name("MIGRATION")
                             ->excludes(of_run);
    report_app->add_option("--day", line.daily.day, "The day; today unless given")->type_name("DATE")->needs(daily);
    report_app->add_option("--report-format", line.report_format, "markdown or json")
        ->check(CLI::IsMember({"markdown", "json"}).description(""))
        ->type_name("FORMAT");

    CLI::App *status_app =
        command(app, line, "status", "How the latest run of each migration stands; exit status 5 if reviews are open",
                [&line] { return status(line.global, line.name); });
    add_word(status_app, "migration", line.name, "MIGRATION", "All its runs, with workers and failed batches", false);
}

void add_timeout(CLI::App *app, std::optional<double> &seconds) {
    app->add_option("--timeout", seconds, "Wait no longer than so many seconds; exit status 1 then")
        ->check(a_number("a number of seconds, 0 or more", 0, 1e9))
        ->type_name("SECONDS");
}

void add_online_commands(CLI::App &app, CommandLine &line) {
    CLI::App *resume_app = command(app, line, "resume", "Go on with a paused, failed or interrupted run, as run does",
                                   [&line] { return resume(line.global, line.run); });
    add_word(resume_app, "migration", line.run.target.text, "MIGRATION", "Its name");
    background_options(resume_app, line.run);
    budget_option(resume_app, line.run.budget);

    const auto asking = [&](const char *name, const char *help,
                            ExitStatus (*call)(const GlobalOptions &, const WaitOptions &)) {
        CLI::App *asked = command(app, line, name, help, [&line, call] { return call(line.global, line.wait); });
        add_word(asked, "migration", line.wait.migration, "MIGRATION", "Its name");
        add_timeout(asked, line.wait.timeout);
        add_reconnect(asked, line.wait.reconnect);
        return asked;
    };
    for (CLI::App *asked :
         {asking("pause", "Pause the run that is under way, and wait until it is", pause),
          asking("cancel", "End a run for good, and wait until it has ended; what it wrote stands", cancel)})
        asked->add_flag("--no-wait", line.wait.no_wait, "Only ask for it");
    asking("wait", "Wait until the run has ended, with the exit statuses of run; Ctrl-C only ends the waiting", wait);

    CLI::App *undo_app =
        command(app, line, "undo", "Undo a run by batches, online; exit status 4 if rows were left alone, 6 if paused",
                [&line] { return undo(line.global, line.undo); });
    add_word(undo_app, "run", line.undo.run, "RUN", "A run's number, or latest:MIGRATION");
    budget_option(undo_app, line.undo.budget);

    CLI::App *pace_app = command(app, line, "pace", "Show or change how hard a run may work, also while it does",
                                 [&line] { return pace(line.global, line.name, line.settings); });
    add_word(pace_app, "migration", line.name, "MIGRATION", "Its name");
    pace_app->add_option("settings", line.settings, "Settings; null is the default again")->type_name("KEY=VALUE");
}

int as_int(ExitStatus status) {
    return static_cast<int>(status);
}

int execute(const CommandLine &line) {
    try {
        if (line.log) log_file::open(*line.log);
        const int status = as_int(line.chosen());
        return log_file::failed() && status == 0 ? as_int(ExitStatus::failure) : status;
    } catch (const ClientError &error) {
        messages::show_error(error.text());
        return as_int(error.status());
    } catch (const tenantmig::core::Error &error) {
        messages::show_error({error.message(), error.detail(), error.hint(), error.state(), ""});
    } catch (const std::bad_alloc &) {
        messages::show_error({"out of memory", "", "", "", ""});
    } catch (const std::exception &error) {
        messages::show_error({error.what(), "", "this is a defect of tenantmig's client", "", ""});
    }
    return as_int(ExitStatus::failure);
}

int parse_and_execute(int argc, char **argv) {
    CommandLine line;
    CLI::App app{"tenantmig: retrofit multi-tenancy to tables that already hold data", "tenantmig"};
    app.set_help_flag("--help", "Show this help; after a command, that of the command");
    app.set_version_flag("--version", "tenantmig " TENANTMIG_VERSION);
    app.footer(exit_statuses);
    app.require_subcommand(1);
    app.fallthrough(); // global options may stand after the command; subcommands inherit this
    add_globals(app, line);
    add_spec_commands(app, line);
    add_review_commands(app, line);
    add_run_commands(app, line);
    add_online_commands(app, line);
    add_gate_commands(app, line);
    add_monitor_commands(app, line);
    add_isolation_commands(app, line);
    add_lint_commands(app, line);
    add_directory_commands(app, line);
    add_backup_commands(app, line); // adds to up
    add_rehearse_commands(app, line);

    try {
        app.parse(argc, argv);
    } catch (const CLI::Success &success) { // --help and --version
        app.exit(success);
        return as_int(ExitStatus::done);
    } catch (const CLI::ParseError &error) {
        messages::show_error({parse_problem(app, error), "", "tenantmig --help, or tenantmig COMMAND --help", "", ""});
        return as_int(ExitStatus::usage);
    }
    line.global.format = line.json || line.format == "json" ? Format::json
                         : line.format == "csv"             ? Format::csv
                                                            : Format::table;
    messages::set_quiet(line.global.quiet);
    return execute(line);
}

} // namespace

int main(int argc, char **argv) {
    try {
        interrupt::install();
        return parse_and_execute(argc, argv);
    } catch (...) { // only memory can be short before and after execute()
        std::fputs("error: out of memory\n", stderr);
        return as_int(ExitStatus::failure);
    }
}
