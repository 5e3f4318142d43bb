-- preflight(): each check has a table that fails it, as FAIL or as WARN, and one that passes.
SET client_min_messages = warning;
DROP SCHEMA IF EXISTS preflight CASCADE;
DROP EXTENSION IF EXISTS tenantmig CASCADE;
CREATE EXTENSION tenantmig;
CREATE SCHEMA preflight;
SET search_path = preflight;

CREATE TABLE companies (id integer PRIMARY KEY, name text);
CREATE TABLE customers (id integer PRIMARY KEY, company_id integer, name text, deleted_at timestamptz);
CREATE TABLE orders (id integer PRIMARY KEY, customer_id integer REFERENCES customers, company_id integer);
INSERT INTO companies VALUES (1, 'one'), (2, 'two');
INSERT INTO customers SELECT n, CASE WHEN n > 8 THEN 1 END FROM generate_series(1, 10) n; -- 8 without a key
INSERT INTO orders SELECT n, n, 1 FROM generate_series(1, 10) n;                          -- every one settled
CREATE FUNCTION spec(limits jsonb) RETURNS jsonb LANGUAGE sql AS $$
  SELECT jsonb_build_object('migration', 'm', 'tenants', '{"table": "companies"}'::jsonb, 'steps', jsonb_build_array(jsonb_build_object('backfill', jsonb_build_object(
    'table', 'customers', 'column', 'company_id', 'sources', '[{"via": "orders.customer_id"}]'::jsonb, 'preflight', limits))))
$$;
-- Pids, times and what else differs from run to run is left out.
CREATE FUNCTION checks(only_bad boolean DEFAULT true) RETURNS TABLE (check_name text, status text, expected text, actual text, detail text, hint text) LANGUAGE sql AS $$
  SELECT check_name, status, expected, actual, regexp_replace(regexp_replace(detail, 'pid \d+', 'pid N', 'g'), '\d{4}-\d\d-\d\d [\d:]+[^,]*', 'TIME', 'g'), hint
  FROM tenantmig.preflight('m') WHERE NOT only_bad OR status <> 'PASS'
$$;
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

-- all is well
SELECT tenantmig.create_migration(spec('{"min_coverage": 1, "max_conflicts": 1, "expected_nulls": 8}'));
SELECT * FROM checks(false);

-- coverage: 7 of 8
BEGIN;
DELETE FROM orders WHERE customer_id = 1;
SELECT * FROM checks();
SELECT round(count(o.id) * 100.0 / count(*), 1) AS coverage FROM customers c LEFT JOIN orders o ON o.customer_id = c.id WHERE c.company_id IS NULL;
ROLLBACK;
-- exactly at the limit is enough; a little more is not
SELECT tenantmig.drop_migration('m');
SELECT tenantmig.create_migration(spec('{"min_coverage": 0.875}'));
BEGIN;
DELETE FROM orders WHERE customer_id = 1;
SELECT status, expected, actual FROM checks(false) WHERE check_name = 'coverage';
DELETE FROM orders WHERE customer_id = 2;
SELECT status, expected, actual FROM checks(false) WHERE check_name = 'coverage';
ROLLBACK;

-- conflicts: fails at the number, not above it
SELECT tenantmig.drop_migration('m');
SELECT tenantmig.create_migration(spec('{"max_conflicts": 2}'));
BEGIN;
INSERT INTO orders VALUES (11, 1, 2);
SELECT status, expected, actual FROM checks(false) WHERE check_name = 'conflicts';
INSERT INTO orders VALUES (12, 2, 2);
SELECT * FROM checks();
ROLLBACK;

-- expected_nulls
SELECT tenantmig.drop_migration('m');
SELECT tenantmig.create_migration(spec('{"expected_nulls": 31}'));
SELECT * FROM checks();
SELECT tenantmig.drop_migration('m');
SELECT tenantmig.create_migration(spec('{"expected_nulls": 0}'));
SELECT status, expected, actual FROM checks(false) WHERE check_name = 'expected_nulls';
BEGIN;
UPDATE customers SET company_id = 1;
SELECT check_name, status, expected, actual, detail FROM checks(false) WHERE check_name IN ('coverage', 'expected_nulls');
ROLLBACK;

