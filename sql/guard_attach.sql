-- Attaching and detaching guards of all kinds: of a migration and alone, again and changed, rights, names, what is refused; what check_guards counts, against plain SQL.
\pset null -
\set SHOW_CONTEXT never
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tenantmig CASCADE;
CREATE EXTENSION tenantmig;
CREATE ROLE regress_shop;
CREATE ROLE regress_hr;
CREATE ROLE regress_other;
SELECT tenantmig.grant_access(r, 'operator') FROM unnest(ARRAY['regress_shop', 'regress_hr', 'regress_other']) r;
CREATE SCHEMA "The ""shop""" AUTHORIZATION regress_shop;
CREATE SCHEMA hr AUTHORIZATION regress_hr;
GRANT USAGE ON SCHEMA hr TO PUBLIC;
CREATE FUNCTION public.attempt(command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE d text; h text; r text;
BEGIN
  EXECUTE command INTO r;
  RETURN r;
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS d = PG_EXCEPTION_DETAIL, h = PG_EXCEPTION_HINT;
  RETURN concat_ws(E'\n', SQLSTATE || ': ' || SQLERRM, 'DETAIL: ' || nullif(d, ''), 'HINT: ' || regexp_replace(nullif(h, ''), '_guard\(\d+\)', '_guard(N)'));
END $$;
CREATE FUNCTION public.attach(relation text, column_name text, kind text, options jsonb DEFAULT '{}') RETURNS text LANGUAGE sql AS
  $$ SELECT public.attempt(format('SELECT concat_ws('' '', step, relation, column_name, kind, mode, outcome) FROM tenantmig.attach_guard(%L, %L, %L, %L)', relation, column_name, kind, options)) $$;
SET ROLE regress_hr;
CREATE TABLE hr.staff (id integer PRIMARY KEY, company_id integer);
INSERT INTO hr.staff VALUES (1, 1), (2, 2), (3, NULL);
SET ROLE regress_shop;
SET search_path = "The ""shop""", public;
CREATE TABLE companies (id integer PRIMARY KEY);
INSERT INTO companies VALUES (1), (2);
CREATE TABLE "Branches" (id bigint PRIMARY KEY, "Tenant" bigint);
INSERT INTO "Branches" VALUES (10, 1), (20, 2), (30, NULL);
CREATE TABLE visits (id integer PRIMARY KEY, "Größe ""key""" integer REFERENCES companies, branch bigint REFERENCES "Branches", staff integer REFERENCES companies, owner_type text, owner_id text,
  parent integer REFERENCES visits, scope text, domain text);
INSERT INTO visits VALUES (1, 1, 10, 1, 'Branch', '10', NULL, 'a.x', 'a'), (2, 1, 20, 1, 'Branch', '20', 3, 'b.x', 'a'), (3, NULL, 10, 1, 'Branch', '99', 2, '', ''), (4, 2, 30, 1, 'Nobody', '1', 4, NULL, 'a'),
  (5, 2, NULL, NULL, NULL, NULL, NULL, 'a.', 'a'), (6, 2, 20, 1, 'Branch', NULL, 1, 'a', 'a'), (7, 2, 20, 1, 'Company', '2', 6, 'a.y', NULL);
ALTER TABLE visits DROP CONSTRAINT visits_staff_fkey;

-- each kind alone
SELECT attach('visits', 'scope', 'prefix', '{"key": "domain", "separator": "."}');
SELECT attach('"The ""shop""".visits', '"Größe ""key"""', 'immutable');
SELECT attach('visits', 'Größe "key"', 'immutable', '{"always": true}');
SELECT relation, column_name, kind, mode, enabled, always, options, parent, parent_trigger, migration, step, attached_by FROM tenantmig.guards ORDER BY id;
SELECT check_name, status, expected, actual, detail FROM tenantmig.check_guards();
SELECT count(*) FROM visits WHERE NOT coalesce(left(scope, length(domain) + 1) = domain || '.' AND domain <> '', false);
-- unchanged, replaced, and once only
SELECT attach('visits', 'scope', 'prefix', '{"separator": ".", "key": "domain"}');
SELECT attach('visits', 'scope', 'prefix', '{"separator": "/", "key": "domain"}');
SELECT attach('visits', 'scope', 'prefix', '{"separator": "/", "key": "domain", "always": true}');
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'visits'::regclass AND tgname ~ 'tenantmig';
-- what is wrong with the arguments
SELECT attach('visits', 'scope', 'prefix');
SELECT attach('visits', 'scope', 'prefix', '{"key": "domain", "separator": ""}');
SELECT attach('visits', 'scope', 'prefix', '{"key": "nowhere", "separator": "."}');
SELECT attach('visits', 'id', 'prefix', '{"key": "domain", "separator": "."}');
SELECT attach('visits', 'scope', 'prefix', '{"key": "branch", "separator": "."}');
SELECT attach('visits', 'scope', 'prefix', '{"key": "\"scope\"", "separator": "."}');
SELECT attach('visits', 'scope', 'prefix', '{"key": "domain", "separator": ".", "column": "x"}');
SELECT attach('visits', 'scope', 'prefix', '["domain"]');
SELECT attach('visits', 'scope', 'prefix', '{"key": 1e999, "separator": "."}');
SELECT attach('visits', 'scope', 'prefx', '{}');
SELECT attach('visits', 'scope', 'immutable', '{"mode": "fill"}');
SELECT attach('visits', 'scope', 'tenant_key', '{"mode": "fill"}');
SELECT attach('visits', NULL, 'immutable');
SELECT attach('visits', 'nowhere', 'immutable');
SELECT attach('nowhere', 'scope', 'immutable');
SELECT attach('a.b.c', 'scope', 'immutable');
SELECT attempt($$SELECT * FROM tenantmig.attach_guard(NULL, 'scope', 'immutable')$$);
SELECT attempt($$SELECT * FROM tenantmig.attach_guard('visits', 'scope', 'immutable', NULL)$$);
-- what it can't stand on
CREATE VIEW seen AS SELECT * FROM visits;
CREATE MATERIALIZED VIEW stored AS SELECT * FROM companies;
CREATE TEMPORARY TABLE passing (id integer, k text);
CREATE TABLE parts (id integer, k integer) PARTITION BY LIST (id);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES IN (1);
SELECT attach('seen', 'scope', 'immutable');
SELECT attach('stored', 'id', 'immutable');
SELECT regexp_replace(attach('passing', 'k', 'immutable'), 'pg_temp_\d+', 'pg_temp_N');
SELECT attach('parts_1', 'k', 'immutable');
SELECT attach('parts', 'k', 'immutable');
SELECT attach('pg_catalog.pg_class', 'relname', 'immutable');
SELECT attach('tenantmig.guard', 'kind', 'immutable');
-- a table's children by inheritance are tables of their own
CREATE TABLE heirs () INHERITS (companies);
SELECT attach('companies', 'id', 'immutable');
INSERT INTO heirs VALUES (9);
UPDATE companies SET id = 8 WHERE id = 9;
SELECT attempt($$UPDATE companies SET id = 7 WHERE id = 2$$);
DROP TABLE heirs;

-- rights: of the table's owner, and of the tables that are looked at
SET ROLE regress_other;
SELECT attach('"The ""shop""".visits', 'domain', 'immutable');
SET ROLE regress_hr;
SELECT attempt($$SELECT outcome FROM tenantmig.detach_guard((SELECT min(id) FROM tenantmig.guards))$$);
SELECT check_name FROM tenantmig.check_guards();
SELECT attempt($$SELECT check_name FROM tenantmig.check_guards(guard => (SELECT min(id) FROM tenantmig.guards))$$);
RESET ROLE;
GRANT USAGE ON SCHEMA "The ""shop""" TO regress_other;
SET ROLE regress_other;
SELECT attach('"The ""shop""".visits', 'domain', 'immutable');
SELECT attempt($$SELECT outcome FROM tenantmig.detach_guard((SELECT min(id) FROM tenantmig.guards))$$);
RESET ROLE;
SELECT outcome FROM tenantmig.attach_guard('"The ""shop""".visits', 'domain', 'immutable');
SET ROLE regress_shop;
SELECT g.kind, d.outcome FROM tenantmig.guards g, tenantmig.detach_guard(g.id) d ORDER BY g.id;
SELECT attempt($$SELECT outcome FROM tenantmig.detach_guard(999999)$$);
SELECT attempt($$SELECT outcome FROM tenantmig.detach_guard('no such migration')$$);
SELECT attempt($$SELECT * FROM tenantmig.check_guards(guard => 999999)$$);
SELECT count(*) FROM pg_trigger WHERE tgname ~ 'tenantmig';

-- of a migration without a backfill step
SELECT tenantmig.create_migration('{"migration": "only guards", "tenants": {"table": "companies"}, "steps": [
  {"guard": {"kind": "prefix", "table": "visits", "column": "scope", "key": "domain", "separator": "."}},
  {"guard": {"kind": "immutable", "table": "visits", "column": "\"Größe \"\"key\"\"\"", "always": true}}]}');
