// A memory context of one's own, for loops that must not grow.
#pragma once
#include "bridge/boundary.hpp"

namespace tenantmig {

// While it lives, palloc'd memory goes to a context of its own; reset() and the end free it all. On the way out of an
// error the context is left to its parent, because the error's data may lie in it.
class MemoryScope {
public:
    MemoryScope() : saved_(CurrentMemoryContext), exceptions_(std::uncaught_exceptions()) {
        own_ = pg_call(
            [] { return AllocSetContextCreate(CurrentMemoryContext, "tenantmig scope", ALLOCSET_DEFAULT_SIZES); });
        MemoryContextSwitchTo(own_);
    }
    ~MemoryScope() {
        MemoryContextSwitchTo(saved_);
        if (std::uncaught_exceptions() == exceptions_) MemoryContextDelete(own_);
    }
    MemoryScope(const MemoryScope &) = delete;
    MemoryScope &operator=(const MemoryScope &) = delete;
    void reset() { MemoryContextReset(own_); }

private:
    MemoryContext saved_, own_;
    int exceptions_;
};

} // namespace tenantmig
