-- The gate: every check with a fixture that fails it and passes once it is repaired, counted again in plain SQL; approvals and backups; who may ask.
\pset null -
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tenantmig CASCADE;
CREATE EXTENSION tenantmig;
CREATE ROLE regress_owner;
CREATE ROLE regress_ann;
CREATE ROLE regress_bob;
SELECT tenantmig.grant_access('regress_owner', 'viewer');
SELECT tenantmig.grant_access('regress_ann', 'reviewer');
SELECT tenantmig.grant_access('regress_bob', 'reviewer');
CREATE SCHEMA shop AUTHORIZATION regress_owner;
SET search_path = shop;
SET ROLE regress_owner;
CREATE TABLE companies (id integer PRIMARY KEY, name text);
INSERT INTO companies VALUES (1, 'one'), (2, 'two'), (3, 'three');
CREATE TABLE branches (id integer PRIMARY KEY, company_id integer REFERENCES companies);
INSERT INTO branches VALUES (10, 1), (20, 2), (30, 3), (40, NULL);
CREATE TABLE staff (id integer PRIMARY KEY, company_id integer, branch_id integer REFERENCES branches, code text, deleted_at timestamptz);
INSERT INTO staff SELECT n, CASE WHEN n % 4 = 0 THEN NULL ELSE n % 3 + 1 END, (n % 3 + 1) * 10, 'c' || n, CASE WHEN n % 8 = 0 THEN timestamptz '2020-01-01' END FROM generate_series(1, 24) n;
RESET ROLE;
SELECT tenantmig.create_migration($${"migration": "g", "tenants": {"table": "companies", "key": "id"}, "steps": [
  {"backfill": {"table": "staff", "column": "company_id", "soft_delete": "deleted_at", "sources": [{"via": "branch_id"}]}},
  {"constraint": {"table": "staff", "column": "company_id", "not_null": true, "references": "companies.id", "on_delete": "restrict", "unique": ["company_id", "code"],
     "gate": {"open_reviews": 5, "approvals": 1, "backup_within": "2 days", "soak": "1 day"}}},
  {"constraint": {"table": "staff", "column": "code", "format": "^c[0-9]+$", "gate": {"open_reviews": 0, "approvals": 2, "backup_within": "24 hours", "min_coverage": 0.75}}}]}$$);
CREATE FUNCTION shut() RETURNS TABLE (check_name text, status text, expected text, actual text, detail text) LANGUAGE sql AS
  $$SELECT g.check_name, g.status, g.expected, g.actual, regexp_replace(g.detail, '20[0-9]{2}-[-0-9:.+ ]+', 'TIME') FROM tenantmig.gate('g') g WHERE g.status <> 'PASS'$$;

-- before anything: all that is missing, and nothing is changed by asking
SELECT check_name, status, expected, actual, detail FROM tenantmig.gate('g');
SELECT check_name, hint FROM tenantmig.gate('g') WHERE hint IS NOT NULL;
SELECT count(*) FILTER (WHERE company_id IS NULL AND deleted_at IS NULL) AS living, count(*) FILTER (WHERE company_id IS NULL AND deleted_at IS NOT NULL) AS deleted FROM staff;

-- run, reviews, coverage: a row without evidence waits for a decision
INSERT INTO staff VALUES (100, NULL, 40, 'c100', NULL);
SELECT outcome, row_count FROM tenantmig.backfill('g');
SELECT * FROM shut();
UPDATE branches SET company_id = 1 WHERE id = 40;
SELECT state FROM tenantmig.resolve((SELECT id FROM tenantmig.review('g')), '1');
SELECT * FROM shut();

