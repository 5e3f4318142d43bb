-- lint on row-level security: a clean set of tables, and each defect in turn, undone afterwards. "healed": its remedy, as it stands, removes the finding.
\pset null -
\pset format unaligned
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tenantmig CASCADE;
CREATE EXTENSION tenantmig;
CREATE ROLE regress_li_owner NOLOGIN;
CREATE ROLE regress_li_app LOGIN;
CREATE ROLE regress_li_reader LOGIN;
CREATE ROLE regress_li_platform LOGIN;
CREATE ROLE regress_li_viewer LOGIN;
CREATE SCHEMA shop AUTHORIZATION regress_li_owner;
GRANT USAGE ON SCHEMA shop TO regress_li_app, regress_li_reader, regress_li_platform;
SET search_path = shop;
SET ROLE regress_li_owner;
CREATE TABLE companies (id bigint PRIMARY KEY, name text NOT NULL);
CREATE TABLE customers (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, company_id bigint NOT NULL REFERENCES companies, name text NOT NULL, shared boolean NOT NULL DEFAULT false, UNIQUE (company_id, id));
CREATE TABLE orders (id bigint NOT NULL, company_id bigint NOT NULL REFERENCES companies, customer_id bigint NOT NULL, at date NOT NULL, PRIMARY KEY (company_id, id, at),
  FOREIGN KEY (company_id, customer_id) REFERENCES customers (company_id, id)) PARTITION BY RANGE (at);
CREATE INDEX ON orders (company_id, customer_id);
CREATE TABLE orders_1 PARTITION OF orders FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE TABLE files (id bigint NOT NULL, company_id bigint NOT NULL REFERENCES companies, during int4range NOT NULL, PRIMARY KEY (company_id, id));
CREATE TABLE files_old (PRIMARY KEY (company_id, id), FOREIGN KEY (company_id) REFERENCES companies) INHERITS (files);
GRANT SELECT, INSERT, UPDATE, DELETE ON companies, customers, orders, files TO regress_li_app, regress_li_platform;
GRANT SELECT ON companies, customers, orders, files TO regress_li_reader;
RESET ROLE;

-- Everything that lint says after `hole` (it says nothing before), and whether its remedies heal it. All of it is undone.
CREATE FUNCTION new_findings(hole text) RETURNS TABLE (severity text, check_name text, object text, detail text, remedy text, healed boolean) LANGUAGE plpgsql AS $$
DECLARE
  found jsonb := '[]';
  after text[];
  one jsonb;
BEGIN
  BEGIN
    EXECUTE hole;
    SELECT coalesce(jsonb_agg(to_jsonb(l) ORDER BY n), '[]') INTO found FROM tenantmig.lint('shop.companies', with_data => false) WITH ORDINALITY l(severity, check_name, object, detail, remedy, key, exempt, n);
    FOR one IN SELECT e FROM jsonb_array_elements(found) e WHERE e ->> 'remedy' <> '' AND e ->> 'remedy' NOT LIKE '--%' AND e ->> 'remedy' NOT LIKE '%…%' LOOP
      BEGIN
        EXECUTE one ->> 'remedy';
      EXCEPTION WHEN OTHERS THEN
        IF SQLERRM NOT LIKE '%CONCURRENTLY cannot%' THEN RAISE WARNING '%: %', one ->> 'remedy', SQLERRM; END IF;
      END;
    END LOOP;
    after := ARRAY(SELECT l.key FROM tenantmig.lint('shop.companies', with_data => false) l);
    RAISE EXCEPTION 'undone' USING ERRCODE = 'ZZ000';
  EXCEPTION WHEN SQLSTATE 'ZZ000' THEN NULL;
  END;
  RETURN QUERY SELECT e ->> 'severity', e ->> 'check_name', replace(e ->> 'object', 'shop.', ''), replace(e ->> 'detail', 'shop.', ''), replace(e ->> 'remedy', 'shop.', ''), e ->> 'key' <> ALL (after) FROM jsonb_array_elements(found) e;
END $$;

