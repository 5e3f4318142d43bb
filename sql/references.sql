-- A parent that no foreign key says: `references` names what the column leads to. Against plain SQL.
SET client_min_messages = warning;
DROP SCHEMA IF EXISTS refs CASCADE;
DROP EXTENSION IF EXISTS tenantmig CASCADE;
CREATE EXTENSION tenantmig;
CREATE SCHEMA refs;
SET search_path = refs;

CREATE TABLE companies (id integer PRIMARY KEY);
CREATE TABLE branches (id integer PRIMARY KEY, code text, part text, company_id integer REFERENCES companies);
CREATE UNIQUE INDEX ON branches (code);
CREATE UNIQUE INDEX ON branches (part) WHERE part <> '';
CREATE TABLE regions (a integer, b integer, company_id integer REFERENCES companies, PRIMARY KEY (a, b));
CREATE TABLE customers (id integer PRIMARY KEY, branch_id bigint, branch_code varchar(20), region_id integer, company_id integer);
INSERT INTO companies SELECT n FROM generate_series(1, 4) n;
INSERT INTO branches SELECT n, 'B' || n, 'P' || n, CASE WHEN n % 10 > 0 THEN n % 4 + 1 END FROM generate_series(1, 30) n;
INSERT INTO customers SELECT n, CASE WHEN n % 7 > 0 THEN n % 33 + 1 END, CASE WHEN n % 3 > 0 THEN 'B' || n % 31 + 1 END FROM generate_series(1, 300) n;
CREATE FUNCTION spec(sources jsonb) RETURNS jsonb LANGUAGE sql AS $$
  SELECT jsonb_build_object('migration', 'r', 'tenants', '{"table": "companies"}'::jsonb, 'steps', jsonb_build_array(jsonb_build_object('backfill',
    jsonb_build_object('table', 'customers', 'column', 'company_id', 'sources', sources)))) $$;

-- by the primary key, and by another unique column
SELECT step, kind, relation, source, tenant_column, note FROM tenantmig.check_migration(spec('[{"via": "branch_id", "references": "branches"}, {"via": "branch_code", "references": "branches.code"}]'));
SELECT tenantmig.create_migration(spec('[{"via": "branch_id", "references": "branches.id"}, {"via": "branch_code", "references": "branches.code"}]'));

CREATE TABLE model AS SELECT c.id, CASE WHEN a.company_id IS NOT NULL AND b.company_id IS NOT NULL AND a.company_id <> b.company_id THEN NULL ELSE coalesce(a.company_id, b.company_id) END AS company_id
  FROM customers c LEFT JOIN branches a ON a.id = c.branch_id LEFT JOIN branches b ON b.code = c.branch_code;
SELECT outcome, sum(row_count) FROM tenantmig.plan('r') GROUP BY 1 ORDER BY 1;
SELECT outcome, sum(row_count) FROM tenantmig.backfill('r') GROUP BY 1 ORDER BY 1;
SELECT count(*) FILTER (WHERE m.company_id IS NOT NULL) AS assigned, count(*) FILTER (WHERE c.company_id IS DISTINCT FROM m.company_id) AS differ FROM customers c JOIN model m USING (id);
SELECT check_name, status, actual FROM tenantmig.verify('r');
SELECT count(*) AS restored FROM tenantmig.rollback((SELECT max(id) FROM tenantmig.runs));
SELECT count(company_id) FROM customers;

-- online the same; the evidence is found by name again after a rename
ALTER TABLE branches RENAME TO offices;
CALL tenantmig.run('r');
SELECT count(*) FILTER (WHERE c.company_id IS DISTINCT FROM m.company_id) AS differ FROM customers c JOIN model m USING (id);
ALTER TABLE offices RENAME TO branches;
SELECT tenantmig.drop_migration('r', force => true);
UPDATE customers SET company_id = NULL;

-- a guard fills new rows by it
SELECT tenantmig.create_migration(jsonb_set(spec('[{"via": "branch_code", "references": "branches.code"}]'), '{steps,1}', '{"guard": {"kind": "tenant_key", "table": "customers", "column": "company_id", "mode": "fill"}}'));
SELECT kind, outcome FROM tenantmig.attach_guard('r');
INSERT INTO customers VALUES (1000, NULL, 'B5'), (1001, NULL, 'none');
SELECT id, company_id FROM customers WHERE id >= 1000 ORDER BY id;
SELECT count(*) FROM tenantmig.detach_guard('r');
SELECT tenantmig.drop_migration('r');

-- what can't be a parent
SELECT * FROM tenantmig.check_migration(spec('[{"via": "branch_id", "references": "offices.id"}]'));
\echo :SQLSTATE
SELECT * FROM tenantmig.check_migration(spec('[{"via": "branch_id", "references": "branches.number"}]'));
\echo :SQLSTATE
SELECT * FROM tenantmig.check_migration(spec('[{"via": "branch_id", "references": "branches.company_id"}]'));
\echo :SQLSTATE
SELECT * FROM tenantmig.check_migration(spec('[{"via": "branch_code", "references": "branches.part"}]'));
\echo :SQLSTATE
SELECT * FROM tenantmig.check_migration(spec('[{"via": "branch_code", "references": "branches.id"}]'));
\echo :SQLSTATE
SELECT * FROM tenantmig.check_migration(spec('[{"via": "region_id", "references": "regions"}]'));
\echo :SQLSTATE
SELECT * FROM tenantmig.check_migration(spec('[{"via": "branch_id", "references": "branches.code"}]'));
\echo :SQLSTATE
SELECT * FROM tenantmig.check_migration(spec('[{"via": "customers.id", "references": "branches.code"}]'));
\echo :SQLSTATE
ALTER TABLE branches ADD UNIQUE (company_id, id), ALTER id TYPE bigint;
ALTER TABLE customers ADD FOREIGN KEY (branch_id) REFERENCES branches NOT VALID;
CREATE TABLE others (id bigint PRIMARY KEY, company_id integer REFERENCES companies);
SELECT * FROM tenantmig.check_migration(spec('[{"via": "branch_id", "references": "others"}]'));
\echo :SQLSTATE
-- beside the foreign key that says the same it does no harm
SELECT source, tenant_column FROM tenantmig.check_migration(spec('[{"via": "branch_id", "references": "branches"}]'));
\echo :SQLSTATE

DROP SCHEMA refs CASCADE;
