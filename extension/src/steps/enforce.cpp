// CALL enforce: the gate, then all pieces of all constraint steps side by side through the stages of
// constraint_piece.hpp. Every piece is recorded before the first change of the catalogue. A failure takes back all that
// this attempt has done; a killed one leaves rows that say "intended" and a lock that nobody holds, and whoever comes
// next cleans up.
#include "core/excerpt.hpp"
#include "core/spec.hpp"
#include "core/undo_text.hpp"

#include <nlohmann/json.hpp>

#include "bridge/fault.hpp"
#include "bridge/results.hpp"
#include "catalog/events.hpp"
#include "engine/evaluation.hpp"
#include "steps/constraint_piece.hpp"
#include "steps/ddl_watch.hpp"
#include "steps/enforce.hpp"
#include "steps/gate.hpp"
#include "steps/online.hpp"
#include "steps/proofs.hpp"

namespace tenantmig {

namespace {
const std::vector<std::string> unfinished = {"intended", "relaxing"};

std::string gate_hint(const MigrationRecord &migration) {
    return fmt::format("SELECT * FROM tenantmig.gate({});", core::sql_literal(migration.name));
}

void require_open_gate(const MigrationRecord &migration) {
    std::string failed;
    for (const CheckRow &check : gate_checks(migration)) {
        if (check.status != "FAIL") continue;
        failed += fmt::format("{}{}: expected {}, found {}{}", failed.empty() ? "" : "\n", check.check_name,
                              check.expected, check.actual, check.detail.empty() ? "" : " (" + check.detail + ")");
    }
    if (failed.empty()) return;
    throw Error(sqlstate::gate_closed, fmt::format("gate of migration {} is closed", core::excerpt(migration.name)),
                failed, gate_hint(migration));
}

std::string list(const std::vector<std::string> &values) {
    std::string text;
    for (const std::string &value : values)
        text += (text.empty() ? "" : ", ") + core::excerpt(value);
    return text;
}

// After everything has been added NOT VALID, and no new bad row can come in.
void require_no_violation(const MigrationRecord &migration, const ConstraintTarget &target) {
    SnapshotScope snapshot;
    const ConstraintCounts counts = count_violations(target);
    if (!refuses(target, counts)) return;
    std::string detail;
    auto tell = [&](const Violation &violation, const char *what) {
        if (violation.rows == 0) return;
        detail += fmt::format("{}{} {} {}", detail.empty() ? "" : "\n", violation.rows,
                              violation.rows == 1 ? "row" : "rows", what);
        if (!violation.examples.empty()) detail += ": key " + list(violation.examples);
    };
    if (target.step.not_null != core::NotNull::leave) tell(counts.nulls_living, "without a value");
    if (target.step.not_null == core::NotNull::all) tell(counts.nulls_deleted, "without a value, soft-deleted");
    tell(counts.orphans, "with a value that the referenced table does not have");
    tell(counts.duplicates, "beyond the first of their key");
    tell(counts.format, "with a value that the format refuses");
    throw Error(sqlstate::constraint_violated, fmt::format("constraints of {} are violated", target.label()), detail,
                "They came in after the gate. " + gate_hint(migration));
}

class Enforcement {
public:
    // Of the steps in the migration's scope.
    Enforcement(const MigrationRecord &migration, ConstraintChanger &changer)
        : migration_(migration), changer_(changer) {}

