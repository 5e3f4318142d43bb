-- Runs below SQL of several steps that read each other, over rows that are queued already, with evidence that does not fit into memory, by one worker and by
-- two: the same as in one transaction through SQL.
SET client_min_messages = warning;
DROP SCHEMA IF EXISTS below, through, twins CASCADE;
DROP EXTENSION IF EXISTS tenantmig CASCADE;
CREATE EXTENSION tenantmig;
CREATE SCHEMA twins;
CREATE SCHEMA below;
CREATE SCHEMA through;
SET search_path = twins;
SET jit = off; -- the comparisons below are many and short
CREATE EXTENSION amcheck;
CREATE EXTENSION pg_visibility;

CREATE PROCEDURE twice(commands text) LANGUAGE plpgsql AS $$
BEGIN
  SET LOCAL search_path = below, twins;
  EXECUTE commands;
  SET LOCAL search_path = through, twins;
  EXECUTE commands;
END $$;
-- how many rows each table has, how many of them were written below SQL, and whether its twin holds the same
CREATE FUNCTION compare() RETURNS TABLE (relation text, row_count bigint, written bigint, direct bigint, same_rows boolean, same_log boolean, same_reviews boolean) LANGUAGE plpgsql AS $$
DECLARE
  one text; other text;
BEGIN
  FOR relation IN SELECT DISTINCT split_part(b.relation, '.', 2) FROM tenantmig.batches b WHERE b.relation LIKE 'below.%' ORDER BY 1 LOOP
    SELECT sum(b.row_count), coalesce(sum(b.row_count) FILTER (WHERE b.from_block IS NOT NULL), 0) INTO written, direct
      FROM tenantmig.batches b WHERE b.relation = 'below.' || compare.relation;
    EXECUTE format($q$SELECT count(*), md5(string_agg(r::text, ',' ORDER BY r::text)) FROM below.%1$I r$q$, relation) INTO row_count, one;
    EXECUTE format($q$SELECT md5(string_agg(r::text, ',' ORDER BY r::text)) FROM through.%1$I r$q$, relation) INTO other;
    same_rows := one = other;
    SELECT count(DISTINCT log) = 1 INTO same_log FROM (SELECT split_part(c.relation, '.', 1), md5(string_agg(entry, ',' ORDER BY entry)) AS log FROM tenantmig.changes c,
      LATERAL (SELECT concat_ws(' ', row_key, column_name, old_value IS NULL, CASE WHEN column_name <> 'deleted_at' THEN concat_ws(' ', old_value, new_value) END, regexp_replace(source, '^(below|through)\.', '')) AS entry) e
      WHERE c.relation IN ('below.' || compare.relation, 'through.' || compare.relation) GROUP BY 1) l;
    SELECT b.reviews IS NOT DISTINCT FROM t.reviews INTO same_reviews FROM
      (SELECT string_agg(concat_ws(' ', row_key, class, replace(candidates::text, 'below.', ''), state), ',' ORDER BY row_key::text) AS reviews FROM tenantmig.review('below') r WHERE r.relation = 'below.' || compare.relation) b,
      (SELECT string_agg(concat_ws(' ', row_key, class, replace(candidates::text, 'through.', ''), state), ',' ORDER BY row_key::text) AS reviews FROM tenantmig.review('through') r WHERE r.relation = 'through.' || compare.relation) t;
    RETURN NEXT;
  END LOOP;
END $$;
-- no index differs from its heap, no page is damaged, no map of visible rows is wrong
CREATE FUNCTION broken() RETURNS TABLE (relation text, what text) LANGUAGE plpgsql AS $$
DECLARE
  r record;