\echo === without row-level security: nothing of all this is asked
CREATE VIEW everything AS SELECT * FROM customers;
CREATE FUNCTION names() RETURNS SETOF text LANGUAGE sql SECURITY DEFINER AS 'SELECT name FROM shop.customers';
GRANT TRUNCATE ON customers TO regress_li_app;
GRANT SELECT ON everything, files_old TO regress_li_app;
SELECT severity, check_name, object FROM tenantmig.lint('companies');
DROP VIEW everything;
DROP FUNCTION names();
REVOKE TRUNCATE ON customers FROM regress_li_app;
REVOKE SELECT ON files_old FROM regress_li_app;

\echo === as the step isolate makes it: nothing, nor after it is taken back
SELECT tenantmig.create_migration($${"migration": "isolating", "tenants": {"table": "companies"}, "steps": [
  {"isolate": {"tables": [{"table": "companies", "column": "id"}, "customers", "orders", "files"], "role": ["regress_li_app", "regress_li_reader"], "super_role": "regress_li_platform"}}]}$$);
CALL tenantmig.up('isolating');
SELECT count(*) AS policies FROM pg_policies WHERE schemaname = 'shop';
SELECT severity, check_name, object, detail FROM tenantmig.lint('companies');
ALTER TABLE customers NO FORCE ROW LEVEL SECURITY;
ALTER ROLE regress_li_owner LOGIN;
ALTER POLICY tenantmig_super ON customers TO regress_li_app, regress_li_platform;
SELECT severity, check_name, object, detail FROM tenantmig.lint('companies');
ALTER POLICY tenantmig_super ON customers TO regress_li_platform;
ALTER TABLE customers FORCE ROW LEVEL SECURITY;
\echo what the remedy makes, the step knows
DROP POLICY tenantmig_tenant ON customers;
DROP POLICY tenantmig_super ON customers;
SELECT severity, check_name, object FROM tenantmig.lint('companies');
SELECT check_name, status, detail FROM tenantmig.verify('isolating') WHERE status = 'FAIL';
SELECT remedy FROM tenantmig.lint('companies') \gexec
SELECT severity, check_name, object FROM tenantmig.lint('companies');
SELECT check_name, status, detail FROM tenantmig.verify('isolating') WHERE status = 'FAIL';
CALL tenantmig.down('isolating');
SELECT severity, check_name, object, detail FROM tenantmig.lint('companies');
SELECT tenantmig.drop_migration('isolating');
\echo not to force it may be what a spec says
SELECT tenantmig.create_migration($${"migration": "isolating", "tenants": {"table": "companies"}, "steps": [
  {"isolate": {"tables": ["customers", {"table": "companies", "column": "id"}, "orders", "files"], "role": ["regress_li_app", "regress_li_reader"], "super_role": "regress_li_platform", "force": false, "setting": "app.company"}}]}$$);
CALL tenantmig.up('isolating');
SELECT severity, check_name, object, detail FROM tenantmig.lint('companies');
CALL tenantmig.down('isolating');
SELECT tenantmig.drop_migration('isolating');
ALTER ROLE regress_li_owner NOLOGIN;

\echo === by hand, as isolate makes it: nothing
CREATE PROCEDURE isolate_by_hand(of regclass, key name DEFAULT 'company_id') LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('CREATE POLICY tenantmig_tenant ON %s TO regress_li_app, regress_li_reader USING (%2$I OPERATOR(pg_catalog.=) (SELECT nullif(pg_catalog.current_setting(''tenantmig.tenant'', true), '''')::bigint)) WITH CHECK (%2$I OPERATOR(pg_catalog.=) (SELECT nullif(pg_catalog.current_setting(''tenantmig.tenant'', true), '''')::bigint))', of, key);
  EXECUTE format('CREATE POLICY tenantmig_super ON %s TO regress_li_platform USING (true) WITH CHECK (true)', of);
  EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', of);
