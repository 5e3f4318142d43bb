-- Constraint steps that do not fit the database, and wrong arguments of approve, register_backup and prove.
\pset null -
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tenantmig CASCADE;
CREATE EXTENSION tenantmig;
CREATE ROLE regress_owner;
CREATE ROLE regress_other;
CREATE SCHEMA shop;
GRANT USAGE, CREATE ON SCHEMA shop TO regress_owner, regress_other;
SET search_path = shop;
SELECT tenantmig.grant_access('regress_owner', 'operator');
SET ROLE regress_other;
CREATE TABLE theirs (id integer PRIMARY KEY);
SET ROLE regress_owner;
CREATE COLLATION fuzzy (provider = icu, locale = 'und', deterministic = false);
CREATE TABLE companies (id integer PRIMARY KEY, code text, name text UNIQUE, later integer UNIQUE DEFERRABLE, number integer UNIQUE, gone timestamptz);
CREATE UNIQUE INDEX ON companies (code) WHERE gone IS NULL;
CREATE TABLE two_keys (a integer, b integer, PRIMARY KEY (a, b));
CREATE TABLE staff (id integer PRIMARY KEY, company_id integer, company_ref text, data json, fuzz text COLLATE fuzzy, deleted_at timestamptz,
  first integer REFERENCES companies, second integer REFERENCES companies, CONSTRAINT again FOREIGN KEY (second) REFERENCES companies (number));
CREATE TABLE plain (company_id integer);
CREATE TABLE parent (company_id integer);
CREATE TABLE child () INHERITS (parent);
CREATE TABLE visits (day integer, n integer, company_id integer) PARTITION BY LIST (day);
CREATE TABLE visits_1 PARTITION OF visits FOR VALUES IN (1);
CREATE TABLE odd (day integer, n integer, company_id integer) PARTITION BY LIST (abs(day));
CREATE FUNCTION try(step text) RETURNS text LANGUAGE sql AS
  $$SELECT tenantmig.create_migration(('{"migration": "m", "tenants": {"table": "companies", "key": "id"}, "steps": [{"constraint": ' || step || '}]}')::jsonb)$$;

SELECT try('{"table": "nowhere", "column": "company_id", "not_null": true}');
\echo :LAST_ERROR_SQLSTATE
SELECT try('{"table": "staff", "column": "company", "not_null": true}');
\echo :LAST_ERROR_SQLSTATE
SELECT try('{"table": "theirs", "column": "id", "not_null": true}');
\echo :LAST_ERROR_SQLSTATE
SELECT try('{"table": "visits_1", "column": "company_id", "not_null": true}');
\echo :LAST_ERROR_SQLSTATE
SELECT try('{"table": "parent", "column": "company_id", "not_null": true}');
\echo :LAST_ERROR_SQLSTATE
SELECT try('{"table": "staff", "column": "company_id", "not_null": "live"}');
\echo :LAST_ERROR_SQLSTATE
SELECT try('{"table": "staff", "column": "company_id", "not_null": "live", "soft_delete": "removed_at"}');
\echo :LAST_ERROR_SQLSTATE
SELECT try('{"table": "staff", "column": "company_id", "not_null": "live", "soft_delete": "company_id"}');
\echo :LAST_ERROR_SQLSTATE

-- references
SELECT try('{"table": "staff", "column": "company_id", "references": "theirs.id"}');
\echo :LAST_ERROR_SQLSTATE
SELECT try('{"table": "staff", "column": "company_id", "references": "companies.nothing"}');
\echo :LAST_ERROR_SQLSTATE
SELECT try('{"table": "staff", "column": "company_id", "references": "two_keys"}');
\echo :LAST_ERROR_SQLSTATE
SELECT try('{"table": "staff", "column": "company_id", "references": "two_keys.a"}');
\echo :LAST_ERROR_SQLSTATE
SELECT try('{"table": "staff", "column": "company_ref", "references": "companies.code"}');
\echo :LAST_ERROR_SQLSTATE
SELECT try('{"table": "staff", "column": "company_id", "references": "companies.later"}');
\echo :LAST_ERROR_SQLSTATE
SELECT try('{"table": "staff", "column": "company_ref", "references": "companies.id"}');
\echo :LAST_ERROR_SQLSTATE
SELECT try('{"table": "staff", "column": "fuzz", "references": "companies.name"}');
\echo :LAST_ERROR_SQLSTATE
SELECT try('{"table": "staff", "column": "company_id", "on_delete": "restrict"}');
\echo :LAST_ERROR_SQLSTATE
SELECT try('{"table": "staff", "column": "second", "on_delete": "restrict"}');
\echo :LAST_ERROR_SQLSTATE

