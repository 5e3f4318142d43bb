#include <numeric>

#include "engine/block_walk.hpp"
#include "engine/row_writer.hpp"

namespace tenantmig {

namespace {
constexpr int hot_passes = 8;          // fast-path.md: 8 passes gave 70 to 81 % HOT; more gain nothing
constexpr BlockNumber read_ahead = 32; // blocks

struct PageRows {
    Buffer buffer;
    std::int64_t room;
    int count;
    OffsetNumber offsets[MaxHeapTuplesPerPage];
};

// Visible rows of the page whose key is (not) NULL. The page stays pinned, so that its tuples stay where they are.
void read_page(Relation rel, BlockNumber block, BlockNumber ahead, AttrNumber column, bool want_null, bool prune,
               PageRows *rows) {
    CHECK_FOR_INTERRUPTS();
    if (BlockNumberIsValid(ahead)) PrefetchBuffer(rel, MAIN_FORKNUM, ahead);
    rows->buffer = ReadBuffer(rel, block);
    rows->count = 0;
    if (prune) heap_page_prune_opt(rel, rows->buffer);
    Snapshot snapshot = GetActiveSnapshot();
    TupleDesc columns = RelationGetDescr(rel);
    LockBuffer(rows->buffer, BUFFER_LOCK_SHARE);
    Page page = BufferGetPage(rows->buffer);
    HeapTupleData tuple;
    tuple.t_tableOid = RelationGetRelid(rel);
    for (OffsetNumber offset = FirstOffsetNumber; offset <= PageGetMaxOffsetNumber(page); offset++) {
        ItemId item = PageGetItemId(page, offset);
        if (!ItemIdIsNormal(item)) continue;
        tuple.t_data = reinterpret_cast<HeapTupleHeader>(PageGetItem(page, item));
        tuple.t_len = ItemIdGetLength(item);
        ItemPointerSet(&tuple.t_self, block, offset);
        // the cheap test first: whether the key stands there. A column added later may be missing from the tuple.
        if (heap_attisnull(&tuple, column, columns) != want_null) continue;
        if (!HeapTupleSatisfiesVisibility(&tuple, snapshot, rows->buffer)) continue;
        rows->offsets[rows->count++] = offset;
    }
    rows->room = static_cast<std::int64_t>(PageGetHeapFreeSpace(page));
    LockBuffer(rows->buffer, BUFFER_LOCK_UNLOCK);
}

// The order in which the blocks of a range are visited. Passes in which rows leave their pages jump about: rows that
// leave neighbouring pages would land together on one new page, and an index page that takes their entries would look
// there first for something to delete, find that all of it lives, and split. Scattered, the pages that were left are
// the most promising ones (heapam's bottomup_sort_and_shrink), and their dead entries make the room.
class BlockOrder {
public:
    BlockOrder(BlockNumber from, BlockNumber end, bool scattered) : from_(from), count_(end > from ? end - from : 0) {
        if (!scattered || count_ < 8) return;
        step_ = static_cast<BlockNumber>(static_cast<double>(count_) * 0.618);
        while (std::gcd(step_, count_) != 1)
            step_++;
    }
    BlockNumber count() const { return count_; }
    BlockNumber operator[](BlockNumber i) const {
        if (i >= count_) return InvalidBlockNumber;
        return from_ + static_cast<BlockNumber>(static_cast<std::uint64_t>(i) * step_ % count_);
    }

private:
    BlockNumber from_, count_, step_ = 1;
};

HeapTupleData tuple_at(Relation rel, const PageRows &rows, BlockNumber block, int number) {
    Page page = BufferGetPage(rows.buffer);
    ItemId item = PageGetItemId(page, rows.offsets[number]);
    HeapTupleData tuple;
    tuple.t_tableOid = RelationGetRelid(rel);
    tuple.t_data = reinterpret_cast<HeapTupleHeader>(PageGetItem(page, item));
    tuple.t_len = ItemIdGetLength(item);
    ItemPointerSet(&tuple.t_self, block, rows.offsets[number]);
    return tuple;
}

// How much longer a row gets at most.
std::int64_t growth_of(Relation rel, AttrNumber column, const RowWrite &write) {
    if (write.null) return 0;
    Form_pg_attribute attribute = TupleDescAttr(RelationGetDescr(rel), column - 1);
    if (attribute->attlen > 0) return attribute->attlen;
    return static_cast<std::int64_t>(VARSIZE_ANY(DatumGetPointer(write.value)));
}

// How many of a page's rows a pass writes: the first `quota` of them; -1: as many as fit, and `extra` beyond.
struct Share {
    int quota, extra;
};
Share share_of_pass(int pass, int passes, int rows, double old_length, double new_length) {
    if (passes == 1 || pass >= passes - 1) return {MaxHeapTuplesPerPage, 0};
    double r = old_length / (new_length + sizeof(ItemIdData));
    if (r >= 1) return {pass == 0 ? MaxHeapTuplesPerPage : -1, 0};
    double leaving = (1 - r) / (1 - std::pow(r, passes));
    if (pass == 0) return {static_cast<int>(std::ceil(rows * leaving / 2)), 0};
    if (pass == 1) return {-1, static_cast<int>(std::ceil(rows / (1 - leaving / 2) * leaving / 2))};
    return {-1, 0};
}
} // namespace

int page_passes(Oid leaf, const StepTarget &target) {
    std::string key = target.column.name;
    const char *name = key.c_str();
    bool indexed = pg_call([leaf, name] {
        Relation rel = relation_open(leaf, AccessShareLock);
#if PG_VERSION_NUM >= 160000
        Bitmapset *columns = RelationGetIndexAttrBitmap(rel, INDEX_ATTR_BITMAP_HOT_BLOCKING);
#else
        Bitmapset *columns = RelationGetIndexAttrBitmap(rel, INDEX_ATTR_BITMAP_ALL);
#endif
        bool found = bms_is_member(get_attnum(leaf, name) - FirstLowInvalidHeapAttributeNumber, columns);
        relation_close(rel, NoLock);
        return found;
    });
    return indexed ? 1 : hot_passes;
}

WalkBatch BlockWalk::run(Oid leaf, const BlockRange &range, int pass, int passes, WalkPolicy &policy) {
    WalkBatch batch;
    others_.clear();
    write_column(leaf, range, pass, passes, target_.column.number, policy, &batch);
    for (AttrNumber column : std::exchange(others_, {})) {
        pg_call([] {
            CommandCounterIncrement();
            UpdateActiveSnapshotCommandId();
        });
        write_column(leaf, range, pass, passes, column, policy, &batch);
    }
    return batch;
}

// One statement: rows that get this column written. Those that get another one are for the next.
void BlockWalk::write_column(Oid leaf, const BlockRange &range, int pass, int passes, AttrNumber column,
                             WalkPolicy &policy, WalkBatch *batch) {
    bool first_statement = column == target_.column.number;
    HeapWriter writer(target_, leaf, column);
    Relation rel = writer.relation();
    policy.begin(range, writer);
    AttrNumber key = writer.number_in_leaf(target_.column.number);
    TupleDesc columns = RelationGetDescr(rel);
    auto width = static_cast<std::size_t>(columns->natts);
    std::vector<Datum> values(width);
    auto nulls = std::make_unique<bool[]>(width);
    std::vector<RowWrite> writes(MaxHeapTuplesPerPage);
    std::vector<HeapWriter::Item> items(MaxHeapTuplesPerPage);
    auto rows = std::make_unique<PageRows>();
    bool want_null = pick_ == Pick::null_keys;
    BlockNumber end = std::min<BlockNumber>(range.to, pg_call([rel] { return RelationGetNumberOfBlocks(rel); }));

    auto row_at = [&](HeapTupleData &tuple) {
        heap_deform_tuple(&tuple, columns, values.data(), nulls.get());
        return LeafRow{values.data(), nulls.get(), tuple.t_self, HeapTupleHeaderGetRawXmin(tuple.t_data)};
    };
    BlockOrder order(range.from, end, passes > 1 && pass < 2);
    for (BlockNumber i = 0; i < order.count(); i++) {
        BlockNumber block = order[i], ahead = order[i + read_ahead];
        PageRows *page = rows.get();
        pg_call([rel, block, ahead, key, want_null, passes, page] {
            read_page(rel, block, ahead, key, want_null, passes > 1, page);
        });
        // Rows are decided as long as the pass has room for them; the rest of the page is for a later one.
        std::size_t count = 0;
        int decided = 0;
        std::int64_t growth = 0;
        std::optional<Share> share;
        for (int n = 0; n < page->count; n++) {
            HeapWriter::Item &item = items[count];
            item.tuple = tuple_at(rel, *page, block, n);
            auto length = static_cast<std::int64_t>(MAXALIGN(item.tuple.t_len + static_cast<std::uint32_t>(growth)));
            if (share && (share->quota >= 0 ? static_cast<int>(count) >= share->quota
                                            : page->room < length && share->extra <= 0)) {
                batch->remaining += page->count - n;
                break;
            }
            RowWrite &write = writes[count];
            decided++;
            if (!policy.decide(row_at(item.tuple), pass == 0 && first_statement, &write)) continue;
            if (write.column != column) {
                if (first_statement) others_.insert(write.column);
                continue;
            }
            if (!share) {
                growth = growth_of(rel, writer.number_in_leaf(column), write);
                length = static_cast<std::int64_t>(MAXALIGN(item.tuple.t_len + static_cast<std::uint32_t>(growth)));
                // how many of the page's rows are to be written is known only when all are decided: as on the others
                int expected = static_cast<int>(std::ceil((page->count - n) * writable_share_));
                share = share_of_pass(pass, passes, expected, static_cast<double>(MAXALIGN(item.tuple.t_len)),
                                      static_cast<double>(length));
            }
            if (share->quota < 0 && page->room < length) share->extra--;
            page->room -= length + static_cast<std::int64_t>(sizeof(ItemIdData));
            item.value = write.value;
            item.null = write.null;
            count++;
        }
        if (decided > 0)
            writable_share_ += 0.1 * (static_cast<double>(count) / static_cast<double>(decided) - writable_share_);
        if (count > 0) {
            writer.write(items.data(), count);
            for (std::size_t n = 0; n < count; n++) {
                const RowWrite &write = writes[n];
                switch (items[n].result) {
                case Written::yes_hot:
                    batch->hot++;
                    [[fallthrough]];
                case Written::yes:
                    batch->written++;
                    policy.written(row_at(items[n].tuple), write);
                    break;
                case Written::left:
                    batch->left++;
                    break;
                case Written::suppressed:
                    if (!want_null) { // an undo leaves to the rows that it takes by key what triggers hold back
                        batch->left++;
                        break;
                    }
                    refuse_suppressed(target_.table, target_.table.at(write.column), 1);
                case Written::overridden:
                    refuse_overridden(target_.table, target_.table.at(write.column));
                }
            }
        }
        pg_call([page] { ReleaseBuffer(page->buffer); });
    }
    for (AttrNumber number : writer.changed_columns()) {
        const char *name = pg_call([columns, number] {
            return static_cast<const char *>(NameStr(TupleDescAttr(columns, number - 1)->attname));
        });
        changed_.insert(name);
    }
    writer.finish();
}

} // namespace tenantmig
