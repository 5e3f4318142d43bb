// up: applies pending migrations, one after the other.
#include "client_error.hpp"
#include "directory_check.hpp"
#include "interrupt.hpp"
#include "messages.hpp"
#include "migration_call.hpp"
#include "spec_check.hpp"
#include "text.hpp"
#include <algorithm>
#include <fmt/format.h>

namespace tenantmig::client {

namespace {

using Entries = std::vector<const DirectoryEntry *>;

void refuse_out_of_order(const std::vector<DirectoryEntry> &entries, bool allowed) {
    const Entries late = out_of_order(entries);
    if (late.empty()) return;
    const DirectoryEntry &first = *late.front();
    std::string later; // the first one after it that has begun
    bool passed = false;
    for (const DirectoryEntry &entry : entries) {
        passed = passed || &entry == &first;
        if (passed && &entry != &first && entry.has_begun() && entry.file != nullptr && later.empty())
            later = entry.file->file;
    }
    const std::string what = fmt::format("\"{}\" is {}, and \"{}\", which comes after it, is applied", first.file->file,
                                         state_text(first.state), later);
    if (allowed) {
        messages::show_remark("warning: " + what);
        return;
    }
    throw ClientError(ExitStatus::findings, "the migrations are out of order", what + ".",
                      "name the new file so that it comes last, or tenantmig up --out-of-order  if it does not depend "
                      "on what is applied");
}

// What is to be applied, in order, up to the position of the last one.
Entries pending_of(const DirectoryPlan &plan, std::size_t last) {
    Entries pending;
    for (std::size_t at = 0; at <= last && at < plan.entries.size(); ++at)
        if (plan.entries[at].file != nullptr && !plan.entries[at].is_complete()) pending.push_back(&plan.entries[at]);
    return pending;
}

std::vector<std::string> names_of(const Entries &entries) {
    std::vector<std::string> names;
    for (const DirectoryEntry *entry : entries)
        names.push_back(entry->migration);
    return names;
}

Call up_call(const UpOptions &options, const std::string &migration) {
    Call call{"CALL tenantmig.up($1", {migration}};
    call.add("to_step", "int4", options.to_step);
    call.add("steps", "int4", options.steps);
    call.add("workers", "int4", options.workers);
    call.add_flag("maintenance", options.maintenance);
    return call;
}

// Open reviews of what was applied: a decision is asked for, and the gate may wait for it.
ExitStatus by_reviews(Connection &connection, const std::vector<std::string> &migrations) {
    ExitStatus status = ExitStatus::done;
    const Result open = connection.query("SELECT m.migration, m.open_reviews FROM tenantmig.migrations m WHERE "
                                         "m.open_reviews OPERATOR(pg_catalog.>) 0 ORDER BY m.migration");
    for (const auto &row : open.rows) {
        const std::string name = row[0].value_or("");
        if (std::find(migrations.begin(), migrations.end(), name) == migrations.end()) continue;
        messages::show_remark(fmt::format("{} {} of \"{}\" {} open: tenantmig review list {}", row[1].value_or(""),
                                          row[1] == "1" ? "review" : "reviews", name, row[1] == "1" ? "is" : "are",
                                          shell_word(name)));
        status = ExitStatus::open_reviews;
    }
    return status;
}

// Steps that are left over: those after --to-step, or a backfill that was paused.
ExitStatus by_progress(Connection &connection, const std::string &migration, bool part_wanted) {
    const Result left = connection.query(
        "SELECT m.progress, (SELECT r.state FROM tenantmig.runs r WHERE r.migration OPERATOR(pg_catalog.=) m.migration "
        "ORDER BY r.id DESC LIMIT 1) AS run FROM tenantmig.migrations m WHERE m.migration OPERATOR(pg_catalog.=) $1",
        {migration});
    if (left.rows.empty() || left.rows[0][0] == "applied" || part_wanted) return ExitStatus::done;
    if (left.rows[0][1] == "paused") {
        messages::show_remark(
            fmt::format("the backfill of \"{}\" is paused; the same command goes on with it", migration));
        return ExitStatus::paused;
    }
    throw ClientError(ExitStatus::failure,
                      fmt::format("migration \"{}\" is {}", migration, left.rows[0][0].value_or("")), "",
                      fmt::format("tenantmig status {}  says why", shell_word(migration)));
}

// Applies them. What is printed at the end is printed too if one fails.
class Application {
public:
    Application(const GlobalOptions &global, const UpOptions &options, Connection &connection)
        : global_(global), options_(options), connection_(connection), since_(last_attempt(connection)) {}

