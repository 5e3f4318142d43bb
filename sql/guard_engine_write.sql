-- The engine's own writes to a table pass its guards; what triggers of others write meanwhile, to another table, is held to the guards of that table as ever.
\pset null -
\set SHOW_CONTEXT never
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tenantmig CASCADE;
CREATE EXTENSION tenantmig;
CREATE ROLE regress_engine_owner;
SELECT tenantmig.grant_access('regress_engine_owner', 'operator');
CREATE SCHEMA ours AUTHORIZATION regress_engine_owner;
SET ROLE regress_engine_owner;
SET search_path = ours;
CREATE TABLE companies (id integer PRIMARY KEY);
INSERT INTO companies VALUES (1), (2);
CREATE TABLE branches (id integer PRIMARY KEY, company_id integer REFERENCES companies, UNIQUE (id, company_id));
INSERT INTO branches VALUES (10, 1), (20, 2);
CREATE TABLE customers (id integer PRIMARY KEY, company_id integer REFERENCES companies, branch_id integer REFERENCES branches, former_branch integer REFERENCES branches);
-- branch and former branch are of different tenants: guarded by former_branch, nobody else could write what the migration writes
INSERT INTO customers VALUES (1, NULL, 10, 20), (2, NULL, 20, 10), (3, NULL, 10, 20);
CREATE TABLE scopes (id integer PRIMARY KEY, scope_id text, domain text);
INSERT INTO scopes VALUES (1, 'a.x', 'a');
CREATE TABLE notes (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, company_id integer, branch_id integer REFERENCES branches);
CREATE TABLE meanwhile (command text);
-- what the owner's trigger does for each row that is written
CREATE FUNCTION meanwhile() RETURNS trigger LANGUAGE plpgsql SET search_path = ours AS $$
DECLARE command text;
BEGIN
  FOR command IN SELECT * FROM meanwhile LOOP EXECUTE command USING OLD, NEW; END LOOP;
  RETURN NEW;
END $$;
CREATE TRIGGER meanwhile AFTER UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION meanwhile();
SELECT tenantmig.create_migration('{"migration": "m", "tenants": {"table": "companies"}, "steps": [{"backfill": {"table": "customers", "column": "company_id", "sources": [{"via": "branch_id", "tenant": "company_id"}]}},
  {"guard": {"kind": "same_tenant", "table": "customers", "column": "company_id", "via": "former_branch", "tenant": "company_id"}},
  {"guard": {"kind": "immutable", "table": "customers", "column": "company_id"}}]}');
SELECT tenantmig.create_migration('{"migration": "notes", "tenants": {"table": "companies"}, "steps": [{"backfill": {"table": "notes", "column": "company_id", "sources": [{"via": "branch_id", "tenant": "company_id"}]}},
  {"guard": {"kind": "tenant_key", "table": "notes", "column": "company_id", "mode": "warn"}}]}');
SELECT relation, kind, outcome FROM tenantmig.attach_guard('m');
SELECT relation, kind, outcome FROM tenantmig.attach_guard('notes');
SELECT relation, kind, outcome FROM tenantmig.attach_guard('scopes', 'scope_id', 'prefix', '{"key": "domain", "separator": "."}');
UPDATE customers SET company_id = 1 WHERE id = 1;
\echo :LAST_ERROR_SQLSTATE
CREATE VIEW outcome AS SELECT (SELECT string_agg(company_id::text, ' ' ORDER BY id) FROM customers) AS customers, (SELECT string_agg(concat_ws('/', company_id, branch_id), ' ' ORDER BY id) FROM notes) AS notes,
  (SELECT string_agg(scope_id, ' ') FROM scopes) AS scopes;

-- a write to a guarded table that its guard refuses ends the backfill: in one transaction, and online
INSERT INTO meanwhile VALUES ('UPDATE scopes SET scope_id = ''b.x'' WHERE $2.company_id = 2');
SELECT * FROM tenantmig.backfill('m');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM outcome;
CALL tenantmig.run('m');
\echo :LAST_ERROR_SQLSTATE
SELECT scopes, notes FROM outcome;
SELECT count(*) FROM customers WHERE company_id = 2;
SELECT max(id) AS run FROM tenantmig.runs \gset
SELECT state FROM tenantmig.runs WHERE id = :run;
CALL tenantmig.undo(:run);
SELECT * FROM outcome;

