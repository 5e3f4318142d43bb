// The hash of an entry is SHA-256 over the hash of the entry before it in its chain (32 zero bytes for the first) and
// these fields in this order, each as its length (32 bits, little endian; 0xFFFFFFFF for NULL) and its bytes; numbers
// in decimal; a list as the number of its elements (0xFFFFFFFF for NULL) and then each element so: run, chain, entry,
// batch, step, kind, schema, table, column, key columns, key types, source, keys, old values, new values, time (ISO,
// UTC). Names and values only: it is the same after a restore elsewhere.
#include <array>

#include "bridge/memory.hpp"
#include "catalog/change_log.hpp"
#include "catalog/report_archive.hpp"
#include "catalog/text_arrays.hpp"

namespace tenantmig {

namespace {
using Hash = std::array<std::uint8_t, PG_SHA256_DIGEST_LENGTH>;

class Serialiser {
public:
    explicit Serialiser(std::span<const std::uint8_t> previous) {
        bytes_.append(reinterpret_cast<const char *>(previous.data()), previous.size());
    }
    void reserve(std::size_t size) { bytes_.reserve(size); }
    void field(std::string_view value) {
        length(static_cast<std::uint32_t>(value.size()));
        bytes_.append(value);
    }
    void number(std::int64_t value) { field(std::to_string(value)); }
    void null() { length(UINT32_MAX); }
    void element(const std::string &value) { field(value); }
    void element(const std::optional<std::string> &value) {
        if (value)
            field(*value);
        else
            null();
    }
    template <typename List>
    void list(const List &values) {
        length(static_cast<std::uint32_t>(values.size()));
        for (const auto &value : values)
            element(value);
    }
    Hash digest() const {
        const auto *data = reinterpret_cast<const uint8 *>(bytes_.data());
        std::size_t size = bytes_.size();
        return pg_call([data, size] {
            Hash hash = {};
            pg_cryptohash_ctx *context = pg_cryptohash_create(PG_SHA256);
            if (!context || pg_cryptohash_init(context) < 0 || pg_cryptohash_update(context, data, size) < 0 ||
                pg_cryptohash_final(context, hash.data(), hash.size()) < 0)
                ereport(ERROR, (errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION), errmsg("could not compute SHA-256"),
                                errhint("Check the server's OpenSSL library and its settings.")));
            pg_cryptohash_free(context);
            return hash;
        });
    }

private:
    void length(std::uint32_t value) {
        const char bytes[4] = {static_cast<char>(value), static_cast<char>(value >> 8), static_cast<char>(value >> 16),
                               static_cast<char>(value >> 24)};
        bytes_.append(bytes, sizeof bytes);
    }
    std::string bytes_;
};

Hash entry_hash(std::span<const std::uint8_t> previous, std::int64_t run, const ChangeEntry &entry) {
    Serialiser out(previous);
    out.reserve(512 + entry.keys.size() * 32);
    out.number(run);
    out.number(entry.chain);
    out.number(entry.entry);
    out.number(entry.batch);
    out.number(entry.step);
    out.field(entry.kind);
    out.field(entry.schema);
    out.field(entry.table);
    out.field(entry.column);
    out.list(entry.key.columns);
    out.list(entry.key.types);
    out.field(entry.source);
    out.list(entry.keys);
    for (const auto *values : {&entry.old_values, &entry.new_values}) {
        if (values->empty())
            out.null();
        else
            out.list(*values);
    }
    out.field(entry.changed_at);
    return out.digest();
}

std::vector<std::uint8_t> read_bytes(const Rows &rows, std::size_t row, int column) {
    bool null = false;
    Datum value = rows.datum(row, column, &null);
    if (null) return {};
    auto *bytes = pg_call([value] { return DatumGetByteaPP(value); });
    const auto *data = reinterpret_cast<const std::uint8_t *>(VARDATA_ANY(bytes));
    return {data, data + VARSIZE_ANY_EXHDR(bytes)};
}

std::string hex(std::span<const std::uint8_t> bytes) {
    std::string text;
    for (std::uint8_t byte : bytes)
        text += fmt::format("{:02x}", byte);
    return text;
}

// Timestamps are read and written under fixed settings (RunAs read): ISO, UTC, all digits.
std::string utc_text(TimestampTz time) {
    RunAs self(extension_owner(), Purpose::read);
    return pg_call([time] { return DatumGetCString(DirectFunctionCall1(timestamptz_out, TimestampTzGetDatum(time))); });
}

struct EntryRef {
    std::int32_t chain, entry;
};

std::vector<EntryRef> entry_list(std::int64_t run, const char *order) {
    Rows rows =
        own_query(fmt::format("SELECT chain, entry FROM tenantmig.change_log WHERE run_id = $1 ORDER BY {}", order),
                  {bigint_value(run)});
    std::vector<EntryRef> list;
    list.reserve(rows.size());
    for (std::size_t i = 0; i < rows.size(); i++)
        list.push_back({static_cast<std::int32_t>(rows.bigint(i, 1)), static_cast<std::int32_t>(rows.bigint(i, 2))});
    return list;
}

struct StoredEntry {
    ChangeEntry entry;
    std::int64_t row_count = 0;
    std::vector<std::uint8_t> hash;
};

std::vector<std::optional<std::string>> read_values(const Rows &rows, int column) {
    bool null = false;
    Datum array = rows.datum(0, column, &null);
    std::vector<std::optional<std::string>> values;
    if (null) return values;
    std::vector<std::string_view> views = view_text_array(array);
    values.reserve(views.size());
    for (std::string_view view : views) {
        if (view.data())
            values.emplace_back(std::string(view));
        else
            values.emplace_back(std::nullopt);
    }
    return values;
}

// Values are turned to text by the statement itself, under its fixed settings: the result is read under the session's.
StoredEntry read_entry(std::int64_t run, EntryRef which) {
    MemoryScope scope;
    Rows rows = own_query(
        "SELECT batch, step, kind, schema_name, table_name, column_name, key_columns, key_types, source, keys, "
        "old_values, new_values, "
        "changed_at::text, hash, row_count FROM tenantmig.change_log WHERE run_id = $1 AND chain = $2 AND entry = $3",
        {bigint_value(run), int_value(which.chain), int_value(which.entry)});
    if (rows.empty())
        throw Error(sqlstate::log_tampered,
                    fmt::format("entry {} of run {} has gone from the change log", which.entry, run), {},
                    "Something deleted it at this moment; call this again.");
    StoredEntry stored;
    ChangeEntry &entry = stored.entry;
    entry.chain = which.chain;
    entry.entry = which.entry;
    entry.batch = static_cast<std::int32_t>(rows.bigint(0, 1));
    entry.step = static_cast<std::int32_t>(rows.bigint(0, 2));
    entry.kind = rows.text_or(0, 3);
    entry.schema = rows.text_or(0, 4);
    entry.table = rows.text_or(0, 5);
    entry.column = rows.text_or(0, 6);
    entry.key.columns = rows.text_array(0, 7);
    entry.key.types = rows.text_array(0, 8);
    entry.source = rows.text_or(0, 9);
    bool null = false;
    std::vector<std::string_view> keys = view_text_array(rows.datum(0, 10, &null));
    entry.keys.assign(keys.begin(), keys.end());
    entry.old_values = read_values(rows, 11);
    entry.new_values = read_values(rows, 12);
    entry.changed_at = rows.text_or(0, 13);
    stored.hash = read_bytes(rows, 0, 14);
    stored.row_count = rows.bigint(0, 15);
    return stored;
}

// Empty if the entry is what its hash says and in itself consistent.
std::string problem_of(const StoredEntry &stored, std::span<const std::uint8_t> previous, std::int64_t run) {
    const ChangeEntry &entry = stored.entry;
    Hash expected = entry_hash(previous, run, entry);
    if (!std::equal(expected.begin(), expected.end(), stored.hash.begin(), stored.hash.end()))
        return "its hash does not follow from its content and the entry before it";
    auto fits = [&entry](const std::vector<std::optional<std::string>> &values) {
        return values.empty() || values.size() == entry.keys.size();
    };
    if (stored.row_count != static_cast<std::int64_t>(entry.keys.size()) || !fits(entry.old_values) ||
        !fits(entry.new_values))
        return "its number of rows is not the number of its keys and values";
    return {};
}
} // namespace

