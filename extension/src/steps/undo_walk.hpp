// The fast part of an undo by batches: what a run wrote is looked up while the table is walked, block by block and with
// page passes, and taken back where it still stands. What is not met that way is left to the undo by key.
#pragma once
#include "core/evidence_map.hpp"

#include "engine/tuple_encoder.hpp"
#include "engine/undo_rows.hpp"
#include "steps/online.hpp"

namespace tenantmig {

// The keys that a run wrote in one column, with the values. Keys that were written more than once by the run are not
// kept: their entries must be undone in reverse order.
class WrittenKeys {
public:
    WrittenKeys(const StepTarget &target, std::size_t budget);
    // Why rows of the target can't be found that way; nullopt: they can.
    static std::optional<std::string> not_possible(const StepTarget &target);
    bool add(const ChangeEntry &entry); // false: no more room
    void mark_restored(const ChangeEntry &entry);

    struct Found {
        std::size_t number; // of the key
        std::uint32_t value;
    };
    std::optional<Found> find(std::string_view encoded) const;
    bool wanted(const std::string &key) const; // still to be undone by key
    bool open(std::size_t number) const { return !restored_[number] && !repeated_[number]; }
    bool entry_done(EntryRef which) const; // added, and nothing of it is left
    const std::string &value_text(std::uint32_t value) const { return values_.text(value); }
    std::uint32_t value_of(std::string_view encoded) { return values_.number(encoded); }
    void set_restored(std::size_t number, bool restored) { restored_[number] = restored; }
    bool integer_keys() const { return integer_; }
    std::size_t size() const { return restored_.size(); }

private:
    bool encode(const std::string &key, std::string *bytes) const;
    struct Entry {
        std::size_t first, count;
        bool repeated; // has keys that stand in other entries too
    };
    bool integer_;
    core::EvidenceMap map_; // key -> value, with the key's number + 1 as count
    TenantDictionary values_;
    std::vector<bool> restored_, repeated_;
    mutable std::vector<core::Candidate> found_; // reused by find()
    std::map<EntryRef, Entry> entries_;
};

// Takes back what WrittenKeys knows.
class UndoWalker : public Walker {
public:
    UndoWalker(OnlineWorker &worker, const StepTarget &target, WalkShared *walk, WrittenKeys &keys);

    void begin(const BlockRange &range, const HeapWriter &writer) override;
    bool decide(const LeafRow &row, bool first, RowWrite *write) override;
    void written(const LeafRow &row, const RowWrite &write) override;

protected:
    void open_batch() override;
    BatchRecorder::Batch put_down(OnlineBatch &row) override;
    void discard() override;

private:
    std::string packed_key(const LeafRow &row);
    WrittenKeys &keys_;
    const StepTarget &undone_;
    std::vector<TextOutput> key_text_;
    std::vector<AttrNumber> key_;
    TupleEncoder current_;
    std::optional<ChangeLogWriter> log_;
    ChangeEntry entry_;
    std::vector<std::size_t> pending_;
};

} // namespace tenantmig
