-- Undo: exactly what was written, only where it still stands, every kind of column; and the same as plain SQL.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tenantmig CASCADE;
CREATE EXTENSION tenantmig;
CREATE ROLE regress_owner;
CREATE ROLE regress_other;
SELECT tenantmig.grant_access('regress_owner', 'operator');
SELECT tenantmig.grant_access('regress_other', 'operator');
CREATE SCHEMA shop AUTHORIZATION regress_owner;
GRANT USAGE ON SCHEMA shop TO regress_other;
SET search_path = shop, public;
CREATE FUNCTION public.attempt(command text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
  state text; message text; detail text; hint text;
BEGIN
  EXECUTE command;
  RETURN NEXT 'no error';
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
  RETURN NEXT state || ': ' || message;
  IF detail <> '' THEN RETURN NEXT 'DETAIL: ' || regexp_replace(detail, 'current user is "[^"]+"', 'current user is SOMEBODY'); END IF;
  IF hint <> '' THEN RETURN NEXT 'HINT: ' || hint; END IF;
END $$;

SET ROLE regress_owner;
CREATE TABLE companies (id bigint PRIMARY KEY);
INSERT INTO companies VALUES (1), (2), (3);
CREATE TABLE customers (id integer PRIMARY KEY, company_id bigint REFERENCES companies, deleted_at timestamp with time zone, note text);
CREATE TABLE appointments (customer_id integer REFERENCES customers, company_id bigint REFERENCES companies);
INSERT INTO customers SELECT n, CASE WHEN n > 20 THEN 3 END, CASE n WHEN 3 THEN timestamptz '2024-02-29 12:34:56.789+05:30' END FROM generate_series(1, 22) n;
INSERT INTO appointments SELECT n, n % 3 + 1 FROM generate_series(1, 12) n;
INSERT INTO appointments VALUES (12, 2), (12, 3);
CREATE TABLE before AS SELECT * FROM customers;
CREATE VIEW difference AS (SELECT 'before' AS at, * FROM (TABLE before EXCEPT TABLE customers) b) UNION ALL (SELECT 'after', * FROM (TABLE customers EXCEPT TABLE before) a);
SELECT tenantmig.create_migration('{"migration": "m", "tenants": {"table": "companies", "key": "id"}, "steps": [{"backfill": {"table": "customers",
  "column": "company_id", "soft_delete": "deleted_at", "on_orphan": "soft_delete", "sources": [{"via": "appointments.customer_id"}]}}]}');

-- a run and its undo: nothing is left over, under time zones of one's own
SELECT outcome, source, row_count FROM tenantmig.backfill('m');
SELECT count(*) FILTER (WHERE company_id IS NULL) AS without_key, count(deleted_at) AS deleted FROM customers;
SET timezone = 'America/St_Johns';
SET datestyle = 'German';
SELECT * FROM tenantmig.rollback(1);
RESET timezone;
RESET datestyle;
SELECT * FROM difference;
SELECT state FROM tenantmig.runs WHERE id = 1;
SELECT check_name, status, actual FROM tenantmig.verify_changes(1);
SELECT batch, kind, relation, row_count FROM tenantmig.batches WHERE run_id = 1 ORDER BY batch;
SELECT id, class, state, note FROM tenantmig.review('m', true) ORDER BY id;
SELECT * FROM attempt('SELECT * FROM tenantmig.rollback(1)');
SELECT * FROM attempt('SELECT * FROM tenantmig.rollback(NULL)');
SELECT * FROM attempt('SELECT * FROM tenantmig.rollback(4711)');
SELECT * FROM attempt('SELECT tenantmig.undo_script(NULL)');
SELECT * FROM attempt('SELECT tenantmig.undo_script(4711)');

-- and again; what somebody wrote since is left alone, counted and listed
SELECT outcome, source, row_count FROM tenantmig.backfill('m');
SELECT row_key, tenant FROM tenantmig.resolve((SELECT id FROM tenantmig.review('m')), '3');
UPDATE customers SET company_id = 3 WHERE id IN (3, 4);
UPDATE customers SET company_id = NULL WHERE id = 5;
DELETE FROM appointments WHERE customer_id = 6;
DELETE FROM customers WHERE id IN (6, 13);
UPDATE customers SET deleted_at = NULL WHERE id = 14;
UPDATE customers SET note = 'changed elsewhere' WHERE id IN (1, 15);
CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF old.id = 7 THEN RETURN NULL; END IF; RETURN new; END $$;
CREATE TRIGGER keep BEFORE UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION keep();
SELECT * FROM tenantmig.rollback(2);
DROP TRIGGER keep ON customers;
SELECT relation, row_key, column_name, wrote, found, reason FROM tenantmig.undo_skipped WHERE column_name = 'company_id' ORDER BY row_key;
SELECT row_key, column_name, wrote IS NOT NULL AS wrote, found, reason FROM tenantmig.undo_skipped WHERE column_name = 'deleted_at' ORDER BY row_key;
SELECT at, id, company_id, deleted_at IS NOT NULL AS deleted, note FROM difference ORDER BY id, at DESC;
SELECT id, state, note FROM tenantmig.review('m', true) WHERE run_id = 2;
DELETE FROM before WHERE id IN (6, 13);
UPDATE customers SET company_id = NULL, note = NULL WHERE id <= 20;
SELECT * FROM difference;

