#include "bridge/clock.hpp"
#include "bridge/results.hpp"

TENANTMIG_FUNCTION(tenantmig_clock) {
    (void)fcinfo;
    return TimestampTzGetDatum(tenantmig::our_time());
}
