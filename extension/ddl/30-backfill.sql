CREATE FUNCTION tenantmig.plan(name text,
  OUT step integer, OUT kind text, OUT relation text, OUT outcome text, OUT source text, OUT row_count bigint, OUT path text, OUT locks text,
  OUT est_seconds numeric, OUT est_wal_bytes bigint, OUT note text, OUT deleted_count bigint) RETURNS SETOF record
  LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'tenantmig_plan';
COMMENT ON FUNCTION tenantmig.plan(text) IS
  'what a run would do: exact counts by outcome and source, how rows are written and under which locks, an estimate of time and WAL; deleted_count: how many of row_count are soft-deleted. Changes nothing. Errors: 42704, 42501. Locks: ACCESS SHARE.';
REVOKE ALL ON FUNCTION tenantmig.plan(text) FROM PUBLIC;

CREATE FUNCTION tenantmig.plan_hash(name text, with_counts boolean DEFAULT false) RETURNS text
  LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'tenantmig_plan_hash';
COMMENT ON FUNCTION tenantmig.plan_hash(text, boolean) IS
  'SHA-256 (hex) over the resolved spec, the identity of its tables and columns, types, triggers, constraints, indexes, order and settings, not over counts. with_counts => true appends ":" and the counts by outcome, which backfill then compares with max_count_change. Errors: 42704, 42501.';
REVOKE ALL ON FUNCTION tenantmig.plan_hash(text, boolean) FROM PUBLIC;

CREATE FUNCTION tenantmig.preflight(name text,
  OUT check_name text, OUT status text, OUT expected text, OUT actual text, OUT detail text, OUT hint text) RETURNS SETOF record
  LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'tenantmig_preflight';
COMMENT ON FUNCTION tenantmig.preflight(text) IS
  'checks before a run, PASS/WARN/FAIL each with what to do; changes nothing. Errors: 42704, 42501. Locks: ACCESS SHARE.';
REVOKE ALL ON FUNCTION tenantmig.preflight(text) FROM PUBLIC;

CREATE FUNCTION tenantmig.verify(name text,
  OUT check_name text, OUT status text, OUT expected text, OUT actual text, OUT detail text, OUT hint text) RETURNS SETOF record
  LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'tenantmig_verify';
COMMENT ON FUNCTION tenantmig.verify(text) IS
  'proof after a run, PASS/WARN/FAIL each with what to do: NULLs left (living, deleted), mismatches per source, each formerly NULL row exactly once in log or review, row count, unknown tenants, chain of the change log. Changes nothing. Errors: 42704, 42501, 55000 (no completed run). Locks: ACCESS SHARE.';
REVOKE ALL ON FUNCTION tenantmig.verify(text) FROM PUBLIC;

CREATE FUNCTION tenantmig.backfill(relation text, column_name text, tenants text DEFAULT NULL, sources jsonb DEFAULT NULL,
  evidence text DEFAULT 'unanimous', on_conflict text DEFAULT 'review', on_orphan text DEFAULT 'review', assign_orphans_to text DEFAULT NULL,
  soft_delete text DEFAULT NULL, conditions jsonb DEFAULT NULL, dry_run boolean DEFAULT false, dry_run_rows bigint DEFAULT 10000,
  dry_run_full boolean DEFAULT false,
  OUT relation text, OUT outcome text, OUT source text, OUT row_count bigint, OUT deleted_count bigint) RETURNS SETOF record
  LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'tenantmig_backfill_table';
COMMENT ON FUNCTION tenantmig.backfill(text, text, text, jsonb, text, text, text, text, text, jsonb, boolean, bigint, boolean) IS
  'fills a tenant key where it is NULL, from evidence, in the caller''s transaction, with change log and review queue. relation and tenants: table names as SQL writes them; tenants is found by the foreign key of the column if NULL; sources as in the spec, found from foreign keys in both directions if NULL; conditions: {column: value | [values] | null}. Stores the migration "relation.column". dry_run: evaluates all rows, writes and undoes dry_run_rows of them (dry_run_full: all). Errors: as create_migration, TM011 (no source or tenant root was found), TM002 (conflict, on_conflict => fail), TM003 (orphan, on_orphan => fail), TM010 (a trigger changed the key or held the write back), 55006 (another run), 55P03 (a lock was not to be had within lock_timeout, 10 s if that is 0). Locks: ROW EXCLUSIVE and row locks until the transaction ends.';
REVOKE ALL ON FUNCTION tenantmig.backfill(text, text, text, jsonb, text, text, text, text, text, jsonb, boolean, bigint, boolean) FROM PUBLIC;

CREATE FUNCTION tenantmig.backfill(migration text, dry_run boolean DEFAULT false, plan_hash text DEFAULT NULL, max_count_change numeric DEFAULT 0.01,
  dry_run_rows bigint DEFAULT 10000, dry_run_full boolean DEFAULT false,
  OUT relation text, OUT outcome text, OUT source text, OUT row_count bigint, OUT deleted_count bigint) RETURNS SETOF record
  LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'tenantmig_backfill_migration';
COMMENT ON FUNCTION tenantmig.backfill(text, boolean, text, numeric, bigint, boolean) IS
  'runs the backfill steps of a migration in the caller''s transaction, in order of dependency; of one with structural steps those that can be reached and that no completed run was about (TM019: there are none yet). plan_hash: refuses (TM004) if the plan is no longer that of tenantmig.plan_hash; with its counts, also if a count differs by more than max_count_change (a share, TM005). Other errors and locks as the other form.';
REVOKE ALL ON FUNCTION tenantmig.backfill(text, boolean, text, numeric, bigint, boolean) FROM PUBLIC;

