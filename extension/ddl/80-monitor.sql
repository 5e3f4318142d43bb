-- Observations: samples of a migration's health, and what they are compared with.

CREATE SEQUENCE tenantmig.observation_id_seq AS bigint;
COMMENT ON SEQUENCE tenantmig.observation_id_seq IS 'ids of observations';
CREATE TABLE tenantmig.observation (
  id              bigint PRIMARY KEY DEFAULT nextval('tenantmig.observation_id_seq'),
  migration_id    bigint NOT NULL REFERENCES tenantmig.migration (id) ON DELETE CASCADE,
  observed_at     timestamptz NOT NULL,
  deep            boolean NOT NULL,
  good            boolean NOT NULL,
  health          text NOT NULL CHECK (health IN ('GREEN','YELLOW','RED')),
  reasons         text[] NOT NULL DEFAULT '{}',
  nulls           bigint,
  new_nulls       bigint,
  unknown_tenants bigint,
  mismatches      bigint,
  open_reviews    bigint,
  guards_missing  integer,
  constraints_missing integer,
  drift           bigint,
  samples         jsonb NOT NULL DEFAULT '{}',
  checks          jsonb NOT NULL DEFAULT '[]',
  duration        interval NOT NULL,
  observed_by     text NOT NULL
);
COMMENT ON TABLE tenantmig.observation IS 'samples of migrations; good: nothing that restarts the soak; samples: {counters: of the server, latency: of a tenant query, nulls: by tenant key, drift: entries so far, reasons: [{level, weight, deep, reason}], alert: whether one was sent}; checks: [{check_name, status, expected, actual, detail, hint}]';
CREATE INDEX observation_migration_idx ON tenantmig.observation (migration_id, observed_at);
CREATE INDEX observation_bad_idx ON tenantmig.observation (migration_id, observed_at) WHERE NOT good;
CREATE INDEX observation_deep_idx ON tenantmig.observation (migration_id, observed_at) WHERE deep;

CREATE TABLE tenantmig.baseline (
  migration_id bigint PRIMARY KEY REFERENCES tenantmig.migration (id) ON DELETE CASCADE,
  taken_at     timestamptz NOT NULL,
  samples      jsonb NOT NULL
);
COMMENT ON TABLE tenantmig.baseline IS 'the server before a migration''s first run: what later samples are compared with';

