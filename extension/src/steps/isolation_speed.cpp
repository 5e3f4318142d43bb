// The one-tenant query of each table: under its policies, and with a literal predicate past them.
#include "core/excerpt.hpp"
#include "core/undo_text.hpp"

#include "bridge/identity.hpp"
#include "bridge/policy_facts.hpp"
#include "bridge/query_timeout.hpp"
#include "bridge/subtransaction.hpp"
#include "steps/isolation_speed.hpp"
#include "steps/probe_facts.hpp"

#include <cmath>

namespace tenantmig {

namespace {
constexpr int rounds = 5; // of measuring, interleaved, after one that warms up
constexpr int most_rounds = 25;
constexpr int time_limit = 10000;   // ms, of each execution
constexpr double unclear = 0.05;    // ms: two executions of one query differ by as much
constexpr double fair_share = 1.05; // a tenant this near to the average is typical

// 0 would make every table a large one.
constexpr char threshold[] = "coalesce(nullif(pg_size_bytes(current_setting('min_parallel_table_scan_size')), 0), "
                             "8388608)";

// A condition of several lines, in one cell.
std::string one_line(const std::string &text) {
    std::string result;
    for (const char c : text) {
        const bool blank = static_cast<unsigned char>(c) <= ' ';
        if (!blank)
            result += c;
        else if (!result.empty() && result.back() != ' ')
            result += ' ';
    }
    if (result.size() > 500) return core::excerpt(result, 500);
    return result;
}

std::string percent(double share) {
    return fmt::format("{:.1f} %", share * 100);
}

struct AppliedPolicy {
    Oid oid = InvalidOid;
    std::string name, condition;
    bool reads = true; // false: of UPDATE or DELETE alone
};

double median_of(std::vector<double> times) {
    const auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
    std::nth_element(times.begin(), middle, times.end());
    return *middle;
}

class TableSpeed {
public:
    TableSpeed(const Probe &probe, const ProbeTable &of, bool measure, std::vector<SpeedRow> &rows)
        : of_(of), table_{.probe = probe, .of = of}, measure_(measure), rows_(rows) {}

    void check() {
        read_table();
        if (!protected_by_policies()) return;
        const bool chosen = choose_tenant();
        if (chosen) {
            policy_ = plan_as_role(table_, table_.select(""));
            literal_ = plan_as_owner(table_, table_.select(table_.literal));
        }
        for (const AppliedPolicy &policy : policies_)
            check_policy(policy);
        if (!chosen || !planned()) return;
        check_index();
        check_cost();
        check_unequal();
        check_partitions();
        if (measure_) check_time();
        speed_of_indexes(table_, rows_);
    }

private:
    const ProbeTable &of_;
    SpeedTable table_;
    bool measure_;
    std::vector<SpeedRow> &rows_;
    SpeedStatistics statistics_;
    std::vector<AppliedPolicy> policies_;
    std::set<std::string> family_;       // qualified names: the table, its partitions and children
    std::vector<std::string> unindexed_; // large ones below the table without an index that leads with the tenant key
    SpeedPlan policy_, literal_;

    void add(const char *check_name, const std::string &object, std::string expected, std::string actual,
             std::optional<double> ratio, const char *status, std::string detail, std::string remedy) {
        SpeedRow row = table_.row(check_name, object);
        row.expected = std::move(expected);
        row.actual = std::move(actual);
        row.ratio = ratio;
        row.status = status;
        row.detail = std::move(detail);
        row.remedy = std::move(remedy);
        rows_.push_back(std::move(row));
    }