    // False: everything is in force already.
    bool plan() {
        changer_.note(true, [&] {
            std::vector<StepAside> aside;
            targets_ = resolve_constraints(migration_, &aside);
            std::vector<EnforcementRecord> standing = enforcements(migration_.id, {"enforced"});
            for (EnforcementRecord &row : standing)
                if (!stands(row)) set_enforcement_state(row, "removed", "it was gone from the catalogue");
            pieces_.clear();
            for (const ConstraintTarget &target : targets_)
                for (ConstraintPiece &piece : pieces_of(target, migration_.id)) {
                    const bool there = std::any_of(standing.begin(), standing.end(), [&](const EnforcementRecord &row) {
                        return row.state == "enforced" && row.step == piece.row.step && row.kind == piece.row.kind;
                    });
                    if (!there) pieces_.push_back(std::move(piece));
                }
            for (const StepAside &step : aside)
                if (targets_.empty() && step.later) require_reached(migration_, step.step);
            if (targets_.empty())
                throw Error(sqlstate::prerequisite_state,
                            fmt::format("migration {} has no constraint step", core::excerpt(migration_.name)), {},
                            "SELECT * FROM tenantmig.steps lists its steps.");
        });
        return !pieces_.empty();
    }

    void check_gate() {
        changer_.note(false, [&] { require_open_gate(migration_); });
        TENANTMIG_FAULT("enforce_gate_open");
    }

    void apply() {
        try {
            changer_.note(true, [&] {
                std::set<std::string> taken;
                for (ConstraintPiece &piece : pieces_) {
                    examine_piece(piece, taken);
                    insert_enforcement(piece.row);
                }
                say("intended");
            });
            TENANTMIG_FAULT("enforce_intended");
            for (ConstraintPiece &piece : pieces_)
                prepare_piece(piece, changer_);
            TENANTMIG_FAULT("enforce_prepared");
            for (const ConstraintTarget &target : targets_)
                if (concerns(target)) changer_.note(false, [&] { require_no_violation(migration_, target); });
            TENANTMIG_FAULT("enforce_counted");
            for (ConstraintPiece &piece : pieces_)
                validate_piece(piece, changer_);
            for (ConstraintPiece &piece : pieces_)
                publish_piece(piece, changer_);
            changer_.note(true, [&] {
                for (const ConstraintPiece &piece : pieces_)
                    save_hold(piece.row);
                MigrationRecord whole = migration_;
                whole.scope.clear();
                ensure_fingerprint(whole);
                say("enforced");
            });
            TENANTMIG_FAULT("enforce_done");
        } catch (...) {
            const std::exception_ptr error = std::current_exception();
            take_back(error_to_keep(error));
            std::rethrow_exception(error);
        }
    }

    std::size_t size() const { return pieces_.size(); }

private:
    const MigrationRecord &migration_;
    ConstraintChanger &changer_;
    std::vector<ConstraintTarget> targets_;
    std::vector<ConstraintPiece> pieces_;

    bool concerns(const ConstraintTarget &target) const {
        return std::any_of(pieces_.begin(), pieces_.end(),
                           [&](const ConstraintPiece &piece) { return piece.target == &target; });
    }

    void say(const char *state) {
        announce("enforce", migration_.name, {{"state", state}, {"constraints", pieces_.size()}});
    }

