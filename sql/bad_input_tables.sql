-- Bad input: every place where a table or a column is named x everything that is no table or column for it.
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
DROP SCHEMA IF EXISTS bad_input, helper CASCADE;
DROP EXTENSION IF EXISTS tenantmig CASCADE;
CREATE EXTENSION tenantmig;
CREATE SCHEMA helper;
CREATE SCHEMA bad_input;
SET search_path = bad_input;

-- Everything that a refused call must leave alone: the extension's tables, the user's tables and their definitions, the session's identity.
CREATE FUNCTION helper.fingerprint(who name DEFAULT current_user) RETURNS text LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
  relation regclass; part text; whole text := concat_ws('|', who, session_user, current_setting('search_path'), current_setting('row_security'),
    current_setting('session_replication_role'), current_setting('lock_timeout'));
BEGIN
  FOR relation IN SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname IN ('tenantmig', 'bad_input') AND c.relkind IN ('r', 'm') ORDER BY c.oid LOOP
    EXECUTE format('SELECT md5(string_agg(t::text, '','' ORDER BY t::text)) FROM %s t', relation) INTO part;
    whole := concat_ws('|', whole, relation, part,
      (SELECT string_agg(concat_ws(' ', attname, atttypid, attnotnull), ',' ORDER BY attnum) FROM pg_attribute WHERE attrelid = relation),
      (SELECT count(*) FROM pg_constraint WHERE conrelid = relation), (SELECT count(*) FROM pg_index WHERE indrelid = relation),
      (SELECT count(*) FROM pg_trigger WHERE tgrelid = relation));
  END LOOP;
  RETURN md5(whole);
END $$;

