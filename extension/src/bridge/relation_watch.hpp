// Whether anything was altered: a counter that relation cache invalidations move on. Equal numbers: no relation of this
// database has changed its definition in between, as far as this process has heard (it hears when it takes a lock).
#pragma once
#include "bridge/boundary.hpp"

namespace tenantmig {

std::uint64_t relation_changes();

} // namespace tenantmig
