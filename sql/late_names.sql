-- Names that exist only later: a step after a structural one is created although what it names is not there yet.
SET client_min_messages = warning;
DROP SCHEMA IF EXISTS late, late_other CASCADE;
DROP EXTENSION IF EXISTS tenantmig CASCADE;
CREATE EXTENSION tenantmig;
CREATE SCHEMA late;
CREATE SCHEMA late_other;
SET search_path = late;

CREATE TABLE customers (id integer PRIMARY KEY, branch integer);
INSERT INTO customers SELECT n, CASE WHEN n % 8 > 0 THEN n % 5 + 1 END FROM generate_series(1, 100) n;
CREATE FUNCTION spec(name text) RETURNS jsonb LANGUAGE sql AS $$
  SELECT jsonb_build_object('migration', name, 'tenants', '{"table": "companies"}'::jsonb, 'steps', '[
    {"sql": {"up": "CREATE TABLE companies (id integer PRIMARY KEY); INSERT INTO companies SELECT n FROM generate_series(1, 5) n; ALTER TABLE customers ADD company_id integer; CREATE TABLE branches (id integer PRIMARY KEY, company_id integer REFERENCES companies); INSERT INTO branches SELECT n, n FROM generate_series(1, 5) n",
             "down": "ALTER TABLE customers DROP company_id; DROP TABLE branches; DROP TABLE companies"}},
    {"backfill": {"table": "customers", "column": "company_id", "sources": [{"via": "branch", "references": "branches"}]}},
    {"guard": {"kind": "tenant_key", "table": "customers", "column": "company_id", "mode": "fill"}},
    {"constraint": {"table": "customers", "column": "company_id", "references": "companies.id"}},
    {"sql": {"up": "DROP TABLE branches", "down": "CREATE TABLE branches (id integer PRIMARY KEY, company_id integer REFERENCES companies); INSERT INTO branches SELECT n, n FROM generate_series(1, 5) n"}},
    {"guard": {"kind": "immutable", "table": "customers", "column": "company_id"}}]'::jsonb) $$;

-- all steps are listed; names that come later are marked
SELECT * FROM tenantmig.check_migration(spec('m'));
SELECT tenantmig.create_migration(spec('m'));
SELECT tenantmig.create_migration(spec('m')); -- again: no change
SELECT jsonb_array_length(identity -> 'relations') AS known FROM tenantmig.migration;

-- what can't be looked at yet says so
SELECT step, kind, relation, outcome, row_count, note FROM tenantmig.plan('m');
SELECT check_name, status, actual, detail, hint FROM tenantmig.preflight('m') WHERE check_name = 'step';
SELECT check_name, status, actual, detail FROM tenantmig.verify('m');
SELECT check_name, status, actual, detail FROM tenantmig.gate('m') WHERE check_name = 'step';
CALL tenantmig.run('m');
\echo :SQLSTATE
SELECT tenantmig.start('m');
\echo :SQLSTATE
SELECT * FROM tenantmig.backfill('m');
\echo :SQLSTATE
SELECT * FROM tenantmig.plan_hash('m');
\echo :SQLSTATE
SELECT * FROM tenantmig.attach_guard('m');
\echo :SQLSTATE
SELECT * FROM tenantmig.attach_guard('m', 3);
\echo :SQLSTATE
CALL tenantmig.enforce('m');
\echo :SQLSTATE

-- reached: now the names are those of the migration's search_path, whatever the session's is
CALL tenantmig.up('m', 1);
CREATE TABLE late_other.customers (id integer PRIMARY KEY, branch integer, company_id integer);
CREATE TABLE late_other.branches (id integer PRIMARY KEY, company_id integer);
SET search_path = late_other;
SELECT step, kind, relation, outcome, source, row_count FROM tenantmig.plan('m');
SET client_min_messages = notice;
CALL tenantmig.run('m');
SET client_min_messages = warning;
SET search_path = late;
SELECT steps FROM tenantmig.run_log;
SELECT count(*) FILTER (WHERE c.company_id IS DISTINCT FROM b.company_id) AS differ, count(c.company_id) AS filled FROM customers c LEFT JOIN branches b ON b.id = c.branch;
-- and they are remembered: a renamed table is the same one
ALTER TABLE customers RENAME TO clients;
CREATE TABLE customers (id integer PRIMARY KEY, branch integer, company_id integer);
SELECT DISTINCT relation FROM tenantmig.plan('m') WHERE kind = 'backfill';
SELECT check_name, status, actual FROM tenantmig.verify('m') WHERE check_name <> 'step';
DROP TABLE customers;
ALTER TABLE clients RENAME TO customers;
SELECT DISTINCT r ->> 'written' AS written, r -> 'segment' AS segment FROM tenantmig.migration, jsonb_array_elements(identity -> 'relations') r ORDER BY 1, 2;

