#include "catalog/observation_store.hpp"

namespace tenantmig {

namespace {
Value optional_bigint(const std::optional<std::int64_t> &number) {
    return number ? bigint_value(*number) : null_value(INT8OID);
}

std::optional<PastSample> past_sample(const Rows &rows) {
    if (rows.empty()) return std::nullopt;
    return PastSample{rows.text_or(0, 1), rows.text_or(0, 2, "{}"), std::atof(rows.text_or(0, 3, "0").c_str())};
}
} // namespace

void insert_observation(const ObservationRecord &observation) {
    own_query("INSERT INTO tenantmig.observation (migration_id, observed_at, "
              "deep, good, health, reasons, nulls, "
              "new_nulls, unknown_tenants, mismatches, open_reviews, "
              "guards_missing, constraints_missing, drift, "
              "samples, checks, duration, observed_by) VALUES ($1, $2, $3, $4, "
              "$5, $6, $7, $8, $9, $10, $11, $12, $13, "
              "$14, $15::jsonb, $16::jsonb, $17 * interval '1 microsecond', $18)",
              {bigint_value(observation.migration_id), timestamp_value(observation.at), boolean_value(observation.deep),
               boolean_value(observation.good), text_value(observation.health), text_array_value(observation.reasons),
               optional_bigint(observation.nulls), optional_bigint(observation.new_nulls),
               optional_bigint(observation.unknown_tenants), optional_bigint(observation.mismatches),
               bigint_value(observation.open_reviews), int_value(observation.guards_missing),
               int_value(observation.constraints_missing), optional_bigint(observation.drift),
               text_value(observation.samples), text_value(observation.checks), bigint_value(observation.duration),
               text_value(actor_name())});
}

std::optional<PastSample> last_observation(std::int64_t migration, TimestampTz now) {
    return past_sample(own_query("SELECT health, samples, extract(epoch FROM $2 - observed_at) "
                                 "/ 3600 FROM "
                                 "tenantmig.observation WHERE migration_id = $1 ORDER BY "
                                 "observed_at DESC, id DESC "
                                 "LIMIT 1",
                                 {bigint_value(migration), timestamp_value(now)}));
}

std::optional<PastSample> last_deep_observation(std::int64_t migration, TimestampTz now) {
    return past_sample(own_query("SELECT health, samples, extract(epoch FROM $2 - observed_at) "
                                 "/ 3600 FROM "
                                 "tenantmig.observation WHERE migration_id = $1 AND deep ORDER "
                                 "BY observed_at DESC, "
                                 "id DESC LIMIT 1",
                                 {bigint_value(migration), timestamp_value(now)}));
}

std::optional<PastSample> rate_reference(std::int64_t migration, TimestampTz now) {
    return past_sample(own_query("SELECT x.health, x.samples, extract(epoch FROM $2 - x.at) / 3600 FROM ("
                                 "(SELECT health, samples, observed_at AS at, 1 AS choice FROM "
                                 "tenantmig.observation WHERE migration_id = $1 "
                                 "AND observed_at <= $2 - interval '1 hour' ORDER BY observed_at DESC "
                                 "LIMIT 1) UNION ALL "
                                 "(SELECT health, samples, observed_at, 2 FROM tenantmig.observation "
                                 "WHERE migration_id = $1 AND "
                                 "observed_at <= $2 ORDER BY observed_at LIMIT 1) UNION ALL "
                                 "(SELECT 'GREEN', samples, taken_at, 3 FROM tenantmig.baseline WHERE "
                                 "migration_id = $1 AND taken_at <= $2)) x "
                                 "WHERE x.samples ? 'counters' ORDER BY x.choice LIMIT 1",
                                 {bigint_value(migration), timestamp_value(now)}));
}

std::vector<HealthFact> health_facts(std::int64_t migration) {
    Rows rows = own_query("SELECT level, weight, kind, reason FROM "
                          "tenantmig.health_facts WHERE migration_id = $1 "
                          "ORDER BY level, weight, reason",
                          {bigint_value(migration)});
    std::vector<HealthFact> facts;
    for (std::size_t i = 0; i < rows.size(); i++)
        facts.push_back(
            {{rows.text_or(i, 1), static_cast<int>(rows.bigint(i, 2)), false, rows.text_or(i, 4)}, rows.text_or(i, 3)});
    return facts;
}

std::int64_t count_open_reviews(std::int64_t migration) {
    Rows rows =
        own_query("SELECT open_reviews FROM tenantmig.open_reviews WHERE migration_id = $1", {bigint_value(migration)});
    return rows.empty() ? 0 : rows.bigint(0, 1);
}

std::int64_t count_drift(const std::string &migration, std::optional<std::int64_t> since_run) {
    return own_query("SELECT count(*) FROM tenantmig.drift_log d WHERE "
                     "d.migration = $1 AND d.guard IS NOT "
                     "NULL AND d.kind NOT IN ('guard_gone', 'guard_disabled') "
                     "AND ($2 IS NULL OR "
                     "d.happened_at > (SELECT r.finished_at FROM "
                     "tenantmig.run_log r WHERE r.id = $2))",
                     {text_value(migration), optional_bigint(since_run)})
        .bigint(0, 1);
}

std::int64_t count_guards(const std::string &migration) {
    return own_query("SELECT count(*) FROM tenantmig.guards WHERE migration = $1", {text_value(migration)})
        .bigint(0, 1);
}

std::int64_t count_enforced(std::int64_t migration) {
    return own_query("SELECT count(*) FROM tenantmig.enforcement WHERE "
                     "migration_id = $1 AND state = 'enforced'",
                     {bigint_value(migration)})
        .bigint(0, 1);
}

std::optional<std::string> read_baseline(std::int64_t migration) {
    Rows rows = own_query("SELECT samples FROM tenantmig.baseline WHERE migration_id = $1", {bigint_value(migration)});
    if (rows.empty()) return std::nullopt;
    return rows.text_or(0, 1, "{}");
}

bool wants_baseline(std::int64_t migration, std::optional<std::int64_t> run) {
    return own_query("SELECT NOT EXISTS (SELECT FROM tenantmig.baseline WHERE "
                     "migration_id = $1) OR NOT EXISTS "
                     "(SELECT FROM tenantmig.run_log r JOIN tenantmig.baseline b "
                     "USING (migration_id) WHERE "
                     "r.migration_id = $1 AND (r.id = $2 AND b.samples -> 'run' "
                     "= to_jsonb(r.id) OR r.id IS DISTINCT "
                     "FROM $2 AND r.state <> 'rolled_back'))",
                     {bigint_value(migration), optional_bigint(run)})
        .boolean(0, 1);
}

void save_baseline(std::int64_t migration, TimestampTz at, const std::string &samples) {
    own_query("INSERT INTO tenantmig.baseline (migration_id, taken_at, samples) VALUES "
              "($1, $2, $3::jsonb) ON CONFLICT "
              "(migration_id) DO UPDATE SET taken_at = excluded.taken_at, samples = "
              "excluded.samples",
              {bigint_value(migration), timestamp_value(at), text_value(samples)});
}

std::string server_counters() {
    // Since when they count, the server tells only after a reset; else not before
    // its start.
    return own_query("SELECT jsonb_build_object('commits', d.xact_commit, "
                     "'rollbacks', d.xact_rollback, 'deadlocks', "
                     "d.deadlocks, 'reset', d.stats_reset, 'hours', "
                     "extract(epoch FROM clock_timestamp() - "
                     "coalesce(d.stats_reset, pg_postmaster_start_time())) / "
                     "3600, 'refusals', coalesce((SELECT "
                     "s.last_value FROM pg_sequences s WHERE s.schemaname = "
                     "'tenantmig' AND s.sequencename = "
                     "'guard_refusal_seq'), 0)) FROM pg_stat_database d WHERE "
                     "d.datname = current_database()")
        .text_or(0, 1, "{}");
}

} // namespace tenantmig
