-- benchmark: times and plans of queries, targets, indexes; whatever is wrong with a query is a row; nothing is written.
\pset null -
\pset format unaligned
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tenantmig CASCADE;
CREATE EXTENSION tenantmig;
CREATE SCHEMA bench_shop;
SET search_path = bench_shop;
CREATE TABLE big (id integer PRIMARY KEY, company_id integer NOT NULL, note text NOT NULL, at timestamptz NOT NULL DEFAULT now());
INSERT INTO big SELECT n, n % 20, repeat('x', 1000) FROM generate_series(1, 12000) n;
CREATE INDEX big_company_idx ON big (company_id, id);
CREATE TABLE small (id integer PRIMARY KEY, company_id integer NOT NULL);
INSERT INTO small SELECT n, n FROM generate_series(1, 10) n;
CREATE INDEX small_company_idx ON small (company_id);
CREATE TABLE parts (id integer NOT NULL, company_id integer NOT NULL, note text) PARTITION BY RANGE (id);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (1) TO (10000);
CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (10000) TO (20000);
INSERT INTO parts SELECT n, n % 1000, repeat('x', 1000) FROM generate_series(1, 12000) n;
CREATE INDEX parts_company_idx ON parts (company_id);
ANALYZE;
CREATE FUNCTION shown(text) RETURNS text LANGUAGE sql AS $$SELECT regexp_replace(regexp_replace($1, '[0-9]+\.[0-9]+ ms, [0-9.]+', 'N ms, N'), '\([0-9]+ [kM]B\)', '(SIZE)', 'g')$$;

