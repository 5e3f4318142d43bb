-- Guards of kind tenant_key by hand: a trigger that names its columns.
\pset null -
\set SHOW_CONTEXT never
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tenantmig CASCADE;
CREATE EXTENSION tenantmig;
CREATE ROLE regress_plain_owner;
CREATE ROLE regress_plain_other;
CREATE SCHEMA plain AUTHORIZATION regress_plain_owner;
GRANT USAGE ON SCHEMA plain, tenantmig TO regress_plain_owner, regress_plain_other;
SET ROLE regress_plain_owner;
SET search_path = plain;
CREATE TABLE companies (id integer PRIMARY KEY);
INSERT INTO companies VALUES (1), (2);
CREATE TABLE branches (id integer PRIMARY KEY, company_id integer);
CREATE TABLE staff (id integer PRIMARY KEY, employer bigint REFERENCES companies, company_id text);
INSERT INTO branches VALUES (10, 1), (20, 2), (30, NULL), (40, 99);
INSERT INTO staff VALUES (1, 1, 'not this one'), (2, 2, 'nor this');
CREATE TABLE customers (id integer PRIMARY KEY, company_id integer REFERENCES companies, branch_id integer REFERENCES branches, seller integer REFERENCES staff, loose integer, foreign_id integer);

-- fill: from the parents; the tenant key of staff by its foreign key to the tenant root, that of branches by its name
CREATE TRIGGER key BEFORE INSERT OR UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION tenantmig.guard_tenant_key('company_id', 'fill', 'branch_id', 'seller');
INSERT INTO customers VALUES (1, NULL, 10, NULL), (2, NULL, NULL, 2), (3, NULL, 20, 2), (4, NULL, 10, 2), (5, NULL, 30, NULL), (6, NULL, 40, NULL), (7, 1, 20, NULL), (8, 1, 10, 1) RETURNING id, company_id;
UPDATE customers SET branch_id = 20 WHERE id = 5 RETURNING company_id;
RESET ROLE;
-- a trigger by hand has no number, and is of no migration
SELECT migration, guard, relation, row_key, column_name, kind, found, expected, detail FROM tenantmig.drift ORDER BY row_key;
SELECT count(*) FROM tenantmig.guards;
SELECT kind, migration, row_count, outcome FROM tenantmig.purge(ARRAY['drift'], interval '0 seconds', execute => true);
SELECT count(*) FROM tenantmig.drift;
SET ROLE regress_plain_owner;
DROP TRIGGER key ON customers;

-- reject
CREATE TRIGGER key BEFORE INSERT OR UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION tenantmig.guard_tenant_key('company_id', 'reject', 'branch_id');
INSERT INTO customers VALUES (11, NULL, 10);
\echo :LAST_ERROR_SQLSTATE
INSERT INTO customers VALUES (11, 2, 10);
\echo :LAST_ERROR_SQLSTATE
UPDATE customers SET company_id = 2 WHERE id = 1;
\echo :LAST_ERROR_SQLSTATE
INSERT INTO customers VALUES (11, 1, 10), (12, 2, NULL), (13, 2, 30);
UPDATE customers SET company_id = 2, branch_id = 20 WHERE id = 11 RETURNING id;
DROP TRIGGER key ON customers;

-- warn: nothing is changed
CREATE TRIGGER key BEFORE INSERT OR UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION tenantmig.guard_tenant_key('company_id', 'warn', 'branch_id');
INSERT INTO customers VALUES (21, NULL, 10), (22, 2, 10), (23, 1, 10) RETURNING id, company_id;
RESET ROLE;
SELECT migration, guard, row_key, kind, found, expected, role FROM tenantmig.drift ORDER BY row_key;
SET ROLE regress_plain_owner;

