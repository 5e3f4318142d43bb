-- Nothing below is looked up in the schemas of whoever creates the extension: functions made there by others would end up in its views and
-- defaults, and run as whoever reads them.
SET LOCAL search_path TO pg_catalog, pg_temp;

-- A plain CREATE SCHEMA: IF NOT EXISTS or `schema =` in the control file would install into a schema that somebody else made first.
CREATE SCHEMA tenantmig;
COMMENT ON SCHEMA tenantmig IS 'tenantmig: retrofit multi-tenancy to tables that already hold data';

-- Nothing is for everybody: each function is revoked from PUBLIC beside its CREATE; tenantmig.grant_access(role, level) opens what a role needs.

CREATE FUNCTION tenantmig.version() RETURNS text
  LANGUAGE C STABLE AS 'MODULE_PATHNAME', 'tenantmig_version';
COMMENT ON FUNCTION tenantmig.version() IS
  'version of the loaded library; the client compares it with its own and with the installed extension. No locks.';
REVOKE ALL ON FUNCTION tenantmig.version() FROM PUBLIC;

CREATE FUNCTION tenantmig.clock() RETURNS timestamptz
  LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'tenantmig_clock';
COMMENT ON FUNCTION tenantmig.clock() IS
  'the time that the gate, the soak, health and retention are reckoned by: clock_timestamp(). No locks.';
REVOKE ALL ON FUNCTION tenantmig.clock() FROM PUBLIC;
