// What one batch leaves behind beside the rows themselves: entries of the change log, reviews, counts. Whoever writes
// the rows, and however, notes here what became of each; flush() puts it down in the current transaction.
#pragma once
#include "core/evidence_map.hpp"

#include "catalog/change_log.hpp"
#include "catalog/migration_store.hpp"
#include "engine/evaluation.hpp"
#include "steps/outcome_counts.hpp"

namespace tenantmig {

// Keys of rows, column by column, copied to memory that lasts until the batch is flushed.
struct NotedKeys {
    std::vector<std::vector<Datum>> columns; // [key column][row]
    std::size_t size() const { return columns.empty() ? 0 : columns[0].size(); }
};

class BatchRecorder {
public:
    BatchRecorder(const MigrationRecord &migration, const ResolvedStep &step, const TenantDictionary &tenants,
                  std::int64_t run, MemoryContext parent);
    ~BatchRecorder();
    BatchRecorder(const BatchRecorder &) = delete;
    BatchRecorder &operator=(const BatchRecorder &) = delete;

    // Labels of what may have written a row: the sources, then "assign", "soft_delete".
    const std::vector<std::string> &labels() const { return labels_; }
    std::uint32_t assign_label() const { return static_cast<std::uint32_t>(labels_.size() - 2); }
    std::uint32_t soft_delete_label() const { return static_cast<std::uint32_t>(labels_.size() - 1); }

    // Reads what stands in the review queue already, so that no row is queued twice on the same evidence.
    void load_queue();

    void add_key(NotedKeys &keys, const Datum *values); // copies; `values`: the key's columns in order
    // A row that goes to the review queue.
    void queue(core::Outcome review_class, const Datum *key, const std::vector<core::Candidate> &candidates);
    // A row whose tenant key (tenant), or soft-delete column (value: its text), was written.
    void wrote(const Datum *key, std::uint32_t label, core::TenantNo tenant);
    void wrote_deletion(const Datum *key, const std::string &value);
    // A value of this run that was taken back: `old_value` stood there; the row is queued.
    void took_back(const std::string &key, const std::string &column, const std::string &old_value);
    void queue_text(core::Outcome review_class, std::string key, std::string candidates);

    struct Batch {
        std::int32_t number = 0;
        std::int64_t rows = 0;   // written
        std::int64_t queued = 0; // put into the review queue
    };
    // Appends to the log and the queue. The batch's own row is the caller's business.
    Batch flush(ChangeLogWriter &log, std::int32_t number);
    void discard(); // after a rollback

    // Reviews of rows that did not come by: somebody gave them a key, they have gone, or the conditions leave them out.
    void close_settled();
    // Whether the row stands in the queue, as loaded; by its packed key.
    std::string packed_key(const NotedKeys &keys, std::size_t row);
    std::string packed_key(const Datum *key);
    const KeyShape &key_shape() const { return key_shape_; }

private:
    struct Written {
        NotedKeys keys;
        std::vector<std::uint32_t> label;
        std::vector<core::TenantNo> tenant;
    };
    struct Queue {
        NotedKeys keys;
        std::vector<std::string> candidates;
    };
    struct TextQueue {
        std::vector<std::string> keys, candidates;
    };
    void append(ChangeLogWriter &log, ChangeEntry &entry, std::int32_t number, const std::string &column,
                const std::string &source, Batch &batch);
    void flush_written(ChangeLogWriter &log, Batch &batch);
    void flush_queue(core::Outcome review_class, Queue &queue, Batch &batch);
    void insert_queue(core::Outcome review_class, TextQueue &queue, Batch &batch);
    void close_review_of(const std::string &key);
    std::vector<std::string> texts_of(const NotedKeys &keys);

    const MigrationRecord &migration_;
    const ResolvedStep &step_;
    const StepTarget &target_;
    const TenantDictionary &tenants_;
    std::int64_t run_;
    std::vector<std::string> labels_;
    KeyShape key_shape_;
    std::vector<TextOutput> key_text_;
    std::vector<std::pair<std::int16_t, bool>> key_storage_; // length, by value
    MemoryContext memory_;
    Written written_;
    NotedKeys deleted_;
    std::string deletion_;
    std::map<core::Outcome, Queue> queues_;
    std::map<core::Outcome, TextQueue> text_queues_;
    std::map<std::string, std::vector<std::pair<std::string, std::string>>> taken_back_; // column -> key, old value
    core::EvidenceMap queued_;                 // key -> fingerprint of class and candidates, id
    std::vector<std::int64_t> outdated_, met_; // ids of these: to be withdrawn, and seen again
};

} // namespace tenantmig
