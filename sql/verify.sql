-- verify(): after a clean run every check passes; then each is made to fail, by what would make it fail in earnest.
SET client_min_messages = warning;
DROP SCHEMA IF EXISTS verify CASCADE;
DROP EXTENSION IF EXISTS tenantmig CASCADE;
CREATE EXTENSION tenantmig;
CREATE SCHEMA verify;
SET search_path = verify;

CREATE TABLE companies (id integer PRIMARY KEY, name text);
CREATE TABLE customers (id integer PRIMARY KEY, company_id integer, name text, deleted_at timestamptz);
CREATE TABLE orders (id integer PRIMARY KEY, customer_id integer REFERENCES customers, company_id integer);
CREATE TABLE phones (id integer PRIMARY KEY, customer_id integer REFERENCES customers, company_id integer);
INSERT INTO companies VALUES (1, 'one'), (2, 'two'), (3, 'three');
INSERT INTO customers SELECT n, CASE WHEN n > 20 THEN 1 END, NULL, CASE WHEN n % 7 = 0 THEN now() END FROM generate_series(1, 24) n;
INSERT INTO orders SELECT n, n, n % 3 + 1 FROM generate_series(1, 16) n;
INSERT INTO phones SELECT n, n, n % 3 + 1 FROM generate_series(10, 20) n;
CREATE FUNCTION attempt(command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  state text; message text; detail text; hint text;
BEGIN
  EXECUTE command;
  RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
  RETURN format(E'ERROR: %s: %s\nDETAIL: %s\nHINT: %s', state, message, detail, hint);
END $$;
SELECT tenantmig.create_migration('{"migration": "m", "tenants": {"table": "companies"}, "steps": [{"backfill": {"table": "customers", "column": "company_id",
  "soft_delete": "deleted_at", "sources": [{"via": "orders.customer_id"}, {"via": "phones.customer_id"}]}}]}');

-- without a run there is nothing to verify
SELECT attempt($$SELECT tenantmig.verify('m')$$);
SELECT outcome, source, row_count, deleted_count FROM tenantmig.backfill('m');
SELECT * FROM tenantmig.verify('m');

-- nulls_living: FAIL for rows that are neither settled nor in the queue, which a further run would take up; WARN for those that wait for a decision (below)
BEGIN;
INSERT INTO customers VALUES (31, NULL), (32, NULL);
SELECT * FROM tenantmig.verify('m') WHERE status <> 'PASS';
ROLLBACK;
BEGIN; -- a key that the run wrote was taken away
UPDATE customers SET company_id = NULL WHERE id IN (1, 7);
SELECT * FROM tenantmig.verify('m') WHERE status <> 'PASS';
ROLLBACK;
-- nulls_deleted
BEGIN;
INSERT INTO customers VALUES (31, NULL, NULL, now());
SELECT * FROM tenantmig.verify('m') WHERE status <> 'PASS';
ROLLBACK;
-- mismatches, source by source: as in plain SQL
BEGIN;
UPDATE customers SET company_id = company_id % 3 + 1 WHERE id IN (1, 2, 12, 20);
SELECT * FROM tenantmig.verify('m') WHERE status <> 'PASS';
SELECT (SELECT count(DISTINCT c.id) FROM customers c JOIN orders o ON o.customer_id = c.id WHERE o.company_id <> c.company_id) AS orders,
  (SELECT count(DISTINCT c.id) FROM customers c JOIN phones p ON p.customer_id = c.id WHERE p.company_id <> c.company_id) AS phones;
