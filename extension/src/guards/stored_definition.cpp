#include "guards/stored_definition.hpp"

namespace tenantmig {

const char *stored_definition(std::int64_t guard) {
    Oid schema = get_namespace_oid("tenantmig", true);
    Oid table = OidIsValid(schema) ? get_relname_relid("guard", schema) : InvalidOid;
    Oid index = OidIsValid(schema) ? get_relname_relid("guard_pkey", schema) : InvalidOid;
    if (!OidIsValid(table) || !OidIsValid(index)) return nullptr;
    Relation rel = table_open(table, AccessShareLock);
    AttrNumber id = get_attnum(table, "id"), definition = get_attnum(table, "definition");
    Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
    ScanKeyData key;
    ScanKeyInit(&key, id, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(guard));
    SysScanDesc scan = systable_beginscan(rel, index, true, snapshot, 1, &key);
    const char *text = nullptr;
    if (HeapTuple tuple = systable_getnext(scan)) {
        bool null = false;
        Datum datum = heap_getattr(tuple, definition, RelationGetDescr(rel), &null);
        if (!null) {
            Jsonb *document = DatumGetJsonbPCopy(datum);
            text = JsonbToCString(nullptr, &document->root, static_cast<int>(VARSIZE(document)));
        }
    }
    systable_endscan(scan);
    UnregisterSnapshot(snapshot);
    table_close(rel, AccessShareLock);
    return text;
}

bool guard_argument(const Trigger *trigger, std::int64_t *number) {
    if (trigger->tgnargs != 1) return false;
    const char *text = trigger->tgargs[0];
    std::int64_t value = 0;
    if (text[0] < '1' || text[0] > '9') return false;
    for (const char *digit = text; *digit; digit++)
        if (*digit < '0' || *digit > '9' || __builtin_mul_overflow(value, std::int64_t{10}, &value) ||
            __builtin_add_overflow(value, std::int64_t{*digit - '0'}, &value))
            return false;
    *number = value;
    return true;
}

} // namespace tenantmig
