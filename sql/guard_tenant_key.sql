-- The guard of kind tenant_key: filling, refusing, noting; on every way a row comes in; after renames and losses; and nobody gains a right.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tenantmig CASCADE;
CREATE EXTENSION tenantmig;
CREATE ROLE regress_guard_owner;
CREATE ROLE regress_guard_writer;
CREATE SCHEMA "the shop" AUTHORIZATION regress_guard_owner;
SELECT tenantmig.grant_access('regress_guard_owner', 'operator');
SET ROLE regress_guard_owner;
SET search_path = "the shop";
CREATE TABLE companies (id integer PRIMARY KEY, name text);
INSERT INTO companies VALUES (1, 'one'), (2, 'two'), (3, 'three');
CREATE TABLE branches (id bigint PRIMARY KEY, company_id integer);
INSERT INTO branches VALUES (10, 1), (20, 2), (30, NULL), (90, 99);
CREATE TABLE regions (id integer PRIMARY KEY, branch_id bigint REFERENCES branches);
INSERT INTO regions VALUES (1, 10), (2, 20), (3, NULL);
CREATE TABLE "Invoices" (id uuid PRIMARY KEY, company_id integer);
INSERT INTO "Invoices" VALUES ('00000000-0000-0000-0000-0000000000aa', 1), ('00000000-0000-0000-0000-0000000000bb', 2);
CREATE TABLE orders (id integer PRIMARY KEY, company_id integer);
INSERT INTO orders VALUES (7, 3);
CREATE TABLE customers (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "Company" integer, "the ""branch""" bigint REFERENCES branches, region_id integer REFERENCES regions,
  owner_id text, owner_type text, note text);
CREATE TABLE visits (id integer PRIMARY KEY, customer_id integer REFERENCES customers, company_id integer);
SELECT tenantmig.create_migration('{"migration": "it''s", "tenants": {"table": "companies"}, "steps": [
  {"backfill": {"table": "customers", "column": "\"Company\"", "sources": [
     {"via": "visits.customer_id", "tenant": "company_id"}, {"via": "\"the \"\"branch\"\"\"", "tenant": "company_id"}, {"path": ["region_id", "branch_id"], "tenant": "company_id"},
     {"via": "owner_id", "type_column": "owner_type", "types": {"Invoice": "\"Invoices\"", "Or''der": "orders"}, "tenant": "company_id"}]}},
  {"guard": {"kind": "tenant_key", "table": "customers", "column": "\"Company\"", "mode": "fill"}}]}');
SELECT step, kind, relation, column_name FROM tenantmig.steps WHERE migration = 'it''s';
SELECT step, relation, column_name, kind, mode, trigger_name ~ '^tenantmig_guard_\d+$' AS named, outcome FROM tenantmig.attach_guard('it''s');
SELECT step, outcome FROM tenantmig.attach_guard('it''s', 2);
RESET ROLE;
SELECT migration, relation, column_name, kind, mode, trigger ~ '^tenantmig_guard_\d+$' AS named, enabled, attached_by, step, always FROM tenantmig.guards;
-- what the owner was lent for the moment of making the trigger is not more than it had
SELECT has_schema_privilege('regress_guard_owner', 'tenantmig', 'CREATE') AS schema, has_table_privilege('regress_guard_owner', 'tenantmig.drift_log', 'INSERT') AS log;
SET ROLE regress_guard_owner;

CREATE FUNCTION seen() RETURNS TABLE (drift text) LANGUAGE sql AS $$
  SELECT concat_ws(' | ', kind, row_key, relation, column_name, 'found ' || found, 'expected ' || expected, detail, role, application_name) FROM tenantmig.drift ORDER BY id $$;
RESET ROLE;
CREATE FUNCTION forget() RETURNS void LANGUAGE sql SECURITY DEFINER AS 'DELETE FROM tenantmig.drift_log';
GRANT EXECUTE ON FUNCTION forget() TO PUBLIC;
SET ROLE regress_guard_owner;

