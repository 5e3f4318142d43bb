-- Retention: what goes, what stays and why. Time is moved in tests/tap/purge.pl; here things are made old, or the time is short.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tenantmig CASCADE;
CREATE EXTENSION tenantmig;
RESET client_min_messages;
CREATE SCHEMA purge;
SET search_path = purge;
CREATE TABLE companies (id integer PRIMARY KEY);
CREATE TABLE branches (id integer PRIMARY KEY, company_id integer NOT NULL REFERENCES companies);
CREATE TABLE customers (id integer PRIMARY KEY, branch_id integer REFERENCES branches, company_id integer);
INSERT INTO companies VALUES (1), (2);
INSERT INTO branches VALUES (1, 1), (2, 2);
INSERT INTO customers SELECT n, nullif(n % 3, 0) FROM generate_series(1, 9) n;
SELECT tenantmig.create_migration('{"migration": "to purge", "tenants": {"table": "companies"}, "steps": [{"backfill": {"table": "customers", "column": "company_id", "sources": [{"via": "branch_id"}]}}]}');
CREATE TABLE runs AS SELECT NULL::bigint AS first, NULL::bigint AS second;
-- run numbers depend on what ran before: the first and the second of this case
CREATE FUNCTION short(reason text) RETURNS text LANGUAGE sql AS
  $$SELECT replace(replace(reason, 'run ' || coalesce(first, -1), 'run F'), 'run ' || coalesce(second, -1), 'run S') FROM purge.runs$$;
CREATE FUNCTION shown(kinds text[] DEFAULT NULL, older_than interval DEFAULT NULL, execute boolean DEFAULT false, force boolean DEFAULT false,
  OUT kind text, OUT row_count bigint, OUT dated boolean, OUT outcome text, OUT reason text) RETURNS SETOF record LANGUAGE sql AS
  $$SELECT kind, row_count, oldest <= newest, outcome, purge.short(reason) FROM tenantmig.purge(kinds, older_than, execute, force) WHERE migration = 'to purge'$$;

SELECT * FROM shown();
SELECT outcome, row_count FROM tenantmig.backfill('to purge');
UPDATE runs SET first = (SELECT max(id) FROM tenantmig.runs WHERE migration = 'to purge');
-- young, and open reviews
SELECT * FROM shown();
SELECT * FROM shown(older_than => '0');
SELECT * FROM shown(older_than => '0', force => true);
SELECT count(*) FROM tenantmig.review('to purge') r, tenantmig.resolve(r.id, '1', 'asked');
-- decided: what undo needs stays for a year unless forced
SELECT * FROM shown(older_than => '0');
SELECT * FROM shown(kinds => '{runs}', older_than => '0', force => true);
SELECT * FROM shown(kinds => '{reviews}', older_than => '0', force => true);
SELECT * FROM shown(older_than => '0', force => true);
SELECT count(*) > 0 AS dry FROM tenantmig.change_log l, runs r WHERE l.run_id = r.first;
-- a broken chain is evidence
BEGIN;
UPDATE tenantmig.change_log SET new_values = '{2,2,2,2,2,2}' WHERE run_id = (SELECT first FROM runs) AND entry = 1;
UPDATE tenantmig.change_log SET changed_at = changed_at - interval '2 years' WHERE run_id = (SELECT first FROM runs);
SELECT kind, outcome, regexp_replace(reason, ':.*', '') FROM shown(kinds => '{change_log}');
ROLLBACK;
-- undone: nothing needs it any more
BEGIN;
SELECT outcome, row_count FROM tenantmig.rollback((SELECT first FROM runs));
SELECT * FROM shown(older_than => '0');
ROLLBACK;
-- the log goes; report and digest stay
CREATE TABLE kept AS SELECT tenantmig.digest(first) AS digest FROM runs;
SELECT * FROM shown(older_than => '0', execute => true, force => true);
SELECT count(*) FROM tenantmig.change_log l, runs r WHERE l.run_id = r.first;
SELECT count(*) FROM tenantmig.review_batch l, runs r WHERE l.run_id = r.first;
SELECT tenantmig.digest(first) = digest AS same FROM runs, kept;
SELECT check_name, status, actual ~ '^(purged at|run=)' AS actual, detail FROM runs, kept, tenantmig.verify_changes(first, digest);
SELECT check_name, status, detail FROM runs, kept, tenantmig.verify_changes(first, regexp_replace(digest, 'rows=\d+', 'rows=1'));
SELECT tenantmig.report(first) ~ 'Archived by purge' AS markdown, tenantmig.report(first, 'json')::json ->> 'assigned' AS assigned,
  tenantmig.report(first, 'json')::json ->> 'digest' = digest AS digest FROM runs, kept;
