-- spec_checksum, spec_difference, replace_migration
\pset format unaligned
\set VERBOSITY default
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tenantmig CASCADE;
CREATE EXTENSION tenantmig;
CREATE SCHEMA spec_difference;
SET search_path = spec_difference;
CREATE TABLE companies (id integer PRIMARY KEY);
CREATE TABLE customers (id integer PRIMARY KEY, company_id integer, branch_id integer, deleted_at timestamptz);
CREATE TABLE appointments (id integer PRIMARY KEY, customer_id integer REFERENCES customers, company_id integer REFERENCES companies);
INSERT INTO companies VALUES (1), (2);
INSERT INTO customers VALUES (1), (2);
INSERT INTO appointments VALUES (1, 1, 1), (2, 2, 2);
-- the spec with a part of it replaced
CREATE FUNCTION spec(path text[] DEFAULT NULL, value jsonb DEFAULT NULL) RETURNS jsonb LANGUAGE sql AS $$
  SELECT CASE WHEN path IS NULL THEN s ELSE jsonb_set(s, path, value) END
  FROM (SELECT '{"migration": "differs", "description": "as it was", "tenants": {"table": "companies"}, "steps": [
    {"backfill": {"table": "customers", "column": "company_id", "sources": [{"via": "appointments.customer_id"}]}},
    {"guard": {"kind": "immutable", "table": "customers", "column": "company_id"}},
    {"constraint": {"table": "customers", "column": "company_id", "not_null": true}}]}'::jsonb AS s) x
$$;
SELECT tenantmig.create_migration(spec());

-- checksum: the stored one, and an independent way to it
SELECT tenantmig.spec_checksum(spec()) = m.checksum AS as_stored, tenantmig.spec_checksum(m.spec) = encode(sha256(m.spec::text::bytea), 'hex') AS as_computed
FROM tenantmig.migration m WHERE name = 'differs';
SELECT tenantmig.spec_checksum('{"b": [1, 2], "a": "ä"}') = tenantmig.spec_checksum(E'  {\n"a": "\\u00e4", "b":[1,2]}') AS notation_does_not_matter,
       tenantmig.spec_checksum('{"b": [1, 2]}') = tenantmig.spec_checksum('{"b": [2, 1]}') AS order_of_a_list_does, tenantmig.spec_checksum('null');
SELECT tenantmig.spec_checksum(NULL);
\echo :LAST_ERROR_SQLSTATE

