-- Not dumped: it counts what happened on this server.
CREATE SEQUENCE tenantmig.guard_refusal_seq AS bigint CYCLE;
COMMENT ON SEQUENCE tenantmig.guard_refusal_seq IS 'how many writes guards have refused; advances although the refused transaction is rolled back';

CREATE SEQUENCE tenantmig.guard_id_seq AS bigint;
COMMENT ON SEQUENCE tenantmig.guard_id_seq IS 'numbers of guards';
CREATE TABLE tenantmig.guard (
  id            bigint PRIMARY KEY DEFAULT nextval('tenantmig.guard_id_seq'),
  migration_id  bigint NOT NULL REFERENCES tenantmig.migration (id) ON DELETE CASCADE,
  step          integer NOT NULL,
  kind          text NOT NULL CHECK (kind IN ('tenant_key')),
  mode          text NOT NULL CHECK (mode IN ('fill','reject','warn')),
  always        boolean NOT NULL,
  schema_name   text NOT NULL,
  table_name    text NOT NULL,
  column_name   text NOT NULL,
  column_number smallint NOT NULL,
  relation_oid  oid NOT NULL,
  database_oid  oid NOT NULL,
  definition    jsonb NOT NULL,
  attached_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
  attached_by   text NOT NULL,
  UNIQUE (migration_id, step)
);
COMMENT ON TABLE tenantmig.guard IS 'guards that are attached; definition: identity and names of all that the trigger reads. The trigger tenantmig_guard_ID has the id as its argument. Numbers are valid in the database of that OID, names everywhere';

-- No foreign key: a row is written in somebody else's transaction, which must neither wait for us nor fail because of us.
CREATE SEQUENCE tenantmig.drift_id_seq AS bigint CACHE 32;
COMMENT ON SEQUENCE tenantmig.drift_id_seq IS 'ids of drift';
CREATE TABLE tenantmig.drift_log (
  id               bigint PRIMARY KEY DEFAULT nextval('tenantmig.drift_id_seq'),
  migration        text NOT NULL,
  guard            bigint,
  relation         text NOT NULL,
  row_key          text,
  column_name      text NOT NULL,
  kind             text NOT NULL,
  found            text,
  expected         text,
  role             text NOT NULL,
  application_name text,
  client_address   inet,
  happened_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
  detail           text
);
COMMENT ON TABLE tenantmig.drift_log IS 'what guards let pass although it was not right; written in the transaction that did it';

