#include "core/excerpt.hpp"

#include "engine/guard_trigger.hpp"
#include "steps/guard_resolve.hpp"

namespace tenantmig {

core::GuardTable guard_identity(const Table &table) {
    return {table.oid, table.schema, table.name};
}

core::GuardColumn guard_identity(const Column &column) {
    return {column.number, column.name};
}

std::vector<core::GuardColumn> guard_identities(const Table &table, const std::vector<AttrNumber> &numbers) {
    std::vector<core::GuardColumn> result;
    for (AttrNumber number : numbers)
        result.push_back(guard_identity(table.at(number)));
    return result;
}

namespace {
std::string described(const Table &table, const Column &column) {
    return fmt::format("{}.{} is of type {}", table.label(), quoted(column.name), column.type_name);
}

class GuardResolver {
public:
    GuardResolver(const core::GuardStep &step, NameBook &names, const TenantRoot &root) : names_(names), root_(root) {
        target_.step = step;
    }

    GuardTarget resolve(const std::string &migration) {
        const core::GuardStep &step = target_.step;
        target_.table = names_.table(step.table, path("table"));
        require_table_rights(target_.table);
        if (!step.column.empty()) target_.column = names_.column(target_.table, step.column, path("column"));
        if (target_.table.is_partition)
            throw Error(sqlstate::feature_not_supported,
                        fmt::format("spec: {}: {} is a partition", step.path, target_.table.label()), {},
                        "Guard the partitioned table.");
        core::GuardDefinition &definition = target_.definition;
        definition.migration = migration;
        definition.kind = step.kind;
        definition.mode = step.mode;
        definition.system = std::to_string(pg_call([] { return GetSystemIdentifier(); }));
        definition.database = MyDatabaseId;
        definition.owner = role_name(target_.table.owner);
        definition.table = guard_identity(target_.table);
        definition.column = guard_identity(target_.column);
        switch (step.kind) {
        case core::GuardKind::prefix:
            prefix();
            break;
        case core::GuardKind::same_tenant:
            same_tenant();
            break;
        case core::GuardKind::reference:
            reference();
            break;
        case core::GuardKind::acyclic:
            acyclic();
            break;
        case core::GuardKind::tenant_key:
        case core::GuardKind::immutable:
            break;
        }
        return std::move(target_);
    }

private:
    NameBook &names_;
    const TenantRoot &root_;
    GuardTarget target_;

    std::string path(std::string_view field) const { return fmt::format("{}.{}", target_.step.path, field); }

    void look_at(const Table &table) {
        require_table_rights(table);
        target_.looked_at.push_back(table);
    }

    void prefix() {
        const core::GuardStep &step = target_.step;
        const Column key = names_.column(target_.table, step.key, path("key"));
        for (const auto &[column, field] :
             std::initializer_list<std::pair<const Column *, const char *>>{{&target_.column, "column"}, {&key, "key"}})
            if (column->type != TEXTOID && column->type != VARCHAROID)
                throw Error(sqlstate::datatype_mismatch,
                            fmt::format("spec: {}: a guard of kind prefix compares texts", path(field)),
                            described(target_.table, *column) + ".", "It can be text, varchar or a domain over them.");
        if (key.number == target_.column.number)
            throw Error(sqlstate::spec_invalid, fmt::format("spec: {}: an id can't embed itself", path("key")), {},
                        "Name the tenant key of the table.");
        target_.definition.key = guard_identity(key);
        target_.definition.separator = step.separator;
    }

    // Both are compared as integers, uuids or texts.
    void require_comparable(const Table &end, const Column &tenant, const std::string &where) const {
        const KeyClass by = comparison_class(target_.column, target_.table, tenant, end, where);
        if (by == KeyClass::as_text)
            throw Error(sqlstate::feature_not_supported,
                        fmt::format("spec: {}: tenant keys of these types are not supported", where),
                        fmt::format("{}, {}.", described(target_.table, target_.column), described(end, tenant)),
                        "A guard compares integers, uuids and texts, each with its like.");
    }

    // The tenant key of a table that the guard looks at: named, else by foreign key to the tenant root, else of the
    // same name.
    Column tenant_of(const Table &end, const std::string &where) {
        const core::GuardStep &step = target_.step;
        // So that its columns are remembered by identity.
        (void)names_.table(end.sql(), where);
        if (!step.tenant.empty()) return names_.column(end, step.tenant, path("tenant"));
        TenantRoot root = root_;
        if (!root.table)
            for (const ForeignKey &key : foreign_keys_from(target_.table.oid))
                if (key.from_columns.size() == 1 && key.from_columns[0] == target_.column.number)
                    if (auto table = describe_table(key.to)) root = {table, table->at(key.to_columns[0])};
        if (root.table && end.oid == root.table->oid) return root.key;
        std::set<AttrNumber> found;
        if (root.table)
            for (const ForeignKey &key : foreign_keys_from(end.oid))
                if (key.to == root.table->oid && key.to_columns.size() == 1 && key.to_columns[0] == root.key.number)
                    found.insert(key.from_columns[0]);
        if (found.size() == 1) return end.at(*found.begin());
        if (found.size() > 1)
            throw Error(sqlstate::spec_invalid,
                        fmt::format("spec: {}: {} has several references to the tenant root", where, end.label()), {},
                        step.kind == core::GuardKind::same_tenant ? "Name the right one as tenant."
                                                                  : "A guard of kind reference needs one.");
        try {
            return names_.column(end, step.column, where);
        } catch (const Error &) { // there is none
        }
        throw Error(
            sqlstate::undefined_column, fmt::format("spec: {}: no tenant key was found in {}", where, end.label()),
            fmt::format("It has no foreign key to the tenant root and no column \"{}\".", target_.column.name),
            step.kind == core::GuardKind::same_tenant
                ? "Name its tenant key as tenant."
                : "Give it a foreign key to the tenant root, or leave column out: then only existence is asked.");
    }

