// The guard of kind prefix (design.md §6): a text id begins with the row's tenant key and a separator.
#include "guards/column_guard.hpp"
#include "guards/guard_statement.hpp"
#include "guards/refusal.hpp"

extern "C" {
PG_FUNCTION_INFO_V1(tenantmig_guard_prefix);
}

namespace tenantmig {

namespace {
inline text *fetched(Datum value) {
    auto *raw = reinterpret_cast<text *>(DatumGetPointer(value));
    if (VARATT_IS_COMPRESSED(raw) || VARATT_IS_EXTERNAL(raw)) [[unlikely]]
        return DatumGetTextPP(value);
    return raw;
}

// Bytes are compared: in every encoding that a server can have, the bytes of one character are never part of another.
bool embeds(const ColumnGuard *guard, Datum id, Datum key) {
    text *whole = fetched(id), *prefix = fetched(key);
    std::size_t length = VARSIZE_ANY_EXHDR(prefix);
    std::size_t separator = static_cast<std::size_t>(guard->separator_length);
    if (length == 0 || VARSIZE_ANY_EXHDR(whole) < length + separator) return false;
    const char *data = VARDATA_ANY(whole);
    return memcmp(data, VARDATA_ANY(prefix), length) == 0 && memcmp(data + length, guard->separator, separator) == 0;
}

bool same(TupleTableSlot *before, TupleTableSlot *after, AttrNumber number) {
    bool null_before = false, null_after = false;
    Datum a = slot_getattr(before, number, &null_before), b = slot_getattr(after, number, &null_after);
    if (null_before || null_after) return null_before && null_after;
    return datum_image_eq(a, b, false, -1);
}

// What is wrong, in words.
const char *finding(Datum value, bool null) {
    return null ? "NULL" : VARSIZE_ANY_EXHDR(DatumGetTextPP(value)) == 0 ? "empty" : nullptr;
}

[[noreturn]] void refuse(const ColumnGuard *guard, const TriggerData *event, Datum id, bool id_null, Datum key,
                         bool key_null) {
    Relation relation = event->tg_relation;
    TupleDesc columns = RelationGetDescr(relation);
    const char *id_name = NameStr(TupleDescAttr(columns, guard->column - 1)->attname);
    const char *key_name = NameStr(TupleDescAttr(columns, guard->embedded - 1)->attname);
    const char *id_text = shown_value(TEXTOID, id, id_null), *key_text = shown_value(TEXTOID, key, key_null);
    const char *id_wrong = finding(id, id_null), *key_wrong = finding(key, key_null);
    char separator[core::max_separator + 1] = {};
    memcpy(separator, guard->separator, static_cast<std::size_t>(guard->separator_length));
    count_refusal();
    ereport(ERROR,
            (errcode(ERRCODE_CHECK_VIOLATION),
             errmsg("GOVERNANCE VIOLATION: %s %s does not embed %s prefix %s", id_name, id_text, key_name, key_text),
             key_wrong && id_wrong ? errdetail("%s is %s, %s is %s.", key_name, key_wrong, id_name, id_wrong)
             : key_wrong           ? errdetail("%s is %s.", key_name, key_wrong)
             : id_wrong            ? errdetail("%s is %s.", id_name, id_wrong)
                        : errdetail("The row's %s is %s, so its %s must begin with that and '%s'.", key_name, key_text,
                                    id_name, separator),
             key_wrong ? errhint("Write the row with its %s.", key_name)
                       : errhint("Write %s so that it begins with the row's %s and '%s', or correct %s.", id_name,
                                 key_name, separator, key_name),
             errtablecol(relation, guard->column)));
    pg_unreachable();
}
} // namespace

} // namespace tenantmig

using namespace tenantmig;

extern "C" PGDLLEXPORT Datum tenantmig_guard_prefix(PG_FUNCTION_ARGS) {
    require_row_trigger(fcinfo, "guard_prefix");
    auto *event = reinterpret_cast<TriggerData *>(fcinfo->context);
    bool update = TRIGGER_FIRED_BY_UPDATE(event->tg_event);
    Datum result = PointerGetDatum(update ? event->tg_newtuple : event->tg_trigtuple);
    if (engine_writes(event->tg_relation)) return result;
    ColumnGuard *guard = column_guard(fcinfo, core::GuardKind::prefix);
    TupleTableSlot *row = update ? event->tg_newslot : event->tg_trigslot;
    bool id_null = false, key_null = false;
    Datum id = slot_getattr(row, guard->column, &id_null);
    Datum key = slot_getattr(row, guard->embedded, &key_null);
    if (!id_null && !key_null && embeds(guard, id, key)) return result;
    // A row that was wrong before the guard came may be written as long as these two stay as they are.
    if (update && same(event->tg_trigslot, row, guard->column) && same(event->tg_trigslot, row, guard->embedded))
        return result;
    refuse(guard, event, id, id_null, key, key_null);
}
