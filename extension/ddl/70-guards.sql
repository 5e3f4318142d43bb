-- Not dumped: it counts what happened on this server.
CREATE SEQUENCE tenantmig.guard_refusal_seq AS bigint CYCLE;
COMMENT ON SEQUENCE tenantmig.guard_refusal_seq IS 'how many writes guards have refused; advances although the refused transaction is rolled back';

CREATE SEQUENCE tenantmig.guard_id_seq AS bigint;
COMMENT ON SEQUENCE tenantmig.guard_id_seq IS 'numbers of guards';
CREATE TABLE tenantmig.guard (
  id            bigint PRIMARY KEY DEFAULT nextval('tenantmig.guard_id_seq'),
  migration_id  bigint REFERENCES tenantmig.migration (id) ON DELETE CASCADE,
  step          integer,
  kind          text NOT NULL CHECK (kind IN ('prefix','tenant_key','same_tenant','reference','acyclic','immutable')),
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
  options       jsonb NOT NULL DEFAULT '{}',
  UNIQUE (migration_id, step),
  CHECK ((migration_id IS NULL) = (step IS NULL))
);
COMMENT ON TABLE tenantmig.guard IS 'guards that are attached; definition: identity and names of all that the trigger reads; options: what was asked for, beyond table, column and kind. The triggers that do the work have the id as their only argument: one on the table, for same_tenant another one on the parent. Without migration_id: attached by itself. column_name is empty and column_number 0 where a guard of kind reference asks only whether rows exist. Numbers are valid in the database of that OID, names everywhere';

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
-- reads what the owner of its table may read.
GRANT EXECUTE ON FUNCTION tenantmig.guard_tenant_key() TO PUBLIC;

-- EXECUTE for everybody: see guard_tenant_key. These two read nothing but the row.
CREATE FUNCTION tenantmig.guard_prefix() RETURNS trigger
  LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'tenantmig_guard_prefix';
COMMENT ON FUNCTION tenantmig.guard_prefix() IS
  'trigger function of guards of kind prefix: refuses a row whose text id does not begin with its tenant key and the separator, or is NULL or empty, or whose key is (23514). An UPDATE that leaves both as they are passes. tenantmig.attach_guard makes the trigger; by hand: CREATE TRIGGER … BEFORE INSERT OR UPDATE ON scopes FOR EACH ROW EXECUTE FUNCTION tenantmig.guard_prefix(''scope_id'', ''domain'', ''.''), AFTER if one of the columns is generated. Errors: 23514, 42703 (a column of that name is not there, after a rename for instance), 42804 (a column is neither text nor varchar), 39P01 (not called as such a trigger), 22023 (other arguments). Locks: none.';
REVOKE ALL ON FUNCTION tenantmig.guard_prefix() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenantmig.guard_prefix() TO PUBLIC;

CREATE FUNCTION tenantmig.guard_immutable() RETURNS trigger
  LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'tenantmig_guard_immutable';
COMMENT ON FUNCTION tenantmig.guard_immutable() IS
  'trigger function of guards of kind immutable: refuses an UPDATE that changes the tenant key of a row (23514); a key that is NULL may be filled. tenantmig.attach_guard makes the trigger; by hand: CREATE TRIGGER … BEFORE UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION tenantmig.guard_immutable(''company_id''). Errors: 23514, 42703 (a column of that name is not there), 39P01 (not called as such a trigger), 22023 (other arguments). Locks: none.';
REVOKE ALL ON FUNCTION tenantmig.guard_immutable() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenantmig.guard_immutable() TO PUBLIC;

-- EXECUTE for everybody: see guard_tenant_key. In the plain form they read what the owner of the guarded table may read.
CREATE FUNCTION tenantmig.guard_same_tenant() RETURNS trigger
  LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'tenantmig_guard_same_tenant';
COMMENT ON FUNCTION tenantmig.guard_same_tenant() IS
  'trigger function of guards of kind same_tenant, AFTER INSERT OR UPDATE FOR EACH ROW, on the child and on its parent: refuses a row whose tenant key differs from that of the row that it refers to, and a parent whose key would differ from that of its children. Arguments: the number of a guard (tenantmig.attach_guard), or names: (tenant key, reference[, tenant key of the parent]) on the child, (tenant key) on the parent. Errors: 23514; 40001 (the parent was changed meanwhile, in an isolation level with one snapshot); 39P01, 22023, 42703, 42704, 42501 (a trigger made by hand that names what does not exist or may not be read). Locks: the parent row FOR KEY SHARE if a unique index contains its tenant key, else FOR SHARE; ROW SHARE on the parent, ACCESS SHARE on children.';
