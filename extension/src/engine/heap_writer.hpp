// Writes rows of one heap table below SQL, in the current transaction: what the executor does for an UPDATE of one
// column, without planner and joins. BEFORE and AFTER triggers (row and statement, WHEN, UPDATE OF, transition tables),
// generated columns, constraints, indexes, replica identity and SSI are honoured; identity and settings are the
// caller's business (RunAs owner, Purpose::write; an active snapshot).
#pragma once
#include "engine/write_path.hpp"

namespace tenantmig {

enum class Written : std::uint8_t {
    yes,
    yes_hot,    // without a new index entry
    left,       // somebody else has it locked, or has changed it since the snapshot: not now
    suppressed, // a BEFORE trigger held the write back
    overridden  // a BEFORE trigger put another value there
};

class HeapWriter {
public:
    // Opens `leaf` (the target or a leaf partition) under ROW EXCLUSIVE, to write `column` of the target: a writer is
    // one UPDATE statement. 42501: the current user lacks the right to UPDATE.
    HeapWriter(const StepTarget &target, Oid leaf, AttrNumber column);
    // Fires the statement's triggers; nothing may be written afterwards. Without it (an error) the transaction's end
    // cleans up.
    void finish();
    HeapWriter(const HeapWriter &) = delete;
    HeapWriter &operator=(const HeapWriter &) = delete;

    Relation relation() const { return state_.leaf; }
    // Number of a column of the target in this leaf.
    AttrNumber number_in_leaf(AttrNumber in_target) const { return map_[static_cast<std::size_t>(in_target)]; }
    // Names of columns that BEFORE triggers changed beside ours (looked for on the first rows).
    const std::set<AttrNumber> &changed_columns() const { return changed_; }

    struct Item {
        HeapTupleData tuple; // the old version; its page is pinned
        Datum value;
        bool null;
        Written result;
    };
    // Writes the items in order; the page of all of them must be pinned.
    void write(Item *items, std::size_t count);

private:
    struct State {
        Relation leaf, root; // the same if the table isn't partitioned
        EState *estate;
        ResultRelInfo *result, *root_result;
        EPQState epq;
        TupleTableSlot *new_slot, *locked_slot;
        TransitionCaptureState *capture;
        MemoryContext rows; // reset after each page
        Datum *values;
        bool *nulls;
        AttrNumber column; // that is written, in the leaf
        FmgrInfo equal;    // of its type
        Oid collation;
        Oid domain; // its type, if that is one: values come as its base type
        void *domain_state;
        bool begun, before_row;
        bool *changed; // flags by attribute
    };
    static void write_one(State *state, Item *item, bool watch);
    State state_ = {};
    std::vector<AttrNumber> map_;
    std::set<AttrNumber> changed_;
    std::size_t watch_left_ = 1000; // rows: enough to see what a trigger does, too few to cost
    std::unique_ptr<bool[]> changed_flags_;
};

} // namespace tenantmig
