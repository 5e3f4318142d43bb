// Arguments of lint and bench.
#include "command_line.hpp"
#include "commands_lint.hpp"
#include <memory>

namespace tenantmig::client {

void add_lint_commands(CLI::App &app, CommandLine &line) {
    const auto options = std::make_shared<LintOptions>();
    CLI::App *lint_app = command(app, line, "lint", "Check a schema for tenancy; exit status 4 with findings",
                                 [&line, options] { return lint(line.global, *options); });
    add_word(lint_app, "root", options->root, "ROOT", "The tenant root: the table with one row per tenant");
    lint_app->add_option("--schema", options->schemas, "Look at this schema only; may be repeated")
        ->type_name("SCHEMA")
        ->expected(1)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
    lint_app->add_option("--migration", options->migration, "Only the exemptions of this migration count")
        ->type_name("MIGRATION");
    lint_app->add_option("--tenant-key", options->tenant_key, "Column of the tenant root that tenant keys refer to")
        ->type_name("COLUMN");
    lint_app->add_flag("--no-data", options->no_data, "Do not count rows: look at the schema alone");
    lint_app->add_option("--format", options->format, "table, json, csv, sarif or junit")
        ->check(CLI::IsMember({"table", "json", "csv", "sarif", "junit"}).description(""))
        ->type_name("FORMAT");
    lint_app->add_option("--fail-on", options->fail_on, "Exit status 4 from this severity on: error, or warning")
        ->check(CLI::IsMember({"error", "warning"}).description(""))
        ->type_name("SEVERITY");
    lint_app->add_option("--output,-o", options->output, "File to replace at once; otherwise standard output")
        ->type_name("FILE");

    CLI::App *bench_app =
        command(app, line, "bench", "Time queries against targets; exit status 4 if one misses its own",
                [&line] { return bench(line.global, line.file); });
    add_word(bench_app, "file", line.file, "FILE", "YAML or JSON file with the queries, - is standard input");
}

} // namespace tenantmig::client
