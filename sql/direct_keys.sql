-- Keys of every type, of tenants and of rows, written below SQL and through it: the same rows, log and reviews. In schema "below" tables are written by
-- tenantmig.run, in schema "through" by tenantmig.backfill.
SET client_min_messages = warning;
DROP SCHEMA IF EXISTS below, through, twins CASCADE;
DROP EXTENSION IF EXISTS tenantmig CASCADE;
CREATE EXTENSION tenantmig;
CREATE SCHEMA twins;
CREATE SCHEMA below;
CREATE SCHEMA through;
SET search_path = twins;
CREATE EXTENSION citext;
CREATE DOMAIN number AS bigint CHECK (VALUE > 0);
CREATE DOMAIN word AS varchar(20) CHECK (VALUE <> '');
SET DateStyle = 'German, DMY';

-- how the n-th value of each type is written, and which types tenants and rows may have
CREATE TABLE types (name text PRIMARY KEY, type text, value text, of_tenants boolean);
INSERT INTO types VALUES
  ('int2', 'smallint', 'n', true), ('int4', 'integer', 'n', true), ('int8', 'bigint', 'n + 5000000000', true), ('uuid', 'uuid', 'md5(n::text)::uuid', true),
  ('text', 'text', 'concat(''key '', n, '' "{,}\ '', repeat(''long '', n % 200))', true), ('varchar', 'varchar(12)', '''v'' || n', true), ('char', 'character(8)', '''c'' || n', false),
  ('numeric', 'numeric(12, 2)', 'n + 0.5', false), ('number', 'number', 'n', true), ('word', 'word', '''w'' || n', true),
  ('date', 'date', 'date ''2000-01-01'' + n', false), ('timestamptz', 'timestamptz', 'timestamptz ''2000-01-01 00:00+00'' + n * interval ''1 hour''', false), ('bytea', 'bytea', 'decode(md5(n::text), ''hex'')', false);

-- tables of one type of tenant key; 300 rows each: 5 conflicts, 5 orphans, 5 of nobody
CREATE PROCEDURE build(tenants text, "rows" text[]) LANGUAGE plpgsql AS $$
DECLARE
  schema text; t types; r types;
BEGIN
  SELECT * INTO STRICT t FROM types WHERE name = tenants;
  FOREACH schema IN ARRAY '{below,through}'::text[] LOOP
    EXECUTE format('CREATE TABLE %I.%I AS SELECT %s::%s AS id FROM generate_series(1, 8) n', schema, t.name, t.value, t.type);
    EXECUTE format('ALTER TABLE %I.%I ADD PRIMARY KEY (id)', schema, t.name);
    FOR r IN SELECT * FROM types WHERE name = ANY ("rows") LOOP
      EXECUTE format('CREATE TABLE %I.%I (company_id %s, note text, id %s PRIMARY KEY)', schema, t.name || '_' || r.name, t.type, r.type);
      EXECUTE format('INSERT INTO %I.%I SELECT NULL, repeat(''note'', n %% 9), %s FROM generate_series(1, 300) n', schema, t.name || '_' || r.name, r.value);
      EXECUTE format('CREATE TABLE %I.%I (ref %s, company_id %s)', schema, t.name || '_' || r.name || '_e', r.type, t.type);
      EXECUTE format('INSERT INTO %I.%I SELECT r, %s FROM (SELECT %s AS r, m %% 9 + 1 AS n FROM generate_series(6, 300) m, LATERAL (SELECT m AS n) x UNION ALL SELECT %s, m %% 9 + 2 FROM generate_series(9, 13) m, LATERAL (SELECT m AS n) x) e',
        schema, t.name || '_' || r.name || '_e', t.value, r.value, r.value);
    END LOOP;
    PERFORM tenantmig.create_migration(jsonb_build_object('migration', schema || '_' || t.name, 'tenants', jsonb_build_object('table', schema || '.' || t.name), 'steps', (
      SELECT jsonb_agg(jsonb_build_object('backfill', jsonb_build_object('table', schema || '.' || t.name || '_' || n, 'column', 'company_id', 'sources', jsonb_build_array(jsonb_build_object('via',
        schema || '.' || t.name || '_' || n || '_e.ref'))))) FROM unnest("rows") n)));
  END LOOP;
END $$;
SELECT format('CALL build(%L, %L)', name, CASE WHEN name IN ('int4', 'uuid') THEN (SELECT array_agg(name ORDER BY name) FROM types) ELSE '{int4,text}' END) FROM types WHERE of_tenants ORDER BY 1
\gexec
-- keys of two columns, one of them compressed; rows known by a key that evidence cannot be found by, but by their parent
CREATE PROCEDURE build_more() LANGUAGE plpgsql AS $$
DECLARE
  schema text;
BEGIN
  FOREACH schema IN ARRAY '{below,through}'::text[] LOOP
    EXECUTE format('SET LOCAL search_path = %I, twins', schema);
    CREATE TABLE pairs (a text, company_id integer, note text, b smallint, PRIMARY KEY (b, a));
    INSERT INTO pairs SELECT repeat('long ', n * 20) || n / 3, NULL, 'n', n % 3 FROM generate_series(1, 300) n;
    CREATE TABLE pairs_e (a text, b smallint, company_id integer, FOREIGN KEY (b, a) REFERENCES pairs (b, a));
    INSERT INTO pairs_e SELECT a, b, length(a) % 9 + 1 FROM pairs WHERE length(a) % 7 > 0;
    CREATE TABLE parents (id integer PRIMARY KEY, company_id integer);
    INSERT INTO parents SELECT n, n % 9 + 1 FROM generate_series(1, 40) n;
    CREATE TABLE words (id citext, at date, parent integer REFERENCES parents, company_id integer, UNIQUE (id, at));
    ALTER TABLE words ALTER id SET NOT NULL, ALTER at SET NOT NULL, ADD PRIMARY KEY (at, id);
    INSERT INTO words SELECT 'Word ' || n, date '2026-01-01' + n, nullif(n % 41, 0) FROM generate_series(1, 300) n;
    CREATE TABLE boxes (id inet PRIMARY KEY, parent integer REFERENCES parents, company_id integer);
    INSERT INTO boxes SELECT inet '10.0.0.0' + n, nullif(n % 41, 0) FROM generate_series(1, 300) n;
    PERFORM tenantmig.create_migration(format('{"migration": "%s_more", "tenants": {"table": "int4"}, "steps": [{"backfill": {"table": "pairs", "column": "company_id", "sources": [{"via": "pairs_e.a"}]}},
      {"backfill": {"table": "words", "column": "company_id", "sources": [{"via": "parent"}]}}, {"backfill": {"table": "boxes", "column": "company_id", "sources": [{"via": "parent"}]}}]}', schema)::jsonb);
  END LOOP;
END $$;
CALL build_more();
SELECT DISTINCT path FROM unnest(ARRAY(SELECT migration FROM tenantmig.migrations WHERE migration LIKE 'below_%')) m, tenantmig.plan(m) WHERE outcome = 'assigned';
SELECT format('CALL tenantmig.run(%L)', migration) FROM tenantmig.migrations WHERE migration LIKE 'below%' ORDER BY 1
\gexec
SELECT migration, (SELECT sum(row_count) FROM tenantmig.backfill(migration) b WHERE outcome = 'assigned') AS assigned FROM tenantmig.migrations WHERE migration LIKE 'through%' ORDER BY 1;
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
      LATERAL (SELECT concat_ws(' ', row_key, column_name, old_value IS NULL, old_value, new_value, regexp_replace(source, '^(below|through)\.', '')) AS entry) e
      WHERE c.relation IN ('below.' || compare.relation, 'through.' || compare.relation) GROUP BY 1) l;
    SELECT count(DISTINCT reviews) = 1 INTO same_reviews FROM (SELECT split_part(r.relation, '.', 1), string_agg(entry, ',' ORDER BY entry) AS reviews FROM tenantmig.migrations m, tenantmig.review(m.migration) r,
      LATERAL (SELECT concat_ws(' ', row_key, class, regexp_replace(candidates::text, '(below|through)\.', '', 'g'), state) AS entry) e
      WHERE r.relation IN ('below.' || compare.relation, 'through.' || compare.relation) GROUP BY 1) l;
    RETURN NEXT;
  END LOOP;
