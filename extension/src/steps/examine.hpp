// Looks at all rows of a backfill step's table as they are now, those with a key included, and at what its evidence
// says. For verify, the gate and observations.
#pragma once
#include "engine/evaluation.hpp"

namespace tenantmig {

struct StepFindings {
    std::int64_t rows = 0, null_living = 0, null_deleted = 0;
    std::int64_t lost_living = 0, lost_deleted = 0; // of those without a key: not in the review queue either
    std::vector<std::int64_t> mismatches;           // by source: rows whose key it contradicts
    std::vector<std::string> examples;              // by source: key of such a row
    std::int64_t unknown = 0;                       // rows whose key names a tenant that the tenant root does not have
    std::string unknown_example;                    // such a tenant
};

// `run`: the completed one, whose soft-deleted rows count as dealt with. `tenants` is shared by the steps of one
// migration. Takes a snapshot of its own. Locks: ACCESS SHARE.
StepFindings examine_step(const MigrationRecord &migration, std::optional<std::int64_t> run, const ResolvedStep &step,
                          TenantDictionary &tenants);

} // namespace tenantmig
