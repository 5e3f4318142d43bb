-- The view health: each of its reasons by what causes it, and its colour; soak, week and the daily report.
SET client_min_messages = warning;
SET datestyle = ISO;
SET intervalstyle = postgres;
SET timezone = 'UTC';
DROP SCHEMA IF EXISTS health CASCADE;
DROP EXTENSION IF EXISTS tenantmig CASCADE;
CREATE EXTENSION tenantmig;
CREATE SCHEMA health;
SET search_path = health;

CREATE TABLE companies (id integer PRIMARY KEY, name text);
CREATE TABLE customers (id integer PRIMARY KEY, company_id integer, branch_id integer);
CREATE TABLE branches (id integer PRIMARY KEY, company_id integer);
INSERT INTO companies VALUES (1, 'one'), (2, 'two');
INSERT INTO branches VALUES (1, 1), (2, 2);
ALTER TABLE customers ADD FOREIGN KEY (branch_id) REFERENCES branches;
INSERT INTO customers SELECT n, NULL, n % 2 + 1 FROM generate_series(1, 20) n;
CREATE INDEX ON customers (company_id);
SELECT tenantmig.create_migration('{"migration": "m", "tenants": {"table": "companies"}, "monitor": {"stale_after": "2 hours", "max_refusals_per_hour": 5},
  "steps": [{"backfill": {"table": "customers", "column": "company_id", "sources": [{"via": "branch_id"}]}}, {"guard": {"kind": "tenant_key", "table": "customers", "column": "company_id", "mode": "fill"}}]}');
CREATE VIEW shown AS SELECT health, array_to_string(reasons, E'\n') AS reasons FROM tenantmig.health;
-- an observation, made older than it is
CREATE FUNCTION observed(ago interval, deep boolean DEFAULT true) RETURNS text LANGUAGE plpgsql AS $$
DECLARE colour text;
BEGIN
  PERFORM tenantmig.observe('m', deep);
  UPDATE tenantmig.observation SET observed_at = observed_at - ago WHERE id = (SELECT max(id) FROM tenantmig.observation) RETURNING health INTO colour;
  RETURN colour;
END $$;
-- the run, longer ago
CREATE FUNCTION ran(ago interval) RETURNS void LANGUAGE sql AS $$
  UPDATE tenantmig.run_log SET started_at = clock_timestamp() - ago, finished_at = clock_timestamp() - ago $$;

-- nothing to say before a run; then: not observed
SELECT * FROM shown;
SELECT attached.outcome FROM tenantmig.attach_guard('m') attached;
SELECT outcome, row_count FROM tenantmig.backfill('m');
SELECT * FROM shown;
SELECT observed('0');
SELECT * FROM shown;
SELECT soak_since = last_deep AS soak_begins, soak < '1 minute' AS short, last_observed = last_deep AS same, run_id, mismatches, nulls, new_nulls, unknown_tenants, drift, open_reviews FROM tenantmig.health;
-- stale: by the spec's threshold
BEGIN;
SELECT ran('5 hours');
UPDATE tenantmig.observation SET observed_at = observed_at - interval '3 hours';
SELECT health, regexp_replace(reasons, 'at \S+ \S+:', 'at TIME:') FROM shown;
ROLLBACK;
-- an enforcement that was interrupted
BEGIN;
INSERT INTO tenantmig.enforcement (migration_id, step, kind, state, schema_name, table_name, column_name, relation_oid, database_oid, intended_at, enforced_by)
  SELECT id, 3, 'not_null', 'intended', 'health', 'customers', 'company_id', 'customers'::regclass, (SELECT oid FROM pg_database WHERE datname = current_database()), now(), 'me' FROM tenantmig.migration;
