#include "steps/probe_reach.hpp"

#include "catalog/own_tables.hpp"
#include "steps/probe_attack.hpp"

#include <cctype>

namespace tenantmig {

ProbeFamily read_family(const Probe &probe) {
    std::vector<std::string> oids;
    std::map<Oid, const ProbeTable *> probed;
    for (const ProbeTable &table : probe.tables()) {
        oids.push_back(std::to_string(table.table.oid));
        probed.emplace(table.table.oid, &table);
    }
    Rows rows = own_query(
        "WITH RECURSIVE below AS (SELECT o AS oid, o AS of FROM unnest($1::oid[]) o UNION SELECT i.inhrelid, b.of FROM "
        "below b JOIN pg_inherits i ON i.inhparent = b.oid), above AS (SELECT o AS oid, o AS of FROM unnest($1::oid[]) "
        "o UNION SELECT i.inhparent, a.of FROM above a JOIN pg_inherits i ON i.inhrelid = a.oid), members AS (SELECT "
        "b.oid, b.of, false AS up FROM below b UNION ALL SELECT a.oid, a.of, true FROM above a WHERE a.oid <> a.of AND "
        "a.oid <> ALL ($1::oid[])) SELECT c.oid::bigint, m.of::bigint, m.up, n.nspname, c.relname, c.relkind, "
        "c.relispartition, u.usage AND has_any_column_privilege($2::oid, c.oid, 'SELECT'), u.usage AND "
        "has_any_column_privilege($2::oid, c.oid, 'INSERT'), u.usage AND has_any_column_privilege($2::oid, c.oid, "
        "'UPDATE'), u.usage AND has_table_privilege($2::oid, c.oid, 'DELETE') FROM members m JOIN pg_class c ON c.oid "
        "= m.oid JOIN pg_namespace n ON n.oid = c.relnamespace, has_schema_privilege($2::oid, n.oid, 'USAGE') AS u "
        "(usage) ORDER BY m.up, n.nspname, c.relname, c.oid, m.of",
        {text_array_value(std::span<const std::string>(oids)), bigint_value(static_cast<std::int64_t>(probe.role()))});
    ProbeFamily result;
    for (std::size_t i = 0; i < rows.size(); i++) {
        FamilyMember one;
        one.oid = static_cast<Oid>(rows.bigint(i, 1));
        const auto itself = probed.find(one.oid);
        one.of = itself != probed.end() ? itself->second : probed.at(static_cast<Oid>(rows.bigint(i, 2)));
        one.above = rows.boolean(i, 3);
        one.schema = rows.text_or(i, 4);
        one.name = rows.text_or(i, 5);
        one.kind = rows.text_or(i, 6, "r").front();
        one.partition = rows.boolean(i, 7);
        one.may_read = rows.boolean(i, 8);
        one.may_insert = rows.boolean(i, 9);
        one.may_update = rows.boolean(i, 10);
        one.may_delete = rows.boolean(i, 11);
        result.emplace(one.oid, std::move(one)); // the first: of several tables above, one
    }
    return result;
}

std::vector<std::string> oid_texts(const ProbeFamily &family) {
    std::vector<std::string> result;
    for (const auto &[oid, member] : family)
        result.push_back(std::to_string(oid));
    return result;
}

Uses uses_as(const Probe &probe, const ProbeTable &table, Oid role, const std::string &sql) {
    Uses result;
    ProbeSession session = probe.session(table, std::nullopt);
    session.role = role;
    const Attempt attempt = probe.attempt_work(session, [&] {
        result.all = relations_used(sql);
        return Attempt();
    });
    if (attempt.refused()) result.problem = attempt.shown();
    return result;
}

Uses uses_of(const Probe &probe, const ProbeTable &table, const std::string &sql) {
    return uses_as(probe, table, probe.role(), sql);
}

const std::string &DirectConditions::of(const FamilyMember &member) {
    const auto known = known_.find(member.oid);
    if (known != known_.end()) return known->second;
    const Uses uses = uses_of(probe_, *member.of, "SELECT FROM " + member.target());
    return known_[member.oid] = uses.all.empty() ? std::string() : uses.all.front().condition;
}

std::string write_attack(const char *attack, std::string_view command) {
    std::string result = std::string(attack) + "_";
    for (char c : command)
        result += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return result;
}

WriteVerdict judge_write(const Probe &probe, const ProbeTable &table, const ProbeFamily &family, const char *command,
                         const std::string &label, const std::vector<std::string> &columns) {
    const std::string_view which = command;
    Uses uses;
    if (which == "INSERT")
        uses = uses_of(probe, table, fmt::format("INSERT INTO {} DEFAULT VALUES", label));
    else if (which == "DELETE")
        uses = uses_of(probe, table, fmt::format("DELETE FROM {}", label));
    for (const std::string &column : columns) { // identity and generated columns can't be set
        if (which != "UPDATE") break;
        uses = uses_of(probe, table, fmt::format("UPDATE {} SET {} = NULL", label, quoted(column)));
        if (uses.problem.empty()) break;
    }
    if (!uses.problem.empty()) return {"SKIP", uses.problem, InvalidOid};
    for (const RelationUse &use : uses.all) {
        if (!use.written || !family.contains(use.relation)) continue;
        const std::string name = family.at(use.relation).label();
        if (which == "INSERT")
            return use.checked
                       ? WriteVerdict{"PASS", fmt::format("a policy of {} checks new rows", name), use.relation}
                       : WriteVerdict{"FAIL", fmt::format("no policy of {} checks new rows", name), use.relation};
        if (!use.filtered) return {"FAIL", fmt::format("no policy of {} holds", name), use.relation};
        if (which == "UPDATE" && !use.checked)
            return {"FAIL", fmt::format("no policy of {} checks changed rows", name), use.relation};
        return {"PASS", fmt::format("a policy of {} holds", name), use.relation};
    }
    return {"SKIP", "what it writes can't be told", InvalidOid};
}

std::string take_back(const Probe &probe, Oid relation, const std::string &what,
                      const std::vector<std::string> &privileges) {
    Rows rows = own_query(
        "SELECT DISTINCT g.grantee NOT IN (0, $2::oid), CASE WHEN g.grantee = 0 THEN 'PUBLIC' WHEN g.grantee = $2::oid "
        "THEN quote_ident(pg_get_userbyid(g.grantee)) ELSE (SELECT quote_ident(r.rolname) FROM pg_auth_members m JOIN "
        "pg_roles r ON r.oid = m.roleid WHERE m.member = $2::oid AND pg_has_role(m.roleid, g.grantee, 'USAGE') ORDER "
        "BY m.roleid = g.grantee DESC, 1 LIMIT 1) END FROM (SELECT (aclexplode(c.relacl)).* FROM pg_class c WHERE "
        "c.oid = $1::oid UNION ALL SELECT (aclexplode(a.attacl)).* FROM pg_attribute a WHERE a.attrelid = $1::oid) g "
        "JOIN pg_class c ON c.oid = $1::oid WHERE g.privilege_type = ANY ($3) AND g.grantee <> c.relowner AND CASE "
        "WHEN g.grantee = 0 THEN true ELSE pg_has_role($2::oid, g.grantee, 'USAGE') END ORDER BY 1, 2",
        {bigint_value(static_cast<std::int64_t>(relation)), bigint_value(static_cast<std::int64_t>(probe.role())),
         text_array_value(std::span<const std::string>(privileges))});
    std::string direct, members;
    for (std::size_t i = 0; i < rows.size(); i++)
        if (!rows.boolean(i, 1))
            direct += (direct.empty() ? "" : ", ") + rows.text_or(i, 2);
        else
            members +=
                fmt::format("{}REVOKE {} FROM {};", members.empty() ? "" : " ", rows.text_or(i, 2), probe.role_label());
    if (direct.empty() && members.empty()) {
        Rows all = own_query("SELECT r.rolname FROM pg_roles r WHERE r.rolname IN ('pg_read_all_data', "
                             "'pg_write_all_data') AND pg_has_role($1::oid, r.oid, 'USAGE') ORDER BY 1 LIMIT 1",
                             {bigint_value(static_cast<std::int64_t>(probe.role()))});
        if (!all.empty()) return fmt::format("REVOKE {} FROM {};", all.text_or(0, 1), probe.role_label());
        direct = probe.role_label();
    }
    if (direct.empty()) return members;
    return fmt::format("REVOKE {} ON {} FROM {};{}{}", fmt::join(privileges, ", "), what, direct,
                       members.empty() ? "" : " ", members);
}

std::string member_remedy(const Probe &probe, const FamilyMember &member, char command) {
    if (member.above) return take_back(probe, member.oid, member.label(), {"SELECT", "INSERT", "UPDATE", "DELETE"});
    ProbeTable table = *member.of;
    if (table.table.oid != member.oid) {
        auto itself = describe_table(member.oid);
        const Column *key = itself ? itself->find(table.key.name) : nullptr;
        if (!key) return "The table is gone: call probe_isolation again.";
        table.key = *key;
        table.table = std::move(*itself);
    }
    return policy_remedy(probe, table, command);
}

} // namespace tenantmig
