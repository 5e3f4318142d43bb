#include <limits>

#include "steps/fingerprint_value.hpp"

namespace tenantmig {

namespace {
// Types whose stored bytes are equal exactly if their text forms are. All others go through their output function:
// those that hold OIDs (regclass, composite types, ranges), geometric ones (negative zero), those of extensions.
bool stored_form(Oid type, HashForm *form) {
    switch (type) {
    case BOOLOID:
    case CHAROID:
    case INT2OID:
    case INT4OID:
    case INT8OID:
    case OIDOID:
    case XIDOID:
    case XID8OID:
    case CIDOID:
    case TIDOID:
    case DATEOID:
    case TIMEOID:
    case TIMETZOID:
    case TIMESTAMPOID:
    case TIMESTAMPTZOID:
    case INTERVALOID:
    case CASHOID:
    case UUIDOID:
    case MACADDROID:
    case MACADDR8OID:
    case PG_LSNOID:
        *form = HashForm::fixed;
        return true;
    case FLOAT4OID:
        *form = HashForm::float4;
        return true;
    case FLOAT8OID:
        *form = HashForm::float8;
        return true;
    case NAMEOID:
        *form = HashForm::name;
        return true;
    case TEXTOID:
    case VARCHAROID:
    case BPCHAROID:
    case BYTEAOID:
    case JSONOID:
    case JSONBOID:
    case NUMERICOID:
    case INETOID:
    case CIDROID:
    case BITOID:
    case VARBITOID:
        *form = HashForm::varlena;
        return true;
    default:
        return false;
    }
}

HashForm form_of(Oid type) {
    HashForm form;
    if (stored_form(type, &form)) return form;
    return get_typtype(type) == TYPTYPE_ENUM ? HashForm::label : HashForm::text;
}

void append_sized(StringInfo out, const char *data, std::size_t size) {
    auto length = static_cast<std::uint32_t>(size);
    appendBinaryStringInfo(out, reinterpret_cast<const char *>(&length), sizeof length);
    appendBinaryStringInfo(out, data, static_cast<int>(size));
}

void append_fixed(StringInfo out, Datum value, bool by_value, std::int16_t length) {
    if (!by_value) {
        appendBinaryStringInfo(out, reinterpret_cast<const char *>(DatumGetPointer(value)), length);
        return;
    }
    char bytes[sizeof(Datum)];
    store_att_byval(bytes, value, length);
    appendBinaryStringInfo(out, bytes, length);
}

template <typename Float>
void append_float(StringInfo out, Float number) {
    if (std::isnan(number)) number = std::numeric_limits<Float>::quiet_NaN();
    appendBinaryStringInfo(out, reinterpret_cast<const char *>(&number), sizeof number);
}

void append_value(HashForm form, bool by_value, std::int16_t length, FmgrInfo *output, Datum value, StringInfo out) {
    switch (form) {
    case HashForm::fixed:
        append_fixed(out, value, by_value, length);
        return;
    case HashForm::float4:
        append_float(out, DatumGetFloat4(value));
        return;
    case HashForm::float8:
        append_float(out, DatumGetFloat8(value));
        return;
    case HashForm::varlena: {
        auto *bytes = reinterpret_cast<struct varlena *>(PG_DETOAST_DATUM_PACKED(value));
        append_sized(out, VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes));
        return;
    }
    case HashForm::name: {
        const char *text = NameStr(*DatumGetName(value));
        append_sized(out, text, strnlen(text, NAMEDATALEN));
        return;
    }
    case HashForm::label: {
        const char *label = DatumGetCString(DirectFunctionCall1(enum_out, value));
        append_sized(out, label, strlen(label));
        return;
    }
    case HashForm::array:
    case HashForm::text: {
        const char *text = OutputFunctionCall(output, value);
        append_sized(out, text, strlen(text));
        return;
    }
    }
}

void append_array(HashColumn &column, Datum value, StringInfo out) {
    ArrayType *array = DatumGetArrayTypeP(value);
    const int dimensions = ARR_NDIM(array);
    appendBinaryStringInfo(out, reinterpret_cast<const char *>(&dimensions), sizeof dimensions);
    const auto bytes = static_cast<int>(sizeof(int)) * dimensions;
    appendBinaryStringInfo(out, reinterpret_cast<const char *>(ARR_DIMS(array)), bytes);
    appendBinaryStringInfo(out, reinterpret_cast<const char *>(ARR_LBOUND(array)), bytes);
    Datum *elements;
    bool *nulls;
    int count;
    deconstruct_array(array, column.element_type, column.element_length, column.element_by_value, column.element_align,
                      &elements, &nulls, &count);
    for (int i = 0; i < count; i++) {
        appendStringInfoCharMacro(out, nulls[i] ? '\0' : '\1');
        if (!nulls[i])
            append_value(column.element, column.element_by_value, column.element_length, &column.output, elements[i],
                         out);
    }
}

void prepare_output(Oid type, FmgrInfo *output) {
    Oid function;
    bool varlena;
    getTypeOutputInfo(type, &function, &varlena);
    fmgr_info(function, output);
}
} // namespace

void describe_hash_column(Oid type, int position, HashColumn *column) {
    *column = HashColumn();
    column->position = position;
    const Oid base = getBaseType(type);
    const Oid element = get_element_type(base);
    get_typlenbyval(base, &column->length, &column->by_value);
    if (!OidIsValid(element)) {
        column->form = form_of(base);
        if (column->form == HashForm::text) prepare_output(base, &column->output);
        return;
    }
    const Oid element_base = getBaseType(element);
    column->form = HashForm::array;
    column->element = form_of(element_base);
    column->element_type = element;
    get_typlenbyvalalign(element, &column->element_length, &column->element_by_value, &column->element_align);
    if (column->element == HashForm::text) prepare_output(element_base, &column->output);
}

bool needs_memory(const HashColumn &column) {
    return column.form == HashForm::varlena || column.form == HashForm::array || column.form == HashForm::label ||
           column.form == HashForm::text;
}

void append_hashed(HashColumn &column, Datum value, bool isnull, StringInfo out) {
    appendStringInfoCharMacro(out, isnull ? '\0' : '\1');
    if (isnull) return;
    if (column.form == HashForm::array)
        append_array(column, value, out);
    else
        append_value(column.form, column.by_value, column.length, &column.output, value, out);
}

} // namespace tenantmig
