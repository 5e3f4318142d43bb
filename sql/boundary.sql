-- The boundary between C++ and PostgreSQL: tests/boundary/ throws, reports errors and runs out of memory on purpose.
SET client_min_messages = warning;
\getenv abs_srcdir PG_ABS_SRCDIR
\set module :abs_srcdir '/tests/boundary/boundary_test'
DROP EXTENSION IF EXISTS tenantmig CASCADE;
DROP SCHEMA IF EXISTS boundary CASCADE;
CREATE SCHEMA boundary;
CREATE FUNCTION boundary.live() RETURNS int LANGUAGE C AS :'module', 'boundary_live';
CREATE FUNCTION boundary.fail(kind text, frames int DEFAULT 20) RETURNS void LANGUAGE C AS :'module', 'boundary_fail';
CREATE FUNCTION boundary.query(command text) RETURNS bigint LANGUAGE C AS :'module', 'boundary_query';
CREATE FUNCTION boundary.nest(kind text, levels int) RETURNS void LANGUAGE C AS :'module', 'boundary_nest';
CREATE FUNCTION boundary.callback(way text, kind text, at int) RETURNS int LANGUAGE C AS :'module', 'boundary_callback';
CREATE FUNCTION boundary.callback_caught(way text, kind text, at int) RETURNS text LANGUAGE C AS :'module', 'boundary_callback_caught';
CREATE FUNCTION boundary.swallow(command text, times int) RETURNS text LANGUAGE C AS :'module', 'boundary_swallow';
CREATE FUNCTION boundary.undo(kind text) RETURNS bigint LANGUAGE C AS :'module', 'boundary_undo';
CREATE FUNCTION boundary.rows(kind text, OUT n int, OUT word text) RETURNS SETOF record LANGUAGE C AS :'module', 'boundary_rows';
CREATE FUNCTION boundary.say(words text) RETURNS void LANGUAGE C AS :'module', 'boundary_say';
CREATE TABLE boundary.written (n int CONSTRAINT written_pkey PRIMARY KEY CONSTRAINT small_enough CHECK (n < 5000), word text NOT NULL DEFAULT 'w');
INSERT INTO boundary.written SELECT generate_series(1, 10);

-- Everything that an error carries, and how many C++ objects survived it.
CREATE TABLE boundary.seen (state text);
CREATE FUNCTION boundary.attempt(command text) RETURNS TABLE (what text, value text) LANGUAGE plpgsql AS $$
DECLARE
  state text; message text; detail text; hint text; context text; schema_name text; table_name text; column_name text; constraint_name text; type_name text;
BEGIN
  BEGIN
    EXECUTE command;
    RETURN QUERY VALUES ('state', 'no error');
  EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT,
      context = PG_EXCEPTION_CONTEXT, schema_name = SCHEMA_NAME, table_name = TABLE_NAME, column_name = COLUMN_NAME,
      constraint_name = CONSTRAINT_NAME, type_name = PG_DATATYPE_NAME;
    INSERT INTO boundary.seen VALUES (state);
    RETURN QUERY
      SELECT * FROM (VALUES ('state', state), ('message', message), ('detail', detail), ('hint', hint), ('schema', schema_name), ('table', table_name),
        ('column', column_name), ('constraint', constraint_name), ('type', type_name), ('context', CASE WHEN context LIKE 'the context%' THEN 'the context' END)) v (a, b)
      WHERE b <> '';
  END;
  RETURN QUERY SELECT 'objects left', boundary.live()::text;
END $$;

-- exceptions of all kinds, thrown below twenty frames with destructors
SELECT * FROM boundary.attempt($$SELECT boundary.fail('exception')$$);
SELECT * FROM boundary.attempt($$SELECT boundary.fail('error')$$);
SELECT * FROM boundary.attempt($$SELECT boundary.fail('plain error')$$);
SELECT * FROM boundary.attempt($$SELECT boundary.fail('int')$$);
SELECT * FROM boundary.attempt($$SELECT boundary.fail('text')$$);
SELECT * FROM boundary.attempt($$SELECT boundary.fail('string')$$);
SELECT * FROM boundary.attempt($$SELECT boundary.fail('optional')$$);
SELECT what, CASE WHEN what IN ('message', 'detail', 'hint') THEN length(value)::text ELSE value END FROM boundary.attempt($$SELECT boundary.fail('long error')$$);