REVOKE ALL ON FUNCTION tenantmig.guard_same_tenant() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenantmig.guard_same_tenant() TO PUBLIC;

CREATE FUNCTION tenantmig.guard_reference() RETURNS trigger
  LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'tenantmig_guard_reference';
COMMENT ON FUNCTION tenantmig.guard_reference() IS
  'trigger function of guards of kind reference, AFTER INSERT OR UPDATE FOR EACH ROW: refuses a polymorphic reference whose type is not mapped, whose row does not exist, or is of another tenant; both columns NULL pass. Arguments: the number of a guard (tenantmig.attach_guard), or names: (tenant key or empty, type column, id column, Type=table, …). Errors: 23514; 40001; 39P01, 22023, 42703, 42P01, 42704, 42501 (a trigger made by hand). Locks: the row that is referenced FOR KEY SHARE; ROW SHARE on its table.';
REVOKE ALL ON FUNCTION tenantmig.guard_reference() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenantmig.guard_reference() TO PUBLIC;

CREATE FUNCTION tenantmig.guard_acyclic() RETURNS trigger
  LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'tenantmig_guard_acyclic';
COMMENT ON FUNCTION tenantmig.guard_acyclic() IS
  'trigger function of guards of kind acyclic, AFTER INSERT OR UPDATE FOR EACH ROW: refuses a reference to a row of the same table that closes a cycle; DETAIL shows the keys on its way. Arguments: the number of a guard (tenantmig.attach_guard), or the name of the column. Errors: 23514; 40P01 (two sessions would have closed one together), 40001; 39P01, 22023, 42703, 42704, 42501 (a trigger made by hand). Locks: an UPDATE locks the rows above FOR KEY SHARE if a unique index contains the reference, else FOR SHARE; ROW SHARE on the table.';
REVOKE ALL ON FUNCTION tenantmig.guard_acyclic() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenantmig.guard_acyclic() TO PUBLIC;

CREATE FUNCTION tenantmig.attach_guard(migration text, only_step integer DEFAULT NULL,
  OUT step integer, OUT relation text, OUT column_name text, OUT kind text, OUT mode text, OUT trigger_name text, OUT outcome text, OUT guard bigint) RETURNS SETOF record
  LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'tenantmig_attach_guard';
COMMENT ON FUNCTION tenantmig.attach_guard(text, integer) IS
  'attaches the guards of a migration''s guard steps, or of one of them; outcome: attached, unchanged, replaced (the spec, a name or the place is another than when it was attached). Rows that are there already are not looked at: check_guards counts those. Needs the privileges of the owners of the tables, and of those that same_tenant, reference and acyclic look at. Errors: 42704 (no such migration or guard step), 42501, 42710 (somebody else has a guard of that kind on the column), 42804 (a type that the kind can''t guard), 55P03 (the table is locked), and those of create_migration. Locks: SHARE ROW EXCLUSIVE on the table, for same_tenant also on the parent, until the transaction ends, waited for in short attempts.';
REVOKE ALL ON FUNCTION tenantmig.attach_guard(text, integer) FROM PUBLIC;

CREATE FUNCTION tenantmig.attach_guard(OUT step integer, INOUT relation text, INOUT column_name text, INOUT kind text, OUT mode text, OUT trigger_name text, OUT outcome text, OUT guard bigint, options jsonb DEFAULT '{}') RETURNS SETOF record
  LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'tenantmig_attach_guard_alone';
COMMENT ON FUNCTION tenantmig.attach_guard(text, text, text, jsonb) IS
  'attaches a guard of no migration. relation: as SQL writes it; column_name: the tenant key (prefix: the text id; acyclic: the self reference; reference: NULL asks only whether rows exist); kind: prefix, same_tenant, reference, acyclic or immutable; options: the other fields of a guard step, such as {"key": "domain", "separator": "."}. outcome: attached, unchanged, replaced (other options). step is NULL; guard is its number, for detach_guard. Needs the privileges of the owners of the tables that it stands on and looks at. Errors: TM001 (options), 42P01, 42703, 42804, 42809 (no table), 42501, 42710 (a migration has a guard of that kind on the column), 0A000 (a partition, a temporary table, kind tenant_key), 55000 (no foreign key, no primary key), 55P03 (the table is locked). Locks: SHARE ROW EXCLUSIVE on the table, for same_tenant also on the parent, until the transaction ends, waited for in short attempts.';
REVOKE ALL ON FUNCTION tenantmig.attach_guard(text, text, text, jsonb) FROM PUBLIC;

