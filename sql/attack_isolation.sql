-- Isolation, attacked by whoever owns the tables, and by whoever looks for a way past the policies.
SET client_min_messages = warning;
\set SHOW_CONTEXT never
DROP SCHEMA IF EXISTS attacked CASCADE;
DROP EXTENSION IF EXISTS tenantmig CASCADE;
CREATE EXTENSION tenantmig;
CREATE ROLE regress_att_owner;
CREATE ROLE regress_att_app;
CREATE ROLE regress_att_admin;
CREATE SCHEMA attacked AUTHORIZATION regress_att_owner;
SET search_path = attacked;
SET ROLE regress_att_owner;
GRANT USAGE ON SCHEMA attacked TO regress_att_app, regress_att_admin;

-- 1. The owner's code, in the CHECK of a domain inside of an array, must not run as the superuser who probes.
CREATE FUNCTION tell() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        RAISE WARNING 'the owner''s code runs as %', current_user;
    END IF;
END$$;
CREATE FUNCTION checked(value integer) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM attacked.tell();
    RETURN true;
END$$;
CREATE DOMAIN tenant AS integer CHECK (attacked.checked(VALUE));
CREATE TYPE pair AS (a tenant, b tenant);
CREATE TABLE companies (id tenant PRIMARY KEY);
CREATE TABLE orders (id tenant[] PRIMARY KEY, company_id tenant NOT NULL REFERENCES companies, parts pair, made tenant DEFAULT 1);
INSERT INTO companies SELECT generate_series(1, 3);
INSERT INTO orders SELECT ARRAY[g], g % 3 + 1, ROW(g::tenant, g::tenant)::pair FROM generate_series(1, 12) g;
GRANT SELECT, INSERT, UPDATE, DELETE ON orders TO regress_att_app, regress_att_admin;
CREATE TABLE pairs (id integer PRIMARY KEY, company_id pair NOT NULL);
INSERT INTO pairs SELECT g, ROW((g % 3)::tenant, 1::tenant)::pair FROM generate_series(1, 12) g;
GRANT SELECT, INSERT, UPDATE, DELETE ON pairs TO regress_att_app, regress_att_admin;
RESET ROLE;
SELECT current_user = session_user AS same, tell(); -- what it looks like
CALL tenantmig.isolate(ARRAY['orders'], 'regress_att_app', tenants => 'companies', super_role => 'regress_att_admin');
SELECT tenantmig.create_migration('{"migration": "pairs", "tenants": {"table": "companies"}, "steps": [{"isolate": {"tables": [{"table": "pairs", "column": "company_id"}], "role": "regress_att_app"}}]}');
CALL tenantmig.up('pairs');
SELECT status, count(*) > 0 AS some FROM tenantmig.isolation_criteria('isolation') GROUP BY 1 ORDER BY 1;
SELECT attack, seen, status FROM tenantmig.probe_isolation('isolation') WHERE status <> 'PASS';
SELECT attack, seen, status FROM tenantmig.probe_isolation('pairs') WHERE status <> 'PASS';
SELECT count(*) > 0 AS some FROM tenantmig.isolation_speed('isolation', measure => true);
SELECT count(*) > 0 AS some FROM tenantmig.isolation_speed('pairs', measure => true);
SELECT count(*) > 0 AS some FROM tenantmig.lint('companies');
SELECT status, count(*) > 0 AS some FROM tenantmig.verify('isolation') GROUP BY 1 ORDER BY 1;
SELECT status, count(*) > 0 AS some FROM tenantmig.observe() GROUP BY 1 ORDER BY 1;
CALL tenantmig.down('pairs');
CALL tenantmig.down('isolation');

-- 2. Code that runs above the policies although the role may not call it: a trigger's function, an aggregate's, a rule. First what comes
-- through, then that the probe says so.
CREATE TABLE customers (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, company_id integer NOT NULL, secret text, note text);
CREATE TABLE inbox (x integer);
INSERT INTO customers (company_id, secret) SELECT g % 3 + 1, 'secret ' || g FROM generate_series(1, 6) g;
GRANT SELECT, INSERT (company_id, note), DELETE ON customers TO regress_att_app;
GRANT INSERT ON inbox TO regress_att_app;
CREATE FUNCTION fill() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    NEW.note := (SELECT string_agg(c.secret, ', ' ORDER BY c.id) FROM attacked.customers c WHERE c.company_id <> NEW.company_id);
    RETURN NEW;
END$$;
CREATE FUNCTION whatever() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    EXECUTE format('SELECT FROM %I.%I', TG_TABLE_SCHEMA, TG_TABLE_NAME);
    RETURN OLD;
