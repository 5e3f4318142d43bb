// Rows that stand in the way of a constraint, counted by our own queries: as the owners of the tables, with row
// security off. What the catalogue says (convalidated, indisvalid) is not believed.
#pragma once
#include "engine/constraint_target.hpp"

namespace tenantmig {

struct Violation {
    std::int64_t rows = 0;
    std::vector<std::string> examples; // of row keys (core::pack_key), by key, at most 3
};

struct ConstraintCounts {
    std::int64_t rows = 0;   // of the table
    Violation nulls_living;  // no value in the column, not soft-deleted (or the table knows no soft-delete)
    Violation nulls_deleted; // no value in the column, soft-deleted
    Violation orphans;       // a value that the referenced table does not have; 0 without `references`
    Violation duplicates;    // rows beyond the first of each key of `unique`; rows with a NULL in it don't count
    Violation format;        // a value that the format refuses
    std::vector<std::string> orphan_values; // examples of values without a referenced row, at most 3
};

// Reads each table once (examples, of what there is, again) under the active snapshot (SnapshotScope). Needs an SPI
// connection. Locks: ACCESS SHARE. May be called by anybody who may resolve the target.
ConstraintCounts count_violations(const ConstraintTarget &target);

// Whether a constraint of the step would refuse what is there: nulls as far as not_null asks, orphans, duplicates,
// format.
bool refuses(const ConstraintTarget &target, const ConstraintCounts &counts);

} // namespace tenantmig