CREATE FUNCTION tenantmig.detach_guard(migration text, only_step integer DEFAULT NULL,
  OUT step integer, OUT relation text, OUT column_name text, OUT kind text, OUT mode text, OUT trigger_name text, OUT outcome text, OUT guard bigint) RETURNS SETOF record
  LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'tenantmig_detach_guard';
COMMENT ON FUNCTION tenantmig.detach_guard(text, integer) IS
  'takes the guards of a migration, or of one of its steps, off their tables; outcome: detached, or missing (the trigger was gone already). Drift stays. Needs the privileges of the tables'' owners. Errors: 42704, 42501, 55P03 (the table is locked). Locks: ACCESS EXCLUSIVE on the table, for same_tenant also on the parent, until the transaction ends, waited for in short attempts.';
REVOKE ALL ON FUNCTION tenantmig.detach_guard(text, integer) FROM PUBLIC;

CREATE FUNCTION tenantmig.detach_guard(OUT step integer, OUT relation text, OUT column_name text, OUT kind text, OUT mode text, OUT trigger_name text, OUT outcome text, INOUT guard bigint) RETURNS SETOF record
  LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'tenantmig_detach_guard_alone';
COMMENT ON FUNCTION tenantmig.detach_guard(bigint) IS
  'takes one guard off its table, by its number; outcome: detached, or missing (the trigger was gone already). Needs the privileges of the table''s owner, and for one of a migration those of the migration''s owner. Errors: 42704 (no such guard), 42501, 55P03 (the table is locked). Locks: as of detach_guard(text, integer).';
REVOKE ALL ON FUNCTION tenantmig.detach_guard(bigint) FROM PUBLIC;

CREATE FUNCTION tenantmig.check_guards(migration text DEFAULT NULL, guard bigint DEFAULT NULL,
  OUT check_name text, OUT status text, OUT expected text, OUT actual text, OUT detail text, OUT hint text) RETURNS SETOF record
  LANGUAGE C STABLE AS 'MODULE_PATHNAME', 'tenantmig_check_guards';
COMMENT ON FUNCTION tenantmig.check_guards(text, bigint) IS
  'holds the rows that are there to what guards ask of new ones: of all guards that are attached (those whose tables the caller has the rights for), of one migration, or the one of that number. Two rows a guard: guard_trigger KIND (whether its triggers are there and enabled) and guard_rows KIND (how many rows it would refuse; detail has one of them). Every row is read, as the owner of its table. Changes nothing. Errors: 42704 (no such migration or guard), 42501. Locks: ACCESS SHARE.';
REVOKE ALL ON FUNCTION tenantmig.check_guards(text, bigint) FROM PUBLIC;