    void read_table() {
        const Rows size = own_query(fmt::format("{} SELECT sum(pg_relation_size(f.oid))::bigint, "
                                                "sum(pg_relation_size(f.oid)) >= {} FROM family f",
                                                speed_family, threshold),
                                    {bigint_value(of_.table.oid)});
        table_.bytes = size.bigint(0, 1);
        table_.large = size.boolean(0, 2);
        const Rows members = own_query(fmt::format("{} SELECT n.nspname, c.relname FROM family f JOIN pg_class c ON "
                                                   "c.oid = f.oid JOIN pg_namespace n ON n.oid = c.relnamespace",
                                                   speed_family),
                                       {bigint_value(of_.table.oid)});
        for (std::size_t i = 0; i < members.size(); i++)
            family_.insert(qualified(members.text_or(i, 1), members.text_or(i, 2)));
        const Rows bare = own_query(
            fmt::format("{} SELECT n.nspname, c.relname FROM family f JOIN pg_class c ON c.oid = f.oid AND c.relkind = "
                        "'r' JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = f.oid "
                        "AND a.attname = $2 WHERE f.oid <> $1::oid AND pg_relation_size(f.oid) >= {} AND NOT EXISTS "
                        "(SELECT FROM pg_index i WHERE i.indrelid = f.oid AND i.indisvalid AND i.indisready AND "
                        "i.indislive AND i.indpred IS NULL AND i.indkey[0] = a.attnum) ORDER BY 1, 2",
                        speed_family, threshold),
            {bigint_value(of_.table.oid), text_value(of_.key.name)});
        for (std::size_t i = 0; i < bare.size(); i++)
            unindexed_.push_back(qualified(bare.text_or(i, 1), bare.text_or(i, 2)));
        const Rows columns = own_query(
            "SELECT string_agg(format('t.%I', a.attname), ', ' ORDER BY a.attnum) FROM pg_attribute a WHERE a.attrelid "
            "= $1::oid AND a.attnum > 0 AND NOT a.attisdropped AND has_column_privilege($2::oid, $1::oid, a.attnum, "
            "'SELECT') AND has_schema_privilege($2::oid, (SELECT c.relnamespace FROM pg_class c WHERE c.oid = "
            "$1::oid), 'USAGE')",
            {bigint_value(of_.table.oid), bigint_value(table_.probe.role())});
        table_.columns = columns.text_or(0, 1);
        const Rows serving = own_query(
            fmt::format("{} SELECT n.nspname, c.relname FROM family f JOIN pg_index i ON i.indrelid = f.oid AND "
                        "i.indisvalid AND i.indisready AND i.indislive AND i.indpred IS NULL JOIN pg_class c ON c.oid "
                        "= i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON "
                        "a.attrelid = f.oid AND a.attnum = i.indkey[0] WHERE a.attname = $2",
                        speed_family),
            {bigint_value(of_.table.oid), text_value(of_.key.name)});
        for (std::size_t i = 0; i < serving.size(); i++)
            table_.serving.insert(qualified(serving.text_or(i, 1), serving.text_or(i, 2)));
    }

