// enforce, relax
#include "steps/enforce.hpp"
#include "bridge/results.hpp"
#include "bridge/transaction.hpp"

using namespace tenantmig;

namespace {} // namespace

TENANTMIG_FUNCTION(tenantmig_enforce) {
    Arguments arguments(fcinfo);
    require_writable();
    const std::string name = arguments.text(0, "name");
    enforce_in_session(fcinfo, name, arguments.boolean(1, "proofs"));
    return static_cast<Datum>(0);
}

TENANTMIG_FUNCTION(tenantmig_relax) {
    Arguments arguments(fcinfo);
    require_writable();
    const std::string name = arguments.text(0, "name");
    relax_in_session(fcinfo, name);
    return static_cast<Datum>(0);
}
