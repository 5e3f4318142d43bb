#include "core/excerpt.hpp"
#include "core/undo_text.hpp"

#include "bridge/policy.hpp"
#include "steps/isolate.hpp"

namespace tenantmig {

namespace {
Value oids_value(const std::vector<Oid> &oids) { // as text: to be cast to oid[]
    std::vector<std::string> texts;
    for (const Oid oid : oids)
        texts.push_back(std::to_string(oid));
    return text_array_value(std::span<const std::string>(texts));
}

std::string join(const std::vector<std::string> &items, const char *separator = ", ") {
    constexpr std::size_t most = 10;
    std::string text;
    for (std::size_t i = 0; i < items.size() && i < most; i++)
        text += (i ? separator : "") + items[i];
    if (items.size() > most) text += fmt::format(" and {} more", items.size() - most);
    return text;
}

// A role that another one can become, itself included.
struct Reachable {
    Oid oid = InvalidOid;
    std::string name, powers;         // powers: superuser, BYPASSRLS, CREATEROLE: what goes round policies
    std::vector<std::string> through; // roles that it is a member of itself and that lead there
};

std::vector<Reachable> reachable_from(Oid role) {
    Rows rows = own_query(
        "WITH RECURSIVE r (oid, first) AS (SELECT $1, 0::oid UNION SELECT x.oid, CASE r.first WHEN 0 THEN x.oid ELSE "
        "r.first END FROM r CROSS JOIN LATERAL (SELECT m.roleid AS oid FROM pg_auth_members m WHERE m.member = r.oid "
        "UNION ALL SELECT o.oid FROM pg_roles o WHERE o.rolname = 'pg_database_owner' AND r.oid = (SELECT d.datdba "
        "FROM pg_database d WHERE d.datname = current_database())) x) SELECT a.oid::bigint, a.rolname, concat_ws(', ', "
        "CASE WHEN a.rolsuper THEN 'superuser' END, CASE WHEN a.rolbypassrls THEN 'BYPASSRLS' END, CASE WHEN "
        "a.rolcreaterole AND NOT a.rolsuper THEN 'CREATEROLE' END), ARRAY(SELECT f.rolname::text FROM r o JOIN "
        "pg_roles f ON f.oid = o.first WHERE o.oid = a.oid ORDER BY 1) FROM pg_roles a WHERE a.oid IN (SELECT r.oid "
        "FROM r) ORDER BY (a.oid <> $1), a.rolname",
        {Value{OIDOID, ObjectIdGetDatum(role), false}});
    std::vector<Reachable> result;
    for (std::size_t i = 0; i < rows.size(); i++)
        result.push_back(
            {static_cast<Oid>(rows.bigint(i, 1)), rows.text_or(i, 2), rows.text_or(i, 3), rows.text_array(i, 4)});
    return result;
}

class Rights {
public:
    Rights(const IsolateScope &scope, std::vector<CheckRow> &rows) : scope_(scope), rows_(rows) {
        for (const RoleSite &role : scope.roles) {
            roles_.push_back(role.oid);
            const auto &found = reach_.emplace_back(reachable_from(role.oid));
            for (const Reachable &one : found)
                reached_.emplace(one.oid, one.name);
        }
        for (const IsolateMember &member : scope.members)
            tables_.emplace(member.table.oid, &member);
    }

    void check() {
        for (std::size_t i = 0; i < scope_.roles.size(); i++) {
            attributes(scope_.roles[i], reach_[i]);
            above(scope_.roles[i], reach_[i]);
        }
        setting();
        find_grants();
        find_policies();
        find_others();
        find_views();
        for (const IsolateMember *top : scope_.tops())
            table(*top);
    }

private:
    struct Found {
        std::vector<std::string> what, remedy;
    };
    const IsolateScope &scope_;
    std::vector<CheckRow> &rows_;
    std::vector<Oid> roles_;
    std::vector<std::vector<Reachable>> reach_;
    std::map<Oid, std::string> reached_; // by any of the application's roles
    std::map<Oid, const IsolateMember *> tables_;
    std::map<Oid, Found> grants_, policies_, others_, views_;

