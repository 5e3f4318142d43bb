-- Bad input that was good once: what a migration names has changed, is gone, or belongs to somebody else. Every call is tried after every change.
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

CREATE TABLE companies (id integer PRIMARY KEY, name text);
CREATE TABLE customers (id integer PRIMARY KEY, company_id integer REFERENCES companies, name text, deleted_at timestamptz);
CREATE TABLE orders (id integer PRIMARY KEY, customer_id integer REFERENCES customers, company_id integer REFERENCES companies);
INSERT INTO companies VALUES (1, 'one'), (2, 'two');
INSERT INTO customers SELECT n, NULL, 'customer ' || n FROM generate_series(1, 4) n;
INSERT INTO orders VALUES (1, 1, 1), (2, 2, 2), (3, 3, 1), (4, 3, 2);
SELECT tenantmig.create_migration('{"migration": "m", "tenants": {"table": "companies"}, "steps": [{"backfill": {"table": "customers", "column": "company_id",
  "soft_delete": "deleted_at", "sources": [{"via": "orders.customer_id"}], "where": {"name": ["customer 1", "customer 2", "customer 3"]}}}]}');
SELECT outcome, row_count FROM tenantmig.backfill('m');

CREATE TABLE helper.changes (number serial, what text, command text);
INSERT INTO helper.changes (what, command) VALUES
  ('target dropped', 'DROP TABLE customers CASCADE'),
  ('target replaced by a view', 'DROP TABLE customers CASCADE; CREATE VIEW customers AS SELECT 1 AS id, 1 AS company_id, NULL::timestamptz AS deleted_at, ''''::text AS name'),
  ('target made anew, without key', 'DROP TABLE customers CASCADE; CREATE TABLE customers (id integer, company_id integer, name text, deleted_at timestamptz)'),
  ('tenant key dropped', 'ALTER TABLE customers DROP company_id'),
  ('tenant key of another type', 'ALTER TABLE customers DROP CONSTRAINT customers_company_id_fkey; ALTER TABLE customers ALTER company_id TYPE text'),
  ('tenant key generated', 'ALTER TABLE customers DROP company_id; ALTER TABLE customers ADD company_id integer GENERATED ALWAYS AS (1) STORED'),
  ('soft_delete dropped', 'ALTER TABLE customers DROP deleted_at'),
  ('soft_delete of another type', 'ALTER TABLE customers ALTER deleted_at TYPE text'),
  ('column of a condition dropped', 'ALTER TABLE customers DROP name'),
  ('column of a condition of another type', 'ALTER TABLE customers ALTER name TYPE integer USING 1'),
  ('key dropped', 'ALTER TABLE orders DROP CONSTRAINT orders_customer_id_fkey; ALTER TABLE customers DROP CONSTRAINT customers_pkey'),
  ('key column dropped', 'ALTER TABLE customers DROP id CASCADE'),
  ('tenant root dropped', 'DROP TABLE companies CASCADE'),
  ('tenant root''s key dropped', 'ALTER TABLE companies DROP id CASCADE'),
  ('evidence dropped', 'DROP TABLE orders'),
  ('evidence replaced by a materialised view', 'DROP TABLE orders; CREATE MATERIALIZED VIEW orders AS SELECT 1 AS id, 1 AS customer_id, 1 AS company_id'),
  ('column of evidence dropped', 'ALTER TABLE orders DROP customer_id'),
  ('tenant key of evidence dropped', 'ALTER TABLE orders DROP company_id'),
  ('foreign key now leads elsewhere', 'ALTER TABLE orders DROP CONSTRAINT orders_customer_id_fkey; ALTER TABLE orders ADD FOREIGN KEY (customer_id) REFERENCES companies NOT VALID'),
  ('column of evidence of another type', 'ALTER TABLE orders DROP CONSTRAINT orders_customer_id_fkey; ALTER TABLE orders ALTER customer_id TYPE date USING ''2020-01-01''');
