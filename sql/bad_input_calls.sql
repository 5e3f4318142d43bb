-- Bad input: every argument of every function x NULL and every value that it cannot take.
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
DROP SCHEMA IF EXISTS bad_input, helper CASCADE;
DROP EXTENSION IF EXISTS tenantmig CASCADE;
CREATE EXTENSION tenantmig;
CREATE SCHEMA helper;
CREATE SCHEMA bad_input;
SET search_path = bad_input;

-- Everything that a refused call must leave alone: the extension's tables, the user's tables and their definitions, the session's identity.
CREATE FUNCTION helper.fingerprint(who name DEFAULT current_user) RETURNS text LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
  relation regclass; part text; whole text := concat_ws('|', who, session_user, current_setting('search_path'), current_setting('row_security'),
    current_setting('session_replication_role'), current_setting('lock_timeout'));
BEGIN
  FOR relation IN SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname IN ('tenantmig', 'bad_input') AND c.relkind IN ('r', 'm') ORDER BY c.oid LOOP
    EXECUTE format('SELECT md5(string_agg(t::text, '','' ORDER BY t::text)) FROM %s t', relation) INTO part;
    whole := concat_ws('|', whole, relation, part,
      (SELECT string_agg(concat_ws(' ', attname, atttypid, attnotnull), ',' ORDER BY attnum) FROM pg_attribute WHERE attrelid = relation),
      (SELECT count(*) FROM pg_constraint WHERE conrelid = relation), (SELECT count(*) FROM pg_index WHERE indrelid = relation),
      (SELECT count(*) FROM pg_trigger WHERE tgrelid = relation));
  END LOOP;
  RETURN md5(whole);
END $$;

CREATE TABLE helper.attempts (label text, command text, state text, hint text);
-- Runs a command that must fail and says how: SQLSTATE, message, DETAIL, HINT. What must not be there is said in capitals.
CREATE FUNCTION helper.attempt(label text, command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  before text := helper.fingerprint(); state text := '00000'; message text := 'NO ERROR'; detail text := ''; hint text := '';
BEGIN
  BEGIN
    EXECUTE command;
  EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
  END;
  message := regexp_replace(message, 'pg_temp_\d+', 'pg_temp_N');
  detail := regexp_replace(detail, '(now it is )[0-9a-f]{64}', '\1HASH');
  detail := regexp_replace(detail, 'Today is [-0-9]+', 'Today is DAY');
  IF length(detail) > 500 THEN detail := left(detail, 250) || ' AND SO ON'; END IF;
  IF length(message) > 500 THEN message := left(message, 250) || ' AND SO ON'; END IF;
  IF helper.fingerprint() <> before THEN message := 'SOMETHING CHANGED: ' || message; END IF;
  INSERT INTO helper.attempts VALUES (label, command, state, hint);
  RETURN format('ERROR: [%s] %s: %s%s%s', label, state, message, '; DETAIL: ' || nullif(detail, ''), '; HINT: ' || nullif(hint, ''));
END $$;

-- One migration with a run: customer 3 is in review, its evidence disagrees.
CREATE ROLE regress_caller;
CREATE TABLE companies (id integer PRIMARY KEY, name text);
CREATE TABLE customers (id integer PRIMARY KEY, company_id integer REFERENCES companies, name text, deleted_at timestamptz);
CREATE TABLE orders (id integer PRIMARY KEY, customer_id integer REFERENCES customers, company_id integer REFERENCES companies);
CREATE TABLE clients (id integer PRIMARY KEY, company_id integer REFERENCES companies, name text, deleted_at timestamptz);
CREATE TABLE payments (id integer PRIMARY KEY, client_id integer REFERENCES clients, company_id integer REFERENCES companies);
INSERT INTO clients VALUES (1, NULL, 'client 1'), (2, NULL, 'client 2');
INSERT INTO companies VALUES (1, 'one'), (2, 'two');
INSERT INTO customers SELECT n, NULL, 'customer ' || n FROM generate_series(1, 4) n;
INSERT INTO orders VALUES (1, 1, 1), (2, 2, 2), (3, 3, 1), (4, 3, 2);
SELECT outcome, row_count FROM tenantmig.backfill('customers', 'company_id');
INSERT INTO customers VALUES (5, NULL, 'customer 5'), (6, NULL, 'customer 6');
INSERT INTO orders VALUES (5, 5, 1);

-- what each argument takes when another one is under test
CREATE TABLE helper.good (argument text PRIMARY KEY, value text, nullable boolean NOT NULL DEFAULT false);
INSERT INTO helper.good (argument, value) VALUES
  ('name', 'customers.company_id'), ('migration', 'customers.company_id'), ('relation', 'clients'), ('column_name', 'company_id'), ('evidence', 'unanimous'),
  ('on_conflict', 'review'), ('on_orphan', 'review'), ('dry_run', 'false'), ('dry_run_rows', '10'), ('dry_run_full', 'false'), ('max_count_change', '0.01'),
  ('force', 'false'), ('with_counts', 'false'), ('include_closed', 'false'), ('run', '1'), ('id', '1'), ('tenant', '1'), ('decisions', '[]'), ('format', 'json'),
  ('deep', 'false'), ('execute', 'false'), ('kind', 'immutable'), ('options', '{}'), ('guard', '4711'), ('location', 'vault:/monday'), ('taken_at', '2026-01-01 03:00+00'),
  ('tenant_root', 'companies'), ('queries', '[{"sql": "SELECT 1", "runs": 1}]'), ('with_data', 'true'),
  ('role', 'regress_caller'), ('level', 'viewer'), ('key_columns', '{id}'), ('key_types', '{integer}'), ('keys', '{1,2}'), ('key', '1'), ('settings', '{}'),
  ('pairs', '1'), ('writes', 'true'), ('max_tenants', '10'), ('measure', 'false'), ('enabled', 'true'), ('time_limit', '1 minute'), ('whole_login', 'true'),
  ('spec', '{"migration": "other", "tenants": {"table": "companies"}, "steps": [{"backfill": {"table": "customers", "column": "company_id",
     "sources": [{"via": "orders.customer_id"}]}}]}');
