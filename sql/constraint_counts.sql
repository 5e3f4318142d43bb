-- What the gate counts against plain SQL: keys of many types, the referenced table of the same owner, of another one, and behind policies; user code runs as the owner.
\pset null -
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tenantmig CASCADE;
CREATE EXTENSION tenantmig;
CREATE ROLE regress_owner;
CREATE ROLE regress_other;
CREATE SCHEMA shop;
GRANT ALL ON SCHEMA shop TO regress_owner, regress_other;
SET search_path = shop;
CREATE TYPE size AS ENUM ('small', 'large', 'huge', 'tiny', 'none');
CREATE TYPE pair AS (a integer, b text);
CREATE DOMAIN short AS varchar(8) CHECK (length(VALUE) < 7);
CREATE FUNCTION value_of(type text, n integer) RETURNS text LANGUAGE sql AS $$SELECT CASE type
  WHEN 'uuid' THEN '00000000-0000-0000-0000-0000000000' || lpad(n::text, 2, '0') WHEN 'size' THEN (enum_range(NULL::shop.size))[n % 5 + 1]::text WHEN 'date' THEN (date '2020-01-01' + n)::text
  WHEN 'timestamptz' THEN (timestamptz '2020-01-01 12:00+00' + n * interval '0.000001 s')::text WHEN 'numeric(10,2)' THEN (n / 4.0)::text WHEN 'boolean' THEN (n % 2 = 0)::text
  WHEN 'bytea' THEN '\x' || to_hex(n + 16) || '00' WHEN 'pair' THEN format('(%s,"x,%s")', n, n) WHEN 'inet' THEN '10.0.0.' || n WHEN 'int4range' THEN format('[%s,%s)', n, n + 2)
  WHEN 'text' THEN E'a''"\\{,} ' || n WHEN 'double precision' THEN (n / 3.0::float8)::text ELSE n::text END$$;

-- 40 rows, every fifth without a value; the referenced table has what even numbers give
CREATE FUNCTION try(here text, there text, owner text, policy boolean) RETURNS TABLE (rows text, orphans text, examples text, by_hand text, same boolean) LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('CREATE TABLE there (key %s PRIMARY KEY)', there);
  EXECUTE format('INSERT INTO there SELECT DISTINCT value_of(%L, n)::%s FROM generate_series(0, 20, 2) n', there, there);
  EXECUTE format('CREATE TABLE here (id integer PRIMARY KEY, key %s)', here);
  EXECUTE format('INSERT INTO here SELECT n, CASE WHEN n %% 5 > 0 THEN value_of(%L, n %% 25)::%s END FROM generate_series(1, 40) n', here, here);
  EXECUTE format('ALTER TABLE here OWNER TO regress_owner; ALTER TABLE there OWNER TO %I', owner);
  IF policy THEN
    CREATE POLICY none ON there USING (false);
    CREATE POLICY none ON here USING (false);
    ALTER TABLE there ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
    ALTER TABLE here ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
  END IF;
  PERFORM tenantmig.create_migration('{"migration": "m", "tenants": {"table": "there"}, "steps": [{"constraint": {"table": "here", "column": "key", "references": "there", "unique": ["key"]}}]}');
  SELECT g.actual, substring(g.detail from 'row ([^;]*)') INTO orphans, examples FROM tenantmig.gate('m') g WHERE g.check_name = 'orphans';
  SELECT concat_ws(' ', (SELECT g.actual FROM tenantmig.gate('m') g WHERE g.check_name = 'nulls_living'), (SELECT g.actual FROM tenantmig.gate('m') g WHERE g.check_name = 'duplicates')) INTO rows;
  SELECT format('%s %s %s', count(*) FILTER (WHERE key IS NOT DISTINCT FROM NULL), (SELECT coalesce(sum(x.n - 1), 0) FROM (SELECT count(*) AS n FROM here WHERE key IS DISTINCT FROM NULL GROUP BY key) x),
    count(*) FILTER (WHERE key IS DISTINCT FROM NULL AND NOT EXISTS (SELECT FROM there t WHERE t.key = h.key))) INTO by_hand FROM here h;
  same := by_hand = rows || ' ' || orphans;
  PERFORM tenantmig.drop_migration('m');
  DROP TABLE here, there;
  RETURN NEXT;
