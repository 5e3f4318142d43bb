// Rights that the owner of a table needs for the constraints of a step.
#pragma once
#include "engine/constraint_target.hpp"

namespace tenantmig {

// The rights that are missing, each with the GRANT that would give it; empty: none.
struct MissingRight {
    std::string what, grant;
};
std::vector<MissingRight> missing_rights(const ConstraintTarget &target);

} // namespace tenantmig
