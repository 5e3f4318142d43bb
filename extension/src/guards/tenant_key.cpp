// The guard of kind tenant_key (design.md §6): keeps the tenant key of new rows right, by asking the row's parents.
// PostgreSQL's regime throughout, since it runs for every row: plain data, direct ereport(). Only the making of an
// entry and the log, which are rare, go through C++.
//
// Lookups run as the owner of the table that they read, through kept plans whose names and operators are all qualified,
// on tables only and with built-in operators only, so that nobody's code runs under that identity. What they would
// fail on (a dropped parent, a revoked right) is found when the entry is made: all tables are locked first, and
// whatever has changed until then has made the entry stale.
#include "bridge/engine_write.hpp"
#include "guards/guard_entry.hpp"

extern "C" {
PG_FUNCTION_INFO_V1(tenantmig_guard_tenant_key);
}

namespace tenantmig {

char *guard_text(Oid type, Datum value) {
    Oid output;
    bool varlena;
    getTypeOutputInfo(type, &output, &varlena);
    return OidOutputFunctionCall(output, value);
}

namespace {
struct EntryKey {
    std::int64_t guard;
    Oid relation;
    Oid padding;
};
struct EntrySlot {
    EntryKey key;
    GuardEntry *entry;
};
HTAB *entries = nullptr;

// ---- what a backend remembers, and when it forgets

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

GuardEntry *make_entry(EntrySlot *slot) {
    // One that a trigger further up may be using lives until the transaction ends.
    if (slot->entry) MemoryContextSetParent(slot->entry->context, TopTransactionContext);
    slot->entry = nullptr;
    MemoryContext context = AllocSetContextCreate(TopTransactionContext, "tenantmig guard", ALLOCSET_SMALL_SIZES);
    auto *entry = static_cast<GuardEntry *>(MemoryContextAllocZero(context, sizeof(GuardEntry)));
    entry->guard = slot->key.guard;
    entry->relation = slot->key.relation;
    entry->context = context;
    slot->entry = entry; // so that a change while it is made is noticed
    PG_TRY();
    {
        (void)pg_entry([entry] {
            load_guard(entry);
            return Datum(0);
        });
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

GuardEntry *current_entry(std::int64_t guard, Oid relation) {
    if (!entries) remember_entries();
    EntryKey key = {guard, relation, 0};
    bool found = false;
    auto *slot = static_cast<EntrySlot *>(hash_search(entries, &key, HASH_ENTER, &found));
    if (!found) slot->entry = nullptr;
    for (int attempt = 0;; attempt++) {
        if (!slot->entry || slot->entry->stale) make_entry(slot);
        for (int i = 0; i < slot->entry->tables; i++)
            LockRelationOid(slot->entry->table[i], AccessShareLock);
        // Somebody who changes a table in every moment in between doesn't exist; a row must not hang all the same.
        if (!slot->entry->stale || attempt == 5) return slot->entry;
    }
}

// ---- values

bool is_integer(Oid type) {
    return type == INT2OID || type == INT4OID || type == INT8OID;
}

Datum plain(Oid type, Datum value, Oid *becomes) {
    *becomes = type;
    switch (type) {
    case INT2OID:
        *becomes = INT8OID;
        return Int64GetDatum(DatumGetInt16(value));
    case INT4OID:
        *becomes = INT8OID;
        return Int64GetDatum(DatumGetInt32(value));
    case VARCHAROID:
        *becomes = TEXTOID;
        return value;
    default:
        return value;
    }
}

// The integer whose text form this is; others are no key of that type.
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

bool canonical_uuid(const char *text, int length) {
    if (length != 36) return false;
    for (int i = 0; i < 36; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        bool digit = (text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f');
        if (dash ? text[i] != '-' : !digit) return false;
    }
    return true;
}

// A value as the parameter of a lookup. False: no key of that type can be equal to it.
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
    text *x = DatumGetTextPP(a), *y = DatumGetTextPP(b);
    return VARSIZE_ANY_EXHDR(x) == VARSIZE_ANY_EXHDR(y) &&
           memcmp(VARDATA_ANY(x), VARDATA_ANY(y), VARSIZE_ANY_EXHDR(x)) == 0;
}

// The tenant as a value of the tenant key's type. False: it does not fit.
bool as_key(const GuardEntry *entry, Datum tenant, Datum *value) {
    *value = tenant;
    if (is_integer(entry->type)) {
        std::int64_t number = DatumGetInt64(tenant);
        if (entry->type == INT2OID) {
            *value = Int16GetDatum(static_cast<std::int16_t>(number));
            return number >= PG_INT16_MIN && number <= PG_INT16_MAX;
        }
        if (entry->type == INT4OID) {
            *value = Int32GetDatum(static_cast<std::int32_t>(number));
            return number >= PG_INT32_MIN && number <= PG_INT32_MAX;
        }
    } else if (entry->type == VARCHAROID && entry->typmod >= VARHDRSZ) {
        return DatumGetInt32(DirectFunctionCall1(textlen, tenant)) <= entry->typmod - VARHDRSZ;
    }
    return true;
}

// ---- asking

// Runs one lookup; needs an SPI connection, in whose memory the results are. As foreign keys do: as the table's owner,
// with the newest snapshot.
bool run_lookup(const GuardLookup *lookup, Datum *parameters, Datum *results, bool *nulls) {
    Oid user;
    int context;
    GetUserIdAndSecContext(&user, &context);
    SetUserIdAndSecContext(lookup->owner, context | SECURITY_RESTRICTED_OPERATION | SECURITY_LOCAL_USERID_CHANGE |
                                              SECURITY_NOFORCE_RLS);
    Snapshot snapshot = InvalidSnapshot;
    if (IsolationUsesXactSnapshot()) {
        CommandCounterIncrement();
        snapshot = GetLatestSnapshot();
    }
    int code = SPI_execute_snapshot(lookup->plan, parameters, nullptr, snapshot, InvalidSnapshot, false, false, 1);
    SetUserIdAndSecContext(user, context);
    if (code != SPI_OK_SELECT)
        ereport(ERROR, (errcode(MAKE_SQLSTATE('T', 'M', '9', '9', '9')),
                        errmsg("a lookup of a guard failed: %s", SPI_result_code_string(code))));
    if (SPI_processed == 0) return false;
    for (int i = 0; i < lookup->values; i++)
        results[i] = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, i + 1, &nulls[i]);
    return true;
}

struct Answer {
    bool given = false;
    const char *problem = nullptr; // what it leads to can't be read
    Datum tenant = 0;              // in plain form
};

Answer ask(const GuardWay *way, HeapTuple row, TupleDesc columns) {
    Answer answer;
    Datum values[max_guard_keys];
    Oid types[max_guard_keys];
    for (int i = 0; i < way->probes; i++) {
        bool null = false;
        values[i] = heap_getattr(row, way->probe[i].number, columns, &null);
        if (null) return answer;
        types[i] = way->probe[i].type;
    }
    int begin = 0, end = way->lookups;
    if (way->type_column.number != 0) {
        bool null = false;
        Datum datum = heap_getattr(row, way->type_column.number, columns, &null);
        if (null) return answer;
        const char *type = guard_text(way->type_column.type, datum);
        for (begin = 0; begin < way->lookups; begin++)
            if (strcmp(way->lookup[begin].type_value, type) == 0) break;
        if (begin == way->lookups) return answer;
        end = begin + 1;
    }
    for (int hop = begin; hop < end; hop++) {
        const GuardLookup *lookup = &way->lookup[hop];
        if (lookup->problem) {
            answer.problem = lookup->problem;
            return answer;
        }
        Datum parameters[max_guard_keys];
        bool nulls[max_guard_keys] = {};
        for (int i = 0; i < lookup->keys; i++)
            if (!as_parameter(types[i], values[i], lookup->parameters[i], &parameters[i])) return answer;
        if (!run_lookup(lookup, parameters, values, nulls)) return answer;
        for (int i = 0; i < lookup->values; i++) {
            if (nulls[i]) return answer;
            types[i] = lookup->results[i];
        }
    }
    Oid type;
    answer.tenant = plain(types[0], values[0], &type);
    answer.given = true;
    return answer;
}

struct Evidence {
    bool given = false, agreed = true, in_root = false;
    const char *unreadable = nullptr; // why a source could not be asked
    Datum tenant = 0;                 // the first answer
    StringInfoData tenants, detail;   // for people
};

void gather(const GuardEntry *entry, HeapTuple row, TupleDesc columns, Evidence *evidence) {
    Oid type;
    (void)plain(entry->type, 0, &type);
    initStringInfo(&evidence->tenants);
    initStringInfo(&evidence->detail);
    for (int i = 0; i < entry->ways; i++) {
        const GuardWay *way = &entry->way[i];
        Answer answer;
        answer.problem = way->problem;
        if (!answer.problem) answer = ask(way, row, columns);
        if (answer.problem) {
            evidence->unreadable = psprintf("%s: %s", way->label, answer.problem);
            if (entry->first) break; // a later one must not decide in its place
            continue;
        }
        if (!answer.given) continue;
        const bool differs = evidence->given && !same(type, evidence->tenant, answer.tenant);
        if (!evidence->given || differs) {
            const char *text = guard_text(type, answer.tenant);
            appendStringInfo(&evidence->tenants, "%s%s", evidence->given ? ", " : "", text);
            appendStringInfo(&evidence->detail, "%s%s: %s", evidence->given ? "; " : "", way->label, text);
        }
        if (differs) evidence->agreed = false;
        if (!evidence->given) {
            evidence->tenant = answer.tenant;
            evidence->in_root = way->ends_at_root;
        }
        evidence->given = true;
        if (entry->first) break;
    }
}

bool in_root(const GuardEntry *entry, Datum tenant) {
    Datum parameters[1] = {tenant}, results[1];
    bool nulls[1];
    return run_lookup(&entry->root, parameters, results, nulls);
}

// ---- the row

bool concerns(const GuardEntry *entry, HeapTuple row, TupleDesc columns) {
    for (int i = 0; i < entry->checks; i++) {
        GuardCheck *check = &entry->check[i];
        bool null = false;
        Datum value = heap_getattr(row, check->number, columns, &null);
        bool holds = null && check->or_null;
        for (int k = 0; k < check->count && !null && !holds; k++)
            holds = DatumGetBool(FunctionCall2Coll(&check->equal, check->collation, value, check->values[k]));
        if (!holds) return false;
    }
    return true;
}

// An UPDATE matters if it changes the key or what the key follows from. A row that has no key yet, and was only
// touched, waits for its backfill, which logs what it writes.
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

void drift(const GuardEntry *entry, HeapTuple row, Relation relation, DriftRow what) {
    const char *name = quote_qualified_identifier(get_namespace_name(RelationGetNamespace(relation)),
                                                  RelationGetRelationName(relation));
    TupleDesc columns = RelationGetDescr(relation);
    (void)pg_entry([&] {
        log_drift(entry, row, columns, name, &what);
        return Datum(0);
    });
}

[[noreturn]] void refuse(const GuardEntry *entry, Relation relation, const char *found, const Evidence *evidence) {
    if (found)
        ereport(ERROR, (errcode(ERRCODE_CHECK_VIOLATION),
                        errmsg("tenant key \"%s\" of \"%s\" contradicts the row's parents", entry->column_name,
                               RelationGetRelationName(relation)),
                        errdetail("The row says %s; %s.", found, evidence->detail.data),
                        errhint("Write the tenant of its parent, or change the parent first."),
                        errtablecol(relation, entry->column)));
    ereport(ERROR,
            (errcode(ERRCODE_CHECK_VIOLATION),
             errmsg("tenant key \"%s\" of \"%s\" is missing", entry->column_name, RelationGetRelationName(relation)),
             evidence->given ? errdetail("Its parents say %s.", evidence->tenants.data)
                             : errdetail("None of its parents names a tenant."),
             errhint("Write the row with its tenant."), errtablecol(relation, entry->column)));
    pg_unreachable();
}

// What to do about the row. True: fill in *value.
bool judge(const GuardEntry *entry, HeapTuple row, Relation relation, Datum *value) {
    TupleDesc columns = RelationGetDescr(relation);
    Evidence evidence;
    gather(entry, row, columns, &evidence);
    bool null = false;
    Datum key = heap_getattr(row, entry->column, columns, &null);
    const char *expected = evidence.given ? evidence.tenants.data : nullptr;
    const char *detail = evidence.unreadable ? evidence.unreadable : evidence.given ? evidence.detail.data : nullptr;
    if (!null) {
        Oid type;
        key = plain(entry->type, key, &type);
        if (evidence.given && (!evidence.agreed || !same(type, evidence.tenant, key))) {
            const char *found = guard_text(type, key);
            if (entry->mode == core::GuardMode::reject) refuse(entry, relation, found, &evidence);
            drift(entry, row, relation, {"mismatch", found, expected, detail});
        } else if (evidence.unreadable) {
            drift(entry, row, relation, {"unreadable", guard_text(type, key), expected, detail});
        }
        return false;
    }
    if (entry->mode == core::GuardMode::reject) refuse(entry, relation, nullptr, &evidence);
    const char *kind = nullptr;
    if (entry->mode == core::GuardMode::warn)
        kind = "null_key";
    else if (evidence.unreadable)
        kind = "unreadable";
    else if (!evidence.given)
        kind = "orphan";
    else if (!evidence.agreed)
        kind = "conflict";
    else if (!as_key(entry, evidence.tenant, value) || (!evidence.in_root && !in_root(entry, evidence.tenant)))
        kind = "unknown_tenant";
    else
        return true;
    drift(entry, row, relation, {kind, nullptr, expected, detail});
    return false;
}

std::int64_t guard_number(const Trigger *trigger) {
    std::int64_t number = 0;
    if (trigger->tgnargs == 1 &&
        canonical_integer(trigger->tgargs[0], static_cast<int>(strlen(trigger->tgargs[0])), &number))
        return number;
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                    errmsg("trigger \"%s\" was not made by tenantmig.attach_guard", trigger->tgname),
                    errdetail("Its argument must be the number of a guard."),
                    errhint("Drop the trigger and call tenantmig.attach_guard(migration).")));
    pg_unreachable();
}
} // namespace

} // namespace tenantmig

