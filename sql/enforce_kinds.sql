-- Each kind of constraint: applied, held to, taken back. Before and after are compared by name and definition.
\pset null -
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tenantmig CASCADE;
CREATE EXTENSION tenantmig;
CREATE SCHEMA shop;
SET search_path = shop;
CREATE TABLE companies (id integer PRIMARY KEY, code text UNIQUE);
INSERT INTO companies SELECT n, 'c' || n FROM generate_series(1, 3) n;
CREATE TYPE two AS (a integer, b integer);
CREATE TABLE rows (id integer PRIMARY KEY, company_id integer, code varchar(20), number integer, pair two, deleted_at timestamptz);
INSERT INTO rows SELECT n, nullif(n % 3, 0), 'r-' || n, n, ROW(n, NULL)::two, CASE WHEN n % 3 = 0 THEN now() END FROM generate_series(1, 30) n;
CREATE FUNCTION shape() RETURNS TABLE (line text) LANGUAGE sql AS $$
  SELECT conname || ' ' || pg_get_constraintdef(oid) || CASE WHEN convalidated THEN '' ELSE ' (not valid)' END || coalesce(' -- ' || obj_description(oid, 'pg_constraint'), '') FROM pg_constraint WHERE conrelid = 'rows'::regclass
  UNION ALL SELECT attname || ' NOT NULL' FROM pg_attribute WHERE attrelid = 'rows'::regclass AND attnum > 0 AND attnotnull
  UNION ALL SELECT indexrelid::regclass || CASE WHEN indisvalid THEN ' valid' ELSE ' invalid' END FROM pg_index WHERE indrelid = 'rows'::regclass ORDER BY 1 $$;
CREATE FUNCTION migrate(step jsonb) RETURNS text LANGUAGE sql AS $$
  SELECT tenantmig.create_migration(jsonb_build_object('migration', 'm', 'tenants', '{"table": "companies"}'::jsonb, 'steps', jsonb_build_array(jsonb_build_object('constraint', '{"table": "rows", "column": "company_id"}'::jsonb || step)))) $$;
CREATE TABLE before AS SELECT * FROM shape();
CREATE FUNCTION changed() RETURNS SETOF text LANGUAGE sql AS $$
  (SELECT '+ ' || line FROM shape() WHERE line NOT IN (SELECT line FROM before)) UNION ALL (SELECT '- ' || line FROM before WHERE line NOT IN (SELECT line FROM shape())) ORDER BY 1 $$;

-- live: a soft-deleted row may be without a key
SELECT migrate('{"not_null": "live", "soft_delete": "deleted_at"}');
CALL tenantmig.enforce('m');
SELECT * FROM changed();
UPDATE rows SET deleted_at = NULL WHERE id = 3;
UPDATE rows SET company_id = NULL WHERE id = 1;
CALL tenantmig.relax('m');
SELECT * FROM changed();
SELECT tenantmig.drop_migration('m');

-- format, of a varchar, with a backslash and a quote
SELECT migrate('{"column": "code", "format": "^r-\\d+(''x)?$"}');
CALL tenantmig.enforce('m');
SELECT * FROM changed();
UPDATE rows SET code = 'wrong' WHERE id = 1;
CALL tenantmig.relax('m');
SELECT * FROM changed();
SELECT tenantmig.drop_migration('m');

-- unique over two columns, and composite
SELECT migrate('{"unique": ["company_id", "number"], "composite": true}');
CALL tenantmig.enforce('m');
SELECT * FROM changed();
INSERT INTO rows (id, company_id, number) VALUES (99, 1, 1);
CREATE TABLE children (company_id integer, row_id integer, FOREIGN KEY (company_id, row_id) REFERENCES rows (company_id, id));
CALL tenantmig.relax('m'); -- somebody depends on it: it stays
SELECT kind, state, left(error, 5) AS error FROM tenantmig.enforcements ORDER BY id;
SELECT * FROM changed();
DROP TABLE children;
CALL tenantmig.relax('m');
SELECT kind, state, error FROM tenantmig.enforcements ORDER BY id;
SELECT * FROM changed();
SELECT tenantmig.drop_migration('m');

-- NOT NULL of a composite type: the value, whatever its fields are
SELECT migrate('{"column": "pair", "not_null": true}');
CALL tenantmig.enforce('m');
SELECT * FROM changed();
CALL tenantmig.relax('m');
SELECT tenantmig.drop_migration('m');