-- a step whose evidence a later step has removed is past
SELECT kind, outcome FROM tenantmig.attach_guard('m', 3);
UPDATE customers SET company_id = 1 WHERE company_id IS NULL;
CALL tenantmig.up('m', 5);
SELECT step, kind, relation, outcome, note FROM tenantmig.plan('m');
SELECT check_name, status, actual, detail FROM tenantmig.verify('m') WHERE check_name = 'step';
SELECT check_name, status, actual FROM tenantmig.observe('m', deep => true) WHERE check_name IN ('tables', 'step');
SELECT check_name, status, actual FROM tenantmig.gate('m') WHERE check_name IN ('step', 'run');
SELECT kind, outcome FROM tenantmig.attach_guard('m', 6);
SELECT tenantmig.drop_migration('m');
\echo :SQLSTATE
SELECT tenantmig.drop_migration('m', force => true);
SELECT count(*) FROM tenantmig.step_state;

-- a table that nothing before could have made is refused at once; so is a column
SELECT tenantmig.create_migration('{"migration": "typo", "tenants": {"table": "companies"}, "steps": [
  {"add_column": {"table": "customers", "column": "key", "type": "integer"}},
  {"backfill": {"table": "custmers", "column": "key", "sources": [{"via": "branch"}]}}]}');
\echo :SQLSTATE
SELECT tenantmig.create_migration('{"migration": "typo", "tenants": {"table": "companies"}, "steps": [
  {"add_column": {"table": "customers", "column": "key", "type": "integer"}},
  {"guard": {"kind": "immutable", "table": "customers", "column": "kye"}}]}');
\echo :SQLSTATE
SELECT tenantmig.create_migration('{"migration": "typo", "tenants": {"table": "companies"}, "steps": [
  {"index": {"table": "customers", "columns": ["branch"]}},
  {"index": {"table": "customers", "columns": ["branch", "brunch"]}}]}');
\echo :SQLSTATE

-- a superuser lends nobody his rights: a name that comes to mean another's table later is refused, whoever runs up
CREATE ROLE regress_late;
SELECT tenantmig.grant_access('regress_late', 'operator');
GRANT CREATE, USAGE ON SCHEMA late TO regress_late;
DROP TABLE IF EXISTS companies CASCADE;
SET ROLE regress_late;
SELECT tenantmig.create_migration('{"migration": "theirs", "tenants": {"table": "companies"}, "steps": [
  {"sql": {"up": "CREATE TABLE companies (id integer PRIMARY KEY)", "down": "DROP TABLE companies"}},
  {"backfill": {"table": "ledger", "column": "company_id", "sources": [{"via": "branch", "references": "offices.id"}]}},
  {"guard": {"kind": "immutable", "table": "ledger", "column": "company_id"}},
  {"constraint": {"table": "ledger", "column": "company_id", "not_null": true}}]}');
RESET ROLE;
CREATE TABLE ledger (id integer PRIMARY KEY, branch integer, company_id integer);
CREATE TABLE offices (id integer PRIMARY KEY, company_id integer);
CALL tenantmig.up('theirs');
\echo :SQLSTATE
SELECT step, state, applied FROM tenantmig.steps WHERE migration = 'theirs';
SELECT * FROM tenantmig.backfill('theirs');
\echo :SQLSTATE
SELECT * FROM tenantmig.attach_guard('theirs');
\echo :SQLSTATE
CALL tenantmig.enforce('theirs');
\echo :SQLSTATE
-- nor for evidence
ALTER TABLE ledger OWNER TO regress_late;
SELECT * FROM tenantmig.plan('theirs');
\echo :SQLSTATE
ALTER TABLE offices OWNER TO regress_late;
SELECT step, kind, outcome FROM tenantmig.plan('theirs');
SELECT tenantmig.drop_migration('theirs', force => true);

DROP SCHEMA late, late_other CASCADE;
DROP OWNED BY regress_late CASCADE;
DROP ROLE regress_late;
