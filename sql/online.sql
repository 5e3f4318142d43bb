-- Runs by batches in one session: what CALL run does, what it refuses, what the views show, and the undo by batches.
\pset null -
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tenantmig CASCADE;
CREATE EXTENSION tenantmig;
CREATE ROLE regress_owner;
CREATE ROLE regress_other;
SELECT tenantmig.grant_access('regress_owner', 'operator');
SELECT tenantmig.grant_access('regress_other', 'operator');
CREATE SCHEMA shop AUTHORIZATION regress_owner;
GRANT USAGE ON SCHEMA shop TO regress_other;
SET search_path = shop;
CREATE FUNCTION shop.attempt(command text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
  state text; message text; detail text; hint text;
BEGIN
  EXECUTE command;
  RETURN NEXT 'no error';
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
  RETURN NEXT state || ': ' || message;
  IF detail <> '' THEN RETURN NEXT 'DETAIL: ' || regexp_replace(regexp_replace(detail, 'current user is "[^"]+"', 'current user is SOMEBODY'), '[0-9a-f]{64}', 'HASH', 'g'); END IF;
  IF hint <> '' THEN RETURN NEXT 'HINT: ' || hint; END IF;
END $$;

SET ROLE regress_owner;
CREATE TABLE companies (id bigint PRIMARY KEY);
INSERT INTO companies VALUES (1), (2), (3);
CREATE TABLE customers (id integer PRIMARY KEY, company_id bigint, deleted_at timestamptz, filler text DEFAULT repeat('x', 700));
CREATE TABLE appointments (customer_id integer, company_id bigint);
INSERT INTO customers SELECT n, CASE WHEN n > 400 THEN 3 END FROM generate_series(1, 440) n;
INSERT INTO appointments SELECT n, n % 3 + 1 FROM generate_series(1, 380) n;
INSERT INTO appointments SELECT n, (n + 1) % 3 + 1 FROM generate_series(371, 380) n;
INSERT INTO appointments SELECT n, 99 FROM generate_series(381, 385) n;
CREATE TABLE before AS SELECT * FROM customers;
CREATE VIEW difference AS (SELECT 'before' AS at, id, company_id FROM (TABLE before EXCEPT TABLE customers) b) UNION ALL (SELECT 'after', id, company_id FROM (TABLE customers EXCEPT TABLE before) a);
CREATE TABLE slowness (seconds float8);
INSERT INTO slowness VALUES (0);
CREATE FUNCTION take_time() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep((SELECT seconds FROM shop.slowness)); RETURN NULL; END $$;
CREATE TRIGGER take_time AFTER UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION take_time();
CREATE VIEW done AS SELECT count(*) FILTER (WHERE company_id IS NOT NULL) - 40 AS rows FROM customers;
SELECT tenantmig.create_migration('{"migration": "m", "tenants": {"table": "companies"}, "steps": [{"backfill": {"table": "customers",
  "column": "company_id", "soft_delete": "deleted_at", "sources": [{"via": "appointments.customer_id", "tenant": "company_id"}]}}]}');

-- nothing is at work
SELECT * FROM attempt($$SELECT tenantmig.pause('m')$$);
SELECT * FROM attempt($$SELECT tenantmig.cancel('m')$$);
SELECT * FROM attempt($$SELECT tenantmig.resume('m')$$);
CALL tenantmig.wait('m');
SELECT * FROM tenantmig.stat_progress;
SELECT * FROM tenantmig.stat_workers;

-- names and numbers that nothing has
CALL tenantmig.run('nothing');
\echo :LAST_ERROR_SQLSTATE
CALL tenantmig.wait('nothing');
\echo :LAST_ERROR_SQLSTATE
CALL tenantmig.undo(4711);
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM attempt($$SELECT tenantmig.start('nothing')$$);
SELECT * FROM attempt($$SELECT tenantmig.pause('nothing')$$);
SELECT * FROM attempt($$SELECT tenantmig.resume('nothing')$$);
SELECT * FROM attempt($$SELECT tenantmig.cancel('nothing')$$);

