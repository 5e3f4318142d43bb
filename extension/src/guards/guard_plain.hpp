// The plain form of a trigger: EXECUTE FUNCTION tenantmig.guard_KIND('names', …), of the
// kinds that look at other rows. The same description as an attached
// guard has, made from the names each time an entry is made.
//
// Names are exact, as stored. A table without a schema is one of the schema of the guarded table: the search_path of
// whoever writes a row must not decide.
#pragma once
#include "bridge/relation.hpp"
#include "guards/guard_entry.hpp"

namespace tenantmig {

// 22023: other arguments than the kind takes; 42703, 42P01: a name that is none (any more); 42704: no foreign key leads
// to the parent.
core::GuardDefinition plain_definition(core::GuardKind kind, Oid relation, const Trigger *trigger);

// A table whose rows have a parent and must be of its tenant.
struct PlainChild {
    Table child, parent;
    Column tenant, parent_tenant;
    std::vector<Column> via, key; // in the order of each other
    bool early = false;           // a child may be there before its parent
};

// The children of a table whose own trigger guard_same_tenant(…) is of the plain form. `trigger`: the one on the
// parent, for its function. `seen`: tables that were looked at.
std::vector<PlainChild> plain_children(Oid trigger, const Table &parent, std::vector<Oid> &seen);

} // namespace tenantmig
