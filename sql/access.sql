-- Who may call what: levels of access, as granted and as called.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tenantmig CASCADE;
CREATE EXTENSION tenantmig;
CREATE ROLE regress_viewer;
CREATE ROLE regress_reviewer;
CREATE ROLE regress_operator;
CREATE ROLE regress_nobody;
CREATE ROLE "Regress ""odd""";
SELECT tenantmig.grant_access('regress_viewer', 'viewer');
SELECT tenantmig.grant_access('regress_reviewer', 'reviewer');
SELECT tenantmig.grant_access('regress_operator', 'operator');
SELECT tenantmig.grant_access('Regress "odd"', 'viewer');

-- the matrix of roles and functions; nothing is for everybody (but the trigger function, which adding a partition takes), grant_access is for nobody
SELECT p.oid::regprocedure AS function, has_function_privilege('regress_nobody', p.oid, 'EXECUTE') AS nobody,
  has_function_privilege('regress_viewer', p.oid, 'EXECUTE') AS viewer, has_function_privilege('regress_reviewer', p.oid, 'EXECUTE') AS reviewer,
  has_function_privilege('regress_operator', p.oid, 'EXECUTE') AS operator
FROM pg_proc p WHERE p.pronamespace = 'tenantmig'::regnamespace ORDER BY p.oid::regprocedure::text COLLATE "C";
-- of relations: the views, nothing else, and nothing but SELECT
SELECT r.rolname AS role, c.relkind AS kind, bool_and(has_table_privilege(r.oid, c.oid, 'SELECT')) AS can_select_all, bool_or(has_table_privilege(r.oid, c.oid, 'SELECT')) AS can_select_any,
  bool_or(has_table_privilege(r.oid, c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER')) AS can_write
FROM pg_class c CROSS JOIN pg_roles r WHERE c.relnamespace = 'tenantmig'::regnamespace AND c.relkind IN ('r', 'v') AND r.rolname ~ '^regress_(nobody|viewer|reviewer|operator)$'
GROUP BY 1, 2 ORDER BY 1, 2;
SELECT r.rolname AS role, bool_or(has_sequence_privilege(r.oid, c.oid, 'USAGE, SELECT, UPDATE')) AS can_use_sequences, has_schema_privilege(r.oid, 'tenantmig', 'USAGE') AS can_use_schema,
  has_schema_privilege(r.oid, 'tenantmig', 'CREATE') AS can_create
FROM pg_class c CROSS JOIN pg_roles r WHERE c.relnamespace = 'tenantmig'::regnamespace AND c.relkind = 'S' AND r.rolname ~ '^(regress_(nobody|viewer|reviewer|operator)|Regress .*)$'
GROUP BY r.oid, r.rolname ORDER BY r.rolname COLLATE "C";

-- real calls, with rights on tables as they usually are: the operator owns them, the reviewer may update the key, the viewer has none
CREATE SCHEMA shop AUTHORIZATION regress_operator;
GRANT USAGE ON SCHEMA shop TO PUBLIC;
SET ROLE regress_operator;
SET search_path = shop;
CREATE TABLE companies (id integer PRIMARY KEY);
INSERT INTO companies VALUES (1), (2);
CREATE TABLE customers (id integer PRIMARY KEY, company_id integer REFERENCES companies);
CREATE TABLE appointments (customer_id integer REFERENCES customers, company_id integer);
INSERT INTO customers SELECT generate_series(1, 6);
INSERT INTO appointments VALUES (1, 1), (2, 2);
GRANT SELECT (id, company_id), UPDATE (company_id) ON customers TO regress_reviewer;
RESET ROLE;
RESET search_path;
CREATE FUNCTION public.attempt(command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  message text;
BEGIN
  EXECUTE command;
  RETURN 'ok';
EXCEPTION WHEN OTHERS THEN
  RETURN SQLSTATE || ' ' || SQLERRM;
END $$;
CREATE TABLE public.calls (number serial, command text);
GRANT SELECT ON public.calls TO PUBLIC;
INSERT INTO public.calls (command) VALUES
  ('SELECT tenantmig.version()'),
  ('SELECT * FROM tenantmig.check_migration((SELECT spec FROM tenantmig.migrations LIMIT 1))'),
  ('SELECT tenantmig.create_migration(''{"migration": "mine", "tenants": {"table": "shop.companies"}, "steps": [{"backfill": {"table": "shop.customers", "column": "company_id", "sources": [{"via": "shop.appointments.customer_id"}]}}]}'')'),
  ('SELECT * FROM tenantmig.backfill(''shop.customers'', ''company_id'')'),
  ('SELECT * FROM tenantmig.backfill(migration => (SELECT migration FROM tenantmig.migrations LIMIT 1))'),
  ('SELECT * FROM tenantmig.plan((SELECT migration FROM tenantmig.migrations LIMIT 1))'),
  ('SELECT tenantmig.plan_hash((SELECT migration FROM tenantmig.migrations LIMIT 1))'),
  ('SELECT * FROM tenantmig.preflight((SELECT migration FROM tenantmig.migrations LIMIT 1))'),
  ('SELECT * FROM tenantmig.verify((SELECT migration FROM tenantmig.migrations LIMIT 1))'),
  ('SELECT * FROM tenantmig.review((SELECT migration FROM tenantmig.migrations LIMIT 1))'),
  ('SELECT * FROM tenantmig.resolve(1, ''1'')'),
  ('SELECT * FROM tenantmig.dismiss(2)'),
  ('SELECT * FROM tenantmig.import_reviews((SELECT migration FROM tenantmig.migrations LIMIT 1), ''[{"line": 2, "id": 3, "decision": "dismiss"}]'')'),
  ('SELECT count(*) FROM tenantmig.changes'),
  ('SELECT tenantmig.digest(1)'),
  ('SELECT * FROM tenantmig.verify_changes(1)'),
  ('SELECT tenantmig.report(1)'),
  ('SELECT tenantmig.report(1, ''json'')'),
  ('SELECT tenantmig.undo_script(1)'),
  ('SELECT * FROM tenantmig.undo_skipped'),
  ('SELECT tenantmig.unpack(''{id}'', ''{integer}'', ''{1}'', NULL, NULL)'),
  ('SELECT tenantmig.row_key(''{id}'', ''{integer}'', ''1'')'),
  ('SELECT * FROM tenantmig.rollback(1)'),
  ('SELECT tenantmig.drop_migration((SELECT migration FROM tenantmig.migrations LIMIT 1))'),
  ('SELECT tenantmig.grant_access(current_user::text, ''operator'')'),
  ('SELECT count(*) FROM tenantmig.migrations, tenantmig.steps, tenantmig.runs, tenantmig.batches, tenantmig.review_rows'),
  ('SELECT * FROM tenantmig.change_log'),
  ('UPDATE tenantmig.change_log SET source = '''''),
  ('DELETE FROM tenantmig.review_decision'),
  ('INSERT INTO tenantmig.run_log (migration_id, state, mode, started_by, plan_hash) VALUES (1, ''completed'', ''online'', ''me'', '''')'),
  ('SELECT nextval(''tenantmig.run_id_seq'')'),
  ('CREATE TABLE tenantmig.mine (x integer)');
-- everybody tries all of it, in the state that the operator's first run leaves; each attempt is undone
SET ROLE regress_operator;
SELECT outcome, row_count FROM tenantmig.backfill('shop.customers', 'company_id');
RESET ROLE;
GRANT USAGE ON SCHEMA tenantmig TO regress_nobody;
CREATE FUNCTION public.matrix() RETURNS TABLE (number integer, said text) LANGUAGE plpgsql AS $$
DECLARE
  c record;
  answer text;
BEGIN
  FOR c IN SELECT * FROM public.calls ORDER BY 1 LOOP
    BEGIN
      answer := public.attempt(c.command);
      RAISE EXCEPTION 'undo' USING ERRCODE = 'P0099';
    EXCEPTION WHEN SQLSTATE 'P0099' THEN
    END;
    number := c.number; said := answer;
    RETURN NEXT;
  END LOOP;
END $$;
CREATE TABLE public.result (role text, number integer, said text);
GRANT INSERT ON public.result TO PUBLIC;
SET SESSION AUTHORIZATION regress_nobody;
INSERT INTO public.result SELECT 'nobody', * FROM public.matrix();
SET SESSION AUTHORIZATION regress_viewer;
INSERT INTO public.result SELECT 'viewer', * FROM public.matrix();
SET SESSION AUTHORIZATION regress_reviewer;
INSERT INTO public.result SELECT 'reviewer', * FROM public.matrix();
SET SESSION AUTHORIZATION regress_operator;
INSERT INTO public.result SELECT 'operator', * FROM public.matrix();
RESET SESSION AUTHORIZATION;
\pset format unaligned
SELECT c.number, c.command, 'nobody: ' || n.said || E'\n  viewer: ' || v.said || E'\n  reviewer: ' || r.said || E'\n  operator: ' || o.said AS said
FROM public.calls c JOIN public.result n ON n.number = c.number AND n.role = 'nobody' JOIN public.result v ON v.number = c.number AND v.role = 'viewer'
JOIN public.result r ON r.number = c.number AND r.role = 'reviewer' JOIN public.result o ON o.number = c.number AND o.role = 'operator' ORDER BY 1;
\pset format aligned

-- a level sets exactly that level, upwards and downwards, and twice is once
CREATE FUNCTION public.rights(role text) RETURNS bigint LANGUAGE sql AS
  $$ SELECT count(*) FROM pg_proc p WHERE p.pronamespace = 'tenantmig'::regnamespace AND has_function_privilege(role, p.oid, 'EXECUTE') $$;
SELECT public.rights('regress_viewer') AS viewer, public.rights('regress_reviewer') > public.rights('regress_viewer') AS more, public.rights('regress_operator') > public.rights('regress_reviewer') AS most;
SELECT tenantmig.grant_access('regress_viewer', 'operator');
SELECT tenantmig.grant_access('regress_viewer', 'operator');
SELECT public.rights('regress_viewer') = public.rights('regress_operator') AS same;
SELECT tenantmig.grant_access('regress_viewer', 'reviewer');
SELECT public.rights('regress_viewer') = public.rights('regress_reviewer') AS same;
SELECT tenantmig.grant_access('regress_viewer', 'viewer');
SELECT public.rights('regress_viewer') = public.rights('Regress "odd"') AS same;

-- who gives access, and what is refused
SELECT public.attempt('SELECT tenantmig.grant_access(''regress_viewer'', ''admin'')');
SELECT public.attempt('SELECT tenantmig.grant_access(''regress_viewer'', '''')');
SELECT public.attempt('SELECT tenantmig.grant_access(''regress_viewer'', ''Viewer'')');
SELECT public.attempt('SELECT tenantmig.grant_access(''regress_missing'', ''viewer'')');
SELECT public.attempt('SELECT tenantmig.grant_access(''REGRESS_VIEWER'', ''viewer'')');
SELECT public.attempt('SELECT tenantmig.grant_access(''public'', ''viewer'')');
SELECT public.attempt('SELECT tenantmig.grant_access('''', ''viewer'')');
SELECT public.attempt('SELECT tenantmig.grant_access(NULL, ''viewer'')');
SELECT public.attempt('SELECT tenantmig.grant_access(''regress_viewer'', NULL)');
-- EXECUTE alone does not make somebody a giver of access; membership in the owner's role of the extension does
GRANT EXECUTE ON FUNCTION tenantmig.grant_access(text, text) TO regress_nobody;
SET ROLE regress_nobody;
SELECT regexp_replace(public.attempt('SELECT tenantmig.grant_access(''regress_nobody'', ''operator'')'), '"[^"]*"', 'NAME', 'g');
RESET ROLE;
SELECT public.rights('regress_nobody');

-- a superuser's migration is a superuser's to run, undo and drop, whoever owns the tables
SELECT tenantmig.create_migration('{"migration": "of a superuser", "tenants": {"table": "shop.companies"}, "steps": [{"backfill": {"table": "shop.customers", "column": "company_id", "sources": [{"via": "shop.appointments.customer_id"}]}}]}');
SET ROLE regress_operator;
SELECT public.attempt('SELECT * FROM tenantmig.backfill(''of a superuser'')');
SELECT public.attempt('SELECT * FROM tenantmig.plan(''of a superuser'')');
SELECT public.attempt('SELECT tenantmig.drop_migration(''of a superuser'')');
RESET ROLE;
-- the owner of a migration whose role has gone: only a superuser is left
CREATE ROLE regress_leaver;
SELECT tenantmig.grant_access('regress_leaver', 'operator');
GRANT regress_operator TO regress_leaver;
SET ROLE regress_leaver;
SELECT tenantmig.create_migration('{"migration": "of a leaver", "tenants": {"table": "shop.companies"}, "steps": [{"backfill": {"table": "shop.customers", "column": "company_id", "sources": [{"via": "shop.appointments.customer_id"}]}}]}');
RESET ROLE;
DROP OWNED BY regress_leaver;
DROP ROLE regress_leaver;
SET ROLE regress_operator;
SELECT public.attempt('SELECT tenantmig.drop_migration(''of a leaver'')');
RESET ROLE;
SELECT public.attempt('SELECT tenantmig.drop_migration(''of a leaver'')');

DROP SCHEMA shop CASCADE;
DROP TABLE public.calls, public.result;
DROP FUNCTION public.attempt, public.matrix, public.rights;
SELECT tenantmig.drop_migration(migration, true) FROM tenantmig.migrations;
DROP OWNED BY regress_viewer, regress_reviewer, regress_operator, regress_nobody, "Regress ""odd""";
DROP ROLE regress_viewer, regress_reviewer, regress_operator, regress_nobody, "Regress ""odd""";
