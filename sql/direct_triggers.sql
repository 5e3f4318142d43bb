-- Rows written below SQL fire the user's triggers as an UPDATE does. The same tables twice: in schema "below" they are written by
-- tenantmig.run, block by block; in schema "through" by tenantmig.backfill, by SQL. Rows, change log, reviews, what triggers saw and errors are compared.
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
-- what triggers saw, beside their transaction and statement
CREATE FUNCTION seen_by_triggers() RETURNS TABLE (relation text, what text, in_below bigint, in_through bigint, different bigint) LANGUAGE plpgsql AS $$
BEGIN
  RETURN QUERY SELECT s.relation, s.what, sum(b)::bigint, sum(t)::bigint, count(*) FILTER (WHERE b <> t) FROM
    (SELECT s.relation, s.what, s.detail, count(*) FILTER (WHERE below) AS b, count(*) FILTER (WHERE NOT below) AS t
      FROM (SELECT true AS below, * FROM below.seen UNION ALL SELECT false, * FROM through.seen) s GROUP BY 1, 2, 3) s GROUP BY 1, 2 ORDER BY 1, 2;
END $$;

-- 1,000 rows: of 8 tenants, 30 conflicts, 30 orphans, 30 of nobody
CALL twice($twice$
CREATE TABLE companies (id integer PRIMARY KEY);
INSERT INTO companies SELECT generate_series(1, 8);
CREATE TABLE evidence (id integer, company_id integer);
INSERT INTO evidence SELECT n, n % 8 + 1 FROM generate_series(1, 970) n WHERE n > 30;
INSERT INTO evidence SELECT n, (n + 1) % 8 + 1 FROM generate_series(31, 60) n;
INSERT INTO evidence SELECT n, 99 FROM generate_series(971, 1000) n;
CREATE TABLE seen (relation text, what text, detail text);
CREATE FUNCTION fill(relation regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('INSERT INTO %s (id, note) SELECT n, repeat(''note '', n %% 9) FROM generate_series(1, 1000) n', relation);
END $$;
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF tg_level = 'ROW' THEN
    EXECUTE format('INSERT INTO %I.seen SELECT $1, $2, $3', split_part(tg_argv[0], '.', 1)) USING tg_table_name, concat_ws(' ', tg_when, tg_argv[1]), concat_ws(' ', OLD, NEW, current_user, current_setting('row_security'));
  ELSE
    EXECUTE format('INSERT INTO %I.seen SELECT DISTINCT $1, $2, $3 EXCEPT TABLE %1$I.seen', split_part(tg_argv[0], '.', 1)) USING tg_table_name, concat_ws(' ', tg_when, tg_argv[1]), '';
  END IF;
  RETURN NEW;
END $$;
$twice$);

CALL twice($twice$
-- BEFORE: changes other columns, and sees what it was given
CREATE TABLE before_row (id integer PRIMARY KEY, company_id integer, note text, touched integer DEFAULT 0, double text GENERATED ALWAYS AS (note || touched) STORED);
SELECT fill('before_row');
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.touched := OLD.touched + NEW.company_id; NEW.note := NEW.note || '!'; RETURN NEW; END $$;
CREATE TRIGGER a_touch BEFORE UPDATE ON before_row FOR EACH ROW EXECUTE FUNCTION touch();
DO $$ BEGIN EXECUTE format('CREATE TRIGGER b_note BEFORE UPDATE ON before_row FOR EACH ROW EXECUTE FUNCTION note(%L)', current_schema()); END $$;
DO $$ BEGIN EXECUTE format('CREATE TRIGGER c_note AFTER UPDATE ON before_row FOR EACH ROW EXECUTE FUNCTION note(%L)', current_schema()); END $$;

-- WHEN, over old and new values
CREATE TABLE conditional (id integer PRIMARY KEY, company_id integer, note text);
SELECT fill('conditional');
DO $$ BEGIN
  EXECUTE format('CREATE TRIGGER a BEFORE UPDATE ON conditional FOR EACH ROW WHEN (OLD.company_id IS NULL AND NEW.company_id > 4) EXECUTE FUNCTION note(%L, ''when new > 4'')', current_schema());
  EXECUTE format('CREATE TRIGGER b AFTER UPDATE ON conditional FOR EACH ROW WHEN (OLD.company_id IS DISTINCT FROM NEW.company_id AND NEW.id %% 2 = 0) EXECUTE FUNCTION note(%L, ''when even'')', current_schema());
  EXECUTE format('CREATE TRIGGER c AFTER UPDATE ON conditional FOR EACH ROW WHEN (OLD.note IS DISTINCT FROM NEW.note) EXECUTE FUNCTION note(%L, ''never'')', current_schema());
END $$;

-- UPDATE OF; the step writes two columns, each in a statement of its own
CREATE TABLE columns (id integer PRIMARY KEY, company_id integer, note text, deleted_at date, of_key integer GENERATED ALWAYS AS (company_id * 2) STORED, of_note text GENERATED ALWAYS AS (note || '?') STORED);
SELECT fill('columns');
UPDATE columns SET deleted_at = '2026-01-01' WHERE id % 10 = 0;
DO $$ DECLARE what text; BEGIN
  FOREACH what IN ARRAY '{company_id,deleted_at,note,of_key,of_note,"deleted_at, note","company_id, note"}'::text[] LOOP
    EXECUTE format('CREATE TRIGGER %3$I AFTER UPDATE OF %1$s ON columns FOR EACH ROW EXECUTE FUNCTION note(%2$L, %3$L)', what, current_schema(), 'of ' || what);
    EXECUTE format('CREATE TRIGGER %3$I BEFORE UPDATE OF %1$s ON columns FOR EACH ROW EXECUTE FUNCTION note(%2$L, %3$L)', what, current_schema(), 'also of ' || what);
    EXECUTE format('CREATE TRIGGER %3$I AFTER UPDATE OF %1$s ON columns EXECUTE FUNCTION note(%2$L, %3$L)', what, current_schema(), 'statement of ' || what);
  END LOOP;
END $$;

-- statement triggers
CREATE TABLE statement (id integer PRIMARY KEY, company_id integer, note text);
SELECT fill('statement');
DO $$ BEGIN
  EXECUTE format('CREATE TRIGGER a BEFORE UPDATE ON statement EXECUTE FUNCTION note(%L, ''statement'')', current_schema());
  EXECUTE format('CREATE TRIGGER b AFTER UPDATE ON statement EXECUTE FUNCTION note(%L, ''statement'')', current_schema());
  EXECUTE format('CREATE TRIGGER c AFTER UPDATE OF note ON statement EXECUTE FUNCTION note(%L, ''statement of note'')', current_schema());
  EXECUTE format('CREATE TRIGGER d AFTER INSERT OR DELETE ON statement EXECUTE FUNCTION note(%L, ''never'')', current_schema());
END $$;

-- transition tables, for statements and for rows
CREATE FUNCTION note_tables() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('INSERT INTO %I.seen SELECT $1, $2, concat_ws('' '', o, n) FROM old_rows o JOIN new_rows n USING (id)', tg_argv[0]) USING tg_table_name, tg_level || ' with transition tables';
  RETURN NULL;
END $$;
CREATE TABLE transition (gone text, id integer PRIMARY KEY, company_id integer, note text);
ALTER TABLE transition DROP gone;
SELECT fill('transition');
CREATE FUNCTION count_tables() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('INSERT INTO %I.seen SELECT $1, $2, $3 WHERE (SELECT count(*) FROM old_rows) = (SELECT count(*) FROM new_rows) AND $3 IN (SELECT id::text FROM new_rows)', tg_argv[0])
    USING tg_table_name, tg_level || ' with transition tables', NEW.id::text;
  RETURN NULL;
END $$;
DO $$ BEGIN
  EXECUTE format('CREATE TRIGGER a AFTER UPDATE ON transition REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows EXECUTE FUNCTION note_tables(%L)', current_schema());
  EXECUTE format('CREATE TRIGGER b AFTER UPDATE ON transition REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH ROW EXECUTE FUNCTION count_tables(%L)', current_schema());
END $$;

-- the same on a partitioned table whose partitions have other numbers for its columns; AFTER ROW triggers and UPDATE OF too
CREATE TABLE parts (gone text, id integer, company_id integer, note text, PRIMARY KEY (id)) PARTITION BY RANGE (id);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (1) TO (400);
CREATE TABLE parts_2 (note text, x integer, y integer, of_key integer, company_id integer, id integer NOT NULL);
ALTER TABLE parts_2 DROP x, DROP y, DROP of_key;
ALTER TABLE parts DROP gone;
ALTER TABLE parts ATTACH PARTITION parts_2 DEFAULT;
SELECT fill('parts');
DO $$ BEGIN
  EXECUTE format('CREATE TRIGGER a AFTER UPDATE ON parts REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows EXECUTE FUNCTION note_tables(%L)', current_schema());
  EXECUTE format('CREATE TRIGGER b AFTER UPDATE OF company_id ON parts FOR EACH ROW EXECUTE FUNCTION note(%L, ''of key'')', current_schema());
  EXECUTE format('CREATE TRIGGER c AFTER UPDATE OF note ON parts FOR EACH ROW EXECUTE FUNCTION note(%L, ''never'')', current_schema());
  EXECUTE format('CREATE TRIGGER d AFTER UPDATE OF company_id ON parts_2 FOR EACH ROW EXECUTE FUNCTION note(%L, ''of key, own'')', current_schema());
  EXECUTE format('CREATE TRIGGER e AFTER UPDATE OF note ON parts_2 FOR EACH ROW EXECUTE FUNCTION note(%L, ''never, own'')', current_schema());
  EXECUTE format('CREATE TRIGGER f BEFORE UPDATE OF company_id ON parts EXECUTE FUNCTION note(%L, ''statement'')', current_schema());
  EXECUTE format('CREATE TRIGGER g BEFORE UPDATE ON parts_1 EXECUTE FUNCTION note(%L, ''never: the statement names the parent'')', current_schema());
END $$;

-- disabled, for replicas, always; one that writes its own row once more, and other tables
CREATE TABLE others (id integer PRIMARY KEY, company_id integer, note text, again integer DEFAULT 0);
SELECT fill('others');
CREATE FUNCTION again() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('UPDATE %I.%I SET again = again + 1 WHERE id = $1', tg_table_schema, tg_table_name) USING NEW.id;
  RETURN NULL;
END $$;
CREATE TRIGGER z_again AFTER UPDATE OF company_id ON others FOR EACH ROW EXECUTE FUNCTION again();
DO $$ DECLARE what text; BEGIN
  FOREACH what IN ARRAY '{DISABLE,"ENABLE REPLICA","ENABLE ALWAYS"}'::text[] LOOP
    EXECUTE format('CREATE TRIGGER %I AFTER UPDATE ON others FOR EACH ROW EXECUTE FUNCTION note(%L, %L)', what, current_schema(), lower(what));
    EXECUTE format('ALTER TABLE others %s TRIGGER %I', what, what);
  END LOOP;
END $$;

-- a constraint trigger that waits for the end of the transaction, if it may
CREATE TABLE at_the_end (id integer PRIMARY KEY, company_id integer, note text);
SELECT fill('at_the_end');
DO $$ BEGIN
  EXECUTE format('CREATE CONSTRAINT TRIGGER a AFTER UPDATE ON at_the_end DEFERRABLE INITIALLY IMMEDIATE FOR EACH ROW EXECUTE FUNCTION note(%L, ''deferrable'')', current_schema());
END $$;
$twice$);
CALL migrate('before_row', 'conditional', 'columns', 'statement', 'transition', 'parts', 'others', 'at_the_end');
SELECT relation, outcome, source, row_count, path FROM tenantmig.plan('below') WHERE outcome = 'assigned' OR relation LIKE '%columns' ORDER BY step, outcome;
CALL tenantmig.run('below');
SELECT relation, path, phase, state FROM tenantmig.stat_workers;
SELECT count(*) FROM tenantmig.backfill('through');
SELECT relation, row_count, written, direct, same_rows, same_log, same_reviews FROM compare();
SELECT * FROM seen_by_triggers();
-- columns that triggers change are named, both ways
SELECT m.name, t ->> 'relation' AS relation, t ->> 'changed_columns' AS changed_columns FROM tenantmig.run_log r JOIN tenantmig.migration m ON m.id = r.migration_id, jsonb_array_elements(r.tables) t
WHERE t ->> 'relation' LIKE '%.before_row' ORDER BY 1, 2;

-- undone: by batches below SQL, and in one transaction
TRUNCATE below.seen, through.seen;
CALL tenantmig.undo(1);
SELECT count(*) FROM tenantmig.rollback(2);
SELECT relation, same_rows, same_log FROM compare();
SELECT sum(in_below), sum(in_through), sum(different) FROM seen_by_triggers();
SELECT relation, outcome, reason, row_count FROM tenantmig.undo_counts ORDER BY 1, 2, 3;
-- what a trigger has changed beside the key stays changed
SELECT count(*) FROM below.before_row WHERE company_id IS NULL AND note LIKE '%!!';

-- errors of triggers: the same code and words
CALL twice($twice$
CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF NEW.id = 500 THEN RAISE EXCEPTION USING ERRCODE = 'P1234', MESSAGE = 'not this row', DETAIL = format('It is %s.', NEW), HINT = 'Take another one.'; END IF;
  RETURN NEW;
END $$;
CREATE TABLE raising (id integer PRIMARY KEY, company_id integer, note text);
CREATE TRIGGER a BEFORE UPDATE ON raising FOR EACH ROW EXECUTE FUNCTION fail();
CREATE TABLE raising_after (id integer PRIMARY KEY, company_id integer, note text);
CREATE TRIGGER a AFTER UPDATE OF company_id ON raising_after FOR EACH ROW EXECUTE FUNCTION fail();
CREATE FUNCTION override() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.id = 500 THEN NEW.company_id := 1 + NEW.company_id % 8; END IF; RETURN NEW; END $$;
CREATE TABLE overriding (id integer PRIMARY KEY, company_id integer, note text);
CREATE TRIGGER a BEFORE UPDATE ON overriding FOR EACH ROW EXECUTE FUNCTION override();
CREATE FUNCTION erase() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.id = 500 THEN NEW.company_id := NULL; END IF; RETURN NEW; END $$;
CREATE TABLE erasing (id integer PRIMARY KEY, company_id integer, note text);
CREATE TRIGGER a BEFORE UPDATE ON erasing FOR EACH ROW EXECUTE FUNCTION erase();
CREATE FUNCTION suppress() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.id = 500 THEN RETURN NULL; END IF; RETURN NEW; END $$;
CREATE TABLE suppressing (id integer PRIMARY KEY, company_id integer, note text);
CREATE TRIGGER a BEFORE UPDATE ON suppressing FOR EACH ROW EXECUTE FUNCTION suppress();
CREATE FUNCTION next_row() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  EXECUTE format('UPDATE %I.next_row SET note = note || ''+'' WHERE id = $1 + 1 AND pg_trigger_depth() = 1', tg_table_schema) USING NEW.id;
  RETURN NEW;
END $$;
CREATE TABLE next_row (id integer PRIMARY KEY, company_id integer, note text);
CREATE TRIGGER a BEFORE UPDATE ON next_row FOR EACH ROW WHEN (NEW.id = 500) EXECUTE FUNCTION next_row();
CREATE TABLE own_row (id integer PRIMARY KEY, company_id integer, note text);
CREATE FUNCTION own_row() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  EXECUTE format('UPDATE %I.own_row SET note = note || ''+'' WHERE id = $1', tg_table_schema) USING NEW.id;
  RETURN NEW;
END $$;
CREATE TRIGGER a BEFORE UPDATE OF company_id ON own_row FOR EACH ROW WHEN (NEW.id = 500) EXECUTE FUNCTION own_row();
CREATE TABLE statement_fails (id integer PRIMARY KEY, company_id integer, note text);
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no % of % today', tg_op, tg_table_name USING ERRCODE = '0A000'; END $$;
CREATE TRIGGER a BEFORE UPDATE OF company_id ON statement_fails EXECUTE FUNCTION refuse();
CREATE TABLE deferred (id integer PRIMARY KEY, company_id integer, note text);
CREATE CONSTRAINT TRIGGER a AFTER UPDATE ON deferred DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION fail();
SELECT fill(t::regclass) FROM unnest('{raising,raising_after,overriding,erasing,suppressing,next_row,own_row,statement_fails,deferred}'::text[]) t;
$twice$);
CALL migrate('raising');
CALL tenantmig.run('below');
\echo :LAST_ERROR_SQLSTATE
SELECT tenantmig.backfill('through');
\echo :LAST_ERROR_SQLSTATE
CALL migrate('raising_after');
CALL tenantmig.run('below');
\echo :LAST_ERROR_SQLSTATE
SELECT tenantmig.backfill('through');
\echo :LAST_ERROR_SQLSTATE
CALL migrate('overriding');
CALL tenantmig.run('below');
\echo :LAST_ERROR_SQLSTATE
SELECT tenantmig.backfill('through');
\echo :LAST_ERROR_SQLSTATE
CALL migrate('erasing');
CALL tenantmig.run('below');
\echo :LAST_ERROR_SQLSTATE
SELECT tenantmig.backfill('through');
\echo :LAST_ERROR_SQLSTATE
CALL migrate('suppressing');
CALL tenantmig.run('below');
\echo :LAST_ERROR_SQLSTATE
SELECT tenantmig.backfill('through');
\echo :LAST_ERROR_SQLSTATE
CALL migrate('next_row');
CALL tenantmig.run('below');
\echo :LAST_ERROR_SQLSTATE
SELECT tenantmig.backfill('through');
\echo :LAST_ERROR_SQLSTATE
CALL migrate('own_row');
CALL tenantmig.run('below');
\echo :LAST_ERROR_SQLSTATE
SELECT tenantmig.backfill('through');
\echo :LAST_ERROR_SQLSTATE
CALL migrate('statement_fails');
CALL tenantmig.run('below');
\echo :LAST_ERROR_SQLSTATE
SELECT tenantmig.backfill('through');
\echo :LAST_ERROR_SQLSTATE
CALL migrate('deferred');
CALL tenantmig.run('below');
\echo :LAST_ERROR_SQLSTATE
SELECT tenantmig.backfill('through');
\echo :LAST_ERROR_SQLSTATE

-- the owner who has taken the right from himself
CREATE ROLE regress_twin;
GRANT USAGE ON SCHEMA below, through TO regress_twin;
CALL twice('CREATE TABLE denied (id integer PRIMARY KEY, company_id integer, note text); SELECT fill(''denied''); ALTER TABLE denied OWNER TO regress_twin; REVOKE UPDATE ON denied FROM regress_twin');
CALL migrate('denied');
CALL tenantmig.run('below');
\echo :LAST_ERROR_SQLSTATE
SELECT tenantmig.backfill('through');
\echo :LAST_ERROR_SQLSTATE
CALL twice('GRANT UPDATE (company_id) ON denied TO regress_twin');
CALL tenantmig.run('below');
SELECT count(*) FROM tenantmig.backfill('through');
SELECT * FROM compare();

-- one transaction has left nothing where there was an error
SELECT sum(keys) AS keys FROM unnest('{raising,raising_after,overriding,erasing,suppressing,next_row,own_row,statement_fails,deferred}'::text[]) t,
  LATERAL (SELECT (xpath('/row/keys/text()', query_to_xml(format('SELECT count(company_id) AS keys FROM through.%I', t), false, true, '')))[1]::text::integer AS keys) k;

DROP EXTENSION tenantmig CASCADE;
SET client_min_messages = error;
DROP SCHEMA below, through, twins CASCADE;
DROP ROLE regress_twin;
