-- Tables of the extension. Written only by its own code, as the owner of the extension; read through the views.
-- Names and values, no OIDs, in everything that is hashed or must survive a restore.

CREATE SEQUENCE tenantmig.migration_id_seq AS bigint;
CREATE TABLE tenantmig.migration (
  id          bigint PRIMARY KEY DEFAULT nextval('tenantmig.migration_id_seq'),
  name        text NOT NULL UNIQUE,
  owner       text NOT NULL,
  owner_oid   oid NOT NULL,
  description text,
  version     bigint,
  spec        jsonb NOT NULL,
  identity    jsonb NOT NULL,
  created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
  search_path text NOT NULL DEFAULT 'pg_catalog',
  checksum    text NOT NULL
);
COMMENT ON TABLE tenantmig.migration IS 'migrations: the spec as given, and the identity (system, database, relation and attribute numbers with their names) of all that it names; search_path: of the session that created it, for sql steps and for names that mean something later only; checksum: SHA-256 of the spec';
COMMENT ON SEQUENCE tenantmig.migration_id_seq IS 'ids of migrations';

CREATE SEQUENCE tenantmig.run_id_seq AS bigint;
CREATE TABLE tenantmig.run_log (
  id           bigint PRIMARY KEY DEFAULT nextval('tenantmig.run_id_seq'),
  migration_id bigint NOT NULL REFERENCES tenantmig.migration (id),
  state        text NOT NULL CHECK (state IN ('planned','running','paused','failed','completed','rolled_back','cancelled')),
  mode         text NOT NULL CHECK (mode IN ('transaction','online')),
  started_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
  finished_at  timestamptz,
  row_total    bigint NOT NULL DEFAULT 0,
  row_done     bigint NOT NULL DEFAULT 0,
  assigned     bigint NOT NULL DEFAULT 0,
  conflicts    bigint NOT NULL DEFAULT 0,
  orphans      bigint NOT NULL DEFAULT 0,
  unknown      bigint NOT NULL DEFAULT 0,
  workers      integer NOT NULL DEFAULT 1,
  started_by   text NOT NULL,
  error        text,
  plan_hash    text NOT NULL,
  counts       jsonb NOT NULL DEFAULT '[]',
  tables       jsonb NOT NULL DEFAULT '[]',
  steps_done   integer NOT NULL DEFAULT 0,
  taken_up_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
  undo_started_at timestamptz,
  steps        integer[]
);
COMMENT ON TABLE tenantmig.run_log IS 'runs; counts: [{relation, outcome, source, row_count, deleted_count}]; tables: per step [{relation, column, row_count, null_count, changed_columns}] as of the start; steps_done: backfill steps that are complete, in the order of execution; taken_up_at: begun, or gone on with; undo_started_at: an undo by batches has begun; steps: numbers of the backfill steps that it is about, NULL: all';
COMMENT ON SEQUENCE tenantmig.run_id_seq IS 'ids of runs';
CREATE INDEX run_log_migration_idx ON tenantmig.run_log (migration_id);

CREATE TABLE tenantmig.batch_log (
  run_id      bigint NOT NULL REFERENCES tenantmig.run_log (id),
  batch       integer NOT NULL,
  step        integer NOT NULL,
  kind        text NOT NULL CHECK (kind IN ('backfill','review','rollback')),
  relation    text NOT NULL,
  row_count   bigint NOT NULL,
  started_at  timestamptz NOT NULL,
  finished_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  worker      integer NOT NULL DEFAULT 0,
  phase       text,
  storage     oid,
  from_block  bigint,
  to_block    bigint,
  pass        integer,
  range_done  boolean NOT NULL DEFAULT false,
  hot_count   bigint NOT NULL DEFAULT 0,
  queue_count bigint NOT NULL DEFAULT 0,
  error       text,
  counts      jsonb NOT NULL DEFAULT '[]',
  undone_chain integer,
  undone_entry integer,
  PRIMARY KEY (run_id, worker, batch)
);
COMMENT ON TABLE tenantmig.batch_log IS 'batches of runs: the unit of work, of commit, and the cursor of an online run. worker 0: no worker of a run (one transaction, a decision, a rollback); storage, from_block, to_block, pass: what was walked; range_done: no row of that range is left to a later pass; queue_count: rows put into the review queue; error: why the batch was rolled back; counts as in run_log, of this batch; undone_chain, undone_entry: the entry of the change log that an undo by batches has dealt with';

CREATE TABLE tenantmig.run_worker (
  run_id       bigint NOT NULL REFERENCES tenantmig.run_log (id) ON DELETE CASCADE,
  worker       integer NOT NULL,
  pid          integer NOT NULL,
  state        text NOT NULL,
  phase        text NOT NULL,
  step         integer NOT NULL,
  relation     text,
  path         text,
  rows_done    bigint NOT NULL DEFAULT 0,
  rows_written bigint NOT NULL DEFAULT 0,
  hot_rows     bigint NOT NULL DEFAULT 0,
  batch_rows   bigint,
  rate         double precision,
  throttle     text,
  error        text,
  changed_columns text[] NOT NULL DEFAULT '{}',
  started_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
  updated_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (run_id, worker)
);
COMMENT ON TABLE tenantmig.run_worker IS 'workers of online runs, as of their last commit: what stat_progress and stat_workers show; counters go on after a resume';

