// Which tables a migration names.
#include "core/spec.hpp"
#include <set>

#include "steps/fingerprint.hpp"

namespace tenantmig {

namespace {
std::set<std::string> written_tables(const core::Spec &spec) {
    std::set<std::string> names = {spec.tenants_table};
    for (const core::BackfillStep &step : spec.steps) {
        names.insert(step.table);
        for (const core::Source &source : step.sources) {
            names.insert({source.table, source.references_table});
            for (const core::TypeTarget &type : source.types)
                names.insert(type.table);
        }
    }
    for (const core::GuardStep &step : spec.guards) {
        names.insert(step.table);
        for (const core::TypeTarget &type : step.types)
            names.insert(type.table);
    }
    for (const core::ConstraintStep &step : spec.constraints)
        names.insert({step.table, step.references_table});
    for (const core::AddColumnStep &step : spec.added_columns)
        names.insert(step.table);
    for (const core::DropColumnStep &step : spec.dropped_columns)
        names.insert(step.table);
    for (const core::IndexStep &step : spec.indexes)
        names.insert(step.table);
    for (const core::RekeyStep &step : spec.rekeys) {
        names.insert(step.root);
        for (const core::RekeyTable &table : step.tables)
            names.insert(table.table);
        for (const core::RekeyEmbed &embed : step.embed)
            names.insert(embed.table);
    }
    for (const core::IsolateStep &step : spec.isolations)
        for (const core::IsolateTable &table : step.tables)
            names.insert(table.table);
    names.erase("");
    return names;
}

// The search_path of a migration, for the time of a look-up. Ends with the scope, errors included.
class SearchPath {
public:
    explicit SearchPath(const std::string &path) : guc_level_(NewGUCNestLevel()) {
        const char *value = path.c_str();
        try {
            pg_call([value] {
                (void)set_config_option("search_path", value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
                                        false);
            });
        } catch (...) {
            AtEOXact_GUC(false, guc_level_);
            throw;
        }
    }
    ~SearchPath() { AtEOXact_GUC(false, guc_level_); }
    SearchPath(const SearchPath &) = delete;
    SearchPath &operator=(const SearchPath &) = delete;

private:
    int guc_level_;
};
} // namespace

std::optional<std::vector<Oid>> tables_of(const MigrationRecord &migration) {
    const core::Spec spec = migration_spec(migration);
    if (!spec.sqls.empty()) return std::nullopt;
    std::vector<std::string> names;
    for (const std::string &name : written_tables(spec))
        names.push_back(name);
    std::set<Oid> found;
    const auto take = [&found](const Rows &rows) {
        for (std::size_t i = 0; i < rows.size(); i++) {
            bool null = false;
            found.insert(DatumGetObjectId(rows.datum(i, 1, &null)));
        }
    };
    {
        // A renamed table is known by its OID.
        take(own_query(
            "SELECT c.oid FROM pg_control_system() s, jsonb_to_recordset($1::jsonb -> 'relations') AS t (oid oid) "
            "JOIN pg_class c ON c.oid = t.oid WHERE c.relkind IN ('r', 'p') AND "
            "s.system_identifier::text = $1::jsonb ->> 'system' AND (SELECT d.oid FROM pg_database d WHERE "
            "d.datname = current_database()) = ($1::jsonb ->> 'database')::oid",
            {text_value(migration.identity)}));
    }
    std::optional<SearchPath> path;
    if (!migration.search_path.empty()) path.emplace(migration.search_path);
    take(run_query("SELECT t.oid FROM (SELECT pg_catalog.to_regclass(u.written)::pg_catalog.oid AS oid FROM "
                   "pg_catalog.unnest($1) AS u (written)) AS t WHERE t.oid IS NOT NULL",
                   {text_array_value(std::span<const std::string>(names))}, true));
    return std::vector<Oid>(found.begin(), found.end());
}

} // namespace tenantmig
