-- Monitoring called with what it was not made for: names, days, formats, odd spellings; thresholds that are none.
SET client_min_messages = warning;
DROP SCHEMA IF EXISTS bad_monitor CASCADE;
DROP EXTENSION IF EXISTS tenantmig CASCADE;
CREATE EXTENSION tenantmig;
CREATE SCHEMA bad_monitor;
SET search_path = bad_monitor;
CREATE FUNCTION attempt(command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  state text; message text; detail text; hint text;
BEGIN
  EXECUTE command;
  RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
  RETURN regexp_replace(format('ERROR: %s: %s%s%s', state, message, '; DETAIL: ' || nullif(detail, ''), '; HINT: ' || nullif(hint, '')), 'Today is \S+', 'Today is DAY');
END $$;
CREATE TABLE companies (id integer PRIMARY KEY);
CREATE TABLE customers (id integer PRIMARY KEY, company_id integer);
INSERT INTO companies VALUES (1);
CREATE FUNCTION spec(monitor text) RETURNS jsonb LANGUAGE sql AS $$
  SELECT jsonb_build_object('migration', 'm|x', 'tenants', '{"table": "companies"}'::jsonb, 'monitor', monitor::jsonb, 'steps',
    '[{"constraint": {"table": "customers", "column": "company_id", "not_null": true, "references": "companies.id"}}]'::jsonb) $$;

-- names
SELECT attempt(format('SELECT * FROM tenantmig.observe(%L)', name)) FROM unnest('{"",nothing,"m''; DROP TABLE x; --"}'::text[]) name;
SELECT attempt(format('SELECT tenantmig.daily_report(%L)', name)) FROM unnest(ARRAY['', 'nothing', repeat('x', 300), NULL]) name;
SELECT count(*) AS nothing FROM tenantmig.observe();
-- thresholds
SELECT monitor, attempt(format('SELECT tenantmig.create_migration(bad_monitor.spec(%L))', monitor)) FROM unnest('{"[]","{\"stale_after\": 5}","{\"stale_after\": \"soon\"}",
  "{\"max_latency\": 0.5}","{\"max_rollback_increase\": -1}","{\"max_deadlocks_per_hour\": \"many\"}","{\"max_nulls\": 1}"}'::text[]) monitor;
SELECT tenantmig.create_migration(spec('{"stale_after": "2 weeks", "max_latency": 1, "max_rollback_increase": 0}'));
SELECT migration, health FROM tenantmig.health;
-- days and formats
SELECT day, attempt(format('SELECT tenantmig.daily_report(''m|x'', %L::date)', day)) FROM unnest('{infinity,-infinity,9999-12-31,4713-01-01 BC,2020-02-30,today}'::text[]) day
WHERE day <> 'today';
SELECT format, attempt(format('SELECT tenantmig.daily_report(''m|x'', format => %L)', format)) FROM unnest(ARRAY['html', 'Markdown', '', 'json ', NULL]) format;
SELECT regexp_replace(tenantmig.daily_report('m|x', '2001-01-01'), '\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC', 'TIME') AS daily_report;
-- settings of the session change neither the rows nor the days
SET datestyle = 'German';
SET intervalstyle = 'sql_standard';
SET timezone = 'Pacific/Kiritimati';
SET enable_indexscan = off;
INSERT INTO customers VALUES (1, NULL), (2, 1), (3, 7);
SELECT check_name, status, actual, detail FROM tenantmig.observe('m|x') WHERE check_name IN ('nulls', 'new_nulls', 'unknown_tenants');
SELECT tenantmig.daily_report('m|x', date '2001-01-02', 'json')::jsonb -> 'day' AS day, jsonb_array_length(tenantmig.daily_report('m|x', format => 'json')::jsonb -> 'checks') > 10 AS checks;
RESET enable_indexscan;
RESET timezone;
RESET intervalstyle;
RESET datestyle;
-- objects of the caller's schema are not looked at
CREATE FUNCTION count(text) RETURNS bigint LANGUAGE sql AS 'SELECT 99';
CREATE TABLE observation (id integer);
CREATE FUNCTION clock() RETURNS timestamptz LANGUAGE sql AS $$SELECT timestamptz '2001-01-01'$$;
SET search_path = bad_monitor, pg_catalog;
SELECT check_name, status, actual FROM tenantmig.observe('m|x') WHERE check_name IN ('nulls', 'new_nulls', 'unknown_tenants');
SELECT migration, health, reasons FROM tenantmig.health;
-- documents of ours that somebody has spoilt
UPDATE tenantmig.observation SET samples = '[1, "x"]', checks = '{"a": 1}';
SELECT check_name, status, actual FROM tenantmig.observe('m|x') WHERE check_name IN ('nulls', 'new_nulls', 'unknown_tenants');
UPDATE tenantmig.observation SET samples = '{"nulls": 7, "reasons": [], "drift": "x", "counters": [], "rows": null}', checks = '[1, {"status": 4}]';
SELECT check_name, status, actual FROM tenantmig.observe('m|x') WHERE check_name IN ('nulls', 'new_nulls', 'unknown_tenants');
INSERT INTO tenantmig.baseline SELECT id, now(), '{"counters": {"commits": "many"}, "latency": {"ms": "x", "key": 4}}' FROM tenantmig.migration;
SELECT count(*) > 10 AS observed FROM tenantmig.observe('m|x', true);
SELECT length(tenantmig.daily_report('m|x')) > 100 AS report;

DROP SCHEMA bad_monitor CASCADE;
DROP EXTENSION tenantmig CASCADE;
