-- composite_keys and composite_references of isolate: keys and foreign keys as they become, what the application can tell afterwards, and the way back.
-- Catalogue and rows are compared with plain SQL.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tenantmig CASCADE;
CREATE EXTENSION tenantmig;
CREATE SCHEMA iskeys;
SET search_path = iskeys;
CREATE ROLE tenantmig_keys_app;
CREATE ROLE tenantmig_keys_owner;
-- by name: constraints with comment, and triggers that stand for them; indexes; flags and policies
CREATE FUNCTION catalogue() RETURNS SETOF text LANGUAGE sql AS $$
  SELECT format('%s %s %s %s %s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid), convalidated, conparentid <> 0, obj_description(oid, 'pg_constraint'),
      (SELECT string_agg(tgrelid::regclass || tgenabled::text || tgtype, ',' ORDER BY tgrelid::regclass::text, tgtype) FROM pg_trigger WHERE tgconstraint = k.oid)) AS line
    FROM pg_constraint k WHERE connamespace = 'iskeys'::regnamespace
  UNION ALL SELECT format('%s %s', pg_get_indexdef(indexrelid), indisvalid) FROM pg_index JOIN pg_class c ON c.oid = indexrelid WHERE c.relnamespace = 'iskeys'::regnamespace
  UNION ALL SELECT format('%s %s %s', oid::regclass, relrowsecurity, relforcerowsecurity) FROM pg_class WHERE relnamespace = 'iskeys'::regnamespace AND relkind IN ('r', 'p')
  UNION ALL SELECT format('%s %s', polrelid::regclass, polname) FROM pg_policy JOIN pg_class c ON c.oid = polrelid WHERE c.relnamespace = 'iskeys'::regnamespace $$;
CREATE FUNCTION keys(of text DEFAULT '.') RETURNS TABLE (relation text, name name, definition text, valid boolean) LANGUAGE sql AS $$
  SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid), convalidated FROM pg_constraint
    WHERE connamespace = 'iskeys'::regnamespace AND contype IN ('f', 'u') AND conrelid::regclass::text ~ of ORDER BY conrelid::regclass::text COLLATE "C", conname COLLATE "C" $$;
CREATE TABLE catalogue_before (line text);
CREATE FUNCTION remember() RETURNS void LANGUAGE sql AS 'TRUNCATE iskeys.catalogue_before; INSERT INTO iskeys.catalogue_before SELECT iskeys.catalogue()';
CREATE FUNCTION difference() RETURNS TABLE (side text, line text) LANGUAGE sql AS $$
  (SELECT 'gone', line FROM catalogue_before EXCEPT ALL SELECT 'gone', c FROM catalogue() c) UNION ALL (SELECT 'new', c FROM catalogue() c EXCEPT ALL SELECT 'new', line FROM catalogue_before) ORDER BY 1, 2 $$;
-- what the application is told of a statement: all of it
CREATE FUNCTION answer(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE state text; name text; message text; detail text;
BEGIN
  EXECUTE statement;
  RETURN 'done';
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, name = CONSTRAINT_NAME, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL;
  RETURN concat_ws(' | ', state, name, message, detail);
END $$;

-- ---- actions, deferrability, comments, several keys on one column, a key over text, a self reference, odd names, one that is not valid
CREATE TABLE companies (id integer PRIMARY KEY);
CREATE TABLE customers (id integer PRIMARY KEY, tenant integer NOT NULL REFERENCES companies, email text UNIQUE);
CREATE TABLE "Sales Orders" ("Order No" integer PRIMARY KEY, "the tenant" integer NOT NULL REFERENCES companies, customer_id integer, payer_id integer DEFAULT 1, email text,
  parent integer, kept_id integer, reseller integer REFERENCES companies);
CREATE UNIQUE INDEX orders_ready ON "Sales Orders" ("Order No", "the tenant");
ALTER TABLE "Sales Orders"
  ADD CONSTRAINT "Customer 'of'" FOREIGN KEY (customer_id) REFERENCES customers ON UPDATE CASCADE ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED,
  ADD CONSTRAINT second FOREIGN KEY (customer_id) REFERENCES customers ON DELETE RESTRICT,
  ADD FOREIGN KEY (payer_id) REFERENCES customers MATCH FULL ON DELETE SET DEFAULT,
  ADD FOREIGN KEY (email) REFERENCES customers (email) ON UPDATE RESTRICT ON DELETE CASCADE DEFERRABLE,
  ADD CONSTRAINT parents FOREIGN KEY (parent) REFERENCES "Sales Orders" NOT VALID,
  ADD CONSTRAINT compares FOREIGN KEY (kept_id, "the tenant") REFERENCES "Sales Orders" ("Order No", "the tenant");
COMMENT ON CONSTRAINT "Customer 'of'" ON "Sales Orders" IS 'whose it''s';
INSERT INTO companies VALUES (1), (2);
INSERT INTO customers SELECT n, n % 2 + 1, 'c' || n FROM generate_series(1, 100) n;
INSERT INTO "Sales Orders" SELECT n, n % 2 + 1, n, 1 + (n + 1) % 2, 'c' || n, CASE WHEN n > 10 THEN n - 2 END, n FROM generate_series(1, 60) n;
GRANT USAGE ON SCHEMA iskeys TO tenantmig_keys_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON customers, "Sales Orders" TO tenantmig_keys_app;
SELECT tenantmig.create_migration('{"migration": "keys", "tenants": {"table": "companies"}, "steps": [{"isolate": {"tables": ["customers", {"table": "\"Sales Orders\"", "column": "\"the tenant\""}],
  "role": "tenantmig_keys_app", "composite_keys": true, "composite_references": true}}]}');
