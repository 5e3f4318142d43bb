-- Row-level security: which tables are isolated, and how.
CREATE TABLE tenantmig.isolation (
  migration_id  bigint NOT NULL REFERENCES tenantmig.migration (id) ON DELETE CASCADE,
  step          integer NOT NULL,
  schema_name   text NOT NULL,
  table_name    text NOT NULL,
  column_name   text NOT NULL,
  column_number smallint NOT NULL,
  relation_oid  oid NOT NULL,
  parent_schema text,
  parent_name   text,
  parent_oid    oid,
  database_oid  oid NOT NULL,
  system_id     text NOT NULL,
  role_names    text[] NOT NULL,
  role_oids     oid[] NOT NULL,
  super_role    text,
  super_oid     oid,
  setting       text NOT NULL,
  force         boolean NOT NULL,
  before        jsonb NOT NULL DEFAULT '{}',
  isolated_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
  isolated_by   text NOT NULL,
  PRIMARY KEY (migration_id, step, schema_name, table_name)
);
COMMENT ON TABLE tenantmig.isolation IS 'tables that isolate steps have policies on, or are about to have, partitions and inheritance children too (parent_*: the table of the spec above them). before: the row-level security flags that stood there before, and what was made beside policies (index, keys). Numbers are valid in the database of that OID in the server with that system identifier, names everywhere';
SELECT pg_catalog.pg_extension_config_dump('tenantmig.isolation', '');

CREATE VIEW tenantmig.isolated_tables AS
  SELECT m.name AS migration, i.step, CASE WHEN c.oid IS NULL THEN format('%I.%I', i.schema_name, i.table_name) ELSE format('%I.%I', n.nspname, c.relname) END AS relation,
         coalesce(a.attname::text, i.column_name) AS column_name,
         ARRAY(SELECT coalesce(r.rolname::text, o.name) FROM unnest(i.role_names, i.role_oids) WITH ORDINALITY o(name, id, place)
               LEFT JOIN pg_roles r ON r.oid = o.id AND w.system_here ORDER BY o.place) AS roles,
         coalesce((SELECT r.rolname::text FROM pg_roles r WHERE r.oid = i.super_oid AND w.system_here), i.super_role) AS super_role,
         i.setting, i.force,
         coalesce((SELECT format('%I.%I', pn.nspname, p.relname) FROM pg_class p JOIN pg_namespace pn ON pn.oid = p.relnamespace WHERE p.oid = i.parent_oid AND w.here),
                  CASE WHEN i.parent_name IS NOT NULL THEN format('%I.%I', i.parent_schema, i.parent_name) END) AS parent,
         c.relrowsecurity AS row_security, c.relforcerowsecurity AS force_row_security,
         ARRAY(SELECT l.polname::text FROM pg_policy l WHERE l.polrelid = c.oid ORDER BY l.polname) AS policies, i.isolated_at, c.oid AS relid
  FROM tenantmig.isolation i
  JOIN tenantmig.migration m ON m.id = i.migration_id
  CROSS JOIN LATERAL (SELECT i.system_id = (SELECT s.system_identifier::text FROM pg_control_system() s) AS system_here) y
  CROSS JOIN LATERAL (SELECT y.system_here, y.system_here AND i.database_oid = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()) AS here) w
  LEFT JOIN LATERAL (SELECT k.oid, k.relname, k.relnamespace, k.relrowsecurity, k.relforcerowsecurity, w.here AND k.oid = i.relation_oid AS by_number
                     FROM pg_class k JOIN pg_namespace kn ON kn.oid = k.relnamespace
                     WHERE k.relkind IN ('r', 'p') AND (w.here AND k.oid = i.relation_oid OR kn.nspname = i.schema_name AND k.relname = i.table_name)
                     ORDER BY 6 DESC LIMIT 1) c ON true
  LEFT JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND NOT a.attisdropped AND CASE WHEN c.by_number THEN a.attnum = i.column_number ELSE a.attname = i.column_name END;