END$$;
SELECT v.here, v.there, o.owner, o.policy, t.* FROM (VALUES ('integer', 'integer'), ('smallint', 'bigint'), ('bigint', 'smallint'), ('uuid', 'uuid'), ('text', 'text'), ('varchar(12)', 'text'), ('short', 'varchar(20)'), ('char(4)', 'char(6)'),
    ('numeric(10,2)', 'numeric(10,2)'), ('date', 'date'), ('timestamptz', 'timestamptz'), ('size', 'size'), ('boolean', 'boolean'), ('bytea', 'bytea'), ('pair', 'pair'), ('inet', 'inet'), ('int4range', 'int4range'), ('double precision', 'double precision')) v(here, there),
  LATERAL (VALUES ('regress_owner', false), ('regress_owner', true), ('regress_other', false), ('regress_other', true)) o(owner, policy), LATERAL try(v.here, v.there, o.owner, o.policy) t
ORDER BY v.here COLLATE "C", v.there COLLATE "C", o.owner DESC, o.policy;

-- more values than are looked up at once, and than are kept for examples, read by two owners
CREATE TABLE there AS SELECT n::bigint AS key FROM generate_series(1, 30000, 3) n;
ALTER TABLE there ADD PRIMARY KEY (key);
ALTER TABLE there OWNER TO regress_other;
CREATE TABLE here AS SELECT n AS id, n AS key FROM generate_series(1, 30000) n;
ALTER TABLE here ADD PRIMARY KEY (id);
ALTER TABLE here OWNER TO regress_owner;
SELECT tenantmig.create_migration('{"migration": "m", "tenants": {"table": "there"}, "steps": [{"constraint": {"table": "here", "column": "key", "references": "there"}}]}');
SELECT actual FROM tenantmig.gate('m') WHERE check_name = 'orphans';
SELECT count(*) FROM here h WHERE NOT EXISTS (SELECT FROM there t WHERE t.key = h.key);
SELECT tenantmig.drop_migration('m');
DROP TABLE here;

-- a cast of the owner's runs as the owner, who is no superuser
SET ROLE regress_owner;
CREATE TYPE code AS (prefix text, number integer);
CREATE FUNCTION spy(code) RETURNS text LANGUAGE plpgsql AS $$BEGIN RETURN current_user || ($1).number; END$$;
CREATE CAST (code AS text) WITH FUNCTION spy(code);
CREATE TABLE here (id integer PRIMARY KEY, code code);
INSERT INTO here VALUES (1, '(a,1)'), (2, '(b,2)'), (3, NULL), (4, '(,)');
RESET ROLE;
SELECT tenantmig.create_migration('{"migration": "m", "tenants": {"table": "there"}, "steps": [{"constraint": {"table": "here", "column": "code", "not_null": true, "format": "^regress_owner1$"}}]}');
SELECT check_name, actual, detail FROM tenantmig.gate('m') WHERE check_name IN ('format', 'nulls_living');
-- a table without a key: rows are told by where they stand
SET ROLE regress_owner;
CREATE TABLE keyless (code text);
INSERT INTO keyless VALUES ('a'), ('b'), (NULL), ('a');
RESET ROLE;
SELECT tenantmig.create_migration('{"migration": "k", "tenants": {"table": "there"}, "steps": [{"constraint": {"table": "keyless", "column": "code", "not_null": true, "format": "a", "unique": ["code"]}}]}');
SELECT check_name, actual, detail FROM tenantmig.gate('k') WHERE status = 'FAIL';
-- inheritance: rows of children are not the table's, neither here nor there
CREATE TABLE more () INHERITS (there);
INSERT INTO more VALUES (2);
CREATE TABLE points (id integer PRIMARY KEY, key bigint);
INSERT INTO points VALUES (1, 1), (2, 2);
SELECT tenantmig.create_migration('{"migration": "i", "tenants": {"table": "there"}, "steps": [{"constraint": {"table": "points", "column": "key", "references": "there.key"}}]}');
SELECT actual, detail FROM tenantmig.gate('i') WHERE check_name = 'orphans';
ALTER TABLE points ADD FOREIGN KEY (key) REFERENCES there;
\echo :LAST_ERROR_SQLSTATE

RESET search_path;
DROP EXTENSION tenantmig CASCADE;
DROP SCHEMA shop CASCADE;
DROP ROLE regress_owner, regress_other;