SELECT check_name, status FROM tenantmig.verify('to purge');
CREATE FUNCTION attempt(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE m text; d text; h text;
BEGIN
  EXECUTE replace(statement, 'FIRST', (SELECT first::text FROM purge.runs));
  RETURN 'done';
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS m = MESSAGE_TEXT, d = PG_EXCEPTION_DETAIL, h = PG_EXCEPTION_HINT;
  RETURN purge.short(regexp_replace(replace(format(E'%s: %s\n%s\n%s', SQLSTATE, m, d, h), format('report(%s)', (SELECT first FROM purge.runs)), 'report(F)'), 'went at .*: the', 'went at TIME: the'));
END$$;
SELECT attempt('SELECT * FROM tenantmig.rollback(FIRST)');
SELECT attempt('SELECT * FROM tenantmig.undo_script(FIRST)');
-- again: nothing to do; the last completed run stays until there is another one
SELECT * FROM shown(older_than => '0', execute => true, force => true);
INSERT INTO customers VALUES (100, 1);
SELECT outcome, row_count FROM tenantmig.backfill('to purge');
UPDATE runs SET second = (SELECT max(id) FROM tenantmig.runs WHERE migration = 'to purge');
SELECT * FROM shown(older_than => '0');
SELECT * FROM shown(kinds => '{runs}', older_than => '0', execute => true);
SELECT count(*) FROM tenantmig.runs WHERE migration = 'to purge';
SELECT tenantmig.report(first) ~ 'Archived by purge' AS report, tenantmig.digest(first) = digest AS same FROM runs, kept;
SELECT attempt('SELECT * FROM tenantmig.rollback(FIRST)');
-- dismissed rows count as decided
INSERT INTO customers VALUES (200, NULL);
SELECT outcome, row_count FROM tenantmig.backfill('to purge');
SELECT count(*) FROM tenantmig.review('to purge') r, tenantmig.dismiss(r.id, 'nobody knows');
SELECT kind, row_count, outcome, regexp_replace(reason, 'run \d+', 'run N') FROM shown(kinds => '{reviews}', older_than => '0', force => true);

-- observations: not the newest, nor those of the soak
SELECT count(*) > 0 AS observed FROM tenantmig.observe('to purge');
SELECT count(*) > 0 AS observed FROM tenantmig.observe('to purge');
SELECT count(*) > 0 AS observed FROM tenantmig.observe('to purge');
UPDATE tenantmig.observation SET observed_at = observed_at - interval '13 months' WHERE id IN (SELECT id FROM tenantmig.observation WHERE migration_id = (SELECT id FROM tenantmig.migrations WHERE migration = 'to purge') ORDER BY id LIMIT 1);
SELECT * FROM shown(kinds => '{observations}');
SELECT * FROM shown(kinds => '{observations}', older_than => '0', execute => true);
SELECT * FROM shown(kinds => '{observations}');
-- drift
INSERT INTO tenantmig.drift_log (migration, relation, column_name, kind, role, happened_at) VALUES ('to purge', 'purge.customers', 'company_id', 'orphan', 'somebody', now() - interval '2 years'), ('to purge', 'purge.customers', 'company_id', 'orphan', 'somebody', now()),
  ('purged long ago', 'gone', 'company_id', 'orphan', 'somebody', now() - interval '2 years');
SELECT * FROM shown(kinds => '{drift}');
SELECT kind, migration, row_count, outcome, reason FROM tenantmig.purge('{drift}') WHERE migration IS NULL;
SELECT * FROM shown(kinds => '{drift}', execute => true);
SELECT count(*) FROM tenantmig.drift WHERE migration IN ('to purge', 'purged long ago');
-- backups: 90 days; not the newest, nor what an open gate accepts
SELECT tenantmig.create_migration('{"migration": "gated", "tenants": {"table": "companies"}, "steps": [{"constraint": {"table": "customers", "column": "company_id", "references": "companies.id", "gate": {"backup_within": "120 days"}}}]}');
CREATE FUNCTION backups(older_than interval DEFAULT NULL, execute boolean DEFAULT false, force boolean DEFAULT false) RETURNS TABLE (migration text, row_count bigint, outcome text, reason text) LANGUAGE sql AS
  $$SELECT migration, row_count, outcome, reason FROM tenantmig.purge('{backups}', older_than, execute, force)$$;
SELECT count(tenantmig.register_backup(m, now() - make_interval(days => d), 'vault:/' || d)) FROM unnest('{to purge,gated}'::text[]) m, unnest('{10,100,110,130,200}'::int[]) d;
SELECT * FROM backups();
SELECT * FROM backups(older_than => '105 days');
SELECT * FROM backups(force => true);
SELECT * FROM backups(execute => true);
SELECT migration, location FROM tenantmig.backups ORDER BY migration, taken_at;
SELECT * FROM backups(older_than => '0', execute => true, force => true);
SELECT migration, location FROM tenantmig.backups ORDER BY migration, taken_at;
SELECT tenantmig.drop_migration('gated', false);
SELECT * FROM backups(older_than => '0') WHERE migration IS NULL;
SELECT count(*) FROM backups(older_than => '0', execute => true);
SELECT count(*) FROM tenantmig.backups;
-- values of a dropped column: a year, or by force; down says so
CREATE TABLE extras (id integer PRIMARY KEY, note text);
INSERT INTO extras SELECT n, 'note ' || n FROM generate_series(1, 4) n;
SELECT tenantmig.create_migration('{"migration": "dropping", "tenants": {"table": "companies"}, "steps": [{"drop_column": {"table": "extras", "column": "note"}}]}');
CALL tenantmig.up('dropping');
CREATE FUNCTION kept(older_than interval DEFAULT NULL, execute boolean DEFAULT false, force boolean DEFAULT false) RETURNS TABLE (row_count bigint, outcome text, reason text) LANGUAGE sql AS
  $$SELECT row_count, outcome, reason FROM tenantmig.purge('{kept_columns}', older_than, execute, force)$$;
SELECT * FROM kept();
SELECT * FROM kept(older_than => '0', execute => true);
SELECT * FROM kept(older_than => '0', force => true);
UPDATE tenantmig.kept_column SET kept_at = kept_at - interval '13 months' WHERE migration_id = (SELECT id FROM tenantmig.migrations WHERE migration = 'dropping');
SELECT * FROM kept();
SELECT * FROM kept(execute => true);
SELECT * FROM kept();
\set VERBOSITY terse
CALL tenantmig.down('dropping');
\echo :LAST_ERROR_SQLSTATE
\set VERBOSITY default
SELECT tenantmig.drop_migration('dropping', true);
-- dropped with its migration is everything but the reports
SELECT tenantmig.drop_migration('to purge', true);
SELECT tenantmig.report(first) ~ 'Archived by purge' AS report FROM runs;
DELETE FROM tenantmig.report_archive WHERE migration = 'to purge';
SET client_min_messages = warning;
DROP SCHEMA purge CASCADE;
DROP EXTENSION tenantmig;
