-- The step sql: what is refused when a migration is made, errors half-way, statements on their own, verify; and as whom it runs.
\pset null -
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tenantmig CASCADE;
CREATE EXTENSION tenantmig;
CREATE ROLE regress_owner;
CREATE ROLE regress_other;
SELECT r, tenantmig.grant_access(r, 'operator') FROM unnest('{regress_owner,regress_other}'::text[]) r;
CREATE SCHEMA walk;
GRANT ALL ON SCHEMA walk TO regress_owner;
SET search_path = walk;
SET client_min_messages = notice;
\set SHOW_CONTEXT never
CREATE TABLE companies (id integer PRIMARY KEY);
ALTER TABLE companies OWNER TO regress_owner;
CREATE FUNCTION make(name text, steps jsonb) RETURNS text LANGUAGE sql AS $$
  SELECT tenantmig.create_migration(jsonb_build_object('migration', name, 'tenants', '{"table": "companies"}'::jsonb, 'steps', steps)) $$;
CREATE FUNCTION sql_step(up text, down text DEFAULT NULL, rest jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE sql AS $$
  SELECT jsonb_strip_nulls(jsonb_build_object('sql', jsonb_build_object('up', up, 'down', down) || rest)) $$;
CREATE VIEW state AS SELECT migration, step, state, applied, phase, error, next_command FROM tenantmig.steps ORDER BY migration, step;

-- refused when the migration is made, with the place: no SQL
SELECT make('bad', jsonb_build_array(sql_step(E'CREATE TABLE a (i integer);\n-- a; b\nSELECT '';'';\n SELEC 1; SELECT 2')));
SELECT make('bad', jsonb_build_array(sql_step('SELECT 1'), sql_step('SELECT 1; SELECT (', 'SELECT 1')));
SELECT make('bad', jsonb_build_array(sql_step('SELECT 1', 'DROP TABLE a; DROP')));
SELECT make('bad', jsonb_build_array(sql_step('SELECT ''open')));
SELECT make('bad', jsonb_build_array(sql_step('-- nothing')));
SELECT make('bad', jsonb_build_array(sql_step(E'SELECT 1;\n\\i more.sql')));
SELECT make('bad', jsonb_build_array(sql_step(E'SELECT :''who''')));
-- what no step may hold
SELECT make('bad', jsonb_build_array(sql_step('BEGIN')));
SELECT make('bad', jsonb_build_array(sql_step('SELECT 1; COMMIT')));
SELECT make('bad', jsonb_build_array(sql_step('SAVEPOINT a')));
SELECT make('bad', jsonb_build_array(sql_step('PREPARE TRANSACTION ''x''')));
SELECT make('bad', jsonb_build_array(sql_step('SET TRANSACTION READ ONLY')));
SELECT make('bad', jsonb_build_array(sql_step('SET ROLE regress_other')));
SELECT make('bad', jsonb_build_array(sql_step('RESET ROLE')));
SELECT make('bad', jsonb_build_array(sql_step('SET SESSION AUTHORIZATION regress_other')));
SELECT make('bad', jsonb_build_array(sql_step('COPY companies FROM STDIN')));
SELECT make('bad', jsonb_build_array(sql_step('PREPARE p AS SELECT 1')));
SELECT make('bad', jsonb_build_array(sql_step('LISTEN x')));
SELECT make('bad', jsonb_build_array(sql_step('DISCARD ALL')));
-- what can't run in a transaction; and what has no effect outside of one
SELECT make('bad', jsonb_build_array(sql_step('VACUUM companies')));
SELECT make('bad', jsonb_build_array(sql_step('CREATE INDEX CONCURRENTLY i ON companies (id)')));
SELECT make('bad', jsonb_build_array(sql_step('SELECT 1', 'DROP INDEX CONCURRENTLY i')));
SELECT make('bad', jsonb_build_array(sql_step('REINDEX INDEX CONCURRENTLY i')));
SELECT make('bad', jsonb_build_array(sql_step('SET lock_timeout = 0', NULL, '{"transactional": false}')));
-- verify is one query
SELECT make('bad', jsonb_build_array(sql_step('SELECT 1', NULL, '{"verify": "SELECT true; SELECT true"}')));
SELECT make('bad', jsonb_build_array(sql_step('SELECT 1', NULL, '{"verify": "DELETE FROM companies"}')));
SELECT make('bad', jsonb_build_array(sql_step('SELECT 1', NULL, '{"verify": "SELECT id > 0 FROM companies FOR UPDATE"}')));
SELECT count(*) FROM tenantmig.migrations;

-- half-way: an error in the second statement leaves nothing of the first, and names its place; SQLSTATE and constraint stay
SELECT make('half', jsonb_build_array(sql_step('CREATE TABLE first (i integer)', 'DROP TABLE first'),
  sql_step('CREATE TABLE a (i integer CONSTRAINT positive CHECK (i > 0)); INSERT INTO a SELECT count(*) FROM companies; SELECT 1', 'DROP TABLE a')));
CALL tenantmig.up('half');
\echo :LAST_ERROR_SQLSTATE
TABLE state;
SELECT progress FROM tenantmig.migrations WHERE migration = 'half';
SELECT to_regclass('first') IS NOT NULL AS first, to_regclass('a') AS a;
CALL tenantmig.up('half');
SELECT tenantmig.drop_migration('half');
INSERT INTO companies VALUES (1);
CALL tenantmig.up('half');
TABLE state;
TABLE a;
CALL tenantmig.down('half');
SELECT step, action, outcome, error FROM tenantmig.execution_log ORDER BY id;

-- a name that is taken
CREATE TABLE taken (i integer);
SELECT make('taken', jsonb_build_array(sql_step('CREATE TABLE taken (i integer)', 'DROP TABLE taken')));
CALL tenantmig.up('taken');
DROP TABLE taken;
CALL tenantmig.up('taken');
-- down that fails: all of the step stands, and is not done twice
ALTER TABLE taken RENAME TO elsewhere;
CALL tenantmig.down('taken');
SELECT * FROM state WHERE migration = 'taken';
-- half-way: it has to be gone on with, in either direction
CALL tenantmig.up('taken', to_step => 0);
CALL tenantmig.down('taken', to_step => 1);
SELECT tenantmig.drop_migration('taken');
CALL tenantmig.up('taken');
SELECT * FROM state WHERE migration = 'taken';
ALTER TABLE elsewhere RENAME TO taken;
CALL tenantmig.down('taken');

-- no way back: refused before anything is changed
SELECT make('oneway', jsonb_build_array(sql_step('CREATE TABLE one (i integer)'), sql_step('CREATE TABLE two (i integer)', 'DROP TABLE two')));
CALL tenantmig.up('oneway');
CALL tenantmig.down('oneway');
SELECT to_regclass('two') IS NOT NULL AS stays;
CALL tenantmig.down('oneway', to_step => 1);
SELECT to_regclass('two') IS NOT NULL AS stays;

-- verify: false, NULL, no row, another type, an error, and a write are errors, and all of the step goes
CREATE TABLE log (i integer);
CREATE FUNCTION writes() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN INSERT INTO walk.log VALUES (1); RETURN true; END $$;
SELECT make('v' || n, jsonb_build_array(sql_step('CREATE TABLE v (i integer)', 'DROP TABLE v', jsonb_build_object('verify', q))))
  FROM (VALUES (1, 'SELECT count(*) > 0 FROM v'), (2, 'SELECT NULL::boolean'), (3, 'SELECT true FROM v'), (4, 'SELECT count(*) FROM v'), (5, 'SELECT 1/0 = 1'), (6, 'SELECT walk.writes()'), (7, 'SELECT true, true'), (8, 'VALUES (true), (true)')) q(n, q);
CALL tenantmig.up('v1');
CALL tenantmig.up('v2');
CALL tenantmig.up('v3');
CALL tenantmig.up('v4');
CALL tenantmig.up('v5');
CALL tenantmig.up('v6');
CALL tenantmig.up('v7');
SELECT to_regclass('v') AS v;
CALL tenantmig.up('v8');
SELECT checks FROM tenantmig.execution_log WHERE migration = 'v8';
SELECT check_name, status, expected, actual FROM tenantmig.verify('v8');
SELECT step, kind, row_count, path, locks, note FROM tenantmig.plan('taken');
CALL tenantmig.down('v8');

-- statements on their own: what is done stays, and is not done again
CREATE TABLE big AS SELECT n AS i, CASE WHEN n > 9 THEN 1 ELSE n END AS j FROM generate_series(1, 10) n;
SELECT make('outside', jsonb_build_array(sql_step('INSERT INTO log VALUES (2); CREATE INDEX CONCURRENTLY big_i ON big (i); VACUUM big; CREATE UNIQUE INDEX CONCURRENTLY big_j ON big (j)',
  'DROP INDEX CONCURRENTLY IF EXISTS big_j; DROP INDEX CONCURRENTLY IF EXISTS big_i', '{"transactional": false, "verify": "SELECT indisvalid FROM pg_index WHERE indrelid = ''big''::regclass"}')));
CALL tenantmig.up('outside');
SELECT * FROM state WHERE migration = 'outside';
SELECT indexrelid::regclass, indisvalid FROM pg_index WHERE indrelid = 'big'::regclass ORDER BY 1;
CALL tenantmig.up('outside');
DROP INDEX CONCURRENTLY big_j;
DELETE FROM big WHERE i = 10;
CALL tenantmig.up('outside');
SELECT * FROM state WHERE migration = 'outside';
SELECT indexrelid::regclass, indisvalid FROM pg_index WHERE indrelid = 'big'::regclass ORDER BY 1;
SELECT count(*) FROM log WHERE i = 2;
CALL tenantmig.up('outside');
CALL tenantmig.down('outside');
SELECT count(*) FROM pg_index WHERE indrelid = 'big'::regclass;

-- as whom: the owner of the migration, restricted, with the search_path under which it was made, whoever calls
CREATE TABLE ran (who name, path text, really name);
GRANT INSERT, SELECT ON ran TO PUBLIC;
GRANT USAGE ON SCHEMA walk TO PUBLIC;
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO walk.ran VALUES (current_user, current_setting('search_path'), session_user); RETURN NULL; END $$;
SET ROLE regress_owner;
SELECT make('mine', jsonb_build_array(
  sql_step('CREATE TABLE plain (i integer); INSERT INTO ran VALUES (current_user, current_setting(''search_path'')); SET search_path = pg_catalog; INSERT INTO walk.ran VALUES (current_user, current_setting(''search_path''))', 'DROP TABLE plain'),
  sql_step('CREATE TABLE alone (i integer); INSERT INTO ran VALUES (current_user, current_setting(''search_path''))', 'DROP TABLE alone', '{"transactional": false}')));
RESET ROLE;
CREATE SCHEMA hostile;
CREATE FUNCTION hostile.current_setting(text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE 'here I am'; END $$;
CREATE TABLE hostile.ran (a name, b text);
SET search_path = hostile, pg_catalog, walk;
CALL tenantmig.up('mine');
SHOW search_path;
SET search_path = walk;
SELECT who, path FROM ran;
SELECT relname, relowner::regrole FROM pg_class WHERE relname IN ('plain', 'alone') ORDER BY 1;
SET ROLE regress_other;
CALL tenantmig.down('mine');
CALL tenantmig.up('mine');
RESET ROLE;
CALL tenantmig.down('mine');
-- a superuser's migration only by a superuser
SELECT make('super', jsonb_build_array(sql_step('CREATE TABLE s (i integer)', 'DROP TABLE s')));
SET ROLE regress_owner;
CALL tenantmig.up('super');
RESET ROLE;
-- the owner's SQL gains nothing from a superuser who runs it
SET ROLE regress_owner;
CREATE FUNCTION walk.climb(command text) RETURNS text LANGUAGE plpgsql AS $$ DECLARE state text; message text; BEGIN EXECUTE command; RETURN 'no error';
  EXCEPTION WHEN OTHERS THEN GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT; RETURN state || ': ' || message; END $$;
SELECT make('climb', jsonb_build_array(
  sql_step('CREATE TABLE got (command text, result text); INSERT INTO got SELECT c, walk.climb(c) FROM unnest(ARRAY[''RESET ROLE'', ''SET ROLE postgres'', ''SET SESSION AUTHORIZATION postgres'', ''ALTER ROLE regress_owner SUPERUSER'',
    ''CREATE TEMP TABLE t (i integer)'', ''INSERT INTO walk.ran VALUES (current_user)'', ''COPY walk.ran TO PROGRAM ''''cat'''''', ''UPDATE tenantmig.migration SET owner = owner'']) c', 'DROP TABLE got'),
  sql_step('INSERT INTO got SELECT c, walk.climb(c) FROM unnest(ARRAY[''RESET ROLE'', ''SET ROLE postgres'', ''SET SESSION AUTHORIZATION postgres'', ''ALTER ROLE regress_owner SUPERUSER'']) c', 'SELECT 1', '{"transactional": false}')));
RESET ROLE;
CALL tenantmig.up('climb');
TABLE got;
SELECT rolsuper FROM pg_roles WHERE rolname = 'regress_owner';
-- nor from a procedure that ends transactions: each of them begins and ends as the owner
SET ROLE regress_owner;
CREATE PROCEDURE walk.turn() LANGUAGE plpgsql AS $$ BEGIN
  ROLLBACK; INSERT INTO got VALUES ('rolled back', current_user), ('rolled back, SET ROLE', walk.climb('SET ROLE postgres'));
  COMMIT; INSERT INTO got VALUES ('committed', current_user); COMMIT;
  ROLLBACK; INSERT INTO got VALUES ('rolled back again', walk.climb('ALTER ROLE regress_owner SUPERUSER')); END $$;
SELECT make('turn', jsonb_build_array(sql_step('CALL walk.turn()', 'SELECT 1', '{"transactional": false}')));
RESET ROLE;
TRUNCATE got;
CALL tenantmig.up('turn');
TABLE got;
-- nor from what it defers to the commit
SET ROLE regress_owner;
CREATE TABLE later (i integer);
CREATE CONSTRAINT TRIGGER note AFTER INSERT ON later DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION note();
SELECT make('later', jsonb_build_array(sql_step('INSERT INTO later VALUES (1)', 'SELECT 1')));
SELECT make('later2', jsonb_build_array(sql_step('INSERT INTO later VALUES (1)', 'SELECT 1', '{"transactional": false}')));
RESET ROLE;
TRUNCATE ran;
CALL tenantmig.up('later');
CALL tenantmig.up('later2');
SELECT * FROM ran;

SET client_min_messages = warning;
DROP EXTENSION tenantmig CASCADE;
DROP SCHEMA walk, hostile CASCADE;
DROP ROLE regress_owner, regress_other;
