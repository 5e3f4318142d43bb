// Writes one column of many rows, found by their keys, by compare-and-set, through SQL, as the table's owner. Rows that
// are met block by block are written below SQL instead (heap_writer.hpp).
#pragma once
#include "bridge/identity.hpp"
#include "bridge/relation.hpp"

namespace tenantmig {

// Rows to write, column by column. Datums live in the caller's memory context.
struct WriteBatch {
    std::vector<std::vector<Datum>> keys; // [key column][row]; never NULL
    std::vector<Datum> new_values;
    std::unique_ptr<bool[]> new_nulls; // nullptr: none is NULL
    std::vector<Datum> expected;       // compare-and-set: what must stand there. Empty: NULL must
    std::unique_ptr<bool[]> expected_nulls;
    std::size_t size() const { return new_values.size(); }
};

// TM010: a trigger of the user put another value in the place of ours, or held the write of `rows` rows back.
[[noreturn]] void refuse_overridden(const Table &table, const Column &column);
[[noreturn]] void refuse_suppressed(const Table &table, const Column &column, std::int64_t rows);

class RowWriter {
public:
    // `writer`: the identity (the table's owner, or the caller for a decision by somebody with no more than UPDATE on
    // the column). `over_null`: batches carry no expected values.
    RowWriter(const Table &table, const Column &column, const std::vector<AttrNumber> &key, bool over_null, Oid writer);
    ~RowWriter();
    // Writes; sets written[i] for each row that was written. TM010 if a trigger of the user put another value there.
    // TM010 too if a trigger suppressed the write of a row (over_null only). changed_columns(): names of other columns
    // that triggers changed (looked for in the first batch only, on at most 1,000 rows).
    std::uint64_t write(const WriteBatch &batch, std::vector<bool> &written);
    const std::vector<std::string> &changed_columns() const { return changed_columns_; }

private:
    struct Implementation;
    std::unique_ptr<Implementation> implementation_;
    std::vector<std::string> changed_columns_;
};

} // namespace tenantmig