using namespace tenantmig;

extern "C" PGDLLEXPORT Datum tenantmig_guard_tenant_key(PG_FUNCTION_ARGS) {
    if (!CALLED_AS_TRIGGER(fcinfo))
        ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
                        errmsg("tenantmig.guard_tenant_key is a trigger function"),
                        errhint("SELECT * FROM tenantmig.attach_guard(migration) makes the trigger.")));
    auto *event = reinterpret_cast<TriggerData *>(fcinfo->context);
    if (!TRIGGER_FIRED_BEFORE(event->tg_event) || !TRIGGER_FIRED_FOR_ROW(event->tg_event) ||
        TRIGGER_FIRED_BY_DELETE(event->tg_event))
        ereport(ERROR,
                (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
                 errmsg("trigger \"%s\" must be BEFORE INSERT OR UPDATE and FOR EACH ROW", event->tg_trigger->tgname),
                 errhint("SELECT * FROM tenantmig.attach_guard(migration) makes the trigger.")));
    bool update = TRIGGER_FIRED_BY_UPDATE(event->tg_event);
    HeapTuple row = update ? event->tg_newtuple : event->tg_trigtuple;
    if (EngineWriteScope::active()) return PointerGetDatum(row);
    std::int64_t guard = guard_number(event->tg_trigger);

    Relation relation = event->tg_relation;
    TupleDesc columns = RelationGetDescr(relation);
    MemoryContext caller = CurrentMemoryContext;
    SPI_connect();
    GuardEntry *entry = current_entry(guard, RelationGetRelid(relation));
    if (entry->inert) {
        if (!entry->told)
            ereport(WARNING, (errmsg("guard %lld of \"%s\" does nothing", static_cast<long long>(guard),
                                     RelationGetRelationName(relation)),
                              errdetail("%s", entry->inert),
                              errhint("SELECT * FROM tenantmig.attach_guard(migration) attaches it anew; DROP TRIGGER "
                                      "%s removes it.",
                                      quote_identifier(event->tg_trigger->tgname))));
        entry->told = true;
    } else if ((!update || changes_something(entry, event->tg_trigtuple, row, columns)) &&
               concerns(entry, row, columns)) {
        Datum value = 0;
        if (judge(entry, row, relation, &value)) {
            MemoryContext lookup = MemoryContextSwitchTo(caller);
            int number = entry->column;
            bool null = false;
            row = heap_modify_tuple_by_cols(row, columns, 1, &number, &value, &null);
            MemoryContextSwitchTo(lookup);
        }
    }
    SPI_finish();
    return PointerGetDatum(row);
}
