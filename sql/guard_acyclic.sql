-- The guard of kind acyclic: cycles of one, two and many rows; statements of many rows; partitions, other key types, cycles that are there already; compared with a recursive query.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tenantmig CASCADE;
CREATE EXTENSION tenantmig;
CREATE ROLE regress_guard_owner;
CREATE SCHEMA tree AUTHORIZATION regress_guard_owner;
SELECT tenantmig.grant_access('regress_guard_owner', 'operator');
SET ROLE regress_guard_owner;
SET search_path = tree;
CREATE TABLE policies (id integer PRIMARY KEY, "overrides ""id""" integer REFERENCES policies, note text);
SELECT relation, column_name, kind, outcome FROM tenantmig.attach_guard('policies', '"overrides ""id"""', 'acyclic');
INSERT INTO policies VALUES (1, NULL), (2, 1), (3, 2);
INSERT INTO policies VALUES (4, 4);
\echo :LAST_ERROR_SQLSTATE
UPDATE policies SET "overrides ""id""" = 1 WHERE id = 1;
UPDATE policies SET "overrides ""id""" = 3 WHERE id = 1;
UPDATE policies SET note = 'touched', "overrides ""id""" = "overrides ""id""";
-- a chain in one statement, a cycle in one statement, a swap in one statement
INSERT INTO policies VALUES (10, 11), (11, 12), (12, NULL);
INSERT INTO policies VALUES (20, 21), (21, 22), (22, 20);
INSERT INTO policies VALUES (20, 21), (21, 22), (22, 10), (23, 24), (24, 23);
UPDATE policies SET "overrides ""id""" = CASE id WHEN 10 THEN NULL WHEN 11 THEN 10 ELSE 11 END WHERE id IN (10, 11, 12);
UPDATE policies SET "overrides ""id""" = CASE id WHEN 10 THEN 11 WHEN 11 THEN 10 END WHERE id IN (10, 11);
WITH i AS (INSERT INTO policies VALUES (30, 3) RETURNING id) UPDATE policies SET "overrides ""id""" = 30 WHERE id = 1;
BEGIN;
INSERT INTO policies VALUES (30, 3);
UPDATE policies SET "overrides ""id""" = 30 WHERE id = 1;
ROLLBACK;
COPY policies FROM stdin;
40	41	a
41	40	b
\.
MERGE INTO policies p USING (VALUES (1, 3)) v (id, up) ON p.id = v.id WHEN MATCHED THEN UPDATE SET "overrides ""id""" = v.up;
INSERT INTO policies VALUES (1, 2) ON CONFLICT (id) DO UPDATE SET "overrides ""id""" = EXCLUDED."overrides ""id""";
-- a long one is cut
INSERT INTO policies SELECT 1000 + n, nullif(1000 + n - 1, 1000) FROM generate_series(1, 500) n;
UPDATE policies SET "overrides ""id""" = 1500 WHERE id = 1001;
SELECT * FROM policies WHERE id < 100 ORDER BY id;
SELECT status FROM tenantmig.check_guards();
-- renamed; then silent under logical replication apply
ALTER TABLE policies RENAME "overrides ""id""" TO above;
UPDATE policies SET above = 3 WHERE id = 1;
RESET ROLE;
SET session_replication_role = replica;
UPDATE tree.policies SET above = 3 WHERE id = 1;
RESET session_replication_role;
SET ROLE regress_guard_owner;
SELECT status, detail FROM tenantmig.check_guards() ORDER BY 1, 2;
-- a row that leads into a cycle that is there already
INSERT INTO policies VALUES (50, 2);
UPDATE policies SET above = 1 WHERE id = 12;
UPDATE policies SET above = NULL WHERE id = 1;
INSERT INTO policies VALUES (50, 2);

