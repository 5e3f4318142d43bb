-- isolate refuses while a criterion is open, and says which, and what helps; what can't be isolated at all; bad input.
SET client_min_messages = warning;
\set SHOW_CONTEXT never
DROP EXTENSION IF EXISTS tenantmig CASCADE;
DROP SCHEMA IF EXISTS apart CASCADE;
CREATE EXTENSION tenantmig;
CREATE ROLE regress_iso_owner;
CREATE ROLE regress_iso_app;
CREATE ROLE regress_iso_admin;
CREATE ROLE regress_iso_staff;
CREATE ROLE regress_iso_report LOGIN;
CREATE ROLE regress_iso_other;
SELECT r, tenantmig.grant_access(r, 'operator') FROM unnest('{regress_iso_owner,regress_iso_other}'::text[]) r;
CREATE SCHEMA apart AUTHORIZATION regress_iso_owner;
GRANT USAGE, CREATE ON SCHEMA apart TO PUBLIC;
SET search_path = apart;
SET ROLE regress_iso_owner;
CREATE TABLE companies (id integer PRIMARY KEY, name text);
CREATE TABLE customers (id bigint PRIMARY KEY, company_id integer REFERENCES companies, name text);
CREATE TABLE orders (id bigint, company_id integer, placed date NOT NULL, PRIMARY KEY (id, placed)) PARTITION BY RANGE (placed);
CREATE TABLE orders_1 PARTITION OF orders FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE notes (id bigint PRIMARY KEY, company_id integer);
CREATE TABLE old_notes () INHERITS (notes);
INSERT INTO companies VALUES (1, 'one'), (2, 'two');
INSERT INTO customers VALUES (1, 1), (2, 2);
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA apart TO regress_iso_app;
SELECT tenantmig.create_migration('{"migration": "apart", "tenants": {"table": "companies"}, "steps": [{"isolate": {"tables": ["customers", "orders", "notes"], "role": "regress_iso_app", "super_role": "regress_iso_admin"}}]}');
SELECT count(*) AS all_of_them, count(*) FILTER (WHERE status = 'PASS') AS pass FROM tenantmig.isolation_criteria('apart');
RESET ROLE;
-- Each hole by itself: what the criteria say of it, and whether the SQL of the hint closes it.
CREATE TABLE public.holes (number serial, make text, undo text);
CREATE TABLE public.reported (number integer, check_name text, status text, actual text, hint text, closed boolean);
INSERT INTO public.holes (make, undo) VALUES
  ('INSERT INTO customers VALUES (3, NULL)', 'DELETE FROM customers WHERE id = 3'),
  ('INSERT INTO old_notes VALUES (3, NULL), (4, NULL)', 'DELETE FROM old_notes'),
  ('INSERT INTO orders VALUES (3, NULL, ''2026-01-05'')', 'DELETE FROM orders'),
  ('ALTER ROLE regress_iso_app SUPERUSER', 'ALTER ROLE regress_iso_app NOSUPERUSER'),
  ('ALTER ROLE regress_iso_app BYPASSRLS', 'ALTER ROLE regress_iso_app NOBYPASSRLS'),
  ('ALTER ROLE regress_iso_app CREATEROLE', 'ALTER ROLE regress_iso_app NOCREATEROLE'),
  ('ALTER ROLE regress_iso_staff BYPASSRLS; GRANT regress_iso_staff TO regress_iso_app', 'ALTER ROLE regress_iso_staff NOBYPASSRLS; REVOKE regress_iso_staff FROM regress_iso_app'),
  ('ALTER ROLE regress_iso_app NOINHERIT; GRANT regress_iso_owner TO regress_iso_app', 'REVOKE regress_iso_owner FROM regress_iso_app; ALTER ROLE regress_iso_app INHERIT'),
  ('GRANT regress_iso_owner TO regress_iso_staff; GRANT regress_iso_staff TO regress_iso_app', 'REVOKE regress_iso_owner FROM regress_iso_staff; REVOKE regress_iso_staff FROM regress_iso_app'),
  ('GRANT regress_iso_admin TO regress_iso_app', 'REVOKE regress_iso_admin FROM regress_iso_app'),
  ('GRANT TRUNCATE ON customers TO regress_iso_app', 'REVOKE TRUNCATE ON customers FROM regress_iso_app'),
  ('GRANT TRUNCATE ON orders_1 TO PUBLIC', 'REVOKE TRUNCATE ON orders_1 FROM PUBLIC'),
  ('GRANT REFERENCES (id, company_id) ON customers TO regress_iso_app', 'REVOKE REFERENCES (id, company_id) ON customers FROM regress_iso_app'),
  ('GRANT TRIGGER, REFERENCES ON old_notes TO regress_iso_staff; GRANT regress_iso_staff TO regress_iso_app', 'REVOKE TRIGGER, REFERENCES ON old_notes FROM regress_iso_staff; REVOKE regress_iso_staff FROM regress_iso_app'),
  ('CREATE POLICY everybody ON customers FOR SELECT USING (true)', 'DROP POLICY everybody ON customers'),
  ('CREATE POLICY staff ON orders_1 TO regress_iso_staff USING (true); GRANT regress_iso_staff TO regress_iso_app', 'DROP POLICY staff ON orders_1; REVOKE regress_iso_staff FROM regress_iso_app'),
  ('CREATE POLICY tenantmig_tenant ON customers TO regress_iso_report USING (true)', 'DROP POLICY tenantmig_tenant ON customers'),
  ('ALTER ROLE regress_iso_app SET tenantmig.tenant = ''1''', 'ALTER ROLE regress_iso_app RESET tenantmig.tenant'),
  ('GRANT SELECT ON customers TO regress_iso_report; GRANT INSERT ON orders_1 TO PUBLIC', 'REVOKE SELECT ON customers FROM regress_iso_report; REVOKE INSERT ON orders_1 FROM PUBLIC'),
  ('CREATE VIEW names AS SELECT name FROM customers; CREATE MATERIALIZED VIEW kept AS SELECT * FROM notes; ALTER VIEW names OWNER TO regress_iso_owner; GRANT SELECT ON kept TO regress_iso_app', 'DROP VIEW names; DROP MATERIALIZED VIEW kept'),
  ('CREATE VIEW names AS SELECT name FROM customers; GRANT SELECT (name) ON names TO PUBLIC', 'DROP VIEW names'),
  ('CREATE VIEW names WITH (security_invoker = on) AS SELECT name FROM customers; CREATE POLICY narrow ON customers AS RESTRICTIVE USING (true)', 'DROP VIEW names; DROP POLICY narrow ON customers'),
  ('CREATE VIEW names AS SELECT name FROM customers', 'DROP VIEW names'),  -- of a superuser, and not the application's
  ('CREATE VIEW names AS SELECT name FROM customers; ALTER VIEW names OWNER TO regress_iso_admin', 'DROP VIEW names'),  -- the super_role sees all
  ('CREATE VIEW names AS SELECT name FROM customers; ALTER VIEW names OWNER TO regress_iso_admin; GRANT SELECT ON names TO regress_iso_app', 'DROP VIEW names'),
  ('CREATE VIEW names AS SELECT name FROM customers; ALTER VIEW names OWNER TO regress_iso_app', 'DROP VIEW names');  -- held to the policies
