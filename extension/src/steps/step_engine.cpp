#include "steps/step_engine.hpp"
#include "core/excerpt.hpp"
#include "core/undo_text.hpp"

#include <nlohmann/json.hpp>

#include "bridge/results.hpp"
#include "catalog/enforcement_store.hpp"
#include "catalog/report_archive.hpp"
#include "catalog/run_store.hpp"
#include "engine/reach.hpp"
#include "steps/enforce.hpp"
#include "steps/guard.hpp"
#include "steps/lock_patience.hpp"
#include "steps/online.hpp"

namespace tenantmig {

namespace {
constexpr std::int64_t share_of_timeout = 800; // 80 % of a millisecond, in microseconds

MigrationRecord scoped(const MigrationRecord &migration, std::vector<int> steps) {
    MigrationRecord record = migration;
    record.scope = std::move(steps);
    return record;
}

// What is left of the CALL's time, in microseconds; 0: there is no limit.
std::int64_t time_left() {
    if (StatementTimeout <= 0) return 0;
    const std::int64_t spent = GetCurrentTimestamp() - GetCurrentStatementStartTimestamp();
    return std::max<std::int64_t>(USECS_PER_SEC / 10, StatementTimeout * share_of_timeout - spent);
}

// Runs about one of these steps that have not been taken back, the newest first.
std::vector<std::int64_t> runs_about(const MigrationRecord &migration, const std::vector<int> &steps) {
    Rows rows = own_query("SELECT id FROM tenantmig.run_log WHERE migration_id = $1 AND state <> 'rolled_back' AND "
                          "(steps IS NULL OR steps && $2) ORDER BY id DESC",
                          {bigint_value(migration.id), steps_value(steps)});
    std::vector<std::int64_t> runs;
    for (std::size_t i = 0; i < rows.size(); i++)
        runs.push_back(rows.bigint(i, 1));
    return runs;
}

void log_run(StepContext &context, std::int64_t run) {
    nlohmann::json log = {{"run", run}};
    context.transactions.run(false, [&] {
        const RunRecord record = get_run(run);
        log["rows"] = record.row_done;
        log["assigned"] = record.assigned;
        log["open"] = record.conflicts + record.orphans + record.unknown;
    });
    context.log = log.dump();
}

class BackfillAdapter : public Step {
public:
    explicit BackfillAdapter(int number) : number_(number) {}
    void check(const MigrationRecord & /*migration*/, NameBook & /*names*/) override {} // resolve_segment() has
    std::vector<PlanRow> plan(const MigrationRecord & /*migration*/) override { return {}; }
    bool applied(const MigrationRecord &migration, const StepState & /*state*/) override {
        const auto run = latest_run_of_step(migration.id, number_, false);
        return run && run->state == "completed" && !undo_started(run->id);
    }
    void check_down(const MigrationRecord &migration, const StepState & /*state*/) override {
        for (std::int64_t run : runs_about(migration, {number_}))
            if (auto at = log_purged_at(run))
                throw Error(sqlstate::no_way_back, fmt::format("step {} (backfill) has no way back", number_),
                            fmt::format("The change log of run {} was purged at {}.", run, *at),
                            "Restore a backup, or take back the steps after it only (to_step).");
    }
    bool up(StepContext &context) override { return run_backfills(context, {number_}).changed; }
    bool down(StepContext &context) override { return undo_backfills(context, {number_}).changed; }
    std::vector<CheckRow> verify(const MigrationRecord & /*migration*/, const StepState & /*state*/) override {
        return {};
    }

private:
    int number_;
};

class GuardAdapter : public Step {
public:
    explicit GuardAdapter(int number) : number_(number) {}
    void check(const MigrationRecord & /*migration*/, NameBook & /*names*/) override {}
    std::vector<PlanRow> plan(const MigrationRecord & /*migration*/) override { return {}; }
    bool applied(const MigrationRecord &migration, const StepState & /*state*/) override {
        return !own_query("SELECT 1 FROM tenantmig.guard WHERE migration_id = $1 AND step = $2",
                          {bigint_value(migration.id), int_value(number_)})
                    .empty();
    }
    bool up(StepContext &context) override {
        return change(context, [&](const MigrationRecord &migration) {
            const auto outcomes = attach_guards(migration, number_);
            return std::any_of(outcomes.begin(), outcomes.end(),
                               [](const GuardOutcome &guard) { return guard.outcome != "unchanged"; });
        });
    }
    bool down(StepContext &context) override {
        return change(context,
                      [&](const MigrationRecord &migration) { return !detach_guards(migration, number_).empty(); });
    }
    std::vector<CheckRow> verify(const MigrationRecord & /*migration*/, const StepState & /*state*/) override {
        return {};
    }

private:
    int number_;