-- random moves, compared with a recursive query: a move is refused exactly if it would close a cycle
CREATE TABLE moves (id integer PRIMARY KEY, up integer REFERENCES moves);
CREATE UNIQUE INDEX ON moves (id, up);
INSERT INTO moves SELECT n FROM generate_series(1, 30) n;
CREATE TRIGGER g AFTER INSERT OR UPDATE ON moves FOR EACH ROW EXECUTE FUNCTION tenantmig.guard_acyclic('up');
CREATE FUNCTION try_moves() RETURNS TABLE (agreed bigint, refused bigint, moved bigint) LANGUAGE plpgsql AS $$
DECLARE child integer; parent integer; closes boolean; said boolean;
BEGIN
  agreed = 0; refused = 0; moved = 0;
  PERFORM setseed(0.42);
  FOR i IN 1..600 LOOP
    child = 1 + floor(random() * 30); parent = 1 + floor(random() * 30);
    WITH RECURSIVE up_from (id) AS (SELECT parent UNION SELECT m.up FROM moves m JOIN up_from u ON m.id = u.id WHERE m.up IS NOT NULL)
    SELECT child IN (SELECT id FROM up_from) INTO closes;
    BEGIN
      UPDATE moves SET up = parent WHERE id = child;
      said = false;
    EXCEPTION WHEN check_violation THEN said = true;
    END;
    IF said = closes THEN agreed = agreed + 1; END IF;
    IF said THEN refused = refused + 1; ELSE moved = moved + 1; END IF;
  END LOOP;
  RETURN NEXT;
END $$;
SELECT agreed, refused > 50 AS many_refused, moved > 50 AS many_moved FROM try_moves();

-- text keys on a partitioned table; a deferred reference
CREATE TABLE scopes (id text, up text, PRIMARY KEY (id)) PARTITION BY LIST (id);
CREATE TABLE scopes_a (up text, gone integer, id text NOT NULL);
ALTER TABLE scopes_a DROP gone;
ALTER TABLE scopes ATTACH PARTITION scopes_a FOR VALUES IN ('a', 'b');
CREATE TABLE scopes_b PARTITION OF scopes DEFAULT;
ALTER TABLE scopes ADD FOREIGN KEY (up) REFERENCES scopes DEFERRABLE INITIALLY DEFERRED;
SELECT relation, outcome FROM tenantmig.attach_guard('scopes', 'up', 'acyclic');
INSERT INTO scopes VALUES ('a', NULL), ('c', 'a'), ('b', 'c');
UPDATE scopes SET up = 'b' WHERE id = 'a';
BEGIN;
INSERT INTO scopes VALUES ('x', 'y');
INSERT INTO scopes VALUES ('y', 'z');
INSERT INTO scopes VALUES ('z', 'x');
ROLLBACK;
INSERT INTO scopes_b VALUES ('d', 'd');

-- the plain form says what is wrong with it
CREATE TABLE others (id integer PRIMARY KEY);
CREATE TABLE plain (id integer PRIMARY KEY, up integer REFERENCES plain, loose integer, other integer REFERENCES others);
CREATE FUNCTION attempt(arguments text, timing text DEFAULT 'AFTER') RETURNS void LANGUAGE plpgsql AS $$
DECLARE message text; detail text; hint text;
BEGIN
  EXECUTE format('CREATE TRIGGER g %s INSERT ON plain FOR EACH ROW EXECUTE FUNCTION tenantmig.guard_acyclic(%s)', timing, arguments);
  INSERT INTO plain VALUES (1, 1);
  DROP TRIGGER g ON plain;
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
  RAISE WARNING '% % | % | %', SQLSTATE, message, detail, hint;
END $$;
SELECT attempt($$'up'$$);
SELECT attempt($$'above'$$);
SELECT attempt($$'loose'$$);
SELECT attempt($$'other'$$);
SELECT attempt($$'up', 'other'$$);
SELECT attempt($$'up'$$, 'BEFORE');
SELECT attempt($$'4711'$$);
RESET ROLE;
DROP EXTENSION tenantmig CASCADE;
DROP SCHEMA tree CASCADE;
DROP OWNED BY regress_guard_owner;
DROP ROLE regress_guard_owner;
