#include "bridge/clock.hpp"
#include "bridge/fault.hpp"

namespace tenantmig {

TimestampTz our_time() {
    TimestampTz now = GetCurrentTimestamp();
    TENANTMIG_FAULT_CLOCK(now);
    return now;
}

} // namespace tenantmig