-- approvals: of two people; two by one person are one
SET SESSION AUTHORIZATION regress_ann;
SELECT tenantmig.approve('g', 'looks right');
SELECT tenantmig.approve('g');
SET SESSION AUTHORIZATION regress_bob;
SELECT tenantmig.approve('g');
SELECT tenantmig.revoke_approval('g');
\echo :LAST_ERROR_SQLSTATE
SELECT tenantmig.revoke_approval('g');
\echo :LAST_ERROR_SQLSTATE
RESET SESSION AUTHORIZATION;
SELECT check_name, status, expected, actual, detail FROM tenantmig.gate('g') WHERE check_name = 'approvals';
SET SESSION AUTHORIZATION regress_bob;
SELECT tenantmig.approve('g', 'on second thoughts');
RESET SESSION AUTHORIZATION;
SELECT check_name, status, expected, actual, detail FROM tenantmig.gate('g') WHERE check_name = 'approvals';
SELECT migration, approved_by, session_role, note, revoked_by, counts, approved_at <= tenantmig.clock() AS past, spec_hash ~ '^[0-9a-f]{64}$' AS hash FROM tenantmig.approvals ORDER BY id;
-- an approval is of a spec, and of what stands in the tables: another run, and it is asked for again
UPDATE tenantmig.approval SET spec_hash = 'of another spec' WHERE session_role = 'regress_bob';
SELECT actual, detail FROM shut() WHERE check_name = 'approvals';
UPDATE tenantmig.approval a SET spec_hash = (SELECT b.spec_hash FROM tenantmig.approval b WHERE b.session_role = 'regress_ann' LIMIT 1);
SELECT count(*) FROM shut() WHERE check_name = 'approvals';
SELECT count(*) AS rows FROM tenantmig.backfill('g');
SELECT actual, detail FROM shut() WHERE check_name = 'approvals';
SET SESSION AUTHORIZATION regress_ann;
SELECT tenantmig.approve('g');
SET SESSION AUTHORIZATION regress_bob;
SELECT tenantmig.approve('g');
RESET SESSION AUTHORIZATION;
-- whoever logged in counts, not the role in force
SET ROLE regress_bob;
SELECT tenantmig.approve('g', 'as another');
RESET ROLE;
SELECT session_role = session_user AS logged_in, approved_by = session_user || ' (as regress_bob)' AS shown FROM tenantmig.approvals WHERE note = 'as another';
SELECT tenantmig.revoke_approval('g');

-- and nobody is made to approve by code that runs with other rights: a function of the owner's, a trigger that runs as the owner
SELECT tenantmig.grant_access('regress_owner', 'reviewer');
SET ROLE regress_owner;
CREATE FUNCTION trap() RETURNS text SECURITY DEFINER LANGUAGE sql AS $$SELECT tenantmig.approve('g', 'trapped'); SELECT 'done'$$;
CREATE TABLE bait (id integer PRIMARY KEY, company_id integer, branch_id integer REFERENCES branches);
INSERT INTO bait VALUES (1, NULL, 10);
CREATE FUNCTION trap_row() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM tenantmig.approve('g', 'trapped'); RETURN NEW; END$$;
CREATE TRIGGER t BEFORE UPDATE ON bait FOR EACH ROW EXECUTE FUNCTION trap_row();
RESET ROLE;
SELECT trap();
\echo :LAST_ERROR_SQLSTATE
SELECT tenantmig.create_migration('{"migration": "bait", "tenants": {"table": "companies"}, "steps": [{"backfill": {"table": "bait", "column": "company_id", "sources": [{"via": "branch_id"}]}}]}');
SELECT * FROM tenantmig.backfill('bait');
\echo :LAST_ERROR_SQLSTATE
SELECT count(*) FROM tenantmig.approvals WHERE note = 'trapped';
SELECT tenantmig.drop_migration('bait');
DROP TABLE bait;
SELECT tenantmig.grant_access('regress_owner', 'viewer');

-- backup: the newest one that was registered, not too old
SELECT tenantmig.register_backup('g', clock_timestamp() - interval '30 hours', 'vault:/monday', '{"files": 3}') > 0 AS registered;
SELECT * FROM shut() WHERE check_name = 'backup';
SELECT tenantmig.register_backup('g', clock_timestamp() - interval '1 hour', 'vault:/tuesday') > 0 AS registered;
SELECT * FROM shut();
SELECT migration, location, manifest, registered_by = session_user AS by_us FROM tenantmig.backups ORDER BY id;

-- soak: good deep observations; another one than the spec asks for
INSERT INTO tenantmig.observation (migration_id, observed_at, deep, good, health, duration, observed_by)
  SELECT m.id, tenantmig.clock() - d * interval '20 hours', true, true, 'GREEN', interval '0', 'x' FROM tenantmig.migration m, generate_series(0, 2) d WHERE m.name = 'g';
UPDATE tenantmig.run_log SET started_at = started_at - interval '9 days', finished_at = finished_at - interval '9 days';
SELECT * FROM shut();
SELECT DISTINCT status FROM tenantmig.gate('g');
SELECT check_name, expected FROM tenantmig.gate('g') WHERE check_name IN ('soak', 'backup', 'open_reviews', 'approvals', 'coverage');