    // Whether there is something to compare: policies that let this role read.
    bool protected_by_policies() {
        const auto nothing = [this](std::string actual, std::string detail, std::string remedy) {
            add("row_security", "", "policies that apply to the role", std::move(actual), std::nullopt, "SKIP",
                std::move(detail), std::move(remedy));
            return false;
        };
        const std::string role = table_.probe.role_label();
        if (table_.columns.empty())
            return nothing("no privilege", fmt::format("{} may read no column: it has no query to compare.", role), "");
        const Rows state =
            own_query("SELECT c.relrowsecurity, (SELECT r.rolsuper OR r.rolbypassrls FROM pg_roles r WHERE r.oid = "
                      "$2::oid), pg_has_role($2::oid, c.relowner, 'USAGE') AND NOT c.relforcerowsecurity FROM pg_class "
                      "c WHERE c.oid = $1::oid",
                      {bigint_value(of_.table.oid), bigint_value(table_.probe.role())});
        if (state.empty()) return nothing("gone", "The table was dropped meanwhile.", "");
        if (!state.boolean(0, 1))
            return nothing("row-level security is off", "Every role sees all rows: nothing is filtered.",
                           fmt::format("ALTER TABLE {} ENABLE ROW LEVEL SECURITY;", of_.table.sql()));
        if (state.boolean(0, 2) || state.boolean(0, 3))
            return nothing("bypassed",
                           fmt::format("{} is a superuser, has BYPASSRLS, or has the rights of the owner, on whom "
                                       "nothing is forced: policies don't apply to it.",
                                       role),
                           "-- let the application use a role of its own: probe_isolation tells more");
        const Rows found =
            own_query("SELECT p.oid::bigint, p.polname, pg_get_expr(p.polqual, p.polrelid), p.polpermissive AND "
                      "p.polcmd IN ('*', 'r'), p.polcmd IN ('*', 'r') FROM pg_policy p WHERE p.polrelid = $1::oid AND "
                      "p.polqual IS NOT NULL "
                      "AND (0 = ANY (p.polroles) OR "
                      "EXISTS (SELECT FROM unnest(p.polroles) r WHERE pg_has_role($2::oid, r, 'USAGE'))) ORDER BY "
                      "p.polname",
                      {bigint_value(of_.table.oid), bigint_value(table_.probe.role())});
        bool permissive = false;
        for (std::size_t i = 0; i < found.size(); i++) {
            policies_.push_back(
                {static_cast<Oid>(found.bigint(i, 1)), found.text_or(i, 2), found.text_or(i, 3), found.boolean(i, 5)});
            permissive = permissive || found.boolean(i, 4);
        }
        if (!permissive)
            return nothing("no policy", fmt::format("No permissive policy lets {} read: it sees no row.", role), "");
        return true;
    }

    void check_policy(const AppliedPolicy &policy) {
        const PolicyFacts facts = policy_facts(policy.oid);
        const std::string once =
            fmt::format("-- write each call as (SELECT …); a policy by tenant alone: ALTER POLICY "
                        "{} ON {} USING ({});",
                        quoted(policy.name), of_.table.sql(), tenant_condition(of_.key, of_.setting));
        const char *expected = "computed once a query";
        const std::string detail = fmt::format("USING {}", one_line(policy.condition));
        if (!facts.volatile_calls.empty() && policy.reads && table_.uses_tenant_index(policy_))
            add("policy", policy.name, expected, fmt::format("VOLATILE: {}", fmt::join(facts.volatile_calls, ", ")),
                std::nullopt, "WARN",
                fmt::format("The tenant index is used all the same: PostgreSQL inlines a function in SQL today, and no "
                            "longer once it is changed. {}",
                            detail),
                fmt::format("-- declare the function STABLE if it is; {}", once.substr(3)));
        else if (!facts.volatile_calls.empty())
            add("policy", policy.name, expected, fmt::format("VOLATILE: {}", fmt::join(facts.volatile_calls, ", ")),
                std::nullopt, "FAIL",
                fmt::format("Each row is asked, and no index can be used for the condition. {}", detail),
                fmt::format("-- declare the function STABLE if it is; {}", once.substr(3)));
        else if (!facts.folded_calls.empty())
            add("policy", policy.name, expected, fmt::format("IMMUTABLE: {}", fmt::join(facts.folded_calls, ", ")),
                std::nullopt, "FAIL",
                fmt::format(
                    "It is computed when a plan is made: a plan that is kept (a prepared statement, a function) "
                    "goes on with the tenant of that moment. {}",
                    detail),
                fmt::format("-- declare the function STABLE; {}", once.substr(3)));
        else if (facts.row_subquery)
            add("policy", policy.name, expected, "a subquery for each row", std::nullopt, "WARN",
                fmt::format("It depends on the row, so that it can run once for each. plan_cost says what it costs. {}",
                            detail),
                "-- turn it round: key IN (SELECT … of the current user), which is computed once");
        else if (!facts.bare_calls.empty())
            add("policy", policy.name, expected, fmt::format("bare: {}", fmt::join(facts.bare_calls, ", ")),
                std::nullopt, "WARN",
                fmt::format("Outside of (SELECT …) it is called again for each row that is filtered, which a scan pays "
                            "with more than twice the time. {}",
                            detail),
                once);
        else
            add("policy", policy.name, expected, expected, std::nullopt, "PASS", detail, "");
    }

