#include "core/key_text.hpp"
#include <charconv>

#include "steps/undo_walk.hpp"

namespace tenantmig {

namespace {
// Types whose text is the same under all settings: rows are met under the session's.
bool plain_text(const Column &column) {
    switch (column.type) {
    case INT2OID:
    case INT4OID:
    case INT8OID:
    case UUIDOID:
    case TEXTOID:
    case VARCHAROID:
    case OIDOID:
    case NUMERICOID:
        return true;
    default:
        return false;
    }
}

bool integer_key(const StepTarget &target) {
    return target.key.size() == 1 && own_class(target.table.at(target.key[0])) == KeyClass::integer;
}

std::array<KeyClass, 1> value_class(const StepTarget &target) {
    return {own_class(target.column)};
}
} // namespace

std::optional<std::string> WrittenKeys::not_possible(const StepTarget &target) {
    if (auto why = why_through_sql(target)) return why;
    for (AttrNumber number : target.key)
        if (!plain_text(target.table.at(number))) return "the type of the table's key";
    if (value_class(target)[0] == KeyClass::as_text || !plain_text(target.column)) return "the type of the tenant key";
    return std::nullopt;
}

WrittenKeys::WrittenKeys(const StepTarget &target, std::size_t budget)
    : integer_(integer_key(target)), map_(integer_, budget), values_(value_class(target)[0]) {}

bool WrittenKeys::encode(const std::string &key, std::string *bytes) const {
    if (!integer_) {
        *bytes = key;
        return true;
    }
    std::int64_t number = 0;
    auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), number);
    if (error != std::errc() || end != key.data() + key.size()) return false;
    bytes->assign(reinterpret_cast<const char *>(&number), sizeof number);
    return true;
}

std::optional<WrittenKeys::Found> WrittenKeys::find(std::string_view encoded) const {
    found_.clear();
    map_.find(encoded, 0, found_);
    if (found_.size() != 1) return std::nullopt;
    return Found{static_cast<std::size_t>(found_[0].count - 1), found_[0].tenant};
}

bool WrittenKeys::add(const ChangeEntry &entry) {
    Entry &place = entries_[{entry.chain, entry.entry}];
    place = {restored_.size(), entry.keys.size(), false};
    std::string bytes;
    std::string last_text;
    std::uint32_t last = 0;
    for (std::size_t i = 0; i < entry.keys.size(); i++) {
        bool fits = encode(entry.keys[i], &bytes) && entry.old_values.empty() && !entry.new_values.empty() &&
                    entry.new_values[i].has_value();
        std::size_t number = restored_.size();
        restored_.push_back(false);
        repeated_.push_back(!fits);
        if (!fits) {
            place.repeated = true;
            continue;
        }
        if (auto earlier = find(bytes)) {
            repeated_[earlier->number] = repeated_[number] = true;
            place.repeated = true;
            for (auto &[which, other] : entries_)
                if (earlier->number >= other.first && earlier->number < other.first + other.count)
                    other.repeated = true;
            continue;
        }
        const std::string &text = *entry.new_values[i];
        if (text != last_text || last_text.empty()) {
            last = values_.number_of_text(text);
            last_text = text;
        }
        if (map_.add(bytes, last, number + 1) != core::EvidenceMap::Added::ok) return false;
    }
    return true;
}

void WrittenKeys::mark_restored(const ChangeEntry &entry) {
    std::string bytes;
    for (const std::string &key : entry.keys)
        if (encode(key, &bytes))
            if (auto found = find(bytes)) restored_[found->number] = true;
}

bool WrittenKeys::wanted(const std::string &key) const {
    std::string bytes;
    if (!encode(key, &bytes)) return true;
    auto found = find(bytes);
    return !found || repeated_[found->number] || !restored_[found->number];
}

bool WrittenKeys::entry_done(EntryRef which) const {
    auto found = entries_.find(which);
    if (found == entries_.end() || found->second.repeated) return false;
    for (std::size_t i = 0; i < found->second.count; i++)
        if (!restored_[found->second.first + i]) return false;
    return true;
}

