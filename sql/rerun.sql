-- Running again: no row is queued twice, changed evidence queues a row anew, decisions stand, what came in since is taken up, an undone run leaves the way free.
SET client_min_messages = warning;
DROP SCHEMA IF EXISTS rerun CASCADE;
DROP EXTENSION IF EXISTS tenantmig CASCADE;
CREATE EXTENSION tenantmig;
CREATE SCHEMA rerun;
SET search_path = rerun;

CREATE TABLE companies (id integer PRIMARY KEY);
CREATE TABLE customers (id integer PRIMARY KEY, company_id integer);
CREATE TABLE orders (id integer PRIMARY KEY, customer_id integer REFERENCES customers, company_id integer);
INSERT INTO companies VALUES (1), (2), (3);
INSERT INTO customers SELECT n FROM generate_series(1, 12) n;
-- 1 to 4: settled; 5 to 8: two companies; 9, 10: unknown; 11, 12: nothing
INSERT INTO orders SELECT n, n, n % 3 + 1 FROM generate_series(1, 8) n;
INSERT INTO orders SELECT 10 + n, n, (n + 1) % 3 + 1 FROM generate_series(5, 8) n;
INSERT INTO orders VALUES (21, 9, 77), (22, 10, 78);
SELECT tenantmig.create_migration('{"migration": "m", "tenants": {"table": "companies"}, "steps": [{"backfill": {"table": "customers", "column": "company_id",
  "sources": [{"via": "orders.customer_id"}]}}]}');
-- the queue, ids left out where they would only count
CREATE FUNCTION queue() RETURNS TABLE (customer integer, class text, state text, run integer, candidates text, note text) LANGUAGE sql AS $$
  SELECT (row_key ->> 'id')::integer, class, state, run_id, (SELECT string_agg(c ->> 'tenant' || ' x ' || (c ->> 'count'), ', ') FROM jsonb_array_elements(candidates) c), note
  FROM tenantmig.review('m', true) ORDER BY 1, 4
$$;
-- each row without a key stands in the queue once, and nobody else does: 0 everywhere
CREATE FUNCTION wrong() RETURNS TABLE (missing bigint, twice bigint, strangers bigint, failed bigint) LANGUAGE sql AS $$
  WITH q AS (SELECT (row_key ->> 'id')::integer AS id FROM tenantmig.review('m', true) WHERE state = 'open' OR state = 'dismissed' AND note NOT LIKE '%replaced by run%' AND note NOT LIKE '%settled before run%' AND note NOT LIKE '%rolled back%')
  SELECT (SELECT count(*) FROM customers WHERE company_id IS NULL AND id NOT IN (SELECT id FROM q)),
    (SELECT count(*) FROM (SELECT id FROM q GROUP BY id HAVING count(*) > 1) x),
    (SELECT count(*) FROM q JOIN customers c USING (id) WHERE c.company_id IS NOT NULL
       AND NOT EXISTS (SELECT FROM tenantmig.review('m', true) r WHERE (r.row_key ->> 'id')::integer = c.id AND r.state = 'resolved')),
    (SELECT count(*) FROM tenantmig.verify('m') WHERE status = 'FAIL')
$$;

SELECT outcome, row_count FROM tenantmig.backfill('m');
SELECT * FROM queue();
SELECT * FROM wrong();

-- again: the counts are those of the rows that are left; nothing is queued, nothing is logged
SELECT outcome, row_count FROM tenantmig.backfill('m');
SELECT count(*), count(DISTINCT row_key) FROM tenantmig.review('m');
SELECT id, assigned, conflicts, unknown, orphans, row_total FROM tenantmig.runs ORDER BY id;
SELECT run_id, count(*) FROM tenantmig.changes GROUP BY 1 ORDER BY 1;
SELECT * FROM wrong();

-- 5 and 6 are decided, 7 is dismissed; 8 and 11 get other evidence; 9 becomes known; 12 is settled by hand; 13 and 14 are new
SELECT row_key, tenant FROM tenantmig.resolve((SELECT id FROM tenantmig.review('m') WHERE row_key = '{"id": 5}'), '2', 'asked them');
SELECT row_key, state FROM tenantmig.dismiss((SELECT id FROM tenantmig.review('m') WHERE row_key = '{"id": 7}'), 'does not matter');
INSERT INTO orders VALUES (31, 8, 3), (32, 11, 1), (33, 11, 2);
INSERT INTO companies VALUES (77);
UPDATE customers SET company_id = 1 WHERE id = 12;
INSERT INTO customers VALUES (13), (14);
INSERT INTO orders VALUES (41, 13, 3);
SELECT outcome, row_count FROM tenantmig.plan('m');
SELECT outcome, row_count FROM tenantmig.backfill('m');
SELECT * FROM queue();
SELECT id, company_id FROM customers ORDER BY id;
SELECT * FROM wrong();

-- what was dismissed is queued again only when its evidence has changed
INSERT INTO orders VALUES (51, 7, 1);
SELECT outcome, row_count FROM tenantmig.backfill('m');
SELECT * FROM queue() WHERE customer = 7;
SELECT * FROM wrong();

-- a decision is not undone by a run, whatever the evidence says; if somebody takes the key away the row waits for another decision
UPDATE customers SET company_id = NULL WHERE id = 5;
SELECT outcome, row_count FROM tenantmig.backfill('m');
SELECT * FROM queue() WHERE customer = 5;
SELECT * FROM wrong();

-- undone, last run first: the queue is withdrawn with its run, and filled anew by the next
SELECT r.id, u.relation, u.outcome, u.reason, u.row_count FROM (SELECT id FROM tenantmig.runs ORDER BY id DESC) r, LATERAL tenantmig.rollback(r.id) u ORDER BY r.id DESC, u.outcome;
SELECT count(*) AS open FROM tenantmig.review('m');
SELECT id, state FROM tenantmig.runs ORDER BY id;
SELECT id, company_id FROM customers WHERE company_id IS NOT NULL ORDER BY id;
SELECT outcome, row_count FROM tenantmig.backfill('m');
SELECT customer, class, state, candidates FROM queue() WHERE state = 'open';
SELECT * FROM wrong();

-- dropping a migration takes its queue and its log; what is still needed is kept unless forced
\set VERBOSITY terse
SELECT tenantmig.drop_migration('m');
SELECT tenantmig.drop_migration('m', true);
SELECT (SELECT count(*) FROM tenantmig.migrations), (SELECT count(*) FROM tenantmig.runs), (SELECT count(*) FROM tenantmig.changes), (SELECT count(*) FROM tenantmig.batches),
  (SELECT count(*) FROM tenantmig.undo_skipped), (SELECT count(*) FROM tenantmig.review_rows), (SELECT count(*) FROM tenantmig.review_decision) AS decisions;

DROP SCHEMA rerun CASCADE;
DROP EXTENSION tenantmig;
