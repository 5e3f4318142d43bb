// The guard of kind same_tenant (design.md §6): a row and its parent are of one tenant. It fires AFTER, on what the
// statement has come to: a parent and its children can be moved together in one statement.
//
// The child's side locks its parent until the transaction ends, strongly enough that the parent's tenant key can't
// change meanwhile; the parent's side looks for children with the newest snapshot. Whichever of two transactions comes
// second waits for the first, and then sees what it has done. A child that may come before its parent (its foreign key
// is deferrable, or there is none) has no row to lock: both sides lock the key then.
#include "guards/concealment.hpp"
#include "guards/index_lookup.hpp"
#include "guards/refusal.hpp"

extern "C" {
PG_FUNCTION_INFO_V1(tenantmig_guard_same_tenant);
}

namespace tenantmig {

namespace {
[[noreturn]] void refuse_child(const GuardEntry *entry, const GuardEvent *event, const GuardLookup *parent,
                               const Datum *key, const char *own, const char *of_parent, bool hidden) {
    count_refusal();
    StringInfoData keys;
    initStringInfo(&keys);
    for (int i = 0; i < parent->keys; i++)
        appendStringInfo(&keys, "%s%s", i > 0 ? ", " : "", guard_excerpt(parent->parameters[i], key[i]));
    ereport(ERROR,
            (errcode(ERRCODE_CHECK_VIOLATION),
             own ? errmsg("tenant key \"%s\" of \"%s\" is not that of its parent", entry->column_name,
                          RelationGetRelationName(event->relation))
                 : errmsg("tenant key \"%s\" of \"%s\" is missing", entry->column_name,
                          RelationGetRelationName(event->relation)),
             hidden ? errdetail("The row says %s; its parent %s in %s says otherwise.", own ? own : "NULL", keys.data,
                                parent->name)
                    : errdetail("The row says %s; its parent %s in %s says %s.", own ? own : "NULL", keys.data,
                                parent->name, of_parent ? of_parent : "NULL"),
             of_parent || hidden ? errhint("Write the row with the tenant key of its parent, or choose another parent.")
                                 : errhint("Give the parent its tenant key first."),
             errtablecol(event->relation, entry->column)));
    pg_unreachable();
}

void check_child(GuardStatement *statement, const GuardEvent *event) {
    GuardEntry *entry = statement->entry;
    GuardWay *way = &entry->way[0];
    GuardLookup *parent = &way->lookup[0];
    Datum key[max_guard_keys], results[max_guard_keys];
    bool nulls[max_guard_keys] = {};
    for (int i = 0; i < way->probes; i++) {
        bool null = false;
        Datum value = heap_getattr(event->row, way->probe[i].number, event->columns, &null);
        if (null || !as_parameter(way->probe[i].type, value, parent->parameters[i], &key[i])) return;
    }
    if (!look_up(statement, parent, key, results, nulls, true)) {
        if (!entry->early) return; // the foreign key refuses it
        lock_missing_key(parent->table, parent->parameters, key, parent->keys, false);
        if (!look_up(statement, parent, key, results, nulls, true)) return;
    }
    bool null = false;
    Datum own = heap_getattr(event->row, entry->column, event->columns, &null);
    Oid type = plain_type(entry->type);
    Datum expected = 0;
    if (!null) own = plain(entry->type, own, &type);
    if (!null && !nulls[0] && as_parameter(parent->results[0], results[0], type, &expected) &&
        same(type, own, expected))
        return;
    const bool hidden = hidden_from_writer(parent->table);
    if (hidden) { // the foreign key's answer about a row that isn't there
        AttrNumber columns[max_guard_keys];
        for (int i = 0; i < way->probes; i++)
            columns[i] = way->probe[i].number;
        refuse_as_foreign_key(event->relation, event->row, columns, way->probes, parent->table);
    }
    refuse_child(entry, event, parent, key, null ? nullptr : guard_excerpt(type, own),
                 nulls[0] ? nullptr : guard_excerpt(parent->results[0], results[0]), hidden);
}

bool changed(const GuardEvent *event, AttrNumber number) {
    bool was_null = false, is_null = false;
    Datum was = heap_getattr(event->before, number, event->columns, &was_null);
    Datum is = heap_getattr(event->row, number, event->columns, &is_null);
    Form_pg_attribute attribute = TupleDescAttr(event->columns, number - 1);
    return was_null != is_null || (!is_null && !datum_image_eq(was, is, attribute->attbyval, attribute->attlen));
}

void check_children(const GuardEvent *event, GuardChildren *list) {
    GuardLookup *lookup = &list->lookup;
    bool matters = event->update ? changed(event, list->tenant.number) : list->early;
    for (int i = 0; i < list->keys && event->update && !matters; i++)
        matters = changed(event, list->key[i].number);
    if (!matters) return;
    Datum parameters[max_guard_keys];
    Oid types[max_guard_keys];
    char nulls[max_guard_keys + 1];
    for (int i = 0; i < list->keys; i++) {
        bool null = false;
        Datum value = heap_getattr(event->row, list->key[i].number, event->columns, &null);
        if (null || !as_parameter(list->key[i].type, value, lookup->parameters[i], &parameters[i])) return;
        types[i] = lookup->parameters[i];
        nulls[i] = ' ';
    }
    if (list->early) lock_missing_key(list->parent, types, parameters, list->keys, true);
    bool null = false;
    Datum tenant = heap_getattr(event->row, list->tenant.number, event->columns, &null);
    // A tenant that no child's column can hold is one that each child differs from.
    bool comparable =
        !null && as_parameter(list->tenant.type, tenant, lookup->parameters[list->keys], &parameters[list->keys]);
    if (!comparable) parameters[list->keys] = 0;
    nulls[list->keys] = comparable ? ' ' : 'n';
    nulls[list->keys + 1] = '\0';
    Datum found;
    bool found_null;
    if (!look_up_plan(lookup, parameters, nulls, &found, &found_null)) return;
    const char *child = guard_excerpt(lookup->results[0], found);
    const char *own = null ? "NULL" : guard_excerpt(list->tenant.type, tenant);
    StringInfoData keys;
    initStringInfo(&keys);
    for (int i = 0; i < list->keys; i++)
        appendStringInfo(&keys, "%s%s", i > 0 ? ", " : "", guard_excerpt(types[i], parameters[i]));
    count_refusal();
    ereport(ERROR, (errcode(ERRCODE_CHECK_VIOLATION),
                    errmsg("tenant key \"%s\" of \"%s\" is not that of its children",
                           NameStr(TupleDescAttr(event->columns, list->tenant.number - 1)->attname),
                           RelationGetRelationName(event->relation)),
                    hidden_from_writer(lookup->table)
                        ? errdetail("The row %s says %s; a row of %s that refers to it says otherwise.", keys.data, own,
                                    lookup->name)
                        : errdetail("The row %s says %s; a row of %s that refers to it says %s in \"%s\".", keys.data,
                                    own, lookup->name, child, list->tenant_name),
                    errhint("Move the children in the same statement, or before."),
                    errtablecol(event->relation, list->tenant.number)));
}
} // namespace

} // namespace tenantmig

using namespace tenantmig;

extern "C" PGDLLEXPORT Datum tenantmig_guard_same_tenant(PG_FUNCTION_ARGS) {
    GuardEvent event = guard_event(fcinfo, "guard_same_tenant", Timing::after);
    if (engine_writes(event.relation)) return PointerGetDatum(nullptr);
    GuardStatement *statement = guard_statement(fcinfo, &event, core::GuardKind::same_tenant);
    if (!statement) return PointerGetDatum(nullptr);
    GuardEntry *entry = statement->entry;
    if (event.update && !changes_something(entry, event.before, event.row, event.columns))
        return PointerGetDatum(nullptr);
    if (entry->child) check_child(statement, &event);
    for (int i = 0; i < entry->children_lists; i++)
        check_children(&event, &entry->children[i]);
    return PointerGetDatum(nullptr);
}
