-- Maintenance mode: writes of others to a migration's tables are refused for a limited time.
\set VERBOSITY terse
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tenantmig CASCADE;
CREATE EXTENSION tenantmig;
SELECT current_user AS super \gset
CREATE ROLE fence_owner LOGIN;
CREATE ROLE fence_operator LOGIN;
CREATE ROLE fence_app LOGIN;
GRANT fence_owner TO fence_operator;
SELECT tenantmig.grant_access('fence_operator', 'operator');
CREATE SCHEMA fenced AUTHORIZATION fence_owner;
GRANT USAGE ON SCHEMA fenced TO fence_app;
SET ROLE fence_owner;
CREATE TABLE fenced.companies (id bigint PRIMARY KEY);
CREATE TABLE fenced.customers (id bigint PRIMARY KEY, company_id bigint REFERENCES fenced.companies ON DELETE CASCADE);
CREATE TABLE fenced.appointments (id bigint PRIMARY KEY, customer_id bigint REFERENCES fenced.customers, company_id bigint REFERENCES fenced.companies);
CREATE TABLE fenced.invoices (id bigint PRIMARY KEY, customer_id bigint REFERENCES fenced.customers, company_id bigint) PARTITION BY RANGE (id);
CREATE TABLE fenced.invoices_1 PARTITION OF fenced.invoices FOR VALUES FROM (0) TO (100);
CREATE TABLE fenced.invoices_2 PARTITION OF fenced.invoices FOR VALUES FROM (100) TO (200) PARTITION BY RANGE (id);
CREATE TABLE fenced.invoices_2a PARTITION OF fenced.invoices_2 FOR VALUES FROM (100) TO (150);
INSERT INTO fenced.companies VALUES (1), (2), (3);
INSERT INTO fenced.customers SELECT g, NULL FROM generate_series(1, 6) g;
INSERT INTO fenced.appointments SELECT g, g, 1 + g % 2 FROM generate_series(1, 5) g;
INSERT INTO fenced.invoices SELECT g * 30, g, NULL FROM generate_series(1, 4) g;
GRANT ALL ON ALL TABLES IN SCHEMA fenced TO fence_app;
-- its trigger of statements would write something before a refusal that came later
CREATE FUNCTION fenced.told() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE WARNING 'the trigger of the user was here'; RETURN NULL; END $$;
CREATE TRIGGER "AAA_first" BEFORE INSERT OR UPDATE ON fenced.customers FOR EACH STATEMENT EXECUTE FUNCTION fenced.told();
RESET ROLE;
-- what a refusal says, without times
CREATE FUNCTION public.refusal(statement text, OUT state text, OUT message text, OUT detail text, OUT hint text, OUT table_name text) LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE statement;
  state := '00000';
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS state := RETURNED_SQLSTATE, message := MESSAGE_TEXT, detail := PG_EXCEPTION_DETAIL, hint := PG_EXCEPTION_HINT, table_name := TABLE_NAME;
  detail := regexp_replace(detail, '\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[-+]\d+', 'TIME');
  hint := regexp_replace(regexp_replace(hint, '\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[-+]\d+', 'TIME'), 'in (59|60)\d s', 'in 600 s');
END $$;

\c - fence_operator
\set VERBOSITY terse
SET search_path TO fenced;
SELECT tenantmig.create_migration($${"migration": "fenced", "tenants": {"table": "companies"}, "steps": [
  {"backfill": {"table": "customers", "column": "company_id", "sources": [{"via": "appointments.customer_id"}]}},
  {"backfill": {"table": "invoices", "column": "company_id", "sources": [{"via": "customer_id"}]}},
  {"guard": {"kind": "immutable", "table": "customers", "column": "company_id"}},
  {"constraint": {"table": "invoices", "column": "company_id", "not_null": true}}]}$$);
RESET search_path;
SELECT * FROM tenantmig.written_tables('fenced');
SELECT relation, state, fenced_until - clock_timestamp() BETWEEN '9 min' AND '10 min' AS ten_minutes FROM tenantmig.maintenance('fenced', true, '10 minutes');
SELECT migration, relation, state, fenced_until > now() AS later, switched_on_by, exempt_logins, trigger_name ~ '^!tenantmig_maintenance_\d+$' AS first_by_name FROM tenantmig.maintenance_fences ORDER BY relation;
-- the operator's sessions may write, whatever role they take; the owner's login may not
SET ROLE fence_owner;
INSERT INTO fenced.companies VALUES (4);
UPDATE fenced.customers SET id = id WHERE id = 1;
RESET ROLE;
\c - fence_operator
\set VERBOSITY terse
SET ROLE fence_owner;
UPDATE fenced.customers SET id = id WHERE id = 1;

