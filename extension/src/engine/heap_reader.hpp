// Heap tables read below SQL: page by page under a snapshot, in the order and with the rows that SELECT … FROM ONLY
// would give. The caller takes care of identity (bridge/identity.hpp): every row is seen, as under row_security = off.
#pragma once
#include "bridge/relation.hpp"

namespace tenantmig {

// Whether SELECT on a table is allowed to a role: its owner too may have revoked his own rights. To be called in
// pg_call.
bool may_read(Oid table, Oid schema, Oid role);

// Why the rows of a table can't be read that way; nullopt: they can be. Partitions are looked at too.
std::optional<std::string> why_not_plain_heap(const Table &table);

// What holds a table's rows: itself, or its leaf partitions in the order in which SQL reads them. Under ACCESS SHARE to
// the end of the transaction.
std::vector<Oid> leaves_in_order(const Table &table);

// The pages of one relation, under the active snapshot as it is now: what this transaction writes later is not seen.
// Takes ACCESS SHARE to the end of the transaction, and in SERIALIZABLE the predicate lock of a sequential scan. On the
// way out of an error it leaves the clean-up to the (sub)transaction, whose resource owner must be the one of its
// start.
class HeapPages {
public:
    explicit HeapPages(Oid relation);
    ~HeapPages();
    HeapPages(const HeapPages &) = delete;
    HeapPages &operator=(const HeapPages &) = delete;

    bool next();                        // the next page that has visible rows; interrupts are taken here
    int rows() const { return count_; } // of the page: numbers from 0 to rows() - 1
    // Valid until next(). Nothing below calls PostgreSQL in a way that can fail.
    HeapTupleHeader row(int number) const {
        return reinterpret_cast<HeapTupleHeader>(PageGetItem(page_, PageGetItemId(page_, offsets_[number])));
    }
    ItemPointerData position(int number) const {
        ItemPointerData tid;
        ItemPointerSet(&tid, block_, offsets_[number]);
        return tid;
    }
    Oid relation() const { return RelationGetRelid(relation_); }
    TupleDesc descriptor() const { return RelationGetDescr(relation_); }

private:
    Relation relation_ = nullptr;
    Snapshot snapshot_ = nullptr;
    TableScanDesc scan_ = nullptr;
    Page page_ = nullptr;
    const OffsetNumber *offsets_ = nullptr;
    BlockNumber block_ = InvalidBlockNumber;
    int count_ = 0;
};

// Takes chosen columns out of tuples. Values stand at their attribute's place (number - 1) and may point into the
// tuple.
class TupleLayout {
public:
    // `wanted`: attribute numbers. The descriptor must outlive the layout.
    TupleLayout(TupleDesc descriptor, const std::vector<AttrNumber> &wanted);
    void deform(HeapTupleHeader tuple, Datum *values, bool *isnull) const;
    std::size_t size() const { return attributes_.size(); } // of the two arrays
    // Whether the tuple itself holds a value other than NULL in this column.
    static bool has_value(HeapTupleHeader tuple, AttrNumber number) {
        return number <= static_cast<int>(HeapTupleHeaderGetNatts(tuple)) &&
               !((tuple->t_infomask & HEAP_HASNULL) != 0 && att_isnull(number - 1, tuple->t_bits));
    }

private:
    struct Attribute {
        std::int16_t length;
        bool by_value, wanted;
        char align;
        std::uint32_t offset; // in a tuple without NULLs; only for the first fixed_
    };
    TupleDesc descriptor_;
    std::vector<Attribute> attributes_;
    std::vector<std::size_t> fixed_wanted_; // those of the first fixed_ that are wanted
    std::size_t fixed_ = 0;
    std::uint32_t fixed_end_ = 0;
};

// The number that a column of `table` has in the relation described: its own, or a partition's.
AttrNumber number_in(TupleDesc descriptor, Oid relation, const Table &table, AttrNumber number);

} // namespace tenantmig
