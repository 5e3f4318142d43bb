-- The guard of kind reference: types, ids, tenants; ids of several types; conditions of rights, losses, renames; compared with plain SQL.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tenantmig CASCADE;
CREATE EXTENSION tenantmig;
CREATE ROLE regress_guard_owner;
CREATE ROLE regress_guard_writer;
CREATE SCHEMA "the shop" AUTHORIZATION regress_guard_owner;
SELECT tenantmig.grant_access('regress_guard_owner', 'operator');
SET ROLE regress_guard_owner;
SET search_path = "the shop";
CREATE TABLE companies (id integer PRIMARY KEY);
INSERT INTO companies VALUES (1), (2);
CREATE TABLE staff (id integer PRIMARY KEY, company_id integer REFERENCES companies);
INSERT INTO staff VALUES (1, 1), (2, 2), (3, NULL);
CREATE TABLE "Files" (id uuid PRIMARY KEY, company_id bigint REFERENCES companies);
INSERT INTO "Files" VALUES ('00000000-0000-0000-0000-0000000000aa', 1);
CREATE TABLE parts (id integer PRIMARY KEY, company_id integer) PARTITION BY RANGE (id);
CREATE TABLE parts_1 PARTITION OF parts DEFAULT;
INSERT INTO parts VALUES (5, 2);
CREATE TABLE notes (id integer PRIMARY KEY, company_id integer REFERENCES companies, "of ""type""" text, of_id text);
SELECT tenantmig.create_migration('{"migration": "n", "tenants": {"table": "companies"}, "steps": [{"guard": {"kind": "reference", "table": "notes", "column": "company_id", "via": "of_id",
  "type_column": "\"of \"\"type\"\"\"", "types": {"Company": "companies", "It''s staff": "staff", "File": "\"Files\"", "Part": "parts"}}}]}');
SELECT relation, column_name, kind, mode, outcome FROM tenantmig.attach_guard('n');
INSERT INTO notes VALUES (1, 1, 'It''s staff', '1'), (2, 2, 'Company', '2'), (3, 1, NULL, NULL), (4, NULL, NULL, NULL), (5, 1, 'File', '00000000-0000-0000-0000-0000000000aa'), (6, 2, 'Part', '5');
INSERT INTO notes VALUES (9, 1, 'Dog', '1');
\echo :LAST_ERROR_SQLSTATE
INSERT INTO notes VALUES (9, 1, 'It''s staff', '77');
\echo :LAST_ERROR_SQLSTATE
INSERT INTO notes VALUES (9, 2, 'It''s staff', '1');
\echo :LAST_ERROR_SQLSTATE
INSERT INTO notes VALUES (9, NULL, 'It''s staff', '1');
INSERT INTO notes VALUES (9, 1, 'It''s staff', '3');
INSERT INTO notes VALUES (9, 1, 'Company', '2');
INSERT INTO notes VALUES (9, 1, 'It''s staff', NULL);
INSERT INTO notes VALUES (9, 1, NULL, '1');
INSERT INTO notes VALUES (9, 1, 'It''s staff', '01');
INSERT INTO notes VALUES (9, 1, 'It''s staff', '99999999999');
INSERT INTO notes VALUES (9, 1, 'It''s staff', repeat('x', 1000));
INSERT INTO notes VALUES (9, 1, 'File', 'no uuid');
INSERT INTO notes VALUES (9, 1, 'Part', '5');
INSERT INTO notes VALUES (9, 1, 'Part', '6');
UPDATE notes SET company_id = 2 WHERE id = 1;
UPDATE notes SET of_id = '2' WHERE id = 1;
UPDATE notes SET "of ""type""" = NULL WHERE id = 1;
UPDATE notes SET company_id = 2, of_id = '2' WHERE id = 1;
UPDATE notes SET of_id = of_id, company_id = company_id;
-- rows of the same statement; COPY, MERGE, ON CONFLICT
WITH s AS (INSERT INTO staff VALUES (4, 1) RETURNING id) INSERT INTO notes SELECT 10, 1, 'It''s staff', id FROM s;
COPY notes FROM stdin;
11	1	Company	1
12	1	Company	2
\.
MERGE INTO notes n USING (VALUES (10, '2')) v (id, of_id) ON n.id = v.id WHEN MATCHED THEN UPDATE SET of_id = v.of_id;
INSERT INTO notes VALUES (10, 1, 'It''s staff', '2') ON CONFLICT (id) DO UPDATE SET of_id = EXCLUDED.of_id;
INSERT INTO notes SELECT 100 + n, 1 + n % 2, 'It''s staff', 1 + n % 2 FROM generate_series(1, 3000) n;
INSERT INTO notes SELECT 10000 + n, 1, 'It''s staff', 1 + n / 2000 FROM generate_series(1, 3000) n;
-- what plain SQL says
SELECT count(*) FROM notes n WHERE "of ""type""" = 'It''s staff' AND NOT EXISTS (SELECT FROM staff s WHERE s.id::text = n.of_id AND s.company_id = n.company_id);
SELECT status FROM tenantmig.check_guards();
-- somebody without rights, row security forced
ALTER TABLE staff ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
GRANT USAGE ON SCHEMA "the shop" TO regress_guard_writer;
GRANT INSERT ON notes TO regress_guard_writer;
SET ROLE regress_guard_writer;
SET search_path = '';
INSERT INTO "the shop".notes VALUES (20000, 1, 'It''s staff', '1');
INSERT INTO "the shop".notes VALUES (20001, 2, 'It''s staff', '1');
SET ROLE regress_guard_owner;
SET search_path = "the shop";
-- renamed; a table that is gone: rows of that type are refused, others pass
ALTER TABLE staff RENAME TO people;
INSERT INTO notes VALUES (20001, 2, 'It''s staff', '1');
DROP TABLE "Files";
INSERT INTO notes VALUES (20001, 1, 'File', '00000000-0000-0000-0000-0000000000aa');
INSERT INTO notes VALUES (20001, 1, 'Company', '1');
REVOKE SELECT ON people FROM regress_guard_owner;
INSERT INTO notes VALUES (20002, 1, 'It''s staff', '1');
GRANT SELECT ON people TO regress_guard_owner;
INSERT INTO notes VALUES (20002, 1, 'It''s staff', '1');
RESET ROLE;
SET session_replication_role = replica;
INSERT INTO "the shop".notes VALUES (20003, 1, 'Dog', '1');
RESET session_replication_role;
SET ROLE regress_guard_owner;
SELECT tenantmig.drop_migration('n');

