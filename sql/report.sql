-- The report of a run, as text for people and as JSON; names of other people stay names in it.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tenantmig CASCADE;
CREATE EXTENSION tenantmig;
CREATE ROLE regress_owner;
CREATE ROLE regress_viewer;
SELECT tenantmig.grant_access('regress_owner', 'operator');
SELECT tenantmig.grant_access('regress_viewer', 'viewer');
CREATE SCHEMA shop AUTHORIZATION regress_owner;
SET search_path = shop, public;
CREATE FUNCTION public.attempt(command text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE command;
  RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
  RETURN SQLSTATE || ': ' || SQLERRM;
END $$;
-- what differs from machine to machine: times, rates, hashes (and with them the width of a column)
CREATE FUNCTION public.steady(report text) RETURNS SETOF text LANGUAGE sql AS $$
  SELECT regexp_replace(regexp_replace(regexp_replace(regexp_replace(regexp_replace(regexp_replace(line, '[0-9a-f]{64}', 'HASH'), '\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+\+00|\+00)?', 'TIME', 'g'),
    '^(\| duration +\| )[\d.]+ s', '\1SECONDS'), '^(\| rows per second +\| )\d+', '\1RATE'), ' +\|$| -+ \|$', ' |'),
    '^(  "(duration_seconds|rows_per_second)": ).*,', '\1NUMBER,')
  FROM regexp_split_to_table(report, '\n') line $$;

SET SESSION AUTHORIZATION regress_owner;
CREATE TABLE companies (id integer PRIMARY KEY);
INSERT INTO companies VALUES (1), (2);
CREATE TABLE "a|b *c* <i>`d`</i> _e_ [f](g) \ #h" (id text PRIMARY KEY, company_id integer REFERENCES companies, "changed | at" integer DEFAULT 0);
CREATE TABLE hints (target text REFERENCES "a|b *c* <i>`d`</i> _e_ [f](g) \ #h", company_id integer REFERENCES companies);
INSERT INTO "a|b *c* <i>`d`</i> _e_ [f](g) \ #h" VALUES ('plain'), ('pipe | here'), (E'line\nbreak'), ('**bold**'), ('<script>');
INSERT INTO hints VALUES ('plain', 1), ('pipe | here', 1), ('pipe | here', 2);
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN new."changed | at" := 1; RETURN new; END $$;
CREATE TRIGGER touch BEFORE UPDATE ON "a|b *c* <i>`d`</i> _e_ [f](g) \ #h" FOR EACH ROW EXECUTE FUNCTION touch();
SELECT tenantmig.create_migration($${"migration": "up | # <b>", "tenants": {"table": "companies"}, "steps": [{"backfill": {"table": "\"a|b *c* <i>`d`</i> _e_ [f](g) \\ #h\"",
  "column": "company_id", "sources": [{"via": "hints.target"}]}}]}$$);
SELECT outcome, source, row_count FROM tenantmig.backfill('up | # <b>');
\pset format unaligned
\pset tuples_only on
SELECT public.steady(tenantmig.report(1));
SELECT public.steady(tenantmig.report(1, 'json'));
\pset tuples_only off
\pset format aligned
-- each line of a table has the same number of cells
SELECT DISTINCT regexp_count AS cells, count(*) FROM (SELECT length(regexp_replace(regexp_replace(line, '\\.', '', 'g'), '[^|]', '', 'g')) - 1 AS regexp_count,
  line FROM regexp_split_to_table(tenantmig.report(1), '\n') line WHERE line LIKE '|%') l GROUP BY 1 ORDER BY 1;
SELECT jsonb_object_keys(tenantmig.report(1, 'json')::jsonb) AS key ORDER BY 1;

-- a viewer reads it without the checks that need the owner's privileges
SET SESSION AUTHORIZATION regress_viewer;
SELECT line FROM regexp_split_to_table(tenantmig.report(1), '\n') line WHERE line LIKE 'Only %';
SELECT tenantmig.report(1, 'json')::jsonb ->> 'checks_note' AS note, jsonb_path_query_array(tenantmig.report(1, 'json')::jsonb, '$.checks[*].check_name') AS checks;
SET SESSION AUTHORIZATION regress_owner;

-- after decisions, a rollback, and when the table has gone
SELECT state FROM tenantmig.resolve((SELECT id FROM tenantmig.review('up | # <b>') WHERE class = 'conflict'), '2');
UPDATE "a|b *c* <i>`d`</i> _e_ [f](g) \ #h" SET company_id = 2 WHERE id = 'plain';
SELECT outcome, reason, row_count FROM tenantmig.rollback(1);
SELECT public.steady(line) AS line FROM (SELECT substr(r, strpos(r, '## Reviews')) AS line FROM tenantmig.report(1) r) s;
SELECT tenantmig.report(1, 'json')::jsonb -> 'undo' AS undo, tenantmig.report(1, 'json')::jsonb -> 'reviews' AS reviews;
SELECT outcome, row_count FROM tenantmig.backfill('up | # <b>');
DROP TABLE "a|b *c* <i>`d`</i> _e_ [f](g) \ #h" CASCADE;
SELECT public.steady(line) AS line FROM regexp_split_to_table(tenantmig.report(2), '\n') line WHERE line LIKE 'Only %';

-- more reviews than a report lists
CREATE TABLE "it's many" (id integer PRIMARY KEY, company_id integer REFERENCES companies);
CREATE TABLE facts (many_id integer REFERENCES "it's many", company_id integer REFERENCES companies);
INSERT INTO "it's many" SELECT generate_series(1, 23);
SELECT outcome, row_count FROM tenantmig.backfill('"it''s many"', 'company_id');
SELECT line FROM (SELECT substr(r, strpos(r, '## Reviews')) AS line FROM tenantmig.report(3) r) s;
SELECT jsonb_array_length(tenantmig.report(3, 'json')::jsonb #> '{reviews,first_open}') AS listed, tenantmig.report(3, 'json')::jsonb #> '{reviews,open}' AS open;

SELECT public.attempt('SELECT tenantmig.report(1, ''html'')');
SELECT public.attempt('SELECT tenantmig.report(1, '''')');
SELECT public.attempt('SELECT tenantmig.report(1, NULL)');
SELECT public.attempt('SELECT tenantmig.report(NULL)');
SELECT public.attempt('SELECT tenantmig.report(4711)');
RESET SESSION AUTHORIZATION;
DROP SCHEMA shop CASCADE;
DROP FUNCTION public.attempt, public.steady;
SELECT tenantmig.drop_migration(migration, true) FROM tenantmig.migrations;
DROP OWNED BY regress_owner, regress_viewer;
DROP ROLE regress_owner, regress_viewer;