    void apply(const Call &call, const CallLabel &label) {
        applied_.push_back(label.migration);
        call_with_label(connection_, call, label, "applied");
    }

    [[nodiscard]] const std::vector<std::string> &applied() const { return applied_; }

    void report() const {
        if (applied_.empty()) return;
        print_execution_log(execution_log(connection_, applied_, since_), global_.format);
        flush_output("the migrations are applied; see tenantmig status");
    }

    // Of an error on the way: what was done before it is worth knowing, too.
    void report_before_failure(const ClientError &error) const {
        if (error.status() == ExitStatus::connection) return;
        interrupt::take();
        try {
            report();
        } catch (const ClientError &) { // the error that comes is the one that matters
        }
    }

    ExitStatus conclude(const std::string &single) {
        report();
        if (!single.empty()) {
            const ExitStatus left = by_progress(connection_, single, options_.to_step || options_.steps);
            if (left != ExitStatus::done) return left;
        }
        return by_reviews(connection_, applied_);
    }

private:
    const GlobalOptions &global_;
    const UpOptions &options_;
    Connection &connection_;
    std::int64_t since_;
    std::vector<std::string> applied_;
};

void before_first_change(const GlobalOptions &global, const UpOptions &options, Connection &connection,
                         const std::vector<std::string> &migrations) {
    if (options.no_backup || !options.before_first_change) return;
    options.before_first_change(global, connection, migrations);
}

// How a migration stands at its turn: others may have been at work since the first look.
const DirectoryEntry &at_its_turn(const std::vector<DirectoryEntry> &entries, const DirectoryEntry &first_look,
                                  bool out_of_order) {
    for (const DirectoryEntry &now : entries) {
        if (now.file == first_look.file) return now;
        if (!now.is_complete() && now.file != nullptr && !out_of_order)
            throw ClientError(
                ExitStatus::failure,
                fmt::format("migration \"{}\" was taken back by somebody else meanwhile", now.migration),
                fmt::format("It comes before \"{}\", which was to be applied next.", first_look.migration),
                "tenantmig status  says how all of them stand");
    }
    return first_look;
}

// What was applied may have been loosened since, by hand or by a new partition. "Nothing to do" alone would be a false
// comfort.
ExitStatus still_in_force(Connection &connection, const std::vector<DirectoryEntry> &entries) {
    connection.query("SET jit = off");
    const Result reasons = connection.query(
        "SELECT h.migration, r.reason FROM tenantmig.health h, pg_catalog.unnest(h.reasons) r(reason) WHERE "
        "pg_catalog.strpos(r.reason, 'CALL tenantmig.up(') OPERATOR(pg_catalog.>) 0 ORDER BY h.migration, r.reason");
    ExitStatus status = ExitStatus::done;
    for (const auto &row : reasons.rows) {
        const std::string name = row[0].value_or("");
        if (std::none_of(entries.begin(), entries.end(), [&](const auto &entry) { return entry.migration == name; }))
            continue;
        messages::show_remark(fmt::format("warning: \"{}\": {}", name, row[1].value_or("")));
        status = ExitStatus::mismatch;
    }
    return status;
}

ExitStatus apply_directory(const GlobalOptions &global, const UpOptions &options, Connection &connection,
                           const DirectoryPlan &plan, std::size_t last) {
    const Entries pending = pending_of(plan, last);
    if (pending.empty()) {
        messages::show_remark(plan.single
                                  ? fmt::format("nothing to do: \"{}\" is applied", plan.entries.front().migration)
                                  : fmt::format("nothing to do: all migrations{} are applied",
                                                options.to ? fmt::format(" up to \"{}\"", *options.to) : ""));
        return still_in_force(connection, plan.entries);
    }
    try_to_store(connection, *pending.front());
    before_first_change(global, options, connection, names_of(pending));
    const LabelWidths widths = widths_of(pending);
    Application application(global, options, connection);
    try {
        for (std::size_t number = 0; number < pending.size(); ++number) {
            const std::vector<DirectoryEntry> now = compare(connection, plan.directory, true);
            const DirectoryEntry &entry = at_its_turn(now, *pending[number], options.out_of_order || plan.single);
            if (entry.state == MigrationState::applied) {
                messages::show_remark(fmt::format("\"{}\" was applied by somebody else meanwhile", entry.migration));
                continue;
            }
            store(connection, entry);
            if (options.after_stored) options.after_stored(connection, entry.migration);
            const CallLabel label{number + 1,  pending.size(), entry.file->file, entry.migration,
                                  widths.file, widths.name,    &entry.file->spec};
            application.apply(up_call(options, entry.migration), label);
            const bool part = options.to_step || options.steps;
            if (const ExitStatus left = by_progress(connection, entry.migration, part); left != ExitStatus::done) {
                application.report();
                return left;
            }
        }
    } catch (const ClientError &error) {
        application.report_before_failure(error);
        throw;
    }
    return application.conclude("");
}

// What each pending migration would do. One whose tables an earlier one makes cannot be planned before that is applied.
ExitStatus plan_directory(const GlobalOptions &global, Connection &connection, const DirectoryPlan &plan,
                          std::size_t last) {
    Result all;
    const Entries pending = pending_of(plan, last);
    if (!pending.empty()) try_to_store(connection, *pending.front());
    for (const DirectoryEntry *entry : pending) {
        Result steps;
        try {
            undone(connection, [&] {
                store(connection, *entry);
                steps = connection.query("SELECT $1 AS migration, p.* FROM tenantmig.plan($1) p", {entry->migration});
            });
        } catch (const ClientError &error) {
            if (entry == pending.front() || error.status() == ExitStatus::connection ||
                error.status() == ExitStatus::interrupted)
                throw;
            messages::show_remark(fmt::format("\"{}\" can be planned when what comes before it is applied: {}",
                                              entry->file->file, error.text().message));
            continue;
        }
        if (all.columns.empty()) all.columns = steps.columns;
        all.rows.insert(all.rows.end(), steps.rows.begin(), steps.rows.end());
    }
    if (pending.empty())
        messages::show_remark("nothing to do: all migrations are applied");
    else
        print_result(all, global.format);
    flush_output("a dry run leaves nothing");
    return ExitStatus::done;
}

ExitStatus up_files(const GlobalOptions &global, const UpOptions &options, DirectoryPlan plan) {
    require_sound(plan.directory);
    const std::size_t last = options.to ? position_of(plan.directory, *options.to) : plan.directory.files.size() - 1;
    show_remarks(plan.directory);
    Connection connection = connect_checked(global);
    const interrupt::Deferred deferred;
    watch_for_death(connection);
    plan.entries = compare(connection, plan.directory, plan.single || options.directory.ignore_missing);
    const std::vector<const DirectoryEntry *> said_only = find_said_only(plan.entries);
    refuse_changed(connection, plan.entries);
    if (!plan.single) refuse_out_of_order(plan.entries, options.out_of_order);
    take_over(connection, said_only, options.dry_run);
    for (const DirectoryEntry &entry : plan.entries)
        if (entry.state == MigrationState::file_missing)
            messages::show_remark(
                fmt::format("warning: migration \"{}\" is applied, and no file names it", entry.migration));
    if (options.dry_run) return plan_directory(global, connection, plan, last);
    return apply_directory(global, options, connection, plan, last);
}

// One that is in the database.
ExitStatus up_name(const GlobalOptions &global, const UpOptions &options) {
    const std::string &name = options.target.text;
    Connection connection = connect_checked(global);
    const interrupt::Deferred deferred;
    watch_for_death(connection);
    if (options.dry_run) {
        print_result(connection.query("SELECT * FROM tenantmig.plan($1)", {name}), global.format);
        flush_output("a dry run leaves nothing");
        return ExitStatus::done;
    }
    const Result standing = connection.query(
        "SELECT m.progress FROM tenantmig.migrations m WHERE m.migration OPERATOR(pg_catalog.=) $1", {name});
    if (standing.rows.empty()) no_such_migration(name);
    if (standing.rows[0][0] != "applied") before_first_change(global, options, connection, {name});
    Application application(global, options, connection);
    try {
        CallLabel label;
        label.migration = name;
        application.apply(up_call(options, name), label);
    } catch (const ClientError &error) {
        application.report_before_failure(error);
        throw;
    }
    return application.conclude(name);
}

} // namespace

ExitStatus up(const GlobalOptions &global, const UpOptions &options) {
    if (options.target.text.empty())
        return up_files(global, options,
                        {read_directory(options.directory.path, options.directory.sql_files_anywhere), {}, false});
    if (!is_file(options.target)) return up_name(global, options);
    DirectoryPlan plan{read_single(options.target.text, options.directory.sql_files_anywhere), {}, true};
    return up_files(global, options, std::move(plan));
}

} // namespace tenantmig::client
