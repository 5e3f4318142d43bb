-- The guard of kind same_tenant: the child's and the parent's side, on every way a row comes in; with and without the unique index; as others; in the plain form.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tenantmig CASCADE;
CREATE EXTENSION tenantmig;
CREATE ROLE regress_guard_owner;
CREATE ROLE regress_guard_writer;
CREATE ROLE regress_guard_other;
CREATE SCHEMA "the shop" AUTHORIZATION regress_guard_owner;
SELECT tenantmig.grant_access('regress_guard_owner', 'operator');
SET ROLE regress_guard_owner;
SET search_path = "the shop";
CREATE TABLE companies (id integer PRIMARY KEY);
INSERT INTO companies VALUES (1), (2), (3);
CREATE TABLE "Staff" ("the ""id""" bigint PRIMARY KEY, "Company" integer REFERENCES companies, name text);
CREATE UNIQUE INDEX ON "Staff" ("the ""id""", "Company");
CREATE TABLE requests (id integer PRIMARY KEY, company_id smallint, "staff's id" integer REFERENCES "Staff", note text);
INSERT INTO "Staff" VALUES (10, 1, 'a'), (20, 2, 'b'), (30, NULL, 'c');
SELECT relation, column_name, kind, mode, outcome FROM tenantmig.attach_guard('requests', 'company_id', 'same_tenant', '{"via": "\"staff''s id\"", "tenant": "\"Company\""}');
SELECT relation, column_name, kind, enabled, parent, parent_trigger IS NOT NULL AS guards_parent FROM tenantmig.guards;

-- the child's side
INSERT INTO requests VALUES (1, 1, 10), (2, 2, 20), (3, 3, NULL), (4, NULL, NULL);
INSERT INTO requests VALUES (5, 2, 10);
\echo :LAST_ERROR_SQLSTATE
INSERT INTO requests VALUES (5, NULL, 10);
INSERT INTO requests VALUES (5, 1, 30);
INSERT INTO requests VALUES (5, NULL, 30);
-- a missing parent is the foreign key's business
INSERT INTO requests VALUES (5, 1, 99);
UPDATE requests SET "staff's id" = 20 WHERE id = 1;
UPDATE requests SET company_id = 2 WHERE id = 1;
UPDATE requests SET company_id = 2, "staff's id" = 20 WHERE id = 1;
UPDATE requests SET company_id = 1, "staff's id" = 10 WHERE id = 1;
UPDATE requests SET "staff's id" = 10 WHERE id = 3;
UPDATE requests SET note = 'touched';
-- the parent's side
UPDATE "Staff" SET "Company" = 3 WHERE "the ""id""" = 10;
\echo :LAST_ERROR_SQLSTATE
UPDATE "Staff" SET "Company" = NULL WHERE "the ""id""" = 10;
UPDATE "Staff" SET "Company" = 3, name = 'moved' WHERE "the ""id""" = 30;
UPDATE "Staff" SET name = 'touched';
-- both sides in one statement, and the children first
WITH s AS (UPDATE "Staff" SET "Company" = 2 WHERE "the ""id""" = 10) UPDATE requests SET company_id = 2 WHERE "staff's id" = 10;
BEGIN;
UPDATE requests SET "staff's id" = NULL WHERE "staff's id" = 10;
UPDATE "Staff" SET "Company" = 1 WHERE "the ""id""" = 10;
UPDATE requests SET "staff's id" = 10, company_id = 1 WHERE id = 1;
COMMIT;
WITH s AS (INSERT INTO "Staff" VALUES (11, 1), (12, 2) RETURNING *) INSERT INTO requests SELECT "the ""id""", "Company", "the ""id""" FROM s;
-- a parent that the statement itself moves, and that it moves between its rows
WITH s AS (UPDATE "Staff" SET "Company" = 3 WHERE "the ""id""" = 11) INSERT INTO requests SELECT 100 + n, 1, 11 FROM generate_series(1, 10) n;
-- COPY, MERGE, ON CONFLICT
COPY requests FROM stdin;
50	1	10	copied
51	2	10	copied
\.
COPY requests FROM stdin;
50	1	10	copied
51	2	20	copied
\.
MERGE INTO requests r USING (VALUES (50, 20), (60, 10)) v (id, staff) ON r.id = v.id
  WHEN MATCHED THEN UPDATE SET "staff's id" = v.staff WHEN NOT MATCHED THEN INSERT VALUES (v.id, 1, v.staff);
MERGE INTO requests r USING (VALUES (50, 20), (60, 10)) v (id, staff) ON r.id = v.id
  WHEN MATCHED THEN UPDATE SET "staff's id" = v.staff, company_id = 2 WHEN NOT MATCHED THEN INSERT VALUES (v.id, 1, v.staff);
