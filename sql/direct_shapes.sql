-- Tables of all shapes written below SQL: partitions, dropped and late columns, wide and compressed values, empty ones, every type of key. The same tables
-- twice: in schema "below" they are written by tenantmig.run, block by block; in schema "through" by tenantmig.backfill, by SQL.
SET client_min_messages = warning;
DROP SCHEMA IF EXISTS below, through, twins CASCADE;
DROP EXTENSION IF EXISTS tenantmig CASCADE;
CREATE EXTENSION tenantmig;
CREATE SCHEMA twins;
CREATE SCHEMA below;
CREATE SCHEMA through;
SET search_path = twins;
CREATE EXTENSION amcheck;
CREATE EXTENSION pg_visibility;

CREATE PROCEDURE twice(commands text) LANGUAGE plpgsql AS $$
BEGIN
  SET LOCAL search_path = below, twins;
  EXECUTE commands;
  SET LOCAL search_path = through, twins;
  EXECUTE commands;
END $$;
-- a migration of each schema, named like it, with a step for each table
CREATE PROCEDURE migrate(VARIADIC tables text[]) LANGUAGE plpgsql AS $$
DECLARE
  schema text;
BEGIN
  FOREACH schema IN ARRAY '{below,through}'::text[] LOOP
    PERFORM tenantmig.drop_migration(migration, true) FROM tenantmig.migrations WHERE migration = schema;
    PERFORM tenantmig.create_migration(jsonb_build_object('migration', schema, 'tenants', jsonb_build_object('table', schema || '.companies'), 'steps', (
      SELECT jsonb_agg(jsonb_build_object('backfill', jsonb_build_object('table', schema || '.' || t, 'column', 'company_id', 'sources', jsonb_build_array(jsonb_build_object('via', schema || '.evidence.id')))
        || CASE WHEN t LIKE 'assign%' THEN '{"on_orphan": {"assign": 7}}' ELSE '{}' END::jsonb
        || CASE WHEN t = 'columns' THEN '{"soft_delete": "deleted_at", "on_orphan": "soft_delete"}' ELSE '{}' END::jsonb)) FROM unnest(tables) t)));
  END LOOP;
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
    same_rows := one IS NOT DISTINCT FROM other;
    SELECT count(DISTINCT log) < 2 INTO same_log FROM (SELECT split_part(c.relation, '.', 1), md5(string_agg(entry, ',' ORDER BY entry)) AS log FROM tenantmig.changes c,
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
-- 1,000 rows: of 8 tenants, 30 conflicts, 30 orphans, 30 of nobody
CALL twice($twice$
CREATE TABLE companies (id integer PRIMARY KEY);
INSERT INTO companies SELECT generate_series(1, 8);
CREATE TABLE evidence (id integer, company_id integer);
INSERT INTO evidence SELECT n, n % 8 + 1 FROM generate_series(1, 970) n WHERE n > 30;
INSERT INTO evidence SELECT n, (n + 1) % 8 + 1 FROM generate_series(31, 60) n;
INSERT INTO evidence SELECT n, 99 FROM generate_series(971, 1000) n;
CREATE FUNCTION fill(relation regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('INSERT INTO %s (id, note) SELECT n, repeat(''note '', n %% 9) FROM generate_series(1, 1000) n', relation);
END $$;
$twice$);

CALL twice($twice$
-- partitions of several levels, other numbers for their columns, dropped columns, a default
CREATE TABLE parts (gone text, id integer, region text, company_id integer, note text, PRIMARY KEY (id)) PARTITION BY RANGE (id);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (MINVALUE) TO (300) PARTITION BY RANGE (id);
CREATE TABLE parts_1_1 PARTITION OF parts_1 FOR VALUES FROM (MINVALUE) TO (100);
CREATE TABLE parts_1_2 (note text, a integer, b text, company_id integer, gone text, id integer NOT NULL, region text);
ALTER TABLE parts_1_2 DROP a, DROP b;
ALTER TABLE parts_1 ATTACH PARTITION parts_1_2 DEFAULT;
CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (300) TO (600) PARTITION BY LIST (id);
CREATE TABLE parts_2_1 PARTITION OF parts_2 FOR VALUES IN (300, 301, 302);
CREATE TABLE parts_2_2 PARTITION OF parts_2 DEFAULT WITH (fillfactor = 60);
CREATE UNLOGGED TABLE parts_3 PARTITION OF parts FOR VALUES FROM (600) TO (601);
CREATE TABLE parts_4 PARTITION OF parts DEFAULT;
ALTER TABLE parts DROP gone;
SELECT fill('parts');
ALTER TABLE parts ADD late integer DEFAULT 7, ADD CONSTRAINT c CHECK (company_id > 0 AND late = 7);
-- a partition as a table of its own
CREATE TABLE whole (id integer, company_id integer, note text) PARTITION BY RANGE (id);
CREATE TABLE one_partition PARTITION OF whole (PRIMARY KEY (id)) DEFAULT;
SELECT fill('one_partition');
-- many dropped columns, and columns that the rows do not have yet
DO $$ BEGIN EXECUTE 'CREATE TABLE dropped (' || (SELECT string_agg(format('c%s text DEFAULT ''%1$s''', n), ', ') FROM generate_series(1, 100) n) || ', id integer PRIMARY KEY, note text)'; END $$;
SELECT fill('dropped');
DO $$ BEGIN EXECUTE 'ALTER TABLE dropped ' || (SELECT string_agg(format('DROP c%s', n), ', ') FROM generate_series(1, 100) n WHERE n % 7 > 0); END $$;
ALTER TABLE dropped ADD company_id integer, ADD late text DEFAULT 'late', ADD late_null text, ADD late_time timestamptz DEFAULT '2026-01-01 00:00+00';
-- wide rows: toasted in line, outside, compressed with lz4, of a bad fit with the page
CREATE TABLE wide (id integer PRIMARY KEY, company_id integer, note text, a text, b text, c text COMPRESSION lz4, d bytea, e text[]);
ALTER TABLE wide ALTER b SET STORAGE EXTERNAL, ALTER a SET STORAGE MAIN;
INSERT INTO wide SELECT n, NULL, 'n', repeat('a' || n, n * 10), (SELECT string_agg(md5(n || 'b' || i), '') FROM generate_series(1, n % 100) i), (SELECT string_agg(md5(n || 'c' || i), '') FROM generate_series(1, n % 150) i),
  decode(repeat(md5(n::text), n % 50), 'hex'), array_fill(n::text, ARRAY[n % 300]) FROM generate_series(1, 1000) n;
CREATE TABLE nearly_a_page (id integer PRIMARY KEY, company_id integer, note text, fixed text);
ALTER TABLE nearly_a_page ALTER fixed SET STORAGE PLAIN;
INSERT INTO nearly_a_page SELECT n, NULL, 'n', repeat('x', 7900 + n % 2 * 150) FROM generate_series(1, 100) n;
-- room on the pages, none, one row, unlogged; rows dead and moved; values that stand there already
CREATE TABLE roomy (id integer PRIMARY KEY, company_id integer, note text) WITH (fillfactor = 40);
SELECT fill('roomy');
CREATE TABLE empty (id integer PRIMARY KEY, company_id integer, note text);
CREATE TABLE one_row (id integer PRIMARY KEY, company_id integer, note text);
INSERT INTO one_row VALUES (100);
CREATE UNLOGGED TABLE unlogged (id integer PRIMARY KEY, company_id integer, note text);
SELECT fill('unlogged');
CREATE TABLE used (id integer PRIMARY KEY, company_id integer, note text);
SELECT fill('used');
UPDATE used SET note = note || '+' WHERE id % 3 = 0;
DELETE FROM used WHERE id % 7 = 0;
UPDATE used SET company_id = 3 WHERE id % 5 = 0;
UPDATE used SET company_id = NULL WHERE id % 10 = 0;
CREATE TABLE only_nulls (id integer PRIMARY KEY, company_id integer);
INSERT INTO only_nulls SELECT generate_series(1, 1000);
CREATE TABLE assigned_orphans (id integer PRIMARY KEY, company_id integer, note text);
SELECT fill('assigned_orphans');
-- row security that the owner has to obey too; replica identity
CREATE TABLE secured (id integer PRIMARY KEY, company_id integer, note text);
SELECT fill('secured');
ALTER TABLE secured ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY nothing ON secured USING (false) WITH CHECK (false);
CREATE TABLE whole_rows (id integer PRIMARY KEY, company_id integer, note text);
SELECT fill('whole_rows');
ALTER TABLE whole_rows REPLICA IDENTITY FULL;
CREATE TABLE by_index (id integer PRIMARY KEY, company_id integer, note text, other integer NOT NULL DEFAULT 1);
SELECT fill('by_index');
CREATE UNIQUE INDEX by_other ON by_index (other, id);
ALTER TABLE by_index REPLICA IDENTITY USING INDEX by_other;
$twice$);
-- frozen and all visible, before the walk
VACUUM (FREEZE) below.wide, below.parts, below.used;
CALL migrate('parts', 'one_partition', 'dropped', 'wide', 'nearly_a_page', 'roomy', 'empty', 'one_row', 'unlogged', 'used', 'only_nulls', 'assigned_orphans', 'secured', 'whole_rows', 'by_index');
SELECT DISTINCT path FROM tenantmig.plan('below') ORDER BY 1;
CALL tenantmig.run('below');
SELECT count(*) FROM tenantmig.backfill('through');
SELECT * FROM compare();
-- with room on their pages all rows stay where they were
SELECT relation, sum(hot_count) = sum(row_count) AS all_hot FROM tenantmig.batches WHERE relation = 'below.roomy' AND from_block IS NOT NULL GROUP BY 1;
SELECT tableoid::regclass AS partition, count(*), count(company_id), sum(late) FROM below.parts GROUP BY 1 ORDER BY 1;
SELECT count(*) FROM below.dropped WHERE late = 'late' AND late_time = '2026-01-01 00:00+00' AND late_null IS NULL AND c7 = '7';
SELECT * FROM broken();
VACUUM (FREEZE) below.wide, below.parts, below.used;
SELECT * FROM broken();
-- once more: nothing to do, nothing doubled
CALL tenantmig.run('below');
SELECT id, state, row_total, assigned, conflicts, orphans, unknown FROM tenantmig.runs WHERE migration = 'below' ORDER BY id;
SELECT count(*), count(DISTINCT (relation, row_key)) FROM tenantmig.review('below');
SELECT relation FROM compare() WHERE NOT same_rows OR NOT same_log OR NOT same_reviews;
CALL tenantmig.undo(1);
SELECT count(*) FROM tenantmig.rollback(2);
SELECT relation FROM compare() WHERE NOT same_rows OR NOT same_log;
SELECT * FROM broken();

DROP EXTENSION tenantmig CASCADE;
SET client_min_messages = error;
DROP SCHEMA below, through, twins CASCADE;