    Value members() const {
        std::vector<Oid> oids;
        for (const IsolateMember &member : scope_.members)
            oids.push_back(member.table.oid);
        return oids_value(oids);
    }
    Value reached() const {
        std::vector<Oid> oids;
        for (const auto &[oid, name] : reached_)
            oids.push_back(oid);
        return oids_value(oids);
    }

    void add(const std::string &name, const char *bad, const Found &found, const std::string &expected,
             const std::string &detail) {
        const bool good = found.what.empty();
        rows_.push_back({name, good ? "PASS" : bad, expected, good ? expected : join(found.what), good ? "" : detail,
                         good ? "" : join(found.remedy, " ")});
    }

    static std::string revoke(const Reachable &reached, const RoleSite &from) {
        std::vector<std::string> list;
        for (const std::string &role : reached.through)
            list.push_back(quoted(role));
        return fmt::format("REVOKE {} FROM {};", join(list), quoted(from.name));
    }

    void attributes(const RoleSite &role, const std::vector<Reachable> &reach) {
        Found found;
        for (const Reachable &one : reach) {
            if (one.powers.empty()) continue;
            const bool itself = one.oid == role.oid;
            found.what.push_back(itself ? one.powers : fmt::format("{} through {}", one.powers, quoted(one.name)));
            found.remedy.push_back(
                itself ? fmt::format("ALTER ROLE {} NOSUPERUSER NOBYPASSRLS NOCREATEROLE;", quoted(role.name))
                       : revoke(one, role));
        }
        add("attributes " + quoted(role.name), "FAIL", found, "none that goes round policies",
            "Policies don't hold a superuser or a role with BYPASSRLS, nor one that can become such a role; with "
            "CREATEROLE it can make itself a member of any.");
    }

    void above(const RoleSite &role, const std::vector<Reachable> &reach) {
        if (!scope_.super_role) return;
        Found found;
        for (const Reachable &one : reach)
            if (one.oid == scope_.super_role->oid) {
                found.what.push_back(fmt::format("can become {}", quoted(one.name)));
                found.remedy.push_back(revoke(one, role));
            }
        add("super_role " + quoted(role.name), "FAIL", found, "is no member of it",
            "The role would see the rows of all tenants.");
    }

    // A value that comes from elsewhere than the application: a tenant that is seen without anybody having asked.
    void setting() {
        Rows rows = own_query(
            "SELECT coalesce(quote_ident(d.datname), 'all databases'), coalesce(quote_ident(r.rolname), 'all roles'), "
            "c.item FROM pg_db_role_setting s CROSS JOIN LATERAL unnest(s.setconfig) c(item) LEFT JOIN pg_database d "
            "ON d.oid = s.setdatabase LEFT JOIN pg_roles r ON r.oid = s.setrole WHERE lower(split_part(c.item, '=', "
            "1)) = lower($1) AND s.setdatabase IN (0, (SELECT o.oid FROM pg_database o WHERE o.datname = "
            "current_database())) AND (s.setrole = 0 OR s.setrole = ANY ($2::text[]::oid[])) ORDER BY 1, 2",
            {text_value(scope_.setting), oids_value(roles_)});
        Found found;
        for (std::size_t i = 0; i < rows.size(); i++) {
            found.what.push_back(
                fmt::format("{} for {} in {}", rows.text_or(i, 3), rows.text_or(i, 2), rows.text_or(i, 1)));
            found.remedy.push_back(rows.text_or(i, 2) == "all roles"
                                       ? fmt::format("ALTER DATABASE {} RESET {};", rows.text_or(i, 1), scope_.setting)
                                       : fmt::format("ALTER ROLE {} {}RESET {};", rows.text_or(i, 2),
                                                     rows.text_or(i, 1) == "all databases"
                                                         ? std::string()
                                                         : "IN DATABASE " + rows.text_or(i, 1) + " ",
                                                     scope_.setting));
        }
        add("setting " + scope_.setting, "WARN", found, "no value unless the application sets one",
            "A session that sets no tenant gets this one's rows, and not none.");
    }