INSERT INTO requests VALUES (60, 3, 10) ON CONFLICT (id) DO UPDATE SET company_id = 3;
INSERT INTO requests VALUES (60, 3, 10) ON CONFLICT (id) DO NOTHING;
-- many rows, of few parents, some wrong
INSERT INTO requests SELECT 1000 + n, 1 + n % 2, 10 * (1 + n % 2) FROM generate_series(1, 5000) n;
INSERT INTO requests SELECT 10000 + n, 1 + (n / 3000), 10 FROM generate_series(1, 5000) n;
-- what plain SQL says: no child is of another tenant than its parent
CREATE FUNCTION wrong() RETURNS bigint LANGUAGE sql AS $$ SELECT count(*) FROM requests r JOIN "Staff" s ON s."the ""id""" = r."staff's id" WHERE r.company_id IS DISTINCT FROM s."Company" $$;
SELECT count(*), wrong() FROM requests;
SELECT status FROM tenantmig.check_guards();

-- as somebody with no right on the parent, which has row security forced
ALTER TABLE "Staff" ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
GRANT USAGE ON SCHEMA "the shop" TO regress_guard_writer;
GRANT INSERT ON requests TO regress_guard_writer;
SET ROLE regress_guard_writer;
SET search_path = '';
INSERT INTO "the shop".requests VALUES (2000000, 1, 10);
INSERT INTO "the shop".requests VALUES (2000001, 2, 10);
SET ROLE regress_guard_owner;
SET search_path = "the shop";
ALTER TABLE "Staff" NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY;
-- renamed, without the unique index, without any index that serves: other ways to the same answer
ALTER TABLE "Staff" RENAME "Company" TO company_id;
ALTER TABLE "Staff" RENAME TO staff;
INSERT INTO requests VALUES (3000000, 2, 10);
DROP INDEX "Staff_the ""id""_Company_idx";
INSERT INTO requests VALUES (3000000, 2, 10);
INSERT INTO requests VALUES (3000000, 1, 10);
UPDATE staff SET company_id = 3 WHERE "the ""id""" = 10;
-- logical replication apply
RESET ROLE;
SET session_replication_role = replica;
INSERT INTO "the shop".requests VALUES (3000001, 2, 10);
RESET session_replication_role;
DELETE FROM "the shop".requests WHERE id = 3000001;
SELECT d.relation, d.outcome FROM tenantmig.guards g, tenantmig.detach_guard(g.id) d;
INSERT INTO "the shop".requests VALUES (3000000 + 1, 2, 10);
DROP SCHEMA "the shop" CASCADE;

