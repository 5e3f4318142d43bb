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
    bool single_transaction = false, foreground = false, detach = false;
    std::optional<std::string> workers, budget;
    int reconnect = 60; // seconds for which a lost connection is tried again
};

struct WaitOptions {
    std::string migration;
    std::optional<double> timeout; // seconds
    bool no_wait = false;          // pause, cancel: only ask
    int reconnect = 60;
};

struct UndoOptions {
    std::string run;
    std::optional<std::string> budget;
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

[[noreturn]] void no_such_migration(const std::string &name);

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

// What a rollback or an undo leaves: status 4 and a remark if rows were left alone.
ExitStatus undo_outcome(const Result &outcome, const std::string &run);

// commands_online.cpp
ExitStatus run_online(const GlobalOptions &global, const RunOptions &options, Connection &connection,
                      const std::string &migration);
ExitStatus resume(const GlobalOptions &global, const RunOptions &options);
ExitStatus pause(const GlobalOptions &global, const WaitOptions &options);
ExitStatus cancel(const GlobalOptions &global, const WaitOptions &options);
ExitStatus wait(const GlobalOptions &global, const WaitOptions &options);
ExitStatus undo(const GlobalOptions &global, const UndoOptions &options);
ExitStatus pace(const GlobalOptions &global, const std::string &migration, const std::vector<std::string> &settings);

// commands_status.cpp
ExitStatus status(const GlobalOptions &global, const std::string &migration);

} // namespace tenantmig::client
