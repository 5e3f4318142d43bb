#include "catalog/guard_store.hpp"

namespace tenantmig {

namespace {
constexpr char columns[] = "SELECT g.id, g.migration_id, g.step, g.kind, g.mode, g.schema_name, g.table_name, "
                           "g.column_name, g.always, g.definition FROM tenantmig.guard g ";

std::vector<GuardRecord> read(const Rows &rows) {
    std::vector<GuardRecord> guards;
    for (std::size_t i = 0; i < rows.size(); i++) {
        GuardRecord guard;
        guard.id = rows.bigint(i, 1);
        guard.migration_id = rows.bigint(i, 2);
        guard.step = static_cast<std::int32_t>(rows.bigint(i, 3));
        guard.kind = rows.text_or(i, 4);
        guard.mode = rows.text_or(i, 5);
        guard.schema = rows.text_or(i, 6);
        guard.table = rows.text_or(i, 7);
        guard.column = rows.text_or(i, 8);
        guard.always = rows.boolean(i, 9);
        guard.definition = rows.text_or(i, 10);
        guards.push_back(std::move(guard));
    }
    return guards;
}

// A trigger's arguments end with a NUL each.
constexpr char is_trigger_of[] =
    "t.tgfoid = 'tenantmig.guard_tenant_key'::regproc AND NOT t.tgisinternal AND t.tgparentid = 0 "
    "AND t.tgargs = convert_to(g.id::text, 'SQL_ASCII') || '\\x00'::bytea";
} // namespace

std::vector<GuardRecord> guards_of(std::int64_t migration) {
    return read(
        own_query(fmt::format("{} WHERE g.migration_id = $1 ORDER BY g.step", columns), {bigint_value(migration)}));
}

GuardTrigger find_trigger(const GuardRecord &guard) {
    Rows rows = own_query(fmt::format("SELECT t.tgrelid::bigint, t.tgname, t.tgenabled::text FROM tenantmig.guard g "
                                      "JOIN pg_trigger t ON {} WHERE g.id = $1 ORDER BY t.tgrelid LIMIT 1",
                                      is_trigger_of),
                          {bigint_value(guard.id)});
    GuardTrigger trigger;
    if (rows.empty()) return trigger;
    trigger.table = static_cast<Oid>(rows.bigint(0, 1));
    trigger.name = rows.text_or(0, 2);
    trigger.enabled = rows.text_or(0, 3, "D").front();
    return trigger;
}

std::vector<GuardRecord> guards_on(Oid table) {
    return read(
        own_query(fmt::format("{} JOIN pg_trigger t ON {} WHERE t.tgrelid = $1 ORDER BY g.id", columns, is_trigger_of),
                  {Value{OIDOID, ObjectIdGetDatum(table), false}}));
}

void lock_guards() {
    own_query("LOCK TABLE tenantmig.guard IN SHARE ROW EXCLUSIVE MODE");
}

GuardRecord insert_guard(const MigrationRecord &migration, std::int32_t step, bool always,
                         const core::GuardDefinition &definition) {
    own_query("INSERT INTO tenantmig.guard (migration_id, step, kind, mode, always, schema_name, table_name, "
              "column_name, column_number, relation_oid, database_oid, definition, attached_by) "
              "VALUES ($1, $2, 'tenant_key', $3, $4, $5, $6, $7, $8::smallint, $9, $10, $11::jsonb, $12)",
              {bigint_value(migration.id), int_value(step), text_value(core::mode_name(definition.mode)),
               boolean_value(always), text_value(definition.table.schema), text_value(definition.table.name),
               text_value(definition.column.name), int_value(definition.column.number),
               Value{OIDOID, ObjectIdGetDatum(definition.table.oid), false},
               Value{OIDOID, ObjectIdGetDatum(definition.database), false}, text_value(core::guard_json(definition)),
               text_value(actor_name())});
    return read(own_query(fmt::format("{} WHERE g.migration_id = $1 AND g.step = $2", columns),
                          {bigint_value(migration.id), int_value(step)}))
        .front();
}

void delete_guard(std::int64_t id) {
    own_query("DELETE FROM tenantmig.guard WHERE id = $1", {bigint_value(id)});
}

void delete_drift(const MigrationRecord &migration) {
    own_query("DELETE FROM tenantmig.drift_log WHERE migration = $1", {text_value(migration.name)});
}

} // namespace tenantmig
