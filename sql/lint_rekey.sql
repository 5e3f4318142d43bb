-- lint after a rekey: the new key is the tenant key; old columns and the tables that steps make are no findings.
\pset null -
\pset format unaligned
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tenantmig CASCADE;
CREATE EXTENSION tenantmig;
CREATE ROLE regress_lr_app;
CREATE SCHEMA lint_rekey;
SET search_path = lint_rekey;
CREATE TABLE domains (domain_id text PRIMARY KEY, name text NOT NULL CHECK (name ~ '^[a-z]+$'));
CREATE TABLE scopes (scope_id text PRIMARY KEY, domain_id text NOT NULL REFERENCES domains, note text);
CREATE TABLE snapshots (id integer PRIMARY KEY, domain_id text NOT NULL REFERENCES domains, scope_id text NOT NULL REFERENCES scopes);
CREATE INDEX ON scopes (domain_id);
CREATE INDEX ON snapshots (domain_id);
CREATE INDEX ON snapshots (scope_id);
INSERT INTO domains VALUES ('d1', 'finance'), ('d2', 'logistics');
INSERT INTO scopes SELECT 's' || n, 'd' || 1 + n % 2 FROM generate_series(1, 20) n;
INSERT INTO snapshots SELECT n, 'd' || 1 + n % 2, 's' || n FROM generate_series(1, 20) n;
\echo before: the key of a table is no reference to it
SELECT severity, check_name, object FROM tenantmig.lint('domains');
SELECT tenantmig.create_migration('{"migration": "natural", "tenants": {"table": "domains", "key": "domain_id"}, "steps": [
  {"rekey": {"from": {"table": "domains", "id": "domain_id", "key": "name"}, "column": "domain", "tables": ["scopes", "snapshots"], "embed": [{"table": "scopes", "column": "scope_id", "separator": "."}]}},
  {"drop_column": {"table": "snapshots", "column": "domain_id"}}]}');
CALL tenantmig.up('natural', to_step => 1);
\echo the old columns are still there
SELECT severity, check_name, object FROM tenantmig.lint('domains');
CALL tenantmig.up('natural');
SELECT count(*) AS made_by_steps FROM pg_tables WHERE schemaname = 'lint_rekey' AND tablename ~ '_(map|kept)$';
SELECT severity, check_name, object FROM tenantmig.lint('domains');
\echo what steps keep is of all tenants
CREATE POLICY tenant ON scopes TO regress_lr_app USING (domain = (SELECT nullif(current_setting('tenantmig.tenant', true), '')));
ALTER TABLE scopes ENABLE ROW LEVEL SECURITY;
SELECT severity, check_name, object FROM tenantmig.lint('domains') WHERE check_name = 'kept_table_readable';
GRANT SELECT ON ALL TABLES IN SCHEMA lint_rekey TO regress_lr_app;
SELECT severity, check_name, object, detail, remedy FROM tenantmig.lint('domains') WHERE check_name = 'kept_table_readable';
REVOKE ALL ON ALL TABLES IN SCHEMA lint_rekey FROM regress_lr_app;
DROP POLICY tenant ON scopes;
ALTER TABLE scopes DISABLE ROW LEVEL SECURITY;
CALL tenantmig.down('natural');
\echo back again
SELECT severity, check_name, object FROM tenantmig.lint('domains');
\echo a key that is not there
SELECT FROM tenantmig.lint('domains', tenant_key => 'domain');
DROP SCHEMA lint_rekey CASCADE;
DROP EXTENSION tenantmig CASCADE;
DROP ROLE regress_lr_app;
