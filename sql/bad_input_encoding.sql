-- Bad input: databases of other encodings. Specs are JSON, which is UTF-8: beyond ASCII the names of such a database cannot be in one, and that is said.
SET client_min_messages = warning;
DROP DATABASE IF EXISTS regress_tenantmig_latin1;
DROP DATABASE IF EXISTS regress_tenantmig_ascii;
CREATE DATABASE regress_tenantmig_latin1 ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0;
CREATE DATABASE regress_tenantmig_ascii ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0;

\set ECHO none
SELECT current_database() AS here \gset
\set ECHO all
\c regress_tenantmig_latin1
SET client_encoding = utf8;
SET client_min_messages = warning;
CREATE EXTENSION tenantmig;
CREATE TABLE "Länder" (id integer PRIMARY KEY, name text);
CREATE TABLE customers (id text PRIMARY KEY, land integer REFERENCES "Länder", note text);
CREATE TABLE orders (id integer PRIMARY KEY, customer text REFERENCES customers, land integer);
INSERT INTO "Länder" VALUES (1, 'Österreich'), (2, 'Ägypten');
INSERT INTO customers VALUES ('Müller'), ('Groß');
INSERT INTO orders VALUES (1, 'Müller', 2);
SELECT tenantmig.backfill('customers', 'land');
SELECT tenantmig.backfill('customers', 'land', evidence => 'fürst');
SELECT tenantmig.create_migration('{"migration": "länder", "tenants": {"table": "companies"}, "steps": []}');
SELECT tenantmig.check_migration('{"migration": "länder", "tenants": {"table": "companies"}, "steps": []}');
SELECT tenantmig.plan('länder');
-- names in ASCII, keys as they like
ALTER TABLE "Länder" RENAME TO countries;
SELECT * FROM tenantmig.backfill('customers', 'land');
SELECT row_key, new_value FROM tenantmig.changes;
SELECT row_key, class FROM tenantmig.review('customers.land');
SELECT row_key, decided_by <> '' AS by, tenant FROM tenantmig.resolve((SELECT id FROM tenantmig.review('customers.land')), '1', 'größer');
SELECT count(*) FILTER (WHERE status = 'FAIL') AS failed FROM tenantmig.verify('customers.land');
SELECT tenantmig.report(1) LIKE '%customers.land%' AS reported;
SELECT tenantmig.report(1, 'json') LIKE '%customers.land%' AS reported;
SELECT outcome, row_count FROM tenantmig.rollback(1);
SELECT * FROM customers ORDER BY id;
-- a trigger that changes a column which JSON cannot name; decisions that it cannot hold
ALTER TABLE customers ADD "Größe" integer;
CREATE FUNCTION grow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW."Größe" := 1; RETURN NEW; END $$;
CREATE TRIGGER grow BEFORE UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION grow();
SELECT outcome, row_count, note FROM tenantmig.plan('customers.land');
SELECT outcome, row_count FROM tenantmig.backfill('customers.land');
SELECT id, land, "Größe" FROM customers ORDER BY id;
SELECT tenantmig.report(2) LIKE '%customers.land%' AS reported, tenantmig.report(2, 'json') LIKE '%customers.land%' AS as_json;
SELECT tenantmig.import_reviews('customers.land', '[{"id": 2, "decision": "resolve", "tenant": "köln"}]');

\c regress_tenantmig_ascii
SET client_min_messages = warning;
CREATE EXTENSION tenantmig;
CREATE TABLE companies (id integer PRIMARY KEY);
CREATE TABLE customers (id text PRIMARY KEY, company_id integer REFERENCES companies);
CREATE TABLE orders (id integer PRIMARY KEY, customer text REFERENCES customers, company_id integer);
INSERT INTO companies VALUES (1);
INSERT INTO customers VALUES (E'no \xff\xfe text'), ('plain');
INSERT INTO orders SELECT 1, id, 1 FROM customers WHERE id <> 'plain';
SELECT outcome, row_count FROM tenantmig.backfill('customers', 'company_id');
SELECT id = 'plain' AS plain, company_id FROM customers ORDER BY 1;
SELECT count(*) FILTER (WHERE status = 'FAIL') AS failed FROM tenantmig.verify('customers.company_id');
SELECT outcome, row_count FROM tenantmig.rollback(1);
SELECT tenantmig.create_migration(E'{"migration": "\xe4", "tenants": {"table": "companies"}, "steps": []}');

\c :here
DROP DATABASE regress_tenantmig_latin1;
DROP DATABASE regress_tenantmig_ascii;
