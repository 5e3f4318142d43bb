#include "core/excerpt.hpp"
#include "core/identifier.hpp"

#include "catalog/migration_names.hpp"
#include "steps/isolate.hpp"
#include "steps/lint_model.hpp"
#include "steps/step_column.hpp"

namespace tenantmig {

namespace {
Value oid_value(Oid oid) {
    return {OIDOID, ObjectIdGetDatum(oid), false};
}

// What other steps of the migration say of a table's tenant key.
struct NamedKey {
    std::string table, column;
};

std::vector<NamedKey> keys_of_steps(const core::Spec &spec) {
    std::vector<NamedKey> keys;
    for (const core::BackfillStep &step : spec.steps)
        keys.push_back({step.table, step.column});
    for (const core::GuardStep &step : spec.guards)
        if (step.kind == core::GuardKind::tenant_key) keys.push_back({step.table, step.column});
    for (const core::ConstraintStep &step : spec.constraints)
        if (!step.references_table.empty() && step.references_table == spec.tenants_table)
            keys.push_back({step.table, step.column});
    return keys;
}

std::string last_part(const std::string &name) {
    return core::split_identifier(name).back().text;
}

class KeyFinder {
public:
    KeyFinder(const core::Spec &spec, std::map<Oid, Column> recorded, NameBook &names)
        : spec_(spec), names_(names), keys_(keys_of_steps(spec)), recorded_(std::move(recorded)) {}

    Column find(const Table &table, const core::IsolateTable &written) {
        if (const auto known = recorded_.find(table.oid); known != recorded_.end()) return known->second;
        if (!written.column.empty()) return names_.column(table, written.column, written.path + ".column");
        for (const NamedKey &key : keys_)
            if (last_part(key.table) == last_part(written.table) &&
                names_.table(key.table, written.path).oid == table.oid)
                return names_.column(table, key.column, written.path);
        const Table root = names_.table(spec_.tenants_table, "tenants.table");
        if (root.oid == table.oid) return root_key(root);
        return by_schema(table, root, written);
    }

private:
    const core::Spec &spec_;
    NameBook &names_;
    std::vector<NamedKey> keys_;
    std::map<Oid, Column> recorded_; // by table
    std::optional<LintModel> model_;

    Column root_key(const Table &root) const {
        if (!spec_.tenants_key.empty()) return names_.column(root, spec_.tenants_key, "tenants.key");
        const auto key = row_identity(root.oid, nullptr);
        if (key.size() != 1)
            throw Error(sqlstate::prerequisite_state,
                        fmt::format("spec: tenants: {} has no primary key of one column", root.label()), {},
                        "Name its unique column as tenants.key.");
        return root.at(key.front());
    }

