// The change log (design.md §5): packed entries, each chained to the one before by SHA-256. Hashed are names and
// values, no OIDs.
#pragma once
#include "catalog/own_tables.hpp"

namespace tenantmig {

struct KeyShape {
    std::vector<std::string> columns, types; // names of the key's columns and of their types
};

// One entry: one column, one source, any number of rows. Keys in core::pack_key's form.
struct ChangeEntry {
    std::int32_t chain = 0, entry = 0, batch = 0, step = 0;
    std::string kind; // backfill, review, rollback
    std::string schema, table, column;
    KeyShape key;
    std::string source;
    std::vector<std::string> keys;
    std::vector<std::optional<std::string>> old_values, new_values; // empty: all NULL
    std::string changed_at;                                         // set when read
};

// Appends to one chain of a run. Remembers the chain's head, so that a batch costs one INSERT an entry.
class ChangeLogWriter {
public:
    ChangeLogWriter(std::int64_t run, std::int32_t chain = 0); // reads the head
    void append(ChangeEntry &entry);                           // fills in chain and entry; splits nothing
private:
    std::int64_t run_;
    std::int32_t chain_, next_entry_;
    std::vector<std::uint8_t> head_;
};

struct ChainState {
    std::int32_t chain = 0;
    std::int32_t entries = 0;
    std::int64_t rows = 0;
    std::string head; // hex
    std::optional<std::int32_t>
        first_bad;       // the first entry whose hash does not follow from its content and the one before
    std::string problem; // what is wrong there, in words
};
// Recomputes the chains of a run, entry by entry (memory: one entry).
std::vector<ChainState> check_chains(std::int64_t run);
// "run=7 entries=3 rows=27 chain0=HEX": from stored heads, not recomputed.
std::string log_digest(std::int64_t run);

// Where in a chain the entry with this hash (hex) stands, and how many rows the chain has up to there.
struct EntryPosition {
    std::int32_t entry = 0;
    std::int64_t rows = 0;
};
std::optional<EntryPosition> find_entry(std::int64_t run, std::int32_t chain, const std::string &hash);

// The entries of a run, as chain and number, in order or in reverse; and one of them.
std::vector<std::pair<std::int32_t, std::int32_t>> list_entries(std::int64_t run, bool reverse);
ChangeEntry get_entry(std::int64_t run, std::int32_t chain, std::int32_t entry); // TM006 if it has gone

// Calls `on_entry` for each entry of a run, in order or in reverse.
void for_each_entry(std::int64_t run, bool reverse, const std::function<void(const ChangeEntry &)> &on_entry);

} // namespace tenantmig
