-- Whole migrations: the steps forward and back.

CREATE PROCEDURE tenantmig.up(name text, to_step integer DEFAULT NULL, steps integer DEFAULT NULL, workers integer DEFAULT 1, maintenance boolean DEFAULT false)
  LANGUAGE C AS 'MODULE_PATHNAME', 'tenantmig_up';
COMMENT ON PROCEDURE tenantmig.up(text, integer, integer, integer, boolean) IS
  'applies the steps of a migration that are not in force, in the order of the spec: all, or those up to to_step (that one is the last; 0: none), or the next few (steps). Goes on with a step that is half-way. workers: for backfills, 1 to 64. maintenance: writes to the migration''s tables are fenced meanwhile. Commits as it goes; the views steps and execution_log tell how far it is. Needs the privileges of the migration''s owner; a superuser''s migration needs a superuser. Errors: 25001 (inside a transaction block), 25006, 42704, 42501, 22023, 55006 (another run is active), TM013 (a gate is closed: the steps before it stay), TM018 (rows stand in the way), TM019 (a step outside of the range is half-way), 42601, and whatever a statement of a sql step reports, with its number. Locks: those of the steps, short ones, each waited for briefly and again.';
REVOKE ALL ON PROCEDURE tenantmig.up(text, integer, integer, integer, boolean) FROM PUBLIC;

CREATE PROCEDURE tenantmig.down(name text, to_step integer DEFAULT NULL, steps integer DEFAULT NULL)
  LANGUAGE C AS 'MODULE_PATHNAME', 'tenantmig_down';
COMMENT ON PROCEDURE tenantmig.down(text, integer, integer) IS
  'takes back the steps of a migration that are in force, the last one first: all, or those after to_step (which stays; 0: all), or the last few (steps). Goes on with a step that is half-way. Commits as it goes. Errors: as up, and TM020 (a step in the range can''t be taken back; nothing has been changed then). Locks: those of the steps.';
REVOKE ALL ON PROCEDURE tenantmig.down(text, integer, integer) FROM PUBLIC;