-- one that is in order passes, one that its guard only warns of is drift of that table; there is none of our own
UPDATE meanwhile SET command = 'UPDATE scopes SET scope_id = scope_id || ''x''';
INSERT INTO meanwhile VALUES ('INSERT INTO notes (company_id, branch_id) VALUES (3 - $2.company_id, $2.branch_id)');
SELECT outcome, sum(row_count) FROM tenantmig.backfill('m') GROUP BY 1 ORDER BY 1;
SELECT * FROM outcome;
SELECT migration, relation, kind, found, expected FROM tenantmig.drift ORDER BY found;
-- undo, too: to a NULL, which no guard of customers would let pass
UPDATE meanwhile SET command = 'UPDATE scopes SET scope_id = ''b.x''' WHERE command ~ 'scopes';
SELECT max(id) AS run FROM tenantmig.runs \gset
SELECT * FROM tenantmig.rollback(:run);
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM outcome;
DELETE FROM meanwhile;
UPDATE customers SET company_id = NULL WHERE id = 1;
\echo :LAST_ERROR_SQLSTATE
INSERT INTO meanwhile VALUES ('INSERT INTO notes (branch_id) VALUES ($1.branch_id)');
SELECT outcome, sum(row_count) FROM tenantmig.rollback(:run) GROUP BY 1 ORDER BY 1;
SELECT * FROM outcome;
SELECT migration, relation, kind, found, expected FROM tenantmig.drift WHERE kind = 'null_key' ORDER BY expected;
-- and online
TRUNCATE notes, meanwhile RESTART IDENTITY;
INSERT INTO meanwhile VALUES ('INSERT INTO notes (company_id, branch_id) VALUES (3 - $2.company_id, $2.branch_id)');
SELECT max(id) AS seen FROM tenantmig.drift \gset
CALL tenantmig.run('m');
SELECT * FROM outcome;
SELECT migration, relation, kind, found, expected FROM tenantmig.drift WHERE id > :seen ORDER BY found;
SELECT max(id) AS run FROM tenantmig.runs \gset
UPDATE meanwhile SET command = 'UPDATE scopes SET scope_id = ''b.x''';
CALL tenantmig.undo(:run);
\echo :LAST_ERROR_SQLSTATE
SELECT scopes FROM outcome;
DELETE FROM meanwhile;
CALL tenantmig.undo(:run);
SELECT count(company_id) FROM customers;
-- what a migration writes itself passes the guard that warns
UPDATE notes SET company_id = NULL;
SELECT max(id) AS seen FROM tenantmig.drift \gset
SELECT outcome, sum(row_count) FROM tenantmig.backfill('notes') GROUP BY 1 ORDER BY 1;
SELECT outcome, sum(row_count) FROM tenantmig.rollback((SELECT max(id) FROM tenantmig.runs)) GROUP BY 1 ORDER BY 1;
SELECT count(*) FROM tenantmig.drift WHERE id > :seen;
-- after an error nothing of the engine's is left in the session
UPDATE customers SET company_id = 1 WHERE id = 1;
\echo :LAST_ERROR_SQLSTATE
-- a decision of a reviewer passes too, where nobody else could write it
RESET ROLE;
SET session_replication_role = replica;
INSERT INTO ours.customers VALUES (4, NULL, NULL, 20);
RESET session_replication_role;
SET ROLE regress_engine_owner;
SELECT outcome, sum(row_count) FROM tenantmig.backfill('m') GROUP BY 1 ORDER BY 1;
UPDATE customers SET company_id = 1 WHERE id = 4;
\echo :LAST_ERROR_SQLSTATE
SELECT state FROM tenantmig.resolve((SELECT id FROM tenantmig.review('m')), '1');
SELECT company_id FROM customers WHERE id = 4;
RESET ROLE;
DROP EXTENSION tenantmig CASCADE;
DROP SCHEMA ours CASCADE;
DROP OWNED BY regress_engine_owner;
DROP ROLE regress_engine_owner;
