#include "bridge/subtransaction.hpp"

namespace tenantmig {

Subtransaction::Subtransaction() : context_(CurrentMemoryContext), owner_(CurrentResourceOwner) {
    pg_call([this] {
        BeginInternalSubTransaction(nullptr);
        MemoryContextSwitchTo(context_);
    });
    open_ = true;
}

void Subtransaction::commit() {
    pg_call([] { ReleaseCurrentSubTransaction(); });
    open_ = false;
    MemoryContextSwitchTo(context_);
    CurrentResourceOwner = owner_;
}

void Subtransaction::undo() {
    open_ = false;
    pg_call([] { RollbackAndReleaseCurrentSubTransaction(); });
    MemoryContextSwitchTo(context_);
    CurrentResourceOwner = owner_;
}

Subtransaction::~Subtransaction() {
    if (!open_) return;
    try {
        undo();
    } catch (...) { // the transaction is going to be aborted anyway
    }
}

} // namespace tenantmig
