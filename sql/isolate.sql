-- The step isolate: policies, flags and index of plain, partitioned and inherited tables; the application's view of them; down.
SET client_min_messages = warning;
\set SHOW_CONTEXT never
DROP EXTENSION IF EXISTS tenantmig CASCADE;
DROP SCHEMA IF EXISTS apart CASCADE;
CREATE EXTENSION tenantmig;
CREATE ROLE regress_iso_owner;
CREATE ROLE regress_iso_app;
CREATE ROLE "Regress iso, ""two""";
CREATE ROLE regress_iso_admin;
CREATE ROLE regress_iso_report;
SELECT tenantmig.grant_access('regress_iso_owner', 'operator');
CREATE SCHEMA apart AUTHORIZATION regress_iso_owner;
GRANT USAGE ON SCHEMA apart TO PUBLIC;
SET search_path = apart, public;
SET ROLE regress_iso_owner;
CREATE TABLE companies (id integer PRIMARY KEY, name text);
CREATE TABLE customers (id bigint PRIMARY KEY, company_id integer REFERENCES companies, name text);
CREATE TABLE orders (placed date NOT NULL, id bigint, company_id integer, PRIMARY KEY (id, placed)) PARTITION BY RANGE (placed);
CREATE TABLE orders_1 PARTITION OF orders FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE orders_2 PARTITION OF orders FOR VALUES FROM ('2026-02-01') TO ('2026-03-01') PARTITION BY LIST (id);
CREATE TABLE orders_rest (id bigint NOT NULL, company_id integer, junk text, placed date NOT NULL);   -- columns in another order
ALTER TABLE orders_rest DROP COLUMN junk;
ALTER TABLE orders_2 ATTACH PARTITION orders_rest DEFAULT;
CREATE TABLE notes (id bigint PRIMARY KEY, "Company Id" integer, body text);
CREATE TABLE old_notes (reason text) INHERITS (notes);
CREATE INDEX ON notes ("Company Id", id);
INSERT INTO companies SELECT n, 'company ' || n FROM generate_series(1, 3) n;
INSERT INTO customers SELECT n, 1 + n % 3, 'customer ' || n FROM generate_series(1, 30) n;
INSERT INTO orders SELECT date '2026-01-01' + n, n, 1 + n % 3 FROM generate_series(1, 50) n;
INSERT INTO notes SELECT n, 1 + n % 3 FROM generate_series(1, 9) n;
INSERT INTO old_notes SELECT n, 1 + n % 3 FROM generate_series(11, 16) n;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA apart TO regress_iso_app, "Regress iso, ""two""", regress_iso_admin;
-- what stood there before: flags on one table, and a policy for a role that has nothing to do with it
ALTER TABLE customers ENABLE ROW LEVEL SECURITY;
CREATE POLICY report ON customers FOR SELECT TO regress_iso_report USING (name LIKE 'customer 1%');
GRANT SELECT ON customers TO regress_iso_report;
ALTER TABLE old_notes FORCE ROW LEVEL SECURITY;
RESET ROLE;

-- everything that isolate may touch, by name; down must bring back exactly this
CREATE VIEW public.standing AS
  SELECT format('%s %s%s', c.oid::regclass, CASE WHEN c.relrowsecurity THEN 'enabled ' ELSE '' END, CASE WHEN c.relforcerowsecurity THEN 'forced' ELSE '' END) AS what
  FROM pg_class c WHERE c.relnamespace = 'apart'::regnamespace AND c.relkind IN ('r', 'p')
  UNION ALL SELECT format('policy %s on %s: %s %s to %s using %s check %s', p.polname, p.polrelid::regclass, p.polcmd, p.polpermissive,
    ARRAY(SELECT r.rolname FROM pg_roles r WHERE r.oid = ANY (p.polroles) ORDER BY 1), pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid)) FROM pg_policy p
  UNION ALL SELECT pg_get_indexdef(i.indexrelid) || CASE WHEN i.indisvalid THEN '' ELSE ' INVALID' END FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid WHERE c.relnamespace = 'apart'::regnamespace
  UNION ALL SELECT format('%s: %s', k.conrelid::regclass, pg_get_constraintdef(k.oid)) FROM pg_constraint k WHERE k.connamespace = 'apart'::regnamespace;
GRANT SELECT ON public.standing TO PUBLIC;
CREATE TABLE public.before AS SELECT * FROM standing;
GRANT SELECT ON public.before TO PUBLIC;
CREATE FUNCTION public.difference() RETURNS SETOF text LANGUAGE sql AS $$
  (SELECT '- ' || what FROM before EXCEPT SELECT '- ' || what FROM standing) UNION ALL (SELECT '+ ' || what FROM standing EXCEPT SELECT '+ ' || what FROM before) ORDER BY 1
$$;