-- parent, path, polymorphic (a uuid and an integer as text), several that agree
INSERT INTO customers ("the ""branch""") VALUES (10) RETURNING "Company";
INSERT INTO customers (region_id) VALUES (2) RETURNING "Company";
INSERT INTO customers (owner_type, owner_id) VALUES ('Invoice', '00000000-0000-0000-0000-0000000000aa'), ('Or''der', '7') RETURNING "Company";
INSERT INTO customers ("the ""branch""", region_id, owner_type, owner_id) VALUES (20, 2, 'Invoice', '00000000-0000-0000-0000-0000000000bb') RETURNING "Company";
-- a parent of the same transaction, and of the same statement
BEGIN;
INSERT INTO branches VALUES (11, 3);
INSERT INTO customers ("the ""branch""") VALUES (11) RETURNING "Company";
ROLLBACK;
-- a key that is right passes
INSERT INTO customers ("Company", "the ""branch""") VALUES (1, 10) RETURNING "Company";
SELECT * FROM seen();

-- what passes, and is noted: no parent, a parent without a tenant, types that are not mapped, ids that are none; a conflict; an unknown tenant; a contradiction
INSERT INTO customers (note) VALUES ('no parent') RETURNING "Company";
INSERT INTO customers ("the ""branch""") VALUES (30) RETURNING "Company";
INSERT INTO customers (owner_type, owner_id) VALUES ('Or''der', '07'), ('Or''der', ' 7'), ('Or''der', '-0'), ('Or''der', '99999999999999999999'), ('Or''der', ''), ('Ticket', '7'), ('Invoice', 'no uuid'), (NULL, '7') RETURNING "Company";
INSERT INTO customers ("the ""branch""", region_id) VALUES (10, 2) RETURNING "Company";
INSERT INTO customers ("the ""branch""") VALUES (90) RETURNING "Company";
SET application_name = 'it''s "me"';
INSERT INTO customers ("Company", "the ""branch""") VALUES (3, 10) RETURNING "Company";
RESET application_name;
SELECT regexp_replace(drift, '(psql|pg_regress\S*)$', 'application') FROM seen() drift;
SELECT forget();

-- UPDATE: the parent moves, the key is taken away, a row without a key is only touched
UPDATE customers SET "the ""branch""" = 20 WHERE id = 1 RETURNING "Company";
UPDATE customers SET "Company" = NULL WHERE id = 1 RETURNING "Company";
UPDATE customers SET note = 'touched', "the ""branch""" = "the ""branch""" WHERE "Company" IS NULL AND note = 'no parent' RETURNING "Company";
UPDATE customers SET "the ""branch""" = 10 WHERE note = 'touched' RETURNING "Company";
SELECT regexp_replace(drift, '(psql|pg_regress\S*)$', 'application') FROM seen() drift;
SELECT forget();

-- COPY, MERGE, ON CONFLICT DO UPDATE, INSERT … SELECT, a writable CTE
COPY customers ("the ""branch""", note) FROM stdin;
10	copied
20	copied
\.
MERGE INTO customers c USING (VALUES (-1, 20), (1, 10)) v (id, branch) ON c.id = v.id
  WHEN MATCHED THEN UPDATE SET "Company" = NULL, "the ""branch""" = v.branch, note = 'merged'
  WHEN NOT MATCHED THEN INSERT ("the ""branch""", note) VALUES (v.branch, 'merged');
INSERT INTO customers (id, "the ""branch""", note) OVERRIDING SYSTEM VALUE VALUES (1, 10, 'upsert'), (1000, 20, 'upsert')
  ON CONFLICT (id) DO UPDATE SET "Company" = NULL, "the ""branch""" = 20, note = 'upserted';
INSERT INTO customers ("the ""branch""", note) SELECT 10 * n, 'selected' FROM generate_series(1, 2) n;
WITH b AS (INSERT INTO branches VALUES (12, 3) RETURNING id) INSERT INTO regions SELECT 12, id FROM b;
INSERT INTO customers (region_id, note) VALUES (12, 'over a new region');
SELECT note, "the ""branch""" AS branch, "Company" FROM customers WHERE note IN ('copied', 'merged', 'upsert', 'upserted', 'selected', 'over a new region') ORDER BY note, id;
SELECT count(*) AS drift FROM seen();