SELECT * FROM tenantmig.steps;
SELECT attempt($$SELECT check_name FROM tenantmig.verify('only guards')$$);
SELECT step, relation, column_name, kind, mode, outcome FROM tenantmig.attach_guard('only guards');
SELECT step, relation, column_name, kind, mode, outcome FROM tenantmig.attach_guard('only guards', 2);
SELECT check_name, status, expected, actual, detail FROM tenantmig.verify('only guards');
SELECT check_name, status, actual FROM tenantmig.check_guards('only guards', (SELECT max(id) FROM tenantmig.guards));
SELECT attempt($$SELECT check_name FROM tenantmig.check_guards('only guards', 999999)$$);
-- one guard of a kind: neither alone nor of another migration
SELECT attach('visits', 'scope', 'prefix', '{"key": "domain", "separator": "."}');
SELECT tenantmig.create_migration('{"migration": "again", "tenants": {"table": "companies"}, "steps": [
  {"guard": {"kind": "prefix", "table": "visits", "column": "scope", "key": "owner_type", "separator": "."}}]}');
SELECT attempt($$SELECT outcome FROM tenantmig.attach_guard('again')$$);
SELECT attempt($$SELECT tenantmig.create_migration('{"migration": "twice", "tenants": {"table": "companies"}, "steps": [
  {"guard": {"kind": "immutable", "table": "visits", "column": "scope"}}, {"guard": {"kind": "immutable", "table": "\"The \"\"shop\"\"\".visits", "column": "SCOPE"}}]}')$$);
