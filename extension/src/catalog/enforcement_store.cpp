#include "catalog/enforcement_store.hpp"

#include <nlohmann/json.hpp>

#include "bridge/clock.hpp"

namespace tenantmig {

namespace {
using Json = nlohmann::json;

Json to_json(const Site &site) {
    return {{"oid", site.oid}, {"schema", site.schema}, {"table", site.name}};
}

Site read_site(const Json &json) {
    return {json.at("oid").get<Oid>(), json.at("schema").get<std::string>(), json.at("table").get<std::string>()};
}

Json to_json(const FormerKey &key) {
    return {{"site", to_json(key.site)},
            {"name", key.name},
            {"options", key.options},
            {"validated", key.validated},
            {"comment", key.comment}};
}

FormerKey read_key(const Json &json) {
    return {read_site(json.at("site")), json.at("name").get<std::string>(), json.at("options").get<std::string>(),
            json.at("validated").get<bool>(), json.at("comment").get<std::string>()};
}

template <typename T>
Json list(const std::vector<T> &values) {
    Json result = Json::array();
    for (const T &value : values)
        result.push_back(to_json(value));
    return result;
}

std::string dump(const Json &json) {
    return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string before_json(const Before &before) {
    Json children = Json::array();
    for (const auto &[site, name] : before.children)
        children.push_back({{"site", to_json(site)}, {"name", name}});
    return dump({{"kept", before.kept},
                 {"column_number", before.column_number},
                 {"sites", list(before.sites)},
                 {"not_null", list(before.not_null)},
                 {"replaced", list(before.replaced)},
                 {"children", children},
                 {"adopted", list(before.adopted)}});
}

Before read_before(const std::string &text) {
    const Json json = Json::parse(text);
    Before before;
    before.kept = json.value("kept", false);
    before.column_number = json.value("column_number", 0);
    for (const Json &site : json.value("sites", Json::array()))
        before.sites.push_back(read_site(site));
    for (const Json &site : json.value("not_null", Json::array()))
        before.not_null.push_back(read_site(site));
    for (const Json &key : json.value("replaced", Json::array()))
        before.replaced.push_back(read_key(key));
    for (const Json &child : json.value("children", Json::array()))
        before.children.emplace_back(read_site(child.at("site")), child.at("name").get<std::string>());
    for (const Json &key : json.value("adopted", Json::array()))
        before.adopted.push_back(read_key(key));
    return before;
}

std::string helpers_json(const std::vector<Helper> &helpers) {
    Json result = Json::array();
    for (const Helper &helper : helpers)
        result.push_back({{"kind", helper.kind}, {"site", to_json(helper.site)}, {"name", helper.name}});
    return dump(result);
}

std::vector<Helper> read_helpers(const std::string &text) {
    std::vector<Helper> helpers;
    for (const Json &json : Json::parse(text))
        helpers.push_back(
            {json.at("kind").get<std::string>(), read_site(json.at("site")), json.at("name").get<std::string>()});
    return helpers;
}

Value oid_value(Oid oid) {
    return {OIDOID, ObjectIdGetDatum(oid), false};
}
} // namespace

Site site_of(const Table &table) {
    return {table.oid, table.schema, table.name};
}

std::vector<EnforcementRecord> enforcements(std::int64_t migration, const std::vector<std::string> &states) {
    Rows rows =
        own_query("SELECT e.id, e.step, e.kind, e.state, e.relation_oid::bigint, e.schema_name, e.table_name, "
                  "e.column_name, coalesce((SELECT k.conname FROM pg_constraint k WHERE k.oid = e.constraint_oid AND "
                  "e.database_oid = $3 AND e.state IN ('enforced', 'relaxing')), e.constraint_name, ''), "
                  "coalesce(e.definition, ''), "
                  "e.database_oid::bigint, e.before::text, e.helpers::text, coalesce(e.longest_hold_us, 0) "
                  "FROM tenantmig.enforcement e WHERE e.migration_id = $1 AND e.state = ANY ($2) ORDER BY e.id",
                  {bigint_value(migration), text_array_value(states), oid_value(MyDatabaseId)});
    std::vector<EnforcementRecord> result;
    for (std::size_t i = 0; i < rows.size(); i++) {
        EnforcementRecord row;
        row.id = rows.bigint(i, 1);
        row.migration_id = migration;
        row.step = static_cast<std::int32_t>(rows.bigint(i, 2));
        row.kind = rows.text_or(i, 3);
        row.state = rows.text_or(i, 4);
        row.site = {static_cast<Oid>(rows.bigint(i, 5)), rows.text_or(i, 6), rows.text_or(i, 7)};
        row.column = rows.text_or(i, 8);
        row.constraint_name = rows.text_or(i, 9);
        row.definition = rows.text_or(i, 10);
        row.database = static_cast<Oid>(rows.bigint(i, 11));
        row.before = read_before(rows.text_or(i, 12));
        row.helpers = read_helpers(rows.text_or(i, 13));
        row.longest_hold = rows.bigint(i, 14);
        result.push_back(std::move(row));
    }
    return result;
}

bool has_enforcements(std::int64_t migration, const std::vector<std::string> &states) {
    return !own_query("SELECT 1 FROM tenantmig.enforcement WHERE migration_id = $1 AND state = ANY ($2) LIMIT 1",
                      {bigint_value(migration), text_array_value(states)})
                .empty();
}

void insert_enforcement(EnforcementRecord &row) {
    row.database = MyDatabaseId;
    row.state = "intended";
    Rows rows = own_query(
        "INSERT INTO tenantmig.enforcement (migration_id, step, kind, state, schema_name, table_name, column_name, "
        "relation_oid, database_oid, constraint_name, definition, before, helpers, intended_at, enforced_by) VALUES "
        "($1, $2, $3, 'intended', $4, $5, $6, $7, $8, nullif($9, ''), nullif($10, ''), $11::jsonb, $12::jsonb, $13, "
        "$14) RETURNING id",
        {bigint_value(row.migration_id), int_value(row.step), text_value(row.kind), text_value(row.site.schema),
         text_value(row.site.name), text_value(row.column), oid_value(row.site.oid), oid_value(row.database),
         text_value(row.constraint_name), text_value(row.definition), text_value(before_json(row.before)),
         text_value(helpers_json(row.helpers)), timestamp_value(our_time()), text_value(actor_name())});
    row.id = rows.bigint(0, 1);
}

void save_enforcement(const EnforcementRecord &row, const std::string &error) {
    own_query("UPDATE tenantmig.enforcement SET state = $2, constraint_name = nullif($3, ''), definition = "
              "nullif($4, ''), helpers = $5::jsonb, error = nullif($6, ''), longest_hold_us = nullif($7, 0) WHERE id = "
              "$1",
              {bigint_value(row.id), text_value(row.state), text_value(row.constraint_name), text_value(row.definition),
               text_value(helpers_json(row.helpers)), text_value(error), bigint_value(row.longest_hold)});
}

void set_enforcement_state(EnforcementRecord &row, const char *state, const std::string &error) {
    row.state = state;
    save_enforcement(row, error);
    const std::string now = row.state;
    if (now == "enforced")
        own_query("UPDATE tenantmig.enforcement SET enforced_at = coalesce(enforced_at, $2), relaxed_by = NULL WHERE "
                  "id = $1",
                  {bigint_value(row.id), timestamp_value(our_time())});
    else if (now != "intended")
        own_query("UPDATE tenantmig.enforcement SET relaxed_at = CASE WHEN state IN ('relaxed', 'removed') THEN $2 "
                  "END, relaxed_by = $3 WHERE id = $1",
                  {bigint_value(row.id), timestamp_value(our_time()), text_value(actor_name())});
}

void save_identity(const EnforcementRecord &row) {
    own_query(
        "UPDATE tenantmig.enforcement e SET constraint_oid = (SELECT k.oid FROM pg_constraint k WHERE k.conrelid = "
        "e.relation_oid AND k.conname = e.constraint_name) WHERE e.id = $1",
        {bigint_value(row.id)});
}

void save_hold(const EnforcementRecord &row) {
    own_query("UPDATE tenantmig.enforcement SET longest_hold_us = greatest(longest_hold_us, nullif($2, 0)) WHERE id = "
              "$1",
              {bigint_value(row.id), bigint_value(row.longest_hold)});
}

void delete_enforcements(std::int64_t migration) {
    own_query("DELETE FROM tenantmig.enforcement WHERE migration_id = $1", {bigint_value(migration)});
}

std::optional<Table> find_site(const Site &site, Oid database) {
    if (database == MyDatabaseId)
        if (auto table = describe_table(site.oid)) return table;
    Rows rows = own_query("SELECT c.oid::bigint FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE "
                          "n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p')",
                          {text_value(site.schema), text_value(site.name)});
    if (rows.empty()) return std::nullopt;
    return describe_table(static_cast<Oid>(rows.bigint(0, 1)));
}

} // namespace tenantmig