BEGIN
  FOR r IN SELECT c.oid::regclass AS name, c.relkind, am.amname FROM pg_class c LEFT JOIN pg_am am ON am.oid = c.relam WHERE c.relnamespace = 'below'::regnamespace AND c.relkind IN ('r', 'i') ORDER BY c.relname LOOP
    IF r.amname = 'btree' THEN
      BEGIN PERFORM bt_index_check(r.name, true); EXCEPTION WHEN OTHERS THEN relation := r.name; what := sqlerrm; RETURN NEXT; END;
    ELSIF r.relkind = 'r' THEN
      RETURN QUERY SELECT r.name::text, msg FROM verify_heapam(r.name);
      RETURN QUERY SELECT r.name::text, 'not visible: ' || t_ctid FROM pg_check_visible(r.name) t_ctid UNION ALL SELECT r.name::text, 'not frozen: ' || t_ctid FROM pg_check_frozen(r.name) t_ctid;
    END IF;
  END LOOP;
END $$;

-- countries -> branches -> customers -> orders: each step reads what the one before it wrote
CALL twice($twice$
CREATE TABLE companies (id integer PRIMARY KEY);
INSERT INTO companies SELECT generate_series(1, 50);
CREATE TABLE branches (id integer PRIMARY KEY, company_id integer, country integer);
CREATE TABLE customers (id integer PRIMARY KEY, company_id integer, branch_id integer REFERENCES branches, deleted_at date);
CREATE TABLE orders (id integer PRIMARY KEY, company_id integer, customer_id integer REFERENCES customers, note text);
CREATE TABLE licences (branch_id integer, company_id integer);
INSERT INTO branches SELECT n FROM generate_series(1, 200) n;
INSERT INTO customers SELECT n, NULL, nullif(n % 201, 0) FROM generate_series(1, 3000) n;
INSERT INTO orders SELECT n, NULL, nullif(n % 3001, 0), 'note' FROM generate_series(1, 9000) n;
INSERT INTO licences SELECT n, n % 50 + 1 FROM generate_series(1, 190) n;
INSERT INTO licences SELECT n, n % 50 + 2 FROM generate_series(1, 5) n;
DO $$ BEGIN PERFORM tenantmig.create_migration(format('{"migration": "%1$s", "tenants": {"table": "companies"}, "steps": [
  {"backfill": {"table": "orders", "column": "company_id", "sources": [{"via": "customer_id"}, {"path": ["customer_id", "branch_id"]}]}},
  {"backfill": {"table": "customers", "column": "company_id", "sources": [{"via": "branch_id"}]}},
  {"backfill": {"table": "branches", "column": "company_id", "sources": [{"via": "licences.branch_id", "tenant": "company_id"}]}}]}', current_schema())::jsonb); END $$;
$twice$);
CALL tenantmig.run('below');
SELECT count(*) FROM tenantmig.backfill('through');
SELECT * FROM compare();
SELECT migration, state, row_total, row_done, assigned, conflicts, orphans, unknown FROM tenantmig.runs ORDER BY id;
-- rows that are queued already, some of them decided, some mended by hand, some with new evidence
SELECT count(*) AS resolved FROM tenantmig.review('below') r, LATERAL tenantmig.resolve(r.id, '7') x WHERE r.relation = 'below.branches' AND (r.row_key ->> 'id')::integer <= 2;
SELECT count(*) AS resolved FROM tenantmig.review('through') r, LATERAL tenantmig.resolve(r.id, '7') x WHERE r.relation = 'through.branches' AND (r.row_key ->> 'id')::integer <= 2;
SELECT count(*) AS dismissed FROM tenantmig.review('below') r, LATERAL tenantmig.dismiss(r.id, 'no') x WHERE r.relation = 'below.branches' AND (r.row_key ->> 'id')::integer = 3;
SELECT count(*) AS dismissed FROM tenantmig.review('through') r, LATERAL tenantmig.dismiss(r.id, 'no') x WHERE r.relation = 'through.branches' AND (r.row_key ->> 'id')::integer = 3;
CALL twice('UPDATE branches SET company_id = 9 WHERE id = 4; INSERT INTO licences VALUES (195, 3), (196, 3), (196, 4)');
CALL tenantmig.run('below');
SELECT count(*) FROM tenantmig.backfill('through');
SELECT relation, written, same_rows, same_log, same_reviews FROM compare();
SELECT migration, state, row_total, assigned, conflicts, orphans, unknown FROM tenantmig.runs WHERE id > 2 ORDER BY id;
SELECT relation, count(*), count(DISTINCT row_key) FROM tenantmig.review('below') GROUP BY 1 ORDER BY 1;
SELECT count(*) AS closed_differ FROM
  (SELECT row_key, class, state, count(*) FROM tenantmig.review('below', true) GROUP BY 1, 2, 3) b FULL JOIN (SELECT row_key, class, state, count(*) FROM tenantmig.review('through', true) GROUP BY 1, 2, 3) t
  USING (row_key, class, state, count) WHERE b IS NULL OR t IS NULL;