DO $$
DECLARE hole record; remedy text;
BEGIN
  FOR hole IN SELECT * FROM public.holes ORDER BY number LOOP
    EXECUTE hole.make;
    INSERT INTO public.reported SELECT hole.number, check_name, status, actual, hint FROM tenantmig.isolation_criteria('apart') WHERE status <> 'PASS';
    FOR remedy IN SELECT DISTINCT hint FROM public.reported WHERE number = hole.number AND hint ~ '^(ALTER|REVOKE|DROP)' LOOP
      EXECUTE remedy;
    END LOOP;
    UPDATE public.reported r SET closed = NOT EXISTS (SELECT FROM tenantmig.isolation_criteria('apart') c WHERE c.check_name = r.check_name AND c.status <> 'PASS') WHERE number = hole.number;
    BEGIN
      EXECUTE hole.undo;
    EXCEPTION WHEN undefined_object THEN   -- the hint has removed it
      EXECUTE replace(hole.undo, 'DROP POLICY', 'DROP POLICY IF EXISTS');
    END;
  END LOOP;
END $$;
SELECT h.number, h.make, r.check_name, r.status, r.actual, r.hint, r.closed FROM public.holes h LEFT JOIN public.reported r USING (number) ORDER BY h.number, r.check_name \gx
-- up: nothing is touched
SET ROLE regress_iso_owner;
INSERT INTO customers VALUES (3, NULL);
GRANT TRUNCATE ON customers TO regress_iso_app;
GRANT REFERENCES ON orders TO PUBLIC;
CREATE POLICY everybody ON notes USING (true);
\set VERBOSITY verbose
CALL tenantmig.up('apart');
\set VERBOSITY default
SELECT state, error, applied FROM tenantmig.steps;
SELECT count(*) FROM tenantmig.isolated_tables;
SELECT count(*) FILTER (WHERE relrowsecurity) AS enabled FROM pg_class WHERE relnamespace = 'apart'::regnamespace;
SELECT tablename, indexname FROM pg_indexes WHERE schemaname = 'apart' ORDER BY 2;
REVOKE TRUNCATE ON customers FROM regress_iso_app;
REVOKE REFERENCES ON orders FROM PUBLIC;
DROP POLICY everybody ON notes;
-- warnings are said aloud
GRANT SELECT ON customers TO regress_iso_report;
DELETE FROM customers WHERE id = 3;
CALL tenantmig.up('apart');
-- what has been opened since shows in verify; a second step on the same table finds the first one's policies
RESET ROLE;
ALTER ROLE regress_iso_app BYPASSRLS;
SET ROLE regress_iso_owner;
SELECT check_name, status, actual FROM tenantmig.verify('apart') WHERE status = 'FAIL';
CALL tenantmig.isolate('{customers}', 'regress_iso_other', 'companies', name => 'second');
RESET ROLE;
ALTER ROLE regress_iso_app NOBYPASSRLS;
SET ROLE regress_iso_owner;
CALL tenantmig.down('apart');

