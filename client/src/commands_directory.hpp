// up, down, status, new, validate: migrations as files of a directory, and single ones in the database.
#pragma once
#include "commands.hpp"
#include "directory_state.hpp"
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace tenantmig::client {

struct DirectoryOptions {
    std::string path = "migrations";
    bool given = false;              // on the command line
    bool sql_files_anywhere = false; // {file: …} may lead out of the directory
    bool ignore_missing = false;     // applied migrations without a file are somebody else's
};

// Called before the first change of an up, with the names of what will be applied, in order; they may not be in the
// database yet. Throws to stop it.
using BeforeFirstChange = std::function<void(const GlobalOptions &global, Connection &connection,
                                             const std::vector<std::string> &migrations)>;

struct UpOptions {
    DirectoryOptions directory;
    Target target;                             // one migration or file; empty: the directory
    std::optional<std::string> to;             // the last one to apply
    std::optional<std::string> to_step, steps; // of the one migration
    std::optional<std::string> workers;
    bool maintenance = false, dry_run = false, out_of_order = false, no_backup = false;
    BeforeFirstChange before_first_change;                                                  // not called with no_backup
    std::function<void(Connection &connection, const std::string &migration)> after_stored; // it is in the database
};

struct DownOptions {
    DirectoryOptions directory;
    Target target;                 // a number of migrations, or one; empty: the last one
    std::optional<std::string> to; // the last one that stays
    std::optional<std::string> to_step, steps;
    bool all = false, dry_run = false;
};

struct StatusOptions {
    DirectoryOptions directory;
    std::string migration; // its runs and steps
    bool runs = false;     // of all migrations, even where there is a directory
};

struct NewOptions {
    std::string name, directory = "migrations";
};

ExitStatus up(const GlobalOptions &global, const UpOptions &options);
ExitStatus down(const GlobalOptions &global, const DownOptions &options);
ExitStatus directory_status(const GlobalOptions &global, const StatusOptions &options);
ExitStatus new_migration(const GlobalOptions &global, const NewOptions &options);
// SPEC or a directory.
ExitStatus validate_path(const GlobalOptions &global, const DirectoryOptions &options, const std::string &path,
                         bool offline);

// migration_template.cpp: a spec with one harmless step, and all kinds of steps as comments.
std::string migration_template(const std::string &name);
// The name as a part of a file's name: letters, digits, _ and -, everything else is -.
std::string file_part(const std::string &name);

} // namespace tenantmig::client