INSERT INTO helper.good (argument, nullable)
  SELECT a, true FROM unnest('{tenants,sources,assign_orphans_to,soft_delete,conditions,plan_hash,digest,note,old_values,new_values,workers,budget,only_step,manifest,
    day,mode,kinds,older_than,schemas,tenant_key,tables,setting}'::text[]) a;

-- and where NULL is an answer in one function that is none in others
CREATE TABLE helper.may_be_null (function text, argument text);
INSERT INTO helper.may_be_null VALUES ('observe', 'name'), ('fingerprint', 'migration'), ('lint', 'migration'), ('lint_report', 'migration'), ('check_guards', 'migration'), ('check_guards', 'guard'),
  ('probe_isolation', 'migration'), ('probe_isolation', 'role'), ('probe_isolation', 'tenant_root'), ('isolation_speed', 'migration'), ('isolation_speed', 'role'), ('isolation_speed', 'tenant_root');

-- The arguments that a call is given: result columns have names in the same list.
CREATE FUNCTION helper.inputs(callee oid) RETURNS TABLE (type oid, name text, number bigint) LANGUAGE sql AS $$
  SELECT t.type, n.name, t.number
  FROM pg_proc p CROSS JOIN LATERAL unnest(p.proargtypes::oid[]) WITH ORDINALITY t (type, number)
  JOIN LATERAL (SELECT x.name, row_number() OVER (ORDER BY x.place) AS number FROM unnest(p.proargnames, p.proargmodes) WITH ORDINALITY x (name, mode, place)
                WHERE x.mode IS NULL OR x.mode IN ('i', 'b', 'v')) n USING (number)
  WHERE p.oid = callee
$$;

-- A call with one argument as given (NULL for NULL) and the others good.
CREATE FUNCTION helper.call(callee oid, which text, given text) RETURNS text LANGUAGE sql AS $$
  SELECT format('SELECT tenantmig.%I(%s)', p.proname, string_agg(format('%I => %s::%s', a.name,
    CASE WHEN a.name = which THEN quote_nullable(given) ELSE quote_nullable(g.value) END, format_type(a.type, NULL)), ', ' ORDER BY a.number))
  FROM pg_proc p, helper.inputs(p.oid) a LEFT JOIN helper.good g ON g.argument = a.name
  WHERE p.oid = callee GROUP BY p.proname
$$;
CREATE VIEW helper.arguments AS
  SELECT p.oid AS function, p.proname || CASE WHEN count(*) FILTER (WHERE a.number = 1) OVER (PARTITION BY p.proname) > 1
    THEN '(' || (SELECT f.name FROM helper.inputs(p.oid) f WHERE f.number = 1) || ', …)' ELSE '' END AS label, a.name AS argument, a.number
  FROM pg_proc p, helper.inputs(p.oid) a
  WHERE p.pronamespace = 'tenantmig'::regnamespace AND p.prokind = 'f'; -- procedures: bad_input_online and bad_input_enforce
