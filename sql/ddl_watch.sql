-- Drift of the catalogue, each kind with what makes it, and the watch on ALTER TABLE in its three modes.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tenantmig CASCADE;
CREATE EXTENSION tenantmig;
RESET client_min_messages;
CREATE SCHEMA ddl_watch;
SET search_path = ddl_watch;
CREATE ROLE ddl_owner;
CREATE ROLE ddl_other;
SELECT tenantmig.grant_access('ddl_owner', 'operator');
SELECT tenantmig.grant_access('ddl_other', 'operator');
GRANT ALL ON SCHEMA ddl_watch TO ddl_owner;
SET ROLE ddl_owner;
CREATE TABLE companies (id integer PRIMARY KEY);
CREATE TABLE branches (id integer PRIMARY KEY, company_id integer NOT NULL REFERENCES companies);
CREATE TABLE customers (id integer PRIMARY KEY, branch_id integer REFERENCES branches, company_id integer, code text, deleted_at timestamptz);
CREATE TABLE settings (name text);
CREATE TABLE was_there (a integer);
SELECT tenantmig.create_migration('{"migration": "watched", "tenants": {"table": "companies"}, "steps": [
  {"backfill": {"table": "customers", "column": "company_id", "sources": [{"via": "branch_id"}]}},
  {"guard": {"kind": "tenant_key", "table": "customers", "column": "company_id", "mode": "reject"}},
  {"constraint": {"table": "customers", "column": "company_id", "not_null": true, "references": "companies.id", "composite": true}},
  {"constraint": {"table": "customers", "column": "code", "format": "^[a-z]+$"}}],
  "exempt": [{"table": "settings", "reason": "for the whole system"}]}');
SELECT kind, trigger_name ~ '^tenantmig_guard_\d+$' AS named, outcome FROM tenantmig.attach_guard('watched');
-- as enforce leaves it
ALTER TABLE customers ALTER company_id SET NOT NULL,
  ADD CONSTRAINT customers_company_fk FOREIGN KEY (company_id) REFERENCES companies ON DELETE RESTRICT,
  ADD CONSTRAINT customers_company_key UNIQUE (company_id, id),
  ADD CONSTRAINT customers_code_check CHECK (code ~ '^[a-z]+$');
RESET ROLE;
SET search_path = pg_catalog, pg_temp;
INSERT INTO tenantmig.enforcement (migration_id, step, kind, state, schema_name, table_name, column_name, relation_oid, database_oid, constraint_name, definition, intended_at, enforced_at, enforced_by)
SELECT m.id, v.step, v.kind, 'enforced', 'ddl_watch', 'customers', v.col, 'ddl_watch.customers'::regclass, d.oid, v.con, pg_get_constraintdef(k.oid), tenantmig.clock(), tenantmig.clock(), 'ddl_owner'
FROM tenantmig.migration m, pg_database d, (VALUES (3, 'not_null', 'company_id', NULL), (3, 'foreign_key', 'company_id', 'customers_company_fk'),
  (3, 'composite', 'company_id', 'customers_company_key'), (4, 'format', 'code', 'customers_code_check')) v (step, kind, col, con)
  LEFT JOIN pg_constraint k ON k.conrelid = 'ddl_watch.customers'::regclass AND k.conname = v.con
WHERE m.name = 'watched' AND d.datname = current_database();
SET search_path = ddl_watch;

-- New entries since seen().
CREATE FUNCTION look(OUT kind text, OUT relation text, OUT object text, OUT found text, OUT expected text) RETURNS SETOF record LANGUAGE sql AS
  $$SELECT kind, relation, regexp_replace(column_name, '_guard_\d+$', '_guard_N'), found, expected FROM tenantmig.drift WHERE migration = 'watched' AND id > coalesce(nullif(current_setting('ddl.seen', true), '')::bigint, 0) ORDER BY id$$;
CREATE FUNCTION seen() RETURNS void LANGUAGE sql AS $$SELECT set_config('ddl.seen', coalesce(max(id), 0)::text, false) FROM tenantmig.drift$$;

