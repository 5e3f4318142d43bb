#include "core/key_text.hpp"
#include "core/spec.hpp"

#include "engine/resolve.hpp"

namespace tenantmig {

namespace {
// The tenant key that a table has of its own: by foreign key to the tenant root, else by the name of the target's. 0:
// none.
AttrNumber own_tenant_key(const Table &table, Oid root, AttrNumber root_key, const std::string &name) {
    AttrNumber found = 0;
    for (const ForeignKey &key : foreign_keys_from(table.oid))
        if (key.to == root && key.to_columns.size() == 1 && key.to_columns[0] == root_key) {
            if (found && found != key.from_columns[0]) return 0; // several: somebody has to say which
            found = key.from_columns[0];
        }
    if (!found)
        if (const Column *same = table.find(name)) found = same->number;
    return found;
}

// What the columns of the same name in tables next to this one reference. Several answers are none.
std::optional<std::pair<Oid, AttrNumber>> root_of_neighbours(const Table &table, const Column &column) {
    std::set<Oid> neighbours;
    for (const ForeignKey &key : foreign_keys_to(table.oid))
        neighbours.insert(key.from);
    for (const ForeignKey &key : foreign_keys_from(table.oid))
        neighbours.insert(key.to);
    std::set<std::pair<Oid, AttrNumber>> roots;
    for (Oid oid : neighbours)
        if (auto neighbour = describe_table(oid))
            if (const Column *same = neighbour->find(column.name))
                for (const ForeignKey &key : foreign_keys_from(oid))
                    if (key.from_columns.size() == 1 && key.from_columns[0] == same->number && key.to != table.oid)
                        roots.insert({key.to, key.to_columns[0]});
    return roots.size() == 1 ? std::optional(*roots.begin()) : std::nullopt;
}

std::string source_json(const std::string &via, const std::string &tenant) {
    return fmt::format("{{\"via\": {}, \"tenant\": {}}}", core::json_string(via), core::json_string(tenant));
}
} // namespace

Discovered discover_sources(const Table &table, const Column &column, const std::optional<Table> &tenants,
                            bool want_sources) {
    std::optional<Table> root = tenants;
    AttrNumber root_key = 0;
    for (const ForeignKey &key : foreign_keys_from(table.oid))
        if (key.from_columns.size() == 1 && key.from_columns[0] == column.number && (!root || root->oid == key.to)) {
            root = describe_table(key.to);
            root_key = key.to_columns[0];
        }
    if (!root)
        if (auto found = root_of_neighbours(table, column)) {
            root = describe_table(found->first);
            root_key = found->second;
        }
    if (!root)
        throw Error(sqlstate::no_source,
                    fmt::format("the tenant root of {}.{} is not known", table.label(), quoted(column.name)),
                    "The column has no foreign key, and the tables next to this one do not agree on one.",
                    "Give the table of tenants: tenants => 'companies'.");
    if (!root_key) {
        auto key = row_identity(root->oid, nullptr);
        if (key.size() == 1) root_key = key[0];
    }
    Discovered result;
    result.tenants_table = root->sql();
    result.tenants_key = root_key ? quoted(root->at(root_key).name) : "";
    if (!want_sources) return result;

    // children by name, then parents by column; tables that already have a tenant key only
    using Source = std::pair<std::vector<std::string>, std::string>; // what it is sorted by, and its JSON
    std::vector<Source> children, parents;
    for (const ForeignKey &key : foreign_keys_to(table.oid)) {
        if (key.from == table.oid || key.from == root->oid) continue;
        auto child = describe_table(key.from);
        if (!child || (child->kind != RELKIND_RELATION && child->kind != RELKIND_PARTITIONED_TABLE) || child->temporary)
            continue;
        AttrNumber tenant = own_tenant_key(*child, root->oid, root_key, column.name);
        if (!tenant || tenant == key.from_columns[0]) continue;
        Oid child_oid = child->oid;
        bool visible = pg_call([child_oid] { return RelationIsVisible(child_oid); });
        std::string name = visible ? quoted(child->name) : child->sql();
        const std::string &column_name = child->at(key.from_columns[0]).name;
        children.emplace_back(std::vector<std::string>{child->schema, child->name, column_name},
                              source_json(name + "." + quoted(column_name), quoted(child->at(tenant).name)));
    }
    for (const ForeignKey &key : foreign_keys_from(table.oid)) {
        if (key.to == table.oid || key.to == root->oid) continue;
        auto parent = describe_table(key.to);
        if (!parent || parent->temporary) continue;
        AttrNumber tenant = own_tenant_key(*parent, root->oid, root_key, column.name);
        if (!tenant) continue;
        const std::string &via = table.at(key.from_columns[0]).name;
        parents.emplace_back(std::vector<std::string>{via}, source_json(quoted(via), quoted(parent->at(tenant).name)));
    }
    std::sort(children.begin(), children.end());
    std::sort(parents.begin(), parents.end());
    children.insert(children.end(), parents.begin(), parents.end());
    children.erase(std::unique(children.begin(), children.end()), children.end());
    if (children.empty())
        throw Error(sqlstate::no_source,
                    fmt::format("no evidence was found for {}.{}", table.label(), quoted(column.name)),
                    fmt::format("No foreign key from or to {} leads to a table with a tenant key.", table.label()),
                    "Give the sources, for example sources => '[{\"via\": \"orders.customer_id\"}]'.");
    for (const auto &[order, json] : children)
        result.sources += (result.sources.empty() ? "[" : ", ") + json;
    result.sources += "]";
    return result;
}

} // namespace tenantmig