-- data, one thing after the other, each in a transaction of its own: what the gate counts, and what plain SQL counts
BEGIN;
INSERT INTO staff VALUES (201, NULL, 10, 'c201', NULL), (202, NULL, 10, 'c202', NULL), (203, NULL, 10, 'c203', now());
SELECT check_name, status, actual, detail FROM shut() WHERE check_name LIKE 'nulls%';
SELECT count(*) FILTER (WHERE deleted_at IS NULL) AS living, count(*) FILTER (WHERE deleted_at IS NOT NULL) AS deleted FROM staff WHERE company_id IS NULL;
ROLLBACK;
BEGIN;
INSERT INTO staff VALUES (301, 99, NULL, 'c301', NULL), (302, 99, NULL, 'c302', NULL), (303, -1, NULL, 'c303', now());
SELECT check_name, status, actual, detail FROM shut();
SELECT count(*) AS orphans FROM staff s WHERE company_id IS NOT NULL AND NOT EXISTS (SELECT FROM companies c WHERE c.id = s.company_id);
INSERT INTO companies VALUES (99, 'late'), (-1, 'early');
SELECT * FROM shut();
ROLLBACK;
BEGIN;
INSERT INTO staff VALUES (401, 1, NULL, 'c3', NULL), (402, 1, NULL, 'c3', NULL), (403, 1, NULL, NULL, NULL), (404, 1, NULL, NULL, NULL);
SELECT check_name, status, actual, detail FROM shut();
SELECT sum(n - 1) AS too_many FROM (SELECT count(*) AS n FROM staff WHERE company_id IS NOT NULL AND code IS NOT NULL GROUP BY company_id, code) x;
ROLLBACK;
BEGIN;
UPDATE staff SET code = 'C' || id WHERE id IN (5, 6, 7, 9);
SELECT check_name, status, actual, detail FROM shut();
SELECT count(*) AS malformed FROM staff WHERE code !~ '^c[0-9]+$';
ROLLBACK;
BEGIN;
UPDATE branches SET company_id = 2 WHERE id = 10;
SELECT check_name, status, actual, detail FROM shut();
SELECT count(*) AS mismatches FROM staff s JOIN branches b ON b.id = s.branch_id WHERE b.company_id <> s.company_id;
ROLLBACK;
BEGIN;
UPDATE staff SET company_id = NULL WHERE id IN (4, 8, 12);
SELECT check_name, status, expected, actual, detail FROM shut();
ROLLBACK;

-- what guards let pass; the chain of the log; a run that is on; an enforce that was killed
INSERT INTO tenantmig.drift_log (migration, relation, column_name, kind, role) VALUES ('g', 'shop.staff', 'company_id', 'null_key', 'x'), ('other', 'shop.staff', 'company_id', 'orphan', 'x');
SELECT check_name, status, actual, detail FROM shut();
UPDATE tenantmig.drift_log SET happened_at = happened_at - interval '10 days';
SELECT * FROM shut();
BEGIN;
UPDATE tenantmig.change_log SET new_values = ARRAY['3'] || new_values[2:] WHERE entry = 1;
SELECT check_name, status, actual, detail FROM shut();
ROLLBACK;
BEGIN;
INSERT INTO tenantmig.run_log (migration_id, state, mode, started_by, plan_hash) SELECT id, 'paused', 'online', 'x', '' FROM tenantmig.migration;
SELECT check_name, status, expected, actual, detail ~ '^run [0-9]+ is paused$' AS detail FROM shut();
UPDATE tenantmig.run_log SET state = 'cancelled' WHERE state = 'paused';
SELECT count(*) FROM shut();
UPDATE tenantmig.run_log SET undo_started_at = now() WHERE state = 'completed' AND id = (SELECT max(id) FROM tenantmig.run_log WHERE state = 'completed');
SELECT check_name, status, expected, actual FROM shut() WHERE check_name = 'run';
ROLLBACK;
BEGIN;
INSERT INTO tenantmig.enforcement (migration_id, step, kind, state, schema_name, table_name, column_name, relation_oid, database_oid, intended_at, enforced_by)
  SELECT id, 2, 'not_null', 'intended', 'shop', 'staff', 'company_id', 'staff'::regclass, 0, now(), 'x' FROM tenantmig.migration;
SELECT check_name, status, actual, detail FROM shut();
ROLLBACK;
SELECT * FROM shut();

-- a guard that somebody disabled
SELECT tenantmig.ddl_watch('off');
SELECT tenantmig.create_migration($${"migration": "guarded", "tenants": {"table": "companies"}, "steps": [{"guard": {"kind": "immutable", "table": "staff", "column": "company_id"}}, {"constraint": {"table": "staff", "column": "id", "not_null": true}}]}$$);
SELECT outcome FROM tenantmig.attach_guard('guarded');
SELECT status FROM tenantmig.gate('guarded') WHERE check_name = 'catalogue';
DO $$DECLARE t text; BEGIN SELECT tgname INTO STRICT t FROM pg_trigger WHERE tgrelid = 'staff'::regclass AND NOT tgisinternal; EXECUTE format('ALTER TABLE staff DISABLE TRIGGER %I', t); END$$;
SELECT status, actual, detail ~ '^guard_disabled: shop.staff ' AS detail, hint IS NOT NULL AS hint FROM tenantmig.gate('guarded') WHERE check_name = 'catalogue';
ALTER TABLE staff ENABLE TRIGGER USER;
SELECT status FROM tenantmig.gate('guarded') WHERE check_name = 'catalogue';
SELECT outcome FROM tenantmig.detach_guard('guarded');
SELECT tenantmig.drop_migration('guarded');
SELECT tenantmig.ddl_watch('warn');

