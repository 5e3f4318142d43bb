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
COMMENT ON TABLE tenantmig.observation IS 'samples of migrations; good: nothing that restarts the soak; samples: counters of the server and latency, as read; checks: [{check_name, status, expected, actual, detail, hint}]';
CREATE INDEX observation_migration_idx ON tenantmig.observation (migration_id, observed_at);

CREATE TABLE tenantmig.baseline (
  migration_id bigint PRIMARY KEY REFERENCES tenantmig.migration (id) ON DELETE CASCADE,
  taken_at     timestamptz NOT NULL,
  samples      jsonb NOT NULL
);
COMMENT ON TABLE tenantmig.baseline IS 'the server before a migration''s first run: what later samples are compared with';

SELECT pg_catalog.pg_extension_config_dump('tenantmig.observation', '');
SELECT pg_catalog.pg_extension_config_dump('tenantmig.observation_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('tenantmig.baseline', '');

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
          SELECT greatest(r.started_at, r.finished_at, r.undo_started_at),
                 CASE WHEN r.state = 'rolled_back' OR r.undo_started_at IS NOT NULL THEN format('run %s was undone', r.id)
                      WHEN r.finished_at IS NULL THEN format('run %s began', r.id) ELSE format('run %s ended', r.id) END
          FROM tenantmig.run_log r WHERE r.migration_id = m.id
          UNION ALL
          SELECT max(f.relaxed_at), 'constraints were relaxed' FROM tenantmig.enforcement f WHERE f.migration_id = m.id) x (moment, reason)
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
