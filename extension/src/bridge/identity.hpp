// Under whose identity something is done (design.md §7.6, §7.7). User code never runs as anyone but the owner of the
// object it belongs to, and nothing that it defers escapes; reads see every row.
#pragma once
#include "bridge/boundary.hpp"

namespace tenantmig {

enum class Purpose {
    read,  // row security is off: a zero is never an artefact of hidden rows; search_path is pinned, text forms of
           // values are fixed
    write, // all settings as the session has them, row security and search_path included, so that the owner's triggers
           // see what they always see; our own SQL is qualified to the last operator, and the table's own policies are
           // not forced on its owner
};

// While it lives, the current user is `role`, restricted (SECURITY_RESTRICTED_OPERATION | SECURITY_LOCAL_USERID_CHANGE
// | SECURITY_NOFORCE_RLS), with the settings of the purpose. Nests.
class RunAs {
public:
    RunAs(Oid role, Purpose purpose);
    ~RunAs();
    RunAs(const RunAs &) = delete;
    RunAs &operator=(const RunAs &) = delete;

private:
    Oid saved_user_;
    int saved_context_, guc_level_;
};

// While it lives, waiting for a lock ends after ten seconds, unless the session has a lock_timeout of its own.
class LockTimeout {
public:
    LockTimeout();
    ~LockTimeout();
    LockTimeout(const LockTimeout &) = delete;
    LockTimeout &operator=(const LockTimeout &) = delete;

private:
    int guc_level_;
};

// For tenantmig's own tables: the owner of the extension. No user code can run there.
Oid extension_owner();

// Fires what the caller's transaction has deferred, as the caller, before any switch of identity. Needs an SPI
// connection.
void fire_deferred_as_caller();

// The name of a role, as stored (not quoted); of the current user.
std::string role_name(Oid role);
std::string current_user_name();

// Whether the current user has the privileges of `role`; those of a superuser only a superuser has.
bool has_privileges_of(Oid role);

} // namespace tenantmig
