#include "core/excerpt.hpp"
#include "core/rekey.hpp"
#include "core/undo_text.hpp"

#include "bridge/results.hpp"
#include "catalog/step_store.hpp"
#include "engine/reach.hpp"

namespace tenantmig {

namespace {
core::Spec whole_spec(const MigrationRecord &migration) {
    MigrationRecord whole = migration;
    whole.scope.clear();
    return migration_spec(whole);
}

// `what`: step 4 (guard) of migration "m" comes
[[noreturn]] void not_reached(const MigrationRecord &migration, const std::string &what, std::string reason) {
    reason[0] = static_cast<char>(std::toupper(reason[0]));
    throw Error(
        sqlstate::step_unfinished, what + " later", reason + ".",
        fmt::format("CALL tenantmig.up({}) takes the steps in their order.", core::sql_literal(migration.name)));
}
} // namespace

std::string step_label(int step, core::StepKind kind) {
    return fmt::format("step {} ({})", step, core::step_name(kind));
}

bool has_structural(const core::Spec &spec) {
    return std::any_of(spec.order.begin(), spec.order.end(),
                       [](const core::StepRef &step) { return core::is_structural(step.kind); });
}

bool Reach::reaches(int step) const {
    if (step > core::rekey_numbers) step /= core::rekey_numbers;
    return std::find(reached.begin(), reached.end(), step) != reached.end();
}

Reach reach_of(const MigrationRecord &migration) {
    Reach reach;
    std::string missing;
    for (const core::StepRef &step : whole_spec(migration).order) {
        if (missing.empty())
            reach.reached.push_back(step.number);
        else
            reach.later.push_back({step.number, step.kind, true, missing});
        if (!core::is_structural(step.kind)) continue;
        reach.structural = true;
        if (get_step_state(migration.id, step.number).state == "applied")
            reach.last_applied = step.number;
        else if (missing.empty())
            missing = fmt::format("{} comes first, and is not applied", step_label(step.number, step.kind));
    }
    return reach;
}

std::vector<int> steps_to_run(const MigrationRecord &migration) {
    if (!migration.scope.empty()) return migration.scope;
    const Reach reach = reach_of(migration);
    if (!reach.structural) return {};
    std::vector<int> reached, fresh;
    std::string waits;
    for (const core::BackfillStep &step : whole_spec(migration).steps) {
        if (!reach.reaches(step.number)) {
            if (waits.empty())
                for (const StepAside &later : reach.later)
                    if (later.step == step.number) waits = later.reason;
            continue;
        }
        reached.push_back(step.number);
        if (!latest_run_of_step(migration.id, step.number, true)) fresh.push_back(step.number);
    }
    if (!fresh.empty()) return fresh;
    if (!reached.empty()) return reached;
    if (!waits.empty())
        not_reached(migration, fmt::format("the backfill steps of migration {} come", core::excerpt(migration.name)),
                    waits);
    throw Error(sqlstate::prerequisite_state,
                fmt::format("migration {} has no backfill step", core::excerpt(migration.name)), "A run fills keys.",
                fmt::format("CALL tenantmig.up({}) applies its steps.", core::sql_literal(migration.name)));
}

std::vector<int> all_steps_of_run(const MigrationRecord &migration, const std::vector<int> &steps) {
    std::vector<int> all = steps;
    if (all.empty())
        for (const core::BackfillStep &step : whole_spec(migration).steps)
            all.push_back(step.number);
    std::sort(all.begin(), all.end());
    return all;
}

void require_reached(const MigrationRecord &migration, int step) {
    for (const StepAside &later : reach_of(migration).later)
        if (later.step == step)
            not_reached(
                migration,
                fmt::format("{} of migration {} comes", step_label(step, later.kind), core::excerpt(migration.name)),
                later.reason);
}

std::string later_steps(const Reach &reach) {
    if (reach.later.empty()) return {};
    std::string list;
    for (const StepAside &later : reach.later)
        list += (list.empty() ? "" : ", ") + std::to_string(later.step);
    return fmt::format("{} {} come{} later: {}", reach.later.size() == 1 ? "step" : "steps", list,
                       reach.later.size() == 1 ? "s" : "", reach.later.front().reason);
}

void tell_of_later_steps(const MigrationRecord &migration) {
    const std::string later = later_steps(reach_of(migration));
    if (!later.empty())
        notice(fmt::format("{}; CALL tenantmig.up({}) takes the steps in their order", later,
                           core::sql_literal(migration.name)));
}

} // namespace tenantmig