SELECT remember();
SELECT relation, outcome, path, note FROM tenantmig.plan('keys') WHERE outcome ~ 'key' ORDER BY 1, 2, 4;
SELECT * FROM difference(); -- it only reads
SELECT check_name, status, expected, actual, detail, hint FROM tenantmig.isolation_criteria('keys') WHERE check_name ~ '^composite';

-- the application as it was: a foreign id that exists can be told from one that does not
SET ROLE tenantmig_keys_app;
SELECT answer('INSERT INTO "Sales Orders" ("Order No", "the tenant", payer_id) VALUES (900, 1, 1)') AS another_tenants;
SELECT answer('INSERT INTO "Sales Orders" ("Order No", "the tenant", payer_id) VALUES (901, 1, 5000)') AS nobodys;
RESET ROLE;
DELETE FROM "Sales Orders" WHERE "Order No" >= 900;

CALL tenantmig.up('keys');
SELECT * FROM keys();
SELECT conname, obj_description(oid, 'pg_constraint') FROM pg_constraint WHERE connamespace = 'iskeys'::regnamespace AND contype = 'f' AND obj_description(oid, 'pg_constraint') IS NOT NULL;
SELECT check_name, status, expected, actual, detail, hint FROM tenantmig.verify('keys') WHERE check_name ~ '^composite' ORDER BY 1;
SELECT check_name, status, actual FROM tenantmig.isolation_criteria('keys') WHERE check_name ~ '^composite' ORDER BY 1; -- of a step that is applied
SELECT conrelid::regclass, conname FROM pg_constraint WHERE connamespace = 'iskeys'::regnamespace AND contype = 'f' AND cardinality(conkey) = 1 ORDER BY 2; -- to the tenant root only

-- ---- now: one answer for both, for each foreign key, INSERT and UPDATE
CREATE TABLE attacks (c text, theirs text, nobodys text);
GRANT SELECT ON attacks TO tenantmig_keys_app;
INSERT INTO attacks VALUES ('customer_id', '1', '5000'), ('payer_id', '1', '5000'), ('email', $$'c1'$$, $$'c5000'$$), ('parent', '1', '5000'), ('kept_id', '1', '5000');
SET ROLE tenantmig_keys_app;
SET tenantmig.tenant = '1';
SELECT count(*) FROM "Sales Orders";
BEGIN;
SET CONSTRAINTS ALL IMMEDIATE;
SELECT c, answer(format('INSERT INTO "Sales Orders" ("Order No", "the tenant", payer_id, %I) VALUES (900, 1, 2, %s)', c, theirs)) AS insert_theirs FROM attacks WHERE c <> 'payer_id' ORDER BY 1;
SELECT c, answer(format('INSERT INTO "Sales Orders" ("Order No", "the tenant", payer_id, %I) VALUES (900, 1, 2, %s)', c, theirs))
    = answer(format('INSERT INTO "Sales Orders" ("Order No", "the tenant", payer_id, %I) VALUES (900, 1, 2, %s)', c, nobodys)) AS same_for_insert,
  answer(format('UPDATE "Sales Orders" SET %I = %s WHERE "Order No" = 20', c, theirs)) = answer(format('UPDATE "Sales Orders" SET %I = %s WHERE "Order No" = 20', c, nobodys)) AS same_for_update,
  answer(format('UPDATE "Sales Orders" SET %I = %s WHERE "Order No" = 20', c, theirs)) ~ '^23503' AS refused
  FROM attacks WHERE c <> 'payer_id' ORDER BY 1;