-- a writer with INSERT on the table and on nothing else; parents under FORCE ROW LEVEL SECURITY
ALTER TABLE branches ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
GRANT USAGE ON SCHEMA "the shop" TO regress_guard_writer;
GRANT INSERT ON customers TO regress_guard_writer;
SET ROLE regress_guard_writer;
SET search_path = '';
INSERT INTO "the shop".customers ("the ""branch""", note) VALUES (20, 'by the writer'), (NULL, 'by the writer');
SELECT * FROM tenantmig.drift;
SELECT * FROM tenantmig.attach_guard('it''s');
CREATE TEMP TABLE mine (id integer PRIMARY KEY, "Company" integer, "the ""branch""" bigint);
SET ROLE regress_guard_owner;
SET search_path = "the shop";
ALTER TABLE branches NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY;
SELECT "Company" FROM customers WHERE note = 'by the writer' ORDER BY id;
SELECT regexp_replace(regexp_replace(drift, '(psql|pg_regress\S*)$', 'application'), '"id": \d+', '"id": N') FROM seen() drift;
SELECT forget();
-- the trigger on another table does nothing for it
SELECT format('CREATE TRIGGER stolen BEFORE INSERT ON %s FOR EACH ROW EXECUTE FUNCTION tenantmig.guard_tenant_key(%L)', 'orders', id) AS stolen FROM tenantmig.guards \gset
:stolen;
INSERT INTO orders VALUES (8, NULL), (9, NULL) RETURNING company_id;
DROP TRIGGER stolen ON orders;
CREATE TRIGGER plain BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION tenantmig.guard_tenant_key('company_id');
INSERT INTO orders VALUES (10, NULL);
DROP TRIGGER plain ON orders;
CREATE TRIGGER late AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION tenantmig.guard_tenant_key('1');
INSERT INTO orders VALUES (10, NULL);
DROP TRIGGER late ON orders;
SELECT tenantmig.guard_tenant_key();

-- renamed: tables, columns, the schema, the trigger
ALTER TABLE customers RENAME "Company" TO tenant;
ALTER TABLE customers RENAME "the ""branch""" TO branch;
ALTER TABLE branches RENAME company_id TO firm;
ALTER TABLE branches RENAME TO offices;
ALTER TABLE customers RENAME TO clients;
INSERT INTO clients (branch, note) VALUES (10, 'renamed') RETURNING tenant;
RESET ROLE;
ALTER SCHEMA "the shop" RENAME TO market;
SET ROLE regress_guard_owner;
SET search_path = market;
INSERT INTO clients (branch, note) VALUES (20, 'renamed') RETURNING tenant;
SELECT format('ALTER TRIGGER %I ON clients RENAME TO mine', trigger) AS rename FROM tenantmig.guards \gset
:rename;
INSERT INTO clients (branch, note) VALUES (20, 'renamed') RETURNING tenant;
SELECT relation, column_name, trigger, enabled FROM tenantmig.guards;
ALTER TABLE clients DISABLE TRIGGER mine;
SELECT relation, column_name, trigger, enabled FROM tenantmig.guards;
INSERT INTO clients (branch, note) VALUES (20, 'disabled') RETURNING tenant;
ALTER TABLE offices RENAME firm TO company_id;
SELECT relation, column_name, outcome FROM tenantmig.attach_guard('it''s');
INSERT INTO clients (branch, note) VALUES (20, 'attached again') RETURNING tenant;
SELECT count(*) AS drift FROM seen();

-- parents that can't be asked: the row passes
REVOKE SELECT ON orders FROM regress_guard_owner;
INSERT INTO clients (owner_type, owner_id, note) VALUES ('Or''der', '7', 'revoked'), ('Invoice', '00000000-0000-0000-0000-0000000000bb', 'not concerned') RETURNING tenant;
GRANT SELECT ON orders TO regress_guard_owner;
INSERT INTO clients (owner_type, owner_id, note) VALUES ('Or''der', '7', 'granted') RETURNING tenant;
ALTER TABLE orders DROP company_id;
INSERT INTO clients (branch, owner_type, owner_id, note) VALUES (20, 'Or''der', '7', 'a column less') RETURNING tenant;
DROP TABLE offices CASCADE;
INSERT INTO clients (tenant, branch, note) VALUES (2, 20, 'dropped') RETURNING tenant;
SELECT regexp_replace(regexp_replace(drift, '(psql|pg_regress\S*)$', 'application'), '"id": \d+', '"id": N') FROM seen() drift;
SELECT forget();
SELECT forget();
SELECT step, relation, outcome FROM tenantmig.detach_guard('it''s', 2);
SELECT step, relation, outcome FROM tenantmig.detach_guard('it''s');
SELECT count(*) FROM tenantmig.guards;
SELECT count(*) FROM pg_trigger WHERE tgname = 'mine' OR tgname LIKE 'tenantmig_guard%';
DROP SCHEMA market CASCADE;

