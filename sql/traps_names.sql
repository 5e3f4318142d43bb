-- Names: hostile ones, and objects that stand in the caller's search_path where pg_catalog's are meant.
SET client_min_messages = warning;
\set SHOW_CONTEXT never
DROP EXTENSION IF EXISTS tenantmig CASCADE;
DROP SCHEMA IF EXISTS evil, plain CASCADE;
CREATE ROLE regress_evil;
CREATE SCHEMA evil AUTHORIZATION regress_evil;
CREATE TABLE evil.called (what text, as_role name);
GRANT INSERT, SELECT ON evil.called TO PUBLIC;
GRANT USAGE ON SCHEMA evil TO PUBLIC;
ALTER TABLE evil.called OWNER TO regress_evil;

-- everything that could be taken for something else
DO $$
DECLARE
  f record;
BEGIN
  -- functions: the same signatures, and ones that fit better than the real ones
  FOR f IN SELECT * FROM (VALUES
      ('unnest', 'anyarray', 'SETOF anyelement', 'SELECT ($1)[1] LIMIT 0'), ('count', 'bigint', 'bigint', 'SELECT 0::pg_catalog.int8'),
      ('format', 'text, text, text', 'text', 'SELECT ''evil''::pg_catalog.text'), ('format', 'text, name, name', 'text', 'SELECT ''evil''::pg_catalog.text'), ('now', '', 'timestamptz', 'SELECT NULL::pg_catalog.timestamptz'),
      ('clock_timestamp', '', 'timestamptz', 'SELECT NULL::pg_catalog.timestamptz'), ('lower', 'text', 'text', 'SELECT ''evil''::pg_catalog.text'),
      ('int4', 'bigint', 'int', 'SELECT 0'), ('int8', 'int', 'bigint', 'SELECT 0::pg_catalog.int8'), ('text', 'int', 'text', 'SELECT ''evil''::pg_catalog.text'),
      ('nextval', 'text', 'bigint', 'SELECT 0::pg_catalog.int8'), ('array_length', 'text[], int', 'int', 'SELECT 0'), ('cardinality', 'text[]', 'int', 'SELECT 0'),
      ('jsonb_array_length', 'jsonb', 'int', 'SELECT 0'), ('quote_ident', 'text', 'text', 'SELECT ''evil''::pg_catalog.text'), ('quote_ident', 'name', 'text', 'SELECT ''evil''::pg_catalog.text'), ('trim_scale', 'numeric', 'numeric', 'SELECT 0::pg_catalog.numeric'),
      ('sha256', 'bytea', 'bytea', 'SELECT ''\x00''::pg_catalog.bytea'), ('max', 'int', 'int', 'SELECT 0'), ('version', '', 'text', 'SELECT ''evil''::pg_catalog.text'),
      ('has_table_privilege', 'oid, text', 'boolean', 'SELECT true'), ('to_regclass', 'text', 'regclass', 'SELECT NULL::pg_catalog.regclass')) v (name, arguments, result, body)
  LOOP
    EXECUTE format('CREATE FUNCTION evil.%I(%s) RETURNS %s LANGUAGE sql AS %L', f.name, f.arguments, f.result,
      format('INSERT INTO evil.called VALUES (%L, current_user); %s', f.name, f.body));
  END LOOP;
  -- operators between all types that keys may have
  FOR f IN SELECT l, r FROM unnest('{int2,int4,int8,text,varchar,uuid,bool,name,oid,timestamptz}'::text[]) l, unnest('{int2,int4,int8,text,varchar,uuid,bool,name,oid,timestamptz}'::text[]) r
    WHERE l = r OR (l LIKE 'int%' AND r LIKE 'int%') OR (l IN ('text', 'varchar') AND r IN ('text', 'varchar'))
  LOOP
    EXECUTE format('CREATE FUNCTION evil.same(pg_catalog.%I, pg_catalog.%I) RETURNS boolean LANGUAGE plpgsql AS %L', f.l, f.r,
      'BEGIN INSERT INTO evil.called VALUES (''an operator'', current_user); RETURN true; END');
    EXECUTE format('CREATE OPERATOR evil.= (LEFTARG = pg_catalog.%I, RIGHTARG = pg_catalog.%I, FUNCTION = evil.same)', f.l, f.r);
    EXECUTE format('CREATE OPERATOR evil.<> (LEFTARG = pg_catalog.%I, RIGHTARG = pg_catalog.%I, FUNCTION = evil.same)', f.l, f.r);
    EXECUTE format('CREATE OPERATOR evil.>= (LEFTARG = pg_catalog.%I, RIGHTARG = pg_catalog.%I, FUNCTION = evil.same)', f.l, f.r);
    EXECUTE format('CREATE OPERATOR evil.< (LEFTARG = pg_catalog.%I, RIGHTARG = pg_catalog.%I, FUNCTION = evil.same)', f.l, f.r);
  END LOOP;