SELECT answer('UPDATE "Sales Orders" SET payer_id = 1 WHERE "Order No" = 20') = answer('UPDATE "Sales Orders" SET payer_id = 5000 WHERE "Order No" = 20') AS same_for_update;
ROLLBACK;
RESET tenantmig.tenant;
RESET ROLE;
DROP TABLE attacks;

-- ---- the actions, with the tenant key left alone
BEGIN;
ALTER TABLE "Sales Orders" DROP CONSTRAINT "Sales Orders_the tenant_customer_id_fkey1"; -- what refuses first
ALTER TABLE "Sales Orders" DROP CONSTRAINT "Sales Orders_the tenant_email_fkey";
ALTER TABLE "Sales Orders" DROP CONSTRAINT "Sales Orders_the tenant_parent_fkey";
UPDATE customers SET id = 1012 WHERE id = 12;
SELECT "Order No", "the tenant", customer_id FROM "Sales Orders" WHERE "Order No" = 12;
DELETE FROM customers WHERE id = 14;
SELECT "Order No", "the tenant", customer_id FROM "Sales Orders" WHERE "Order No" = 14;
UPDATE "Sales Orders" SET payer_id = 15 WHERE "Order No" = 17;
DELETE FROM customers WHERE id = 15; -- SET DEFAULT
SELECT "Order No", "the tenant", payer_id FROM "Sales Orders" WHERE "Order No" = 17;
SELECT answer('DELETE FROM customers WHERE id = 2') AS default_of_another_tenant;
ROLLBACK;

-- ---- the way back: others may need the unique keys
CREATE TABLE follower (tenant integer, customer integer, FOREIGN KEY (tenant, customer) REFERENCES customers (tenant, id));
CALL tenantmig.down('keys');
\echo :SQLSTATE
DROP TABLE follower;
ALTER TABLE customers DROP CONSTRAINT customers_email_key;
CALL tenantmig.down('keys');
\echo :SQLSTATE
ALTER TABLE customers ADD UNIQUE (email);
ALTER TABLE "Sales Orders" ADD CONSTRAINT second CHECK (true);
CALL tenantmig.down('keys');
\echo :SQLSTATE
ALTER TABLE "Sales Orders" DROP CONSTRAINT second;
SELECT count(*) FROM tenantmig.isolated_tables; -- nothing was done yet
CALL tenantmig.down('keys');
SELECT * FROM difference();
SELECT count(*) FROM tenantmig.step_state;

-- ---- up again; what is renamed in between is found again; a key that somebody drops is told by verify
CALL tenantmig.up('keys');
ALTER TABLE "Sales Orders" RENAME CONSTRAINT "Sales Orders_the tenant_parent_fkey" TO renamed;
ALTER TABLE customers RENAME CONSTRAINT customers_tenant_id_key TO "renamed too";
ALTER TABLE customers RENAME COLUMN id TO customer_no;
ALTER TABLE customers RENAME TO clients;
SELECT check_name, status, actual FROM tenantmig.verify('keys') WHERE check_name ~ '^composite' ORDER BY 1;
SELECT check_name, status, actual FROM tenantmig.isolation_criteria('keys') WHERE check_name ~ '^composite' ORDER BY 1;
ALTER TABLE clients RENAME TO customers;
ALTER TABLE customers RENAME COLUMN customer_no TO id;
ALTER TABLE "Sales Orders" DISABLE TRIGGER ALL;
SELECT check_name, status, actual, hint FROM tenantmig.verify('keys') WHERE check_name ~ '^composite' AND status <> 'PASS' ORDER BY 1;
INSERT INTO "Sales Orders" ("Order No", "the tenant", payer_id, parent) VALUES (300, 1, 2, 1);
ALTER TABLE "Sales Orders" ENABLE TRIGGER ALL;
SELECT check_name, status, actual, detail, hint FROM tenantmig.verify('keys') WHERE check_name ~ '^composite' AND status <> 'PASS' ORDER BY 1;
DELETE FROM "Sales Orders" WHERE "Order No" = 300;
ALTER TABLE "Sales Orders" DROP CONSTRAINT renamed;
SELECT check_name, status, actual FROM tenantmig.verify('keys') WHERE check_name ~ '^composite' AND status <> 'PASS' ORDER BY 1;
CALL tenantmig.down('keys');
SELECT * FROM difference();
SELECT tenantmig.drop_migration('keys', true);
DROP TABLE "Sales Orders", customers, companies;