-- rows without a key, hidden
INSERT INTO customers VALUES (3, NULL);
SELECT tenantmig.create_migration('{"migration": "hidden", "tenants": {"table": "companies"}, "steps": [{"isolate": {"tables": ["customers"], "role": "regress_iso_app", "super_role": "regress_iso_admin", "null_keys": "hide"}}]}');
SELECT check_name, status, expected, actual, detail, hint FROM tenantmig.isolation_criteria('hidden') WHERE check_name ~ 'null_keys' \gx
CALL tenantmig.up('hidden');
GRANT SELECT ON customers TO regress_iso_admin;
SET ROLE regress_iso_app;
SET tenantmig.tenant = '1';
SELECT count(*) FROM customers;
SET ROLE regress_iso_admin;
SELECT count(*) FROM customers;
RESET tenantmig.tenant;
SET ROLE regress_iso_owner;
CALL tenantmig.down('hidden');
DELETE FROM customers WHERE id = 3;

-- no index is to be built
SELECT tenantmig.create_migration('{"migration": "bare", "tenants": {"table": "companies"}, "steps": [{"isolate": {"tables": ["customers", "orders"], "role": "regress_iso_app", "index": false}}]}');
CALL tenantmig.up('bare');
CREATE INDEX partial ON customers (company_id) WHERE id > 1;
CREATE INDEX second ON customers (id, company_id);
CREATE INDEX ON orders (company_id, id);
SELECT check_name, status, actual, hint FROM tenantmig.isolation_criteria('bare') WHERE check_name LIKE 'index %';
CREATE INDEX not_null ON customers (company_id) WHERE company_id IS NOT NULL;
SELECT check_name, status, actual, hint FROM tenantmig.isolation_criteria('bare') WHERE check_name LIKE 'index %';
CALL tenantmig.up('bare');
CALL tenantmig.down('bare');
DROP INDEX partial, second, orders_company_id_id_idx, not_null;