-- not inside of a transaction block, whatever makes it one
BEGIN;
CALL tenantmig.run('m');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
BEGIN;
CALL tenantmig.wait('m');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
BEGIN;
CALL tenantmig.undo(1);
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
SELECT 1 AS one \; CALL tenantmig.run('m');
\echo :LAST_ERROR_SQLSTATE
DO $$ BEGIN BEGIN CALL tenantmig.run('m'); EXCEPTION WHEN division_by_zero THEN NULL; END; END $$;
\echo :LAST_ERROR_SQLSTATE
CREATE FUNCTION in_function() RETURNS void LANGUAGE plpgsql AS $$ BEGIN CALL tenantmig.run('m'); END $$;
SELECT * FROM attempt('SELECT in_function()');
SELECT count(*) AS runs FROM tenantmig.runs;

-- who may not
RESET ROLE;
SET ROLE regress_other;
CALL tenantmig.run('m');
\echo :LAST_ERROR_SQLSTATE
CALL tenantmig.wait('m');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM attempt($$SELECT tenantmig.start('m')$$);
SELECT * FROM attempt($$SELECT tenantmig.resume('m')$$);
SELECT * FROM attempt($$SELECT tenantmig.pause('m')$$);
SELECT * FROM attempt($$SELECT tenantmig.cancel('m')$$);
RESET ROLE;
SET ROLE regress_owner;

-- an approved plan
SELECT tenantmig.plan_hash('m', true) AS approved \gset
\set VERBOSITY terse
CALL tenantmig.run('m', plan_hash => 'nonsense');
\echo :LAST_ERROR_SQLSTATE
INSERT INTO customers SELECT n FROM generate_series(1001, 1040) n;
CALL tenantmig.run('m', plan_hash => :'approved');
\set VERBOSITY default
\echo :LAST_ERROR_SQLSTATE
SELECT count(*) AS runs FROM tenantmig.runs;
DELETE FROM customers WHERE id > 1000;