-- memory runs out: thrown, in operator new, in a container, in palloc
SELECT * FROM boundary.attempt($$SELECT boundary.fail('bad_alloc')$$);
SELECT * FROM boundary.attempt($$SELECT boundary.fail('vector')$$);
SELECT * FROM boundary.attempt($$SELECT boundary.fail('resize')$$);
SELECT * FROM boundary.attempt($$SELECT boundary.fail('palloc')$$);
SELECT what, regexp_replace(value, 'context ".*"', 'context "…"') AS value FROM boundary.attempt($$SELECT boundary.fail('huge palloc')$$);

-- a PostgreSQL error travels whole
SELECT * FROM boundary.attempt($$SELECT boundary.fail('ereport')$$);
SELECT * FROM boundary.attempt($$SELECT boundary.fail('nested')$$);
SELECT * FROM boundary.attempt($$SELECT boundary.query('INSERT INTO boundary.written VALUES (7)')$$);
SELECT * FROM boundary.attempt($$SELECT boundary.query('INSERT INTO boundary.written VALUES (7000)')$$);
SELECT * FROM boundary.attempt($$SELECT boundary.query('INSERT INTO boundary.written VALUES (11, NULL)')$$);
SELECT * FROM boundary.attempt($$SELECT boundary.query('SELECT ''x''::int')$$);
SELECT * FROM boundary.attempt($$SELECT boundary.query('SELECT * FROM nowhere')$$);
SELECT * FROM boundary.attempt($$SELECT boundary.query('DO ''BEGIN RAISE EXCEPTION SQLSTATE ''''P0099'''' USING MESSAGE = ''''m'''', DETAIL = ''''d'''', HINT = ''''h'''', CONSTRAINT = ''''c''''; END''')$$);
SELECT * FROM boundary.attempt($$SELECT boundary.query('COMMIT')$$);
SELECT * FROM boundary.attempt($$SELECT boundary.query(NULL)$$);

-- the same at top level, where the error ends the transaction
\set VERBOSITY sqlstate
SELECT boundary.fail('error');
SELECT boundary.fail('int');
SELECT boundary.fail('vector');
SELECT boundary.fail('ereport');
SELECT boundary.query('SELECT 1/0');
\set VERBOSITY default
SELECT boundary.live();

-- C++ -> SPI -> C++ -> …, thirty times
SELECT * FROM boundary.attempt($$SELECT boundary.nest('error', 30)$$);
SELECT * FROM boundary.attempt($$SELECT boundary.nest('int', 30)$$);
SELECT * FROM boundary.attempt($$SELECT boundary.nest('ereport', 30)$$);
SELECT * FROM boundary.attempt($$SELECT boundary.nest('vector', 30)$$);
SELECT * FROM boundary.attempt($$SELECT boundary.nest('nothing', 30)$$);
SELECT what, CASE what WHEN 'hint' THEN left(value, 51) ELSE value END AS value FROM boundary.attempt($$SELECT boundary.nest('nothing', 1000000)$$);

-- a query that is cancelled in the middle of C++
SET statement_timeout = '50 ms';
\set VERBOSITY sqlstate
SELECT boundary.fail('interrupt');
\set VERBOSITY default
RESET statement_timeout;
SELECT boundary.live();

-- callbacks that fail at the third row: the failure arrives, and no further row does
SELECT way, boundary.callback(way, 'nothing', 3) AS seen FROM unnest('{stream,cursor,statement}'::text[]) way;
SELECT way, kind, r ->> 'state' AS state, r ->> 'message' AS message, r ->> 'objects left' AS left
FROM unnest('{stream,cursor,statement,returning}'::text[]) way, unnest('{error,exception,int,vector,ereport}'::text[]) kind,
  LATERAL (SELECT jsonb_object_agg(what, value) AS r FROM boundary.attempt(format('SELECT boundary.callback(%L, %L, 3)', way, kind))) v;
