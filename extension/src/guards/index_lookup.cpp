#include "guards/index_lookup.hpp"
#include "bridge/pg_text.hpp"

namespace tenantmig {

// ---- what a statement remembers

struct CacheSlot {
    std::uint8_t key_size = 0, value_size = 0; // key_size 0: not used
    bool null = false, locked = false;
    std::uint64_t completions = 0;
    Datum number = 0; // a value that is passed by value
    char key[40], value[40];
};

struct LookupCache {
    static constexpr std::uint32_t slots = 1024; // a power of two
    int misses = 0;
    bool usable = false;
    CommandId command = InvalidCommandId;
    CacheSlot *slot = nullptr;
};

namespace {
constexpr int misses_before_cache = 4; // a statement of one row needs none

// The bytes that identify a key; 0 if it is not one to be remembered.
std::uint8_t key_bytes(Oid type, Datum value, char *bytes) {
    switch (type) {
    case INT8OID:
        memcpy(bytes, &value, sizeof(value));
        return sizeof(value);
    case UUIDOID:
        memcpy(bytes, DatumGetPointer(value), UUID_LEN);
        return UUID_LEN;
    case TEXTOID: {
        text *packed = DatumGetTextPP(value);
        const Size size = VARSIZE_ANY_EXHDR(packed);
        if (size == 0 || size > sizeof(CacheSlot::key)) return 0;
        memcpy(bytes, VARDATA_ANY(packed), size);
        return static_cast<std::uint8_t>(size);
    }
    default:
        return 0;
    }
}

bool written_by_us(Oid table) {
    LOCKTAG tag;
    SET_LOCKTAG_RELATION(tag, MyDatabaseId, table);
#if PG_VERSION_NUM >= 170000
    return LockHeldByMe(&tag, RowExclusiveLock, false);
#else
    return LockHeldByMe(&tag, RowExclusiveLock);
#endif
}

// The cache of a lookup, if one can be used now.
LookupCache *ready_cache(GuardStatement *statement, const GuardLookup *lookup) {
    if (lookup->keys != 1 || lookup->values > 1) return nullptr;
    LookupCache *cache = statement->cache[lookup->number];
    if (!cache) {
        cache = static_cast<LookupCache *>(MemoryContextAllocZero(statement->context, sizeof(LookupCache)));
        cache->command = InvalidCommandId;
        statement->cache[lookup->number] = cache;
    }
    CommandId command = GetCurrentCommandId(false);
    if (cache->command != command) {
        cache->command = command;
        cache->usable = !written_by_us(lookup->table);
        if (cache->slot) memset(static_cast<void *>(cache->slot), 0, sizeof(CacheSlot) * LookupCache::slots);
    }
    return cache->usable ? cache : nullptr;
}

CacheSlot *slot_of(LookupCache *cache, const char *key, std::uint8_t size) {
    return &cache->slot[hash_bytes(reinterpret_cast<const unsigned char *>(key), size) & (LookupCache::slots - 1)];
}

bool recall(const CacheSlot *slot, const GuardLookup *lookup, Datum *results, bool *nulls) {
    if (lookup->values == 0) return true;
    nulls[0] = slot->null;
    results[0] = slot->number;
    if (slot->null || slot->value_size == 0) return true;
    void *copy = palloc(slot->value_size);
    memcpy(copy, slot->value, slot->value_size);
    results[0] = PointerGetDatum(copy);
    return true;
}

void remember(CacheSlot *slot, const GuardLookup *lookup, const char *key, std::uint8_t key_size, const Datum *results,
              const bool *nulls, bool locked, std::uint64_t completions) {
    slot->key_size = 0;
    slot->value_size = 0;
    slot->null = false;
    slot->number = 0;
    if (lookup->values == 1) {
        std::int16_t length;
        bool by_value;
        get_typlenbyval(lookup->results[0], &length, &by_value);
        slot->null = nulls[0];
        if (by_value) {
            slot->number = results[0];
        } else if (!nulls[0]) {
            const Size size = length == -1 ? VARSIZE_ANY(DatumGetPointer(results[0])) : static_cast<Size>(length);
            if (length == -2 || size > sizeof(CacheSlot::value)) return;
            memcpy(slot->value, DatumGetPointer(results[0]), size);
            slot->value_size = static_cast<std::uint8_t>(size);
        }
    }
    memcpy(slot->key, key, key_size);
    slot->key_size = key_size;
    slot->locked = locked;
    slot->completions = completions;
}

// ---- through the index

[[noreturn]] void concurrent_update() {
    ereport(ERROR,
            (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE), errmsg("could not serialize access due to concurrent update"),
             errdetail("A guard found the row that it looked for changed by another transaction."),
             errhint("Run the transaction again.")));
    pg_unreachable();
}

// A parameter as the index has it. False: it has no such value.
bool narrow(Oid type, Datum parameter, Datum *argument) {
    *argument = parameter;
    if (type != INT4OID && type != INT2OID) return true;
    std::int64_t number = DatumGetInt64(parameter);
    *argument = type == INT4OID ? Int32GetDatum(static_cast<std::int32_t>(number))
                                : Int16GetDatum(static_cast<std::int16_t>(number));
    return type == INT4OID ? number >= PG_INT32_MIN && number <= PG_INT32_MAX
                           : number >= PG_INT16_MIN && number <= PG_INT16_MAX;
}

bool keys_hold(const GuardLookup *lookup, ScanKeyData *keys, TupleTableSlot *row) {
    for (int i = 0; i < lookup->keys; i++) {
        bool null = false;
        Datum value = slot_getattr(row, lookup->column[i], &null);
        if (null ||
            !DatumGetBool(FunctionCall2Coll(&keys[i].sk_func, keys[i].sk_collation, value, keys[i].sk_argument)))
            return false;
    }
    return true;
}

bool checks_hold(const GuardLookup *lookup, TupleTableSlot *row) {
    for (int i = 0; i < lookup->checks; i++) {
        bool null = false;
        Datum value = slot_getattr(row, lookup->check[i].number, &null);
        if (!check_holds(&lookup->check[i], value, null)) return false;
    }
    return true;
}

// Locks the row in the slot, which then holds its newest version. False: it is gone, or is no longer what was looked
// for.
bool lock_row(const GuardLookup *lookup, Relation table, TupleTableSlot *row, Snapshot snapshot, ScanKeyData *keys) {
    TM_FailureData failure = {};
    std::uint8_t flags = TUPLE_LOCK_FLAG_LOCK_UPDATE_IN_PROGRESS;
    if (!IsolationUsesXactSnapshot()) flags |= TUPLE_LOCK_FLAG_FIND_LAST_VERSION;
    ItemPointerData place = row->tts_tid;
    switch (table_tuple_lock(table, &place, snapshot, row, GetCurrentCommandId(false),
                             lookup->lock == RowLock::key_share ? LockTupleKeyShare : LockTupleShare, LockWaitBlock,
                             flags, &failure)) {
    case TM_Ok:
        return !failure.traversed || (keys_hold(lookup, keys, row) && checks_hold(lookup, row));
    case TM_Updated:
        if (IsolationUsesXactSnapshot()) concurrent_update();
        return false;
    case TM_Deleted:
        if (IsolationUsesXactSnapshot()) concurrent_update();
        return false;
    default: // gone by what this transaction has done
        return false;
    }
}

bool through_index(const GuardLookup *lookup, Snapshot snapshot, const Datum *parameters, Datum *results, bool *nulls,
                   bool locked, FoundRow *found) {
    ScanKeyData keys[INDEX_MAX_KEYS];
    memcpy(static_cast<void *>(keys), lookup->scan, sizeof(ScanKeyData) * static_cast<Size>(lookup->keys));
    for (int i = 0; i < lookup->keys; i++)
        if (!narrow(keys[i].sk_subtype, parameters[lookup->argument[i]], &keys[i].sk_argument)) return false;
    Relation table = table_open(lookup->table, NoLock); // locked for the statement
    Relation index = index_open(lookup->index, NoLock);
    TupleTableSlot *row = table_slot_create(table, nullptr);
#if PG_VERSION_NUM >= 180000
    IndexScanDesc scan = index_beginscan(table, index, snapshot, nullptr, lookup->keys, 0);
#else
    IndexScanDesc scan = index_beginscan(table, index, snapshot, lookup->keys, 0);
#endif
    index_rescan(scan, keys, lookup->keys, nullptr, 0);
    bool hit = false;
    while (!hit && index_getnext_slot(scan, ForwardScanDirection, row))
        hit = checks_hold(lookup, row) && (!locked || lock_row(lookup, table, row, snapshot, keys));
    for (int i = 0; hit && i < lookup->values; i++) {
        results[i] = slot_getattr(row, lookup->value[i], &nulls[i]);
        Form_pg_attribute attribute = TupleDescAttr(RelationGetDescr(table), lookup->value[i] - 1);
        if (nulls[i] || attribute->attbyval) continue;
        results[i] = attribute->attlen == -1 ? PointerGetDatum(PG_DETOAST_DATUM_COPY(results[i]))
                                             : datumCopy(results[i], false, attribute->attlen);
    }
    if (hit && found) {
        bool null = false;
        found->own = TransactionIdIsCurrentTransactionId(
            DatumGetTransactionId(slot_getsysattr(row, MinTransactionIdAttributeNumber, &null)));
    }
    index_endscan(scan);
    ExecDropSingleTupleTableSlot(row);
    index_close(index, NoLock);
    table_close(table, NoLock);
    return hit;
}

// ---- by a plan

bool through_plan(const GuardLookup *lookup, SPIPlanPtr plan, Snapshot snapshot, Datum *parameters,
                  const char *null_flags, Datum *results, bool *nulls) {
    MemoryContext caller = CurrentMemoryContext;
    Oid user;
    int context;
    SPI_connect();
    GetUserIdAndSecContext(&user, &context);
    SetUserIdAndSecContext(lookup->owner, context | SECURITY_RESTRICTED_OPERATION | SECURITY_LOCAL_USERID_CHANGE |
                                              SECURITY_NOFORCE_RLS);
    int code = SPI_execute_snapshot(plan, parameters, null_flags, snapshot, InvalidSnapshot, false, false, 1);
    SetUserIdAndSecContext(user, context);
    if (code != SPI_OK_SELECT)
        ereport(ERROR, (errcode(MAKE_SQLSTATE('T', 'M', '9', '9', '9')),
                        errmsg("a lookup of a guard failed: %s", SPI_result_code_string(code))));
    bool hit = SPI_processed > 0;
    for (int i = 0; hit && i < lookup->values; i++) {
        results[i] = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, i + 1, &nulls[i]);
        Form_pg_attribute attribute = TupleDescAttr(SPI_tuptable->tupdesc, i);
        if (nulls[i] || attribute->attbyval) continue;
        MemoryContext own = MemoryContextSwitchTo(caller);
        results[i] = attribute->attlen == -1 ? PointerGetDatum(PG_DETOAST_DATUM_COPY(results[i]))
                                             : datumCopy(results[i], false, attribute->attlen);
        MemoryContextSwitchTo(own);
    }
    SPI_finish();
    return hit;
}
} // namespace

