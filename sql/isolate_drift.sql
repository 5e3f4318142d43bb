-- What becomes of isolated tables afterwards: verify, observe, drift and health tell of it, and up makes it again what the step says.
SET client_min_messages = warning;
\set SHOW_CONTEXT never
DROP EXTENSION IF EXISTS tenantmig CASCADE;
DROP SCHEMA IF EXISTS apart CASCADE;
CREATE EXTENSION tenantmig;
CREATE ROLE regress_iso_app;
CREATE ROLE regress_iso_admin;
CREATE SCHEMA apart;
SET search_path = apart, public;
CREATE TABLE companies (id integer PRIMARY KEY, name text);
CREATE TABLE customers (id bigint PRIMARY KEY, company_id integer REFERENCES companies, name text);
CREATE TABLE orders (id bigint, company_id integer, placed date NOT NULL, PRIMARY KEY (id, placed)) PARTITION BY RANGE (placed);
CREATE TABLE orders_1 PARTITION OF orders FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE orders_2 PARTITION OF orders FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
INSERT INTO companies VALUES (1), (2);
INSERT INTO customers VALUES (1, 1), (2, 2);
INSERT INTO orders VALUES (1, 1, '2026-01-05'), (2, 2, '2026-02-05');
CREATE FUNCTION public.look() RETURNS TABLE (what text, found text) LANGUAGE sql AS $$
  SELECT 'verify', concat_ws(': ', check_name, actual) FROM tenantmig.verify('apart') WHERE status = 'FAIL'
  UNION ALL SELECT 'health', concat_ws(' ', h.health, h.reasons::text) FROM tenantmig.health h
  UNION ALL SELECT 'applied', applied::text FROM tenantmig.steps
$$;
SELECT tenantmig.create_migration('{"migration": "apart", "tenants": {"table": "companies"}, "steps": [{"isolate": {"tables": ["customers", "orders"], "role": "regress_iso_app", "super_role": "regress_iso_admin"}}]}');
SELECT * FROM look();
CALL tenantmig.up('apart');
SELECT * FROM look();
SELECT check_name, status, actual FROM tenantmig.observe('apart');

