-- CALL up and CALL down over steps of several kinds: ranges, what is passed over, what stops them, and what the views say. The oracle is the catalogue by name.
\pset null -
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tenantmig CASCADE;
CREATE EXTENSION tenantmig;
CREATE SCHEMA walk;
SET search_path = walk;
SET client_min_messages = notice;
CREATE TABLE companies (id integer PRIMARY KEY);
INSERT INTO companies SELECT generate_series(1, 3);
CREATE TABLE branches (id integer PRIMARY KEY, company_id integer NOT NULL REFERENCES companies);
INSERT INTO branches SELECT n, n % 3 + 1 FROM generate_series(1, 9) n;
CREATE TABLE customers (id integer PRIMARY KEY, branch_id integer REFERENCES branches);
INSERT INTO customers SELECT n, n % 9 + 1 FROM generate_series(1, 60) n;
CREATE VIEW shape AS
  SELECT format('%s.%s %s%s', attrelid::regclass, attname, format_type(atttypid, atttypmod), CASE WHEN attnotnull THEN ' NOT NULL' ELSE '' END) AS line
    FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid WHERE c.relnamespace = 'walk'::regnamespace AND c.relkind = 'r' AND attnum > 0 AND NOT attisdropped
  UNION ALL SELECT conrelid::regclass || ' ' || pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'walk'::regnamespace
  UNION ALL SELECT tgrelid::regclass || ' ' || tgfoid::regproc FROM pg_trigger WHERE tgrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'walk'::regnamespace) AND NOT tgisinternal
  UNION ALL SELECT format('%s rows of notes', count(*)) FROM pg_class WHERE oid = to_regclass('walk.notes')
  ORDER BY 1;
CREATE TEMP TABLE before AS TABLE shape;
CREATE VIEW state AS SELECT step, kind, relation, column_name, state, applied, phase, error, started_at IS NOT NULL AS begun, finished_at IS NOT NULL AS finished, next_command FROM tenantmig.steps WHERE migration = 'm' ORDER BY step;

SELECT tenantmig.create_migration('{"migration": "m", "tenants": {"table": "companies"}, "steps": [
  {"sql": {"up": "ALTER TABLE customers ADD company_id integer; CREATE TABLE notes (id integer PRIMARY KEY, customer_id integer REFERENCES customers, company_id integer); INSERT INTO notes SELECT id, id FROM customers",
           "down": "DROP TABLE notes; ALTER TABLE customers DROP company_id", "verify": "SELECT count(*) = 60 FROM notes"}},
  {"backfill": {"table": "customers", "column": "company_id", "sources": [{"via": "branch_id"}]}},
  {"backfill": {"table": "notes", "column": "company_id", "sources": [{"via": "customer_id"}]}},
  {"guard": {"kind": "tenant_key", "table": "customers", "column": "company_id", "mode": "fill"}},
  {"constraint": {"table": "customers", "column": "company_id", "not_null": true, "references": "companies.id"}},
  {"sql": {"up": "COMMENT ON TABLE notes IS ''done''", "down": "COMMENT ON TABLE notes IS NULL"}}]}');
TABLE state;
SELECT migration, steps, progress, applied_at, length(checksum) FROM tenantmig.migrations;

-- bad arguments, and a transaction block
CALL tenantmig.up('nobody');
CALL tenantmig.up(NULL);
CALL tenantmig.up('m', to_step => 7);
CALL tenantmig.up('m', to_step => -1);
CALL tenantmig.down('m', to_step => 7);
CALL tenantmig.up('m', to_step => 1, steps => 1);
CALL tenantmig.up('m', steps => 0);
CALL tenantmig.down('m', steps => -1);
CALL tenantmig.up('m', workers => 0);
CALL tenantmig.up('m', workers => 65);
CALL tenantmig.up('m', maintenance => NULL);
BEGIN;
CALL tenantmig.up('m');
ROLLBACK;
BEGIN;
CALL tenantmig.down('m');
ROLLBACK;
BEGIN READ ONLY;
CALL tenantmig.up('m');
ROLLBACK;
-- nothing to do
CALL tenantmig.up('m', to_step => 0);
CALL tenantmig.down('m');

