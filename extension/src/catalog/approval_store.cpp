#include "catalog/approval_store.hpp"
#include "bridge/clock.hpp"

namespace tenantmig {

namespace {
std::string who_logged_in() {
    return role_name(GetSessionUserId());
}
} // namespace

std::int64_t insert_approval(const MigrationRecord &migration, const std::optional<std::string> &note) {
    own_query("INSERT INTO tenantmig.approval (migration_id, approved_by, session_role, approved_at, spec_hash, note) "
              "SELECT m.id, $2, $3, $4, encode(sha256(convert_to(m.spec::text, 'UTF8')), 'hex'), $5 "
              "FROM tenantmig.migration m WHERE m.id = $1",
              {bigint_value(migration.id), text_value(actor_name()), text_value(who_logged_in()),
               timestamp_value(our_time()), optional_text(note)});
    return count_approvals(migration.id).people;
}

std::int64_t revoke_approvals(const MigrationRecord &migration) {
    return static_cast<std::int64_t>(
        own_query("UPDATE tenantmig.approval SET revoked_at = $3, revoked_by = $4 WHERE migration_id = $1 AND "
                  "session_role = $2 AND revoked_at IS NULL",
                  {bigint_value(migration.id), text_value(who_logged_in()), timestamp_value(our_time()),
                   text_value(actor_name())})
            .size());
}

Approvals count_approvals(std::int64_t migration) {
    Rows rows = own_query("SELECT count(DISTINCT a.session_role) FILTER (WHERE a.counts), "
                          "string_agg(DISTINCT quote_ident(a.session_role), ', ') FILTER (WHERE a.counts), "
                          "count(*) FILTER (WHERE NOT a.counts AND a.revoked_at IS NULL) "
                          "FROM tenantmig.approvals a WHERE a.migration_id = $1",
                          {bigint_value(migration)});
    return {rows.bigint(0, 1), rows.text_or(0, 2), rows.bigint(0, 3)};
}

std::int64_t insert_backup(const MigrationRecord &migration, TimestampTz taken_at, const std::string &location,
                           const std::optional<std::string> &manifest) {
    Rows rows = own_query("INSERT INTO tenantmig.backup_log (migration_id, taken_at, location, manifest, "
                          "registered_at, registered_by) VALUES ($1, $2, $3, $4::jsonb, $5, $6) RETURNING id",
                          {bigint_value(migration.id), timestamp_value(taken_at), text_value(location),
                           optional_text(manifest), timestamp_value(our_time()), text_value(actor_name())});
    return rows.bigint(0, 1);
}

std::optional<Backup> newest_backup(std::int64_t migration) {
    Rows rows = own_query("SELECT id, taken_at, location FROM tenantmig.backup_log WHERE migration_id = $1 "
                          "ORDER BY taken_at DESC, id DESC LIMIT 1",
                          {bigint_value(migration)});
    if (rows.empty()) return std::nullopt;
    bool null = false;
    return Backup{rows.bigint(0, 1), DatumGetTimestampTz(rows.datum(0, 2, &null)), rows.text_or(0, 3)};
}

} // namespace tenantmig
