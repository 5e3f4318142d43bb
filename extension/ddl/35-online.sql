-- Runs by batches: in a session (run) or in background workers (start), and what they show while they are at work.

CREATE PROCEDURE tenantmig.run(name text, budget interval DEFAULT NULL, plan_hash text DEFAULT NULL, max_count_change numeric DEFAULT 0.01)
  LANGUAGE C AS 'MODULE_PATHNAME', 'tenantmig_run';
COMMENT ON PROCEDURE tenantmig.run(text, interval, text, numeric) IS
  'runs the backfill steps of a migration (with structural steps: those that can be reached and that no completed run was about) by batches, in this session, committing each; takes up the migration''s paused, failed or interrupted run if there is one. budget: how long it may take (80 % of statement_timeout if that is set and less); used up, the run is paused. plan_hash and max_count_change as in backfill; a run whose plan has changed since it began goes on only with the new hash. Errors: 25001 (in a transaction block), TM019 (a structural step has to be applied first), 55006 (another run), TM004, TM005, TM002, TM003, TM010, 22023, 25006, 42501, 42704, 57014 (cancelled: the run is paused). Locks: ROW EXCLUSIVE and row locks for one batch.';
REVOKE ALL ON PROCEDURE tenantmig.run(text, interval, text, numeric) FROM PUBLIC;

CREATE FUNCTION tenantmig.start(name text, workers integer DEFAULT 2, budget interval DEFAULT NULL, plan_hash text DEFAULT NULL,
  max_count_change numeric DEFAULT 0.01) RETURNS bigint
  LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'tenantmig_start';
COMMENT ON FUNCTION tenantmig.start(text, integer, interval, text, numeric) IS
  'the same in background workers (1 to 64), as the session''s user and current role: returns the number of the run. They begin when this transaction commits, and go away if it aborts. With fewer free worker slots than asked for it goes on with those. Errors: as run, 55000 (an unfinished run: resume it), 53400 (no worker slot), 22023.';
REVOKE ALL ON FUNCTION tenantmig.start(text, integer, interval, text, numeric) FROM PUBLIC;

CREATE FUNCTION tenantmig.resume(name text, workers integer DEFAULT NULL, budget interval DEFAULT NULL, plan_hash text DEFAULT NULL) RETURNS bigint
  LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'tenantmig_resume';
COMMENT ON FUNCTION tenantmig.resume(text, integer, interval, text) IS
  'takes up the paused, failed or interrupted run of a migration in background workers (NULL: as many as before): returns its number. What an interrupted enforce or relax has left is removed first; 0 if there is nothing else. Errors: as start, 55000 (nothing to resume), TM004 (the plan has changed since it began: give the new hash to accept it).';
REVOKE ALL ON FUNCTION tenantmig.resume(text, integer, interval, text) FROM PUBLIC;

CREATE FUNCTION tenantmig.pause(name text) RETURNS text
  LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'tenantmig_pause';
COMMENT ON FUNCTION tenantmig.pause(text) IS
  'asks the run or undo at work on a migration to stop after its batch, when this transaction commits; tenantmig.resume goes on. Returns "pausing". Errors: 55000 (none is at work), 42501, 42704.';
REVOKE ALL ON FUNCTION tenantmig.pause(text) FROM PUBLIC;

CREATE FUNCTION tenantmig.cancel(name text) RETURNS text
  LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'tenantmig_cancel';
COMMENT ON FUNCTION tenantmig.cancel(text) IS
  'ends the run of a migration for good: one at work after its batch ("cancelling"), a paused, failed or interrupted one at once ("cancelled"). What it wrote stays, and can be undone. Errors: 55000 (nothing to cancel), 42501, 42704.';
REVOKE ALL ON FUNCTION tenantmig.cancel(text) FROM PUBLIC;

CREATE PROCEDURE tenantmig.wait(name text, timeout interval DEFAULT NULL)
  LANGUAGE C AS 'MODULE_PATHNAME', 'tenantmig_wait';
COMMENT ON PROCEDURE tenantmig.wait(text, interval) IS
  'waits until nothing is at work on a migration, without a snapshot. Errors: 25001 (in a transaction block), TM007 (the run failed), 57014 (timeout), 42501, 42704.';
REVOKE ALL ON PROCEDURE tenantmig.wait(text, interval) FROM PUBLIC;

CREATE PROCEDURE tenantmig.undo(run bigint, budget interval DEFAULT NULL)
  LANGUAGE C AS 'MODULE_PATHNAME', 'tenantmig_undo';