SELECT 'no good value is known for ' || argument FROM helper.arguments WHERE argument NOT IN (SELECT argument FROM helper.good);

-- NULL
SELECT helper.attempt(label || ', ' || argument || ' NULL', helper.call(function, argument, NULL))
FROM helper.arguments JOIN helper.good USING (argument) WHERE NOT nullable AND (label, argument) NOT IN (SELECT function, m.argument FROM helper.may_be_null m) ORDER BY label, number;

-- other values
CREATE TABLE helper.bad (argument text, what text, value text, number serial);
INSERT INTO helper.bad (argument, what, value)
  SELECT argument, what, value FROM unnest('{name,migration}'::text[]) argument, (VALUES ('unknown', 'nothing'), ('empty', ''), ('blank', ' '), ('newline', E'a\nb'), ('emoji', '🦊'),
    ('quotes', 'it''s "x"'), ('capitals', 'CUSTOMERS.COMPANY_ID'), ('201 bytes', repeat('n', 201)), ('100,000 bytes', repeat('n', 100000)), ('percent', '%s%n')) v (what, value);
INSERT INTO helper.bad (argument, what, value)
  SELECT argument, 'number ' || value, value FROM unnest('{run,id}'::text[]) argument, unnest('{0,-1,4711,9223372036854775807,-9223372036854775808}'::text[]) value;
