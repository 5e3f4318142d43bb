// Which roles the application role can become, and what they would be shown.
#include "steps/probe_rights.hpp"

#include "bridge/identity.hpp"
#include "catalog/own_tables.hpp"

namespace tenantmig {

namespace {
Value oid_value(Oid oid) {
    return bigint_value(static_cast<std::int64_t>(oid));
}

std::vector<std::string> table_oids(const Probe &probe) {
    std::vector<std::string> result;
    for (const ProbeTable &table : probe.tables())
        result.push_back(std::to_string(table.table.oid));
    return result;
}
} // namespace

std::vector<ReachedRole> reached_roles(const Probe &probe) {
    // Whom it may grant to itself, it can become as well.
    Rows rows = own_query(
        fmt::format("SELECT r.oid::bigint, r.rolname, r.rolsuper, r.rolbypassrls, r.rolcreaterole, r.rolreplication, "
                    "pg_has_role($1::oid, r.oid, 'USAGE'), pg_has_role($1::oid, r.oid, '{0}') FROM pg_roles r WHERE "
                    "r.oid = $1::oid OR (NOT (SELECT s.rolsuper FROM pg_roles s WHERE s.oid = $1::oid) AND "
                    "(pg_has_role($1::oid, r.oid, 'USAGE') OR pg_has_role($1::oid, r.oid, '{0}') OR "
                    "pg_has_role($1::oid, r.oid, 'MEMBER WITH ADMIN OPTION'))) ORDER BY r.oid <> $1::oid, r.rolname",
                    PG_VERSION_NUM >= 160000 ? "SET" : "MEMBER"),
        {oid_value(probe.role())});
    std::vector<ReachedRole> result;
    for (std::size_t i = 0; i < rows.size(); i++) {
        ReachedRole one;
        one.oid = static_cast<Oid>(rows.bigint(i, 1));
        one.name = rows.text_or(i, 2);
        one.itself = one.oid == probe.role();
        one.super = rows.boolean(i, 3);
        one.bypass = rows.boolean(i, 4);
        one.create_role = rows.boolean(i, 5);
        one.replication = rows.boolean(i, 6);
        if (!one.itself)
            one.how = (rows.boolean(i, 7)   ? "member of "
                       : rows.boolean(i, 8) ? "SET ROLE "
                                            : "ADMIN OPTION on ") +
                      quoted(one.name);
        result.push_back(std::move(one));
    }
    return result;
}

RoleStandings::RoleStandings(const Probe &probe) : probe_(probe) {}

const RoleStandings::Flags &RoleStandings::flags(Oid role) {
    if (const auto known = flags_.find(role); known != flags_.end()) return known->second;
    Flags result;
    Rows own =
        own_query("SELECT r.rolsuper OR r.rolbypassrls FROM pg_roles r WHERE r.oid = $1::oid", {oid_value(role)});
    result.super = own.empty() || own.boolean(0, 1);
    Rows rows = own_query("SELECT c.oid::bigint FROM pg_class c WHERE c.oid = ANY ($2::oid[]) AND NOT "
                          "c.relforcerowsecurity AND pg_has_role($1::oid, c.relowner, 'USAGE')",
                          {oid_value(role), text_array_value(std::span<const std::string>(table_oids(probe_)))});
    for (std::size_t i = 0; i < rows.size(); i++)
        result.owns.insert(static_cast<Oid>(rows.bigint(i, 1)));
    std::set<std::string> supers;
    Rows member =
        own_query("SELECT r.rolname FROM pg_roles r WHERE pg_has_role($1::oid, r.oid, 'USAGE')", {oid_value(role)});
    for (std::size_t i = 0; i < member.size(); i++)
        supers.insert(member.text_or(i, 1));
    for (const ProbeTable &table : probe_.tables())
        if (!table.super_role.empty() && supers.contains(table.super_role))
            result.super_role_of.insert(table.table.oid);
    return flags_[role] = std::move(result);
}

Standing RoleStandings::of(Oid role, const ProbeTable &table) {
    const Flags &has = flags(role);
    if (has.super || has.owns.contains(table.table.oid) || has.super_role_of.contains(table.table.oid))
        return Standing::above;
    const std::pair key{role, table.table.oid};
    if (const auto known = known_.find(key); known != known_.end()) return known->second;
    Standing result = Standing::unknown;
    if (has_privileges_of(role) && !pg_call([role = probe_.role()] { return superuser_arg(role); })) {
        const std::string sql = "SELECT FROM " + table.table.target();
        const Uses theirs = uses_as(probe_, table, role, sql), own = uses_of(probe_, table, sql);
        if (theirs.problem.empty() && own.problem.empty() && !theirs.all.empty() && !own.all.empty()) {
            const RelationUse &use = theirs.all.front();
            result = !use.filtered                                              ? Standing::above
                     : use.denied || use.condition == own.all.front().condition ? Standing::under
                                                                                : Standing::other;
        }
    }
    return known_[key] = result;
}

namespace {
std::string of_role(const Probe &probe) {
    return "role " + probe.role_label();
}

void flag(Probe &probe, const char *attack, const std::string &expected, bool bad, const std::string &seen,
          const std::string &good, const std::string &remedy) {
    probe.add(nullptr, of_role(probe), attack, {}, nullptr, expected, bad ? seen : good, bad ? "FAIL" : "PASS",
              bad ? remedy : "");
}

// As a role that it can become: rows of a tenant that is not the one that is set, or any when none is.
void count_as(Probe &probe, const ReachedRole &role) {
    constexpr char attack[] = "set_role";
    const std::string expected = fmt::format("as {}: nothing of other tenants", quoted(role.name));
    const auto add = [&](const ProbePair *pair, const std::string &seen, const char *status,
                         const std::string &remedy) {
        probe.add(nullptr, of_role(probe), attack, quoted(role.name), pair, expected, seen, status, remedy);
    };
    if (!has_privileges_of(role.oid))
        return add(nullptr, fmt::format("{}: not tried, the caller has not its privileges", role.how), "SKIP", {});
    std::int64_t tried = 0;
    for (const ProbeTable &table : probe.tables()) {
        const auto pairs = probe.pairs(table);
        if (pairs.empty()) continue;
        ProbeSession session = probe.session(table, pairs.front().tenant);
        session.role = role.oid;
        const Attempt attempt =
            probe.read(session,
                       fmt::format("SELECT FROM {} AS t WHERE t.{} {} $1 LIMIT 1000", table.table.target(),
                                   quoted(table.key.name), equality_operator(table.key.type)),
                       {Probe::key_value(table, pairs.front().victim)});
        if (attempt.undecided()) continue;
        tried++;
        if (attempt.refused() || attempt.rows == 0) continue;
        return add(&pairs.front(),
                   fmt::format("{}: {} of the victim in {}", role.how, attempt.shown(), table.table.label()), "FAIL",
                   fmt::format("REVOKE {} FROM {};", quoted(role.name), probe.role_label()));
    }
    add(nullptr, fmt::format("{}: no row of others in {} tables", role.how, tried), tried > 0 ? "PASS" : "SKIP", {});
}

void probe_memberships(Probe &probe, const std::vector<ReachedRole> &roles) {
    std::map<Oid, std::string> owners; // of probed tables
    std::set<std::string> supers;
    for (const ProbeTable &table : probe.tables()) {
        owners.emplace(table.table.owner, table.table.label());
        if (!table.super_role.empty()) supers.insert(table.super_role);
    }
    std::int64_t others = 0;
    for (const ReachedRole &role : roles) {
        if (role.itself) continue;
        others++;
        const bool server = role.name == "pg_read_server_files" || role.name == "pg_write_server_files" ||
                            role.name == "pg_execute_server_program";
        const bool data = role.name == "pg_read_all_data" || role.name == "pg_write_all_data";
        std::string why;
        if (role.super)
            why = "a superuser";
        else if (role.bypass)
            why = "BYPASSRLS";
        else if (owners.contains(role.oid))
            why = "owner of " + owners.at(role.oid);
        else if (supers.contains(role.name))
            why = "sees all tenants";
        else if (server)
            why = "the server's files, past all rights";
        else if (role.create_role && PG_VERSION_NUM < 160000)
            why = "CREATEROLE: it can become any role that is no superuser";
        else if (role.replication)
            why = "REPLICATION";
        if (why.empty() && data) {
            probe.add(nullptr, of_role(probe), "member", quoted(role.name), nullptr,
                      "no role that policies don't hold for",
                      fmt::format("{}: rights on every table, and the policies hold", role.how), "PASS", {});
            continue;
        }
        if (why.empty() && role.name.starts_with("pg_")) continue; // no right on tables
        if (why.empty()) {
            count_as(probe, role);
            continue;
        }
        probe.add(
            nullptr, of_role(probe), "member", quoted(role.name), nullptr, "no role that policies don't hold for",
            fmt::format("{}: {}", role.how, why), "FAIL",
            fmt::format("REVOKE {} FROM {}; -- or from the role in between", quoted(role.name), probe.role_label()));
    }
    if (others == 0)
        probe.add(nullptr, of_role(probe), "member", {}, nullptr, "no role that policies don't hold for",
                  "member of no role", "PASS", {});
}
} // namespace

void probe_roles(Probe &probe, const std::vector<ReachedRole> &roles) {
    const ReachedRole &own = roles.front();
    const std::string role = probe.role_label();
    flag(probe, "bypassrls", "NOBYPASSRLS", own.bypass && !own.super, "BYPASSRLS: no policy holds for it",
         own.super ? "see superuser" : "NOBYPASSRLS", fmt::format("ALTER ROLE {} NOBYPASSRLS;", role));
    flag(probe, "createrole", "it can't make itself a member of others",
         own.create_role && !own.super && PG_VERSION_NUM < 160000,
         "CREATEROLE: up to PostgreSQL 15 it can become any role that is no superuser",
         own.create_role ? "CREATEROLE: of roles that it was given with ADMIN OPTION only" : "NOCREATEROLE",
         fmt::format("ALTER ROLE {} NOCREATEROLE;", role));
    const auto published =
        own_query("SELECT string_agg(DISTINCT quote_ident(p.pubname), ', ') FROM "
                  "pg_publication_tables p JOIN pg_namespace n ON n.nspname = p.schemaname JOIN "
                  "pg_class c ON c.relnamespace = n.oid AND c.relname = p.tablename WHERE c.oid = ANY "
                  "($1::oid[])",
                  {text_array_value(std::span<const std::string>(table_oids(probe)))});
    const std::string names = published.text_or(0, 1);
    flag(probe, "replication", "NOREPLICATION", own.replication && !own.super,
         "REPLICATION: it reads every change, past all policies" +
             (names.empty() ? std::string() : "; published: " + names),
         names.empty() ? "NOREPLICATION" : "NOREPLICATION; published to others: " + names,
         fmt::format("ALTER ROLE {} NOREPLICATION;", role));
    probe_memberships(probe, roles);
}

} // namespace tenantmig
