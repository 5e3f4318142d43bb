// CALL relax: what enforce has applied is taken back, the newest first, each piece by one short change of the
// catalogue. Recorded first; killed, it goes on when it is called again.
#include "core/excerpt.hpp"
#include "core/undo_text.hpp"

#include <nlohmann/json.hpp>

#include "bridge/fault.hpp"
#include "bridge/results.hpp"
#include "catalog/events.hpp"
#include "steps/constraint_piece.hpp"
#include "steps/enforce.hpp"
#include "steps/online.hpp"

namespace tenantmig {

void withdraw_all(std::vector<EnforcementRecord> &rows, ConstraintChanger &changer, const char *final_state,
                  const std::string &error) {
    if (rows.empty()) return;
    changer.note(true, [&] {
        for (EnforcementRecord &row : rows)
            set_enforcement_state(row, "relaxing", error);
    });
    TENANTMIG_FAULT("relax_intended");
    for (auto row = rows.rbegin(); row != rows.rend(); ++row) {
        prepare_withdrawal(*row, changer);
        withdraw(*row, changer, final_state, error);
    }
    changer.note(true, [&] {
        for (const EnforcementRecord &row : rows)
            save_hold(row);
    });
    TENANTMIG_FAULT("relax_done");
}

namespace {
// Takes back what is enforced of the steps in the migration's scope.
std::size_t relax_standing(ConstraintChanger &changer, const MigrationRecord &migration) {
    std::vector<EnforcementRecord> rows;
    changer.note(false, [&] { rows = enforcements(migration.id, {"enforced"}); });
    const std::vector<int> &scope = migration.scope;
    if (!scope.empty())
        std::erase_if(rows, [&](const EnforcementRecord &row) {
            return std::find(scope.begin(), scope.end(), row.step) == scope.end();
        });
    if (rows.empty()) return 0;
    try {
        withdraw_all(rows, changer, "relaxed", "");
    } catch (...) {
        // what has not been taken back stays in force
        const std::exception_ptr error = std::current_exception();
        const std::string text = error_to_keep(error);
        try {
            std::vector<EnforcementRecord> left;
            changer.note(false, [&] { left = enforcements(migration.id, {"relaxing"}); });
            for (EnforcementRecord &row : left)
                clean_up(row, changer, "enforced", text);
        } catch (...) {
            warning("this attempt could not be cleaned up", "tenantmig.enforcements shows what it has left.",
                    "Call this again.");
        }
        std::rethrow_exception(error);
    }
    changer.note(true, [&] {
        announce("relax", migration.name, {{"state", "relaxed"}, {"constraints", rows.size()}});
    });
    return rows.size();
}
} // namespace

std::size_t relax_scoped(ConstraintChanger &changer, const MigrationRecord &migration) {
    (void)clean_up_enforcements(changer, migration);
    return relax_standing(changer, migration);
}

void relax_in_session(FunctionCallInfo call, const std::string &name) {
    ConstraintSession session(call, "tenantmig.relax", name);
    const MigrationRecord &migration = session.record();
    TENANTMIG_FAULT("relax_locked");
    const std::size_t cleaned = clean_up_enforcements(session.changer(), migration);
    if (relax_standing(session.changer(), migration) > 0 || cleaned > 0) return;
    throw Error(sqlstate::prerequisite_state, fmt::format("nothing is enforced for migration {}", core::excerpt(name)),
                {},
                fmt::format("CALL tenantmig.enforce({}) applies its constraints; tenantmig.enforcements shows what "
                            "there was.",
                            core::sql_literal(name)));
}

} // namespace tenantmig
