// metrics: how migrations stand, in Prometheus' text format.
#include "commands.hpp"
#include "messages.hpp"
#include "output_file.hpp"
#include "prometheus.hpp"
#include <array>
#include <fmt/format.h>
#include <span>

namespace tenantmig::client {

namespace {

// A query whose first column, if it is called migration, is a label; the others are the metrics in this order.
struct Group {
    const char *sql;
    std::span<const Metric> metrics;
};

constexpr std::array health_metrics{
    Metric{"tenantmig_health", "Health of the migration: 0 GREEN, 1 YELLOW, 2 RED."},
    Metric{"tenantmig_soak_seconds", "For how long observations have been good, as the gate reckons it."},
    Metric{"tenantmig_last_observation_timestamp_seconds", "When the migration was last observed."},
    Metric{"tenantmig_last_deep_observation_timestamp_seconds", "When it was last observed with mismatches counted."},
};
constexpr const char *health_sql =
    "SELECT h.migration, CASE h.health WHEN 'GREEN' THEN 0 WHEN 'YELLOW' THEN 1 WHEN 'RED' THEN 2 END, "
    "pg_catalog.date_part('epoch', h.soak), pg_catalog.date_part('epoch', h.last_observed), "
    "pg_catalog.date_part('epoch', h.last_deep) FROM tenantmig.health h ORDER BY h.migration";

constexpr std::array observation_metrics{
    Metric{"tenantmig_nulls", "Rows without a tenant key at the last observation."},
    Metric{"tenantmig_new_nulls", "Rows without a tenant key that came in since the run."},
    Metric{"tenantmig_unknown_tenants", "Rows whose tenant does not exist."},
    Metric{"tenantmig_open_reviews", "Rows that wait for a decision."},
    Metric{"tenantmig_guards_missing", "Guards that are gone, disabled or loosened."},
    Metric{"tenantmig_constraints_missing", "Enforced constraints that are gone or loosened."},
    Metric{"tenantmig_drift", "What guards let pass although it was not right."},
};
constexpr const char *observation_sql =
    "SELECT DISTINCT ON (o.migration) o.migration, o.nulls, o.new_nulls, o.unknown_tenants, o.open_reviews, "
    "o.guards_missing, o.constraints_missing, o.drift FROM tenantmig.observations o "
    "ORDER BY o.migration, o.observed_at DESC, o.id DESC";

constexpr std::array deep_metrics{
    Metric{"tenantmig_mismatches", "Rows whose tenant contradicts the evidence, at the last deep observation."},
};
constexpr const char *deep_sql =
    "SELECT DISTINCT ON (o.migration) o.migration, o.mismatches FROM tenantmig.observations o "
    "WHERE o.deep ORDER BY o.migration, o.observed_at DESC, o.id DESC";

constexpr std::array run_metrics{
    Metric{"tenantmig_run_active", "Whether somebody is at work on the latest run."},
    Metric{"tenantmig_run_failed", "Whether the latest run has failed or was interrupted."},
    Metric{"tenantmig_run_rows", "Rows that the latest run has to do."},
    Metric{"tenantmig_run_rows_done", "Rows that the latest run has done."},
    Metric{"tenantmig_run_rows_per_second", "Rate of the run that is under way."},
    Metric{"tenantmig_run_batch_rows", "Rows of a batch of the run that is under way."},
    Metric{"tenantmig_run_throttled", "Whether the run that is under way holds back."},
    Metric{"tenantmig_run_last_progress_timestamp_seconds",
           "When the run that is under way last told of its progress."},
};
constexpr const char *run_sql =
    "SELECT DISTINCT ON (r.migration) r.migration, r.state OPERATOR(pg_catalog.=) 'running', "
    "r.state OPERATOR(pg_catalog.=) ANY ('{failed,interrupted}'), coalesce(p.rows_total, r.row_total), "
    "coalesce(p.rows_done, r.row_done), p.rate, p.batch_rows, "
    "CASE WHEN p.run_id IS NOT NULL THEN p.throttle IS NOT NULL END, pg_catalog.date_part('epoch', p.updated_at) "
    "FROM tenantmig.runs r LEFT JOIN tenantmig.stat_progress p ON p.run_id OPERATOR(pg_catalog.=) r.id "
    "ORDER BY r.migration, r.id DESC";

constexpr std::array enforcement_metrics{
    Metric{"tenantmig_enforced_constraints", "Constraints that enforce has applied."},
    Metric{"tenantmig_enforcement_interrupted",
           "Constraints that enforce or relax has begun with and left unfinished."},
};
constexpr const char *enforcement_sql =
    "SELECT m.migration, pg_catalog.count(*) FILTER (WHERE e.state OPERATOR(pg_catalog.=) 'enforced'), "
    "pg_catalog.count(*) FILTER (WHERE e.interrupted) FROM tenantmig.migrations m LEFT JOIN tenantmig.enforcements e "
    "ON e.migration OPERATOR(pg_catalog.=) m.migration GROUP BY m.migration ORDER BY m.migration";

constexpr std::array server_metrics{
    Metric{"tenantmig_guard_refusals_total", "Writes that guards have refused.", MetricType::counter},
    Metric{"tenantmig_replica_lag_seconds", "Longest time by which a replica is behind, where we may know."},
};
constexpr const char *server_sql =
    "SELECT (SELECT g.refusals FROM tenantmig.guard_refusals g), "
    "(SELECT pg_catalog.max(pg_catalog.date_part('epoch', a.replay_lag)) FROM pg_catalog.pg_stat_replication a)";

constexpr std::array groups{
    Group{health_sql, health_metrics}, Group{observation_sql, observation_metrics}, Group{deep_sql, deep_metrics},
    Group{run_sql, run_metrics},       Group{enforcement_sql, enforcement_metrics}, Group{server_sql, server_metrics},
};

constexpr Metric info{"tenantmig_info", "The extension that was asked; its version is a label."};

} // namespace

ExitStatus metrics(const GlobalOptions &global, const std::string &output) {
    Connection connection = connect_checked(global);
    connection.query("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"); // numbers of one moment
    connection.query("SET LOCAL jit = off"); // of views like health, which join much and read little, it costs seconds
    MetricText text;
    const Labels database{{"database", connection.database()}};
    text.add(info, {database.front(), {"version", TENANTMIG_VERSION}}, "1");
    for (const Group &group : groups) {
        const Result found = connection.query(group.sql);
        const bool has_label = !found.columns.empty() && found.columns.front().name == "migration";
        for (const auto &row : found.rows) {
            Labels labels = database;
            if (has_label) labels.emplace_back("migration", row.front().value_or(""));
            for (std::size_t at = 0; at < group.metrics.size(); ++at)
                text.add(group.metrics[at], labels, row.at(at + (has_label ? 1 : 0)));
        }
    }
    connection.query("COMMIT");
    if (output.empty()) {
        print_text(text.text());
        flush_output();
    } else {
        replace_file(output, text.text());
    }
    return ExitStatus::done;
}

} // namespace tenantmig::client
