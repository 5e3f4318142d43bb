// The guard of kind immutable (design.md §6): the tenant key of a row stays what it is. One that is NULL may be filled,
// or no backfill were possible.
#include "guards/column_guard.hpp"
#include "guards/guard_statement.hpp"
#include "guards/refusal.hpp"

extern "C" {
PG_FUNCTION_INFO_V1(tenantmig_guard_immutable);
}

namespace tenantmig {

namespace {
// The same bytes, or else equal by the type's own opinion (1.0 and 1.00; citext).
bool equal(const ColumnGuard *guard, Datum a, Datum b) {
    if (datum_image_eq(a, b, guard->by_value, guard->length)) return true;
    TypeCacheEntry *type = lookup_type_cache(guard->type, TYPECACHE_EQ_OPR_FINFO);
    if (!OidIsValid(type->eq_opr_finfo.fn_oid)) return false;
    return DatumGetBool(FunctionCall2Coll(&type->eq_opr_finfo, guard->collation, a, b));
}

[[noreturn]] void refuse(const ColumnGuard *guard, const TriggerData *event, Datum before, Datum after, bool null) {
    Relation relation = event->tg_relation;
    const char *name = NameStr(TupleDescAttr(RelationGetDescr(relation), guard->column - 1)->attname);
    const char *was = shown_value(guard->type, before, false), *is = shown_value(guard->type, after, null);
    count_refusal();
    ereport(ERROR, (errcode(ERRCODE_CHECK_VIOLATION),
                    errmsg("tenant key \"%s\" of \"%s\" can't be changed", name, RelationGetRelationName(relation)),
                    errdetail("%s -> %s", was, is),
                    errhint("A row stays with its tenant. To move it all the same, take the guard off for it: %s.",
                            removal_hint(guard, event->tg_trigger, relation)),
                    errtablecol(relation, guard->column)));
    pg_unreachable();
}
} // namespace

} // namespace tenantmig

using namespace tenantmig;

extern "C" PGDLLEXPORT Datum tenantmig_guard_immutable(PG_FUNCTION_ARGS) {
    require_row_trigger(fcinfo, "guard_immutable");
    auto *event = reinterpret_cast<TriggerData *>(fcinfo->context);
    if (!TRIGGER_FIRED_BY_UPDATE(event->tg_event)) return PointerGetDatum(event->tg_trigtuple);
    Datum result = PointerGetDatum(event->tg_newtuple);
    if (engine_writes(event->tg_relation)) return result;
    ColumnGuard *guard = column_guard(fcinfo, core::GuardKind::immutable);
    bool null_before = false, null_after = false;
    Datum before = slot_getattr(event->tg_trigslot, guard->column, &null_before);
    Datum after = slot_getattr(event->tg_newslot, guard->column, &null_after);
    if (null_before || (!null_after && equal(guard, before, after))) return result;
    refuse(guard, event, before, after, null_after);
}
