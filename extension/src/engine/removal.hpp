// Taking a migration out of the catalogue.
#pragma once
#include <string>

namespace tenantmig {

// Removes a migration with its runs, reviews and change log. `force`: even if a log is still needed to undo a run.
// 42704, 42501, 55006.
void remove_migration(const std::string &name, bool force);

} // namespace tenantmig
