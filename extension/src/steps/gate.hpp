// The gate: whether the constraints of a migration may be applied. It counts for itself and only reads.
#pragma once
#include "engine/checks.hpp"
#include "engine/constraint_counts.hpp"

namespace tenantmig {

// Every check with PASS, WARN or FAIL; open if none is FAIL. 55000 if the migration has no constraint step.
// Names: nulls_living, nulls_deleted, orphans, duplicates, format, mismatches SOURCE, unknown_tenants, drift,
// catalogue, chain, run, leftovers, rights, and where the spec asks: soak, open_reviews, approvals, backup, coverage.
std::vector<CheckRow> gate_checks(const MigrationRecord &migration);

bool gate_open(const std::vector<CheckRow> &checks);

} // namespace tenantmig
