// The definition of a guard as the catalogue has it.
#pragma once
#include "bridge/boundary.hpp"

namespace tenantmig {

// As JSON text in the current memory context, by the newest snapshot: a trigger may fire in a transaction whose own is
// older than the guard. NULL: there is no such guard. PostgreSQL's regime.
const char *stored_definition(std::int64_t guard);

// The number in the argument of a trigger that attach_guard has made. False: it has other arguments.
bool guard_argument(const Trigger *trigger, std::int64_t *number);

} // namespace tenantmig
