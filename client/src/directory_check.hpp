// What has to fit together before a directory's migrations are applied or taken back.
#pragma once
#include "commands_directory.hpp"

namespace tenantmig::client {

// Migrations as the command line names them: all of a directory, or one.
struct DirectoryPlan {
    MigrationDirectory directory;
    std::vector<DirectoryEntry> entries;
    bool single = false; // one file: order and others do not matter
};

// The difference between a file and what is stored, on standard error, and TM017 with status 4.
[[noreturn]] void refuse_changed(Connection &connection, const DirectoryEntry &entry);

// Refuses files that were changed since they were applied as a whole. One that is applied partly is the server's to
// judge: what has not begun may differ.
void refuse_changed(Connection &connection, const std::vector<DirectoryEntry> &entries);

// Applied migrations whose files differ in nothing but what is said about them. They count as applied from then on.
std::vector<const DirectoryEntry *> find_said_only(std::vector<DirectoryEntry> &entries);
// Stores what their files say, and tells.
void take_over(Connection &connection, const std::vector<const DirectoryEntry *> &entries, bool dry_run);

// Stores the file's spec, or puts it in the place of the stored one; TM017 as above.
void store(Connection &connection, const DirectoryEntry &entry);

// The same, undone: whether the server would take it.
void try_to_store(Connection &connection, const DirectoryEntry &entry);

// Says on standard error what looks wrong and is not refused.
void show_remarks(const MigrationDirectory &directory);

// Widths of file names and names of migrations, for lines that line up.
struct LabelWidths {
    std::size_t file = 0, name = 0;
};
LabelWidths widths_of(const std::vector<const DirectoryEntry *> &entries);

// Called in a transaction of its own that is undone whatever happens.
void undone(Connection &connection, const std::function<void()> &body);

} // namespace tenantmig::client