-- others: INSERT, UPDATE, DELETE, TRUNCATE, COPY, MERGE, what is empty too; each table and partition by itself; by cascade
\c - fence_app
\set VERBOSITY terse
SET client_min_messages = warning;
SET timezone = 'UTC';
SELECT * FROM public.refusal('INSERT INTO fenced.customers VALUES (7)') \gx
UPDATE fenced.customers SET id = id WHERE false;
DELETE FROM fenced.customers;
TRUNCATE fenced.customers CASCADE;
COPY fenced.customers FROM stdin;
\.
MERGE INTO fenced.customers c USING (SELECT 1 AS id) s ON s.id = c.id WHEN MATCHED THEN UPDATE SET company_id = 1;
INSERT INTO fenced.invoices VALUES (5, 1, 1);
UPDATE fenced.invoices_1 SET company_id = 1;
DELETE FROM fenced.invoices_2;
DELETE FROM fenced.invoices_2a;
DELETE FROM fenced.companies WHERE id = 4;
WITH gone AS (DELETE FROM fenced.customers RETURNING id) SELECT count(*) FROM gone;
\echo :LAST_ERROR_SQLSTATE
-- what it does not write, and reading, go on
INSERT INTO fenced.appointments VALUES (6, 6, 1);
SELECT count(*) FROM fenced.customers;
SELECT id FROM fenced.customers WHERE id = 1 FOR UPDATE;
-- no setting helps
SET application_name = 'tenantmig';
SET session_replication_role = replica;
UPDATE fenced.customers SET id = id;
-- an older snapshot neither
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM fenced.customers;
DELETE FROM fenced.customers;
ROLLBACK;
-- whoever is somebody else may not switch it off
SELECT * FROM tenantmig.maintenance('fenced', false);

-- tenantmig's own work goes on, of another operator too
\c - :super
\set VERBOSITY terse
SET client_min_messages = error;
UPDATE fenced.customers SET id = id;
SELECT outcome, sum(row_count) FROM tenantmig.backfill('fenced') GROUP BY 1 ORDER BY 1;
SELECT tenantmig.drop_migration('fenced', false);
-- a second operator's call exempts him too, and the first one stays so; the limit counts from now
SELECT relation, state, fenced_until > clock_timestamp() + '19 min' AS later FROM tenantmig.maintenance('fenced', true, '20 minutes') LIMIT 1;
SELECT count(*) FILTER (WHERE l = :'super') AS super, count(*) FILTER (WHERE l = 'fence_operator') AS operator FROM (SELECT unnest(exempt_logins) AS l FROM tenantmig.maintenance_fences WHERE relation = 'fenced.customers') e;
UPDATE fenced.customers SET id = id WHERE false;
SELECT * FROM tenantmig.maintenance('fenced', false);
SELECT count(*) FROM tenantmig.maintenance_fences;
SELECT * FROM tenantmig.maintenance('fenced', false) LIMIT 1;
\c - fence_app
\set VERBOSITY terse
SET client_min_messages = error;
UPDATE fenced.customers SET id = id;

-- it ends by itself; only this session is exempt
\c - fence_operator
\set VERBOSITY terse
SET client_min_messages = error;
SELECT relation, state FROM tenantmig.maintenance('fenced', true, '1.5 seconds', false);
SET ROLE fence_owner;
UPDATE fenced.customers SET id = id WHERE false;
\c - fence_operator
\set VERBOSITY terse
SET ROLE fence_owner;
SET client_min_messages = error;
UPDATE fenced.customers SET id = id WHERE false;
\echo :LAST_ERROR_SQLSTATE
SELECT pg_sleep(1.6);
UPDATE fenced.customers SET id = id WHERE false;
RESET ROLE;
SELECT relation, state, exempt_logins FROM tenantmig.maintenance_fences ORDER BY relation;
-- in a transaction that is rolled back nothing is fenced; a table that came meanwhile is fenced by the next call
SET ROLE fence_owner;
CREATE TABLE fenced.invoices_2b PARTITION OF fenced.invoices_2 FOR VALUES FROM (150) TO (200);
GRANT ALL ON fenced.invoices_2b TO fence_app;
RESET ROLE;
BEGIN;
SELECT count(*) FROM tenantmig.maintenance('fenced', true);
ROLLBACK;
SELECT relation, state FROM tenantmig.maintenance_fences WHERE relation = 'fenced.invoices_2b';
SELECT count(*) FROM tenantmig.maintenance('fenced', true);
\c - fence_app
\set VERBOSITY terse
DELETE FROM fenced.invoices_2b;