END $$;
CALL isolate_by_hand('companies', 'id');
CALL isolate_by_hand('customers');
CALL isolate_by_hand('orders');
CALL isolate_by_hand('orders_1');
CALL isolate_by_hand('files');
CALL isolate_by_hand('files_old');
SELECT severity, check_name, object, detail FROM tenantmig.lint('companies');
\echo what looks like a defect, and is none
CREATE VIEW mine WITH (security_invoker = true) AS SELECT * FROM customers;
GRANT SELECT ON mine TO regress_li_app;
CREATE VIEW private AS SELECT * FROM customers;
CREATE MATERIALIZED VIEW totals AS SELECT company_id, count(*) FROM customers GROUP BY 1;
GRANT SELECT ON totals TO regress_li_platform;
CREATE FUNCTION my_names() RETURNS SETOF text LANGUAGE sql STABLE AS 'SELECT name FROM shop.customers';
CREATE FUNCTION all_names() RETURNS SETOF text LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog AS 'SELECT name FROM shop.customers';
REVOKE EXECUTE ON FUNCTION all_names() FROM PUBLIC;
CREATE FUNCTION bound_names() RETURNS SETOF text LANGUAGE sql STABLE SECURITY DEFINER AS 'SELECT name FROM shop.customers';
ALTER FUNCTION bound_names() OWNER TO regress_li_reader;
CREATE FUNCTION version_of_it() RETURNS text LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog AS 'SELECT ''customers_v2''::text -- customers';
CREATE TABLE countries (code text PRIMARY KEY);
CREATE VIEW all_countries AS SELECT * FROM countries;
GRANT SELECT, TRUNCATE ON countries TO regress_li_app;
GRANT SELECT ON all_countries TO PUBLIC;
CREATE PUBLICATION lint_isolation_shared FOR TABLE countries;
CREATE PUBLICATION lint_isolation_one FOR TABLE files WHERE (company_id = 1);
CREATE SEQUENCE numbers;
ALTER SEQUENCE numbers OWNER TO regress_li_owner;
ALTER SEQUENCE numbers OWNED BY orders.id;
GRANT USAGE ON SEQUENCE numbers TO regress_li_app;
CREATE FUNCTION current_company() RETURNS bigint LANGUAGE plpgsql STABLE AS $$BEGIN RETURN nullif(current_setting('tenantmig.tenant', true), '')::bigint; END$$;
CREATE TABLE wishes (id bigint NOT NULL, company_id bigint NOT NULL REFERENCES companies, PRIMARY KEY (company_id, id));
ALTER TABLE wishes ENABLE ROW LEVEL SECURITY;
CREATE POLICY everybody ON wishes TO regress_li_app USING (true) WITH CHECK (true);
CREATE POLICY own ON wishes AS RESTRICTIVE TO regress_li_app USING (company_id = (SELECT current_company()));
CREATE TABLE hopes (id bigint NOT NULL, company_id bigint NOT NULL REFERENCES companies, PRIMARY KEY (company_id, id));
ALTER TABLE hopes ENABLE ROW LEVEL SECURITY;
CREATE POLICY reading ON hopes FOR SELECT TO regress_li_app USING (company_id = (SELECT current_company()) AND id > 0);
CREATE POLICY adding ON hopes FOR INSERT TO regress_li_app WITH CHECK (company_id IN (SELECT c.id FROM shop.companies c));
CREATE POLICY changing ON hopes FOR UPDATE TO regress_li_app USING (EXISTS (SELECT FROM shop.companies c WHERE c.id = hopes.company_id));
CREATE POLICY removing ON hopes FOR DELETE TO regress_li_app USING (false);
SELECT severity, check_name, object, detail FROM tenantmig.lint('companies') WHERE check_name <> 'table_without_tenant';
DROP TABLE wishes, hopes, countries CASCADE;
DROP VIEW mine, private;
DROP MATERIALIZED VIEW totals;
DROP FUNCTION my_names(), all_names(), bound_names(), version_of_it();
DROP PUBLICATION lint_isolation_shared, lint_isolation_one;
DROP SEQUENCE numbers;