ROLLBACK;
BEGIN; -- a row that had its key before the run counts too, and evidence that changed afterwards
INSERT INTO phones VALUES (40, 24, 3);
UPDATE orders SET company_id = company_id % 3 + 1 WHERE customer_id = 5;
SELECT * FROM tenantmig.verify('m') WHERE status <> 'PASS';
ROLLBACK;
-- accounted: a row that is in neither log nor queue, or in both
BEGIN;
UPDATE tenantmig.run_log SET tables = jsonb_set(tables, '{0,null_count}', '21');
SELECT * FROM tenantmig.verify('m') WHERE status <> 'PASS';
ROLLBACK;
BEGIN;
INSERT INTO tenantmig.review_batch (first_id, migration_id, run_id, step, schema_name, table_name, column_name, key_columns, key_types, class, row_count, keys)
  SELECT 1000, migration_id, id, 1, 'verify', 'customers', 'company_id', '{id}', '{integer}', 'orphan', 1, '{1}' FROM tenantmig.run_log;
SELECT * FROM tenantmig.verify('m') WHERE status <> 'PASS';
ROLLBACK;
BEGIN; -- the last entry of the log is missing: the chain that is left is whole, but the rows do not add up
DELETE FROM tenantmig.change_log WHERE source = 'phones.customer_id';
SELECT check_name, status, expected, actual, detail FROM tenantmig.verify('m') WHERE status <> 'PASS';
ROLLBACK;
-- row_count
BEGIN;
DELETE FROM orders WHERE customer_id = 3;
DELETE FROM customers WHERE id = 3;
SELECT * FROM tenantmig.verify('m') WHERE status <> 'PASS';
ROLLBACK;
-- unknown_tenants
BEGIN;
DELETE FROM companies WHERE id = 3;
SELECT * FROM tenantmig.verify('m') WHERE status <> 'PASS';
SELECT count(*) AS unknown FROM customers c WHERE NOT EXISTS (SELECT FROM companies t WHERE t.id = c.company_id);
ROLLBACK;
-- chain
BEGIN;
UPDATE tenantmig.change_log SET new_values[1] = '3' WHERE entry = (SELECT min(entry) FROM tenantmig.change_log);
SELECT * FROM tenantmig.verify('m') WHERE check_name = 'chain';
ROLLBACK;
SELECT string_agg(DISTINCT status, ' ') AS all_of_them FROM tenantmig.verify('m');

-- a person's decision stands against the evidence; a dismissed row stays in the queue
INSERT INTO customers VALUES (41, NULL), (42, NULL), (43, NULL);
INSERT INTO orders VALUES (41, 41, 1), (42, 41, 2), (43, 42, 1), (44, 42, 2);
SELECT outcome, row_count FROM tenantmig.backfill('m');
SELECT row_key, state, tenant FROM tenantmig.resolve((SELECT id FROM tenantmig.review('m') WHERE row_key = '{"id": 41}'), '3', 'told by telephone');
SELECT row_key, state FROM tenantmig.dismiss((SELECT id FROM tenantmig.review('m') WHERE row_key = '{"id": 42}'));
SELECT check_name, status, expected, actual, detail FROM tenantmig.verify('m');

-- after everything was undone there is no completed run again
SELECT count(*) FROM tenantmig.rollback(2);
SELECT count(*) FROM tenantmig.rollback(1);
SELECT attempt($$SELECT tenantmig.verify('m')$$);

-- under majority the winner is what counts; under first the first source
SELECT tenantmig.create_migration('{"migration": "winner", "tenants": {"table": "companies"}, "steps": [{"backfill": {"table": "customers", "column": "company_id", "on_conflict": "majority",
  "sources": [{"via": "orders.customer_id"}, {"via": "phones.customer_id"}]}}]}');
INSERT INTO orders VALUES (51, 43, 1), (52, 43, 1), (53, 43, 2);
SELECT outcome, source, row_count FROM tenantmig.backfill('winner');
SELECT check_name, status, actual FROM tenantmig.verify('winner') WHERE check_name LIKE 'mismatches%';
UPDATE customers SET company_id = 2 WHERE id = 43;
SELECT check_name, status, actual, detail FROM tenantmig.verify('winner') WHERE check_name LIKE 'mismatches%';

DROP SCHEMA verify CASCADE;
DROP EXTENSION tenantmig;