SELECT tenantmig.ddl_watch();
SELECT count(*) AS accepted FROM tenantmig.accept_tables('watched');
-- nothing is wrong yet; temporary tables, partitions of known tables, and tables with a key or a reference are no drift
SET ROLE ddl_owner;
CREATE TEMPORARY TABLE passing (a integer);
CREATE TABLE with_key (company_id integer);
CREATE TABLE with_reference (company integer REFERENCES companies);
CREATE TABLE measurements (company_id integer, at date) PARTITION BY RANGE (at);
CREATE TABLE measurements_2026 PARTITION OF measurements FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
RESET ROLE;
SELECT count(*) > 0 AS observed FROM tenantmig.observe('watched');
SELECT * FROM look();

-- the watch warns, and what it has logged is not logged again by observe
ALTER TABLE customers ALTER company_id DROP NOT NULL;
ALTER TABLE customers DROP CONSTRAINT customers_company_fk, ADD COLUMN note text;
SET client_min_messages = error; -- guards have numbers
ALTER TABLE customers DISABLE TRIGGER USER;
RESET client_min_messages;
SELECT * FROM look();
SELECT count(*) > 0 AS observed FROM tenantmig.observe('watched');
SELECT count(*) AS entries FROM look();
SELECT DISTINCT role, detail ~ '^Seen by the watch on ALTER TABLE\. ' AS by_the_watch FROM tenantmig.drift WHERE migration = 'watched';
-- undone with its transaction
BEGIN;
ALTER TABLE customers DROP CONSTRAINT customers_code_check;
ROLLBACK;
SELECT count(*) AS entries FROM look();
ALTER TABLE customers ALTER company_id SET NOT NULL, ENABLE TRIGGER USER, DROP COLUMN note,
  ADD CONSTRAINT customers_company_fk FOREIGN KEY (company_id) REFERENCES companies ON DELETE RESTRICT;
SELECT seen();
SELECT count(*) > 0 AS observed FROM tenantmig.observe('watched');
SELECT * FROM look();

-- without the watch, observe finds each kind by itself, once
SELECT tenantmig.ddl_watch('off');
ALTER TABLE customers ALTER company_id DROP NOT NULL;
ALTER TABLE customers DROP CONSTRAINT customers_company_fk;
ALTER TABLE customers ADD CONSTRAINT customers_company_fk FOREIGN KEY (company_id) REFERENCES companies NOT VALID;
ALTER TABLE customers DROP CONSTRAINT customers_company_key;
ALTER TABLE customers DROP CONSTRAINT customers_code_check;
ALTER TABLE customers ADD CONSTRAINT customers_code_check CHECK (code ~ '^[a-z]+$') NOT VALID;
ALTER TABLE customers DISABLE TRIGGER USER;
SET ROLE ddl_owner;
CREATE TABLE newcomer (a integer);
CREATE UNLOGGED TABLE newcomer_unlogged (a integer);
ALTER TABLE settings ADD company_id integer;
RESET ROLE;
SELECT count(*) > 0 AS observed FROM tenantmig.observe('watched');
SELECT * FROM look();
SELECT count(*) > 0 AS observed FROM tenantmig.observe('watched');
SELECT count(*) AS entries FROM look();
-- a change of what was found is news; so is what comes back
SELECT seen();
DROP TABLE settings;
ALTER TABLE customers VALIDATE CONSTRAINT customers_code_check;
SELECT count(*) > 0 AS observed FROM tenantmig.observe('watched');
SELECT * FROM look();
SELECT seen();
SELECT tenantmig.accept_tables('watched');
SELECT count(*) > 0 AS observed FROM tenantmig.observe('watched');
SELECT * FROM look();
DO $$BEGIN EXECUTE (SELECT format('DROP TRIGGER %I ON ddl_watch.customers', tgname) FROM pg_trigger WHERE tgrelid = 'ddl_watch.customers'::regclass AND tgname ~ '^tenantmig_guard'); END$$;
SELECT count(*) > 0 AS observed FROM tenantmig.observe('watched');
SELECT * FROM look();
SELECT outcome FROM tenantmig.attach_guard('watched');
-- renamed is not gone
SELECT seen();
ALTER TABLE customers DROP CONSTRAINT customers_company_fk, ALTER company_id SET NOT NULL,
  ADD CONSTRAINT other_name FOREIGN KEY (company_id) REFERENCES companies ON DELETE RESTRICT,
  ADD CONSTRAINT customers_company_key UNIQUE (company_id, id);
