-- Which tables a run by batches writes through SQL, and why: `path` in plan and progress says it in words. The same rows, log and reviews as the same table
-- without what stands in the way, written below SQL ("plain"); errors of replica identity and publications.
SET client_min_messages = warning;
DROP SCHEMA IF EXISTS below, through, twins CASCADE;
DROP EXTENSION IF EXISTS tenantmig CASCADE;
CREATE EXTENSION tenantmig;
CREATE SCHEMA twins;
CREATE SCHEMA below;
CREATE SCHEMA through;
SET search_path = twins;
CREATE EXTENSION postgres_fdw;
CREATE ACCESS METHOD heap2 TYPE TABLE HANDLER heap_tableam_handler; -- a heap by another name

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

CREATE FUNCTION pass() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CALL twice($twice$
CREATE TABLE plain (id integer PRIMARY KEY, company_id integer, note text);
CREATE TABLE rules (id integer PRIMARY KEY, company_id integer, note text);
CREATE RULE nothing AS ON DELETE TO rules DO INSTEAD NOTHING;
CREATE TABLE method (id integer PRIMARY KEY, company_id integer, note text) USING heap2;
CREATE TABLE mothers (id integer PRIMARY KEY, company_id integer, note text);
CREATE TABLE daughters () INHERITS (mothers);
CREATE TABLE by_key (id integer NOT NULL, company_id integer, note text) PARTITION BY LIST (company_id);
CREATE TABLE by_key_some PARTITION OF by_key (id UNIQUE) FOR VALUES IN (1, 2, 3, 4);
CREATE TABLE by_key_rest PARTITION OF by_key (id UNIQUE) DEFAULT;
CREATE TABLE deep (id integer, company_id integer, note text) PARTITION BY RANGE (id);
CREATE TABLE deep_1 PARTITION OF deep FOR VALUES FROM (0) TO (500) PARTITION BY HASH (company_id);
CREATE TABLE deep_1_0 PARTITION OF deep_1 FOR VALUES WITH (MODULUS 1, REMAINDER 0);
CREATE TABLE deep_2 PARTITION OF deep DEFAULT;
CREATE TABLE by_expression (id integer, company_id integer, note text) PARTITION BY RANGE ((id + 0));
CREATE TABLE by_expression_1 PARTITION OF by_expression DEFAULT;
CREATE TABLE moving (id integer PRIMARY KEY, company_id integer, note text) PARTITION BY RANGE (id);
CREATE TABLE moving_1 PARTITION OF moving FOR VALUES FROM (0) TO (500);
CREATE TABLE moving_2 PARTITION OF moving DEFAULT;
CREATE TRIGGER a BEFORE UPDATE ON moving_2 FOR EACH ROW EXECUTE FUNCTION pass();
CREATE TABLE mixed (id integer PRIMARY KEY, company_id integer, note text) PARTITION BY RANGE (id);
CREATE TABLE mixed_1 PARTITION OF mixed FOR VALUES FROM (0) TO (500);
CREATE TABLE mixed_2 PARTITION OF mixed DEFAULT USING heap2;
SELECT fill(t::regclass) FROM unnest('{plain,rules,method,mothers,by_key,deep,by_expression,moving,mixed}'::text[]) t;
INSERT INTO daughters SELECT n, NULL, 'left alone' FROM generate_series(2001, 2010) n;
$twice$);
CALL migrate('plain');
SELECT DISTINCT relation, path FROM tenantmig.plan('below') WHERE outcome = 'assigned';
CALL tenantmig.run('below');
SELECT relation, path FROM tenantmig.stat_workers;
CREATE TABLE wanted AS SELECT id, company_id FROM below.plain;
CREATE TABLE wanted_log AS SELECT row_key, new_value FROM tenantmig.changes;
CREATE TABLE wanted_reviews AS SELECT row_key, class, candidates FROM tenantmig.review('below');
-- what a run of one table leaves, against the plain one
CREATE FUNCTION differences(name text) RETURNS TABLE (path text, direct boolean, rows_differ bigint, log_differs bigint, reviews_differ bigint) LANGUAGE plpgsql AS $$
BEGIN
  SELECT w.path INTO path FROM tenantmig.stat_workers w WHERE relation = 'below.' || name ORDER BY run_id DESC LIMIT 1;
  SELECT count(*) > 0 INTO direct FROM tenantmig.batches WHERE relation = 'below.' || name AND from_block IS NOT NULL;
  EXECUTE format('SELECT count(*) FROM (SELECT id, company_id FROM below.%I WHERE id <= 1000) t FULL JOIN wanted w USING (id) WHERE t.company_id IS DISTINCT FROM w.company_id', name) INTO rows_differ;
  SELECT count(*) INTO log_differs FROM (SELECT row_key, new_value FROM tenantmig.changes WHERE relation = 'below.' || name) c FULL JOIN wanted_log w USING (row_key) WHERE c.new_value IS DISTINCT FROM w.new_value;
  SELECT count(*) INTO reviews_differ FROM tenantmig.review('below') r FULL JOIN wanted_reviews w USING (row_key) WHERE (r.class, r.candidates) IS DISTINCT FROM (w.class, w.candidates);
  RETURN NEXT;