-- A function for the sake of jit = off, as health_rows: the planner takes a few steps for tens of thousands of rows.
CREATE FUNCTION tenantmig.step_rows() RETURNS TABLE (migration text, step integer, kind text, relation text, column_name text, state text, phase text, error text,
    started_at timestamptz, finished_at timestamptz, next_command text, applied boolean)
  LANGUAGE sql STABLE SECURITY DEFINER ROWS 20 SET search_path = pg_catalog, pg_temp SET jit = off AS $$
  SELECT m.name AS migration, s.ordinality::integer AS step, k.kind,
         CASE k.kind WHEN 'rekey' THEN s.value #>> '{rekey,from,table}'
                     WHEN 'isolate' THEN (SELECT string_agg(coalesce(y.value ->> 'table', y.value #>> '{}'), ', ' ORDER BY y.ordinality)
                                          FROM jsonb_array_elements(s.value #> '{isolate,tables}') WITH ORDINALITY y)
                     ELSE s.value -> k.kind ->> 'table' END AS relation,
         s.value -> k.kind ->> 'column' AS column_name,
         CASE k.kind
         WHEN 'constraint' THEN coalesce(e.state, 'planned')
         WHEN 'guard' THEN CASE WHEN g.id IS NULL THEN 'planned' ELSE 'attached' END
         WHEN 'backfill' THEN coalesce(r.state, 'planned')
         ELSE coalesce(t.state, 'planned') END AS state,
         CASE k.kind
         WHEN 'backfill' THEN (SELECT p.phase FROM tenantmig.stat_progress p WHERE p.run_id = r.id)
         WHEN 'constraint' THEN NULL WHEN 'guard' THEN NULL
         ELSE nullif(t.phase, '') END AS phase,
         CASE WHEN a.applied THEN NULL ELSE coalesce(
           CASE k.kind WHEN 'constraint' THEN NULL WHEN 'guard' THEN NULL WHEN 'backfill' THEN r.error ELSE t.error END,
           CASE WHEN w.pid IS NULL AND (t.state IN ('applying', 'reverting') OR r.state IN ('running', 'planned') OR e.state IN ('intended', 'relaxing'))
                THEN 'interrupted: nobody is at work on it' END,
           CASE WHEN l.outcome = 'failed' THEN l.error END) END AS error,
         CASE k.kind WHEN 'constraint' THEN e.intended_at WHEN 'guard' THEN coalesce(g.attached_at, l.started_at) WHEN 'backfill' THEN r.started_at ELSE t.started_at END AS started_at,
         CASE k.kind WHEN 'constraint' THEN e.enforced_at WHEN 'guard' THEN g.attached_at WHEN 'backfill' THEN r.finished_at ELSE t.finished_at END AS finished_at,
         CASE WHEN a.applied THEN NULL
              WHEN w.pid IS NOT NULL THEN format('CALL tenantmig.wait(%L);', m.name)
              WHEN t.state = 'reverting' THEN format('CALL tenantmig.down(%L, to_step => %s);', m.name, s.ordinality - 1)
              WHEN l.error LIKE 'TM013:%' THEN format('SELECT * FROM tenantmig.gate(%L);', m.name)
              ELSE format('CALL tenantmig.up(%L, to_step => %s);', m.name, s.ordinality) END AS next_command,
         a.applied
  FROM tenantmig.migration m
  CROSS JOIN LATERAL jsonb_array_elements(m.spec -> 'steps') WITH ORDINALITY s
  CROSS JOIN LATERAL (SELECT jsonb_object_keys(s.value) AS kind LIMIT 1) k
  LEFT JOIN tenantmig.active_migrations w ON w.migration_id = m.id
  LEFT JOIN tenantmig.step_state t ON t.migration_id = m.id AND t.step = s.ordinality
  LEFT JOIN LATERAL (SELECT o.outcome, o.error, o.started_at FROM tenantmig.step_log o WHERE o.migration_id = m.id AND o.step = s.ordinality ORDER BY o.id DESC LIMIT 1) l ON true
  LEFT JOIN LATERAL (SELECT o.id, o.state, o.error, o.started_at, o.finished_at FROM tenantmig.run_log o
                     WHERE k.kind = 'backfill' AND o.migration_id = m.id AND (o.steps IS NULL OR s.ordinality = ANY (o.steps)) ORDER BY o.id DESC LIMIT 1) r ON true
  LEFT JOIN LATERAL (SELECT o.id, o.attached_at FROM tenantmig.guard o WHERE k.kind = 'guard' AND o.migration_id = m.id AND o.step = s.ordinality) g ON true
  LEFT JOIN LATERAL (SELECT o.state, min(o.intended_at) OVER same AS intended_at, max(o.enforced_at) OVER same AS enforced_at FROM tenantmig.enforcement o
                     WHERE k.kind = 'constraint' AND o.migration_id = m.id AND o.step = s.ordinality AND o.state <> 'removed'
                     WINDOW same AS (PARTITION BY o.state) ORDER BY array_position('{relaxing,intended,enforced,relaxed}', o.state) LIMIT 1) e ON true
  CROSS JOIN LATERAL (SELECT CASE k.kind WHEN 'constraint' THEN coalesce(e.state = 'enforced', false) WHEN 'guard' THEN g.id IS NOT NULL
                                         WHEN 'backfill' THEN coalesce(r.state = 'completed', false) ELSE coalesce(t.state = 'applied', false) END AS applied) a
$$;
COMMENT ON FUNCTION tenantmig.step_rows() IS 'what the view steps shows. No locks but those of reading tenantmig''s own tables.';
REVOKE ALL ON FUNCTION tenantmig.step_rows() FROM PUBLIC;

CREATE VIEW tenantmig.steps AS
  SELECT migration, step, kind, relation, column_name, state, phase, error, started_at, finished_at, next_command, applied FROM tenantmig.step_rows();
COMMENT ON VIEW tenantmig.steps IS 'the steps of each migration, in the order of the spec, and how far each is';
COMMENT ON COLUMN tenantmig.steps.migration IS 'name of the migration';
COMMENT ON COLUMN tenantmig.steps.step IS 'position in the spec, from 1';
COMMENT ON COLUMN tenantmig.steps.kind IS 'kind of the step';
COMMENT ON COLUMN tenantmig.steps.relation IS 'table, as the spec writes it; isolate: the tables, separated by commas';
COMMENT ON COLUMN tenantmig.steps.column_name IS 'column that the step is about';
COMMENT ON COLUMN tenantmig.steps.state IS 'planned; sql, add_column, drop_column, index, rekey, isolate: applying, applied or reverting; backfill: state of the newest run of the step; guard: attached; constraint: intended, enforced, relaxing or relaxed';
COMMENT ON COLUMN tenantmig.steps.phase IS 'how far a step is that is half-way, in words of its kind';
COMMENT ON COLUMN tenantmig.steps.error IS 'why the last attempt at a step that is not applied ended, with the SQLSTATE; or that it was interrupted';
COMMENT ON COLUMN tenantmig.steps.started_at IS 'begin of the attempt that led to the state';
COMMENT ON COLUMN tenantmig.steps.finished_at IS 'since when it is applied';
COMMENT ON COLUMN tenantmig.steps.next_command IS 'what goes on with it; NULL: it is applied';
COMMENT ON COLUMN tenantmig.steps.applied IS 'whether it is in force, whatever its kind calls that';

CREATE VIEW tenantmig.migrations AS
  SELECT m.id, m.name AS migration, m.owner, m.description, m.version, jsonb_array_length(m.spec -> 'steps') AS steps,
         (SELECT r.state FROM tenantmig.run_log r WHERE r.migration_id = m.id ORDER BY r.id DESC LIMIT 1) AS last_run,
         (SELECT coalesce(sum(b.row_count), 0)::bigint - (SELECT count(*) FROM tenantmig.review_decision d JOIN tenantmig.review_batch b2
            ON d.id >= b2.first_id AND d.id < b2.first_id + b2.row_count WHERE b2.migration_id = m.id)
          FROM tenantmig.review_batch b WHERE b.migration_id = m.id) AS open_reviews,
         m.created_at, m.spec, p.progress, CASE p.progress WHEN 'applied' THEN p.finished_at END AS applied_at, m.checksum
  FROM tenantmig.migration m
  JOIN (SELECT s.migration, CASE WHEN bool_and(s.applied) THEN 'applied' WHEN bool_or(s.applied OR s.state NOT IN ('planned', 'relaxed', 'rolled_back')) THEN 'partly applied' ELSE 'pending' END AS progress,
               max(s.finished_at) AS finished_at
        FROM tenantmig.step_rows() s GROUP BY s.migration) p ON p.migration = m.name;
COMMENT ON VIEW tenantmig.migrations IS 'the catalogue: each migration with its owner, last run, open reviews, and how far it is';
COMMENT ON COLUMN tenantmig.migrations.id IS 'number of the migration';
COMMENT ON COLUMN tenantmig.migrations.migration IS 'its name';
COMMENT ON COLUMN tenantmig.migrations.owner IS 'the role that created it; it is run by those with this role''s privileges';
COMMENT ON COLUMN tenantmig.migrations.description IS 'as in the spec';
COMMENT ON COLUMN tenantmig.migrations.version IS 'as in the spec: the team''s own numbering';
COMMENT ON COLUMN tenantmig.migrations.steps IS 'number of steps';
COMMENT ON COLUMN tenantmig.migrations.last_run IS 'state of the newest run, NULL if there was none';
COMMENT ON COLUMN tenantmig.migrations.open_reviews IS 'rows that wait for a decision';
COMMENT ON COLUMN tenantmig.migrations.created_at IS 'when it was created';
COMMENT ON COLUMN tenantmig.migrations.spec IS 'the spec as it was given';
COMMENT ON COLUMN tenantmig.migrations.progress IS 'pending (no step is applied), partly applied, or applied (all are)';
COMMENT ON COLUMN tenantmig.migrations.applied_at IS 'when the last of its steps was applied; NULL unless all are';
COMMENT ON COLUMN tenantmig.migrations.checksum IS 'SHA-256 of the spec, hexadecimal';

CREATE VIEW tenantmig.execution_log AS
  SELECT l.id, m.name AS migration, l.step, l.kind, l.action,
         CASE WHEN l.outcome = 'running' AND w.pid IS NULL OR l.error LIKE 'interrupted:%' THEN 'interrupted' ELSE l.outcome END AS outcome,
         l.actor, l.started_at, l.finished_at, l.finished_at - l.started_at AS duration, l.error,
         l.detail -> 'checks' AS checks,
         ARRAY(SELECT jsonb_array_elements_text(l.detail -> 'columns_added')) AS columns_added,
         ARRAY(SELECT jsonb_array_elements_text(l.detail -> 'columns_removed')) AS columns_removed,
         ARRAY(SELECT jsonb_array_elements_text(l.detail -> 'columns_converted')) AS columns_converted,
         b.location AS backup, (l.detail ->> 'run')::bigint AS run_id, l.detail
  FROM tenantmig.step_log l
  JOIN tenantmig.migration m ON m.id = l.migration_id
  LEFT JOIN tenantmig.active_migrations w ON w.migration_id = m.id
  LEFT JOIN LATERAL (SELECT o.location FROM tenantmig.backup_log o WHERE o.migration_id = m.id AND o.registered_at <= l.started_at ORDER BY o.taken_at DESC, o.id DESC LIMIT 1) b ON true;
COMMENT ON VIEW tenantmig.execution_log IS 'every attempt of up and down at a step: when, how long, by whom, and what became of it';
COMMENT ON COLUMN tenantmig.execution_log.id IS 'number of the attempt, in the order of their begin';
COMMENT ON COLUMN tenantmig.execution_log.migration IS 'name of the migration';
COMMENT ON COLUMN tenantmig.execution_log.step IS 'position in the spec, from 1';
COMMENT ON COLUMN tenantmig.execution_log.kind IS 'kind of the step';
COMMENT ON COLUMN tenantmig.execution_log.action IS 'up or down';
COMMENT ON COLUMN tenantmig.execution_log.outcome IS 'running, done, unchanged (there was nothing to do), failed, or interrupted (its session has gone)';
COMMENT ON COLUMN tenantmig.execution_log.actor IS 'who called up or down';
COMMENT ON COLUMN tenantmig.execution_log.started_at IS 'begin';
COMMENT ON COLUMN tenantmig.execution_log.finished_at IS 'end; NULL while it is running, and after an interruption';
COMMENT ON COLUMN tenantmig.execution_log.duration IS 'how long it took';
COMMENT ON COLUMN tenantmig.execution_log.error IS 'why it failed, with the SQLSTATE';
COMMENT ON COLUMN tenantmig.execution_log.checks IS 'checks that were part of it: [{check, status, actual}]';
COMMENT ON COLUMN tenantmig.execution_log.columns_added IS 'columns that it has added';
COMMENT ON COLUMN tenantmig.execution_log.columns_removed IS 'columns that it has removed';
COMMENT ON COLUMN tenantmig.execution_log.columns_converted IS 'columns whose values or type it has converted';
COMMENT ON COLUMN tenantmig.execution_log.backup IS 'where the newest backup of the migration was that was registered before';
COMMENT ON COLUMN tenantmig.execution_log.run_id IS 'run, of backfills';
COMMENT ON COLUMN tenantmig.execution_log.detail IS 'all that the step has told';

CREATE FUNCTION tenantmig.migration_report(name text, format text DEFAULT 'markdown') RETURNS text
  LANGUAGE C STABLE AS 'MODULE_PATHNAME', 'tenantmig_migration_report';
COMMENT ON FUNCTION tenantmig.migration_report(text, text) IS
  'the report of a whole migration, as markdown, json or html: its steps, the execution log (begin, duration, backup, checks, columns removed and converted), its runs. Of a migration that was dropped or whose logs were purged: as it was archived then. Errors: 42704 (no such migration), 22023 (not a format), 22004. No locks.';
REVOKE ALL ON FUNCTION tenantmig.migration_report(text, text) FROM PUBLIC;

CREATE TABLE tenantmig.migration_report_archive (
  migration   text PRIMARY KEY,
  markdown    text NOT NULL,
  html        text NOT NULL,
  report      json NOT NULL,
  archived_at timestamptz NOT NULL,
  archived_by text NOT NULL
);
COMMENT ON TABLE tenantmig.migration_report_archive IS 'reports of migrations that were dropped, as they were then; of several of one name the last one';
SELECT pg_catalog.pg_extension_config_dump('tenantmig.migration_report_archive', '');
