// What the columns of an index are, and which conditions on them can't wait for a policy: PostgreSQL uses a condition
// for an index scan of a table under row-level security only if nothing in it can leak (LEAKPROOF), since the scan
// comes before the policy's own condition.
#pragma once
#include "bridge/boundary.hpp"

namespace tenantmig {

// What stands in one key column of an index.
struct IndexKey {
    AttrNumber column = 0; // of the table; 0: an expression
    Oid type = InvalidOid; // of the column or expression
    bool leaks = false;    // the expression itself does, whatever it is compared with
};

std::vector<IndexKey> index_keys(Oid index);

// Whether "column operator value" can tell of rows that the policy hides: then it is no condition of an index scan.
bool leaks_in_index(Oid index, int key, Oid operator_oid);

// The same for the default equality of a type, on a plain column; true if there is none.
bool equality_leaks(Oid type);

} // namespace tenantmig
