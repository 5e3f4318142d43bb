#include "core/excerpt.hpp"

#include "bridge/fence_session.hpp"
#include "catalog/fence_store.hpp"

namespace tenantmig {

namespace {
// Lives in the current memory context.
Value oid_array_value(Oid element) {
    Datum array = pg_call([element] {
        Datum item = ObjectIdGetDatum(element);
        return PointerGetDatum(OidIsValid(element) ? construct_array(&item, 1, OIDOID, sizeof(Oid), true, TYPALIGN_INT)
                                                   : construct_empty_array(OIDOID));
    });
    return {OIDARRAYOID, array, false};
}

std::string this_session() {
    return pg_call([] { return fence_session(); });
}
} // namespace

std::string put_fence(const MigrationRecord &migration, const std::string &time_limit, bool whole_login) {
    const Rows sane = own_query("SELECT $1::interval > '0' AND $1::interval <= '1 day'", {text_value(time_limit)});
    if (!sane.boolean(0, 1))
        throw Error(sqlstate::invalid_parameter_value,
                    fmt::format("{} is not a time limit for maintenance", core::excerpt(time_limit)),
                    "Applications must not be stopped for longer than somebody has meant.",
                    "Give an interval above 0, at most one day, such as time_limit => '30 minutes'.");
    const std::vector<std::string> sessions = {this_session()};
    // Those who were exempt from a fence that is in force stay so; of one that has ended nothing is kept.
    Rows rows = own_query(
        "INSERT INTO tenantmig.fence AS f (migration_id, migration, fenced_until, switched_on_at, switched_on_by, "
        "exempt_logins, exempt_sessions) VALUES ($1, $2, clock_timestamp() + $3::interval, clock_timestamp(), $4, $5, "
        "$6) ON CONFLICT (migration_id) DO UPDATE SET migration = excluded.migration, fenced_until = "
        "excluded.fenced_until, switched_on_at = CASE WHEN f.fenced_until > clock_timestamp() THEN f.switched_on_at "
        "ELSE excluded.switched_on_at END, switched_on_by = excluded.switched_on_by, exempt_logins = CASE WHEN "
        "f.fenced_until > clock_timestamp() THEN ARRAY(SELECT unnest(f.exempt_logins) UNION SELECT "
        "unnest(excluded.exempt_logins)) ELSE excluded.exempt_logins END, exempt_sessions = CASE WHEN f.fenced_until > "
        "clock_timestamp() THEN ARRAY(SELECT unnest(f.exempt_sessions) UNION SELECT unnest(excluded.exempt_sessions)) "
        "ELSE excluded.exempt_sessions END RETURNING f.fenced_until",
        {bigint_value(migration.id), text_value(migration.name), text_value(time_limit), text_value(actor_name()),
         oid_array_value(whole_login ? GetSessionUserId() : InvalidOid), text_array_value(sessions)});
    return rows.text_or(0, 1);
}

bool delete_fence(std::int64_t migration) {
    Rows rows = own_query("DELETE FROM tenantmig.fence WHERE migration_id = $1 RETURNING fenced_until > "
                          "clock_timestamp()",
                          {bigint_value(migration)});
    return !rows.empty() && rows.boolean(0, 1);
}

std::optional<std::string> fenced_until(std::int64_t migration) {
    Rows rows = own_query("SELECT fenced_until FROM tenantmig.fence WHERE migration_id = $1 AND fenced_until > "
                          "clock_timestamp()",
                          {bigint_value(migration)});
    return rows.empty() ? std::nullopt : rows.text(0, 1);
}

std::int64_t sessions_of_same_login() {
    return own_query("SELECT count(*) FROM pg_stat_get_activity(NULL) a JOIN pg_database d ON d.oid = a.datid WHERE "
                     "d.datname = current_database() AND a.usesysid = $1 AND a.pid <> pg_backend_pid() AND "
                     "a.backend_type = 'client backend'",
                     {Value{OIDOID, ObjectIdGetDatum(GetSessionUserId()), false}})
        .bigint(0, 1);
}

std::vector<FenceTrigger> fence_triggers(std::int64_t migration) {
    // A trigger's arguments end with a NUL each.
    Rows rows = own_query(
        "SELECT t.tgrelid::bigint, t.tgname, (t.tgtype & 1) <> 0 FROM pg_trigger t WHERE t.tgfoid = (SELECT p.oid FROM "
        "pg_proc p WHERE p.pronamespace = 'tenantmig'::regnamespace AND p.proname = 'maintenance_fence') AND NOT "
        "t.tgisinternal AND t.tgparentid = 0 AND t.tgargs = convert_to($1::text, 'SQL_ASCII') || '\\x00'::bytea "
        "ORDER BY t.tgrelid, t.tgname",
        {bigint_value(migration)});
    std::vector<FenceTrigger> result;
    for (std::size_t i = 0; i < rows.size(); i++)
        result.push_back({static_cast<Oid>(rows.bigint(i, 1)), rows.text_or(i, 2), rows.boolean(i, 3)});
    return result;
}

// Triggers fire in the order of their names, and nobody else's are to do anything before the refusal.
std::string fence_trigger_name(std::int64_t migration, bool for_rows) {
    return fmt::format("!tenantmig_maintenance_{}{}", migration, for_rows ? "_row" : "");
}

} // namespace tenantmig
