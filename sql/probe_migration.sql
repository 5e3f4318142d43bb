-- probe_isolation of what a migration has isolated: tables, roles, setting and exemptions come from it.
SET client_min_messages = warning;
\set SHOW_CONTEXT never
DROP SCHEMA IF EXISTS probed CASCADE;
DROP EXTENSION IF EXISTS tenantmig CASCADE;
CREATE EXTENSION tenantmig;
CREATE ROLE regress_probed_owner;
CREATE ROLE regress_probed_app;
CREATE ROLE regress_probed_reader;
CREATE ROLE regress_probed_admin;
CREATE SCHEMA probed AUTHORIZATION regress_probed_owner;
SET ROLE regress_probed_owner;
GRANT USAGE ON SCHEMA probed TO regress_probed_app, regress_probed_reader, regress_probed_admin;
CREATE TABLE probed.companies (id integer PRIMARY KEY);
CREATE TABLE probed.customers (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, company_id integer REFERENCES probed.companies, name text);
CREATE TABLE probed.visits (company_id integer NOT NULL REFERENCES probed.companies, at date NOT NULL) PARTITION BY RANGE (at);
CREATE TABLE probed.visits_1 PARTITION OF probed.visits FOR VALUES FROM ('2026-01-01') TO ('2026-07-01');
CREATE TABLE probed.visits_2 PARTITION OF probed.visits FOR VALUES FROM ('2026-07-01') TO ('2027-01-01');
INSERT INTO probed.companies VALUES (1), (2), (3);
INSERT INTO probed.customers (company_id, name) SELECT nullif(g % 4, 0), 'customer ' || g FROM generate_series(1, 20) g;
INSERT INTO probed.visits SELECT 1 + g % 3, date '2026-01-01' + g FROM generate_series(0, 300) g;
GRANT SELECT ON ALL TABLES IN SCHEMA probed TO regress_probed_app, regress_probed_reader, regress_probed_admin;
GRANT INSERT (company_id, name), UPDATE (company_id, name), DELETE ON probed.customers TO regress_probed_app;
GRANT INSERT, UPDATE, DELETE ON probed.visits TO regress_probed_app;
RESET ROLE;
SELECT tenantmig.create_migration($${"migration": "walls", "tenants": {"table": "probed.companies"},
  "steps": [{"isolate": {"tables": ["probed.customers", "probed.visits"], "role": ["regress_probed_app", "regress_probed_reader"], "setting": "shop.company", "super_role": "regress_probed_admin", "null_keys": "hide"}}],
  "exempt": [{"finding": "probe.read_key:probed.customers:regress_probed_reader", "reason": "readers see the names of all"}]}$$);
SELECT count(*) FROM tenantmig.probe_isolation('walls');
CALL tenantmig.up('walls');
CREATE FUNCTION probed.here(attack text) RETURNS boolean LANGUAGE sql IMMUTABLE AS
  $$SELECT attack ~ '^(setting_|read_|prepared_|copy_|insert|merge_|conflict_|update|delete|move|returning_|foreign_rows|own_rows|all_tenants|null_rows|super_role|pairs|writes)'$$;
SELECT acted_as, relation, count(*) FILTER (WHERE status = 'PASS') AS pass, count(*) FILTER (WHERE status = 'FAIL') AS fail, count(*) FILTER (WHERE status = 'SKIP') AS skip
  FROM tenantmig.probe_isolation('walls') WHERE probed.here(attack) GROUP BY 1, 2 ORDER BY 1, 2;
SELECT relation, attack, expected, seen, status FROM tenantmig.probe_isolation('walls', role => 'regress_probed_reader') WHERE attack IN ('foreign_rows', 'own_rows', 'all_tenants', 'null_rows', 'super_role', 'setting_default', 'insert', 'writes');
-- only that table; a partition as a table of its own
SELECT DISTINCT relation FROM tenantmig.probe_isolation('walls', tables => '{probed.visits_2}') WHERE attack = 'read_key';
-- an exempt finding keeps its status, and carries the reason
BEGIN;
CREATE POLICY readers ON probed.customers FOR SELECT TO regress_probed_reader USING (true);
SELECT attack, acted_as, status, exempt, key FROM tenantmig.probe_isolation('walls') WHERE status = 'FAIL' AND attack IN ('read_key', 'read_row') AND relation = 'probed.customers';
SELECT DISTINCT remedy FROM tenantmig.probe_isolation('walls') WHERE status = 'FAIL' AND attack = 'read_key';
ROLLBACK;
-- a partition that was made later
BEGIN;
CREATE TABLE probed.visits_3 PARTITION OF probed.visits FOR VALUES FROM ('2027-01-01') TO ('2028-01-01');
GRANT SELECT ON probed.visits_3 TO regress_probed_app;
INSERT INTO probed.visits VALUES (1, '2027-01-01');
SELECT relation, attack, seen, status FROM tenantmig.probe_isolation('walls', role => 'regress_probed_app') WHERE relation = 'probed.visits_3' AND attack IN ('setting_unset', 'setting_other');
ROLLBACK;
-- the super role sees less than all
BEGIN;
ALTER POLICY tenantmig_super ON probed.customers USING (company_id IS NOT NULL);
SELECT relation, attack, expected, seen, status FROM tenantmig.probe_isolation('walls', role => 'regress_probed_app') WHERE attack = 'super_role' AND status <> 'PASS';
ROLLBACK;
-- tables that are not found any more are not passed over
BEGIN;
ALTER TABLE probed.customers RENAME TO clients;
SELECT DISTINCT relation, attack FROM tenantmig.probe_isolation('walls', role => 'regress_probed_app') WHERE attack IN ('table', 'insert') ORDER BY 1;
UPDATE tenantmig.isolation SET database_oid = 1; -- as in a copy of the database
SELECT relation, attack, seen, status, acted_as, key FROM tenantmig.probe_isolation('walls') WHERE attack = 'table';
ROLLBACK;
BEGIN;
DROP TABLE probed.visits_2;
SELECT relation, attack, seen, status FROM tenantmig.probe_isolation('walls', role => 'regress_probed_app') WHERE attack = 'table';
ROLLBACK;
-- tenants that have no rows in a table
SELECT relation, attack, tenant, victim, seen, status FROM tenantmig.probe_isolation('walls', role => 'regress_probed_app', tenants => '{3,7}', writes => false) WHERE attack IN ('read_key', 'super_role', 'all_tenants', 'pairs');
CREATE FUNCTION probed.refused(call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE m text; d text; h text;
BEGIN
  EXECUTE 'SELECT * FROM tenantmig.' || call;
  RETURN 'ACCEPTED';
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS m = MESSAGE_TEXT, d = PG_EXCEPTION_DETAIL, h = PG_EXCEPTION_HINT;
  RETURN concat_ws(E'\n', SQLSTATE || ' ' || m, nullif(d, ''), nullif(h, ''));
END $$;
\pset format unaligned
\t on
SELECT probed.refused($$probe_isolation('walls', role => 'regress_probed_admin')$$);
SELECT probed.refused($$probe_isolation('walls', tables => '{probed.companies}')$$);
SELECT probed.refused($$probe_isolation('walls', tables => '{probed.nonesuch}')$$);
CALL tenantmig.down('walls');
SELECT probed.refused($$probe_isolation('walls')$$);
\t off
SELECT tenantmig.drop_migration('walls');
DROP SCHEMA probed CASCADE;
DROP EXTENSION tenantmig CASCADE;
DROP ROLE regress_probed_app, regress_probed_reader, regress_probed_admin, regress_probed_owner;
