#include "guards/guard_value.hpp"
#include "bridge/pg_text.hpp"

namespace tenantmig {

bool is_integer(Oid type) {
    return type == INT2OID || type == INT4OID || type == INT8OID;
}

Oid plain_type(Oid type) {
    return is_integer(type) ? INT8OID : type == VARCHAROID ? TEXTOID : type;
}

Datum plain(Oid type, Datum value, Oid *becomes) {
    *becomes = plain_type(type);
    switch (type) {
    case INT2OID:
        return Int64GetDatum(DatumGetInt16(value));
    case INT4OID:
        return Int64GetDatum(DatumGetInt32(value));
    default:
        return value;
    }
}

bool canonical_integer(const char *text, int length, std::int64_t *number) {
    if (length == 0 || length > 20) return false;
    int i = text[0] == '-' ? 1 : 0;
    if (i == length || (text[i] == '0' && length > 1)) return false;
    std::int64_t value = 0;
    for (; i < length; i++) {
        if (text[i] < '0' || text[i] > '9') return false;
        int digit = text[i] - '0';
        if (__builtin_mul_overflow(value, std::int64_t{10}, &value)) return false;
        if (__builtin_sub_overflow(value, std::int64_t{digit}, &value)) return false; // negative: the range is wider
    }
    if (text[0] != '-' && __builtin_sub_overflow(std::int64_t{0}, value, &value)) return false;
    *number = value;
    return true;
}

namespace {
bool canonical_uuid(const char *text, int length) {
    if (length != 36) return false;
    for (int i = 0; i < 36; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        bool digit = (text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f');
        if (dash ? text[i] != '-' : !digit) return false;
    }
    return true;
}
} // namespace

bool as_parameter(Oid from, Datum value, Oid to, Datum *result) {
    Oid type;
    value = plain(from, value, &type);
    *result = value;
    if (type == to) return true;
    if (type == TEXTOID) {
        text *packed = DatumGetTextPP(value);
        const char *data = VARDATA_ANY(packed);
        int length = static_cast<int>(VARSIZE_ANY_EXHDR(packed));
        std::int64_t number = 0;
        if (to == INT8OID && canonical_integer(data, length, &number)) {
            *result = Int64GetDatum(number);
            return true;
        }
        if (to == UUIDOID && canonical_uuid(data, length)) {
            *result = DirectFunctionCall1(uuid_in, CStringGetDatum(text_to_cstring(packed)));
            return true;
        }
        return false;
    }
    if (to != TEXTOID) return false;
    *result = PointerGetDatum(cstring_to_text(guard_text(type, value)));
    return true;
}

bool same(Oid plain_type, Datum a, Datum b) {
    if (plain_type == INT8OID) return DatumGetInt64(a) == DatumGetInt64(b);
    if (plain_type == UUIDOID) return memcmp(DatumGetPointer(a), DatumGetPointer(b), UUID_LEN) == 0;
    if (plain_type != TEXTOID) {
        std::int16_t length;
        bool by_value;
        get_typlenbyval(plain_type, &length, &by_value);
        return datum_image_eq(a, b, by_value, length);
    }
    text *x = DatumGetTextPP(a), *y = DatumGetTextPP(b);
    return VARSIZE_ANY_EXHDR(x) == VARSIZE_ANY_EXHDR(y) &&
           memcmp(VARDATA_ANY(x), VARDATA_ANY(y), VARSIZE_ANY_EXHDR(x)) == 0;
}

char *guard_text(Oid type, Datum value) {
    Oid output;
    bool varlena;
    getTypeOutputInfo(type, &output, &varlena);
    return OidOutputFunctionCall(output, value);
}

char *guard_excerpt(Oid type, Datum value) {
    constexpr int longest = 100;
    char *text = guard_text(type, value);
    int length = static_cast<int>(strlen(text));
    if (length <= longest) return text;
    return psprintf("%.*s…", pg_mbcliplen(text, length, longest), text);
}

} // namespace tenantmig
