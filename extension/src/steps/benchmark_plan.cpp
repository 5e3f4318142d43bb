#include "core/identifier.hpp"
#include <nlohmann/json.hpp>

#include "catalog/own_tables.hpp"
#include "steps/benchmark_plan.hpp"

namespace tenantmig {

namespace {
using nlohmann::json;

// 0 would make every table a large one.
constexpr char threshold[] = "coalesce(nullif(pg_size_bytes(current_setting('min_parallel_table_scan_size')), 0), "
                             "8388608)";

struct Found {
    std::vector<std::pair<std::string, std::string>> indexes, scans; // schema, name
};

std::string text_of(const json &node, const char *field) {
    const auto found = node.find(field);
    return found != node.end() && found->is_string() ? found->get<std::string>() : std::string();
}

void add(std::vector<std::pair<std::string, std::string>> &list, std::pair<std::string, std::string> one) {
    if (std::find(list.begin(), list.end(), one) == list.end()) list.push_back(std::move(one));
}

// An index is in its table's schema; below a bitmap heap scan only that names it.
void walk(json &node, std::string schema, Found &found) {
    if (!node.is_object()) return;
    if (const std::string own = text_of(node, "Schema"); !own.empty()) schema = own;
    if (const std::string index = text_of(node, "Index Name"); !index.empty()) add(found.indexes, {schema, index});
    if (text_of(node, "Node Type") == "Seq Scan") add(found.scans, {schema, text_of(node, "Relation Name")});
    node.erase("Output");
    if (auto children = node.find("Plans"); children != node.end() && children->is_array())
        for (json &child : *children)
            walk(child, schema, found);
}

std::int64_t blocks(const json &node, const char *field) {
    const auto found = node.find(field);
    return found != node.end() && found->is_number_integer() ? found->get<std::int64_t>() : 0;
}

void look_for(const std::string &expected, const Found &found, PlanFacts &facts) {
    const std::vector<core::Identifier> parts = core::split_identifier(expected);
    const std::string name = parts.back().text, schema = parts.size() > 1 ? parts[parts.size() - 2].text : "";
    std::vector<std::string> schemas, names;
    for (const auto &[in, index] : found.indexes) {
        schemas.push_back(in);
        names.push_back(index);
    }
    const Rows used =
        own_query("SELECT FROM unnest($1::text[], $2::text[]) u(s, i) JOIN pg_namespace n ON n.nspname = "
                  "u.s JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = u.i CROSS JOIN LATERAL "
                  "(SELECT c.oid UNION SELECT a FROM pg_partition_ancestors(c.oid) a) x(oid) JOIN "
                  "pg_class k ON k.oid = x.oid JOIN pg_namespace m ON m.oid = k.relnamespace WHERE "
                  "k.relname = $3 AND $4 IN ('', m.nspname)",
                  {text_array_value(schemas), text_array_value(names), text_value(name), text_value(schema)});
    if (!used.empty()) return;
    const Rows there = own_query(
        fmt::format("SELECT bool_or((SELECT sum(pg_relation_size(t.relid)) FROM pg_partition_tree(i.indrelid) t) >= "
                    "{0} OR pg_relation_size(i.indrelid) >= {0}) FROM pg_index i JOIN pg_class c ON c.oid = "
                    "i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relname = $1 AND $2 IN ('', "
                    "n.nspname) HAVING count(*) > 0",
                    threshold),
        {text_value(name), text_value(schema)});
    if (there.empty()) {
        facts.unknown.push_back(expected);
        return;
    }
    facts.missing.push_back(expected);
    facts.missing_on_large = facts.missing_on_large || there.boolean(0, 1);
}
} // namespace

PlanFacts read_plan(const std::string &explained, const std::vector<std::string> &expected) {
    PlanFacts facts;
    json document = json::parse(explained, nullptr, false);
    if (!document.is_array() || document.empty() || !document[0].contains("Plan")) return facts;
    json &top = document[0]["Plan"];
    Found found;
    walk(top, "", found);
    facts.hit = blocks(top, "Shared Hit Blocks");
    facts.read = blocks(top, "Shared Read Blocks");
    facts.plan = document.dump();
    for (const auto &[schema, index] : found.indexes)
        if (std::find(facts.indexes.begin(), facts.indexes.end(), index) == facts.indexes.end())
            facts.indexes.push_back(index);
    for (const std::string &one : expected)
        look_for(one, found, facts);
    for (const auto &[schema, table] : found.scans) {
        const Rows size = own_query(
            fmt::format("SELECT pg_size_pretty(pg_relation_size(c.oid)) FROM pg_class c JOIN pg_namespace n ON n.oid = "
                        "c.relnamespace WHERE n.nspname = $1 AND c.relname = $2 AND pg_relation_size(c.oid) >= {}",
                        threshold),
            {text_value(schema), text_value(table)});
        if (!size.empty()) facts.scans.push_back(fmt::format("{} ({})", qualified(schema, table), size.text_or(0, 1)));
    }
    return facts;
}

} // namespace tenantmig
