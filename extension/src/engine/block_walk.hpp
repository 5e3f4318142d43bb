// One batch of the walk: a range of blocks of one heap table, one page pass. Rows are taken as they stand on the page,
// decided, and written below SQL by compare-and-set.
//
// Page passes (fast-path.md): a full page can't take HOT updates. Pass 0 moves a share of a page's rows away and
// commits; the next pass prunes the page and fits rows into the room that became free, as HOT updates, which need no
// new index entry; and so on. f = (1 - r) / (1 - r^k) of the rows leave, r = old length / (new length + line pointer),
// k passes; they leave in two portions, so that the index pages that take their entries are not split needlessly.
#pragma once
#include "engine/heap_writer.hpp"

namespace tenantmig {

struct BlockRange {
    std::uint32_t leaf = 0; // position in the list of leaves
    BlockNumber from = 0, to = 0;
    bool operator==(const BlockRange &) const = default;
};

// A row as it stands in a leaf. Valid during the call.
struct LeafRow {
    const Datum *values; // by attribute number of the leaf, from 0
    const bool *nulls;
    ItemPointerData tid;
    TransactionId xmin;
};

struct RowWrite {
    AttrNumber column = 0; // in the target
    Datum value = 0;
    bool null = false;
    std::uint32_t label = 0;
    std::uint32_t tenant = 0;
};

class WalkPolicy {
public:
    virtual ~WalkPolicy() = default;
    // A batch in this leaf begins; the writer maps columns. Under the identity that rows are written with.
    virtual void begin(const BlockRange &range, const HeapWriter &writer) = 0;
    // What the row gets; false: nothing. Called in each pass; `first`: for the first time.
    virtual bool decide(const LeafRow &row, bool first, RowWrite *write) = 0;
    virtual void written(const LeafRow &row, const RowWrite &write) = 0;
};

enum class Pick : std::uint8_t { null_keys, filled_keys }; // which rows a walk looks at

struct WalkBatch {
    std::int64_t written = 0, hot = 0, left = 0; // left: locked or changed by others at this moment
    std::int64_t remaining = 0;                  // to be written by a later pass
};

class BlockWalk {
public:
    BlockWalk(const StepTarget &target, Pick pick) : target_(target), pick_(pick) {}
    // In a transaction, under a snapshot, as whoever writes (RunAs owner, Purpose::write).
    WalkBatch run(Oid leaf, const BlockRange &range, int pass, int passes, WalkPolicy &policy);
    const std::set<std::string> &changed_columns() const { return changed_; }

private:
    void write_column(Oid leaf, const BlockRange &range, int pass, int passes, AttrNumber column, WalkPolicy &policy,
                      WalkBatch *batch);
    const StepTarget &target_;
    Pick pick_;
    std::set<std::string> changed_;
    double writable_share_ = 1;   // of the rows looked at: a running average
    std::set<AttrNumber> others_; // columns of the target that rows of the batch get beside the tenant key
};

// How many page passes pay in this leaf: 1 where an update of the column can't be HOT.
int page_passes(Oid leaf, const StepTarget &target);

} // namespace tenantmig
