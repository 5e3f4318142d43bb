// What the server was like before a migration's first run, and how it compares
// now.
#pragma once
#include <nlohmann/json_fwd.hpp>

#include "catalog/observation_store.hpp"
#include "engine/checks.hpp"
#include "engine/resolve.hpp"

namespace tenantmig {

// Where a run begins: keeps counters and latency of this moment, unless a
// baseline stands that later samples are to be compared with. Whatever goes
// wrong is a line in the server's log: the run must not fail of it. Needs an
// SPI connection and a transaction that may write; the caller must have the
// privileges of the migration's owner. `run`: the one that has begun, if it is
// in the catalogue already.
void take_baseline(const MigrationRecord &migration, const std::vector<ResolvedStep> &steps,
                   std::optional<std::int64_t> run);

// {"counters": …, "latency": {…}}: as observations keep it. `steps`: of the
// migration, may be empty. The latency is that of a query for one tenant, the
// same one as in `before` (samples), through the index on its key; without one,
// none.
nlohmann::json server_samples(const std::vector<ResolvedStep> &steps, const nlohmann::json &before);

// Checks rollbacks, deadlocks, guard_refusals and latency; thresholds that are
// passed add a reason. `reference`: an earlier sample, for rates; `undo`: what
// to do if it is bad.
void compare_with_baseline(const MigrationRecord &migration, const core::MonitorSettings &settings,
                           const nlohmann::json &now, const std::optional<PastSample> &reference,
                           const std::string &undo, std::vector<CheckRow> &checks, std::vector<HealthReason> &reasons);

} // namespace tenantmig