    bool choose_tenant() {
        statistics_ = read_speed_statistics(of_);
        double share = 0;
        if (statistics_.known) {
            table_.typical = typical_tenant(statistics_, share);
        } else if (table_.large) {
            add("statistics", of_.key.name, "statistics of the tenant key", "none", std::nullopt, "WARN",
                "The planner guesses how many rows a tenant has, under the policy and with a literal alike.",
                fmt::format("ANALYZE {};", of_.table.sql()));
        }
        if (!table_.typical) table_.typical = any_tenant(of_);
        if (!table_.typical) {
            add("plan_cost", "", fmt::format("at most {} times", most_cost), "no rows", std::nullopt, "SKIP",
                "The table holds no row with a tenant key: there is nothing to compare.", "");
            return false;
        }
        table_.literal = tenant_predicate(of_, *table_.typical, false);
        table_.blind = tenant_predicate(of_, *table_.typical, true);
        table_.fair = !statistics_.known || std::abs(std::log(share / statistics_.average)) <= std::log(fair_share);
        return true;
    }

    bool planned() {
        for (const SpeedPlan *plan : {&policy_, &literal_}) {
            if (plan->failure.empty()) continue;
            const bool says_nothing = plan->undecided || plan == &literal_;
            add("plan_cost", "", fmt::format("at most {} times the literal predicate's", most_cost), "no plan",
                std::nullopt, says_nothing ? "SKIP" : "FAIL",
                fmt::format("The query of one tenant fails{}. {}", plan == &policy_ ? "" : " for the owner",
                            plan->failure),
                "");
            return false;
        }
        return true;
    }

    void check_index() {
        const char *expected = "the plan uses an index that leads with the tenant key";
        const bool used = table_.uses_tenant_index(policy_);
        const auto name = [&](const SpeedPlan &plan) {
            for (const SpeedPlan::IndexUse &use : plan.indexes)
                if (table_.serving.contains(qualified(use.schema, use.index))) return use.index;
            return std::string();
        };
        const std::string size = table_.bytes < 1048576 ? fmt::format("{} kB", table_.bytes / 1024)
                                                        : fmt::format("{} MB", table_.bytes / 1048576);
        if (!unindexed_.empty() && !table_.serving.empty()) {
            std::string names;
            for (std::size_t i = 0; i < unindexed_.size() && i < 5; i++)
                names += (i ? ", " : "") + unindexed_[i];
            add("tenant_index", unindexed_.front(), expected,
                fmt::format("{} large partitions or children have none", unindexed_.size()), std::nullopt, "FAIL",
                fmt::format("They are read whole: {}{}.", names, unindexed_.size() > 5 ? " …" : ""),
                fmt::format("CREATE INDEX CONCURRENTLY ON {} ({});", unindexed_.front(), quoted(of_.key.name)));
        } else if (used) {
            add("tenant_index", name(policy_), expected, "used", std::nullopt, "PASS", "", "");
        } else if (table_.serving.empty()) {
            if (table_.large)
                add("tenant_index", "", expected, "there is no such index", std::nullopt, "FAIL",
                    fmt::format("Each query reads the whole table ({}), with a literal predicate too.", size),
                    tenant_index_sql(table_));
            else
                add("tenant_index", "", expected, "there is no such index", std::nullopt, "WARN",
                    fmt::format("At this size ({}) the whole table is read either way. It will grow.", size),
                    tenant_index_sql(table_));
        } else if (table_.uses_tenant_index(literal_)) {
            add("tenant_index", name(literal_), expected, "not used, though it is with a literal predicate",
                std::nullopt, "FAIL", "The policies in force keep the planner from it.", remedy_of_policies());
        } else {
            add("tenant_index", "", expected, "not used, with a literal predicate neither", std::nullopt, "PASS",
                table_.large ? fmt::format("A tenant has {} of the rows on average: the planner reads the whole table "
                                           "({}) because that is cheaper.",
                                           statistics_.known ? percent(statistics_.average) : "an unknown share", size)
                             : "At this size the whole table is read either way.",
                "");
        }
    }