SELECT * FROM shown;
UPDATE tenantmig.enforcement SET state = 'relaxing';
SELECT * FROM shown;
SELECT check_name, status, actual, detail, hint FROM tenantmig.observe('m') WHERE check_name = 'enforcement';
-- one that stands, and then not
UPDATE tenantmig.enforcement SET state = 'enforced';
SELECT * FROM shown;
SELECT check_name, status, expected, actual, detail, hint FROM tenantmig.observe('m') WHERE check_name = 'constraints';
ALTER TABLE customers ALTER company_id SET NOT NULL;
SELECT check_name, status, expected, actual FROM tenantmig.observe('m') WHERE check_name = 'constraints';
SELECT count(*) FILTER (WHERE reasons ~ 'enforced is gone') AS about_it FROM shown;
-- a foreign key that is not valid, a unique index that is
UPDATE tenantmig.enforcement SET kind = 'foreign_key', constraint_name = 'customers_company_fkey';
SELECT count(*) FILTER (WHERE reasons ~ 'foreign key constraint customers_company_fkey') AS about_it FROM shown;
ALTER TABLE customers ADD CONSTRAINT customers_company_fkey FOREIGN KEY (company_id) REFERENCES companies NOT VALID;
SELECT count(*) FILTER (WHERE reasons ~ 'foreign key constraint customers_company_fkey') AS about_it FROM shown;
ALTER TABLE customers VALIDATE CONSTRAINT customers_company_fkey;
SELECT count(*) FILTER (WHERE reasons ~ 'foreign key constraint customers_company_fkey') AS about_it FROM shown;
CREATE UNIQUE INDEX some_key ON customers (company_id, id);
UPDATE tenantmig.enforcement SET kind = 'composite', constraint_name = 'some_key';
SELECT count(*) FILTER (WHERE reasons ~ 'composite') AS about_it FROM shown;
DROP INDEX some_key;
SELECT count(*) FILTER (WHERE reasons ~ 'composite') AS about_it FROM shown;
ROLLBACK;
-- a guard that does not fire, or is gone: at once, and in the observation
BEGIN;
ALTER TABLE customers DISABLE TRIGGER USER;
SELECT health, regexp_replace(reasons, '_\d+', '_N') FROM shown;
ALTER TABLE customers ENABLE TRIGGER USER;
SELECT * FROM shown;
DO $$ BEGIN EXECUTE (SELECT format('DROP TRIGGER %I ON customers', trigger) FROM tenantmig.guards); END $$;
SELECT * FROM shown;
SELECT check_name, status, expected, actual, detail, hint FROM tenantmig.observe('m') WHERE check_name = 'guards';
SELECT guards_missing, good FROM tenantmig.observations ORDER BY id DESC LIMIT 1;
ROLLBACK;
-- runs that need somebody
BEGIN;
UPDATE tenantmig.run_log SET mode = 'online', state = 'paused';
SELECT * FROM shown;
UPDATE tenantmig.run_log SET state = 'failed';
SELECT * FROM shown;
UPDATE tenantmig.run_log SET state = 'running';
SELECT * FROM shown;
SELECT check_name, status, actual, detail, hint FROM tenantmig.observe('m') WHERE check_name = 'run';
UPDATE tenantmig.run_log SET state = 'completed', undo_started_at = now();
SELECT * FROM shown;
ROLLBACK;
-- reviews
BEGIN;
INSERT INTO customers VALUES (31, NULL, NULL), (32, NULL, NULL);
SELECT outcome, row_count FROM tenantmig.backfill('m');
SELECT * FROM shown;
SELECT count(*) > 0 AS observed FROM tenantmig.observe('m');
SELECT * FROM shown;
ROLLBACK;
-- drift: rows that the guard let pass, once
BEGIN;
UPDATE tenantmig.run_log SET finished_at = finished_at - interval '1 minute', started_at = started_at - interval '1 minute';
UPDATE customers SET company_id = 2 WHERE id = 2;
SELECT count(*) FROM tenantmig.drift;
SELECT check_name, status, actual, detail, hint FROM tenantmig.observe('m') WHERE check_name = 'drift';
SELECT health, reasons FROM shown;
SELECT check_name, status, actual FROM tenantmig.observe('m') WHERE check_name = 'drift';
ROLLBACK;
-- a new table without a key: to look at
BEGIN;
CREATE TABLE invoices (id integer PRIMARY KEY, customer_id integer REFERENCES customers);
SELECT check_name, status, actual, detail FROM tenantmig.observe('m') WHERE check_name = 'catalogue';
SELECT health FROM shown;
ROLLBACK;

