// One step of a migration as up and down see it. One file per kind (step_KIND.cpp); steps/migrate.cpp walks through
// them. Each of its methods may be called again after an error, a kill or a lost connection, in whatever state that has
// left: it goes on from there. What has been done already is not done again, and is not an error.
#pragma once
#include "core/spec.hpp"

#include "bridge/transaction.hpp"
#include "catalog/run_lock.hpp"
#include "catalog/step_store.hpp"
#include "steps/checks.hpp"
#include "steps/constraint_change.hpp"

namespace tenantmig {

// What a step has to work with: the session's transactions (one after the other, never a long one), the migration whose
// lock is held, and what is stored of the step.
struct StepContext {
    Transactions &transactions;
    ActiveLock &lock;
    ConstraintChanger &changer; // catalogue changes with short locks, each in a transaction of its own
    const MigrationRecord &migration;
    const core::Spec &spec; // all steps
    core::StepRef ref;      // this one
    int workers = 1;
    StepState state;        // as stored; changed by save()
    std::string log = "{}"; // JSON text: what the execution log says of this attempt

    // In the transaction that is open: the row in step_state and what it tells of commit together.
    void save(const std::string &phase, const std::string &detail);
    std::string label() const; // step 3 (index)
};

class Step {
public:
    Step() = default;
    virtual ~Step() = default;
    Step(const Step &) = delete;
    Step &operator=(const Step &) = delete;

    // When the migration is created, and again just before up: refuses what is known to go wrong (names, rights, types;
    // a name that is taken). Reads only, in the transaction that is open. Names go through `names`.
    virtual void check(const MigrationRecord &migration, NameBook &names) = 0;
    // What plan() says of a step that is not applied: what it will do, and its locks. Reads only.
    virtual std::vector<PlanRow> plan(const MigrationRecord &migration) = 0;
    // Whether it is in force: from what stands in the catalogue where that can be told, else from `state`.
    virtual bool applied(const MigrationRecord &migration, const StepState &state) = 0;
    // Before down changes anything in its range: refuses what can't be taken back (TM020). Reads only.
    virtual void check_down(const MigrationRecord & /*migration*/, const StepState & /*state*/) {}
    // After an up that has failed: whether anything of it may stand. False: the step is as if it had not begun.
    virtual bool may_stand(const StepState & /*state*/) { return true; }
    // False: nothing was to be done. No transaction is open when these are called, or when they return.
    virtual bool up(StepContext &context) = 0;
    virtual bool down(StepContext &context) = 0;
    // Of an applied step, or one on its way; reads only. Empty: nothing to compare.
    virtual std::vector<CheckRow> verify(const MigrationRecord &migration, const StepState &state) = 0;
};

std::unique_ptr<Step> make_step(const core::Spec &spec, const core::StepRef &ref);

} // namespace tenantmig
