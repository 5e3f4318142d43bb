-- The spec: what create_migration takes, stores and shows; how names and tenant keys are found; what is the same document.
SET client_min_messages = warning;
DROP SCHEMA IF EXISTS spec, spec_two CASCADE;
DROP EXTENSION IF EXISTS tenantmig CASCADE;
CREATE EXTENSION tenantmig;
CREATE SCHEMA spec;
CREATE SCHEMA spec_two;
SET search_path = spec;

CREATE TABLE companies (id integer PRIMARY KEY, code text UNIQUE NOT NULL);
CREATE TABLE branches (id integer PRIMARY KEY, firm integer REFERENCES companies, company_id integer);
CREATE TABLE customers (id integer PRIMARY KEY, company_id integer, branch_id integer REFERENCES branches, owner_id text, owner_type text, deleted_at timestamptz, kind text, size numeric, born date);
CREATE TABLE orders (id integer PRIMARY KEY, customer_id integer REFERENCES customers, company_id integer);
CREATE TABLE transfers (id integer PRIMARY KEY, customer_id integer, from_id integer REFERENCES companies, to_id integer REFERENCES companies);
CREATE TABLE invoices (id integer PRIMARY KEY, company_id integer);
CREATE TABLE contracts (id uuid PRIMARY KEY, company_id integer);
CREATE TABLE spec_two.orders (id integer PRIMARY KEY, customer_id integer REFERENCES customers, company_id integer);
CREATE FUNCTION attempt(command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  state text; message text; detail text; hint text;
BEGIN
  EXECUTE command;
  RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
  RETURN format(E'ERROR: %s: %s\nDETAIL: %s\nHINT: %s', state, message, detail, hint);
END $$;
-- a spec around sources and what else the step says
CREATE FUNCTION spec(sources jsonb, step jsonb DEFAULT '{}', name text DEFAULT 'm') RETURNS jsonb LANGUAGE sql AS $$
  SELECT jsonb_build_object('migration', name, 'tenants', '{"table": "companies", "key": "id"}'::jsonb, 'steps', jsonb_build_array(jsonb_build_object('backfill',
    '{"table": "customers", "column": "company_id"}'::jsonb || jsonb_build_object('sources', sources) || step)))
$$;

-- a document with everything in it
SELECT tenantmig.create_migration('{"migration": "Everything, in one: 🦊", "description": "every customer belongs to exactly one company", "version": 8, "tenants": {"table": "spec.companies", "key": "id"}, "steps": [
  {"backfill": {"table": "spec.customers", "column": "company_id", "soft_delete": "deleted_at", "where": {"kind": ["a", null], "size": 1.5, "born": "2020-02-29", "deleted_at": null},
    "sources": [{"via": "orders.customer_id"}, {"via": "spec_two.orders.customer_id", "where": {"id": [1, 2]}}, {"via": "transfers.customer_id", "tenant": "to_id"}, {"via": "branch_id"},
      {"path": ["branch_id", "firm"]}, {"via": "owner_id", "type_column": "owner_type", "types": {"Invoice": "invoices", "Contract": "contracts"}}],
    "evidence": "first", "on_conflict": "majority", "on_orphan": {"assign": 1}, "preflight": {"min_coverage": 0.75, "max_conflicts": 10, "expected_nulls": 31}}}]}');
SELECT migration, owner, description, version, steps, last_run, open_reviews FROM tenantmig.migrations;
SELECT * FROM tenantmig.steps;
SELECT * FROM tenantmig.check_migration((SELECT spec FROM tenantmig.migrations));
SELECT outcome FROM tenantmig.plan('Everything, in one: 🦊');

-- the same document again changes nothing, in whatever order its fields come; another one under its name is refused
SELECT tenantmig.create_migration(spec('[{"via": "orders.customer_id"}]'));
SELECT tenantmig.create_migration('{"steps": [{"backfill": {"sources": [{"via": "orders.customer_id"}], "column": "company_id", "table": "customers"}}], "tenants": {"key": "id", "table": "companies"}, "migration": "m"}');
SELECT count(*) FROM tenantmig.migrations WHERE migration = 'm';
SELECT attempt($$SELECT tenantmig.create_migration(spec('[{"via": "orders.customer_id", "where": {"id": 1}}]'))$$);
SELECT tenantmig.drop_migration('m');
SELECT attempt($$SELECT tenantmig.drop_migration('m')$$);
-- in a transaction that is rolled back nothing is stored
BEGIN;
SELECT tenantmig.create_migration(spec('[{"via": "orders.customer_id"}]', '{}', 'gone'));
ROLLBACK;
SELECT count(*) FROM tenantmig.migrations WHERE migration = 'gone';

