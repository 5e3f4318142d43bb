// What EXPLAIN says of a query, as far as isolation_speed() asks.
#include <nlohmann/json.hpp>

#include "steps/isolation_speed.hpp"

namespace tenantmig {

namespace {
using nlohmann::json;

std::string text_of(const json &node, const char *field) {
    const auto found = node.find(field);
    return found != node.end() && found->is_string() ? found->get<std::string>() : std::string();
}

double number_of(const json &node, const char *field) {
    const auto found = node.find(field);
    return found != node.end() && found->is_number() ? found->get<double>() : 0;
}

// An index is in its table's schema; below a bitmap heap scan only that names it.
void walk(const json &node, std::string schema, SpeedPlan &plan) {
    if (!node.is_object()) return;
    if (const std::string own = text_of(node, "Schema"); !own.empty()) schema = own;
    const std::string relation = text_of(node, "Relation Name"), index = text_of(node, "Index Name");
    if (!relation.empty()) {
        plan.relation[tenantmig::qualified(schema, relation)] += number_of(node, "Total Cost");
        if (const auto loops = node.find("Actual Loops"); loops != node.end() && loops->is_number() && *loops == 0)
            plan.never_started++;
    }
    if (!index.empty()) plan.indexes.push_back({schema, index, text_of(node, "Index Cond")});
    if (text_of(node, "Node Type") == "Seq Scan") plan.sequential++;
    if (const auto children = node.find("Plans"); children != node.end() && children->is_array())
        for (const json &child : *children)
            walk(child, schema, plan);
}
} // namespace

SpeedPlan read_speed_plan(const std::string &explained) {
    SpeedPlan plan;
    const json document = json::parse(explained, nullptr, false);
    if (!document.is_array() || document.empty() || !document[0].contains("Plan")) return plan;
    const json &top = document[0]["Plan"];
    walk(top, "", plan);
    plan.cost = number_of(top, "Total Cost");
    plan.rows = number_of(top, "Plan Rows");
    plan.time = number_of(document[0], "Execution Time");
    plan.returned = number_of(top, "Actual Rows");
    return plan;
}

} // namespace tenantmig
