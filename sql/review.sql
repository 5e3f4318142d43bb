-- The review queue: what is in it, who may decide, what a decision writes, and what is refused.
\set VERBOSITY default
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tenantmig CASCADE;
CREATE EXTENSION tenantmig;
CREATE ROLE regress_owner;
CREATE ROLE regress_reviewer;
CREATE ROLE regress_stranger;
SELECT tenantmig.grant_access('regress_owner', 'operator');
SELECT tenantmig.grant_access('regress_reviewer', 'reviewer');
SELECT tenantmig.grant_access('regress_stranger', 'reviewer');
CREATE SCHEMA shop AUTHORIZATION regress_owner;
GRANT USAGE ON SCHEMA shop TO regress_reviewer;
SET search_path = shop, public;

-- what a command says: its SQLSTATE and texts, times left out
CREATE FUNCTION public.attempt(command text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
  state text; message text; detail text; hint text;
BEGIN
  EXECUTE command;
  RETURN NEXT 'no error';
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
  RETURN NEXT state || ': ' || message;
  detail := regexp_replace(regexp_replace(detail, '\d{4}-\d\d-\d\d [\d:.]+\+00', 'TIME', 'g'), '"[^"]* \(as ', '"SUPERUSER (as ');
  IF detail <> '' THEN RETURN NEXT 'DETAIL: ' || detail; END IF;
  IF hint <> '' THEN RETURN NEXT 'HINT: ' || hint; END IF;
END $$;

SET ROLE regress_owner;
CREATE TABLE companies (id integer PRIMARY KEY, name text);
INSERT INTO companies VALUES (1, 'one'), (2, 'two'), (3, 'three');
CREATE TABLE customers (id integer PRIMARY KEY, company_id integer, name text);
CREATE TABLE appointments (id serial PRIMARY KEY, customer_id integer REFERENCES customers, company_id integer);
INSERT INTO customers SELECT n, NULL, 'customer ' || n FROM generate_series(1, 12) n;
INSERT INTO appointments (customer_id, company_id) VALUES
  (1, 1), (2, 2), (2, 2),           -- settled
  (3, 1), (3, 2), (3, 2), (4, 1), (4, 3), -- two companies
  (5, 99),                          -- a company that does not exist
  (6, 3), (6, 1);                   -- and 7 to 12 have none
SELECT outcome, source, row_count FROM tenantmig.backfill('customers', 'company_id', 'companies');

-- the queue, with its candidates
SELECT * FROM tenantmig.review('customers.company_id');
SELECT * FROM attempt('SELECT * FROM tenantmig.review(''nothing'')');
SELECT * FROM attempt('SELECT * FROM tenantmig.review(NULL)');
SELECT * FROM attempt('SELECT * FROM tenantmig.review(''customers.company_id'', NULL)');

-- a decision writes the row and the log
SELECT relation, row_key, class, state, tenant FROM tenantmig.resolve(1, '2', 'their invoices say so');
SELECT id, company_id FROM customers WHERE id = 3;
SELECT run_id, batch, relation, row_key, column_name, old_value, new_value, source FROM tenantmig.changes WHERE source = 'review';
SELECT batch, kind, relation, row_count FROM tenantmig.batches ORDER BY batch;
SELECT check_name, status, actual FROM tenantmig.verify_changes(1);

-- what a decision refuses
SELECT * FROM attempt('SELECT * FROM tenantmig.resolve(2, ''9'')');
SELECT * FROM attempt('SELECT * FROM tenantmig.resolve(2, ''one'')');
SELECT * FROM attempt('SELECT * FROM tenantmig.resolve(2, ''99999999999'')');
SELECT * FROM attempt('SELECT * FROM tenantmig.resolve(2, '''')');
SELECT * FROM attempt('SELECT * FROM tenantmig.resolve(2, NULL)');
SELECT * FROM attempt('SELECT * FROM tenantmig.resolve(NULL, ''1'')');
SELECT * FROM attempt('SELECT * FROM tenantmig.resolve(4711, ''1'')');
SELECT * FROM attempt('SELECT * FROM tenantmig.resolve(-1, ''1'')');
SELECT * FROM attempt('SELECT * FROM tenantmig.dismiss(NULL)');
SELECT * FROM attempt('SELECT * FROM tenantmig.dismiss(0)');
RESET ROLE;
SET SESSION AUTHORIZATION regress_owner;
SELECT state, decided_by FROM tenantmig.dismiss(2, 'a test account');
RESET SESSION AUTHORIZATION;
SET ROLE regress_owner;
SELECT * FROM attempt('SELECT * FROM tenantmig.resolve(1, ''1'')');
SELECT * FROM attempt('SELECT * FROM tenantmig.resolve(2, ''1'')');
SELECT * FROM attempt('SELECT * FROM tenantmig.dismiss(2)');
SELECT id, class, state, note FROM tenantmig.review('customers.company_id', true) ORDER BY id;
SELECT id, class, state FROM tenantmig.review('customers.company_id') ORDER BY id;

-- somebody else was faster, or the row has gone: what was found is named, nothing is written, the review stays open
UPDATE customers SET company_id = 3 WHERE id = 5;
DELETE FROM customers WHERE id = 12;
SELECT id, row_key, class FROM tenantmig.review('customers.company_id') WHERE row_key IN ('{"id": 5}', '{"id": 12}', '{"id": 6}') ORDER BY id;
SELECT * FROM attempt('SELECT * FROM tenantmig.resolve(10, ''1'')');
SELECT * FROM attempt('SELECT * FROM tenantmig.resolve(9, ''1'')');
SELECT id, company_id FROM customers WHERE id = 5;

-- a trigger that swallows the update, or puts another value there
CREATE FUNCTION interfere() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF new.name = 'customer 6' THEN RETURN NULL; END IF;
  IF new.name = 'customer 7' THEN new.company_id := 3; END IF;
  RETURN new;
END $$;
CREATE TRIGGER interfere BEFORE UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION interfere();
SELECT * FROM attempt('SELECT * FROM tenantmig.resolve(3, ''1'')');
SELECT * FROM attempt('SELECT * FROM tenantmig.resolve(4, ''1'')');
DROP TRIGGER interfere ON customers;
SELECT id, row_key, state FROM tenantmig.review('customers.company_id', true) WHERE id IN (3, 4, 9, 10) ORDER BY id;

-- rights. EXECUTE alone is not enough; the message says what is missing
CREATE FUNCTION who() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN new.name := new.name || ', written by ' || current_user; RETURN new; END $$;
CREATE TRIGGER who BEFORE UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION who();
RESET ROLE;
SET SESSION AUTHORIZATION regress_reviewer;
SELECT * FROM public.attempt('SELECT * FROM tenantmig.resolve(5, ''1'')');
SELECT * FROM public.attempt('SELECT * FROM tenantmig.dismiss(5)');
RESET SESSION AUTHORIZATION;
GRANT UPDATE (company_id) ON shop.customers TO regress_reviewer;
SET SESSION AUTHORIZATION regress_reviewer;
SELECT * FROM public.attempt('SELECT * FROM tenantmig.resolve(5, ''1'')');
RESET SESSION AUTHORIZATION;
GRANT SELECT (id, company_id) ON shop.customers TO regress_reviewer;
-- with rights on the columns he writes as himself, as his own UPDATE would
SET SESSION AUTHORIZATION regress_reviewer;
SELECT row_key, state, tenant, decided_by FROM tenantmig.resolve(5, '1');
SELECT row_key, state, decided_by FROM tenantmig.dismiss(6, 'no longer a customer');
SELECT * FROM public.attempt('SELECT * FROM shop.companies');
RESET SESSION AUTHORIZATION;
-- with the owner's privileges he writes as the owner
GRANT regress_owner TO regress_reviewer;
SET SESSION AUTHORIZATION regress_reviewer;
SELECT row_key, state, tenant, decided_by FROM tenantmig.resolve(7, '2');
SET ROLE regress_owner;
SELECT row_key, state, tenant, decided_by FROM tenantmig.resolve(4, '2');
RESET ROLE;
RESET SESSION AUTHORIZATION;
REVOKE regress_owner FROM regress_reviewer;
SELECT id, company_id, name FROM shop.customers WHERE id IN (7, 8, 10) ORDER BY id;
DROP TRIGGER who ON shop.customers;

-- row security holds for him who writes as himself; what he may not see is gone for him
ALTER TABLE shop.customers ENABLE ROW LEVEL SECURITY;
CREATE POLICY hide ON shop.customers TO regress_reviewer USING (id <> 11);
SET SESSION AUTHORIZATION regress_reviewer;
SELECT * FROM public.attempt('SELECT * FROM tenantmig.resolve(8, ''1'')');
RESET SESSION AUTHORIZATION;
-- and does not hold back the owner, even when it is forced on him
ALTER TABLE shop.customers FORCE ROW LEVEL SECURITY;
SET ROLE regress_owner;
SELECT count(*) FROM shop.customers;
SELECT row_key, state, tenant FROM tenantmig.resolve(8, '1');
RESET ROLE;
ALTER TABLE shop.customers NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY;
SELECT id, company_id FROM shop.customers WHERE id = 11;
SELECT check_name, status, actual FROM tenantmig.verify_changes(1);
SELECT id, row_key, state FROM tenantmig.review('customers.company_id') ORDER BY id;

-- a deferred trigger of the caller's own transaction fires as the caller, before the switch to the owner
CREATE TABLE public.deferred_as (who name);
GRANT INSERT, SELECT ON public.deferred_as TO PUBLIC;
CREATE FUNCTION public.note_who() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.deferred_as VALUES (current_user); RETURN NULL; END $$;
CREATE TABLE public.mine (x integer);
ALTER TABLE public.mine OWNER TO regress_reviewer;
CREATE CONSTRAINT TRIGGER note_who AFTER INSERT ON public.mine DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.note_who();
GRANT regress_owner TO regress_reviewer;
SET SESSION AUTHORIZATION regress_reviewer;
BEGIN;
INSERT INTO public.mine VALUES (1);
SELECT row_key, state FROM tenantmig.resolve(3, '3');
SELECT * FROM public.deferred_as;
ROLLBACK;
RESET SESSION AUTHORIZATION;
REVOKE regress_owner FROM regress_reviewer;
DROP TABLE public.deferred_as, public.mine;
DROP FUNCTION public.note_who();

-- import: all or nothing, and the line that is wrong is named
SET ROLE regress_owner;
INSERT INTO customers SELECT n, NULL, 'customer ' || n FROM generate_series(21, 25) n;
SELECT outcome, source, row_count FROM tenantmig.backfill('customers', 'company_id', 'companies');
SELECT id, run_id, row_key, class, state FROM tenantmig.review('customers.company_id') ORDER BY id;
CREATE FUNCTION import(decisions text) RETURNS SETOF text LANGUAGE sql AS $$
  SELECT attempt(format('SELECT * FROM tenantmig.import_reviews(''customers.company_id'', %L)', decisions)) $$;
SELECT import('[{"line": 2, "id": 11, "decision": "resolve", "tenant": "1"}, {"line": 3, "id": 12, "decision": "resolve", "tenant": "9"}]');
SELECT import('[{"line": 2, "id": 11, "decision": "resolve", "tenant": "1"}, {"line": 3, "id": 12, "decision": "resolve", "tenant": "x"}]');
SELECT import('[{"line": 2, "id": 11, "decision": "resolve", "tenant": "1"}, {"line": 3, "id": 4711, "decision": "dismiss"}]');
SELECT import('[{"line": 2, "id": 11, "decision": "resolve", "tenant": "1"}, {"line": 7, "id": 11, "decision": "dismiss"}]');
SELECT import('[{"line": 2, "id": 2, "decision": "dismiss"}]');
SELECT import('[{"line": 2, "id": 11, "decision": "delete"}]');
SELECT import('[{"line": 2, "id": 11, "decision": "resolve"}]');
SELECT import('[{"line": 2, "id": 11, "decision": "dismiss", "tenant": "1"}]');
SELECT import('[{"line": 2, "id": 11, "decision": "", "tenant": "1"}]');
SELECT import('[{"line": 2, "id": 11, "decision": "resolve", "tenant": 1}]');
SELECT import('[{"line": 2, "id": "11", "decision": "dismiss"}]');
SELECT import('[{"line": 2, "id": 99999999999999999999, "decision": "dismiss"}]');
SELECT import('[{"line": 2, "decision": "dismiss"}]');
SELECT import('[{"line": 2, "id": 11, "decision": "dismiss", "because": "x"}]');
SELECT import('[{"id": 11, "decision": "dismiss"}, 5]');
SELECT import('{"line": 2}');
SELECT import(NULL);
SELECT * FROM attempt('SELECT * FROM tenantmig.import_reviews(NULL, ''[]'')');
SELECT * FROM attempt('SELECT * FROM tenantmig.import_reviews(''nothing'', ''[]'')');
SELECT count(*) FILTER (WHERE state = 'open') AS still_open FROM tenantmig.review('customers.company_id') WHERE id > 10;
SELECT * FROM tenantmig.import_reviews('customers.company_id', '[]');
SELECT * FROM tenantmig.import_reviews('customers.company_id', '[
  {"line": 2, "id": 11, "decision": "resolve", "tenant": "1", "note": "from the sheet, with \"quotes\""},
  {"line": 3, "id": 12, "decision": "dismiss", "tenant": null, "note": ""},
  {"line": 4, "id": 13, "decision": ""}]');
SELECT id, row_key, state, note FROM tenantmig.review('customers.company_id', true) WHERE id > 10 ORDER BY id;
SELECT id, company_id FROM customers WHERE id > 20 ORDER BY id;

-- a review of another migration does not belong into the file
CREATE TABLE "Order lines" ("Order" text, "Line no" integer, "tenant of it" text, PRIMARY KEY ("Order", "Line no"));
CREATE TABLE tenants (name text PRIMARY KEY);
CREATE TABLE hints ("Order" text, line integer, tenant text REFERENCES tenants, FOREIGN KEY ("Order", line) REFERENCES "Order lines");
INSERT INTO tenants VALUES ('a'), ('{"b"'), (E'c\nd');
INSERT INTO "Order lines" VALUES ('x', 1), ('x,"y"', 2), (E'line\nbreak\\', 3), ('🙂', 4), ('', 5), ('NULL', 6);
SELECT outcome, row_count FROM tenantmig.backfill('"Order lines"', '"tenant of it"', 'tenants');
SELECT id, relation, row_key, class FROM tenantmig.review((SELECT migration FROM tenantmig.migrations ORDER BY id DESC LIMIT 1)) ORDER BY id;
SELECT import('[{"line": 2, "id": 16, "decision": "dismiss"}]');
-- text keys of several columns with all that needs quoting, and tenants as well
SELECT row_key, state, tenant FROM tenantmig.resolve(16, 'a');
SELECT row_key, state, tenant FROM tenantmig.resolve(17, '{"b"');
SELECT row_key, state, tenant FROM tenantmig.resolve(18, E'c\nd');
SELECT row_key, state, tenant FROM tenantmig.resolve(19, 'a');
SELECT row_key, state, tenant FROM tenantmig.resolve(20, 'a');
SELECT row_key, state, tenant FROM tenantmig.resolve(21, 'a');
SELECT * FROM attempt('SELECT * FROM tenantmig.resolve(21, ''A'')');
SELECT * FROM "Order lines" ORDER BY 2;
SELECT relation, row_key, column_name, new_value, source FROM tenantmig.changes WHERE relation LIKE '%Order%' ORDER BY batch;

-- the queue outlives a rename of table, columns and key, but not the table
ALTER TABLE customers RENAME TO clients;
ALTER TABLE clients RENAME company_id TO owner_id;
ALTER TABLE clients RENAME id TO client_id;
SELECT relation, row_key, state, tenant FROM tenantmig.resolve(13, '3');
SELECT client_id, owner_id FROM clients WHERE client_id = 23;
DROP TABLE clients CASCADE;
SELECT * FROM attempt('SELECT * FROM tenantmig.resolve(14, ''1'')');
SELECT count(*) FROM tenantmig.review('customers.company_id');

RESET ROLE;
DROP SCHEMA shop CASCADE;
DROP FUNCTION public.attempt;
SELECT tenantmig.drop_migration(migration, true) FROM tenantmig.migrations ORDER BY migration;
DROP OWNED BY regress_owner, regress_reviewer, regress_stranger;
DROP ROLE regress_owner, regress_reviewer, regress_stranger;
