#include "steps/step_engine.hpp"
#include "steps/step_kinds.hpp"

namespace tenantmig {

void StepContext::save(const std::string &phase, const std::string &detail) {
    state.phase = phase;
    state.detail = detail;
    save_step_state(migration.id, ref.number, state);
}

std::string StepContext::label() const {
    return fmt::format("step {} ({})", ref.number, core::step_name(ref.kind));
}

std::unique_ptr<Step> make_step(const core::Spec &spec, const core::StepRef &ref) {
    switch (ref.kind) {
    case core::StepKind::sql:
        return make_sql_step(spec.sqls[ref.index]);
    case core::StepKind::add_column:
        return make_add_column_step(spec.added_columns[ref.index]);
    case core::StepKind::drop_column:
        return make_drop_column_step(spec.dropped_columns[ref.index]);
    case core::StepKind::index:
        return make_index_step(spec.indexes[ref.index]);
        break;
    case core::StepKind::rekey:
        return make_rekey_step(spec.rekeys[ref.index]);
    case core::StepKind::backfill:
        return make_backfill_step(spec.steps[ref.index]);
    case core::StepKind::guard:
        return make_guard_step(spec.guards[ref.index]);
    case core::StepKind::constraint:
        return make_constraint_step(spec.constraints[ref.index]);
    case core::StepKind::isolate:
        return make_isolate_step(spec, spec.isolations[ref.index]);
    }
    throw Error(sqlstate::feature_not_supported,
                fmt::format("step {}: {} can't be taken by up and down", ref.number, core::step_name(ref.kind)), {},
                "Use tenantmig.run, enforce and attach_guard for it.");
}

} // namespace tenantmig
