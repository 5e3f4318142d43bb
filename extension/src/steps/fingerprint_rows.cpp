// The fingerprint of a table's rows: 128 bits per row over its columns in the order of their names, and their sum, so
// that neither the order of rows nor that of columns counts. Heap tables are read below SQL, page by page.
#include "core/row_hash.hpp"
#include <nlohmann/json.hpp>

#include "bridge/identity.hpp"
#include "bridge/memory.hpp"
#include "bridge/results.hpp"
#include "engine/heap_reader.hpp"
#include "steps/fingerprint.hpp"
#include "steps/fingerprint_value.hpp"
#include "steps/progress.hpp"

namespace tenantmig {

namespace {
constexpr std::int64_t notice_interval = 2 * USECS_PER_SEC;
constexpr int pages_between_looks = 256; // at the clock

struct Sum {
    core::Hash128 hash;
    std::int64_t rows = 0;
};

struct Hashed {
    Sum sum;
    std::string columns = "{}"; // JSON
};

class RowHasher {
public:
    // Positions of columns are those of `descriptor`.
    RowHasher(const Table &table, TupleDesc descriptor) : columns_(sorted_columns(table)) {
        seed_ = seed_of(columns_);
        hashed_.resize(columns_.size());
        row_.resize(columns_.size());
        sums_.resize(columns_.size());
        for (std::size_t i = 0; i < columns_.size(); i++) {
            const int position = position_in(descriptor, *columns_[i]);
            HashColumn *hashed = &hashed_[i];
            pg_call([descriptor, position, hashed] {
                describe_hash_column(TupleDescAttr(descriptor, position)->atttypid, position, hashed);
            });
            needs_memory_ = needs_memory_ || needs_memory(*hashed);
            if (is_time(*columns_[i])) times_++;
        }
        pg_call([this] { initStringInfo(&buffer_); });
    }

    // What a table without rows has: the names of its columns.
    static core::Hash128 seed(const Table &table) { return seed_of(sorted_columns(table)); }
    std::vector<AttrNumber> positions() const {
        std::vector<AttrNumber> numbers;
        for (const HashColumn &column : hashed_)
            numbers.push_back(static_cast<AttrNumber>(column.position + 1));
        return numbers;
    }

    // In pg_call; `scratch` is the current memory context, and may be reset.
    void add(const Datum *values, const bool *isnull, MemoryContext scratch, Sum *sum) {
        core::Hash128 *of_columns = row_.data();
        for (std::size_t i = 0; i < hashed_.size(); i++) {
            HashColumn &column = hashed_[i];
            resetStringInfo(&buffer_);
            append_hashed(column, values[column.position], isnull[column.position], &buffer_);
            of_columns[i] = core::hash_bytes(buffer_.data, static_cast<std::size_t>(buffer_.len), {});
            sums_[i].add(of_columns[i]);
        }
        sum->hash.add(hash_row(of_columns, hashed_.size()));
        if (times_ > 0) without_times_.add(hash_row(of_columns + times_, hashed_.size() - times_));
        sum->rows++;
        if (needs_memory_) MemoryContextReset(scratch);
    }

    // Where a difference is: the sum over each column by itself, and that over rows without date, time and UUID columns
    // (two runs of the same thing differ in those).
    std::string columns_json(const Sum &sum) const {
        nlohmann::json columns = nlohmann::json::object();
        for (std::size_t i = 0; i < columns_.size(); i++)
            columns[columns_[i]->name] = core::hex(sums_[i]);
        core::Hash128 rest = sum.hash;
        if (times_ > 0) rest = without_times_;
        return nlohmann::json{{"columns", columns}, {"without_times", core::hex(rest)}}.dump();
    }

private:
    static bool is_time(const Column &column) {
        switch (column.type) {
        case DATEOID:
        case TIMEOID:
        case TIMETZOID:
        case TIMESTAMPOID:
        case TIMESTAMPTZOID:
        case INTERVALOID:
        case UUIDOID:
            return true;
        default:
            return false;
        }
    }

    core::Hash128 hash_row(const core::Hash128 *columns, std::size_t count) const {
        return core::hash_bytes(reinterpret_cast<const char *>(columns), count * sizeof *columns, seed_);
    }

    // By name; those of date, time and UUID types stand first.
    static std::vector<const Column *> sorted_columns(const Table &table) {
        std::vector<const Column *> columns;
        for (const Column &column : table.columns)
            columns.push_back(&column);
        std::sort(columns.begin(), columns.end(), [](const Column *a, const Column *b) {
            return std::make_pair(!is_time(*a), std::string_view(a->name)) <
                   std::make_pair(!is_time(*b), std::string_view(b->name));
        });
        return columns;
    }

    static core::Hash128 seed_of(const std::vector<const Column *> &columns) {
        std::string names;
        for (const Column *column : columns)
            names += column->name + '\0';
        return core::hash_bytes(names.data(), names.size(), {});
    }

    static int position_in(TupleDesc descriptor, const Column &column) {
        for (int i = 0; i < descriptor->natts; i++) {
            Form_pg_attribute attribute = TupleDescAttr(descriptor, i);
            if (!attribute->attisdropped && column.name == NameStr(attribute->attname)) return i;
        }
        throw Error(sqlstate::undefined_column, fmt::format("column \"{}\" has gone", column.name), {},
                    "Try again: the table is being changed.");
    }

