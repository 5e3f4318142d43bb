-- A migration whose steps are run in several runs: each run knows its steps, and everything that looks at runs asks that
-- of the step.
SET client_min_messages = warning;
DROP SCHEMA IF EXISTS runs CASCADE;
DROP EXTENSION IF EXISTS tenantmig CASCADE;
CREATE EXTENSION tenantmig;
CREATE SCHEMA runs;
SET search_path = runs;
SET timezone = 'UTC';

CREATE TABLE companies (id integer PRIMARY KEY);
CREATE TABLE customers (id integer PRIMARY KEY, company_id integer);
CREATE TABLE appointments (id integer PRIMARY KEY, customer_id integer REFERENCES customers, company_id integer);
CREATE TABLE orders (id integer PRIMARY KEY, customer_id integer REFERENCES customers, company_id integer);
CREATE TABLE lines (id integer PRIMARY KEY, order_id integer REFERENCES orders);
CREATE TABLE notes (id integer PRIMARY KEY, line_id integer REFERENCES lines);
INSERT INTO companies SELECT n FROM generate_series(1, 5) n;
INSERT INTO customers SELECT n FROM generate_series(1, 60) n;
INSERT INTO appointments SELECT n, n, n % 5 + 1 FROM generate_series(1, 55) n;
INSERT INTO orders SELECT n, n % 60 + 1 FROM generate_series(1, 120) n;
INSERT INTO lines SELECT n, CASE WHEN n % 10 > 0 THEN n % 120 + 1 END FROM generate_series(1, 300) n;
INSERT INTO notes SELECT n, n FROM generate_series(1, 300) n;

SELECT tenantmig.create_migration('{"migration": "m", "tenants": {"table": "companies"}, "steps": [
  {"backfill": {"table": "orders", "column": "company_id", "sources": [{"via": "customer_id"}]}},
  {"backfill": {"table": "customers", "column": "company_id", "sources": [{"via": "appointments.customer_id"}]}},
  {"constraint": {"table": "customers", "column": "company_id", "references": "companies.id"}},
  {"sql": {"up": "ALTER TABLE lines ADD company_id integer; ALTER TABLE notes ADD company_id integer", "down": "ALTER TABLE lines DROP company_id; ALTER TABLE notes DROP company_id"}},
  {"backfill": {"table": "notes", "column": "company_id", "sources": [{"via": "line_id", "tenant": "company_id"}]}},
  {"backfill": {"table": "lines", "column": "company_id", "sources": [{"via": "order_id", "tenant": "company_id"}]}},
  {"guard": {"kind": "tenant_key", "table": "lines", "column": "company_id", "mode": "fill"}},
  {"sql": {"up": "SELECT 1"}}]}');

-- the first segment: two steps, in the order that they depend on each other
SELECT tenantmig.plan_hash('m') AS approved \gset
SET client_min_messages = notice;
CALL tenantmig.run('m', '1 microsecond');
SET client_min_messages = warning;
SELECT id, state, (SELECT l.steps FROM tenantmig.run_log l WHERE l.id = r.id) AS steps FROM tenantmig.runs r;
CALL tenantmig.run('m', plan_hash => :'approved');
SELECT id, state, assigned, orphans, (SELECT l.steps FROM tenantmig.run_log l WHERE l.id = r.id) AS steps FROM tenantmig.runs r;
SELECT step, kind, relation, outcome, row_count, note FROM tenantmig.plan('m');
SELECT check_name, status, actual, detail FROM tenantmig.verify('m') WHERE check_name IN ('accounted', 'step') OR status = 'FAIL';
SELECT check_name, status, actual, detail FROM tenantmig.gate('m') WHERE check_name IN ('run', 'step', 'mismatches customer_id');

-- the sql step is applied, as up does it: the next run takes the next segment
ALTER TABLE lines ADD company_id integer; ALTER TABLE notes ADD company_id integer;
INSERT INTO tenantmig.step_state (migration_id, step, state) SELECT id, 4, 'applied' FROM tenantmig.migration;
SELECT step, kind, relation, outcome, source, row_count FROM tenantmig.plan('m');
SELECT tenantmig.plan_hash('m') <> :'approved' AS another_plan;
SELECT check_name, status, actual, detail FROM tenantmig.verify('m') WHERE check_name = 'step';
SELECT check_name, status, actual, detail FROM tenantmig.gate('m') WHERE check_name IN ('run', 'step');
\set VERBOSITY terse
CALL tenantmig.run('m', plan_hash => :'approved');
\set VERBOSITY default
\echo :SQLSTATE
SELECT tenantmig.start('m', workers => 2) > 0 AS started;
CALL tenantmig.wait('m');
SELECT id, state, assigned, orphans, (SELECT l.steps FROM tenantmig.run_log l WHERE l.id = r.id) AS steps FROM tenantmig.runs r ORDER BY id;
-- the guard that fills was attached before the walk
SELECT kind, step FROM tenantmig.guard;