-- modes reject and warn; `first`; a condition on the row; a partitioned table whose partition has other column numbers
RESET ROLE;
CREATE SCHEMA modes AUTHORIZATION regress_guard_owner;
SET ROLE regress_guard_owner;
SET search_path = modes;
CREATE TABLE companies (code varchar(8) PRIMARY KEY);
INSERT INTO companies VALUES ('a'), ('b'), ('too long');
CREATE TABLE branches (id integer PRIMARY KEY, company text);
INSERT INTO branches VALUES (1, 'a'), (2, 'b'), (3, 'too long');
CREATE TABLE parts (id integer, company varchar(8), first_id integer REFERENCES branches, second_id integer REFERENCES branches, status text, PRIMARY KEY (id, status)) PARTITION BY LIST (status);
CREATE TABLE odd (dropped text, status text NOT NULL, second_id integer, first_id integer, company varchar(8), id integer NOT NULL);
ALTER TABLE odd DROP dropped;
ALTER TABLE parts ATTACH PARTITION odd FOR VALUES IN ('odd');
CREATE TABLE plain PARTITION OF parts DEFAULT;
CREATE FUNCTION spec(mode text, evidence text, extra text DEFAULT '') RETURNS jsonb LANGUAGE sql AS $$ SELECT format('{"migration": "%s %s", "tenants": {"table": "companies"}, "steps": [
  {"guard": {"kind": "tenant_key", "table": "parts", "column": "company", "mode": "%s" %s}},
  {"backfill": {"table": "modes.parts", "column": "Company", "evidence": "%s", "where": {"status": ["odd", "even", null]},
   "sources": [{"via": "first_id", "tenant": "company"}, {"via": "second_id", "tenant": "company"}]}}]}', mode, evidence, mode, extra, evidence)::jsonb $$;
SELECT tenantmig.create_migration(spec('reject', 'unanimous'));
SELECT step, relation, mode, outcome FROM tenantmig.attach_guard('reject unanimous');
INSERT INTO parts VALUES (1, 'a', 1, NULL, 'odd'), (2, 'b', 2, 2, 'even'), (3, NULL, 1, 1, 'not concerned') RETURNING tableoid::regclass, company;
INSERT INTO parts VALUES (4, NULL, 1, NULL, 'odd');
INSERT INTO parts VALUES (4, NULL, NULL, NULL, 'even');
INSERT INTO parts VALUES (4, 'a', 1, 2, 'odd');
UPDATE parts SET company = 'b' WHERE id = 1;
UPDATE parts SET first_id = 2 WHERE id = 1;
UPDATE parts SET status = 'even' WHERE id = 3;
UPDATE parts SET status = 'even' WHERE id = 1 RETURNING tableoid::regclass, company;
SELECT tenantmig.create_migration(spec('warn', 'first', ', "always": true'));
SELECT * FROM tenantmig.attach_guard('warn first');
SELECT outcome FROM tenantmig.detach_guard('reject unanimous');
SELECT mode, outcome FROM tenantmig.attach_guard('warn first', 1);
SELECT mode, enabled, always FROM tenantmig.guards;
INSERT INTO parts VALUES (4, NULL, 1, 2, 'odd'), (5, 'b', 1, 2, 'odd'), (6, 'a', 1, 2, 'odd') RETURNING company;
RESET ROLE;
SET session_replication_role = replica;
INSERT INTO modes.parts VALUES (7, NULL, 1, 2, 'odd');
RESET session_replication_role;
SET ROLE regress_guard_owner;
SELECT kind, row_key, relation, found, expected, detail, role FROM tenantmig.drift ORDER BY id;
SELECT tenantmig.drop_migration('warn first'), tenantmig.drop_migration('reject unanimous');
SELECT count(*) FROM tenantmig.drift;
SELECT tenantmig.create_migration(spec('fill', 'first'));
SELECT mode, outcome FROM tenantmig.attach_guard('fill first');
INSERT INTO parts VALUES (10, NULL, 1, 2, 'odd'), (11, NULL, NULL, 2, 'even'), (12, NULL, 3, NULL, 'odd'), (13, NULL, 1, 1, 'not concerned') RETURNING tableoid::regclass, company;
SELECT kind, row_key, relation, found, expected, detail FROM tenantmig.drift ORDER BY id;
-- a transaction whose snapshot is older than the guard's parents
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM branches;
INSERT INTO parts VALUES (14, NULL, 2, NULL, 'odd') RETURNING company;
COMMIT;

