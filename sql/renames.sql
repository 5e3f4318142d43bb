-- Identity: a migration means the tables and columns that it named when it was made, whatever they are called now, and undo needs no evidence.
SET client_min_messages = warning;
DROP SCHEMA IF EXISTS renames, elsewhere CASCADE;
DROP EXTENSION IF EXISTS tenantmig CASCADE;
CREATE EXTENSION tenantmig;
CREATE SCHEMA renames;
CREATE SCHEMA elsewhere;
SET search_path = renames;

CREATE TABLE companies (id integer PRIMARY KEY, name text);
CREATE TABLE regions (id integer PRIMARY KEY, company_id integer);
CREATE TABLE branches (id integer PRIMARY KEY, region_id integer REFERENCES regions);
CREATE TABLE customers (id integer PRIMARY KEY, company_id integer, branch_id integer REFERENCES branches, kind text, deleted_at timestamptz);
CREATE TABLE orders (id integer PRIMARY KEY, customer_id integer REFERENCES customers, company_id integer, state text);
INSERT INTO companies VALUES (1), (2), (3);
INSERT INTO regions VALUES (1, 1), (2, 2);
INSERT INTO branches VALUES (1, 1), (2, 2);
INSERT INTO customers VALUES (1, NULL, 1, 'a', NULL), (2, NULL, NULL, 'a', now()), (3, NULL, NULL, 'b', NULL), (4, NULL, 2, 'a', NULL), (5, NULL, NULL, 'a', NULL);
INSERT INTO orders VALUES (1, 2, 2, 'paid'), (2, 3, 3, 'paid'), (3, 5, 1, 'cancelled'), (4, 4, 1, 'paid');
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
SELECT tenantmig.create_migration('{"migration": "m", "tenants": {"table": "companies", "key": "id"}, "steps": [{"backfill": {"table": "customers", "column": "company_id",
  "soft_delete": "deleted_at", "where": {"kind": "a"}, "sources": [{"via": "orders.customer_id", "where": {"state": "paid"}}, {"path": ["branch_id", "region_id"]}]}}]}');
CREATE TEMP TABLE before AS SELECT outcome, source, row_count, deleted_count FROM tenantmig.plan('m');
SELECT * FROM before;

-- everything is renamed, moved, and its old names are given to others
ALTER TABLE customers RENAME company_id TO firm_id;
ALTER TABLE customers RENAME deleted_at TO gone_at;
ALTER TABLE customers RENAME kind TO "Kind of";
ALTER TABLE customers RENAME branch_id TO office_id;
ALTER TABLE customers RENAME id TO number;
ALTER TABLE orders RENAME customer_id TO buyer;
ALTER TABLE orders RENAME state TO status;
ALTER TABLE orders RENAME company_id TO seller;
ALTER TABLE companies RENAME id TO number;
ALTER TABLE customers RENAME TO clients;
ALTER TABLE orders RENAME TO sales;
ALTER TABLE companies RENAME TO firms;
ALTER TABLE branches RENAME TO offices;
ALTER TABLE clients SET SCHEMA elsewhere;
ALTER TABLE firms SET SCHEMA elsewhere;
CREATE TABLE customers (id integer PRIMARY KEY, company_id integer, kind text, deleted_at timestamptz, branch_id integer);
CREATE TABLE orders (id integer PRIMARY KEY, customer_id integer, company_id integer, state text);
CREATE TABLE companies (id integer PRIMARY KEY);
INSERT INTO customers VALUES (1, NULL, 'a'), (2, NULL, 'a');
INSERT INTO orders VALUES (1, 1, 9, 'paid');
ALTER TABLE elsewhere.clients ADD company_id integer; -- and a column takes the old name
SELECT outcome, source, row_count, deleted_count FROM tenantmig.plan('m');
SELECT count(*) AS differ FROM (SELECT * FROM before EXCEPT SELECT outcome, source, row_count, deleted_count FROM tenantmig.plan('m')) x;
SELECT * FROM tenantmig.backfill('m');
SELECT number, firm_id, company_id, "Kind of" FROM elsewhere.clients ORDER BY number;
SELECT count(company_id) AS others FROM customers;
SELECT relation, row_key, column_name, new_value, source FROM tenantmig.changes ORDER BY row_key;
SELECT relation, row_key, class FROM tenantmig.review('m') ORDER BY row_key;

-- renamed between the run and its undo; evidence and conditions gone; decisions still work
ALTER TABLE elsewhere.clients RENAME firm_id TO owner_firm;
ALTER TABLE elsewhere.clients RENAME number TO no;
ALTER TABLE elsewhere.clients RENAME TO parties;
DROP TABLE sales;
ALTER TABLE elsewhere.parties DROP "Kind of", DROP office_id;
SELECT attempt($$SELECT tenantmig.plan('m')$$);
SELECT attempt($$SELECT tenantmig.verify('m')$$);
SELECT relation, row_key, tenant FROM tenantmig.resolve((SELECT min(id) FROM tenantmig.review('m')), '3');
SELECT relation, row_key, state FROM tenantmig.dismiss((SELECT min(id) FROM tenantmig.review('m')));
SELECT no, owner_firm FROM elsewhere.parties ORDER BY no;
UPDATE elsewhere.parties SET owner_firm = 3 WHERE no = 1; -- written by somebody later: stays
SELECT * FROM tenantmig.rollback((SELECT max(id) FROM tenantmig.runs));
SELECT no, owner_firm FROM elsewhere.parties ORDER BY no;
SELECT relation, row_key, column_name, wrote, found, reason FROM tenantmig.undo_skipped;

-- dropped and made again under the same name: another table, found by name
SELECT tenantmig.create_migration('{"migration": "again", "tenants": {"table": "companies"}, "steps": [{"backfill": {"table": "customers", "column": "company_id",
  "sources": [{"via": "orders.customer_id"}]}}]}');
INSERT INTO companies VALUES (9);
SELECT outcome, row_count FROM tenantmig.plan('again');
DROP TABLE orders;
CREATE TABLE orders (company_id integer, state text, customer_id integer, id integer PRIMARY KEY); -- another order of columns
INSERT INTO orders VALUES (9, 'paid', 1, 1), (9, 'paid', 2, 2);
SELECT outcome, row_count FROM tenantmig.plan('again');
SELECT outcome, row_count FROM tenantmig.backfill('again');
SELECT id, company_id FROM customers ORDER BY id;

-- so is a column that was dropped and made again
ALTER TABLE orders DROP customer_id;
SELECT attempt($$SELECT tenantmig.plan('again')$$);
ALTER TABLE orders ADD customer_id integer;
SELECT outcome, row_count FROM tenantmig.plan('again');

DROP SCHEMA renames, elsewhere CASCADE;
DROP EXTENSION tenantmig;