-- ---- tables of several steps and migrations: foreign keys to those that are isolated already, and from them
CREATE TABLE a (id integer PRIMARY KEY, tenant_id integer NOT NULL);
CREATE TABLE b (id integer PRIMARY KEY, tenant_id integer NOT NULL, a_id integer CONSTRAINT b_to_a REFERENCES a);
ALTER TABLE a ADD b_id integer CONSTRAINT a_to_b REFERENCES b;
CREATE TABLE outside (id integer PRIMARY KEY, a_id integer REFERENCES a);
ALTER TABLE b ADD outside_id integer REFERENCES outside;
INSERT INTO a SELECT n, n FROM generate_series(1, 3) n;
INSERT INTO b SELECT n, n, n FROM generate_series(1, 3) n;
GRANT USAGE, CREATE ON SCHEMA iskeys TO tenantmig_keys_owner; -- no superuser, so that FORCE binds the owner
ALTER TABLE a OWNER TO tenantmig_keys_owner;
ALTER TABLE b OWNER TO tenantmig_keys_owner;
SELECT remember();
SELECT tenantmig.create_migration('{"migration": "first", "tenants": {"table": "outside"}, "steps": [{"isolate": {"tables": [{"table": "a", "column": "tenant_id"}], "role": "tenantmig_keys_app"}}]}');
SELECT tenantmig.create_migration('{"migration": "then", "tenants": {"table": "outside"}, "steps": [{"isolate": {"tables": [{"table": "b", "column": "tenant_id"}], "role": "tenantmig_keys_app", "composite_references": true}}]}');
CALL tenantmig.up('then'); -- the other one is not isolated yet
SELECT * FROM keys('^[ab]$');
CALL tenantmig.down('then');
CALL tenantmig.up('first');
-- rows are counted although the owner himself would see none of them
UPDATE b SET a_id = 2 WHERE id = 1;
SET ROLE tenantmig_keys_owner;
SELECT count(*) FROM a;
RESET ROLE;
SELECT check_name, actual FROM tenantmig.isolation_criteria('then') WHERE check_name ~ '^composite' AND status = 'FAIL';
CALL tenantmig.up('then');
\echo :SQLSTATE
UPDATE b SET a_id = 1 WHERE id = 1;
CALL tenantmig.up('then');
UPDATE b SET a_id = 2 WHERE id = 1;
\echo :SQLSTATE
SELECT * FROM keys();
CALL tenantmig.down('first'); -- keeps what the other one has made
SELECT * FROM keys('^[ab]$');
CALL tenantmig.down('then');
SELECT * FROM difference();
SELECT tenantmig.drop_migration('first', true), tenantmig.drop_migration('then', true);
DROP TABLE a, b, outside CASCADE;

-- ---- tables of different owners: counted without a right on each other
CREATE TABLE owned (id integer PRIMARY KEY, tenant_id text COLLATE "C" NOT NULL);
CREATE TABLE referring (id integer PRIMARY KEY, tenant_id text NOT NULL, owned_id integer CONSTRAINT "Old" REFERENCES owned);
INSERT INTO owned SELECT n, 'it''s {"' || n % 3 || ',' FROM generate_series(1, 30) n;
INSERT INTO referring SELECT n, 'it''s {"' || n % 3 || ',', n FROM generate_series(1, 30) n;
ALTER TABLE referring OWNER TO tenantmig_keys_owner;
GRANT USAGE ON SCHEMA iskeys TO tenantmig_keys_owner;
SELECT tenantmig.create_migration('{"migration": "owners", "tenants": {"table": "owned"}, "steps": [{"isolate": {"tables": [{"table": "owned", "column": "tenant_id"}, {"table": "referring", "column": "tenant_id"}], "role": "tenantmig_keys_app", "composite_references": true}}]}');
SELECT check_name, actual, detail, hint FROM tenantmig.isolation_criteria('owners') WHERE check_name ~ '^composite' AND status = 'FAIL';
GRANT CREATE ON SCHEMA iskeys TO tenantmig_keys_owner;
GRANT REFERENCES (tenant_id, id) ON owned TO tenantmig_keys_owner;
SELECT remember();
UPDATE referring SET owned_id = owned_id + 1 WHERE id = 7;
SELECT check_name, actual, detail, hint FROM tenantmig.isolation_criteria('owners') WHERE check_name ~ '^composite' AND status = 'FAIL';
SELECT count(*) FROM referring r WHERE NOT EXISTS (SELECT FROM owned o WHERE o.id = r.owned_id AND o.tenant_id = r.tenant_id COLLATE "C"); -- the oracle
UPDATE referring SET owned_id = owned_id - 1 WHERE id = 7;
CALL tenantmig.up('owners');
SELECT * FROM keys();
CALL tenantmig.down('owners');
SELECT * FROM difference();
SELECT tenantmig.drop_migration('owners', true);
DROP TABLE owned, referring;

DROP SCHEMA iskeys CASCADE;
DROP OWNED BY tenantmig_keys_owner, tenantmig_keys_app;
DROP ROLE tenantmig_keys_app, tenantmig_keys_owner;