    // The foreign key over exactly these columns; over one of several if only one is named.
    ForeignKey parent_key(const std::vector<AttrNumber> &via) {
        std::optional<ForeignKey> found;
        const std::set<AttrNumber> wanted(via.begin(), via.end());
        for (const ForeignKey &key : foreign_keys_from(target_.table.oid)) {
            const std::set<AttrNumber> columns(key.from_columns.begin(), key.from_columns.end());
            if (columns != wanted && (via.size() > 1 || !columns.count(via[0]))) continue;
            if (found && found->to != key.to && columns.size() == found->from_columns.size())
                throw Error(
                    sqlstate::spec_invalid, fmt::format("spec: {}: several foreign keys start here", path("via")),
                    fmt::format("They start at {}.{}.", target_.table.label(), quoted(target_.table.at(via[0]).name)),
                    "Name columns with one foreign key.");
            if (!found || columns.size() < found->from_columns.size()) found = key;
        }
        if (!found)
            throw Error(sqlstate::prerequisite_state,
                        fmt::format("spec: {}: {}.{} has no foreign key", path("via"), target_.table.label(),
                                    quoted(target_.table.at(via[0]).name)),
                        "The parent is found by the foreign key of these columns.",
                        "Add the foreign key (NOT VALID is enough), or use a guard of kind reference.");
        return *found;
    }

    // Rows of the table are one each by these columns, whatever foreign keys there are.
    static bool identifies(const Table &table, const std::vector<AttrNumber> &columns) {
        std::string numbers;
        for (AttrNumber number : columns)
            numbers += (numbers.empty() ? "" : ",") + std::to_string(number);
        return !own_query("SELECT 1 FROM pg_index i WHERE i.indrelid = $1 AND i.indisunique AND i.indisvalid AND "
                          "i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL AND i.indnkeyatts = "
                          "cardinality($2::int2[]) AND (i.indkey::int2[])[0:i.indnkeyatts - 1] <@ $2::int2[] AND "
                          "$2::int2[] <@ (i.indkey::int2[])[0:i.indnkeyatts - 1]",
                          {{OIDOID, ObjectIdGetDatum(table.oid), false}, text_value("{" + numbers + "}")})
                    .empty();
    }

    // A foreign key that compares the tenant key itself leaves the guard nothing to find; and once it has given way to
    // a plain one, a row of another tenant would be one that is not there. So the parent is looked for without it.
    static void look_without_tenant(ForeignKey &key, const Table &parent, AttrNumber column, AttrNumber tenant) {
        ForeignKey without = key;
        for (std::size_t i = 0; i < without.from_columns.size(); i++)
            if (without.from_columns[i] == column && without.to_columns[i] == tenant) {
                without.from_columns.erase(without.from_columns.begin() + static_cast<std::ptrdiff_t>(i));
                without.to_columns.erase(without.to_columns.begin() + static_cast<std::ptrdiff_t>(i));
                break;
            }
        if (!without.from_columns.empty() && without.from_columns.size() < key.from_columns.size() &&
            identifies(parent, without.to_columns))
            key = std::move(without);
    }

    void same_tenant() {
        const core::GuardStep &step = target_.step;
        std::vector<AttrNumber> via;
        std::string label;
        for (std::size_t i = 0; i < step.via.size(); i++) {
            const Column column = names_.column(
                target_.table, step.via[i], step.via.size() == 1 ? path("via") : fmt::format("{}[{}]", path("via"), i));
            via.push_back(column.number);
            label += (label.empty() ? "" : ", ") + column.name;
        }
        ForeignKey key = parent_key(via);
        std::optional<Table> parent = describe_table(key.to);
        if (!parent)
            throw Error(sqlstate::undefined_table, fmt::format("spec: {}: the parent is gone", path("via")), {},
                        "Call again.");
        require_plain_table(*parent, path("via"));
        look_at(*parent);
        const Column tenant = tenant_of(*parent, path("via"));
        require_comparable(*parent, tenant, path("via"));
        look_without_tenant(key, *parent, target_.column.number, tenant.number);
        for (std::size_t i = 0; i < key.from_columns.size(); i++)
            (void)comparison_class(target_.table.at(key.from_columns[i]), target_.table, parent->at(key.to_columns[i]),
                                   *parent, path("via"));
        core::GuardHop hop{
            guard_identity(*parent), guard_identities(*parent, key.to_columns), {guard_identity(tenant)}, {}};
        target_.definition.sources.push_back(
            {label, guard_identities(target_.table, key.from_columns), {std::move(hop)}, {}, {}});
        target_.deferrable = own_query("SELECT condeferrable FROM pg_constraint WHERE oid = $1",
                                       {{OIDOID, ObjectIdGetDatum(key.oid), false}})
                                 .boolean(0, 1);
        target_.parent = std::move(parent);
    }

