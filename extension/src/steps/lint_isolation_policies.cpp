// What policies let through, and what they cost. How a condition is read: bridge/policy_condition.hpp.
#include "steps/lint_isolation.hpp"

namespace tenantmig {

namespace {
constexpr char commands[] = {'r', 'a', 'w', 'd'};

std::string alter_policy(const IsolationModel &model, const SecuredTable &table, const LintPolicy &policy) {
    const std::string condition = tenant_comparison(model, table);
    return fmt::format("ALTER POLICY {} ON {}{}{};", quoted(policy.name), table.label(),
                       policy.command == 'a' ? "" : fmt::format(" USING ({})", condition),
                       policy.check || policy.command == 'a' ? fmt::format(" WITH CHECK ({})", condition) : "");
}

std::string list(const std::vector<std::string> &names) {
    return fmt::format("{}", fmt::join(names, ", "));
}

// Roles that a policy is for, other than those that are meant to see all tenants.
std::vector<Oid> confined_roles(const IsolationModel &model, const LintPolicy &policy) {
    std::vector<Oid> result;
    for (Oid role : policy.roles)
        if (role == everybody || !model.super_roles.contains(role)) result.push_back(role);
    if (result.empty()) return result; // whoever becomes a member of such a role: role_can_bypass
    for (Oid role : model.application) // through membership of a group
        if (model.applies(policy, role) && std::find(result.begin(), result.end(), role) == result.end())
            result.push_back(role);
    return result;
}

// Whether a restrictive policy holds what this permissive one lets through, for each role and command it is about.
bool restricted(const IsolationModel &model, const SecuredTable &table, const LintPolicy &policy, bool new_rows) {
    for (Oid role : confined_roles(model, policy))
        for (char command : commands) {
            if (!policy.is_for(command) || (new_rows && command != 'a' && command != 'w') ||
                (!new_rows && command == 'a'))
                continue;
            bool held = false;
            for (const LintPolicy &other : table.policies)
                if (!other.permissive && other.is_for(command) && model.applies(other, role))
                    if (const LintCondition *condition = other.of(command, new_rows))
                        held = held || condition->condition.confined;
            if (!held) return false;
        }
    return true;
}

// Rows of other tenants by a condition that does not hold them back.
void check_reach(Lint &lint, const IsolationModel &model, const SecuredTable &table, const LintPolicy &policy) {
    if (!policy.permissive || table.keys.empty()) return;
    const std::string object = table.part(policy.name), key = quoted(table.key_names.front());
    if (confined_roles(model, policy).empty()) {
        const bool ours = policy.name == super_policy;
        if (!ours && policy.rows && !policy.rows->condition.confined)
            lint.add(Severity::info, "policy_all_tenants", object,
                     fmt::format("It shows {} the rows of all tenants.", model.role(policy.roles.front())), {});
        return;
    }
    // The state of rows first; what new rows must be is worth a word only where that holds. A key that may be NULL can
    // equal a tenant that is (IS NOT DISTINCT FROM).
    const LintColumn *column = table.table->find(table.key_names.front());
    const bool open = policy.rows && !policy.rows->condition.always &&
                      (policy.rows->condition.open_unset || policy.rows->condition.open_empty) &&
                      (!policy.rows->condition.confined || (column && !column->not_null));
    if (policy.rows && (open || !policy.rows->condition.confined) && !restricted(model, table, policy, false)) {
        const PolicyCondition &rows = policy.rows->condition;
        if (open)
            lint.add(Severity::error, "policy_open_without_tenant", object,
                     fmt::format("While the setting is {}, it holds for rows of every tenant, or of none: {}.",
                                 !rows.open_unset  ? "empty"
                                 : rows.open_empty ? "unset or empty"
                                                   : "unset",
                                 shown(policy.rows->text)),
                     alter_policy(model, table, policy));
        else if (!rows.open_part.empty())
            lint.add(Severity::warning, "policy_tenant_key_optional", object,
                     fmt::format("Rows of every tenant pass by one part of its condition, which does not compare the "
                                 "tenant key {}: {}.",
                                 key, shown(rows.open_part)),
                     alter_policy(model, table, policy));
        else
            lint.add(Severity::error, "policy_without_tenant_key", object,
                     fmt::format("It lets rows of every tenant pass: {}, {} the tenant key {}.",
                                 shown(policy.rows->text),
                                 rows.names_key ? "which does not hold rows to" : "which does not name", key),
                     alter_policy(model, table, policy));
    }
    const LintCondition *check = policy.check ? &*policy.check : nullptr; // missing: USING is taken, or no row passes
    if (check && !check->condition.confined && !restricted(model, table, policy, true) &&
        (!policy.rows || policy.rows->condition.confined))
        lint.add(
            Severity::error, "missing_with_check", object,
            fmt::format("{} rows of other tenants: WITH CHECK {}{}.",
                        policy.command == 'a' ? "It lets a tenant add" : "It lets a tenant add, or make its own into,",
                        shown(check->text), policy.rows ? " is weaker than USING" : ""),
            fmt::format("ALTER POLICY {} ON {} WITH CHECK ({});", quoted(policy.name), table.label(),
                        tenant_comparison(model, table)));
}

// current_setting() itself, or a function of the user's around it; now() costs nothing to speak of.
bool reads_setting(const IsolationModel &model, const PolicyCondition &condition, const std::string &call) {
    if (call == "current_setting") return true;
    return std::any_of(condition.functions.begin(), condition.functions.end(), [&](Oid oid) {
        const auto found = model.functions.find(oid);
        return found != model.functions.end() &&
               (call == quoted(found->second.name) || call == qualified(found->second.schema, found->second.name));
    });
}

void check_cost(Lint &lint, const IsolationModel &model, const SecuredTable &table, const LintPolicy &policy) {
    const std::string object = table.part(policy.name);
    std::set<std::string> volatile_calls, bare_calls, folded_calls, hidden;
    bool wrapped = false, fails_unset = false, fails_empty = false;
    for (const auto *side : {&policy.rows, &policy.check}) {
        if (!*side) continue;
        const PolicyFacts &facts = (*side)->facts;
        const PolicyCondition &condition = (*side)->condition;
        volatile_calls.insert(facts.volatile_calls.begin(), facts.volatile_calls.end());
        for (const std::string &call : facts.bare_calls)
            if (reads_setting(model, condition, call)) bare_calls.insert(call);
        folded_calls.insert(facts.folded_calls.begin(), facts.folded_calls.end());
        wrapped = wrapped || (condition.confined && condition.key_wrapped);
        fails_unset = fails_unset || (condition.fails_unset && !condition.settings.empty());
        fails_empty = fails_empty || (condition.fails_empty && !condition.settings.empty());
    }
    if (!volatile_calls.empty())
        lint.add(Severity::error, "volatile_policy_function", object,
                 fmt::format("{} VOLATILE: no index serves the condition, and every row of the table is asked (8,000 "
                             "times slower, measured).",
                             list({volatile_calls.begin(), volatile_calls.end()}) +
                                 (volatile_calls.size() == 1 ? " is" : " are")),
                 fmt::format("ALTER FUNCTION {} STABLE; -- if it is; a call inside of (SELECT) is made once a query",
                             *volatile_calls.begin()));
    if (!bare_calls.empty() && !table.keys.empty())
        lint.add(Severity::warning, "bare_current_setting", object,
                 fmt::format("{} stands outside of (SELECT …), and is called for each row (a scan takes 2.5 times as "
                             "long, measured).",
                             list({bare_calls.begin(), bare_calls.end()})),
                 alter_policy(model, table, policy));
    if (!folded_calls.empty())
        lint.add(
            Severity::error, "immutable_policy_function", object,
            fmt::format("{} called IMMUTABLE: it is computed when a plan is made, and a plan that is kept shows the "
                        "next tenant the rows of the one before.",
                        list({folded_calls.begin(), folded_calls.end()}) + (folded_calls.size() == 1 ? " is" : " are")),
            fmt::format("ALTER FUNCTION {} STABLE;", *folded_calls.begin()));
    if ((fails_unset || fails_empty) && !table.keys.empty())
        lint.add(
            Severity::warning, "current_setting_fails", object,
            fmt::format("While the setting is {}, queries fail instead of showing nothing. A setting is empty, not "
                        "unset, after a transaction that had set it.",
                        !fails_unset  ? "empty"
                        : fails_empty ? "unset or empty"
                                      : "unset"),
            alter_policy(model, table, policy));
    // (lower(domain)) may have an index of its own
    for (const LintIndex &index : table.table->indexes)
        if (!table.child && !index.columns.empty() && index.columns.front() == 0 && index.usable()) wrapped = false;
    if (wrapped)
        lint.add(Severity::warning, "policy_key_wrapped", object,
                 fmt::format("It compares an expression over the tenant key, so an index over {} is of no use to it.",
                             quoted(table.key_names.front())),
                 alter_policy(model, table, policy));
}

// A function that is declared better than it is: what it calls is VOLATILE.
void check_nested(Lint &lint, const IsolationModel &model, const SecuredTable &table, const LintPolicy &policy) {
    std::set<Oid> seen;
    std::vector<Oid> open;
    for (const auto *side : {&policy.rows, &policy.check})
        if (*side) open.insert(open.end(), (*side)->condition.functions.begin(), (*side)->condition.functions.end());
    while (!open.empty()) {
        const Oid oid = open.back();
        open.pop_back();
        const auto found = model.functions.find(oid);
        if (found == model.functions.end() || !seen.insert(oid).second) continue;
        const LintFunction &outer = found->second;
        if (outer.volatility == 'v') continue; // said already, unless it is asked once
        for (Oid called : called_functions(model, outer)) {
            const LintFunction &inner = model.functions.at(called);
            if (inner.volatility == 'v')
                lint.add(Severity::warning, "nested_volatile_function", table.part(policy.name),
                         fmt::format("{} is declared {} and calls {}, which is VOLATILE: the promise is not kept, and "
                                     "what a query sees depends on its plan.",
                                     outer.label(), outer.volatility == 'i' ? "IMMUTABLE" : "STABLE", inner.label()),
                         fmt::format("-- declare {} STABLE if it is, or do not call it", inner.label()));
            open.push_back(called);
        }
    }
}

// Conditions of restrictive policies come before those of permissive ones. A comparison of the tenant key that is not
// leakproof has to wait for them, and so is no condition of an index scan.
void check_leakproof(Lint &lint, const IsolationModel &, const SecuredTable &table, const LintPolicy &policy) {
    if (!policy.permissive || !policy.rows || !policy.rows->condition.confined || !policy.rows->condition.leaky) return;
    for (const LintPolicy &other : table.policies) {
        const bool both = !other.permissive && other.rows &&
                          (other.command == '*' || policy.command == '*' || other.command == policy.command);
        if (!both) continue;
        lint.add(Severity::warning, "policy_function_not_leakproof", table.part(policy.name),
                 fmt::format("The operator that compares the tenant key is not leakproof, so it waits for the "
                             "restrictive policy {}, and no index serves it.",
                             quoted(other.name)),
                 fmt::format("-- compare {} by an operator that is leakproof (those of integer, text and uuid are), or "
                             "put both conditions into one policy",
                             quoted(table.key_names.empty() ? "the key" : table.key_names.front())));
        return;
    }
}

void check_public(Lint &lint, const IsolationModel &model, const SecuredTable &table, const LintPolicy &policy) {
    if (std::find(policy.roles.begin(), policy.roles.end(), everybody) == policy.roles.end()) return;
    std::vector<std::string> roles;
    for (Oid role : model.application)
        roles.push_back(model.role(role));
    lint.add(
        Severity::info, "policy_to_public", table.part(policy.name),
        "It is for PUBLIC, so for every role that gets rights on the table, now or later.",
        roles.empty()
            ? fmt::format("-- ALTER POLICY {} ON {} TO the role of the application", quoted(policy.name), table.label())
            : fmt::format("ALTER POLICY {} ON {} TO {};", quoted(policy.name), table.label(), list(roles)));
}

// Permissive policies for the same role and command are joined by OR: each of them opens what another one closes. The
// policy of a role that sees all tenants is none of the application's.
void check_overlap(Lint &lint, const IsolationModel &model, const SecuredTable &table) {
    std::set<Oid> roles = model.application;
    roles.insert(everybody);
    for (Oid role : roles) {
        std::map<std::vector<std::string>, std::vector<std::string>> by_policies;
        for (char command : commands) {
            std::vector<std::string> names;
            bool own = role == everybody; // those that are all for PUBLIC are told as PUBLIC's
            for (const LintPolicy &policy : table.policies)
                if (policy.permissive && policy.is_for(command) && policy.of(command, command == 'a') &&
                    model.applies(policy, role) && !confined_roles(model, policy).empty()) {
                    names.push_back(quoted(policy.name));
                    own = own || !model.applies(policy, everybody);
                }
            if (names.size() > 1 && own) by_policies[names].push_back(command_name(command));
        }
        if (by_policies.empty()) continue;
        std::vector<std::string> told;
        for (const auto &[names, at] : by_policies)
            told.push_back(fmt::format("{} for {}", fmt::join(names, ", "), fmt::join(at, ", ")));
        const auto known = model.roles.find(role);
        lint.add(
            Severity::warning, "permissive_overlap",
            table.part(known == model.roles.end() ? "PUBLIC" : known->second.name),
            fmt::format("Several permissive policies hold for {} at once, and are joined by OR: {}. A row that one "
                        "of them lets pass has passed.",
                        model.role(role), fmt::join(told, "; ")),
            "-- keep one of them, or make the one that narrows down AS RESTRICTIVE");
    }
}
} // namespace

std::set<Oid> called_functions(const IsolationModel &model, const LintFunction &function) {
    std::set<Oid> result;
    if (function.stored_body) {
        for (Oid called : function.calls)
            if (model.functions.contains(called)) result.insert(called);
        return result;
    }
    const std::set<std::string> words = words_of(function.source);
    for (const auto &[oid, other] : model.functions)
        if (oid != function.oid && !other.trigger && words.contains(other.name + "(")) result.insert(oid);
    return result;
}

void lint_policies(Lint &lint, const IsolationModel &model) {
    for (const SecuredTable &table : model.tables) {
        for (const LintPolicy &policy : table.policies) {
            check_reach(lint, model, table, policy);
            check_cost(lint, model, table, policy);
            check_nested(lint, model, table, policy);
            check_leakproof(lint, model, table, policy);
            check_public(lint, model, table, policy);
        }
        check_overlap(lint, model, table);
    }
}

} // namespace tenantmig