END$$;
CREATE FUNCTION unused() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$BEGIN PERFORM FROM attacked.customers; RETURN NEW; END$$;
CREATE FUNCTION gather(text, integer) RETURNS text LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS
    $$SELECT string_agg(c.secret, ', ' ORDER BY c.id) FROM attacked.customers c$$;
CREATE AGGREGATE gathered(integer) (sfunc = gather, stype = text);
REVOKE EXECUTE ON FUNCTION fill(), whatever(), unused(), gather(text, integer) FROM PUBLIC;
CREATE TRIGGER fill BEFORE INSERT ON customers FOR EACH ROW EXECUTE FUNCTION fill();
CREATE TRIGGER whatever BEFORE DELETE ON customers FOR EACH ROW EXECUTE FUNCTION whatever();
CREATE TRIGGER unused BEFORE UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION unused(); -- the role may not UPDATE
CREATE RULE "Tell me" AS ON INSERT TO inbox DO ALSO SELECT c.company_id, c.secret FROM customers c ORDER BY c.id LIMIT 2;
CREATE RULE not_its AS ON DELETE TO inbox DO ALSO DELETE FROM customers;
SELECT tenantmig.create_migration('{"migration": "above", "tenants": {"table": "companies"}, "steps": [{"isolate": {"tables": [{"table": "customers", "column": "company_id"}], "role": "regress_att_app"}}]}');
CALL tenantmig.up('above');
SET ROLE regress_att_app;
SET tenantmig.tenant = '1';
INSERT INTO customers (company_id) VALUES (1) RETURNING note;
SELECT gathered(1);
INSERT INTO inbox VALUES (1);
SELECT gather('', 1);
RESET tenantmig.tenant;
RESET ROLE;
SELECT relation, attack, seen, status, remedy, key FROM tenantmig.probe_isolation('above') WHERE attack IN ('definer_function', 'rule');
CALL tenantmig.down('above');

-- 3. A table that is dropped, made anew and isolated by another migration is that one's: the first neither takes its policies off nor
-- makes them its own.
CREATE TABLE calls (id integer, company_id integer NOT NULL);
SELECT tenantmig.create_migration('{"migration": "first", "tenants": {"table": "companies"}, "steps": [{"isolate": {"tables": [{"table": "calls", "column": "company_id"}], "role": "regress_att_admin"}}]}');
SELECT tenantmig.create_migration('{"migration": "second", "tenants": {"table": "companies"}, "steps": [{"isolate": {"tables": [{"table": "calls", "column": "company_id"}], "role": "regress_att_app"}}]}');
CALL tenantmig.up('first');
DROP TABLE calls;
CREATE TABLE calls (id integer, company_id integer NOT NULL);
CALL tenantmig.up('second');
SELECT check_name, status, actual FROM tenantmig.verify('first');
CALL tenantmig.up('first');
CALL tenantmig.down('first');
SELECT p.polname, p.polroles::regrole[], c.relrowsecurity, c.relforcerowsecurity FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid;
SELECT check_name, status, actual FROM tenantmig.verify('second') WHERE check_name LIKE 'isolated %';
CALL tenantmig.down('second');
SELECT count(*) FROM pg_policy p WHERE p.polrelid = 'calls'::regclass;

-- 4. A row whose values their own type refuses by now is no reason to prove nothing of all the others.
CREATE DOMAIN number AS integer;
CREATE TABLE notes (id number[] PRIMARY KEY, company_id integer NOT NULL);
CREATE TABLE parts (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, company_id integer NOT NULL);
INSERT INTO notes SELECT ARRAY[g]::number[], g % 3 + 1 FROM generate_series(1, 12) g;
INSERT INTO parts (company_id) SELECT g % 3 + 1 FROM generate_series(1, 12) g;
GRANT SELECT, INSERT, UPDATE, DELETE ON notes TO regress_att_app;
GRANT SELECT, INSERT (company_id), DELETE ON parts TO regress_att_app;
SELECT tenantmig.create_migration('{"migration": "refused", "tenants": {"table": "companies"}, "steps": [{"isolate": {"tables": [{"table": "notes", "column": "company_id"}, {"table": "parts", "column": "company_id"}], "role": "regress_att_app"}}]}');
CALL tenantmig.up('refused');
ALTER DOMAIN number ADD CONSTRAINT large CHECK (VALUE > 100) NOT VALID;
SELECT relation, attack, tenant, victim, seen, status FROM tenantmig.probe_isolation('refused') WHERE status <> 'PASS' AND attack NOT IN ('definer_function', 'rule');
SELECT relation, count(*) > 30 AS many FROM tenantmig.probe_isolation('refused') WHERE status = 'PASS' AND relation IN ('attacked.notes', 'attacked.parts') GROUP BY 1 ORDER BY 1;
CALL tenantmig.down('refused');

