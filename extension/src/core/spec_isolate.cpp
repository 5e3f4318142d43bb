#include "core/spec_isolate.hpp"
#include <algorithm>
#include <nlohmann/json.hpp>

namespace tenantmig::core {
namespace {

constexpr std::size_t max_tables = 1000;
constexpr std::size_t max_roles = 100;
constexpr std::size_t max_setting = 200; // bytes
constexpr std::string_view example = "isolate: {tables: [customers, orders], role: app}";

std::string read_role(const Json &value, const std::string &path, std::vector<std::string> &seen) {
    std::vector<std::string> name;
    std::string role = read_name(value, path, 1, "role: app", &name);
    if (name.front() == "public")
        fail_at(path, "public is not a role of its own", value, "Name the role that the application logs in with.");
    if (std::find(seen.begin(), seen.end(), name.front()) != seen.end())
        fail_at(path, "the same role twice", value, "Remove one of them.");
    seen.push_back(name.front());
    return role;
}

IsolateTable parse_table(const Json &value, const std::string &path, std::vector<std::string> &target) {
    constexpr std::string_view table_example = "tables: [customers, {table: orders, column: company_id}]";
    IsolateTable table;
    table.path = path;
    if (!value.is_object()) {
        table.table = read_name(value, path, 2, table_example, &target);
        return table;
    }
    const Reader reader(value, path, {"table", "column"});
    table.table = read_name(reader.require("table", table_example), reader.path_of("table"), 2, table_example, &target);
    if (const Json *column = reader.find("column"))
        table.column = read_name(*column, reader.path_of("column"), 1, table_example);
    return table;
}

bool letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

} // namespace

std::string_view setting_defect(std::string_view name) {
    if (name.empty() || name.size() > max_setting) return "it needs 1 to 200 bytes";
    if (name.find('.') == std::string_view::npos)
        return "it needs a prefix and a dot: a setting without is PostgreSQL's";
    bool begins = true; // PostgreSQL's rule for settings of one's own: identifiers, separated by dots
    for (const char c : name) {
        if (c == '.') {
            if (begins) return "a part of it is empty";
            begins = true;
            continue;
        }
        if (!letter(c) && (begins || !((c >= '0' && c <= '9') || c == '$')))
            return "its parts are made of letters, digits and _, and begin with a letter";
        begins = false;
    }
    return begins ? "a part of it is empty" : "";
}

ParsedIsolate parse_isolate(const Json &value, std::string path, int number) {
    if (!value.is_object())
        fail_at(path, "expected an object", value, "Write for example " + std::string(example) + ".");
    const Reader reader(value, path,
                        {"tables", "role", "setting", "super_role", "force", "index", "null_keys", "composite_keys",
                         "composite_references"});
    ParsedIsolate parsed;
    IsolateStep &step = parsed.step;
    step.number = number;
    const Json &tables = reader.require("tables", example);
    const std::string list = reader.path_of("tables");
    expect_list(tables, list, max_tables, "tables", "tables: [customers, orders]");
    for (std::size_t i = 0; i < tables.size(); ++i)
        step.tables.push_back(parse_table(tables[i], join_path(list, i), parsed.targets.emplace_back()));

    std::vector<std::string> roles;
    const Json &role = reader.require("role", example);
    const std::string role_path = reader.path_of("role");
    if (role.is_array()) {
        expect_list(role, role_path, max_roles, "roles", "role: [app, app_reader]");
        for (std::size_t i = 0; i < role.size(); ++i)
            step.roles.push_back(read_role(role[i], join_path(role_path, i), roles));
    } else {
        step.roles.push_back(read_role(role, role_path, roles));
    }
    if (const Json *super = reader.find("super_role"))
        step.super_role = read_role(*super, reader.path_of("super_role"), roles);
    if (const Json *setting = reader.find("setting")) {
        step.setting = read_string(*setting, reader.path_of("setting"), "setting: app.tenant");
        if (const std::string_view defect = setting_defect(step.setting); !defect.empty())
            fail_at(reader.path_of("setting"), "not the name of a setting: " + std::string(defect), *setting,
                    "Write for example setting: app.tenant.");
    }
    const auto flag = [&](std::string_view field, bool &target) {
        if (const Json *found = reader.find(field))
            target = read_flag(*found, reader.path_of(field), std::string(field) + ": true");
    };
    flag("force", step.force);
    flag("index", step.index);
    flag("composite_keys", step.composite_keys);
    flag("composite_references", step.composite_references);
    if (const Json *nulls = reader.find("null_keys"))
        step.hide_nulls = read_word(*nulls, reader.path_of("null_keys"), {"refuse", "hide"}) == "hide";
    step.path = std::move(path);
    return parsed;
}

} // namespace tenantmig::core
