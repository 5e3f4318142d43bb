-- Evidence that does not fit into maintenance_work_mem goes through temporary files: the same result, in bounded memory, and the plan says so.
SET client_min_messages = warning;
DROP SCHEMA IF EXISTS spill CASCADE;
DROP EXTENSION IF EXISTS tenantmig CASCADE;
CREATE EXTENSION tenantmig;
CREATE SCHEMA spill;
SET search_path = spill;
SET jit = off; -- the comparisons below are many and short

CREATE TABLE companies (id integer PRIMARY KEY);
CREATE TABLE regions (id integer PRIMARY KEY, company_id integer);
CREATE TABLE branches (id integer PRIMARY KEY, region_id integer REFERENCES regions, company_id integer);
CREATE TABLE customers (id integer PRIMARY KEY, company_id integer, code text NOT NULL, branch_id integer REFERENCES branches, home_id integer REFERENCES branches, deleted_at timestamptz);
CREATE UNIQUE INDEX ON customers (code);
CREATE TABLE orders (id integer, customer_id integer, company_id integer);
CREATE TABLE letters (code text REFERENCES customers (code), company_id integer);
INSERT INTO companies SELECT n FROM generate_series(1, 200) n;
INSERT INTO regions SELECT n, n % 200 + 1 FROM generate_series(1, 50000) n;
INSERT INTO branches SELECT n, n % 50000 + 1, CASE WHEN n % 7 = 0 THEN NULL ELSE n % 200 + 1 END FROM generate_series(1, 60000) n;
INSERT INTO customers SELECT n, CASE WHEN n % 50 = 0 THEN 1 END, 'customer number ' || n, CASE WHEN n % 3 = 0 THEN n END, CASE WHEN n % 4 = 0 THEN 60001 - n END,
  CASE WHEN n % 11 = 0 THEN now() END FROM generate_series(1, 60000) n;
INSERT INTO orders SELECT n, n % 60000 + 1, CASE WHEN n % 97 = 0 THEN 999 ELSE (n % 60000 + 1) % 200 + 1 END FROM generate_series(1, 90000) n;
INSERT INTO orders SELECT n, n, n % 3 + 1 FROM generate_series(1, 60000, 40) n;
INSERT INTO letters SELECT 'customer number ' || n, n % 200 + 1 FROM generate_series(1, 60000) n WHERE n % 5 < 3;
ANALYZE;

-- the most memory that this process ever had, in MB, without the pages of shared buffers that it has touched (a dry run writes tables)
CREATE FUNCTION high_water() RETURNS integer LANGUAGE sql VOLATILE AS $$
  SELECT ((regexp_match(s, 'VmHWM:\s+(\d+) kB'))[1]::integer - (regexp_match(s, 'RssShmem:\s+(\d+) kB'))[1]::integer) / 1024 FROM pg_read_file('/proc/self/status') s
$$;
CREATE FUNCTION spec(sources jsonb, more jsonb) RETURNS jsonb LANGUAGE sql AS $$
  SELECT jsonb_build_object('migration', 'm', 'tenants', '{"table": "companies"}'::jsonb, 'steps', jsonb_build_array(jsonb_build_object('backfill', jsonb_build_object(
    'table', 'customers', 'column', 'company_id', 'soft_delete', 'deleted_at', 'sources', sources) || more)))
$$;
-- What a run does under a memory limit, as a fingerprint of all of it: counts, values, log, queue. Undone afterwards.
CREATE FUNCTION result(memory text, OUT spilled boolean, OUT assigned bigint, OUT print text) LANGUAGE plpgsql AS $$
DECLARE
  run bigint;
BEGIN
  PERFORM set_config('maintenance_work_mem', memory, true);
  SELECT bool_or(note LIKE '%temporary files%') IS TRUE, string_agg(concat_ws(' ', outcome, source, row_count, deleted_count), ' ') INTO spilled, print FROM tenantmig.plan('m');
  SELECT print || ' ' || string_agg(p::text, ' ') INTO print FROM (SELECT outcome, source, row_count, deleted_count FROM tenantmig.backfill('m')) p;
  SELECT max(id) INTO run FROM tenantmig.runs;
  SELECT count(*), md5(print || string_agg(concat_ws(' ', row_key, new_value, source), ',' ORDER BY (row_key ->> 'id')::integer)) INTO assigned, print FROM tenantmig.changes WHERE run_id = run;
  SELECT md5(print || string_agg(concat_ws(' ', row_key, class, candidates), ',' ORDER BY (row_key ->> 'id')::integer)) INTO print FROM tenantmig.review('m');
  SELECT md5(print || string_agg(c::text, ',' ORDER BY id)) INTO print FROM customers c;
  SELECT md5(print || string_agg(v::text, ',')) INTO print FROM (SELECT check_name, status, actual FROM tenantmig.verify('m') WHERE check_name NOT LIKE 'chain%') v;
  PERFORM tenantmig.rollback(run);
END $$;
CREATE FUNCTION compare(sources jsonb, more jsonb DEFAULT '{}', OUT little boolean, OUT much boolean, OUT assigned bigint, OUT same boolean) LANGUAGE plpgsql AS $$
DECLARE
  a record; b record;
BEGIN
  PERFORM tenantmig.create_migration(spec(sources, more));
  SELECT * INTO a FROM result('1MB');
  SELECT * INTO b FROM result('64MB');
  little := a.spilled; much := b.spilled; assigned := a.assigned; same := a.print = b.print AND a.assigned = b.assigned;
  PERFORM tenantmig.drop_migration('m');
