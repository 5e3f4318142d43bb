// Who may call what.
#pragma once
#include <string>

namespace tenantmig {

// Sets what a role may do with tenantmig to exactly one level: viewer, reviewer or operator. Errors: 42501, 42704 (no
// such role), 22023.
void grant_access_level(const std::string &role, const std::string &level);

} // namespace tenantmig