\echo === where it is on
SELECT * FROM new_findings('ALTER TABLE customers DISABLE ROW LEVEL SECURITY');
SELECT * FROM new_findings('DROP POLICY tenantmig_tenant ON customers');
SELECT * FROM new_findings('DROP POLICY tenantmig_tenant ON customers; DROP POLICY tenantmig_super ON customers');
SELECT * FROM new_findings('CREATE TABLE wishes (id bigint NOT NULL, company_id bigint NOT NULL REFERENCES companies, PRIMARY KEY (company_id, id))');
SELECT * FROM new_findings('CREATE TABLE wishes (id bigint NOT NULL, company_id bigint NOT NULL REFERENCES companies, PRIMARY KEY (company_id, id)); GRANT UPDATE (id) ON wishes TO regress_li_reader');
\echo a remedy cuts no tenant
BEGIN;
CREATE TABLE wishes (id bigint PRIMARY KEY, company_id varchar(3) NOT NULL);
SELECT check_name, object, remedy FROM tenantmig.lint('companies') WHERE check_name = 'table_not_isolated';
ROLLBACK;
SELECT * FROM new_findings('ALTER TABLE companies DISABLE ROW LEVEL SECURITY; DROP POLICY tenantmig_tenant ON companies; DROP POLICY tenantmig_super ON companies');
SELECT * FROM new_findings('ALTER TABLE customers NO FORCE ROW LEVEL SECURITY');
SELECT * FROM new_findings('ALTER TABLE customers NO FORCE ROW LEVEL SECURITY; ALTER ROLE regress_li_owner LOGIN');
SELECT * FROM new_findings($$CREATE TABLE orders_2 PARTITION OF orders FOR VALUES FROM ('2027-01-01') TO ('2028-01-01')$$);
SELECT * FROM new_findings($$CREATE TABLE orders_2 PARTITION OF orders FOR VALUES FROM ('2027-01-01') TO ('2028-01-01'); GRANT SELECT ON orders_2 TO regress_li_reader$$);
SELECT * FROM new_findings('ALTER TABLE files_old DISABLE ROW LEVEL SECURITY; DROP POLICY tenantmig_tenant ON files_old; DROP POLICY tenantmig_super ON files_old; GRANT SELECT ON files_old TO PUBLIC');
SELECT * FROM new_findings('ALTER TABLE files ADD CONSTRAINT apart EXCLUDE USING gist (during WITH &&)');

