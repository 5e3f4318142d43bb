// Whether the rows that are being written are written by the engine itself, and to which table: known inside the
// backend only, so that no setting can pretend it. Guards of that table let such writes pass; those of other tables,
// which triggers of users may write to meanwhile, look as ever.
#pragma once
#include "bridge/pg.hpp"

namespace tenantmig {

class EngineWriteScope {
public:
    // The table or partition that is written; its partitions belong to it.
    explicit EngineWriteScope(Oid relation) : outer_(relation_), was_active_(active_) {
        relation_ = relation;
        active_ = true;
    }
    // Whatever is written: only for what is undone at once.
    EngineWriteScope() : EngineWriteScope(InvalidOid) {}
    ~EngineWriteScope() {
        relation_ = outer_;
        active_ = was_active_;
    }
    EngineWriteScope(const EngineWriteScope &) = delete;
    EngineWriteScope &operator=(const EngineWriteScope &) = delete;
    static bool active() { return active_; }
    static Oid relation() { return relation_; }

private:
    Oid outer_;
    bool was_active_;
    inline static Oid relation_ = InvalidOid;
    inline static bool active_ = false;
};

} // namespace tenantmig