    std::string remedy_of_policies() const {
        std::string names;
        for (const AppliedPolicy &policy : policies_)
            names += (names.empty() ? "" : ", ") + quoted(policy.name);
        return fmt::format("-- {} on {}: one permissive policy for the role, with the condition {}", names,
                           of_.table.sql(), tenant_condition(of_.key, of_.setting));
    }

    // The costs of the same tables in both plans: partitions that a literal leaves out when the query is planned, a
    // policy leaves out when it is executed, and the planner's sum knows nothing of that.
    void check_cost() {
        double policy = policy_.cost, literal = literal_.cost;
        std::string detail =
            fmt::format("Planned for tenant {}, about {:.0f} rows.", core::excerpt(*table_.typical), literal_.rows);
        const bool pruned = own(literal_) < own(policy_);
        if (!table_.fair || pruned) {
            const SpeedPlan blind = plan_as_owner(table_, table_.select(table_.blind));
            literal = blind.cost;
            if (pruned) {
                policy = literal = 0;
                for (const auto &[name, cost] : literal_.relation) {
                    policy += part(policy_, name);
                    literal += part(blind, name);
                }
            }
            detail =
                table_.fair
                    ? fmt::format("Compared are the {} of {} partitions that hold tenant {}.", literal_.relation.size(),
                                  policy_.relation.size(), core::excerpt(*table_.typical))
                    : fmt::format("Tenants are so unequal that none has about the average share ({}): the literal "
                                  "predicate is planned without sight of its value, as the policy's is.",
                                  percent(statistics_.average));
        }
        const double ratio = literal > 0 ? policy / literal : 1;
        const bool fails = ratio > most_cost;
        add("plan_cost", "", fmt::format("at most {} times the literal predicate's", most_cost),
            fmt::format("{:.2f} against {:.2f}", policy, literal), ratio, fails ? "FAIL" : "PASS", detail,
            fails ? remedy_of_policies() : "");
    }

    // How many of the table itself and of what is below it a plan reads: a policy may read other tables, too.
    std::ptrdiff_t own(const SpeedPlan &plan) const {
        return std::count_if(plan.relation.begin(), plan.relation.end(),
                             [this](const auto &one) { return family_.contains(one.first); });
    }

    static double part(const SpeedPlan &plan, const std::string &name) {
        const auto found = plan.relation.find(name);
        return found == plan.relation.end() ? 0 : found->second;
    }

    // A policy's plan is made for the average tenant. Where tenants are unequal, it is wrong for some.
    void check_unequal() {
        if (table_.fair || !table_.large || table_.serving.empty()) return;
        const std::optional<std::string> small =
            statistics_.other ? statistics_.other
                              : (statistics_.common.empty() ? std::nullopt : statistics_.common.back().first);
        if (!small || statistics_.common.empty()) return;
        const auto &[largest, share] = statistics_.common.front();
        const SpeedPlan plan = plan_as_owner(table_, table_.select(tenant_predicate(of_, *small, false)));
        const bool harmed = table_.uses_tenant_index(plan) && !table_.uses_tenant_index(policy_);
        add("unequal_tenants", of_.key.name, "a plan that suits small tenants too",
            harmed ? "the whole table is read for each" : "the tenant index is used for each",
            plan.cost > 0 ? std::optional(policy_.cost / plan.cost) : std::nullopt, harmed ? "WARN" : "PASS",
            fmt::format("One plan serves all tenants; it is made for {} of the rows. Tenant {} has {}; tenant {} would "
                        "get {:.2f} with a literal, and gets {:.2f}.",
                        percent(statistics_.average), core::excerpt(largest.value_or("")), percent(share),
                        core::excerpt(*small), plan.cost, policy_.cost),
            harmed ? fmt::format("ALTER TABLE {0} ALTER COLUMN {1} SET (n_distinct = 1000); ANALYZE {0}; -- makes the "
                                 "planner expect small tenants",
                                 of_.table.sql(), quoted(of_.key.name))
                   : "");
    }

