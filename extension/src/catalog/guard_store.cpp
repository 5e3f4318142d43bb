#include "catalog/guard_store.hpp"

namespace tenantmig {

namespace {
constexpr char columns[] =
    "SELECT g.id, coalesce(g.migration_id, 0), coalesce(g.step, 0), g.kind, g.mode, g.schema_name, g.table_name, "
    "g.column_name, g.always, g.definition, g.options, (SELECT m.name FROM tenantmig.migration m WHERE m.id = "
    "g.migration_id) FROM tenantmig.guard g ";

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
        guard.options = rows.text_or(i, 11);
        guard.migration = rows.text_or(i, 12);
        guards.push_back(std::move(guard));
    }
    return guards;
}

// A trigger's arguments end with a NUL each.
constexpr char is_trigger_of[] =
    "t.tgfoid = (SELECT p.oid FROM pg_proc p WHERE p.pronamespace = 'tenantmig'::regnamespace AND p.proname = 'guard_' "
    "|| g.kind) AND NOT t.tgisinternal AND t.tgparentid = 0 "
    "AND t.tgargs = convert_to(g.id::text, 'SQL_ASCII') || '\\x00'::bytea";
// Only the trigger on the parent (same_tenant) has a condition.
constexpr char is_on_parent[] = "(g.kind = 'same_tenant' AND t.tgqual IS NOT NULL)";

// Anybody may make a trigger with any number on a table of his own: the table that the guard was attached to comes
// first.
GuardTrigger trigger_of(const GuardRecord &guard, bool on_parent) {
    Rows rows = own_query(
        fmt::format(
            "SELECT t.tgrelid::bigint, t.tgname, t.tgenabled::text FROM tenantmig.guard g JOIN pg_trigger t ON {} "
            "WHERE g.id = $1 AND {} = $2 ORDER BY (t.tgrelid::bigint::text = (g.definition #>> CASE WHEN $2 "
            "THEN '{{{{sources,0,hops,0,table,oid}}}}'::text[] ELSE '{{{{table,oid}}}}' END)) DESC, t.tgrelid LIMIT 1",
            is_trigger_of, is_on_parent),
        {bigint_value(guard.id), boolean_value(on_parent)});
    GuardTrigger trigger;
    if (rows.empty()) return trigger;
    trigger.table = static_cast<Oid>(rows.bigint(0, 1));
    trigger.name = rows.text_or(0, 2);
    trigger.enabled = rows.text_or(0, 3, "D").front();
    return trigger;
}
} // namespace

std::vector<GuardRecord> guards_of(std::int64_t migration) {
    return read(
        own_query(fmt::format("{} WHERE g.migration_id = $1 ORDER BY g.step", columns), {bigint_value(migration)}));
}

std::vector<GuardRecord> all_guards() {
    return read(own_query(fmt::format("{} ORDER BY g.id", columns)));
}

std::optional<GuardRecord> find_guard(std::int64_t id) {
    std::vector<GuardRecord> found = read(own_query(fmt::format("{} WHERE g.id = $1", columns), {bigint_value(id)}));
    return found.empty() ? std::nullopt : std::optional(std::move(found.front()));
}

GuardTrigger find_trigger(const GuardRecord &guard) {
    return trigger_of(guard, false);
}

GuardTrigger find_parent_trigger(const GuardRecord &guard) {
    return trigger_of(guard, true);
}

std::vector<GuardRecord> guards_on(Oid table) {
    return read(own_query(fmt::format("{} JOIN pg_trigger t ON {} WHERE t.tgrelid = $1 AND NOT {} ORDER BY g.id",
                                      columns, is_trigger_of, is_on_parent),
                          {Value{OIDOID, ObjectIdGetDatum(table), false}}));
}

void lock_guards() {
    own_query("LOCK TABLE tenantmig.guard IN SHARE ROW EXCLUSIVE MODE");
}

GuardRecord insert_guard(const MigrationRecord *migration, std::int32_t step, bool always,
                         const core::GuardDefinition &definition, const std::string &options) {
    Rows rows = own_query(
        "INSERT INTO tenantmig.guard (migration_id, step, kind, mode, always, schema_name, table_name, column_name, "
        "column_number, relation_oid, database_oid, definition, attached_by, options) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::smallint, $10, $11, $12::jsonb, $13, $14::jsonb) RETURNING id",
        {migration ? bigint_value(migration->id) : null_value(INT8OID),
         migration ? int_value(step) : null_value(INT4OID), text_value(core::kind_name(definition.kind)),
         text_value(core::mode_name(definition.mode)), boolean_value(always), text_value(definition.table.schema),
         text_value(definition.table.name), text_value(definition.column.name), int_value(definition.column.number),
         Value{OIDOID, ObjectIdGetDatum(definition.table.oid), false},
         Value{OIDOID, ObjectIdGetDatum(definition.database), false}, text_value(core::guard_json(definition)),
         text_value(actor_name()), text_value(options)});
    return *find_guard(rows.bigint(0, 1));
}

void delete_guard(std::int64_t id) {
    own_query("DELETE FROM tenantmig.guard WHERE id = $1", {bigint_value(id)});
}

void delete_drift(const MigrationRecord &migration) {
    own_query("DELETE FROM tenantmig.drift_log WHERE migration = $1", {text_value(migration.name)});
}

} // namespace tenantmig