-- a setting that is not the application's to set
SELECT tenantmig.create_migration('{"migration": "taken", "tenants": {"table": "companies"}, "steps": [{"isolate": {"tables": ["customers"], "role": "regress_iso_app", "setting": "plpgsql.check_asserts"}}]}');
CALL tenantmig.up('taken');
SELECT check_name, status, actual, hint FROM tenantmig.isolation_criteria('taken') WHERE status = 'FAIL' \gx

-- what can't be isolated
SELECT tenantmig.check_migration('{"migration": "x", "tenants": {"table": "companies"}, "steps": [{"isolate": {"tables": ["orders_1"], "role": "regress_iso_app"}}]}');
SELECT tenantmig.check_migration('{"migration": "x", "tenants": {"table": "companies"}, "steps": [{"isolate": {"tables": ["old_notes"], "role": "regress_iso_app"}}]}');
RESET ROLE;
ALTER TABLE orders_1 OWNER TO regress_iso_other;
ALTER TABLE old_notes OWNER TO regress_iso_other;
SET ROLE regress_iso_owner;
SELECT tenantmig.check_migration('{"migration": "x", "tenants": {"table": "companies"}, "steps": [{"isolate": {"tables": ["orders"], "role": "regress_iso_app"}}]}');
SELECT tenantmig.check_migration('{"migration": "x", "tenants": {"table": "companies"}, "steps": [{"isolate": {"tables": ["notes"], "role": "regress_iso_app"}}]}');
RESET ROLE;
ALTER TABLE orders_1 OWNER TO regress_iso_owner;
ALTER TABLE old_notes OWNER TO regress_iso_owner;
CREATE FOREIGN DATA WRAPPER regress_iso_wrapper;
CREATE SERVER regress_iso_server FOREIGN DATA WRAPPER regress_iso_wrapper;
CREATE FOREIGN TABLE notes_far () INHERITS (notes) SERVER regress_iso_server;
ALTER FOREIGN TABLE notes_far OWNER TO regress_iso_owner;
SET ROLE regress_iso_owner;
SELECT tenantmig.check_migration('{"migration": "x", "tenants": {"table": "companies"}, "steps": [{"isolate": {"tables": ["notes"], "role": "regress_iso_app"}}]}');
RESET ROLE;
DROP FOREIGN TABLE notes_far;
DROP SERVER regress_iso_server;
DROP FOREIGN DATA WRAPPER regress_iso_wrapper;
CREATE TEMP TABLE passing () INHERITS (apart.notes);
SET ROLE regress_iso_owner;
DO $$
BEGIN
  PERFORM tenantmig.check_migration('{"migration": "x", "tenants": {"table": "companies"}, "steps": [{"isolate": {"tables": ["notes"], "role": "regress_iso_app"}}]}');
EXCEPTION WHEN OTHERS THEN
  RAISE WARNING '%: %', SQLSTATE, regexp_replace(SQLERRM, 'pg_temp_\d+', 'pg_temp_N');
END $$;
RESET ROLE;
DROP TABLE passing;

