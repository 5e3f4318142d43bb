#include "core/excerpt.hpp"
#include "core/identifier.hpp"
#include <nlohmann/json.hpp>

#include "catalog/name_book.hpp"

namespace tenantmig {

namespace {
struct RememberedTable {
    Oid oid = InvalidOid;
    std::string schema, name;
    std::unordered_map<std::string, std::pair<AttrNumber, std::string>> columns; // written -> number, name
    bool found_by_name = false; // another table than the one whose column numbers are remembered
};

std::string this_system() {
    return std::to_string(pg_call([] { return GetSystemIdentifier(); }));
}
} // namespace

struct NameBook::Implementation {
    std::unordered_map<std::string, RememberedTable> tables; // by the name as written
    bool remembered = false;                                 // made from an identity
    bool same_place = true;                                  // same system and database as when it was remembered
    bool by_name = false;
    int segment = 0;
    std::optional<std::vector<Oid>> schemas; // of a later segment
    bool learned = false;                    // and names that it did not remember

    Oid find(const std::vector<std::string> &parts) const;
};

Oid NameBook::Implementation::find(const std::vector<std::string> &parts) const {
    if (!schemas || parts.size() != 1) return lookup_table(parts);
    const char *name = parts.front().c_str();
    for (Oid schema : *schemas) {
        Oid oid = pg_call([schema, name] { return get_relname_relid(name, schema); });
        if (OidIsValid(oid)) return oid;
    }
    return InvalidOid;
}

NameBook::NameBook() : implementation_(std::make_unique<Implementation>()) {}
NameBook::NameBook(NameBook &&) noexcept = default;
NameBook::~NameBook() = default;

NameBook::NameBook(const std::string &identity) : NameBook(identity, 0, {}) {
    implementation_->schemas.reset();
}

NameBook::NameBook(const std::string &identity, int segment, std::vector<Oid> schemas) : NameBook() {
    implementation_->segment = segment;
    implementation_->schemas = std::move(schemas);
    nlohmann::json document = nlohmann::json::parse(identity);
    implementation_->remembered = true;
    implementation_->same_place = document.at("system") == this_system() && document.at("database") == MyDatabaseId;
    implementation_->by_name = !implementation_->same_place;
    for (const nlohmann::json &item : document.at("relations")) {
        if (item.value("segment", 0) != segment) continue;
        RememberedTable table;
        table.oid = item.at("oid").get<Oid>();
        table.schema = item.at("schema").get<std::string>();
        table.name = item.at("name").get<std::string>();
        for (const nlohmann::json &column : item.at("columns"))
            table.columns[column.at("written").get<std::string>()] = {column.at("number").get<AttrNumber>(),
                                                                      column.at("name").get<std::string>()};
        implementation_->tables[item.at("written").get<std::string>()] = std::move(table);
    }
}

bool NameBook::by_name() const {
    return implementation_->by_name || implementation_->learned;
}

bool NameBook::replaced() const {
    return implementation_->by_name && implementation_->same_place;
}

namespace {
nlohmann::json relations_json(const std::unordered_map<std::string, RememberedTable> &tables, int segment,
                              bool same_place) {
    nlohmann::json relations = nlohmann::json::array();
    for (const auto &[written, table] : tables) {
        nlohmann::json columns = nlohmann::json::array();
        for (const auto &[name, column] : table.columns)
            columns.push_back({{"written", name}, {"number", column.first}, {"name", column.second}});
        relations.push_back({{"written", written},
                             {"oid", same_place || table.found_by_name ? table.oid : InvalidOid}, // else by name
                             {"schema", table.schema},
                             {"name", table.name},
                             {"columns", columns}});
        if (segment != 0) relations.back()["segment"] = segment;
    }
    return relations;
}
} // namespace

std::string NameBook::json() const {
    return identity_of({relations()});
}

std::string NameBook::relations() const {
    return relations_json(implementation_->tables, implementation_->segment, implementation_->same_place).dump();
}

std::string identity_of(const std::vector<std::string> &relations) {
    nlohmann::json all = nlohmann::json::array();
    for (const std::string &segment : relations)
        for (nlohmann::json &relation : nlohmann::json::parse(segment))
            all.push_back(std::move(relation));
    return nlohmann::json{{"system", this_system()}, {"database", MyDatabaseId}, {"relations", all}}.dump();
}

void require_plain_table(const Table &table, const std::string &path) {
    auto refuse = [&](const char *what, const char *hint) {
        throw Error(sqlstate::wrong_object_type, fmt::format("spec: {}: {} is {}", path, table.label(), what), {},
                    hint);
    };
    if (table.schema == "pg_catalog" || table.schema == "information_schema" || table.schema == "pg_toast" ||
        table.schema == "tenantmig")
        refuse("a system table", "Name a table of your own.");
    switch (table.kind) {
    case RELKIND_RELATION:
    case RELKIND_PARTITIONED_TABLE:
        break;
    case RELKIND_VIEW:
        refuse("a view", "Name the table that the view reads.");
        break;
    case RELKIND_MATVIEW:
        refuse("a materialized view", "Name the table that the view reads.");
        break;
    case RELKIND_FOREIGN_TABLE:
        refuse("a foreign table, which has no key that rows can be identified by",
               "Run the migration on the server that holds the table.");
        break;
    default:
        refuse("not a table", "Name a table or a partitioned table.");
        break;
    }
    if (table.temporary)
        throw Error(sqlstate::feature_not_supported,
                    fmt::format("spec: {}: {} is a temporary table", path, table.label()),
                    "A migration outlives the session, a temporary table does not.", "Name a permanent table.");
}

Table NameBook::table(const std::string &written, const std::string &path) {
    auto &tables = implementation_->tables;
    if (auto found = tables.find(written); found != tables.end()) {
        RememberedTable &known = found->second;
        if (implementation_->same_place || known.found_by_name)
            if (auto table = describe_table(known.oid)) {
                require_plain_table(*table, path);
                if (table->schema != known.schema ||
                    table->name != known.name) { // renamed: a restore needs the new name
                    implementation_->by_name = true;
                    known.schema = table->schema;
                    known.name = table->name;
                }
                return *table;
            }
        implementation_->by_name = true;
        Oid oid = lookup_table({known.schema, known.name});
        auto table = OidIsValid(oid) ? describe_table(oid) : std::nullopt;
        if (!table)
            throw Error(sqlstate::undefined_table,
                        fmt::format("spec: {}: table {} no longer exists", path, qualified(known.schema, known.name)),
                        "It existed when the migration was created.", "Drop the migration, or bring the table back.");
        require_plain_table(*table, path);
        known.oid = table->oid;
        known.found_by_name = true;
        return *table;
    }
    std::vector<std::string> parts;
    auto identifiers = core::split_identifier(written);
    for (const auto &identifier : identifiers)
        parts.push_back(identifier.text);
    if (parts.size() > 2)
        throw Error(sqlstate::invalid_name,
                    fmt::format("spec: {}: {} has too many parts", path, core::excerpt(written)), {},
                    "Write table or schema.table.");
    Oid oid = implementation_->find(parts);
    auto table = OidIsValid(oid) ? describe_table(oid) : std::nullopt;
    if (!table) {
        std::vector<std::string> exact;
        for (const auto &identifier : identifiers)
            exact.push_back(identifier.written);
        std::string hint = "Check the name and the search_path.";
        if (exact != parts && OidIsValid(implementation_->find(exact)))
            hint = fmt::format("There is \"{}\": write the name in double quotes, as in SQL.", exact.back());
        throw Error(sqlstate::undefined_table,
                    fmt::format("spec: {}: relation {} does not exist", path, core::excerpt(written)), {}, hint);
    }
    require_plain_table(*table, path);
    tables[written] = {table->oid, table->schema, table->name, {}};
    implementation_->learned |= implementation_->schemas.has_value();
    return *table;
}

Column NameBook::column(const Table &table, const std::string &written, const std::string &path) {
    auto undefined = [&](const std::string &hint) {
        return Error(
            sqlstate::undefined_column,
            fmt::format("spec: {}: column {} of {} does not exist", path, core::excerpt(written), table.label()), {},
            hint);
    };
    // several written names may stand for one table: a column is remembered under the first that leads to it
    RememberedTable *known = nullptr;
    for (auto &[name, candidate] : implementation_->tables) {
        bool here = (implementation_->same_place || candidate.found_by_name) && candidate.oid == table.oid;
        if (here || (candidate.schema == table.schema && candidate.name == table.name)) {
            if (!known || candidate.columns.count(written)) known = &candidate;
        }
    }
    if (known)
        if (auto found = known->columns.find(written); found != known->columns.end()) {
            bool by_number = implementation_->same_place && !known->found_by_name && known->oid == table.oid;
            const Column *column = by_number ? table.find(found->second.first) : nullptr;
            if (!column) column = table.find(found->second.second);
            if (!column)
                throw undefined(
                    "It existed when the migration was created. Drop the migration, or bring the column back.");
            if (found->second != std::pair(column->number, column->name)) { // to be remembered as it is now
                implementation_->by_name = true;
                found->second = {column->number, column->name};
            }
            return *column;
        }
    // In quotes it is longer as written than as a name; split_identifier() measures that.
    if (written.size() > core::max_identifier_length && written.front() != '"')
        throw Error(sqlstate::name_too_long,
                    fmt::format("spec: {}: name of {} bytes is too long", path, written.size()),
                    "PostgreSQL would cut it to 63 bytes without an error.", "Write the column's real name.");
    const Column *column = table.find(written);
    if (!column) {
        auto identifiers = core::split_identifier(written);
        if (identifiers.size() == 1) column = table.find(identifiers[0].text);
    }
    if (!column) {
        std::string names;
        for (const Column &c : table.columns)
            names += (names.empty() ? "" : ", ") + tenantmig::quoted(c.name);
        throw undefined("Columns: " + names + ".");
    }
    if (known) {
        known->columns[written] = {column->number, column->name};
        implementation_->learned |= implementation_->schemas.has_value();
    }
    return *column;
}

} // namespace tenantmig
