#include "bridge/results.hpp"

TENANTMIG_FUNCTION(tenantmig_version) {
    return tenantmig::text_result(TENANTMIG_VERSION);
}