-- a whole run, a rollback and a decision pass the guard: the engine's own writes are known to it
ALTER TABLE parts DISABLE TRIGGER USER;
INSERT INTO parts VALUES (20, NULL, 1, NULL, 'odd'), (21, NULL, NULL, NULL, 'odd');
ALTER TABLE parts ENABLE TRIGGER USER;
SELECT outcome, sum(row_count) FROM tenantmig.backfill('fill first') GROUP BY 1 ORDER BY 1;
SELECT state, tenant FROM tenantmig.resolve((SELECT id FROM tenantmig.review('fill first') WHERE row_key ->> 'id' = '21'), 'b');
SELECT outcome, sum(row_count) FROM tenantmig.rollback((SELECT max(id) FROM tenantmig.runs WHERE migration = 'fill first')) GROUP BY 1 ORDER BY 1;
SELECT id, company FROM parts WHERE id >= 20 ORDER BY id;
SELECT kind, row_key FROM tenantmig.drift WHERE id > (SELECT min(id) FROM tenantmig.drift) ORDER BY id;

-- what a guard step must not be
CREATE FUNCTION attempt(guard text, sources text DEFAULT '[{"via": "first_id", "tenant": "company"}]') RETURNS text LANGUAGE sql AS $$ SELECT tenantmig.check_migration(format('{"migration": "m", "tenants": {"table": "companies"},
  "steps": [{"backfill": {"table": "parts", "column": "company", "sources": %s}}, {"guard": %s}]}', sources, guard)::jsonb)::text LIMIT 1 $$;
SELECT attempt('{"kind": "tenant_key", "table": "parts", "column": "status", "mode": "fill"}');
SELECT attempt('{"kind": "tenant_key", "table": "partz", "column": "company", "mode": "fill"}');
SELECT attempt('{"kind": "tenant_key", "table": "parts", "column": "companyy", "mode": "fill"}');
SELECT attempt('{"kind": "tenant_key", "table": "parts", "column": "company", "mode": "fil"}');
SELECT attempt('{"kind": "prefix", "table": "parts", "column": "company", "separator": "."}');
CREATE TABLE children (id integer PRIMARY KEY, part integer, status text, company text, FOREIGN KEY (part, status) REFERENCES parts);
SELECT attempt('{"kind": "tenant_key", "table": "parts", "column": "company", "mode": "fill"}', '[{"via": "children.part"}]');
SELECT attempt('{"kind": "tenant_key", "table": "parts", "column": "company", "mode": "warn"}', '[{"via": "children.part"}]');
CREATE TYPE pair AS (a integer, b integer);
ALTER TABLE branches ADD kind pair;
SELECT attempt('{"kind": "tenant_key", "table": "parts", "column": "company", "mode": "fill"}', '[{"via": "first_id", "tenant": "company", "where": {"kind": "(1,2)"}}]');
CREATE DOMAIN short AS text CHECK (length(VALUE) < 3);
CREATE TABLE domains (id integer PRIMARY KEY, company short, first_id integer REFERENCES branches, twice integer GENERATED ALWAYS AS (id * 2) STORED);
SELECT tenantmig.check_migration('{"migration": "m", "tenants": {"table": "companies"}, "steps": [{"backfill": {"table": "domains", "column": "company", "sources": [{"via": "first_id", "tenant": "company"}]}},
  {"guard": {"kind": "tenant_key", "table": "domains", "column": "company", "mode": "fill"}}]}');
SELECT tenantmig.check_migration('{"migration": "m", "tenants": {"table": "companies"}, "steps": [{"backfill": {"table": "domains", "column": "company", "where": {"twice": 2}, "sources": [{"via": "first_id", "tenant": "company"}]}},
  {"guard": {"kind": "tenant_key", "table": "domains", "column": "company", "mode": "warn"}}]}');
SELECT * FROM tenantmig.attach_guard('nothing');
SELECT * FROM tenantmig.attach_guard('fill first', 2);
SELECT * FROM tenantmig.detach_guard('fill first', 99);
SELECT * FROM tenantmig.attach_guard(NULL);
BEGIN READ ONLY;
SELECT * FROM tenantmig.detach_guard('fill first');
ROLLBACK;

SELECT tenantmig.drop_migration('fill first', true);
SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'tenantmig_guard%';
DROP SCHEMA modes CASCADE;
SELECT tenantmig.drop_migration('it''s');
RESET ROLE;
DROP FUNCTION IF EXISTS forget;
DROP OWNED BY regress_guard_owner, regress_guard_writer;
DROP ROLE regress_guard_owner, regress_guard_writer;
