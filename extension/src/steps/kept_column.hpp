// A column that goes while its values stay. Every row's key and value are copied, batch by batch, to a table of the
// same owner (tenantmig_TABLE_COLUMN_kept); a trigger notes in a journal what is written meanwhile
// (guards/keep_column.cpp); then one short transaction drops the column with all that hangs on it, and the journal is
// worked in. The way back adds the column, writes the values where the row still is and has no value yet, and makes
// constraints, indexes and the rest again, each without stopping anybody. Where it is stands in tenantmig.kept_column:
// every part may be killed, and is gone on with.
#pragma once
#include "engine/kept_removal.hpp"
#include "steps/kept_shape.hpp"
#include "steps/step.hpp"

namespace tenantmig {

// The columns that identify a row of the table once this one is gone: primary key, else a unique index over NOT NULL
// columns. Empty: there are none.
std::vector<AttrNumber> key_without(const Table &table, AttrNumber column);

// 2BP01 with the list of what depends on the column, 42501 (rights), 0A000 (partitioned, inherited, typed table; domain
// with constraints), 55000 (no key), all without a change.
void check_column_can_go(const Table &table, const Column &column, const MigrationRecord &migration,
                         StoredOnly stored_only = StoredOnly::counts);

// `kind`: drop_column, add_column (whose way back it is; nothing but values is brought back then).
void drop_keeping(StepContext &context, const Table &table, const Column &column, const char *kind);
// Goes on with what drop_keeping() has begun.
void continue_drop(StepContext &context, KeptColumn kept);
// Before the column has gone: as if nothing had been begun.
void abandon_drop(StepContext &context, const KeptColumn &kept);

// The column and all that hung on it is back. TM018: some of it is not, since rows written meanwhile stand in the way;
// called again it goes on. TM020: the values were purged. 42701: the name is taken.
void bring_back(StepContext &context, KeptColumn kept);
// Only the values, into a column that stands there already; then they are not kept any longer. `empty`: what a row
// holds that nobody has written, as SQL of the column's type; empty: NULL alone.
void refill(StepContext &context, KeptColumn kept, const std::string &empty);

// Drops the kept values of these; no way back from then on (state purged). Within the caller's transaction, as the
// owner of each table, whose rights the caller needs (42501). Returns how many there were.
std::int64_t drop_kept_columns(const std::vector<KeptColumn> &columns);

// The pieces that bring_back() is made of; for kept_restore.cpp.
struct KeptPlace {
    Table table;
    std::vector<const Column *> key;                            // of `table`, in the order of k1, k2, …
    std::string match(const char *kept, const char *row) const; // kept.k1 = row.id AND …
};
KeptPlace place_of(const KeptColumn &kept);
void work_in_journal(StepContext &context, KeptColumn &kept);
// "(3,0)"::tid and the like: rows of the blocks from..to-1.
std::string block_condition(const char *alias, std::int64_t from, std::int64_t to);
std::int64_t block_count(Oid table);
// Walks blocks [position, bound) in steps that take about `target` microseconds each; `batch` commits its own work.
void walk_blocks(std::int64_t position, std::int64_t bound, std::int64_t target,
                 const std::function<void(std::int64_t from, std::int64_t to)> &batch);
// What the copying relies on: rows stay in their blocks, and every write comes to the journal. After a rewrite of the
// table (VACUUM FULL, ALTER TYPE), under another owner or type, when a trigger was off for a while, or with another
// journal, this text (JSON, in the column shape until the column has gone) is another.
std::string copying_state(const KeptColumn &kept, const Table &table, const Column &column);

} // namespace tenantmig
