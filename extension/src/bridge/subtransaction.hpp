// A part of a transaction that can be undone on its own: to swallow an error, and for dry runs.
#pragma once
#include "bridge/boundary.hpp"

namespace tenantmig {

// Begins an internal subtransaction. commit() keeps its work; without it the destructor undoes everything done since.
// Memory context and resource owner are restored either way. Not for parallel mode.
class Subtransaction {
public:
    Subtransaction();
    ~Subtransaction();
    Subtransaction(const Subtransaction &) = delete;
    Subtransaction &operator=(const Subtransaction &) = delete;
    void commit();
    void undo(); // at once, reporting errors; the destructor swallows them

private:
    MemoryContext context_;
    ResourceOwner owner_;
    bool open_ = false;
};

} // namespace tenantmig
