#include "bridge/object_name.hpp"

extern "C" {
#include "commands/defrem.h"
}

namespace tenantmig {

std::string object_name(const std::string &first, const std::string &second, const std::string &label) {
    const char *one = first.c_str(), *two = second.empty() ? nullptr : second.c_str(), *three = label.c_str();
    return pg_call([one, two, three] { return static_cast<const char *>(makeObjectName(one, two, three)); });
}

} // namespace tenantmig