ALTER TABLE customers RENAME company_id TO "Company";
ALTER TABLE customers RENAME TO "Clients";
ALTER TABLE companies RENAME TO firms;
SELECT count(*) > 0 AS observed FROM tenantmig.observe('watched');
SELECT * FROM look();

-- on: refused, with the way to do it; other changes of the same table pass
SELECT tenantmig.ddl_watch('on');
SELECT evtname, evtevent, evtenabled, evttags FROM pg_event_trigger WHERE evtname ~ '^tenantmig' ORDER BY 1;
CREATE FUNCTION attempt(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE m text; d text; h text;
BEGIN
  EXECUTE statement;
  RETURN 'done';
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS m = MESSAGE_TEXT, d = PG_EXCEPTION_DETAIL, h = PG_EXCEPTION_HINT;
  RETURN regexp_replace(format(E'%s: %s\n%s\n%s', SQLSTATE, m, d, h), 'guard_\d+', 'guard_N', 'g');
END$$;
SELECT attempt('ALTER TABLE "Clients" ALTER "Company" DROP NOT NULL');
SELECT attempt('ALTER TABLE "Clients" ADD COLUMN x integer, DROP CONSTRAINT other_name');
SELECT attempt('ALTER TABLE "Clients" DROP CONSTRAINT other_name, ADD CONSTRAINT other_name FOREIGN KEY ("Company") REFERENCES firms NOT VALID');
SELECT attempt('ALTER TABLE "Clients" ALTER CONSTRAINT other_name DEFERRABLE');
SELECT attempt('ALTER TABLE "Clients" DROP CONSTRAINT customers_company_key');
SELECT attempt('ALTER TABLE "Clients" DROP COLUMN code');
SELECT attempt('ALTER TABLE "Clients" DISABLE TRIGGER USER');
SELECT attempt('ALTER TABLE firms DISABLE TRIGGER ALL');
SELECT attempt('ALTER TABLE firms DROP CONSTRAINT companies_pkey CASCADE');
SELECT attempt('ALTER TABLE firms DROP COLUMN id CASCADE');
SELECT attempt('ALTER TABLE IF EXISTS nowhere DROP COLUMN id CASCADE');
SELECT attempt('ALTER TABLE "Clients" ADD COLUMN x integer, ALTER code TYPE varchar(100), DROP COLUMN deleted_at');
SELECT attempt('CREATE TEMPORARY TABLE t (a integer CONSTRAINT other_name CHECK (a > 0)); ALTER TABLE t DROP CONSTRAINT other_name');
-- the order of things: detach_guard and relax pass
SELECT outcome FROM tenantmig.detach_guard('watched');
-- dropping is not refused, guard or no guard
DROP TABLE "Clients";
SELECT seen();
SELECT count(*) > 0 AS observed FROM tenantmig.observe('watched');
SELECT kind, relation, object, found FROM look();

-- who may, and what is no mode
SELECT tenantmig.ddl_watch('loud');
SET ROLE ddl_owner;
SELECT tenantmig.ddl_watch('off');
SELECT tenantmig.ddl_watch();
SET ROLE ddl_other;
SELECT tenantmig.accept_tables('watched');
RESET ROLE;
SELECT tenantmig.accept_tables('nothing of that name');
SELECT tenantmig.ddl_refuse();
SELECT tenantmig.ddl_watch('warn');
SELECT evtname, evtenabled FROM pg_event_trigger WHERE evtname ~ '^tenantmig' ORDER BY 1;

DELETE FROM tenantmig.enforcement;
SELECT tenantmig.drop_migration('watched', true);
\set VERBOSITY terse
SET client_min_messages = warning;
DROP OWNED BY ddl_owner CASCADE;
DROP SCHEMA ddl_watch CASCADE;
DROP OWNED BY ddl_other;
DROP ROLE ddl_owner, ddl_other;
DROP EXTENSION tenantmig;
