-- Several steps: ordered by what they depend on, planned as they will be done, each seeing what the ones before it wrote.
SET client_min_messages = warning;
DROP SCHEMA IF EXISTS multi_step, multi_step_model CASCADE;
DROP EXTENSION IF EXISTS tenantmig CASCADE;
CREATE EXTENSION tenantmig;
CREATE SCHEMA multi_step;
SET search_path = multi_step;

CREATE TABLE companies (id integer PRIMARY KEY);
CREATE TABLE customers (id integer PRIMARY KEY, company_id integer);
CREATE TABLE appointments (id integer PRIMARY KEY, customer_id integer REFERENCES customers, company_id integer);
CREATE TABLE orders (id integer PRIMARY KEY, customer_id integer REFERENCES customers, company_id integer);
CREATE TABLE lines (id integer PRIMARY KEY, order_id integer REFERENCES orders, company_id integer);
CREATE TABLE notes (id integer PRIMARY KEY, subject integer, subject_type text, company_id integer);
INSERT INTO companies SELECT n FROM generate_series(1, 5) n;
INSERT INTO customers SELECT n, CASE WHEN n % 9 = 0 THEN 1 END FROM generate_series(1, 60) n;
INSERT INTO appointments SELECT n * 10 + k, n, CASE WHEN n % 11 = 0 THEN k WHEN n % 13 = 0 THEN 66 ELSE n % 5 + 1 END FROM generate_series(1, 50) n, generate_series(1, 2) k;
INSERT INTO orders SELECT n, n % 60 + 1, CASE WHEN n % 8 = 0 THEN n % 3 + 1 END FROM generate_series(1, 120) n;
INSERT INTO lines SELECT n, CASE WHEN n % 10 > 0 THEN n % 120 + 1 END FROM generate_series(1, 300) n;
INSERT INTO notes SELECT n, n % 130 + 1, (ARRAY['Order', 'Line', 'Customer', 'Else'])[n % 4 + 1] FROM generate_series(1, 200) n;

-- the document's order is the wrong way round
SELECT tenantmig.create_migration('{"migration": "m", "tenants": {"table": "companies"}, "steps": [
  {"backfill": {"table": "notes", "column": "company_id", "sources": [{"via": "subject", "type_column": "subject_type", "types": {"Order": "orders", "Line": "lines", "Customer": "customers"}}]}},
  {"backfill": {"table": "lines", "column": "company_id", "sources": [{"via": "order_id"}]}},
  {"backfill": {"table": "orders", "column": "company_id", "sources": [{"via": "customer_id"}]}},
  {"backfill": {"table": "customers", "column": "company_id", "sources": [{"via": "appointments.customer_id"}]}}]}');
SELECT step, relation, source, tenant_column FROM tenantmig.check_migration((SELECT spec FROM tenantmig.migrations));

-- the model: the same in plain SQL, step after step, on copies
CREATE SCHEMA multi_step_model;
CREATE TABLE multi_step_model.customers AS SELECT * FROM customers;
CREATE TABLE multi_step_model.orders AS SELECT * FROM orders;
CREATE TABLE multi_step_model.lines AS SELECT * FROM lines;
CREATE TABLE multi_step_model.notes AS SELECT * FROM notes;
SET search_path = multi_step_model;
UPDATE customers c SET company_id = a.company_id FROM (SELECT customer_id, min(company_id) AS company_id FROM multi_step.appointments GROUP BY 1 HAVING count(DISTINCT company_id) = 1) a
  WHERE a.customer_id = c.id AND c.company_id IS NULL AND a.company_id IN (SELECT id FROM multi_step.companies);
UPDATE orders o SET company_id = c.company_id FROM customers c WHERE c.id = o.customer_id AND o.company_id IS NULL;
UPDATE lines l SET company_id = o.company_id FROM orders o WHERE o.id = l.order_id AND l.company_id IS NULL;
UPDATE notes n SET company_id = coalesce((SELECT o.company_id FROM orders o WHERE n.subject_type = 'Order' AND o.id = n.subject), (SELECT l.company_id FROM lines l
  WHERE n.subject_type = 'Line' AND l.id = n.subject), (SELECT c.company_id FROM customers c WHERE n.subject_type = 'Customer' AND c.id = n.subject)) WHERE company_id IS NULL;
SET search_path = multi_step;

CREATE TEMP TABLE planned AS SELECT step, relation, outcome, source, row_count FROM tenantmig.plan('m');
SELECT * FROM planned;
SELECT 'customers' AS relation, count(*) FILTER (WHERE m.company_id IS NOT NULL) AS assigned, count(*) FILTER (WHERE m.company_id IS NULL) AS others FROM customers c
  JOIN multi_step_model.customers m USING (id) WHERE c.company_id IS NULL
