-- What enforce and relax refuse.
\pset null -
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tenantmig CASCADE;
CREATE EXTENSION tenantmig;
CREATE SCHEMA shop;
SET search_path = shop;
CREATE TABLE companies (id integer PRIMARY KEY);
CREATE TABLE customers (id integer PRIMARY KEY, company_id integer, branch_id integer REFERENCES companies);
CALL tenantmig.enforce(NULL);
CALL tenantmig.enforce('m', NULL);
CALL tenantmig.relax(NULL);
CALL tenantmig.enforce('nothing');
CALL tenantmig.relax('nothing');
CALL tenantmig.enforce('');
SELECT tenantmig.create_migration('{"migration": "backfill only", "tenants": {"table": "companies"}, "steps": [{"backfill": {"table": "customers", "column": "company_id", "sources": [{"via": "branch_id"}]}}]}');
CALL tenantmig.enforce('backfill only');
CALL tenantmig.relax('backfill only');
SELECT tenantmig.create_migration('{"migration": "m", "tenants": {"table": "companies"}, "steps": [{"constraint": {"table": "customers", "column": "company_id", "not_null": true, "references": "companies"}}]}');

-- read-only
SET default_transaction_read_only = on;
CALL tenantmig.enforce('m');
CALL tenantmig.relax('m');
RESET default_transaction_read_only;

-- somebody else's
CREATE ROLE regress_other;
SELECT tenantmig.grant_access('regress_other', 'viewer');
SET ROLE regress_other;
CALL tenantmig.enforce('m');
RESET ROLE;
SELECT tenantmig.grant_access('regress_other', 'operator');
SET ROLE regress_other;
CALL tenantmig.enforce('m');
CALL tenantmig.relax('m');
RESET ROLE;

-- the owner of the table may not reference the tenants, nor make an index in its schema: preflight and gate say so
CREATE ROLE regress_owner;
GRANT USAGE ON SCHEMA shop TO regress_owner;
ALTER TABLE customers OWNER TO regress_owner;
SELECT tenantmig.create_migration('{"migration": "rights", "tenants": {"table": "companies"}, "steps": [{"constraint": {"table": "customers", "column": "company_id", "references": "companies", "composite": true}}]}');
SELECT status, actual, detail, hint FROM tenantmig.preflight('rights') WHERE check_name = 'rights';
CALL tenantmig.enforce('rights');
SELECT conname FROM pg_constraint WHERE conrelid = 'customers'::regclass ORDER BY 1;
GRANT REFERENCES (id) ON companies TO regress_owner;
GRANT CREATE ON SCHEMA shop TO regress_owner;
SELECT status, actual FROM tenantmig.preflight('rights') WHERE check_name = 'rights';
CALL tenantmig.enforce('rights', proofs => false);
SELECT conname FROM pg_constraint WHERE conrelid = 'customers'::regclass ORDER BY 1;
CALL tenantmig.relax('rights');

-- code of the owner: an event trigger is the superuser's affair; a trigger, a default or a rule of the table runs as its owner at most
CREATE FUNCTION shop.tell() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE WARNING '% as %', tg_tag, current_user; END $$;
CREATE EVENT TRIGGER regress_tell ON ddl_command_end WHEN TAG IN ('ALTER TABLE') EXECUTE FUNCTION shop.tell();
CALL tenantmig.enforce('m', proofs => false);
DROP EVENT TRIGGER regress_tell;
CALL tenantmig.relax('m');
DROP SCHEMA shop CASCADE;
DROP OWNED BY regress_other, regress_owner;
DROP ROLE regress_other, regress_owner;
