// What main.cpp and the files that add commands to it share. Includes CLI11, which takes long to compile.
#pragma once
#include "commands.hpp"
#include "commands_backup.hpp"
#include "commands_directory.hpp"
#include "rehearsal.hpp"
#include <CLI/CLI.hpp>
#include <functional>
#include <string>
#include <vector>

namespace tenantmig::client {

// What the arguments asked for; filled by the parser, then `chosen` is called.
struct CommandLine {
    GlobalOptions global;
    Target target;
    RunOptions run;
    ExportOptions exported;
    DecisionOptions decision;
    WaitOptions wait;
    UndoOptions undo;
    ApproveOptions approval;
    BackupOptions backup;
    BackupRequest dump;
    UpBackup up_backup;
    MaintenanceOptions maintenance;
    GuardOptions guard;
    WatchEventsOptions events;
    DailyOptions daily;
    PurgeOptions purge;
    UpOptions up;
    RehearseOptions rehearse;
    DownOptions down;
    StatusOptions status;
    NewOptions made;
    std::optional<std::string> log; // a file
    std::vector<std::string> settings;
    std::string verify_folder, file, name, format = "table", report_format;
    std::optional<std::string> word;
    bool flag = false; // the one switch of a command that has one
    bool json = false;
    std::function<ExitStatus()> chosen;
};

CLI::App *command(CLI::App &parent, CommandLine &line, const char *name, const char *help,
                  std::function<ExitStatus()> call);

// A positional argument.
void add_word(CLI::App *app, const char *name, std::string &value, const char *type, const char *help,
              bool required = true);

// Checks that an option's text is a number within bounds; the server gets the text as it is.
CLI::Validator a_number(const char *what, double lowest, double highest);

// arguments_gate.cpp
void add_gate_commands(CLI::App &app, CommandLine &line);
void add_monitor_commands(CLI::App &app, CommandLine &line);

// arguments_backup.cpp
void add_backup_commands(CLI::App &app, CommandLine &line);
// arguments_directory.cpp; after the commands whose arguments it adds to
void add_directory_commands(CLI::App &app, CommandLine &line);
// arguments_rehearse.cpp
void add_rehearse_commands(CLI::App &app, CommandLine &line);

} // namespace tenantmig::client
