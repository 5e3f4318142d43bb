-- The step index: built by a worker, adopted, refused, partitioned; down; an invalid leftover is built again.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tenantmig CASCADE;
CREATE EXTENSION tenantmig;
\set SHOW_CONTEXT never
SET client_min_messages = warning; -- notices of what takes longer than a second say how long
CREATE SCHEMA indexes;
SET search_path = indexes;
CREATE TABLE companies (id integer PRIMARY KEY);
CREATE TABLE t (id integer PRIMARY KEY, company_id integer, status text, "Name" text, tags text[], deleted_at timestamptz);
INSERT INTO t SELECT n, n % 5, CASE n % 3 WHEN 0 THEN 'open' WHEN 1 THEN 'closed' END, 'n' || n, '{a}' FROM generate_series(1, 1000) n;
CREATE FUNCTION spec(name text, VARIADIC steps jsonb[]) RETURNS jsonb LANGUAGE sql AS $$
  SELECT jsonb_build_object('migration', name, 'tenants', '{"table": "companies"}'::jsonb, 'steps', to_jsonb(steps)) $$;
CREATE FUNCTION indexes() RETURNS TABLE (definition text, valid boolean) LANGUAGE sql AS $$
  SELECT pg_get_indexdef(indexrelid), indisvalid AND indisready FROM pg_index WHERE indrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'indexes'::regnamespace)
    AND NOT indisprimary ORDER BY 1 $$;

SELECT count(*) FROM tenantmig.create_migration(spec('i',
  '{"index": {"table": "t", "columns": ["company_id", {"column": "\"Name\"", "order": "desc", "nulls": "last"}], "include": ["status"]}}',
  '{"index": {"table": "t", "columns": ["id", "company_id"], "unique": true, "name": "\"Own\"", "where": {"status": ["open", "closed"], "deleted_at": null}}}',
  '{"index": {"table": "t", "columns": ["tags"], "method": "gin"}}',
  '{"index": {"table": "t", "columns": [{"column": "company_id", "nulls": "first"}], "name": "first", "where": {"status": ["it''s", null]}}}'));
CALL tenantmig.up('i');
SELECT * FROM indexes();
CALL tenantmig.up('i');
SELECT step, state FROM tenantmig.steps WHERE migration = 'i' ORDER BY step;
ALTER INDEX first RENAME TO renamed;
CALL tenantmig.down('i', steps => 1);
CALL tenantmig.down('i');
SELECT * FROM indexes();

-- a name that is taken; the same index already there; an invalid leftover
CREATE INDEX taken ON t (id, status);
CREATE INDEX same ON t (company_id DESC);
CREATE FUNCTION prepare(step jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM tenantmig.drop_migration(m.migration, force => true) FROM tenantmig.migrations m WHERE m.migration = 'refused';
  -- names after a structural step are looked at when up comes to them
  PERFORM tenantmig.create_migration(indexes.spec('refused', '{"sql": {"up": "SELECT 1", "down": "SELECT 1"}}', step));
END $$;
\pset format unaligned
\pset tuples_only on
SELECT FROM (SELECT prepare('{"index": {"table": "t", "columns": ["company_id"], "name": "taken"}}')) x;
CALL tenantmig.up('refused');
\echo :LAST_ERROR_SQLSTATE
SELECT FROM (SELECT prepare('{"index": {"table": "t", "columns": ["company_id"], "name": "companies"}}')) x;
CALL tenantmig.up('refused');
\echo :LAST_ERROR_SQLSTATE
SELECT FROM (SELECT prepare('{"index": {"table": "t", "columns": ["company_id"], "name": "same"}}')) x;
CALL tenantmig.up('refused');
\echo :LAST_ERROR_SQLSTATE
SELECT FROM (SELECT prepare('{"index": {"table": "t", "columns": ["nowhere"]}}')) x;
CALL tenantmig.up('refused');
\echo :LAST_ERROR_SQLSTATE
SELECT FROM (SELECT prepare('{"index": {"table": "t", "columns": ["id"], "method": "hash", "unique": true}}')) x;
CALL tenantmig.up('refused');
\echo :LAST_ERROR_SQLSTATE
SELECT FROM (SELECT prepare('{"index": {"table": "t", "columns": [{"column": "id", "order": "desc"}], "method": "brin"}}')) x;
CALL tenantmig.up('refused');
\echo :LAST_ERROR_SQLSTATE
SELECT FROM (SELECT prepare('{"index": {"table": "t", "columns": ["id"], "where": {"company_id": "five"}}}')) x;
CALL tenantmig.up('refused');
\echo :LAST_ERROR_SQLSTATE
\pset tuples_only off
\pset format aligned
SELECT count(*) FROM tenantmig.create_migration(spec('same', '{"index": {"table": "t", "columns": [{"column": "company_id", "order": "desc"}], "name": "same"}}'));
SET client_min_messages = notice;
CALL tenantmig.up('same');
CALL tenantmig.down('same');
SET client_min_messages = warning;
SELECT * FROM indexes();
DROP INDEX same, taken;

-- not unique: said with the rows, nothing is left; corrected, up goes on
SELECT count(*) FROM tenantmig.create_migration(spec('unique', '{"index": {"table": "t", "columns": ["\"Name\""], "name": "by_name", "unique": true}}'));
UPDATE t SET "Name" = 'n1' WHERE id = 2;
CALL tenantmig.up('unique');
SELECT * FROM indexes();
SELECT step, state, error FROM tenantmig.step_state JOIN tenantmig.migration m ON m.id = migration_id WHERE m.name = 'unique';
CREATE INDEX by_name ON t (id);
UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'by_name'::regclass;
UPDATE t SET "Name" = 'n2' WHERE id = 2;
CALL tenantmig.up('unique');
SELECT * FROM indexes();
CALL tenantmig.down('unique');
SELECT count(*) FROM tenantmig.migrations m, tenantmig.drop_migration(m.migration) WHERE m.migration IN ('i', 'same', 'unique');

-- partitioned: one index per partition, attached; a partition of a partition
CREATE TABLE p (id integer, k integer, b text) PARTITION BY RANGE (k);
CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10);
CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (10) TO (100) PARTITION BY RANGE (k);
CREATE TABLE p21 (b text, k integer, id integer);
ALTER TABLE p2 ATTACH PARTITION p21 FOR VALUES FROM (10) TO (50);
INSERT INTO p SELECT n, n % 50, 'b' FROM generate_series(1, 500) n;
SELECT count(*) FROM tenantmig.create_migration(spec('p', '{"index": {"table": "p", "columns": ["k", "id"], "unique": true, "name": "p_k"}}'));
CALL tenantmig.up('p');
SELECT * FROM indexes();
SELECT inhparent::regclass, inhrelid::regclass FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid WHERE c.relkind IN ('i', 'I') AND c.relnamespace = 'indexes'::regnamespace ORDER BY inhrelid::regclass::text COLLATE "C";
CREATE TABLE p22 PARTITION OF p2 FOR VALUES FROM (50) TO (100);
CALL tenantmig.up('p');
CALL tenantmig.down('p');
SELECT * FROM indexes();
SELECT FROM (SELECT prepare('{"index": {"table": "p1", "columns": ["k"]}}')) x;
CALL tenantmig.up('refused');
\echo :LAST_ERROR_SQLSTATE
SELECT count(*) FROM tenantmig.migrations m, tenantmig.drop_migration(m.migration, force => true) WHERE m.migration IN ('p', 'refused');
SET client_min_messages = warning;
DROP SCHEMA indexes CASCADE;
