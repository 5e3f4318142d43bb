// Whether a run's change log was tampered with.
#pragma once
#include "catalog/change_log.hpp"
#include "engine/checks.hpp"

#include <optional>
#include <vector>

namespace tenantmig {

// One row for each chain, recomputed, and one for the digest if there is one. 22023: not a digest, or that of another
// run.
std::vector<CheckRow> check_log(std::int64_t run, const std::optional<std::string> &digest);

// 55000 if the change log of a run was purged.
void require_log(std::int64_t run);

// As require_log(), and TM006 with the first bad entry if a chain is broken: nothing is undone by a log that cannot be
// trusted.
void require_intact_log(std::int64_t run);

} // namespace tenantmig