\echo === what policies let through
SELECT * FROM new_findings('ALTER POLICY tenantmig_tenant ON customers USING (true)');
SELECT * FROM new_findings('ALTER POLICY tenantmig_tenant ON customers USING (company_id IS NOT NULL)');
SELECT * FROM new_findings($$ALTER POLICY tenantmig_tenant ON customers USING (id = (SELECT nullif(current_setting('tenantmig.tenant', true), '')::bigint))$$);
SELECT * FROM new_findings($$ALTER POLICY tenantmig_tenant ON customers USING (company_id <> (SELECT nullif(current_setting('tenantmig.tenant', true), '')::bigint))$$);
SELECT * FROM new_findings($$ALTER POLICY tenantmig_tenant ON customers USING (company_id = (SELECT nullif(current_setting('tenantmig.tenant', true), '')::bigint) OR shared)$$);
SELECT * FROM new_findings($$ALTER POLICY tenantmig_tenant ON customers USING (company_id = (SELECT nullif(current_setting('tenantmig.tenant', true), '')::bigint) OR current_setting('app.admin', true) = 'on')$$);
SELECT * FROM new_findings($$ALTER POLICY tenantmig_tenant ON customers USING (nullif(current_setting('tenantmig.tenant', true), '') IS NULL OR company_id = (SELECT nullif(current_setting('tenantmig.tenant', true), '')::bigint))$$);
SELECT * FROM new_findings($$ALTER POLICY tenantmig_tenant ON customers USING (company_id = coalesce((SELECT nullif(current_setting('tenantmig.tenant', true), '')::bigint), company_id))$$);
SELECT * FROM new_findings($$ALTER POLICY tenantmig_tenant ON customers USING (CASE WHEN (SELECT current_setting('tenantmig.tenant', true)) = '' THEN true ELSE company_id = (SELECT nullif(current_setting('tenantmig.tenant', true), '')::bigint) END)$$);
SELECT * FROM new_findings($$ALTER POLICY tenantmig_tenant ON customers USING (company_id % 10 = (SELECT nullif(current_setting('tenantmig.tenant', true), '')::bigint))$$);
SELECT * FROM new_findings($$ALTER POLICY tenantmig_tenant ON customers USING (company_id IS NOT DISTINCT FROM (SELECT nullif(current_setting('tenantmig.tenant', true), '')::bigint))$$);
SELECT severity, check_name, object, detail FROM new_findings($$ALTER TABLE customers ALTER company_id DROP NOT NULL; ALTER POLICY tenantmig_tenant ON customers USING (company_id IS NOT DISTINCT FROM (SELECT nullif(current_setting('tenantmig.tenant', true), '')::bigint))$$) WHERE check_name LIKE 'policy%';
\echo other ways to write it: nothing
SELECT * FROM new_findings($$ALTER POLICY tenantmig_tenant ON customers USING (coalesce(company_id IN (SELECT nullif(current_setting('tenantmig.tenant', true), '')::bigint), false))$$);
SELECT * FROM new_findings($$ALTER POLICY tenantmig_tenant ON customers USING (CASE WHEN company_id = (SELECT nullif(current_setting('tenantmig.tenant', true), '')::bigint) THEN NOT shared END)$$);
SELECT * FROM new_findings($$ALTER POLICY tenantmig_tenant ON customers USING (company_id = (SELECT nullif(current_setting('tenantmig.tenant', true), '')::bigint) AND (shared OR name <> '') AND now() > '2000-01-01')$$);
SELECT * FROM new_findings('CREATE POLICY support ON customers FOR SELECT TO regress_li_app USING (true)');
SELECT * FROM new_findings($$CREATE POLICY narrower ON customers FOR SELECT TO regress_li_app USING (company_id = (SELECT nullif(current_setting('tenantmig.tenant', true), '')::bigint) AND NOT shared)$$);
SELECT * FROM new_findings('CREATE POLICY import ON customers FOR INSERT TO regress_li_app WITH CHECK (true)');
SELECT * FROM new_findings('ALTER POLICY tenantmig_tenant ON customers WITH CHECK (id > 0)');
SELECT * FROM new_findings($$DROP POLICY tenantmig_tenant ON customers; CREATE POLICY tenants ON customers USING (company_id = (SELECT nullif(current_setting('tenantmig.tenant', true), '')::bigint))$$);
SELECT * FROM new_findings('DROP POLICY tenantmig_super ON customers; CREATE POLICY platform ON customers TO regress_li_platform USING (true)');

\echo === what policies cost, and when they fail
SELECT * FROM new_findings($$ALTER POLICY tenantmig_tenant ON customers USING (company_id = nullif(current_setting('tenantmig.tenant', true), '')::bigint)$$);
SELECT * FROM new_findings($$ALTER POLICY tenantmig_tenant ON customers USING (company_id = (SELECT current_setting('tenantmig.tenant')::bigint))$$);
SELECT * FROM new_findings($$ALTER POLICY tenantmig_tenant ON customers USING (company_id = (SELECT current_setting('tenantmig.tenant', true)::bigint))$$);
SELECT * FROM new_findings('ALTER POLICY tenantmig_tenant ON customers USING (company_id = current_company())');
SELECT * FROM new_findings('ALTER FUNCTION current_company() VOLATILE; ALTER POLICY tenantmig_tenant ON customers USING (company_id = current_company())');
SELECT * FROM new_findings('ALTER FUNCTION current_company() VOLATILE; ALTER POLICY tenantmig_tenant ON customers USING (company_id = (SELECT current_company()))');
SELECT * FROM new_findings('ALTER FUNCTION current_company() IMMUTABLE; ALTER POLICY tenantmig_tenant ON customers USING (company_id = (SELECT current_company()))');
SELECT * FROM new_findings($$CREATE FUNCTION asked() RETURNS bigint LANGUAGE plpgsql STABLE AS 'BEGIN RETURN /* helper() */ shop.Current_Company ( ); END'; ALTER FUNCTION current_company() VOLATILE; ALTER POLICY tenantmig_tenant ON customers USING (company_id = (SELECT asked()))$$);
SELECT * FROM new_findings($$ALTER POLICY tenantmig_tenant ON customers USING (company_id::text = (SELECT nullif(current_setting('tenantmig.tenant', true), '')))$$);
SELECT * FROM new_findings($$ALTER POLICY tenantmig_tenant ON customers USING (company_id::text = (SELECT nullif(current_setting('tenantmig.tenant', true), ''))); CREATE INDEX ON customers ((company_id::text))$$);
SELECT * FROM new_findings($$ALTER POLICY tenantmig_tenant ON customers USING (company_id = (SELECT nullif(current_setting('tenantmig.tenant', true), '')::numeric)); CREATE POLICY living ON customers AS RESTRICTIVE USING (NOT shared)$$);

