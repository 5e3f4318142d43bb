// CALL isolate: the spec that its arguments stand for.
#include "core/excerpt.hpp"
#include "core/undo_text.hpp"
#include <nlohmann/json.hpp>

#include "catalog/migration_names.hpp"
#include "steps/isolate.hpp"
#include "steps/lint_model.hpp"
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

// The tenant roots of the caller's other migrations, as they are called today.
std::map<Oid, std::string> known_roots(const std::string &besides) {
    std::map<Oid, std::string> roots;
    Rows rows = own_query("SELECT id FROM tenantmig.migration WHERE name <> $1 ORDER BY name", {text_value(besides)});
    for (std::size_t i = 0; i < rows.size(); i++) {
        const MigrationRecord other = get_migration(rows.bigint(i, 1));
        if (!OidIsValid(other.owner_oid) || !has_privileges_of(other.owner_oid)) continue;
        try {
            const Table root =
                NameBook(other.identity).table(core::parse_spec_text(other.spec).tenants_table, "tenants");
            roots.emplace(root.oid, root.label());
        } catch (const Error &) { // it is gone
        }
    }
    return roots;
}

// companies for company_id, domains for domain: a column that is called after the table it refers to.
bool called_after(const std::string &column, const Table &root, const std::string &key) {
    if (column == key && key != "id") return true;
    if (!column.ends_with("_" + key)) return false;
    const auto names = table_names_of(std::string_view(column).substr(0, column.size() - key.size() - 1));
    return std::find(names.begin(), names.end(), root.name) != names.end();
}

// No guess: what the other migrations say, or the only table outside of the list that the tables refer to, if all of
// them do, by columns that are called after it.
std::string find_root(const std::vector<std::string> &tables, const std::string &migration) {
    std::map<Oid, std::string> candidates = known_roots(migration);
    if (candidates.size() == 1) return candidates.begin()->second;
    NameBook names;
    std::set<Oid> listed;
    for (std::size_t i = 0; i < tables.size(); i++)
        listed.insert(names.table(tables[i], fmt::format("steps[0].isolate.tables[{}]", i)).oid);
    std::map<Oid, std::set<Oid>> referring; // by columns of such a name
    for (const Oid oid : listed) {
        const auto table = describe_table(oid);
        for (const ForeignKey &key : foreign_keys_from(oid)) {
            const auto root = describe_table(key.to);
            if (!table || !root || listed.contains(key.to)) continue;
            candidates.emplace(key.to, root->label());
            if (key.to_columns.size() == 1 &&
                called_after(table->at(key.from_columns[0]).name, *root, root->at(key.to_columns[0]).name))
                referring[key.to].insert(oid);
        }
    }
    if (candidates.size() == 1 && referring[candidates.begin()->first].size() == listed.size())
        return candidates.begin()->second;
    std::string detail;
    for (const auto &[oid, label] : candidates)
        detail += (detail.empty() ? "It may be " : " or ") + label;
    throw Error(sqlstate::invalid_parameter_value, "the tenant root cannot be told",
                detail.empty() ? "None of the tables refers to another one." : detail + ".",
                "Say which table has one row per tenant: tenants => '…'.");
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
        std::string rest = message.substr(std::string(here).size());
        constexpr std::string_view list = "tables["; // of the array, which SQL counts from 1
        if (rest.starts_with(list)) {
            const std::size_t close = rest.find(']');
            rest.replace(list.size(), close - list.size(), std::to_string(std::stoi(rest.substr(list.size())) + 1));
        }
        const std::size_t end = rest.find(": ");
        message =
            fmt::format("argument \"{}\"{}", rest.substr(0, end), end == std::string::npos ? "" : rest.substr(end));
    } else if (!renamed("spec: migration", "name")) {
        (void)renamed("spec: tenants.table", "tenants");
    }
    if (std::string_view(error.state()) == sqlstate::duplicate_object)
        return Error(
            error.state(), message, error.detail(),
            "One table more is isolated under another name (name => '…'), beside what stands. For another role "
            "or setting take this one back first: CALL tenantmig.down(name).");
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
        tenants = find_root(arguments.tables, arguments.name);
    const std::vector<std::string> roles = split_roles(arguments.role);
    Json step = {{"tables", arguments.tables},
                 {"role", roles.size() == 1 ? Json(roles.front()) : Json(roles)},
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

std::string isolate_announcement(const MigrationRecord &migration) {
    const core::Spec spec = migration_spec(migration);
    std::string keys;
    for (const core::IsolateStep &step : spec.isolations) {
        const IsolateScope scope = isolate_scope(migration, spec, step);
        for (const IsolateMember *top : scope.tops())
            keys += fmt::format("{}{} by {}", keys.empty() ? "" : ", ", top->table.label(),
                                tenantmig::quoted(top->key.name));
    }
    return fmt::format("tenant root {}; {}", spec.tenants_table, keys);
}

} // namespace tenantmig