    void check_partitions() {
        if (own(literal_) >= own(policy_)) return;
        add("partition_pruning", "", "only the tenant's partitions are read", "when the query is executed",
            std::nullopt, "PASS",
            fmt::format("A literal leaves {} of {} partitions out when the query is planned. The value of a policy is "
                        "known when it is executed: the others stand in the plan, are opened and locked, and are not "
                        "read.",
                        own(policy_) - own(literal_), own(policy_)),
            "");
    }

    void check_time() {
        std::vector<double> policy, literal;
        SpeedPlan last, owners;
        const bool indexed = table_.uses_tenant_index(policy_);
        const double most = indexed ? most_cost : most_sequential;
        const std::string expected = fmt::format("at most {} times the literal predicate's", most);
        // What else the machine does only lengthens executions: medians above the limit are asked again, up to 25
        // times, and what the fastest executions don't confirm is no finding.
        double median_policy = 0, median_literal = 0, ratio = 1;
        for (int i = 0; i <= rounds || (ratio > most && i <= most_rounds); i++) {
            if (i % 2) last = plan_as_role(table_, table_.select(""), true);
            owners = plan_as_owner(table_, table_.select(table_.literal), true);
            if (i % 2 == 0) last = plan_as_role(table_, table_.select(""), true);
            std::string failure = owners.failure.empty() ? last.failure : owners.failure;
            if (failure.empty() && last.time > time_limit)
                failure = fmt::format("An execution takes longer than {} s.", time_limit / 1000);
            if (!failure.empty()) {
                add("execution_time", "", expected, "not measured", std::nullopt, "SKIP", failure, "");
                return;
            }
            if (last.returned != owners.returned) {
                add("execution_time", "", expected, "not comparable", std::nullopt, "SKIP",
                    fmt::format("Tenant {} sees {:.0f} rows under the policy and has {:.0f}.",
                                core::excerpt(*table_.typical), last.returned, owners.returned),
                    "-- call probe_isolation: it says which rows");
                return;
            }
            if (i == 0) continue; // warms up
            literal.push_back(owners.time);
            policy.push_back(last.time);
            median_policy = median_of(policy);
            median_literal = median_of(literal);
            ratio = median_literal > 0 ? median_policy / median_literal : 1;
            if (i > rounds && last.time + owners.time > time_limit / 10.0) break; // long ones are sure enough
        }
        const double best_policy = *std::min_element(policy.begin(), policy.end());
        const double best_literal = *std::min_element(literal.begin(), literal.end());
        const bool above = ratio > most;
        const bool slow = above && best_policy > most * best_literal && best_policy - best_literal > unclear;
        std::string detail =
            fmt::format("Tenant {}, {:.0f} rows, medians of {} executions each in turn, planning not included.",
                        core::excerpt(*table_.typical), last.returned, policy.size());
        if (above) detail += fmt::format(" The fastest: {:.3f} ms against {:.3f} ms.", best_policy, best_literal);
        if (last.never_started) detail += fmt::format(" {} partitions were not read.", last.never_started);
        const bool prunes = own(literal_) < own(policy_); // opening what is not read takes its time
        add("execution_time", "", expected, fmt::format("{:.3f} ms against {:.3f} ms", median_policy, median_literal),
            ratio,
            !slow    ? "PASS"
            : prunes ? "WARN"
                     : "FAIL",
            std::move(detail), slow ? remedy_of_policies() : "");
    }
};
} // namespace

std::string SpeedTable::select(const std::string &where) const {
    return fmt::format("SELECT {} FROM {} AS t{}{}", columns, of.table.sql(), where.empty() ? "" : " WHERE ", where);
}

bool SpeedTable::uses_tenant_index(const SpeedPlan &plan) const {
    return std::any_of(plan.indexes.begin(), plan.indexes.end(), [this](const SpeedPlan::IndexUse &use) {
        return serving.contains(qualified(use.schema, use.index)) &&
               use.condition.find(quoted(of.key.name)) != std::string::npos;
    });
}

SpeedRow SpeedTable::row(const char *check_name, const std::string &object) const {
    SpeedRow row;
    row.relation = of.table.label();
    row.check_name = check_name;
    row.object = object;
    row.acted_as = probe.role_label();
    return row;
}

std::string tenant_index_sql(const SpeedTable &table, const std::string &more) {
    return fmt::format("CREATE INDEX{} ON {} ({}{});", table.of.table.kind == RELKIND_RELATION ? " CONCURRENTLY" : "",
                       table.of.table.sql(), quoted(table.of.key.name), more.empty() ? "" : ", " + more);
}

namespace {
// Of the session that calls: plans are to be those that it would get.
struct PlannerSettings {
    std::string workers, jit;
} planner;

void set_planner() {
    run_query("SELECT pg_catalog.set_config('max_parallel_workers_per_gather', $1, true), "
              "pg_catalog.set_config('jit', $2, true)",
              {text_value(planner.workers), text_value(planner.jit)});
}

std::string explain(const std::string &sql, bool analyze) {
    set_planner();
    const Rows rows =
        run_query(fmt::format("EXPLAIN ({}VERBOSE, FORMAT JSON) {}", analyze ? "ANALYZE, TIMING OFF, " : "", sql));
    return rows.text_or(0, 1);
}

SpeedPlan failed(const Attempt &attempt) {
    SpeedPlan plan;
    plan.failure = fmt::format("{}: {}", attempt.sqlstate, core::excerpt(attempt.message, 200));
    plan.undecided = attempt.undecided();
    return plan;
}
} // namespace

SpeedPlan plan_as_owner(const SpeedTable &table, const std::string &sql, bool analyze) {
    std::string text;
    try {
        Subtransaction undone;
        RunAs owner(table.of.table.owner, Purpose::read);
        QueryTimeout limit(time_limit);
        text = explain(sql, analyze);
        limit.finish();
    } catch (const PgError &error) {
        const int state = error.data()->sqlerrcode;
        const bool ours = state == ERRCODE_QUERY_CANCELED && QueryTimeout::expired();
        if (!ours && (ERRCODE_TO_CATEGORY(state) == ERRCODE_OPERATOR_INTERVENTION || state == ERRCODE_OUT_OF_MEMORY))
            throw;
        Attempt attempt;
        attempt.sqlstate = unpack_sql_state(state);
        attempt.message = ours ? fmt::format("takes longer than {} s", time_limit / 1000) : std::string(error.what());
        return failed(attempt);
    }
    return read_speed_plan(text);
}

SpeedPlan plan_as_role(const SpeedTable &table, const std::string &sql, bool analyze) {
    const Attempt attempt = table.probe.attempt_work(table.probe.session(table.of, table.typical), [&] {
        Attempt result;
        result.values = {{explain(sql, analyze)}};
        return result;
    });
    if (attempt.refused()) return failed(attempt);
    return read_speed_plan(attempt.values[0][0].value_or(""));
}

std::vector<SpeedRow> isolation_speed(const ProbeOptions &options, bool measure) {
    std::vector<SpeedRow> rows;
    Subtransaction everything;
    fire_deferred_as_caller(); // it must not fire while a plan is made under another name
    const ProbeScope scope = resolve_probe(options);
    const Rows settings =
        own_query("SELECT current_setting('max_parallel_workers_per_gather'), current_setting('jit')");
    planner = {settings.text_or(0, 1), settings.text_or(0, 2)};
    ProbeFacts facts;
    for (std::size_t i = 0; i < scope.roles.size(); i++) {
        const Probe probe(options, scope, i, facts);
        for (const ProbeTable &table : probe.tables())
            if (!OidIsValid(table.parent)) // those below it are read through it, under its policies
                TableSpeed(probe, table, measure, rows).check();
    }
    everything.undo();
    return rows;
}

} // namespace tenantmig
