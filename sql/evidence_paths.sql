-- Evidence and rows of heap tables are read below SQL, those of other tables through it: the same result, for all kinds of tables, keys and conditions.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tenantmig CASCADE;
CREATE EXTENSION tenantmig;
CREATE ACCESS METHOD heap2 TYPE TABLE HANDLER heap_tableam_handler; -- a heap by another name: through SQL
SET DateStyle = 'German, DMY';

-- The same data twice: one schema is read directly, the other through SQL.
CREATE PROCEDURE build(name text, method text) LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('CREATE SCHEMA %I', name);
  PERFORM set_config('search_path', name || ', public', false), set_config('default_table_access_method', method, false);
  CREATE TYPE kind AS ENUM ('person', 'firm', 'other');
  CREATE DOMAIN number AS integer CHECK (VALUE > 0);
  CREATE TABLE companies (id bigint PRIMARY KEY);
  INSERT INTO companies SELECT n FROM generate_series(1, 20) n;

  -- partitions with other attribute numbers than their parent, dropped columns, a column that was added with a default
  CREATE TABLE people (gone text, id integer, company_id bigint, reference uuid, code text, nick varchar(8), owner_type kind, owner_id text, branch_id smallint,
    amount numeric, padded character(6), deleted_at timestamptz, PRIMARY KEY (id)) PARTITION BY RANGE (id);
  CREATE TABLE people_3 (branch_id smallint, padded character(6), id integer NOT NULL, code text, dead integer, owner_id text, amount numeric, company_id bigint, nick varchar(8),
    deleted_at timestamptz, reference uuid, owner_type kind, gone text);
  ALTER TABLE people_3 DROP COLUMN dead;
  CREATE TABLE people_1 PARTITION OF people FOR VALUES FROM (1) TO (300);
  CREATE TABLE people_2 PARTITION OF people FOR VALUES FROM (300) TO (600) PARTITION BY LIST (id);
  CREATE TABLE people_21 PARTITION OF people_2 DEFAULT;
  ALTER TABLE people ATTACH PARTITION people_3 FOR VALUES FROM (600) TO (2000);
  ALTER TABLE people DROP COLUMN gone;
  INSERT INTO people (id, company_id, reference, code, nick, owner_type, owner_id, branch_id, amount, padded, deleted_at)
    SELECT n, CASE WHEN n % 10 = 0 THEN n % 20 + 1 END, CASE WHEN n % 3 > 0 THEN md5(n::text)::uuid END,
      CASE WHEN n % 50 = 0 THEN repeat('long and compressed ', 500) || n % 200 ELSE 'code ' || n % 70 END, 'n' || n, (enum_range(NULL::kind))[1 + n % 4],
      CASE WHEN n % 50 = 1 THEN repeat('compressed ', 1000) WHEN n % 51 = 0 THEN (SELECT string_agg(md5(n || 'x' || i), '') FROM generate_series(1, 400) i) WHEN n % 7 > 0 THEN (n % 40)::text END, n % 30, n / 4.0, 'p' || n % 90,
      CASE WHEN n % 9 = 0 THEN timestamptz '2026-01-01 00:00+00' END FROM generate_series(1, 1000) n;
  CREATE UNIQUE INDEX ON people (id, nick);
  CREATE TABLE regions (id number PRIMARY KEY, company_id bigint);
  CREATE TABLE branches (id smallint PRIMARY KEY, region_id integer REFERENCES regions, company_id bigint);
  INSERT INTO regions SELECT n, CASE WHEN n % 6 > 0 THEN n % 23 + 1 END FROM generate_series(1, 15) n;
  INSERT INTO branches SELECT n, n / 2 + 1, n % 20 + 1 FROM generate_series(0, 29) n;
  ALTER TABLE people ADD FOREIGN KEY (branch_id) REFERENCES branches;
  CREATE TABLE codes (code text PRIMARY KEY, company_id bigint);
  INSERT INTO codes SELECT code, max(id) % 20 + 1 FROM people GROUP BY code;
  ALTER TABLE people ADD FOREIGN KEY (code) REFERENCES codes;
  CREATE TABLE persons (id integer PRIMARY KEY, company_id bigint);
  CREATE TABLE firms (id text PRIMARY KEY, company_id bigint);
  INSERT INTO persons SELECT n, n % 20 + 1 FROM generate_series(1, 40) n;
  INSERT INTO firms SELECT n, n % 19 + 1 FROM generate_series(1, 40) n;
  INSERT INTO firms SELECT repeat('compressed ', 1000), 6;

  CREATE TABLE letters (id integer, person_id bigint, company_id bigint, state varchar(3), price numeric(6, 2), sent date, at timestamptz, kind kind, flag boolean, tag character(5), ref uuid, tiny "char",
    share double precision);
  INSERT INTO letters SELECT n, CASE WHEN n % 13 > 0 THEN n % 1100 END, CASE WHEN n % 17 > 0 THEN n % 22 + 1 END, (ARRAY['new', 'old', NULL])[1 + n % 3], n % 5 + 0.25, date '2026-03-01' + n % 4,
    timestamptz '2026-03-01 12:00+00' + n % 3 * interval '1 hour', (enum_range(NULL::kind))[1 + n % 3], n % 2 = 0, 't' || n % 4, md5((n % 3)::text)::uuid, chr(97 + n % 3)::"char", n % 3 / 2.0
    FROM generate_series(1, 3000) n;
  ALTER TABLE letters ADD COLUMN later integer DEFAULT 7, ADD COLUMN later_null text; -- not in the rows
  INSERT INTO letters (person_id, company_id, later) VALUES (5, 3, 8);
  DELETE FROM letters WHERE id % 11 = 0;
  UPDATE letters SET company_id = 4 WHERE id % 101 = 0;
  CREATE TABLE calls (reference uuid, person_id integer, nick text, company_id bigint, FOREIGN KEY (person_id, nick) REFERENCES people (id, nick));
  INSERT INTO calls SELECT reference, id, nick, id % 20 + 1 FROM people WHERE id % 5 = 2;
  ALTER TABLE people ADD COLUMN dummy integer;
  ANALYZE;
