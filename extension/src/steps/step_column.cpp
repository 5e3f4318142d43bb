#include "core/excerpt.hpp"

#include <nlohmann/json.hpp>

#include "bridge/type_name.hpp"
#include "catalog/migration_names.hpp"
#include "steps/step_column.hpp"

namespace tenantmig {

using Json = nlohmann::json;

std::optional<Table> remembered_table(const StepState &state) {
    const Json document = Json::parse(state.detail);
    if (!document.contains("table")) return std::nullopt;
    const Json &table = document.at("table");
    return find_site(
        {table.at("oid").get<Oid>(), table.at("schema").get<std::string>(), table.at("name").get<std::string>()},
        document.at("database").get<Oid>());
}

std::string remember_table(const std::string &detail, const Table &table) {
    Json document = Json::parse(detail);
    document["table"] = {{"oid", table.oid}, {"schema", table.schema}, {"name", table.name}};
    document["database"] = MyDatabaseId;
    return document.dump();
}

Table step_table(const MigrationRecord &migration, const StepState &state, int step, const std::string &written,
                 const std::string &path) {
    if (auto table = remembered_table(state)) return std::move(*table);
    MigrationPath names_path(migration);
    MigrationNames names(migration);
    return names.of(step).table(written, path);
}

std::string unwritten_value(const StepState &state) {
    return Json::parse(state.detail).value("empty", std::string());
}

MigrationPath::MigrationPath(const MigrationRecord &migration) : level_(NewGUCNestLevel()) {
    if (migration.search_path.empty()) return;
    try {
        pg_call([text = migration.search_path.c_str()] {
            (void)set_config_option("search_path", text, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
        });
    } catch (...) {
        AtEOXact_GUC(false, level_);
        throw;
    }
}

MigrationPath::~MigrationPath() {
    AtEOXact_GUC(false, level_);
}

ParsedType parse_type(const std::string &written, const std::string &path) {
    NamedType type;
    try {
        type = type_by_name(written);
    } catch (const PgError &error) {
        const bool unknown = error.data()->sqlerrcode == ERRCODE_UNDEFINED_OBJECT;
        throw Error(unknown ? sqlstate::undefined_object : sqlstate::syntax_error,
                    fmt::format("spec: {}: {}", path, error.what()), fmt::format("Found {}.", core::excerpt(written)),
                    "Write the name of a type as in CREATE TABLE, without DEFAULT or constraints: bigint, "
                    "numeric(10,2), text[].");
    }
    if (type.pseudo)
        throw Error(sqlstate::wrong_object_type, fmt::format("spec: {}: {} is a pseudo-type", path, type.sql),
                    fmt::format("Found {}.", core::excerpt(written)), "Name a type that a column can have.");
    return {type.oid, type.typmod, type.sql};
}

} // namespace tenantmig
