-- purge and what it must refuse.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tenantmig CASCADE;
CREATE EXTENSION tenantmig;
RESET client_min_messages;
CREATE SCHEMA bad_purge;
SET search_path = bad_purge;
CREATE ROLE purge_owner;
CREATE ROLE purge_other;
CREATE ROLE purge_viewer;
SELECT tenantmig.grant_access('purge_owner', 'operator');
SELECT tenantmig.grant_access('purge_other', 'operator');
SELECT tenantmig.grant_access('purge_viewer', 'viewer');
GRANT ALL ON SCHEMA bad_purge TO purge_owner;
CREATE FUNCTION attempt(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE m text; d text; h text;
BEGIN
  EXECUTE statement;
  RETURN 'done';
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS m = MESSAGE_TEXT, d = PG_EXCEPTION_DETAIL, h = PG_EXCEPTION_HINT;
  RETURN format(E'%s: %s\n%s\n%s', SQLSTATE, m, d, h);
END$$;
GRANT USAGE ON SCHEMA bad_purge TO PUBLIC;
SELECT attempt($$SELECT * FROM tenantmig.purge('{everything}')$$);
SELECT attempt($$SELECT * FROM tenantmig.purge('{change_log,"reports"}')$$);
SELECT attempt($$SELECT * FROM tenantmig.purge('{NULL}')$$);
SELECT attempt($$SELECT * FROM tenantmig.purge(older_than => '-1 second')$$);
SELECT attempt($$SELECT * FROM tenantmig.purge(older_than => '1001 years')$$);
SELECT attempt($$SELECT * FROM tenantmig.purge(older_than => 'soon')$$);
SELECT attempt($$SELECT * FROM tenantmig.purge(execute => NULL)$$);
SELECT attempt($$SELECT * FROM tenantmig.purge(force => NULL)$$);
-- several dimensions, none at all
SELECT attempt($$SELECT * FROM tenantmig.purge('{{drift,everything}}')$$);
SELECT count(*) FROM tenantmig.purge('{}', older_than => '0');
-- only reads unless told to
BEGIN READ ONLY;
SELECT attempt($$SELECT * FROM tenantmig.purge()$$);
SELECT attempt($$SELECT * FROM tenantmig.purge(execute => true)$$);
ROLLBACK;
-- rights: viewers may not; an operator sees and deletes what is of migrations whose owner's privileges he has
SET ROLE purge_viewer;
SELECT attempt($$SELECT * FROM tenantmig.purge()$$);
SET ROLE purge_owner;
CREATE TABLE companies (id integer PRIMARY KEY);
CREATE TABLE parents (id integer PRIMARY KEY, company_id integer REFERENCES companies);
CREATE TABLE "Rows" (id integer PRIMARY KEY, parent integer REFERENCES parents, company_id integer);
INSERT INTO companies VALUES (1);
INSERT INTO parents VALUES (1, 1);
INSERT INTO "Rows" VALUES (1, 1);
SELECT tenantmig.create_migration('{"migration": "it''s ours", "tenants": {"table": "companies"}, "steps": [{"backfill": {"table": "\"Rows\"", "column": "company_id", "sources": [{"via": "parent"}]}}]}');
SELECT outcome, row_count FROM tenantmig.backfill('it''s ours');
SET ROLE purge_other;
SELECT count(*) FROM tenantmig.purge(older_than => '0', execute => true, force => true) WHERE migration = 'it''s ours';
SET ROLE purge_owner;
SELECT kind, row_count, outcome FROM tenantmig.purge('{change_log}', older_than => '0', execute => true, force => true) WHERE migration = 'it''s ours';
RESET ROLE;
-- once gone it can't be undone, and a digest of something else is refused as ever
CREATE TABLE run AS SELECT max(id) AS id FROM tenantmig.runs WHERE migration = 'it''s ours';
SELECT regexp_replace(regexp_replace(attempt(format('SELECT * FROM tenantmig.rollback(%s)', id)), 'went at .*: the', 'went at TIME: the'), '(run |report\()\d+', '\1N', 'g') AS attempt FROM run;
SELECT attempt(format('SELECT * FROM tenantmig.verify_changes(%s, %L)', id, 'no digest')) FROM run;
SELECT attempt(format('SELECT tenantmig.report(%s, %L)', id, 'html')) FROM run;
SELECT attempt('SELECT tenantmig.report(0)');
SELECT tenantmig.drop_migration('it''s ours', true);
DELETE FROM tenantmig.report_archive WHERE migration = 'it''s ours';
\set VERBOSITY terse
SET client_min_messages = warning;
DROP OWNED BY purge_owner CASCADE;
DROP SCHEMA bad_purge CASCADE;
DROP OWNED BY purge_other, purge_viewer;
DROP ROLE purge_owner, purge_other, purge_viewer;
DROP EXTENSION tenantmig;
