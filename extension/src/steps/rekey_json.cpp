// The list of a rekey step as step_state.detail has it.
#include <nlohmann/json.hpp>

#include "engine/own_json.hpp"
#include "steps/rekey.hpp"

namespace tenantmig {

namespace {
using Json = nlohmann::json;
constexpr std::array kinds = {"ddl", "index", "validate", "rows", "backfill", "mapping", "old_ids", "checks"};

Json site_json(const Site &site) {
    return Json::array({site.oid, site.schema, site.name});
}

Site parse_site(const Json &json) {
    return {json.at(0).get<Oid>(), json.at(1).get<std::string>(), json.at(2).get<std::string>()};
}

Json statements_json(const std::vector<RekeyStatement> &statements) {
    Json list = Json::array();
    for (const RekeyStatement &statement : statements) {
        Json one = {{"table", site_json(statement.table)}, {"sql", statement.sql}};
        if (!statement.missing.empty()) one["missing"] = statement.missing;
        if (!statement.present.empty()) one["present"] = statement.present;
        list.push_back(std::move(one));
    }
    return list;
}

std::vector<RekeyStatement> parse_statements(const Json &action, const char *name) {
    std::vector<RekeyStatement> statements;
    if (!action.contains(name)) return statements;
    for (const Json &one : action.at(name))
        statements.push_back({parse_site(one.at("table")), one.at("sql").get<std::string>(), text_at(one, "missing"),
                              text_at(one, "present")});
    return statements;
}

Json action_json(const RekeyAction &action) {
    Json json = {{"kind", kinds.at(static_cast<std::size_t>(action.kind))},
                 {"stage", action.stage},
                 {"table", site_json(action.table)}};
    if (!action.name.empty()) json["name"] = action.name;
    if (action.back) json["back"] = true;
    if (action.group > 0) json["group"] = action.group;
    if (action.tail > 0) json["tail"] = action.tail;
    if (!action.numbers.empty()) json["numbers"] = action.numbers;
    if (!action.forward.empty()) json["forward"] = statements_json(action.forward);
    if (!action.backward.empty()) json["backward"] = statements_json(action.backward);
    for (const Site &site : action.locks)
        json["locks"].push_back(site_json(site));
    return json;
}

RekeyAction parse_action(const Json &json) {
    RekeyAction action;
    const auto kind = std::find(kinds.begin(), kinds.end(), json.at("kind").get<std::string>());
    if (kind == kinds.end()) throw std::invalid_argument("kind");
    action.kind = static_cast<RekeyKind>(kind - kinds.begin());
    action.stage = text_at(json, "stage");
    action.table = parse_site(json.at("table"));
    action.name = text_at(json, "name");
    action.back = json.value("back", false);
    action.group = json.value("group", std::size_t{0});
    action.tail = json.value("tail", std::size_t{0});
    action.numbers = json.value("numbers", std::vector<int>{});
    action.forward = parse_statements(json, "forward");
    action.backward = parse_statements(json, "backward");
    if (json.contains("locks"))
        for (const Json &site : json.at("locks"))
            action.locks.push_back(parse_site(site));
    return action;
}

Json columns_json(const std::vector<RekeyColumn> &columns) {
    Json list = Json::array();
    for (const RekeyColumn &column : columns)
        list.push_back({column.table, column.column, column.from, column.to});
    return list;
}

std::vector<RekeyColumn> parse_columns(const Json &json) {
    std::vector<RekeyColumn> columns;
    for (const Json &one : json)
        columns.push_back({one.at(0).get<std::string>(), one.at(1).get<std::string>(), one.at(2).get<std::string>(),
                           one.at(3).get<std::string>()});
    return columns;
}
} // namespace

std::string rekey_json(const RekeyList &list) {
    Json json = {{"done", list.done},
                 {"database", list.database},
                 {"added", columns_json(list.added)},
                 {"converted", columns_json(list.converted)}};
    for (const RekeyAction &action : list.actions)
        json["actions"].push_back(action_json(action));
    for (const RekeyCheck &check : list.checks)
        json["checks"].push_back({{"name", check.name}, {"sql", check.sql}, {"table", site_json(check.table)}});
    return json.dump();
}

bool has_rekey_list(const std::string &json) {
    return json_object(json).contains("actions");
}

RekeyList stored_rekey(const StepState &state) {
    RekeyList list = parse_rekey(state.detail);
    // on the way the mark stands in the phase: stage (12 of 90)
    const std::size_t open = state.phase.rfind('('), middle = state.phase.rfind(" of ");
    if (open == std::string::npos || middle == std::string::npos || middle < open) return list;
    const std::string number = state.phase.substr(open + 1, middle - open - 1);
    if (number.empty() || number.size() > 6 || number.find_first_not_of("0123456789") != std::string::npos) return list;
    list.done = std::min<std::size_t>(std::stoul(number), list.actions.size());
    return list;
}

RekeyList parse_rekey(const std::string &text) {
    try {
        const Json json = Json::parse(text);
        RekeyList list;
        list.done = json.at("done").get<std::size_t>();
        list.database = json.at("database").get<Oid>();
        list.added = parse_columns(json.at("added"));
        list.converted = parse_columns(json.at("converted"));
        for (const Json &action : json.at("actions"))
            list.actions.push_back(parse_action(action));
        for (const Json &check : json.at("checks"))
            list.checks.push_back({check.at("name").get<std::string>(), check.at("sql").get<std::string>(),
                                   parse_site(check.at("table"))});
        if (list.done > list.actions.size()) throw std::invalid_argument("done");
        return list;
    } catch (const std::exception &) {
        throw Error(sqlstate::prerequisite_state, "what is stored of a rekey step can't be read",
                    "tenantmig.step_state.detail of the step is not what the step has put there.",
                    "Restore it from a backup: without it the step can neither go on nor be taken back.");
    }
}

} // namespace tenantmig
