-- What was enforced and is called otherwise now is still in force: health and observe say so, and relax finds it.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tenantmig CASCADE;
CREATE EXTENSION tenantmig;
CREATE SCHEMA renamed;
SET search_path = renamed;
CREATE TABLE companies (id integer PRIMARY KEY);
INSERT INTO companies VALUES (1), (2);
CREATE TABLE customers (id integer PRIMARY KEY, company_id integer);
INSERT INTO customers VALUES (1, 1), (2, 2);
CREATE INDEX ON customers (company_id);
SELECT tenantmig.create_migration('{"migration": "r", "tenants": {"table": "companies"}, "steps": [{"constraint": {"table": "customers", "column": "company_id", "not_null": true, "references": "companies.id"}}]}');
CALL tenantmig.enforce('r');
SELECT kind, state FROM tenantmig.enforcements ORDER BY kind;
SELECT check_name, status FROM tenantmig.observe('r') WHERE status <> 'PASS';
SELECT health, reasons FROM tenantmig.health;
ALTER TABLE customers RENAME company_id TO tenant;
ALTER TABLE customers RENAME CONSTRAINT customers_company_id_fkey TO other;
ALTER TABLE customers RENAME TO clients;
SELECT check_name, status, actual FROM tenantmig.observe('r') WHERE status <> 'PASS';
SELECT health, reasons FROM tenantmig.health;
-- a second enforce finds it all there, and adds nothing
SET client_min_messages = notice;
CALL tenantmig.enforce('r');
SET client_min_messages = warning;
SELECT kind, state FROM tenantmig.enforcements ORDER BY kind;
SELECT conname, convalidated FROM pg_constraint WHERE conrelid = 'clients'::regclass ORDER BY conname;
-- gone is gone
SET client_min_messages = error;
ALTER TABLE clients DROP CONSTRAINT other;
SELECT health, reasons FROM tenantmig.health;
SET client_min_messages = warning;
-- what is left of it can be taken back under its new names
CALL tenantmig.relax('r');
SELECT kind, state FROM tenantmig.enforcements ORDER BY kind;
SELECT attname, attnotnull FROM pg_attribute WHERE attrelid = 'clients'::regclass AND attnum = 2;
SELECT health, reasons FROM tenantmig.health;
DROP EXTENSION tenantmig CASCADE;
DROP SCHEMA renamed CASCADE;