END $$;
SELECT * FROM compare();
SELECT migration, check_name, status, expected, actual FROM tenantmig.migrations, tenantmig.verify(migration) WHERE status = 'FAIL';
-- undone by batches: what cannot be found by its key in memory goes through SQL, the same way
SELECT format('CALL tenantmig.undo(%s)', id) FROM tenantmig.runs WHERE migration LIKE 'below%' ORDER BY id
\gexec
SELECT r.migration, (SELECT sum(row_count) FROM tenantmig.rollback(r.id)) AS restored FROM tenantmig.runs r WHERE migration LIKE 'through%' ORDER BY 1;
SELECT count(*), count(*) FILTER (WHERE same_rows), count(*) FILTER (WHERE same_log) FROM compare();

-- a type that names no tenant, and one by which evidence is not found
CREATE TABLE below.odd (id citext PRIMARY KEY, company_id citext, number integer);
SELECT tenantmig.create_migration('{"migration": "odd", "tenants": {"table": "below.int4"}, "steps": [{"backfill": {"table": "below.odd", "column": "company_id", "sources": [{"via": "below.int4_int4_e.ref"}]}}]}');
\echo :LAST_ERROR_SQLSTATE
CREATE TABLE below.odd_e (ref citext, number integer);
SELECT tenantmig.create_migration('{"migration": "odd", "tenants": {"table": "below.int4"}, "steps": [{"backfill": {"table": "below.odd", "column": "number", "sources": [{"via": "below.odd_e.ref"}]}}]}');
\echo :LAST_ERROR_SQLSTATE
CALL tenantmig.run('odd');
\echo :LAST_ERROR_SQLSTATE

DROP EXTENSION tenantmig CASCADE;
SET client_min_messages = error;
DROP SCHEMA below, through, twins CASCADE;
