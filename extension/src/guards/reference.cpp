// The guard of kind reference (design.md §6): a polymorphic reference (type, id) leads to a row that exists, and that
// is of the row's tenant. It fires AFTER, so that it may lead to a row of the same statement. The row that is found is
// locked FOR KEY SHARE: it can't go before the transaction ends. What becomes of it later is not watched; the
// set-based check finds it.
#include "guards/concealment.hpp"
#include "guards/index_lookup.hpp"
#include "guards/refusal.hpp"

extern "C" {
PG_FUNCTION_INFO_V1(tenantmig_guard_reference);
}

namespace tenantmig {

namespace {
const char *column_name(const GuardEvent *event, AttrNumber number) {
    return NameStr(TupleDescAttr(event->columns, number - 1)->attname);
}

const char *known_types(const GuardWay *way) {
    StringInfoData list;
    initStringInfo(&list);
    for (int i = 0; i < way->lookups && i < 20; i++)
        appendStringInfo(&list, "%s%s", i > 0 ? ", " : "", way->lookup[i].type_value);
    if (way->lookups > 20) appendStringInfoString(&list, ", …");
    return list.data;
}

[[noreturn]] void refuse(const GuardEvent *event, AttrNumber column, char *message, char *detail, const char *hint) {
    count_refusal();
    ereport(ERROR, (errcode(ERRCODE_CHECK_VIOLATION), errmsg("%s", message), errdetail_internal("%s", detail),
                    errhint("%s", hint), errtablecol(event->relation, column)));
    pg_unreachable();
}

void check(GuardStatement *statement, const GuardEvent *event) {
    GuardEntry *entry = statement->entry;
    GuardWay *way = &entry->way[0];
    const char *table = RelationGetRelationName(event->relation);
    const AttrNumber id_number = way->probe[0].number, type_number = way->type_column.number;
    bool no_id = false, no_type = false;
    Datum id = heap_getattr(event->row, id_number, event->columns, &no_id);
    Datum type = heap_getattr(event->row, type_number, event->columns, &no_type);
    if (no_id && no_type) return;
    if (no_id || no_type)
        refuse(event, no_id ? id_number : type_number,
               psprintf("reference (\"%s\", \"%s\") of \"%s\" is half given", column_name(event, type_number),
                        column_name(event, id_number), table),
               no_id ? psprintf("The type is '%s', the id is NULL.", guard_excerpt(way->type_column.type, type))
                     : psprintf("The type is NULL, the id is %s.", guard_excerpt(way->probe[0].type, id)),
               "Write both, or neither.");
    const char *named = guard_text(way->type_column.type, type);
    GuardLookup *lookup = nullptr;
    for (int i = 0; i < way->lookups && !lookup; i++)
        if (strcmp(way->lookup[i].type_value, named) == 0) lookup = &way->lookup[i];
    if (!lookup)
        refuse(event, type_number,
               psprintf("type '%s' in \"%s\" of \"%s\" is not mapped to a table",
                        guard_excerpt(way->type_column.type, type), column_name(event, type_number), table),
               psprintf("The guard knows the types %s.", known_types(way)),
               "Write one of these types, or attach the guard with the new one.");
    const char *shown = guard_excerpt(way->probe[0].type, id);
    if (lookup->problem)
        refuse(event, type_number, psprintf("reference of \"%s\" to %s %s can not be checked", table, named, shown),
               psprintf("%s.", lookup->problem), "SELECT * FROM tenantmig.attach_guard(migration) attaches it anew.");
    Datum key, tenant[max_guard_keys];
    bool nulls[max_guard_keys] = {};
    auto refuse_missing = [&] {
        refuse(event, id_number,
               psprintf("reference of \"%s\" to %s %s leads to no row", table,
                        guard_excerpt(way->type_column.type, type), shown),
               psprintf("%s has no such row.", lookup->name), "Write the row that is referenced first.");
    };
    if (!as_parameter(way->probe[0].type, id, lookup->parameters[0], &key) ||
        !look_up(statement, lookup, &key, tenant, nulls, true))
        refuse_missing();
    if (entry->column == 0) return;
    bool no_tenant = false;
    Datum own = heap_getattr(event->row, entry->column, event->columns, &no_tenant);
    Oid plain = plain_type(entry->type);
    Datum expected = 0;
    if (!no_tenant) own = tenantmig::plain(entry->type, own, &plain);
    if (!no_tenant && !nulls[0] && as_parameter(lookup->results[0], tenant[0], plain, &expected) &&
        same(plain, own, expected))
        return;
    if (hidden_from_writer(lookup->table)) refuse_missing(); // whoever can't see the row must not learn that it exists
    refuse(event, entry->column,
           psprintf("reference of \"%s\" to %s %s leads to another tenant", table,
                    guard_excerpt(way->type_column.type, type), shown),
           psprintf("The row says %s in \"%s\"; %s %s says %s.", no_tenant ? "NULL" : guard_excerpt(plain, own),
                    entry->column_name, lookup->name, shown,
                    nulls[0] ? "NULL" : guard_excerpt(lookup->results[0], tenant[0])),
           "Refer to a row of the same tenant.");
}
} // namespace

} // namespace tenantmig

using namespace tenantmig;

extern "C" PGDLLEXPORT Datum tenantmig_guard_reference(PG_FUNCTION_ARGS) {
    GuardEvent event = guard_event(fcinfo, "guard_reference", Timing::after);
    if (engine_writes(event.relation)) return PointerGetDatum(nullptr);
    GuardStatement *statement = guard_statement(fcinfo, &event, core::GuardKind::reference);
    if (!statement) return PointerGetDatum(nullptr);
    if (!event.update || changes_something(statement->entry, event.before, event.row, event.columns))
        check(statement, &event);
    return PointerGetDatum(nullptr);
}
