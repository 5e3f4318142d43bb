-- What a rekey step refuses: when the migration is created, and rows that stand in its way. Nothing is changed by any of it.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tenantmig CASCADE;
CREATE EXTENSION tenantmig;
RESET client_min_messages;
\set VERBOSITY default
\set SHOW_CONTEXT never
CREATE SCHEMA refused;
SET search_path = refused;
CREATE TABLE domains (domain_id uuid PRIMARY KEY, organization_id integer NOT NULL, name text);
CREATE TABLE scopes (scope_id uuid PRIMARY KEY, organization_id integer, domain_id uuid REFERENCES domains, note text);
CREATE TABLE events (id integer PRIMARY KEY, domain_id uuid REFERENCES domains, scope_id uuid REFERENCES scopes);
-- rekey_of(fields of the step, put over a good one): creates the migration "refused" anew
CREATE FUNCTION rekey_of(fields jsonb) RETURNS text LANGUAGE sql AS $$
  SELECT tenantmig.drop_migration(migration, true) FROM tenantmig.migrations WHERE migration = 'refused';
  SELECT tenantmig.create_migration(jsonb_build_object('migration', 'refused', 'tenants', '{"table": "domains", "key": "domain_id"}'::jsonb, 'steps', jsonb_build_array(jsonb_build_object('rekey',
    '{"from": {"table": "domains", "id": "domain_id", "key": "name"}, "column": "domain", "format": "^[a-z0-9_-]+$", "tables": ["scopes", "events"]}'::jsonb || fields))));
$$;

-- ---- names, types, kinds of tables
SELECT rekey_of('{"tables": ["scopes"]}');
\echo :SQLSTATE
SELECT rekey_of('{"tables": ["scopes", "events", "scopes"]}');
\echo :SQLSTATE
SELECT rekey_of('{"tables": ["scopes", "events", "domains"]}');
\echo :SQLSTATE
SELECT rekey_of('{"tables": ["scopes", {"table": "events", "via": "id"}]}');
\echo :SQLSTATE
SELECT rekey_of('{"tables": ["scopes", {"table": "events", "via": "nothing"}]}');
\echo :SQLSTATE
SELECT rekey_of('{"column": "note"}');
\echo :SQLSTATE
SELECT rekey_of('{"column": "domain_id"}');
\echo :SQLSTATE
SELECT rekey_of('{"from": {"table": "domains", "id": "organization_id", "key": "name"}}');
\echo :SQLSTATE
SELECT rekey_of('{"from": {"table": "domains", "id": "domain_id", "key": "domain_id"}}');
\echo :SQLSTATE
SELECT rekey_of('{"format": "["}');
\echo :SQLSTATE
SELECT rekey_of('{"within": ["organization_id"]}');
\echo :SQLSTATE
SELECT rekey_of('{"embed": [{"table": "domains", "column": "domain_id", "separator": "."}]}');
\echo :SQLSTATE
SELECT rekey_of('{"embed": [{"table": "scopes", "column": "domain_id", "separator": "."}]}');
\echo :SQLSTATE
CREATE VIEW latest AS SELECT scope_id FROM scopes;
CREATE MATERIALIZED VIEW counted AS SELECT scope_id, count(*) FROM events GROUP BY scope_id;
SELECT rekey_of('{"embed": [{"table": "scopes", "column": "scope_id", "separator": "."}]}');
\echo :SQLSTATE
DROP VIEW latest;
SELECT rekey_of('{"embed": [{"table": "scopes", "column": "scope_id", "separator": "."}]}');
\echo :SQLSTATE
DROP MATERIALIZED VIEW counted;
ALTER TABLE events ADD COLUMN scope_id_old text;
SELECT rekey_of('{"embed": [{"table": "scopes", "column": "scope_id", "separator": "."}]}');
\echo :SQLSTATE
ALTER TABLE events DROP COLUMN scope_id_old;
CREATE TABLE numbered (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, domain_id uuid REFERENCES domains);
SELECT rekey_of('{"tables": ["scopes", "events", "numbered"], "embed": [{"table": "numbered", "column": "id", "separator": "."}]}');
\echo :SQLSTATE
DROP TABLE numbered;
CREATE TABLE generated (id integer PRIMARY KEY, raw text, domain_id text GENERATED ALWAYS AS (raw) STORED);
SELECT rekey_of('{"tables": ["scopes", "events", "generated"]}');
\echo :SQLSTATE
DROP TABLE generated;
CREATE TABLE parted (id integer, domain_id uuid, PRIMARY KEY (id)) PARTITION BY RANGE (id);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (10);
SELECT rekey_of('{"tables": ["scopes", "events", "parted"]}');
\echo :SQLSTATE
SELECT rekey_of('{"tables": ["scopes", "events", "parted_1"]}');
\echo :SQLSTATE
DROP TABLE parted;
CREATE TABLE keyless (domain_id uuid);
SELECT rekey_of('{"tables": ["scopes", "events", "keyless"]}');
\echo :SQLSTATE
DROP TABLE keyless;
CREATE ROLE rekey_stranger;
GRANT USAGE ON SCHEMA refused TO rekey_stranger;
CREATE TABLE theirs (id integer PRIMARY KEY, domain_id uuid);
ALTER TABLE theirs OWNER TO rekey_stranger;
SELECT rekey_of('{"tables": ["scopes", "events", "theirs"]}');
\echo :SQLSTATE
GRANT REFERENCES ON domains TO rekey_stranger;
SELECT rekey_of('{"tables": ["scopes", "events", "theirs"]}');
\echo :SQLSTATE
DROP TABLE theirs;
-- nothing was changed
SELECT count(*) FROM pg_attribute WHERE attrelid IN ('domains'::regclass, 'scopes'::regclass, 'events'::regclass) AND attname = 'domain';

