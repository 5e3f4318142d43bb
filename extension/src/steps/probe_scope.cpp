// Resolves what probe_isolation() is about.
#include "core/excerpt.hpp"
#include "core/identifier.hpp"
#include "core/spec_isolate.hpp"

#include "bridge/identity.hpp"
#include "steps/lint_model.hpp"
#include "steps/probe_scope.hpp"

namespace tenantmig {

namespace {
std::vector<std::string> parts_of(const std::string &written) {
    std::vector<std::string> parts;
    for (const core::Identifier &part : core::split_identifier(written))
        parts.push_back(part.text);
    return parts;
}

ProbeScope::Role find_role(const std::string &name) {
    const char *text = name.c_str();
    const Oid oid = pg_call([text] { return get_role_oid(text, true); });
    if (!OidIsValid(oid))
        throw Error(sqlstate::undefined_object, fmt::format("role {} does not exist", core::excerpt(name)), {},
                    "role names the role that the application logs in with, as SQL writes it.");
    return {oid, name};
}

ProbeScope::Role written_role(const std::string &written) {
    const std::vector<std::string> parts = parts_of(written);
    if (parts.size() != 1 || parts.front() == "public")
        throw Error(sqlstate::invalid_parameter_value,
                    fmt::format("{} is not a role of its own", core::excerpt(written)), {},
                    "Name the one role that the application logs in with.");
    return find_role(parts.front());
}

void require_privileges(Oid role, const std::string &why, const char *hint) {
    if (has_privileges_of(role)) return;
    throw Error(sqlstate::insufficient_privilege, "permission denied to probe the isolation",
                fmt::format("{}, and {} has not its privileges.", why, core::excerpt(current_user_name())), hint);
}

void check_options(const ProbeOptions &options) {
    const auto refuse = [](std::string message, std::string hint) {
        throw Error(sqlstate::invalid_parameter_value, std::move(message), {}, std::move(hint));
    };
    if (options.pairs < 1 || options.pairs > 100)
        refuse(fmt::format("argument \"pairs\" is {}", options.pairs), "Pairs of tenants are 1 to 100 a table.");
    if (options.max_tenants < 2 || options.max_tenants > 1000000)
        refuse(fmt::format("argument \"max_tenants\" is {}", options.max_tenants),
               "2 to 1000000 tenants of a table can be counted one by one.");
    if (options.tables && options.tables->empty())
        refuse("argument \"tables\" is empty", "Name the tables to attack, or leave the argument out.");
    if (options.tenants && std::set<std::string>(options.tenants->begin(), options.tenants->end()).size() < 2)
        refuse("argument \"tenants\" names less than two tenants", "Name two that can attack each other, or more, or "
                                                                   "leave the argument out.");
    if (options.setting)
        if (const std::string_view defect = core::setting_defect(*options.setting); !defect.empty())
            refuse(fmt::format("{} is not the name of a setting: {}", core::excerpt(*options.setting), defect),
                   "Write for example setting => 'app.tenant'.");
}

// Exemptions are found by their keys alone, which hold table and role.
void add_exemptions(ProbeScope &scope, const std::optional<std::string> &migration) {
    std::vector<std::string> names;
    if (migration) {
        names.push_back(*migration);
    } else {
        Rows rows = own_query("SELECT m.name FROM tenantmig.migration m ORDER BY m.id");
        for (std::size_t i = 0; i < rows.size(); i++)
            names.push_back(rows.text_or(i, 1));
    }
    for (const std::string &name : names)
        for (const core::Exemption &exemption : core::parse_spec_text(get_migration(name).spec).exempt)
            if (exemption.finding.starts_with("probe.")) scope.exempted.emplace(exemption.finding, exemption.reason);
}

void of_migration(ProbeScope &scope, const std::vector<IsolatedTable> &isolated) {
    std::set<std::string> known;
    for (const IsolatedTable &one : isolated) {
        ProbeTable table;
        table.table = one.table;
        table.key = one.key;
        table.parent = one.parent;
        table.setting = one.setting;
        table.super_role = one.super_role;
        for (const std::string &role : one.roles)
            if (known.insert(role).second) scope.roles.push_back(find_role(role));
        scope.roles_of.emplace(one.table.oid, one.roles);
        scope.tables.push_back(std::move(table));
    }
}

void add_missing(ProbeScope &scope, const MigrationRecord &migration) {
    const std::string system = std::to_string(pg_call([] { return GetSystemIdentifier(); }));
    for (const core::IsolateStep &step : core::parse_spec_text(migration.spec).isolations)
        for (const IsolationRecord &row : isolations(migration.id, step.number)) {
            const auto table = isolated_table(row);
            if (!isolation_made(row) || (table && isolated_key(row, *table))) continue;
            ProbeScope::Missing missing;
            missing.relation = qualified(row.site.schema, row.site.name);
            missing.dropped = row.database == MyDatabaseId && row.system == system;
            for (const RoleSite &role : row.roles)
                missing.roles.push_back(role.name);
            scope.missing.push_back(std::move(missing));
        }
}

void choose_role(ProbeScope &scope, const ProbeOptions &options) {
    if (!options.role) return;
    const ProbeScope::Role wanted = written_role(*options.role);
    std::string names;
    for (const ProbeScope::Role &role : scope.roles) {
        if (role.oid == wanted.oid) {
            scope.roles = {wanted};
            return;
        }
        names += (names.empty() ? "" : ", ") + core::excerpt(role.name);
    }
    throw Error(sqlstate::invalid_parameter_value,
                fmt::format("migration {} isolates nothing for the role {}",
                            core::excerpt(options.migration.value_or("")), core::excerpt(wanted.name)),
                fmt::format("It isolates for: {}.", names),
                "Name one of these, or leave the argument role out: then all are probed. Without a migration any role "
                "can be probed: probe_isolation(role => …, tenant_root => …).");
}

ProbeTable keyed(const Table &table, const std::string &column, const std::string &setting) {
    ProbeTable result;
    result.table = table;
    const Column *key = table.find(column);
    if (!key)
        throw Error(sqlstate::undefined_column,
                    fmt::format("column {} of {} does not exist", core::excerpt(column), table.label()), {},
                    "The table was changed meanwhile: call probe_isolation again.");
    result.key = *key;
    result.setting = setting;
    return result;
}

// Partitions and inheritance children, of all levels.
std::vector<Oid> below(Oid table) {
    struct List {
        const Oid *items;
        int count;
    };
    const List list = pg_call([table] {
        ::List *found = find_all_inheritors(table, NoLock, nullptr);
        List out = {nullptr, 0};
        auto *items = static_cast<Oid *>(palloc(sizeof(Oid) * static_cast<Size>(list_length(found))));
        ListCell *cell;
        for (cell = list_head(found); cell != nullptr; cell = lnext(found, cell))
            items[out.count++] = lfirst_oid(cell);
        out.items = items;
        return out;
    });
    std::vector<Oid> result(list.items, list.items + list.count);
    std::erase(result, table);
    return result;
}

// Tables with a tenant key, whoever protects them: found as lint finds them.
void by_hand(ProbeScope &scope, const ProbeOptions &options, const std::string &tenant_root,
             const std::set<std::string> &names, const std::string &root_key) {
    LintModel model = read_lint_model();
    const Oid root = lookup_table(parts_of(tenant_root));
    if (!OidIsValid(root))
        throw Error(sqlstate::undefined_table, fmt::format("table {} does not exist", core::excerpt(tenant_root)), {},
                    "tenant_root names the table with one row per tenant, with its schema if it is not in the "
                    "search_path.");
    if (!model.tables.contains(root))
        throw Error(sqlstate::wrong_object_type, fmt::format("{} is not a table of yours", core::excerpt(tenant_root)),
                    "It is a view, an index, a partition, a temporary or foreign table, or belongs to an extension.",
                    "Name the table with one row per tenant.");
    find_tenant_keys(model, root, root_key, names, {});
    const std::string setting = "tenantmig.tenant";
    std::set<Oid> known;
    const auto add = [&](const LintTable &found, AttrNumber key) {
        const auto table = describe_table(found.oid);
        if (!table || !known.insert(found.oid).second) return;
        scope.tables.push_back(keyed(*table, found.at(key).name, setting));
        for (const Oid child : below(found.oid))
            if (auto described = describe_table(child); described && known.insert(child).second) {
                ProbeTable part = keyed(*described, found.at(key).name, setting);
                part.parent = found.oid;
                scope.tables.push_back(std::move(part));
            }
    };
    if (!options.tables) {
        for (const LintTable *table : model.scope())
            if (table->tenant_key) add(*table, table->tenant_key);
        if (scope.tables.empty())
            throw Error(sqlstate::prerequisite_state,
                        fmt::format("no table has a tenant key of {}", model.root_table().label()),
                        "Nothing refers to it by a foreign key, and no column is called as one that does.",
                        "Check tenant_root, or name the tables.");
        return;
    }
    for (const std::string &written : *options.tables) {
        const Oid oid = lookup_table(parts_of(written));
        if (!OidIsValid(oid))
            throw Error(sqlstate::undefined_table, fmt::format("table {} does not exist", core::excerpt(written)), {},
                        "tables names tables as SQL writes them, with the schema if it is not in the search_path.");
        const LintTable *found = model.find(oid);
        if (found && oid == root) {
            add(*found, model.root_key);
        } else if (found && found->tenant_key) {
            add(*found, found->tenant_key);
        } else if (const auto table = describe_table(oid);
                   table && table->is_partition && table->find(model.key_name.empty() ? root_key : model.key_name)) {
            if (known.insert(oid).second)
                scope.tables.push_back(keyed(*table, model.key_name.empty() ? root_key : model.key_name, setting));
        } else {
            throw Error(found ? sqlstate::undefined_column : sqlstate::wrong_object_type,
                        found ? fmt::format("{} has no tenant key that can be found", found->label())
                              : fmt::format("{} is not a table of yours", core::excerpt(written)),
                        found ? fmt::format("It has no foreign key to {}, and no column that is called like one.",
                                            model.root_table().label())
                              : "It is a view, an index, a temporary or foreign table, or belongs to an extension.",
                        "Leave it out, or add the foreign key to the tenant root.");
        }
    }
}

// Partitions and children that were made after the isolation are reached by it, or should be.
void add_new_children(ProbeScope &scope) {
    std::set<Oid> known;
    for (const ProbeTable &table : scope.tables)
        known.insert(table.table.oid);
    const std::vector<ProbeTable> tables = scope.tables;
    for (const ProbeTable &table : tables) {
        for (const Oid child : below(table.table.oid)) {
            if (!known.insert(child).second) continue;
            const auto described = describe_table(child);
            if (!described) continue;
            ProbeTable part = keyed(*described, table.key.name, table.setting);
            part.parent = table.parent == InvalidOid ? table.table.oid : table.parent;
            part.super_role = table.super_role;
            scope.roles_of.emplace(child, scope.roles_of[table.table.oid]);
            scope.tables.push_back(std::move(part));
        }
    }
}

// Of a migration's tables those that were named.
void choose_tables(ProbeScope &scope, const ProbeOptions &options) {
    std::vector<ProbeTable> chosen;
    for (const std::string &written : *options.tables) {
        const Oid oid = lookup_table(parts_of(written));
        if (!OidIsValid(oid))
            throw Error(sqlstate::undefined_table, fmt::format("table {} does not exist", core::excerpt(written)), {},
                        "tables names tables as SQL writes them, with the schema if it is not in the search_path.");
        bool found = false;
        for (const ProbeTable &table : scope.tables) {
            if (table.table.oid != oid && table.parent != oid) continue;
            found = true;
            const bool twice = std::any_of(chosen.begin(), chosen.end(),
                                           [&](const ProbeTable &one) { return one.table.oid == table.table.oid; });
            if (twice) continue;
            chosen.push_back(table);
            if (table.table.oid == oid) chosen.back().parent = InvalidOid; // attacked as a table of its own
        }
        if (!found)
            throw Error(sqlstate::prerequisite_state,
                        fmt::format("migration {} has not isolated {}", core::excerpt(*options.migration),
                                    core::excerpt(written)),
                        {},
                        "SELECT * FROM tenantmig.isolated_tables lists what is isolated. Without a migration any "
                        "table can be probed: probe_isolation(role => …, tenant_root => …, tables => …).");
    }
    scope.tables = std::move(chosen);
}

void without_isolation(ProbeScope &scope, const ProbeOptions &options,
                       const std::optional<MigrationRecord> &migration) {
    if (!options.role) {
        if (migration)
            throw Error(sqlstate::prerequisite_state,
                        fmt::format("migration {} has isolated nothing", core::excerpt(migration->name)),
                        "None of its isolate steps is applied.",
                        "CALL tenantmig.up(…) applies them; or name a role: then the tables are probed as they are.");
        throw Error(sqlstate::invalid_parameter_value, "neither a migration nor a role is named", {},
                    "Name a migration whose isolate step is applied: probe_isolation('isolation'), or the "
                    "application's role and the table with one row per tenant: probe_isolation(role => 'app', "
                    "tenant_root => 'companies').");
    }
    scope.roles = {written_role(*options.role)};
    std::string tenant_root = options.tenant_root.value_or(""), root_key;
    std::set<std::string> names;
    if (migration) {
        const core::Spec spec = core::parse_spec_text(migration->spec);
        if (!options.tenant_root) {
            tenant_root = spec.tenants_table;
            if (!spec.tenants_key.empty()) root_key = parts_of(spec.tenants_key).back();
        }
        for (const core::BackfillStep &step : spec.steps)
            if (!step.column.empty()) names.insert(parts_of(step.column).back());
    }
    if (!options.tenant_root && tenant_root.empty())
        throw Error(sqlstate::invalid_parameter_value, "argument \"tenant_root\" is needed without a migration", {},
                    "Name the table with one row per tenant: probe_isolation(role => 'app', tenant_root => "
                    "'companies').");
    by_hand(scope, options, tenant_root, names, root_key);
}
} // namespace

ProbeScope resolve_probe(const ProbeOptions &options) {
    check_options(options);
    ProbeScope scope;
    std::optional<MigrationRecord> migration;
    if (options.migration) migration = get_migration(*options.migration);
    std::vector<IsolatedTable> isolated;
    if (migration) isolated = isolated_tables(migration->id);
    if (isolated.empty()) {
        without_isolation(scope, options, migration);
    } else {
        of_migration(scope, isolated);
        add_new_children(scope);
        if (!options.tables) add_missing(scope, *migration);
        choose_role(scope, options);
        if (options.tables) choose_tables(scope, options);
    }
    if (options.setting)
        for (ProbeTable &table : scope.tables)
            table.setting = *options.setting;
    std::stable_sort(scope.tables.begin(), scope.tables.end(), [](const ProbeTable &a, const ProbeTable &b) {
        return std::tie(a.table.schema, a.table.name) < std::tie(b.table.schema, b.table.name);
    });
    for (const ProbeScope::Role &role : scope.roles)
        require_privileges(role.oid, fmt::format("Attacks are made as {}", core::excerpt(role.name)),
                           "Call as a member of that role, or as a superuser: GRANT the role to whoever probes.");
    std::set<Oid> owners;
    for (const ProbeTable &table : scope.tables)
        if (owners.insert(table.table.owner).second)
            require_privileges(
                table.table.owner,
                fmt::format("{} belongs to {}", table.table.label(), core::excerpt(role_name(table.table.owner))),
                "Rows are counted past row-level security, as the owner: call as a member of the owner, or as a "
                "superuser.");
    add_exemptions(scope, options.migration);
    return scope;
}

} // namespace tenantmig