    // A trigger takes SHARE ROW EXCLUSIVE for a moment.
    static bool change(StepContext &context, const std::function<bool(const MigrationRecord &)> &work) {
        bool changed = false;
        LockPatience(::LockTimeout).insist(context.label(), [&](int timeout) {
            context.transactions.run(
                true,
                [&] {
                    if (!context.lock.keep())
                        throw Error(sqlstate::object_in_use,
                                    fmt::format("another session has begun to work on migration {}",
                                                core::excerpt(context.migration.name)),
                                    "This session has lost its lock.", "Call this again when it has ended.");
                    changed = work(get_migration(context.migration.id));
                },
                timeout);
        });
        return changed;
    }
};

class ConstraintAdapter : public Step {
public:
    explicit ConstraintAdapter(int number) : number_(number) {}
    void check(const MigrationRecord & /*migration*/, NameBook & /*names*/) override {}
    std::vector<PlanRow> plan(const MigrationRecord & /*migration*/) override { return {}; }
    bool applied(const MigrationRecord &migration, const StepState & /*state*/) override {
        bool enforced = false, unfinished = false;
        for (const EnforcementRecord &row : enforcements(migration.id, {"intended", "enforced", "relaxing"})) {
            if (row.step != number_) continue;
            (row.state == "enforced" ? enforced : unfinished) = true;
        }
        return enforced && !unfinished;
    }
    bool up(StepContext &context) override {
        const std::size_t count = enforce_scoped(context.changer, scoped(context.migration, {number_}), true);
        context.log = nlohmann::json{{"constraints", count}}.dump();
        return count > 0;
    }
    bool down(StepContext &context) override {
        const std::size_t count = relax_scoped(context.changer, scoped(context.migration, {number_}));
        context.log = nlohmann::json{{"constraints", count}}.dump();
        return count > 0;
    }
    std::vector<CheckRow> verify(const MigrationRecord & /*migration*/, const StepState & /*state*/) override {
        return {};
    }

private:
    int number_;
};

// An undo of one of these steps that has begun; 0: none.
std::int64_t open_undo(StepContext &context, const std::vector<int> &steps) {
    std::int64_t open = 0;
    context.transactions.run(false, [&] {
        for (std::int64_t run : runs_about(context.migration, steps))
            if (undo_started(run)) open = run;
    });
    return open;
}

BackfillEnd paused(const RunEnd &end, bool changed) {
    return {changed, true, end.error, end.run};
}
} // namespace

std::unique_ptr<Step> make_backfill_step(const core::BackfillStep &step) {
    return std::make_unique<BackfillAdapter>(step.number);
}

std::unique_ptr<Step> make_guard_step(const core::GuardStep &step) {
    return std::make_unique<GuardAdapter>(step.number);
}

std::unique_ptr<Step> make_constraint_step(const core::ConstraintStep &step) {
    return std::make_unique<ConstraintAdapter>(step.number);
}

BackfillEnd run_backfills(StepContext &context, const std::vector<int> &steps) {
    while (const std::int64_t run = open_undo(context, steps)) {
        const RunEnd end = undo_scoped(context.transactions, context.lock, run, time_left());
        if (end.state != "rolled_back") return paused(end, true);
    }
    OnlineOptions options;
    options.workers = context.workers;
    options.budget = time_left();
    const RunEnd end = run_scoped(context.transactions, context.lock, scoped(context.migration, steps), options);
    log_run(context, end.run);
    const std::string shows = "SELECT * FROM tenantmig.runs shows it; CALL tenantmig.up goes on.";
    if (end.state == "failed")
        throw Error(sqlstate::run_failed, fmt::format("run {} has failed", end.run), end.error, shows);
    if (end.state == "cancelled")
        throw Error(sqlstate::query_canceled, fmt::format("run {} was cancelled", end.run),
                    "Somebody called tenantmig.cancel. What it wrote stays.", shows);
    if (end.state == "paused") return paused(end, true);
    return {true, false, "", end.run};
}

BackfillEnd undo_backfills(StepContext &context, const std::vector<int> &steps) {
    std::vector<std::int64_t> runs;
    context.transactions.run(false, [&] { runs = runs_about(context.migration, steps); });
    BackfillEnd all;
    for (std::int64_t run : runs) {
        const RunEnd end = undo_scoped(context.transactions, context.lock, run, time_left());
        log_run(context, run);
        if (end.state != "rolled_back") return paused(end, true);
        all.changed = true;
        all.run = run;
    }
    return all;
}

std::vector<int> steps_undone_with(const MigrationRecord &migration, int step) {
    std::set<int> all;
    for (std::int64_t run : runs_about(migration, {step}))
        for (int other : all_steps_of_run(migration, get_run(run).steps))
            all.insert(other);
    return {all.begin(), all.end()};
}

} // namespace tenantmig
