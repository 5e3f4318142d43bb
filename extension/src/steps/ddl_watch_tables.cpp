#include "core/identifier.hpp"

#include "bridge/relation.hpp"
#include "steps/ddl_watch_parts.hpp"

namespace tenantmig {

namespace {
// -------------------------------------------------------------------------------------------------------

// Tables that count: permanent and unlogged ones, partitioned ones as a whole, those of no extension.
constexpr char counted_tables[] =
    "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p') AND NOT "
    "c.relispartition AND c.relpersistence <> 't' AND n.nspname = ANY ($1) AND n.nspname NOT IN ('pg_catalog', "
    "'information_schema', 'tenantmig') AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = "
    "'pg_class'::regclass AND d.objid = c.oid AND d.objsubid = 0 AND d.deptype = 'e')";

// With a column of the tenant key's name, a foreign key to the tenant root, or the root itself. $2 names, $3 root.
constexpr char has_key[] =
    "(c.oid = $3 OR EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = ANY ($2) AND a.attnum "
    "> 0 AND NOT a.attisdropped) OR EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'f' "
    "AND k.confrelid = $3))";

struct Exempted {
    std::string written, label; // label: as it stands now, or as written
    Oid oid = InvalidOid;
};

std::vector<Exempted> exempted(const core::Spec &spec, const Place &place, const std::vector<KnownTable> &tables) {
    std::vector<Exempted> result;
    for (const core::Exemption &exemption : spec.exempt) {
        if (!exemption.finding.empty()) continue; // of lint()
        Exempted one{exemption.table, exemption.table, InvalidOid};
        if (const KnownTable *known = find_table(tables, exemption.table)) {
            one.oid = known->oid;
            one.label = qualified(known->schema, known->name);
        } else {
            auto parts = core::split_identifier(exemption.table);
            std::vector<std::string> schemas = place.schemas;
            if (parts.size() == 2) schemas = {parts.front().text};
            for (const std::string &schema : schemas)
                if (!OidIsValid(one.oid)) {
                    one.oid = table_by_name(schema, parts.back().text);
                    if (OidIsValid(one.oid)) one.label = qualified(schema, parts.back().text);
                }
        }
        result.push_back(std::move(one));
    }
    return result;
}

struct NewTable {
    Oid oid = InvalidOid;
    std::string label;
};

// Tables that steps make beside those of the user: kept values of dropped columns, old and new ids of a rekey.
constexpr char made_by_steps[] =
    "(EXISTS (SELECT FROM tenantmig.kept_column k WHERE k.keep_schema = n.nspname AND c.relname IN (k.keep_table, "
    "k.journal_table)) OR EXISTS (SELECT FROM tenantmig.step_state s, jsonb_array_elements(s.detail -> 'actions') a "
    "WHERE jsonb_typeof(s.detail -> 'actions') = 'array' AND a ->> 'kind' = 'mapping' AND a ->> 'name' = "
    "format('%I.%I', n.nspname, c.relname)))";

// A schema that the migration has reached only since is no reason to report what it holds.
std::vector<NewTable> tables_without_key(std::int64_t migration, const Place &place) {
    Rows rows = own_query(
        fmt::format("SELECT c.oid::bigint, format('%I.%I', n.nspname, c.relname) {} AND NOT {} AND "
                    "NOT {} AND EXISTS (SELECT FROM tenantmig.catalogue_fingerprint p WHERE p.migration_id = $4 "
                    "AND n.nspname = ANY (p.schemas) AND format('%I.%I', n.nspname, c.relname) <> ALL "
                    "(p.tables)) ORDER BY 2",
                    counted_tables, has_key, made_by_steps),
        {text_array_value(place.schemas), text_array_value(place.keys), oid_value(place.root),
         bigint_value(migration)});
    std::vector<NewTable> tables;
    for (std::size_t i = 0; i < rows.size(); i++)
        tables.push_back({static_cast<Oid>(rows.bigint(i, 1)), rows.text_or(i, 2)});
    return tables;
}

void check_steps_tables(const MigrationRecord &migration, const core::Spec &spec, const std::vector<KnownTable> &tables,
                        std::vector<CatalogueDrift> &drift) {
    auto gone = [&](const std::string &written) {
        const KnownTable *table = find_table(tables, written);
        if (!table || OidIsValid(table->oid)) return;
        const std::string label = qualified(table->schema, table->name);
        for (const CatalogueDrift &one : drift)
            if (one.kind == "table_gone" && one.relation == label) return;
        drift.push_back({"table_gone", label, "", "no such table", "a table of the migration",
                         fmt::format("Bring it back, or drop the migration: SELECT tenantmig.drop_migration({}).",
                                     text_literal(migration.name)),
                         0});
    };
    gone(spec.tenants_table);
    for (const core::BackfillStep &step : spec.steps)
        gone(step.table);
    for (const core::GuardStep &step : spec.guards)
        gone(step.table);
    for (const core::ConstraintStep &step : spec.constraints)
        gone(step.table);
}
} // namespace

Place place_of(const core::Spec &spec, const std::vector<KnownTable> &tables) {
    Place place;
    std::set<std::string> schemas, keys;
    for (const KnownTable &table : tables)
        if (OidIsValid(table.oid)) schemas.insert(table.schema);
    auto add_key = [&](const std::string &written_table, const std::string &written) {
        const KnownTable *table = find_table(tables, written_table);
        if (!table) return;
        auto found = table->columns.find(written);
        if (found != table->columns.end() && !found->second.empty()) keys.insert(found->second);
    };
    for (const core::BackfillStep &step : spec.steps)
        add_key(step.table, step.column);
    for (const core::GuardStep &step : spec.guards) {
        if (step.kind == core::GuardKind::prefix)
            add_key(step.table, step.key);
        else if (step.kind != core::GuardKind::acyclic && !step.column.empty())
            add_key(step.table, step.column);
    }
    for (const core::ConstraintStep &step : spec.constraints)
        if (step.references_table == spec.tenants_table) add_key(step.table, step.column);
    if (const KnownTable *root = find_table(tables, spec.tenants_table)) place.root = root->oid;
    place.schemas.assign(schemas.begin(), schemas.end());
    place.keys.assign(keys.begin(), keys.end());
    return place;
}

std::vector<std::string> tables_now(const std::vector<std::string> &schemas) {
    Rows rows = own_query(fmt::format("SELECT format('%I.%I', n.nspname, c.relname) {} ORDER BY 1", counted_tables),
                          {text_array_value(schemas)});
    std::vector<std::string> tables;
    for (std::size_t i = 0; i < rows.size(); i++)
        tables.push_back(rows.text_or(i, 1));
    return tables;
}

void check_tables(const MigrationRecord &migration, const core::Spec &spec, const std::vector<KnownTable> &tables,
                  std::vector<CatalogueDrift> &drift) {
    check_steps_tables(migration, spec, tables, drift);
    const Place place = place_of(spec, tables);
    std::string keys;
    for (const std::string &key : place.keys)
        keys += (keys.empty() ? "" : " or ") + tenantmig::quoted(key);
    const std::vector<Exempted> exemptions = exempted(spec, place, tables);
    const std::string name = text_literal(migration.name);
    // A renamed table of ours is not a new one, whatever it is called.
    auto is_known = [&](Oid oid) {
        for (const KnownTable &table : tables)
            if (table.oid == oid) return true;
        for (const Exempted &exemption : exemptions)
            if (exemption.oid == oid) return true;
        return false;
    };
    for (const NewTable &table : tables_without_key(migration.id, place))
        if (!is_known(table.oid))
            drift.push_back(
                {"table_without_key", table.label, "", "no column that names a tenant",
                 keys.empty() ? "a foreign key to the tenant root"
                              : fmt::format("{}, or a foreign key to the tenant root", keys),
                 fmt::format("Give it a tenant key, or accept it: SELECT tenantmig.accept_tables({}).", name), 0});
    for (const Exempted &exemption : exemptions) {
        const std::string hint = "Take the table off the spec's list of exemptions.";
        if (!OidIsValid(exemption.oid)) {
            drift.push_back(
                {"exemption_unneeded", exemption.label, "", "no such table", "a table without a tenant key", hint, 0});
            continue;
        }
        const bool key =
            !own_query(
                 fmt::format("SELECT FROM pg_class c WHERE c.oid = $4 AND $1::text[] IS NOT NULL AND {}", has_key),
                 {text_array_value(place.schemas), text_array_value(place.keys), oid_value(place.root),
                  oid_value(exemption.oid)})
                 .empty();
        if (key)
            drift.push_back({"exemption_unneeded", exemption.label, "", "the table has a tenant key",
                             "a table without a tenant key", hint, 0});
    }
}

} // namespace tenantmig
