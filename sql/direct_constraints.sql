-- Rows written below SQL obey constraints and reach indexes and generated columns as an UPDATE does. The same tables twice: in schema "below" they are
-- written by tenantmig.run, block by block; in schema "through" by tenantmig.backfill, by SQL.
SET client_min_messages = warning;
DROP SCHEMA IF EXISTS below, through, twins CASCADE;
DROP EXTENSION IF EXISTS tenantmig CASCADE;
CREATE EXTENSION tenantmig;
CREATE SCHEMA twins;
CREATE SCHEMA below;
CREATE SCHEMA through;
SET search_path = twins;
CREATE EXTENSION amcheck;
CREATE EXTENSION btree_gist;
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
-- constraints that hold
CREATE DOMAIN tenant AS integer CHECK (VALUE < 100);
CREATE TABLE checked (id integer PRIMARY KEY, company_id tenant CHECK (company_id > 0), note text NOT NULL, CHECK (company_id IS NULL OR company_id < 9 AND note <> 'x'));
SELECT fill('checked');
-- foreign keys on the tenant key: at once, deferrable, deferred; and one of others that points at it
CREATE TABLE referring (id integer PRIMARY KEY, company_id integer REFERENCES companies, note text);
SELECT fill('referring');
CREATE TABLE refer_later (id integer PRIMARY KEY, company_id integer REFERENCES companies DEFERRABLE, note text);
SELECT fill('refer_later');
CREATE TABLE deferred (id integer PRIMARY KEY, company_id integer REFERENCES companies DEFERRABLE INITIALLY DEFERRED, note text);
SELECT fill('deferred');
CREATE TABLE referred (id integer PRIMARY KEY, company_id integer, note text, UNIQUE (company_id, id));
SELECT fill('referred');
CREATE TABLE referring_to_it (customer_id integer, company_id integer, FOREIGN KEY (company_id, customer_id) REFERENCES referred (company_id, id) ON UPDATE CASCADE);
INSERT INTO referring_to_it SELECT n, NULL FROM generate_series(1, 100) n;
-- unique with the tenant key: at once, deferrable, deferred; exclusion
CREATE TABLE uniques (id integer PRIMARY KEY, company_id integer, note text, UNIQUE (company_id, id));
SELECT fill('uniques');
CREATE TABLE unique_deferred (id integer PRIMARY KEY, company_id integer, note text, UNIQUE (company_id, id) DEFERRABLE INITIALLY DEFERRED, UNIQUE (id, company_id) DEFERRABLE);
SELECT fill('unique_deferred');
CREATE TABLE excluding (id integer PRIMARY KEY, company_id integer, note text, EXCLUDE USING gist (company_id WITH =, id WITH =));
SELECT fill('excluding');
CREATE TABLE excluding_deferred (id integer PRIMARY KEY, company_id integer, note text, EXCLUDE USING gist (company_id WITH =, id WITH =) DEFERRABLE INITIALLY DEFERRED);
SELECT fill('excluding_deferred');
-- indexes that use the key: plain, partial, by expression, included; others
CREATE TABLE indexed (id integer PRIMARY KEY, company_id integer, note text);
CREATE INDEX ON indexed (company_id);
SELECT fill('indexed');
CREATE TABLE partial (id integer PRIMARY KEY, company_id integer, note text);
CREATE INDEX ON partial (note) WHERE company_id IS NOT NULL;
CREATE INDEX ON partial (id) WHERE company_id % 2 = 0;
SELECT fill('partial');
CREATE TABLE expression (id integer PRIMARY KEY, company_id integer, note text);
CREATE INDEX ON expression ((company_id % 3), (note || id));
CREATE UNIQUE INDEX ON expression ((id + coalesce(company_id, 0) * 10000));
SELECT fill('expression');
CREATE TABLE included (id integer PRIMARY KEY, company_id integer, note text);
CREATE INDEX ON included (note) INCLUDE (company_id);
CREATE INDEX ON included USING hash (company_id);
CREATE INDEX ON included USING brin (company_id);
SELECT fill('included');
CREATE TABLE not_using_it (id integer PRIMARY KEY, company_id integer, note text, words tsvector GENERATED ALWAYS AS (to_tsvector('simple', note)) STORED);
CREATE INDEX ON not_using_it (note, id);
CREATE INDEX ON not_using_it USING gin (words);
SELECT fill('not_using_it');
-- generated columns that depend on the key, and an index on one
CREATE TABLE generated (id integer PRIMARY KEY, company_id integer, note text, twice integer GENERATED ALWAYS AS (company_id * 2) STORED, label text GENERATED ALWAYS AS (company_id || ':' || id) STORED, other text GENERATED ALWAYS AS (note || '!') STORED NOT NULL);
CREATE INDEX ON generated (label);
SELECT fill('generated');
CREATE TABLE generated_parts (id integer PRIMARY KEY, company_id integer, note text, twice integer GENERATED ALWAYS AS (company_id * 2) STORED) PARTITION BY HASH (id);
CREATE TABLE generated_part_1 (note text, x text, twice integer GENERATED ALWAYS AS (company_id * 2) STORED, y text, company_id integer, own text GENERATED ALWAYS AS (company_id || '!') STORED, id integer NOT NULL);
ALTER TABLE generated_part_1 DROP x, DROP y, DROP own;
ALTER TABLE generated_parts ATTACH PARTITION generated_part_1 FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE generated_part_2 PARTITION OF generated_parts FOR VALUES WITH (MODULUS 2, REMAINDER 1);
SELECT fill('generated_parts');
-- a partition named by itself, under a parent that is parted by the key
CREATE TABLE by_key (id integer, company_id integer, note text) PARTITION BY LIST (company_id);
CREATE TABLE own_partition PARTITION OF by_key (PRIMARY KEY (id)) DEFAULT;
SELECT fill('own_partition');
$twice$);
CALL migrate('checked', 'referring', 'refer_later', 'deferred', 'referred', 'uniques', 'unique_deferred', 'excluding', 'excluding_deferred', 'indexed', 'partial', 'expression', 'included', 'not_using_it', 'generated',
  'generated_parts', 'own_partition');
