// down: takes migrations back, the last one first.
#include "client_error.hpp"
#include "directory_check.hpp"
#include "interrupt.hpp"
#include "messages.hpp"
#include "migration_call.hpp"
#include "text.hpp"
#include <algorithm>
#include <charconv>
#include <fmt/format.h>

namespace tenantmig::client {

namespace {

using Entries = std::vector<const DirectoryEntry *>;

// Nothing: it is no number.
std::optional<std::size_t> count_of(const Target &target) {
    const std::string &text = target.text;
    if (target.is_name || text.empty() || text.find_first_not_of("0123456789") != std::string::npos)
        return std::nullopt;
    std::size_t count = 0;
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), count);
    if (parsed.ec != std::errc() || count == 0)
        throw ClientError(ExitStatus::usage, fmt::format("\"{}\" is not a number of migrations", text), "",
                          "tenantmig down 2  takes back the last two, tenantmig down --all  all of them");
    return count;
}

Call down_call(const DownOptions &options, const std::string &migration) {
    Call call{"CALL tenantmig.down($1", {migration}};
    call.add("to_step", "int4", options.to_step);
    call.add("steps", "int4", options.steps);
    return call;
}

// What has begun, in the reverse of the order in which it was applied: one that is still on its way came last.
Entries begun(const std::vector<DirectoryEntry> &entries) {
    Entries found;
    for (const DirectoryEntry &entry : entries)
        if (entry.has_begun()) found.push_back(&entry);
    std::stable_sort(found.begin(), found.end(), [](const DirectoryEntry *one, const DirectoryEntry *other) {
        const bool one_under_way = one->applied_moment == 0, other_under_way = other->applied_moment == 0;
        if (one_under_way != other_under_way) return other_under_way;
        return one->applied_moment < other->applied_moment;
    });
    std::reverse(found.begin(), found.end());
    return found;
}

// Those that were asked for; of the rest, none that came later may stay.
Entries wanted(const DownOptions &options, const DirectoryPlan &plan) {
    Entries all = begun(plan.entries);
    std::size_t count = 1;
    if (options.all) {
        count = all.size();
    } else if (options.to) {
        const MigrationFile *stays = &plan.directory.files[position_of(plan.directory, *options.to)];
        const auto found =
            std::find_if(all.begin(), all.end(), [&](const DirectoryEntry *entry) { return entry->file == stays; });
        if (found == all.end())
            throw ClientError(ExitStatus::usage, fmt::format("migration \"{}\" is not applied", stays->migration),
                              "--to names the last migration that stays.",
                              "tenantmig status  lists them; tenantmig down --all  takes all of them back");
        count = static_cast<std::size_t>(found - all.begin());
    } else if (const auto number = count_of(options.target)) {
        count = *number;
    }
    if (count > all.size() && !all.empty())
        messages::show_remark(fmt::format("only {} {} applied", all.size(), all.size() == 1 ? "is" : "are"));
    all.resize(std::min(count, all.size()));
    for (const DirectoryEntry *entry : all)
        if (entry->state == MigrationState::file_missing)
            throw ClientError(
                ExitStatus::findings,
                fmt::format("migration \"{}\" is applied, and no file names it", entry->migration),
                "It would be among those that are taken back; what it does is stored in the database.",
                fmt::format("tenantmig down {}  takes it back by itself; --ignore-missing leaves such migrations alone",
                            shell_word(entry->migration)));
    return all;
}

// The steps that would be taken back, the last one first.
Result steps_to_take_back(Connection &connection, const std::string &migration) {
    return connection.query(
        "SELECT s.migration, s.step, s.kind, s.relation, s.column_name, s.state FROM tenantmig.steps "
        "s WHERE s.migration OPERATOR(pg_catalog.=) $1 AND s.state OPERATOR(pg_catalog.<>) "
        "'planned' ORDER BY s.step DESC",
        {migration});
}

void print_steps(const GlobalOptions &global, Connection &connection, const std::vector<std::string> &migrations) {
    Result all;
    for (const std::string &migration : migrations) {
        Result steps = steps_to_take_back(connection, migration);
        if (all.columns.empty()) all.columns = steps.columns;
        all.rows.insert(all.rows.end(), steps.rows.begin(), steps.rows.end());
    }
    print_result(all, global.format);
    flush_output("a dry run leaves nothing");
}

void take_back(const GlobalOptions &global, const DownOptions &options, Connection &connection,
               const Entries &entries) {
    const LabelWidths widths = widths_of(entries);
    const std::int64_t since = last_attempt(connection);
    std::vector<std::string> names;
    const auto report = [&] { print_execution_log(execution_log(connection, names, since), global.format); };
    try {
        for (std::size_t number = 0; number < entries.size(); ++number) {
            const DirectoryEntry &entry = *entries[number];
            CallLabel label{number + 1, entries.size(), "", entry.migration, widths.file, widths.name, nullptr};
            if (entry.file != nullptr) label.file = entry.file->file;
            if (entry.state == MigrationState::changed)
                messages::show_remark(
                    fmt::format("\"{}\" was changed since; what was applied is taken back", entry.file->file));
            names.push_back(entry.migration);
            call_with_label(connection, down_call(options, entry.migration), label, "taken back");
        }
    } catch (const ClientError &error) {
        if (error.status() == ExitStatus::connection) throw;
        interrupt::take();
        report();
        throw;
    }
    report();
    flush_output("the migrations are taken back; see tenantmig status");
}

ExitStatus down_name(const GlobalOptions &global, const DownOptions &options) {
    const std::string &name = options.target.text;
    Connection connection = connect_checked(global);
    const interrupt::Deferred deferred;
    watch_for_death(connection);
    if (connection.query("SELECT 1 FROM tenantmig.migrations m WHERE m.migration OPERATOR(pg_catalog.=) $1", {name})
            .rows.empty())
        no_such_migration(name);
    if (options.dry_run) {
        print_steps(global, connection, {name});
        return ExitStatus::done;
    }
    DirectoryEntry entry;
    entry.migration = name;
    take_back(global, options, connection, {&entry});
    return ExitStatus::done;
}

} // namespace

ExitStatus down(const GlobalOptions &global, const DownOptions &options) {
    const auto count = count_of(options.target);
    if (!options.target.text.empty() && !count) return down_name(global, options);
    DirectoryPlan plan{read_directory(options.directory.path, options.directory.sql_files_anywhere), {}, false};
    require_sound(plan.directory);
    Connection connection = connect_checked(global);
    const interrupt::Deferred deferred;
    watch_for_death(connection);
    plan.entries = compare(connection, plan.directory, options.directory.ignore_missing);
    const Entries entries = wanted(options, plan);
    if (entries.empty()) {
        messages::show_remark(begun(plan.entries).empty()
                                  ? "nothing to take back: no migration is applied"
                                  : fmt::format("nothing to take back: nothing was applied after \"{}\"", *options.to));
        return ExitStatus::done;
    }
    if (options.dry_run) {
        std::vector<std::string> names;
        for (const DirectoryEntry *entry : entries)
            names.push_back(entry->migration);
        print_steps(global, connection, names);
        return ExitStatus::done;
    }
    take_back(global, options, connection, entries);
    return ExitStatus::done;
}

} // namespace tenantmig::client