-- a row that somebody changed after it was resolved: one line for it
SELECT outcome, row_count FROM tenantmig.backfill('m');
SELECT tenant FROM tenantmig.resolve((SELECT id FROM tenantmig.review('m')), '1');
UPDATE customers SET company_id = 2 WHERE id = 12;
SELECT outcome, reason, row_count FROM tenantmig.rollback(3);
UPDATE customers SET company_id = NULL WHERE id = 12;
SELECT * FROM difference;

-- in the same transaction as the run, and undone with it
BEGIN;
SELECT outcome, row_count FROM tenantmig.backfill('m');
SELECT outcome, row_count FROM tenantmig.rollback(4);
SELECT * FROM difference;
ROLLBACK;
DO $$ BEGIN PERFORM tenantmig.backfill('m'); PERFORM tenantmig.rollback((SELECT max(id) FROM tenantmig.runs)); END $$;
SELECT * FROM difference;
SELECT state, count(*) FROM tenantmig.runs GROUP BY state;

-- who may: the owner of the migration, with the privileges of the tables' owner
SELECT outcome, row_count FROM tenantmig.backfill('m');
SELECT max(id) AS run FROM tenantmig.runs \gset
SET ROLE regress_other;
SELECT * FROM attempt(format('SELECT * FROM tenantmig.rollback(%s)', :run));
SELECT * FROM attempt(format('SELECT * FROM tenantmig.undo_script(%s)', :run));
SELECT * FROM attempt('SELECT tenantmig.drop_migration(''m'')');
RESET ROLE;
ALTER TABLE shop.customers OWNER TO regress_other;
SET ROLE regress_owner;
SELECT * FROM attempt(format('SELECT * FROM tenantmig.rollback(%s)', :run));
RESET ROLE;
ALTER TABLE shop.customers OWNER TO regress_owner;

-- the undo as plain SQL, that works without the extension, and twice does no harm
SET ROLE regress_owner;
SELECT regexp_replace(regexp_replace(line, 'at \d.* UTC', 'at TIME'), '=[0-9a-f]{64}', '=HASH') AS line
FROM tenantmig.undo_script(:run) line WHERE line !~ '''20\d\d-\d\d-\d\d';
SELECT string_agg(line, E'\n') AS script FROM tenantmig.undo_script(:run) line \gset
:script
SELECT * FROM difference;
:script
RESET ROLE;

-- dropping: refused while the log is needed
SET ROLE regress_owner;
SELECT outcome, row_count FROM tenantmig.backfill('m');
SELECT * FROM attempt('SELECT tenantmig.drop_migration(''m'')');
SELECT * FROM attempt('SELECT tenantmig.drop_migration(''m'', NULL)');
SELECT * FROM attempt('SELECT tenantmig.drop_migration(NULL)');
SELECT * FROM attempt('SELECT tenantmig.drop_migration(''nothing'')');
SELECT tenantmig.drop_migration('m', force => true);
RESET ROLE;
SELECT (SELECT count(*) FROM tenantmig.migration) AS migrations, (SELECT count(*) FROM tenantmig.run_log) AS runs, (SELECT count(*) FROM tenantmig.batch_log) AS batches,
  (SELECT count(*) FROM tenantmig.change_log) AS changes, (SELECT count(*) FROM tenantmig.review_batch) AS reviews,
  (SELECT count(*) FROM tenantmig.review_decision) AS decisions, (SELECT count(*) FROM tenantmig.undo_skip) AS skipped;

-- every type of key and tenant, with values that are hard to write down
SET ROLE regress_owner;
CREATE DOMAIN code AS text CHECK (value <> 'never');
CREATE TABLE roots (name code PRIMARY KEY);
INSERT INTO roots VALUES ('a'), ('{"b"'), (E'c\nd\\'), (''), ('NULL'), ('🙂''');
CREATE TABLE "Odd ""table""" (u uuid, "Key 2" text, "the tenant" code REFERENCES roots, PRIMARY KEY (u, "Key 2"));
CREATE TABLE evidence (u uuid, k text, name code REFERENCES roots, FOREIGN KEY (u, k) REFERENCES "Odd ""table""");
INSERT INTO "Odd ""table""" SELECT md5(n::text)::uuid, k, NULL FROM unnest(ARRAY['x', 'x,"y"', E'line\nbreak\\', '🙂', '', 'NULL']) WITH ORDINALITY AS v (k, n);
INSERT INTO evidence SELECT u, "Key 2", r.name FROM (SELECT *, row_number() OVER (ORDER BY u) AS n FROM "Odd ""table""") o
  JOIN (SELECT *, row_number() OVER (ORDER BY name::text COLLATE "C") AS n FROM roots) r USING (n);
