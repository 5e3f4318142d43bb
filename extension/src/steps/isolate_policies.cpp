#include "bridge/policy.hpp"
#include "core/excerpt.hpp"

#include "steps/isolate.hpp"

namespace tenantmig {

namespace {
constexpr const char *everything = "true";

std::vector<Policy> policies_as_extension(Oid table) {
    RunAs self(extension_owner(), Purpose::read);
    return policies_of(table);
}

std::string role_list(const std::vector<RoleSite> &roles) {
    std::string list;
    for (const RoleSite &role : roles)
        list += (list.empty() ? "" : ", ") + quoted(role.name);
    return list;
}

std::set<Oid> oids_of(const std::vector<RoleSite> &roles) {
    std::set<Oid> oids;
    for (const RoleSite &role : roles)
        oids.insert(role.oid);
    return oids;
}

bool is_ours(const Policy &policy, Oid table, const std::string &condition, const std::set<Oid> &roles) {
    if (policy.command != '*' || !policy.permissive || std::set<Oid>(policy.roles.begin(), policy.roles.end()) != roles)
        return false;
    RunAs self(extension_owner(), Purpose::read); // parsing alone: nothing of the user's runs
    return policy_is(policy, table, condition);
}

const Policy *by_name(const std::vector<Policy> &policies, std::string_view name) {
    for (const Policy &policy : policies)
        if (policy.name == name) return &policy;
    return nullptr;
}

std::string create_policy(const Table &table, const char *name, const std::string &roles,
                          const std::string &condition) {
    return fmt::format("CREATE POLICY {} ON {} FOR ALL TO {} USING ({}) WITH CHECK ({})", quoted(name), table.sql(),
                       roles, condition, condition);
}
} // namespace

std::string policy_defect(const IsolationRecord &row, const Table &table, bool forced) {
    const Column *key = isolated_key(row, table);
    if (!key) return fmt::format("its tenant key {} is gone", quoted(row.column));
    const std::vector<Policy> policies = policies_as_extension(table.oid);
    auto look = [&](const char *name, const std::string &condition, const std::set<Oid> &roles) -> std::string {
        const Policy *policy = by_name(policies, name);
        if (!policy) return fmt::format("policy {} is gone", name);
        return is_ours(*policy, table.oid, condition, roles) ? "" : fmt::format("policy {} was changed", name);
    };
    if (std::string defect = look(tenant_policy, tenant_condition(*key, row.setting), oids_of(row.roles));
        !defect.empty())
        return defect;
    if (row.super_role)
        if (std::string defect = look(super_policy, everything, {row.super_role->oid}); !defect.empty()) return defect;
    const RowSecurity flags = row_security_of(table.oid);
    if (!flags.enabled) return "row-level security is not enabled";
    if (forced && !flags.forced) return "row-level security is not forced on the owner";
    return {};
}

bool has_our_policies(Oid table) {
    const std::vector<Policy> policies = policies_as_extension(table);
    return by_name(policies, tenant_policy) || by_name(policies, super_policy);
}

void make_policies(const IsolateMember &member, const IsolateScope &scope) {
    const Table &table = member.table;
    const std::vector<Policy> policies = policies_as_extension(table.oid);
    auto make = [&](const char *name, const std::string &condition, const std::vector<RoleSite> &roles) {
        if (const Policy *policy = by_name(policies, name)) {
            if (is_ours(*policy, table.oid, condition, oids_of(roles))) return;
            change_as_owner(table, fmt::format("DROP POLICY {} ON {}", quoted(name), table.sql()));
        }
        change_as_owner(table, create_policy(table, name, role_list(roles), condition));
    };
    make(tenant_policy, tenant_condition(member.key, scope.setting), scope.roles);
    if (scope.super_role) make(super_policy, everything, {*scope.super_role});
    if (!row_security_of(table.oid).enabled)
        change_as_owner(table, fmt::format("ALTER TABLE {} ENABLE ROW LEVEL SECURITY", table.sql()));
}

void force_policies(const Table &table) {
    change_as_owner(table, fmt::format("ALTER TABLE {} FORCE ROW LEVEL SECURITY", table.sql()));
}

void take_policies(const Table &table, bool row_security, bool force) {
    const RowSecurity now = row_security_of(table.oid);
    if (now.forced != force)
        change_as_owner(table,
                        fmt::format("ALTER TABLE {} {}FORCE ROW LEVEL SECURITY", table.sql(), force ? "" : "NO "));
    if (now.enabled != row_security)
        change_as_owner(table, fmt::format("ALTER TABLE {} {} ROW LEVEL SECURITY", table.sql(),
                                           row_security ? "ENABLE" : "DISABLE"));
    const std::vector<Policy> policies = policies_as_extension(table.oid);
    for (const char *name : {tenant_policy, super_policy})
        if (by_name(policies, name))
            change_as_owner(table, fmt::format("DROP POLICY {} ON {}", quoted(name), table.sql()));
}

} // namespace tenantmig