END $$;
-- types by the names of built-in ones, tables by the names of the extension's and of catalogues
CREATE DOMAIN evil.text AS pg_catalog.text CHECK (false);
CREATE DOMAIN evil.int4 AS pg_catalog.int4 CHECK (false);
CREATE DOMAIN evil.int8 AS pg_catalog.int8 CHECK (false);
CREATE DOMAIN evil.uuid AS pg_catalog.uuid CHECK (false);
CREATE DOMAIN evil.jsonb AS pg_catalog.jsonb CHECK (false);
CREATE DOMAIN evil.timestamptz AS pg_catalog.timestamptz CHECK (false);
CREATE TABLE evil.migration (id pg_catalog.int8);
CREATE TABLE evil.pg_class (oid pg_catalog.oid);
CREATE TABLE evil.pg_proc (oid pg_catalog.oid);
CREATE TABLE evil.pg_namespace (oid pg_catalog.oid);

-- the trap
SET search_path = evil, pg_catalog;
SELECT count(1::bigint), lower('A'::pg_catalog.text), 1::pg_catalog.int8 = 2::pg_catalog.int8 AS one_is_two;
SELECT DISTINCT what FROM evil.called ORDER BY what;
TRUNCATE evil.called;

-- the extension is created, used and dropped under that path: nothing of it is called
CREATE EXTENSION tenantmig;
SET search_path = public;
CREATE SCHEMA plain;
CREATE TABLE plain.companies (id int PRIMARY KEY);
CREATE TABLE plain.customers (id bigint, part text, company_id int, deleted_at timestamptz, email varchar, PRIMARY KEY (id, part));
CREATE TABLE plain.orders (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), customer_id bigint, part text, company_id int, status text,
  FOREIGN KEY (customer_id, part) REFERENCES plain.customers);
