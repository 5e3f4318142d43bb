-- Names: quoted, mixed case, unicode, 63 bytes long, in a schema that has to be quoted; generated names that would collide are told apart.
\pset null -
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tenantmig CASCADE;
CREATE EXTENSION tenantmig;
CREATE SCHEMA "Shop ""1""";
SET search_path = "Shop ""1""";
CREATE TABLE "Cömpanies" ("Id" integer PRIMARY KEY);
INSERT INTO "Cömpanies" SELECT generate_series(1, 3);
CREATE TABLE "select" ("Id" integer PRIMARY KEY, "com pany" integer, "where" text, "ä" timestamptz);
INSERT INTO "select" SELECT n, n % 3 + 1, 'x', NULL FROM generate_series(1, 9) n;
SELECT tenantmig.create_migration('{"migration": "It''s", "tenants": {"table": "\"Cömpanies\"", "key": "\"Id\""}, "steps": [
  {"constraint": {"table": "\"select\"", "column": "\"com pany\"", "not_null": true, "references": "\"Cömpanies\".\"Id\"", "unique": ["\"com pany\"", "\"Id\""]}},
  {"constraint": {"table": "\"select\"", "column": "\"where\"", "not_null": "live", "soft_delete": "\"ä\"", "format": "^x"}}]}');
CALL tenantmig.enforce('It''s');
SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = '"select"'::regclass ORDER BY 1;
SELECT relation, column_name, kind, constraint_name, state FROM tenantmig.enforcements ORDER BY id;
SELECT count(*) FROM tenantmig.proofs WHERE status = 'FAIL';
-- renamed in between: still the same table and column
ALTER TABLE "select" RENAME "com pany" TO firm;
ALTER TABLE "select" RENAME TO "Sëlect";
CALL tenantmig.relax('It''s');
SELECT conname FROM pg_constraint WHERE conrelid = '"Sëlect"'::regclass ORDER BY 1;
SELECT attname, attnotnull FROM pg_attribute WHERE attrelid = '"Sëlect"'::regclass AND attnum > 0 ORDER BY attnum;

-- names of 63 bytes; the generated ones are cut between characters, and numbered where they would be the same
CREATE TABLE "äääääääääääääääääääääääääääääää1" (id integer PRIMARY KEY, "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk1" integer, "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk2" integer);
SELECT tenantmig.create_migration('{"migration": "long", "tenants": {"table": "\"Cömpanies\"", "key": "\"Id\""}, "steps": [
  {"constraint": {"table": "äääääääääääääääääääääääääääääää1", "column": "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk1", "references": "\"Cömpanies\"", "composite": true, "not_null": true}},
  {"constraint": {"table": "äääääääääääääääääääääääääääääää1", "column": "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk2", "references": "\"Cömpanies\"", "composite": true}}]}');
CALL tenantmig.enforce('long', false);
SELECT conname, octet_length(conname), contype FROM pg_constraint WHERE conrelid = 'äääääääääääääääääääääääääääääää1'::regclass ORDER BY 1;
CALL tenantmig.relax('long');
SELECT conname FROM pg_constraint WHERE conrelid = 'äääääääääääääääääääääääääääääää1'::regclass;

-- the usual name is taken, by a constraint and by another table: the next one
CREATE TABLE goods (id integer PRIMARY KEY, company_id integer, CONSTRAINT goods_company_id_fkey CHECK (id > 0));
CREATE TABLE goods_company_id_id_key ();
SELECT tenantmig.create_migration('{"migration": "taken", "tenants": {"table": "\"Cömpanies\"", "key": "\"Id\""}, "steps": [{"constraint": {"table": "goods", "column": "company_id", "references": "\"Cömpanies\"", "composite": true}}]}');
CALL tenantmig.enforce('taken', false);
SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'goods'::regclass ORDER BY 1;
-- one that somebody has renamed meanwhile is still ours; one that is gone is said to be
ALTER TABLE goods RENAME CONSTRAINT goods_company_id_fkey1 TO other;
ALTER TABLE goods DROP CONSTRAINT goods_company_id_id_key1;
SET client_min_messages = notice;
CALL tenantmig.relax('taken');
SELECT conname FROM pg_constraint WHERE conrelid = 'goods'::regclass ORDER BY 1;
SET client_min_messages = warning;
DROP SCHEMA "Shop ""1""" CASCADE;
