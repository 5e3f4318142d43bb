// Keys and conditions from tuples that were read below SQL: the same bytes, and the same answers, that SQL would give.
#pragma once
#include "engine/encoding.hpp"
#include "engine/heap_reader.hpp"

namespace tenantmig {

// How the value of one column becomes bytes.
enum class ValueForm : std::uint8_t {
    number, // passed by value, equal exactly if its bits are: eight bytes
    uuid,
    text,
    number_text, // and the text forms, as a cast to text gives them
    oid_text,
    boolean_text,
    uuid_text,
    padded_text, // character(n): without the padding
    name_text,
    numeric_text, // trimmed
    enum_text
};
// How values of a column are encoded for a class; nullopt: only SQL can.
std::optional<ValueForm> value_form(const Column &column, KeyClass key_class);

// Appends the bytes of one value. Copies that it needs of compressed values are freed.
class ValueEncoder {
public:
    ValueEncoder(ValueForm form, std::int16_t length, bool with_size)
        : form_(form), length_(length), with_size_(with_size) {}
    void append(Datum value, std::string &out);
    bool is_number() const { return form_ == ValueForm::number; }
    std::int64_t number(Datum value) const {
        switch (length_) {
        case 8:
            return DatumGetInt64(value);
        case 4:
            return DatumGetInt32(value);
        case 2:
            return DatumGetInt16(value);
        default:
            return static_cast<std::int64_t>(DatumGetChar(value));
        }
    }

private:
    void append_text(Datum value, std::string &out);
    ValueForm form_;
    std::int16_t length_;
    bool with_size_;                              // keys of several columns
    std::unordered_map<Oid, std::string> labels_; // of an enum
};

// A key of some columns, in the relation that the descriptor describes (the table itself, or a partition of it).
class TupleEncoder {
public:
    static bool possible(const Table &table, std::span<const AttrNumber> columns, std::span<const KeyClass> classes);
    TupleEncoder() = default; // no columns
    TupleEncoder(const Table &table, std::span<const AttrNumber> columns, std::span<const KeyClass> classes,
                 TupleDesc descriptor, Oid relation);
    // False if one of them is NULL. The view is valid until the next call.
    bool encode(const Datum *values, const bool *isnull, std::string_view *key);
    // A key of one integer: integer() may be called in place of encode().
    bool is_integer() const { return integer_; }
    bool integer(const Datum *values, const bool *isnull, std::int64_t *key) const {
        if (isnull[columns_[0]]) return false;
        *key = encoders_[0].number(values[columns_[0]]);
        return true;
    }
    void add_attributes(std::vector<AttrNumber> &numbers) const;

private:
    std::vector<ValueEncoder> encoders_;
    std::vector<int> columns_; // positions in `values`
    std::string buffer_;
    bool integer_ = false;
};

// The conditions of a `where`.
class TupleFilter {
public:
    static bool possible(std::span<const ResolvedCondition> conditions);
    // Casts the conditions' values through SQL: needs an SPI connection.
    TupleFilter(const Table &table, std::span<const ResolvedCondition> conditions, TupleDesc descriptor, Oid relation);
    bool passes(const Datum *values, const bool *isnull) {
        for (Condition &condition : conditions_)
            if (!passes(condition, values, isnull)) return false;
        return true;
    }
    bool empty() const { return conditions_.empty(); }
    void add_attributes(std::vector<AttrNumber> &numbers) const;

private:
    struct Condition {
        int column;
        bool or_null;
        ValueEncoder encoder;
        std::vector<std::string> values;
    };
    bool passes(Condition &condition, const Datum *values, const bool *isnull);
    std::vector<Condition> conditions_;
    std::string buffer_;
};

} // namespace tenantmig