-- a foreign key of each action
SELECT migrate(format('{"references": "companies.id", "on_delete": "%s"}', a)::jsonb) || a FROM (VALUES ('cascade')) v (a);
CALL tenantmig.enforce('m');
SELECT * FROM changed();
CALL tenantmig.relax('m');
SELECT tenantmig.drop_migration('m');
SELECT migrate('{"references": "companies.id", "on_delete": "set null"}');
CALL tenantmig.enforce('m');
SELECT * FROM changed();
CALL tenantmig.relax('m');
SELECT * FROM changed();
SELECT tenantmig.drop_migration('m');

-- one that stands there with another action gives way, and comes back as it was: name, options, comment
ALTER TABLE rows ADD CONSTRAINT "Old Key" FOREIGN KEY (company_id) REFERENCES companies MATCH FULL ON UPDATE CASCADE ON DELETE SET NULL (company_id) DEFERRABLE INITIALLY DEFERRED;
COMMENT ON CONSTRAINT "Old Key" ON rows IS 'don''t touch';
TRUNCATE before;
INSERT INTO before SELECT * FROM shape();
SELECT migrate('{"on_delete": "restrict"}');
CALL tenantmig.enforce('m');
SELECT * FROM changed();
DELETE FROM companies WHERE id = 1;
CALL tenantmig.relax('m');
SELECT * FROM changed();
SELECT tenantmig.drop_migration('m');

-- one that is not valid is validated, and comes back not valid
ALTER TABLE rows DROP CONSTRAINT "Old Key", ADD CONSTRAINT loose FOREIGN KEY (company_id) REFERENCES companies ON DELETE CASCADE NOT VALID;
TRUNCATE before;
INSERT INTO before SELECT * FROM shape();
SELECT migrate('{"references": "companies.id"}');
CALL tenantmig.enforce('m');
SELECT * FROM changed();
CALL tenantmig.relax('m');
SELECT * FROM changed();
SELECT tenantmig.drop_migration('m');
ALTER TABLE rows DROP CONSTRAINT loose;

-- an index that keeps the columns unique already is enough, whatever their order
CREATE UNIQUE INDEX mine ON rows (number, company_id);
TRUNCATE before;
INSERT INTO before SELECT * FROM shape();
SELECT migrate('{"unique": ["company_id", "number"]}');
CALL tenantmig.enforce('m');
SELECT constraint_name, state, kept, definition FROM tenantmig.enforcements;
-- and nothing is drift, unless it goes
SELECT status FROM tenantmig.observe('m') WHERE check_name = 'catalogue';
ALTER INDEX mine RENAME TO "Ours";
SELECT status FROM tenantmig.observe('m') WHERE check_name = 'catalogue';
DROP INDEX "Ours";
SELECT status, actual, detail FROM tenantmig.observe('m') WHERE check_name = 'catalogue';
CREATE UNIQUE INDEX mine ON rows (number, company_id);
CALL tenantmig.relax('m');
SELECT * FROM changed();
SELECT tenantmig.drop_migration('m');

-- a foreign key that is valid by its own account, on a table with forced row-level security: the gate's count is what counts
UPDATE rows SET company_id = 99 WHERE id = 1;
CREATE ROLE regress_owner;
ALTER TABLE rows OWNER TO regress_owner;
GRANT USAGE ON SCHEMA shop TO regress_owner;
GRANT REFERENCES, SELECT ON companies TO regress_owner;
ALTER TABLE rows ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY nothing ON rows USING (false);
SET ROLE regress_owner;
ALTER TABLE rows ADD CONSTRAINT lies FOREIGN KEY (company_id) REFERENCES companies;
RESET ROLE;
SELECT convalidated FROM pg_constraint WHERE conname = 'lies';
SELECT migrate('{"references": "companies.id", "not_null": "live", "soft_delete": "deleted_at"}');
CALL tenantmig.enforce('m');
UPDATE rows SET company_id = 1 WHERE id = 1;
CALL tenantmig.enforce('m', proofs => false);
SELECT kind, constraint_name, state, kept FROM tenantmig.enforcements ORDER BY id;
CALL tenantmig.relax('m');
SELECT tenantmig.drop_migration('m');
DROP SCHEMA shop CASCADE;
DROP ROLE regress_owner;