-- against plain SQL
SELECT (SELECT count(*) FROM customers c LEFT JOIN appointments a ON a.customer_id = c.id WHERE c.company_id IS DISTINCT FROM a.company_id) AS customers,
       (SELECT count(*) FROM orders o JOIN customers c ON c.id = o.customer_id WHERE o.company_id IS DISTINCT FROM c.company_id) AS orders,
       (SELECT count(*) FROM lines l LEFT JOIN orders o ON o.id = l.order_id WHERE l.company_id IS DISTINCT FROM o.company_id) AS lines,
       (SELECT count(*) FROM notes n JOIN lines l ON l.id = n.line_id WHERE n.company_id IS DISTINCT FROM l.company_id) AS notes;
-- each step is verified by its own run
SELECT check_name, status, expected, actual, detail FROM tenantmig.verify('m') WHERE check_name IN ('accounted', 'step', 'row_count') OR status = 'FAIL';
SELECT check_name, status, split_part(detail, ':', 1) AS run FROM tenantmig.verify('m') WHERE check_name = 'chain';
SELECT check_name, status, actual FROM tenantmig.observe('m', deep => true) WHERE check_name IN ('tables', 'new_nulls', 'row_count') OR status = 'FAIL';
SELECT check_name, status, actual, split_part(detail, ',', 1) AS detail FROM tenantmig.gate('m') WHERE check_name IN ('run', 'step', 'chain');
-- both runs are the last of their steps: a report has the checks
SELECT r.id, tenantmig.report(r.id) LIKE '%accounted%' AS with_checks FROM tenantmig.runs r ORDER BY 1;

-- nothing is left: another run goes over all of them, for rows that came in since
INSERT INTO orders VALUES (500, 3);
CALL tenantmig.run('m');
SELECT id, state, assigned, (SELECT l.steps FROM tenantmig.run_log l WHERE l.id = r.id) AS steps FROM tenantmig.runs r ORDER BY id DESC LIMIT 1;
SELECT company_id FROM orders WHERE id = 500;

-- one run is undone, the others stand
SELECT outcome, row_count FROM tenantmig.rollback(3);
CALL tenantmig.undo(2);
SELECT (SELECT count(company_id) FROM orders) AS orders, (SELECT count(company_id) FROM lines) AS lines, (SELECT count(company_id) FROM notes) AS notes;
SELECT id, state FROM tenantmig.runs ORDER BY id;
SELECT check_name, status, detail FROM tenantmig.verify('m') WHERE check_name = 'step';
SELECT check_name, status, actual, detail FROM tenantmig.gate('m') WHERE check_name = 'run';

-- a run that is not finished keeps its steps, and others wait for it
UPDATE tenantmig.run_log SET state = 'paused', finished_at = NULL WHERE id = 1;
SELECT tenantmig.start('m');
\echo :SQLSTATE
CALL tenantmig.run('m');
SELECT id, state, (SELECT l.steps FROM tenantmig.run_log l WHERE l.id = r.id) AS steps FROM tenantmig.runs r ORDER BY id;

-- at once: backfill() takes what is left
SELECT relation, outcome, sum(row_count) FROM tenantmig.backfill('m') GROUP BY 1, 2 ORDER BY 1, 2;
SELECT id, state, mode, (SELECT l.steps FROM tenantmig.run_log l WHERE l.id = r.id) AS steps FROM tenantmig.runs r ORDER BY id DESC LIMIT 1;
SELECT tenantmig.drop_migration('m', force => true);

-- up leads runs over the steps of a segment, with workers; down takes them back, and names are found anew
CREATE TABLE visits (id integer PRIMARY KEY, customer integer);
INSERT INTO visits SELECT n, n % 60 + 1 FROM generate_series(1, 20000) n;
SELECT tenantmig.create_migration('{"migration": "w", "tenants": {"table": "companies"}, "steps": [
  {"add_column": {"table": "visits", "column": "company_id", "type": "integer"}},
  {"backfill": {"table": "visits", "column": "company_id", "sources": [{"via": "customer", "references": "customers"}]}},
  {"guard": {"kind": "tenant_key", "table": "visits", "column": "company_id", "mode": "fill"}},
  {"sql": {"up": "DELETE FROM visits WHERE company_id IS NULL", "down": "INSERT INTO visits SELECT n, n % 60 + 1 FROM generate_series(1, 20000) n ON CONFLICT DO NOTHING"}},
  {"constraint": {"table": "visits", "column": "company_id", "not_null": true, "references": "companies.id"}}]}');
CALL tenantmig.up('w', workers => 3);
CALL tenantmig.down('w', 1);
CALL tenantmig.down('w');
CALL tenantmig.up('w');
SELECT string_agg(format('%s %s %s', step, action, outcome), ', ' ORDER BY id) AS log FROM tenantmig.execution_log WHERE migration = 'w';
SELECT r.state, r.workers, r.assigned, r.orphans, (SELECT l.steps FROM tenantmig.run_log l WHERE l.id = r.id) AS steps FROM tenantmig.runs r WHERE migration = 'w' ORDER BY id;
SELECT count(*) AS rows, count(*) FILTER (WHERE v.company_id IS DISTINCT FROM c.company_id) AS differ FROM visits v LEFT JOIN customers c ON c.id = v.customer;
SELECT check_name, status, actual FROM tenantmig.verify('w') WHERE status <> 'PASS';
SELECT tenantmig.drop_migration('w', force => true);

DROP SCHEMA runs CASCADE;
