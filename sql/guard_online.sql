-- Guards and online runs: a run attaches the guards that fill before it walks, its own writes pass them below SQL, and the owner of the table, who has no rights on tenantmig, goes on as ever.
\pset null -
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tenantmig CASCADE;
CREATE EXTENSION tenantmig;
CREATE ROLE regress_plain;
CREATE ROLE regress_writer;
CREATE SCHEMA shop AUTHORIZATION regress_plain;
GRANT USAGE ON SCHEMA shop TO regress_writer;
SET search_path = shop;
SET ROLE regress_plain;
CREATE TABLE companies (id integer PRIMARY KEY);
INSERT INTO companies VALUES (1), (2);
CREATE TABLE people (id integer PRIMARY KEY, company_id integer);
INSERT INTO people VALUES (1, 1), (2, 2), (9, 99);
CREATE TABLE visits (id integer, person integer REFERENCES people, company_id integer, day integer, PRIMARY KEY (id, day)) PARTITION BY LIST (day);
CREATE TABLE visits_1 (day integer NOT NULL, gone text, company_id integer, id integer NOT NULL, person integer);
ALTER TABLE visits_1 DROP gone;
ALTER TABLE visits ATTACH PARTITION visits_1 FOR VALUES IN (1);
INSERT INTO visits VALUES (1, 1, NULL, 1), (2, 2, NULL, 1), (3, NULL, NULL, 1);
GRANT INSERT ON visits TO regress_writer;
RESET ROLE;
SELECT tenantmig.create_migration('{"migration": "p", "tenants": {"table": "companies"}, "steps": [{"guard": {"kind": "tenant_key", "table": "visits", "column": "company_id", "mode": "fill"}},
  {"backfill": {"table": "visits", "column": "company_id", "sources": [{"via": "person"}]}}]}');
SELECT step, kind, relation, column_name FROM tenantmig.steps;
SELECT outcome, row_count, path FROM tenantmig.plan('p');
SELECT tenantmig.plan_hash('p') AS hash \gset

-- plan attaches nothing, the run does
SELECT count(*) FROM tenantmig.guards;
CALL tenantmig.run('p', plan_hash => :'hash');
SELECT relation, column_name, kind, mode, enabled FROM tenantmig.guards;
SELECT state, assigned, orphans FROM tenantmig.runs;
SELECT DISTINCT w.path FROM tenantmig.run_worker w;
SELECT id, day, company_id FROM visits ORDER BY id;
SELECT tenantmig.plan_hash('p') = :'hash' AS same_plan;
SELECT * FROM tenantmig.drift;

-- its owner adds partitions, and others write
SET ROLE regress_plain;
CREATE TABLE visits_2 PARTITION OF visits FOR VALUES IN (2);
CREATE TABLE visits_3 (LIKE visits INCLUDING ALL);
ALTER TABLE visits ATTACH PARTITION visits_3 FOR VALUES IN (3);
SET ROLE regress_writer;
INSERT INTO shop.visits VALUES (4, 2, NULL, 1), (5, 1, NULL, 2), (6, 9, NULL, 2), (7, 1, 2, 3);
RESET ROLE;
SELECT id, day, company_id FROM visits ORDER BY id;
SELECT relation, row_key, kind, found, expected FROM tenantmig.drift ORDER BY id;
CREATE TEMP TABLE mine (id integer, person integer, company_id integer);
GRANT ALL ON mine TO regress_writer;
SET ROLE regress_writer;
CREATE TRIGGER t BEFORE INSERT ON mine FOR EACH ROW EXECUTE FUNCTION tenantmig.guard_tenant_key('1');
RESET ROLE;
GRANT USAGE ON SCHEMA tenantmig TO regress_writer;
SET ROLE regress_writer;
SELECT tenantmig.guard_tenant_key();
\echo :LAST_ERROR_SQLSTATE
SELECT tenantmig.attach_guard('p');
\echo :LAST_ERROR_SQLSTATE
RESET ROLE;

-- another run finds the guard in place; undo leaves it, and its writes pass
UPDATE visits SET company_id = NULL WHERE id = 4;
INSERT INTO visits VALUES (8, 9, NULL, 1);
CALL tenantmig.run('p');
SELECT count(*) FROM tenantmig.guards;
SELECT min(id) AS first FROM tenantmig.runs \gset
CALL tenantmig.undo(:first);
SELECT id, day, company_id FROM visits ORDER BY id;
SELECT enabled FROM tenantmig.guards;

-- a trigger of somebody else on a partition is still a reason to go through SQL
SET ROLE regress_plain;
CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER nothing BEFORE UPDATE ON visits_1 FOR EACH ROW EXECUTE FUNCTION nothing();
RESET ROLE;
SELECT outcome, row_count, path FROM tenantmig.plan('p');

-- modes other than fill wait for attach_guard
SELECT tenantmig.drop_migration('p', force => true);
SELECT count(*) AS triggers FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid WHERE p.proname = 'guard_tenant_key';
SELECT tenantmig.create_migration('{"migration": "w", "tenants": {"table": "companies"}, "steps": [{"guard": {"kind": "tenant_key", "table": "visits", "column": "company_id", "mode": "warn"}},
  {"backfill": {"table": "visits", "column": "company_id", "sources": [{"via": "person"}]}}]}');
CALL tenantmig.run('w');
SELECT count(*) FROM tenantmig.guards;
DROP EXTENSION tenantmig CASCADE;
DROP SCHEMA shop CASCADE;
DROP OWNED BY regress_plain, regress_writer;
DROP ROLE regress_plain, regress_writer;
