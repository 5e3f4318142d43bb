-- observe(): after a clean run nothing fails; then each check is made to fail by what it is there for, and its numbers are those of plain SQL.
SET client_min_messages = warning;
DROP SCHEMA IF EXISTS observe CASCADE;
DROP EXTENSION IF EXISTS tenantmig CASCADE;
CREATE EXTENSION tenantmig;
CREATE SCHEMA observe;
SET search_path = observe;

CREATE TABLE companies (id integer PRIMARY KEY, name text);
CREATE TABLE customers (id integer PRIMARY KEY, company_id integer, name text, deleted_at timestamptz);
CREATE TABLE branches (id integer PRIMARY KEY, company_id integer NOT NULL);
CREATE TABLE orders (id integer PRIMARY KEY, customer_id integer REFERENCES customers, company_id integer);
CREATE TABLE phones (id integer PRIMARY KEY, customer_id integer REFERENCES customers, company_id integer);
INSERT INTO companies VALUES (1, 'one'), (2, 'two'), (3, 'three');
INSERT INTO customers SELECT n, CASE WHEN n > 500 THEN 1 END, NULL, CASE WHEN n % 7 = 0 THEN now() END FROM generate_series(1, 600) n;
INSERT INTO orders SELECT n, n, n % 3 + 1 FROM generate_series(1, 490) n;
INSERT INTO phones SELECT n, n, n % 3 + 1 FROM generate_series(400, 490) n;
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
-- what is not well; what depends on the server's counters and on time is shown apart
CREATE FUNCTION seen(name text, deep boolean DEFAULT false) RETURNS TABLE (check_name text, status text, expected text, actual text, detail text) LANGUAGE sql AS $$
  SELECT o.check_name, o.status, o.expected, o.actual, o.detail FROM tenantmig.observe(name, deep) o
  WHERE o.status <> 'PASS' $$;
CREATE VIEW last AS SELECT o.deep, o.good, o.health, o.reasons, o.nulls, o.new_nulls, o.unknown_tenants, o.mismatches, o.open_reviews, o.guards_missing,
  o.constraints_missing, o.drift FROM tenantmig.observations o ORDER BY o.id DESC LIMIT 1;
SELECT tenantmig.create_migration('{"migration": "m", "tenants": {"table": "companies"}, "steps": [{"backfill": {"table": "customers", "column": "company_id",
  "soft_delete": "deleted_at", "sources": [{"via": "orders.customer_id"}, {"via": "phones.customer_id"}]}}]}');

-- before a run: rows without a key are not new, the table is read as a whole
SELECT check_name, status, expected, actual, detail, hint FROM tenantmig.observe('m') WHERE check_name NOT IN ('rollbacks', 'deadlocks', 'guard_refusals', 'latency');
SELECT * FROM last;
SELECT health, reasons, open_reviews, last_observed IS NOT NULL AS observed, last_deep FROM tenantmig.health;
-- after a run: not observed since; ten rows wait in review
SELECT outcome, source, row_count FROM tenantmig.backfill('m');
SELECT health, reasons FROM tenantmig.health;
SELECT * FROM seen('m');
SELECT * FROM last;
CREATE INDEX customers_company_idx ON customers (company_id);
SELECT * FROM seen('m');
SELECT check_name, status, expected, actual, detail FROM tenantmig.observe('m', deep => true) WHERE check_name ~ '^(nulls|new_nulls|unknown|mismatch|row_count)';
SELECT * FROM last;
SELECT count(*) FROM customers WHERE company_id IS NULL;

-- new_nulls: rows without a key that are not in review, one by one, through the index and by a deep look
BEGIN;
INSERT INTO customers VALUES (701, NULL), (702, NULL);
SELECT * FROM seen('m');
SELECT * FROM seen('m', true);
SELECT * FROM last;
SELECT count(*) FROM customers WHERE company_id IS NULL AND id NOT IN (SELECT (row_key ->> 'id')::integer FROM tenantmig.review('m'));
ROLLBACK;
BEGIN; -- as many as before, but others
DELETE FROM customers WHERE id BETWEEN 491 AND 493;
INSERT INTO customers SELECT n, NULL FROM generate_series(801, 803) n;
SELECT * FROM seen('m') WHERE check_name = 'new_nulls';
SELECT count(*) FROM customers WHERE company_id IS NULL AND id NOT IN (SELECT (row_key ->> 'id')::integer FROM tenantmig.review('m'));
ROLLBACK;
BEGIN; -- so many that they are only counted
INSERT INTO customers SELECT n, NULL FROM generate_series(1001, 11000) n;
SELECT * FROM seen('m') WHERE check_name = 'new_nulls';
SELECT * FROM seen('m', true) WHERE check_name = 'new_nulls';
ROLLBACK;
BEGIN; -- a decision takes a row out of the queue
SELECT count(*) FROM tenantmig.review('m') r, tenantmig.dismiss(r.id) WHERE (r.row_key ->> 'id')::integer < 493;
SELECT * FROM seen('m');
ROLLBACK;
-- unknown_tenants: keys without deep, rows with it
BEGIN;
UPDATE customers SET company_id = 7 + id % 2 WHERE id BETWEEN 501 AND 506;
SELECT * FROM seen('m');
SELECT * FROM seen('m', true);
SELECT count(*), count(DISTINCT company_id) FROM customers WHERE company_id NOT IN (SELECT id FROM companies);
ROLLBACK;
BEGIN; -- without an index the same
DROP INDEX customers_company_idx;
UPDATE customers SET company_id = 7 + id % 2 WHERE id BETWEEN 501 AND 506;
SELECT * FROM seen('m');
ROLLBACK;
-- mismatches: only a deep look can tell, and only another one takes it back
BEGIN;
UPDATE customers SET company_id = company_id % 3 + 1 WHERE id IN (1, 2, 412, 490);
SELECT * FROM seen('m');
SELECT * FROM seen('m', true);
SELECT (SELECT count(*) FROM customers c JOIN orders o ON o.customer_id = c.id WHERE o.company_id <> c.company_id) AS orders,
  (SELECT count(*) FROM customers c JOIN phones p ON p.customer_id = c.id WHERE p.company_id <> c.company_id) AS phones;
