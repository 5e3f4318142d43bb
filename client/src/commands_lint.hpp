// lint and bench: checks of a schema, and times of queries.
#pragma once
#include "commands.hpp"
#include <optional>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace tenantmig::client {

struct CommandLine;

struct LintOptions {
    std::string root;
    std::vector<std::string> schemas; // none: the server's choice
    std::optional<std::string> migration, tenant_key;
    bool no_data = false;
    std::string format; // table, json, csv, sarif or junit; empty: that of all commands
    std::string fail_on = "error";
    std::string output; // empty: standard output
};

// commands_lint.cpp: status 4 with findings that count.
ExitStatus lint(const GlobalOptions &global, const LintOptions &options);

// commands_bench.cpp: status 4 if a query has failed its target, its index or altogether.
ExitStatus bench(const GlobalOptions &global, const std::string &file);

// arguments_lint.cpp
void add_lint_commands(CLI::App &app, CommandLine &line);

} // namespace tenantmig::client
