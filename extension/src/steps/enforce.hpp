// Applying the constraints of a migration through the gate, and taking them back.
#pragma once
#include "bridge/transaction.hpp"
#include "catalog/enforcement_store.hpp"
#include "steps/constraint_change.hpp"

namespace tenantmig {

// 25001 inside a transaction block, 42501, 55006, TM013 (the gate is closed), TM014 (violated after all), 55P03.
void enforce_in_session(FunctionCallInfo call, const std::string &name, bool proofs);
// 25001, 42501, 55006, 55000 (nothing is enforced), 55P03.
void relax_in_session(FunctionCallInfo call, const std::string &name);

// The same for the constraint steps in scoped.scope, each within the lock that `changer` keeps. An attempt that was
// killed is cleaned up first. Number of constraints that were applied, or taken back; 0: they were in force, or were
// not.
std::size_t enforce_scoped(ConstraintChanger &changer, const MigrationRecord &scoped, bool proofs);
std::size_t relax_scoped(ConstraintChanger &changer, const MigrationRecord &scoped);

// What an attempt that was killed has left behind is removed: what it had not put into force is gone, what a relax had
// not taken back is in force again. Returns how many pieces there were. The caller holds the migration's lock.
std::size_t clean_up_enforcements(ConstraintChanger &changer, const MigrationRecord &migration);
// The same within the caller's transaction, whose lock on the migration is taken.
std::size_t clean_up_enforcements(const MigrationRecord &migration);
bool has_leftovers(const MigrationRecord &migration);

// Takes back what is enforced (and not kept), the newest first. `final_state`: relaxed or removed.
void withdraw_all(std::vector<EnforcementRecord> &rows, ConstraintChanger &changer, const char *final_state,
                  const std::string &error);

// What is kept of an error: without DETAIL, where keys of rows and other sessions' queries stand, which not everybody
// may read who may read the view.
std::string error_to_keep(const std::exception_ptr &error);

// What both begin with: the migration, its lock, and the changes.
class ConstraintSession {
public:
    ConstraintSession(FunctionCallInfo call, const char *procedure, const std::string &name);
    const MigrationRecord &record() const { return record_; }
    ConstraintChanger &changer() { return *changer_; }

private:
    std::unique_ptr<Transactions> transactions_;
    MigrationRecord record_;
    ActiveLock lock_;
    std::unique_ptr<ConstraintChanger> changer_;
};

} // namespace tenantmig
