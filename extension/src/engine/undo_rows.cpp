#include "core/excerpt.hpp"
#include "core/key_text.hpp"

#include "bridge/engine_write.hpp"
#include "bridge/memory.hpp"
#include "catalog/text_arrays.hpp"
#include "engine/undo_rows.hpp"

namespace tenantmig {

namespace {
constexpr char changed_since[] = "value changed since", row_gone[] = "row is gone",
               suppressed[] = "update suppressed by a trigger, rule or policy";

using Values = std::vector<std::optional<std::string>>; // empty: all NULL

std::optional<std::string> value_at(const Values &values, std::size_t row) {
    return values.empty() ? std::nullopt : values[row];
}

void require_table_owner(const Table &table) {
    if (has_privileges_of(table.owner)) return;
    std::string owner = role_name(table.owner);
    throw Error(sqlstate::insufficient_privilege,
                fmt::format("must have the privileges of the owner of {}", table.label()),
                fmt::format("It belongs to {}; the current user is {}.", core::excerpt(owner),
                            core::excerpt(current_user_name())),
                fmt::format("SET ROLE {}, or have that role granted to you.", quoted(owner)));
}

} // namespace

// One column of one target, ready to be read and written: what entries of a run have in common.
struct UndoRows::Place {
    StepTarget target;
    Column column;
    std::vector<AttrNumber> key;
    std::vector<TextInput> key_inputs;
    std::unique_ptr<TextInput> value_input;
    std::unique_ptr<RowWriter> writer;
    std::unique_ptr<RowReader> reader;
};

UndoRows::UndoRows(const MigrationRecord &migration, std::int64_t run, std::int32_t chain, std::int32_t next_batch)
    : migration_(migration), run_(run), chain_(chain), batch_(next_batch), home_(CurrentMemoryContext) {}

UndoRows::~UndoRows() = default;

void UndoRows::rolled_back() {
    log_.reset();
    for (const std::string &row : skipped_last_)
        skipped_.erase(row);
    skipped_last_.clear();
}

void UndoRows::clear_counts() {
    counts_.clear();
}

void UndoRows::load_skipped() {
    Rows rows =
        own_query("SELECT DISTINCT column_name, key FROM tenantmig.undo_skip WHERE run_id = $1", {bigint_value(run_)});
    for (std::size_t i = 0; i < rows.size(); i++)
        skipped_.insert(rows.text_or(i, 1) + '\0' + rows.text_or(i, 2));
}

bool UndoRows::was_skipped(const ChangeEntry &entry, const std::string &key) const {
    return !skipped_.empty() && skipped_.contains(entry.column + '\0' + key);
}

std::vector<UndoCount> UndoRows::counts() const {
    std::vector<UndoCount> result;
    for (const auto &[what, rows] : counts_)
        result.push_back({std::get<0>(what), std::get<1>(what), std::get<2>(what), rows});
    return result;
}

UndoRows::Done UndoRows::entry(const ChangeEntry &entry, const Wanted &wanted) {
    Done done;
    done.relation = entry.table;
    skipped_last_.clear();
    if (entry.kind == "rollback") return done;
    Place &place = place_of(entry);
    MemoryScope scope;
    TimestampTz started = pg_call([] { return GetCurrentTimestamp(); });
    std::vector<std::size_t> rows;
    for (std::size_t i = 0; i < entry.keys.size(); i++)
        if (!was_skipped(entry, entry.keys[i]) && (!wanted || wanted(entry, entry.keys[i]))) rows.push_back(i);
    if (rows.empty()) return done;
    WriteBatch batch = make_batch(place, entry, rows);
    std::vector<bool> written;
    {
        EngineWriteScope ours(place.target.table.oid);
        place.writer->write(batch, written);
    }

    std::vector<SkippedRow> skipped;
    std::vector<std::size_t> restored;
    {
        RunAs reader(place.target.table.owner, Purpose::read);
        for (std::size_t i = 0; i < rows.size(); i++) {
            if (written[i])
                restored.push_back(rows[i]);
            else
                skipped.push_back(look_at(place, entry, batch, rows[i], i));
        }
    }
    log_restored(place, entry, restored, started, &done);
    log_skipped(place, entry, skipped);
    done.restored = static_cast<std::int64_t>(restored.size());
    done.skipped = static_cast<std::int64_t>(skipped.size());
    return done;
}

UndoRows::Place &UndoRows::place_of(const ChangeEntry &entry) {
    auto known = places_.find({entry.step, entry.column});
    if (known != places_.end()) return *known->second;
    MemoryContext previous = MemoryContextSwitchTo(home_); // what the place needs outlasts the transaction
    auto place = std::make_unique<Place>();
    place->target = locate_target(migration_, entry.step);
    const Table &table = place->target.table;
    require_table_owner(table);
    place->column = written_column(place->target, entry.column, entry.source);
    place->key = written_key(place->target, entry.key);
    for (AttrNumber number : place->key)
        place->key_inputs.emplace_back(table.at(number).type, table.at(number).typmod);
    place->value_input = std::make_unique<TextInput>(place->column.type, place->column.typmod);
    place->writer = std::make_unique<RowWriter>(table, place->column, place->key, false, table.owner);
    {
        RunAs reader(table.owner, Purpose::read);
        place->reader = std::make_unique<RowReader>(table, place->column, place->key);
    }
    MemoryContextSwitchTo(previous);
    return *(places_[{entry.step, entry.column}] = std::move(place));
}

// The log's text was written under the settings of Purpose::read, and is read back under them.
WriteBatch UndoRows::make_batch(Place &place, const ChangeEntry &entry, const std::vector<std::size_t> &rows) {
    RunAs reader(place.target.table.owner, Purpose::read);
    WriteBatch batch;
    batch.keys.resize(place.key.size());
    batch.new_values.resize(rows.size());
    batch.expected.resize(rows.size());
    batch.new_nulls = std::make_unique<bool[]>(rows.size());
    batch.expected_nulls = std::make_unique<bool[]>(rows.size());
    for (std::size_t i = 0; i < rows.size(); i++) {
        std::vector<std::string> parts = core::unpack_key(entry.keys[rows[i]], place.key.size());
        for (std::size_t k = 0; k < parts.size(); k++)
            batch.keys[k].push_back(place.key_inputs[k](parts[k]));
        const auto restore = value_at(entry.old_values, rows[i]), wrote = value_at(entry.new_values, rows[i]);
        batch.new_nulls[i] = !restore;
        batch.expected_nulls[i] = !wrote;
        if (restore) batch.new_values[i] = (*place.value_input)(*restore);
        if (wrote) batch.expected[i] = (*place.value_input)(*wrote);
    }
    return batch;
}

UndoRows::SkippedRow UndoRows::look_at(Place &place, const ChangeEntry &entry, const WriteBatch &batch, std::size_t row,
                                       std::size_t position) {
    std::vector<Datum> key;
    for (const auto &column : batch.keys)
        key.push_back(column[position]);
    RowReader::Found found = place.reader->read(key);
    if (!found.exists) return {row, std::nullopt, row_gone};
    return {row, found.value, found.value == value_at(entry.new_values, row) ? suppressed : changed_since};
}

void UndoRows::log_restored(const Place &place, const ChangeEntry &entry, const std::vector<std::size_t> &restored,
                            TimestampTz started, Done *done) {
    if (restored.empty()) return;
    const Table &table = place.target.table;
    ChangeEntry undone;
    undone.batch = batch_++;
    undone.step = entry.step;
    undone.kind = undone.source = "rollback";
    undone.schema = table.schema;
    undone.table = table.name;
    undone.column = place.column.name;
    undone.key.types = entry.key.types;
    for (AttrNumber number : place.key)
        undone.key.columns.push_back(table.at(number).name);
    for (std::size_t row : restored) {
        undone.keys.push_back(entry.keys[row]);
        if (!entry.new_values.empty()) undone.old_values.push_back(entry.new_values[row]);
        if (!entry.old_values.empty()) undone.new_values.push_back(entry.old_values[row]);
    }
    auto rows = static_cast<std::int64_t>(restored.size());
    done->batch = undone.batch;
    done->relation = table.label();
    if (chain_ == 0) insert_batch(run_, undone.batch, undone.step, "rollback", table.label(), rows, started);
    if (!log_) log_.emplace(run_, chain_);
    log_->append(undone);
    counts_[{table.label(), "restored", ""}] += rows;
}

void UndoRows::log_skipped(Place &place, const ChangeEntry &entry, const std::vector<SkippedRow> &skipped) {
    if (skipped.empty()) return;
    const Table &table = place.target.table;
    std::vector<std::string> names, keys, reasons;
    Values wrote, found;
    for (AttrNumber number : place.key)
        names.push_back(table.at(number).name);
    for (const SkippedRow &row : skipped) {
        keys.push_back(entry.keys[row.row]);
        wrote.push_back(value_at(entry.new_values, row.row));
        found.push_back(row.found);
        reasons.emplace_back(row.reason);
        skipped_last_.push_back(entry.column + '\0' + entry.keys[row.row]);
        skipped_.insert(skipped_last_.back());
        counts_[{table.label(), "skipped", row.reason}]++;
    }
    own_query("INSERT INTO tenantmig.undo_skip (run_id, schema_name, table_name, column_name, key_columns, "
              "key_types, key, wrote, found, reason) "
              "SELECT $1, $2, $3, $4, $5, $6, u.key, u.wrote, u.found, u.reason FROM unnest($7, $8, $9, $10) u "
              "(key, wrote, found, reason)",
              {bigint_value(run_), text_value(table.schema), text_value(table.name), text_value(place.column.name),
               text_array_value(names), text_array_value(entry.key.types), flat_text_array(keys),
               flat_text_array(wrote), flat_text_array(found), flat_text_array(reasons)});
}

} // namespace tenantmig