END $$;

SELECT 'children' AS source, c.* FROM compare('[{"via": "orders.customer_id"}]') c
UNION ALL SELECT 'parent', c.* FROM compare('[{"via": "branch_id", "tenant": "company_id"}]') c
UNION ALL SELECT 'path', c.* FROM compare('[{"path": ["home_id", "region_id"]}]') c
UNION ALL SELECT 'all, first', c.* FROM compare('[{"via": "letters.code"}, {"path": ["home_id", "region_id"]}, {"via": "orders.customer_id"}, {"via": "branch_id", "tenant": "company_id"}]', '{"evidence": "first"}') c
UNION ALL SELECT 'all, majority', c.* FROM compare('[{"via": "orders.customer_id"}, {"via": "letters.code"}, {"via": "branch_id", "tenant": "company_id"}, {"path": ["home_id", "region_id"]}]',
  '{"on_conflict": "majority", "on_orphan": {"assign": 7}}') c;

-- and what plain SQL says, for the two largest sources, read through temporary files
SELECT tenantmig.create_migration(spec('[{"via": "orders.customer_id"}, {"via": "letters.code"}]', '{}'));
SET maintenance_work_mem = '1MB';
SELECT outcome, source, row_count, deleted_count, note FROM tenantmig.plan('m');
SELECT outcome, source, row_count FROM tenantmig.backfill('m');
WITH e AS (SELECT customer_id AS id, company_id FROM orders UNION ALL SELECT c.id, l.company_id FROM letters l JOIN customers c USING (code)),
w AS (SELECT id, count(DISTINCT company_id) AS n, min(company_id) AS company_id FROM e GROUP BY id)
SELECT count(*) FILTER (WHERE c.company_id = w.company_id AND n = 1) AS assigned, count(*) FILTER (WHERE c.company_id IS NULL AND n > 1) AS conflict,
  count(*) FILTER (WHERE c.company_id IS NULL AND n = 1 AND w.company_id > 200) AS unknown_tenant, count(*) FILTER (WHERE c.company_id IS NULL AND n IS NULL) AS orphan, count(*) AS all_of_them
FROM customers c LEFT JOIN w USING (id) WHERE c.id % 50 > 0;

-- two steps, of which the second reads what the first would write
CREATE TABLE visits (id integer PRIMARY KEY, customer_id integer REFERENCES customers, company_id integer);
INSERT INTO visits SELECT n, n % 60000 + 1 FROM generate_series(1, 70000) n;
ANALYZE visits;
SELECT * FROM tenantmig.rollback((SELECT max(id) FROM tenantmig.runs));
SELECT tenantmig.create_migration('{"migration": "two", "tenants": {"table": "companies"}, "steps": [
  {"backfill": {"table": "visits", "column": "company_id", "sources": [{"via": "customer_id"}]}},
  {"backfill": {"table": "customers", "column": "company_id", "sources": [{"via": "orders.customer_id"}]}}]}');
CREATE TEMP TABLE planned AS SELECT relation, outcome, source, row_count FROM tenantmig.plan('two');
CREATE TEMP TABLE dry AS SELECT relation, outcome, source, row_count FROM tenantmig.backfill('two', dry_run => true, dry_run_rows => 100);
CREATE TEMP TABLE done AS SELECT relation, outcome, source, row_count FROM tenantmig.backfill('two');
SELECT * FROM done;
SELECT count(*) AS differ FROM (TABLE planned EXCEPT TABLE done UNION ALL (TABLE done EXCEPT TABLE planned) UNION ALL (TABLE dry EXCEPT TABLE done) UNION ALL (TABLE done EXCEPT TABLE dry)) x;

-- memory: in a new session, after a small run has warmed it up. Four sources of together 260,000 rows
SELECT tenantmig.create_migration(spec('[{"via": "orders.customer_id"}, {"via": "letters.code"}, {"via": "branch_id", "tenant": "company_id"}, {"path": ["home_id", "region_id"]}]', '{}') || '{"migration": "memory"}');
SELECT tenantmig.create_migration(spec('[{"via": "orders.customer_id"}]', '{"where": {"id": [1, 2]}}') || '{"migration": "small"}');
SELECT count(*) > 0 FROM tenantmig.rollback((SELECT max(id) FROM tenantmig.runs));
\c -
SET search_path = spill;
SET client_min_messages = error;
SET maintenance_work_mem = '1MB';
SELECT outcome, row_count FROM tenantmig.plan('small');
SELECT count(*) > 0 FROM tenantmig.backfill('small', dry_run => true, dry_run_full => true);
SELECT high_water() AS before \gset
SELECT sum(row_count) FROM tenantmig.plan('memory');
SELECT high_water() - :before <= 8 AS within_8_mb;
SELECT sum(row_count) FROM tenantmig.backfill('memory', dry_run => true, dry_run_full => true);
SELECT high_water() - :before <= 16 AS within_16_mb;
-- nothing is left behind in this process or on disk
SELECT count(*) AS contexts FROM pg_backend_memory_contexts WHERE name LIKE 'tenantmig%';
SELECT count(*) AS files FROM pg_ls_tmpdir();

DROP SCHEMA spill CASCADE;
DROP EXTENSION tenantmig;