COMMENT ON VIEW tenantmig.isolated_tables IS 'tables that isolate steps have policies on (a step that is applied, or on its way: see steps), partitions and inheritance children too, and what stands there now';
COMMENT ON COLUMN tenantmig.isolated_tables.migration IS 'name of the migration';
COMMENT ON COLUMN tenantmig.isolated_tables.step IS 'position of the isolate step in the spec, from 1';
COMMENT ON COLUMN tenantmig.isolated_tables.relation IS 'table, as it is called today; if it is gone, as it was called';
COMMENT ON COLUMN tenantmig.isolated_tables.column_name IS 'its tenant key, as it is called today';
COMMENT ON COLUMN tenantmig.isolated_tables.roles IS 'roles of the application, which see one tenant''s rows';
COMMENT ON COLUMN tenantmig.isolated_tables.super_role IS 'role that sees all rows; NULL: there is none';
COMMENT ON COLUMN tenantmig.isolated_tables.setting IS 'the setting that names the tenant';
COMMENT ON COLUMN tenantmig.isolated_tables.force IS 'whether the step asks for FORCE ROW LEVEL SECURITY';
COMMENT ON COLUMN tenantmig.isolated_tables.parent IS 'of a partition or an inheritance child: the table of the spec above it';
COMMENT ON COLUMN tenantmig.isolated_tables.row_security IS 'whether ROW LEVEL SECURITY is enabled now; NULL: the table is gone';
COMMENT ON COLUMN tenantmig.isolated_tables.force_row_security IS 'whether it is forced on the owner now';
COMMENT ON COLUMN tenantmig.isolated_tables.policies IS 'policies that the table has now, ours and others''';
COMMENT ON COLUMN tenantmig.isolated_tables.isolated_at IS 'when the step came to this table';
COMMENT ON COLUMN tenantmig.isolated_tables.relid IS 'the table''s number in this database; NULL: it is gone';

CREATE PROCEDURE tenantmig.isolate(tables text[], role text, tenants text DEFAULT NULL, setting text DEFAULT 'tenantmig.tenant', super_role text DEFAULT NULL,
    force boolean DEFAULT true, null_keys text DEFAULT 'refuse', name text DEFAULT 'isolation')
  LANGUAGE C AS 'MODULE_PATHNAME', 'tenantmig_isolate';
COMMENT ON PROCEDURE tenantmig.isolate(text[], text, text, text, text, boolean, text, text) IS
  'row-level security for an application role: makes a migration of one isolate step and takes it up. The same call again goes on, or brings partitions in that have come since; CALL tenantmig.down(name) takes it back. role: one or several, separated by commas, as SQL writes names; they see the rows of the tenant that the setting names, and none without. tenants: the tenant root; NULL: that of the caller''s other migrations, else the only table that the tables refer to, if all do (a NOTICE tells). super_role: sees all rows. force: the owner is held to the policies, too. null_keys: refuse, or hide (rows without a key are seen by nobody but super_role and superusers). Commits as it goes. Needs the privileges of the tables'' owner. Errors: 25001 (inside a transaction block), 25006, 22004, 22023, 42P01, 42703, 42704 (no such role), 42501, 42710 (the migration exists with another spec), 0A000 (foreign tables, children of another owner), TM018 (a criterion does not hold: see isolation_criteria; the migration stays, so that the same call goes on), and those of up. Locks: ACCESS EXCLUSIVE on one table at a time for some milliseconds, waited for briefly and again; SHARE UPDATE EXCLUSIVE while an index is built.';
REVOKE ALL ON PROCEDURE tenantmig.isolate(text[], text, text, text, text, boolean, text, text) FROM PUBLIC;

CREATE FUNCTION tenantmig.isolation_criteria(name text,
  OUT check_name text, OUT status text, OUT expected text, OUT actual text, OUT detail text, OUT hint text) RETURNS SETOF record
  LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'tenantmig_isolation_criteria';
COMMENT ON FUNCTION tenantmig.isolation_criteria(text) IS
  'whether the isolate steps of a migration may be applied: one row a criterion, PASS/WARN/FAIL with what was found and the SQL that helps; up refuses while one is FAIL. Counts for itself, as the owners of the tables and past row-level security; changes nothing. Needs the privileges of the tables'' owners. Errors: 42704, 42501, 55000 (no isolate step), 42P01, 42703, 0A000. Locks: ACCESS SHARE.';
REVOKE ALL ON FUNCTION tenantmig.isolation_criteria(text) FROM PUBLIC;