-- partitioned: the child (its partitions with other column numbers) and the parent
CREATE SCHEMA parts AUTHORIZATION regress_guard_owner;
SET ROLE regress_guard_owner;
SET search_path = parts;
CREATE TABLE branches (id integer, region text, company uuid, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE branches_n (gone integer, company uuid, region text NOT NULL, id integer NOT NULL);
ALTER TABLE branches_n DROP gone;
ALTER TABLE branches ATTACH PARTITION branches_n FOR VALUES IN ('n');
CREATE TABLE branches_s PARTITION OF branches FOR VALUES IN ('s');
CREATE TABLE visits (id integer, company uuid, branch integer, branch_region text, day integer, FOREIGN KEY (branch, branch_region) REFERENCES branches) PARTITION BY LIST (day);
CREATE TABLE visits_1 (day integer, branch_region text, gone text, branch integer, company uuid, id integer);
ALTER TABLE visits_1 DROP gone;
ALTER TABLE visits ATTACH PARTITION visits_1 FOR VALUES IN (1);
CREATE TABLE visits_2 PARTITION OF visits DEFAULT;
INSERT INTO branches VALUES (1, 'n', '00000000-0000-0000-0000-0000000000aa'), (1, 's', '00000000-0000-0000-0000-0000000000bb');
SET client_min_messages = notice;
SELECT relation, outcome FROM tenantmig.attach_guard('visits', 'company', 'same_tenant', '{"via": ["branch", "branch_region"], "tenant": "company"}');
SET client_min_messages = warning;
INSERT INTO visits VALUES (1, '00000000-0000-0000-0000-0000000000aa', 1, 'n', 1), (2, '00000000-0000-0000-0000-0000000000bb', 1, 's', 2), (3, NULL, 1, NULL, 1);
INSERT INTO visits VALUES (4, '00000000-0000-0000-0000-0000000000bb', 1, 'n', 1);
INSERT INTO visits_2 VALUES (4, '00000000-0000-0000-0000-0000000000AA', 1, 'n', 7);
INSERT INTO visits_2 VALUES (5, '00000000-0000-0000-0000-0000000000AA', 1, 's', 7);
UPDATE visits SET day = 2, branch_region = 's' WHERE id = 1;
UPDATE visits SET day = 2 WHERE id = 1;
UPDATE branches SET company = '00000000-0000-0000-0000-0000000000cc' WHERE region = 'n';
UPDATE branches SET id = 7, region = 's' WHERE region = 'n';
SELECT tableoid::regclass, * FROM visits ORDER BY id;
SELECT d.relation, d.outcome FROM tenantmig.guards g, tenantmig.detach_guard(g.id) d;

-- a foreign key that is deferred: the child before its parent, which is held to it when it comes
CREATE TABLE companies (id integer PRIMARY KEY);
INSERT INTO companies VALUES (1), (2);
CREATE TABLE orders (id integer PRIMARY KEY, company_id integer REFERENCES companies);
CREATE TABLE lines (id integer PRIMARY KEY, company_id integer REFERENCES companies, order_id integer REFERENCES orders ON UPDATE CASCADE ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED);
CREATE TRIGGER g AFTER INSERT OR UPDATE ON lines FOR EACH ROW EXECUTE FUNCTION tenantmig.guard_same_tenant('company_id', 'order_id');
CREATE TRIGGER g AFTER INSERT OR UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION tenantmig.guard_same_tenant('company_id');
BEGIN;
INSERT INTO lines VALUES (1, 1, 1), (2, 1, 1);
INSERT INTO orders VALUES (1, 2);
ROLLBACK;
BEGIN;
INSERT INTO lines VALUES (1, 1, 1), (2, 1, 1);
INSERT INTO orders VALUES (1, 1);
COMMIT;
UPDATE orders SET id = 5;
UPDATE orders SET id = 6, company_id = 2;
DELETE FROM orders;
SELECT * FROM lines ORDER BY id;
-- moved in two statements, by constraint triggers that wait for the end
INSERT INTO orders VALUES (1, 1);
UPDATE lines SET order_id = 1;
DROP TRIGGER g ON lines;
DROP TRIGGER g ON orders;
CREATE CONSTRAINT TRIGGER g AFTER INSERT OR UPDATE ON lines DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION tenantmig.guard_same_tenant('company_id', 'order_id', 'company_id');
CREATE CONSTRAINT TRIGGER g AFTER INSERT OR UPDATE ON orders DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION tenantmig.guard_same_tenant('company_id');
BEGIN;
UPDATE orders SET company_id = 2;
UPDATE lines SET company_id = 2;
COMMIT;
BEGIN;
UPDATE orders SET company_id = 1;
COMMIT;
SELECT * FROM lines ORDER BY id;

-- a table that is its own parent
CREATE TABLE nodes (id integer PRIMARY KEY, company_id integer, up integer REFERENCES nodes);
SELECT relation, outcome FROM tenantmig.attach_guard('nodes', 'company_id', 'same_tenant', '{"via": "up", "tenant": "company_id"}');
INSERT INTO nodes VALUES (1, 1, NULL), (2, 1, 1), (3, 1, 2);
INSERT INTO nodes VALUES (4, 2, 3);
UPDATE nodes SET company_id = 2 WHERE id = 2;
UPDATE nodes SET company_id = 2 WHERE id < 3;
UPDATE nodes SET company_id = 2;
SELECT count(*) FROM nodes WHERE company_id = 2;

-- the plain form says what is wrong with it
CREATE TABLE plain (id integer, company_id integer, order_id integer REFERENCES orders, loose integer);
CREATE FUNCTION attempt(arguments text, timing text DEFAULT 'AFTER') RETURNS void LANGUAGE plpgsql AS $$
DECLARE message text; detail text; hint text;
BEGIN
  EXECUTE format('CREATE TRIGGER g %s INSERT ON plain FOR EACH ROW EXECUTE FUNCTION tenantmig.guard_same_tenant(%s)', timing, arguments);
  INSERT INTO plain VALUES (1, 2, 1, 1);
  DROP TRIGGER g ON plain;
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
  RAISE WARNING '% % | % | %', SQLSTATE, message, detail, hint;
END $$;
SELECT attempt($$'company_id', 'order_id'$$);
SELECT attempt($$'company', 'order_id'$$);
SELECT attempt($$'company_id', 'loose'$$);
SELECT attempt($$'company_id', 'order_id', 'tenant'$$);
SELECT attempt($$'company_id', 'order_id', 'company_id', 'x'$$);
SELECT attempt('');
SELECT attempt($$'company_id', 'order_id'$$, 'BEFORE');
SELECT tenantmig.guard_same_tenant();
\echo :LAST_ERROR_SQLSTATE
RESET ROLE;
-- a parent that the owner of the table may not read
GRANT USAGE ON SCHEMA tenantmig TO regress_guard_other;
GRANT USAGE, CREATE ON SCHEMA parts TO regress_guard_other;
GRANT REFERENCES ON parts.orders TO regress_guard_other;
SET ROLE regress_guard_other;
CREATE TABLE parts.foreign_lines (company_id integer, order_id integer REFERENCES parts.orders);
CREATE TRIGGER g AFTER INSERT ON parts.foreign_lines FOR EACH ROW EXECUTE FUNCTION tenantmig.guard_same_tenant('company_id', 'order_id');
INSERT INTO parts.foreign_lines VALUES (1, 1);
\echo :LAST_ERROR_SQLSTATE
RESET ROLE;
DROP EXTENSION tenantmig CASCADE;
DROP SCHEMA parts CASCADE;
DROP OWNED BY regress_guard_owner, regress_guard_writer, regress_guard_other;
DROP ROLE regress_guard_owner, regress_guard_writer, regress_guard_other;
