-- Bad input: every argument of every procedure, and of the functions that start and resume runs, x NULL and every value that it cannot take.
-- Procedures that commit can be called at the top level only, so the calls are made here and run by psql: for their text, then for their SQLSTATE.
\pset tuples_only on
\pset format unaligned
SET client_min_messages = warning;
DROP SCHEMA IF EXISTS bad_input, helper CASCADE;
DROP EXTENSION IF EXISTS tenantmig CASCADE;
CREATE EXTENSION tenantmig;
CREATE SCHEMA helper;
CREATE SCHEMA bad_input;
SET search_path = bad_input;
CREATE TABLE companies (id integer PRIMARY KEY);
CREATE TABLE customers (id integer PRIMARY KEY, company_id integer);
CREATE TABLE orders (customer_id integer, company_id integer);
INSERT INTO companies VALUES (1), (2);
INSERT INTO customers SELECT generate_series(1, 10);
INSERT INTO orders SELECT n, 1 FROM generate_series(1, 8) n;
CREATE ROLE regress_bad_app;
SELECT tenantmig.create_migration('{"migration": "m", "tenants": {"table": "companies"}, "steps": [{"backfill": {"table": "customers", "column": "company_id",
  "sources": [{"via": "orders.customer_id", "tenant": "company_id"}]}}]}');
SELECT tenantmig.create_migration('{"migration": "finished", "tenants": {"table": "companies"}, "steps": [{"backfill": {"table": "customers", "column": "company_id",
  "sources": [{"via": "orders.customer_id", "tenant": "company_id"}]}}]}');
CALL tenantmig.run('finished');
CALL tenantmig.undo(1);

-- Everything that a refused call must leave alone.
CREATE FUNCTION helper.fingerprint() RETURNS text LANGUAGE plpgsql AS $$
DECLARE relation regclass; part text; whole text := concat_ws('|', current_user, session_user, current_setting('search_path'), current_setting('lock_timeout'));
BEGIN
  FOR relation IN SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname IN ('tenantmig', 'bad_input') AND c.relkind = 'r' ORDER BY c.oid LOOP
    EXECUTE format('SELECT md5(string_agg(t::text, '','' ORDER BY t::text)) FROM %s t', relation) INTO part;
    whole := concat_ws('|', whole, relation, part);
  END LOOP;
  RETURN md5(whole);
END $$;
SELECT helper.fingerprint() AS before \gset

-- What cannot be, as SQL.
CREATE TABLE helper.bad (number serial, argument text, value text);
INSERT INTO helper.bad (argument, value)
  SELECT 'name', v FROM unnest(ARRAY['NULL', '''nothing''', '''''', ''' ''', 'E''a\nb''', '''🦊''', '''it''''s "x"''', '''M''', 'repeat(''n'', 201)', 'repeat(''n'', 100000)', '''%s%n''']) v
  UNION ALL SELECT 'run', v FROM unnest(ARRAY['NULL', '0', '-1', '4711', '9223372036854775807', '-9223372036854775808', '1']) v
  UNION ALL SELECT a, v FROM unnest(ARRAY['budget', 'timeout']) a, unnest(ARRAY['''0 s''', '''-1 s''', '''-1 month''', '''367 days''', '''1000 years''', '''178000000 years''', '''-178000000 years''',
    '''2147483647 days''', '''1 year -500 days''', '''-1 year 1 second''']) v
  UNION ALL SELECT 'workers', v FROM unnest(ARRAY['0', '-1', '65', '2147483647', '-2147483648']) v
  UNION ALL SELECT 'plan_hash', v FROM unnest(ARRAY['''''', '''nonsense''', ''':''', 'repeat(''0'', 64)', 'repeat(''0'', 64) || '':assigned=1''', 'repeat(''0'', 100000)', '''%s%n''']) v
  UNION ALL SELECT a, 'NULL' FROM unnest(ARRAY['proofs', 'maintenance']) a
  UNION ALL SELECT 'to_step', v FROM unnest(ARRAY['-1', '2', '2147483647', '-2147483648']) v
  UNION ALL SELECT 'steps', v FROM unnest(ARRAY['0', '-1', '-2147483648']) v
  UNION ALL SELECT 'tables', v FROM unnest(ARRAY['NULL', '''{}''', '''{NULL}''', '''{missing}''', '''{customers,customers}''', '''{customers,""}''', '''{a.b.c}''', '''{pg_catalog.pg_class}''']) v
  UNION ALL SELECT 'role', v FROM unnest(ARRAY['NULL', '''''', '''nobody''', '''public''', '''regress_bad_app,''', '''a.b''', '''"a''', '''regress_bad_app; DROP TABLE customers''', 'repeat(''r'', 64)']) v
  UNION ALL SELECT 'super_role', v FROM unnest(ARRAY['''''', '''nobody''', '''public''', '''regress_bad_app''']) v
  UNION ALL SELECT 'tenants', v FROM unnest(ARRAY['''''', '''missing''', '''companies; DROP TABLE customers''']) v
  UNION ALL SELECT 'setting', v FROM unnest(ARRAY['NULL', '''''', '''tenant''', '''a.b c''', '''a.''', 'repeat(''a.b'', 1000)']) v
  UNION ALL SELECT 'null_keys', v FROM unnest(ARRAY['NULL', '''''', '''keep''', '''HIDE''']) v
  UNION ALL SELECT 'force', 'NULL'
  UNION ALL SELECT 'max_count_change', v FROM unnest(ARRAY['NULL', '-0.01', '''NaN''', '''-Infinity''', '-1e300']) v;

