#include "guards/guard_statement.hpp"
#include "bridge/engine_write.hpp"
#include "guards/stored_definition.hpp"

namespace tenantmig {

namespace {
struct EntryKey {
    std::int64_t guard; // 0: the plain form
    Oid relation;
    Oid trigger; // of the plain form
};
struct EntrySlot {
    EntryKey key;
    GuardEntry *entry;
};
HTAB *entries = nullptr;

void relation_changed(Datum, Oid relation) {
    HASH_SEQ_STATUS scan;
    hash_seq_init(&scan, entries);
    while (auto *slot = static_cast<EntrySlot *>(hash_seq_search(&scan))) {
        if (!slot->entry || slot->entry->stale) continue;
        bool ours = !OidIsValid(relation) || relation == slot->entry->relation;
        for (int i = 0; i < slot->entry->tables && !ours; i++)
            ours = slot->entry->table[i] == relation;
        if (ours) slot->entry->stale = true;
    }
}

void anything_changed(Datum, int, std::uint32_t) {
    relation_changed(0, InvalidOid);
}

void remember_entries() {
    HASHCTL control = {};
    control.keysize = sizeof(EntryKey);
    control.entrysize = sizeof(EntrySlot);
    entries = hash_create("tenantmig guards", 16, &control, HASH_ELEM | HASH_BLOBS);
    CacheRegisterRelcacheCallback(relation_changed, 0);
    CacheRegisterSyscacheCallback(NAMESPACEOID, anything_changed, 0);
    CacheRegisterSyscacheCallback(AUTHOID, anything_changed, 0);
}

GuardEntry *make_entry(EntrySlot *slot, core::GuardKind kind, const Trigger *trigger) {
    // One that a trigger further up may be using lives until the transaction ends.
    if (slot->entry) MemoryContextSetParent(slot->entry->context, TopTransactionContext);
    slot->entry = nullptr;
    MemoryContext context = AllocSetContextCreate(TopTransactionContext, "tenantmig guard", ALLOCSET_SMALL_SIZES);
    auto *entry = static_cast<GuardEntry *>(MemoryContextAllocZero(context, sizeof(GuardEntry)));
    entry->guard = slot->key.guard;
    entry->relation = slot->key.relation;
    entry->trigger = slot->key.trigger;
    entry->kind = kind;
    entry->context = context;
    slot->entry = entry; // so that a change while it is made is noticed
    PG_TRY();
    {
        SPI_connect();
        (void)pg_entry([entry, trigger] {
            load_guard(entry, trigger);
            return Datum(0);
        });
        SPI_finish();
    }
    PG_CATCH();
    {
        slot->entry = nullptr; // its memory goes with the transaction
        PG_RE_THROW();
    }
    PG_END_TRY();
    MemoryContextSetParent(context, CacheMemoryContext);
    return entry;
}

GuardEntry *current_entry(EntryKey key, core::GuardKind kind, const Trigger *trigger) {
    if (!entries) remember_entries();
    bool found = false;
    auto *slot = static_cast<EntrySlot *>(hash_search(entries, &key, HASH_ENTER, &found));
    if (!found) slot->entry = nullptr;
    for (int attempt = 0;; attempt++) {
        if (!slot->entry || slot->entry->stale) make_entry(slot, kind, trigger);
        for (int i = 0; i < slot->entry->tables; i++)
            LockRelationOid(slot->entry->table[i], slot->entry->lock[i]);
        // Somebody who changes a table in every moment in between doesn't exist; a row must not hang all the same.
        if (!slot->entry->stale || attempt == 5) return slot->entry;
    }
}

EntryKey key_of(const GuardEvent *event) {
    const Trigger *trigger = event->data->tg_trigger;
    EntryKey key = {0, RelationGetRelid(event->relation), InvalidOid};
    if (guard_argument(trigger, &key.guard)) return key;
    if (trigger->tgnargs == 0)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("trigger \"%s\" was not made by tenantmig.attach_guard", trigger->tgname),
                        errdetail("Its argument must be the number of a guard."),
                        errhint("Drop the trigger and call tenantmig.attach_guard(migration).")));
    key.trigger = trigger->tgoid;
    return key;
}

void tell_inert(const GuardEvent *event, GuardEntry *entry) {
    if (!entry->told)
        ereport(WARNING, (errmsg("guard %lld of \"%s\" does nothing", static_cast<long long>(entry->guard),
                                 RelationGetRelationName(event->relation)),
                          errdetail("%s", entry->inert),
                          errhint("SELECT * FROM tenantmig.attach_guard(migration) attaches it anew; DROP TRIGGER "
                                  "%s removes it.",
                                  quote_identifier(event->data->tg_trigger->tgname))));
    entry->told = true;
}
} // namespace

