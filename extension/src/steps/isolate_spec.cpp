// CALL isolate: the spec that its arguments stand for.
#include "core/excerpt.hpp"
#include "core/undo_text.hpp"
#include <nlohmann/json.hpp>

#include "catalog/migration_names.hpp"
#include "steps/isolate.hpp"
#include "steps/migration.hpp"

namespace tenantmig {

namespace {
using Json = nlohmann::json;
constexpr const char *here = "spec: steps[0].isolate.";

// app, "Odd, role" → the two names, as they are written.
std::vector<std::string> split_roles(const std::string &text) {
    std::vector<std::string> roles(1);
    bool inside = false;
    for (const char c : text) {
        if (c == '"') inside = !inside;
        if (c == ',' && !inside)
            roles.emplace_back();
        else
            roles.back() += c;
    }
    for (std::string &role : roles) {
        const std::size_t first = role.find_first_not_of(" \t\r\n"), last = role.find_last_not_of(" \t\r\n");
        role = first == std::string::npos ? "" : role.substr(first, last - first + 1);
    }
    return roles;
}

// The only table that all of these refer to by one column, or are themselves.
std::string find_root(const std::vector<std::string> &tables) {
    NameBook names;
    std::map<Oid, std::size_t> times;
    std::set<Oid> listed;
    for (std::size_t i = 0; i < tables.size(); i++)
        listed.insert(names.table(tables[i], fmt::format("steps[0].isolate.tables[{}]", i)).oid);
    for (const Oid oid : listed) {
        std::set<Oid> roots = {oid};
        for (const ForeignKey &key : foreign_keys_from(oid))
            if (key.to_columns.size() == 1) roots.insert(key.to);
        for (const Oid root : roots)
            times[root]++;
    }
    std::vector<std::string> candidates;
    for (const auto &[oid, count] : times)
        if (count == listed.size())
            if (const auto root = describe_table(oid); root && (listed.size() > 1 || !listed.contains(oid)))
                candidates.push_back(root->label());
    if (candidates.size() == 1) return candidates.front();
    std::string detail = candidates.empty() ? "There is no table that all of them refer to." : "It may be ";
    for (std::size_t i = 0; i < candidates.size(); i++)
        detail += (i ? ", " : "") + candidates[i] + (i + 1 == candidates.size() ? "." : "");
    throw Error(sqlstate::invalid_parameter_value, "the tenant root cannot be told", detail,
                "Give tenants => the table with one row per tenant.");
}
} // namespace

// What is wrong with the spec is wrong with an argument.
Error isolate_argument_error(const Error &error) {
    std::string message = error.message();
    auto renamed = [&](std::string_view prefix, const char *argument) {
        if (!message.starts_with(prefix)) return false;
        message = fmt::format("argument \"{}\"{}", argument, message.substr(prefix.size()));
        return true;
    };
    if (message.starts_with(here)) {
        const std::string rest = message.substr(std::string(here).size());
        const std::size_t end = rest.find(": ");
        message =
            fmt::format("argument \"{}\"{}", rest.substr(0, end), end == std::string::npos ? "" : rest.substr(end));
    } else if (!renamed("spec: migration", "name")) {
        (void)renamed("spec: tenants.table", "tenants");
    }
    const bool of_spec = std::string_view(error.state()) == sqlstate::spec_invalid;
    return Error(of_spec ? sqlstate::invalid_parameter_value : error.state(), message, error.detail(), error.hint());
}

std::string isolate_spec(const IsolateArguments &arguments) {
    std::string all = arguments.role + arguments.tenants.value_or("") + arguments.setting + arguments.null_keys +
                      arguments.super_role.value_or("") + arguments.name;
    for (const std::string &table : arguments.tables)
        all += table;
    require_utf8(all);
    std::string tenants;
    const auto existing = find_migration(arguments.name);
    if (arguments.tenants)
        tenants = *arguments.tenants;
    else if (existing)
        tenants = Json::parse(existing->spec).at("tenants").at("table").get<std::string>();
    else
        tenants = find_root(arguments.tables);
    Json step = {{"tables", arguments.tables},
                 {"role", split_roles(arguments.role)},
                 {"setting", arguments.setting},
                 {"force", arguments.force},
                 {"null_keys", arguments.null_keys}};
    if (arguments.super_role) step["super_role"] = *arguments.super_role;
    return Json{{"migration", arguments.name},
                {"description", "made by tenantmig.isolate"},
                {"tenants", {{"table", tenants}}},
                {"steps", {{{"isolate", step}}}}}
        .dump();
}

} // namespace tenantmig