\echo === rights and roles
SELECT * FROM new_findings('GRANT TRUNCATE ON customers TO regress_li_reader; GRANT TRIGGER ON customers TO PUBLIC; GRANT REFERENCES (id) ON customers TO regress_li_app');
SELECT * FROM new_findings('GRANT ALL ON customers TO regress_li_viewer, regress_li_platform');
SELECT * FROM new_findings('GRANT regress_li_viewer TO regress_li_app; GRANT TRUNCATE ON orders_1 TO regress_li_viewer');
SELECT * FROM new_findings('ALTER TABLE customers OWNER TO regress_li_app');
SELECT * FROM new_findings('GRANT regress_li_owner TO regress_li_viewer; GRANT regress_li_viewer TO regress_li_app');
SELECT * FROM new_findings('GRANT regress_li_platform TO regress_li_app');
SELECT * FROM new_findings('CREATE ROLE regress_li_admin SUPERUSER; GRANT regress_li_admin TO regress_li_reader; ALTER ROLE regress_li_reader NOINHERIT');
SELECT * FROM new_findings('ALTER ROLE regress_li_app BYPASSRLS');
SELECT * FROM new_findings('ALTER ROLE regress_li_reader SUPERUSER');
SELECT * FROM new_findings('ALTER ROLE regress_li_viewer BYPASSRLS');
SELECT * FROM new_findings('ALTER ROLE regress_li_viewer BYPASSRLS; GRANT SELECT ON customers TO regress_li_viewer');
SELECT * FROM new_findings('GRANT pg_read_server_files TO regress_li_viewer; GRANT regress_li_viewer TO regress_li_app');
SELECT * FROM new_findings('ALTER ROLE regress_li_reader REPLICATION; GRANT pg_read_all_data, pg_write_all_data TO regress_li_reader');
SELECT severity, check_name, object FROM new_findings('ALTER ROLE regress_li_app CREATEROLE') WHERE current_setting('server_version_num')::integer < 160000 UNION ALL SELECT 'error', 'role_can_bypass', 'regress_li_app' WHERE current_setting('server_version_num')::integer >= 160000;
SELECT * FROM new_findings('GRANT SELECT, UPDATE, USAGE ON SEQUENCE customers_id_seq TO regress_li_app');
SELECT * FROM new_findings('ALTER DEFAULT PRIVILEGES FOR ROLE regress_li_owner IN SCHEMA shop GRANT ALL ON TABLES TO regress_li_app; ALTER DEFAULT PRIVILEGES FOR ROLE regress_li_owner GRANT SELECT ON SEQUENCES TO PUBLIC');
SELECT * FROM new_findings('ALTER DEFAULT PRIVILEGES FOR ROLE regress_li_owner IN SCHEMA shop GRANT SELECT, INSERT ON TABLES TO regress_li_app; ALTER DEFAULT PRIVILEGES FOR ROLE regress_li_owner IN SCHEMA shop GRANT ALL ON TABLES TO regress_li_viewer');
SELECT * FROM new_findings($$ALTER ROLE regress_li_app SET "tenantmig".Tenant = '3'; ALTER ROLE regress_li_viewer SET tenantmig.tenant = '4'; ALTER ROLE regress_li_reader SET tenantmig.tenant = ''$$);
SELECT severity, check_name, replace(detail, current_database(), 'DATABASE') AS detail, replace(remedy, current_database(), 'DATABASE') AS remedy, healed FROM new_findings(format('ALTER DATABASE %I SET tenantmig.tenant = %L', current_database(), 'it''s'));
SELECT severity, check_name, object, detail, healed FROM new_findings($$SELECT tenantmig.grant_access('regress_li_app', 'viewer')$$);
SELECT * FROM new_findings('GRANT SELECT ON pg_statistic TO regress_li_reader');

