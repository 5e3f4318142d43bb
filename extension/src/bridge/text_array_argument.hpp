// An argument of type text[].
#pragma once
#include "bridge/sql.hpp"

namespace tenantmig {

// Its elements; nullopt: NULL. A NULL among them is 22004, naming the argument, with this hint.
std::optional<std::vector<std::string>> text_array_argument(FunctionCallInfo call, int number, const char *name,
                                                            const char *hint);

} // namespace tenantmig