-- whose tables, which names, which key
SET ROLE regress_iso_other;
CALL tenantmig.isolate('{customers}', 'regress_iso_app', 'companies', name => 'x');
SELECT * FROM tenantmig.isolation_criteria('apart');
CALL tenantmig.isolate('{customers}', 'regress_iso_app', 'companies', name => 'apart');
SET ROLE regress_iso_owner;
CREATE TABLE meetings (id integer PRIMARY KEY, host integer REFERENCES companies, guest integer REFERENCES companies);
CREATE TABLE nothing (id integer PRIMARY KEY);
CREATE TABLE shapes (company_id point);
CALL tenantmig.isolate('{meetings}', 'regress_iso_app', 'companies', name => 'x');
CALL tenantmig.isolate('{nothing}', 'regress_iso_app', 'companies', name => 'x');
CALL tenantmig.isolate('{customers,apart.customers}', 'regress_iso_app', 'companies', name => 'x');
CALL tenantmig.isolate('{customers,missing}', 'regress_iso_app', 'companies', name => 'x');
CALL tenantmig.isolate(ARRAY[]::text[], 'regress_iso_app');
CALL tenantmig.isolate('{customers}', 'regress_iso_nobody', 'companies', name => 'x');
CALL tenantmig.isolate('{customers}', 'regress_iso_app, public', 'companies', name => 'x');
CALL tenantmig.isolate('{customers}', 'regress_iso_app,', 'companies', name => 'x');
CALL tenantmig.isolate('{customers}', 'regress_iso_app', 'companies', super_role => 'regress_iso_app', name => 'x');
CALL tenantmig.isolate('{customers}', 'regress_iso_app', 'companies', setting => 'tenant', name => 'x');
CALL tenantmig.isolate('{customers}', 'regress_iso_app', 'companies', null_keys => 'keep', name => 'x');
CALL tenantmig.isolate('{customers}', 'regress_iso_app', 'missing', name => 'x');
CALL tenantmig.isolate('{customers}', 'regress_iso_app', 'companies', name => '');
CALL tenantmig.isolate('{}', 'regress_iso_app', 'companies', name => 'x');
CALL tenantmig.isolate('{NULL}', 'regress_iso_app', 'companies', name => 'x');
CALL tenantmig.isolate(NULL, 'regress_iso_app', 'companies', name => 'x');
CALL tenantmig.isolate('{customers}', NULL, 'companies', name => 'x');
CALL tenantmig.isolate('{customers}', 'regress_iso_app', 'companies', NULL, name => 'x');
CALL tenantmig.isolate('{customers}', 'regress_iso_app', 'companies', force => NULL, name => 'x');
CALL tenantmig.isolate('{customers}', 'regress_iso_app', 'companies', null_keys => NULL, name => 'x');
CALL tenantmig.isolate('{customers}', 'regress_iso_app', 'companies', name => NULL);
BEGIN;
CALL tenantmig.isolate('{customers}', 'regress_iso_app', 'companies', name => 'x');
ROLLBACK;
SELECT * FROM tenantmig.isolation_criteria('none');
SELECT tenantmig.create_migration('{"migration": "other", "tenants": {"table": "companies"}, "steps": [{"constraint": {"table": "customers", "column": "company_id", "not_null": true}}]}');
SELECT * FROM tenantmig.isolation_criteria('other');

-- the tenant root is not guessed
SELECT tenantmig.drop_migration(migration) FROM tenantmig.migrations;
CREATE TABLE countries (id integer PRIMARY KEY);
CREATE TABLE users (id integer PRIMARY KEY);
CREATE TABLE invoices (id integer PRIMARY KEY, company_id integer NOT NULL REFERENCES companies, customer_id bigint REFERENCES customers);
CREATE TABLE posts (id integer PRIMARY KEY, created_by integer REFERENCES users);
CALL tenantmig.isolate('{invoices,customers}', 'regress_iso_app', name => 'x');
CALL tenantmig.down('x');
SELECT tenantmig.drop_migration('x');
CALL tenantmig.isolate('{invoices}', 'regress_iso_app', name => 'x');      -- companies or customers
CALL tenantmig.isolate('{posts}', 'regress_iso_app', name => 'x');         -- not called after users
CALL tenantmig.isolate('{customers,notes}', 'regress_iso_app', name => 'x'); -- notes refers to nothing
CALL tenantmig.isolate('{nothing}', 'regress_iso_app', name => 'x');
-- what another migration says
SELECT tenantmig.create_migration('{"migration": "other", "tenants": {"table": "companies"}, "steps": [{"isolate": {"tables": ["customers"], "role": "regress_iso_app"}}]}');
SET client_min_messages = notice;
CALL tenantmig.isolate('{invoices,notes}', 'regress_iso_app', name => 'x');
CALL tenantmig.down('x');
SET client_min_messages = warning;