-- ---- rows
SELECT rekey_of('{"embed": [{"table": "scopes", "column": "scope_id", "separator": "."}]}');
ALTER TABLE domains ALTER COLUMN name DROP NOT NULL;
INSERT INTO domains SELECT md5('d' || n)::uuid, n % 2, CASE WHEN n = 3 THEN NULL WHEN n IN (4, 5) THEN 'same' WHEN n = 6 THEN 'Not a slug' ELSE 'domain-' || n END FROM generate_series(1, 8) n;
INSERT INTO scopes SELECT md5('s' || n)::uuid, n % 2, CASE WHEN n = 5 THEN NULL ELSE md5('d' || n)::uuid END FROM generate_series(1, 8) n;
ALTER TABLE events DROP CONSTRAINT events_domain_id_fkey;
INSERT INTO events SELECT n, md5('e' || n)::uuid, NULL FROM generate_series(1, 20) n;
CALL tenantmig.up('refused');
\echo :SQLSTATE
SELECT state, phase, error FROM tenantmig.step_state;
SELECT x->>'check' AS "check", x->>'status' AS status, x->>'actual' AS actual FROM tenantmig.step_log, jsonb_array_elements(detail->'checks') x WHERE outcome = 'failed';
SELECT attname FROM pg_attribute WHERE attrelid = 'domains'::regclass AND attnum > 0 ORDER BY attnum;
CALL tenantmig.down('refused');
SELECT count(*) FROM tenantmig.step_state;
SELECT tenantmig.drop_migration('refused', true);

-- ids that would be the same afterwards
CREATE TABLE roots (id integer PRIMARY KEY, name text NOT NULL);
CREATE TABLE things (thing text PRIMARY KEY, root_id integer NOT NULL REFERENCES roots);
INSERT INTO roots VALUES (1, 'a'), (2, 'a.b');
INSERT INTO things VALUES ('b.c', 1), ('c', 2), ('a.x', 1), ('x', 1), ('fine', 1);
SELECT tenantmig.create_migration('{"migration": "refused", "tenants": {"table": "roots", "key": "id"}, "steps": [{"rekey": {"from": {"table": "roots", "id": "id", "key": "name"}, "column": "root",
  "tables": [{"table": "things", "via": "root_id"}], "embed": [{"table": "things", "column": "thing", "separator": "."}]}}]}');
CALL tenantmig.up('refused');
\echo :SQLSTATE
SELECT tenantmig.drop_migration('refused', true);
SET client_min_messages = warning;
DROP SCHEMA refused CASCADE;
DROP ROLE rekey_stranger;
RESET client_min_messages;
RESET search_path;
