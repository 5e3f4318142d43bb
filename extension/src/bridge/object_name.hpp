// Names of constraints and indexes as PostgreSQL makes them.
#pragma once
#include "bridge/boundary.hpp"

namespace tenantmig {

// first_second_label, the longer ones of `first` and `second` cut off at whole characters until it has at most 63
// bytes. `second` may be empty.
std::string object_name(const std::string &first, const std::string &second, const std::string &label);

} // namespace tenantmig