-- A run holds its migration's lock, a lock on an object of ours, as long as one of its processes is at work.
CREATE VIEW tenantmig.active_migrations AS
  SELECT m.id AS migration_id, min(l.pid) AS pid
  FROM pg_catalog.pg_locks l JOIN tenantmig.migration m ON l.objid = m.id::oid
  WHERE l.locktype = 'object' AND l.granted AND l.classid = 'tenantmig.migration'::regclass AND l.objsubid = 1
    AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = current_database())
  GROUP BY m.id;
COMMENT ON VIEW tenantmig.active_migrations IS 'migrations that a run, an undo, a backfill or a rollback is at work on';
COMMENT ON COLUMN tenantmig.active_migrations.migration_id IS 'number of the migration';
COMMENT ON COLUMN tenantmig.active_migrations.pid IS 'process that holds the migration''s lock';

CREATE VIEW tenantmig.runs AS
  SELECT r.id, m.name AS migration,
         CASE WHEN (r.state = 'running' OR r.state = 'planned' AND r.taken_up_at < now() - interval '1 minute')
                   AND NOT EXISTS (SELECT FROM tenantmig.active_migrations a WHERE a.migration_id = r.migration_id)
              THEN 'interrupted' ELSE r.state END AS state, r.mode, r.started_at, r.finished_at, r.row_total, r.row_done, r.assigned, r.conflicts, r.orphans, r.unknown,
         r.workers, r.started_by, r.error, r.plan_hash, r.counts
  FROM tenantmig.run_log r JOIN tenantmig.migration m ON m.id = r.migration_id;
COMMENT ON VIEW tenantmig.runs IS 'runs and their counts of rows; counts: by relation, outcome and source';
COMMENT ON COLUMN tenantmig.runs.id IS 'number of the run: what rollback, digest, verify_changes, undo_script and report take';
COMMENT ON COLUMN tenantmig.runs.migration IS 'name of the migration';
COMMENT ON COLUMN tenantmig.runs.state IS 'planned, running, interrupted (says running, but nobody is at work on it: resume it), paused, failed, completed, rolled_back or cancelled';
COMMENT ON COLUMN tenantmig.runs.mode IS 'transaction or online';
COMMENT ON COLUMN tenantmig.runs.started_at IS 'begin';
COMMENT ON COLUMN tenantmig.runs.finished_at IS 'end';
COMMENT ON COLUMN tenantmig.runs.row_total IS 'rows without a tenant key at the start';
COMMENT ON COLUMN tenantmig.runs.row_done IS 'rows that were decided';
COMMENT ON COLUMN tenantmig.runs.assigned IS 'rows that got a tenant key';
COMMENT ON COLUMN tenantmig.runs.conflicts IS 'rows whose candidates differ';
COMMENT ON COLUMN tenantmig.runs.orphans IS 'rows without a candidate';
COMMENT ON COLUMN tenantmig.runs.unknown IS 'rows whose candidate is not in the tenant root';
COMMENT ON COLUMN tenantmig.runs.workers IS 'processes that wrote';
COMMENT ON COLUMN tenantmig.runs.started_by IS 'role that started it';
COMMENT ON COLUMN tenantmig.runs.error IS 'why it failed';
COMMENT ON COLUMN tenantmig.runs.plan_hash IS 'hash of the plan that it carried out';
COMMENT ON COLUMN tenantmig.runs.counts IS '[{relation, outcome, source, row_count, deleted_count}]';

CREATE VIEW tenantmig.batches AS
  SELECT b.run_id, m.name AS migration, b.batch, b.step, b.kind, b.relation, b.row_count, b.started_at, b.finished_at,
         b.worker, b.phase, b.from_block, b.to_block, b.pass, b.hot_count, b.queue_count, b.error
  FROM tenantmig.batch_log b JOIN tenantmig.run_log r ON r.id = b.run_id JOIN tenantmig.migration m ON m.id = r.migration_id;
COMMENT ON VIEW tenantmig.batches IS 'batches of runs: what was written when';
COMMENT ON COLUMN tenantmig.batches.run_id IS 'run';
COMMENT ON COLUMN tenantmig.batches.migration IS 'name of the migration';
COMMENT ON COLUMN tenantmig.batches.batch IS 'number within the run, from 1';
COMMENT ON COLUMN tenantmig.batches.step IS 'position of the step in the spec';
COMMENT ON COLUMN tenantmig.batches.kind IS 'backfill, review (a decision) or rollback';
COMMENT ON COLUMN tenantmig.batches.relation IS 'table';
COMMENT ON COLUMN tenantmig.batches.row_count IS 'rows written';
COMMENT ON COLUMN tenantmig.batches.started_at IS 'begin';
COMMENT ON COLUMN tenantmig.batches.finished_at IS 'end';
COMMENT ON COLUMN tenantmig.batches.worker IS 'worker that did it; 0: none (one transaction, a decision, a rollback)';
COMMENT ON COLUMN tenantmig.batches.phase IS 'walk, check or undo, of an online run';
COMMENT ON COLUMN tenantmig.batches.from_block IS 'first block of the range that was walked';
COMMENT ON COLUMN tenantmig.batches.to_block IS 'block behind its last one';
COMMENT ON COLUMN tenantmig.batches.pass IS 'page pass, from 0';
COMMENT ON COLUMN tenantmig.batches.hot_count IS 'rows written without a new index entry';
COMMENT ON COLUMN tenantmig.batches.queue_count IS 'rows put into the review queue';
COMMENT ON COLUMN tenantmig.batches.error IS 'why it was rolled back; its range is done again';