\echo === ways around
SELECT * FROM new_findings('CREATE VIEW v AS SELECT * FROM customers; GRANT SELECT ON v TO regress_li_app');
SELECT * FROM new_findings('CREATE VIEW v AS SELECT * FROM customers; CREATE VIEW w AS SELECT name FROM v; GRANT SELECT (name) ON w TO PUBLIC');
SELECT * FROM new_findings('CREATE VIEW v AS SELECT * FROM customers; GRANT SELECT ON v TO regress_li_viewer, regress_li_owner');
SELECT * FROM new_findings('CREATE VIEW v AS SELECT * FROM customers; ALTER VIEW v OWNER TO regress_li_owner; GRANT SELECT ON v TO regress_li_app');
SELECT * FROM new_findings('CREATE VIEW v AS SELECT * FROM customers; ALTER VIEW v OWNER TO regress_li_owner; GRANT SELECT ON v TO regress_li_app; ALTER TABLE customers NO FORCE ROW LEVEL SECURITY');
SELECT * FROM new_findings('GRANT CREATE ON SCHEMA shop TO regress_li_platform; CREATE VIEW v AS SELECT * FROM customers; ALTER VIEW v OWNER TO regress_li_platform; GRANT SELECT ON v TO regress_li_app');
SELECT * FROM new_findings('CREATE VIEW v WITH (security_invoker) AS SELECT * FROM customers; CREATE MATERIALIZED VIEW m AS SELECT name FROM v; GRANT SELECT ON m TO regress_li_reader');
SELECT * FROM new_findings($$CREATE FUNCTION f() RETURNS SETOF text LANGUAGE plpgsql SECURITY DEFINER AS 'BEGIN RETURN QUERY SELECT name FROM "customers"; END'$$);
SELECT * FROM new_findings($$CREATE FUNCTION f() RETURNS SETOF text LANGUAGE sql SECURITY DEFINER BEGIN ATOMIC SELECT name FROM shop.customers; END$$);
SELECT * FROM new_findings($$CREATE PROCEDURE f(t text) LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS 'BEGIN EXECUTE t; END'; ALTER PROCEDURE f(text) OWNER TO regress_li_platform; REVOKE EXECUTE ON PROCEDURE f(text) FROM PUBLIC; GRANT EXECUTE ON PROCEDURE f(text) TO regress_li_reader$$);
SELECT * FROM new_findings($$CREATE SCHEMA hidden; CREATE FUNCTION hidden.f() RETURNS SETOF text LANGUAGE sql SECURITY DEFINER AS 'SELECT name FROM shop.customers'$$);
SELECT * FROM new_findings($$CREATE FUNCTION f(text) RETURNS boolean LANGUAGE plpgsql LEAKPROOF AS 'BEGIN RETURN true; END'$$);
SET client_min_messages = error;
SELECT * FROM new_findings('CREATE PUBLICATION lint_isolation_all FOR TABLE customers, files WHERE (id > 5)');
SET client_min_messages = warning;

