#include "core/undo_text.hpp"

#include "bridge/subtransaction.hpp"
#include "catalog/own_tables.hpp"
#include "steps/probe_attack.hpp"

namespace tenantmig {

ProbeAccess probe_access(const Probe &probe, const ProbeTable &table) {
    ProbeAccess access;
    Rows rows = own_query(
        "SELECT a.attnum::integer, has_schema_privilege($1, c.relnamespace, 'USAGE'), has_table_privilege($1, c.oid, "
        "'SELECT'), has_table_privilege($1, c.oid, 'DELETE'), c.relhasrules, has_column_privilege($1, c.oid, a.attnum, "
        "'SELECT'), has_column_privilege($1, c.oid, a.attnum, 'INSERT'), has_column_privilege($1, c.oid, a.attnum, "
        "'UPDATE') FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped "
        "WHERE c.oid = $2",
        {{OIDOID, ObjectIdGetDatum(probe.role()), false}, {OIDOID, ObjectIdGetDatum(table.table.oid), false}});
    for (std::size_t i = 0; i < rows.size(); i++) {
        const auto number = static_cast<AttrNumber>(rows.bigint(i, 1));
        access.usage = rows.boolean(i, 2);
        access.select = rows.boolean(i, 3);
        access.removal = rows.boolean(i, 4);
        access.rules = rows.boolean(i, 5);
        if (rows.boolean(i, 6)) access.reads.insert(number);
        if (rows.boolean(i, 7)) access.inserts.insert(number);
        if (rows.boolean(i, 8)) access.updates.insert(number);
    }
    return access;
}

// What names a tenant by the equality of its key is no attack: ' 1' is 1 as a number, and 'A' is 'a' where a collation
// says so.
bool names_tenant(const Probe &probe, const ProbeTable &table, const std::string &value) {
    const auto matrix = probe.as_owner(table.table,
                                       fmt::format("SELECT 1 FROM {} AS t WHERE t.{} {} CAST($1 AS {}) LIMIT 1",
                                                   table.table.sql(), quoted(table.key.name),
                                                   equality_operator(table.key.type), type_label(table.key.type)),
                                       {{text_value(value)}}, 1);
    return matrix && !matrix->empty(); // a text that is no value of the type names nobody
}

namespace {
std::optional<std::string> unknown_tenant(const Probe &probe, const ProbeTable &table) {
    const Oid type = table.key.type;
    std::vector<std::string> guesses;
    if (type == INT2OID)
        guesses = {"32767", "32766", "-32768"};
    else if (type == INT4OID || type == INT8OID || type == NUMERICOID)
        guesses = {"2147483647", "2147483646", "-7"};
    else if (type == UUIDOID)
        guesses = {"7f3a0000-0000-4000-8000-00000000d1ce"};
    else if (type == TEXTOID || type == VARCHAROID || type == BPCHAROID)
        guesses = {"no such tenant", "~"};
    for (const std::string &guess : guesses)
        if (!names_tenant(probe, table, guess)) return guess;
    return std::nullopt;
}

} // namespace

std::optional<std::string> outsider(const Probe &probe, const ProbeTable &table) {
    for (const ProbeTable &other : probe.tables())
        if (other.table.oid != table.table.oid && other.parent == InvalidOid && other.key.type == table.key.type)
            for (const auto &[tenant, count] : probe.owned(other))
                if (!tenant.empty() && !probe.owned(table).contains(tenant) && !names_tenant(probe, table, tenant))
                    return tenant;
    return unknown_tenant(probe, table);
}

namespace {
// Whether the text is a value of the key's type.
bool is_tenant(const Probe &probe, const ProbeTable &table, const std::string &text) {
    return probe
        .as_owner(table.table, fmt::format("SELECT CAST($1 AS {})", type_label(table.key.type)), {{text_value(text)}},
                  1)
        .has_value();
}
} // namespace

std::vector<ProbePair> attack_pairs(const Probe &probe, const ProbeTable &table) {
    std::vector<ProbePair> pairs = probe.pairs(table);
    if (!pairs.empty()) return pairs;
    if (const auto &named = probe.options().tenants) {
        for (const auto &[victim, count] : probe.owned(table))
            for (const std::string &tenant : *named)
                if (pairs.empty() && tenant != victim && !tenant.empty() && !victim.empty() &&
                    is_tenant(probe, table, tenant))
                    pairs = {{tenant, victim}};
        return pairs;
    }
    for (const auto &[victim, count] : probe.owned(table))
        if (const auto tenant = victim.empty() ? std::nullopt : outsider(probe, table)) pairs = {{*tenant, victim}};
    return pairs;
}

std::string key_is(const ProbeTable &table, int parameter) {
    return fmt::format("t.{} {} ${}", quoted(table.key.name), equality_operator(table.key.type), parameter);
}

std::string key_is_not(const ProbeTable &table, int parameter) {
    return "(" + key_is(table, parameter) + ") IS NOT TRUE";
}

namespace {
struct PolicyText {
    std::string name, text, revoke; // revoke: the membership by which it holds; empty: it is meant for the role
    char command = '*';
};

// The membership of the role that leads to another one, to revoke.
std::string revoke_membership(const Probe &probe, Oid role) {
    Rows rows =
        own_query("SELECT r.rolname FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid WHERE m.member = "
                  "$1 AND pg_has_role(m.roleid, $2, 'USAGE') ORDER BY m.roleid = $2 DESC, 1 LIMIT 1",
                  {{OIDOID, ObjectIdGetDatum(probe.role()), false}, {OIDOID, ObjectIdGetDatum(role), false}});
    return fmt::format("REVOKE {} FROM {};", quoted(rows.empty() ? role_name(role) : rows.text_or(0, 1)),
                       probe.role_label());
}

std::string new_condition(const ProbeTable &table, const PolicyText &policy) {
    const std::string condition = tenant_condition(table.key, table.setting);
    const std::string alter = fmt::format("ALTER POLICY {} ON {}", quoted(policy.name), table.table.label());
    if (policy.command == 'a') return fmt::format("{} WITH CHECK ({});", alter, condition);
    if (policy.command == 'r' || policy.command == 'd') return fmt::format("{} USING ({});", alter, condition);
    return fmt::format("{} USING ({}) WITH CHECK ({});", alter, condition, condition);
}
} // namespace

std::string policy_remedy(const Probe &probe, const ProbeTable &table, char command) {
    const std::string label = table.table.label(), role = probe.role_label();
    const Value role_value{OIDOID, ObjectIdGetDatum(probe.role()), false};
    const Value oid{OIDOID, ObjectIdGetDatum(table.table.oid), false};
    Rows facts =
        own_query("SELECT r.rolbypassrls, c.relrowsecurity, c.relforcerowsecurity, pg_has_role($1, c.relowner, "
                  "'USAGE'), c.relowner = $1, c.relowner::bigint FROM pg_class c, pg_roles r WHERE c.oid = $2 "
                  "AND r.oid = $1",
                  {role_value, oid});
    if (facts.empty()) return "The table or the role is gone: call probe_isolation again.";
    if (facts.boolean(0, 1)) return fmt::format("ALTER ROLE {} NOBYPASSRLS;", role);
    const bool enabled = facts.boolean(0, 2), forced = facts.boolean(0, 3);
    const bool owns = facts.boolean(0, 4), is_owner = facts.boolean(0, 5);
    const auto owner = static_cast<Oid>(facts.bigint(0, 6));
    Rows rows = own_query(
        "SELECT p.polname, p.polcmd, concat_ws(' ', pg_get_expr(p.polqual, p.polrelid), "
        "pg_get_expr(p.polwithcheck, p.polrelid)), CASE WHEN p.polroles && ARRAY[0::oid, $1] THEN 0 ELSE (SELECT "
        "min(r.oid::bigint) FROM unnest(p.polroles) AS r (oid) WHERE pg_has_role($1, r.oid, 'USAGE')) "
        "END::bigint FROM pg_policy p WHERE p.polrelid = $2 AND "
        "p.polpermissive AND p.polcmd IN ('*', $3) AND EXISTS (SELECT FROM unnest(p.polroles) AS r "
        "(oid) WHERE CASE WHEN r.oid = 0 THEN true ELSE pg_has_role($1, r.oid, 'USAGE') END) ORDER BY 1",
        {role_value, oid, {CHAROID, CharGetDatum(command), false}});
    std::vector<PolicyText> policies, strangers; // strangers: that say nothing of the tenant
    for (std::size_t i = 0; i < rows.size(); i++) {
        const std::string kind = rows.text_or(i, 2);
        const auto through = static_cast<Oid>(rows.bigint(i, 4));
        policies.push_back({rows.text_or(i, 1), rows.text_or(i, 3),
                            OidIsValid(through) ? revoke_membership(probe, through) : std::string(),
                            kind.empty() ? '*' : kind.front()});
        if (policies.back().text.find(table.setting) == std::string::npos &&
            policies.back().text.find(table.key.name) == std::string::npos)
            strangers.push_back(policies.back());
    }
    if (!enabled) {
        const std::string enable = fmt::format("ALTER TABLE {} ENABLE ROW LEVEL SECURITY;", label);
        if (!policies.empty()) return enable;
        const std::string condition = tenant_condition(table.key, table.setting);
        // There may be one of that name, for other roles.
        Rows taken = own_query("SELECT EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = $1 AND p.polname = $2)",
                               {oid, text_value(tenant_policy)});
        const std::string name = tenant_policy + std::string(taken.boolean(0, 1) ? "_2" : "");
        return fmt::format("CREATE POLICY {} ON {} TO {} USING ({}) WITH CHECK ({}); {}", name, label, role, condition,
                           condition, enable);
    }
    if (owns && !forced)
        return is_owner ? fmt::format("ALTER TABLE {} FORCE ROW LEVEL SECURITY;", label)
                        : revoke_membership(probe, owner);
    for (const PolicyText &policy : strangers.empty() ? policies : strangers)
        if (!policy.revoke.empty()) return policy.revoke;
    if (policies.size() == 1) return new_condition(table, policies.front());
    if (strangers.size() == 1) return new_condition(table, strangers.front());
    std::string names;
    for (const PolicyText &policy : strangers.empty() ? policies : strangers)
        names += (names.empty() ? "" : ", ") + quoted(policy.name);
    if (names.empty())
        return fmt::format("No policy lets {} do this: look for a function or a trigger that writes for it.", role);
    return fmt::format("Permissive policies add up, and one of {} on {} lets {} through: drop it, or let it compare {} "
                       "with the setting {}.",
                       names, label, role, quoted(table.key.name), table.setting);
}

namespace {
// A row may have values that its types refuse by now: of a domain with a constraint NOT VALID, inside of an array.
bool writable(const ProbeTable &table, const ProbeSample &sample) {
    try {
        Subtransaction undone;
        for (const Column &column : table.table.columns)
            (void)cell_value(table, column, sample.cells.at(column.number));
        return true;
    } catch (const PgError &error) {
        const int state = error.data()->sqlerrcode;
        if (ERRCODE_TO_CATEGORY(state) == ERRCODE_OPERATOR_INTERVENTION || state == ERRCODE_OUT_OF_MEMORY) throw;
    }
    return false;
}
} // namespace

std::optional<ProbeSample> probe_sample(const Probe &probe, const ProbeTable &table, const std::string &tenant) {
    ProbeSample sample;
    bool primary = false;
    sample.identity = row_identity(table.table.oid, &primary);
    std::string list = "t.ctid, t.tableoid";
    for (const Column &column : table.table.columns)
        list += ", t." + quoted(column.name);
    const Value key = Probe::key_value(table, tenant);
    const auto matrix = probe.as_owner(
        table.table,
        fmt::format("SELECT {} FROM {} AS t WHERE {} LIMIT 1", list, table.table.target(), key_is(table, 1)), {{key}},
        1);
    if (!matrix || matrix->empty()) return std::nullopt;
    const auto &row = matrix->front();
    sample.ctid = row.at(0).value_or("");
    sample.tableoid = row.at(1).value_or("");
    std::size_t place = 2;
    for (const Column &column : table.table.columns)
        sample.cells.emplace(column.number, row.at(place++));
    if (!writable(table, sample)) return std::nullopt;
    return sample;
}

Value cell_value(const ProbeTable &table, const Column &column, const std::optional<std::string> &text) {
    if (!text) return null_value(column.type);
    RunAs owner(table.table.owner, Purpose::read); // a domain's CHECK may call user code
    return {column.type, datum_from_text(column.type, column.typmod, *text), false};
}

std::string sample_is(const ProbeTable &table, const ProbeSample &sample, std::vector<Value> &values) {
    if (sample.identity.empty()) {
        values.push_back({TIDOID, datum_from_text(TIDOID, -1, sample.ctid), false});
        values.push_back({OIDOID, datum_from_text(OIDOID, -1, sample.tableoid), false});
        return fmt::format("t.ctid OPERATOR(pg_catalog.=) ${} AND t.tableoid OPERATOR(pg_catalog.=) ${}",
                           values.size() - 1, values.size());
    }
    std::string condition;
    for (const AttrNumber number : sample.identity) {
        const Column &column = table.table.at(number);
        values.push_back(cell_value(table, column, sample.cells.at(number)));
        condition += fmt::format("{}t.{} {} ${}", condition.empty() ? "" : " AND ", quoted(column.name),
                                 equality_operator(column.type), values.size());
    }
    return condition;
}

bool can_find(const ProbeAccess &access, const ProbeSample &sample) {
    if (!access.usage) return false;
    if (sample.identity.empty()) return access.select;
    return std::all_of(sample.identity.begin(), sample.identity.end(),
                       [&](AttrNumber number) { return access.reads_column(number); });
}

std::string sample_label(const ProbeTable &table, const ProbeSample &sample) {
    if (sample.identity.empty()) return "ctid " + sample.ctid;
    std::string label;
    for (const AttrNumber number : sample.identity)
        label += fmt::format("{}{} {}", label.empty() ? "" : ", ", quoted(table.table.at(number).name),
                             sample.cells.at(number).value_or("NULL"));
    return label;
}

std::string rows_of(std::int64_t count, const char *what) {
    return fmt::format("{} {}{}", count, count == 1 ? "row" : "rows", what);
}

std::string limited_rows(std::int64_t count) {
    return count >= seen_limit ? fmt::format("{} rows or more", seen_limit) : rows_of(count, "");
}

} // namespace tenantmig