END $$;
SELECT * FROM differences('plain');
CALL migrate('rules');
SELECT DISTINCT relation, path FROM tenantmig.plan('below') WHERE outcome = 'assigned';
CALL tenantmig.run('below');
SELECT * FROM differences('rules');
CALL migrate('method');
SELECT DISTINCT relation, path FROM tenantmig.plan('below') WHERE outcome = 'assigned';
CALL tenantmig.run('below');
SELECT * FROM differences('method');
CALL migrate('mothers');
SELECT DISTINCT relation, path FROM tenantmig.plan('below') WHERE outcome = 'assigned';
CALL tenantmig.run('below');
SELECT * FROM differences('mothers');
CALL migrate('moving');
SELECT DISTINCT relation, path FROM tenantmig.plan('below') WHERE outcome = 'assigned';
CALL tenantmig.run('below');
SELECT * FROM differences('moving');
CALL migrate('mixed');
SELECT DISTINCT relation, path FROM tenantmig.plan('below') WHERE outcome = 'assigned';
CALL tenantmig.run('below');
SELECT * FROM differences('mixed');
SELECT count(*), count(company_id) FROM below.daughters;

-- a foreign partition
DO $$ BEGIN
  EXECUTE format('CREATE SERVER twins_self FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host %L, port %L, dbname %L)', split_part(current_setting('unix_socket_directories'), ',', 1), current_setting('port'), current_database());
  EXECUTE format('CREATE USER MAPPING FOR CURRENT_USER SERVER twins_self OPTIONS (user %L)', current_user);
END $$;
CREATE TABLE below.far_rows (id integer PRIMARY KEY, company_id integer, note text);
CREATE TABLE below.far (id integer NOT NULL, company_id integer, note text) PARTITION BY RANGE (id);
CREATE TABLE below.far_1 PARTITION OF below.far (PRIMARY KEY (id)) FOR VALUES FROM (0) TO (500);
CREATE FOREIGN TABLE below.far_2 PARTITION OF below.far DEFAULT SERVER twins_self OPTIONS (schema_name 'below', table_name 'far_rows');
SELECT tenantmig.create_migration('{"migration": "far", "tenants": {"table": "below.companies"}, "steps": [{"backfill": {"table": "below.far", "column": "company_id", "sources": [{"via": "below.evidence.id"}]}}]}');
\echo :LAST_ERROR_SQLSTATE

-- parted by the tenant key, or by an expression: no unique index can tell its rows apart
SELECT tenantmig.create_migration(format('{"migration": "%s", "tenants": {"table": "below.companies"}, "steps": [{"backfill": {"table": "below.%1$s", "column": "company_id", "sources": [{"via": "below.evidence.id"}]}}]}', t)::jsonb)
  FROM (VALUES ('by_key')) v(t);
\echo :LAST_ERROR_SQLSTATE
SELECT tenantmig.create_migration(format('{"migration": "%s", "tenants": {"table": "below.companies"}, "steps": [{"backfill": {"table": "below.%1$s", "column": "company_id", "sources": [{"via": "below.evidence.id"}]}}]}', t)::jsonb)
  FROM (VALUES ('deep')) v(t);
\echo :LAST_ERROR_SQLSTATE
SELECT tenantmig.create_migration('{"migration": "far", "tenants": {"table": "below.companies"}, "steps": [{"backfill": {"table": "below.far_2", "column": "company_id", "sources": [{"via": "below.evidence.id"}]}}]}');
\echo :LAST_ERROR_SQLSTATE

-- published updates want a replica identity: refused alike, below SQL and through it
CALL twice('CREATE TABLE published (id integer PRIMARY KEY, company_id integer, note text NOT NULL DEFAULT ''n''); INSERT INTO published SELECT generate_series(1, 1000); ALTER TABLE published REPLICA IDENTITY NOTHING');
SET client_min_messages = error; -- about wal_level
CREATE PUBLICATION regress_twins FOR TABLE below.published, through.published;
SET client_min_messages = warning;
CALL migrate('published');
CALL tenantmig.run('below');
\echo :LAST_ERROR_SQLSTATE
SELECT tenantmig.backfill('through');
\echo :LAST_ERROR_SQLSTATE
CALL twice('ALTER TABLE published REPLICA IDENTITY DEFAULT');
ALTER PUBLICATION regress_twins SET TABLE below.published WHERE (note = 'n'), through.published WHERE (note = 'n');
CALL tenantmig.run('below');
\echo :LAST_ERROR_SQLSTATE
SELECT tenantmig.backfill('through');
\echo :LAST_ERROR_SQLSTATE
ALTER PUBLICATION regress_twins SET TABLE below.published (company_id), through.published (company_id);
CALL tenantmig.run('below');
\echo :LAST_ERROR_SQLSTATE
SELECT tenantmig.backfill('through');
\echo :LAST_ERROR_SQLSTATE
CALL twice('ALTER TABLE published REPLICA IDENTITY FULL');
ALTER PUBLICATION regress_twins SET TABLE below.published WHERE (note = 'n'), through.published WHERE (note = 'n');
CALL tenantmig.run('below');
SELECT count(*) FROM tenantmig.backfill('through');
SELECT * FROM compare();
DROP PUBLICATION regress_twins;

-- a rule that comes between two runs: the next one goes through SQL, and as soon as it has gone below SQL again
CALL migrate('plain');
UPDATE below.plain SET company_id = NULL;
CREATE RULE late AS ON DELETE TO below.plain DO INSTEAD NOTHING;
SELECT DISTINCT path FROM tenantmig.plan('below') WHERE outcome = 'assigned';
CALL tenantmig.run('below');
SELECT * FROM differences('plain');
DROP RULE late ON below.plain;
UPDATE below.plain SET company_id = NULL;
SELECT DISTINCT path FROM tenantmig.plan('below') WHERE outcome = 'assigned';

DROP EXTENSION tenantmig CASCADE;
SET client_min_messages = error;
DROP SCHEMA below, through, twins CASCADE;
DROP ACCESS METHOD heap2;