    // By foreign key to the tenant root, else by the name that tenant keys have elsewhere: as lint finds it.
    Column by_schema(const Table &table, const Table &root, const core::IsolateTable &written) {
        if (!model_) {
            model_ = read_lint_model();
            std::set<std::string> known;
            for (const NamedKey &key : keys_)
                known.insert(last_part(key.column));
            if (model_->tables.contains(root.oid)) find_tenant_keys(*model_, root.oid, root_key(root).name, known, {});
        }
        const LintTable *found = model_->find(table.oid);
        const std::string hint = fmt::format("Name it in the spec: tables: [{{table: {}, column: …}}].",
                                             core::display_identifier(table.name));
        if (found && !found->other_keys.empty()) {
            std::vector<AttrNumber> numbers = found->other_keys;
            if (found->tenant_key) numbers.insert(numbers.begin(), found->tenant_key);
            throw Error(sqlstate::spec_invalid,
                        fmt::format("spec: {}: which column of {} is its tenant key cannot be told", written.path,
                                    table.label()),
                        fmt::format("Several lead to {}: {}.", root.label(), found->list(numbers)), hint);
        }
        if (!found || !found->tenant_key)
            throw Error(sqlstate::undefined_column,
                        fmt::format("spec: {}: {} has no tenant key that can be told", written.path, table.label()),
                        fmt::format("No other step names it, there is no foreign key to {}, and no column with the "
                                    "usual name of tenant keys.",
                                    root.label()),
                        hint + " If there is none yet: steps add_column and backfill first.");
        return table.at(found->tenant_key);
    }
};

void require_role(const RoleSite &role, const std::string &path) {
    if (OidIsValid(role.oid)) return;
    throw Error(sqlstate::undefined_object, fmt::format("spec: {}: role {} does not exist", path, quoted(role.name)),
                {},
                "CREATE ROLE it first, or check the name: it is folded to lower case unless it stands in double "
                "quotes.");
}

RoleSite role_of(const std::string &written, const std::string &path) {
    RoleSite role = {InvalidOid, core::split_identifier(written).front().text};
    role.oid = pg_call([text = role.name.c_str()] { return get_role_oid(text, true); });
    require_role(role, path);
    return role;
}

// Those that the step began with, whatever they are called today.
void read_roles(const core::IsolateStep &step, const std::vector<IsolationRecord> &recorded, IsolateScope &scope) {
    if (!recorded.empty()) {
        scope.roles = recorded.front().roles;
        scope.super_role = recorded.front().super_role;
        for (const RoleSite &role : scope.roles)
            require_role(role, step.path + ".role");
        if (scope.super_role) require_role(*scope.super_role, step.path + ".super_role");
        return;
    }
    for (std::size_t i = 0; i < step.roles.size(); i++)
        scope.roles.push_back(
            role_of(step.roles[i], step.path + (step.roles.size() > 1 ? fmt::format(".role[{}]", i) : ".role")));
    if (!step.super_role.empty()) scope.super_role = role_of(step.super_role, step.path + ".super_role");
}

void require_support(const Table &top, const Table &table, const std::string &path) {
    auto refuse = [&](const std::string &what, const std::string &detail, const char *hint) {
        throw Error(sqlstate::feature_not_supported, fmt::format("spec: {}: {} {}", path, table.label(), what), detail,
                    hint);
    };
    if (table.kind != RELKIND_RELATION && table.kind != RELKIND_PARTITIONED_TABLE)
        refuse("is not a table",
               fmt::format("It hangs below {} and has no policies: whoever may read it sees all rows.", top.label()),
               "Detach it, or leave the table out.");
    if (table.temporary)
        refuse("is temporary", fmt::format("It hangs below {}.", top.label()), "Drop it, or take it off the table.");
    if (table.owner != top.owner)
        refuse(fmt::format("belongs to {}", role_name(table.owner)),
               fmt::format("It hangs below {}, which belongs to {}: its owner could take off what is put on.",
                           top.label(), role_name(top.owner)),
               "ALTER TABLE … OWNER TO, so that one role owns the whole tree.");
}

// Whoever reads a table from above is held to the policies of the table above only.
void require_whole_tree(const Table &table, const std::set<Oid> &tops, const std::string &path) {
    Rows rows =
        own_query("SELECT h.inhparent::bigint FROM pg_inherits h WHERE h.inhrelid = $1", {oid_value(table.oid)});
    for (std::size_t i = 0; i < rows.size(); i++) {
        const Oid parent = static_cast<Oid>(rows.bigint(i, 1));
        const auto above = describe_table(parent);
        if (!above || tops.contains(parent)) continue;
        throw Error(
            sqlstate::feature_not_supported,
            fmt::format("spec: {}: {} is a {} of {}", path, table.label(), table.is_partition ? "partition" : "child",
                        above->label()),
            fmt::format("Its rows are read through {}, too, where its own policies don't count.", above->label()),
            "Name the table above: all that hangs below it is isolated with it.");
    }
}
} // namespace

std::vector<Table> isolate_children(const Table &table) {
    Rows rows = own_query("WITH RECURSIVE below AS (SELECT h.inhrelid FROM pg_inherits h WHERE h.inhparent = $1 UNION "
                          "SELECT h.inhrelid FROM pg_inherits h JOIN below b ON h.inhparent = b.inhrelid) SELECT "
                          "inhrelid::bigint FROM below ORDER BY inhrelid",
                          {oid_value(table.oid)});
    std::vector<Table> result;
    for (std::size_t i = 0; i < rows.size(); i++)
        if (auto child = describe_table(static_cast<Oid>(rows.bigint(i, 1)))) result.push_back(std::move(*child));
    return result;
}

std::vector<const IsolateMember *> IsolateScope::tops() const {
    std::vector<const IsolateMember *> result;
    for (const IsolateMember &member : members)
        if (member.is_top()) result.push_back(&member);
    return result;
}

std::vector<const IsolateMember *> IsolateScope::below(Oid top) const {
    std::vector<const IsolateMember *> result;
    for (const IsolateMember &member : members)
        if (member.top == top) result.push_back(&member);
    return result;
}

IsolateScope isolate_scope(const MigrationRecord &migration, const core::Spec &spec, const core::IsolateStep &step,
                           NameBook &names) {
    IsolateScope scope;
    scope.setting = step.setting;
    scope.force = step.force;
    std::vector<IsolationRecord> recorded;
    if (migration.id) recorded = isolations(migration.id, step.number);
    std::map<Oid, Column> recorded_keys;
    for (const IsolationRecord &row : recorded) {
        const auto table = isolated_table(row);
        if (!table) continue;
        if (isolation_made(row)) scope.ours.insert(table->oid);
        if (const Column *key = isolated_key(row, *table)) recorded_keys.emplace(table->oid, *key);
    }
    read_roles(step, recorded, scope);
    KeyFinder keys(spec, std::move(recorded_keys), names);
    std::vector<std::pair<Table, const core::IsolateTable *>> tops;
    std::set<Oid> known, seen;
    for (const core::IsolateTable &written : step.tables) {
        Table table = names.table(written.table, written.path);
        if (!known.insert(table.oid).second)
            throw Error(sqlstate::spec_invalid, fmt::format("spec: {}: the same table twice", written.path),
                        fmt::format("{} is {}.", core::excerpt(written.table), table.label()), "Remove one of them.");
        tops.emplace_back(std::move(table), &written);
    }
    std::set<Oid> above = known; // what hangs below a table of the list may stand there itself
    for (const auto &[table, written] : tops)
        for (const Table &child : isolate_children(table))
            above.insert(child.oid);
    for (const auto &[table, written] : tops) {
        require_support(table, table, written->path);
        require_whole_tree(table, above, written->path);
    }
    for (const auto &[table, written] : tops) {
        const Column key = keys.find(table, *written);
        if (seen.insert(table.oid).second) scope.members.push_back({table, key, table.oid});
        for (Table &child : isolate_children(table)) {
            require_support(table, child, written->path);
            if (known.contains(child.oid) || !seen.insert(child.oid).second) continue;
            const Column *own = child.find(key.name); // inherited, so it is there
            if (own) scope.members.push_back({child, *own, table.oid});
        }
    }
    return scope;
}

IsolateScope isolate_scope(const MigrationRecord &migration, const core::Spec &spec, const core::IsolateStep &step) {
    MigrationPath path(migration);
    MigrationNames names(migration);
    return isolate_scope(migration, spec, step, names.of(step.number));
}

} // namespace tenantmig
