// A time limit for one query inside of a statement that goes on: statement_timeout counts for the whole statement.
#pragma once
#include "bridge/boundary.hpp"

namespace tenantmig {

// While it lives, whatever runs is cancelled (57014) after so many milliseconds; expired() tells that from a
// cancellation by somebody else. One at a time. finish() is to be called when all went well: a limit that is reached
// just then cancels nobody any more.
class QueryTimeout {
public:
    explicit QueryTimeout(int milliseconds);
    ~QueryTimeout();
    QueryTimeout(const QueryTimeout &) = delete;
    QueryTimeout &operator=(const QueryTimeout &) = delete;
    void finish();
    static bool expired(); // of the latest one
};

} // namespace tenantmig
