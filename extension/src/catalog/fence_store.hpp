// Fences of maintenance mode: typed access to tenantmig.fence, and to the triggers that go by it.
#pragma once
#include "catalog/migration_store.hpp"

namespace tenantmig {

// Switches on, or goes on from now with a new limit (`time_limit`: text of an interval); `whole_login`: whoever logs in
// as this session's user is exempt. Returns the end, as text. 22023 unless the limit is above 0 and at most a day.
std::string put_fence(const MigrationRecord &migration, const std::string &time_limit, bool whole_login);
// True if it was in force.
bool delete_fence(std::int64_t migration);
// When it ends, as text; nothing if it is not in force.
std::optional<std::string> fenced_until(std::int64_t migration);

// Other sessions of this database that have logged in as we have: a fence that exempts the login does not stop them.
std::int64_t sessions_of_same_login();

struct FenceTrigger {
    Oid table = InvalidOid;
    std::string name;
    bool for_rows = false;
};
// Of one migration, by table; found by function and argument, whatever they are called.
std::vector<FenceTrigger> fence_triggers(std::int64_t migration);
std::string fence_trigger_name(std::int64_t migration, bool for_rows);

} // namespace tenantmig
