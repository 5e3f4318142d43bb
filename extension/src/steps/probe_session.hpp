// The application's session, for the length of a subtransaction.
#pragma once
#include "bridge/absent_setting.hpp"
#include "bridge/subtransaction.hpp"
#include "steps/probe.hpp"

namespace tenantmig {

// The search_path that a new session of the role has, by ALTER ROLE and ALTER DATABASE: whoever calls must not change
// what functions in policies find.
std::string application_search_path(Oid role);

// While it lives, the current user is the role of the session, restricted, held to its policies (row_security on; those
// that are forced on an owner, too), with the tenant set (or, without one, with a setting that does not exist), a
// lock_timeout and text forms that depend on nobody's settings. undo(), or the destructor, ends it and takes
// back everything that was done. Errors: those of the setting. Never for a superuser: 42501.
class ApplicationSession {
public:
    ApplicationSession(const ProbeSession &session, const std::string &search_path, const char *lock_timeout = "1s");
    void undo() { subtransaction_.undo(); }

private:
    std::optional<AbsentSetting> absent_;
    Subtransaction subtransaction_;
};

// A setting, to the end of the attempt.
void set_in_attempt(const char *name, const char *value);
// No trigger fires but those that always do, to the end of the attempt: to ask the policies past a trigger that
// refuses.
void triggers_off_in_attempt();

} // namespace tenantmig