UPDATE customers SET company_id = (company_id + 1) % 3 + 1 WHERE id IN (1, 2, 412, 490);
SELECT * FROM seen('m');
SELECT health, reasons FROM tenantmig.health;
SELECT * FROM seen('m', true);
SELECT health, reasons, mismatches FROM tenantmig.health;
ROLLBACK;
-- row_count: a few rows go every day, many do not
BEGIN;
DELETE FROM customers WHERE id BETWEEN 501 AND 600;
SELECT * FROM seen('m', true) WHERE check_name = 'row_count';
INSERT INTO customers SELECT n, 1 FROM generate_series(501, 603) n;
SELECT count(*) FROM tenantmig.observe('m', true);
DELETE FROM customers WHERE id > 500;
SELECT * FROM seen('m', true) WHERE check_name = 'row_count';
SELECT health, reasons FROM last;
ROLLBACK;
-- tables: a column that has gone, a table that has gone
BEGIN;
ALTER TABLE orders DROP COLUMN customer_id;
SELECT * FROM seen('m') WHERE check_name = 'tables';
SELECT * FROM last;
ROLLBACK;
BEGIN;
DROP TABLE phones;
SELECT * FROM seen('m', true) WHERE check_name = 'tables';
SELECT health, reasons[1] FROM tenantmig.health;
ROLLBACK;
BEGIN; -- a rename is none of this
ALTER TABLE customers RENAME COLUMN company_id TO tenant;
ALTER TABLE customers RENAME TO clients;
SELECT * FROM seen('m') WHERE check_name IN ('tables', 'new_nulls', 'nulls');
ROLLBACK;

-- a migration of constraints only: nothing queues rows, what there was is the measure
CREATE TABLE "Odd ""Table" (id uuid PRIMARY KEY, "Company Id" integer, gone timestamptz);
INSERT INTO "Odd ""Table" SELECT md5(n::text)::uuid, CASE WHEN n > 3 THEN n % 3 + 1 END, CASE WHEN n = 1 THEN now() END FROM generate_series(1, 40) n;
SELECT tenantmig.create_migration('{"migration": "c", "tenants": {"table": "companies"}, "steps": [{"constraint": {"table": "\"Odd \"\"Table\"", "column": "\"Company Id\"",
  "not_null": true, "references": "companies.id"}}]}');
SELECT check_name, status, expected, actual, detail, hint FROM tenantmig.observe('c') WHERE check_name IN ('nulls', 'new_nulls', 'unknown_tenants', 'index');
BEGIN;
INSERT INTO "Odd ""Table" VALUES (md5('x')::uuid, NULL), (md5('y')::uuid, 99);
SELECT check_name, status, expected, actual, detail, hint FROM tenantmig.observe('c', true) WHERE status = 'FAIL';
SELECT health, reasons FROM last;
SELECT check_name, status, actual FROM tenantmig.observe('c') WHERE check_name = 'new_nulls';
ROLLBACK;
SELECT tenantmig.drop_migration('c', true);
BEGIN; -- living rows only
SELECT tenantmig.create_migration('{"migration": "c", "tenants": {"table": "companies"}, "steps": [{"constraint": {"table": "\"Odd \"\"Table\"", "column": "\"Company Id\"",
  "not_null": "live", "soft_delete": "gone"}}]}');
SELECT check_name, actual FROM tenantmig.observe('c') WHERE check_name IN ('nulls', 'unknown_tenants');
SELECT count(*) FROM "Odd ""Table" WHERE "Company Id" IS NULL AND gone IS NULL;
ROLLBACK;
-- keys of other types, and one that is declared NOT NULL
CREATE TABLE domains (name text PRIMARY KEY);
CREATE TABLE scopes (id integer PRIMARY KEY, domain varchar(20) NOT NULL);
INSERT INTO domains VALUES ('finance'), ('logistics');
INSERT INTO scopes SELECT n, CASE WHEN n % 2 = 0 THEN 'finance' ELSE 'logistics' END FROM generate_series(1, 50) n;
CREATE INDEX ON scopes (domain);
SELECT tenantmig.create_migration('{"migration": "d", "tenants": {"table": "domains", "key": "name"}, "steps": [{"constraint": {"table": "scopes", "column": "domain",
  "not_null": true, "references": "domains.name"}}]}');