-- search_path: names are found when the migration is made, and stay found
SET search_path = spec_two, spec;
SELECT source, tenant_column FROM tenantmig.check_migration(spec('[{"via": "orders.customer_id"}]'));
SELECT tenantmig.create_migration(spec('[{"via": "orders.customer_id"}]'));
SET search_path = spec;
INSERT INTO companies VALUES (1, 'one'), (2, 'two');
INSERT INTO customers (id) VALUES (1), (2);
INSERT INTO orders VALUES (1, 1, 1);
INSERT INTO spec_two.orders VALUES (1, 1, 2), (2, 2, 2);
SELECT outcome, row_count FROM tenantmig.plan('m');
SET search_path = pg_catalog;
SELECT outcome, row_count FROM tenantmig.plan('m');
SELECT outcome, row_count FROM tenantmig.backfill('m');
SET search_path = spec;
SELECT id, company_id FROM customers ORDER BY id;
SELECT outcome, row_count FROM tenantmig.rollback(1);
SELECT tenantmig.drop_migration('m');

-- the tenant key of a source: named; by the one foreign key to the tenant root; by name; else an error that says what it lacks
SELECT source, tenant_column FROM tenantmig.check_migration(spec('[{"via": "transfers.customer_id", "tenant": "from_id"}, {"via": "branch_id"}, {"via": "orders.customer_id"}]'));
SELECT attempt($$SELECT tenantmig.check_migration(spec('[{"via": "transfers.customer_id"}]'))$$);
ALTER TABLE transfers DROP to_id, DROP from_id;
SELECT attempt($$SELECT tenantmig.check_migration(spec('[{"via": "transfers.customer_id"}]'))$$);
-- a path names what is wrong where it is wrong
SELECT attempt($$SELECT tenantmig.check_migration(spec('[{"via": "orders.customer_id"}, {"path": ["branch_id", "nowhere"]}]'))$$);
SELECT attempt($$SELECT tenantmig.check_migration(spec('[{"via": "orders.customer_id", "where": {"id": ["x"]}}]'))$$);
SELECT attempt($$SELECT tenantmig.check_migration(spec('[{"via": "owner_id", "type_column": "owner_type", "types": {"Invoice": "invoices", "Person": "people"}}]'))$$);
SELECT attempt($$SELECT tenantmig.check_migration(spec('[{"via": "orders.customer_id"}]', '{"on_orphan": "soft_delete"}'))$$);
SELECT attempt($$SELECT tenantmig.check_migration(spec('[{"via": "orders.customer_id"}]', '{"preflight": {"min_coverage": 1.01}}'))$$);
SELECT attempt($$SELECT tenantmig.check_migration(spec('[{"via": "orders.customer_id"}]') || '{"tenants": {"table": "companies", "key": "code"}}')$$);
SELECT attempt($$SELECT tenantmig.check_migration(spec('[{"via": "orders.customer_id"}]') || '{"tenants": {"table": "companies", "keys": "id"}}')$$);

-- conditions mean what SQL means: values, NULL, both, types of all kinds
TRUNCATE customers, orders, branches, spec_two.orders;
INSERT INTO customers (id, kind, size, born) VALUES (1, 'a', 1.5, '2020-02-29'), (2, 'b', 1.50, NULL), (3, NULL, 2, '2020-03-01'), (4, 'true', NULL, '2020-02-29'), (5, 'a', 100, 'infinity'), (6, 'null', 0, NULL);
CREATE FUNCTION chosen(conditions jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  ids text;
BEGIN
  PERFORM tenantmig.create_migration(spec('[{"via": "orders.customer_id"}]', jsonb_build_object('where', conditions), 'c'));
  PERFORM tenantmig.backfill('c');
  SELECT string_agg(row_key ->> 'id', ' ' ORDER BY row_key ->> 'id') INTO ids FROM tenantmig.review('c');
  PERFORM tenantmig.drop_migration('c');
  RETURN ids;
END $$;
SELECT chosen('{"kind": "a"}') AS a, (SELECT string_agg(id::text, ' ' ORDER BY id) FROM customers WHERE kind = 'a') AS sql;
SELECT chosen('{"kind": null}') AS nothing, (SELECT string_agg(id::text, ' ' ORDER BY id) FROM customers WHERE kind IS NULL) AS sql;
SELECT chosen('{"kind": ["b", null]}') AS b_or_nothing, (SELECT string_agg(id::text, ' ' ORDER BY id) FROM customers WHERE kind = 'b' OR kind IS NULL) AS sql;
SELECT chosen('{"kind": "null"}') AS the_word, chosen('{"kind": true}') AS true_as_text;
SELECT chosen('{"size": 1.5}') AS number, chosen('{"size": [0, 100]}') AS numbers, chosen('{"size": "1.500"}') AS as_text, (SELECT string_agg(id::text, ' ' ORDER BY id) FROM customers WHERE size = 1.5) AS sql;
SELECT chosen('{"born": "2020-02-29"}') AS day, chosen('{"born": ["infinity", null]}') AS never, chosen('{"born": "2020-02-29", "kind": ["a", "true"], "size": [1.5, null]}') AS both_of_them;
SELECT chosen('{"id": [1, 2, 3], "kind": ["a", "b"]}') AS all_must_hold, chosen('{"id": 4711}') AS nobody;

DROP SCHEMA spec, spec_two CASCADE;
DROP EXTENSION tenantmig;