SELECT way, a.what, CASE a.what WHEN 'message' THEN length(value)::text WHEN 'detail' THEN length(value)::text ELSE value END AS value
FROM unnest('{stream,cursor,statement,returning}'::text[]) way, LATERAL boundary.attempt(format('SELECT boundary.callback(%L, ''long ereport'', 3)', way)) a;
SELECT way, boundary.callback_caught(way, 'error', 3) AS result FROM unnest('{stream,cursor,statement}'::text[]) way;
SELECT way, boundary.callback_caught(way, 'int', 10) AS result FROM unnest('{stream,cursor,statement}'::text[]) way;
SELECT boundary.live(), (SELECT count(*) FROM boundary.written WHERE n > 100) AS written;
-- a callback that throws stops an UPDATE … RETURNING at that row
BEGIN;
SELECT boundary.callback_caught('returning', 'exception', 3);
SELECT count(*) FROM boundary.written WHERE n > 100;
ROLLBACK;

-- an error swallowed in a subtransaction: the session goes on, its state is as before
SELECT boundary.swallow('SELECT 1/0', 1);
SELECT boundary.swallow('INSERT INTO boundary.written VALUES (11), (1)', 100);
SELECT boundary.swallow('SELECT boundary.nest(''error'', 5)', 100);
SELECT boundary.swallow('SELECT boundary.fail(''int'')', 3);
SELECT boundary.swallow('SELECT 1', 3);
SELECT kind, boundary.undo(kind) AS rows_left FROM unnest('{undo,error,int,vector,ereport}'::text[]) kind;
SELECT boundary.live();

-- rows in materialise mode
SELECT * FROM boundary.rows('nothing');
SELECT * FROM boundary.attempt($$SELECT * FROM boundary.rows('error')$$);
SELECT * FROM boundary.attempt($$SELECT * FROM boundary.rows('cells')$$);
SELECT * FROM boundary.attempt($$SELECT * FROM boundary.rows('type')$$);
SELECT * FROM boundary.attempt($$SELECT boundary.rows('nothing')$$);

-- text is never taken for a format
SET client_min_messages = notice;
SELECT boundary.say('100 %s, %n, %m, ünïcödé 🐘');
SET client_min_messages = warning;

-- 10,000 errors of all kinds in one transaction: nothing grows
CREATE FUNCTION boundary.in_use(OUT contexts bigint, OUT resident bigint) LANGUAGE sql AS $$
  SELECT sum(total_bytes)::bigint, substring(pg_read_file('/proc/self/status') FROM 'VmRSS:\s+(\d+) kB')::bigint * 1024 FROM pg_backend_memory_contexts
$$;
CREATE FUNCTION boundary.many(rounds int) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  commands text[] := ARRAY['SELECT boundary.fail(''error'')', 'SELECT boundary.fail(''exception'')', 'SELECT boundary.fail(''int'')',
    'SELECT boundary.fail(''bad_alloc'')', 'SELECT boundary.fail(''vector'')', 'SELECT boundary.fail(''palloc'')', 'SELECT boundary.fail(''ereport'')',
    'SELECT boundary.fail(''nested'')', 'SELECT boundary.query(''INSERT INTO boundary.written VALUES (1)'')', 'SELECT boundary.query(''SELECT 1/0'')',
    'SELECT boundary.nest(''error'', 3)', 'SELECT boundary.nest(''ereport'', 3)', 'SELECT boundary.callback(''stream'', ''error'', 2)',
    'SELECT boundary.callback(''cursor'', ''int'', 2)', 'SELECT boundary.callback(''statement'', ''ereport'', 2)',
    'SELECT boundary.callback(''returning'', ''vector'', 2)', 'SELECT * FROM boundary.rows(''error'')', 'SELECT * FROM boundary.rows(''type'')',
    'SELECT boundary.swallow(''SELECT 1/0'', 1), 1/0', 'SELECT boundary.undo(''error''), 1/0'];
  errors bigint := 0;
BEGIN
  FOR n IN 0 .. rounds - 1 LOOP
    BEGIN
      EXECUTE commands[1 + n % cardinality(commands)];
    EXCEPTION WHEN OTHERS THEN
      errors := errors + 1;
      IF SQLSTATE LIKE 'XX%' THEN RAISE EXCEPTION 'internal error: %', SQLERRM; END IF;
    END;
  END LOOP;
  RETURN errors;