// ---- the walk

UndoWalker::UndoWalker(OnlineWorker &worker, const StepTarget &target, WalkShared *walk, WrittenKeys &keys)
    : Walker(worker, target, target.step, walk, Pick::filled_keys,
             [&target] {
                 std::vector<AttrNumber> columns = target.key;
                 columns.push_back(target.column.number);
                 return columns;
             }()),
      keys_(keys), undone_(target) {
    for (AttrNumber number : target.key) {
        const Column &column = target.table.at(number);
        key_text_.emplace_back(column.type);
        entry_.key.columns.push_back(column.name);
        entry_.key.types.push_back(type_label(column.type));
    }
    entry_.step = target.step;
    entry_.kind = entry_.source = "rollback";
    entry_.schema = target.table.schema;
    entry_.table = target.table.name;
    entry_.column = target.column.name;
}

void UndoWalker::begin(const BlockRange &, const HeapWriter &writer) {
    key_.clear();
    for (AttrNumber number : undone_.key)
        key_.push_back(writer.number_in_leaf(number));
    Relation rel = writer.relation();
    current_ = TupleEncoder(undone_.table, {&undone_.column.number, 1}, value_class(undone_), RelationGetDescr(rel),
                            RelationGetRelid(rel));
}

std::string UndoWalker::packed_key(const LeafRow &row) {
    std::vector<std::string> texts;
    for (std::size_t i = 0; i < key_.size(); i++)
        texts.push_back(key_text_[i](row.values[key_[i] - 1]));
    std::vector<std::string_view> views(texts.begin(), texts.end());
    return core::pack_key(views);
}

bool UndoWalker::decide(const LeafRow &row, bool, RowWrite *write) {
    std::optional<WrittenKeys::Found> found;
    if (keys_.integer_keys()) {
        // by length, not by type: a domain over an integer has a type of its own
        const Column &column = undone_.table.at(undone_.key[0]);
        Datum value = row.values[key_[0] - 1];
        std::int64_t number = column.type == INT8OID   ? DatumGetInt64(value)
                              : column.type == INT4OID ? DatumGetInt32(value)
                                                       : DatumGetInt16(value);
        found = keys_.find({reinterpret_cast<const char *>(&number), sizeof number});
    } else {
        found = keys_.find(packed_key(row));
    }
    std::string_view current;
    if (!found || !keys_.open(found->number) || !current_.encode(row.values, row.nulls, &current) ||
        keys_.value_of(current) != found->value)
        return false;
    write->column = undone_.column.number;
    write->null = true;
    write->value = 0;
    write->label = static_cast<std::uint32_t>(found->number);
    write->tenant = found->value;
    return true;
}

void UndoWalker::written(const LeafRow &row, const RowWrite &write) {
    entry_.keys.push_back(packed_key(row));
    entry_.old_values.emplace_back(keys_.value_text(write.tenant));
    keys_.set_restored(write.label, true);
    pending_.push_back(write.label);
}

void UndoWalker::open_batch() {
    pending_.clear();
    if (!log_) log_.emplace(worker_.shared->run, worker_.number);
}

BatchRecorder::Batch UndoWalker::put_down(OnlineBatch &row) {
    row.kind = "rollback";
    row.phase = "undo";
    BatchRecorder::Batch batch;
    batch.number = row.batch;
    batch.rows = static_cast<std::int64_t>(entry_.keys.size());
    if (batch.rows > 0) {
        SpiSession session;
        entry_.batch = row.batch;
        log_->append(entry_);
        add_undo_count(row.run, undone_.table.label(), "restored", "", batch.rows);
    }
    entry_.keys.clear();
    entry_.old_values.clear();
    return batch;
}

void UndoWalker::discard() {
    for (std::size_t number : pending_)
        keys_.set_restored(number, false);
    pending_.clear();
    entry_.keys.clear();
    entry_.old_values.clear();
    log_.reset();
}

} // namespace tenantmig