-- nothing to do
CALL tenantmig.run('below');
SELECT migration, state, row_total, assigned FROM tenantmig.runs ORDER BY id DESC LIMIT 1;
SELECT relation, written, same_rows, same_log, same_reviews FROM compare();
SELECT * FROM broken();
SELECT tenantmig.drop_migration(migration, true) FROM tenantmig.migrations;
-- a step that fails leaves the steps before it done, and the run goes on behind them
CALL twice($twice$
UPDATE orders SET company_id = NULL;
UPDATE customers SET company_id = NULL;
UPDATE branches SET company_id = NULL;
ALTER TABLE customers ADD CONSTRAINT not_49 CHECK (company_id <> 49 OR id <> 701) NOT VALID;
DO $$ BEGIN PERFORM tenantmig.create_migration(format('{"migration": "%1$s", "tenants": {"table": "companies"}, "steps": [
  {"backfill": {"table": "branches", "column": "company_id", "sources": [{"via": "licences.branch_id", "tenant": "company_id"}]}},
  {"backfill": {"table": "customers", "column": "company_id", "sources": [{"via": "branch_id"}]}}]}', current_schema())::jsonb); END $$;
$twice$);
CALL tenantmig.run('below');
\echo :LAST_ERROR_SQLSTATE
SELECT tenantmig.backfill('through');
\echo :LAST_ERROR_SQLSTATE
SELECT state, replace(error, E'\n', ' ') AS error FROM tenantmig.runs WHERE migration = 'below';
CALL twice('ALTER TABLE customers DROP CONSTRAINT not_49');
\set VERBOSITY terse
CALL tenantmig.run('below');
\echo :LAST_ERROR_SQLSTATE
\set VERBOSITY default
CALL tenantmig.run('below', plan_hash => tenantmig.plan_hash('below'));
SELECT count(*) FROM tenantmig.backfill('through');
SELECT relation, written, same_rows, same_log, same_reviews FROM compare();
SELECT tenantmig.drop_migration(migration, true) FROM tenantmig.migrations;

