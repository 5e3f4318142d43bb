-- Orphans that are soft-deleted by a run below SQL: not queued as well, counted once, the same as through SQL; and columns that triggers change, step by step.
SET client_min_messages = warning;
DROP SCHEMA IF EXISTS below, through, twins CASCADE;
DROP EXTENSION IF EXISTS tenantmig CASCADE;
CREATE EXTENSION tenantmig;
CREATE SCHEMA twins;
CREATE SCHEMA below;
CREATE SCHEMA through;
SET search_path = twins;

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
        || CASE WHEN t LIKE 'deleting%' THEN '{"soft_delete": "deleted_at", "on_orphan": "soft_delete"}' ELSE '{}' END::jsonb)) FROM unnest(tables) t)));
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
CREATE TABLE touched (id integer PRIMARY KEY, company_id integer, note text);
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.note := 'touched'; RETURN NEW; END $$;
CREATE TRIGGER touch BEFORE UPDATE ON touched FOR EACH ROW EXECUTE FUNCTION touch();
SELECT fill('touched');
CREATE TABLE deleting (id integer PRIMARY KEY, company_id integer, note text, deleted_at date);
SELECT fill('deleting');
UPDATE deleting SET deleted_at = '2026-01-01' WHERE id % 10 = 0;
CREATE TABLE deleting_parts (deleted_at date, id integer PRIMARY KEY, company_id integer, note text) PARTITION BY RANGE (id);
CREATE TABLE deleting_parts_1 (note text, company_id integer, x text, deleted_at date, id integer NOT NULL);
ALTER TABLE deleting_parts_1 DROP x;
ALTER TABLE deleting_parts ATTACH PARTITION deleting_parts_1 FOR VALUES FROM (0) TO (500);
CREATE TABLE deleting_parts_2 PARTITION OF deleting_parts DEFAULT;
SELECT fill('deleting_parts');
$twice$);
CALL migrate('touched', 'deleting', 'deleting_parts');
CALL tenantmig.run('below');
SELECT count(*) FROM tenantmig.backfill('through');
SELECT * FROM compare();
SELECT relation, class, count(*) FROM tenantmig.review('below') GROUP BY 1, 2 ORDER BY 1, 2;
SELECT state, row_total, row_done, assigned, conflicts, orphans, unknown FROM tenantmig.runs ORDER BY id;
SELECT m.name, t ->> 'relation' AS relation, t ->> 'changed_columns' AS changed_columns FROM tenantmig.run_log r JOIN tenantmig.migration m ON m.id = r.migration_id, jsonb_array_elements(r.tables) t ORDER BY 1, 2;
SELECT m, check_name, expected, actual FROM unnest('{below,through}'::text[]) m, tenantmig.verify(m) WHERE status = 'FAIL';
-- once more, and undone
CALL tenantmig.run('below');
SELECT count(*) FROM tenantmig.backfill('through');
SELECT relation, same_rows, same_log, same_reviews FROM compare();
CALL tenantmig.undo(1);
SELECT count(*) FROM tenantmig.rollback(2);
SELECT relation, same_rows, same_log FROM compare();
SELECT count(*) FROM below.deleting WHERE deleted_at <> '2026-01-01';

DROP EXTENSION tenantmig CASCADE;
SET client_min_messages = error;
DROP SCHEMA below, through, twins CASCADE;
