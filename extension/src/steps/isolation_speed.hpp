// isolation_speed(): whether row-level security slows the application down. Each table's one-tenant query, planned (and
// on request timed) as the application under its policies, against the same query by the owner with the tenant written
// out; conditions that the policies keep from using an index; policies that are evaluated row by row.
#pragma once
#include "steps/probe_scope.hpp"

namespace tenantmig {

struct SpeedRow {
    std::string relation, check_name, object, expected, actual;
    std::optional<double> ratio; // under the policy, to the literal predicate: of planner's costs, or of times
    std::string status;          // PASS, WARN, FAIL, SKIP (nothing could be compared)
    std::string detail, remedy;
    std::string acted_as; // the role of the application, quoted as SQL needs it
};

// Errors: those of resolve_probe().
std::vector<SpeedRow> isolation_speed(const ProbeOptions &options, bool measure);

// ---- the pieces of it

struct SpeedPlan { // what EXPLAIN says
    struct IndexUse {
        std::string schema, index, condition;
    };
    double cost = 0;
    double rows = 0;                        // estimated
    std::map<std::string, double> relation; // cost of the nodes that read it, by its qualified name
    std::vector<IndexUse> indexes;
    int sequential = 0;     // nodes that read a table whole
    int never_started = 0;  // nodes that EXPLAIN ANALYZE did not start: pruned partitions
    double time = 0;        // ms, of EXPLAIN ANALYZE: execution only
    double returned = 0;    // rows
    std::string failure;    // SQLSTATE and message, if the query could not even be planned …
    bool undecided = false; // … for a reason that tells nothing of it: a lock, a limit
};
SpeedPlan read_speed_plan(const std::string &explained);

// What the planner knows of the tenant key.
struct SpeedStatistics {
    bool known = false;
    double average = 0;                                                // share of the rows that a tenant has
    std::vector<std::pair<std::optional<std::string>, double>> common; // tenants and their shares, most rows first
    std::optional<std::string> other;                                  // a tenant that is none of these …
    double other_share = 0;                                            // … and its share
};

SpeedStatistics read_speed_statistics(const ProbeTable &of);
// The tenant whose share is nearest to the average: for it a planner that sees the value expects what one expects that
// does not. `share`: the one that it has.
std::optional<std::string> typical_tenant(const SpeedStatistics &statistics, double &share);
// Of any tenant: where nothing is known of the tenant key.
std::optional<std::string> any_tenant(const ProbeTable &of);
// "t.key = value"; blind: with a value that the planner does not see.
std::string tenant_predicate(const ProbeTable &of, const std::string &tenant, bool blind);

// WITH … family: the table $1 itself, and its partitions and children of all levels.
inline constexpr char speed_family[] =
    "WITH RECURSIVE family(oid) AS (SELECT $1::oid UNION SELECT i.inhrelid FROM pg_inherits i "
    "JOIN family f ON f.oid = i.inhparent) ";

// One table of the call, as one role.
struct SpeedTable {
    const Probe &probe;
    const ProbeTable &of;
    std::string columns{};                // that the role may read: a select list
    std::optional<std::string> typical{}; // a tenant with about as many rows as the average one
    std::string literal{};                // the predicate for it: "key" = 'value'
    std::string blind{};                  // the same with a value that the planner does not see
    bool fair = true;                     // the planner expects as many rows of `typical` as of a tenant that it does
                                          // not see: literal and policy can be compared as they are
    std::int64_t bytes = 0;               // with partitions and children
    bool large = false;                   // from min_parallel_table_scan_size on
    // Index names, qualified, of the table and what is below it, that lead with the tenant key and leave no row out.
    std::set<std::string> serving{};

    std::string select(const std::string &where) const;
    bool uses_tenant_index(const SpeedPlan &plan) const;
    SpeedRow row(const char *check_name, const std::string &object) const;
};

// Plans, or with `analyze` executes, a query as the owner past row-level security / as the application with the typical
// tenant; undone. An error of the query is in the result.
SpeedPlan plan_as_owner(const SpeedTable &table, const std::string &sql, bool analyze = false);
SpeedPlan plan_as_role(const SpeedTable &table, const std::string &sql, bool analyze = false);

constexpr double most_cost = 1.1; // of the issue: what a policy may cost, planned, and timed through an index
constexpr double most_sequential = 1.15;

// Indexes with a column whose conditions a policy keeps out (isolation_speed_index.cpp).
void speed_of_indexes(const SpeedTable &table, std::vector<SpeedRow> &rows);
// SQL that makes an index that leads with the tenant key.
std::string tenant_index_sql(const SpeedTable &table, const std::string &more = {});

} // namespace tenantmig
