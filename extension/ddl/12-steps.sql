-- What stands of the steps that up and down take: one row per step that has begun, and the log of every attempt.
CREATE TABLE tenantmig.step_state (
  migration_id bigint NOT NULL REFERENCES tenantmig.migration (id),
  step         integer NOT NULL,
  state        text NOT NULL CHECK (state IN ('applying','applied','reverting')),
  phase        text,
  detail       jsonb NOT NULL DEFAULT '{}',
  error        text,
  started_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
  finished_at  timestamptz,
  PRIMARY KEY (migration_id, step)
);
COMMENT ON TABLE tenantmig.step_state IS 'steps that are applied, or on the way there or back (a step without a row is not applied). phase: how far, in words of the step''s kind: up and down go on from it; detail: what down needs to bring back what stood there before; error: of the last attempt';

CREATE SEQUENCE tenantmig.step_log_id_seq AS bigint;
CREATE TABLE tenantmig.step_log (
  id           bigint PRIMARY KEY DEFAULT nextval('tenantmig.step_log_id_seq'),
  migration_id bigint NOT NULL REFERENCES tenantmig.migration (id),
  step         integer NOT NULL,
  kind         text NOT NULL,
  action       text NOT NULL CHECK (action IN ('up','down')),
  outcome      text NOT NULL CHECK (outcome IN ('running','done','unchanged','paused','failed')),
  actor        text NOT NULL,
  started_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
  finished_at  timestamptz,
  error        text,
  detail       jsonb NOT NULL DEFAULT '{}'
);
COMMENT ON TABLE tenantmig.step_log IS 'every attempt of up and down, step by step: the execution log. detail: {checks, columns_added, columns_removed, columns_converted, run, …}, as far as the kind of step has them';
COMMENT ON SEQUENCE tenantmig.step_log_id_seq IS 'ids of attempts';
CREATE INDEX step_log_migration_idx ON tenantmig.step_log (migration_id);

SELECT pg_catalog.pg_extension_config_dump('tenantmig.step_state', '');
SELECT pg_catalog.pg_extension_config_dump('tenantmig.step_log', '');
SELECT pg_catalog.pg_extension_config_dump('tenantmig.step_log_id_seq', '');
