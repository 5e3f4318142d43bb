-- Enforce and relax on a plain table: the gate, what is applied, what is recorded, and that relax has it as it was. The oracle is the catalogue, and attempts.
\pset null -
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tenantmig CASCADE;
CREATE EXTENSION tenantmig;
CREATE SCHEMA shop;
SET search_path = shop;
SET client_min_messages = notice;
CREATE TABLE companies (id integer PRIMARY KEY);
INSERT INTO companies SELECT generate_series(1, 3);
CREATE TABLE customers (id integer PRIMARY KEY, company_id integer, name text);
INSERT INTO customers SELECT n, n % 3 + 1, 'n' || n FROM generate_series(1, 30) n;
CREATE VIEW shape AS
  SELECT 'constraint' AS object, conname AS name, pg_get_constraintdef(oid) || CASE WHEN NOT convalidated THEN ' INVALID' ELSE '' END AS says FROM pg_constraint WHERE conrelid = 'customers'::regclass
  UNION ALL SELECT 'column', attname, CASE WHEN attnotnull THEN 'NOT NULL' ELSE 'nullable' END FROM pg_attribute WHERE attrelid = 'customers'::regclass AND attnum > 0
  UNION ALL SELECT 'index', indexrelid::regclass::text, indisvalid::text FROM pg_index WHERE indrelid = 'customers'::regclass ORDER BY 1, 2;
SELECT tenantmig.create_migration('{"migration": "m", "tenants": {"table": "companies"}, "steps": [
  {"constraint": {"table": "customers", "column": "company_id", "not_null": true, "references": "companies.id", "on_delete": "restrict"}}]}');
TABLE shape;

-- nothing to take back yet; in a transaction block neither
CALL tenantmig.relax('m');
BEGIN;
CALL tenantmig.enforce('m');
ROLLBACK;
BEGIN;
CALL tenantmig.relax('m');
ROLLBACK;

-- the gate is closed: nothing is changed, nothing is recorded
INSERT INTO customers VALUES (31, NULL, 'n'), (32, 99, 'n');
CALL tenantmig.enforce('m');
TABLE shape;
SELECT count(*) FROM tenantmig.enforcements;
DELETE FROM customers WHERE id > 30;

-- open
CALL tenantmig.enforce('m');
TABLE shape;
SELECT migration, step, relation, column_name, kind, constraint_name, state, since <= clock_timestamp() AS since, enforced_by = current_user AS by_me, relaxed_by, error, interrupted, kept, definition, helpers,
  longest_lock BETWEEN '0' AND '10 s' AS held FROM tenantmig.enforcements ORDER BY id;
SELECT step, kind, state FROM tenantmig.steps;
SELECT status, count(*) FROM tenantmig.proofs GROUP BY status;
INSERT INTO customers VALUES (31, NULL, 'n');
INSERT INTO customers VALUES (31, 99, 'n');
UPDATE customers SET company_id = NULL WHERE id = 1;
DELETE FROM companies WHERE id = 1;
INSERT INTO customers VALUES (31, 3, 'n');

-- once more: nothing to do
CALL tenantmig.enforce('m');
SELECT count(*) FROM tenantmig.enforcements;
-- what was dropped behind its back is applied again
ALTER TABLE customers ALTER company_id DROP NOT NULL;
CALL tenantmig.enforce('m', proofs => false);
SELECT kind, state, error FROM tenantmig.enforcements ORDER BY id;
TABLE shape;

-- the migration is needed as long as something is enforced
SELECT tenantmig.drop_migration('m');
CALL tenantmig.relax('m');
TABLE shape;
SELECT kind, state, relaxed_by = current_user AS by_me FROM tenantmig.enforcements ORDER BY id;
SELECT state FROM tenantmig.steps;
CALL tenantmig.relax('m');

-- what held already stays
ALTER TABLE customers ALTER company_id SET NOT NULL, ADD CONSTRAINT mine FOREIGN KEY (company_id) REFERENCES companies ON DELETE RESTRICT;
CALL tenantmig.enforce('m');
SELECT kind, constraint_name, state, kept FROM tenantmig.enforcements WHERE state = 'enforced' ORDER BY id;
CALL tenantmig.relax('m');
TABLE shape;
ALTER TABLE customers ALTER company_id DROP NOT NULL, DROP CONSTRAINT mine;

-- a table that is gone: what was enforced on it is nobody's any more
CALL tenantmig.enforce('m', false);
DROP VIEW shape;
DROP TABLE customers;
CALL tenantmig.relax('m');
SELECT kind, state FROM tenantmig.enforcements WHERE state <> 'removed' ORDER BY id DESC LIMIT 2;
SELECT tenantmig.drop_migration('m');
SELECT count(*) FROM tenantmig.enforcements;

-- with force the constraints stay
CREATE TABLE customers (id integer PRIMARY KEY, company_id integer);
SELECT tenantmig.create_migration('{"migration": "m", "tenants": {"table": "companies"}, "steps": [{"constraint": {"table": "customers", "column": "company_id", "not_null": true}}]}');
CALL tenantmig.enforce('m', false);
SELECT tenantmig.drop_migration('m', force => true);
SELECT attnotnull FROM pg_attribute WHERE attrelid = 'customers'::regclass AND attname = 'company_id';
SET client_min_messages = warning;
DROP SCHEMA shop CASCADE;