    void find_grants() {
        Rows rows = own_query(
            "SELECT g.relid::bigint, g.grantee::bigint, string_agg(DISTINCT g.privilege_type, ', '), g.list FROM "
            "(SELECT c.oid AS relid, a.grantee, a.privilege_type, '' AS list FROM pg_class c CROSS JOIN LATERAL "
            "aclexplode(c.relacl) a WHERE c.oid = ANY ($1::text[]::oid[]) UNION ALL SELECT t.attrelid, a.grantee, "
            "a.privilege_type, quote_ident(t.attname) FROM pg_attribute t CROSS JOIN LATERAL aclexplode(t.attacl) a "
            "WHERE t.attrelid = ANY ($1::text[]::oid[]) AND NOT t.attisdropped) g WHERE g.privilege_type IN "
            "('TRUNCATE', 'REFERENCES', 'TRIGGER') AND (g.grantee = 0 OR g.grantee = ANY ($2::text[]::oid[])) GROUP BY "
            "g.relid, g.grantee, g.list ORDER BY 1, 2, 4",
            {members(), reached()});
        for (std::size_t i = 0; i < rows.size(); i++) {
            const IsolateMember &member = *tables_.at(static_cast<Oid>(rows.bigint(i, 1)));
            const Oid grantee = static_cast<Oid>(rows.bigint(i, 2));
            if (grantee == member.table.owner) continue; // said elsewhere
            const std::string who = OidIsValid(grantee) ? quoted(reached_.at(grantee)) : "PUBLIC";
            std::string rights = rows.text_or(i, 3);
            if (const std::string column = rows.text_or(i, 4); !column.empty()) rights += fmt::format(" ({})", column);
            Found &found = grants_[member.top];
            found.what.push_back(fmt::format("{} on {} by {}", rights, member.table.label(), who));
            found.remedy.push_back(fmt::format("REVOKE {} ON {} FROM {};", rights, member.table.label(), who));
        }
    }

    void find_policies() {
        RunAs self(extension_owner(), Purpose::read);
        for (const auto &[oid, member] : tables_)
            for (const Policy &policy : policies_of(oid)) {
                const bool our_name = policy.name == tenant_policy || policy.name == super_policy;
                Found &found = policies_[member->top];
                if (our_name && scope_.ours.contains(oid)) continue;
                const bool applies = std::any_of(policy.roles.begin(), policy.roles.end(), [&](Oid role) {
                    return !OidIsValid(role) || reached_.contains(role);
                });
                if (!our_name && (!policy.permissive || !applies)) continue;
                found.what.push_back(fmt::format("policy {} on {}", quoted(policy.name), member->table.label()));
                found.remedy.push_back(
                    fmt::format("DROP POLICY {} ON {};", quoted(policy.name), member->table.label()));
                if (!our_name) continue;
                if (const std::string other = isolated_by(oid); !other.empty()) {
                    found.remedy.back() = fmt::format("Migration {} has made it: name all roles in its step, or CALL "
                                                      "tenantmig.down({}).",
                                                      core::excerpt(other), core::sql_literal(other));
                }
            }
    }

    static std::string isolated_by(Oid table) {
        for (const IsolatedTable &isolated : isolated_tables(std::nullopt))
            if (isolated.table.oid == table) return isolated.migration;
        return {};
    }

