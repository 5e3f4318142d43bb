// The trigger of maintenance mode: refuses writes to a table for as long as the row of its migration in tenantmig.fence
// says so. It looks at the clock at every statement, so that a fence ends by itself, and at what is committed at that
// moment, whatever snapshot the statement has. Who may pass is known from the backend's own state: which role has
// logged in, which process it is. No setting has a say.
#include "bridge/fence_session.hpp"
#include "guards/guard_statement.hpp"
#include "guards/stored_definition.hpp"

extern "C" {
PG_FUNCTION_INFO_V1(tenantmig_maintenance_fence);
}

namespace tenantmig {

namespace {
struct Fence {
    bool here = false, exempt = false;
    TimestampTz until = 0, since = 0;
    const char *migration = nullptr, *by = nullptr;
};

bool login_is_exempt(Datum list) {
    Datum *logins = nullptr;
    int count = 0;
    deconstruct_array(DatumGetArrayTypeP(list), OIDOID, sizeof(Oid), true, TYPALIGN_INT, &logins, nullptr, &count);
    for (int i = 0; i < count; i++)
        if (DatumGetObjectId(logins[i]) == GetSessionUserId()) return true;
    return false;
}

bool session_is_exempt(Datum list) {
    const char *own = fence_session();
    Datum *sessions = nullptr;
    int count = 0;
    deconstruct_array(DatumGetArrayTypeP(list), TEXTOID, -1, false, TYPALIGN_INT, &sessions, nullptr, &count);
    for (int i = 0; i < count; i++)
        if (strcmp(TextDatumGetCString(sessions[i]), own) == 0) return true;
    return false;
}

Datum column_of(HeapTuple tuple, Relation rel, const char *name) {
    bool null = false;
    Datum datum = heap_getattr(tuple, get_attnum(RelationGetRelid(rel), name), RelationGetDescr(rel), &null);
    if (null) ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("tenantmig.fence.%s is NULL", name)));
    return datum;
}

// Its texts live in the current memory context.
Fence stored_fence(std::int64_t migration) {
    Fence fence;
    Oid schema = get_namespace_oid("tenantmig", true);
    Oid table = OidIsValid(schema) ? get_relname_relid("fence", schema) : InvalidOid;
    Oid index = OidIsValid(schema) ? get_relname_relid("fence_pkey", schema) : InvalidOid;
    if (!OidIsValid(table) || !OidIsValid(index)) return fence;
    Relation rel = table_open(table, AccessShareLock);
    Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
    ScanKeyData key;
    ScanKeyInit(&key, get_attnum(table, "migration_id"), BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(migration));
    SysScanDesc scan = systable_beginscan(rel, index, true, snapshot, 1, &key);
    if (HeapTuple tuple = systable_getnext(scan)) {
        fence.here = true;
        fence.until = DatumGetTimestampTz(column_of(tuple, rel, "fenced_until"));
        fence.since = DatumGetTimestampTz(column_of(tuple, rel, "switched_on_at"));
        fence.exempt = login_is_exempt(column_of(tuple, rel, "exempt_logins")) ||
                       session_is_exempt(column_of(tuple, rel, "exempt_sessions"));
        fence.migration = TextDatumGetCString(column_of(tuple, rel, "migration"));
        fence.by = TextDatumGetCString(column_of(tuple, rel, "switched_on_by"));
    }
    systable_endscan(scan);
    UnregisterSnapshot(snapshot);
    table_close(rel, AccessShareLock);
    return fence;
}

// A background worker of this library works for a migration, and never for an application.
bool is_own_worker() {
    return MyBgworkerEntry && strcmp(MyBgworkerEntry->bgw_library_name, "tenantmig") == 0;
}

// Whole seconds: the last ones before, or the first ones after.
const char *shown_time(TimestampTz time, bool after) {
    const TimestampTz seconds = (time + (after ? USECS_PER_SEC - 1 : 0)) / USECS_PER_SEC * USECS_PER_SEC;
    return pstrdup(timestamptz_to_str(seconds));
}

[[noreturn]] void refuse(Relation relation, const Fence *fence, TimestampTz now) {
    const long seconds = static_cast<long>((fence->until - now + USECS_PER_SEC - 1) / USECS_PER_SEC);
    ereport(ERROR,
            (errcode(MAKE_SQLSTATE('T', 'M', '0', '1', '6')),
             errmsg("table \"%s\" takes no writes for the time of a migration", RelationGetRelationName(relation)),
             errdetail("Maintenance for migration \"%s\" was switched on by %s at %s.", fence->migration, fence->by,
                       shown_time(fence->since, false)),
             errhint("Try again after %s, in %ld s: it ends by then. Reading works meanwhile.",
                     shown_time(fence->until, true), seconds),
             errtable(relation)));
    pg_unreachable();
}

Datum passed(const TriggerData *event) {
    if (!TRIGGER_FIRED_FOR_ROW(event->tg_event)) return PointerGetDatum(nullptr);
    return PointerGetDatum(TRIGGER_FIRED_BY_UPDATE(event->tg_event) ? event->tg_newtuple : event->tg_trigtuple);
}
} // namespace

} // namespace tenantmig

using namespace tenantmig;

extern "C" PGDLLEXPORT Datum tenantmig_maintenance_fence(PG_FUNCTION_ARGS) {
    if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_BEFORE(reinterpret_cast<TriggerData *>(fcinfo->context)->tg_event))
        ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
                        errmsg("tenantmig.maintenance_fence is the function of a BEFORE trigger"),
                        errhint("SELECT * FROM tenantmig.maintenance(migration, true) makes these triggers.")));
    auto *event = reinterpret_cast<TriggerData *>(fcinfo->context);
    std::int64_t migration = 0;
    if (!guard_argument(event->tg_trigger, &migration))
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("trigger \"%s\" does not name a migration by its number", event->tg_trigger->tgname),
                        errhint("Drop it; SELECT * FROM tenantmig.maintenance(migration, true) makes such triggers.")));
    if (engine_writes(event->tg_relation) || is_own_worker()) return passed(event);
    const Fence fence = stored_fence(migration);
    const TimestampTz now = GetCurrentTimestamp();
    if (fence.here && !fence.exempt && now < fence.until) refuse(event->tg_relation, &fence, now);
    return passed(event);
}
