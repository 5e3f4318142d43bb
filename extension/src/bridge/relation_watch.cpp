#include "bridge/relation_watch.hpp"

namespace tenantmig {

namespace {
std::uint64_t changes = 0;
bool registered = false;

void count_change(Datum, Oid) {
    changes++;
}
} // namespace

std::uint64_t relation_changes() {
    if (!registered) {
        pg_call([] { CacheRegisterRelcacheCallback(count_change, 0); });
        registered = true;
    }
    return changes;
}

} // namespace tenantmig