COMMENT ON PROCEDURE tenantmig.undo(bigint, interval) IS
  'undoes a run exactly, as rollback does, by batches, committing each; called again it goes on. Its outcome stands in the view undo_counts. Errors: 25001 (in a transaction block), 55000 (rolled back already, or at work), 55006, TM006 (the log was tampered with), 42501, 42704.';
REVOKE ALL ON PROCEDURE tenantmig.undo(bigint, interval) FROM PUBLIC;

CREATE VIEW tenantmig.stat_workers AS
  SELECT w.run_id, m.name AS migration, w.worker, w.pid,
         CASE WHEN w.state IN ('running', 'throttled') AND NOT EXISTS (SELECT FROM tenantmig.active_migrations a WHERE a.migration_id = r.migration_id)
              THEN 'gone' ELSE w.state END AS state,
         w.phase, w.step, w.relation, w.path, w.rows_done, w.rows_written, w.hot_rows, w.batch_rows, round(w.rate) AS rate, w.throttle, w.error, w.started_at, w.updated_at
  FROM tenantmig.run_worker w JOIN tenantmig.run_log r ON r.id = w.run_id JOIN tenantmig.migration m ON m.id = r.migration_id;
COMMENT ON VIEW tenantmig.stat_workers IS 'workers of online runs, as of their last commit';
COMMENT ON COLUMN tenantmig.stat_workers.run_id IS 'run';
COMMENT ON COLUMN tenantmig.stat_workers.migration IS 'name of the migration';
COMMENT ON COLUMN tenantmig.stat_workers.worker IS 'number of the worker, from 1; the first one leads';
COMMENT ON COLUMN tenantmig.stat_workers.pid IS 'its process';
COMMENT ON COLUMN tenantmig.stat_workers.state IS 'running, throttled, done, failed, or gone (after a kill)';
COMMENT ON COLUMN tenantmig.stat_workers.phase IS 'starting, evidence, walk, check or undo';
COMMENT ON COLUMN tenantmig.stat_workers.step IS 'position of the step in the spec';
COMMENT ON COLUMN tenantmig.stat_workers.relation IS 'table';
COMMENT ON COLUMN tenantmig.stat_workers.path IS 'direct, or sql and why';
COMMENT ON COLUMN tenantmig.stat_workers.rows_done IS 'rows written or put into the review queue';
COMMENT ON COLUMN tenantmig.stat_workers.rows_written IS 'rows written';
COMMENT ON COLUMN tenantmig.stat_workers.hot_rows IS 'of these, without a new index entry';
COMMENT ON COLUMN tenantmig.stat_workers.batch_rows IS 'rows that it aims at per batch';
COMMENT ON COLUMN tenantmig.stat_workers.rate IS 'rows a second';
COMMENT ON COLUMN tenantmig.stat_workers.throttle IS 'why it is slowed down or stopped; NULL: it is not';
COMMENT ON COLUMN tenantmig.stat_workers.error IS 'its last error';
COMMENT ON COLUMN tenantmig.stat_workers.started_at IS 'when it took up work';
COMMENT ON COLUMN tenantmig.stat_workers.updated_at IS 'its last commit';

CREATE VIEW tenantmig.stat_progress AS
  SELECT v.migration, r.id AS run_id, v.state,
         coalesce(w.phase, 'starting') AS phase, w.step, w.relation,
         w.rows_done, t.rows AS rows_total,
         CASE WHEN t.rows > 0 THEN round(100.0 * least(w.rows_done, t.rows) / t.rows, 1) END AS percent,
         round(w.rate) AS rate,
         CASE WHEN w.rate > 0 AND t.rows > 0 AND w.workers > 0
              THEN make_interval(secs => round(greatest(t.rows - w.rows_done, 0) / w.rate)) END AS eta,
         w.batch_rows, w.path, round(w.hot_rows::numeric / nullif(w.rows_written, 0), 2) AS hot_share,
         w.throttle, coalesce(w.workers, 0) AS workers, r.started_at, w.updated_at, r.error
  FROM tenantmig.run_log r
  JOIN tenantmig.runs v ON v.id = r.id
  LEFT JOIN LATERAL (
    SELECT (array_agg(w.phase ORDER BY w.worker))[1] AS phase, (array_agg(w.step ORDER BY w.worker))[1] AS step,
           (array_agg(w.relation ORDER BY w.worker))[1] AS relation, (array_agg(w.path ORDER BY w.worker))[1] AS path,
           sum(w.rows_done)::bigint AS rows_done, sum(w.rows_written)::bigint AS rows_written, sum(w.hot_rows)::bigint AS hot_rows,
           sum(w.rate) FILTER (WHERE w.state IN ('running', 'throttled')) AS rate, max(w.batch_rows) AS batch_rows,
           max(w.throttle) FILTER (WHERE w.state = 'throttled') AS throttle,
           count(*) FILTER (WHERE w.state IN ('running', 'throttled')) AS workers, max(w.updated_at) AS updated_at
    FROM tenantmig.stat_workers w WHERE w.run_id = r.id) w ON true
  LEFT JOIN LATERAL (
    SELECT CASE WHEN r.undo_started_at IS NULL THEN r.row_total
                ELSE (SELECT coalesce(sum(b.row_count), 0)::bigint FROM tenantmig.batch_log b WHERE b.run_id = r.id AND b.kind <> 'rollback') END AS rows) t ON true
  WHERE r.undo_started_at IS NOT NULL AND r.state <> 'rolled_back'
     OR r.mode = 'online' AND v.state IN ('planned', 'running', 'interrupted', 'paused', 'failed')
        AND r.id = (SELECT max(l.id) FROM tenantmig.run_log l WHERE l.migration_id = r.migration_id);