    // Roles that will see nothing from then on: they may read or write, and no policy is for them.
    void find_others() {
        std::vector<Oid> covered = roles_;
        if (scope_.super_role) covered.push_back(scope_.super_role->oid);
        Rows rows = own_query(
            "WITH RECURSIVE granted AS (SELECT c.oid AS relid, c.relowner, a.grantee FROM pg_class c CROSS JOIN "
            "LATERAL "
            "aclexplode(c.relacl) a WHERE c.oid = ANY ($1::text[]::oid[]) AND a.privilege_type IN ('SELECT', 'INSERT', "
            "'UPDATE', 'DELETE') UNION SELECT t.attrelid, c.relowner, a.grantee FROM pg_attribute t JOIN pg_class c ON "
            "c.oid = t.attrelid CROSS JOIN LATERAL aclexplode(t.attacl) a WHERE t.attrelid = ANY ($1::text[]::oid[]) "
            "AND NOT t.attisdropped AND a.privilege_type IN ('SELECT', 'INSERT', 'UPDATE')), "
            "people AS (SELECT relid, relowner, grantee AS role FROM granted WHERE grantee NOT IN (0, relowner) UNION "
            "SELECT c.oid, c.relowner, c.relowner FROM pg_class c WHERE c.oid = ANY ($1::text[]::oid[]) AND $3 UNION "
            "SELECT p.relid, p.relowner, m.member FROM people p JOIN pg_auth_members m ON m.roleid = p.role) "
            "SELECT p.relid::bigint, quote_ident(r.rolname) FROM people p JOIN pg_roles r ON r.oid = p.role WHERE NOT "
            "r.rolsuper AND NOT r.rolbypassrls AND (r.rolcanlogin OR p.role <> p.relowner AND NOT EXISTS (SELECT FROM "
            "pg_auth_members m WHERE m.roleid = r.oid)) AND NOT EXISTS (SELECT FROM "
            "unnest($2::text[]::oid[]) o(id) WHERE pg_has_role(r.oid, o.id, 'USAGE')) AND ($3 OR NOT "
            "pg_has_role(r.oid, p.relowner, 'USAGE')) AND NOT EXISTS (SELECT FROM pg_policy l CROSS JOIN LATERAL "
            "unnest(l.polroles) o(id) WHERE l.polrelid = p.relid AND l.polpermissive AND (o.id = 0 OR o.id <> 0 AND "
            "pg_has_role(r.oid, o.id, 'USAGE'))) UNION SELECT g.relid::bigint, 'PUBLIC' FROM granted g WHERE g.grantee "
            "= 0 AND NOT EXISTS (SELECT FROM pg_policy l WHERE l.polrelid = g.relid AND l.polpermissive AND 0 = ANY "
            "(l.polroles)) ORDER BY 1, 2",
            {members(), oids_value(covered), boolean_value(scope_.force)});
        for (std::size_t i = 0; i < rows.size(); i++) {
            Found &found = others_[tables_.at(static_cast<Oid>(rows.bigint(i, 1)))->top];
            const std::string name = rows.text_or(i, 2);
            if (std::find(found.what.begin(), found.what.end(), name) == found.what.end()) found.what.push_back(name);
        }
    }

