// Holds the rows that are there to what guards ask of new ones.
#pragma once
#include "catalog/guard_store.hpp"
#include "engine/checks.hpp"

namespace tenantmig {

// Two rows a guard: guard_trigger KIND, whether its triggers stand and are enabled, and guard_rows KIND, how many rows
// it would refuse. 42501 without the privileges of its table's owner.
std::vector<CheckRow> check_rows_of(const GuardRecord &guard);

// Of a migration, of one guard, or of all that the current user has the rights for. 42704, 42501.
std::vector<CheckRow> check_rows_of_guards(const std::optional<std::string> &migration,
                                           std::optional<std::int64_t> guard);

} // namespace tenantmig