-- the plain form; only whether rows exist
CREATE TABLE plain (id integer, company_id integer REFERENCES companies, kind text, what integer);
CREATE TRIGGER g AFTER INSERT OR UPDATE ON plain FOR EACH ROW EXECUTE FUNCTION tenantmig.guard_reference('', 'kind', 'what', 'Company=companies', 'Person=people', 'Part="the shop".parts');
INSERT INTO plain VALUES (1, NULL, 'Company', 1), (2, NULL, 'Person', 2), (3, 1, 'Part', 5);
INSERT INTO plain VALUES (1, NULL, 'Person', 88);
DROP TRIGGER g ON plain;
CREATE FUNCTION attempt(arguments text, timing text DEFAULT 'AFTER') RETURNS void LANGUAGE plpgsql AS $$
DECLARE message text; detail text; hint text;
BEGIN
  EXECUTE format('CREATE TRIGGER g %s INSERT ON plain FOR EACH ROW EXECUTE FUNCTION tenantmig.guard_reference(%s)', timing, arguments);
  INSERT INTO plain VALUES (1, 2, 'Company', 1);
  DROP TRIGGER g ON plain;
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
  RAISE WARNING '% % | % | %', SQLSTATE, message, detail, hint;
END $$;
SELECT attempt($$'company_id', 'kind', 'what', 'Company=companies'$$);
SELECT attempt($$'company_id', 'kind', 'what', 'Company'$$);
SELECT attempt($$'company_id', 'kind', 'what'$$);
SELECT attempt($$'company_id', 'kind', 'which', 'Company=companies'$$);
SELECT attempt($$'company_id', 'kind', 'what', 'Company=nowhere'$$);
SELECT attempt($$'company_id', 'kind', 'what', 'Company=pg_catalog.pg_class'$$);
SELECT attempt($$'company_id', 'kind', 'what', 'Company=companies'$$, 'BEFORE');
RESET ROLE;
DROP EXTENSION tenantmig CASCADE;
DROP SCHEMA "the shop" CASCADE;
DROP OWNED BY regress_guard_owner, regress_guard_writer;
DROP ROLE regress_guard_owner, regress_guard_writer;
