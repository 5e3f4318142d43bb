// SQL from C++: values, statements, results, streams and cursors over SPI. Values are always parameters; identifiers go
// through quoted().
#pragma once
#include "bridge/boundary.hpp"

namespace tenantmig {

// One SPI connection. On the way out of an error it leaves the clean-up to the transaction.
class SpiSession {
public:
    SpiSession();
    ~SpiSession();
    SpiSession(const SpiSession &) = delete;
    SpiSession &operator=(const SpiSession &) = delete;

private:
    int exceptions_;
};

std::string quoted(std::string_view identifier);                       // quote_identifier
std::string qualified(std::string_view schema, std::string_view name); // "schema"."name" as needed

// A parameter. The datum lives in the memory context that was current when it was made.
struct Value {
    Oid type;
    Datum datum;
    bool null;
};
Value text_value(std::string_view text);
Value optional_text(const std::optional<std::string> &text);
Value bigint_value(std::int64_t number);
Value int_value(std::int32_t number);
Value boolean_value(bool flag);
Value bytea_value(std::span<const std::uint8_t> bytes);
Value timestamp_value(TimestampTz time);
Value text_array_value(std::span<const std::string> values);
Value text_array_value(std::span<const std::optional<std::string>> values);
Value null_value(Oid type);

std::string_view text_view(Datum text); // of a text datum that needs no detoasting, or detoasted in the current context

// A result kept in memory: for small ones. Column numbers start at 1.
class Rows {
public:
    std::size_t size() const { return size_; }
    bool empty() const { return size_ == 0; }
    bool is_null(std::size_t row, int column) const;
    Datum datum(std::size_t row, int column, bool *null) const;
    std::optional<std::string> text(std::size_t row, int column) const; // by the type's output function
    std::string text_or(std::size_t row, int column, std::string fallback = {}) const;
    std::int64_t bigint(std::size_t row, int column) const; // int4 or int8; 0 for NULL
    bool boolean(std::size_t row, int column) const;
    std::vector<std::string> text_array(std::size_t row, int column) const; // NULL elements become ""
    std::vector<std::optional<std::string>> nullable_text_array(std::size_t row, int column) const;

private:
    friend Rows run_query(const std::string &, std::span<const Value>, bool, long);
    SPITupleTable *table_ = nullptr;
    std::size_t size_ = 0;
};

// Runs one statement; returns its rows (or, without any, `size()` as the number of rows affected). read_only: under the
// active snapshot.
Rows run_query(const std::string &sql, std::span<const Value> values = {}, bool read_only = false, long limit = 0);
inline Rows run_query(const std::string &sql, std::initializer_list<Value> values, bool read_only = false,
                      long limit = 0) {
    return run_query(sql, std::span<const Value>(values.begin(), values.size()), read_only, limit);
}

// Receives rows of a stream one by one. Return false to stop. May throw: the exception waits until PostgreSQL's frames
// have been left.
using RowFunction = std::function<bool(TupleTableSlot *slot)>;

// Runs a SELECT under the active snapshot without keeping its rows.
void stream_query(const std::string &sql, std::span<const Value> values, const RowFunction &on_row);

// A prepared statement for repeated use inside one SPI session.
class Statement {
public:
    Statement(const std::string &sql, std::span<const Oid> types);
    ~Statement();
    Statement(const Statement &) = delete;
    Statement &operator=(const Statement &) = delete;
    // Returns the number of rows processed. Result rows (RETURNING) go to on_row.
    std::uint64_t execute(std::span<const Value> values, const RowFunction &on_row);

private:
    SPIPlanPtr plan_;
};

// A cursor under the active snapshot, for reading a table piece by piece. Kept by the transaction, closed by the
// destructor.
class Cursor {
public:
    Cursor(const std::string &sql, std::span<const Value> values);
    ~Cursor();
    Cursor(const Cursor &) = delete;
    Cursor &operator=(const Cursor &) = delete;
    // Passes on at most `count` rows; returns how many there were. 0: the end.
    std::uint64_t fetch(long count, const RowFunction &on_row);
    TupleDesc descriptor() const;

private:
    Portal portal_;
};

// Text form of a value by its type's output function (under the settings in force).
class TextOutput {
public:
    explicit TextOutput(Oid type);
    std::string operator()(Datum value);

private:
    FmgrInfo function_;
};

// A value of a type from its text form. Errors of the type's input function (22P02 …) pass through.
Datum datum_from_text(Oid type, std::int32_t typmod, const std::string &text);

} // namespace tenantmig
