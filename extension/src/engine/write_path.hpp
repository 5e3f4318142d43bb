// How a step's rows are written: below SQL, block by block, where that does all that the executor would have done;
// through SQL elsewhere (design.md §5, "Speed").
#pragma once
#include "engine/resolve.hpp"

namespace tenantmig {

// A table that holds rows of the target: the target itself, or one of its leaf partitions.
struct Leaf {
    Oid oid = InvalidOid;
    Oid storage = InvalidOid; // relfilenode: what block numbers refer to
    BlockNumber blocks = 0;
};
// In the order of the partitions' bounds. Under ACCESS SHARE until the transaction's end.
std::vector<Leaf> leaves_of(const Table &table);

// Why rows of the step must be written through SQL; nullopt: they can be written below it.
std::optional<std::string> why_through_sql(const StepTarget &target);

// "direct", or "sql: WHY".
std::string write_path(const StepTarget &target);

// What must stay the same while a run goes on. Indexes, statistics, comments, defaults and columns that the run does
// not touch may change.
struct LeafIdentity {
    Oid storage = InvalidOid, owner = InvalidOid, parent = InvalidOid;
    std::string columns;  // number and type of the columns that the run reads and writes
    std::string triggers; // row triggers of the user
    bool whole = true;    // none of those columns has gone
    bool operator==(const LeafIdentity &) const = default;
};
// nullopt: the table has gone. `numbers`: columns of the target; found by name in the leaf.
std::optional<LeafIdentity> identify_leaf(Oid leaf, const Table &table, const std::vector<AttrNumber> &numbers);
// What differs, in words; empty if nothing does, or only the storage.
std::string difference(const LeafIdentity &before, const LeafIdentity &now);

} // namespace tenantmig