\echo a view of its owner over one of the invoker: the policies of who asks hold
INSERT INTO companies VALUES (1, 'one'), (2, 'two');
INSERT INTO customers (company_id, name) VALUES (1, 'a'), (2, 'b');
CREATE VIEW inner_view WITH (security_invoker) AS SELECT * FROM customers;
CREATE VIEW outer_view AS SELECT * FROM inner_view;
GRANT SELECT ON outer_view TO regress_li_app;
SET tenantmig.tenant = '1';
SET ROLE regress_li_app;
SELECT name FROM outer_view;
RESET ROLE;
RESET tenantmig.tenant;
SELECT severity, check_name, object FROM tenantmig.lint('companies');
DROP VIEW outer_view, inner_view;

\echo === hostile names
ALTER ROLE regress_li_app RENAME TO "regress_li_app""; DROP TABLE companies; --";
ALTER TABLE customers RENAME TO "customers
DROP TABLE companies; --";
SELECT check_name, object, remedy, healed FROM new_findings($$DO $b$BEGIN EXECUTE format('ALTER POLICY tenantmig_tenant ON %s RENAME TO "p""; --"; ALTER POLICY "p""; --" ON %1$s USING (true) WITH CHECK (true); GRANT TRUNCATE ON %1$s TO %s; CREATE VIEW "v"";
--" AS SELECT * FROM %1$s; GRANT SELECT ON "v"";
--" TO %2$s', (SELECT c.oid::regclass FROM pg_class c WHERE c.relname LIKE 'customers%DROP%' AND c.relkind = 'r'), (SELECT r.oid::regrole FROM pg_roles r WHERE r.rolname LIKE 'regress_li_app%')); END$b$ $$);
SELECT count(*) FROM shop.companies;
ALTER ROLE "regress_li_app""; DROP TABLE companies; --" RENAME TO regress_li_app;
ALTER TABLE "customers
DROP TABLE companies; --" RENAME TO customers;

\echo === exemptions, and a caller without rights
ALTER ROLE regress_li_viewer NOBYPASSRLS;
SELECT tenantmig.grant_access('regress_li_viewer', 'viewer');
GRANT USAGE ON SCHEMA shop TO regress_li_viewer;
GRANT TRUNCATE ON customers TO regress_li_app;
CREATE VIEW v AS SELECT * FROM customers;
GRANT SELECT ON v TO regress_li_app;
SELECT tenantmig.create_migration($${"migration": "exempting", "tenants": {"table": "companies"}, "steps": [{"constraint": {"table": "customers", "column": "company_id", "not_null": true}}],
  "exempt": [{"finding": "owner_view:shop.v", "reason": "names only"}, {"finding": "grants_bypass:shop.customers.regress_li_reader", "reason": "was so once"}, {"finding": "probe.select:shop.customers:regress_li_app", "reason": "not of lint"}]}$$);
SET ROLE regress_li_viewer;
SELECT severity, check_name, object, exempt FROM tenantmig.lint('shop.companies', with_data => false);
\echo the same as its owner sees it
RESET ROLE;
SELECT severity, check_name, object, exempt FROM tenantmig.lint('shop.companies');
SELECT tenantmig.drop_migration('exempting');
DROP VIEW v;
REVOKE TRUNCATE ON customers FROM regress_li_app;

\echo === code of users is never run by looking at a policy
CREATE FUNCTION spy(text) RETURNS bigint LANGUAGE plpgsql IMMUTABLE AS $$BEGIN RAISE WARNING 'user code runs as %', current_user; RETURN 1; END$$;
SELECT severity, check_name FROM new_findings($$ALTER POLICY tenantmig_tenant ON customers USING (company_id = (SELECT spy(current_setting('tenantmig.tenant', true))) OR spy('') = 1)$$);

\echo === errors
SELECT FROM tenantmig.lint('nothing');
SET ROLE regress_li_app;
SELECT FROM tenantmig.lint('companies');
RESET ROLE;
DROP SCHEMA shop CASCADE;
DROP EXTENSION tenantmig CASCADE;
DROP ROLE regress_li_owner, regress_li_app, regress_li_reader, regress_li_platform, regress_li_viewer;
