// What PostgreSQL will do with the condition of a policy, row by row: read from its node tree, never from its text.
#pragma once
#include "bridge/boundary.hpp"

namespace tenantmig {

struct PolicyFacts {
    // Calls outside of a subquery that is computed once (an uncorrelated (SELECT …)), each name once, as SQL writes it:
    std::vector<std::string> volatile_calls; // no index can be used for the condition, and each row is asked
    std::vector<std::string> bare_calls;     // STABLE and without a column: asked again for each row that is filtered
    // User-made, IMMUTABLE and without a column, wherever it stands: computed when a plan is made. A plan that is kept
    // keeps the tenant of whoever made it.
    std::vector<std::string> folded_calls;
    bool row_subquery = false; // a subquery that depends on the row
};

// Of the condition USING or, with `check`, WITH CHECK; nothing found where the policy has none, or is gone.
PolicyFacts policy_facts(Oid policy, bool check = false);

} // namespace tenantmig