INSERT INTO scopes VALUES (51, 'treasury'), (52, 'treasury'), (53, 'zoo');
SELECT check_name, status, actual, detail FROM tenantmig.observe('d') WHERE check_name IN ('nulls', 'unknown_tenants', 'index');
SELECT tenantmig.drop_migration('d', true);

-- a migration of guards only: a deep look holds the rows that are there to them
CREATE TABLE policies (id integer PRIMARY KEY, overrides_id integer REFERENCES policies);
INSERT INTO policies VALUES (1, NULL), (2, 1), (3, 2);
SELECT tenantmig.create_migration('{"migration": "g", "tenants": {"table": "companies"}, "steps": [{"guard": {"kind": "acyclic", "table": "policies", "column": "overrides_id"}}]}');
SELECT outcome FROM tenantmig.attach_guard('g');
SELECT check_name, status, expected, actual FROM tenantmig.observe('g', true) WHERE check_name ~ '^guard' AND check_name <> 'guard_refusals';
ALTER TABLE policies DISABLE TRIGGER USER;
UPDATE policies SET overrides_id = 3 WHERE id = 1;
ALTER TABLE policies ENABLE TRIGGER USER;
SELECT check_name, status, actual FROM tenantmig.observe('g') WHERE check_name ~ '^guard' AND check_name <> 'guard_refusals';
SELECT check_name, status, actual FROM tenantmig.observe('g', true) WHERE check_name ~ '^guard' AND check_name <> 'guard_refusals';
SELECT health, reasons FROM last;
SELECT * FROM tenantmig.detach_guard('g');
SELECT tenantmig.drop_migration('g', true);

-- as whom: the owner's privileges; all that one may observe; hidden rows are seen
CREATE ROLE regress_observer;
CREATE ROLE regress_owner;
SELECT tenantmig.grant_access('regress_observer', 'viewer');
SELECT tenantmig.grant_access('regress_owner', 'operator');
GRANT USAGE ON SCHEMA observe TO regress_observer, regress_owner;
GRANT SELECT, REFERENCES ON companies TO regress_owner;
ALTER TABLE branches OWNER TO regress_owner;
INSERT INTO branches VALUES (1, 1), (2, 2), (3, 9);
ALTER TABLE branches ALTER company_id DROP NOT NULL;
INSERT INTO branches VALUES (4, NULL);
SET ROLE regress_owner;
SELECT tenantmig.create_migration('{"migration": "b", "tenants": {"table": "companies"}, "steps": [{"constraint": {"table": "branches", "column": "company_id",
  "not_null": true, "references": "companies.id"}}]}');
RESET ROLE;
ALTER TABLE branches ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
SET ROLE regress_owner;
SELECT count(*) AS seen_by_its_owner FROM branches;
SELECT migration, check_name, status, actual FROM tenantmig.observe() WHERE check_name IN ('nulls', 'unknown_tenants');
SELECT attempt($$SELECT tenantmig.observe('m')$$);
RESET ROLE;
SET ROLE regress_observer;
SELECT count(*) AS nothing_to_observe FROM tenantmig.observe();
SELECT attempt($$SELECT tenantmig.observe('b')$$);
SELECT migration, health FROM tenantmig.health ORDER BY migration;
RESET ROLE;
GRANT regress_owner TO regress_observer;
SET ROLE regress_observer;
SELECT DISTINCT migration FROM tenantmig.observe(deep => true);
RESET ROLE;
SELECT migration, observed_by ~ 'regress_observer' AS by_the_observer FROM tenantmig.observations ORDER BY id DESC LIMIT 1;
-- one that can't be observed does not keep the others from it
SET ROLE regress_owner;
SELECT tenantmig.create_migration('{"migration": "a", "tenants": {"table": "companies"}, "steps": [{"constraint": {"table": "branches", "column": "id", "unique": ["id"]}}]}');
RESET ROLE;
REVOKE SELECT, REFERENCES ON companies FROM regress_owner;
SET ROLE regress_owner;
SELECT migration, count(*) > 5 AS observed FROM tenantmig.observe() GROUP BY migration ORDER BY migration;
SELECT attempt($$SELECT tenantmig.observe('b')$$);
RESET ROLE;
-- errors
SELECT attempt($$SELECT tenantmig.observe('nothing')$$);
SELECT attempt($$SELECT tenantmig.observe('m', NULL)$$);
BEGIN READ ONLY;
SELECT tenantmig.observe('m');
ROLLBACK;

DROP SCHEMA observe CASCADE;
DROP EXTENSION tenantmig CASCADE;
DROP OWNED BY regress_observer, regress_owner;
DROP ROLE regress_observer, regress_owner;
