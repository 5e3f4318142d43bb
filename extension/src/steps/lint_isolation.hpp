// What lint looks at where there is row-level security: policies, roles, rights, and ways around. Read once, as the
// model of the schema; everything stands in the catalogue, and nothing of a user's is run.
#pragma once
#include "bridge/policy_condition.hpp"
#include "bridge/policy_facts.hpp"
#include "catalog/isolation_store.hpp"
#include "steps/lint_checks.hpp"

namespace tenantmig {

inline constexpr Oid everybody = InvalidOid; // PUBLIC, as a grantee or among the roles of a policy

struct LintRole {
    Oid oid = InvalidOid;
    std::string name;
    bool superuser = false, login = false, bypasses = false, creates_roles = false, replicates = false;
};

// One side of a policy: USING or WITH CHECK.
struct LintCondition {
    std::string tree, text;
    PolicyCondition condition;
    PolicyFacts facts;
};

struct LintPolicy {
    Oid oid = InvalidOid;
    std::string name;
    bool permissive = true;
    char command = '*'; // pg_policy.polcmd: r SELECT, a INSERT, w UPDATE, d DELETE, * all
    std::vector<Oid> roles;
    std::optional<LintCondition> rows, check; // USING, WITH CHECK

    bool is_for(char one) const { return command == '*' || command == one; }
    // What rows are held to when this command reads or changes them ('a': adds them). PostgreSQL takes USING where
    // WITH CHECK is missing. nullptr: no row at all.
    const LintCondition *of(char one, bool new_rows) const;
};

// A tenant table of the scope, or a partition or inheritance child of one, which can be named and read by itself.
struct SecuredTable {
    Oid oid = InvalidOid, owner = InvalidOid;
    std::string schema, name;
    const LintTable *table = nullptr; // it, or the one above it
    bool child = false, partition = false, row_security = false, forced = false;
    std::vector<AttrNumber> keys; // the tenant key, and other columns that lead to the tenant root; empty: none
    std::vector<std::string> key_names;
    std::vector<LintPolicy> policies;
    const IsolatedTable *isolated = nullptr; // by an applied step
    std::string label() const { return qualified(schema, name); }
    std::string part(const std::string &what) const { return label() + "." + quoted(what); }
};

// A view, materialised or not, that reads tables directly.
struct LintView {
    Oid oid = InvalidOid, owner = InvalidOid;
    std::string schema, name;
    bool materialized = false, invoker = false;
    std::set<Oid> reads;
    std::string label() const { return qualified(schema, name); }
};

// What makes a function run that need not be called: a trigger, for whoever writes where it is.
struct LintFired {
    Oid relation = InvalidOid;
    std::string schema, label;
    std::set<std::string> privileges; // one of which it takes
};

// An aggregate that calls a function with the rights of its own owner: the caller needs none on the function.
struct LintAggregate {
    Oid oid = InvalidOid;
    std::string schema, label;
};

// A rule of a table or view for INSERT, UPDATE or DELETE: what it does, it does as the owner.
struct LintRule {
    Oid relation = InvalidOid, owner = InvalidOid;
    std::string schema, table, name, privilege;
    std::set<Oid> reads; // its own table apart, of which OLD and NEW are
    std::string label() const { return qualified(schema, table); }
};

struct LintFunction {
    Oid oid = InvalidOid, owner = InvalidOid, schema_oid = InvalidOid;
    std::string schema, name, arguments, source, language;
    bool definer = false, leakproof = false, pinned = false, trigger = false, stored_body = false, procedure = false;
    char volatility = 'v';
    std::set<Oid> reads, calls; // by dependency: of bodies that PostgreSQL keeps parsed
    std::vector<LintFired> fired;
    std::vector<LintAggregate> aggregates;
    std::string label() const { return fmt::format("{}({})", qualified(schema, name), arguments); }
};

class IsolationModel {
public:
    IsolationModel(const LintModel &model);

    // Whether there is row-level security in scope at all.
    bool in_force() const { return in_force_; }

    const LintModel &model;
    std::map<Oid, LintRole> roles;
    std::vector<SecuredTable> tables; // by label
    std::map<Oid, LintView> views;
    std::map<Oid, LintFunction> functions;  // of users
    std::vector<LintRule> rules;            // of users, in order of their names
    std::set<Oid> application, super_roles; // as lint takes them; never PUBLIC
    std::set<std::string> settings;         // that policies read
    std::string tenant_setting;             // that names the tenant: by a step, else the one that most policies read
    std::vector<IsolatedTable> isolated;

    using Rights = std::map<Oid, std::set<std::string>>; // by grantee, PUBLIC included, the owner left out
    const Rights &rights(Oid relation) const;
    const Rights &schema_rights(const std::string &schema) const;
    const Rights &function_rights(Oid function) const;

    std::string role(Oid oid) const; // quoted; PUBLIC
    // Whether what is granted to `grantee` is `role`'s without further ado.
    bool has(Oid role, Oid grantee) const;
    // Whether `role` can become `other` by SET ROLE or is it by inheritance, through grants; not because it is a
    // superuser.
    bool can_become(Oid role, Oid other) const;
    // The statement that ends it: of the role's own membership that leads there.
    std::string leave(Oid role, Oid other) const;
    // Those of the application and PUBLIC that have one of the privileges, by whom it is granted to: what to revoke.
    std::map<Oid, std::set<std::string>> granted(const Rights &rights, const std::set<std::string> &privileges,
                                                 bool others = false) const;
    std::string names(const std::map<Oid, std::set<std::string>> &grantees) const;

    bool applies(const LintPolicy &policy, Oid role) const;
    // Whether a role reads rows of all tenants: past row-level security, or by a policy of its own.
    bool sees_all(Oid role, const SecuredTable &table) const;
    // Whether new (or old) rows of a command are confined to a tenant for this role.
    bool confined(const SecuredTable &table, Oid role, char command, bool new_rows) const;
    const SecuredTable *find(Oid table) const;
    bool usable_schema(Oid role, const std::string &schema) const;

private:
    bool in_force_ = false;
    std::map<Oid, Rights> relation_rights_, function_rights_;
    std::map<std::string, Rights> schema_rights_;

    std::map<Oid, std::set<Oid>> memberships_; // direct ones

    void read_roles();
    void read_memberships();
    void read_tables();
    void read_policies();
    void read_rights();
    void read_views();
    void read_functions();
    void read_runs();
    void read_rules();
    void find_roles();
};

// Names in the text of a function, without its comments: as SQL folds them, without schema; those that are called with
// "(" behind them as well. What stands in string constants counts, since they may become statements.
std::set<std::string> words_of(const std::string &source);
// Functions of users that a function calls: by dependency, or by their names in its text.
std::set<Oid> called_functions(const IsolationModel &model, const LintFunction &function);

// key = (SELECT nullif(current_setting('…', true), '')::type): what a remedy proposes. The table has a tenant key.
std::string tenant_comparison(const IsolationModel &model, const SecuredTable &table);

// A condition in words, cut.
std::string shown(const std::string &expression);
const char *command_name(char command);

void lint_policies(Lint &lint, const IsolationModel &model);
void lint_security_flags(Lint &lint, const IsolationModel &model);
void lint_rights(Lint &lint, const IsolationModel &model);
void lint_ways_around(Lint &lint, const IsolationModel &model);

} // namespace tenantmig