-- The calls: one argument bad, the others good.
CREATE VIEW helper.calls AS
  SELECT p.proname, b.argument, b.number,
    format('%s tenantmig.%I(%s%s)', CASE p.prokind WHEN 'p' THEN 'CALL' ELSE 'SELECT' END, p.proname,
      CASE WHEN p.proname = 'isolate' THEN (SELECT string_agg(g, '') FROM unnest('{tables,role,tenants}'::text[], ARRAY['tables => ''{customers}'', ', 'role => ''regress_bad_app'', ', 'tenants => ''companies'', ']) AS o (a, g) WHERE a <> b.argument)
           WHEN b.argument IN ('name', 'run') THEN '' WHEN 'run' = ANY (p.proargnames) THEN 'run => 1, ' ELSE 'name => ''m'', ' END,
      b.argument || ' => ' || b.value) AS command
  FROM pg_proc p, unnest(p.proargnames) name JOIN helper.bad b ON b.argument = name
  WHERE p.pronamespace = 'tenantmig'::regnamespace AND (p.prokind = 'p' OR p.proname IN ('start', 'resume', 'pause', 'cancel'))
    AND NOT (p.proname = 'isolate' AND b.argument = 'name' AND b.value !~ '^(NULL|''\s*''|E''|repeat)'); -- it makes one of that name
SELECT 'no bad value is known for ' || p.proname || '(' || name || ')' FROM pg_proc p, unnest(p.proargnames) name
WHERE p.pronamespace = 'tenantmig'::regnamespace AND p.prokind = 'p' AND name NOT IN (SELECT argument FROM helper.bad);
SELECT count(*) > 90 FROM helper.calls;

SELECT command FROM helper.calls WHERE argument <> 'plan_hash' ORDER BY proname, number \gexec
\set VERBOSITY terse
SELECT command FROM helper.calls WHERE argument = 'plan_hash' ORDER BY proname, number \gexec
\set VERBOSITY sqlstate
SELECT command FROM helper.calls ORDER BY proname, number \gexec
\set VERBOSITY default

-- nothing of all that has left a trace
SELECT helper.fingerprint() = :'before' AS unchanged;
SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'tenantmig worker';

-- Values that look absurd and are not: a year, the smallest budget, any change of counts.
CALL tenantmig.wait('m', '1 microsecond');
CALL tenantmig.run('m', budget => '1 microsecond');
SELECT state, error, row_done FROM tenantmig.runs WHERE migration = 'm';
CALL tenantmig.run('m', budget => '366 days', max_count_change => 'Infinity');
SELECT state, assigned, orphans FROM tenantmig.runs WHERE migration = 'm';

DROP SCHEMA bad_input, helper CASCADE;
DROP EXTENSION tenantmig;
DROP ROLE regress_bad_app;
