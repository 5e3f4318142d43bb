#include "core/excerpt.hpp"
#include "core/identifier.hpp"

#include "catalog/own_tables.hpp"
#include "steps/lint_isolation.hpp"

namespace tenantmig {

namespace {
// Relations and functions of users, whoever they belong to: what is an extension's, PostgreSQL's or ours is left out.
constexpr char user_schemas[] = "n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast', 'tenantmig') AND "
                                "n.nspname !~ '^pg_(toast_)?temp_'";
constexpr char no_extension[] = "NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = '{}'::regclass AND d.objid = "
                                "{}.oid AND d.objsubid = 0 AND d.deptype = 'e')";

Oid oid_at(const Rows &rows, std::size_t row, int column) {
    return static_cast<Oid>(rows.bigint(row, column));
}

std::vector<Oid> oids_at(const Rows &rows, std::size_t row, int column) {
    std::vector<Oid> oids;
    for (const std::string &text : rows.text_array(row, column))
        oids.push_back(static_cast<Oid>(std::strtoul(text.c_str(), nullptr, 10)));
    return oids;
}

// Oid of what, Oid of grantee, array of privileges.
void collect(std::map<Oid, IsolationModel::Rights> &into, const Rows &rows) {
    for (std::size_t i = 0; i < rows.size(); i++)
        for (const std::string &privilege : rows.text_array(i, 3))
            into[oid_at(rows, i, 1)][oid_at(rows, i, 2)].insert(privilege);
}

std::optional<LintCondition> condition_at(const Rows &rows, std::size_t row, int tree, const SecuredTable &table,
                                          Oid policy) {
    if (rows.is_null(row, tree)) return std::nullopt;
    LintCondition result;
    result.tree = rows.text_or(row, tree);
    result.text = rows.text_or(row, tree + 1);
    result.condition = policy_condition(table.oid, result.tree, table.keys);
    result.facts = policy_facts(policy, tree > 7);
    return result;
}
} // namespace

const LintCondition *LintPolicy::of(char one, bool new_rows) const {
    if (one == 'a') new_rows = true;
    if (one == 'r' || one == 'd') new_rows = false;
    if (new_rows && check) return &*check;
    return rows ? &*rows : nullptr;
}

IsolationModel::IsolationModel(const LintModel &of) : model(of) {
    read_tables();
    if (!in_force_) return;
    read_roles();
    read_memberships();
    read_policies();
    read_rights();
    find_roles();
    read_views();
    read_functions();
    read_runs();
    read_rules();
}

void IsolationModel::read_roles() {
    Rows rows = own_query("SELECT oid::bigint, rolname, rolsuper, rolcanlogin, rolbypassrls, rolcreaterole, "
                          "rolreplication FROM pg_roles");
    for (std::size_t i = 0; i < rows.size(); i++) {
        const Oid oid = oid_at(rows, i, 1);
        roles[oid] = {oid,
                      rows.text_or(i, 2),
                      rows.boolean(i, 3),
                      rows.boolean(i, 4),
                      rows.boolean(i, 5),
                      rows.boolean(i, 6),
                      rows.boolean(i, 7)};
    }
}

void IsolationModel::read_memberships() {
    Rows rows = own_query("SELECT DISTINCT m.member::bigint, m.roleid::bigint FROM pg_auth_members m");
    for (std::size_t i = 0; i < rows.size(); i++)
        memberships_[oid_at(rows, i, 1)].insert(oid_at(rows, i, 2));
}

// Tables of the scope that hold rows of tenants or have row-level security, and all that is below them.
void IsolationModel::read_tables() {
    isolated = isolated_tables(std::nullopt);
    struct Flags {
        Oid owner;
        std::string schema, name;
        bool partition, row_security, forced, policies;
    };
    std::map<Oid, Flags> flags;
    std::map<Oid, std::vector<Oid>> below;
    std::map<Oid, std::vector<std::pair<std::string, AttrNumber>>> columns; // of partitions, which the model leaves out
    Rows rows = own_query(fmt::format(
        "SELECT c.oid::bigint, c.relowner::bigint, n.nspname, c.relname, c.relispartition, c.relrowsecurity, "
        "c.relforcerowsecurity, EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid), ARRAY(SELECT "
        "i.inhparent::text FROM pg_inherits i WHERE i.inhrelid = c.oid), ARRAY(SELECT a.attnum || ' ' || a.attname "
        "FROM "
        "pg_attribute a WHERE c.relispartition AND a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) FROM "
        "pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'f') AND "
        "c.relpersistence <> 't' AND {}",
        user_schemas));
    for (std::size_t i = 0; i < rows.size(); i++) {
        const Oid oid = oid_at(rows, i, 1);
        flags[oid] = {oid_at(rows, i, 2), rows.text_or(i, 3), rows.text_or(i, 4), rows.boolean(i, 5),
                      rows.boolean(i, 6), rows.boolean(i, 7), rows.boolean(i, 8)};
        for (Oid parent : oids_at(rows, i, 9))
            below[parent].push_back(oid);
        for (const std::string &column : rows.text_array(i, 10)) {
            const std::size_t blank = column.find(' ');
            columns[oid].emplace_back(column.substr(blank + 1), static_cast<AttrNumber>(std::stoi(column)));
        }
    }

    std::set<Oid> done;
    const auto add = [&](Oid oid, const LintTable &table, bool child) {
        const auto found = flags.find(oid);
        if (found == flags.end() || !done.insert(oid).second) return;
        const Flags &of = found->second;
        SecuredTable one;
        one.oid = oid;
        one.owner = of.owner;
        one.schema = of.schema;
        one.name = of.name;
        one.table = &table;
        one.child = child;
        one.partition = of.partition;
        one.row_security = of.row_security;
        one.forced = of.forced;
        std::vector<AttrNumber> keys;
        for (const IsolatedTable &by_step : isolated)
            if (by_step.table.oid == oid) {
                one.isolated = &by_step;
                keys.push_back(by_step.key.number);
            }
        // The columns of what is below have the names of those above, and may have other numbers.
        const auto number = [&](const std::string &name) -> AttrNumber {
            if (const LintTable *known = model.find(oid))
                if (const LintColumn *column = known->find(name)) return column->number;
            for (const auto &[column, place] : columns[oid])
                if (column == name) return place;
            return 0;
        };
        const auto lead = [&](AttrNumber column) {
            if (column == 0) return;
            const std::string &name = table.at(column).name;
            if (const AttrNumber here = number(name); here && std::find(keys.begin(), keys.end(), here) == keys.end())
                keys.push_back(here);
        };
        lead(oid == model.root ? model.root_key : table.tenant_key);
        for (AttrNumber other : table.other_keys)
            lead(other);
        one.keys = std::move(keys);
        if (one.isolated)
            one.key_names.push_back(one.isolated->key.name);
        else if (const AttrNumber key = oid == model.root ? model.root_key : table.tenant_key)
            one.key_names.push_back(table.at(key).name);
        else
            for (AttrNumber other : table.other_keys)
                one.key_names.push_back(table.at(other).name);
        in_force_ = in_force_ || of.row_security || of.policies || one.isolated;
        tables.push_back(std::move(one));
    };
    // Children that are tables of the scope themselves are children all the same.
    std::function<void(Oid, const LintTable &)> descend = [&](Oid oid, const LintTable &table) {
        for (Oid child : below[oid]) {
            add(child, table, true);
            descend(child, table);
        }
    };
    std::set<Oid> children;
    for (const auto &[parent, list] : below)
        if (model.find(parent)) children.insert(list.begin(), list.end());
    for (const bool first : {true, false})
        for (const LintTable *table : model.scope()) {
            const auto found = flags.find(table->oid);
            if (found == flags.end() || (first && children.contains(table->oid))) continue;
            const bool matters = table->tenant_key || table->oid == model.root || !table->other_keys.empty() ||
                                 found->second.row_security || found->second.policies;
            if (!matters) continue;
            add(table->oid, *table, false);
            descend(table->oid, *table);
        }
    std::sort(tables.begin(), tables.end(),
              [](const SecuredTable &a, const SecuredTable &b) { return a.label() < b.label(); });
}

void IsolationModel::read_policies() {
    for (SecuredTable &table : tables) {
        Rows rows = own_query("SELECT p.oid::bigint, p.polname, p.polpermissive, p.polcmd, p.polroles::text[], NULL, "
                              "p.polqual, pg_get_expr(p.polqual, p.polrelid), p.polwithcheck, "
                              "pg_get_expr(p.polwithcheck, p.polrelid) FROM pg_policy p WHERE p.polrelid = $1::oid "
                              "ORDER BY p.polname COLLATE \"C\"",
                              {bigint_value(table.oid)});
        for (std::size_t i = 0; i < rows.size(); i++) {
            LintPolicy policy;
            policy.oid = oid_at(rows, i, 1);
            policy.name = rows.text_or(i, 2);
            policy.permissive = rows.boolean(i, 3);
            policy.command = rows.text_or(i, 4, "*").front();
            policy.roles = oids_at(rows, i, 5);
            policy.rows = condition_at(rows, i, 7, table, policy.oid);
            policy.check = condition_at(rows, i, 9, table, policy.oid);
            table.policies.push_back(std::move(policy));
        }
    }
}

void IsolationModel::read_rights() {
    collect(relation_rights_,
            own_query(fmt::format(
                "SELECT c.oid::bigint, a.grantee::bigint, array_agg(DISTINCT a.privilege_type::text) FROM pg_class c "
                "JOIN pg_namespace n ON n.oid = c.relnamespace AND {} CROSS JOIN LATERAL (SELECT x.grantee, "
                "x.privilege_type FROM aclexplode(c.relacl) x UNION ALL SELECT y.grantee, y.privilege_type FROM "
                "pg_attribute t CROSS JOIN LATERAL aclexplode(t.attacl) y WHERE t.attrelid = c.oid AND t.attacl IS NOT "
                "NULL AND NOT t.attisdropped) a WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND a.grantee <> "
                "c.relowner GROUP BY 1, 2",
                user_schemas)));
    collect(function_rights_,
            own_query(fmt::format("SELECT p.oid::bigint, a.grantee::bigint, '{{EXECUTE}}'::text[] FROM pg_proc p JOIN "
                                  "pg_namespace n ON n.oid = p.pronamespace AND {} CROSS JOIN LATERAL "
                                  "aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a WHERE a.grantee <> "
                                  "p.proowner GROUP BY 1, 2",
                                  user_schemas)));
    Rows rows = own_query(fmt::format("SELECT n.nspname, a.grantee::bigint, array_agg(DISTINCT a.privilege_type::text) "
                                      "FROM pg_namespace n CROSS JOIN LATERAL aclexplode(coalesce(n.nspacl, "
                                      "acldefault('n', n.nspowner))) a WHERE {} GROUP BY 1, 2",
                                      user_schemas));
    for (std::size_t i = 0; i < rows.size(); i++)
        for (const std::string &privilege : rows.text_array(i, 3))
            schema_rights_[rows.text_or(i, 1)][oid_at(rows, i, 2)].insert(privilege);
}

void IsolationModel::read_views() {
    Rows rows = own_query(fmt::format(
        "SELECT c.oid::bigint, c.relowner::bigint, n.nspname, c.relname, c.relkind = 'm', EXISTS (SELECT FROM "
        "pg_options_to_table(c.reloptions) o WHERE o.option_name = 'security_invoker' AND o.option_value IN ('true', "
        "'on', 'yes', '1', 't', 'y')), ARRAY(SELECT DISTINCT x.refobjid::text FROM pg_rewrite r JOIN pg_depend x ON "
        "x.classid = 'pg_rewrite'::regclass AND x.objid = r.oid AND x.refclassid = 'pg_class'::regclass AND x.refobjid "
        "<> c.oid WHERE r.ev_class = c.oid) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace AND {} WHERE "
        "c.relkind IN ('v', 'm') AND {}",
        user_schemas, fmt::format(no_extension, "pg_class", "c")));
    for (std::size_t i = 0; i < rows.size(); i++) {
        LintView view;
        view.oid = oid_at(rows, i, 1);
        view.owner = oid_at(rows, i, 2);
        view.schema = rows.text_or(i, 3);
        view.name = rows.text_or(i, 4);
        view.materialized = rows.boolean(i, 5);
        view.invoker = rows.boolean(i, 6);
        for (Oid read : oids_at(rows, i, 7))
            view.reads.insert(read);
        views.emplace(view.oid, std::move(view));
    }
}

void IsolationModel::read_functions() {
    Rows rows = own_query(fmt::format(
        "SELECT p.oid::bigint, p.proowner::bigint, n.nspname, p.proname, pg_get_function_identity_arguments(p.oid), "
        "p.prosecdef, p.proleakproof, p.provolatile, l.lanname, p.prosrc, EXISTS (SELECT FROM unnest(p.proconfig) s "
        "WHERE s LIKE 'search_path=%'), p.prorettype IN ('trigger'::regtype, 'event_trigger'::regtype), "
        "p.prosqlbody IS NOT NULL, p.prokind = 'p', ARRAY(SELECT DISTINCT x.refobjid::text FROM "
        "pg_depend x WHERE x.classid = 'pg_proc'::regclass AND x.objid = p.oid AND x.refclassid = "
        "'pg_class'::regclass), ARRAY(SELECT DISTINCT x.refobjid::text FROM pg_depend x WHERE x.classid = "
        "'pg_proc'::regclass AND x.objid = p.oid AND x.refclassid = 'pg_proc'::regclass) FROM pg_proc p JOIN "
        "pg_language l ON l.oid = p.prolang JOIN pg_namespace n ON n.oid = p.pronamespace AND {} WHERE p.prokind <> "
        "'a' AND {}",
        user_schemas, fmt::format(no_extension, "pg_proc", "p")));
    for (std::size_t i = 0; i < rows.size(); i++) {
        LintFunction one;
        one.oid = oid_at(rows, i, 1);
        one.owner = oid_at(rows, i, 2);
        one.schema = rows.text_or(i, 3);
        one.name = rows.text_or(i, 4);
        one.arguments = rows.text_or(i, 5);
        one.definer = rows.boolean(i, 6);
        one.leakproof = rows.boolean(i, 7);
        one.volatility = rows.text_or(i, 8, "v").front();
        one.language = rows.text_or(i, 9);
        one.source = rows.text_or(i, 10);
        one.pinned = rows.boolean(i, 11);
        one.trigger = rows.boolean(i, 12);
        one.stored_body = rows.boolean(i, 13);
        one.procedure = rows.boolean(i, 14);
        for (Oid read : oids_at(rows, i, 15))
            one.reads.insert(read);
        for (Oid called : oids_at(rows, i, 16))
            one.calls.insert(called);
        functions.emplace(one.oid, std::move(one));
    }
}

// What runs functions besides calls: triggers and aggregates. The trigger of the partitioned table goes before those of
// its partitions.
void IsolationModel::read_runs() {
    Rows rows = own_query("SELECT t.tgfoid::bigint, c.oid::bigint, t.tgtype::bigint, n.nspname, c.relname FROM "
                          "pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = "
                          "c.relnamespace WHERE NOT t.tgisinternal AND t.tgenabled IN ('O', 'A') ORDER BY t.tgparentid "
                          "<> 0, n.nspname, c.relname, t.tgname");
    for (std::size_t i = 0; i < rows.size(); i++) {
        const auto function = functions.find(oid_at(rows, i, 1));
        if (function == functions.end()) continue;
        LintFired one{oid_at(rows, i, 2), rows.text_or(i, 4), qualified(rows.text_or(i, 4), rows.text_or(i, 5)), {}};
        const std::int64_t type = rows.bigint(i, 3);
        for (const auto &[bit, privilege] :
             {std::pair{4, "INSERT"}, std::pair{8, "DELETE"}, std::pair{16, "UPDATE"}, std::pair{32, "TRUNCATE"}})
            if (type & bit) one.privileges.insert(privilege);
        function->second.fired.push_back(std::move(one));
    }
    rows = own_query(fmt::format(
        "SELECT p.oid::bigint, g.oid::bigint, n.nspname, format('%I.%I(%s)', n.nspname, g.proname, "
        "pg_get_function_identity_arguments(g.oid)) FROM pg_aggregate a JOIN pg_proc g ON g.oid = a.aggfnoid JOIN "
        "pg_namespace n ON n.oid = g.pronamespace AND {} JOIN pg_proc p ON p.oid IN (a.aggtransfn, a.aggfinalfn, "
        "a.aggcombinefn, a.aggserialfn, a.aggdeserialfn, a.aggmtransfn, a.aggminvtransfn, a.aggmfinalfn) AND "
        "has_function_privilege(g.proowner, p.oid, 'EXECUTE') ORDER BY n.nspname, g.proname, g.oid",
        user_schemas));
    for (std::size_t i = 0; i < rows.size(); i++)
        if (const auto function = functions.find(oid_at(rows, i, 1)); function != functions.end())
            function->second.aggregates.push_back({oid_at(rows, i, 2), rows.text_or(i, 3), rows.text_or(i, 4)});
}

void IsolationModel::read_rules() {
    Rows rows = own_query(fmt::format(
        "SELECT c.oid::bigint, c.relowner::bigint, n.nspname, c.relname, w.rulename, CASE w.ev_type WHEN '2' THEN "
        "'UPDATE' WHEN '3' THEN 'INSERT' ELSE 'DELETE' END, ARRAY(SELECT DISTINCT d.refobjid::text FROM pg_depend d "
        "WHERE d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid AND d.refclassid = 'pg_class'::regclass AND "
        "d.refobjid <> c.oid) FROM pg_rewrite w JOIN pg_class c ON c.oid = w.ev_class JOIN pg_namespace n ON n.oid = "
        "c.relnamespace AND {} WHERE w.ev_type IN ('2', '3', '4') AND w.ev_enabled IN ('O', 'A') AND {} ORDER BY "
        "n.nspname, c.relname, w.rulename",
        user_schemas, fmt::format(no_extension, "pg_class", "c")));
    for (std::size_t i = 0; i < rows.size(); i++) {
        LintRule rule{oid_at(rows, i, 1),
                      oid_at(rows, i, 2),
                      rows.text_or(i, 3),
                      rows.text_or(i, 4),
                      rows.text_or(i, 5),
                      rows.text_or(i, 6),
                      {}};
        for (Oid read : oids_at(rows, i, 7))
            rule.reads.insert(read);
        rules.push_back(std::move(rule));
    }
}

// The application: roles that an applied step names, and those that policies name. A role that nothing confines on any
// table, beside others that are confined, is meant to see all tenants. Where policies are for PUBLIC, the application
// is who has rights on the table and is held to policies.
void IsolationModel::find_roles() {
    std::set<Oid> named, limited, by_step, by_public;
    bool some_confined = false;
    std::map<std::string, int> uses;
    for (const IsolatedTable &table : isolated) {
        if (!find(table.table.oid)) continue; // of another tenant root, with other roles
        settings.insert(table.setting);
        uses[table.setting] += 1000000; // what a step says goes before what policies have most
        for (const auto &[oid, role] : roles) {
            if (std::find(table.roles.begin(), table.roles.end(), role.name) != table.roles.end()) by_step.insert(oid);
            if (!table.super_role.empty() && role.name == table.super_role) super_roles.insert(oid);
        }
    }
    for (const SecuredTable &table : tables)
        for (const LintPolicy &policy : table.policies) {
            bool always = true;
            for (const auto *side : {&policy.rows, &policy.check})
                if (*side) {
                    always = always && (*side)->condition.always;
                    for (const std::string &name : (*side)->condition.settings) {
                        settings.insert(name);
                        uses[name]++;
                    }
                    some_confined = some_confined || (policy.permissive && (*side)->condition.confined);
                }
            // with an INSERT policy alone a role does not see anything
            if (policy.command != '*' && policy.command != 'r') always = false;
            for (Oid role : policy.roles) {
                if (role == everybody && table.row_security)
                    for (const auto &[grantee, privileges] : rights(table.oid))
                        if (const auto known = roles.find(grantee); known != roles.end())
                            if (!known->second.superuser && !known->second.bypasses) by_public.insert(grantee);
                if (role == everybody) continue;
                named.insert(role);
                if (!always) limited.insert(role);
            }
        }
    for (Oid role : named)
        if (!limited.contains(role) && !by_step.contains(role) && some_confined) super_roles.insert(role);
    application = by_step;
    for (const auto &list : {named, by_public})
        for (Oid role : list)
            if (!super_roles.contains(role) && roles.contains(role)) application.insert(role);
    for (Oid role : by_step)
        super_roles.erase(role);
    for (const auto &[name, times] : uses)
        if (uses[tenant_setting] < times) tenant_setting = name;
    if (tenant_setting.empty()) tenant_setting = "tenantmig.tenant";
}

namespace {
const IsolationModel::Rights none;

template <typename Map, typename Key>
const IsolationModel::Rights &rights_in(const Map &map, const Key &key) {
    const auto found = map.find(key);
    return found == map.end() ? none : found->second;
}
} // namespace

const IsolationModel::Rights &IsolationModel::rights(Oid relation) const {
    return rights_in(relation_rights_, relation);
}
const IsolationModel::Rights &IsolationModel::schema_rights(const std::string &schema) const {
    return rights_in(schema_rights_, schema);
}
const IsolationModel::Rights &IsolationModel::function_rights(Oid function) const {
    return rights_in(function_rights_, function);
}

std::string IsolationModel::role(Oid oid) const {
    if (oid == everybody) return "PUBLIC";
    const auto found = roles.find(oid);
    return found == roles.end() ? fmt::format("role {}", oid) : quoted(found->second.name);
}

bool IsolationModel::has(Oid role, Oid grantee) const {
    if (grantee == everybody || role == grantee) return true;
    if (role == everybody) return false;
    return pg_call([role, grantee] { return has_privs_of_role(role, grantee); });
}

bool IsolationModel::can_become(Oid role, Oid other) const {
    if (role == everybody || other == everybody) return false;
    return pg_call([role, other] { return is_member_of_role_nosuper(role, other); });
}

std::string IsolationModel::leave(Oid role, Oid other) const {
    const auto own = memberships_.find(role);
    if (own != memberships_.end())
        for (Oid direct : own->second)
            if (direct == other || can_become(direct, other))
                return fmt::format("REVOKE {} FROM {};", this->role(direct), this->role(role));
    return {};
}

std::map<Oid, std::set<std::string>> IsolationModel::granted(const Rights &of, const std::set<std::string> &privileges,
                                                             bool others) const {
    std::map<Oid, std::set<std::string>> result;
    for (const auto &[grantee, list] : of) {
        bool concerns = others || grantee == everybody;
        for (Oid role : application)
            concerns = concerns || has(role, grantee);
        if (!concerns || super_roles.contains(grantee)) continue;
        // who sees all tenants anyway learns nothing here: role_bypasses_row_security is about those
        if (const auto known = roles.find(grantee); known != roles.end() && !application.contains(grantee) &&
                                                    (known->second.superuser || known->second.bypasses))
            continue;
        for (const std::string &privilege : list)
            if (privileges.contains(privilege)) result[grantee].insert(privilege);
    }
    return result;
}

std::string IsolationModel::names(const std::map<Oid, std::set<std::string>> &grantees) const {
    std::set<std::string> list;
    for (const auto &[grantee, privileges] : grantees)
        list.insert(role(grantee));
    return fmt::format("{}", fmt::join(list, ", "));
}

bool IsolationModel::applies(const LintPolicy &policy, Oid role) const {
    return std::any_of(policy.roles.begin(), policy.roles.end(), [&](Oid to) { return has(role, to); });
}

bool IsolationModel::confined(const SecuredTable &table, Oid role, char command, bool new_rows) const {
    bool open = false;
    for (const LintPolicy &policy : table.policies) {
        if (!policy.is_for(command) || !applies(policy, role)) continue;
        const LintCondition *condition = policy.of(command, new_rows);
        if (!policy.permissive && condition && condition->condition.confined) return true;
        if (policy.permissive && condition && !condition->condition.confined) open = true;
    }
    return !open;
}

bool IsolationModel::sees_all(Oid role, const SecuredTable &table) const {
    const auto found = roles.find(role);
    if (found == roles.end()) return false;
    if (found->second.superuser || found->second.bypasses || !table.row_security) return true;
    if (has(role, table.owner) && !table.forced) return true;
    return !confined(table, role, 'r', false);
}

const SecuredTable *IsolationModel::find(Oid table) const {
    for (const SecuredTable &one : tables)
        if (one.oid == table) return &one;
    return nullptr;
}

bool IsolationModel::usable_schema(Oid role, const std::string &schema) const {
    for (const auto &[grantee, privileges] : schema_rights(schema))
        if (privileges.contains("USAGE") && has(role, grantee)) return true;
    return false;
}

} // namespace tenantmig