    std::vector<const Column *> columns_;
    std::vector<HashColumn> hashed_;
    std::size_t times_ = 0; // so many of them are of such types
    core::Hash128 seed_, without_times_;
    std::vector<core::Hash128> row_, sums_; // by column
    StringInfoData buffer_ = {};
    bool needs_memory_ = false;
};

class Progress {
public:
    explicit Progress(const Table &table) : table_(table), started_(GetCurrentTimestamp()), last_(started_) {}
    void tell(std::int64_t rows) {
        const TimestampTz now = GetCurrentTimestamp();
        if (now - last_ < notice_interval) return;
        last_ = now;
        notice(progress_line(table_.label(), rows,
                             std::max(rows, static_cast<std::int64_t>(std::max(table_.row_estimate, 0.0))),
                             now - started_));
    }

private:
    const Table &table_;
    TimestampTz started_, last_;
};

Hashed hash_heap(const Table &table) {
    HeapPages pages(table.oid);
    RowHasher hasher(table, pages.descriptor());
    TupleLayout layout(pages.descriptor(), hasher.positions());
    std::vector<Datum> values(layout.size() + 1); // a table may have no column
    auto nulls = std::make_unique<bool[]>(layout.size() + 1);
    Progress progress(table);
    Sum sum;
    MemoryScope scope;
    struct Page {
        const HeapPages *pages;
        const TupleLayout *layout;
        RowHasher *hasher;
        Datum *values;
        bool *nulls;
        Sum *sum;
    } page = {&pages, &layout, &hasher, values.data(), nulls.get(), &sum};
    for (int count = 1; pages.next(); count++) {
        pg_call([&page] {
            const int rows = page.pages->rows();
            for (int i = 0; i < rows; i++) {
                page.layout->deform(page.pages->row(i), page.values, page.nulls);
                page.hasher->add(page.values, page.nulls, CurrentMemoryContext, page.sum);
            }
        });
        if (count % pages_between_looks == 0) progress.tell(sum.rows);
    }
    return {sum, hasher.columns_json(sum)};
}

// Tables whose storage is not the heap.
Hashed hash_through_sql(const Table &table) {
    std::string list;
    for (const Column &column : table.columns)
        list += (list.empty() ? "t." : ", t.") + tenantmig::quoted(column.name);
    std::optional<RowHasher> hasher;
    Progress progress(table);
    Sum sum;
    MemoryContext scratch = pg_call(
        [] { return AllocSetContextCreate(CurrentMemoryContext, "tenantmig fingerprint", ALLOCSET_DEFAULT_SIZES); });
    stream_query(fmt::format("SELECT {} FROM ONLY {} AS t", list, table.sql()), {}, [&](TupleTableSlot *slot) {
        if (!hasher) hasher.emplace(table, slot->tts_tupleDescriptor);
        RowHasher *row_hasher = &*hasher;
        Sum *to = &sum;
        pg_call([slot, row_hasher, scratch, to] {
            slot_getallattrs(slot);
            MemoryContext saved = MemoryContextSwitchTo(scratch);
            row_hasher->add(slot->tts_values, slot->tts_isnull, scratch, to);
            MemoryContextSwitchTo(saved);
        });
        if (sum.rows % 10'000 == 0) progress.tell(sum.rows);
        return true;
    });
    return {sum, hasher ? hasher->columns_json(sum) : "{}"};
}

// Whoever may read all of the table's rows may know their fingerprint.
void require_right_to_read(const Table &table) {
    const bool may = pg_call([oid = table.oid] {
        return pg_class_aclcheck(oid, GetUserId(), ACL_SELECT) == ACLCHECK_OK &&
               check_enable_rls(oid, InvalidOid, true) != RLS_ENABLED;
    });
    if (may || has_privileges_of(table.owner)) return;
    throw Error(sqlstate::insufficient_privilege, fmt::format("permission denied for table {}", table.label()),
                fmt::format("Role {} may not read all of its rows.", current_user_name()),
                fmt::format("Ask {} for SELECT, or leave the rows out: with_data => false.", role_name(table.owner)));
}
} // namespace

FingerprintRow fingerprint_rows(Oid oid) {
    FingerprintRow row;
    row.part = "data";
    pg_call([oid] { LockRelationOid(oid, AccessShareLock); });
    auto described = describe_table(oid);
    if (!described) // dropped since the list was made
        return row;
    const Table &table = *described;
    require_right_to_read(table);
    RunAs owner(table.owner, Purpose::read);
    const bool heap = pg_call([oid] {
        Relation rel = relation_open(oid, NoLock);
        const bool yes = rel->rd_rel->relam == HEAP_TABLE_AM_OID;
        relation_close(rel, NoLock);
        return yes;
    });
    Hashed hashed = heap ? hash_heap(table) : hash_through_sql(table);
    hashed.sum.hash.add(RowHasher::seed(table));
    row.object = table.label();
    row.rows = hashed.sum.rows;
    row.hash = hashed.sum.hash;
    row.definition = hashed.columns;
    return row;
}

} // namespace tenantmig