INSERT INTO helper.bad (argument, what, value) VALUES ('only_step', 'number 0', '0'), ('only_step', 'no guard step', '1'), ('only_step', 'number -1', '-1');
INSERT INTO helper.bad (argument, what, value) VALUES
  ('tenant_root', 'empty', ''), ('tenant_root', 'unknown', 'nothing'), ('tenant_root', 'an index', 'companies_pkey'), ('tenant_root', 'SQL', 'companies; DROP TABLE customers'), ('tenant_root', '64 bytes', repeat('r', 64)),
  ('tenant_root', 'of the system', 'pg_catalog.pg_class'), ('tenant_key', 'empty', ''), ('tenant_key', 'unknown', 'nothing'), ('tenant_key', '100,000 bytes', repeat('k', 100000)),
  ('queries', 'null', 'null'), ('queries', 'object', '{}'), ('queries', 'empty', '[]'), ('queries', 'number in it', '[1]'), ('queries', 'no sql', '[{}]'), ('queries', 'unknown field', '[{"sql": "SELECT 1", "mood": 1}]'),
  ('queries', 'huge number', '[{"sql": "SELECT 1", "runs": 1e400}]'), ('queries', '3,000 levels', repeat('[', 3000) || repeat(']', 3000)), ('queries', '1,001 queries', '[' || repeat('{"sql": "SELECT 1"},', 1000) || '{}]'),
  ('tables', 'empty', '{}'), ('tables', 'NULL in it', '{NULL}'), ('tables', 'unknown', '{nothing}'), ('tables', 'an empty name', '{""}'), ('tables', 'SQL', '{companies; DROP TABLE customers}'),
  ('tables', 'of the system', '{pg_catalog.pg_class}'), ('tables', 'an index', '{companies_pkey}'),
  ('pairs', 'number 0', '0'), ('pairs', 'number -1', '-1'), ('pairs', 'number 101', '101'), ('max_tenants', 'number 1', '1'), ('max_tenants', 'number -1', '-1'), ('max_tenants', 'too many', '1000001'),
  ('setting', 'empty', ''), ('setting', 'PostgreSQL''s', 'role'), ('setting', 'SQL', 'a.b; DROP TABLE customers'), ('setting', 'a dot at the end', 'a.'), ('setting', '100,000 bytes', 'a.' || repeat('s', 100000)), ('setting', 'emoji', 'app.🦊'),
  ('level', 'empty', ''), ('level', 'unknown', 'owner'), ('level', 'capitals', 'OPERATOR'), ('level', 'newline', E'viewer\n'),
  ('kind', 'empty', ''), ('kind', 'unknown', 'unique'), ('kind', 'capitals', 'IMMUTABLE'), ('options', 'null', 'null'), ('options', 'a list', '[]'), ('options', 'unknown field', '{"mood": 1}'),
  ('guard', 'number 0', '0'), ('guard', 'number -1', '-1'), ('guard', 'unknown', '4712'), ('location', 'empty', ''), ('location', 'blank', ' '),
  ('taken_at', 'in the future', '2999-01-01'), ('taken_at', 'infinity', 'infinity'), ('taken_at', 'minus infinity', '-infinity'),
  ('manifest', 'number', '1'), ('day', 'infinity', 'infinity'), ('day', 'in the future', '2999-01-01'), ('mode', 'empty', ''), ('mode', 'unknown', 'loud'), ('mode', 'capitals', 'OFF'),
  ('kinds', 'unknown', '{change_log,everything}'), ('kinds', 'NULL in it', '{NULL}'),
  ('time_limit', 'zero', '0'), ('time_limit', 'negative', '-1 s'), ('time_limit', 'too long', '25 hours'), ('time_limit', 'huge', '178000000 years'),
  ('older_than', 'negative', '-1 day'), ('older_than', 'huge', '178000000 years'),
  ('role', 'empty', ''), ('role', 'unknown', 'regress_nobody'), ('role', 'everybody', 'public'), ('role', 'capitals', 'REGRESS_CALLER'), ('role', 'quotes', '"regress_caller"'),
  ('role', '64 bytes', repeat('r', 64)), ('role', 'SQL', 'regress_caller; DROP TABLE customers'),
  ('format', 'empty', ''), ('format', 'unknown', 'docx'), ('format', 'capitals', 'JSON'), ('format', '100,000 bytes', repeat('f', 100000)),
  ('digest', 'empty', ''), ('digest', 'nonsense', 'nonsense'), ('digest', 'half', 'run=1 entries=1'), ('digest', 'huge numbers', 'run=99999999999999999999 entries=1 rows=1'),
  ('digest', '100,000 bytes', repeat('d', 100000)),
  ('plan_hash', 'empty', ''), ('plan_hash', 'nonsense', 'nonsense'), ('plan_hash', 'colon', ':'), ('plan_hash', 'another', repeat('0', 64)),
  ('plan_hash', 'another with counts', repeat('0', 64) || ':assigned=1'), ('plan_hash', '100,000 bytes', repeat('0', 100000)),
  ('max_count_change', 'negative', '-0.01'), ('max_count_change', 'NaN', 'NaN'), ('max_count_change', 'minus infinity', '-Infinity'),
  ('dry_run_rows', 'negative', '-1'), ('dry_run_rows', 'smallest', '-9223372036854775808'),
  ('evidence', 'empty', ''), ('evidence', 'unknown', 'unanimously'), ('evidence', 'capitals', 'FIRST'), ('evidence', '100,000 bytes', repeat('e', 100000)),
  ('on_conflict', 'empty', ''), ('on_conflict', 'unknown', 'guess'), ('on_conflict', 'of orphans', 'soft_delete'),
  ('on_orphan', 'empty', ''), ('on_orphan', 'unknown', 'delete'), ('on_orphan', 'of conflicts', 'majority'), ('on_orphan', 'without column', 'soft_delete'),
  ('on_orphan', 'without tenant', 'assign'),
  ('assign_orphans_to', 'unknown tenant', '99'), ('assign_orphans_to', 'wrong type', 'one'), ('assign_orphans_to', 'empty', ''), ('assign_orphans_to', 'huge', '99999999999999999999'),
  ('tenant', 'unknown', '99'), ('tenant', 'wrong type', 'one'), ('tenant', 'empty', ''), ('tenant', 'huge', '99999999999999999999'), ('tenant', 'emoji', '🦊'),
  ('tenant', '100,000 bytes', repeat('t', 100000)),
  ('sources', 'null', 'null'), ('sources', 'number', '1'), ('sources', 'string', '"orders.customer_id"'), ('sources', 'object', '{"via": "orders.customer_id"}'), ('sources', 'empty', '[]'),
  ('sources', 'null in it', '[null]'), ('sources', 'string in it', '["orders.customer_id"]'), ('sources', 'no field', '[{}]'), ('sources', 'unknown field', '[{"via": "orders.customer_id", "were": {}}]'),
  ('sources', 'via a number', '[{"via": 1}]'), ('sources', 'via and path', '[{"via": "a", "path": ["b"]}]'), ('sources', 'empty path', '[{"path": []}]'),
  ('sources', 'types without type_column', '[{"via": "name", "types": {"T": "orders"}}]'), ('sources', 'type_column without types', '[{"via": "name", "type_column": "name"}]'),
  ('sources', 'twice', '[{"via": "orders.customer_id"}, {"via": "orders.customer_id"}]'), ('sources', 'where as SQL', '[{"via": "payments.client_id", "where": "id > 1"}]'),
  ('sources', 'condition an object', '[{"via": "payments.client_id", "where": {"id": {"gt": 1}}}]'), ('sources', 'condition a list of lists', '[{"via": "payments.client_id", "where": {"id": [[1]]}}]'),
  ('sources', 'huge number', '[{"via": "payments.client_id", "where": {"id": 1e400}}]'),
  ('sources', '3,000 levels', repeat('[', 3000) || repeat(']', 3000)), ('sources', '101 sources', '[' || repeat('{"via": "orders.customer_id"},', 100) || '{}]'),
  ('conditions', 'null', 'null'), ('conditions', 'a list', '[]'), ('conditions', 'string', '"id > 1"'), ('conditions', 'empty list', '{"id": []}'), ('conditions', 'object', '{"id": {"gt": 1}}'),
  ('conditions', 'wrong type', '{"id": "x"}'), ('conditions', 'out of range', '{"id": "99999999999999999999"}'), ('conditions', 'column twice', '{"id": 1, "ID": 2}'),
  ('conditions', 'huge number', '{"id": 1e400}'), ('conditions', '3,000 levels', repeat('{"a":', 3000) || '1' || repeat('}', 3000)),
  ('soft_delete', 'not a time', 'name'),
  ('decisions', 'null', 'null'), ('decisions', 'object', '{}'), ('decisions', 'number', '1'), ('decisions', 'number in it', '[1]'), ('decisions', 'no id', '[{}]'),
  ('decisions', 'id a string', '[{"id": "1"}]'), ('decisions', 'id a fraction', '[{"id": 1.5}]'), ('decisions', 'id huge', '[{"id": 99999999999999999999}]'), ('decisions', 'id beyond floats', '[{"id": 1e400}]'),
  ('decisions', 'unknown id', '[{"id": 4711, "decision": "dismiss"}]'), ('decisions', 'unknown decision', '[{"id": 1, "decision": "maybe"}]'),
  ('decisions', 'resolve without tenant', '[{"id": 1, "decision": "resolve"}]'), ('decisions', 'unknown tenant', '[{"id": 1, "decision": "resolve", "tenant": "99"}]'),
  ('decisions', 'tenant of a wrong type', '[{"id": 1, "decision": "resolve", "tenant": "one"}]'), ('decisions', 'tenant a number', '[{"id": 1, "decision": "resolve", "tenant": 1}]'),
  ('decisions', 'twice', '[{"id": 1, "decision": ""}, {"id": 1, "decision": "dismiss"}]'), ('decisions', 'unknown field', '[{"id": 1, "tennant": "1"}]'),
  ('decisions', '3,000 levels', repeat('[', 3000) || repeat(']', 3000)),
  ('key_columns', 'empty', '{}'), ('key_columns', 'too many', '{a,b}'), ('key_columns', 'two dimensions', '{{a},{b}}'), ('key_columns', 'NULL in it', '{NULL,NULL}'),
  ('key_types', 'empty', '{}'), ('key_types', 'too many', '{integer,text}');
