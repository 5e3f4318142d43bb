// The lock that makes a run the only one of its migration: a lock on an object of ours (the migration's row in
// tenantmig.migration, as a LOCKTAG_OBJECT), so that it is released by whatever ends the process, and never collides
// with advisory locks of an application. Seen in the view active_migrations.
#pragma once
#include "catalog/own_tables.hpp"

namespace tenantmig {

// A worker that follows a leader holds a second one, shared, as long as its process lives: whoever becomes the only one
// waits for followers of a leader that has died, which may still be in a batch.
void stay_in_crew(std::int64_t migration);
// Until the end of the transaction; false if another process has it.
bool lock_active_for_transaction(std::int64_t migration);
// Whether another process holds it.
bool is_active(std::int64_t migration);

// Across transactions: from acquire() to the end of its life.
class ActiveLock {
public:
    ActiveLock() = default;
    ~ActiveLock();
    ActiveLock(const ActiveLock &) = delete;
    ActiveLock &operator=(const ActiveLock &) = delete;
    bool acquire(std::int64_t migration, bool wait = false); // false if another process has it

    // Whether it is still held: code of users can release all locks of a session. Takes it again if it can; false if
    // another process has it now. In a transaction.
    bool keep();

private:
    LOCKTAG tag_ = {};
    bool held_ = false;
};

} // namespace tenantmig