SELECT outcome, row_count FROM tenantmig.backfill('"Odd ""table"""', '"the tenant"');
SELECT max(id) AS run FROM tenantmig.runs \gset
SELECT relation, row_key, column_name, new_value FROM tenantmig.changes WHERE run_id = :run ORDER BY row_key::text COLLATE "C";
SELECT count(*) AS wrong FROM "Odd ""table""" o JOIN evidence e ON o.u = e.u AND o."Key 2" = e.k WHERE o."the tenant" IS DISTINCT FROM e.name;
SELECT string_agg(line, E'\n') AS script FROM tenantmig.undo_script(:run) line \gset
:script
SELECT count("the tenant") AS filled FROM "Odd ""table""";
UPDATE "Odd ""table""" o SET "the tenant" = e.name FROM evidence e WHERE o.u = e.u AND o."Key 2" = e.k;
-- after renames of table, column and key
ALTER TABLE "Odd ""table""" RENAME TO even;
ALTER TABLE even RENAME "the tenant" TO tenant;
ALTER TABLE even RENAME "Key 2" TO k2;
RESET ROLE;
ALTER TABLE even SET SCHEMA public;
SELECT * FROM tenantmig.rollback(:run);
SELECT count(tenant) AS filled FROM public.even;

-- inheritance children are tables of their own, partitions are not
SET ROLE regress_owner;
CREATE TABLE parent (id integer PRIMARY KEY, company_id bigint REFERENCES companies);
CREATE TABLE child () INHERITS (parent);
CREATE TABLE split (id integer PRIMARY KEY, company_id bigint) PARTITION BY RANGE (id);
CREATE TABLE split_1 PARTITION OF split FOR VALUES FROM (1) TO (3);
CREATE TABLE split_2 PARTITION OF split FOR VALUES FROM (3) TO (9);
CREATE TABLE facts (parent_id integer REFERENCES parent, split_id integer REFERENCES split, company_id bigint REFERENCES companies);
INSERT INTO parent SELECT generate_series(1, 4);
INSERT INTO split SELECT generate_series(1, 4);
INSERT INTO facts VALUES (1, 1, 1), (2, 2, 2), (3, 3, 3);
SELECT relation, outcome, row_count FROM tenantmig.backfill('parent', 'company_id');
SELECT relation, outcome, row_count FROM tenantmig.backfill('split', 'company_id', 'companies');
INSERT INTO child VALUES (1, 1), (2, 2);
SELECT max(id) - 1 AS run FROM tenantmig.runs \gset
SELECT string_agg(line, E'\n') AS script FROM tenantmig.undo_script(:run) line \gset
:script
SELECT tableoid::regclass AS "table", count(company_id) AS filled FROM parent GROUP BY 1 ORDER BY 1;
UPDATE ONLY parent SET company_id = id WHERE id < 4;
SELECT relation, outcome, row_count FROM tenantmig.rollback(:run);
SELECT tableoid::regclass AS "table", count(company_id) AS filled FROM parent GROUP BY 1 ORDER BY 1;
SELECT max(id) AS run FROM tenantmig.runs \gset
SELECT string_agg(line, E'\n') AS script FROM tenantmig.undo_script(:run) line \gset
:script
SELECT tableoid::regclass AS "table", count(company_id) AS filled FROM split GROUP BY 1 ORDER BY 1;
UPDATE split SET company_id = id WHERE id < 4;
SELECT relation, outcome, row_count FROM tenantmig.rollback(:run);
SELECT tableoid::regclass AS "table", count(company_id) AS filled FROM split GROUP BY 1 ORDER BY 1;
RESET ROLE;
DROP TABLE public.even CASCADE;
DROP SCHEMA shop CASCADE;
DROP FUNCTION public.attempt;
SELECT tenantmig.drop_migration(migration, true) FROM tenantmig.migrations;
DROP OWNED BY regress_owner, regress_other;
DROP ROLE regress_owner, regress_other;
