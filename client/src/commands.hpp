// The commands. Each takes what was asked for, makes its calls to the server, prints, and returns the exit status;
// everything that goes wrong is a ClientError.
#pragma once
#include "connection.hpp"
#include "exit_status.hpp"
#include "output.hpp"
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

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

struct ApproveOptions {
    std::string migration;
    std::optional<std::string> note;
    bool revoke = false;
};

struct BackupOptions {
    std::string migration, location, taken_at;
    std::string manifest; // a file; empty: none
};

struct GuardOptions {
    std::string migration; // or:
    std::optional<std::string> guard, table, column, kind, json, step;
    std::vector<std::string> settings; // key=value
};

struct WatchEventsOptions {
    std::string migration;          // empty: all
    std::vector<std::string> kinds; // of events; none: all
    std::string command;            // run for each; empty: none
    std::optional<std::int64_t> count;
    std::optional<double> timeout; // seconds
    std::optional<int> reconnect;  // seconds; not given: as long as it takes
};

struct DailyOptions {
    std::string migration;
    std::optional<std::string> day;
};

struct PurgeOptions {
    std::vector<std::string> kinds; // none: all
    std::optional<std::string> older_than;
    bool execute = false, force = false;
    std::string backup_dir; // whose files are looked at, too; empty: none
};

// A connection whose server has been checked.
Connection connect_checked(const GlobalOptions &global);

// A run's number from NUMBER or latest:MIGRATION. Status 3: neither of the two; 1: no such migration, or no run.
std::string resolve_run(Connection &connection, const std::string &text);

[[noreturn]] void no_such_migration(const std::string &name);

// commands_spec.cpp
ExitStatus validate(const GlobalOptions &global, const std::string &spec, bool offline,
                    bool sql_files_anywhere = false);
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

// commands_gate.cpp
ExitStatus gate(const GlobalOptions &global, const std::string &migration);
ExitStatus approve(const GlobalOptions &global, const ApproveOptions &options);
ExitStatus register_backup(const GlobalOptions &global, const BackupOptions &options);
ExitStatus enforce(const GlobalOptions &global, const std::string &migration, bool no_proofs);
ExitStatus relax(const GlobalOptions &global, const std::string &migration);
ExitStatus prove(const GlobalOptions &global, const std::string &migration);
ExitStatus proofs(const GlobalOptions &global, const std::string &migration);

// commands_guard.cpp
ExitStatus guard_attach(const GlobalOptions &global, const GuardOptions &options);
ExitStatus guard_detach(const GlobalOptions &global, const GuardOptions &options);
ExitStatus guard_check(const GlobalOptions &global, const GuardOptions &options);
ExitStatus guard_list(const GlobalOptions &global, const GuardOptions &options);

// commands_monitor.cpp
ExitStatus observe(const GlobalOptions &global, const std::string &migration, bool deep);
ExitStatus health(const GlobalOptions &global, const std::string &migration, bool week);
ExitStatus daily_report(const GlobalOptions &global, const DailyOptions &options, const std::string &format);
ExitStatus ddl_watch(const GlobalOptions &global, const Cell &mode);
ExitStatus purge(const GlobalOptions &global, const PurgeOptions &options);

// commands_metrics.cpp
ExitStatus metrics(const GlobalOptions &global, const std::string &output);

// commands_watch.cpp
ExitStatus watch_events(const GlobalOptions &global, const WatchEventsOptions &options);

} // namespace tenantmig::client