ChangeLogWriter::ChangeLogWriter(std::int64_t run, std::int32_t chain)
    : run_(run), chain_(chain), next_entry_(1), head_(PG_SHA256_DIGEST_LENGTH, 0) {
    Rows rows = own_query(
        "SELECT entry, hash FROM tenantmig.change_log WHERE run_id = $1 AND chain = $2 ORDER BY entry DESC LIMIT 1",
        {bigint_value(run), int_value(chain)});
    if (rows.empty()) return;
    next_entry_ = static_cast<std::int32_t>(rows.bigint(0, 1)) + 1;
    head_ = read_bytes(rows, 0, 2);
}

void ChangeLogWriter::append(ChangeEntry &entry) {
    MemoryScope scope;
    entry.chain = chain_;
    entry.entry = next_entry_;
    TimestampTz now = pg_call([] { return GetCurrentTimestamp(); });
    entry.changed_at = utc_text(now);
    Hash hash = entry_hash(head_, run_, entry);
    own_query("INSERT INTO tenantmig.change_log (run_id, chain, entry, batch, step, kind, schema_name, table_name, "
              "column_name, key_columns, key_types, "
              "source, row_count, keys, old_values, new_values, changed_at, hash) "
              "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)",
              {bigint_value(run_), int_value(chain_), int_value(entry.entry), int_value(entry.batch),
               int_value(entry.step), text_value(entry.kind), text_value(entry.schema), text_value(entry.table),
               text_value(entry.column), text_array_value(entry.key.columns), text_array_value(entry.key.types),
               text_value(entry.source), int_value(static_cast<std::int32_t>(entry.keys.size())),
               flat_text_array(entry.keys),
               entry.old_values.empty() ? null_value(TEXTARRAYOID) : flat_text_array(entry.old_values),
               entry.new_values.empty() ? null_value(TEXTARRAYOID) : flat_text_array(entry.new_values),
               timestamp_value(now), bytea_value(hash)});
    head_.assign(hash.begin(), hash.end());
    next_entry_++;
}