GuardEvent guard_event(FunctionCallInfo fcinfo, const char *function, Timing timing) {
    if (!CALLED_AS_TRIGGER(fcinfo))
        ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
                        errmsg("tenantmig.%s is a trigger function", function),
                        errhint("SELECT * FROM tenantmig.attach_guard(migration) makes the trigger.")));
    auto *data = reinterpret_cast<TriggerData *>(fcinfo->context);
    bool wrong_time = (timing == Timing::before && !TRIGGER_FIRED_BEFORE(data->tg_event)) ||
                      (timing == Timing::after && !TRIGGER_FIRED_AFTER(data->tg_event));
    if (wrong_time || !TRIGGER_FIRED_FOR_ROW(data->tg_event) || TRIGGER_FIRED_BY_DELETE(data->tg_event) ||
        TRIGGER_FIRED_BY_TRUNCATE(data->tg_event))
        ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
                        errmsg("trigger \"%s\" must be %sINSERT OR UPDATE and FOR EACH ROW", data->tg_trigger->tgname,
                               timing == Timing::before  ? "BEFORE "
                               : timing == Timing::after ? "AFTER "
                                                         : ""),
                        errhint("SELECT * FROM tenantmig.attach_guard(migration) makes the trigger.")));
    bool update = TRIGGER_FIRED_BY_UPDATE(data->tg_event);
    return {data,
            data->tg_relation,
            RelationGetDescr(data->tg_relation),
            update,
            update ? data->tg_trigtuple : nullptr,
            update ? data->tg_newtuple : data->tg_trigtuple};
}

GuardStatement *guard_statement(FunctionCallInfo fcinfo, const GuardEvent *event, core::GuardKind kind) {
    auto *statement = static_cast<GuardStatement *>(fcinfo->flinfo->fn_extra);
    // The locks of the statement hold to its end, so nobody else can have changed anything; this session can.
    if (!statement || statement->entry->stale || statement->relation != RelationGetRelid(event->relation) ||
        statement->trigger != event->data->tg_trigger->tgoid) {
        GuardEntry *entry = current_entry(key_of(event), kind, event->data->tg_trigger);
        MemoryContext context = fcinfo->flinfo->fn_mcxt;
        statement = static_cast<GuardStatement *>(MemoryContextAllocZero(context, sizeof(GuardStatement)));
        statement->context = context;
        statement->entry = entry;
        statement->relation = RelationGetRelid(event->relation);
        statement->trigger = event->data->tg_trigger->tgoid;
        statement->cache = static_cast<LookupCache **>(
            MemoryContextAllocZero(context, sizeof(LookupCache *) * static_cast<Size>(entry->lookups + 1)));
        fcinfo->flinfo->fn_extra = statement;
    }
    if (!statement->entry->inert) return statement;
    tell_inert(event, statement->entry);
    return nullptr;
}

bool engine_writes(Relation relation) {
    if (!EngineWriteScope::active()) return false;
    Oid written = EngineWriteScope::relation();
    if (!OidIsValid(written) || written == RelationGetRelid(relation)) return true;
    if (!relation->rd_rel->relispartition) return false;
    List *ancestors = get_partition_ancestors(RelationGetRelid(relation));
    bool found = list_member_oid(ancestors, written);
    list_free(ancestors);
    return found;
}

bool changes_something(const GuardEntry *entry, HeapTuple before, HeapTuple after, TupleDesc columns) {
    for (int i = 0; i < entry->watched; i++) {
        bool was_null = false, is_null = false;
        Datum was = heap_getattr(before, entry->watch[i], columns, &was_null);
        Datum is = heap_getattr(after, entry->watch[i], columns, &is_null);
        if (was_null != is_null) return true;
        Form_pg_attribute attribute = TupleDescAttr(columns, entry->watch[i] - 1);
        if (!is_null && !datum_image_eq(was, is, attribute->attbyval, attribute->attlen)) return true;
    }
    return false;
}

bool check_holds(GuardCheck *check, Datum value, bool null) {
    if (null) return check->or_null;
    for (int k = 0; k < check->count; k++)
        if (DatumGetBool(FunctionCall2Coll(&check->equal, check->collation, value, check->values[k]))) return true;
    return false;
}

bool concerns(const GuardEntry *entry, HeapTuple row, TupleDesc columns) {
    for (int i = 0; i < entry->checks; i++) {
        bool null = false;
        Datum value = heap_getattr(row, entry->check[i].number, columns, &null);
        if (!check_holds(&entry->check[i], value, null)) return false;
    }
    return true;
}

} // namespace tenantmig