CREATE FUNCTION plain.touch() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$ BEGIN NEW.email := 'touched'; RETURN NEW; END $$;
CREATE TRIGGER touch BEFORE UPDATE ON plain.customers FOR EACH ROW EXECUTE FUNCTION plain.touch();
INSERT INTO plain.companies VALUES (1), (2);
INSERT INTO plain.customers SELECT n, 'p' || n FROM generate_series(1, 6) n;
INSERT INTO plain.orders (customer_id, part, company_id, status) VALUES (1, 'p1', 1, 'a'), (2, 'p2', 2, 'a'), (3, 'p3', 1, 'a'), (3, 'p3', 2, 'a'), (4, 'p4', 9, 'a');
SELECT tenantmig.grant_access('regress_evil', 'operator');
SET search_path = evil, pg_catalog;
SELECT tenantmig.grant_access('regress_evil', 'viewer');
SELECT tenantmig.create_migration('{"migration": "p", "tenants": {"table": "plain.companies"}, "steps": [{"backfill": {"table": "plain.customers", "column": "company_id", "soft_delete": "deleted_at", "sources": [{"via": "plain.orders.customer_id", "where": {"status": ["a"]}}]}}]}');
SELECT step, source, tenant_column FROM tenantmig.check_migration('{"migration": "q", "tenants": {"table": "plain.companies"}, "steps": [{"backfill": {"table": "plain.customers", "column": "company_id", "sources": [{"via": "plain.orders.customer_id"}]}}]}');
SELECT outcome, source, row_count FROM tenantmig.plan('p');
SELECT pg_catalog.length(tenantmig.plan_hash('p', true)) OPERATOR(pg_catalog.>) 64 AS hashed;
SELECT check_name, status FROM tenantmig.preflight('p');
SELECT outcome, source, row_count FROM tenantmig.backfill('p', dry_run => true);
SELECT outcome, source, row_count FROM tenantmig.backfill('p');
SELECT check_name, status FROM tenantmig.verify('p');
SELECT relation, row_key, new_value, source FROM tenantmig.changes ORDER BY 2;
SELECT id, relation, row_key, class FROM tenantmig.review('p') ORDER BY id;
SELECT relation, row_key, tenant FROM tenantmig.resolve(5, '2');
SELECT relation, row_key, state FROM tenantmig.dismiss(6);
SELECT outcome, row_count FROM tenantmig.import_reviews('p', '[{"line": 2, "id": 7, "decision": "dismiss"}]');
SELECT migration, steps, open_reviews FROM tenantmig.migrations;
SELECT migration, step, kind, relation, column_name FROM tenantmig.steps;
SELECT migration, state, assigned, conflicts, orphans, unknown FROM tenantmig.runs;
SELECT batch, kind, relation, row_count FROM tenantmig.batches ORDER BY batch;
SELECT check_name, status FROM tenantmig.verify_changes(2, tenantmig.digest(2));
SELECT pg_catalog.length(tenantmig.report(2)) OPERATOR(pg_catalog.>) 100 AS reported, pg_catalog.length(tenantmig.report(2, 'json')) OPERATOR(pg_catalog.>) 100 AS as_json;
CREATE TEMP TABLE script AS SELECT * FROM tenantmig.undo_script(2) WITH ORDINALITY AS s (line, n);
SELECT outcome, reason, row_count FROM tenantmig.rollback(2);
SELECT relation, reason FROM tenantmig.undo_skipped;
SELECT outcome, source, row_count FROM tenantmig.backfill('plain.customers', 'company_id', tenants => 'plain.companies');
SELECT outcome, row_count FROM tenantmig.rollback(3);
SELECT tenantmig.drop_migration('plain.customers.company_id');
SELECT tenantmig.drop_migration('p');
SELECT what, as_role FROM evil.called;
RESET search_path;

-- a migration stands for its tables, whatever the search_path says later, and whatever is renamed
SET search_path = plain;
SELECT tenantmig.create_migration('{"migration": "moved", "tenants": {"table": "companies"}, "steps": [{"backfill": {"table": "customers", "column": "company_id", "sources": [{"via": "orders.customer_id"}]}}]}');
SET search_path = evil;
CREATE TABLE evil.customers (id bigint PRIMARY KEY, company_id int);
CREATE TABLE evil.companies (id int PRIMARY KEY);
CREATE TABLE evil.orders (customer_id bigint REFERENCES evil.customers, company_id int);
SELECT relation, outcome, row_count FROM tenantmig.plan('moved');
ALTER TABLE plain.customers RENAME TO clients;
ALTER TABLE plain.clients RENAME company_id TO firm;
ALTER SCHEMA plain RENAME TO plainer;
SELECT relation, outcome, row_count FROM tenantmig.backfill('moved');
SELECT relation, outcome, row_count FROM tenantmig.rollback(4);
ALTER SCHEMA plainer RENAME TO plain;
-- a temporary table that stands in front is refused, not taken
SET search_path = plain;
CREATE TEMP TABLE orders (customer_id bigint, company_id int);
\set VERBOSITY sqlstate
SELECT tenantmig.backfill('orders', 'company_id', tenants => 'companies');
\set VERBOSITY default
DROP TABLE pg_temp.orders;
SELECT tenantmig.drop_migration('moved');