-- renamed: the parent's table and columns do not matter, those of the table do
ALTER TABLE branches RENAME TO offices;
INSERT INTO customers VALUES (24, 1, 10);
ALTER TABLE customers RENAME branch_id TO office_id;
INSERT INTO customers VALUES (25, 1, 10);
\echo :LAST_ERROR_SQLSTATE
ALTER TABLE customers RENAME office_id TO branch_id;
ALTER TABLE customers RENAME company_id TO tenant;
INSERT INTO customers VALUES (25, 1, 10);
\echo :LAST_ERROR_SQLSTATE
ALTER TABLE customers RENAME tenant TO company_id;
ALTER TABLE offices RENAME company_id TO tenant;
INSERT INTO customers VALUES (25, 1, 10);
\echo :LAST_ERROR_SQLSTATE
ALTER TABLE offices RENAME tenant TO company_id;
INSERT INTO customers VALUES (25, 1, 10);
DROP TRIGGER key ON customers;

-- what is wrong with the arguments
CREATE FUNCTION attempt(arguments text, timing text DEFAULT 'BEFORE INSERT') RETURNS void LANGUAGE plpgsql AS $$
DECLARE message text; detail text; hint text;
BEGIN
  EXECUTE format('CREATE TRIGGER g %s ON customers FOR EACH ROW EXECUTE FUNCTION tenantmig.guard_tenant_key(%s)', timing, arguments);
  INSERT INTO customers VALUES (31, NULL, 10);
  DELETE FROM customers WHERE id = 31;
  DROP TRIGGER g ON customers;
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
  RAISE WARNING '% % | % | %', SQLSTATE, message, detail, hint;
END $$;
SELECT attempt($$'company_id', 'fill', 'branch_id'$$);
SELECT attempt($$'company_id', 'filll', 'branch_id'$$);
SELECT attempt($$'company_id', '', 'branch_id'$$);
SELECT attempt($$'company', 'fill', 'branch_id'$$);
SELECT attempt($$'company_id', 'fill', 'branch'$$);
SELECT attempt($$'company_id', 'fill', 'branch_id', 'sales'$$);
SELECT attempt($$'company_id', 'fill', 'loose'$$);
SELECT attempt($$'company_id', 'fill'$$);
SELECT attempt($$'company_id'$$);
SELECT attempt('');
SELECT attempt($$'company_id', 'fill', 'branch_id'$$ || repeat($$, 'branch_id'$$, 40));
SELECT attempt($$'company_id', 'fill', 'branch_id'$$, 'AFTER INSERT');
SELECT attempt($$'company_id', 'fill', 'branch_id'$$, 'BEFORE INSERT OR DELETE');
SELECT attempt($$'"company_id"', 'fill', 'branch_id'$$);

-- a parent that the table's owner may not read any more; a partition
RESET ROLE;
CREATE TABLE plain.foreign_table (id integer PRIMARY KEY, company_id integer);
INSERT INTO plain.foreign_table VALUES (1, 1);
GRANT REFERENCES ON plain.foreign_table TO regress_plain_owner;
SET ROLE regress_plain_owner;
ALTER TABLE customers ADD FOREIGN KEY (foreign_id) REFERENCES foreign_table;
SELECT attempt($$'company_id', 'fill', 'foreign_id'$$);
CREATE TABLE parted (id integer, company_id integer REFERENCES companies, branch_id integer REFERENCES offices) PARTITION BY LIST (id);
CREATE TABLE parted_1 (branch_id integer, gone integer, company_id integer, id integer);
ALTER TABLE parted_1 DROP gone;
ALTER TABLE parted ATTACH PARTITION parted_1 FOR VALUES IN (1);
CREATE TRIGGER key BEFORE INSERT OR UPDATE ON parted FOR EACH ROW EXECUTE FUNCTION tenantmig.guard_tenant_key('company_id', 'fill', 'branch_id');
CREATE TABLE parted_2 PARTITION OF parted FOR VALUES IN (2);
INSERT INTO parted VALUES (1, NULL, 10), (2, NULL, 20) RETURNING tableoid::regclass, company_id;
RESET ROLE;
DROP EXTENSION tenantmig CASCADE;
DROP SCHEMA plain CASCADE;
DROP OWNED BY regress_plain_owner, regress_plain_other;
DROP ROLE regress_plain_owner, regress_plain_other;