-- Each by itself: what is told.
CREATE TABLE public.changes (number serial, change text);
CREATE TABLE public.told (number integer, place serial, what text, found text);
INSERT INTO public.changes (change) VALUES
  ('DROP POLICY tenantmig_tenant ON customers'),
  ('DROP POLICY tenantmig_super ON orders_2'),
  ('ALTER POLICY tenantmig_tenant ON customers USING (true)'),
  ('ALTER POLICY tenantmig_tenant ON customers WITH CHECK (true)'),
  ('ALTER POLICY tenantmig_tenant ON orders_1 TO PUBLIC'),
  ('ALTER POLICY tenantmig_super ON customers TO regress_iso_admin, regress_iso_app'),
  ('DROP POLICY tenantmig_tenant ON customers; CREATE POLICY tenantmig_tenant ON customers FOR SELECT TO regress_iso_app USING (company_id = (SELECT nullif(current_setting(''tenantmig.tenant'', true), '''')::integer))'),
  ('DROP POLICY tenantmig_tenant ON customers; CREATE POLICY tenantmig_tenant ON customers AS RESTRICTIVE TO regress_iso_app USING (true) WITH CHECK (true)'),
  ('ALTER POLICY tenantmig_tenant ON customers RENAME TO mine'),
  ('ALTER TABLE orders DISABLE ROW LEVEL SECURITY'),
  ('ALTER TABLE customers NO FORCE ROW LEVEL SECURITY'),
  ('CREATE TABLE orders_3 PARTITION OF orders FOR VALUES FROM (''2026-03-01'') TO (''2026-04-01'')'),
  ('CREATE TABLE old_customers () INHERITS (customers)');
DO $$
DECLARE c record;
BEGIN
  FOR c IN SELECT * FROM public.changes ORDER BY number LOOP
    BEGIN
      EXECUTE c.change;
      INSERT INTO public.told (number, what, found) SELECT c.number, l.what, l.found FROM look() l;
      INSERT INTO public.told (number, what, found) SELECT c.number, 'observe', concat_ws(', ', o.check_name, o.status, o.actual, o.detail) FROM tenantmig.observe('apart') o WHERE o.status <> 'PASS';
      INSERT INTO public.told (number, what, found) SELECT c.number, 'then', health FROM tenantmig.health;
      RAISE EXCEPTION USING ERRCODE = 'ZZ000', MESSAGE = (SELECT string_agg(concat_ws(' | ', t.what, t.found), E'\n  ' ORDER BY t.place) FROM public.told t WHERE t.number = c.number);
    EXCEPTION WHEN SQLSTATE 'ZZ000' THEN
      RAISE WARNING E'%\n  %', c.change, SQLERRM;
    END;
  END LOOP;
END $$;
-- A partition that was equal to ours by hand is taken as it is; a policy that says the same in other words is the same.
DROP POLICY tenantmig_tenant ON customers;
CREATE POLICY tenantmig_tenant ON customers TO regress_iso_app USING (company_id = (SELECT CAST(NULLIF(current_setting('tenantmig.tenant', true), '') AS int4)))
  WITH CHECK (company_id = (SELECT NULLIF(current_setting('tenantmig.tenant', true), '')::integer));
SELECT * FROM look();

-- all of it at once, and up
ALTER POLICY tenantmig_tenant ON customers USING (true);
DROP POLICY tenantmig_super ON orders_2;
ALTER TABLE orders DISABLE ROW LEVEL SECURITY;
ALTER TABLE customers NO FORCE ROW LEVEL SECURITY;
CREATE TABLE orders_3 PARTITION OF orders FOR VALUES FROM ('2026-03-01') TO ('2026-04-01');
SELECT kind, relation, found, expected, detail FROM tenantmig.drift ORDER BY id;
SELECT count(*) AS findings FROM tenantmig.observe('apart') WHERE check_name = 'catalogue' AND status = 'FAIL';
SELECT kind, relation, column_name, found, expected FROM tenantmig.drift ORDER BY relation;
CALL tenantmig.up('apart');
SELECT * FROM look();
SELECT relation, parent, policies, row_security, force_row_security FROM tenantmig.isolated_tables ORDER BY relation;
SELECT check_name, status, actual FROM tenantmig.observe('apart') WHERE status <> 'PASS';

-- rights and roles that were opened since
GRANT TRUNCATE ON orders_3 TO regress_iso_app;
ALTER ROLE regress_iso_app BYPASSRLS;
SELECT * FROM look();
SELECT check_name, status, detail, hint FROM tenantmig.observe('apart') WHERE status <> 'PASS';
SELECT what, found FROM look() WHERE what = 'health';
REVOKE TRUNCATE ON orders_3 FROM regress_iso_app;
-- a new partition while a criterion is open: up refuses, and what stands, stands
CREATE TABLE orders_4 PARTITION OF orders FOR VALUES FROM ('2026-04-01') TO ('2026-05-01');
CALL tenantmig.up('apart');
SELECT state, applied, error FROM tenantmig.steps;
SELECT count(*) FROM tenantmig.isolated_tables WHERE row_security;
-- what has gone comes back all the same, before it is refused
ALTER TABLE orders_2 DISABLE ROW LEVEL SECURITY;
DROP POLICY tenantmig_tenant ON customers;
CALL tenantmig.up('apart');
SELECT relation, policies, row_security, force_row_security FROM tenantmig.isolated_tables ORDER BY relation;
ALTER ROLE regress_iso_app NOBYPASSRLS;
CALL tenantmig.up('apart');
SELECT * FROM look() WHERE what <> 'health';

-- a partition that is taken out is nobody's business any more, one that is dropped neither
ALTER TABLE orders DETACH PARTITION orders_1;
ALTER TABLE orders_1 DISABLE ROW LEVEL SECURITY;
DROP TABLE orders_4;
SELECT * FROM look() WHERE what <> 'health';
SELECT health, reasons FROM tenantmig.health;
SELECT relation, row_security, policies FROM tenantmig.isolated_tables ORDER BY relation;
CALL tenantmig.down('apart');
SELECT c.relname, c.relrowsecurity, c.relforcerowsecurity, (SELECT count(*) FROM pg_policy p WHERE p.polrelid = c.oid) AS policies FROM pg_class c WHERE c.relnamespace = 'apart'::regnamespace AND c.relkind IN ('r', 'p') ORDER BY 1;

-- a table of the step that is dropped: said; down goes on all the same
CALL tenantmig.up('apart');
DROP TABLE customers;
SELECT what, found FROM look();
SELECT check_name, status, actual FROM tenantmig.observe('apart') WHERE status = 'FAIL';
CALL tenantmig.down('apart');
SELECT count(*) FROM pg_policy;
SELECT count(*) FROM tenantmig.isolated_tables;

-- what can't be judged any more is a finding, and no error
CREATE ROLE regress_iso_gone;
CREATE TABLE days (id integer PRIMARY KEY, day date NOT NULL);
CREATE TABLE calendar (day date PRIMARY KEY);
CREATE INDEX ON days (day);
ALTER TABLE days ADD FOREIGN KEY (day) REFERENCES calendar;
SELECT tenantmig.create_migration('{"migration": "days", "tenants": {"table": "apart.calendar"}, "steps": [{"isolate": {"tables": ["apart.days"], "role": ["regress_iso_app", "regress_iso_gone"]}}]}') AS made;
SELECT check_name, status, detail FROM tenantmig.isolation_criteria('days') WHERE check_name LIKE 'key %';
SET client_min_messages = error;
CALL tenantmig.up('days');
SET client_min_messages = warning;
DROP OWNED BY regress_iso_gone;
DROP ROLE regress_iso_gone;
SELECT check_name, status, actual FROM tenantmig.verify('days') WHERE status = 'FAIL';
SET client_min_messages = error;
CALL tenantmig.down('days');
SET client_min_messages = warning;

DROP SCHEMA apart CASCADE;
DROP FUNCTION public.look;
DROP TABLE public.changes, public.told;
DROP EXTENSION tenantmig;
DROP ROLE regress_iso_app, regress_iso_admin;
CREATE EXTENSION tenantmig;   -- for the next case