END $$;
SELECT boundary.many(2000) AS warm_up;
SELECT contexts AS contexts_before, resident AS resident_before FROM boundary.in_use() \gset
SELECT boundary.many(10000) AS errors;
SELECT contexts - :contexts_before < 200000 AS contexts_bounded, resident - :resident_before < 4000000 AS resident_bounded, boundary.live() FROM boundary.in_use();
-- long ones as well
DO $$ BEGIN
  FOR n IN 1 .. 300 LOOP
    BEGIN PERFORM boundary.fail('long error'); EXCEPTION WHEN OTHERS THEN NULL; END;
  END LOOP;
END $$;
SELECT contexts - :contexts_before < 200000 AS contexts_bounded, resident - :resident_before < 30000000 AS resident_bounded, boundary.live() FROM boundary.in_use();

-- the product's own functions: 5,000 errors in one transaction
CREATE EXTENSION tenantmig;
CREATE FUNCTION boundary.own(rounds int) RETURNS TABLE (state text, errors bigint) LANGUAGE plpgsql AS $$
DECLARE
  commands text[] := ARRAY['SELECT * FROM tenantmig.plan(''nowhere'')', 'SELECT * FROM tenantmig.backfill(''nowhere'')', 'SELECT tenantmig.create_migration(''{}'')',
    'SELECT * FROM tenantmig.backfill(''boundary.written'', ''n'')', 'SELECT * FROM tenantmig.backfill(''boundary.nowhere'', ''n'')',
    'SELECT * FROM tenantmig.resolve(0, ''1'')', 'SELECT tenantmig.report(0)', 'SELECT * FROM tenantmig.rollback(NULL)',
    'SELECT tenantmig.create_migration(''{"migration": "m", "tenants": {"table": "boundary.written"}, "steps": [{"backfill": {"table": "boundary.seen", "column": "state", "sources": [{"via": "a.b"}]}}]}'')',
    'SELECT tenantmig.grant_access(''nobody'', ''viewer'')'];
  states text[] := '{}';
BEGIN
  FOR n IN 0 .. rounds - 1 LOOP
    BEGIN
      EXECUTE commands[1 + n % cardinality(commands)];
    EXCEPTION WHEN OTHERS THEN
      states[1 + n % cardinality(commands)] := SQLSTATE;
    END;
  END LOOP;
  RETURN QUERY SELECT s, count(*) FROM unnest(states) s GROUP BY s ORDER BY s;
END $$;
SELECT * FROM boundary.own(1000);
SELECT contexts AS contexts_before, resident AS resident_before FROM boundary.in_use() \gset
SELECT sum(errors) AS kinds FROM boundary.own(5000);
SELECT contexts - :contexts_before < 200000 AS contexts_bounded, resident - :resident_before < 4000000 AS resident_bounded FROM boundary.in_use();

-- an error in the middle of a run, in the transaction and in the subtransaction of a dry run: a tenant that does not fit
CREATE TABLE boundary.roots (id text PRIMARY KEY);
CREATE TABLE boundary.narrow (id int PRIMARY KEY, root varchar(3));
CREATE TABLE boundary.evidence (narrow int REFERENCES boundary.narrow, root text REFERENCES boundary.roots);
INSERT INTO boundary.roots VALUES ('a'), ('too long');
INSERT INTO boundary.narrow VALUES (1), (2);
INSERT INTO boundary.evidence VALUES (1, 'a'), (2, 'too long');
SELECT * FROM boundary.attempt($$SELECT * FROM tenantmig.backfill('boundary.narrow', 'root', tenants => 'boundary.roots', sources => '[{"via": "boundary.evidence.narrow"}]')$$);
SELECT * FROM boundary.attempt($$SELECT * FROM tenantmig.backfill('boundary.narrow', 'root', tenants => 'boundary.roots', sources => '[{"via": "boundary.evidence.narrow"}]', dry_run => true)$$);
SELECT count(*) AS nothing FROM boundary.narrow WHERE root IS NOT NULL;

-- never an internal error
SELECT DISTINCT state FROM boundary.seen WHERE state LIKE 'XX%';
SELECT count(*) AS errors_seen, count(DISTINCT state) AS states FROM boundary.seen;
DROP SCHEMA boundary CASCADE;