-- thresholds against the baseline, which the run took: counters and latency as if they had been others
SELECT samples ? 'counters' AS counters, samples -> 'latency' -> 'key' AS latency, samples -> 'latency' -> 'tenant' AS tenant FROM tenantmig.baseline;
SELECT check_name, status FROM tenantmig.observe('m') WHERE check_name IN ('rollbacks', 'deadlocks', 'guard_refusals', 'latency');
CREATE FUNCTION earlier(path text, value numeric) RETURNS void LANGUAGE sql AS $$
  UPDATE tenantmig.observation SET samples = jsonb_set(samples, string_to_array(path, '.'), to_jsonb(value)); $$;
CREATE FUNCTION before(path text, value numeric) RETURNS void LANGUAGE sql AS $$
  UPDATE tenantmig.baseline SET samples = jsonb_set(samples, string_to_array(path, '.'), to_jsonb(value)); $$;
CREATE FUNCTION signs() RETURNS TABLE (check_name text, status text, expected text, actual text) LANGUAGE sql AS $$
  SELECT o.check_name, o.status, o.expected, o.actual FROM tenantmig.observe('m') o WHERE o.check_name IN ('rollbacks', 'deadlocks', 'guard_refusals', 'latency') AND o.status <> 'PASS' $$;
BEGIN; -- 1,000,000 rollbacks more than a moment ago; 1 in 1,000 before the run
SELECT earlier('counters.rollbacks', -1000000), before('counters.rollbacks', 1000), before('counters.commits', 999000);
SELECT check_name, status, expected FROM signs();
SELECT health, regexp_replace(reasons, '^[0-9.]+ %', 'N %') FROM shown;
ROLLBACK;
BEGIN; -- as large a share before the run, or within 20 % of it
SELECT earlier('counters.rollbacks', -1000000), earlier('counters.commits', -9000000), before('counters.rollbacks', 1000), before('counters.commits', 9500);
SELECT * FROM signs();
SELECT before('counters.commits', 19000);
SELECT check_name, status, expected FROM signs();
ROLLBACK;
BEGIN; -- deadlocks and refusals of the last hour at most
SELECT earlier('counters.deadlocks', -2), before('counters.deadlocks', 0);
SELECT * FROM signs();
SELECT health, reasons FROM shown;
SELECT before('counters.deadlocks', 1), before('counters.hours', 1);
SELECT * FROM signs();
SELECT earlier('counters.refusals', -6);
SELECT * FROM signs();
SELECT health, reasons FROM shown;
ROLLBACK;
BEGIN; -- counters that were reset begin at zero
SELECT earlier('counters.deadlocks', 1000), earlier('counters.refusals', 1000);
SELECT * FROM signs();
ROLLBACK;
BEGIN; -- latency
SELECT before('latency.ms', -1000);
SELECT check_name, status FROM signs();
SELECT health, regexp_replace(reasons, '[0-9.]+ ms,', 'N ms,') FROM shown;
ROLLBACK;
BEGIN; -- what a run was to be blamed for is gone with its undo
UPDATE customers SET company_id = 3 - company_id WHERE id = 1;
SELECT observed('0');
SELECT count(*) FILTER (WHERE reasons ~ 'contradicts branch_id: SELECT \* FROM tenantmig.rollback\(1\)') AS blamed FROM shown;
SELECT outcome, reason, row_count FROM tenantmig.rollback(1);
SELECT * FROM shown;
SELECT since, length, detail ~ '^no good deep observation since run 1 was undone' AS undone FROM tenantmig.soak;
ROLLBACK;

