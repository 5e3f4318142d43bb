// The commands. Each takes what was asked for, makes its calls to the server, prints, and returns the exit status;
// everything that goes wrong is a ClientError.
#pragma once
#include "connection.hpp"
#include "exit_status.hpp"
#include "output.hpp"
#include <optional>
#include <string>

namespace tenantmig::client {

struct GlobalOptions {
    ConnectOptions connect;
    Format format = Format::table;
    bool quiet = false;
};

// SPEC|NAME on the command line.
struct Target {
    std::string text;
    bool is_name = false; // --name: a migration, even if it looks like a file
};

struct RunOptions {
    Target target;
    bool dry_run = false, dry_run_full = false;
    std::optional<std::string> dry_run_rows, plan_hash, max_count_change;
};

struct ExportOptions {
    std::string migration;
    std::string output; // empty: standard output
    bool force = false; // overwrite the file
    bool byte_order_mark = false;
};

struct DecisionOptions {
    std::string id, tenant;
    std::optional<std::string> note;
};

// A connection whose server has been checked.
Connection connect_checked(const GlobalOptions &global);

// A run's number from NUMBER or latest:MIGRATION. Status 3: neither of the two; 1: no such migration, or no run.
std::string resolve_run(Connection &connection, const std::string &text);

// commands_spec.cpp
ExitStatus validate(const GlobalOptions &global, const std::string &spec, bool offline);
ExitStatus plan(const GlobalOptions &global, const Target &target, bool hash_only);
ExitStatus preflight(const GlobalOptions &global, const Target &target);
ExitStatus run(const GlobalOptions &global, const RunOptions &options);

// commands_review.cpp
ExitStatus review_list(const GlobalOptions &global, const std::string &migration, bool include_closed);
ExitStatus review_export(const GlobalOptions &global, const ExportOptions &options);
ExitStatus review_import(const GlobalOptions &global, const std::string &migration, const std::string &file);
ExitStatus review_resolve(const GlobalOptions &global, const DecisionOptions &options);
ExitStatus review_dismiss(const GlobalOptions &global, const DecisionOptions &options);

// commands_run.cpp
ExitStatus verify(const GlobalOptions &global, const std::string &migration);
ExitStatus rollback(const GlobalOptions &global, const std::string &run, bool script);
ExitStatus report(const GlobalOptions &global, const std::string &run, const std::string &format);
ExitStatus status(const GlobalOptions &global, const std::string &migration);

} // namespace tenantmig::client