-- some, by number and by count
CALL tenantmig.up('m', to_step => 1);
CALL tenantmig.up('m', steps => 2);
TABLE state;
SELECT progress, applied_at FROM tenantmig.migrations;
SELECT count(*) FILTER (WHERE c.company_id = b.company_id) AS right_ones FROM customers c JOIN branches b ON b.id = c.branch_id;
-- two consecutive backfills are one run
SELECT id, state, assigned FROM tenantmig.runs ORDER BY id;

-- a closed gate stops it; what is done stays
SET session_replication_role = replica; -- past the guard
INSERT INTO customers VALUES (61, NULL);
CALL tenantmig.up('m');
SELECT step, state, applied, error, next_command FROM state WHERE step > 3;
DELETE FROM customers WHERE id = 61;
RESET session_replication_role;
CALL tenantmig.up('m');
SELECT progress, applied_at IS NOT NULL AS applied_at FROM tenantmig.migrations;
TABLE state;
TABLE shape;
-- again: nothing to do
CALL tenantmig.up('m');
SELECT count(*) FROM tenantmig.execution_log;

-- a migration whose steps are applied is needed
SELECT tenantmig.drop_migration('m');

-- back: by count, by number; a run goes back as a whole
CALL tenantmig.down('m', steps => 2);
SELECT step, state, applied FROM state;
CALL tenantmig.down('m', to_step => 2);
CALL tenantmig.down('m', steps => 2);
SELECT step, state, applied FROM state;
CALL tenantmig.down('m');
SELECT step, state, applied FROM state;
TABLE shape EXCEPT TABLE before;
TABLE before EXCEPT TABLE shape;
SELECT progress FROM tenantmig.migrations;

-- there and back once more, step by step; then what is in force by other commands is passed over
CALL tenantmig.up('m', steps => 1);
CALL tenantmig.up('m', steps => 1);
CALL tenantmig.up('m', steps => 1);
SELECT id, state, assigned FROM tenantmig.runs ORDER BY id;
CALL tenantmig.enforce('m');
CALL tenantmig.up('m');
CALL tenantmig.down('m', to_step => 2);
CALL tenantmig.relax('m');
CALL tenantmig.down('m', to_step => 0);
TABLE shape EXCEPT TABLE before;
SELECT step, kind, action, outcome, actor = current_user AS by_me, finished_at >= started_at AS ended, duration >= '0' AS took, error, checks, run_id IS NOT NULL AS run FROM tenantmig.execution_log ORDER BY id;

-- in maintenance mode writes of others are refused only meanwhile
CALL tenantmig.up('m', maintenance => true);
SELECT count(*) FROM tenantmig.maintenance_fences;

-- the report, also when the migration has gone
SELECT regexp_replace(split_part(tenantmig.migration_report('m'), '## Execution', 1), '20\d\d-\d\d-\d\d \d\d:\d\d:\d\d|[0-9a-f]{64}', '…', 'g');
SELECT j ->> 'migration' AS migration, j ->> 'progress' AS progress, json_array_length(j -> 'steps') AS steps, json_array_length(j -> 'execution_log') > 20 AS log, j #>> '{execution_log,0,kind}' AS first,
  j #>> '{execution_log,0,checks,0,status}' AS status, j #>> '{runs,0,assigned}' AS assigned FROM (SELECT tenantmig.migration_report('m', 'json')::json AS j) r;
SELECT tenantmig.migration_report('m', 'html') LIKE '<!DOCTYPE html>%<h1>Migration m</h1>%<td class="number">1</td><td>sql</td><td></td><td>applied</td>%</html>%' AS html;
SELECT tenantmig.migration_report('m', 'xml');
SELECT tenantmig.migration_report('m', NULL);
SELECT tenantmig.migration_report('nobody');
SELECT tenantmig.drop_migration('m', true);
SELECT tenantmig.migration_report('m') LIKE '# Migration m%|    6 | sql %' AS archived;

SET client_min_messages = warning;
DROP EXTENSION tenantmig CASCADE;
DROP SCHEMA walk CASCADE;
DROP TABLE before;