END $$;
CALL build('direct', 'heap');
CALL build('sql', 'heap2');
RESET default_table_access_method;
SET search_path = public;

-- What a plan says, and what a run leaves, without the schema's name.
CREATE FUNCTION outcome(schema text, sources text, more jsonb, OUT counts text, OUT left_behind text) LANGUAGE plpgsql AS $$
BEGIN
  PERFORM set_config('search_path', schema || ', public', true);
  PERFORM tenantmig.create_migration(jsonb_build_object('migration', 'm', 'tenants', '{"table": "companies"}'::jsonb, 'steps', jsonb_build_array(jsonb_build_object('backfill',
    '{"table": "people", "column": "company_id", "soft_delete": "deleted_at"}'::jsonb || jsonb_build_object('sources', sources::jsonb) || more))));
  SELECT string_agg(concat_ws(' ', outcome, source, row_count), '; ' ORDER BY outcome, source) INTO counts FROM tenantmig.plan('m');
  PERFORM tenantmig.backfill('m');
  SELECT md5(string_agg(concat_ws(' ', id, company_id), ',' ORDER BY id)) INTO left_behind FROM people;
  left_behind := concat_ws(' ', left_behind,
    (SELECT md5(string_agg(concat_ws(' ', row_key, class, candidates), ',' ORDER BY id)) FROM tenantmig.review('m')),
    (SELECT md5(string_agg(concat_ws(' ', row_key, new_value, source), ',' ORDER BY row_key)) FROM tenantmig.changes),
    (SELECT md5(string_agg(concat_ws(' ', check_name, status, expected, actual), ',' ORDER BY check_name)) FROM tenantmig.verify('m')));
  RAISE EXCEPTION USING ERRCODE = 'ZZ000', MESSAGE = counts, DETAIL = left_behind;
EXCEPTION WHEN SQLSTATE 'ZZ000' THEN
  GET STACKED DIAGNOSTICS counts = MESSAGE_TEXT, left_behind = PG_EXCEPTION_DETAIL;
END $$;
CREATE FUNCTION compare(sources text, more jsonb DEFAULT '{}') RETURNS TABLE (same boolean, counts text) LANGUAGE sql AS $$
  SELECT (d.counts, d.left_behind) IS NOT DISTINCT FROM (s.counts, s.left_behind), d.counts FROM outcome('direct', sources, more) d, outcome('sql', sources, more) s
$$;

-- every kind of source; integers of several widths, text and uuid, in line, compressed and outside of the row
SELECT * FROM compare('[{"via": "letters.person_id"}]');
SELECT * FROM compare('[{"via": "calls.nick"}]');
SELECT * FROM compare('[{"via": "branch_id"}]');
SELECT * FROM compare('[{"via": "code"}]');
SELECT * FROM compare('[{"path": ["branch_id", "region_id"]}]');
SELECT * FROM compare('[{"via": "owner_id", "type_column": "owner_type", "types": {"person": "persons", "firm": "firms"}}]');
SELECT * FROM compare('[{"via": "letters.person_id"}, {"via": "branch_id"}, {"path": ["branch_id", "region_id"]}]');
SELECT * FROM compare('[{"via": "letters.person_id"}, {"via": "branch_id"}]', '{"evidence": "first"}');
SELECT * FROM compare('[{"via": "letters.person_id"}, {"via": "branch_id"}]', '{"on_conflict": "majority"}');

