#include "directory_check.hpp"
#include "core/error.hpp"
#include "input_file.hpp"
#include "messages.hpp"
#include "spec_check.hpp"
#include "text.hpp"
#include <algorithm>
#include <fmt/format.h>

namespace tenantmig::client {

namespace {

// A line each on standard error: path, stored, given.
void show_difference(const Result &difference) {
    std::size_t width = 0;
    for (const auto &row : difference.rows)
        width = std::max(width, display_width(printable(row[0].value_or(""))));
    for (const auto &row : difference.rows) {
        const std::string path = printable(row[0].value_or(""));
        messages::show_remark(fmt::format("  {}{}  stored: {}", path, std::string(width - display_width(path), ' '),
                                          row[1].value_or("(nothing)")));
        messages::show_remark(fmt::format("  {}   given: {}", std::string(width, ' '), row[2].value_or("(nothing)")));
    }
}

} // namespace

void refuse_changed(Connection &connection, const DirectoryEntry &entry) {
    const Result difference = spec_difference(connection, *entry.file);
    messages::show_remark(fmt::format("\"{}\" differs from what was applied:", entry.file->file));
    show_difference(difference);
    std::string first;
    if (!difference.rows.empty()) {
        const auto &row = difference.rows.front();
        first =
            fmt::format("{}: {} was applied, {} is in the file{}.", row[0].value_or(""), row[1].value_or("nothing"),
                        row[2].value_or("nothing"),
                        difference.rows.size() == 1 ? "" : fmt::format("; and {} more", difference.rows.size() - 1));
    }
    throw ClientError(
        ExitStatus::findings,
        ErrorText{fmt::format("migration \"{}\" was changed after it was applied", entry.migration), first,
                  fmt::format("put the file back as it was and write a new migration for the change, or, where the "
                              "steps may be taken back, tenantmig down {}  first",
                              shell_word(entry.migration)),
                  core::sqlstate::migration_edited,
                  entry.file->spec.location(difference.rows.empty() ? "" : difference.rows[0][0].value_or(""))});
}

void refuse_changed(Connection &connection, const std::vector<DirectoryEntry> &entries) {
    for (const DirectoryEntry &entry : entries)
        if (entry.state == MigrationState::changed && entry.is_complete()) refuse_changed(connection, entry);
}

namespace {

void send(Connection &connection, const DirectoryEntry &entry) {
    send_spec(connection,
              entry.stored ? "SELECT tenantmig.replace_migration($1::pg_catalog.jsonb)"
                           : "SELECT tenantmig.create_migration($1::pg_catalog.jsonb)",
              entry.file->spec);
}

// Outside of the transaction that has failed: the difference is asked for.
[[noreturn]] void explain(Connection &connection, const DirectoryEntry &entry, const ClientError &error) {
    ErrorText text = error.text();
    if (text.location.empty()) text.location = input_name(entry.file->path);
    if (text.state != core::sqlstate::migration_edited) throw ClientError(error.status(), text);
    messages::show_remark(fmt::format("\"{}\" differs from what is stored:", entry.file->file));
    show_difference(spec_difference(connection, *entry.file));
    throw ClientError(ExitStatus::findings, text);
}

} // namespace

void store(Connection &connection, const DirectoryEntry &entry) {
    if (entry.stored && !entry.differs) return;
    try {
        send(connection, entry);
    } catch (const ClientError &error) {
        explain(connection, entry, error);
    }
}

void undone(Connection &connection, const std::function<void()> &body) {
    connection.query("BEGIN");
    try {
        body();
    } catch (const ClientError &error) {
        if (error.status() != ExitStatus::connection && error.status() != ExitStatus::interrupted)
            connection.query("ROLLBACK");
        throw;
    }
    connection.query("ROLLBACK");
}

void try_to_store(Connection &connection, const DirectoryEntry &entry) {
    if (entry.stored && !entry.differs) return;
    try {
        undone(connection, [&] { send(connection, entry); });
    } catch (const ClientError &error) {
        explain(connection, entry, error);
    }
}

std::vector<const DirectoryEntry *> find_said_only(std::vector<DirectoryEntry> &entries) {
    std::vector<const DirectoryEntry *> found;
    for (DirectoryEntry &entry : entries) {
        if (entry.state != MigrationState::changed || !entry.is_complete() || entry.said.empty()) continue;
        entry.state = MigrationState::applied;
        found.push_back(&entry);
    }
    return found;
}

void take_over(Connection &connection, const std::vector<const DirectoryEntry *> &entries, bool dry_run) {
    for (const DirectoryEntry *entry : entries) {
        if (!dry_run) store(connection, *entry);
        messages::show_remark(fmt::format("\"{}\": {} {} taken over; its steps stay as they were applied",
                                          entry->file->file, fmt::join(entry->said, ", "),
                                          dry_run                   ? "would be"
                                          : entry->said.size() == 1 ? "is"
                                                                    : "are"));
    }
}

void show_remarks(const MigrationDirectory &directory) {
    for (const std::string &remark : directory.remarks)
        messages::show_remark("warning: " + remark);
}

LabelWidths widths_of(const std::vector<const DirectoryEntry *> &entries) {
    LabelWidths widths;
    for (const DirectoryEntry *entry : entries) {
        if (entry->file != nullptr) widths.file = std::max(widths.file, display_width(printable(entry->file->file)));
        widths.name = std::max(widths.name, display_width(printable(entry->migration)));
    }
    return widths;
}

} // namespace tenantmig::client
