// How the files of a directory stand against the database: what is applied, pending, edited, gone.
#pragma once
#include "connection.hpp"
#include "migration_directory.hpp"
#include <string>
#include <vector>

namespace tenantmig::client {

enum class MigrationState {
    pending,
    partly_applied,
    applied,
    changed,      // applied or partly applied, and its file says something else than what is stored
    file_missing, // applied by up, and no file here names it
    unusable      // the file cannot be read; what it would be is not known
};

const char *state_text(MigrationState state);

struct DirectoryEntry {
    const MigrationFile *file = nullptr; // none: file_missing
    std::string migration;
    MigrationState state = MigrationState::pending;
    bool stored = false;           // in the database, applied or not
    bool differs = false;          // the stored spec is another one
    std::vector<std::string> said; // fields that differ, if they are only what is said about the migration:
                                   // description, version, monitor, exempt; else empty
    int done = 0, total = 0;
    Cell applied_at, applied_by;
    double applied_moment = 0; // seconds; 0: not all of it is applied
    long open_reviews = 0;
    std::string failed_step; // "step 2 (index): …" of the last attempt

    // Something of it is in force.
    [[nodiscard]] bool has_begun() const {
        return state == MigrationState::partly_applied || state == MigrationState::applied ||
               state == MigrationState::changed || state == MigrationState::file_missing;
    }
    // All of it is.
    [[nodiscard]] bool is_complete() const { return has_begun() && done == total; }
};

// All files in their order, then, unless they are to be ignored, migrations without a file in the order in which they
// were applied. One look: what others do meanwhile is seen by the next.
std::vector<DirectoryEntry> compare(Connection &connection, const MigrationDirectory &directory,
                                    bool ignore_missing = false);

// Files that are not complete before one that has begun.
std::vector<const DirectoryEntry *> out_of_order(const std::vector<DirectoryEntry> &entries);

// path, stored, given: what the file has changed.
Result spec_difference(Connection &connection, const MigrationFile &file);

} // namespace tenantmig::client
