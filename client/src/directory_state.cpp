#include "directory_state.hpp"
#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>

namespace tenantmig::client {

namespace {

// How far the migrations are, by name; the step at fault is that of the last attempt.
constexpr const char *standing =
    "m.migration, m.progress, m.checksum, m.steps, m.open_reviews, "
    "pg_catalog.date_trunc('second', m.applied_at) AS applied_at, "
    "pg_catalog.date_part('epoch', m.applied_at) AS applied_moment, "
    "(SELECT pg_catalog.count(*) FROM tenantmig.steps s WHERE s.migration OPERATOR(pg_catalog.=) m.migration "
    "AND s.applied) AS done, "
    "(SELECT l.actor FROM tenantmig.execution_log l WHERE l.migration OPERATOR(pg_catalog.=) m.migration "
    "AND l.action OPERATOR(pg_catalog.=) 'up' ORDER BY l.id DESC LIMIT 1) AS applied_by, "
    "(SELECT pg_catalog.format('step %s (%s): %s', s.step, s.kind, pg_catalog.split_part(s.error, E'\\n', 1)) "
    "FROM tenantmig.steps s WHERE s.migration OPERATOR(pg_catalog.=) m.migration AND s.error IS NOT NULL "
    "ORDER BY s.step LIMIT 1) AS failed_step ";

void read_standing(const Result &rows, std::size_t at, DirectoryEntry &entry) {
    const auto &row = rows.rows[at];
    const auto cell = [&](const char *name) { return row[rows.column(name)]; };
    entry.stored = cell("migration").has_value();
    if (!entry.stored) return;
    const auto number = [&](const char *name) { return std::strtol(cell(name).value_or("0").c_str(), nullptr, 10); };
    entry.migration = *cell("migration");
    entry.done = static_cast<int>(number("done"));
    entry.total = static_cast<int>(number("steps"));
    entry.applied_at = cell("applied_at");
    entry.applied_by = cell("applied_by");
    entry.applied_moment = std::strtod(cell("applied_moment").value_or("0").c_str(), nullptr);
    entry.open_reviews = number("open_reviews");
    entry.failed_step = cell("failed_step").value_or("");
    const std::string progress = cell("progress").value_or("pending");
    if (progress == "applied") {
        entry.state = MigrationState::applied;
        entry.done = entry.total;
    } else if (progress == "partly applied") {
        entry.state = MigrationState::partly_applied;
    } else {
        entry.state = MigrationState::pending;
        entry.applied_by.reset(); // it was taken back again
    }
}

std::vector<std::string> only_said(const Result &difference) {
    constexpr std::string_view about[] = {"description", "version", "monitor", "exempt"};
    std::vector<std::string> fields;
    for (const auto &row : difference.rows) {
        const std::string path = row[0].value_or("");
        const std::string field = path.substr(0, path.find_first_of(".["));
        if (std::find(std::begin(about), std::end(about), field) == std::end(about)) return {};
        if (std::find(fields.begin(), fields.end(), field) == fields.end()) fields.push_back(field);
    }
    return fields;
}

void add_files(Connection &connection, const MigrationDirectory &directory, std::vector<DirectoryEntry> &entries) {
    nlohmann::json specs = nlohmann::json::array();
    for (const MigrationFile &file : directory.files)
        specs.push_back({{"name", file.migration}, {"spec", file.problem ? nlohmann::json() : file.spec.document}});
    const Result rows = connection.query(
        std::string("SELECT d.spec_checksum, ") + standing +
            "FROM (SELECT e.number, pg_catalog.jsonb_extract_path_text(e.spec, 'name') AS spec_name, "
            "tenantmig.spec_checksum(pg_catalog.jsonb_extract_path(e.spec, 'spec')) AS spec_checksum "
            "FROM pg_catalog.jsonb_array_elements($1::pg_catalog.jsonb) WITH ORDINALITY e(spec, number)) d "
            "LEFT JOIN tenantmig.migrations m ON m.migration OPERATOR(pg_catalog.=) d.spec_name ORDER BY d.number",
        {specs.dump()});
    for (std::size_t at = 0; at < directory.files.size(); ++at) {
        DirectoryEntry entry;
        entry.file = &directory.files[at];
        entry.migration = entry.file->migration;
        entry.total = static_cast<int>(entry.file->parsed.order.size());
        if (entry.file->problem) {
            entry.state = MigrationState::unusable;
        } else {
            read_standing(rows, at, entry);
            // another notation of a number changes the checksum, and nothing else
            if (entry.stored && rows.rows[at][rows.column("spec_checksum")] != rows.rows[at][rows.column("checksum")]) {
                const Result difference = spec_difference(connection, *entry.file);
                entry.differs = !difference.rows.empty();
                entry.said = only_said(difference);
            }
            if (entry.differs && entry.has_begun()) entry.state = MigrationState::changed;
        }
        entries.push_back(std::move(entry));
    }
}

void add_missing(Connection &connection, std::vector<DirectoryEntry> &entries) {
    nlohmann::json names = nlohmann::json::array();
    for (const DirectoryEntry &entry : entries)
        names.push_back(entry.migration);
    const Result rows =
        connection.query(std::string("SELECT ") + standing +
                             "FROM tenantmig.migrations m WHERE m.progress OPERATOR(pg_catalog.<>) 'pending' AND NOT "
                             "pg_catalog.jsonb_exists($1::pg_catalog.jsonb, m.migration) AND EXISTS (SELECT FROM "
                             "tenantmig.execution_log l WHERE l.migration OPERATOR(pg_catalog.=) m.migration) "
                             "ORDER BY m.applied_at, m.id",
                         {names.dump()});
    for (std::size_t at = 0; at < rows.rows.size(); ++at) {
        DirectoryEntry entry;
        read_standing(rows, at, entry);
        entry.state = MigrationState::file_missing;
        entries.push_back(std::move(entry));
    }
}

} // namespace

const char *state_text(MigrationState state) {
    switch (state) {
    case MigrationState::pending:
        return "pending";
    case MigrationState::partly_applied:
        return "partly applied";
    case MigrationState::applied:
        return "applied";
    case MigrationState::changed:
        return "changed since applied";
    case MigrationState::file_missing:
        return "applied, file missing";
    case MigrationState::unusable:
        return "unusable";
    }
    return "";
}

std::vector<DirectoryEntry> compare(Connection &connection, const MigrationDirectory &directory, bool ignore_missing) {
    std::vector<DirectoryEntry> entries;
    add_files(connection, directory, entries);
    // a file that cannot be read may be that of a migration which seems to have none
    const bool all_known = std::none_of(entries.begin(), entries.end(), [](const DirectoryEntry &entry) {
        return entry.state == MigrationState::unusable;
    });
    if (!ignore_missing && all_known) add_missing(connection, entries);
    return entries;
}

std::vector<const DirectoryEntry *> out_of_order(const std::vector<DirectoryEntry> &entries) {
    std::size_t last = 0; // that has begun, from 1
    for (std::size_t at = 0; at < entries.size(); ++at)
        if (entries[at].file != nullptr && entries[at].has_begun()) last = at + 1;
    std::vector<const DirectoryEntry *> found;
    for (std::size_t at = 0; at + 1 < last; ++at)
        if (entries[at].file != nullptr && !entries[at].is_complete() && entries[at].state != MigrationState::unusable)
            found.push_back(&entries[at]);
    return found;
}

Result spec_difference(Connection &connection, const MigrationFile &file) {
    return connection.query("SELECT d.path, d.stored, d.given FROM tenantmig.spec_difference($1, "
                            "$2::pg_catalog.jsonb) d",
                            {file.migration, file.spec.document.dump()});
}

} // namespace tenantmig::client
