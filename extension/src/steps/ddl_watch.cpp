#include <nlohmann/json.hpp>

#include "bridge/clock.hpp"
#include "catalog/events.hpp"
#include "engine/reach.hpp"
#include "steps/ddl_watch_parts.hpp"

namespace tenantmig {

std::string text_literal(const std::string &value) {
    const char *text = value.c_str();
    return pg_call([text] { return static_cast<const char *>(quote_literal_cstr(text)); });
}

Oid table_by_name(const std::string &schema, const std::string &name) {
    Rows rows = own_query("SELECT c.oid::bigint FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
                          "WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p')",
                          {text_value(schema), text_value(name)});
    return rows.empty() ? InvalidOid : static_cast<Oid>(rows.bigint(0, 1));
}

bool is_table(Oid oid) {
    return !own_query("SELECT FROM pg_class WHERE oid = $1 AND relkind IN ('r', 'p')", {oid_value(oid)}).empty();
}

namespace {
void find_columns(KnownTable &table, const nlohmann::json &columns, bool by_number) {
    for (const nlohmann::json &column : columns) {
        Rows rows = own_query(
            "SELECT a.attname FROM pg_attribute a WHERE a.attrelid = $1 AND NOT a.attisdropped AND a.attnum > 0 "
            "AND CASE WHEN $2 THEN a.attnum = $3 ELSE a.attname = $4 END",
            {oid_value(table.oid), boolean_value(by_number), int_value(column.at("number").get<std::int32_t>()),
             text_value(column.at("name").get<std::string>())});
        table.columns[column.at("written").get<std::string>()] = rows.empty() ? "" : rows.text_or(0, 1);
    }
}
} // namespace

std::vector<KnownTable> known_tables(const MigrationRecord &migration) {
    std::vector<KnownTable> tables;
    nlohmann::json identity = nlohmann::json::parse(migration.identity);
    const bool same_place = identity.at("system") == std::to_string(pg_call([] { return GetSystemIdentifier(); })) &&
                            identity.at("database") == MyDatabaseId;
    // A name may stand for something in several segments: what it means in the last one comes first. What an earlier
    // one names a step of the migration itself may have removed.
    std::vector<nlohmann::json> items = identity.at("relations");
    const auto segment = [](const nlohmann::json &item) { return item.value("segment", 0); };
    std::stable_sort(items.begin(), items.end(), [&](const auto &a, const auto &b) { return segment(a) > segment(b); });
    const int last_applied = reach_of(migration).last_applied;
    for (const nlohmann::json &item : items) {
        KnownTable table;
        table.written = item.at("written").get<std::string>();
        table.schema = item.at("schema").get<std::string>();
        table.name = item.at("name").get<std::string>();
        const Oid remembered = item.at("oid").get<Oid>();
        const bool by_oid = same_place && is_table(remembered);
        table.oid = by_oid ? remembered : table_by_name(table.schema, table.name);
        if (by_oid) {
            Rows rows = own_query("SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = "
                                  "c.relnamespace WHERE c.oid = $1",
                                  {oid_value(remembered)});
            if (!rows.empty()) { // it may have been dropped this very moment
                table.schema = rows.text_or(0, 1);
                table.name = rows.text_or(0, 2);
            }
        }
        if (!OidIsValid(table.oid) && segment(item) < last_applied) continue;
        find_columns(table, item.at("columns"), by_oid);
        const auto same = std::find_if(tables.begin(), tables.end(), [&](const KnownTable &other) {
            return other.written == table.written && other.oid == table.oid;
        });
        if (same != tables.end())
            same->columns.merge(table.columns);
        else
            tables.push_back(std::move(table));
    }
    return tables;
}

const KnownTable *find_table(const std::vector<KnownTable> &tables, const std::string &written) {
    for (const KnownTable &table : tables)
        if (table.written == written) return &table;
    return nullptr;
}

std::vector<CatalogueDrift> catalogue_drift(const MigrationRecord &migration) {
    std::vector<CatalogueDrift> drift;
    const core::Spec spec = migration_spec(migration);
    const std::vector<KnownTable> tables = known_tables(migration);
    check_constraints(migration, spec, tables, drift);
    check_guards(migration, drift);
    check_tables(migration, spec, tables, drift);
    check_isolation(migration, spec, drift);
    return drift;
}

namespace {
void take_fingerprint(const MigrationRecord &migration, bool anew) {
    const core::Spec spec = migration_spec(migration);
    const Place place = place_of(spec, known_tables(migration));
    own_query(fmt::format("INSERT INTO tenantmig.catalogue_fingerprint (migration_id, taken_at, taken_by, schemas, "
                          "tables) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (migration_id) DO {}",
                          anew ? "UPDATE SET taken_at = excluded.taken_at, taken_by = excluded.taken_by, schemas = "
                                 "excluded.schemas, tables = excluded.tables"
                               : "NOTHING"),
              {bigint_value(migration.id), timestamp_value(our_time()), text_value(actor_name()),
               text_array_value(place.schemas), text_array_value(tables_now(place.schemas))});
}

// As what it was seen last time; false: it is new, or not what it was.
bool is_on_record(const MigrationRecord &migration, const CatalogueDrift &drift) {
    return !own_query("SELECT FROM tenantmig.catalogue_finding WHERE migration_id = $1 AND kind = $2 AND relation = $3 "
                      "AND object = $4 AND found = $5",
                      {bigint_value(migration.id), text_value(drift.kind), text_value(drift.relation),
                       text_value(drift.object), text_value(drift.found)})
                .empty();
}

void log_drift(const MigrationRecord &migration, const CatalogueDrift &drift, const std::string &seen_by) {
    own_query(
        "INSERT INTO tenantmig.catalogue_finding (migration_id, kind, relation, object, found, found_since) VALUES "
        "($1, $2, $3, $4, $5, $6) ON CONFLICT (migration_id, kind, relation, object) DO UPDATE SET found = "
        "excluded.found, found_since = excluded.found_since",
        {bigint_value(migration.id), text_value(drift.kind), text_value(drift.relation), text_value(drift.object),
         text_value(drift.found), timestamp_value(our_time())});
    own_query(
        "INSERT INTO tenantmig.drift_log (migration, guard, relation, column_name, kind, found, expected, role, "
        "application_name, client_address, happened_at, detail) VALUES ($1, nullif($2, 0), $3, $4, $5, $6, $7, $8, "
        "current_setting('application_name'), inet_client_addr(), $9, $10)",
        {text_value(migration.name), bigint_value(drift.guard), text_value(drift.relation), text_value(drift.object),
         text_value(drift.kind), text_value(drift.found), text_value(drift.expected), text_value(actor_name()),
         timestamp_value(our_time()), text_value(fmt::format("Seen by {}. {}", seen_by, drift.hint))});
    announce("drift", migration.name,
             {{"kind", drift.kind}, {"relation", drift.relation}, {"object", drift.object}, {"found", drift.found}});
}

// What is in order again is forgotten, so that it is logged again when it comes back.
void forget_others(const MigrationRecord &migration, const std::vector<CatalogueDrift> &drift) {
    std::vector<std::string> kinds, relations, objects;
    for (const CatalogueDrift &one : drift) {
        kinds.push_back(one.kind);
        relations.push_back(one.relation);
        objects.push_back(one.object);
    }
    own_query(
        "DELETE FROM tenantmig.catalogue_finding f WHERE f.migration_id = $1 AND NOT EXISTS (SELECT FROM "
        "unnest($2::text[], $3::text[], $4::text[]) AS u (kind, relation, object) WHERE u.kind = f.kind AND "
        "u.relation = f.relation AND u.object = f.object)",
        {bigint_value(migration.id), text_array_value(kinds), text_array_value(relations), text_array_value(objects)});
}
} // namespace

void record_drift(const MigrationRecord &migration, const CatalogueDrift &drift, const std::string &seen_by) {
    if (!is_on_record(migration, drift)) log_drift(migration, drift, seen_by);
}

void ensure_fingerprint(const MigrationRecord &migration) {
    const bool taken =
        !own_query("SELECT FROM tenantmig.catalogue_fingerprint WHERE migration_id = $1", {bigint_value(migration.id)})
             .empty();
    if (!taken) take_fingerprint(migration, false);
}

std::vector<CatalogueDrift> record_catalogue_drift(const MigrationRecord &migration) {
    ensure_fingerprint(migration);
    std::vector<CatalogueDrift> drift = catalogue_drift(migration);
    for (const CatalogueDrift &one : drift)
        record_drift(migration, one, "observe");
    forget_others(migration, drift);
    return drift;
}

std::vector<std::string> accept_tables(const MigrationRecord &migration) {
    require_owner(migration);
    std::vector<std::string> accepted;
    for (const CatalogueDrift &one : catalogue_drift(migration))
        if (one.kind == "table_without_key") accepted.push_back(one.relation);
    take_fingerprint(migration, true);
    return accepted;
}

} // namespace tenantmig