-- an orphan that row security hides, from the owner too
BEGIN;
INSERT INTO staff VALUES (501, 77, NULL, 'c501', NULL);
CREATE POLICY only_mine ON staff USING (company_id < 10);
CREATE POLICY only_mine ON companies USING (id < 3);
ALTER TABLE staff ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE companies ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
SET LOCAL ROLE regress_owner;
SELECT count(*) AS seen_by_the_owner FROM staff WHERE company_id = 77;
RESET ROLE;
SELECT check_name, status, actual, detail FROM shut();
ROLLBACK;
-- and one behind a foreign key that PostgreSQL believes to be valid
BEGIN;
ALTER TABLE staff ADD CONSTRAINT believed FOREIGN KEY (company_id) REFERENCES companies NOT VALID;
SET LOCAL session_replication_role = replica;
INSERT INTO staff VALUES (502, 78, NULL, 'c502', NULL);
UPDATE pg_constraint SET convalidated = true WHERE conname = 'believed';
SELECT check_name, status, actual, detail FROM shut();
ROLLBACK;

-- the referenced table is another role's, and neither may read the other's
CREATE ROLE regress_other;
ALTER TABLE companies OWNER TO regress_other;
GRANT CREATE, USAGE ON SCHEMA shop TO regress_other;
BEGIN;
INSERT INTO staff VALUES (503, 79, NULL, 'c503', NULL);
SELECT check_name, status, actual, detail FROM shut();
ROLLBACK;
SELECT status, actual, detail, hint FROM tenantmig.gate('g') WHERE check_name = 'rights';
GRANT REFERENCES ON companies TO regress_owner;
SELECT * FROM shut();
ALTER TABLE companies OWNER TO regress_owner;

-- asked for by whoever has the rights of the owner of tables and migration, in a transaction that only reads
BEGIN READ ONLY;
SELECT DISTINCT status FROM tenantmig.gate('g');
SELECT tenantmig.approve('g');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
SET ROLE regress_ann;
SELECT * FROM tenantmig.gate('g');
\echo :LAST_ERROR_SQLSTATE
SELECT tenantmig.register_backup('g', now(), 'x');
\echo :LAST_ERROR_SQLSTATE
RESET ROLE;
SELECT tenantmig.create_migration('{"migration": "none", "tenants": {"table": "companies"}, "steps": [{"backfill": {"table": "staff", "column": "company_id", "sources": [{"via": "branch_id"}]}}]}');
SELECT * FROM tenantmig.gate('none');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM tenantmig.gate('nobody');
\echo :LAST_ERROR_SQLSTATE

-- constraints alone, of a partitioned table, for a key that soft-deleted rows may lack; partitions and a key of two columns
SET ROLE regress_owner;
CREATE TABLE visits (day integer, n integer, company_id integer, gone date, PRIMARY KEY (day, n)) PARTITION BY LIST (day);
CREATE TABLE visits_1 PARTITION OF visits FOR VALUES IN (1);
CREATE TABLE visits_2 PARTITION OF visits FOR VALUES IN (2, 3) PARTITION BY LIST (day);
CREATE TABLE visits_23 PARTITION OF visits_2 FOR VALUES IN (2, 3);
INSERT INTO visits VALUES (1, 1, 1, NULL), (1, 2, NULL, '2020-01-01'), (2, 1, NULL, NULL), (3, 1, 50, NULL);
RESET ROLE;
SELECT tenantmig.grant_access('regress_owner', 'operator');
SET ROLE regress_owner;
SELECT tenantmig.create_migration($${"migration": "p", "tenants": {"table": "companies"}, "steps": [
  {"constraint": {"table": "visits", "column": "company_id", "not_null": "live", "soft_delete": "gone", "references": "companies", "composite": true}}]}$$);
RESET ROLE;
SELECT tenantmig.grant_access('regress_owner', 'viewer');
SET ROLE regress_owner;
SELECT check_name, status, expected, actual, detail FROM tenantmig.gate('p');
DELETE FROM visits WHERE day > 1;
SELECT check_name, status, expected, actual, detail FROM tenantmig.gate('p');
RESET ROLE;

RESET search_path;
SET client_min_messages = warning;
DROP EXTENSION tenantmig CASCADE;
DROP SCHEMA shop CASCADE;
DROP ROLE regress_owner, regress_ann, regress_bob, regress_other;
