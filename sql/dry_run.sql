-- dry_run: everything is evaluated and some of it is really written, and nothing is left of it.
\set VERBOSITY terse
SET client_min_messages = warning;
DROP SCHEMA IF EXISTS dry_run CASCADE;
DROP EXTENSION IF EXISTS tenantmig CASCADE;
CREATE EXTENSION tenantmig;
CREATE SCHEMA dry_run;
SET search_path = dry_run;

CREATE TABLE companies (id integer PRIMARY KEY, name text);
CREATE TABLE customers (id integer PRIMARY KEY, company_id integer REFERENCES companies, name text, deleted_at timestamptz);
CREATE TABLE orders (id integer PRIMARY KEY, customer_id integer REFERENCES customers, company_id integer);
CREATE TABLE notes (id integer PRIMARY KEY, order_id integer REFERENCES orders, company_id integer);
CREATE TABLE audit (id serial, customer_id integer);
INSERT INTO companies SELECT n FROM generate_series(1, 5) n;
INSERT INTO customers SELECT n FROM generate_series(1, 300) n;
INSERT INTO orders SELECT n, n, CASE WHEN n % 20 = 0 THEN NULL ELSE n % 5 + 1 END FROM generate_series(1, 250) n;
INSERT INTO orders SELECT 1000 + n, n, n % 2 + 1 FROM generate_series(1, 20) n;
INSERT INTO notes SELECT n, n FROM generate_series(1, 250) n;
CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO audit (customer_id) VALUES (NEW.id); RETURN NEW; END $$;
CREATE TRIGGER audit AFTER UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION audit();
-- rows, definitions and the extension's own tables; sequences move on, as they do after every rollback
CREATE FUNCTION fingerprint() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  relation regclass; part text; whole text := current_user || current_setting('search_path') || current_setting('session_replication_role');
BEGIN
  FOR relation IN SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname IN ('dry_run', 'tenantmig') AND c.relkind = 'r' ORDER BY c.oid LOOP
    EXECUTE format('SELECT md5(string_agg(t::text || t.ctid, '','' ORDER BY t::text)) FROM %s t', relation) INTO part;
    whole := concat_ws('|', whole, relation, part, pg_relation_filenode(relation));
  END LOOP;
  RETURN md5(whole || (SELECT count(*) FROM pg_class) || (SELECT count(*) FROM pg_trigger));
END $$;
SELECT fingerprint() AS before \gset

-- the one-line form: not even the migration is left
SET client_min_messages = notice;
SELECT outcome, source, row_count FROM tenantmig.backfill('customers', 'company_id', dry_run => true);
SELECT fingerprint() = :'before' AS nothing_changed;
SELECT count(*) FROM tenantmig.migrations;
SELECT outcome, source, row_count FROM tenantmig.backfill('customers', 'company_id', dry_run => true, dry_run_rows => 7);
SELECT outcome, source, row_count FROM tenantmig.backfill('customers', 'company_id', dry_run => true, dry_run_rows => 0);
SELECT outcome, source, row_count FROM tenantmig.backfill('customers', 'company_id', dry_run => true, dry_run_full => true);
SELECT fingerprint() = :'before' AS nothing_changed;

-- a migration of two steps that depend on each other: the counts are those of the plan and of the run, however little is written
SELECT tenantmig.create_migration('{"migration": "m", "tenants": {"table": "companies"}, "steps": [
  {"backfill": {"table": "notes", "column": "company_id", "sources": [{"path": ["order_id", "customer_id"]}]}},
  {"backfill": {"table": "customers", "column": "company_id", "soft_delete": "deleted_at", "on_orphan": "soft_delete", "sources": [{"via": "orders.customer_id"}]}}]}');
SELECT fingerprint() AS before \gset
CREATE TEMP TABLE planned AS SELECT relation, outcome, source, row_count FROM tenantmig.plan('m');
CREATE TEMP TABLE dry0 AS SELECT relation, outcome, source, row_count FROM tenantmig.backfill('m', dry_run => true, dry_run_rows => 0);
CREATE TEMP TABLE dry9 AS SELECT relation, outcome, source, row_count FROM tenantmig.backfill('m', dry_run => true, dry_run_rows => 9);
CREATE TEMP TABLE full_ AS SELECT relation, outcome, source, row_count FROM tenantmig.backfill('m', dry_run => true, dry_run_full => true);

SELECT (SELECT count(*) FROM audit) AS audited, (SELECT count(*) FROM tenantmig.runs) AS runs, (SELECT count(company_id) FROM customers) + (SELECT count(company_id) FROM notes) AS keys,
  (SELECT count(deleted_at) FROM customers) AS deleted;
CREATE TEMP TABLE done AS SELECT relation, outcome, source, row_count FROM tenantmig.backfill('m');
SELECT * FROM done;
SELECT * FROM (SELECT 'planned' AS call, p.* FROM planned p UNION ALL SELECT '0 rows', d.* FROM dry0 d UNION ALL SELECT '9 rows', d.* FROM dry9 d UNION ALL SELECT 'all rows', f.* FROM full_ f) x
WHERE (relation, outcome, coalesce(source, ''), row_count) NOT IN (SELECT relation, outcome, coalesce(source, ''), row_count FROM done);
SELECT (SELECT count(*) FROM planned) = (SELECT count(*) FROM done) AND (SELECT count(*) FROM dry0) = (SELECT count(*) FROM done) AND (SELECT count(*) FROM dry9) = (SELECT count(*) FROM done)
  AND (SELECT count(*) FROM full_) = (SELECT count(*) FROM done) AS as_many;
SELECT count(*) AS audited, count(DISTINCT customer_id) AS customers FROM audit;
SELECT relation, outcome, row_count FROM tenantmig.rollback((SELECT max(id) FROM tenantmig.runs)) ORDER BY relation, row_count;

-- what a run would run into, a dry run runs into as well, and what it leaves is nothing again
SELECT fingerprint() AS before \gset
ALTER TABLE customers ADD CONSTRAINT not_three CHECK (company_id <> 3) NOT VALID;
SELECT tenantmig.backfill('m', dry_run => true);
SELECT outcome, row_count FROM tenantmig.backfill('m', dry_run => true, dry_run_rows => 0) WHERE relation = 'dry_run.customers';
ALTER TABLE customers DROP CONSTRAINT not_three;
SELECT tenantmig.backfill('customers', 'company_id', dry_run => true, on_orphan => 'fail');
SELECT tenantmig.backfill('customers', 'company_id', dry_run => true, on_conflict => 'fail');
SELECT tenantmig.backfill('customers', 'company_id', dry_run => true, on_orphan => 'assign', assign_orphans_to => '6');
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not today'; END $$;
CREATE TRIGGER refuse BEFORE UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION refuse();
SELECT tenantmig.backfill('m', dry_run => true, dry_run_rows => 1);
DROP TRIGGER refuse ON customers;
SELECT count(*) AS migrations, (SELECT count(*) FROM tenantmig.runs WHERE state <> 'rolled_back') AS runs FROM tenantmig.migrations;
-- in a transaction that goes on and keeps its own work
BEGIN;
UPDATE customers SET company_id = 1 WHERE id = 300;
SELECT outcome, row_count FROM tenantmig.backfill('m', dry_run => true) WHERE relation = 'dry_run.customers';
SELECT company_id FROM customers WHERE id = 300;
COMMIT;
SELECT count(company_id) AS keys, count(deleted_at) AS deleted FROM customers;

SET client_min_messages = warning;
DROP SCHEMA dry_run CASCADE;
DROP EXTENSION tenantmig;
