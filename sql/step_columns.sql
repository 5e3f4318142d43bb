-- The steps add_column and drop_column: up, down, verify; the oracle is the catalogue by name, and the rows.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tenantmig CASCADE;
CREATE EXTENSION tenantmig;
\set VERBOSITY default
\set SHOW_CONTEXT never
SET client_min_messages = notice;
CREATE SCHEMA columns;
SET search_path = columns;
CREATE ROLE regress_columns;
CREATE ROLE regress_reader;
GRANT ALL ON SCHEMA columns TO regress_columns;

-- All that a table is, by name: columns, constraints, indexes, grants, comments, statistics, sequences, triggers.
CREATE FUNCTION shape(name text) RETURNS SETOF text LANGUAGE sql AS $$
  WITH t AS (SELECT c.* FROM pg_class c WHERE c.oid = name::regclass)
  SELECT line FROM (
    SELECT format('column %s %s %s null:%s default:%s %s %s storage:%s compression:%s target:%s options:%s acl:%s comment:%s', a.attname,
      format_type(a.atttypid, a.atttypmod), (SELECT collname FROM pg_collation WHERE oid = a.attcollation), NOT a.attnotnull, pg_get_expr(d.adbin, d.adrelid),
      a.attgenerated, a.attidentity, a.attstorage, a.attcompression, a.attstattarget, ARRAY(SELECT o FROM unnest(a.attoptions) o WHERE o !~ '^pg_attver='), a.attacl, col_description(a.attrelid, a.attnum)) AS line
      FROM t JOIN pg_attribute a ON a.attrelid = t.oid LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum WHERE a.attnum > 0 AND NOT a.attisdropped
    UNION ALL SELECT format('constraint %s on %s: %s valid:%s comment:%s', k.conname, k.conrelid::regclass, pg_get_constraintdef(k.oid), k.convalidated,
      obj_description(k.oid, 'pg_constraint')) FROM t JOIN pg_constraint k ON k.conrelid = t.oid OR k.confrelid = t.oid
    UNION ALL SELECT format('index %s valid:%s identity:%s clustered:%s space:%s comment:%s targets:%s', pg_get_indexdef(i.indexrelid), i.indisvalid, i.indisreplident,
      i.indisclustered, c.reltablespace, obj_description(c.oid, 'pg_class'), (SELECT array_agg(attstattarget ORDER BY attnum) FROM pg_attribute WHERE attrelid = c.oid))
      FROM t JOIN pg_index i ON i.indrelid = t.oid JOIN pg_class c ON c.oid = i.indexrelid
    UNION ALL SELECT format('statistics %s target:%s comment:%s', pg_get_statisticsobjdef(s.oid), s.stxstattarget, obj_description(s.oid, 'pg_statistic_ext'))
      FROM t JOIN pg_statistic_ext s ON s.stxrelid = t.oid
    UNION ALL SELECT format('sequence %s of %s: start %s step %s min %s max %s cache %s last %s %s acl:%s comment:%s', c.relname, a.attname, s.seqstart, s.seqincrement, s.seqmin,
      s.seqmax, s.seqcache, pg_sequence_last_value(c.oid), d.deptype, c.relacl, obj_description(c.oid, 'pg_class')) FROM t JOIN pg_depend d ON d.refobjid = t.oid AND d.refclassid = 'pg_class'::regclass
      JOIN pg_class c ON c.oid = d.objid AND c.relkind = 'S' JOIN pg_sequence s ON s.seqrelid = c.oid JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid
    UNION ALL SELECT format('trigger %s %s', pg_get_triggerdef(g.oid), g.tgenabled) FROM t JOIN pg_trigger g ON g.tgrelid = t.oid AND NOT g.tgisinternal
    UNION ALL SELECT format('table %s identity:%s acl:%s owner:%s', relname, relreplident, relacl, relowner::regrole) FROM t) x ORDER BY line COLLATE "C"
