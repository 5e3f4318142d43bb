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

RESET search_path;
DROP SCHEMA attacked CASCADE;
DROP EXTENSION tenantmig CASCADE;
DROP OWNED BY regress_att_owner, regress_att_app, regress_att_admin;
DROP ROLE regress_att_owner, regress_att_app, regress_att_admin;
