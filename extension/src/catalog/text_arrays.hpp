// text[] of packed entries, built and read in tight loops: ten thousand elements cost one allocation.
#pragma once
#include "bridge/sql.hpp"

namespace tenantmig {

Value flat_text_array(std::span<const std::string> values);
Value flat_text_array(std::span<const std::optional<std::string>> values);

// The elements of a text[], detoasted in the current memory context; NULL elements have data() == nullptr. Of more
// dimensions: flattened.
std::vector<std::string_view> view_text_array(Datum array);

} // namespace tenantmig