-- the spec, as checked; the key: by foreign key, by name, by a column that is given
SET ROLE regress_iso_owner;
\set spec '{"migration": "apart", "tenants": {"table": "companies"}, "steps": [{"isolate": {"tables": ["companies", "customers", "orders", {"table": "notes", "column": "\\"Company Id\\""}], "role": ["regress_iso_app", "\\"Regress iso, \\"\\"two\\"\\"\\""], "super_role": "regress_iso_admin"}}]}'
SELECT step, kind, relation, source, note FROM tenantmig.check_migration(:'spec');
SELECT tenantmig.create_migration(:'spec');
SELECT step, kind, relation, outcome, path, locks, note FROM tenantmig.plan('apart');
SELECT check_name, status, actual FROM tenantmig.isolation_criteria('apart');
SELECT kind, relation, state, applied, next_command FROM tenantmig.steps;
CALL tenantmig.up('apart');
SELECT kind, relation, state, applied FROM tenantmig.steps;
SELECT * FROM difference();
SELECT relation, column_name, roles, super_role, setting, force, parent, row_security, force_row_security, policies FROM tenantmig.isolated_tables ORDER BY relation;
SELECT check_name, status, actual FROM tenantmig.verify('apart') WHERE check_name LIKE 'isolated %' OR status <> 'PASS';
SELECT outcome, detail -> 'tables_isolated' AS tables, (detail ->> 'longest_lock_us')::bigint < 2000000 AS brief FROM tenantmig.execution_log;

-- again: nothing to do
CALL tenantmig.up('apart');
SELECT count(*) FROM tenantmig.execution_log;

-- The oracle: what the owner has counted before, per tenant and table, against what the application sees.
RESET ROLE;
CREATE TABLE public.owned AS
  SELECT 'companies' AS relation, id AS tenant, count(*) AS row_count FROM companies GROUP BY 2 UNION ALL SELECT 'customers', company_id, count(*) FROM customers GROUP BY 2
  UNION ALL SELECT 'orders', company_id, count(*) FROM orders GROUP BY 2 UNION ALL SELECT 'orders_1', company_id, count(*) FROM orders_1 GROUP BY 2
  UNION ALL SELECT 'orders_2', company_id, count(*) FROM orders_2 GROUP BY 2 UNION ALL SELECT 'orders_rest', company_id, count(*) FROM orders_rest GROUP BY 2
  UNION ALL SELECT 'notes', "Company Id", count(*) FROM notes GROUP BY 2 UNION ALL SELECT 'old_notes', "Company Id", count(*) FROM old_notes GROUP BY 2;