-- the others, which need no limit
SELECT tenantmig.drop_migration('m');
SELECT tenantmig.create_migration(spec('{}'));
BEGIN; -- unknown_tenants
UPDATE orders SET company_id = 77 WHERE customer_id IN (1, 2);
SELECT * FROM checks();
ROLLBACK;
BEGIN; -- existing_keys
UPDATE orders SET company_id = 2 WHERE customer_id = 9;
SELECT * FROM checks();
ROLLBACK;
BEGIN; -- tenant_root
TRUNCATE companies;
SELECT * FROM checks();
ROLLBACK;
BEGIN; -- row_triggers, one of which says which columns it changes
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.name := 'touched'; NEW."deleted_at" = NULL; RETURN NEW; END $$;
CREATE TRIGGER touch BEFORE UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION touch();
CREATE TRIGGER quiet BEFORE UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();
SELECT * FROM checks();
ALTER TABLE customers DISABLE TRIGGER touch;
SELECT check_name, actual, detail FROM checks();
ROLLBACK;
BEGIN; -- tenant_key_index, also as a second column
CREATE INDEX ON customers (company_id);
CREATE INDEX second ON customers (name, company_id);
CREATE INDEX other ON customers (name);
SELECT * FROM checks();
ROLLBACK;
BEGIN READ ONLY; -- read_only
SELECT * FROM checks();
ROLLBACK;

-- other_run, old_transactions: another session
CREATE EXTENSION IF NOT EXISTS dblink;
SELECT dblink_connect('other', format('host=%s port=%s dbname=%s', split_part(current_setting('unix_socket_directories'), ',', 1), current_setting('port'), current_database()));
SELECT dblink_exec('other', 'SET search_path = preflight; BEGIN');
SELECT * FROM dblink('other', 'SELECT outcome, row_count FROM tenantmig.backfill(''m'')') AS x (outcome text, row_count bigint);
SELECT * FROM checks();
SELECT attempt('SELECT tenantmig.backfill(''m'')');
SELECT dblink_exec('other', 'ROLLBACK');
SELECT count(*) AS problems FROM checks();
-- five minutes are too long for a test; what is no number of seconds is not taken
SELECT dblink_exec('other', 'BEGIN');
SELECT pg_sleep(1.2);
SET tenantmig.old_transaction_seconds = 1;
SELECT * FROM checks();
SET tenantmig.old_transaction_seconds = 'soon';
SELECT status, detail FROM checks(false) WHERE check_name = 'old_transactions';
SET tenantmig.old_transaction_seconds = 3601;
SELECT status, detail FROM checks(false) WHERE check_name = 'old_transactions';
RESET tenantmig.old_transaction_seconds;
SELECT dblink_exec('other', 'ROLLBACK');
SELECT dblink_disconnect('other');

-- two steps: each has its checks
CREATE TABLE notes (id integer PRIMARY KEY, order_id integer REFERENCES orders, company_id integer);
INSERT INTO notes VALUES (1, 1, NULL), (2, NULL, NULL);
SELECT tenantmig.create_migration('{"migration": "two", "tenants": {"table": "companies"}, "steps": [
  {"backfill": {"table": "notes", "column": "company_id", "sources": [{"via": "order_id"}], "preflight": {"min_coverage": 0.75}}},
  {"backfill": {"table": "customers", "column": "company_id", "sources": [{"via": "orders.customer_id"}]}}]}');
SELECT check_name, status, expected, actual, detail FROM tenantmig.preflight('two') WHERE check_name IN ('coverage', 'tenant_root', 'conflicts');

DROP SCHEMA preflight CASCADE;
DROP EXTENSION tenantmig;