-- a key whose type has no order
SELECT tenantmig.create_migration('{"migration": "odd", "tenants": {"table": "companies"}, "steps": [{"isolate": {"tables": [{"table": "shapes", "column": "company_id"}], "role": "regress_iso_app"}}]}');
SELECT check_name, status, actual, detail, hint FROM tenantmig.isolation_criteria('odd') WHERE check_name LIKE 'key%' \gx
-- one that a setting can't hold, and one that takes different texts for the same
CREATE TABLE domains (domain text PRIMARY KEY);
CREATE TABLE scopes (domain text REFERENCES domains);
INSERT INTO domains VALUES ('finance'), ('');
INSERT INTO scopes VALUES ('finance'), ('');
SELECT tenantmig.create_migration('{"migration": "empty", "tenants": {"table": "domains"}, "steps": [{"isolate": {"tables": ["scopes"], "role": "regress_iso_app"}}]}');
SELECT check_name, status, actual, detail, hint FROM tenantmig.isolation_criteria('empty') WHERE check_name LIKE 'key%' \gx
CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
ALTER TABLE scopes ADD other text COLLATE nocase;
SELECT tenantmig.create_migration('{"migration": "folded", "tenants": {"table": "domains"}, "steps": [{"isolate": {"tables": [{"table": "scopes", "column": "other"}], "role": "regress_iso_app", "null_keys": "hide"}}]}');
SELECT check_name, status, actual, detail, hint FROM tenantmig.isolation_criteria('folded') WHERE check_name LIKE 'key%' \gx

RESET ROLE;

-- an owner who can't build the index: as after REASSIGN OWNED, which takes no rights along
CREATE SCHEMA closed;
CREATE TABLE closed.parcels (company_id integer NOT NULL);
CREATE TABLE closed.shelves (company_id integer NOT NULL) PARTITION BY LIST (company_id);
CREATE TABLE public.shelves_1 PARTITION OF closed.shelves FOR VALUES IN (1);
ALTER TABLE closed.parcels OWNER TO regress_iso_owner;
ALTER TABLE closed.shelves OWNER TO regress_iso_owner;
ALTER TABLE public.shelves_1 OWNER TO regress_iso_owner;
GRANT USAGE ON SCHEMA closed TO regress_iso_owner;
SET ROLE regress_iso_owner;
CALL tenantmig.isolate('{closed.parcels,closed.shelves}', 'regress_iso_app', 'companies', name => 'closed');
SELECT check_name, status, actual, detail, hint FROM tenantmig.isolation_criteria('closed') WHERE check_name LIKE 'index%' ORDER BY 1 \gx
RESET ROLE;
GRANT CREATE ON SCHEMA closed TO regress_iso_owner;
SELECT check_name, status, actual FROM tenantmig.isolation_criteria('closed') WHERE check_name LIKE 'index%' ORDER BY 1;
DROP SCHEMA closed CASCADE;
DROP SCHEMA apart CASCADE;
DROP TABLE public.holes, public.reported;
DROP EXTENSION tenantmig;
DROP ROLE regress_iso_owner, regress_iso_app, regress_iso_admin, regress_iso_staff, regress_iso_report, regress_iso_other;
RESET search_path;
CREATE EXTENSION tenantmig;   -- for the next case
