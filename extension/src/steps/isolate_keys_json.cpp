// The items of composite_keys and composite_references as step_state.detail has them, in its member "keys".
#include <nlohmann/json.hpp>

#include "engine/own_json.hpp"
#include "steps/isolate_keys_items.hpp"

namespace tenantmig {

namespace {
using Json = nlohmann::json;

Json to_json(const Site &site) {
    return Json::array({site.oid, site.schema, site.name});
}

Json to_json(const std::vector<KeyedColumn> &columns) {
    Json list = Json::array();
    for (const KeyedColumn &column : columns)
        list.push_back({column.number, column.name});
    return list;
}

Json to_json(const std::vector<PlacedName> &names) {
    Json list = Json::array();
    for (const PlacedName &one : names)
        list.push_back({{"table", to_json(one.site)}, {"name", one.name}});
    return list;
}

Json to_json(const std::vector<ForeignKeyPart> &parts) {
    Json list = Json::array();
    for (const ForeignKeyPart &one : parts)
        list.push_back(
            {{"from", to_json(one.from)}, {"to", to_json(one.to)}, {"name", one.name}, {"comment", one.comment}});
    return list;
}

Json to_json(const ForeignKeyShape &shape) {
    return {{"name", shape.name},
            {"comment", shape.comment},
            {"columns", to_json(shape.columns)},
            {"targets", to_json(shape.targets)},
            {"cleared", to_json(shape.cleared)},
            {"on_update", std::string(1, shape.on_update)},
            {"on_delete", std::string(1, shape.on_delete)},
            {"match", std::string(1, shape.match)},
            {"deferrable", shape.deferrable},
            {"deferred", shape.deferred},
            {"validated", shape.validated}};
}

Site parse_site(const Json &json) {
    return {json.at(0).get<Oid>(), json.at(1).get<std::string>(), json.at(2).get<std::string>()};
}

KeyedColumn parse_column(const Json &json) {
    return {json.at(0).get<AttrNumber>(), json.at(1).get<std::string>()};
}

std::vector<KeyedColumn> parse_columns(const Json &json) {
    std::vector<KeyedColumn> columns;
    for (const Json &one : json)
        columns.push_back(parse_column(one));
    return columns;
}

std::vector<PlacedName> parse_names(const Json &json) {
    std::vector<PlacedName> names;
    for (const Json &one : json)
        names.push_back({parse_site(one.at("table")), one.at("name").get<std::string>()});
    return names;
}

std::vector<ForeignKeyPart> parse_parts(const Json &json) {
    std::vector<ForeignKeyPart> parts;
    for (const Json &one : json)
        parts.push_back({parse_site(one.at("from")), parse_site(one.at("to")), one.at("name").get<std::string>(),
                         text_at(one, "comment")});
    return parts;
}

// One of the letters of pg_constraint: nothing that is stored becomes SQL as it stands.
char parse_letter(const Json &json, const char *name, std::string_view allowed) {
    const auto text = json.at(name).get<std::string>();
    if (text.size() != 1 || allowed.find(text.front()) == std::string_view::npos) throw std::invalid_argument(name);
    return text.front();
}

ForeignKeyShape parse_shape(const Json &json) {
    ForeignKeyShape shape;
    shape.name = json.at("name").get<std::string>();
    shape.comment = text_at(json, "comment");
    shape.columns = parse_columns(json.at("columns"));
    shape.targets = parse_columns(json.at("targets"));
    shape.cleared = parse_columns(json.at("cleared"));
    shape.on_update = parse_letter(json, "on_update", "arcnd");
    shape.on_delete = parse_letter(json, "on_delete", "arcnd");
    shape.match = parse_letter(json, "match", "sf");
    shape.deferrable = json.at("deferrable").get<bool>();
    shape.deferred = json.at("deferred").get<bool>();
    shape.validated = json.at("validated").get<bool>();
    if (shape.columns.empty() || shape.columns.size() != shape.targets.size()) throw std::invalid_argument("columns");
    return shape;
}
} // namespace

bool has_key_items(const std::string &detail) {
    return json_object(detail).contains("keys");
}

KeyItems parse_key_items(const std::string &detail) {
    try {
        const Json json = Json::parse(detail).at("keys");
        KeyItems items;
        items.system = json.at("system").get<std::string>();
        items.database = json.at("database").get<Oid>();
        for (const Json &one : json.at("unique")) {
            UniqueItem item;
            item.table = parse_site(one.at("table"));
            item.columns = parse_columns(one.at("columns"));
            item.name = one.at("name").get<std::string>();
            item.kept = one.at("kept").get<bool>();
            item.parts = parse_names(one.at("parts"));
            if (item.columns.empty()) throw std::invalid_argument("columns");
            items.uniques.push_back(std::move(item));
        }
        for (const Json &one : json.at("references")) {
            ReferenceItem item;
            item.from = parse_site(one.at("from"));
            item.to = parse_site(one.at("to"));
            item.old = parse_shape(one.at("old"));
            item.made = parse_shape(one.at("new"));
            item.old_parts = parse_parts(one.at("parts"));
            item.back = one.at("back").get<std::string>();
            item.from_key = parse_column(one.at("from_key"));
            item.to_key = parse_column(one.at("to_key"));
            items.references.push_back(std::move(item));
        }
        return items;
    } catch (const std::exception &) {
        throw Error(sqlstate::prerequisite_state, "what is stored of the keys of an isolate step can't be read",
                    "tenantmig.step_state.detail of the step is not what the step has put there.",
                    "Restore it from a backup: without it the step can neither go on nor be taken back.");
    }
}

std::string with_key_items(const std::string &detail, const KeyItems *items) {
    Json document = json_object(detail);
    if (!items) {
        document.erase("keys");
        return document.dump();
    }
    Json json = {{"system", items->system},
                 {"database", items->database},
                 {"unique", Json::array()},
                 {"references", Json::array()}};
    for (const UniqueItem &item : items->uniques)
        json["unique"].push_back({{"table", to_json(item.table)},
                                  {"columns", to_json(item.columns)},
                                  {"name", item.name},
                                  {"kept", item.kept},
                                  {"parts", to_json(item.parts)}});
    for (const ReferenceItem &item : items->references)
        json["references"].push_back({{"from", to_json(item.from)},
                                      {"to", to_json(item.to)},
                                      {"old", to_json(item.old)},
                                      {"new", to_json(item.made)},
                                      {"parts", to_json(item.old_parts)},
                                      {"back", item.back},
                                      {"from_key", Json::array({item.from_key.number, item.from_key.name})},
                                      {"to_key", Json::array({item.to_key.number, item.to_key.name})}});
    document["keys"] = std::move(json);
    return document.dump();
}

} // namespace tenantmig
