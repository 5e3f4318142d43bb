-- The guard of kind prefix: its message, every way a row comes in, what an UPDATE may leave as it is, encodings, generated columns, partitions, renames, and the plain form.
\pset null -
\set SHOW_CONTEXT never
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tenantmig CASCADE;
CREATE EXTENSION tenantmig;
CREATE SCHEMA gp;
SET search_path = gp;
-- errors without the place in our source
CREATE FUNCTION attempt(command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE d text; h text; s text; t text; c text;
BEGIN
  EXECUTE command;
  RETURN 'passed';
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS d = PG_EXCEPTION_DETAIL, h = PG_EXCEPTION_HINT, s = SCHEMA_NAME, t = TABLE_NAME, c = COLUMN_NAME;
  RETURN concat_ws(E'\n', SQLSTATE || ': ' || SQLERRM, 'DETAIL: ' || nullif(d, ''), 'HINT: ' || regexp_replace(nullif(h, ''), 'detach_guard\(\d+\)', 'detach_guard(N)'), 'AT: ' || nullif(concat_ws('.', s, t, c), '..'));
END $$;
CREATE TABLE domains (domain text PRIMARY KEY);
INSERT INTO domains VALUES ('finance'), ('logistics'), ('finance.sub');
CREATE TABLE scopes (id integer PRIMARY KEY, scope_id text UNIQUE, domain text REFERENCES domains, note text);
INSERT INTO scopes VALUES (1, 'old', 'finance'), (2, NULL, NULL), (3, 'finance.right', 'finance');
SELECT step, relation, column_name, kind, mode, trigger_name ~ '^zz_tenantmig_guard_\d+$' AS named, outcome FROM tenantmig.attach_guard('scopes', 'scope_id', 'prefix', '{"key": "domain", "separator": "."}');
SELECT last_value AS before FROM tenantmig.guard_refusal_seq \gset

-- the message
SELECT attempt($$INSERT INTO scopes VALUES (9, 'logistics.prod.system', 'finance')$$);
SELECT attempt($$INSERT INTO scopes VALUES (9, NULL, 'finance')$$);
SELECT attempt($$INSERT INTO scopes VALUES (9, '', 'finance')$$);
SELECT attempt($$INSERT INTO scopes VALUES (9, 'finance.x', NULL)$$);
SELECT attempt($$INSERT INTO scopes VALUES (9, NULL, NULL)$$);
ALTER TABLE scopes DROP CONSTRAINT scopes_domain_fkey;
SELECT attempt($$INSERT INTO scopes VALUES (9, '.x', '')$$);
SELECT attempt($$INSERT INTO scopes VALUES (9, '', '')$$);
-- the refused are counted, although they were rolled back
SELECT last_value - :before AS refused FROM tenantmig.guard_refusal_seq;
-- just the key, the key without its separator, a longer key, another case, the key with nothing after it
SELECT attempt($$INSERT INTO scopes VALUES (9, 'finance', 'finance')$$);
SELECT attempt($$INSERT INTO scopes VALUES (9, 'financex.y', 'finance')$$);
SELECT attempt($$INSERT INTO scopes VALUES (9, 'finance.sub', 'finance.sub')$$);
SELECT attempt($$INSERT INTO scopes VALUES (9, 'Finance.x', 'finance')$$);
INSERT INTO scopes VALUES (10, 'finance.', 'finance'), (11, 'finance.sub.x', 'finance'), (12, 'finance.sub.y', 'finance.sub');
-- a long value is cut, at a character
SELECT attempt(format($$INSERT INTO scopes VALUES (9, %L, 'finance')$$, repeat('ä', 2000)));

-- an UPDATE: of other columns, of these to what they are, of these to something wrong
UPDATE scopes SET note = 'touched';
UPDATE scopes SET scope_id = scope_id, domain = domain, note = 'again';
SELECT id, scope_id, domain, note FROM scopes ORDER BY id;
SELECT attempt($$UPDATE scopes SET domain = 'logistics' WHERE id = 3$$);
SELECT attempt($$UPDATE scopes SET scope_id = 'logistics.x' WHERE id = 3$$);
SELECT attempt($$UPDATE scopes SET scope_id = NULL WHERE id = 3$$);
SELECT attempt($$UPDATE scopes SET domain = 'logistics', scope_id = 'logistics.x' WHERE id = 3$$);
SELECT attempt($$UPDATE scopes SET domain = 'logistics' WHERE id = 1$$);
SELECT attempt($$UPDATE scopes SET scope_id = 'finance.corrected' WHERE id = 1$$);
-- another trigger may change what the UPDATE does not name
CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.domain := 'finance'; RETURN NEW; END $$;
CREATE TRIGGER meddle BEFORE INSERT OR UPDATE OF note ON scopes FOR EACH ROW EXECUTE FUNCTION meddle();
SELECT attempt($$UPDATE scopes SET note = 'meddled with' WHERE id = 3$$);
SELECT attempt($$INSERT INTO scopes VALUES (9, 'logistics.x', 'logistics')$$);
DROP TRIGGER meddle ON scopes;
-- a compressed and a toasted value
ALTER TABLE scopes DROP CONSTRAINT scopes_scope_id_key;
INSERT INTO scopes VALUES (20, 'finance.' || repeat('x', 100000), 'finance');
CREATE TABLE texts AS SELECT string_agg(md5(g::text), '') AS long FROM generate_series(1, 5000) g;
INSERT INTO scopes SELECT 21, 'finance.' || long, 'finance' FROM texts;
UPDATE scopes SET note = 'long' WHERE id >= 20;
SELECT left(attempt($$INSERT INTO scopes SELECT 22, long, long || 'x' FROM texts$$), 80);
SELECT attempt($$UPDATE scopes SET domain = 'logistics' WHERE id = 21$$) LIKE '23514:%' AS refused;

-- COPY, MERGE, ON CONFLICT, a writable CTE, a prepared statement
COPY scopes (id, scope_id, domain) FROM stdin;
30	finance.copied	finance
\.
\set VERBOSITY terse
COPY scopes (id, scope_id, domain) FROM stdin;
31	finance.copied	finance
32	copied	finance
\.
\set VERBOSITY default
SELECT attempt($$MERGE INTO scopes s USING (VALUES (30, 'merged'), (33, 'finance.merged')) v(id, scope_id) ON s.id = v.id WHEN MATCHED THEN UPDATE SET scope_id = v.scope_id WHEN NOT MATCHED THEN INSERT VALUES (v.id, v.scope_id, 'finance')$$);
SELECT attempt($$MERGE INTO scopes s USING (VALUES (30, 'finance.merged'), (33, 'merged')) v(id, scope_id) ON s.id = v.id WHEN MATCHED THEN UPDATE SET scope_id = v.scope_id WHEN NOT MATCHED THEN INSERT VALUES (v.id, v.scope_id, 'finance')$$);
SELECT attempt($$MERGE INTO scopes s USING (VALUES (30, 'finance.merged'), (33, 'finance.merged2')) v(id, scope_id) ON s.id = v.id WHEN MATCHED THEN UPDATE SET scope_id = v.scope_id WHEN NOT MATCHED THEN INSERT VALUES (v.id, v.scope_id, 'finance')$$);
SELECT attempt($$INSERT INTO scopes VALUES (30, 'finance.c', 'finance') ON CONFLICT (id) DO UPDATE SET scope_id = 'conflicting'$$);
SELECT attempt($$INSERT INTO scopes VALUES (30, 'finance.c', 'finance') ON CONFLICT (id) DO UPDATE SET scope_id = excluded.scope_id || '.again'$$);
SELECT attempt($$WITH w AS (INSERT INTO scopes VALUES (40, 'x', 'finance') RETURNING id) SELECT * FROM w$$);
PREPARE put(text, text) AS INSERT INTO scopes VALUES (50, $1, $2);
EXECUTE put('finance.prepared', 'finance');
SELECT id, scope_id, domain FROM scopes WHERE id BETWEEN 30 AND 60 ORDER BY id;

-- renames of table, columns, trigger
ALTER TABLE scopes RENAME scope_id TO "Scope ""ID""";
ALTER TABLE scopes RENAME domain TO "key";
ALTER TABLE scopes RENAME TO "The Scopes";
SELECT trigger AS name FROM tenantmig.guards \gset
ALTER TRIGGER :name ON "The Scopes" RENAME TO "a guard";
SELECT attempt($$INSERT INTO "The Scopes" VALUES (60, 'logistics.x', 'finance')$$);
SELECT relation, column_name, trigger, enabled FROM tenantmig.guards;
SELECT check_name, status, expected, actual, detail FROM tenantmig.check_guards();
-- the oracle, in plain SQL
SELECT count(*) FROM "The Scopes" WHERE NOT coalesce(left("Scope ""ID""", length("key") + 1) = "key" || '.' AND "key" <> '', false);
ALTER TABLE "The Scopes" DROP "key";
SELECT attempt($$INSERT INTO "The Scopes" VALUES (61, 'x')$$);
SELECT check_name, status, actual, regexp_replace(detail, '\d+', 'N') AS detail FROM tenantmig.check_guards();
SELECT outcome FROM tenantmig.detach_guard((SELECT id FROM tenantmig.guards));
INSERT INTO "The Scopes" VALUES (61, 'x');
DROP TABLE "The Scopes";

-- varchar, domains, long separators, a multi-byte one, a partition with columns in another order
CREATE DOMAIN label AS varchar(40) CHECK (VALUE <> 'never');
CREATE TABLE wide (dropped integer, place varchar(20), id label, region integer) PARTITION BY LIST (region);
ALTER TABLE wide DROP dropped;
CREATE TABLE wide_1 (region integer, id label, gone text, place varchar(20));
ALTER TABLE wide_1 DROP gone;
ALTER TABLE wide ATTACH PARTITION wide_1 FOR VALUES IN (1);
CREATE TABLE wide_2 PARTITION OF wide FOR VALUES IN (2) PARTITION BY LIST (place);
SELECT outcome FROM tenantmig.attach_guard('wide', 'id', 'prefix', '{"key": "place", "separator": "→é"}');
CREATE TABLE wide_21 PARTITION OF wide_2 FOR VALUES IN ('köln');
SELECT attempt($$INSERT INTO wide VALUES ('köln', 'köln→éx', 1), ('köln', 'köln→éx', 2)$$);
SELECT attempt($$INSERT INTO wide VALUES ('köln', 'köln→e', 1)$$);
SELECT attempt($$INSERT INTO wide VALUES ('köln', 'kö', 2)$$);
SELECT attempt($$INSERT INTO wide_1 (id, place, region) VALUES ('x', 'köln', 1)$$);
SELECT attempt($$UPDATE wide SET region = 1, id = 'moved' WHERE region = 2$$);
SELECT attempt($$UPDATE wide SET region = 2 WHERE region = 1$$);
ALTER TABLE wide RENAME place TO town;
SELECT attempt($$INSERT INTO wide VALUES ('köln', 'bonn→éx', 1)$$);
SELECT tableoid::regclass, town, id FROM wide ORDER BY 1, 2, 3;
SELECT check_name, status, actual FROM tenantmig.check_guards();
DROP TABLE wide;

-- generated columns are looked at afterwards
CREATE TABLE made (id integer PRIMARY KEY, scope_id text, domain text GENERATED ALWAYS AS (nullif(split_part(scope_id, '.', 1), 'none')) STORED);
CREATE TABLE maker (id integer PRIMARY KEY, name text, domain text, scope_id text GENERATED ALWAYS AS (name || '.x') STORED);
SELECT outcome FROM tenantmig.attach_guard('made', 'scope_id', 'prefix', '{"key": "domain", "separator": "."}');
SELECT outcome FROM tenantmig.attach_guard('maker', 'scope_id', 'prefix', '{"key": "domain", "separator": "."}');
SELECT tgrelid::regclass, tgtype & 2 <> 0 AS before FROM pg_trigger WHERE tgname LIKE 'zz\_tenantmig%' ORDER BY 1;
SELECT attempt($$INSERT INTO made VALUES (1, 'finance.x')$$);
SELECT attempt($$INSERT INTO made VALUES (2, 'none.x')$$);
SELECT attempt($$INSERT INTO made VALUES (3, 'nodot')$$);
SELECT attempt($$UPDATE made SET scope_id = 'nodot'$$);
SELECT attempt($$INSERT INTO maker VALUES (1, 'finance', 'finance')$$);
SELECT attempt($$UPDATE maker SET name = 'logistics'$$);
SELECT attempt($$UPDATE maker SET name = 'logistics', domain = 'logistics'$$);
SELECT attempt($$ALTER TABLE maker DROP COLUMN name CASCADE$$);
SELECT attempt($$INSERT INTO maker VALUES (2, 'x')$$);
DROP TABLE made, maker;

-- the plain form knows names; it is for whoever owns a table
CREATE TABLE plain (id integer, scope_id text, domain text, other integer, made text GENERATED ALWAYS AS ('x') STORED);
CREATE TRIGGER embeds BEFORE INSERT OR UPDATE ON plain FOR EACH ROW EXECUTE FUNCTION tenantmig.guard_prefix('scope_id', 'domain', '.');
SELECT attempt($$INSERT INTO plain VALUES (1, 'finance.x', 'finance'), (2, 'logistics.prod.system', 'finance')$$);
SELECT attempt($$INSERT INTO plain VALUES (1, 'finance.x', 'finance')$$);
ALTER TABLE plain RENAME scope_id TO scope;
SELECT attempt($$INSERT INTO plain VALUES (2, 'finance.x', 'finance')$$);
SELECT attempt($$UPDATE plain SET id = 2$$);
ALTER TABLE plain RENAME scope TO scope_id;
SELECT attempt($$UPDATE plain SET id = 2$$);
ALTER TABLE plain ALTER scope_id TYPE bytea USING '';
SELECT attempt($$INSERT INTO plain VALUES (3, 'x', 'x')$$);
ALTER TABLE plain ALTER scope_id TYPE text USING '';
CREATE FUNCTION plainly(form text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN
  EXECUTE 'CREATE OR REPLACE TRIGGER embeds ' || form;
  RETURN attempt('INSERT INTO plain VALUES (3, ''finance.x'', ''finance'')'); END $$;
SELECT plainly($$BEFORE INSERT ON plain FOR EACH ROW EXECUTE FUNCTION tenantmig.guard_prefix('scope_id', 'other', '.')$$);
SELECT plainly($$BEFORE INSERT ON plain FOR EACH ROW EXECUTE FUNCTION tenantmig.guard_prefix('scope_id', 'domain')$$);
SELECT plainly($$BEFORE INSERT ON plain FOR EACH ROW EXECUTE FUNCTION tenantmig.guard_prefix('scope_id', 'domain', '')$$);
SELECT plainly($$BEFORE INSERT ON plain FOR EACH ROW EXECUTE FUNCTION tenantmig.guard_prefix('scope_id', 'domain', '12345678901234567')$$);
SELECT plainly($$BEFORE INSERT ON plain FOR EACH ROW EXECUTE FUNCTION tenantmig.guard_prefix('Scope_id', 'domain', '.')$$);
SELECT plainly($$BEFORE INSERT ON plain FOR EACH ROW EXECUTE FUNCTION tenantmig.guard_prefix('made', 'domain', '.')$$);
SELECT plainly($$BEFORE INSERT ON plain FOR EACH ROW EXECUTE FUNCTION tenantmig.guard_prefix('xmin', 'domain', '.')$$);
SELECT plainly($$BEFORE INSERT ON plain EXECUTE FUNCTION tenantmig.guard_prefix('scope_id', 'domain', '.')$$);
SELECT plainly($$BEFORE INSERT ON plain FOR EACH ROW EXECUTE FUNCTION tenantmig.guard_prefix('999999')$$);
SELECT plainly($$AFTER INSERT ON plain FOR EACH ROW EXECUTE FUNCTION tenantmig.guard_prefix('made', 'domain', '.')$$);
SELECT plainly($$AFTER INSERT ON plain FOR EACH ROW EXECUTE FUNCTION tenantmig.guard_prefix('scope_id', 'domain', 'ance.')$$);
CREATE OR REPLACE TRIGGER embeds BEFORE DELETE ON plain FOR EACH ROW EXECUTE FUNCTION tenantmig.guard_prefix('scope_id', 'domain', '.');
SELECT attempt($$DELETE FROM plain$$);
DROP TRIGGER embeds ON plain;
CREATE TRIGGER embeds BEFORE TRUNCATE ON plain EXECUTE FUNCTION tenantmig.guard_prefix('scope_id', 'domain', '.');
SELECT attempt($$TRUNCATE plain$$);
CREATE VIEW shown AS SELECT * FROM plain;
CREATE TRIGGER embeds INSTEAD OF INSERT ON shown FOR EACH ROW EXECUTE FUNCTION tenantmig.guard_prefix('scope_id', 'domain', '.');
SELECT attempt($$INSERT INTO shown VALUES (1)$$);
SELECT attempt($$SELECT tenantmig.guard_prefix()$$);
DROP SCHEMA gp CASCADE;