-- a budget: what is written stays, another call goes on
SELECT key, value FROM jsonb_each(tenantmig.set_pace('m', '{"min_batch_rows": 1, "max_batch_rows": 10, "first_batch_rows": 10, "max_lock_waiters": "off",
  "max_transaction_age_s": "off"}')) WHERE key ~ 'batch_rows';
UPDATE slowness SET seconds = 0.01;
SET client_min_messages = notice;
CALL tenantmig.run('m', budget => '0.3 s');
SET client_min_messages = warning;
SELECT state, mode, workers, error, finished_at, row_total FROM tenantmig.runs;
SELECT rows > 0 AND rows < 370 AS some FROM done;
SELECT migration, run_id, state, phase, step, relation, rows_done > 0 AND rows_done < 400 AS some, rows_total, percent > 0 AND percent < 100 AS percent, rate > 0 AS rate, eta,
  batch_rows BETWEEN 1 AND 10 AS batch, path, hot_share BETWEEN 0 AND 1 AS hot, throttle, workers, updated_at >= started_at AS times, error FROM tenantmig.stat_progress;
SELECT worker, pid = pg_backend_pid() AS pid, state, phase, rows_written > 0 AS wrote FROM tenantmig.stat_workers;
SELECT rows AS rows_before FROM done \gset
SELECT * FROM attempt($$SELECT tenantmig.pause('m')$$);
SELECT * FROM attempt($$SELECT tenantmig.start('m')$$);
SELECT * FROM attempt($$SELECT tenantmig.drop_migration('m')$$);
-- a statement_timeout: of what there is, 80 % are used
SET statement_timeout = '1500ms';
SET client_min_messages = notice;
CALL tenantmig.run('m');
CALL tenantmig.run('m', budget => '10 ms');
RESET statement_timeout;
SET client_min_messages = warning;
SELECT rows > :rows_before AS more FROM done;
-- another plan than that it was begun with
CREATE INDEX ON customers (deleted_at);
\set VERBOSITY terse
CALL tenantmig.run('m');
\echo :LAST_ERROR_SQLSTATE
CALL tenantmig.run('m', plan_hash => 'nonsense');
\set VERBOSITY default
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM attempt($$SELECT tenantmig.resume('m')$$);
SELECT state FROM tenantmig.runs;
UPDATE slowness SET seconds = 0;
CALL tenantmig.run('m', plan_hash => tenantmig.plan_hash('m'));

-- what there is of it
SELECT id, state, mode, workers, row_total, row_done, assigned, conflicts, orphans, unknown, started_by, error, finished_at > started_at AS times FROM tenantmig.runs;
SELECT jsonb_array_elements(counts) AS counts FROM tenantmig.runs;
SELECT phase, relation, worker, sum(row_count) AS written, sum(queue_count) AS queued, count(*) > 10 AS many, bool_and(finished_at >= started_at) AS times,
  bool_and(hot_count <= row_count) AS hot, bool_or(to_block > from_block) AS ranges, string_agg(error, '') AS error FROM tenantmig.batches GROUP BY 1, 2, 3 ORDER BY 1;
SELECT count(*) = count(DISTINCT batch) AS numbered FROM tenantmig.batches;
SELECT worker, state, rows_done, rows_written, throttle, error FROM tenantmig.stat_workers;
SELECT * FROM tenantmig.stat_progress;
SELECT class, count(*), count(DISTINCT row_key) FROM tenantmig.review('m') GROUP BY 1 ORDER BY 1;
SELECT check_name, status FROM tenantmig.verify('m') WHERE status <> 'PASS';
SELECT count(*), count(DISTINCT row_key) FROM tenantmig.changes;
SELECT * FROM attempt($$SELECT tenantmig.resume('m')$$);
SELECT * FROM attempt($$SELECT tenantmig.pause('m')$$);
SELECT * FROM attempt($$SELECT tenantmig.cancel('m')$$);
CALL tenantmig.wait('m');

-- once more: a run of its own, which finds the rest, and records nothing twice
CALL tenantmig.run('m');
SELECT id, state, row_total, row_done, assigned, conflicts, orphans, unknown FROM tenantmig.runs ORDER BY id;
SELECT count(*), count(DISTINCT row_key) FROM tenantmig.review('m');

-- undone at once and by batches: the same counts, and every row as it was
UPDATE customers SET company_id = 1 WHERE id IN (3, 6);
UPDATE customers SET company_id = NULL WHERE id = 9;
DELETE FROM customers WHERE id = 12;
BEGIN;
SELECT * FROM tenantmig.rollback(1) ORDER BY outcome, reason;
ROLLBACK;
CALL tenantmig.undo(1);
SELECT * FROM tenantmig.undo_counts ORDER BY outcome, reason;
SELECT * FROM difference ORDER BY id, at;
SELECT id, state, error FROM tenantmig.runs ORDER BY id;
SELECT relation, row_key, column_name, reason FROM tenantmig.undo_skipped ORDER BY row_key::text;
SELECT check_name, status FROM tenantmig.verify_changes(1);
CALL tenantmig.undo(1);
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM attempt('SELECT count(*) FROM tenantmig.rollback(1)');
SELECT kind, phase, sum(row_count) AS rows FROM tenantmig.batches WHERE run_id = 1 AND kind = 'rollback' GROUP BY 1, 2;

-- by batches and with a budget: another call goes on where it was
UPDATE customers c SET company_id = b.company_id FROM before b WHERE b.id = c.id;
INSERT INTO customers SELECT * FROM before b WHERE NOT EXISTS (SELECT FROM customers c WHERE c.id = b.id);
CALL tenantmig.run('m');
SELECT max(id) AS run FROM tenantmig.runs \gset
SELECT rows FROM done;
UPDATE slowness SET seconds = 0.005;
SET client_min_messages = notice;
CALL tenantmig.undo(:run, budget => '0.3 s');
SET client_min_messages = warning;
SELECT rows > 0 AND rows < 370 AS some FROM done;
SELECT state, phase, rows_done > 0 AS some, workers FROM tenantmig.stat_progress;
SELECT outcome, reason, row_count > 0 AND row_count < 370 AS some FROM tenantmig.undo_counts WHERE run_id = :run;
-- half undone is no state to run from, nor to be undone from in another way
SELECT * FROM attempt($$SELECT tenantmig.resume('m')$$);
SELECT * FROM attempt($$SELECT tenantmig.start('m')$$);
SELECT * FROM attempt(format('SELECT count(*) FROM tenantmig.rollback(%s)', :run));
UPDATE slowness SET seconds = 0;
CALL tenantmig.undo(:run);
SELECT outcome, reason, row_count FROM tenantmig.undo_counts WHERE run_id = :run;
SELECT state FROM tenantmig.runs WHERE id = :run;
SELECT * FROM difference ORDER BY id, at;
SELECT * FROM tenantmig.stat_progress;

-- paused, then cancelled: what is written stays, and can be undone
UPDATE slowness SET seconds = 0.005;
CALL tenantmig.run('m', budget => '0.3 s');
SELECT max(id) AS run FROM tenantmig.runs \gset
SELECT tenantmig.cancel('m');
SELECT state, finished_at IS NOT NULL AS finished, assigned > 0 AND assigned < 370 AS some FROM tenantmig.runs WHERE id = :run;
SELECT * FROM tenantmig.stat_progress;
SELECT * FROM attempt($$SELECT tenantmig.cancel('m')$$);
SELECT * FROM attempt($$SELECT tenantmig.resume('m')$$);
UPDATE slowness SET seconds = 0;
CALL tenantmig.undo(:run);
SELECT * FROM difference ORDER BY id, at;
SELECT state FROM tenantmig.runs WHERE id = :run;

-- defaults of the session don't matter
SET default_transaction_read_only = on;
CALL tenantmig.run('m');
\echo :LAST_ERROR_SQLSTATE
CALL tenantmig.undo(1);
\echo :LAST_ERROR_SQLSTATE
RESET default_transaction_read_only;
SET default_transaction_isolation = serializable;
CALL tenantmig.run('m');
SELECT state, assigned FROM tenantmig.runs ORDER BY id DESC LIMIT 1;
SELECT max(id) AS run FROM tenantmig.runs \gset
CALL tenantmig.undo(:run);
SET default_transaction_isolation = 'repeatable read';
SET default_transaction_deferrable = on;
SET synchronous_commit = off;
SET lock_timeout = 1;
CALL tenantmig.run('m');
SELECT state, assigned FROM tenantmig.runs ORDER BY id DESC LIMIT 1;
SHOW lock_timeout;
SHOW synchronous_commit;
SHOW transaction_isolation;
SHOW search_path;
SELECT current_user;
RESET lock_timeout;
RESET default_transaction_isolation;
RESET default_transaction_deferrable;
RESET synchronous_commit;
SELECT max(id) AS run FROM tenantmig.runs \gset
CALL tenantmig.undo(:run);

-- in a procedure that commits, and in one that holds an exception block
CREATE PROCEDURE nightly() LANGUAGE plpgsql AS $$ BEGIN CALL tenantmig.run('m'); END $$;
CALL nightly();
SELECT state, assigned FROM tenantmig.runs ORDER BY id DESC LIMIT 1;
CREATE PROCEDURE careful() LANGUAGE plpgsql AS $$ BEGIN CALL tenantmig.run('m'); EXCEPTION WHEN division_by_zero THEN NULL; END $$;
CALL careful();
\echo :LAST_ERROR_SQLSTATE

-- an error of the table's own: the run has failed, the rest goes on when it is mended
SELECT max(id) AS run FROM tenantmig.runs \gset
CALL tenantmig.undo(:run);
ALTER TABLE customers ADD CONSTRAINT no_twos CHECK (company_id <> 2) NOT VALID;
\set VERBOSITY terse
CALL tenantmig.run('m');
\echo :LAST_ERROR_SQLSTATE
SELECT state, split_part(error, E'\n', 1) AS error, assigned < 370 AS not_all FROM tenantmig.runs ORDER BY id DESC LIMIT 1;
SELECT state, split_part(error, E'\n', 1) AS error FROM tenantmig.stat_workers ORDER BY run_id DESC LIMIT 1;
SELECT state, split_part(error, E'\n', 1) AS error FROM tenantmig.stat_progress;
CALL tenantmig.wait('m');
\echo :LAST_ERROR_SQLSTATE
\set VERBOSITY default
ALTER TABLE customers DROP CONSTRAINT no_twos;
CALL tenantmig.run('m', plan_hash => tenantmig.plan_hash('m'));
SELECT state, error, assigned, conflicts, orphans, unknown FROM tenantmig.runs ORDER BY id DESC LIMIT 1;
SELECT state, error FROM tenantmig.stat_workers ORDER BY run_id DESC LIMIT 1;
CALL tenantmig.wait('m');

RESET ROLE;
SELECT tenantmig.drop_migration('m', true);
DROP SCHEMA shop CASCADE;
DROP EXTENSION tenantmig;
DROP ROLE regress_owner;
DROP ROLE regress_other;