-- the soak: one good deep look a day, at most 26 hours apart
SELECT ran('30 days');
DELETE FROM tenantmig.observation;
SELECT good, since, length, detail ~ '^no good deep observation since run 1 ended' AS none FROM tenantmig.soak;
SELECT string_agg(observed(n * interval '24 hours'), ' ') FROM generate_series(8, 0, -1) n;
SELECT good, date_trunc('hour', length) AS length, detail ~ ': 9, the last' AS nine FROM tenantmig.soak;
BEGIN; -- without that of one day
DELETE FROM tenantmig.observation WHERE observed_at BETWEEN now() - interval '73 hours' AND now() - interval '71 hours';
SELECT good, date_trunc('hour', length) AS length, detail ~ ': 3, the last' AS three FROM tenantmig.soak;
ROLLBACK;
BEGIN; -- one that is not deep does not count, a bad one does
UPDATE tenantmig.observation SET deep = false WHERE observed_at BETWEEN now() - interval '73 hours' AND now() - interval '71 hours';
SELECT date_trunc('hour', length) AS length FROM tenantmig.soak;
UPDATE tenantmig.observation SET good = false WHERE NOT deep;
SELECT date_trunc('hour', length) AS length, detail ~ 'before them: the bad observation at' AS bad FROM tenantmig.soak;
ROLLBACK;
BEGIN; -- nothing in the last 26 hours
UPDATE tenantmig.observation SET observed_at = observed_at - interval '27 hours';
SELECT good, length, detail ~ 'more than 26 hours ago' AS old FROM tenantmig.soak;
ROLLBACK;
BEGIN; -- a run, and constraints that were relaxed, begin it anew
SELECT ran('49 hours');
SELECT date_trunc('hour', length) AS length FROM tenantmig.soak;
INSERT INTO tenantmig.enforcement (migration_id, step, kind, state, schema_name, table_name, column_name, relation_oid, database_oid, intended_at, relaxed_at, enforced_by)
  SELECT id, 3, 'not_null', 'relaxed', 'health', 'customers', 'company_id', 'customers'::regclass, 0, now(), now() - interval '25 hours', 'me' FROM tenantmig.migration;
SELECT date_trunc('hour', length) AS length, detail ~ 'before them: constraints were relaxed' AS relaxed FROM tenantmig.soak;
ROLLBACK;

-- the last seven days, with those that nobody has looked at
DELETE FROM tenantmig.observation WHERE observed_at BETWEEN now() - interval '73 hours' AND now() - interval '71 hours';
UPDATE tenantmig.observation SET good = false, health = 'RED', new_nulls = 4, samples = samples || '{"alert": true}' WHERE observed_at BETWEEN now() - interval '49 hours' AND now() - interval '47 hours';
SELECT day - (tenantmig.clock() AT TIME ZONE 'UTC')::date AS day, samples, deep_samples, bad, health, nulls, new_nulls, mismatches, alerts FROM tenantmig.week ORDER BY day;
SELECT tenantmig.daily_report('m') ~ '^# Daily report: m, \d{4}-\d\d-\d\d\n\n\| migration +\| m +\|\n' AS title, tenantmig.daily_report('m') ~ '\| health +\| GREEN' AS colour;
SELECT string_agg(key || ' ' || jsonb_typeof(value), ', ' ORDER BY key) FROM jsonb_each(tenantmig.daily_report('m', format => 'json')::jsonb);
SELECT count(*), count(*) FILTER (WHERE d ->> 'health' IS NULL) AS without FROM jsonb_array_elements(tenantmig.daily_report('m', format => 'json')::jsonb -> 'days') d;
SELECT tenantmig.daily_report('m', ((tenantmig.clock() AT TIME ZONE 'UTC')::date - 2), 'json')::jsonb ->> 'health' AS that_day;
SELECT tenantmig.daily_report('m', ((tenantmig.clock() AT TIME ZONE 'UTC')::date - 3), 'json')::jsonb -> 'next' AS nobody_looked;
-- every line of each table is as long as the others
SELECT DISTINCT count(DISTINCT length(line)) FROM regexp_split_to_table(tenantmig.daily_report('m'), E'\n\n') WITH ORDINALITY part (part, number),
  regexp_split_to_table(part, E'\n') line WHERE part LIKE '|%' AND line <> '' GROUP BY number;

DROP SCHEMA health CASCADE;
DROP EXTENSION tenantmig CASCADE;
