#include "bridge/query_timeout.hpp"

extern "C" {
#include "utils/timeout.h"
}

namespace tenantmig {

namespace {
// Of this backend: timeouts are registered once and for all.
bool registered = false;
TimeoutId timeout_id;
volatile sig_atomic_t has_expired = 0;

// In a signal handler: as StatementTimeoutHandler does it.
void on_timeout() {
    has_expired = 1;
    InterruptPending = true;
    QueryCancelPending = true;
    SetLatch(MyLatch);
}
} // namespace

QueryTimeout::QueryTimeout(int milliseconds) {
    has_expired = 0;
    pg_call([milliseconds] {
        if (!registered) {
            timeout_id = RegisterTimeout(USER_TIMEOUT, on_timeout);
            registered = true;
        }
        enable_timeout_after(timeout_id, milliseconds);
    });
}

QueryTimeout::~QueryTimeout() {
    disable_timeout(timeout_id, false);
}

void QueryTimeout::finish() {
    disable_timeout(timeout_id, false);
    if (has_expired) QueryCancelPending = false;
}

bool QueryTimeout::expired() {
    return has_expired != 0;
}

} // namespace tenantmig