GRANT SELECT ON public.owned TO PUBLIC;
CREATE FUNCTION public.seen(relation text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE result bigint;
BEGIN
  EXECUTE format('SELECT count(*) FROM apart.%I', relation) INTO result;
  RETURN result;
END $$;
CREATE FUNCTION public.wrong() RETURNS TABLE (relation text, tenant integer, should bigint, found bigint) LANGUAGE plpgsql AS $$
DECLARE t integer;
BEGIN
  FOR t IN SELECT generate_series(1, 4) LOOP
    PERFORM set_config('tenantmig.tenant', t::text, false);
    RETURN QUERY SELECT r.relation, t, coalesce((SELECT o.row_count FROM owned o WHERE o.relation = r.relation AND o.tenant = t), 0), seen(r.relation)
      FROM (SELECT DISTINCT o.relation FROM owned o) r;
  END LOOP;
END $$;
SET ROLE regress_iso_app;
SELECT count(*) AS compared, count(*) FILTER (WHERE should <> found) AS wrong, sum(found) AS seen, (SELECT sum(row_count) FROM owned) AS owned FROM wrong();
SET ROLE "Regress iso, ""two""";
SELECT count(*) AS compared, count(*) FILTER (WHERE should <> found) AS wrong FROM wrong();
SET ROLE regress_iso_admin;
SELECT DISTINCT relation, found = (SELECT sum(o.row_count) FROM owned o WHERE o.relation = w.relation) AS sees_all FROM wrong() w ORDER BY 1;
-- no tenant, an empty one: nothing; what is no key at all is an error
SET ROLE regress_iso_app;
RESET tenantmig.tenant;
SELECT relation, seen(relation) FROM (SELECT DISTINCT relation FROM owned) r ORDER BY 1;
SET tenantmig.tenant = '';
SELECT sum(seen(relation)) FROM (SELECT DISTINCT relation FROM owned) r;
SET tenantmig.tenant = 'one';
SELECT count(*) FROM customers;
-- writing
SET tenantmig.tenant = '2';
INSERT INTO customers VALUES (100, 2, 'mine');
INSERT INTO customers VALUES (101, 1, 'somebody else''s');
INSERT INTO customers VALUES (102, NULL, 'nobody''s');
INSERT INTO orders VALUES ('2026-01-05', 100, 1);
INSERT INTO orders_1 VALUES ('2026-01-05', 100, 1);
INSERT INTO old_notes VALUES (100, 3);
UPDATE customers SET company_id = 1 WHERE id = 100;
UPDATE customers SET name = 'changed' WHERE company_id = 1;
DELETE FROM customers WHERE id = 100;
-- the owner is held to it, too; others see what their own policies show
SET ROLE regress_iso_owner;
SELECT count(*) FROM customers;
SET ROLE regress_iso_report;
SELECT count(*) FROM customers;
RESET ROLE;
RESET tenantmig.tenant;

-- renames: of a table, the key, a role, a partition: nothing is lost
ALTER TABLE customers RENAME TO clients;
ALTER TABLE clients RENAME COLUMN company_id TO firm_id;
ALTER TABLE orders_1 RENAME TO orders_january;
ALTER ROLE regress_iso_admin RENAME TO regress_iso_boss;
SET ROLE regress_iso_owner;
SELECT relation, column_name, super_role, parent FROM tenantmig.isolated_tables ORDER BY relation;
SELECT check_name, status, actual FROM tenantmig.verify('apart') WHERE status <> 'PASS';
CALL tenantmig.up('apart');
SELECT count(*) FROM tenantmig.execution_log;
RESET ROLE;
ALTER TABLE clients RENAME TO customers;
ALTER TABLE customers RENAME COLUMN firm_id TO company_id;
ALTER TABLE orders_january RENAME TO orders_1;
ALTER ROLE regress_iso_boss RENAME TO regress_iso_admin;

-- back: exactly what was there
SET ROLE regress_iso_owner;
SELECT tenantmig.drop_migration('apart');
CALL tenantmig.down('apart');
SELECT * FROM difference();
SELECT count(*) FROM tenantmig.isolated_tables;
SELECT kind, state, applied FROM tenantmig.steps;
CALL tenantmig.down('apart');

-- not forced, one role, no super role, another setting, an index of one's own for each that lacks one; then back again
SELECT tenantmig.drop_migration('apart');
CALL tenantmig.isolate(ARRAY['customers', 'notes'], 'regress_iso_app', 'companies', setting => 'my.tenant', force => false);
CALL tenantmig.isolate(ARRAY['customers', '"notes"'], 'regress_iso_app', 'companies');
SELECT tenantmig.drop_migration('isolation');
CALL tenantmig.isolate(ARRAY['customers', 'orders'], 'regress_iso_app', 'companies', setting => 'my.tenant', force => false);
SELECT * FROM difference();
SELECT count(*) FROM customers;
SELECT state, applied, relation FROM tenantmig.steps;
SET ROLE regress_iso_app;
SET my.tenant = '3';
SELECT count(*) FROM customers;
RESET my.tenant;
SET ROLE regress_iso_owner;
CALL tenantmig.isolate(ARRAY['customers', 'orders'], 'regress_iso_app', 'companies', setting => 'my.tenant', force => false);
CALL tenantmig.isolate(ARRAY['customers', 'orders'], 'regress_iso_app', 'companies', setting => 'my.tenant');
CALL tenantmig.down('isolation');
SELECT * FROM difference();
RESET ROLE;

-- keys of other types: the text form is what the setting holds
CREATE TABLE words (id integer PRIMARY KEY, domain varchar(20), code char(8), ref uuid, day date);
CREATE TABLE domains (domain text PRIMARY KEY);
INSERT INTO domains VALUES ('acme'), ('acme inc'), ('''; --');
INSERT INTO words SELECT n, d, left(d, 8), md5(d)::uuid, date '2026-01-01' + n::integer FROM (SELECT domain, row_number() OVER (ORDER BY domain) FROM domains) s (d, n);
GRANT SELECT ON words TO regress_iso_app;
CREATE FUNCTION public.by(col text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM tenantmig.create_migration(jsonb_build_object('migration', 'by ' || col, 'tenants', '{"table": "domains"}'::jsonb, 'steps', jsonb_build_array(jsonb_build_object('isolate',
    jsonb_build_object('tables', jsonb_build_array(jsonb_build_object('table', 'words', 'column', col)), 'role', 'regress_iso_app')))));
END $$;
SELECT by('domain');
CALL tenantmig.up('by domain');
SET ROLE regress_iso_app;
SET tenantmig.tenant = 'acme inc';
SELECT id FROM words;
SET tenantmig.tenant = '''; --';
SELECT id FROM words;
SET tenantmig.tenant = 'acme incorporated';
SELECT id FROM words;
RESET ROLE;
CALL tenantmig.down('by domain');
SELECT by('code');
CALL tenantmig.up('by code');
SET ROLE regress_iso_app;
SET tenantmig.tenant = 'acme inc';
SELECT id FROM words;
SET tenantmig.tenant = 'a';
SELECT id FROM words;
SET tenantmig.tenant = 'acme incorporated';   -- not cut
SELECT id FROM words;
RESET ROLE;
CALL tenantmig.down('by code');
SELECT by('ref');
CALL tenantmig.up('by ref');
SELECT md5('acme') AS key \gset
SET ROLE regress_iso_app;
SET tenantmig.tenant = :'key';
SELECT id FROM words;
RESET ROLE;
RESET tenantmig.tenant;
\d words
CALL tenantmig.down('by ref');

DROP SCHEMA apart CASCADE;
DROP FUNCTION public.by, public.wrong, public.seen, public.difference;
DROP TABLE public.owned, public.before;
DROP EXTENSION tenantmig;
DROP ROLE regress_iso_owner, regress_iso_app, "Regress iso, ""two""", regress_iso_admin, regress_iso_report;
CREATE EXTENSION tenantmig;   -- for the next case