CREATE TABLE tenantmig.run_request (
  run_id       bigint PRIMARY KEY REFERENCES tenantmig.run_log (id) ON DELETE CASCADE,
  request      text NOT NULL CHECK (request IN ('pause','cancel')),
  requested_by text NOT NULL,
  requested_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE tenantmig.run_request IS 'what the workers of a run are asked to do; read between two batches';

CREATE TABLE tenantmig.change_log (
  run_id      bigint NOT NULL REFERENCES tenantmig.run_log (id),
  chain       integer NOT NULL,
  entry       integer NOT NULL,
  batch       integer NOT NULL,
  step        integer NOT NULL,
  kind        text NOT NULL CHECK (kind IN ('backfill','review','rollback')),
  schema_name text NOT NULL,
  table_name  text NOT NULL,
  column_name text NOT NULL,
  key_columns text[] NOT NULL,
  key_types   text[] NOT NULL,
  source      text NOT NULL,
  row_count   integer NOT NULL,
  keys        text[] NOT NULL,
  old_values  text[],
  new_values  text[],
  changed_at  timestamptz NOT NULL,
  hash        bytea NOT NULL,
  PRIMARY KEY (run_id, chain, entry)
);
COMMENT ON TABLE tenantmig.change_log IS 'change log, packed: one row per batch and source; keys, old and new values are parallel arrays in text form (a key of several columns is the text of an array); old_values or new_values NULL: all NULL; hash = SHA-256 over the previous entry''s hash of the chain and this entry''s content';

CREATE SEQUENCE tenantmig.review_id_seq AS bigint;
CREATE TABLE tenantmig.review_batch (
  first_id     bigint PRIMARY KEY,
  migration_id bigint NOT NULL REFERENCES tenantmig.migration (id),
  run_id       bigint NOT NULL REFERENCES tenantmig.run_log (id),
  step         integer NOT NULL,
  schema_name  text NOT NULL,
  table_name   text NOT NULL,
  column_name  text NOT NULL,
  key_columns  text[] NOT NULL,
  key_types    text[] NOT NULL,
  class        text NOT NULL CHECK (class IN ('conflict','orphan','unknown_tenant')),
  row_count    integer NOT NULL,
  keys         text[] NOT NULL,
  candidates   text[]
);
COMMENT ON TABLE tenantmig.review_batch IS 'review queue, packed: one row per batch and class; the n-th key has the id first_id + n - 1; candidates: the text of a JSON array each, NULL for orphans';
COMMENT ON SEQUENCE tenantmig.review_id_seq IS 'ids of reviews; a batch takes a block of them';
CREATE INDEX review_batch_run_idx ON tenantmig.review_batch (run_id);
CREATE INDEX review_batch_migration_idx ON tenantmig.review_batch (migration_id, step);

CREATE TABLE tenantmig.review_decision (
  id         bigint PRIMARY KEY,
  state      text NOT NULL CHECK (state IN ('resolved','dismissed','withdrawn')),
  tenant     text,
  decided_by text NOT NULL,
  decided_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  note       text
);
COMMENT ON TABLE tenantmig.review_decision IS 'decisions on reviews; a review without one is open. withdrawn (shown as dismissed): its run was rolled back, or newer evidence replaced it; the row is queued again by the next run';

CREATE TABLE tenantmig.undo_skip (
  run_id      bigint NOT NULL REFERENCES tenantmig.run_log (id),
  schema_name text NOT NULL,
  table_name  text NOT NULL,
  column_name text NOT NULL,
  key_columns text[] NOT NULL,
  key_types   text[] NOT NULL,
  key         text NOT NULL,
  wrote       text,
  found       text,
  reason      text NOT NULL,
  skipped_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE tenantmig.undo_skip IS 'rows that a rollback left alone, because they no longer held what the run wrote';
CREATE INDEX undo_skip_run_idx ON tenantmig.undo_skip (run_id);

-- lz4 where the server has it (pglz took 42 % of a backfill's time), uncompressed where it has not
DO $$
BEGIN
  ALTER TABLE tenantmig.change_log ALTER keys SET COMPRESSION lz4, ALTER old_values SET COMPRESSION lz4, ALTER new_values SET COMPRESSION lz4;
  ALTER TABLE tenantmig.review_batch ALTER keys SET COMPRESSION lz4, ALTER candidates SET COMPRESSION lz4;
EXCEPTION WHEN feature_not_supported THEN
  ALTER TABLE tenantmig.change_log ALTER keys SET STORAGE EXTERNAL, ALTER old_values SET STORAGE EXTERNAL, ALTER new_values SET STORAGE EXTERNAL;
  ALTER TABLE tenantmig.review_batch ALTER keys SET STORAGE EXTERNAL, ALTER candidates SET STORAGE EXTERNAL;
END $$;

SELECT pg_catalog.pg_extension_config_dump('tenantmig.migration', '');
SELECT pg_catalog.pg_extension_config_dump('tenantmig.migration_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('tenantmig.run_log', '');
SELECT pg_catalog.pg_extension_config_dump('tenantmig.run_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('tenantmig.batch_log', '');
SELECT pg_catalog.pg_extension_config_dump('tenantmig.run_worker', '');
SELECT pg_catalog.pg_extension_config_dump('tenantmig.run_request', '');
SELECT pg_catalog.pg_extension_config_dump('tenantmig.change_log', '');
SELECT pg_catalog.pg_extension_config_dump('tenantmig.review_batch', '');
SELECT pg_catalog.pg_extension_config_dump('tenantmig.review_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('tenantmig.review_decision', '');
SELECT pg_catalog.pg_extension_config_dump('tenantmig.undo_skip', '');
