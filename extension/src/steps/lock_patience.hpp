// Waiting for locks of statements that aren't ours: briefly, again and again, with longer and longer pauses in between,
// and never without a limit. (Catalogue changes of our own: ConstraintChanger.)
#pragma once
#include "bridge/boundary.hpp"

namespace tenantmig {

class LockPatience {
public:
    // `own_timeout`: the session's lock_timeout in milliseconds, 0: none. Ours are never longer.
    explicit LockPatience(int own_timeout) : own_timeout_(own_timeout) {}
    // Calls `attempt` with the lock_timeout (milliseconds) to work under, until it ends without 55P03 or 40P01; the
    // last one's error goes on. As often as the setting tenantmig.lock_attempts says (10). No transaction is open in
    // between.
    void insist(const std::string &what, const std::function<void(int)> &attempt) const;

private:
    int own_timeout_;
};

} // namespace tenantmig
