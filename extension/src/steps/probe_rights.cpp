// Rights that get around policies: ownership, TRUNCATE, REFERENCES, TRIGGER, schemas.
#include "steps/probe_rights.hpp"

#include "bridge/identity.hpp"
#include "catalog/own_tables.hpp"

namespace tenantmig {

namespace {
struct Right {
    const char *name, *attack, *why;
};
constexpr Right rights[] = {
    {"TRUNCATE", "truncate", "removes every tenant's rows, past all policies"},
    {"REFERENCES", "references", "a foreign key of its own tells which rows exist, and keeps them from going"},
    {"TRIGGER", "trigger", "a trigger of its own is given every tenant's rows"},
};

std::string list_of(const std::vector<std::string> &names) {
    return fmt::format("{}", fmt::join(names, ", "));
}

// Ways to a role: the shortest is shown.
const ReachedRole *find_role(const std::vector<ReachedRole> &roles, Oid oid) {
    for (const ReachedRole &role : roles)
        if (role.oid == oid) return &role;
    return nullptr;
}

std::string through(const ReachedRole &role) {
    return role.how.empty() ? "" : fmt::format(" ({})", role.how);
}

void probe_owners(Probe &probe, const ProbeFamily &family, const std::vector<ReachedRole> &roles) {
    Rows rows = own_query("SELECT c.oid::bigint, c.relowner::bigint FROM pg_class c WHERE c.oid = ANY ($1::oid[])",
                          {text_array_value(std::span<const std::string>(oid_texts(family)))});
    for (std::size_t i = 0; i < rows.size(); i++) {
        const FamilyMember &member = family.at(static_cast<Oid>(rows.bigint(i, 1)));
        const ReachedRole *owner = find_role(roles, static_cast<Oid>(rows.bigint(i, 2)));
        const bool top = member.of->table.oid == member.oid && member.of->parent == InvalidOid;
        if (!owner && !top) continue;
        probe.add(nullptr, member.label(), "owner", {}, nullptr, "another role owns it",
                  owner ? fmt::format("the role owns it{}: it can take the policies away", through(*owner))
                        : "another role",
                  owner ? "FAIL" : "PASS",
                  !owner ? ""
                  : owner->itself
                      ? fmt::format("ALTER TABLE {} OWNER TO …; -- a role that the application is not", member.label())
                      : fmt::format("REVOKE {} FROM {};", quoted(owner->name), probe.role_label()));
    }
}

// Granted to itself, to PUBLIC, or to a role that it can become; on the table or on columns. The owner's own rights
// are a matter of ownership.
void probe_table_rights(Probe &probe, const ProbeFamily &family, const std::vector<ReachedRole> &roles) {
    std::vector<std::string> reach{"0"};
    for (const ReachedRole &role : roles)
        reach.push_back(std::to_string(role.oid));
    Rows rows = own_query(
        "SELECT g.oid::bigint, g.privilege_type, array_agg(DISTINCT CASE WHEN g.grantee = 0 THEN 'PUBLIC' ELSE "
        "quote_ident(pg_get_userbyid(g.grantee)) END) FROM (SELECT c.oid, c.relowner, (aclexplode(c.relacl)).* FROM "
        "pg_class c WHERE c.oid = ANY ($1::oid[]) UNION ALL SELECT c.oid, c.relowner, (aclexplode(a.attacl)).* FROM "
        "pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attacl IS NOT NULL WHERE c.oid = ANY ($1::oid[])) "
        "g WHERE g.grantee = ANY ($2::oid[]) AND g.grantee <> g.relowner AND g.privilege_type IN ('TRUNCATE', "
        "'REFERENCES', 'TRIGGER') GROUP BY g.oid, g.privilege_type",
        {text_array_value(std::span<const std::string>(oid_texts(family))),
         text_array_value(std::span<const std::string>(reach))});
    std::map<std::pair<Oid, std::string>, std::vector<std::string>> found;
    for (std::size_t i = 0; i < rows.size(); i++)
        found[{static_cast<Oid>(rows.bigint(i, 1)), rows.text_or(i, 2)}] = rows.text_array(i, 3);
    for (const auto &[oid, member] : family)
        for (const Right &right : rights) {
            const auto granted = found.find({oid, right.name});
            const bool has = granted != found.end();
            const bool top = member.of->table.oid == oid && member.of->parent == InvalidOid;
            if (!has && !top) continue;
            probe.add(
                nullptr, member.label(), right.attack, {}, nullptr, fmt::format("no right to {}", right.name),
                has ? fmt::format("granted to {}: {}", list_of(granted->second), right.why) : "not granted",
                has ? "FAIL" : "PASS",
                has ? fmt::format("REVOKE {} ON {} FROM {};", right.name, member.label(), list_of(granted->second))
                    : "");
        }
}

void probe_schemas(Probe &probe, const ProbeFamily &family, const std::vector<ReachedRole> &roles) {
    Rows rows = own_query(
        "SELECT n.nspname, n.nspowner::bigint, has_schema_privilege($2::oid, n.oid, 'CREATE'), pg_has_role($2::oid, "
        "n.nspowner, 'USAGE') FROM pg_namespace n WHERE n.oid IN (SELECT c.relnamespace FROM pg_class c WHERE c.oid = "
        "ANY ($1::oid[])) ORDER BY n.nspname",
        {text_array_value(std::span<const std::string>(oid_texts(family))),
         bigint_value(static_cast<std::int64_t>(probe.role()))});
    for (std::size_t i = 0; i < rows.size(); i++) {
        const std::string schema = quoted(rows.text_or(i, 1));
        const ReachedRole *owner = find_role(roles, static_cast<Oid>(rows.bigint(i, 2)));
        const bool owns = owner || rows.boolean(i, 4), creates = rows.boolean(i, 3);
        probe.add(nullptr, "schema " + schema, "schema", {}, nullptr, "neither its owner nor CREATE on it",
                  owns ? fmt::format("the role owns it{}: it can drop the tables", owner ? through(*owner) : "")
                  : creates
                      ? "CREATE: what it makes there others may call in place of theirs; whether they do can't be told"
                      : "neither",
                  owns      ? "FAIL"
                  : creates ? "SKIP"
                            : "PASS",
                  owns      ? fmt::format("ALTER SCHEMA {} OWNER TO …; -- a role that the application is not", schema)
                  : creates ? fmt::format("REVOKE CREATE ON SCHEMA {} FROM {}, PUBLIC;", schema, probe.role_label())
                            : "");
    }
}

// Rows that come from elsewhere, or by a detour from here: with what rights, its user mapping says, and no policy
// holds. Partitions apart, which are attacked with their tables.
void probe_foreign_tables(Probe &probe, const ProbeFamily &family) {
    std::set<std::string> names;
    for (const ProbeTable &table : probe.tables()) {
        names.insert(table.key.name);
        names.insert(table.table.name);
    }
    Rows rows = own_query(
        "SELECT c.oid::bigint, format('%I.%I', n.nspname, c.relname), quote_ident(s.srvname) FROM pg_foreign_table f "
        "JOIN pg_class c ON c.oid = f.ftrelid JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_foreign_server s "
        "ON s.oid = f.ftserver WHERE has_schema_privilege($1::oid, n.oid, 'USAGE') AND "
        "(has_any_column_privilege($1::oid, c.oid, 'SELECT, INSERT, UPDATE') OR has_table_privilege($1::oid, c.oid, "
        "'DELETE')) AND (c.relname::text = ANY ($2) OR EXISTS (SELECT FROM pg_options_to_table(f.ftoptions) o WHERE "
        "o.option_name = 'table_name' AND o.option_value = ANY ($2)) OR EXISTS (SELECT FROM pg_attribute a WHERE "
        "a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attname::text = ANY ($2))) ORDER BY 2",
        {bigint_value(static_cast<std::int64_t>(probe.role())),
         text_array_value(std::vector<std::string>(names.begin(), names.end()))});
    for (std::size_t i = 0; i < rows.size(); i++) {
        if (family.contains(static_cast<Oid>(rows.bigint(i, 1)))) continue;
        const std::string label = rows.text_or(i, 2);
        probe.add(nullptr, label, "foreign_table", {}, nullptr, "nothing of other tenants",
                  fmt::format("no policy holds for it; what the server {} shows can't be told", rows.text_or(i, 3)),
                  "SKIP", fmt::format("REVOKE ALL ON {} FROM {}, PUBLIC;", label, probe.role_label()));
    }
}

// Who has logged in is the caller here, and the application's role elsewhere: what a policy makes of that is not seen.
void probe_session_users(Probe &probe) {
    std::vector<std::string> oids;
    for (const ProbeTable &table : probe.tables())
        oids.push_back(std::to_string(table.table.oid));
    Rows rows = own_query(
        "SELECT p.polrelid::bigint, p.polname FROM pg_policy p CROSS JOIN (SELECT "
        "'\\m(session_user|session_authorization|is_superuser)\\M' AS word) w WHERE p.polrelid = ANY ($2::oid[]) AND "
        "EXISTS (SELECT FROM unnest(p.polroles) AS r (oid) WHERE CASE WHEN r.oid = 0 THEN true ELSE "
        "pg_has_role($1::oid, "
        "r.oid, 'USAGE') END) AND (concat_ws(' ', pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, "
        "p.polrelid)) ~* w.word OR EXISTS (SELECT FROM pg_depend d JOIN pg_proc f ON f.oid = d.refobjid WHERE "
        "d.classid "
        "= 'pg_policy'::regclass AND d.objid = p.oid AND d.refclassid = 'pg_proc'::regclass AND f.prosrc ~* w.word)) "
        "ORDER BY 1, 2",
        {bigint_value(static_cast<std::int64_t>(probe.role())), text_array_value(std::span<const std::string>(oids))});
    for (std::size_t i = 0; i < rows.size(); i++)
        for (const ProbeTable &table : probe.tables())
            if (table.table.oid == static_cast<Oid>(rows.bigint(i, 1)))
                probe.add(&table, {}, "session_user", quoted(rows.text_or(i, 2)), nullptr,
                          "policies don't ask who has logged in",
                          fmt::format("policy {} asks for the session's user: {} here", quoted(rows.text_or(i, 2)),
                                      current_user_name()),
                          "SKIP", "Let it ask current_user; or read the table in a session of the application's role.");
}
} // namespace

void probe_rights(Probe &probe) {
    if (probe.tables().empty()) return;
    const std::vector<ReachedRole> roles = reached_roles(probe);
    probe_roles(probe, roles);
    if (roles.front().super) return; // that says all
    const ProbeFamily family = read_family(probe);
    probe_owners(probe, family, roles);
    probe_table_rights(probe, family, roles);
    probe_schemas(probe, family, roles);
    probe_functions(probe, family);
    probe_foreign_tables(probe, family);
    probe_session_users(probe);
}

} // namespace tenantmig