bool look_up(GuardStatement *statement, GuardLookup *lookup, Datum *parameters, Datum *results, bool *nulls,
             bool locked, FoundRow *found) {
    if (locked && lookup->lock == RowLock::none) locked = false;
    if (found) found->own = true;
    CommandCounterIncrement(); // so that what this transaction, and this statement, has written is seen
    LookupCache *cache = found ? nullptr : ready_cache(statement, lookup);
    char key[sizeof(CacheSlot::key)];
    std::uint8_t key_size = cache ? key_bytes(lookup->parameters[0], parameters[0], key) : 0;
    CacheSlot *slot = nullptr;
    if (key_size > 0 && cache->slot) {
        slot = slot_of(cache, key, key_size);
        if (slot->key_size != key_size || memcmp(slot->key, key, key_size) != 0) slot = nullptr;
        if (slot && slot->locked) return recall(slot, lookup, results, nulls);
        if (locked) slot = nullptr;
    }
    Snapshot snapshot = GetLatestSnapshot();
    const std::uint64_t completions = snapshot->snapXactCompletionCount;
    if (slot && completions != 0 && slot->completions == completions) return recall(slot, lookup, results, nulls);

    bool hit;
    if (lookup->plan) {
        hit =
            through_plan(lookup, locked ? lookup->locking_plan : lookup->plan,
                         IsolationUsesXactSnapshot() ? snapshot : InvalidSnapshot, parameters, nullptr, results, nulls);
    } else {
        PushActiveSnapshot(snapshot);
        hit = through_index(lookup, GetActiveSnapshot(), parameters, results, nulls, locked, found);
        PopActiveSnapshot();
    }
    // By a plan another snapshot was used than the one whose number is known.
    if (!hit || key_size == 0 || (lookup->plan && !locked) || ++cache->misses <= misses_before_cache) return hit;
    if (!cache->slot)
        cache->slot = static_cast<CacheSlot *>(
            MemoryContextAllocZero(statement->context, sizeof(CacheSlot) * LookupCache::slots));
    remember(slot_of(cache, key, key_size), lookup, key, key_size, results, nulls, locked, completions);
    return true;
}

bool look_up_plan(const GuardLookup *lookup, Datum *parameters, const char *null_flags, Datum *results, bool *nulls) {
    CommandCounterIncrement();
    return through_plan(lookup, lookup->plan, IsolationUsesXactSnapshot() ? GetLatestSnapshot() : InvalidSnapshot,
                        parameters, null_flags, results, nulls);
}

void lock_missing_key(Oid table, const Oid *types, const Datum *keys, int count, bool adds_row) {
    std::uint32_t hash = table;
    for (int i = 0; i < count; i++) {
        const char *text = guard_text(types[i], keys[i]);
        hash = hash_combine(hash,
                            hash_bytes(reinterpret_cast<const unsigned char *>(text), static_cast<int>(strlen(text))));
    }
    LOCKTAG tag;
    SET_LOCKTAG_OBJECT(tag, MyDatabaseId, get_relname_relid("guard", get_namespace_oid("tenantmig", false)), hash, 3);
    tag.locktag_lockmethodid = USER_LOCKMETHOD;
    (void)LockAcquire(&tag, adds_row ? ExclusiveLock : ShareLock, false, false);
}

} // namespace tenantmig