-- dropping: not while it is fenced; nothing is left
\c - fence_operator
\set VERBOSITY terse
SET client_min_messages = error;
SELECT outcome, sum(row_count) FROM tenantmig.runs, LATERAL tenantmig.rollback(id) WHERE migration = 'fenced' GROUP BY 1;
SELECT state, message, hint FROM public.refusal('SELECT tenantmig.drop_migration(''fenced'', false)');
SELECT tenantmig.drop_migration('fenced', true);
SELECT count(*) FROM tenantmig.maintenance_fences;
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'fenced.customers'::regclass AND tgname ~ 'maintenance';

-- a target that is written through another table: its rows are fenced
SET ROLE fence_owner;
CREATE TABLE fenced.base (id bigint PRIMARY KEY, company_id bigint);
CREATE TABLE fenced.child (customer_id bigint REFERENCES fenced.customers, PRIMARY KEY (id)) INHERITS (fenced.base);
CREATE TABLE fenced.gone (id bigint PRIMARY KEY, company_id bigint);
INSERT INTO fenced.base VALUES (1); INSERT INTO fenced.child VALUES (2, NULL, 1);
GRANT ALL ON fenced.base, fenced.child TO fence_app;
RESET ROLE;
SET search_path TO fenced;
SELECT tenantmig.create_migration($${"migration": "child", "tenants": {"table": "companies"}, "steps": [
  {"backfill": {"table": "child", "column": "company_id", "sources": [{"via": "customer_id"}]}},
  {"guard": {"kind": "immutable", "table": "gone", "column": "company_id"}}]}$$);
RESET search_path;
-- what is not there any more can't be fenced
SET ROLE fence_owner;
DROP TABLE fenced.gone;
RESET ROLE;
SELECT relation, state FROM tenantmig.maintenance('child', true);
\c - fence_app
\set VERBOSITY terse
UPDATE fenced.base SET company_id = 1 WHERE id = 1;
UPDATE fenced.base SET company_id = 1 WHERE id = 2;
TRUNCATE fenced.base;
\c - fence_operator
\set VERBOSITY terse
SELECT relation, state FROM tenantmig.maintenance('child', false);

-- bad input
SET search_path TO fenced;
SELECT tenantmig.create_migration($${"migration": "nothing", "tenants": {"table": "companies"}, "steps": [{"sql": {"up": "SELECT 1"}}]}$$);
RESET search_path;
SELECT * FROM tenantmig.maintenance('nothing', true);
SELECT * FROM tenantmig.maintenance('no such migration', true);
SELECT * FROM tenantmig.maintenance('child', true, '0 s');
SELECT * FROM tenantmig.maintenance('child', true, '-1 h');
SELECT * FROM tenantmig.maintenance('child', true, '1 day 1 s');
SELECT * FROM tenantmig.maintenance('child', true, NULL);
SELECT * FROM tenantmig.maintenance('child', NULL);
SELECT * FROM tenantmig.maintenance(NULL, true);
SELECT * FROM tenantmig.maintenance('child', true, '1 min', NULL);
BEGIN READ ONLY;
SELECT * FROM tenantmig.maintenance('child', true);
ROLLBACK;
SELECT * FROM tenantmig.written_tables('no such migration');
\c - :super
\set VERBOSITY terse
SELECT tenantmig.maintenance_fence();
CREATE TABLE fenced.odd (id int);
CREATE TRIGGER odd BEFORE INSERT ON fenced.odd EXECUTE FUNCTION tenantmig.maintenance_fence('x');
INSERT INTO fenced.odd VALUES (1);
\echo :LAST_ERROR_SQLSTATE
DROP TRIGGER odd ON fenced.odd;
CREATE TRIGGER odd AFTER INSERT ON fenced.odd EXECUTE FUNCTION tenantmig.maintenance_fence('1');
INSERT INTO fenced.odd VALUES (1);
\echo :LAST_ERROR_SQLSTATE
-- a migration that somebody else owns, and a table
REVOKE fence_owner FROM fence_operator;
\c - fence_operator
\set VERBOSITY terse
SELECT * FROM tenantmig.maintenance('child', true);
-- switching off asks for the migration alone
SELECT * FROM tenantmig.maintenance('child', false);
\c - :super
\set VERBOSITY terse
SET client_min_messages = error;
SELECT tenantmig.drop_migration('child', true), tenantmig.drop_migration('nothing', true);
DROP SCHEMA fenced CASCADE;
DROP FUNCTION public.refusal;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA tenantmig FROM fence_operator;
REVOKE ALL ON ALL PROCEDURES IN SCHEMA tenantmig FROM fence_operator;
REVOKE ALL ON ALL TABLES IN SCHEMA tenantmig FROM fence_operator;
REVOKE ALL ON SCHEMA tenantmig FROM fence_operator;
DROP ROLE fence_app, fence_owner, fence_operator;