-- evidence that spills: decided ahead, and put down in files, one for each 1,024 blocks
CALL twice($twice$
CREATE TABLE big (id integer, code text NOT NULL, company_id integer, filler text, number integer, UNIQUE (code));
INSERT INTO big SELECT n, 'customer number ' || n, NULL, repeat('x', 320), n * 7919 % 30000 FROM generate_series(1, 30000) n;
CREATE TABLE parts (id integer, code text NOT NULL, company_id integer, filler text, number integer, PRIMARY KEY (code, id)) PARTITION BY RANGE (id);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (4000);
CREATE TABLE parts_2 (gone text, company_id integer, filler text, number integer, code text NOT NULL, id integer NOT NULL);
ALTER TABLE parts_2 DROP gone;
ALTER TABLE parts ATTACH PARTITION parts_2 DEFAULT;
INSERT INTO parts SELECT id, code, company_id, filler, number FROM big;
CREATE TABLE letters (code text, company_id integer);
INSERT INTO letters SELECT 'customer number ' || n, n % 50 + 1 FROM generate_series(1, 29000) n;
INSERT INTO letters SELECT 'customer number ' || n, n % 50 + 2 FROM generate_series(1, 29000, 10) n;
CREATE TABLE notes (code text, id integer, company_id integer, FOREIGN KEY (code, id) REFERENCES parts (code, id));
INSERT INTO notes SELECT code, id, id % 51 + 1 FROM parts WHERE id % 20 > 0;
ANALYZE big;
DO $$ BEGIN PERFORM tenantmig.create_migration(format('{"migration": "%1$s", "tenants": {"table": "companies"}, "steps": [
  {"backfill": {"table": "big", "column": "company_id", "sources": [{"via": "letters.code"}]}},
  {"backfill": {"table": "parts", "column": "company_id", "sources": [{"via": "notes.code"}]}}]}', current_schema())::jsonb); END $$;
$twice$);
SELECT pg_relation_size('below.big') / 8192 / 1024 AS files;
SET maintenance_work_mem = '1MB';
SELECT DISTINCT relation, path, note LIKE '%temporary files%' AS spills FROM tenantmig.plan('below') WHERE outcome = 'assigned' ORDER BY 1;
CALL tenantmig.run('below');
SELECT count(*) FROM tenantmig.backfill('through');
SELECT * FROM compare();
SELECT * FROM broken();
SELECT count(*) FROM tenantmig.rollback((SELECT max(id) FROM tenantmig.runs WHERE migration = 'through'));
SELECT max(id) AS run FROM tenantmig.runs WHERE migration = 'below' \gset
CALL tenantmig.undo(:run);
SELECT relation, same_rows, same_log FROM compare();
SELECT tenantmig.drop_migration(migration, true) FROM tenantmig.migrations;
-- rows in the order of an index, not as they stand in the table
CREATE INDEX ON below.big (company_id, number);
DO $$ DECLARE schema text; BEGIN
  FOREACH schema IN ARRAY '{below,through}'::text[] LOOP
    PERFORM tenantmig.create_migration(format('{"migration": "%1$s", "tenants": {"table": "%1$s.companies"}, "steps": [{"backfill": {"table": "%1$s.big", "column": "company_id", "sources": [{"via": "%1$s.letters.code"}]}}]}', schema)::jsonb);
  END LOOP;
END $$;
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SET enable_sort = off;
CALL tenantmig.run('below');
RESET enable_seqscan;
RESET enable_bitmapscan;
RESET enable_sort;
SELECT count(*) FROM tenantmig.backfill('through');
SELECT * FROM compare();
SELECT * FROM broken();
SELECT count(*) FROM tenantmig.rollback((SELECT max(id) FROM tenantmig.runs WHERE migration = 'through'));
SELECT max(id) AS run FROM tenantmig.runs WHERE migration = 'below' \gset
CALL tenantmig.undo(:run);
SELECT tenantmig.drop_migration(migration, true) FROM tenantmig.migrations;
DROP INDEX below.big_company_id_number_idx;
-- by two workers, which have the settings of the database
DO $$ DECLARE schema text; BEGIN
  EXECUTE format('ALTER DATABASE %I SET maintenance_work_mem = ''1MB''', current_database());
  FOREACH schema IN ARRAY '{below,through}'::text[] LOOP
    PERFORM tenantmig.create_migration(format('{"migration": "%1$s", "tenants": {"table": "%1$s.companies"}, "steps": [{"backfill": {"table": "%1$s.big", "column": "company_id", "sources": [{"via": "%1$s.letters.code"}]}},
      {"backfill": {"table": "%1$s.parts", "column": "company_id", "sources": [{"via": "%1$s.notes.code"}]}}]}', schema)::jsonb);
  END LOOP;
END $$;
SELECT tenantmig.start('below', workers => 2) > 0 AS started;
CALL tenantmig.wait('below');
DO $$ BEGIN EXECUTE format('ALTER DATABASE %I RESET maintenance_work_mem', current_database()); END $$;
SELECT count(*) FROM tenantmig.backfill('through');
SELECT * FROM compare();
SELECT count(DISTINCT worker) AS workers, count(*) FILTER (WHERE error IS NOT NULL) AS failed FROM tenantmig.batches WHERE run_id = (SELECT max(id) FROM tenantmig.runs WHERE migration = 'below') AND from_block IS NOT NULL;
SELECT check_name, status FROM tenantmig.verify('below') WHERE status = 'FAIL';
SELECT * FROM broken();

DROP EXTENSION tenantmig CASCADE;
SET client_min_messages = error;
DROP SCHEMA below, through, twins CASCADE;