    // A table that rows are referenced in by one value.
    AttrNumber single_key(const Table &table, const std::string &where) {
        const std::vector<AttrNumber> key = row_identity(table.oid, nullptr);
        if (key.size() != 1)
            throw Error(sqlstate::prerequisite_state,
                        fmt::format("spec: {}: {} has no key of one column", where, table.label()), {},
                        "Rows are found by a primary key, or unique index, of one column.");
        return key[0];
    }

    void reference() {
        const core::GuardStep &step = target_.step;
        const Column id = names_.column(target_.table, step.via.at(0), path("via"));
        const Column type = names_.column(target_.table, step.type_column, path("type_column"));
        core::GuardSource source{id.name, {guard_identity(id)}, {}, guard_identity(type), {}};
        for (const core::TypeTarget &mapped : step.types) {
            const std::string where = fmt::format("{}.types.{}", step.path, mapped.type_value);
            const Table table = names_.table(mapped.table, where);
            look_at(table);
            const AttrNumber key = single_key(table, where);
            (void)comparison_class(id, target_.table, table.at(key), table, where);
            core::GuardHop hop{guard_identity(table), guard_identities(table, {key}), {}, {}};
            if (target_.column.number != 0) {
                const Column tenant = tenant_of(table, where);
                require_comparable(table, tenant, where);
                hop.value.push_back(guard_identity(tenant));
            }
            source.types.emplace_back(mapped.type_value, std::move(hop));
        }
        target_.definition.sources.push_back(std::move(source));
    }

    void acyclic() {
        const Table &table = target_.table;
        const Column &column = target_.column;
        AttrNumber key = 0;
        for (const ForeignKey &reference : foreign_keys_from(table.oid)) {
            if (reference.from_columns.size() != 1 || reference.from_columns[0] != column.number) continue;
            if (reference.to != table.oid)
                throw Error(sqlstate::prerequisite_state,
                            fmt::format("spec: {}: {}.{} references another table", path("column"), table.label(),
                                        quoted(column.name)),
                            "A cycle needs a table that references itself.", "Name a self reference.");
            key = reference.to_columns[0];
        }
        if (key == 0) key = single_key(table, path("column"));
        if (key == column.number)
            throw Error(sqlstate::spec_invalid,
                        fmt::format("spec: {}: \"{}\" is the key itself", path("column"), column.name), {},
                        "Name the column that references another row of the table.");
        (void)comparison_class(column, table, table.at(key), table, path("column"));
        core::GuardHop hop{guard_identity(table), guard_identities(table, {key}), {guard_identity(column)}, {}};
        target_.definition.sources.push_back({column.name, {guard_identity(column)}, {std::move(hop)}, {}, {}});
    }
};

bool same_column(const core::GuardColumn &a, const core::GuardColumn &b) {
    return a.number == b.number || a.name == b.name;
}
} // namespace

TenantRoot tenant_root(const core::Spec &spec, NameBook &names) {
    TenantRoot root;
    root.table = names.table(spec.tenants_table, "tenants.table");
    if (!spec.tenants_key.empty()) {
        root.key = names.column(*root.table, spec.tenants_key, "tenants.key");
    } else {
        const std::vector<AttrNumber> key = row_identity(root.table->oid, nullptr);
        if (key.size() != 1)
            throw Error(sqlstate::prerequisite_state,
                        fmt::format("spec: tenants: {} has no primary key of one column", root.table->label()), {},
                        "Name its unique column as tenants.key.");
        root.key = root.table->at(key[0]);
    }
    return root;
}

GuardTarget resolve_guard(const core::GuardStep &step, NameBook &names, const TenantRoot &root,
                          const std::string &migration) {
    return GuardResolver(step, names, root).resolve(migration);
}

bool same_guard(const core::GuardDefinition &a, const core::GuardDefinition &b) {
    if (a.kind != b.kind || !same_column(a.column, b.column)) return false;
    if (a.kind != core::GuardKind::same_tenant && a.kind != core::GuardKind::reference) return true;
    if (a.sources.empty() || b.sources.empty()) return a.sources.empty() == b.sources.empty();
    const auto &x = a.sources[0].probe, &y = b.sources[0].probe;
    return std::equal(x.begin(), x.end(), y.begin(), y.end(), same_column);
}

} // namespace tenantmig
