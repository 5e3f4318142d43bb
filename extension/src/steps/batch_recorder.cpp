#include "core/key_text.hpp"

#include "catalog/review_store.hpp"
#include "steps/batch_recorder.hpp"

namespace tenantmig {

namespace {
std::uint32_t fingerprint(std::string_view review_class, std::string_view candidates) {
    std::string text(review_class);
    text += candidates;
    return static_cast<std::uint32_t>(core::hash_key(text) & 0x7fffffffU);
}
} // namespace

BatchRecorder::BatchRecorder(const MigrationRecord &migration, const ResolvedStep &step,
                             const TenantDictionary &tenants, std::int64_t run, MemoryContext parent)
    : migration_(migration), step_(step), target_(step.target), tenants_(tenants), run_(run), queued_(false, SIZE_MAX) {
    memory_ = pg_call([parent] { return AllocSetContextCreate(parent, "tenantmig batch", ALLOCSET_DEFAULT_SIZES); });
    for (const ResolvedSource &source : step.sources)
        labels_.push_back(source.label);
    labels_.insert(labels_.end(), {"assign", "soft_delete"});
    for (AttrNumber number : target_.key) {
        const Column &column = target_.table.at(number);
        key_shape_.columns.push_back(column.name);
        key_shape_.types.push_back(type_label(column.type));
        key_text_.emplace_back(column.type);
        Oid type = column.type;
        std::pair<std::int16_t, bool> storage;
        pg_call([type, &storage] { get_typlenbyval(type, &storage.first, &storage.second); });
        key_storage_.push_back(storage);
    }
}

BatchRecorder::~BatchRecorder() {
    MemoryContextDelete(memory_);
}

void BatchRecorder::load_queue() {
    queued_.clear();
    for_each_queued(migration_.id, step_.spec.number, [this](const ReviewRow &review) {
        if (queued_.add(review.key, fingerprint(review.review_class, review.candidates),
                        static_cast<std::uint64_t>(review.id)) != core::EvidenceMap::Added::ok)
            throw std::bad_alloc();
    });
}

// ---- noting

void BatchRecorder::add_key(NotedKeys &keys, const Datum *values) {
    keys.columns.resize(key_storage_.size());
    MemoryContext context = memory_;
    for (std::size_t i = 0; i < key_storage_.size(); i++) {
        auto [length, by_value] = key_storage_[i];
        Datum datum = values[i];
        if (!by_value)
            datum = pg_call([context, datum, length = length] {
                MemoryContext previous = MemoryContextSwitchTo(context);
                Datum copy =
                    length == -1 ? PointerGetDatum(PG_DETOAST_DATUM_COPY(datum)) : datumCopy(datum, false, length);
                MemoryContextSwitchTo(previous);
                return copy;
            });
        keys.columns[i].push_back(datum);
    }
}

void BatchRecorder::queue(core::Outcome review_class, const Datum *key,
                          const std::vector<core::Candidate> &candidates) {
    Queue &queue = queues_[review_class];
    add_key(queue.keys, key);
    queue.candidates.push_back(review_class == core::Outcome::orphan
                                   ? "[]"
                                   : candidates_json(step_, tenants_, core::asked(step_.policy, candidates)));
}

void BatchRecorder::queue_text(core::Outcome review_class, std::string key, std::string candidates) {
    TextQueue &queue = text_queues_[review_class];
    queue.keys.push_back(std::move(key));
    if (review_class != core::Outcome::orphan) queue.candidates.push_back(std::move(candidates));
}

void BatchRecorder::wrote(const Datum *key, std::uint32_t label, core::TenantNo tenant) {
    add_key(written_.keys, key);
    written_.label.push_back(label);
    written_.tenant.push_back(tenant);
}

void BatchRecorder::wrote_deletion(const Datum *key, const std::string &value) {
    add_key(deleted_, key);
    deletion_ = value;
}

void BatchRecorder::took_back(const std::string &key, const std::string &column, const std::string &old_value) {
    taken_back_[column].emplace_back(key, old_value);
}

// ---- text forms of keys

std::string BatchRecorder::packed_key(const NotedKeys &keys, std::size_t row) {
    if (keys.columns.size() == 1) {
        std::string text = key_text_[0](keys.columns[0][row]);
        std::string_view view = text;
        return core::pack_key({&view, 1});
    }
    std::vector<std::string> texts;
    for (std::size_t i = 0; i < keys.columns.size(); i++)
        texts.push_back(key_text_[i](keys.columns[i][row]));
    std::vector<std::string_view> views(texts.begin(), texts.end());
    return core::pack_key(views);
}

std::string BatchRecorder::packed_key(const Datum *key) {
    NotedKeys one;
    one.columns.resize(key_text_.size());
    for (std::size_t i = 0; i < key_text_.size(); i++)
        one.columns[i].push_back(key[i]);
    return packed_key(one, 0);
}

std::vector<std::string> BatchRecorder::texts_of(const NotedKeys &keys) {
    std::vector<std::string> texts;
    texts.reserve(keys.size());
    RunAs fixed(GetUserId(), Purpose::read); // text forms that do not depend on the session
    for (std::size_t i = 0; i < keys.size(); i++)
        texts.push_back(packed_key(keys, i));
    return texts;
}

// ---- putting down

void BatchRecorder::append(ChangeLogWriter &log, ChangeEntry &entry, std::int32_t number, const std::string &column,
                           const std::string &source, Batch &batch) {
    if (entry.keys.empty()) return;
    batch.rows += static_cast<std::int64_t>(entry.keys.size());
    entry.batch = number;
    entry.step = step_.spec.number;
    entry.kind = "backfill";
    entry.schema = target_.table.schema;
    entry.table = target_.table.name;
    entry.column = column;
    entry.key = key_shape_;
    entry.source = source;
    log.append(entry);
}

void BatchRecorder::close_review_of(const std::string &key) {
    std::vector<core::Candidate> found;
    queued_.find(key, 0, found);
    if (!found.empty()) outdated_.push_back(static_cast<std::int64_t>(found[0].count));
}

void BatchRecorder::flush_written(ChangeLogWriter &log, Batch &batch) {
    if (written_.keys.size() > 0) {
        std::vector<std::string> keys = texts_of(written_.keys);
        std::vector<ChangeEntry> entries(labels_.size());
        for (std::size_t i = 0; i < keys.size(); i++) {
            if (queued_.size() > 0) close_review_of(keys[i]);
            ChangeEntry &entry = entries[written_.label[i]];
            entry.keys.push_back(std::move(keys[i]));
            entry.new_values.emplace_back(tenants_.text(written_.tenant[i]));
        }
        for (std::size_t i = 0; i < entries.size(); i++)
            append(log, entries[i], batch.number, target_.column.name, labels_[i], batch);
    }
    if (deleted_.size() > 0) {
        ChangeEntry entry;
        entry.keys = texts_of(deleted_);
        entry.new_values.assign(entry.keys.size(), deletion_);
        append(log, entry, batch.number, target_.soft_delete->name, labels_.back(), batch);
    }
    for (const auto &[column, rows] : taken_back_) {
        ChangeEntry entry;
        for (const auto &[key, value] : rows) {
            entry.keys.push_back(key);
            entry.old_values.emplace_back(value);
        }
        append(log, entry, batch.number, column, "closing check", batch);
    }
}

void BatchRecorder::flush_queue(core::Outcome review_class, Queue &queue, Batch &batch) {
    if (queue.keys.size() == 0) return;
    std::vector<std::string> keys = texts_of(queue.keys);
    TextQueue fresh;
    for (std::size_t i = 0; i < keys.size(); i++) {
        if (queued_.size() > 0) {
            std::vector<core::Candidate> found;
            queued_.find(keys[i], 0, found);
            if (!found.empty()) {
                met_.push_back(static_cast<std::int64_t>(found[0].count));
                if (found[0].tenant == fingerprint(core::outcome_name(review_class), queue.candidates[i]))
                    continue; // queued or dismissed already, on the same evidence
                outdated_.push_back(static_cast<std::int64_t>(found[0].count));
            }
        }
        fresh.keys.push_back(std::move(keys[i]));
        if (review_class != core::Outcome::orphan) fresh.candidates.push_back(std::move(queue.candidates[i]));
    }
    insert_queue(review_class, fresh, batch);
}

void BatchRecorder::insert_queue(core::Outcome review_class, TextQueue &queue, Batch &batch) {
    if (queue.keys.empty()) return;
    ReviewBatch reviews;
    reviews.migration = migration_.id;
    reviews.run = run_;
    reviews.step = step_.spec.number;
    reviews.schema = target_.table.schema;
    reviews.table = target_.table.name;
    reviews.column = target_.column.name;
    reviews.key = key_shape_;
    reviews.review_class = core::outcome_name(review_class);
    reviews.keys = std::move(queue.keys);
    reviews.candidates = std::move(queue.candidates);
    batch.queued += static_cast<std::int64_t>(reviews.keys.size());
    insert_reviews(reviews);
}

BatchRecorder::Batch BatchRecorder::flush(ChangeLogWriter &log, std::int32_t number) {
    SpiSession session; // its results and parameters go with it: memory does not grow with the rows
    Batch batch;
    batch.number = number;
    flush_written(log, batch);
    for (auto &[review_class, queue] : queues_)
        flush_queue(review_class, queue, batch);
    for (auto &[review_class, queue] : text_queues_)
        insert_queue(review_class, queue, batch);
    if (!outdated_.empty())
        withdraw(outdated_, "tenantmig", fmt::format("replaced by run {}: its evidence has changed", run_));
    discard();
    return batch;
}

void BatchRecorder::discard() {
    for (auto &column : written_.keys.columns)
        column.clear();
    written_.label.clear();
    written_.tenant.clear();
    deleted_ = {};
    queues_.clear();
    text_queues_.clear();
    taken_back_.clear();
    outdated_.clear();
    MemoryContextReset(memory_);
}

void BatchRecorder::close_settled() {
    if (queued_.size() == 0) return;
    std::sort(met_.begin(), met_.end());
    std::vector<std::int64_t> settled;
    queued_.for_each([&](std::string_view, core::TenantNo, std::uint64_t id) {
        if (!std::binary_search(met_.begin(), met_.end(), static_cast<std::int64_t>(id)))
            settled.push_back(static_cast<std::int64_t>(id));
    });
    withdraw(settled, "tenantmig", fmt::format("settled before run {}: the row has a key, or is gone", run_));
}

} // namespace tenantmig
