-- backfill(): policies, soft deletes, the one-line form, what a run leaves behind. Each result beside the answer of plain SQL.
SET client_min_messages = warning;
DROP SCHEMA IF EXISTS backfill CASCADE;
DROP EXTENSION IF EXISTS tenantmig CASCADE;
CREATE EXTENSION tenantmig;
CREATE SCHEMA backfill;
SET search_path = backfill;
SET datestyle = ISO;
SET timezone = UTC;

CREATE TABLE companies (id integer PRIMARY KEY, name text);
CREATE TABLE customers (id integer PRIMARY KEY, company_id integer REFERENCES companies, name text, deleted_at timestamptz);
CREATE TABLE branches (id integer PRIMARY KEY, company_id integer REFERENCES companies);
ALTER TABLE customers ADD branch_id integer REFERENCES branches;
CREATE TABLE appointments (id serial PRIMARY KEY, customer_id integer REFERENCES customers, company_id integer);
CREATE TABLE calls (id serial PRIMARY KEY, customer_id integer REFERENCES customers, company_id integer REFERENCES companies);
CREATE TABLE notes (id serial PRIMARY KEY, customer_id integer REFERENCES customers, text text); -- no tenant key: no evidence
INSERT INTO companies VALUES (1, 'one'), (2, 'two'), (3, 'three');
INSERT INTO branches VALUES (1, 3), (2, NULL);
-- 1, 2: settled; 3: tie 1:1; 4: 2:1 for company 2; 5: unknown; 6: nothing; 7: nothing, deleted; 8: settled, deleted; 9: conflict, deleted; 10: has a key; 11: by branch;
-- 12: has a key that its evidence contradicts; 13: unknown and known
INSERT INTO customers SELECT n, CASE n WHEN 10 THEN 2 WHEN 12 THEN 1 END, 'customer ' || n, CASE WHEN n IN (7, 8, 9) THEN timestamptz '2024-02-29 12:00+00' END, CASE n WHEN 11 THEN 1 WHEN 6 THEN 2 END
  FROM generate_series(1, 13) n;
INSERT INTO appointments (customer_id, company_id) VALUES (1, 1), (1, 1), (2, 2), (3, 1), (3, 2), (4, 2), (4, 2), (4, 1), (5, 9), (8, 3), (9, 1), (9, 3), (12, 3), (13, 1), (13, 9);
INSERT INTO calls (customer_id, company_id) VALUES (2, 2), (4, NULL), (6, NULL);
CREATE TABLE original AS SELECT * FROM customers;

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
-- Undoes the last run and forgets its migration; nothing may be left of it.
CREATE FUNCTION undo() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  name text;
BEGIN
  SELECT migration INTO name FROM tenantmig.runs ORDER BY id DESC LIMIT 1;
  PERFORM tenantmig.rollback((SELECT max(id) FROM tenantmig.runs));
  PERFORM tenantmig.drop_migration(name);
  RETURN (SELECT count(*) || ' rows differ' FROM (SELECT * FROM customers EXCEPT SELECT * FROM original) x);
END $$;

-- one line, no spec: children by table name, then parents by column; a table without tenant key is no source; the tenant root is found by the column's foreign key
SELECT * FROM tenantmig.backfill('customers', 'company_id');
SELECT spec #> '{steps,0,backfill,sources}' AS sources, spec -> 'tenants' AS tenants, migration FROM tenantmig.migrations;
SELECT id, company_id, deleted_at IS NOT NULL AS deleted FROM customers ORDER BY id;
-- plain SQL: all that evidence says, of those without a key
WITH e AS (SELECT customer_id AS id, company_id FROM appointments UNION ALL SELECT customer_id, company_id FROM calls
           UNION ALL SELECT c.id, b.company_id FROM customers c JOIN branches b ON b.id = c.branch_id)
SELECT o.id, array_agg(DISTINCT e.company_id) FILTER (WHERE e.company_id IS NOT NULL) AS candidates, c.company_id AS became
FROM original o JOIN customers c USING (id) LEFT JOIN e USING (id) WHERE o.company_id IS NULL GROUP BY o.id, c.company_id ORDER BY o.id;
SELECT row_key, class, candidates FROM tenantmig.review('customers.company_id') ORDER BY class, (row_key ->> 'id')::integer;
SELECT migration, state, mode, row_total, row_done, assigned, conflicts, orphans, unknown, workers, started_by, error FROM tenantmig.runs;
SELECT jsonb_array_elements(counts) AS counts FROM tenantmig.runs;
SELECT batch, step, kind, relation, row_count FROM tenantmig.batches ORDER BY batch;
SELECT relation, row_key, column_name, old_value, new_value, source FROM tenantmig.changes ORDER BY (row_key ->> 'id')::integer;
SELECT undo();

-- on_conflict
SELECT outcome, source, row_count, deleted_count FROM tenantmig.backfill('customers', 'company_id', on_conflict => 'majority');
SELECT id, company_id FROM customers WHERE id IN (3, 4, 9, 13) ORDER BY id; -- 4 has a winner; the others are ties
SELECT row_key, class FROM tenantmig.review('customers.company_id') ORDER BY 1;
SELECT undo();
SELECT attempt($$SELECT tenantmig.backfill('customers', 'company_id', on_conflict => 'fail')$$);
SELECT count(*) AS left_over FROM tenantmig.runs;
-- a conflict that the first source has settled is none
SELECT outcome, source, row_count FROM tenantmig.backfill('customers', 'company_id', evidence => 'first', on_conflict => 'fail',
  conditions => '{"id": [1, 2, 11]}', sources => '[{"via": "calls.customer_id"}, {"via": "appointments.customer_id"}, {"via": "branch_id"}]');