SELECT pg_catalog.pg_extension_config_dump('tenantmig.observation', '');
SELECT pg_catalog.pg_extension_config_dump('tenantmig.observation_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('tenantmig.baseline', '');

CREATE FUNCTION tenantmig.observe(name text DEFAULT NULL, deep boolean DEFAULT false,
  OUT migration text, OUT check_name text, OUT status text, OUT expected text, OUT actual text, OUT detail text, OUT hint text) RETURNS SETOF record
  LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'tenantmig_observe';
COMMENT ON FUNCTION tenantmig.observe(text, boolean) IS
  'looks at a migration as it is now, PASS/WARN/FAIL each with what to do, and keeps it as an observation. name NULL: all migrations whose owner''s privileges the caller has; one that can''t be read is a warning then. deep: also compares every row with its evidence (one scan per table and source), which the soak needs once a day; without it, indexes on the tenant keys make it fast on any size. Sends NOTIFY tenantmig. Errors: 42704 (no such migration), 42501, 25006 (read-only transaction), 55P03 (a table is locked). Locks: ACCESS SHARE.';
REVOKE ALL ON FUNCTION tenantmig.observe(text, boolean) FROM PUBLIC;

CREATE FUNCTION tenantmig.daily_report(name text, day date DEFAULT NULL, format text DEFAULT 'markdown') RETURNS text
  LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'tenantmig_daily_report';
COMMENT ON FUNCTION tenantmig.daily_report(text, date, text) IS
  'a day of a migration: what was observed, the last 7 days, health and what to do next. day: a day in UTC, NULL for today; format: markdown or json. Reads what observe() has kept, and no user table. Errors: 42704 (no such migration), 22023 (format, or a day that has not come yet). No locks on user tables.';
REVOKE ALL ON FUNCTION tenantmig.daily_report(text, date, text) FROM PUBLIC;

CREATE VIEW tenantmig.observations AS
  SELECT o.id, m.name AS migration, o.observed_at, o.deep, o.good, o.health, o.reasons, o.nulls, o.new_nulls, o.unknown_tenants, o.mismatches,
         o.open_reviews, o.guards_missing, o.constraints_missing, o.drift, o.checks, o.duration, o.observed_by
  FROM tenantmig.observation o JOIN tenantmig.migration m ON m.id = o.migration_id;
COMMENT ON VIEW tenantmig.observations IS 'what observe() has seen, one row per call and migration';
COMMENT ON COLUMN tenantmig.observations.id IS 'number';
COMMENT ON COLUMN tenantmig.observations.migration IS 'name of the migration';
COMMENT ON COLUMN tenantmig.observations.observed_at IS 'when';
COMMENT ON COLUMN tenantmig.observations.deep IS 'whether every row was compared with its evidence';
COMMENT ON COLUMN tenantmig.observations.good IS 'false: it begins the soak anew';
COMMENT ON COLUMN tenantmig.observations.health IS 'GREEN, YELLOW or RED at that moment';
COMMENT ON COLUMN tenantmig.observations.reasons IS 'why it was not GREEN, the gravest first';
COMMENT ON COLUMN tenantmig.observations.nulls IS 'rows without a tenant key, of all tenant keys; NULL if a table could not be read';
COMMENT ON COLUMN tenantmig.observations.new_nulls IS 'of those: neither in the review queue nor there when the run ended';
COMMENT ON COLUMN tenantmig.observations.unknown_tenants IS 'tenant keys that the tenant root does not have: rows if deep, else distinct keys';
COMMENT ON COLUMN tenantmig.observations.mismatches IS 'rows whose key contradicts a source, summed over the sources; NULL if not deep';
COMMENT ON COLUMN tenantmig.observations.open_reviews IS 'open reviews';
COMMENT ON COLUMN tenantmig.observations.guards_missing IS 'guards whose trigger is gone or does not fire';
COMMENT ON COLUMN tenantmig.observations.constraints_missing IS 'constraints that enforce applied and that are gone or not valid';
COMMENT ON COLUMN tenantmig.observations.drift IS 'entries of the view drift since the observation before';
COMMENT ON COLUMN tenantmig.observations.checks IS '[{check_name, status, expected, actual, detail, hint}]: what observe() returned';
COMMENT ON COLUMN tenantmig.observations.duration IS 'how long it took';
COMMENT ON COLUMN tenantmig.observations.observed_by IS 'who called it';

-- What the observations before it say nothing about any more.
CREATE VIEW tenantmig.last_changes AS
  SELECT m.id AS migration_id, x.moment, x.reason
  FROM tenantmig.migration m
  CROSS JOIN LATERAL (
    SELECT y.moment, y.reason
    FROM (SELECT greatest(r.started_at, r.finished_at, r.undo_started_at),
                 CASE WHEN r.state = 'rolled_back' OR r.undo_started_at IS NOT NULL THEN format('run %s was undone', r.id)
                      WHEN r.finished_at IS NULL THEN format('run %s began', r.id) ELSE format('run %s ended', r.id) END
          FROM tenantmig.run_log r WHERE r.migration_id = m.id
          UNION ALL
          SELECT max(f.relaxed_at), 'constraints were relaxed' FROM tenantmig.enforcement f WHERE f.migration_id = m.id) y (moment, reason)
    WHERE y.moment IS NOT NULL
    ORDER BY y.moment DESC LIMIT 1) x;
COMMENT ON VIEW tenantmig.last_changes IS 'the last run, undo or relax of each migration that had one';
COMMENT ON COLUMN tenantmig.last_changes.migration_id IS 'number of the migration';
COMMENT ON COLUMN tenantmig.last_changes.moment IS 'when it ended, or began if it has not ended';
COMMENT ON COLUMN tenantmig.last_changes.reason IS 'what it was';

-- The soak: a series of good deep observations without a hole. It begins anew after whatever changes data or constraints.
CREATE VIEW tenantmig.soak AS
  SELECT m.id AS migration_id, m.name AS migration, s.since,
         CASE WHEN s.since IS NULL THEN interval '0' ELSE c.moment - s.since END AS length,
         s.since IS NOT NULL AS good,
         CASE
           WHEN s.since IS NOT NULL THEN format('good deep observations without a hole: %s, the last at %s%s', s.samples, s.last,
                                                CASE WHEN e.reason IS NULL THEN '' ELSE format('; before them: %s at %s', e.reason, e.moment) END)
           WHEN s.last IS NOT NULL THEN format('the last good deep observation was at %s, more than 26 hours ago', s.last)
           WHEN e.reason IS NOT NULL THEN format('no good deep observation since %s at %s', e.reason, e.moment)
           ELSE 'no good deep observation yet' END AS detail
  FROM tenantmig.migration m
  CROSS JOIN (SELECT tenantmig.clock() AS moment) c
  LEFT JOIN LATERAL (
    SELECT x.moment, x.reason
    FROM (SELECT (SELECT max(o.observed_at) FROM tenantmig.observation o WHERE o.migration_id = m.id AND NOT o.good), 'the bad observation'
          UNION ALL
          SELECT l.moment, l.reason FROM tenantmig.last_changes l WHERE l.migration_id = m.id) x (moment, reason)
    WHERE x.moment IS NOT NULL
    ORDER BY x.moment DESC LIMIT 1) e ON true
  CROSS JOIN LATERAL (
    SELECT CASE WHEN c.moment - max(g.observed_at) <= interval '26 hours' THEN max(g.observed_at) FILTER (WHERE g.first) END AS since,
           max(g.observed_at) AS last,
           count(*) FILTER (WHERE g.series = g.latest) AS samples
    FROM (SELECT p.observed_at, p.first, p.series, max(p.series) OVER () AS latest
          FROM (SELECT h.observed_at, h.first, count(*) FILTER (WHERE h.first) OVER (ORDER BY h.observed_at, h.id) AS series
                FROM (SELECT o.id, o.observed_at,
                             coalesce(o.observed_at - lag(o.observed_at) OVER (ORDER BY o.observed_at, o.id) > interval '26 hours', true) AS first
                      FROM tenantmig.observation o
                      WHERE o.migration_id = m.id AND o.deep AND o.good AND o.observed_at > coalesce(e.moment, '-infinity')) h) p) g) s;
COMMENT ON VIEW tenantmig.soak IS 'how long each migration has been observed to be good: one good deep observation a day, at most 26 hours apart; a bad one, a run, an undo or relax begins it anew';
COMMENT ON COLUMN tenantmig.soak.migration_id IS 'number of the migration';
COMMENT ON COLUMN tenantmig.soak.migration IS 'name of the migration';
COMMENT ON COLUMN tenantmig.soak.since IS 'the first good deep observation of the unbroken series; NULL: there is none';
COMMENT ON COLUMN tenantmig.soak.length IS 'time since then; 0 if there is none';
COMMENT ON COLUMN tenantmig.soak.good IS 'whether there is such a series';
COMMENT ON COLUMN tenantmig.soak.detail IS 'what it rests on, or why there is none';

CREATE VIEW tenantmig.open_reviews AS
  SELECT b.migration_id, sum(b.row_count - (SELECT count(*) FROM tenantmig.review_decision d WHERE d.id >= b.first_id AND d.id < b.first_id + b.row_count))::bigint AS open_reviews
  FROM tenantmig.review_batch b
  GROUP BY b.migration_id;
COMMENT ON VIEW tenantmig.open_reviews IS 'how many reviews wait for a decision, without unpacking the queue';
COMMENT ON COLUMN tenantmig.open_reviews.migration_id IS 'number of the migration';
COMMENT ON COLUMN tenantmig.open_reviews.open_reviews IS 'open reviews';

-- What is wrong without looking at a single row of a user's table, so that it shows at once. The weight orders reasons of one level.
CREATE VIEW tenantmig.health_facts AS
  SELECT e.migration_id, 'RED' AS level, 10 AS weight, 'enforcement' AS kind,
         format('%s of a constraint on %I.%I.%I was interrupted: CALL tenantmig.enforce(%L) or tenantmig.relax(%L) cleans up first',
                CASE e.state WHEN 'intended' THEN 'applying' ELSE 'removing' END, e.schema_name, e.table_name, e.column_name, m.name, m.name) AS reason
  FROM tenantmig.enforcement e JOIN tenantmig.migration m ON m.id = e.migration_id
  WHERE e.state IN ('intended', 'relaxing') AND NOT EXISTS (SELECT FROM tenantmig.active_migrations a WHERE a.migration_id = e.migration_id)
  UNION ALL
  SELECT m.id, 'RED', 20, 'constraint',
         format('the %s constraint%s on %I.%I.%I that was enforced is gone or not valid: CALL tenantmig.enforce(%L)', replace(e.kind, '_', ' '),
                coalesce(' ' || quote_ident(e.constraint_name), ''), e.schema_name, e.table_name, e.column_name, m.name)
  FROM tenantmig.enforcement e JOIN tenantmig.migration m ON m.id = e.migration_id
  CROSS JOIN LATERAL (
    SELECT coalesce((SELECT c.oid FROM pg_class c JOIN pg_database d ON d.oid = e.database_oid AND d.datname = current_database() WHERE c.oid = e.relation_oid),
                    (SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = e.schema_name AND c.relname = e.table_name)) AS oid,
           EXISTS (SELECT FROM pg_database d WHERE d.oid = e.database_oid AND d.datname = current_database()) AS same_place) r -- a rename is no harm
  WHERE e.state = 'enforced'
    AND NOT CASE e.kind
      WHEN 'not_null' THEN EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = r.oid AND a.attnotnull AND NOT a.attisdropped
          AND CASE WHEN r.same_place AND e.before ? 'column_number' THEN a.attnum = (e.before ->> 'column_number')::smallint ELSE a.attname = e.column_name END)
      ELSE EXISTS (SELECT FROM pg_constraint c WHERE c.conrelid = r.oid AND c.convalidated
          AND (c.conname = e.constraint_name OR r.same_place AND c.oid = e.constraint_oid))
        OR EXISTS (SELECT FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
                   WHERE i.indrelid = r.oid AND x.relname = e.constraint_name AND i.indisunique AND i.indisvalid) END
  UNION ALL
  SELECT m.id, 'RED', 30, 'guard',
         format('the %s guard on %s %s: SELECT * FROM tenantmig.attach_guard(%L)', g.kind,
                CASE WHEN g.trigger IS NOT NULL THEN format('%s.%I', g.relation, g.column_name)
                     ELSE (SELECT format('%I.%I.%I', d.schema_name, d.table_name, d.column_name) FROM tenantmig.guard d WHERE d.id = g.id) END,
                CASE WHEN g.trigger IS NULL THEN 'is gone' ELSE 'does not fire' END, m.name)
  FROM tenantmig.guards g JOIN tenantmig.migration m ON m.name = g.migration
  WHERE NOT g.enabled
  UNION ALL
  SELECT t.migration_id, 'RED', 35, 'isolation', format('row-level security of %s %s: CALL tenantmig.up(%L)', x.relation, x.what, m.name)
  FROM tenantmig.step_state t JOIN tenantmig.migration m ON m.id = t.migration_id
  CROSS JOIN LATERAL (
    WITH RECURSIVE isolated AS (
      SELECT i.relid, i.relation, i.parent, i.row_security AND (i.force_row_security OR NOT i.force) AS secure, i.policies, i.super_role
      FROM tenantmig.isolated_tables i WHERE i.migration = m.name AND i.step = t.step AND i.relid IS NOT NULL),
    below (relid) AS (SELECT o.relid FROM isolated o WHERE o.parent IS NULL UNION SELECT h.inhrelid FROM below b JOIN pg_inherits h ON h.inhparent = b.relid)
    SELECT o.relation, CASE WHEN NOT o.secure THEN 'is not in force' ELSE 'has lost a policy' END AS what
    FROM isolated o JOIN below b ON b.relid = o.relid
    WHERE NOT o.secure OR NOT 'tenantmig_tenant' = ANY (o.policies) OR o.super_role IS NOT NULL AND NOT 'tenantmig_super' = ANY (o.policies)
    UNION ALL
    SELECT format('%I.%I', n.nspname, c.relname), 'is missing: the table came after the step'
    FROM below b JOIN pg_class c ON c.oid = b.relid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE NOT EXISTS (SELECT FROM isolated o WHERE o.relid = b.relid)) x
  WHERE (t.state = 'applied' OR t.state = 'applying' AND t.detail @> '{"complete": true}') AND EXISTS (SELECT FROM tenantmig.isolation i WHERE i.migration_id = t.migration_id AND i.step = t.step)
  UNION ALL
  SELECT r.migration_id, 'RED', 40, 'run', format('the undo of run %s was interrupted: CALL tenantmig.undo(%s) goes on', r.id, r.id)
  FROM tenantmig.run_log r
  WHERE r.undo_started_at IS NOT NULL AND r.state <> 'rolled_back'
    AND NOT EXISTS (SELECT FROM tenantmig.active_migrations a WHERE a.migration_id = r.migration_id)
  UNION ALL
  SELECT r.migration_id, CASE v.state WHEN 'paused' THEN 'YELLOW' ELSE 'RED' END, 41, 'run',
         CASE v.state WHEN 'paused' THEN format('run %s is paused: SELECT tenantmig.resume(%L) goes on', r.id, v.migration)
                      WHEN 'failed' THEN format('run %s failed: SELECT error FROM tenantmig.runs WHERE id = %s says why; tenantmig.resume(%L) or tenantmig.cancel(%L)', r.id, r.id, v.migration, v.migration)
                      ELSE format('run %s was interrupted, nobody is at work on it: SELECT tenantmig.resume(%L) goes on', r.id, v.migration) END
  FROM tenantmig.run_log r JOIN tenantmig.runs v ON v.id = r.id
  WHERE v.state IN ('interrupted', 'failed', 'paused') AND r.undo_started_at IS NULL
    AND NOT EXISTS (SELECT FROM tenantmig.run_log l WHERE l.migration_id = r.migration_id AND l.id > r.id)
  UNION ALL
  SELECT w.migration_id, 'YELLOW', 50, 'reviews', format('%s open: SELECT * FROM tenantmig.review(%L)', CASE w.open_reviews WHEN 1 THEN '1 review is' ELSE format('%s reviews are', w.open_reviews) END, m.name)
  FROM tenantmig.open_reviews w JOIN tenantmig.migration m ON m.id = w.migration_id
  WHERE w.open_reviews > 0;

