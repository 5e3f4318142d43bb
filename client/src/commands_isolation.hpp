// isolate and probe: row-level security, and the proof that it holds.
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

struct ProbeOptions {
    std::optional<std::string> migration, role, tenant_root, setting;
    std::vector<std::string> tables, tenants; // none: the server's choice
    std::optional<std::string> pairs, max_tenants;
    bool no_writes = false;
    bool speed = false, measure = false; // the plans too; and the times of queries
    bool failed_only = false;
    bool all = false; // every row in a table, too
};

struct IsolateOptions {
    std::vector<std::string> tables, roles;
    std::optional<std::string> tenant_root, setting, super_role, null_keys;
    bool no_force = false;
    bool criteria = false; // only show what has to hold
    std::string name = "isolation";
};

// commands_isolation.cpp: status 4 with a failed probe that is not exempt, or if nothing was proved.
ExitStatus probe(const GlobalOptions &global, const ProbeOptions &options);

// Status 4 if a criterion is open.
ExitStatus isolate(const GlobalOptions &global, const IsolateOptions &options);

// arguments_isolation.cpp
void add_isolation_commands(CLI::App &app, CommandLine &line);

} // namespace tenantmig::client
