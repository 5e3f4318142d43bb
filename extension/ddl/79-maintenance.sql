-- Maintenance mode: what the fences of migrations go by. Not dumped: a restored database is open, whatever triggers the dump
-- has brought along.

CREATE TABLE tenantmig.fence (
  migration_id    bigint PRIMARY KEY REFERENCES tenantmig.migration (id) ON DELETE CASCADE,
  migration       text NOT NULL,
  fenced_until    timestamptz NOT NULL,
  switched_on_at  timestamptz NOT NULL,
  switched_on_by  text NOT NULL,
  exempt_logins   oid[] NOT NULL,
  exempt_sessions text[] NOT NULL
);
COMMENT ON TABLE tenantmig.fence IS 'migrations whose tables are fenced until fenced_until; afterwards the row means nothing. exempt_logins: roles that have logged in; exempt_sessions: process number and start of a session, which no other one has';

CREATE FUNCTION tenantmig.maintenance_fence() RETURNS trigger
  LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'tenantmig_maintenance_fence';
COMMENT ON FUNCTION tenantmig.maintenance_fence() IS
  'trigger function of fences; its argument is the number of the migration. Errors: TM016 (the table is fenced; the hint says until when), 39P01 (not called by a BEFORE trigger), 22023 (argument). Locks: ACCESS SHARE on a table of tenantmig.';
REVOKE ALL ON FUNCTION tenantmig.maintenance_fence() FROM PUBLIC;

CREATE FUNCTION tenantmig.maintenance(migration text, enabled boolean, time_limit interval DEFAULT '30 minutes', whole_login boolean DEFAULT true,
  OUT relation text, OUT state text, OUT fenced_until timestamptz) RETURNS SETOF record
  LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'tenantmig_maintenance';
COMMENT ON FUNCTION tenantmig.maintenance(text, boolean, interval, boolean) IS
  'fences the tables that a migration writes, or opens them: INSERT, UPDATE, DELETE and TRUNCATE of others fail with TM016, reading works. Ends by itself after time_limit (at most one day); called again, the limit counts from then. Exempt are the session that calls, whoever has logged in as its user (not with whole_login => false), and tenantmig''s own work. Returns the tables; state: fenced, open. Needs the privileges of the owners of the migration and its tables. Errors: 42704, 42501, 22004, 22023 (time limit), 55000 (the migration writes no table that is there), 55P03 (a table stays locked: nothing is fenced), 25006. Locks: SHARE ROW EXCLUSIVE on all these tables together, waited for in short attempts, until the transaction ends: call it on its own. Opening: ACCESS EXCLUSIVE, only where it is to be had at once.';
REVOKE ALL ON FUNCTION tenantmig.maintenance(text, boolean, interval, boolean) FROM PUBLIC;

CREATE FUNCTION tenantmig.written_tables(migration text,
  OUT relation text, OUT schema_name text, OUT table_name text, OUT key_columns text[]) RETURNS SETOF record
  LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'tenantmig_written_tables';
COMMENT ON FUNCTION tenantmig.written_tables(text) IS
  'the tables that the steps of a migration write, with their partitions, as far as they are there now; key_columns: their tenant keys, as they are called now. Errors: 42704, 42501 (the privileges of the migration''s owner are needed). Locks: ACCESS SHARE.';
REVOKE ALL ON FUNCTION tenantmig.written_tables(text) FROM PUBLIC;

CREATE VIEW tenantmig.maintenance_fences AS
  SELECT m.name AS migration, format('%I.%I', n.nspname, c.relname) AS relation,
         CASE WHEN f.fenced_until > clock_timestamp() THEN 'fenced' ELSE 'open' END AS state,
         f.fenced_until, f.switched_on_at, f.switched_on_by,
         ARRAY(SELECT coalesce(r.rolname::text, u.login::text) FROM unnest(f.exempt_logins) u (login) LEFT JOIN pg_roles r ON r.oid = u.login ORDER BY 1) AS exempt_logins,
         min(t.tgname::text) AS trigger_name
  FROM pg_trigger t
  JOIN pg_class c ON c.oid = t.tgrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN tenantmig.migration m ON t.tgargs = convert_to(m.id::text, 'SQL_ASCII') || '\x00'::bytea
  LEFT JOIN tenantmig.fence f ON f.migration_id = m.id
  WHERE t.tgfoid = (SELECT p.oid FROM pg_proc p WHERE p.pronamespace = 'tenantmig'::regnamespace AND p.proname = 'maintenance_fence') AND NOT t.tgisinternal
    AND t.tgparentid = 0
  GROUP BY m.name, n.nspname, c.relname, f.migration_id;
COMMENT ON VIEW tenantmig.maintenance_fences IS 'tables that are fenced for a migration, and those where a fence was that has ended: its triggers do nothing any more, and go with the next call of tenantmig.maintenance';
COMMENT ON COLUMN tenantmig.maintenance_fences.migration IS 'migration; NULL: one that is not there any more';
COMMENT ON COLUMN tenantmig.maintenance_fences.relation IS 'table';
COMMENT ON COLUMN tenantmig.maintenance_fences.state IS 'fenced: writes of others fail; open: the fence has ended';
COMMENT ON COLUMN tenantmig.maintenance_fences.fenced_until IS 'when it ends by itself, or has; NULL: it was switched off';
COMMENT ON COLUMN tenantmig.maintenance_fences.switched_on_at IS 'when it was switched on';
COMMENT ON COLUMN tenantmig.maintenance_fences.switched_on_by IS 'by whom';
COMMENT ON COLUMN tenantmig.maintenance_fences.exempt_logins IS 'whoever has logged in as one of these may write; besides, the sessions that have switched it on may';
COMMENT ON COLUMN tenantmig.maintenance_fences.trigger_name IS 'the trigger on the table';