SELECT relation, path FROM tenantmig.plan('below') WHERE outcome = 'assigned' AND path <> 'direct';
CALL tenantmig.run('below');
SELECT count(*) FROM tenantmig.backfill('through');
SELECT * FROM compare();
-- several page passes but where an index uses the key
SELECT relation, max(pass) > 0 AS several FROM tenantmig.batches WHERE from_block IS NOT NULL GROUP BY 1 ORDER BY 1;
SELECT count(*) AS dependent, count(company_id) FROM below.referring_to_it;
SELECT count(*) FROM below.generated WHERE twice IS DISTINCT FROM company_id * 2 OR label IS DISTINCT FROM company_id || ':' || id;
SELECT count(*) FROM below.generated_parts WHERE twice IS DISTINCT FROM company_id * 2;
SELECT * FROM broken();
SET enable_seqscan = off;
SELECT count(*) FROM below.indexed WHERE company_id = 3;
SELECT count(*) FROM below.partial WHERE company_id % 2 = 0 AND id > 0;
SELECT count(*) FROM below.expression WHERE company_id % 3 = 1;
SELECT count(*) FROM below.included WHERE company_id = 3;
SELECT count(*) FROM below.not_using_it WHERE words @@ 'note' AND company_id = 3;
RESET enable_seqscan;
CALL tenantmig.undo(1);
SELECT count(*) FROM tenantmig.rollback(2);
SELECT relation, same_rows, same_log FROM compare() WHERE NOT same_rows OR NOT same_log;
SELECT * FROM broken();

