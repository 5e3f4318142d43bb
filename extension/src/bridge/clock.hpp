// The time that soak, gate, health and retention are reckoned by.
#pragma once
#include "bridge/boundary.hpp"

namespace tenantmig {

// GetCurrentTimestamp(). In the module with fault points (tests only; the soak could be faked otherwise) plus what the
// file tenantmig_clock in the data directory says: a number of seconds.
TimestampTz our_time();

} // namespace tenantmig