-- the confused deputy: somebody's migration, whose tables went away, does not lead a superuser to other people's tables of that name
RESET search_path;
DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO regress_evil', current_database()); END $$;
SELECT tenantmig.grant_access('regress_evil', 'operator');
SET ROLE regress_evil;
CREATE SCHEMA trap;
CREATE TABLE trap.companies (id int PRIMARY KEY);
CREATE TABLE trap.customers (id bigint PRIMARY KEY, company_id int);
CREATE TABLE trap.orders (customer_id bigint REFERENCES trap.customers, company_id int);
SELECT tenantmig.create_migration('{"migration": "trap", "tenants": {"table": "trap.companies"}, "steps": [{"backfill": {"table": "trap.customers", "column": "company_id", "sources": [{"via": "trap.orders.customer_id"}]}}]}');
DROP SCHEMA trap CASCADE;
RESET ROLE;
CREATE SCHEMA trap;
CREATE TABLE trap.companies (id int PRIMARY KEY);
CREATE TABLE trap.customers (id bigint PRIMARY KEY, company_id int);
CREATE TABLE trap.orders (customer_id bigint REFERENCES trap.customers, company_id int);
INSERT INTO trap.companies VALUES (1);
INSERT INTO trap.customers VALUES (1);
INSERT INTO trap.orders VALUES (1, 1);
SELECT tenantmig.backfill('trap');
\echo :LAST_ERROR_SQLSTATE
SELECT id, company_id FROM trap.customers;
SELECT tenantmig.drop_migration('trap', force => true);
DROP SCHEMA trap CASCADE;
DO $$ BEGIN EXECUTE format('REVOKE CREATE ON DATABASE %I FROM regress_evil', current_database()); END $$;

-- hostile names everywhere: schema, tables, columns, types, migration, and values
CREATE TABLE plain.precious (id int);
CREATE FUNCTION plain.whole_life(n text) RETURNS text LANGUAGE plpgsql AS $do$
DECLARE
  s text := quote_ident(n);                                     -- the schema, its type, key columns
  t text := quote_ident(left(n, 20) || 'T');                    -- the table
  grade text := left(n, 10);                                    -- a value of the type
  m text := translate(n, E'\n\t', '  ');                         -- the migration
  run bigint; got text; nulls bigint; script text;
BEGIN
  EXECUTE format($$CREATE SCHEMA %1$s; CREATE TYPE %1$s.%1$s AS ENUM (%3$L, 'other'); CREATE TABLE %1$s.roots (%1$s text PRIMARY KEY);
    CREATE TABLE %1$s.%2$s (%1$s text PRIMARY KEY, "tenant x" text, "k y" %1$s.%1$s DEFAULT %3$L, "gone z" date);
    CREATE TABLE %1$s.children (%1$s text REFERENCES %1$s.%2$s, tenant text, "k y" %1$s.%1$s DEFAULT %3$L);
    INSERT INTO %1$s.roots VALUES (%4$L), ('b');
    INSERT INTO %1$s.%2$s SELECT %4$L || i FROM generate_series(1, 4) i;
    INSERT INTO %1$s.children VALUES (%4$L || 1, %4$L), (%4$L || 3, %4$L), (%4$L || 3, 'b');
    INSERT INTO %1$s.children VALUES (%4$L || 2, %4$L, 'other')$$, s, t, grade, n);
  PERFORM tenantmig.create_migration(jsonb_build_object('migration', m, 'tenants', jsonb_build_object('table', s || '.roots'), 'steps', jsonb_build_array(
    jsonb_build_object('backfill', jsonb_build_object('table', s || '.' || t, 'column', '"tenant x"', 'soft_delete', '"gone z"', 'where', jsonb_build_object('"k y"', grade),
      'sources', jsonb_build_array(jsonb_build_object('via', format('%s.children.%s', s, s), 'tenant', 'tenant', 'where', jsonb_build_object('"k y"', grade))))))));
  PERFORM tenantmig.plan(m), tenantmig.preflight(m), tenantmig.plan_hash(m, true);
  SELECT string_agg(format('%s %s', outcome, row_count), ', ') INTO got FROM tenantmig.backfill(m);
  run := (SELECT max(id) FROM tenantmig.runs);
  got := got || (SELECT format(', failed checks %s', count(*)) FROM tenantmig.verify(m) WHERE status = 'FAIL');
  PERFORM tenantmig.report(run), tenantmig.report(run, 'json');
  PERFORM tenantmig.resolve(min(id), n, n) FROM tenantmig.review(m);
  got := got || (SELECT format(', log %s, as meant %s', count(*), bool_and(new_value = n AND row_key = jsonb_build_object(n, n || right(row_key ->> n, 1)))) FROM tenantmig.changes WHERE run_id = run);
  SELECT string_agg(line, E'\n') INTO script FROM tenantmig.undo_script(run) line WHERE line !~ '^(BEGIN TRANSACTION|COMMIT;)';
  BEGIN
    EXECUTE script;
    EXECUTE format('SELECT count(*) FROM %s.%s WHERE "tenant x" IS NULL', s, t) INTO nulls;
    got := got || format(', undone by script, nulls %s', nulls);
    RAISE SQLSTATE 'P0099';
  EXCEPTION WHEN SQLSTATE 'P0099' THEN
  END;
  got := got || (SELECT ', undo ' || string_agg(format('%s %s', outcome, row_count), ', ') FROM tenantmig.rollback(run));
  EXECUTE format('SELECT count(*) FROM %s.%s WHERE "tenant x" IS NULL', s, t) INTO nulls;
  PERFORM tenantmig.drop_migration(m);
  EXECUTE format('DROP SCHEMA %s CASCADE', s);
  RETURN got || format(', nulls %s', nulls);
