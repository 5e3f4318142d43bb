// A directory of migrations: one spec a file, *.yaml, *.yml and *.json, in the order of the files' names.
#pragma once
#include "client_error.hpp"
#include "core/spec.hpp"
#include "spec_file.hpp"
#include <optional>
#include <string>
#include <vector>

namespace tenantmig::client {

struct MigrationFile {
    std::string file; // its name, without the directory
    std::string path;
    SpecFile spec;
    core::Spec parsed;
    std::string migration;            // empty if there is a problem
    std::optional<ErrorText> problem; // why it cannot be used
};

struct MigrationDirectory {
    std::string path;
    std::vector<MigrationFile> files; // by name, byte by byte, as `LC_ALL=C ls` has them
    std::vector<std::string> remarks; // what looks wrong but isn't refused
};

// Reads all files, also when some are wrong. Files whose name begins with a dot, folders and other files are passed
// over. Status 3: no such directory, or no migration in it.
MigrationDirectory read_directory(const std::string &path, bool sql_files_anywhere);

// One file as a directory of its own.
MigrationDirectory read_single(const std::string &path, bool sql_files_anywhere);

// Throws the first problem, with status 3.
void require_sound(const MigrationDirectory &directory);

// Position of the migration with this name, else of the file with this name, with or without its ending; status 3 if
// there is none.
std::size_t position_of(const MigrationDirectory &directory, const std::string &name);

} // namespace tenantmig::client