$$;
CREATE TABLE was (name text, line text);
CREATE PROCEDURE remember(VARIADIC tables text[]) LANGUAGE sql AS $$ INSERT INTO columns.was SELECT n, columns.shape(n) FROM unnest(tables) n $$;
CREATE FUNCTION differences(VARIADIC tables text[]) RETURNS TABLE (change text, line text) LANGUAGE sql AS $$
  (SELECT '-', w.line FROM columns.was w WHERE w.name = ANY (tables) EXCEPT SELECT '-', columns.shape(n) FROM unnest(tables) n)
  UNION ALL (SELECT '+', columns.shape(n) FROM unnest(tables) n EXCEPT SELECT '+', w.line FROM columns.was w WHERE w.name = ANY (tables)) ORDER BY 2, 1
$$;

CREATE TABLE companies (id integer PRIMARY KEY);
INSERT INTO companies SELECT generate_series(1, 5);
CREATE TABLE t (id bigint PRIMARY KEY, name text);
ALTER TABLE t OWNER TO regress_columns;
INSERT INTO t SELECT n, 'row ' || n FROM generate_series(1, 1000) n;
CREATE FUNCTION spec(name text, VARIADIC steps jsonb[]) RETURNS jsonb LANGUAGE sql AS $$
  SELECT jsonb_build_object('migration', name, 'tenants', '{"table": "companies"}'::jsonb, 'steps', to_jsonb(steps)) $$;

-- add_column: types, defaults, comments; nothing is rewritten
CALL remember('t');
SELECT pg_relation_filenode('t') AS file \gset
SELECT count(*) FROM tenantmig.create_migration(spec('add',
  '{"add_column": {"table": "t", "column": "company_id", "type": "int", "comment": "tenant''s key"}}',
  '{"add_column": {"table": "t", "column": "amount", "type": "numeric(10,2)", "default": "1.5"}}',
  '{"add_column": {"table": "t", "column": "seen", "type": "timestamptz", "default": {"function": "now"}}}',
  '{"add_column": {"table": "t", "column": "\"Tags; DROP\"", "type": "varchar(20)[]", "default": "{a,b}"}}'));
CALL tenantmig.up('add');
CALL tenantmig.up('add');
SELECT * FROM differences('t');
SELECT pg_relation_filenode('t') = :file AS not_rewritten, (SELECT count(*) FROM t WHERE company_id IS NULL AND amount = 1.50 AND seen IS NOT NULL AND "Tags; DROP" = '{a,b}') AS rows;
SELECT step, state FROM tenantmig.steps WHERE migration = 'add' ORDER BY step;
CALL tenantmig.down('add');
SELECT * FROM differences('t');
SELECT * FROM tenantmig.kept_columns;
CALL tenantmig.down('add');

-- values that somebody wrote are not lost: they are there again after the next up
CALL tenantmig.up('add', to_step => 2);
UPDATE t SET company_id = id % 5 + 1 WHERE id <= 3;
UPDATE t SET amount = 7 WHERE id = 2;
CALL tenantmig.down('add');
SELECT step, relation, column_name, row_count, bytes > 0 AS bytes, keep_table FROM tenantmig.kept_columns;
DELETE FROM t WHERE id = 3;
CALL tenantmig.up('add');
SELECT id, company_id, amount FROM t WHERE company_id IS NOT NULL OR amount <> 1.5 ORDER BY id;
SELECT * FROM tenantmig.kept_columns;

-- a later migration that names the column: it holds the column while something of it is in force, not when it was taken back
SELECT tenantmig.create_migration(spec('later', '{"guard": {"kind": "immutable", "table": "t", "column": "company_id"}}', '{"sql": {"up": "SELECT 1", "down": "SELECT 1"}}'));
CALL tenantmig.up('later');
CALL tenantmig.down('add');
\echo :LAST_ERROR_SQLSTATE
CALL tenantmig.down('later');
CALL tenantmig.down('add');
CALL tenantmig.up('add');
CALL tenantmig.up('later');
CALL tenantmig.down('later');
SELECT tenantmig.drop_migration('later');