-- unique, composite, format
SELECT try('{"table": "staff", "column": "company_id", "unique": ["company_id", "nothing"]}');
\echo :LAST_ERROR_SQLSTATE
SELECT try('{"table": "staff", "column": "company_id", "unique": ["data"]}');
\echo :LAST_ERROR_SQLSTATE
SELECT try('{"table": "visits", "column": "company_id", "unique": ["company_id", "n"]}');
\echo :LAST_ERROR_SQLSTATE
SELECT try('{"table": "odd", "column": "company_id", "unique": ["company_id", "n"]}');
\echo :LAST_ERROR_SQLSTATE
SELECT try('{"table": "plain", "column": "company_id", "composite": true}');
\echo :LAST_ERROR_SQLSTATE
SELECT try('{"table": "staff", "column": "company_ref", "format": "a(b"}');
\echo :LAST_ERROR_SQLSTATE
SELECT try('{"table": "staff", "column": "fuzz", "format": "^a"}');
\echo :LAST_ERROR_SQLSTATE
SELECT try('{"table": "staff", "column": "company_id", "not_null": true}}, {"constraint": {"table": "shop.staff", "column": "\"company_id\"", "references": "companies"}');
\echo :LAST_ERROR_SQLSTATE
SELECT count(*) FROM tenantmig.migrations;

-- the right to reference is enough
RESET ROLE;
GRANT REFERENCES (id) ON theirs TO regress_owner;
SET ROLE regress_owner;
SELECT try('{"table": "staff", "column": "company_id", "references": "theirs.id"}');
-- a name is a name for good: renamed, the step still means it
ALTER TABLE staff RENAME COLUMN company_id TO firm;
ALTER TABLE staff RENAME TO people;
SELECT check_name, status, detail FROM tenantmig.gate('m') WHERE check_name = 'orphans';
ALTER TABLE people DROP COLUMN firm;
SELECT check_name FROM tenantmig.gate('m');
\echo :LAST_ERROR_SQLSTATE

-- approve, register_backup, prove
SELECT tenantmig.approve(NULL);
\echo :LAST_ERROR_SQLSTATE
SELECT tenantmig.approve('nobody');
\echo :LAST_ERROR_SQLSTATE
SELECT tenantmig.revoke_approval('nobody');
\echo :LAST_ERROR_SQLSTATE
SELECT tenantmig.register_backup('nobody', '2020-01-01', 'x');
\echo :LAST_ERROR_SQLSTATE
SELECT tenantmig.register_backup('m', NULL, 'x');
\echo :LAST_ERROR_SQLSTATE
SELECT tenantmig.register_backup('m', 'infinity', 'x');
\echo :LAST_ERROR_SQLSTATE
SELECT tenantmig.register_backup('m', '-infinity', 'x');
\echo :LAST_ERROR_SQLSTATE
\set VERBOSITY terse
SELECT tenantmig.register_backup('m', clock_timestamp() + interval '1 minute', 'x');
\echo :LAST_ERROR_SQLSTATE
\set VERBOSITY default
SELECT tenantmig.register_backup('m', '2020-01-01', NULL);
\echo :LAST_ERROR_SQLSTATE
SELECT tenantmig.register_backup('m', '2020-01-01', E' \t');
\echo :LAST_ERROR_SQLSTATE
SELECT tenantmig.gate(NULL);
\echo :LAST_ERROR_SQLSTATE
BEGIN;
CALL tenantmig.prove('m');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
CALL tenantmig.prove(NULL);
\echo :LAST_ERROR_SQLSTATE
CALL tenantmig.prove('nobody');
\echo :LAST_ERROR_SQLSTATE
ALTER TABLE people ADD firm integer;
CALL tenantmig.prove('m');
\echo :LAST_ERROR_SQLSTATE
SET ROLE regress_other;
CALL tenantmig.prove('m');
\echo :LAST_ERROR_SQLSTATE
RESET ROLE;
SELECT tenantmig.drop_migration('m');
SELECT count(*) FROM tenantmig.backups;

RESET search_path;
DROP EXTENSION tenantmig CASCADE;
DROP SCHEMA shop CASCADE;
DROP ROLE regress_owner, regress_other;
