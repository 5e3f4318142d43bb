-- The guard of kind immutable: a tenant key stays, whoever and whatever changes it; filling a NULL is allowed.
\pset null -
\set SHOW_CONTEXT never
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tenantmig CASCADE;
CREATE EXTENSION tenantmig;
CREATE SCHEMA gi;
SET search_path = gi;
CREATE FUNCTION attempt(command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE d text; h text;
BEGIN
  EXECUTE command;
  RETURN 'passed';
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS d = PG_EXCEPTION_DETAIL, h = PG_EXCEPTION_HINT;
  RETURN concat_ws(E'\n', SQLSTATE || ': ' || SQLERRM, 'DETAIL: ' || nullif(d, ''), 'HINT: ' || regexp_replace(nullif(h, ''), 'detach_guard\(\d+\)', 'detach_guard(N)'));
END $$;
CREATE TABLE customers (id integer PRIMARY KEY, company_id integer, note text);
INSERT INTO customers VALUES (1, 1), (2, 2), (3, NULL);
SELECT relation, column_name, kind, mode, outcome FROM tenantmig.attach_guard('customers', 'company_id', 'immutable');
SELECT attempt($$UPDATE customers SET company_id = 2 WHERE id = 1$$);
SELECT attempt($$UPDATE customers SET company_id = NULL WHERE id = 1$$);
SELECT attempt($$UPDATE customers SET company_id = company_id, note = 'x'$$);
SELECT attempt($$UPDATE customers SET company_id = 2 WHERE id = 3$$);
SELECT attempt($$UPDATE customers SET company_id = 1 WHERE id = 3$$);
SELECT attempt($$INSERT INTO customers VALUES (1, 9) ON CONFLICT (id) DO UPDATE SET company_id = excluded.company_id$$);
SELECT attempt($$INSERT INTO customers VALUES (1, 9) ON CONFLICT (id) DO UPDATE SET note = 'conflict'$$);
SELECT attempt($$MERGE INTO customers c USING (VALUES (2, 9)) v(id, company) ON v.id = c.id WHEN MATCHED THEN UPDATE SET company_id = v.company$$);
-- a trigger that changes it, in an UPDATE that does not name it
CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.company_id := 7; RETURN NEW; END $$;
CREATE TRIGGER meddle BEFORE UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION meddle();
SELECT attempt($$UPDATE customers SET note = 'y' WHERE id = 1$$);
DROP TRIGGER meddle ON customers;
SELECT * FROM customers ORDER BY id;
-- a foreign key's own action
CREATE TABLE companies (id integer PRIMARY KEY);
INSERT INTO companies VALUES (1), (2);
ALTER TABLE customers ADD FOREIGN KEY (company_id) REFERENCES companies ON UPDATE CASCADE ON DELETE SET NULL;
SELECT attempt($$UPDATE companies SET id = 5 WHERE id = 1$$);
SELECT attempt($$DELETE FROM companies WHERE id = 1$$);
-- what is refused is counted; what is there can't be judged
SELECT last_value > 5 AS counted FROM tenantmig.guard_refusal_seq;
SELECT check_name, status, expected, actual, detail FROM tenantmig.check_guards();
-- disabled, dropped
ALTER TABLE customers DISABLE TRIGGER USER;
SELECT attempt($$UPDATE customers SET company_id = 2 WHERE id = 1$$);
SELECT check_name, status, actual, regexp_replace(hint, '\d+', 'N') AS hint FROM tenantmig.check_guards();
SELECT outcome FROM tenantmig.attach_guard('customers', 'company_id', 'immutable');
SELECT attempt($$UPDATE customers SET company_id = 1 WHERE id = 1$$);
SELECT trigger AS name FROM tenantmig.guards \gset
DROP TRIGGER :name ON customers;
SELECT relation, column_name, trigger, enabled FROM tenantmig.guards;
SELECT check_name, status, actual FROM tenantmig.check_guards();
SELECT outcome FROM tenantmig.attach_guard('customers', 'company_id', 'immutable');
SELECT count(*) AS guards, count(trigger) AS triggers FROM tenantmig.guards;
SELECT trigger AS name FROM tenantmig.guards \gset
DROP TRIGGER :name ON customers;
SELECT outcome, trigger_name = :'name' AS same_name FROM tenantmig.detach_guard((SELECT id FROM tenantmig.guards));
SELECT attempt($$UPDATE customers SET company_id = 2 WHERE id = 1$$);

-- rows that move between partitions; types with more than one form of a value; generated; a rename
CREATE TABLE parts (id integer, "Key ""of it""" numeric, other text) PARTITION BY LIST ("Key ""of it""");
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES IN (1);
CREATE TABLE parts_2 (other text, "Key ""of it""" numeric, id integer);
ALTER TABLE parts ATTACH PARTITION parts_2 FOR VALUES IN (2);
SELECT outcome FROM tenantmig.attach_guard('parts', '"Key ""of it"""', 'immutable');
INSERT INTO parts VALUES (1, 1), (2, 2);
SELECT attempt($$UPDATE parts SET "Key ""of it""" = 2 WHERE id = 1$$);
SELECT attempt($$UPDATE parts_2 SET "Key ""of it""" = NULL$$);
SELECT attempt($$UPDATE parts SET "Key ""of it""" = 1.00 WHERE id = 1$$);
ALTER TABLE parts RENAME "Key ""of it""" TO k;
SELECT attempt($$UPDATE parts SET k = 2 WHERE id = 1$$);
SELECT attempt($$UPDATE parts SET k = 2 WHERE id = 2$$);
CREATE TABLE made (id integer, a integer, k integer GENERATED ALWAYS AS (a / 10) STORED);
SELECT outcome FROM tenantmig.attach_guard('made', 'k', 'immutable');
INSERT INTO made VALUES (1, 10);
SELECT attempt($$UPDATE made SET a = 11$$);
SELECT attempt($$UPDATE made SET a = 20$$);

-- the plain form
CREATE TABLE plain (id integer, "Tenant" text, made text GENERATED ALWAYS AS ('x') STORED);
INSERT INTO plain VALUES (1, 'a');
CREATE TRIGGER stays BEFORE UPDATE ON plain FOR EACH ROW EXECUTE FUNCTION tenantmig.guard_immutable('Tenant');
SELECT attempt($$UPDATE plain SET "Tenant" = 'b'$$);
SELECT attempt($$UPDATE plain SET "Tenant" = repeat('long', 100)$$);
ALTER TABLE plain RENAME "Tenant" TO tenant;
SELECT attempt($$UPDATE plain SET id = 2$$);
CREATE OR REPLACE TRIGGER stays BEFORE INSERT OR UPDATE ON plain FOR EACH ROW EXECUTE FUNCTION tenantmig.guard_immutable('tenant', 'x');
SELECT attempt($$INSERT INTO plain VALUES (2, 'b')$$);
SELECT attempt($$UPDATE plain SET id = 2$$);
CREATE OR REPLACE TRIGGER stays BEFORE UPDATE ON plain FOR EACH ROW EXECUTE FUNCTION tenantmig.guard_immutable('made');
SELECT attempt($$UPDATE plain SET id = 2$$);
CREATE OR REPLACE TRIGGER stays BEFORE UPDATE ON plain EXECUTE FUNCTION tenantmig.guard_immutable('tenant');
SELECT attempt($$UPDATE plain SET id = 2$$);
SELECT attempt($$SELECT tenantmig.guard_immutable()$$);

-- a backfill may fill what an immutable guard stands on, and its undo takes it back
CREATE TABLE branches (id integer PRIMARY KEY, company_id integer);
INSERT INTO branches VALUES (1, 1), (2, 2);
CREATE TABLE people (id integer PRIMARY KEY, branch_id integer REFERENCES branches, company_id integer);
INSERT INTO people VALUES (1, 1), (2, 2);
SELECT tenantmig.create_migration('{"migration": "p", "tenants": {"table": "companies"}, "steps": [
  {"backfill": {"table": "people", "column": "company_id", "sources": [{"via": "branch_id", "tenant": "company_id"}]}},
  {"guard": {"kind": "immutable", "table": "people", "column": "company_id"}},
  {"guard": {"kind": "tenant_key", "table": "people", "column": "company_id", "mode": "reject"}}]}');
SELECT step, kind, mode, outcome FROM tenantmig.attach_guard('p');
INSERT INTO companies VALUES (1) ON CONFLICT DO NOTHING;
SELECT outcome, row_count FROM tenantmig.backfill('p');
SELECT attempt($$UPDATE people SET company_id = 2 WHERE id = 1$$);
SELECT check_name, status, actual FROM tenantmig.verify('p') WHERE check_name LIKE 'guard%';
-- guards are no triggers of the user's
SELECT check_name, status, actual, detail FROM tenantmig.preflight('p') WHERE check_name = 'row_triggers';
SELECT outcome, row_count FROM tenantmig.rollback((SELECT max(id) FROM tenantmig.runs));
SELECT * FROM people ORDER BY id;
SELECT check_name, status, actual, detail FROM tenantmig.check_guards('p');
DROP SCHEMA gi CASCADE;