UNION ALL SELECT 'orders', count(*) FILTER (WHERE m.company_id IS NOT NULL), count(*) FILTER (WHERE m.company_id IS NULL) FROM orders c JOIN multi_step_model.orders m USING (id) WHERE c.company_id IS NULL
UNION ALL SELECT 'lines', count(*) FILTER (WHERE m.company_id IS NOT NULL), count(*) FILTER (WHERE m.company_id IS NULL) FROM lines c JOIN multi_step_model.lines m USING (id) WHERE c.company_id IS NULL
UNION ALL SELECT 'notes', count(*) FILTER (WHERE m.company_id IS NOT NULL), count(*) FILTER (WHERE m.company_id IS NULL) FROM notes c JOIN multi_step_model.notes m USING (id) WHERE c.company_id IS NULL;

CREATE TEMP TABLE done AS SELECT relation, outcome, source, row_count FROM tenantmig.backfill('m');
SELECT count(*) AS differ FROM (SELECT relation, outcome, source, row_count FROM planned EXCEPT SELECT * FROM done UNION ALL (SELECT * FROM done EXCEPT SELECT relation, outcome, source, row_count FROM planned)) x;
SELECT (SELECT count(*) FROM (TABLE customers EXCEPT TABLE multi_step_model.customers) x) AS customers, (SELECT count(*) FROM (TABLE orders EXCEPT TABLE multi_step_model.orders) x) AS orders,
  (SELECT count(*) FROM (TABLE lines EXCEPT TABLE multi_step_model.lines) x) AS lines, (SELECT count(*) FROM (TABLE notes EXCEPT TABLE multi_step_model.notes) x) AS notes;
SELECT check_name, status, expected, actual, split_part(detail, ':', 1) AS detail FROM tenantmig.verify('m') WHERE check_name IN ('accounted', 'chain') OR status = 'FAIL';
SELECT batch, step, relation, row_count FROM tenantmig.batches ORDER BY batch;
SELECT relation, class, count(*) FROM tenantmig.review('m') GROUP BY 1, 2 ORDER BY 1, 2;

-- a decision higher up settles what hangs below it with the next run
SELECT relation, row_key, tenant FROM tenantmig.resolve((SELECT id FROM tenantmig.review('m') WHERE relation = 'multi_step.customers' AND row_key = '{"id": 11}'), '4');
SELECT relation, outcome, source, row_count FROM tenantmig.backfill('m') WHERE outcome = 'assigned';
SELECT count(*) AS orders, count(*) FILTER (WHERE company_id = 4 OR id % 8 = 0) AS settled FROM orders WHERE customer_id = 11;

-- undone as a whole, last run first; the order of the two is the caller's, and what the second wrote stays or goes with it
SELECT relation, outcome, row_count FROM tenantmig.rollback((SELECT max(id) FROM tenantmig.runs)) ORDER BY relation;
SELECT relation, outcome, row_count FROM tenantmig.rollback((SELECT min(id) FROM tenantmig.runs)) ORDER BY relation;
SELECT (SELECT count(company_id) FROM customers WHERE id % 9 > 0) AS customers, (SELECT count(company_id) FROM orders WHERE id % 8 > 0) AS orders, (SELECT count(company_id) FROM lines) AS lines,
  (SELECT count(company_id) FROM notes) AS notes;

-- one failing step takes all of them with it
SELECT tenantmig.create_migration('{"migration": "strict", "tenants": {"table": "companies"}, "steps": [
  {"backfill": {"table": "customers", "column": "company_id", "sources": [{"via": "appointments.customer_id"}]}},
  {"backfill": {"table": "orders", "column": "company_id", "on_orphan": "fail", "sources": [{"via": "customer_id"}]}}]}');
\set VERBOSITY terse
SELECT tenantmig.backfill('strict');
SELECT count(company_id) AS customers, (SELECT count(*) FROM tenantmig.runs WHERE migration = 'strict') AS runs FROM customers WHERE id % 9 > 0;

-- two steps that fill two columns of the same table
ALTER TABLE customers ADD reseller_id integer;
SELECT tenantmig.create_migration('{"migration": "two columns", "tenants": {"table": "companies"}, "steps": [
  {"backfill": {"table": "customers", "column": "reseller_id", "sources": [{"via": "orders.customer_id", "tenant": "company_id"}]}},
  {"backfill": {"table": "customers", "column": "company_id", "sources": [{"via": "appointments.customer_id"}]}}]}');
SELECT relation, outcome, source, row_count FROM tenantmig.plan('two columns');
SELECT relation, outcome, source, row_count FROM tenantmig.backfill('two columns');
SELECT column_name, count(*) FROM tenantmig.changes WHERE run_id = (SELECT max(id) FROM tenantmig.runs) GROUP BY 1 ORDER BY 1;
SELECT count(*) AS wrong FROM customers c JOIN (SELECT customer_id, min(company_id) AS t FROM orders GROUP BY 1 HAVING count(DISTINCT company_id) = 1) o ON o.customer_id = c.id WHERE c.reseller_id IS DISTINCT FROM o.t;

DROP SCHEMA multi_step, multi_step_model CASCADE;
DROP EXTENSION tenantmig;