-- conditions of every type, with and without NULL; one type that only SQL compares
SELECT c AS condition, compare.* FROM unnest(ARRAY[
  '{"state": "new"}', '{"state": ["old", null]}', '{"price": 2.25}', '{"price": "2.2500"}', '{"sent": "2026-03-02"}', '{"at": "2026-03-01 14:00+01"}', '{"kind": ["firm", "other"]}',
  '{"flag": true}', '{"tag": "t1"}', '{"tag": "t1   "}', '{"ref": "CFCD208495D565EF66E7DFF9F98764DA"}', '{"tiny": ["a", "c"]}', '{"later": 7}', '{"later": 8}', '{"later_null": null}', '{"share": 0.5}',
  '{"state": "new", "flag": false, "company_id": [1, 2, 3]}'
]) WITH ORDINALITY AS u(c, n), LATERAL compare(format('[{"via": "letters.person_id", "where": %s}]', c)) ORDER BY n;
SELECT c AS condition, compare.* FROM unnest(ARRAY['{"owner_type": ["person", null]}', '{"amount": ["0.75", "1.50"]}', '{"padded": ["p1", "p2"]}', '{"dummy": null}', '{"deleted_at": null}']) WITH ORDINALITY AS u(c, n),
  LATERAL compare('[{"via": "letters.person_id"}]', jsonb_build_object('where', c::jsonb)) ORDER BY n;

-- a snapshot sees what the transaction has done before, and not what others have not committed; rows that a run writes do not come up again
BEGIN;
SET LOCAL search_path = direct;
INSERT INTO letters (person_id, company_id) SELECT 1001, 20;
INSERT INTO people (id) VALUES (1001);
SAVEPOINT undone;
DELETE FROM letters;
ROLLBACK TO undone;
SELECT outcome, row_count FROM tenantmig.backfill('people', 'company_id', 'companies', '[{"via": "letters.person_id"}]', on_conflict => 'review');
SELECT company_id FROM people WHERE id = 1001;
ROLLBACK;

-- SERIALIZABLE: what was read is remembered, so that a conflict is found
SET search_path = direct;
SELECT tenantmig.create_migration('{"migration": "m", "tenants": {"table": "companies"}, "steps": [{"backfill": {"table": "people", "column": "company_id", "sources": [{"via": "letters.person_id"}]}}]}');
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT count(*) > 0 FROM tenantmig.plan('m');
SELECT c.relname FROM pg_locks l JOIN pg_class c ON c.oid = l.relation WHERE l.mode = 'SIReadLock' AND l.pid = pg_backend_pid() AND c.relnamespace = 'direct'::regnamespace AND c.relkind = 'r' ORDER BY 1;
ROLLBACK;

-- an owner who has taken the right to read from himself is told so, as SQL would
CREATE ROLE regress_reader;
GRANT USAGE ON SCHEMA direct TO regress_reader;
ALTER TABLE letters OWNER TO regress_reader;
REVOKE SELECT ON letters FROM regress_reader;
SELECT count(*) FROM tenantmig.plan('m');
\echo :LAST_ERROR_SQLSTATE
ALTER TABLE letters OWNER TO CURRENT_USER;
REVOKE USAGE ON SCHEMA direct FROM regress_reader;
ALTER TABLE letters OWNER TO regress_reader;
GRANT SELECT ON letters TO regress_reader;
SELECT count(*) FROM tenantmig.plan('m');
\echo :LAST_ERROR_SQLSTATE
ALTER TABLE letters OWNER TO CURRENT_USER;

-- an enum whose cast to text is somebody's own function keeps it
CREATE FUNCTION shout(kind) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT CASE $1 WHEN 'person' THEN 'firm' ELSE 'person' END $$;
SELECT outcome, source, row_count FROM tenantmig.backfill('people', 'company_id', 'companies', '[{"via": "owner_id", "type_column": "owner_type", "types": {"person": "persons"}}]', dry_run => true);
CREATE CAST (kind AS text) WITH FUNCTION shout(kind);
SELECT outcome, source, row_count FROM tenantmig.backfill('people', 'company_id', 'companies', '[{"via": "owner_id", "type_column": "owner_type", "types": {"person": "persons"}}]', dry_run => true);

-- an error in the middle of the rows leaves nothing open
SELECT tenantmig.backfill('people', 'company_id', 'companies', '[{"via": "letters.person_id"}]', on_conflict => 'fail');
\echo :LAST_ERROR_SQLSTATE

DROP EXTENSION tenantmig CASCADE;
SET search_path = public;
DROP FUNCTION compare, outcome;
DROP PROCEDURE build;
SET client_min_messages = error;
DROP SCHEMA direct, sql CASCADE;
DROP ACCESS METHOD heap2;
DROP ROLE regress_reader;