    // Those that the application may use and that go round the policies; and those that will show nothing, because no
    // policy is for their owner.
    void find_views() {
        Rows rows = own_query(
            "SELECT DISTINCT v.member::bigint, format('%I.%I', v.nspname, v.relname), v.relkind = 'm', "
            "quote_ident(v.rolname), v.open FROM (SELECT d.refobjid AS member, n.nspname, v.relname, v.relkind, "
            "r.rolname, v.relkind = 'm' OR r.rolsuper OR r.rolbypassrls OR NOT $2 AND pg_has_role(v.relowner, "
            "t.relowner, 'USAGE') OR coalesce(pg_has_role(v.relowner, $4, 'USAGE'), false) AS open, EXISTS (SELECT "
            "FROM unnest($3::text[]::oid[]) a(id) WHERE has_table_privilege(a.id, v.oid, 'SELECT, INSERT, UPDATE, "
            "DELETE') OR has_any_column_privilege(a.id, v.oid, 'SELECT, INSERT, UPDATE')) AS used, EXISTS (SELECT FROM "
            "unnest($3::text[]::oid[]) a(id) WHERE pg_has_role(v.relowner, a.id, 'USAGE')) OR EXISTS (SELECT FROM "
            "pg_policy l CROSS JOIN LATERAL unnest(l.polroles) o(id) WHERE l.polrelid = d.refobjid AND l.polpermissive "
            "AND (o.id = 0 OR o.id <> 0 AND pg_has_role(v.relowner, o.id, 'USAGE'))) AS held FROM pg_depend d JOIN "
            "pg_rewrite w ON w.oid = d.objid JOIN pg_class v ON v.oid = w.ev_class AND v.relkind IN ('v', 'm') JOIN "
            "pg_namespace n ON n.oid = v.relnamespace JOIN pg_roles r ON r.oid = v.relowner JOIN pg_class t ON t.oid = "
            "d.refobjid WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass AND "
            "d.refobjid = ANY ($1::text[]::oid[]) AND NOT EXISTS (SELECT FROM pg_options_to_table(v.reloptions) o "
            "WHERE o.option_name = 'security_invoker' AND v.relkind = 'v' AND o.option_value::boolean)) v WHERE CASE "
            "WHEN v.open THEN v.used ELSE NOT v.held END ORDER BY 1, 2",
            {members(), boolean_value(scope_.force), oids_value(roles_),
             scope_.super_role ? Value{OIDOID, ObjectIdGetDatum(scope_.super_role->oid), false} : null_value(OIDOID)});
        for (std::size_t i = 0; i < rows.size(); i++) {
            Found &found = views_[tables_.at(static_cast<Oid>(rows.bigint(i, 1)))->top];
            const std::string view = rows.text_or(i, 2);
            if (rows.boolean(i, 3)) {
                found.what.push_back(fmt::format("materialized view {} holds rows of all tenants", view));
                found.remedy.push_back(fmt::format("REVOKE SELECT ON {} FROM {};", view, list_roles()));
                continue;
            }
            found.what.push_back(fmt::format("view {} of {} shows {}", view, rows.text_or(i, 4),
                                             rows.boolean(i, 5) ? "rows of all tenants" : "nothing any more"));
            found.remedy.push_back(fmt::format("ALTER VIEW {} SET (security_invoker = true);", view));
        }
    }

    std::string list_roles() const {
        std::vector<std::string> names;
        for (const RoleSite &role : scope_.roles)
            names.push_back(quoted(role.name));
        return join(names);
    }

    void table(const IsolateMember &top) {
        const std::string label = top.table.label();
        Found owner;
        for (std::size_t i = 0; i < scope_.roles.size(); i++)
            for (const Reachable &one : reach_[i])
                if (one.oid == top.table.owner) {
                    const std::string role = quoted(scope_.roles[i].name);
                    const bool itself = one.oid == scope_.roles[i].oid;
                    owner.what.push_back(itself ? fmt::format("{} owns it", role)
                                                : fmt::format("{} can become its owner {}", role, quoted(one.name)));
                    owner.remedy.push_back(itself ? fmt::format("ALTER TABLE {} OWNER TO …;", label)
                                                  : revoke(one, scope_.roles[i]));
                }
        add("owner " + label, "FAIL", owner, "not the application's role",
            "The owner of a table can take its policies off.");
        add("rights " + label, "FAIL", grants_[top.table.oid], "no TRUNCATE, REFERENCES or TRIGGER",
            "TRUNCATE removes the rows of all tenants, whatever the policies say; a foreign key tells which keys there "
            "are; a trigger sees what others write.");
        add("policies " + label, "FAIL", policies_[top.table.oid], "no other permissive policy for the role",
            "Permissive policies add up: what one of them shows is seen. (Of one with our name: somebody else has made "
            "it, or another migration.)");
        Found &others = others_[top.table.oid];
        if (!others.what.empty())
            others.remedy.push_back("Name them as role or super_role of the step, give them a policy of their own, or "
                                    "revoke their rights, before they find out.");
        add("others " + label, "WARN", others, "no role that would see nothing",
            "These roles have rights on the table and no policy: they will read no rows, and can't write any.");
        add("views " + label, "WARN", views_[top.table.oid], "none, or security_invoker",
            "A view reads with the rights of its owner, a materialized one keeps what was read.");
    }
};
} // namespace

void isolate_rights(const IsolateScope &scope, std::vector<CheckRow> &rows) {
    Rights(scope, rows).check();
}

} // namespace tenantmig