-- somebody else's index or view on the column: named, and never dropped with it
CREATE INDEX mine ON t (company_id);
CREATE VIEW v AS SELECT company_id FROM t;
CALL tenantmig.down('add');
SELECT step, state, error FROM tenantmig.step_state JOIN tenantmig.migration m ON m.id = migration_id WHERE m.name = 'add' ORDER BY step;
DROP VIEW v;
DROP INDEX mine;
UPDATE t SET company_id = NULL;
CALL tenantmig.down('add');
SELECT tenantmig.drop_migration('add');
SELECT tenantmig.drop_migration('add', force => true);

-- what add_column refuses
CREATE FUNCTION prepare(step jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM tenantmig.drop_migration(m.migration, force => true) FROM tenantmig.migrations m WHERE m.migration = 'refused';
  -- names after a structural step are looked at when up comes to them
  PERFORM tenantmig.create_migration(columns.spec('refused', '{"sql": {"up": "SELECT 1", "down": "SELECT 1"}}', step));
END $$;
\pset format unaligned
\pset tuples_only on
CREATE DOMAIN positive AS integer CHECK (VALUE > 0);
CREATE TABLE parted (id integer, k integer, PRIMARY KEY (id, k)) PARTITION BY LIST (k);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES IN (1);
CREATE TABLE parent (id integer PRIMARY KEY);
CREATE TABLE child (extra integer) INHERITS (parent);
SELECT FROM (SELECT prepare('{"add_column": {"table": "t", "column": "name", "type": "text"}}')) x;
CALL tenantmig.up('refused');
\echo :LAST_ERROR_SQLSTATE
SELECT FROM (SELECT prepare('{"add_column": {"table": "t", "column": "x", "type": "int; DROP TABLE t"}}')) x;
CALL tenantmig.up('refused');
\echo :LAST_ERROR_SQLSTATE
SELECT FROM (SELECT prepare('{"add_column": {"table": "t", "column": "x", "type": "int DEFAULT random()"}}')) x;
CALL tenantmig.up('refused');
\echo :LAST_ERROR_SQLSTATE
SELECT FROM (SELECT prepare('{"add_column": {"table": "t", "column": "x", "type": "nothing"}}')) x;
CALL tenantmig.up('refused');
\echo :LAST_ERROR_SQLSTATE
SELECT FROM (SELECT prepare('{"add_column": {"table": "t", "column": "x", "type": "anyelement"}}')) x;
CALL tenantmig.up('refused');
\echo :LAST_ERROR_SQLSTATE
SELECT FROM (SELECT prepare('{"add_column": {"table": "t", "column": "x", "type": "positive"}}')) x;
CALL tenantmig.up('refused');
\echo :LAST_ERROR_SQLSTATE
SELECT FROM (SELECT prepare('{"add_column": {"table": "t", "column": "x", "type": "int", "default": "many"}}')) x;
CALL tenantmig.up('refused');
\echo :LAST_ERROR_SQLSTATE
SELECT FROM (SELECT prepare('{"add_column": {"table": "t", "column": "x", "type": "float8", "default": {"function": "random"}}}')) x;
CALL tenantmig.up('refused');
\echo :LAST_ERROR_SQLSTATE
SELECT FROM (SELECT prepare('{"add_column": {"table": "t", "column": "x", "type": "int", "default": {"function": "now"}}}')) x;
CALL tenantmig.up('refused');
\echo :LAST_ERROR_SQLSTATE
SELECT FROM (SELECT prepare('{"add_column": {"table": "t", "column": "x", "type": "int", "default": {"function": "no_such"}}}')) x;
CALL tenantmig.up('refused');
\echo :LAST_ERROR_SQLSTATE
SELECT FROM (SELECT prepare('{"add_column": {"table": "parted_1", "column": "x", "type": "int"}}')) x;
CALL tenantmig.up('refused');
\echo :LAST_ERROR_SQLSTATE
SELECT FROM (SELECT prepare('{"add_column": {"table": "parent", "column": "extra", "type": "int"}}')) x;
CALL tenantmig.up('refused');
\echo :LAST_ERROR_SQLSTATE
SELECT FROM (SELECT prepare('{"add_column": {"table": "nowhere", "column": "x", "type": "int"}}')) x;
CALL tenantmig.up('refused');
\echo :LAST_ERROR_SQLSTATE
\pset tuples_only off
\pset format aligned

-- partitioned, and with children
SELECT count(*) FROM tenantmig.create_migration(spec('wide', '{"add_column": {"table": "parted", "column": "x", "type": "int", "default": 3}}',
  '{"add_column": {"table": "parent", "column": "x", "type": "int"}}'));
INSERT INTO parted VALUES (1, 1);
CALL tenantmig.up('wide');
SELECT * FROM parted_1;
UPDATE parted SET x = 4;
INSERT INTO child (id, x) VALUES (1, 1);
CALL tenantmig.down('wide');
DELETE FROM child;
CALL tenantmig.down('wide');
UPDATE parted SET x = 3;
CALL tenantmig.down('wide');
SELECT attrelid::regclass, attname FROM pg_attribute WHERE attname = 'x' AND attrelid IN ('parted'::regclass, 'parted_1'::regclass, 'parent'::regclass, 'child'::regclass);
SELECT tenantmig.drop_migration('wide');

-- drop_column: everything that hangs on it comes back
SET client_min_messages = warning; -- notices of what takes longer than a second say how long
CREATE COLLATION columns."odd" (provider = icu, locale = 'de');
CREATE TABLE full_table (id integer PRIMARY KEY, code varchar(30) COLLATE "odd" NOT NULL DEFAULT 'none', other integer, company_id integer NOT NULL,
  CONSTRAINT "Short" CHECK (length(code) < 20), CONSTRAINT both_unique UNIQUE (company_id, code) DEFERRABLE INITIALLY DEFERRED);
INSERT INTO full_table SELECT n, CASE WHEN n % 7 = 0 THEN 'none' ELSE 'c' || n END, n % 3, n % 5 + 1 FROM generate_series(1, 500) n WHERE n % 7 <> 0 OR n < 35;
ALTER TABLE full_table ADD CONSTRAINT old_rows CHECK (code <> 'c1') NOT VALID, ADD CONSTRAINT company FOREIGN KEY (company_id) REFERENCES companies ON DELETE CASCADE DEFERRABLE;
CREATE UNIQUE INDEX code_other ON full_table (code, id) INCLUDE (other) WHERE other > 0;
CREATE UNIQUE INDEX code_ident ON full_table (code, company_id, id);
CREATE INDEX by_lower ON full_table (lower(code) text_pattern_ops DESC) WITH (fillfactor = 70);
ALTER INDEX by_lower ALTER COLUMN 1 SET STATISTICS 300;
ALTER TABLE full_table REPLICA IDENTITY USING INDEX code_ident;
ALTER TABLE full_table CLUSTER ON by_lower;
ALTER TABLE full_table ALTER code SET STORAGE EXTERNAL, ALTER code SET STATISTICS 50, ALTER code SET (n_distinct = -0.5), ALTER code SET COMPRESSION pglz;
CREATE STATISTICS code_stats (ndistinct) ON id, code FROM full_table;
ALTER STATISTICS code_stats SET STATISTICS 77;
COMMENT ON STATISTICS code_stats IS 'stats';
COMMENT ON COLUMN full_table.code IS 'the code''s comment';
COMMENT ON CONSTRAINT "Short" ON full_table IS 'short';
COMMENT ON CONSTRAINT both_unique ON full_table IS 'unique';
COMMENT ON INDEX by_lower IS 'lower';
GRANT SELECT (code), UPDATE (code) ON full_table TO regress_columns WITH GRANT OPTION;
SET ROLE regress_columns;
GRANT SELECT (code) ON full_table TO regress_reader;
RESET ROLE;
CREATE TABLE child_table (id integer PRIMARY KEY, company_id integer, code varchar(30));
CREATE UNIQUE INDEX full_key ON full_table (code, company_id);
ALTER TABLE child_table ADD CONSTRAINT "To parent" FOREIGN KEY (code, company_id) REFERENCES full_table (code, company_id) ON UPDATE CASCADE ON DELETE SET NULL;
INSERT INTO child_table SELECT id, company_id, code FROM full_table WHERE id % 10 = 1;
COMMENT ON CONSTRAINT "To parent" ON child_table IS 'incoming';
CREATE TABLE copy AS SELECT id, code, company_id FROM full_table;
CALL remember('full_table', 'child_table');
SELECT count(*) FROM tenantmig.create_migration(spec('drop', '{"drop_column": {"table": "full_table", "column": "code", "type": "varchar(30)"}}'));
CALL tenantmig.up('drop');
CALL tenantmig.up('drop');
SELECT column_name, row_count FROM tenantmig.kept_columns WHERE migration = 'drop';
SELECT count(*) FROM pg_attribute WHERE attrelid = 'full_table'::regclass AND attname = 'code';
SELECT tgname FROM pg_trigger WHERE tgrelid = 'full_table'::regclass AND NOT tgisinternal;
CALL tenantmig.down('drop');
SELECT * FROM differences('full_table', 'child_table');
SELECT count(*) AS rows, count(*) FILTER (WHERE c.code IS DISTINCT FROM f.code) AS wrong FROM copy c FULL JOIN full_table f USING (id);
SELECT count(*) FROM tenantmig.kept_columns;
SELECT count(*) FROM pg_class WHERE relname LIKE 'tenantmig\_%' AND relnamespace = 'columns'::regnamespace;

-- rows that changed while the column was gone; rows that a constraint now refuses: said, the rest is in place, and down goes on
CALL tenantmig.up('drop');
DELETE FROM full_table WHERE id = 2;
INSERT INTO full_table (id, other, company_id) VALUES (1001, 1, 1), (1002, 1, 1);
CALL tenantmig.down('drop');
SELECT step, state, error FROM tenantmig.step_state JOIN tenantmig.migration m ON m.id = migration_id WHERE m.name = 'drop';
SELECT change, left(line, 60) FROM differences('full_table', 'child_table') WHERE line NOT LIKE 'sequence%';
SELECT id, code FROM full_table WHERE id > 1000 OR id = 3 ORDER BY id;
CALL tenantmig.up('drop');
DELETE FROM full_table WHERE id = 1002;
CALL tenantmig.down('drop');
SELECT * FROM differences('full_table', 'child_table');

-- identity, serial, generated columns
CREATE TABLE numbers (id integer PRIMARY KEY, always integer GENERATED ALWAYS AS IDENTITY (START WITH 10 INCREMENT BY 5 MAXVALUE 100000 CACHE 1), old serial NOT NULL,
  doubled integer GENERATED ALWAYS AS (id * 2) STORED, CHECK (doubled > 0));
ALTER SEQUENCE numbers_always_seq RENAME TO "Always";
COMMENT ON SEQUENCE "Always" IS 'own';
GRANT USAGE ON SEQUENCE "Always" TO regress_reader;
COMMENT ON COLUMN numbers.doubled IS 'twice';
INSERT INTO numbers (id) SELECT generate_series(1, 20);
CALL remember('numbers');
SELECT count(*) FROM tenantmig.create_migration(spec('numbers', '{"drop_column": {"table": "numbers", "column": "always"}}', '{"drop_column": {"table": "numbers", "column": "old"}}',
  '{"drop_column": {"table": "numbers", "column": "doubled"}}'));
CALL tenantmig.up('numbers');
INSERT INTO numbers (id) VALUES (21), (22);
CALL tenantmig.down('numbers');
SELECT change, line FROM differences('numbers') ORDER BY 2, 1;
SELECT count(*), sum(always), sum(old), sum(doubled) FROM numbers WHERE id <= 20;
SELECT id, always, old, doubled FROM numbers WHERE id > 19 ORDER BY id;
INSERT INTO numbers (id) VALUES (23);
SELECT id, always, old FROM numbers WHERE id = 23;

-- what drop_column refuses, before anything changes
\pset format unaligned
\pset tuples_only on
CREATE TABLE watched (id integer PRIMARY KEY, a integer, b integer GENERATED ALWAYS AS (a + 1) STORED, c integer, d positive);
CREATE TABLE keyless (a integer, b integer);
CREATE VIEW watching AS SELECT c FROM watched;
CREATE POLICY p ON watched USING (c > 0);
CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER on_c AFTER UPDATE OF c ON watched FOR EACH ROW EXECUTE FUNCTION nothing();
SET client_min_messages = error; -- of a server without logical decoding
CREATE PUBLICATION columns_publication FOR TABLE watched (id, c);
SET client_min_messages = warning;
SELECT FROM (SELECT prepare('{"drop_column": {"table": "watched", "column": "a"}}')) x;
CALL tenantmig.up('refused');
\echo :LAST_ERROR_SQLSTATE
SELECT FROM (SELECT prepare('{"drop_column": {"table": "watched", "column": "c"}}')) x;
CALL tenantmig.up('refused');
\echo :LAST_ERROR_SQLSTATE
SELECT FROM (SELECT prepare('{"drop_column": {"table": "watched", "column": "d"}}')) x;
CALL tenantmig.up('refused');
\echo :LAST_ERROR_SQLSTATE
SELECT FROM (SELECT prepare('{"drop_column": {"table": "watched", "column": "id"}}')) x;
CALL tenantmig.up('refused');
\echo :LAST_ERROR_SQLSTATE
SELECT FROM (SELECT prepare('{"drop_column": {"table": "keyless", "column": "a"}}')) x;
CALL tenantmig.up('refused');
\echo :LAST_ERROR_SQLSTATE
SELECT FROM (SELECT prepare('{"drop_column": {"table": "parted", "column": "k"}}')) x;
CALL tenantmig.up('refused');
\echo :LAST_ERROR_SQLSTATE
SELECT FROM (SELECT prepare('{"drop_column": {"table": "parent", "column": "id"}}')) x;
CALL tenantmig.up('refused');
\echo :LAST_ERROR_SQLSTATE
SELECT FROM (SELECT prepare('{"drop_column": {"table": "t", "column": "name", "type": "integer"}}')) x;
CALL tenantmig.up('refused');
\echo :LAST_ERROR_SQLSTATE
SELECT FROM (SELECT prepare('{"drop_column": {"table": "t", "column": "gone"}}')) x;
CALL tenantmig.up('refused');
\echo :LAST_ERROR_SQLSTATE
SELECT count(*) FROM tenantmig.attach_guard('numbers', 'old', 'immutable');
SELECT FROM (SELECT prepare('{"drop_column": {"table": "numbers", "column": "old"}}')) x;
\set VERBOSITY terse
CALL tenantmig.up('refused');
\set VERBOSITY default
\echo :LAST_ERROR_SQLSTATE
SELECT count(*) FROM tenantmig.guard g, tenantmig.detach_guard(g.id) WHERE g.column_name = 'old';
SELECT count(*) FROM tenantmig.create_migration(spec('other', '{"constraint": {"table": "full_table", "column": "other", "not_null": true}}'));
SELECT FROM (SELECT prepare('{"drop_column": {"table": "full_table", "column": "other"}}')) x;
CALL tenantmig.up('refused');
\echo :LAST_ERROR_SQLSTATE
\pset tuples_only off
\pset format aligned
DROP PUBLICATION columns_publication;

-- tenantmig keeps what a trigger's function may need: said, not refused
CREATE FUNCTION uses_code() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN IF NEW.code = $q$x$q$ THEN RAISE $q$x$q$; END IF; RETURN NEW; END';
CREATE TRIGGER uses_code BEFORE INSERT ON full_table FOR EACH ROW EXECUTE FUNCTION uses_code();

-- purged: no way back, and said before anything is done
CALL tenantmig.up('drop');
UPDATE tenantmig.kept_column SET state = 'purged' WHERE column_name = 'code';
CALL tenantmig.down('drop');
SELECT count(*) FROM tenantmig.kept_columns;

SELECT count(*) FROM tenantmig.migrations m, tenantmig.drop_migration(m.migration, force => true) WHERE m.migration IN ('drop', 'numbers', 'refused', 'other');
SELECT count(*) FROM pg_class WHERE relname LIKE 'tenantmig\_%' AND relnamespace = 'columns'::regnamespace;
SET client_min_messages = warning;
DROP SCHEMA columns CASCADE;
DROP ROLE regress_columns, regress_reader;