-- A trigger is found by its argument, whatever it and its table are called now. Only that of the parent (same_tenant) has a condition.
CREATE VIEW tenantmig.guards AS
  WITH t AS (
    SELECT g.id, c.oid, format('%I.%I', n.nspname, c.relname) AS relation, t.tgname::text AS trigger, t.tgenabled,
           g.kind = 'same_tenant' AND t.tgqual IS NOT NULL AS on_parent
    FROM tenantmig.guard g
    JOIN pg_trigger t ON NOT t.tgisinternal AND t.tgparentid = 0 AND t.tgargs = convert_to(g.id::text, 'SQL_ASCII') || '\x00'::bytea
    JOIN pg_proc p ON p.oid = t.tgfoid AND p.proname = 'guard_' || g.kind AND p.pronamespace = (SELECT s.oid FROM pg_namespace s WHERE s.nspname = 'tenantmig')
    JOIN pg_class c ON c.oid = t.tgrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace)
  SELECT m.name AS migration,
         coalesce(t.relation, (SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, pg_database d
                               WHERE c.oid = g.relation_oid AND d.datname = current_database() AND d.oid = g.database_oid),
                  format('%I.%I', g.schema_name, g.table_name)) AS relation,
         coalesce((SELECT a.attname::text FROM pg_attribute a, pg_database d
                   WHERE d.datname = current_database() AND d.oid = g.database_oid AND a.attrelid = g.relation_oid AND a.attrelid = t.oid
                     AND a.attnum = g.column_number AND g.column_number > 0 AND NOT a.attisdropped), nullif(g.column_name, '')) AS column_name,
         g.kind, g.mode, t.trigger,
         coalesce(t.tgenabled IN ('O', 'A'), false)
           AND (g.kind <> 'same_tenant' OR p.tgenabled IN ('O', 'A') OR g.definition #> '{sources,0,hops,0,table}' = g.definition -> 'table') IS TRUE AS enabled,
         g.attached_at, g.attached_by,
         g.step, coalesce(t.tgenabled = 'A', g.always) AS always, g.id, g.options, p.relation AS parent, p.trigger AS parent_trigger
  FROM tenantmig.guard g
  LEFT JOIN tenantmig.migration m ON m.id = g.migration_id
  LEFT JOIN t ON t.id = g.id AND NOT t.on_parent
  LEFT JOIN t p ON p.id = g.id AND p.on_parent;
COMMENT ON VIEW tenantmig.guards IS 'guards that are attached, with the triggers that do the work';
COMMENT ON COLUMN tenantmig.guards.migration IS 'migration whose step it is; NULL: attached by itself';
COMMENT ON COLUMN tenantmig.guards.relation IS 'table that it stands on';
COMMENT ON COLUMN tenantmig.guards.column_name IS 'tenant key that it guards; prefix: the text id; acyclic: the self reference; NULL: reference that asks only whether rows exist';
COMMENT ON COLUMN tenantmig.guards.kind IS 'prefix, tenant_key, same_tenant, reference, acyclic or immutable';
COMMENT ON COLUMN tenantmig.guards.mode IS 'fill, reject or warn; reject for all kinds but tenant_key';
COMMENT ON COLUMN tenantmig.guards.trigger IS 'name of the trigger; NULL if somebody has dropped it: attach_guard makes it again';
COMMENT ON COLUMN tenantmig.guards.enabled IS 'whether the trigger (same_tenant: both triggers) is there and fires in ordinary sessions';
COMMENT ON COLUMN tenantmig.guards.attached_at IS 'when it was attached';
COMMENT ON COLUMN tenantmig.guards.attached_by IS 'who attached it';
COMMENT ON COLUMN tenantmig.guards.step IS 'step of the migration';
COMMENT ON COLUMN tenantmig.guards.always IS 'whether it fires under logical replication apply too';
COMMENT ON COLUMN tenantmig.guards.id IS 'number of the guard';
COMMENT ON COLUMN tenantmig.guards.options IS 'the other fields of its step, or what attach_guard was given';
COMMENT ON COLUMN tenantmig.guards.parent IS 'same_tenant: the parent''s table, which is guarded too';
COMMENT ON COLUMN tenantmig.guards.parent_trigger IS 'same_tenant: name of the parent''s trigger; NULL if it is gone, or the table is its own parent';

CREATE VIEW tenantmig.drift AS
  SELECT id, nullif(migration, '') AS migration, nullif(guard, 0) AS guard, relation, row_key, column_name, kind, found, expected, role, application_name, client_address, happened_at, detail
  FROM tenantmig.drift_log;
COMMENT ON VIEW tenantmig.drift IS 'what has become worse: rows that guards let pass although they were not right';
COMMENT ON COLUMN tenantmig.drift.id IS 'number; not without gaps';
COMMENT ON COLUMN tenantmig.drift.migration IS 'migration whose guard saw it; NULL: a guard of none';
COMMENT ON COLUMN tenantmig.drift.guard IS 'number of the guard; NULL: a trigger made by hand, or drift of the catalogue that is about no guard';
COMMENT ON COLUMN tenantmig.drift.relation IS 'table (or partition) of the row';
COMMENT ON COLUMN tenantmig.drift.row_key IS 'key of the row, {column: value}; NULL if the table has none';
COMMENT ON COLUMN tenantmig.drift.column_name IS 'the tenant key; of drift of the catalogue: the constraint, column or trigger';
COMMENT ON COLUMN tenantmig.drift.kind IS 'orphan, conflict, unknown_tenant: no key was given, and none could be filled in; mismatch: the key given contradicts a parent; null_key: no key was given (mode warn); unreadable: a parent could not be asked, see detail; of the catalogue: constraint_gone, constraint_loosened, guard_gone, guard_disabled, table_without_key, exemption_unneeded, table_gone, isolation_gone (policies or flags of an isolate step), isolation_missing (a table that came below an isolated one), isolation_open (a role or a right that goes round the policies)';
COMMENT ON COLUMN tenantmig.drift.found IS 'the key that the row has';
COMMENT ON COLUMN tenantmig.drift.expected IS 'what its parents say; several tenants with commas between them';
COMMENT ON COLUMN tenantmig.drift.role IS 'who wrote the row';
COMMENT ON COLUMN tenantmig.drift.application_name IS 'application_name of the session';
COMMENT ON COLUMN tenantmig.drift.client_address IS 'address of the client, NULL on a Unix socket';
COMMENT ON COLUMN tenantmig.drift.happened_at IS 'when';
COMMENT ON COLUMN tenantmig.drift.detail IS 'the parents that were asked and what they said';
