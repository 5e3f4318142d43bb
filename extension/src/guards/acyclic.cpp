// The guard of kind acyclic (design.md §6): a self reference closes no cycle. It fires AFTER, on what the statement has
// come to, and walks up from the row to the root.
//
// Across sessions: an UPDATE locks each row that it walks over, strongly enough that its reference can't change until
// the transaction ends. Of the changes that would make a cycle together, each is made by a transaction that has locked
// the chain above; so one of them waits for another, and then sees it, or they wait for each other, and one fails with
// a deadlock. An INSERT locks nothing: as long as its foreign key is not deferrable, nobody but its own transaction can
// refer to the new row, and whoever does is checked for himself. It walks only over rows that the transaction has
// written, since a cycle of new rows alone has no UPDATE that would find it. Where a reference may lead to a row that
// does not exist yet, everything is locked, the missing key too.
#include "guards/index_lookup.hpp"
#include "guards/refusal.hpp"

extern "C" {
PG_FUNCTION_INFO_V1(tenantmig_guard_acyclic);
}

namespace tenantmig {

namespace {
constexpr int shown_keys = 20; // of a cycle

struct Path {
    StringInfoData text;
    int length;
};

void step(Path *path, Oid type, Datum key) {
    if (path->length < shown_keys)
        appendStringInfo(&path->text, "%s%s", path->length > 0 ? " -> " : "", guard_excerpt(type, key));
    path->length++;
}

[[noreturn]] void refuse(const GuardEntry *entry, const GuardEvent *event, Path *path, Oid type, Datum back) {
    count_refusal();
    if (path->length > shown_keys) appendStringInfo(&path->text, " -> … (%d more)", path->length - shown_keys);
    appendStringInfo(&path->text, " -> %s", guard_excerpt(type, back));
    ereport(ERROR, (errcode(ERRCODE_CHECK_VIOLATION),
                    errmsg("reference \"%s\" of \"%s\" closes a cycle", entry->column_name,
                           RelationGetRelationName(event->relation)),
                    errdetail("%s", path->text.data), errhint("Refer to a row that does not lead back here."),
                    errtablecol(event->relation, entry->column)));
    pg_unreachable();
}

Datum keep(Oid type, Datum value) {
    std::int16_t length;
    bool by_value;
    get_typlenbyval(type, &length, &by_value);
    return datumCopy(value, by_value, length);
}

void walk(GuardStatement *statement, const GuardEvent *event) {
    GuardEntry *entry = statement->entry;
    GuardLookup *above = &entry->way[0].lookup[0];
    const Oid type = above->parameters[0];
    bool null = false, key_null = false;
    Datum at = heap_getattr(event->row, entry->column, event->columns, &null);
    Datum own = heap_getattr(event->row, entry->key_column.number, event->columns, &key_null);
    if (null || key_null || !as_parameter(entry->type, at, type, &at) ||
        !as_parameter(entry->key_column.type, own, type, &own))
        return;
    const bool locked = event->update || entry->early;
    Path path;
    initStringInfo(&path.text);
    path.length = 0;
    step(&path, type, own);
    // Old rows may have a cycle that the new one leads into: the mark is moved up after 1, 2, 4, … rows, and is met
    // again (Brent).
    Datum mark = own;
    for (std::uint64_t steps = 1, limit = 2;; steps++) {
        CHECK_FOR_INTERRUPTS();
        if (same(type, at, own) || same(type, at, mark)) refuse(entry, event, &path, type, at);
        step(&path, type, at);
        if (steps == limit) {
            mark = keep(type, at);
            limit *= 2;
        }
        Datum next;
        bool none = false;
        FoundRow found;
        bool there = look_up(statement, above, &at, &next, &none, locked, &found);
        if (!there && entry->early) {
            lock_missing_key(above->table, &type, &at, 1, false);
            there = look_up(statement, above, &at, &next, &none, locked, &found);
        }
        if (!there || none) return;
        if (!locked && !found.own) return;
        Datum plain_next;
        if (!as_parameter(above->results[0], next, type, &plain_next)) return;
        at = plain_next;
    }
}
} // namespace

} // namespace tenantmig

using namespace tenantmig;

extern "C" PGDLLEXPORT Datum tenantmig_guard_acyclic(PG_FUNCTION_ARGS) {
    GuardEvent event = guard_event(fcinfo, "guard_acyclic", Timing::after);
    if (engine_writes(event.relation)) return PointerGetDatum(nullptr);
    GuardStatement *statement = guard_statement(fcinfo, &event, core::GuardKind::acyclic);
    if (!statement) return PointerGetDatum(nullptr);
    if (!event.update || changes_something(statement->entry, event.before, event.row, event.columns))
        walk(statement, &event);
    return PointerGetDatum(nullptr);
}