END $do$;
SELECT to_json(n) AS name, plain.whole_life(n) AS result FROM unnest(ARRAY['a"; DROP TABLE plain.precious; --', E'line\nbreak "quoted" ''single''', '🐘''s {} %s $1 \x ',
  repeat('ü', 31) || 'x', 'Select', E'tab\there.dot', '$$', '"', '''); DROP TABLE plain.precious; --', '/* */ NULL', '{"json": [1]}', repeat('漢', 21)]) n;
SELECT count(*) AS still_there FROM plain.precious;
SELECT tenantmig.create_migration('{"migration": "two\nlines", "tenants": {"table": "plain.companies"}, "steps": []}');
\echo :LAST_ERROR_SQLSTATE
-- names that PostgreSQL would cut to 63 bytes, and then take for others
SELECT tenantmig.backfill(repeat('n', 64), 'company_id', tenants => 'plain.companies');
\echo :LAST_ERROR_SQLSTATE
SELECT tenantmig.backfill('plain.clients', repeat('n', 64), tenants => 'plain.companies');
\echo :LAST_ERROR_SQLSTATE
SELECT tenantmig.create_migration(jsonb_build_object('migration', 'long', 'tenants', '{"table": "plain.companies"}'::jsonb, 'steps', jsonb_build_array(jsonb_build_object('backfill',
  jsonb_build_object('table', 'plain.clients', 'column', 'firm', 'sources', jsonb_build_array(jsonb_build_object('via', 'plain.' || repeat('ü', 32) || '.id')))))));
\echo :LAST_ERROR_SQLSTATE

DROP EXTENSION tenantmig CASCADE;
DROP SCHEMA evil, plain CASCADE;
DROP ROLE regress_evil;

-- a schema that somebody else made first is not taken over
CREATE ROLE regress_first;
CREATE SCHEMA tenantmig AUTHORIZATION regress_first;
CREATE EXTENSION tenantmig;
\echo :LAST_ERROR_SQLSTATE
DROP SCHEMA tenantmig;
DROP ROLE regress_first;
-- who is no superuser cannot create it
CREATE ROLE regress_plain;
SET ROLE regress_plain;
CREATE EXTENSION tenantmig;
\echo :LAST_ERROR_SQLSTATE
RESET ROLE;
DROP ROLE regress_plain;
