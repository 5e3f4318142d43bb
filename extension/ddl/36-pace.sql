CREATE TABLE tenantmig.pace (
  migration_id bigint PRIMARY KEY REFERENCES tenantmig.migration (id) ON DELETE CASCADE,
  settings     jsonb NOT NULL DEFAULT '{}',
  changed_by   text NOT NULL,
  changed_at   timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE tenantmig.pace IS 'thresholds of the pace of migrations: those settings that differ from their defaults; read again by runs while they go on';
SELECT pg_catalog.pg_extension_config_dump('tenantmig.pace', '');

CREATE FUNCTION tenantmig.set_pace(name text, settings jsonb) RETURNS jsonb
  LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'tenantmig_set_pace';
COMMENT ON FUNCTION tenantmig.set_pace(text, jsonb) IS
  'sets how fast runs of a migration may go; one that is active obeys within seconds. settings: an object of those to change; null takes one back to its default, "off" stops a signal from being looked at, {} changes nothing. Returns all that are in force then. See docs/pace.md. Errors: 42704 (no such migration), 42501 (not its owner), 22023 (unknown setting, wrong type, out of range), 25006. No locks on user tables.';
REVOKE ALL ON FUNCTION tenantmig.set_pace(text, jsonb) FROM PUBLIC;