COMMENT ON VIEW tenantmig.health_facts IS 'what is wrong with migrations as far as it can be told without reading a table of a user';
COMMENT ON COLUMN tenantmig.health_facts.migration_id IS 'number of the migration';
COMMENT ON COLUMN tenantmig.health_facts.level IS 'RED or YELLOW';
COMMENT ON COLUMN tenantmig.health_facts.weight IS 'orders the reasons of one level, the gravest first';
COMMENT ON COLUMN tenantmig.health_facts.kind IS 'enforcement, constraint, guard, isolation, run or reviews';
COMMENT ON COLUMN tenantmig.health_facts.reason IS 'what is wrong, and what to do';

-- The colour: what is wrong now, and what the last observation found, as long as nothing has changed data or constraints since.
-- A function, and not the view itself, for the sake of jit = off: so many subqueries look expensive to the planner, and compiling
-- them took seconds where running them takes milliseconds. It runs as the owner of the extension, as the view did.
CREATE FUNCTION tenantmig.health_rows() RETURNS TABLE (migration text, health text, reasons text[], soak interval, soak_since timestamptz,
    last_observed timestamptz, last_deep timestamptz, open_reviews bigint, nulls bigint, new_nulls bigint, unknown_tenants bigint, mismatches bigint,
    drift bigint, run_id bigint)
  LANGUAGE sql STABLE SECURITY DEFINER ROWS 10 SET search_path = pg_catalog, pg_temp SET jit = off AS $$
  SELECT m.name AS migration,
         CASE WHEN f.red THEN 'RED' WHEN cardinality(f.reasons) > 0 THEN 'YELLOW' ELSE 'GREEN' END AS health,
         f.reasons, k.length AS soak, k.since AS soak_since, o.observed_at AS last_observed, d.observed_at AS last_deep,
         coalesce(w.open_reviews, 0) AS open_reviews, o.nulls, o.new_nulls, o.unknown_tenants, d.mismatches, o.drift,
         (SELECT max(r.id) FROM tenantmig.run_log r WHERE r.migration_id = m.id AND r.state = 'completed') AS run_id
  FROM tenantmig.migration m
  JOIN tenantmig.soak k ON k.migration_id = m.id
  LEFT JOIN tenantmig.last_changes l ON l.migration_id = m.id
  LEFT JOIN tenantmig.open_reviews w ON w.migration_id = m.id
  LEFT JOIN LATERAL (SELECT x.* FROM tenantmig.observation x WHERE x.migration_id = m.id ORDER BY x.observed_at DESC, x.id DESC LIMIT 1) o ON true
  LEFT JOIN LATERAL (SELECT x.* FROM tenantmig.observation x WHERE x.migration_id = m.id AND x.deep ORDER BY x.observed_at DESC, x.id DESC LIMIT 1) d ON true
  CROSS JOIN LATERAL (
    SELECT coalesce(bool_or(y.level = 'RED'), false) AS red, coalesce(array_agg(y.reason ORDER BY y.level, y.weight, y.reason), '{}') AS reasons
    FROM (SELECT h.level, h.weight, h.reason FROM tenantmig.health_facts h WHERE h.migration_id = m.id
          UNION ALL
          SELECT r.level, r.weight, r.reason
          FROM jsonb_to_recordset(o.samples -> 'reasons') AS r (level text, weight integer, deep boolean, reason text)
          WHERE NOT r.deep AND o.observed_at > coalesce(l.moment, '-infinity')
          UNION ALL
          SELECT r.level, r.weight, r.reason
          FROM jsonb_to_recordset(d.samples -> 'reasons') AS r (level text, weight integer, deep boolean, reason text)
          WHERE r.deep AND d.observed_at > coalesce(l.moment, '-infinity')
          UNION ALL
          SELECT 'YELLOW', 60,
                 CASE WHEN o.observed_at IS NULL THEN format('not observed yet: SELECT * FROM tenantmig.observe(%L)', m.name)
                      WHEN o.observed_at <= l.moment THEN format('not observed since %s: SELECT * FROM tenantmig.observe(%L)', l.reason, m.name)
                      ELSE format('last observed at %s: schedule tenantmig.observe(%L)', o.observed_at, m.name) END
          WHERE (EXISTS (SELECT FROM tenantmig.run_log r WHERE r.migration_id = m.id AND r.state = 'completed')
                 OR EXISTS (SELECT FROM tenantmig.enforcement e WHERE e.migration_id = m.id AND e.state = 'enforced'))
            AND (o.observed_at IS NULL OR o.observed_at <= coalesce(l.moment, '-infinity')
                 OR o.observed_at < (SELECT tenantmig.clock()) - coalesce((m.spec #>> '{monitor,stale_after}')::interval, interval '26 hours'))) y) f
$$;
COMMENT ON FUNCTION tenantmig.health_rows() IS 'what the view health shows. No locks but those of reading tenantmig''s own tables.';
REVOKE ALL ON FUNCTION tenantmig.health_rows() FROM PUBLIC;

CREATE VIEW tenantmig.health AS
  SELECT migration, health, reasons, soak, soak_since, last_observed, last_deep, open_reviews, nulls, new_nulls, unknown_tenants, mismatches, drift, run_id
  FROM tenantmig.health_rows();
COMMENT ON VIEW tenantmig.health IS 'how each migration is: RED (act now), YELLOW (look at it) or GREEN, with the reasons';
COMMENT ON COLUMN tenantmig.health.migration IS 'name of the migration';
COMMENT ON COLUMN tenantmig.health.health IS 'GREEN, YELLOW or RED';
COMMENT ON COLUMN tenantmig.health.reasons IS 'why it is not GREEN and what to do, the gravest first';
COMMENT ON COLUMN tenantmig.health.soak IS 'how long it has been observed to be good: see the view soak';
COMMENT ON COLUMN tenantmig.health.soak_since IS 'since when; NULL: no such series';
COMMENT ON COLUMN tenantmig.health.last_observed IS 'the last observation';
COMMENT ON COLUMN tenantmig.health.last_deep IS 'the last deep one';
COMMENT ON COLUMN tenantmig.health.open_reviews IS 'open reviews, now';
COMMENT ON COLUMN tenantmig.health.nulls IS 'rows without a tenant key, when last observed';
COMMENT ON COLUMN tenantmig.health.new_nulls IS 'of those: neither in the review queue nor there when the run ended';
COMMENT ON COLUMN tenantmig.health.unknown_tenants IS 'tenant keys that the tenant root does not have, when last observed';
COMMENT ON COLUMN tenantmig.health.mismatches IS 'rows whose key contradicts a source, in the last deep observation';
COMMENT ON COLUMN tenantmig.health.drift IS 'entries of drift that the last observation found to be new';
COMMENT ON COLUMN tenantmig.health.run_id IS 'the last completed run that was not undone';

CREATE VIEW tenantmig.observed_days AS
  SELECT o.migration_id, (o.observed_at AT TIME ZONE 'UTC')::date AS day,
         count(*) AS samples, count(*) FILTER (WHERE o.deep) AS deep_samples, count(*) FILTER (WHERE NOT o.good) AS bad,
         CASE min(CASE o.health WHEN 'RED' THEN 1 WHEN 'YELLOW' THEN 2 ELSE 3 END) WHEN 1 THEN 'RED' WHEN 2 THEN 'YELLOW' ELSE 'GREEN' END AS health,
         max(o.nulls) AS nulls, max(o.new_nulls) AS new_nulls, max(o.unknown_tenants) AS unknown_tenants, max(o.mismatches) AS mismatches,
         max(o.open_reviews) AS open_reviews, sum(o.drift)::bigint AS drift, count(*) FILTER (WHERE o.samples -> 'alert' = 'true') AS alerts
  FROM tenantmig.observation o
  GROUP BY o.migration_id, (o.observed_at AT TIME ZONE 'UTC')::date;
COMMENT ON VIEW tenantmig.observed_days IS 'observations day by day, for the days that have some';
COMMENT ON COLUMN tenantmig.observed_days.migration_id IS 'number of the migration';
COMMENT ON COLUMN tenantmig.observed_days.day IS 'day, in UTC';
COMMENT ON COLUMN tenantmig.observed_days.samples IS 'observations';
COMMENT ON COLUMN tenantmig.observed_days.deep_samples IS 'deep ones';
COMMENT ON COLUMN tenantmig.observed_days.bad IS 'bad ones';
COMMENT ON COLUMN tenantmig.observed_days.health IS 'the worst of the day';
COMMENT ON COLUMN tenantmig.observed_days.nulls IS 'rows without a tenant key, at most';
COMMENT ON COLUMN tenantmig.observed_days.new_nulls IS 'new ones, at most';
COMMENT ON COLUMN tenantmig.observed_days.unknown_tenants IS 'unknown tenant keys, at most';
COMMENT ON COLUMN tenantmig.observed_days.mismatches IS 'mismatches, at most; NULL without a deep observation';
COMMENT ON COLUMN tenantmig.observed_days.open_reviews IS 'open reviews, at most';
COMMENT ON COLUMN tenantmig.observed_days.drift IS 'new entries of drift';
COMMENT ON COLUMN tenantmig.observed_days.alerts IS 'changes of health to YELLOW or RED';

CREATE VIEW tenantmig.week AS
  SELECT m.name AS migration, t.day::date AS day, coalesce(d.samples, 0) AS samples, coalesce(d.deep_samples, 0) AS deep_samples, coalesce(d.bad, 0) AS bad,
         d.health, d.nulls, d.new_nulls, d.unknown_tenants, d.mismatches, d.open_reviews, d.drift, coalesce(d.alerts, 0) AS alerts
  FROM tenantmig.migration m
  CROSS JOIN (SELECT (tenantmig.clock() AT TIME ZONE 'UTC')::date AS today) c
  CROSS JOIN LATERAL generate_series(c.today - 6, c.today, interval '1 day') AS t (day)
  LEFT JOIN tenantmig.observed_days d ON d.migration_id = m.id AND d.day = t.day::date;
COMMENT ON VIEW tenantmig.week IS 'the last 7 days of each migration, one row a day, also for days without observations';
COMMENT ON COLUMN tenantmig.week.migration IS 'name of the migration';
COMMENT ON COLUMN tenantmig.week.day IS 'day, in UTC; the last one is today';
COMMENT ON COLUMN tenantmig.week.samples IS 'observations';
COMMENT ON COLUMN tenantmig.week.deep_samples IS 'deep ones; the soak needs one a day';
COMMENT ON COLUMN tenantmig.week.bad IS 'bad ones';
COMMENT ON COLUMN tenantmig.week.health IS 'the worst of the day; NULL: not observed';
COMMENT ON COLUMN tenantmig.week.nulls IS 'rows without a tenant key, at most';
COMMENT ON COLUMN tenantmig.week.new_nulls IS 'new ones, at most';
COMMENT ON COLUMN tenantmig.week.unknown_tenants IS 'unknown tenant keys, at most';
COMMENT ON COLUMN tenantmig.week.mismatches IS 'mismatches, at most; NULL without a deep observation';
COMMENT ON COLUMN tenantmig.week.open_reviews IS 'open reviews, at most';
COMMENT ON COLUMN tenantmig.week.drift IS 'new entries of drift';
COMMENT ON COLUMN tenantmig.week.alerts IS 'changes of health to YELLOW or RED';
