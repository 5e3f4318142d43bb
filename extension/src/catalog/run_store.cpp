#include "catalog/run_store.hpp"

#include <nlohmann/json.hpp>

#include "catalog/events.hpp"

namespace tenantmig {

void announce_run(std::int64_t run, std::string_view state) {
    Rows rows = own_query("SELECT m.name, (SELECT coalesce(sum(b.row_count), 0)::bigint FROM tenantmig.review_batch b "
                          "WHERE b.run_id = r.id) FROM tenantmig.run_log r JOIN tenantmig.migration m ON m.id = "
                          "r.migration_id WHERE r.id = $1",
                          {bigint_value(run)});
    if (!rows.empty())
        announce("run", rows.text_or(0, 1), {{"run", run}, {"state", state}, {"queued", rows.bigint(0, 2)}});
}

std::int64_t insert_online_run(std::int64_t migration, const std::string &plan_hash, std::int32_t workers,
                               const std::vector<int> &steps) {
    Rows rows =
        own_query("INSERT INTO tenantmig.run_log (migration_id, state, mode, started_by, plan_hash, workers, steps) "
                  "VALUES ($1, 'planned', 'online', $2, $3, $4, $5) RETURNING id",
                  {bigint_value(migration), text_value(actor_name()), text_value(plan_hash), int_value(workers),
                   steps_value(steps)});
    announce_run(rows.bigint(0, 1), "planned");
    return rows.bigint(0, 1);
}

bool is_online(std::int64_t run) {
    Rows rows = own_query("SELECT mode = 'online' FROM tenantmig.run_log WHERE id = $1", {bigint_value(run)});
    return !rows.empty() && rows.boolean(0, 1);
}

std::optional<RunRecord> unfinished_run(std::int64_t migration) {
    Rows rows = own_query("SELECT id FROM tenantmig.run_log WHERE migration_id = $1 AND mode = 'online' "
                          "AND state IN ('planned', 'running', 'paused', 'failed') AND undo_started_at IS NULL "
                          "ORDER BY id DESC LIMIT 1",
                          {bigint_value(migration)});
    if (rows.empty()) return std::nullopt;
    return get_run(rows.bigint(0, 1));
}

void set_run_state(std::int64_t run, const char *state, const std::string &error) {
    own_query("UPDATE tenantmig.run_log SET state = $2, error = nullif($3, ''), finished_at = CASE WHEN $2 IN "
              "('completed', 'failed', 'rolled_back', 'cancelled') THEN tenantmig.clock() END WHERE id = $1",
              {bigint_value(run), text_value(state), text_value(error)});
    announce_run(run, state);
}

void begin_run(std::int64_t run) {
    Rows rows =
        own_query("UPDATE tenantmig.run_log SET state = 'running', error = NULL, finished_at = NULL WHERE id = $1 "
                  "AND state IN ('planned', 'running') RETURNING id",
                  {bigint_value(run)});
    if (rows.empty())
        throw Error(sqlstate::prerequisite_state, fmt::format("run {} is {}", run, get_run(run).state),
                    "It was ended before it began.", "SELECT * FROM tenantmig.runs shows it.");
    announce_run(run, "running");
}

void fail_planned_run(std::int64_t run, const std::string &error) {
    Rows rows = own_query("UPDATE tenantmig.run_log SET state = 'failed', error = $2, finished_at = tenantmig.clock() "
                          "WHERE id = $1 AND state = 'planned' RETURNING id",
                          {bigint_value(run), text_value(error)});
    if (!rows.empty()) announce_run(run, "failed");
}

void take_up_run(std::int64_t run, std::int32_t workers, const std::string &plan_hash) {
    own_query("UPDATE tenantmig.run_log SET state = 'planned', error = NULL, finished_at = NULL, workers = $2, "
              "plan_hash = $3, "
              "taken_up_at = clock_timestamp() WHERE id = $1",
              {bigint_value(run), int_value(workers), text_value(plan_hash)});
    announce_run(run, "planned");
}

void set_run_tables(std::int64_t run, std::int64_t row_total, const std::string &tables) {
    own_query("UPDATE tenantmig.run_log SET row_total = $2, tables = $3::jsonb WHERE id = $1",
              {bigint_value(run), bigint_value(row_total), text_value(tables)});
}

void set_steps_done(std::int64_t run, std::int32_t steps) {
    own_query("UPDATE tenantmig.run_log SET steps_done = $2 WHERE id = $1", {bigint_value(run), int_value(steps)});
}

std::int32_t steps_done(std::int64_t run) {
    Rows rows = own_query("SELECT steps_done FROM tenantmig.run_log WHERE id = $1", {bigint_value(run)});
    return rows.empty() ? 0 : static_cast<std::int32_t>(rows.bigint(0, 1));
}

void complete_run(std::int64_t run) {
    own_query(
        "WITH counted AS (SELECT c.relation, c.outcome, c.source, sum(c.row_count) AS row_count, "
        "sum(c.deleted_count) AS deleted_count, min(b.step) AS step FROM tenantmig.batch_log b, "
        "jsonb_to_recordset(b.counts) AS c(relation text, outcome text, source text, row_count bigint, deleted_count "
        "bigint) WHERE b.run_id = $1 GROUP BY c.relation, c.outcome, c.source), "
        "total AS (SELECT coalesce(sum(row_count), 0) AS done, "
        "coalesce(sum(row_count) FILTER (WHERE outcome = 'assigned'), 0) AS assigned, "
        "coalesce(sum(row_count) FILTER (WHERE outcome = 'conflict'), 0) AS conflicts, "
        "coalesce(sum(row_count) FILTER (WHERE outcome = 'orphan'), 0) AS orphans, "
        "coalesce(sum(row_count) FILTER (WHERE outcome = 'unknown_tenant'), 0) AS unknown, "
        "coalesce(jsonb_agg(jsonb_build_object('relation', relation, 'outcome', outcome, 'source', source, "
        "'row_count', row_count, 'deleted_count', deleted_count) ORDER BY step, "
        "array_position(ARRAY['assigned', 'conflict', 'unknown_tenant', 'orphan'], outcome), source) "
        "FILTER (WHERE row_count > 0), '[]') AS counts FROM counted) "
        "UPDATE tenantmig.run_log r SET row_done = t.done, assigned = t.assigned, conflicts = t.conflicts, "
        "orphans = t.orphans, unknown = t.unknown, counts = t.counts FROM total t WHERE r.id = $1",
        {bigint_value(run)});
}

void mark_undo_started(std::int64_t run) {
    // the workers' counters are the undo's from now on
    own_query("DELETE FROM tenantmig.run_worker w USING tenantmig.run_log r WHERE r.id = $1 AND w.run_id = r.id AND "
              "r.undo_started_at IS NULL",
              {bigint_value(run)});
    own_query("UPDATE tenantmig.run_log SET undo_started_at = coalesce(undo_started_at, tenantmig.clock()) "
              "WHERE id = $1",
              {bigint_value(run)});
    announce_run(run, "undoing");
}

bool undo_started(std::int64_t run) {
    Rows rows =
        own_query("SELECT undo_started_at IS NOT NULL FROM tenantmig.run_log WHERE id = $1", {bigint_value(run)});
    return !rows.empty() && rows.boolean(0, 1);
}

void request_stop(std::int64_t run, const char *request) {
    // cancelling is stronger than pausing
    own_query("INSERT INTO tenantmig.run_request AS r (run_id, request, requested_by) VALUES ($1, $2, $3) "
              "ON CONFLICT (run_id) DO UPDATE SET request = excluded.request, requested_by = excluded.requested_by, "
              "requested_at = clock_timestamp() WHERE r.request = 'pause'",
              {bigint_value(run), text_value(request), text_value(actor_name())});
}

void clear_request(std::int64_t run) {
    own_query("DELETE FROM tenantmig.run_request WHERE run_id = $1", {bigint_value(run)});
}

std::string read_request(std::int64_t run) {
    Rows rows = own_query("SELECT request FROM tenantmig.run_request WHERE run_id = $1", {bigint_value(run)});
    return rows.empty() ? std::string() : rows.text_or(0, 1);
}

void insert_online_batch(const OnlineBatch &batch) {
    bool ranged = OidIsValid(batch.storage);
    auto block = [ranged](BlockNumber number) {
        return ranged ? bigint_value(static_cast<std::int64_t>(number)) : null_value(INT8OID);
    };
    own_query("INSERT INTO tenantmig.batch_log (run_id, batch, step, kind, relation, row_count, started_at, worker, "
              "phase, storage, from_block, to_block, pass, range_done, hot_count, queue_count, error, counts, "
              "undone_chain, undone_entry) VALUES "
              "($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, nullif($17, ''), "
              "coalesce(nullif($18, ''), '[]')::jsonb, nullif($19, -1), $20)",
              {bigint_value(batch.run),
               int_value(batch.batch),
               int_value(batch.step),
               text_value(batch.kind),
               text_value(batch.relation),
               bigint_value(batch.rows),
               timestamp_value(batch.started),
               int_value(batch.worker),
               text_value(batch.phase),
               ranged ? Value{OIDOID, ObjectIdGetDatum(batch.storage), false} : null_value(OIDOID),
               block(batch.from),
               block(batch.to),
               ranged ? int_value(batch.pass) : null_value(INT4OID),
               boolean_value(batch.range_done),
               bigint_value(batch.hot),
               bigint_value(batch.queued),
               text_value(batch.error),
               text_value(batch.counts),
               int_value(batch.undone_chain),
               batch.undone_chain < 0 ? null_value(INT4OID) : int_value(batch.undone_entry)});
}

void insert_check_batch(const OnlineBatch &batch) {
    own_query("UPDATE tenantmig.batch_log b SET counts = (SELECT coalesce(jsonb_agg(c), '[]') FROM "
              "jsonb_array_elements(b.counts) c WHERE c ->> 'outcome' = 'assigned' OR c ->> 'source' = 'soft_delete') "
              "WHERE b.run_id = $1 AND b.step = $2 AND b.phase = 'check' AND b.counts <> '[]'",
              {bigint_value(batch.run), int_value(batch.step)});
    insert_online_batch(batch);
}

std::int32_t highest_batch(std::int64_t run) {
    Rows rows =
        own_query("SELECT coalesce(max(batch), 0) FROM tenantmig.batch_log WHERE run_id = $1", {bigint_value(run)});
    return static_cast<std::int32_t>(rows.bigint(0, 1));
}

std::set<EntryRef> undone_entries(std::int64_t run) {
    Rows rows = own_query("SELECT undone_chain, undone_entry FROM tenantmig.batch_log WHERE run_id = $1 AND "
                          "undone_chain IS NOT NULL",
                          {bigint_value(run)});
    std::set<EntryRef> entries;
    for (std::size_t i = 0; i < rows.size(); i++)
        entries.insert({static_cast<std::int32_t>(rows.bigint(i, 1)), static_cast<std::int32_t>(rows.bigint(i, 2))});
    return entries;
}

void add_undo_count(std::int64_t run, const std::string &relation, const std::string &outcome,
                    const std::string &reason, std::int64_t rows) {
    own_query(
        "INSERT INTO tenantmig.undo_count AS u (run_id, relation, outcome, reason, row_count) VALUES ($1, $2, $3, "
        "$4, $5) ON CONFLICT (run_id, relation, outcome, reason) DO UPDATE SET row_count = u.row_count + "
        "excluded.row_count",
        {bigint_value(run), text_value(relation), text_value(outcome), text_value(reason), bigint_value(rows)});
}

std::vector<DoneRange> done_ranges(std::int64_t run, std::int32_t step) {
    Rows rows = own_query("SELECT storage::bigint, from_block, to_block FROM tenantmig.batch_log WHERE run_id = $1 AND "
                          "step = $2 AND range_done AND phase = 'walk' ORDER BY 1, 2",
                          {bigint_value(run), int_value(step)});
    std::vector<DoneRange> ranges;
    for (std::size_t i = 0; i < rows.size(); i++)
        ranges.push_back({static_cast<Oid>(rows.bigint(i, 1)), static_cast<BlockNumber>(rows.bigint(i, 2)),
                          static_cast<BlockNumber>(rows.bigint(i, 3))});
    return ranges;
}

void save_worker(std::int64_t run, const WorkerReport &report) {
    own_query("INSERT INTO tenantmig.run_worker AS w (run_id, worker, pid, state, phase, step, relation, path, "
              "rows_done, rows_written, hot_rows, batch_rows, rate, throttle, error, changed_columns) VALUES "
              "($1, $2, $3, $4, $5, $6, nullif($7, ''), nullif($8, ''), $9, $10, $11, nullif($12, 0), "
              "nullif($13::float8, 0), nullif($14, ''), nullif($15, ''), $16) ON CONFLICT (run_id, worker) DO UPDATE "
              "SET pid = excluded.pid, state = excluded.state, phase = excluded.phase, step = CASE WHEN excluded.step "
              "= 0 THEN w.step ELSE excluded.step END, relation "
              "= coalesce(excluded.relation, w.relation), path = coalesce(excluded.path, w.path), "
              "rows_done = w.rows_done + excluded.rows_done, rows_written = w.rows_written + excluded.rows_written, "
              "hot_rows = w.hot_rows + excluded.hot_rows, batch_rows = coalesce(excluded.batch_rows, w.batch_rows), "
              "rate = coalesce(excluded.rate, w.rate), throttle = excluded.throttle, error = coalesce(excluded.error, "
              "w.error), changed_columns = CASE WHEN excluded.changed_columns = '{}' AND excluded.step IN (0, w.step) "
              "THEN w.changed_columns ELSE "
              "excluded.changed_columns END, started_at = CASE WHEN w.pid = excluded.pid THEN w.started_at ELSE "
              "clock_timestamp() END, updated_at = clock_timestamp()",
              {bigint_value(run), int_value(report.worker), int_value(MyProcPid), text_value(report.state),
               text_value(report.phase), int_value(report.step), text_value(report.relation), text_value(report.path),
               bigint_value(report.done), bigint_value(report.written), bigint_value(report.hot),
               bigint_value(report.batch_rows), text_value(std::to_string(report.rate)), text_value(report.throttle),
               text_value(report.error), text_array_value(report.changed_columns)});
}

std::string note_worker_gone(std::int64_t run, std::int32_t worker, const std::string &phase, std::int32_t step) {
    std::string silent =
        "the worker ended without a word: terminated, or it could not connect; the server's log says why";
    Rows rows = own_query(
        "INSERT INTO tenantmig.run_worker AS w (run_id, worker, pid, state, phase, step, error) VALUES ($1, $2, "
        "0, 'failed', $3, $4, $5) ON CONFLICT (run_id, worker) DO UPDATE SET state = 'failed', error = "
        "coalesce(w.error, excluded.error) RETURNING error = $5",
        {bigint_value(run), int_value(worker), text_value(phase), int_value(step), text_value(silent)});
    return rows.boolean(0, 1) ? silent : std::string();
}

std::int32_t run_workers(std::int64_t run) {
    Rows rows = own_query("SELECT workers FROM tenantmig.run_log WHERE id = $1", {bigint_value(run)});
    return rows.empty() ? 1 : static_cast<std::int32_t>(rows.bigint(0, 1));
}

void retire_workers(std::int64_t run) {
    own_query("UPDATE tenantmig.run_worker SET state = 'done', throttle = NULL, error = NULL, rate = NULL WHERE run_id "
              "= $1",
              {bigint_value(run)});
}

void note_changed_columns(std::int64_t run, std::int32_t step) {
    own_query("UPDATE tenantmig.run_log r SET tables = (SELECT jsonb_agg(CASE WHEN (t.item ->> 'step')::integer = $2 "
              "THEN t.item || jsonb_build_object('changed_columns', (SELECT coalesce(jsonb_agg(DISTINCT u ORDER BY u), "
              "'[]') FROM tenantmig.run_worker w, unnest(w.changed_columns) u WHERE w.run_id = $1 AND w.step = $2)) "
              "ELSE t.item END "
              "ORDER BY t.position) FROM jsonb_array_elements(r.tables) WITH ORDINALITY t(item, position)) "
              "WHERE r.id = $1 AND EXISTS (SELECT FROM tenantmig.run_worker w WHERE w.run_id = $1 AND "
              "w.step = $2 AND w.changed_columns <> '{}')",
              {bigint_value(run), int_value(step)});
}

} // namespace tenantmig