    // All of this attempt goes; what can't be removed now is recorded, and cleaned up by whoever comes next.
    void take_back(const std::string &error) {
        try {
            std::vector<EnforcementRecord> published;
            std::set<std::int64_t> ours;
            for (const ConstraintPiece &piece : pieces_)
                ours.insert(piece.row.id);
            std::vector<EnforcementRecord> rows;
            changer_.note(false, [&] { rows = enforcements(migration_.id, {"intended", "enforced"}); });
            for (auto row = rows.rbegin(); row != rows.rend(); ++row) {
                if (!ours.contains(row->id)) continue;
                if (row->state == "intended")
                    clean_up(*row, changer_, "removed", error);
                else
                    published.insert(published.begin(), *row);
            }
            withdraw_all(published, changer_, "removed", error);
            changer_.note(true, [&] { say("removed"); });
        } catch (...) {
            const std::string rest = error_text(std::current_exception());
            warning(
                fmt::format("what this attempt has added could not be removed: {}", rest.substr(0, rest.find('\n'))),
                "tenantmig.enforcements shows it.",
                fmt::format("CALL tenantmig.relax({}) tries again.", core::sql_literal(migration_.name)));
        }
    }
};

std::string show(std::int64_t count, const char *what) {
    return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

// The constraints stand by now, whatever becomes of this.
void run_proofs(ConstraintChanger &changer, const MigrationRecord &migration) {
    const std::string name = core::sql_literal(migration.name);
    ProofCount count;
    try {
        changer.note(true, [&] { count = prove(migration); });
    } catch (const PgError &error) {
        if (error.data()->sqlerrcode == ERRCODE_QUERY_CANCELED) throw;
        warning(fmt::format("the constraints are enforced, but not proved: {}", error.what()), "",
                fmt::format("CALL tenantmig.prove({}) tries again.", name));
        return;
    }
    if (count.failed > 0)
        warning(fmt::format("{} of {} failed", show(count.failed, "proof"), count.passed + count.failed),
                "The constraints stand; something else lets through, or refuses, what they don't.",
                fmt::format("SELECT * FROM tenantmig.proofs WHERE migration = {};", name));
}
} // namespace

std::string error_to_keep(const std::exception_ptr &error) {
    const std::string text = error_text(error);
    return text.substr(0, text.find('\n'));
}

ConstraintSession::ConstraintSession(FunctionCallInfo call, const char *procedure, const std::string &name)
    : transactions_(session_transactions(call, procedure)) {
    bool locked = false;
    // the session's lock comes before the transaction's goes
    transactions_->run(true, [&] {
        record_ = get_migration(name);
        require_owner(record_);
        fire_deferred_as_caller();
        lock_migration(record_);
        locked = lock_.acquire(record_.id);
    });
    if (!locked)
        throw Error(sqlstate::object_in_use,
                    fmt::format("another run or decision is active on migration {}", core::excerpt(name)),
                    "It began at this moment.", "SELECT * FROM tenantmig.stat_progress shows it.");
    changer_ = std::make_unique<ConstraintChanger>(*transactions_, lock_, record_.name);
}

bool has_leftovers(const MigrationRecord &migration) {
    return has_enforcements(migration.id, unfinished);
}

std::size_t clean_up_enforcements(ConstraintChanger &changer, const MigrationRecord &migration) {
    std::vector<EnforcementRecord> rows;
    changer.note(false, [&] { rows = enforcements(migration.id, unfinished); });
    for (auto row = rows.rbegin(); row != rows.rend(); ++row) {
        clean_up(*row, changer, row->state == "intended" ? "removed" : "enforced",
                 row->state == "intended" ? "the attempt was interrupted" : "");
        TENANTMIG_FAULT("enforce_cleaning");
    }
    if (!rows.empty()) {
        changer.note(true, [&] { announce("enforce", migration.name, {{"state", "cleaned up"}}); });
        notice(fmt::format("an interrupted attempt was cleaned up: {}",
                           show(static_cast<std::int64_t>(rows.size()), "constraint")));
    }
    return rows.size();
}

std::size_t clean_up_enforcements(const MigrationRecord &migration) {
    lock_migration(migration);
    fire_deferred_as_caller();
    ConstraintChanger changer(migration.name);
    return clean_up_enforcements(changer, migration);
}

std::size_t enforce_scoped(ConstraintChanger &changer, const MigrationRecord &migration, bool proofs) {
    (void)clean_up_enforcements(changer, migration);
    Enforcement enforcement(migration, changer);
    if (!enforcement.plan()) return 0;
    enforcement.check_gate();
    enforcement.apply();
    MigrationRecord whole = migration;
    whole.scope.clear();
    if (proofs) run_proofs(changer, whole);
    return enforcement.size();
}

void enforce_in_session(FunctionCallInfo call, const std::string &name, bool proofs) {
    ConstraintSession session(call, "tenantmig.enforce", name);
    TENANTMIG_FAULT("enforce_locked");
    if (enforce_scoped(session.changer(), session.record(), proofs) == 0)
        notice(fmt::format("all constraints of migration {} are enforced already", core::excerpt(name)));
    else
        session.changer().note(false, [&] { tell_of_later_steps(session.record()); });
}

} // namespace tenantmig