-- a spec is one good document with one thing wrong
INSERT INTO helper.bad (argument, what, value) SELECT 'spec', what, value FROM (VALUES
  ('null', 'null'), ('number', '1'), ('string', '"migration"'), ('list', '[]'), ('empty', '{}'), ('3,000 levels', repeat('{"a":', 3000) || '1' || repeat('}', 3000)),
  ('huge number', '{"migration": "other", "version": 1e400}')) v (what, value);
INSERT INTO helper.bad (argument, what, value)
  SELECT 'spec', what, jsonb_set(value::jsonb, path::text[], new::jsonb) FROM helper.good, (VALUES
    ('name a number', '{migration}', '7'), ('name empty', '{migration}', '""'), ('name of blanks', '{migration}', '"  "'), ('name with a newline', '{migration}', '"a\nb"'),
    ('name of 201 bytes', '{migration}', '"' || repeat('n', 201) || '"'), ('name is taken', '{migration}', '"customers.company_id"'), ('unknown field', '{stepps}', '[]'),
    ('version a string', '{version}', '"8"'), ('version huge', '{version}', '99999999999999999999'), ('version a fraction', '{version}', '1.5'), ('description a list', '{description}', '[]'),
    ('tenants a string', '{tenants}', '"companies"'), ('tenants null', '{tenants}', 'null'), ('tenants key a number', '{tenants,key}', '1'),
    ('steps an object', '{steps}', '{}'), ('no steps', '{steps}', '[]'), ('a step a string', '{steps,0}', '"backfill"'), ('a step with two kinds', '{steps,0,guard}', '{}'),
    ('an unknown kind', '{steps,0}', '{"backfil": {}}'), ('isolate without fields', '{steps,0}', '{"isolate": {}}'), ('the column a list', '{steps,0,backfill,column}', '["a"]'),
    ('an unknown field', '{steps,0,backfill,on_conflicts}', '"review"'), ('evidence a number', '{steps,0,backfill,evidence}', '1'), ('assign null', '{steps,0,backfill,on_orphan}', '{"assign": null}'),
    ('assign a fraction', '{steps,0,backfill,on_orphan}', '{"assign": 1.5}'), ('assign empty', '{steps,0,backfill,on_orphan}', '{"assign": ""}'),
    ('coverage 75', '{steps,0,backfill,preflight}', '{"min_coverage": 75}'), ('conflicts 0', '{steps,0,backfill,preflight}', '{"max_conflicts": 0}'),
    ('nulls -1', '{steps,0,backfill,preflight}', '{"expected_nulls": -1}'), ('an unknown limit', '{steps,0,backfill,preflight}', '{"max_nulls": 1}')) v (what, path, new)
  WHERE argument = 'spec';