SELECT name, runs, p50 > 0 AND p50 <= p95 AND p95 <= p99 AS times, warm_up > 0 AS warm, row_count, shared_hit + shared_read > 0 AS blocks, index_used, expected_index, target, status, shown(detail) AS detail, plan #>> '{0,Plan,Node Type}' AS node
FROM tenantmig.benchmark($$[
  {"name": "by key", "sql": "SELECT * FROM big WHERE id = $1", "parameters": [7], "runs": 3, "target_ms": 10000, "index": "big_pkey"},
  {"name": "in turns", "sql": "SELECT max(id) FROM big WHERE company_id = $1", "parameters": [[1], [2], [3]], "runs": 5, "target_ms": 10000, "index": ["bench_shop.big_company_idx"]},
  {"name": "reads all of it", "sql": "SELECT count(*) FROM big WHERE note <> $1", "parameters": ["y"], "runs": 2, "target_ms": 60000},
  {"name": "another index", "sql": "SELECT * FROM big WHERE id = 7", "runs": 2, "index": "big_company_idx"},
  {"name": "no such index", "sql": "SELECT * FROM big WHERE id = 7", "runs": 2, "index": "big_nothing_idx"},
  {"name": "index of a small table", "sql": "SELECT * FROM small WHERE company_id = $1", "parameters": [3], "runs": 2, "index": "small_company_idx"},
  {"name": "too slow", "sql": "SELECT pg_sleep(0.01)", "runs": 2, "target_ms": 1},
  {"name": "partitions", "sql": "SELECT count(*) FROM parts WHERE company_id = $1", "parameters": [3], "runs": 2, "index": "parts_company_idx", "target_ms": 10000},
  {"name": "nobody", "sql": "SELECT * FROM big WHERE id = $1", "parameters": [-1], "runs": 2},
  {"sql": "VALUES (1), (2)", "runs": 1},
  {"name": "types", "sql": "WITH p AS (SELECT $1::text AS a, $2::jsonb AS b, $3::boolean AS c, $4::timestamptz AS d, $5::integer[] AS e, $6::numeric AS f) SELECT * FROM p WHERE a IS NULL AND b = '{\"x\": [1]}' AND c AND e = '{1,2}' AND f = 1.5", "parameters": [null, {"x": [1]}, true, "2026-01-01", "{1,2}", 1.5], "runs": 1}
]$$);
\echo the usual number of runs
SELECT name, runs FROM tenantmig.benchmark('[{"sql": "SELECT 1"}]');
\echo the plan is one of the slowest parameters, without the lists of columns
SELECT plan::text LIKE '%"Output"%' AS output, jsonb_typeof(plan) AS type, (plan #>> '{0,Execution Time}')::numeric > 0 AS time FROM tenantmig.benchmark('[{"sql": "SELECT * FROM big WHERE id = 1", "runs": 1}]');

-- what is wrong with a query is in its row, and the others are run
CREATE FUNCTION writes() RETURNS integer LANGUAGE plpgsql AS $$BEGIN INSERT INTO bench_shop.small VALUES (99, 99); RETURN 1; END$$;
CREATE FUNCTION becomes() RETURNS integer LANGUAGE plpgsql AS $$BEGIN SET ROLE postgres; RETURN 1; END$$;
CREATE FUNCTION opens() RETURNS integer LANGUAGE plpgsql AS $$BEGIN SET transaction_read_only = off; INSERT INTO bench_shop.small VALUES (99, 99); RETURN 1; END$$;
CREATE FUNCTION slips() RETURNS text LANGUAGE plpgsql AS $$BEGIN PERFORM set_config('work_mem', '77MB', false); PERFORM set_config('search_path', 'nowhere', false); RETURN 1; END$$;
CREATE SEQUENCE numbers;
SELECT name, runs, status, detail FROM tenantmig.benchmark($$[
  {"name": "fine", "sql": "SELECT 1;", "runs": 1}, {"name": "comment", "sql": "-- first\nSELECT 1 -- last", "runs": 1},
  {"name": "syntax", "sql": "SELEC 1"}, {"name": "table", "sql": "SELECT * FROM nothing"}, {"name": "two", "sql": "SELECT 1; SELECT 2"}, {"name": "none", "sql": ";"},
  {"name": "insert", "sql": "INSERT INTO small VALUES (99, 99)"}, {"name": "with insert", "sql": "WITH i AS (INSERT INTO small VALUES (99, 99) RETURNING id) SELECT * FROM i"},
  {"name": "into", "sql": "SELECT 1 INTO taken"}, {"name": "update", "sql": "SELECT * FROM small FOR UPDATE"}, {"name": "nested update", "sql": "SELECT * FROM (SELECT * FROM small FOR UPDATE) s"},
  {"name": "drop", "sql": "DROP TABLE small"}, {"name": "explain", "sql": "EXPLAIN SELECT 1"}, {"name": "copy", "sql": "COPY small TO STDOUT"}, {"name": "commit", "sql": "COMMIT"},
  {"name": "drop behind it", "sql": "SELECT 1) TO STDOUT; DROP TABLE small; --"},
  {"name": "function that writes", "sql": "SELECT writes()"}, {"name": "function that becomes", "sql": "SELECT becomes()"}, {"name": "function that opens", "sql": "SELECT opens()"},
  {"name": "sequence", "sql": "SELECT nextval('numbers')"}, {"name": "settings", "sql": "SELECT slips()", "runs": 1},
  {"name": "too few", "sql": "SELECT $1::integer + $2::integer", "parameters": [1]}, {"name": "too many", "sql": "SELECT 1", "parameters": [1]}, {"name": "wrong type", "sql": "SELECT $1::integer", "parameters": ["one"]},
  {"name": "division", "sql": "SELECT 1 / (company_id - 3) FROM small"}, {"name": "endless", "sql": "SELECT pg_sleep(60)", "timeout_ms": 20},
  {"name": "after all", "sql": "SELECT count(*) FROM small", "runs": 1}]$$);
SELECT count(*) AS rows, to_regclass('taken') AS taken, (SELECT is_called FROM numbers) AS called, current_setting('work_mem') <> '77MB' AS settings, current_setting('search_path') AS path, current_setting('transaction_read_only') AS read_only FROM small;
\echo a cancellation by somebody else, and the time limit of the statement, end all of it
SET statement_timeout = 200;
SELECT name FROM tenantmig.benchmark('[{"sql": "SELECT pg_sleep(60)"}, {"sql": "SELECT 1"}]');
RESET statement_timeout;
SELECT count(*) FROM tenantmig.benchmark('[{"sql": "SELECT pg_sleep(60)", "timeout_ms": 1}]');
SELECT pg_sleep(0.05) IS NOT NULL AS the_time_limit_has_gone;

-- rights: the caller's, never more; policies are in force as they are for the caller
CREATE ROLE regress_viewer;
SELECT tenantmig.grant_access('regress_viewer', 'viewer');
GRANT USAGE ON SCHEMA bench_shop TO regress_viewer;
GRANT SELECT ON small TO regress_viewer;
ALTER TABLE small ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON small USING (company_id < 3);
SET ROLE regress_viewer;
SELECT name, row_count, status, detail FROM tenantmig.benchmark('[{"name": "not mine", "sql": "SELECT * FROM bench_shop.big"}, {"name": "catalogue of tenantmig", "sql": "SELECT * FROM tenantmig.migration"}, {"name": "policy", "sql": "SELECT * FROM bench_shop.small", "runs": 1}]');
RESET ROLE;

-- the document
SELECT * FROM tenantmig.benchmark(NULL);
CREATE FUNCTION refused(document jsonb) RETURNS text LANGUAGE plpgsql AS $$DECLARE m text; d text; BEGIN PERFORM FROM tenantmig.benchmark(document); RETURN 'ACCEPTED'; EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS m = MESSAGE_TEXT, d = PG_EXCEPTION_DETAIL; RETURN format('ERROR: %s: %s %s', SQLSTATE, m, d); END$$;
SELECT refused(d) FROM unnest(ARRAY['{}', '[]', 'null', '[1]', '[{}]', '[{"sql": ""}]', '[{"sql": 1}]', '[{"sql": "SELECT 1", "mood": 1}]', '[{"sql": "SELECT 1", "runs": 0}]', '[{"sql": "SELECT 1", "runs": 1.5}]',
  '[{"sql": "SELECT 1", "runs": 10001}]', '[{"sql": "SELECT 1", "target_ms": 0}]', '[{"sql": "SELECT 1", "target_ms": "fast"}]', '[{"sql": "SELECT 1", "target_ms": 1e400}]', '[{"sql": "SELECT 1", "parameters": 1}]', '[{"sql": "SELECT 1", "parameters": {}}]',
  '[{"sql": "SELECT 1", "index": 1}]', '[{"sql": "SELECT 1", "index": [""]}]', '[{"sql": "SELECT 1", "index": "a..b"}]', '[{"sql": "SELECT 1", "timeout_ms": -1}]', '[{"name": "", "sql": "SELECT 1"}]',
  '[{"name": "a", "sql": "SELECT 1"}, {"name": "a", "sql": "SELECT 1"}]']::jsonb[]) d;

DROP SCHEMA bench_shop CASCADE;
DROP EXTENSION tenantmig CASCADE;
DROP ROLE regress_viewer;