-- difference
SELECT * FROM tenantmig.spec_difference('differs', spec());
SELECT * FROM tenantmig.spec_difference('differs', spec('{steps,0,backfill,sources,0,via}', '"branch_id"'));
SELECT * FROM tenantmig.spec_difference('differs', spec('{steps,0,backfill,sources,1}', '{"via": "branch_id", "where": {"a\"b\nc": 1}}'));
SELECT * FROM tenantmig.spec_difference('differs', spec('{steps,0,backfill,soft_delete}', '"deleted_at"') #- '{description}' #- '{steps,1}');
SELECT * FROM tenantmig.spec_difference('differs', spec('{steps}', (SELECT jsonb_build_array('{"sql": {"up": "SELECT 1"}}'::jsonb) || (spec() -> 'steps'))));
SELECT path, length(stored) AS stored, length(given) AS given, right(given, 20) FROM tenantmig.spec_difference('differs', spec('{description}', to_jsonb(repeat('long ', 1000))));
SELECT * FROM tenantmig.spec_difference('differs', '[]');
SELECT * FROM tenantmig.spec_difference('differs', to_jsonb('ü'::text));
SELECT * FROM tenantmig.spec_difference('nothing', '{}');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM tenantmig.spec_difference('differs', '{"n": 1e400}');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM tenantmig.spec_difference('differs', (repeat('[', 300) || repeat(']', 300))::jsonb);
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM tenantmig.spec_difference('differs', NULL);
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM tenantmig.spec_difference(NULL, '{}');

-- replace: nothing has begun, so everything may differ
SELECT tenantmig.replace_migration(spec()) AS the_same;
SELECT tenantmig.replace_migration(jsonb_set(spec('{description}', '"another"'), '{version}', '7'));
SELECT description, version, checksum = tenantmig.spec_checksum(spec) AS checksum FROM tenantmig.migration WHERE name = 'differs';
SELECT tenantmig.replace_migration(spec('{steps,0,backfill,table}', '"nowhere"'));
\echo :LAST_ERROR_SQLSTATE
SELECT tenantmig.replace_migration(spec('{steps,0,backfill,tabel}', '"nowhere"'));
\echo :LAST_ERROR_SQLSTATE
SELECT tenantmig.replace_migration(spec('{migration}', '"nothing"'));
\echo :LAST_ERROR_SQLSTATE
SELECT tenantmig.replace_migration(NULL);
SELECT description FROM tenantmig.migration WHERE name = 'differs';
-- what it names is resolved again: the run writes the other column
ALTER TABLE customers ADD other_id integer;
SELECT tenantmig.replace_migration(spec('{steps}', '[{"backfill": {"table": "customers", "column": "other_id", "sources": [{"via": "appointments.customer_id", "tenant": "company_id"}]}}]'));
SELECT outcome, row_count FROM tenantmig.backfill(migration => 'differs');
SELECT id, company_id, other_id FROM customers ORDER BY id;

-- a run has begun: its step must stay, and so must the tenants; what has not begun may differ
SELECT tenantmig.replace_migration(spec());
\echo :LAST_ERROR_SQLSTATE
SELECT tenantmig.replace_migration(spec('{steps}', '[{"guard": {"kind": "immutable", "table": "customers", "column": "other_id"}},
  {"backfill": {"table": "customers", "column": "other_id", "sources": [{"via": "appointments.customer_id", "tenant": "company_id"}]}}]'));
SELECT tenantmig.replace_migration(spec('{steps}', '[{"backfill": {"table": "customers", "column": "other_id", "sources": [{"via": "appointments.customer_id", "tenant": "company_id"}]}},
  {"guard": {"kind": "immutable", "table": "customers", "column": "other_id"}}]'));
SELECT count(*) AS steps FROM tenantmig.steps WHERE migration = 'differs';
SELECT tenantmig.replace_migration((SELECT jsonb_set(spec, '{tenants,key}', '"id"') FROM tenantmig.migration WHERE name = 'differs'));
\echo :LAST_ERROR_SQLSTATE
-- a guard is attached: likewise
SELECT count(*) FROM tenantmig.attach_guard('differs');
SELECT tenantmig.replace_migration((SELECT jsonb_set(spec, '{steps,1,guard,column}', '"company_id"') FROM tenantmig.migration WHERE name = 'differs'));
SELECT count(*) FROM tenantmig.detach_guard('differs');
SELECT tenantmig.replace_migration((SELECT jsonb_set(spec, '{steps,1,guard,column}', '"company_id"') FROM tenantmig.migration WHERE name = 'differs'));
-- and when the run is taken back, everything may differ again; the history stays
SELECT outcome, row_count FROM tenantmig.rollback((SELECT max(id) FROM tenantmig.runs WHERE migration = 'differs'));
SELECT tenantmig.replace_migration(spec());
SELECT state FROM tenantmig.runs WHERE migration = 'differs';

-- a sql step that failed has left nothing: it may differ, of another kind too; one that is applied may not
SELECT tenantmig.create_migration('{"migration": "fails", "tenants": {"table": "companies"}, "steps": [
  {"sql": {"up": "CREATE TABLE one ()", "down": "DROP TABLE one"}}, {"sql": {"up": "CREATE TABLE two (); SELECT 1 / 0", "down": "DROP TABLE two"}}]}');
CALL tenantmig.up('fails');
\echo :LAST_ERROR_SQLSTATE
SELECT step, state FROM tenantmig.steps WHERE migration = 'fails';
SELECT tenantmig.replace_migration((SELECT jsonb_set(spec, '{steps,0,sql,up}', '"CREATE TABLE three ()"') FROM tenantmig.migration WHERE name = 'fails'));
\echo :LAST_ERROR_SQLSTATE
SELECT tenantmig.replace_migration((SELECT jsonb_set(spec, '{steps,1}', '{"add_column": {"table": "one", "column": "company_id", "type": "integer"}}') FROM tenantmig.migration WHERE name = 'fails'));
SELECT step, kind, state, error FROM tenantmig.steps WHERE migration = 'fails';
CALL tenantmig.up('fails');
SELECT to_regclass('one') AS one, to_regclass('two') AS two, (SELECT count(*) FROM pg_attribute WHERE attrelid = 'one'::regclass AND attname = 'company_id') AS columns;
CALL tenantmig.down('fails');
SELECT tenantmig.drop_migration('fails');

-- not somebody else's
CREATE ROLE regress_somebody;
GRANT USAGE ON SCHEMA tenantmig, spec_difference TO regress_somebody;
GRANT EXECUTE ON FUNCTION tenantmig.replace_migration TO regress_somebody;
SET ROLE regress_somebody;
SELECT tenantmig.replace_migration(spec('{description}', '"mine"'));
\echo :LAST_ERROR_SQLSTATE
SELECT tenantmig.spec_difference('differs', '{}');
\echo :LAST_ERROR_SQLSTATE
RESET ROLE;
BEGIN READ ONLY;
SELECT tenantmig.replace_migration(spec('{description}', '"read only"'));
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
REVOKE ALL ON FUNCTION tenantmig.replace_migration FROM regress_somebody;
REVOKE ALL ON SCHEMA tenantmig, spec_difference FROM regress_somebody;
DROP ROLE regress_somebody;
SELECT tenantmig.drop_migration('differs');
DROP SCHEMA spec_difference CASCADE;
