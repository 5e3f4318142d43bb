#include "engine/pace.hpp"
#include "catalog/migration_store.hpp"

namespace tenantmig {

namespace {
std::string stored_settings(std::int64_t migration, const char *locking) {
    Rows rows = own_query(fmt::format("SELECT settings FROM tenantmig.pace WHERE migration_id = $1 {}", locking),
                          {bigint_value(migration)});
    return rows.empty() ? "{}" : rows.text_or(0, 1);
}
} // namespace

core::PaceSettings load_pace(std::int64_t migration) {
    return core::parse_pace_settings(stored_settings(migration, ""));
}

std::string set_pace(const std::string &name, const std::string &changes) {
    MigrationRecord migration = get_migration(name);
    require_owner(migration);
    // Before anything is locked; then again over what is stored, which may be others' by now.
    std::string merged = core::merge_pace_settings(stored_settings(migration.id, ""), changes);
    if (changes != "{}") {
        if (XactReadOnly)
            throw Error(sqlstate::read_only_transaction, "cannot change the pace in a read-only transaction",
                        RecoveryInProgress() ? "The server is a standby." : "This transaction may only read.",
                        "Call it on the primary, in a transaction that may write.");
        std::string actor = actor_name();
        own_query("INSERT INTO tenantmig.pace (migration_id, changed_by) VALUES ($1, $2) "
                  "ON CONFLICT (migration_id) DO NOTHING",
                  {bigint_value(migration.id), text_value(actor)});
        merged = core::merge_pace_settings(stored_settings(migration.id, "FOR UPDATE"), changes);
        own_query("UPDATE tenantmig.pace SET settings = $2::jsonb, changed_by = $3, changed_at = clock_timestamp() "
                  "WHERE migration_id = $1",
                  {bigint_value(migration.id), text_value(merged), text_value(actor)});
    }
    return core::pace_settings_json(core::parse_pace_settings(merged));
}

} // namespace tenantmig
