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