CREATE TABLE helper.attempts (label text, command text, state text, hint text);
-- Runs a command that must fail and says how: SQLSTATE, message, DETAIL, HINT. What must not be there is said in capitals.
CREATE FUNCTION helper.attempt(label text, command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  before text := helper.fingerprint(); state text := '00000'; message text := 'NO ERROR'; detail text := ''; hint text := '';
BEGIN
  BEGIN
    EXECUTE command;
  EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
  END;
  message := regexp_replace(message, 'pg_temp_\d+', 'pg_temp_N');
  detail := regexp_replace(detail, '(now it is )[0-9a-f]{64}', '\1HASH');
  IF length(detail) > 500 THEN detail := left(detail, 250) || ' AND SO ON'; END IF;
  IF length(message) > 500 THEN message := left(message, 250) || ' AND SO ON'; END IF;
  IF helper.fingerprint() <> before THEN message := 'SOMETHING CHANGED: ' || message; END IF;
  INSERT INTO helper.attempts VALUES (label, command, state, hint);
  RETURN format('ERROR: [%s] %s: %s%s%s', label, state, message, '; DETAIL: ' || nullif(detail, ''), '; HINT: ' || nullif(hint, ''));
END $$;

-- What is there: a good pair of tables first.
CREATE TABLE companies (id integer PRIMARY KEY, name text);
CREATE TABLE customers (id integer PRIMARY KEY, company_id integer REFERENCES companies, name text, "Owner id" integer, owner_type text);
CREATE TABLE orders (id integer PRIMARY KEY, customer_id integer REFERENCES customers, company_id integer REFERENCES companies);
INSERT INTO companies VALUES (1, 'one'), (2, 'two');
INSERT INTO customers SELECT n, NULL, 'customer ' || n FROM generate_series(1, 5) n;
INSERT INTO orders VALUES (1, 1, 1), (2, 2, 2), (3, 3, 1), (4, 3, 2);

CREATE VIEW a_view AS SELECT * FROM customers;
CREATE MATERIALIZED VIEW a_matview AS SELECT * FROM customers;
CREATE SEQUENCE a_sequence;
CREATE TYPE a_type AS (id integer, company_id integer);
CREATE INDEX an_index ON customers (name);
CREATE FOREIGN DATA WRAPPER regress_wrapper;
CREATE SERVER regress_server FOREIGN DATA WRAPPER regress_wrapper;
CREATE FOREIGN TABLE a_foreign_table (id integer, company_id integer, customer_id integer) SERVER regress_server;
CREATE TEMP TABLE a_temp_table (id integer PRIMARY KEY, company_id integer, customer_id integer);
CREATE TABLE no_key (company_id integer, customer_id integer);
CREATE TABLE partial_key (id integer NOT NULL, company_id integer, customer_id integer);
CREATE UNIQUE INDEX ON partial_key (id) WHERE company_id IS NULL;
CREATE TABLE null_key (id integer UNIQUE, company_id integer, customer_id integer);
CREATE TABLE deferred_key (id integer PRIMARY KEY DEFERRABLE, company_id integer, customer_id integer);
CREATE TABLE no_column (id integer PRIMARY KEY, name text, customer_id integer);
CREATE TABLE "MixedCase" (id integer PRIMARY KEY, company_id integer, customer_id integer);
CREATE TABLE dropped (id integer PRIMARY KEY, company_id integer, customer_id integer);
DROP TABLE dropped;
CREATE ROLE regress_other;
CREATE ROLE regress_caller;
GRANT USAGE ON SCHEMA bad_input TO regress_caller, regress_other;
CREATE TABLE of_another (id integer PRIMARY KEY, company_id integer, customer_id integer);
ALTER TABLE of_another OWNER TO regress_other;
GRANT ALL ON ALL TABLES IN SCHEMA bad_input TO regress_caller;
ALTER TABLE companies OWNER TO regress_caller;
ALTER TABLE customers OWNER TO regress_caller;
ALTER TABLE orders OWNER TO regress_caller;
-- two names that are one after 63 bytes
CREATE TABLE a23456789_b23456789_c23456789_d23456789_e23456789_f23456789_xyz (id integer PRIMARY KEY, company_id integer, customer_id integer);

-- Where a table is named.
CREATE TABLE helper.places (place text, command text);
INSERT INTO helper.places VALUES
  ('backfill relation', $$SELECT tenantmig.backfill(relation => %1$L, column_name => 'company_id', tenants => 'companies')$$),
  ('backfill tenants', $$SELECT tenantmig.backfill('customers', 'company_id', tenants => %1$L)$$),
  ('spec table', $$SELECT tenantmig.create_migration(jsonb_build_object('migration', 'm', 'tenants', '{"table": "companies"}'::jsonb, 'steps', jsonb_build_array(
     jsonb_build_object('backfill', jsonb_build_object('table', %1$L, 'column', 'company_id', 'sources', '[{"via": "orders.customer_id"}]'::jsonb)))))$$),
  ('spec tenants', $$SELECT tenantmig.create_migration(jsonb_build_object('migration', 'm', 'tenants', jsonb_build_object('table', %1$L), 'steps',
     '[{"backfill": {"table": "customers", "column": "company_id", "sources": [{"via": "orders.customer_id"}]}}]'::jsonb))$$),
  ('spec children', $$SELECT tenantmig.check_migration(jsonb_build_object('migration', 'm', 'tenants', '{"table": "companies"}'::jsonb, 'steps', jsonb_build_array(
     jsonb_build_object('backfill', jsonb_build_object('table', 'customers', 'column', 'company_id', 'sources', jsonb_build_array(
       jsonb_build_object('via', %1$L || '.customer_id')))))))$$),
  ('spec types', $$SELECT tenantmig.create_migration(jsonb_build_object('migration', 'm', 'tenants', '{"table": "companies"}'::jsonb, 'steps', jsonb_build_array(
     jsonb_build_object('backfill', jsonb_build_object('table', 'customers', 'column', 'company_id', 'sources', jsonb_build_array(
       jsonb_build_object('via', '"Owner id"', 'type_column', 'owner_type', 'types', jsonb_build_object('T', %1$L))))))))$$);

CREATE TABLE helper.tables (number serial, what text, named text);
INSERT INTO helper.tables (what, named) VALUES
  ('unknown', 'nothing'), ('unknown schema', 'nowhere.customers'), ('dropped', 'dropped'), ('catalogue table', 'pg_catalog.pg_class'), ('toast table', 'pg_toast.pg_toast_1255'),
  ('catalogue view', 'information_schema.tables'), ('our own table', 'tenantmig.migration'), ('our own view', 'tenantmig.runs'), ('view', 'a_view'),
  ('materialised view', 'a_matview'), ('foreign table', 'a_foreign_table'), ('temporary table', 'a_temp_table'), ('sequence', 'a_sequence'), ('composite type', 'a_type'),
  ('index', 'an_index'), ('without key', 'no_key'), ('partial unique index only', 'partial_key'), ('nullable unique column only', 'null_key'),
  ('deferrable primary key only', 'deferred_key'), ('without tenant key', 'no_column'), ('capitals without quotes', 'MixedCase'), ('wrong capitals', '"Customers"'),
  ('empty', ''), ('blank', '   '), ('three parts', 'a.b.c'), ('four parts', 'a.b.c.d'), ('empty part', 'bad_input.'), ('empty quotes', '""'), ('open quote', '"customers'),
  ('quote inside', 'cust"omers'), ('SQL', 'customers; DROP TABLE companies'), ('newline', E'cust\nomers'), ('quoted newline', E'"cust\nomers"'), ('emoji', '🦊'),
  ('quoted emoji and quote', '"🦊 said ""no"""'), ('64 bytes', repeat('n', 64)), ('same after 63 bytes', 'a23456789_b23456789_c23456789_d23456789_e23456789_f23456789_xyz_and_more'),
  ('emoji cut at 63 bytes', repeat('🦊', 16)), ('100,000 bytes', repeat('n', 100000)), ('number', '4711'), ('percent', '%s%n'), ('control characters', E'a\x01\x7f\u0085b');

SELECT helper.attempt(place || ', ' || what, format(command, named)) FROM helper.places, helper.tables
WHERE NOT (place IN ('spec children', 'spec types') AND what IN ('three parts'))
  AND NOT (what IN ('without key', 'partial unique index only', 'nullable unique column only', 'deferrable primary key only') AND place = 'spec children')
  AND NOT (what = 'without tenant key' AND place LIKE '%tenants') -- a table like any other: it could be the tenant root
ORDER BY place, number;

-- as a role that does not own all of them
SELECT tenantmig.grant_access('regress_caller', 'operator');
GRANT USAGE ON SCHEMA helper TO regress_caller;
GRANT ALL ON ALL TABLES IN SCHEMA helper TO regress_caller;
SET ROLE regress_caller;
SELECT helper.attempt(place || ', table of another owner', format(command, 'of_another')) FROM helper.places ORDER BY place;
RESET ROLE;
SELECT helper.attempt('backfill relation, table of a superuser', $$SET ROLE regress_caller; SELECT tenantmig.backfill('no_column', 'name', 'companies')$$);

-- Where a column is named.
DELETE FROM helper.places;
INSERT INTO helper.places VALUES
  ('backfill column', $$SELECT tenantmig.backfill('customers', %1$L, 'companies', sources => '[{"via": "orders.customer_id"}]')$$),
  ('backfill soft_delete', $$SELECT tenantmig.backfill('customers', 'company_id', soft_delete => %1$L)$$),
  ('spec column', $$SELECT tenantmig.create_migration(jsonb_build_object('migration', 'm', 'tenants', '{"table": "companies"}'::jsonb, 'steps', jsonb_build_array(
     jsonb_build_object('backfill', jsonb_build_object('table', 'customers', 'column', %1$L, 'sources', '[{"via": "orders.customer_id"}]'::jsonb)))))$$),
  ('spec tenants key', $$SELECT tenantmig.create_migration(jsonb_build_object('migration', 'm', 'tenants', jsonb_build_object('table', 'companies', 'key', %1$L), 'steps',
     '[{"backfill": {"table": "customers", "column": "company_id", "sources": [{"via": "orders.customer_id"}]}}]'::jsonb))$$),
  ('source via a child', $$SELECT tenantmig.backfill('customers', 'company_id', sources => jsonb_build_array(jsonb_build_object('via', 'orders.' || %1$L)))$$),
  ('source via a parent', $$SELECT tenantmig.backfill('customers', 'company_id', sources => jsonb_build_array(jsonb_build_object('via', %1$L::text)))$$),
  ('source path', $$SELECT tenantmig.backfill('orders', 'company_id', sources => jsonb_build_array(jsonb_build_object('path', jsonb_build_array('customer_id', %1$L::text))))$$),
  ('source tenant', $$SELECT tenantmig.backfill('customers', 'company_id', sources => jsonb_build_array(jsonb_build_object('via', 'orders.customer_id', 'tenant', %1$L::text)))$$),
  ('source type_column', $$SELECT tenantmig.backfill('customers', 'company_id', sources => jsonb_build_array(
     jsonb_build_object('via', '"Owner id"', 'types', '{"T": "orders"}'::jsonb, 'type_column', %1$L::text)))$$),
  ('conditions', $$SELECT tenantmig.backfill('customers', 'company_id', conditions => jsonb_build_object(%1$L::text, 1))$$);
DELETE FROM helper.tables;
INSERT INTO helper.tables (what, named) VALUES
  ('unknown', 'nothing'), ('empty', ''), ('blank', ' '), ('dropped', 'gone'), ('capitals without quotes', 'Owner id'), ('system column', 'ctid'), ('placeholder of a dropped column', '........pg.dropped.9........'),
  ('SQL', 'company_id = 1; --'), ('quote', 'comp"any'), ('newline', E'comp\nany_id'), ('emoji', '🦊'), ('64 bytes', repeat('n', 64)), ('100,000 bytes', repeat('n', 100000)), ('number', '1');
ALTER TABLE customers ADD gone integer;
ALTER TABLE customers DROP gone;
SELECT helper.attempt(place || ', ' || what, format(command, named)) FROM helper.places, helper.tables
WHERE NOT (place = 'backfill column' AND what = 'capitals without quotes') -- taken as written
ORDER BY place, number;

-- Columns that are there, and cannot serve.
ALTER TABLE customers ADD n numeric, ADD b boolean, ADD ts timestamptz, ADD j jsonb, ADD a integer[], ADD t text, ADD u uuid, ADD r integer REFERENCES orders,
  ADD g integer GENERATED ALWAYS AS (id + 1) STORED, ADD gt timestamptz GENERATED ALWAYS AS (NULL) STORED, ADD p point, ADD x xml,
  ADD i integer GENERATED ALWAYS AS IDENTITY, ADD two integer REFERENCES companies REFERENCES orders;
DELETE FROM helper.tables;
INSERT INTO helper.tables (what, named)
  SELECT format('%s %s', attname, format_type(atttypid, atttypmod)), attname FROM pg_attribute
  WHERE attrelid = 'customers'::regclass AND attnum > 0 AND NOT attisdropped AND length(attname) <= 3 ORDER BY attnum;
SELECT helper.attempt(place || ', ' || what, format(command, named)) FROM helper.places, helper.tables
WHERE place IN ('backfill column', 'spec column', 'source via a parent') AND named NOT IN ('r', 'two') ORDER BY place, number;
SELECT helper.attempt('backfill soft_delete, ' || what, format(command, named)) FROM helper.places, helper.tables
WHERE place = 'backfill soft_delete' AND named <> 'ts' ORDER BY place, number;
SELECT helper.attempt('soft_delete is the key', $$SELECT tenantmig.backfill('customers', 'company_id', soft_delete => 'company_id')$$);
SELECT helper.attempt('two references start here', $$SELECT tenantmig.backfill('customers', 'company_id', sources => '[{"via": "two"}]')$$);
SELECT helper.attempt('a path into a table without key', $$SELECT tenantmig.backfill('customers', 'company_id', sources => '[{"path": ["r", "id"]}]')$$);
SELECT helper.attempt('a child that references another table', $$SELECT tenantmig.backfill('customers', 'company_id', sources => '[{"via": "orders.company_id"}]')$$);
SELECT helper.attempt('a child''s tenant key of another type', $$SELECT tenantmig.backfill('customers', 'u', 'companies', sources => '[{"via": "orders.customer_id"}]')$$);
SELECT helper.attempt('conditions, wrong type', $$SELECT tenantmig.backfill('customers', 'company_id', conditions => '{"id": "x"}')$$);
SELECT helper.attempt('conditions, no equality', $$SELECT tenantmig.backfill('customers', 'company_id', conditions => '{"x": "<a/>"}')$$);
SELECT helper.attempt('conditions, out of range', $$SELECT tenantmig.backfill('customers', 'company_id', conditions => '{"id": 99999999999999999999}')$$);

-- the key of rows holds the tenant key; the tenant root itself; a self-reference; a cycle
CREATE TABLE in_key (company_id integer NOT NULL, id integer NOT NULL, customer_id integer REFERENCES customers, PRIMARY KEY (company_id, id));
SELECT helper.attempt('tenant key in the primary key', $$SELECT tenantmig.backfill('in_key', 'company_id', 'companies', sources => '[{"via": "customer_id"}]')$$);
SELECT helper.attempt('the tenant root', $$SELECT tenantmig.backfill('companies', 'name', 'companies', sources => '[{"via": "customers.company_id"}]')$$);
CREATE TABLE tree (id integer PRIMARY KEY, parent integer REFERENCES tree, company_id integer REFERENCES companies, customer_id integer REFERENCES customers);
SELECT helper.attempt('self-reference, parent', $$SELECT tenantmig.backfill('tree', 'company_id', sources => '[{"via": "parent"}]')$$);
SELECT helper.attempt('self-reference, children', $$SELECT tenantmig.backfill('tree', 'company_id', sources => '[{"via": "tree.parent"}]')$$);
SELECT helper.attempt('self-reference, path', $$SELECT tenantmig.backfill('tree', 'company_id', sources => '[{"path": ["parent", "parent"]}]')$$);
SELECT helper.attempt('self-reference only', $$ALTER TABLE tree DROP customer_id; DROP TABLE in_key; SELECT tenantmig.backfill('tree', 'company_id')$$);
ALTER TABLE customers DROP two;
SELECT helper.attempt('cycle of two', $$SELECT tenantmig.create_migration('{"migration": "m", "tenants": {"table": "companies"}, "steps": [
  {"backfill": {"table": "customers", "column": "company_id", "sources": [{"via": "orders.customer_id"}]}},
  {"backfill": {"table": "orders", "column": "company_id", "sources": [{"via": "customer_id"}]}}]}')$$);
SELECT helper.attempt('cycle of three', $$SELECT tenantmig.check_migration('{"migration": "m", "tenants": {"table": "companies"}, "steps": [
  {"backfill": {"table": "orders", "column": "company_id", "sources": [{"via": "customer_id"}]}},
  {"backfill": {"table": "tree", "column": "company_id", "sources": [{"path": ["parent", "customer_id"], "tenant": "company_id"}, {"path": ["customer_id", "r"]}]}},
  {"backfill": {"table": "customers", "column": "company_id", "sources": [{"via": "tree.customer_id"}]}}]}')$$);
SELECT helper.attempt('the same column twice', $$SELECT tenantmig.create_migration('{"migration": "m", "tenants": {"table": "companies"}, "steps": [
  {"backfill": {"table": "customers", "column": "company_id", "sources": [{"via": "orders.customer_id"}]}},
  {"backfill": {"table": "bad_input.customers", "column": "COMPANY_ID", "sources": [{"via": "tree.customer_id"}]}}]}')$$);
SELECT helper.attempt('no evidence', $$ALTER TABLE orders DROP company_id; ALTER TABLE tree DROP company_id; DROP TABLE in_key; SELECT tenantmig.backfill('customers', 'company_id')$$);
SELECT helper.attempt('no tenant root', $$SELECT tenantmig.backfill('no_column', 'customer_id')$$);

-- What every one of them had: no defect, and a hint. Exemptions shrink: one that is not needed any more is printed too.
\pset tuples_only off
CREATE TABLE helper.exempt (label text, why text);
SELECT label, state, command FROM helper.attempts WHERE state IN ('00000', 'XX000', 'TM999') OR state LIKE '58%';
SELECT label, state FROM helper.attempts WHERE hint = '' AND label NOT IN (SELECT label FROM helper.exempt) ORDER BY label;
SELECT label AS no_longer_exempt FROM helper.exempt e WHERE NOT EXISTS (SELECT FROM helper.attempts a WHERE a.label = e.label AND a.hint = '');
SELECT count(*) > 400 AS many FROM helper.attempts;
SELECT count(*) AS migrations FROM tenantmig.migrations;

DROP SCHEMA bad_input, helper CASCADE;
DROP EXTENSION tenantmig;
DROP FOREIGN DATA WRAPPER regress_wrapper CASCADE;
DROP ROLE regress_caller, regress_other;