-- 5. Foreign tables: nothing of them is asked, and that is said.
CREATE FOREIGN DATA WRAPPER regress_att_wrapper;
CREATE SERVER regress_att_server FOREIGN DATA WRAPPER regress_att_wrapper;
CREATE FOREIGN TABLE mirror (n integer) SERVER regress_att_server OPTIONS (table_name 'parts');
CREATE FOREIGN TABLE elsewhere (company_id integer) SERVER regress_att_server;
CREATE FOREIGN TABLE not_granted (company_id integer) SERVER regress_att_server;
CREATE FOREIGN TABLE rates (rate numeric) SERVER regress_att_server;
GRANT SELECT ON mirror, elsewhere, rates TO regress_att_app;
CALL tenantmig.up('refused');
SELECT relation, attack, seen, status, remedy, key FROM tenantmig.probe_isolation('refused') WHERE attack = 'foreign_table';
CALL tenantmig.down('refused');
DROP FOREIGN DATA WRAPPER regress_att_wrapper CASCADE;

-- 6. A guard answers in the name of a foreign key, but at once: where the foreign key can wait for the end of the transaction, the moment tells.
CREATE TABLE parents (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, company_id integer NOT NULL);
CREATE TABLE children (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, company_id integer NOT NULL, late integer REFERENCES parents DEFERRABLE, early integer REFERENCES parents);
INSERT INTO parents (company_id) SELECT g % 3 + 1 FROM generate_series(1, 12) g;
INSERT INTO children (company_id, late, early) SELECT company_id, id, id FROM parents;
GRANT SELECT ON parents TO regress_att_app;
GRANT SELECT, INSERT (company_id, late, early), UPDATE (late, early) ON children TO regress_att_app;
SELECT kind, outcome FROM tenantmig.attach_guard('children', 'company_id', 'same_tenant', '{"via": "late"}');
SELECT kind, outcome FROM tenantmig.attach_guard('children', 'company_id', 'same_tenant', '{"via": "early"}');
SELECT tenantmig.create_migration('{"migration": "late", "tenants": {"table": "companies"}, "steps": [{"isolate": {"tables": [{"table": "parents", "column": "company_id"}, {"table": "children", "column": "company_id"}], "role": "regress_att_app"}}]}');
CALL tenantmig.up('late');
SET ROLE regress_att_app;
SET tenantmig.tenant = '1';
BEGIN;
SET CONSTRAINTS ALL DEFERRED;
UPDATE children SET late = 1 WHERE id = 3; -- of another tenant
ROLLBACK;
BEGIN;
SET CONSTRAINTS ALL DEFERRED;
UPDATE children SET late = 99 WHERE id = 3; -- nobody's
COMMIT;
RESET tenantmig.tenant;
RESET ROLE;
SELECT relation, tenant, victim, seen, status FROM tenantmig.probe_isolation('late') WHERE attack = 'foreign_key';
CALL tenantmig.down('late');

-- 7. A policy that asks who has logged in would be shown the caller of the probe.
CREATE TABLE mails (id integer, company_id integer NOT NULL);
INSERT INTO mails SELECT g, g % 3 + 1 FROM generate_series(1, 12) g;
CREATE FUNCTION seen(tenant integer) RETURNS boolean STABLE LANGUAGE plpgsql AS $$BEGIN RETURN tenant::text = current_setting('tenantmig.tenant', true) OR session_user = 'regress_att_app'; END$$;
ALTER TABLE mails ENABLE ROW LEVEL SECURITY;
CREATE POLICY "By function" ON mails TO regress_att_app USING (attacked.seen(company_id));
CREATE POLICY by_itself ON mails AS RESTRICTIVE TO regress_att_app USING (session_user IS NOT NULL);
CREATE POLICY not_its ON mails TO regress_att_admin USING (session_user IS NOT NULL);
GRANT SELECT ON mails TO regress_att_app;
SET SESSION AUTHORIZATION regress_att_app;
SELECT count(DISTINCT company_id) FROM mails;
RESET SESSION AUTHORIZATION;
SELECT relation, attack, seen, status, key FROM tenantmig.probe_isolation(role => 'regress_att_app', tenant_root => 'companies', tables => '{mails}') WHERE attack IN ('session_user', 'foreign_rows');

RESET search_path;
DROP SCHEMA attacked CASCADE;
DROP EXTENSION tenantmig CASCADE;
DROP OWNED BY regress_att_owner, regress_att_app, regress_att_admin;
DROP ROLE regress_att_owner, regress_att_app, regress_att_admin;
