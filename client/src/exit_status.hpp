// The exit statuses of the client: part of its contract with scripts (docs/client.md).
#pragma once

namespace tenantmig::client {

enum class ExitStatus : int {
    done = 0,
    failure = 1,
    connection = 2,
    usage = 3,
    findings = 4,
    open_reviews = 5,
    gate_closed = 5,
    paused = 6,
    mismatch = 7,
    interrupted = 130,
};

} // namespace tenantmig::client