-- errors: the same code and words
\set SHOW_CONTEXT never
-- (a foreign key that fails is tried again through SQL, for a tenant may have gone meanwhile)
CALL twice($twice$
CREATE DOMAIN small AS integer CHECK (VALUE <> 5);
CREATE TABLE wrong_domain (id integer PRIMARY KEY, company_id small, note text);
CREATE TABLE wrong_check (id integer PRIMARY KEY, company_id integer CHECK (company_id <> 5), note text);
CREATE TABLE wrong_other_check (id integer PRIMARY KEY, company_id integer, note text, CONSTRAINT late CHECK (note <> 'note ') NOT VALID);
CREATE TABLE wrong_not_null (id integer PRIMARY KEY, company_id integer, note text, g integer GENERATED ALWAYS AS (CASE WHEN id = 500 THEN nullif(coalesce(company_id, 0), 5) ELSE 0 END) STORED NOT NULL);
CREATE TABLE wrong_generated (id integer PRIMARY KEY, company_id integer, note text, g integer GENERATED ALWAYS AS (1 / (coalesce(company_id, 0) - 5)) STORED);
CREATE TABLE few (id integer PRIMARY KEY);
INSERT INTO few SELECT n FROM generate_series(1, 8) n WHERE n <> 5;
CREATE TABLE wrong_reference (id integer PRIMARY KEY, company_id integer REFERENCES few, note text);
CREATE TABLE wrong_deferred (id integer PRIMARY KEY, company_id integer REFERENCES few DEFERRABLE INITIALLY DEFERRED, note text);
CREATE TABLE wrong_unique (id integer PRIMARY KEY, company_id integer, note text, UNIQUE (company_id, note));
CREATE TABLE wrong_unique_deferred (id integer PRIMARY KEY, company_id integer, note text, UNIQUE (company_id, note) DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE wrong_exclusion (id integer PRIMARY KEY, company_id integer, note text, EXCLUDE USING gist (company_id WITH =, note WITH =));
CREATE TABLE wrong_exclusion_deferred (id integer PRIMARY KEY, company_id integer, note text, EXCLUDE USING gist (company_id WITH =, note WITH =) DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE wrong_expression (id integer PRIMARY KEY, company_id integer, note text);
CREATE INDEX ON wrong_expression ((1 / (coalesce(company_id, 0) - 5)));
CREATE TABLE wrong_parent (gone integer, id integer, company_id integer, note text) PARTITION BY LIST (company_id);
ALTER TABLE wrong_parent DROP gone;
CREATE TABLE wrong_partition PARTITION OF wrong_parent (PRIMARY KEY (id)) DEFAULT;
CREATE TABLE wrong_sibling PARTITION OF wrong_parent FOR VALUES IN (5);
CREATE TABLE wrong_part (gone integer, id integer PRIMARY KEY, company_id integer, note text) PARTITION BY RANGE (id);
ALTER TABLE wrong_part DROP gone;
CREATE TABLE wrong_part_1 (note text, id integer NOT NULL, company_id integer CONSTRAINT own CHECK (company_id <> 5));
ALTER TABLE wrong_part ATTACH PARTITION wrong_part_1 DEFAULT;
SELECT fill(t::regclass) FROM unnest('{wrong_domain,wrong_check,wrong_other_check,wrong_not_null,wrong_generated,wrong_reference,wrong_deferred,wrong_partition,wrong_part,wrong_expression}'::text[]) t WHERE t <> 'wrong_other_check';
SELECT fill(t::regclass) FROM unnest('{wrong_unique,wrong_unique_deferred,wrong_exclusion,wrong_exclusion_deferred}'::text[]) t;
ALTER TABLE wrong_other_check DROP CONSTRAINT late;
SELECT fill('wrong_other_check');
ALTER TABLE wrong_other_check ADD CONSTRAINT late CHECK (note <> 'note ') NOT VALID;
$twice$);
CALL migrate('wrong_domain');
CALL tenantmig.run('below');
\echo :LAST_ERROR_SQLSTATE
SELECT tenantmig.backfill('through');
\echo :LAST_ERROR_SQLSTATE
CALL migrate('wrong_check');
CALL tenantmig.run('below');
\echo :LAST_ERROR_SQLSTATE
SELECT tenantmig.backfill('through');
\echo :LAST_ERROR_SQLSTATE
CALL migrate('wrong_other_check');
CALL tenantmig.run('below');
\echo :LAST_ERROR_SQLSTATE
SELECT tenantmig.backfill('through');
\echo :LAST_ERROR_SQLSTATE
CALL migrate('wrong_not_null');
CALL tenantmig.run('below');
\echo :LAST_ERROR_SQLSTATE
SELECT tenantmig.backfill('through');
\echo :LAST_ERROR_SQLSTATE
CALL migrate('wrong_generated');
CALL tenantmig.run('below');
\echo :LAST_ERROR_SQLSTATE
SELECT tenantmig.backfill('through');
\echo :LAST_ERROR_SQLSTATE
CALL migrate('wrong_reference');
CALL tenantmig.run('below');
\echo :LAST_ERROR_SQLSTATE
SELECT tenantmig.backfill('through');
\echo :LAST_ERROR_SQLSTATE
CALL migrate('wrong_deferred');
CALL tenantmig.run('below');
\echo :LAST_ERROR_SQLSTATE
SELECT tenantmig.backfill('through');
\echo :LAST_ERROR_SQLSTATE
CALL migrate('wrong_unique');
CALL tenantmig.run('below');
\echo :LAST_ERROR_SQLSTATE
SELECT tenantmig.backfill('through');
\echo :LAST_ERROR_SQLSTATE
CALL migrate('wrong_unique_deferred');
CALL tenantmig.run('below');
\echo :LAST_ERROR_SQLSTATE
SELECT tenantmig.backfill('through');
\echo :LAST_ERROR_SQLSTATE
CALL migrate('wrong_exclusion');
CALL tenantmig.run('below');
\echo :LAST_ERROR_SQLSTATE
SELECT tenantmig.backfill('through');
\echo :LAST_ERROR_SQLSTATE
CALL migrate('wrong_exclusion_deferred');
CALL tenantmig.run('below');
\echo :LAST_ERROR_SQLSTATE
SELECT tenantmig.backfill('through');
\echo :LAST_ERROR_SQLSTATE
CALL migrate('wrong_expression');
CALL tenantmig.run('below');
\echo :LAST_ERROR_SQLSTATE
SELECT tenantmig.backfill('through');
\echo :LAST_ERROR_SQLSTATE
CALL migrate('wrong_partition');
CALL tenantmig.run('below');
\echo :LAST_ERROR_SQLSTATE
SELECT tenantmig.backfill('through');
\echo :LAST_ERROR_SQLSTATE
CALL migrate('wrong_part');
CALL tenantmig.run('below');
\echo :LAST_ERROR_SQLSTATE
SELECT tenantmig.backfill('through');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM broken();

DROP EXTENSION tenantmig CASCADE;
SET client_min_messages = error;
DROP SCHEMA below, through, twins CASCADE;