SELECT undo();

-- on_orphan
SELECT outcome, source, row_count, deleted_count FROM tenantmig.backfill('customers', 'company_id', on_orphan => 'soft_delete', soft_delete => 'deleted_at');
SELECT o.id, o.deleted_at AS before, c.deleted_at = now() OR c.deleted_at > timestamptz '2025-01-01' AS deleted_now, c.company_id FROM original o JOIN customers c USING (id)
WHERE o.id IN (6, 7) ORDER BY id; -- 7 was deleted before, and waits for a decision
SELECT row_key, class FROM tenantmig.review('customers.company_id') WHERE class = 'orphan';
SELECT row_key, column_name, old_value, new_value IS NOT NULL AS new_value, source FROM tenantmig.changes WHERE column_name <> 'company_id';
SELECT check_name, status, actual FROM tenantmig.verify('customers.company_id') WHERE check_name LIKE 'nulls%' OR check_name = 'accounted';
SELECT undo();
SELECT attempt($$SELECT tenantmig.backfill('customers', 'company_id', on_orphan => 'fail')$$);
SELECT outcome, source, row_count, deleted_count FROM tenantmig.backfill('customers', 'company_id', on_orphan => 'assign', assign_orphans_to => '3');
SELECT id, company_id FROM customers WHERE id IN (6, 7) ORDER BY id;
SELECT row_key, new_value, source FROM tenantmig.changes WHERE source = 'assign' ORDER BY 1;
SELECT undo();
SELECT attempt($$SELECT tenantmig.backfill('customers', 'company_id', on_orphan => 'assign', assign_orphans_to => '9')$$);

-- soft-deleted rows are backfilled like any other, and counted apart
SELECT outcome, source, row_count, deleted_count FROM tenantmig.backfill('customers', 'company_id', soft_delete => 'deleted_at');
SELECT count(*) FILTER (WHERE company_id IS NULL AND deleted_at IS NULL) AS living, count(*) FILTER (WHERE company_id IS NULL AND deleted_at IS NOT NULL) AS deleted FROM customers;
SELECT check_name, status, expected, actual, detail FROM tenantmig.verify('customers.company_id') WHERE check_name LIKE 'nulls%';
SELECT undo();

-- no foreign key on the tenant key: the tables next to this one say which the tenant root is, or nobody does
ALTER TABLE customers DROP CONSTRAINT customers_company_id_fkey;
SELECT outcome, source, row_count FROM tenantmig.backfill('customers', 'company_id');
SELECT undo();
CREATE TABLE firms (id integer PRIMARY KEY);
ALTER TABLE appointments ADD FOREIGN KEY (company_id) REFERENCES firms NOT VALID;
SELECT attempt($$SELECT tenantmig.backfill('customers', 'company_id')$$);
SELECT outcome, source, row_count FROM tenantmig.backfill('customers', 'company_id', 'companies');
SELECT undo();
ALTER TABLE appointments DROP CONSTRAINT appointments_company_id_fkey;

-- a trigger that changes the key is an error; one that changes another column is named; one that suppresses the write, too
ALTER TABLE customers ADD updated integer DEFAULT 0;
ALTER TABLE original ADD updated integer DEFAULT 0;
CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.updated := NEW.updated + 1; RETURN NEW; END $$;
CREATE TRIGGER meddle BEFORE UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION meddle();
SELECT outcome, source, note FROM (SELECT tenantmig.create_migration('{"migration": "triggers", "tenants": {"table": "companies"}, "steps": [{"backfill": {"table": "customers",
  "column": "company_id", "sources": [{"via": "appointments.customer_id"}]}}]}')) x, tenantmig.plan('triggers') ORDER BY 1, 2;
SELECT outcome, row_count FROM tenantmig.backfill('triggers');
SELECT id, updated FROM customers WHERE updated > 0 ORDER BY id;
SELECT * FROM tenantmig.rollback((SELECT max(id) FROM tenantmig.runs));
SELECT count(*) FILTER (WHERE updated = 2) AS written_twice, count(*) FILTER (WHERE company_id IS NOT NULL) AS keys FROM customers;
CREATE OR REPLACE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.company_id := 1; RETURN NEW; END $$;
SELECT attempt($$SELECT tenantmig.backfill('triggers')$$);
CREATE OR REPLACE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
SELECT attempt($$SELECT tenantmig.backfill('triggers')$$);
CREATE OR REPLACE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not today' USING ERRCODE = '23514', HINT = 'ask tomorrow'; END $$;
SELECT attempt($$SELECT tenantmig.backfill('triggers')$$);
SELECT count(*) AS keys FROM customers WHERE company_id IS NOT NULL;
DROP TRIGGER meddle ON customers;

-- a CHECK or foreign key of the user stops it as it would stop the user
ALTER TABLE customers ADD CONSTRAINT no_two CHECK (company_id <> 2) NOT VALID;
SELECT attempt($$SELECT tenantmig.backfill('triggers')$$);
ALTER TABLE customers DROP CONSTRAINT no_two;

-- an empty table, a table without NULLs, and no tenants at all
TRUNCATE customers, appointments, calls, notes;
SELECT * FROM tenantmig.backfill('triggers');
INSERT INTO customers (id, company_id) VALUES (1, 1);
SELECT * FROM tenantmig.backfill('triggers');
TRUNCATE companies, branches, customers, appointments, calls, notes;
INSERT INTO customers (id) VALUES (1);
INSERT INTO appointments (customer_id, company_id) VALUES (1, 1);
SELECT * FROM tenantmig.backfill('triggers');

DROP SCHEMA backfill CASCADE;
DROP EXTENSION tenantmig;
