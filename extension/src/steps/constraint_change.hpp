// Changes of the catalogue, one short transaction each: strong locks are waited for briefly, again and again with
// longer and longer pauses in between, and never without a limit.
#pragma once
#include "bridge/relation.hpp"
#include "bridge/transaction.hpp"
#include "catalog/run_lock.hpp"

namespace tenantmig {

struct LockWish {
    Oid relation = InvalidOid;
    LOCKMODE mode = AccessExclusiveLock;
    bool partitions = false; // and all its partitions
};

class ConstraintChanger {
public:
    // In transactions of its own. `lock`: makes us the only ones at work on the migration.
    ConstraintChanger(Transactions &transactions, ActiveLock &lock, std::string migration);
    // Within the caller's transaction, whose end releases the locks: nothing that takes long.
    explicit ConstraintChanger(std::string migration);

    // Catalogue of our own, and reading. `durable`: on disk when it returns.
    void note(bool durable, const std::function<void()> &work);
    // Work that takes locks which stop no reader or writer (SHARE UPDATE EXCLUSIVE, ROW SHARE), for as long as it
    // needs. `relation`: what an error is to name, and whose holders are told.
    void weak(const Table &relation, const std::function<void()> &work);
    // Takes the locks (one at least) in order, then does the work, and commits at once. 55P03 with the session that is
    // in the way. Returns how long the first lock was held, in microseconds.
    std::int64_t strong(const Table &relation, const std::vector<LockWish> &wishes, const std::function<void()> &work);

private:
    void insist(const Table &relation, const std::vector<Oid> &relations, LOCKMODE mode, bool brief,
                const std::function<void()> &work);
    void transaction(bool durable, const std::function<void()> &work, int lock_timeout);
    Transactions *transactions_ = nullptr;
    ActiveLock *lock_ = nullptr;
    std::string migration_;
    int own_timeout_; // of the session, milliseconds; 0: none
};

// One statement on a table, as its owner.
void change_as_owner(const Table &table, const std::string &statement);

} // namespace tenantmig
