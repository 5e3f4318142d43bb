#include "core/undo_text.hpp"

#include "bridge/subtransaction.hpp"
#include "catalog/step_store.hpp"
#include "steps/ddl_watch_parts.hpp"
#include "steps/isolate.hpp"

namespace tenantmig {

namespace {
// Roles and rights: what has been opened since. A table that has gone is told of elsewhere.
void check_rights(const MigrationRecord &migration, const core::Spec &spec, const core::IsolateStep &step,
                  std::vector<CatalogueDrift> &drift) {
    std::vector<CheckRow> rows;
    try {
        Subtransaction attempt;
        isolate_rights(isolate_scope(migration, spec, step), rows);
        attempt.commit();
    } catch (const Error &) {
        return;
    }
    for (const CheckRow &row : rows) {
        if (row.status != "FAIL") continue;
        const std::size_t space = row.check_name.find(' ');
        drift.push_back({"isolation_open", row.check_name.substr(space + 1), row.check_name.substr(0, space),
                         row.actual, row.expected, row.hint});
    }
}

void add_gone(const std::string &relation, std::vector<CatalogueDrift> &drift) {
    for (const CatalogueDrift &one : drift)
        if (one.kind == "table_gone" && one.relation == relation) return;
    drift.push_back({"table_gone", relation, "", "no such table", "an isolated table",
                     "Bring the table back, or take the step back and write a spec without it."});
}
} // namespace

void check_isolation(const MigrationRecord &migration, const core::Spec &spec, std::vector<CatalogueDrift> &drift) {
    for (const core::IsolateStep &step : spec.isolations) {
        if (get_step_state(migration.id, step.number).state != "applied") continue;
        for (IsolationDefect &defect : isolation_defects(migration, step.number))
            if (defect.kind == "table_gone")
                add_gone(defect.relation, drift);
            else
                drift.push_back({defect.kind, defect.relation, fmt::format("step {}", step.number),
                                 std::move(defect.what), "policies and flags as the step made them",
                                 fmt::format("CALL tenantmig.up({}) makes it again what the step says",
                                             core::sql_literal(migration.name))});
        check_rights(migration, spec, step, drift);
    }
}

} // namespace tenantmig
