#include "core/guard_definition.hpp"
#include <nlohmann/json.hpp>

namespace tenantmig::core {
namespace {

using Json = nlohmann::json;

Json write(const GuardColumn &column) {
    return {{"number", column.number}, {"name", column.name}};
}

Json write(const GuardTable &table) {
    return {{"oid", table.oid}, {"schema", table.schema}, {"name", table.name}};
}

Json write(const GuardCondition &condition) {
    return {{"column", write(condition.column)}, {"values", condition.values}, {"or_null", condition.or_null}};
}

Json write(const GuardHop &hop);
Json write(const GuardSource &source);

template <class T>
Json write(const std::vector<T> &list) {
    Json items = Json::array();
    for (const T &item : list)
        items.push_back(write(item));
    return items;
}

Json write(const GuardHop &hop) {
    return {
        {"table", write(hop.table)}, {"key", write(hop.key)}, {"value", write(hop.value)}, {"where", write(hop.where)}};
}

Json write(const GuardSource &source) {
    Json item = {{"label", source.label}, {"probe", write(source.probe)}, {"hops", write(source.hops)}};
    if (!source.type_column) return item;
    item["type_column"] = write(*source.type_column);
    Json types = Json::array();
    for (const auto &[type, hop] : source.types)
        types.push_back({{"type", type}, {"hop", write(hop)}});
    item["types"] = types;
    return item;
}

void read(const Json &item, GuardColumn &column) {
    item.at("number").get_to(column.number);
    item.at("name").get_to(column.name);
}

void read(const Json &item, GuardTable &table) {
    item.at("oid").get_to(table.oid);
    item.at("schema").get_to(table.schema);
    item.at("name").get_to(table.name);
}

void read(const Json &item, GuardCondition &condition) {
    read(item.at("column"), condition.column);
    item.at("values").get_to(condition.values);
    item.at("or_null").get_to(condition.or_null);
}

void read(const Json &item, GuardHop &hop);
void read(const Json &item, GuardSource &source);

template <class T>
void read(const Json &items, std::vector<T> &list) {
    for (const Json &item : items)
        read(item, list.emplace_back());
}

void read(const Json &item, GuardHop &hop) {
    read(item.at("table"), hop.table);
    read(item.at("key"), hop.key);
    read(item.at("value"), hop.value);
    read(item.at("where"), hop.where);
}

void read(const Json &item, GuardSource &source) {
    item.at("label").get_to(source.label);
    read(item.at("probe"), source.probe);
    read(item.at("hops"), source.hops);
    if (!item.contains("type_column")) return;
    read(item.at("type_column"), source.type_column.emplace());
    for (const Json &type : item.at("types")) {
        auto &[value, hop] = source.types.emplace_back();
        type.at("type").get_to(value);
        read(type.at("hop"), hop);
    }
}

template <class Value>
Value known(const std::optional<Value> &value, const char *what) {
    if (value) return *value;
    throw Json::other_error::create(599, std::string("unknown ") + what + " of guard", nullptr);
}

} // namespace

std::optional<GuardKind> kind_of(std::string_view word) {
    for (const GuardKind kind : {GuardKind::prefix, GuardKind::tenant_key, GuardKind::same_tenant, GuardKind::reference,
                                 GuardKind::acyclic, GuardKind::immutable})
        if (word == kind_name(kind)) return kind;
    return std::nullopt;
}

std::optional<GuardMode> mode_of(std::string_view word) {
    for (const GuardMode mode : {GuardMode::fill, GuardMode::reject, GuardMode::warn})
        if (word == mode_name(mode)) return mode;
    return std::nullopt;
}

std::string guard_json(const GuardDefinition &definition) {
    Json document{{"migration", definition.migration},
                  {"kind", kind_name(definition.kind)},
                  {"mode", mode_name(definition.mode)},
                  {"first", definition.evidence == Evidence::first},
                  {"system", definition.system},
                  {"database", definition.database},
                  {"owner", definition.owner},
                  {"table", write(definition.table)},
                  {"column", write(definition.column)},
                  {"root", write(definition.root)},
                  {"root_key", write(definition.root_key)},
                  {"sources", write(definition.sources)},
                  {"where", write(definition.where)}};
    if (definition.kind == GuardKind::prefix) {
        document["key"] = write(definition.key);
        document["separator"] = definition.separator;
    }
    return document.dump();
}

GuardDefinition parse_guard_json(std::string_view text) {
    const Json document = Json::parse(text);
    GuardDefinition definition;
    document.at("migration").get_to(definition.migration);
    if (document.contains("kind")) definition.kind = known(kind_of(document.at("kind").get<std::string>()), "kind");
    definition.mode = known(mode_of(document.at("mode").get<std::string>()), "mode");
    definition.evidence = document.at("first").get<bool>() ? Evidence::first : Evidence::unanimous;
    document.at("system").get_to(definition.system);
    document.at("database").get_to(definition.database);
    document.at("owner").get_to(definition.owner);
    read(document.at("table"), definition.table);
    read(document.at("column"), definition.column);
    read(document.at("root"), definition.root);
    read(document.at("root_key"), definition.root_key);
    read(document.at("sources"), definition.sources);
    read(document.at("where"), definition.where);
    if (definition.kind == GuardKind::prefix) {
        read(document.at("key"), definition.key);
        document.at("separator").get_to(definition.separator);
    }
    return definition;
}

} // namespace tenantmig::core