SELECT pg_catalog.pg_extension_config_dump('tenantmig.guard', '');
SELECT pg_catalog.pg_extension_config_dump('tenantmig.guard_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('tenantmig.drift_log', '');
SELECT pg_catalog.pg_extension_config_dump('tenantmig.drift_id_seq', '');

CREATE FUNCTION tenantmig.guard_tenant_key() RETURNS trigger
  LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'tenantmig_guard_tenant_key';
COMMENT ON FUNCTION tenantmig.guard_tenant_key() IS
  'trigger function of guards of kind tenant_key; tenantmig.attach_guard makes the trigger. fill: fills a NULL key from the parents of the row, lets everything pass and writes to tenantmig.drift what it could not settle; reject: refuses rows without a key and rows that contradict their parents (23514); warn: lets all pass and writes. Parents and tenant root are read as their owners. Errors: 23514 (mode reject), 39P01 (not called as a trigger). Locks: ACCESS SHARE on parents and tenant root.';
REVOKE ALL ON FUNCTION tenantmig.guard_tenant_key() FROM PUBLIC;
-- The exception: PostgreSQL asks for this right whenever a trigger is made, and adding a partition to a guarded table makes
-- one, as whoever owns the table by then. Called directly it only raises 39P01; a trigger that attach_guard has not made
-- reads nothing.
GRANT EXECUTE ON FUNCTION tenantmig.guard_tenant_key() TO PUBLIC;

CREATE FUNCTION tenantmig.attach_guard(migration text, only_step integer DEFAULT NULL,
  OUT step integer, OUT relation text, OUT column_name text, OUT kind text, OUT mode text, OUT trigger_name text, OUT outcome text) RETURNS SETOF record
  LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'tenantmig_attach_guard';
COMMENT ON FUNCTION tenantmig.attach_guard(text, integer) IS
  'attaches the guards of a migration''s guard steps, or of one of them; outcome: attached, unchanged, replaced (the spec, a name or the place is another than when it was attached). Needs the privileges of the tables'' owners. Errors: 42704 (no such migration or guard step), 42501, 42710 (another migration guards the column), 55P03 (the table is locked), and those of create_migration. Locks: SHARE ROW EXCLUSIVE on the table until the transaction ends, waited for in short attempts.';
REVOKE ALL ON FUNCTION tenantmig.attach_guard(text, integer) FROM PUBLIC;

CREATE FUNCTION tenantmig.detach_guard(migration text, only_step integer DEFAULT NULL,
  OUT step integer, OUT relation text, OUT column_name text, OUT kind text, OUT mode text, OUT trigger_name text, OUT outcome text) RETURNS SETOF record
  LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'tenantmig_detach_guard';
COMMENT ON FUNCTION tenantmig.detach_guard(text, integer) IS
  'takes the guards of a migration, or of one of its steps, off their tables; outcome: detached, or missing (the trigger was gone already). Drift stays. Needs the privileges of the tables'' owners. Errors: 42704, 42501, 55P03 (the table is locked). Locks: ACCESS EXCLUSIVE on the table until the transaction ends, waited for in short attempts.';
REVOKE ALL ON FUNCTION tenantmig.detach_guard(text, integer) FROM PUBLIC;

-- The trigger is found by its argument, whatever it and its table are called now.
CREATE VIEW tenantmig.guards AS
  SELECT m.name AS migration,
         coalesce(format('%I.%I', n.nspname, c.relname), format('%I.%I', g.schema_name, g.table_name)) AS relation,
         coalesce((SELECT a.attname::text FROM pg_attribute a, pg_database d
                   WHERE d.datname = current_database() AND d.oid = g.database_oid AND a.attrelid = g.relation_oid AND a.attrelid = c.oid
                     AND a.attnum = g.column_number AND NOT a.attisdropped), g.column_name) AS column_name,
         g.kind, g.mode, t.tgname::text AS trigger, coalesce(t.tgenabled IN ('O', 'A'), false) AS enabled, g.attached_at, g.attached_by,
         g.step, coalesce(t.tgenabled = 'A', g.always) AS always, g.id
  FROM tenantmig.guard g
  JOIN tenantmig.migration m ON m.id = g.migration_id
  LEFT JOIN (pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace)
    ON t.tgfoid = (SELECT p.oid FROM pg_proc p WHERE p.pronamespace = (SELECT s.oid FROM pg_namespace s WHERE s.nspname = 'tenantmig') AND p.proname = 'guard_tenant_key')
    AND NOT t.tgisinternal AND t.tgparentid = 0 AND t.tgargs = convert_to(g.id::text, 'SQL_ASCII') || '\x00'::bytea;
COMMENT ON VIEW tenantmig.guards IS 'guards that are attached, with the trigger that does the work';
COMMENT ON COLUMN tenantmig.guards.migration IS 'migration whose step it is';
COMMENT ON COLUMN tenantmig.guards.relation IS 'table that it stands on';
COMMENT ON COLUMN tenantmig.guards.column_name IS 'tenant key that it guards';
COMMENT ON COLUMN tenantmig.guards.kind IS 'tenant_key';
COMMENT ON COLUMN tenantmig.guards.mode IS 'fill, reject or warn';
COMMENT ON COLUMN tenantmig.guards.trigger IS 'name of the trigger; NULL if somebody has dropped it: attach_guard makes it again';
COMMENT ON COLUMN tenantmig.guards.enabled IS 'whether the trigger is there and fires in ordinary sessions';
COMMENT ON COLUMN tenantmig.guards.attached_at IS 'when it was attached';
COMMENT ON COLUMN tenantmig.guards.attached_by IS 'who attached it';
COMMENT ON COLUMN tenantmig.guards.step IS 'step of the migration';
COMMENT ON COLUMN tenantmig.guards.always IS 'whether it fires under logical replication apply too';
COMMENT ON COLUMN tenantmig.guards.id IS 'number of the guard';

CREATE VIEW tenantmig.drift AS
  SELECT id, migration, guard, relation, row_key, column_name, kind, found, expected, role, application_name, client_address, happened_at, detail
  FROM tenantmig.drift_log;
COMMENT ON VIEW tenantmig.drift IS 'what has become worse: rows that guards let pass although they were not right';
COMMENT ON COLUMN tenantmig.drift.id IS 'number; not without gaps';
COMMENT ON COLUMN tenantmig.drift.migration IS 'migration whose guard saw it';
COMMENT ON COLUMN tenantmig.drift.guard IS 'number of the guard';
COMMENT ON COLUMN tenantmig.drift.relation IS 'table (or partition) of the row';
COMMENT ON COLUMN tenantmig.drift.row_key IS 'key of the row, {column: value}; NULL if the table has none';
COMMENT ON COLUMN tenantmig.drift.column_name IS 'the tenant key';
COMMENT ON COLUMN tenantmig.drift.kind IS 'orphan, conflict, unknown_tenant: no key was given, and none could be filled in; mismatch: the key given contradicts a parent; null_key: no key was given (mode warn); unreadable: a parent could not be asked, see detail';
COMMENT ON COLUMN tenantmig.drift.found IS 'the key that the row has';
COMMENT ON COLUMN tenantmig.drift.expected IS 'what its parents say; several tenants with commas between them';
COMMENT ON COLUMN tenantmig.drift.role IS 'who wrote the row';
COMMENT ON COLUMN tenantmig.drift.application_name IS 'application_name of the session';
COMMENT ON COLUMN tenantmig.drift.client_address IS 'address of the client, NULL on a Unix socket';
COMMENT ON COLUMN tenantmig.drift.happened_at IS 'when';
COMMENT ON COLUMN tenantmig.drift.detail IS 'the parents that were asked and what they said';