CREATE TABLE helper.calls (number serial, command text);
INSERT INTO helper.calls (command) VALUES ('plan(''m'')'), ('plan_hash(''m'')'), ('preflight(''m'')'), ('verify(''m'')'), ('backfill(''m'', true)'), ('backfill(''m'')'),
  ('resolve(1, ''1'')'), ('dismiss(1)'), ('import_reviews(''m'', ''[{"id": 1, "decision": "resolve", "tenant": "1"}]'')'), ('rollback(1)'), ('review(''m'')'),
  ('undo_script(1)'), ('report(1)'), ('digest(1)'), ('verify_changes(1)'), ('drop_migration(''m'', true)');

-- What becomes of a call after a change; both are undone. Calls that read only the extension's tables still work: that is how a change is found out and undone.
CREATE FUNCTION helper.outcome(label text, change text, command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  before text := helper.fingerprint(); state text; message text; detail text; hint text;
BEGIN
  BEGIN
    EXECUTE change;
    EXECUTE 'SELECT tenantmig.' || command;
    RAISE SQLSTATE 'OK000';
  EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
  END;
  IF helper.fingerprint() <> before THEN message := 'SOMETHING CHANGED: ' || message; END IF;
  IF state = 'OK000' THEN RETURN NULL; END IF;
  INSERT INTO helper.attempts VALUES (label, command, state, hint);
  RETURN format('%s: %s%s%s', state, message, '; DETAIL: ' || nullif(detail, ''), '; HINT: ' || nullif(hint, ''));
END $$;
-- one line for each way to fail, with the calls that fail so
SELECT format('ERROR: [%s] %s: %s', what, string_agg(split_part(call, '(', 1), ' ' ORDER BY call_number), coalesce(said, 'OK'))
FROM (SELECT h.number, h.what, c.command AS call, c.number AS call_number, helper.outcome(h.what, h.command, c.command) AS said FROM helper.changes h, helper.calls c) x
GROUP BY number, what, said ORDER BY number, min(call_number);

-- somebody who owns nothing of it, and one whose table was taken away
CREATE ROLE regress_caller;
SELECT tenantmig.grant_access('regress_caller', 'operator');
GRANT USAGE ON SCHEMA helper, bad_input TO regress_caller;
GRANT ALL ON ALL TABLES IN SCHEMA helper TO regress_caller;
SELECT format('ERROR: [not the owner] %s: %s', string_agg(split_part(command, '(', 1), ' ' ORDER BY number), coalesce(said, 'OK'))
FROM (SELECT number, command, helper.outcome('not the owner', 'SET ROLE regress_caller', command) AS said FROM helper.calls) x GROUP BY said ORDER BY min(number);
UPDATE helper.calls SET command = replace(command, '''m''', '''mine''');
ALTER TABLE companies OWNER TO regress_caller;
ALTER TABLE customers OWNER TO regress_caller;
ALTER TABLE orders OWNER TO regress_caller;
SET ROLE regress_caller;
SELECT tenantmig.create_migration('{"migration": "mine", "tenants": {"table": "companies"}, "steps": [{"backfill": {"table": "customers", "column": "company_id",
  "sources": [{"via": "orders.customer_id"}]}}]}');
RESET ROLE;
ALTER TABLE orders OWNER TO postgres;
SELECT format('ERROR: [evidence taken away] %s: %s', string_agg(split_part(command, '(', 1), ' ' ORDER BY number), coalesce(said, 'OK'))
FROM (SELECT number, command, helper.outcome('evidence taken away', 'SET ROLE regress_caller', command) AS said FROM helper.calls WHERE command LIKE '%mine%') x GROUP BY said ORDER BY min(number);

\pset tuples_only off
CREATE TABLE helper.exempt (label text, why text);
INSERT INTO helper.exempt VALUES ('tenant key generated', 'PostgreSQL says it itself, when the row is written');
SELECT label, state, command FROM helper.attempts WHERE state IN ('XX000', 'TM999') OR state LIKE '58%';
SELECT DISTINCT label, state, command FROM helper.attempts WHERE hint = '' AND label NOT IN (SELECT label FROM helper.exempt) ORDER BY 1, 3;
SELECT label AS no_longer_exempt FROM helper.exempt e WHERE NOT EXISTS (SELECT FROM helper.attempts a WHERE a.label = e.label AND a.hint = '');
SELECT count(*) > 150 AS many FROM helper.attempts;

DROP SCHEMA bad_input, helper CASCADE;
DROP EXTENSION tenantmig;
DROP ROLE regress_caller;