SELECT attempt($$SELECT tenantmig.create_migration('{"migration": "not mine", "tenants": {"table": "companies"}, "steps": [{"guard": {"kind": "immutable", "table": "hr.staff", "column": "company_id"}}]}')$$);
-- renames between creating, attaching, and attaching again
ALTER TABLE visits RENAME scope TO scope_id;
ALTER TABLE visits RENAME TO "Visits 2";
SELECT step, relation, column_name, kind, outcome FROM tenantmig.attach_guard('only guards');
SELECT attempt($$INSERT INTO "Visits 2" (id, scope_id, domain) VALUES (100, 'x', 'y')$$);
SELECT relation, column_name, enabled FROM tenantmig.guards ORDER BY id;
SELECT step, relation, column_name, outcome FROM tenantmig.detach_guard('only guards', 1);
SELECT step, relation, column_name, kind, outcome FROM tenantmig.attach_guard('only guards', 1);
ALTER TABLE "Visits 2" RENAME scope_id TO scope;
ALTER TABLE "Visits 2" RENAME TO visits;
-- detached by number, and with the migration
SELECT outcome FROM tenantmig.detach_guard((SELECT id FROM tenantmig.guards WHERE kind = 'prefix'));
SELECT tenantmig.drop_migration('only guards'), tenantmig.drop_migration('again');
SELECT count(*) FROM tenantmig.guards;
SELECT count(*) FROM pg_trigger WHERE tgname ~ 'tenantmig';

RESET ROLE;
DROP EXTENSION tenantmig CASCADE;
DROP SCHEMA "The ""shop""" CASCADE;
DROP SCHEMA hr CASCADE;
DROP FUNCTION public.attach, public.attempt;
DROP OWNED BY regress_shop, regress_hr, regress_other;
DROP ROLE regress_shop, regress_hr, regress_other;
CREATE EXTENSION tenantmig;
