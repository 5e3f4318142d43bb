// Text of a query that somebody else has written: whether it is one that only reads, and what its parameters are.
#pragma once
#include "bridge/boundary.hpp"

namespace tenantmig {

// The types of $1, $2, … of a query, as the places where they stand tell; text where nothing tells. Errors: 42601
// (syntax; not exactly one statement), 0A000 (no SELECT, WITH, VALUES or TABLE; INTO, FOR UPDATE, a WITH that changes
// data), and those of the analysis (42P01, 42703 …).
std::vector<Oid> analyze_select(const std::string &sql);

} // namespace tenantmig
