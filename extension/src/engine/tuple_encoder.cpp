#include "core/spec.hpp"

#include "engine/tuple_encoder.hpp"

namespace tenantmig {

namespace {
// An enum whose cast to text, or whose equality, is not somebody's own function.
bool plain_enum(Oid type) {
    return pg_call([type] {
        Oid cast;
        return type_is_enum(type) &&
               find_coercion_pathway(TEXTOID, type, COERCION_EXPLICIT, &cast) == COERCION_PATH_COERCEVIAIO &&
               get_opcode(lookup_type_cache(type, TYPECACHE_EQ_OPR)->eq_opr) == F_ENUM_EQ;
    });
}

std::optional<ValueForm> text_form(Oid type) {
    switch (type) {
    case INT2OID:
    case INT4OID:
    case INT8OID:
        return ValueForm::number_text;
    case OIDOID:
        return ValueForm::oid_text;
    case BOOLOID:
        return ValueForm::boolean_text;
    case UUIDOID:
        return ValueForm::uuid_text;
    case TEXTOID:
    case VARCHAROID:
        return ValueForm::text;
    case BPCHAROID:
        return ValueForm::padded_text;
    case NAMEOID:
        return ValueForm::name_text;
    case NUMERICOID:
        return ValueForm::numeric_text;
    default: // dates, times and others have text forms that depend on settings, or that nothing but their type knows
        if (plain_enum(type)) return ValueForm::enum_text;
        return std::nullopt;
    }
}

// Forms whose bytes are equal exactly if the type's equality operator says that the values are.
std::optional<ValueForm> equality_form(const Column &column) {
    if (!deterministic_collation(column.collation)) return std::nullopt;
    switch (column.type) {
    case BOOLOID:
    case CHAROID:
    case INT2OID:
    case INT4OID:
    case INT8OID:
    case OIDOID:
    case DATEOID:
    case TIMESTAMPOID:
    case TIMESTAMPTZOID:
        return ValueForm::number;
    case UUIDOID:
        return ValueForm::uuid;
    case TEXTOID:
    case VARCHAROID:
        return ValueForm::text;
    case BPCHAROID:
        return ValueForm::padded_text;
    case NAMEOID:
        return ValueForm::name_text;
    case NUMERICOID:
        return ValueForm::numeric_text;
    default:
        if (plain_enum(column.type)) return ValueForm::number;
        return std::nullopt;
    }
}
} // namespace

std::optional<ValueForm> value_form(const Column &column, KeyClass key_class) {
    switch (key_class) {
    case KeyClass::integer:
        return ValueForm::number;
    case KeyClass::uuid:
        return ValueForm::uuid;
    case KeyClass::text:
        return ValueForm::text;
    case KeyClass::as_text:
        return text_form(column.type);
    }
    return std::nullopt;
}

// ---- values

void ValueEncoder::append(Datum value, std::string &out) {
    switch (form_) {
    case ValueForm::number: {
        const std::int64_t bits = number(value);
        out.append(reinterpret_cast<const char *>(&bits), sizeof bits);
        break;
    }
    case ValueForm::uuid:
        out.append(reinterpret_cast<const char *>(DatumGetUUIDP(value)->data), UUID_LEN);
        break;
    default: {
        const std::size_t start = out.size();
        std::uint32_t size = 0;
        if (with_size_) out.append(sizeof size, '\0');
        append_text(value, out);
        if (with_size_) {
            size = static_cast<std::uint32_t>(out.size() - start - sizeof size);
            std::memcpy(out.data() + start, &size, sizeof size);
        }
        break;
    }
    }
}

void ValueEncoder::append_text(Datum value, std::string &out) {
    switch (form_) {
    case ValueForm::number_text:
        out += std::to_string(number(value));
        break;
    case ValueForm::oid_text:
        out += std::to_string(DatumGetObjectId(value));
        break;
    case ValueForm::boolean_text:
        out += DatumGetBool(value) ? "true" : "false";
        break;
    case ValueForm::uuid_text: {
        constexpr char digits[] = "0123456789abcdef";
        for (int i = 0; i < UUID_LEN; i++) {
            const unsigned char byte = DatumGetUUIDP(value)->data[i];
            if (i == 4 || i == 6 || i == 8 || i == 10) out += '-';
            out += digits[byte >> 4];
            out += digits[byte & 15];
        }
        break;
    }
    case ValueForm::name_text:
        out += NameStr(*DatumGetName(value));
        break;
    case ValueForm::numeric_text: {
        char *text = pg_call([value] {
            Datum whole = PointerGetDatum(PG_DETOAST_DATUM(value));
            Datum trimmed = DirectFunctionCall1(numeric_trim_scale, whole);
            char *result = DatumGetCString(DirectFunctionCall1(numeric_out, trimmed));
            pfree(DatumGetPointer(trimmed));
            if (whole != value) pfree(DatumGetPointer(whole));
            return result;
        });
        out += text;
        pfree(text);
        break;
    }
    case ValueForm::enum_text: {
        auto [place, fresh] = labels_.try_emplace(DatumGetObjectId(value));
        if (fresh) {
            try {
                char *label = pg_call([value] { return DatumGetCString(DirectFunctionCall1(enum_out, value)); });
                place->second = label;
                pfree(label);
            } catch (...) {
                labels_.erase(place);
                throw;
            }
        }
        out += place->second;
        break;
    }
    default: { // text, padded_text
        auto *text = reinterpret_cast<struct varlena *>(DatumGetPointer(value));
        const bool copied = VARATT_IS_COMPRESSED(text) || VARATT_IS_EXTERNAL(text);
        if (copied) text = pg_call([text] { return pg_detoast_datum_packed(text); });
        const char *bytes = VARDATA_ANY(text);
        std::size_t size = VARSIZE_ANY_EXHDR(text);
        if (form_ == ValueForm::padded_text)
            while (size > 0 && bytes[size - 1] == ' ')
                size--;
        out.append(bytes, size);
        if (copied) pfree(text);
        break;
    }
    }
}

// ---- keys

bool TupleEncoder::possible(const Table &table, std::span<const AttrNumber> columns,
                            std::span<const KeyClass> classes) {
    for (std::size_t i = 0; i < columns.size(); i++)
        if (!value_form(table.at(columns[i]), classes[i])) return false;
    return true;
}

TupleEncoder::TupleEncoder(const Table &table, std::span<const AttrNumber> columns, std::span<const KeyClass> classes,
                           TupleDesc descriptor, Oid relation) {
    for (std::size_t i = 0; i < columns.size(); i++) {
        const int column = number_in(descriptor, relation, table, columns[i]) - 1;
        const std::optional<ValueForm> form = value_form(table.at(columns[i]), classes[i]);
        if (!form) throw Error(sqlstate::internal, fmt::format("\"{}\" can't be encoded", table.at(columns[i]).name));
        columns_.push_back(column);
        encoders_.emplace_back(*form, TupleDescAttr(descriptor, column)->attlen, columns.size() > 1);
    }
    integer_ = classes.size() == 1 && classes[0] == KeyClass::integer;
}

bool TupleEncoder::encode(const Datum *values, const bool *isnull, std::string_view *key) {
    buffer_.clear();
    for (std::size_t i = 0; i < columns_.size(); i++) {
        if (isnull[columns_[i]]) return false;
        encoders_[i].append(values[columns_[i]], buffer_);
    }
    *key = buffer_;
    return true;
}

void TupleEncoder::add_attributes(std::vector<AttrNumber> &numbers) const {
    for (int column : columns_)
        numbers.push_back(static_cast<AttrNumber>(column + 1));
}

// ---- conditions

bool TupleFilter::possible(std::span<const ResolvedCondition> conditions) {
    return std::all_of(conditions.begin(), conditions.end(),
                       [](const ResolvedCondition &condition) { return equality_form(condition.column).has_value(); });
}

TupleFilter::TupleFilter(const Table &table, std::span<const ResolvedCondition> conditions, TupleDesc descriptor,
                         Oid relation) {
    for (const ResolvedCondition &condition : conditions) {
        const std::optional<ValueForm> form = equality_form(condition.column);
        if (!form) throw Error(sqlstate::internal, fmt::format("\"{}\" can't be compared", condition.column.name));
        const int column = number_in(descriptor, relation, table, condition.column.number) - 1;
        Condition result{column, condition.or_null, {*form, TupleDescAttr(descriptor, column)->attlen, false}, {}};
        if (!condition.values.empty()) { // cast as condition_sql() does, to the column's length and scale
            std::array<Value, 1> values = {text_array_value(std::span<const std::string>(condition.values))};
            stream_query(fmt::format("SELECT u.v FROM pg_catalog.unnest($1::{}[]) AS u(v)", condition.column.type_name),
                         values, [&](TupleTableSlot *slot) {
                             pg_call([slot] { slot_getallattrs(slot); });
                             if (!slot->tts_isnull[0])
                                 result.encoder.append(slot->tts_values[0], result.values.emplace_back());
                             return true;
                         });
        }
        conditions_.push_back(std::move(result));
    }
}

bool TupleFilter::passes(Condition &condition, const Datum *values, const bool *isnull) {
    if (isnull[condition.column]) return condition.or_null;
    buffer_.clear();
    condition.encoder.append(values[condition.column], buffer_);
    return std::find(condition.values.begin(), condition.values.end(), buffer_) != condition.values.end();
}

void TupleFilter::add_attributes(std::vector<AttrNumber> &numbers) const {
    for (const Condition &condition : conditions_)
        numbers.push_back(static_cast<AttrNumber>(condition.column + 1));
}

} // namespace tenantmig
