// Undoing entries of a change log: each row gets its old value if, and only if, it still holds what the entry wrote.
// What is restored is itself logged, as entries of kind rollback at the end of a chain; what is left alone is kept in
// undo_skip.
#pragma once
#include <unordered_set>

#include "bridge/text_input.hpp"
#include "engine/undo.hpp"
#include "engine/written_column.hpp"

namespace tenantmig {

class UndoRows {
public:
    // `chain`: where what is restored is logged.
    UndoRows(const MigrationRecord &migration, std::int64_t run, std::int32_t chain, std::int32_t next_batch);
    ~UndoRows();
    // One entry, in the current transaction. Entries come in reverse order.
    struct Done {
        std::int64_t restored = 0, skipped = 0;
        std::int32_t batch = 0; // of what was restored
        std::string relation;
    };
    // `wanted`: whether a row, by its packed key, is to be dealt with; empty: all are.
    using Wanted = std::function<bool(const ChangeEntry &entry, const std::string &key)>;
    Done entry(const ChangeEntry &entry, const Wanted &wanted = {});
    void use_batch(std::int32_t number) { batch_ = number; } // the next one's number
    // The transaction of the last entry was rolled back: what it skipped is not known any more, and the chain's head is
    // read again.
    void rolled_back();
    std::vector<UndoCount> counts() const;
    void clear_counts();
    // Tells UndoRows of rows that an earlier call left alone.
    void load_skipped();

private:
    struct Place;
    struct SkippedRow {
        std::size_t row;
        std::optional<std::string> found;
        const char *reason;
    };
    Place &place_of(const ChangeEntry &entry);
    static WriteBatch make_batch(Place &place, const ChangeEntry &entry, const std::vector<std::size_t> &rows);
    static SkippedRow look_at(Place &place, const ChangeEntry &entry, const WriteBatch &batch, std::size_t row,
                              std::size_t position);
    void log_restored(const Place &place, const ChangeEntry &entry, const std::vector<std::size_t> &restored,
                      TimestampTz started, Done *done);
    void log_skipped(Place &place, const ChangeEntry &entry, const std::vector<SkippedRow> &skipped);
    bool was_skipped(const ChangeEntry &entry, const std::string &key) const;

    const MigrationRecord &migration_;
    std::int64_t run_;
    std::int32_t chain_, batch_;
    MemoryContext home_; // lives as long as this
    std::optional<ChangeLogWriter> log_;
    std::map<std::pair<std::int32_t, std::string>, std::unique_ptr<Place>> places_;
    // column and key of rows left alone: an earlier entry of such a row is not tried, nor counted again
    std::unordered_set<std::string> skipped_;
    std::vector<std::string> skipped_last_; // those that the last entry added
    std::map<std::tuple<std::string, std::string, std::string>, std::int64_t> counts_; // relation, outcome, reason
};

} // namespace tenantmig
