// A statement as a client sends it: at top level, with no transaction of ours open.
#pragma once
#include "bridge/boundary.hpp"

namespace tenantmig {

// In a background worker: CREATE INDEX CONCURRENTLY begins and ends transactions of its own, and neither SPI nor a
// procedure may run it. Runs as `role`, restricted as RunAs does it, so that code of users in it can't get back to the
// session's user. An error leaves no transaction behind.
void run_at_top_level(const std::string &statement, Oid role);

} // namespace tenantmig
