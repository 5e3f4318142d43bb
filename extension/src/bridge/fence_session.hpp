// How a session is written down that a fence lets pass: process number and start, which no other session has.
#pragma once
#include "bridge/pg.hpp"

namespace tenantmig {

// Of this session, in the current memory context. Can report errors (memory).
inline const char *fence_session() {
    return psprintf("%d/%lld", MyProcPid, static_cast<long long>(MyStartTimestamp));
}

} // namespace tenantmig