std::vector<ChainState> check_chains(std::int64_t run) {
    std::vector<ChainState> chains;
    std::vector<std::uint8_t> previous;
    for (EntryRef which : entry_list(run, "chain, entry")) {
        if (chains.empty() || chains.back().chain != which.chain) {
            chains.emplace_back();
            chains.back().chain = which.chain;
            previous.assign(PG_SHA256_DIGEST_LENGTH, 0);
        }
        ChainState &state = chains.back();
        StoredEntry stored = read_entry(run, which);
        std::int32_t expected = state.entries + 1;
        if (!state.first_bad && which.entry != expected) {
            state.first_bad = expected;
            state.problem = fmt::format("it is missing: entry {} comes next", which.entry);
        }
        if (!state.first_bad) {
            std::string problem = problem_of(stored, previous, run);
            if (!problem.empty()) {
                state.first_bad = which.entry;
                state.problem = std::move(problem);
            }
        }
        state.entries++;
        state.rows += stored.row_count;
        state.head = hex(stored.hash);
        previous = std::move(stored.hash);
    }
    return chains;
}

std::string log_digest(std::int64_t run) {
    if (auto archived = archived_report(run); archived && archived->log_purged) return archived->digest;
    Rows rows = own_query(
        "SELECT DISTINCT ON (chain) chain, hash, count(*) OVER (), sum(row_count) OVER () FROM tenantmig.change_log "
        "WHERE run_id = $1 ORDER BY chain, entry DESC",
        {bigint_value(run)});
    std::string digest = fmt::format("run={} entries={} rows={}", run, rows.empty() ? 0 : rows.bigint(0, 3),
                                     rows.empty() ? 0 : rows.bigint(0, 4));
    for (std::size_t i = 0; i < rows.size(); i++)
        digest += fmt::format(" chain{}={}", rows.bigint(i, 1), hex(read_bytes(rows, i, 2)));
    return digest;
}

std::optional<EntryPosition> find_entry(std::int64_t run, std::int32_t chain, const std::string &hash) {
    Rows rows =
        own_query("SELECT l.entry, (SELECT sum(o.row_count) FROM tenantmig.change_log o WHERE o.run_id = $1 AND "
                  "o.chain = $2 AND o.entry <= l.entry) "
                  "FROM tenantmig.change_log l WHERE l.run_id = $1 AND l.chain = $2 AND encode(l.hash, 'hex') = $3",
                  {bigint_value(run), int_value(chain), text_value(hash)});
    if (rows.empty()) return std::nullopt;
    return EntryPosition{static_cast<std::int32_t>(rows.bigint(0, 1)), rows.bigint(0, 2)};
}

namespace {
// By batch first: what another chain wrote later to the same row is undone earlier.
const char *entry_order(bool reverse) {
    return reverse ? "batch DESC, chain DESC, entry DESC" : "batch, chain, entry";
}
} // namespace

std::vector<std::pair<std::int32_t, std::int32_t>> list_entries(std::int64_t run, bool reverse) {
    std::vector<std::pair<std::int32_t, std::int32_t>> entries;
    for (EntryRef which : entry_list(run, entry_order(reverse)))
        entries.emplace_back(which.chain, which.entry);
    return entries;
}

ChangeEntry get_entry(std::int64_t run, std::int32_t chain, std::int32_t entry) {
    return read_entry(run, {chain, entry}).entry;
}

void for_each_entry(std::int64_t run, bool reverse, const std::function<void(const ChangeEntry &)> &on_entry) {
    for (EntryRef which : entry_list(run, entry_order(reverse)))
        on_entry(read_entry(run, which).entry);
}

} // namespace tenantmig
