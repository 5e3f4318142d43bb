#include "catalog/isolation_store.hpp"

#include "core/undo_text.hpp"

#include <nlohmann/json.hpp>

namespace tenantmig {

namespace {
std::string this_system() {
    return std::to_string(pg_call([] { return GetSystemIdentifier(); }));
}

bool same_place(const IsolationRecord &row) {
    return row.database == MyDatabaseId && row.system == this_system();
}

std::optional<Table> table_at(const Site &site, bool by_number) {
    return find_site({by_number ? site.oid : InvalidOid, site.schema, site.name},
                     by_number ? MyDatabaseId : InvalidOid);
}

Value oid_array(const std::vector<Oid> &oids) {
    std::vector<std::string> texts;
    for (const Oid oid : oids)
        texts.push_back(std::to_string(oid));
    return text_array_value(std::span<const std::string>(texts));
}

Oid to_oid(const std::string &text) {
    return static_cast<Oid>(std::strtoul(text.c_str(), nullptr, 10));
}

RoleSite role_today(Oid stored, const std::string &name, bool by_number) {
    const char *text = name.c_str();
    struct Found {
        Oid oid;
        const char *name;
    };
    const Found found = pg_call([stored, text, by_number] {
        if (by_number && OidIsValid(stored))
            if (const char *now = GetUserNameFromId(stored, true)) return Found{stored, now};
        return Found{get_role_oid(text, true), text};
    });
    return {found.oid, found.name};
}

constexpr char columns[] =
    "SELECT i.migration_id, i.step, i.schema_name, i.table_name, i.relation_oid::bigint, i.column_name, "
    "i.column_number::integer, i.parent_schema, i.parent_name, i.parent_oid::bigint, i.database_oid::bigint, "
    "i.system_id, i.role_names, i.role_oids::text[], i.super_role, i.super_oid::bigint, i.setting, i.force, i.before, "
    "m.name FROM tenantmig.isolation i JOIN tenantmig.migration m ON m.id = i.migration_id";

IsolationRecord read(const Rows &rows, std::size_t i) {
    IsolationRecord row;
    row.migration_id = rows.bigint(i, 1);
    row.step = static_cast<int>(rows.bigint(i, 2));
    row.site = {static_cast<Oid>(rows.bigint(i, 5)), rows.text_or(i, 3), rows.text_or(i, 4)};
    row.column = rows.text_or(i, 6);
    row.column_number = static_cast<AttrNumber>(rows.bigint(i, 7));
    if (!rows.is_null(i, 9))
        row.parent = Site{static_cast<Oid>(rows.bigint(i, 10)), rows.text_or(i, 8), rows.text_or(i, 9)};
    row.database = static_cast<Oid>(rows.bigint(i, 11));
    row.system = rows.text_or(i, 12);
    const bool here = row.system == this_system();
    const std::vector<std::string> names = rows.text_array(i, 13), oids = rows.text_array(i, 14);
    for (std::size_t k = 0; k < names.size(); k++)
        row.roles.push_back(role_today(k < oids.size() ? to_oid(oids[k]) : InvalidOid, names[k], here));
    if (!rows.is_null(i, 15))
        row.super_role = role_today(static_cast<Oid>(rows.bigint(i, 16)), rows.text_or(i, 15), here);
    row.setting = rows.text_or(i, 17);
    row.force = rows.boolean(i, 18);
    row.before = rows.text_or(i, 19);
    return row;
}
} // namespace

std::vector<IsolatedTable> isolated_tables(const std::optional<std::int64_t> &migration) {
    Rows rows = own_query(fmt::format("{} JOIN tenantmig.step_state s ON s.migration_id = i.migration_id AND s.step = "
                                      "i.step AND (s.state = 'applied' OR s.state = 'applying' AND s.detail @> "
                                      "'{{\"complete\": true}}') WHERE i.before @> '{{\"policies\": true}}' AND ($1 IS "
                                      "NULL OR i.migration_id = $1)",
                                      columns),
                          {migration ? bigint_value(*migration) : null_value(INT8OID)});
    std::vector<IsolatedTable> result;
    for (std::size_t i = 0; i < rows.size(); i++) {
        const IsolationRecord row = read(rows, i);
        auto table = isolated_table(row);
        const Column *key = table ? isolated_key(row, *table) : nullptr;
        if (!key) continue;
        IsolatedTable found;
        found.migration = rows.text_or(i, 20);
        found.step = row.step;
        found.key = *key;
        found.table = std::move(*table);
        if (row.parent)
            if (const auto parent = table_at(*row.parent, same_place(row))) found.parent = parent->oid;
        for (const RoleSite &role : row.roles)
            found.roles.push_back(role.name);
        if (row.super_role) found.super_role = row.super_role->name;
        found.setting = row.setting;
        found.force = row.force;
        result.push_back(std::move(found));
    }
    std::sort(result.begin(), result.end(), [](const IsolatedTable &a, const IsolatedTable &b) {
        return std::tie(a.table.schema, a.table.name, a.migration, a.step) <
               std::tie(b.table.schema, b.table.name, b.migration, b.step);
    });
    return result;
}

// "character" and "bit" without a length mean a length of one.
std::string tenant_cast_type(const Column &key) {
    if (key.type == BPCHAROID) return "pg_catalog.bpchar";
    if (key.type == BITOID) return "pg_catalog.\"bit\"";
    return type_label(key.type);
}

// nullif() takes its operator from the search_path, which is pinned where this is parsed (RunAs, Purpose::read).
std::string tenant_condition(const Column &key, const std::string &setting) {
    return fmt::format("{} {} (SELECT nullif(pg_catalog.current_setting({}, true), '')::{})",
                       tenantmig::quoted(key.name), equality_operator(key.type), core::sql_literal(setting),
                       tenant_cast_type(key));
}

std::vector<IsolationRecord> isolations(std::int64_t migration, int step) {
    Rows rows = own_query(
        fmt::format("{} WHERE i.migration_id = $1 AND i.step = $2 ORDER BY i.schema_name, i.table_name", columns),
        {bigint_value(migration), int_value(step)});
    std::vector<IsolationRecord> result;
    for (std::size_t i = 0; i < rows.size(); i++)
        result.push_back(read(rows, i));
    return result;
}

std::optional<IsolationRecord> find_isolation(std::int64_t migration, int step, const Table &table) {
    Rows rows = own_query(
        fmt::format("{} WHERE i.migration_id = $1 AND i.step = $2 AND CASE WHEN i.database_oid = $3 AND i.system_id = "
                    "$4 AND EXISTS (SELECT FROM pg_class c WHERE c.oid = i.relation_oid) THEN i.relation_oid = $5 ELSE "
                    "i.schema_name = $6 AND i.table_name = $7 END",
                    columns),
        {bigint_value(migration), int_value(step), Value{OIDOID, ObjectIdGetDatum(MyDatabaseId), false},
         text_value(this_system()), Value{OIDOID, ObjectIdGetDatum(table.oid), false}, text_value(table.schema),
         text_value(table.name)});
    if (rows.empty()) return std::nullopt;
    IsolationRecord row = read(rows, 0);
    if (!isolated_table(row)) return std::nullopt; // of another migration
    return row;
}

// Where the table with that number is gone, one of its name may be another migration's since: whoever knows that one by
// its number has made its policies.
std::optional<Table> isolated_table(const IsolationRecord &row) {
    const bool here = same_place(row);
    auto table = table_at(row.site, here);
    if (!table || !here || table->oid == row.site.oid) return table;
    Rows rows = own_query("SELECT EXISTS (SELECT FROM tenantmig.isolation i WHERE i.relation_oid = $1 AND "
                          "i.database_oid = $2 AND i.system_id = $3)",
                          {Value{OIDOID, ObjectIdGetDatum(table->oid), false},
                           Value{OIDOID, ObjectIdGetDatum(MyDatabaseId), false}, text_value(this_system())});
    return rows.boolean(0, 1) ? std::nullopt : table;
}

const Column *isolated_key(const IsolationRecord &row, const Table &table) {
    return same_place(row) && table.oid == row.site.oid ? table.find(row.column_number) : table.find(row.column);
}

bool isolation_made(const IsolationRecord &row) {
    return nlohmann::json::parse(row.before).value("policies", false);
}

void save_isolation(const IsolationRecord &row) {
    std::vector<std::string> names;
    std::vector<Oid> oids;
    for (const RoleSite &role : row.roles) {
        names.push_back(role.name);
        oids.push_back(role.oid);
    }
    const auto oid = [](Oid value) { return Value{OIDOID, ObjectIdGetDatum(value), false}; };
    own_query(
        "INSERT INTO tenantmig.isolation (migration_id, step, schema_name, table_name, column_name, column_number, "
        "relation_oid, parent_schema, parent_name, parent_oid, database_oid, system_id, role_names, role_oids, "
        "super_role, super_oid, setting, force, before, isolated_by) VALUES ($1, $2, $3, $4, $5, $6::smallint, $7, $8, "
        "$9, $10, $11, $12, $13, $14::oid[], $15, $16, $17, $18, $19::jsonb, $20) ON CONFLICT (migration_id, step, "
        "schema_name, table_name) DO UPDATE SET column_name = excluded.column_name, column_number = "
        "excluded.column_number, relation_oid = excluded.relation_oid, parent_schema = excluded.parent_schema, "
        "parent_name = excluded.parent_name, parent_oid = excluded.parent_oid, database_oid = excluded.database_oid, "
        "system_id = excluded.system_id, role_names = excluded.role_names, role_oids = excluded.role_oids, super_role "
        "= excluded.super_role, super_oid = excluded.super_oid, setting = excluded.setting, force = excluded.force, "
        "before = excluded.before",
        {bigint_value(row.migration_id),
         int_value(row.step),
         text_value(row.site.schema),
         text_value(row.site.name),
         text_value(row.column),
         int_value(row.column_number),
         oid(row.site.oid),
         row.parent ? text_value(row.parent->schema) : null_value(TEXTOID),
         row.parent ? text_value(row.parent->name) : null_value(TEXTOID),
         row.parent ? oid(row.parent->oid) : null_value(OIDOID),
         oid(MyDatabaseId),
         text_value(this_system()),
         text_array_value(std::span<const std::string>(names)),
         oid_array(oids),
         row.super_role ? text_value(row.super_role->name) : null_value(TEXTOID),
         row.super_role ? oid(row.super_role->oid) : null_value(OIDOID),
         text_value(row.setting),
         boolean_value(row.force),
         text_value(row.before),
         text_value(actor_name())});
}

void delete_isolation(const IsolationRecord &row) {
    own_query(
        "DELETE FROM tenantmig.isolation WHERE migration_id = $1 AND step = $2 AND schema_name = $3 AND "
        "table_name = $4",
        {bigint_value(row.migration_id), int_value(row.step), text_value(row.site.schema), text_value(row.site.name)});
}

} // namespace tenantmig
