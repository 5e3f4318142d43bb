-- composite_keys and composite_references of isolate: what is refused, when, and that nothing is changed by it.
\set SHOW_CONTEXT never
\set VERBOSITY default
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tenantmig CASCADE;
CREATE EXTENSION tenantmig;
CREATE SCHEMA iskrefuse;
SET search_path = iskrefuse;
CREATE ROLE tenantmig_keys_app;
CREATE ROLE tenantmig_keys_owner;
CREATE TABLE root (id integer PRIMARY KEY);
CREATE TABLE parent (id integer PRIMARY KEY, tenant_id integer NOT NULL, part integer NOT NULL, UNIQUE (id, part), code text UNIQUE);
CREATE TABLE child (id integer PRIMARY KEY, tenant_id integer NOT NULL, parent_id integer, part integer, code text);
INSERT INTO parent SELECT n, n % 3, n, 'c' || n FROM generate_series(1, 30) n;
INSERT INTO child SELECT n, n % 3, n, n, 'c' || n FROM generate_series(1, 30) n;
-- put(definition of a foreign key): the only one of child. isolate_of(fields): the migration "refused" anew
CREATE FUNCTION put(definition text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  ALTER TABLE child DROP CONSTRAINT IF EXISTS it;
  EXECUTE 'ALTER TABLE child ADD CONSTRAINT it ' || definition;
END $$;
CREATE FUNCTION isolate_of(fields jsonb DEFAULT '{}') RETURNS text LANGUAGE sql AS $$
  SELECT tenantmig.drop_migration(migration, true) FROM tenantmig.migrations WHERE migration = 'refused';
  SELECT tenantmig.create_migration(jsonb_build_object('migration', 'refused', 'tenants', '{"table": "root"}'::jsonb, 'steps', jsonb_build_array(jsonb_build_object('isolate',
    '{"tables": [{"table": "parent", "column": "tenant_id"}, {"table": "child", "column": "tenant_id"}], "role": "tenantmig_keys_app", "composite_references": true}'::jsonb || fields)))) $$;
CREATE VIEW open AS SELECT check_name, expected, actual, detail, hint FROM tenantmig.isolation_criteria('refused') WHERE check_name ~ '^composite' AND status = 'FAIL';
CREATE FUNCTION catalogue() RETURNS text LANGUAGE sql AS $$ SELECT md5(string_agg(conname || pg_get_constraintdef(oid), ',' ORDER BY conname)) FROM pg_constraint WHERE connamespace = 'iskrefuse'::regnamespace $$;

-- ---- when the migration is created: what can never be made
SELECT put('FOREIGN KEY (parent_id) REFERENCES parent');
SELECT isolate_of('{"null_keys": "hide"}');
\echo :SQLSTATE
SELECT isolate_of('{"null_keys": "hide", "composite_references": false, "composite_keys": true}');
SELECT put('FOREIGN KEY (parent_id) REFERENCES parent ON UPDATE SET NULL');
SELECT isolate_of();
\echo :SQLSTATE
SELECT put('FOREIGN KEY (parent_id) REFERENCES parent ON UPDATE SET DEFAULT');
SELECT isolate_of();
\echo :SQLSTATE
SELECT put('FOREIGN KEY (parent_id, part) REFERENCES parent (id, part) MATCH FULL');
SELECT isolate_of();
\echo :SQLSTATE
ALTER TABLE child ALTER parent_id SET NOT NULL, ALTER part SET NOT NULL; -- then it means the same
SELECT isolate_of();
ALTER TABLE child ALTER parent_id DROP NOT NULL, ALTER part DROP NOT NULL;
SELECT put('FOREIGN KEY (tenant_id, part) REFERENCES parent (id, part)');
ALTER TABLE child DROP CONSTRAINT it;
ALTER TABLE child ADD CONSTRAINT it FOREIGN KEY (tenant_id, part) REFERENCES parent (id, part) NOT VALID; -- the tenant key compared with an id
SELECT isolate_of();
\echo :SQLSTATE
SELECT put('FOREIGN KEY (parent_id) REFERENCES parent');
ALTER TABLE child ADD gen integer GENERATED ALWAYS AS (id % 3) STORED NOT NULL;
SELECT put('FOREIGN KEY (parent_id) REFERENCES parent ON DELETE SET NULL');
SELECT isolate_of('{"tables": [{"table": "parent", "column": "tenant_id"}, {"table": "child", "column": "gen"}]}');
\echo :SQLSTATE
ALTER TABLE child DROP gen;
ALTER TABLE child ADD words text NOT NULL DEFAULT '';
SELECT isolate_of('{"tables": [{"table": "parent", "column": "tenant_id"}, {"table": "child", "column": "words"}]}');
\echo :SQLSTATE
ALTER TABLE child DROP words;
-- a constraint step keeps it
SELECT put('FOREIGN KEY (parent_id) REFERENCES parent');
ALTER TABLE child DROP CONSTRAINT it;
SELECT tenantmig.create_migration('{"migration": "enforced", "tenants": {"table": "root"}, "steps": [{"constraint": {"table": "child", "column": "parent_id", "references": "parent.id"}}]}');
CALL tenantmig.enforce('enforced');
SELECT isolate_of();
\echo :SQLSTATE
CALL tenantmig.relax('enforced');
SELECT tenantmig.drop_migration('enforced', true);

-- ---- criteria, and up
SELECT put('FOREIGN KEY (parent_id) REFERENCES parent ON DELETE CASCADE');
SELECT isolate_of('{"composite_keys": true}');
SELECT catalogue() AS before \gset
SELECT * FROM open;
UPDATE child SET parent_id = parent_id % 30 + 1 WHERE id <= 20; -- rows that cross tenants: 20
UPDATE child SET parent_id = NULL WHERE id = 4;
SELECT count(*) FROM child c JOIN parent p ON p.id = c.parent_id WHERE p.tenant_id <> c.tenant_id; -- the oracle
SELECT * FROM open;
CALL tenantmig.up('refused');
\echo :SQLSTATE
SELECT hint AS query FROM open \gset
SELECT count(*) FROM (:query) AS listed;
UPDATE child SET parent_id = id;
-- rows that refer to nothing, of a key that is not valid; and one whose triggers are off
ALTER TABLE child DROP CONSTRAINT it;
UPDATE child SET parent_id = 77 WHERE id = 1;
ALTER TABLE child ADD CONSTRAINT it FOREIGN KEY (parent_id) REFERENCES parent ON DELETE CASCADE NOT VALID;
SELECT * FROM open;
UPDATE child SET parent_id = id;
SELECT put('FOREIGN KEY (parent_id) REFERENCES parent ON DELETE CASCADE');
ALTER TABLE parent DISABLE TRIGGER ALL;
SELECT * FROM open;
ALTER TABLE parent ENABLE TRIGGER ALL;
ALTER TABLE child DISABLE TRIGGER ALL;
CALL tenantmig.up('refused');
\echo :SQLSTATE
ALTER TABLE child ENABLE TRIGGER ALL;
-- a tenant key that may be NULL, although no row has none; a table without a primary key
ALTER TABLE child ALTER tenant_id DROP NOT NULL, DROP CONSTRAINT child_pkey;
SELECT * FROM open;
CALL tenantmig.up('refused');
\echo :SQLSTATE
ALTER TABLE child ALTER tenant_id SET NOT NULL, ADD PRIMARY KEY (id);
-- rights of owners
ALTER TABLE child OWNER TO tenantmig_keys_owner;
GRANT USAGE ON SCHEMA iskrefuse TO tenantmig_keys_owner;
SELECT * FROM open;
ALTER TABLE child OWNER TO CURRENT_USER;
SELECT catalogue() = :'before' AS as_before;

-- ---- one criterion after the other is met
SELECT * FROM open;
CALL tenantmig.up('refused');
SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'iskrefuse'::regnamespace AND contype IN ('f', 'u') ORDER BY conname;
-- a foreign key that comes later compares nothing: lint and probe_isolation tell; the step has not made it
ALTER TABLE child ADD CONSTRAINT later FOREIGN KEY (code) REFERENCES parent (code);
SELECT check_name, status FROM tenantmig.verify('refused') WHERE check_name ~ '^composite' AND status <> 'PASS';
CALL tenantmig.down('refused');
ALTER TABLE child DROP CONSTRAINT later;
SELECT catalogue() = :'before' AS as_before;
-- rows stand in the way of the way back: an id that is gone
CALL tenantmig.up('refused');
ALTER TABLE child DISABLE TRIGGER ALL;
UPDATE child SET parent_id = 99 WHERE id = 3;
ALTER TABLE child ENABLE TRIGGER ALL;
CALL tenantmig.down('refused');
\echo :SQLSTATE
SELECT conname FROM pg_constraint WHERE conrelid = 'child'::regclass AND contype = 'f' ORDER BY 1; -- ours stands as long as the old one can't come back
UPDATE child SET parent_id = 3 WHERE id = 3;
CALL tenantmig.down('refused');
SELECT catalogue() = :'before' AS as_before;

-- ---- tables of others: their rows are not for everybody's eyes
CREATE ROLE tenantmig_keys_other;
CREATE TABLE mine (id integer PRIMARY KEY, tenant_id integer NOT NULL, parent_id integer REFERENCES parent);
INSERT INTO mine VALUES (1, 2, 1);
ALTER TABLE mine OWNER TO tenantmig_keys_other;
GRANT USAGE, CREATE ON SCHEMA iskrefuse TO tenantmig_keys_other;
GRANT SELECT ON root TO tenantmig_keys_other;
SELECT isolate_of('{"composite_references": false}');
CALL tenantmig.up('refused');
SELECT tenantmig.grant_access('tenantmig_keys_other', 'operator');
SET ROLE tenantmig_keys_other;
SELECT tenantmig.create_migration('{"migration": "mine", "tenants": {"table": "root"}, "steps": [{"isolate": {"tables": [{"table": "mine", "column": "tenant_id"}], "role": "tenantmig_keys_app", "composite_references": true}}]}');
\echo :SQLSTATE
RESET ROLE;
CALL tenantmig.down('refused');
SELECT tenantmig.drop_migration('refused', true);
DROP SCHEMA iskrefuse CASCADE;
DROP OWNED BY tenantmig_keys_owner, tenantmig_keys_app, tenantmig_keys_other;
DROP ROLE tenantmig_keys_app, tenantmig_keys_owner, tenantmig_keys_other;
