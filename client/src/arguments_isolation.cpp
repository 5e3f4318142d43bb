// Arguments of isolate and probe.
#include "command_line.hpp"
#include "commands_isolation.hpp"
#include <memory>

namespace tenantmig::client {

namespace {

CLI::Option *several(CLI::Option *option, const char *type) {
    return option->type_name(type)->expected(1)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

void add_isolate(CLI::App &app, CommandLine &line) {
    const auto options = std::make_shared<IsolateOptions>();
    CLI::App *isolate_app =
        command(app, line, "isolate", "Row-level security for tables; exit status 4 if a criterion is open",
                [&line, options] { return isolate(line.global, *options); });
    isolate_app->add_option("tables", options->tables, "The tables")->type_name("TABLE");
    several(isolate_app->add_option("--role", options->roles, "Role of the application; may be repeated"), "ROLE");
    isolate_app->add_option("--tenant-root", options->tenant_root, "The table with one row per tenant")
        ->type_name("TABLE");
    isolate_app->add_option("--setting", options->setting, "Setting that names the tenant (tenantmig.tenant)")
        ->type_name("NAME");
    isolate_app->add_option("--super-role", options->super_role, "Role that sees the rows of all tenants")
        ->type_name("ROLE");
    isolate_app->add_option("--null-keys", options->null_keys, "Rows without a tenant: refuse, or hide them")
        ->check(CLI::IsMember({"refuse", "hide"}).description(""))
        ->type_name("WHAT");
    isolate_app->add_flag("--no-force", options->no_force, "Leave the owner of the tables out of it");
    isolate_app->add_option("--name", options->name, "Name of the migration that this makes (isolation)")
        ->type_name("NAME");
    isolate_app->add_flag("--criteria", options->criteria,
                          "Only show what has to hold, of the migration --name; nothing is changed");
}

void add_probe(CLI::App &app, CommandLine &line) {
    const auto options = std::make_shared<ProbeOptions>();
    CLI::App *probe_app = command(app, line, "probe",
                                  "Attack the isolation of tenants as the application's role; exit status 4 if an "
                                  "attack succeeds",
                                  [&line, options] { return probe(line.global, *options); });
    probe_app->add_option("migration", options->migration, "Its isolate steps say tables, roles and setting")
        ->type_name("MIGRATION");
    probe_app->add_option("--role", options->role, "Role of the application")->type_name("ROLE");
    several(probe_app->add_option("--table", options->tables, "Only this table; may be repeated"), "TABLE");
    several(probe_app->add_option("--tenant,--tenants", options->tenants, "Only these tenants; may be repeated"),
            "TENANT");
    probe_app->add_option("--tenant-root", options->tenant_root, "The table with one row per tenant")
        ->type_name("TABLE");
    probe_app->add_option("--setting", options->setting, "Setting that names the tenant (tenantmig.tenant)")
        ->type_name("NAME");
    probe_app->add_option("--pairs", options->pairs, "Pairs of tenants that attack each other on each table (2)")
        ->check(a_number("a number of pairs, 1 or more", 1, 1e6))
        ->type_name("N");
    probe_app->add_option("--max-tenants", options->max_tenants, "Tenants whose rows are counted one by one (1000)")
        ->check(a_number("a number of tenants, 1 or more", 1, 1e9))
        ->type_name("N");
    probe_app->add_flag("--no-writes", options->no_writes, "No attacks that write, although each is undone");
    probe_app->add_flag("--speed", options->speed, "Check the plans of queries under the policies, too");
    probe_app->add_flag("--measure", options->measure, "With --speed: the queries are executed and timed");
    probe_app->add_flag("--all", options->all, "Show every probe; a table has those that did not pass, two of a kind");
    probe_app->add_flag("--failed-only", options->failed_only, "Show only what failed and is not exempt");
}

} // namespace

void add_isolation_commands(CLI::App &app, CommandLine &line) {
    add_isolate(app, line);
    add_probe(app, line);
}

} // namespace tenantmig::client
