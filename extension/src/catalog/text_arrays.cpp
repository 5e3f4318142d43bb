#include "catalog/text_arrays.hpp"

namespace tenantmig {

namespace {
// `get(i)`: the element as a view, data() == nullptr for NULL.
template <typename Get>
Value build(std::size_t count, Get get) {
    std::size_t data_size = 0;
    bool has_nulls = false;
    for (std::size_t i = 0; i < count; i++) {
        std::string_view value = get(i);
        if (value.data())
            data_size += INTALIGN(VARHDRSZ + value.size());
        else
            has_nulls = true;
    }
    std::size_t header = count == 0  ? sizeof(ArrayType)
                         : has_nulls ? ARR_OVERHEAD_WITHNULLS(1, static_cast<int>(count))
                                     : ARR_OVERHEAD_NONULLS(1);
    std::size_t size = header + data_size;
    auto *array = pg_call([size] { return static_cast<ArrayType *>(palloc0(size)); });
    SET_VARSIZE(array, size);
    array->elemtype = TEXTOID;
    if (count == 0) return {TEXTARRAYOID, PointerGetDatum(array), false};
    array->ndim = 1;
    array->dataoffset = has_nulls ? static_cast<std::int32_t>(header) : 0;
    ARR_DIMS(array)[0] = static_cast<int>(count);
    ARR_LBOUND(array)[0] = 1;
    bits8 *bitmap = ARR_NULLBITMAP(array);
    char *at = ARR_DATA_PTR(array);
    for (std::size_t i = 0; i < count; i++) {
        std::string_view value = get(i);
        if (!value.data()) continue; // the bitmap is zero there
        if (bitmap) bitmap[i / 8] = static_cast<bits8>(bitmap[i / 8] | (1 << (i % 8)));
        SET_VARSIZE(at, VARHDRSZ + value.size());
        std::memcpy(VARDATA(at), value.data(), value.size());
        at += INTALIGN(VARHDRSZ + value.size());
    }
    return {TEXTARRAYOID, PointerGetDatum(array), false};
}
} // namespace

Value flat_text_array(std::span<const std::string> values) {
    return build(values.size(), [values](std::size_t i) { return std::string_view(values[i]); });
}

Value flat_text_array(std::span<const std::optional<std::string>> values) {
    return build(values.size(),
                 [values](std::size_t i) { return values[i] ? std::string_view(*values[i]) : std::string_view(); });
}

std::vector<std::string_view> view_text_array(Datum datum) {
    ArrayType *array = pg_call([datum] { return DatumGetArrayTypeP(datum); });
    int dimensions = ARR_NDIM(array);
    int *sizes = ARR_DIMS(array);
    auto count = static_cast<std::size_t>(pg_call([dimensions, sizes] { return ArrayGetNItems(dimensions, sizes); }));
    std::vector<std::string_view> result;
    result.reserve(count);
    const bits8 *bitmap = ARR_NULLBITMAP(array);
    const char *at = ARR_DATA_PTR(array);
    for (std::size_t i = 0; i < count; i++) {
        if (bitmap && !(bitmap[i / 8] & (1 << (i % 8)))) {
            result.emplace_back();
            continue;
        }
        result.emplace_back(VARDATA_ANY(at), VARSIZE_ANY_EXHDR(at));
        at += INTALIGN(VARSIZE_ANY(at));
    }
    return result;
}

} // namespace tenantmig
