// Row-level security: whether it is on, everywhere and for everybody, and what its policies let through. Nothing of
// this is asked of a schema without any.
#include "core/excerpt.hpp"
#include "core/undo_text.hpp"

#include "steps/lint_isolation.hpp"

namespace tenantmig {

namespace {
const std::set<std::string> data_rights = {"SELECT", "INSERT", "UPDATE", "DELETE"};

std::string enable(const SecuredTable &table, const SecuredTable *above = nullptr) {
    return fmt::format("ALTER TABLE {} ENABLE ROW LEVEL SECURITY{};", table.label(),
                       above && above->forced ? ", FORCE ROW LEVEL SECURITY" : "");
}

// The step that isolates a table, or the one above it: a partition that was made since.
const IsolatedTable *step_of(const IsolationModel &model, const SecuredTable &table) {
    for (const IsolatedTable &one : model.isolated)
        if (one.table.oid == table.oid || one.table.oid == table.table->oid) return &one;
    return nullptr;
}

std::string create_one(const SecuredTable &table, const char *name, const std::string &roles,
                       const std::string &condition) {
    return fmt::format("CREATE POLICY {} ON {} TO {} USING ({}) WITH CHECK ({});", name, table.label(), roles,
                       condition, condition);
}

// Policies as isolate makes them, for the roles at hand; by its names where a step knows the table, so that verify and
// down know them, too.
std::string create_policies(const IsolationModel &model, const SecuredTable &table) {
    if (table.key_names.empty()) return fmt::format("-- CREATE POLICY … ON {} …", table.label());
    const std::string condition = tenant_comparison(model, table);
    std::vector<std::string> roles;
    const IsolatedTable *step = step_of(model, table);
    if (!step) {
        for (Oid role : model.application)
            roles.push_back(model.role(role));
        if (roles.empty()) return fmt::format("-- CREATE POLICY … ON {} TO … USING ({});", table.label(), condition);
        return create_one(table, "tenant", fmt::format("{}", fmt::join(roles, ", ")), condition);
    }
    for (const std::string &role : step->roles)
        roles.push_back(quoted(role));
    std::string result;
    const auto missing = [&](const char *name) {
        return std::none_of(table.policies.begin(), table.policies.end(),
                            [&](const LintPolicy &policy) { return policy.name == name; });
    };
    if (missing(tenant_policy))
        result = create_one(table, tenant_policy, fmt::format("{}", fmt::join(roles, ", ")), condition);
    if (!step->super_role.empty() && missing(super_policy))
        result += (result.empty() ? "" : " ") + create_one(table, super_policy, quoted(step->super_role), "true");
    return result;
}

void check_switched_on(Lint &lint, const IsolationModel &model, const SecuredTable &table) {
    const std::string object = table.label();
    const auto granted = model.granted(model.rights(table.oid), data_rights);
    if (!table.row_security && !table.policies.empty()) {
        lint.add(
            Severity::error, "policy_without_row_security", object,
            fmt::format("It has {}, and row-level security is off: {} nothing at all.",
                        table.policies.size() == 1 ? "a policy" : fmt::format("{} policies", table.policies.size()),
                        table.policies.size() == 1 ? "it holds" : "they hold"),
            enable(table));
        return;
    }
    if (table.row_security) {
        bool some = table.policies.empty() && model.application.empty();
        for (Oid role : model.application)
            for (const LintPolicy &policy : table.policies)
                some = some || (policy.permissive && model.applies(policy, role));
        for (const LintPolicy &policy : table.policies)
            some = some || (policy.permissive && model.applies(policy, everybody));
        if (!some || table.policies.empty())
            lint.add(Severity::warning, "row_security_without_policy", object,
                     table.policies.empty()
                         ? std::string("Row-level security is on, and there is no policy: nobody but the owner, "
                                       "if it is not forced, and superusers sees a row.")
                         : std::string("Row-level security is on, and no permissive policy is for a role of the "
                                       "application: to all of them it is empty."),
                     create_policies(model, table));
        return;
    }
    if (table.child) {
        if (!granted.empty())
            lint.add(Severity::error, "partition_without_row_security", object,
                     fmt::format("It is {} of {}, whose policies do not hold when it is named itself, and {} may do "
                                 "so.",
                                 table.partition ? "a partition" : "an inheritance child", table.table->label(),
                                 model.names(granted)),
                     fmt::format("{} {}", create_policies(model, table), enable(table, model.find(table.table->oid))));
        return;
    }
    if (table.oid == lint.model.root) {
        std::map<Oid, std::set<std::string>> writers =
            model.granted(model.rights(table.oid), {"INSERT", "UPDATE", "DELETE"});
        if (!writers.empty())
            lint.add(Severity::error, "tenant_root_writable", object,
                     fmt::format("{} may change the tenant root, which has no row-level security: other tenants too, "
                                 "and what is deleted by cascade is under no policy.",
                                 model.names(writers)),
                     fmt::format("REVOKE INSERT, UPDATE, DELETE ON {} FROM {};", object, model.names(writers)));
        return;
    }
    if (table.keys.empty()) return;
    lint.add(granted.empty() ? Severity::warning : Severity::error, "table_not_isolated", object,
             granted.empty()
                 ? std::string("Other tables of tenants have row-level security, and it has none. No role of the "
                               "application has rights on it now.")
                 : fmt::format("Other tables of tenants have row-level security, and it has none: {} reach{} the rows "
                               "of all tenants.",
                               model.names(granted), granted.size() == 1 ? "es" : ""),
             fmt::format("{} {}", create_policies(model, table), enable(table)));
}

// The owner passes its own policies unless they are forced on it. One that nobody logs in as does no work.
void check_forced(Lint &lint, const IsolationModel &model, const SecuredTable &table) {
    if (!table.row_security || table.forced || (table.isolated && !table.isolated->force)) return;
    const auto owner = model.roles.find(table.owner);
    if (owner == model.roles.end() || owner->second.superuser || owner->second.bypasses || !owner->second.login) return;
    lint.add(Severity::warning, "row_security_not_forced", table.label(),
             fmt::format("Its owner {} logs in, and passes the policies: whoever connects so sees all tenants.",
                         model.role(table.owner)),
             fmt::format("ALTER TABLE {} FORCE ROW LEVEL SECURITY;", table.label()));
}

// Values of other tenants keep a row out: an exclusion constraint without the tenant key.
void check_exclusion(Lint &lint, const SecuredTable &table) {
    if (table.child || !table.table->tenant_key || !table.row_security) return;
    for (const LintIndex &index : table.table->indexes) {
        if (index.constraint.empty() || index.unique || index.primary || index.contains(table.table->tenant_key))
            continue;
        lint.add(Severity::error, "exclusion_without_tenant", table.part(index.constraint),
                 "The exclusion constraint holds over all tenants: a tenant is refused a row because of another one's, "
                 "and learns so.",
                 fmt::format("ALTER TABLE {} DROP CONSTRAINT {}; -- then make it anew with {} WITH =", table.label(),
                             quoted(index.constraint), quoted(table.table->at(table.table->tenant_key).name)));
    }
}
} // namespace

std::string tenant_comparison(const IsolationModel &model, const SecuredTable &table) {
    const std::string &name = table.key_names.front();
    const auto described = describe_table(table.oid);
    const Column *key = described ? described->find(name) : nullptr;
    const IsolatedTable *step = step_of(model, table);
    // a cast to varchar(3) would make another tenant of a longer key: the cast of isolate never cuts
    return fmt::format("{} = (SELECT nullif(current_setting({}, true), '')::{})", quoted(name),
                       core::sql_literal(step ? step->setting : model.tenant_setting),
                       key ? tenant_cast_type(*key) : std::string("text"));
}

std::string shown(const std::string &expression) {
    return core::excerpt(expression, 200);
}

const char *command_name(char command) {
    switch (command) {
    case 'r':
        return "SELECT";
    case 'a':
        return "INSERT";
    case 'w':
        return "UPDATE";
    case 'd':
        return "DELETE";
    default:
        return "ALL";
    }
}

void lint_security_flags(Lint &lint, const IsolationModel &model) {
    for (const SecuredTable &table : model.tables) {
        check_switched_on(lint, model, table);
        check_forced(lint, model, table);
        check_exclusion(lint, table);
    }
}

void lint_isolation(Lint &lint) {
    const IsolationModel model(lint.model);
    if (!model.in_force()) return;
    for (auto *check : {lint_security_flags, lint_policies, lint_rights, lint_ways_around})
        check(lint, model);
}

} // namespace tenantmig