SELECT helper.attempt(label || ', ' || argument || ': ' || what, helper.call(function, argument, value))
FROM helper.arguments JOIN helper.bad b USING (argument)
WHERE NOT (label = 'check_migration' AND what = 'name is taken') -- only one of the two stores it
  AND NOT (argument = 'role' AND label <> 'grant_access' AND what IN ('capitals', 'quotes')) -- there the name is taken as written
  AND (argument <> 'spec' OR label NOT IN ('spec_checksum', 'spec_difference')) -- these take every document
ORDER BY label, arguments.number, b.number;

-- two arguments that do not go together
SELECT helper.attempt('an orphans'' tenant, and they fail', $$SELECT tenantmig.backfill('customers', 'company_id', on_orphan => 'fail', assign_orphans_to => '1')$$);
SELECT helper.attempt('the migration exists, with another spec', $$SELECT tenantmig.backfill('customers', 'company_id', evidence => 'first')$$);
SELECT helper.attempt('counts that cannot be read', format('SELECT tenantmig.backfill(%L, plan_hash => %L)', 'customers.company_id', tenantmig.plan_hash('customers.company_id') || ':assigned=many'));
SELECT helper.attempt('half of the counts', format('SELECT tenantmig.backfill(%L, plan_hash => %L)', 'customers.company_id', tenantmig.plan_hash('customers.company_id') || ':assigned=1'));
SELECT helper.attempt('no such function', $$SELECT tenantmig.backfill(1, 2)$$);
SELECT helper.attempt('keys of two columns that are none', $$SELECT tenantmig.unpack('{a,b}', '{text,text}', '{x,"{a"}', NULL, NULL)$$);
SELECT helper.attempt('fewer values than keys', $$SELECT tenantmig.unpack('{a}', '{text}', '{x,y}', '{1}', NULL)$$);
SELECT helper.attempt('a key that is none', $$SELECT tenantmig.row_key('{a,b}', '{text,text}', '{x,"y}')$$);

-- Nothing may be written here.
BEGIN READ ONLY;
SELECT * FROM tenantmig.backfill('customers.company_id', dry_run => false);
ROLLBACK;

-- What every one of them had: no defect, and a hint. Exemptions shrink: one that is not needed any more is printed too.
\pset tuples_only off
CREATE TABLE helper.exempt (label text, why text);
SELECT label, state, left(command, 200) AS command FROM helper.attempts WHERE state IN ('00000', 'XX000', 'TM999') OR state LIKE '58%';
SELECT label, state FROM helper.attempts WHERE hint = '' AND label NOT IN (SELECT label FROM helper.exempt) ORDER BY label;
SELECT label AS no_longer_exempt FROM helper.exempt e WHERE NOT EXISTS (SELECT FROM helper.attempts a WHERE a.label = e.label AND a.hint = '');
-- every argument was given something else than NULL, too, but switches, notes, the texts of the change log and the names of bad_input_tables
SELECT label, argument FROM helper.arguments WHERE argument NOT IN (SELECT argument FROM helper.bad) ORDER BY label, number;
SELECT count(*) > 300 AS many FROM helper.attempts;

DROP SCHEMA bad_input, helper CASCADE;
DROP EXTENSION tenantmig;
DROP ROLE regress_caller;