COMMENT ON VIEW tenantmig.stat_progress IS 'the latest online run of each migration that is not finished: how far it is';
COMMENT ON COLUMN tenantmig.stat_progress.migration IS 'name of the migration';
COMMENT ON COLUMN tenantmig.stat_progress.run_id IS 'run';
COMMENT ON COLUMN tenantmig.stat_progress.state IS 'as in runs';
COMMENT ON COLUMN tenantmig.stat_progress.phase IS 'starting, evidence (is read), walk (rows are written), check (last sweep and closing check) or undo';
COMMENT ON COLUMN tenantmig.stat_progress.step IS 'position of the step in the spec';
COMMENT ON COLUMN tenantmig.stat_progress.relation IS 'table';
COMMENT ON COLUMN tenantmig.stat_progress.rows_done IS 'rows written or put into the review queue';
COMMENT ON COLUMN tenantmig.stat_progress.rows_total IS 'rows without a tenant key at the start, of the steps begun';
COMMENT ON COLUMN tenantmig.stat_progress.percent IS 'rows_done of rows_total';
COMMENT ON COLUMN tenantmig.stat_progress.rate IS 'rows a second, of late';
COMMENT ON COLUMN tenantmig.stat_progress.eta IS 'time left at this rate';
COMMENT ON COLUMN tenantmig.stat_progress.batch_rows IS 'rows that a batch aims at';
COMMENT ON COLUMN tenantmig.stat_progress.path IS 'direct (below SQL), or sql and why';
COMMENT ON COLUMN tenantmig.stat_progress.hot_share IS 'share of the rows written that needed no new index entry';
COMMENT ON COLUMN tenantmig.stat_progress.throttle IS 'why it is slowed down or stopped; NULL: it is not';
COMMENT ON COLUMN tenantmig.stat_progress.workers IS 'workers at work';
COMMENT ON COLUMN tenantmig.stat_progress.started_at IS 'begin of the run';
COMMENT ON COLUMN tenantmig.stat_progress.updated_at IS 'last commit of a worker';
COMMENT ON COLUMN tenantmig.stat_progress.error IS 'why it failed or was paused';

CREATE TABLE tenantmig.undo_count (
  run_id    bigint NOT NULL REFERENCES tenantmig.run_log (id) ON DELETE CASCADE,
  relation  text NOT NULL,
  outcome   text NOT NULL,
  reason    text NOT NULL DEFAULT '',
  row_count bigint NOT NULL,
  PRIMARY KEY (run_id, relation, outcome, reason)
);
COMMENT ON TABLE tenantmig.undo_count IS 'what an undo by batches has come to so far';
SELECT pg_catalog.pg_extension_config_dump('tenantmig.undo_count', '');

CREATE VIEW tenantmig.undo_counts AS
  SELECT u.run_id, u.relation, u.outcome, nullif(u.reason, '') AS reason, u.row_count FROM tenantmig.undo_count u;
COMMENT ON VIEW tenantmig.undo_counts IS 'outcome of undo(run): rows restored, and rows left alone with the reason';
COMMENT ON COLUMN tenantmig.undo_counts.run_id IS 'run that is undone';
COMMENT ON COLUMN tenantmig.undo_counts.relation IS 'table';
COMMENT ON COLUMN tenantmig.undo_counts.outcome IS 'restored or skipped';
COMMENT ON COLUMN tenantmig.undo_counts.reason IS 'why rows were skipped';
COMMENT ON COLUMN tenantmig.undo_counts.row_count IS 'rows';
