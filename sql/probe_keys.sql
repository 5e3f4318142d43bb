-- probe_isolation: foreign keys and unique indexes as oracles. Row-level security is made by hand here; names are hostile, and the
-- schema is in nobody's path.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS tenantmig;
CREATE ROLE pk_app;
CREATE SCHEMA "PK ""x";
GRANT USAGE ON SCHEMA "PK ""x" TO pk_app;
SET search_path = "PK ""x";
CREATE TABLE companies (id integer PRIMARY KEY);
INSERT INTO companies VALUES (1), (2), (3);
CREATE TABLE "Cust""omers" (
  id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  "Tenant ID" integer NOT NULL REFERENCES companies,
  email text NOT NULL,
  gone boolean NOT NULL DEFAULT false,
  UNIQUE ("Tenant ID", id),
  UNIQUE ("Tenant ID", email)
);
CREATE TABLE orders (
  id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  "Tenant ID" integer NOT NULL REFERENCES companies,
  customer_id integer NOT NULL,
  period int4range NOT NULL,
  CONSTRAINT orders_customer FOREIGN KEY ("Tenant ID", customer_id) REFERENCES "Cust""omers" ("Tenant ID", id)
);
CREATE TABLE lines (
  "Tenant ID" integer NOT NULL REFERENCES companies,
  id uuid NOT NULL DEFAULT gen_random_uuid(),
  year integer NOT NULL,
  customer_id integer NOT NULL,
  PRIMARY KEY ("Tenant ID", id, year),
  CONSTRAINT lines_customer FOREIGN KEY ("Tenant ID", customer_id) REFERENCES "Cust""omers" ("Tenant ID", id)
) PARTITION BY LIST (year);
CREATE TABLE lines_2025 PARTITION OF lines FOR VALUES IN (2025);
CREATE TABLE lines_2026 PARTITION OF lines FOR VALUES IN (2026);
INSERT INTO "Cust""omers" ("Tenant ID", email) SELECT t, format('u%s@t%s', n, t) FROM generate_series(1, 3) t, generate_series(1, 4) n ORDER BY t, n;
INSERT INTO orders ("Tenant ID", customer_id, period) SELECT "Tenant ID", id, int4range(10 * id, 10 * id + 5) FROM "Cust""omers" WHERE id % 4 <> 0 ORDER BY id;
INSERT INTO lines ("Tenant ID", year, customer_id) SELECT "Tenant ID", 2025 + id % 2, id FROM "Cust""omers";
CREATE FUNCTION isolate(name regclass) RETURNS void LANGUAGE plpgsql AS $f$
BEGIN
  EXECUTE format('CREATE POLICY tenant ON %s TO pk_app USING ("Tenant ID" = (SELECT nullif(current_setting(''tenantmig.tenant'', true), '''')::integer))', name);
  EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', name);
END $f$;
SELECT FROM unnest('{"\"Cust\"\"omers\"",orders,lines,lines_2025,lines_2026}'::text[]) t, isolate(t::regclass);
GRANT SELECT, DELETE ON "Cust""omers", orders, lines TO pk_app;
GRANT INSERT ("Tenant ID", email, gone), UPDATE ("Tenant ID", email, gone) ON "Cust""omers" TO pk_app;
GRANT INSERT ("Tenant ID", customer_id, period), UPDATE ("Tenant ID", customer_id, period) ON orders TO pk_app;
GRANT INSERT, UPDATE ON lines TO pk_app;

-- All that the application's tables hold, to be compared at the end.
CREATE FUNCTION digest() RETURNS text LANGUAGE sql AS $f$
  SELECT md5(concat((SELECT string_agg(c::text, ',' ORDER BY c::text) FROM "Cust""omers" c), (SELECT string_agg(o::text, ',' ORDER BY o::text) FROM orders o), (SELECT string_agg(l::text, ',' ORDER BY l::text) FROM lines l)))
$f$;
SELECT digest() AS before \gset
PREPARE probe (text) AS
  SELECT relation, attack, tenant, victim, seen, status
  FROM tenantmig.probe_isolation(role => 'pk_app', tenant_root => 'companies', tables => '{"\"Cust\"\"omers\"",orders,lines}')
  WHERE attack IN ('foreign_key', 'referenced_row', 'unique', 'exclusion') AND concat(attack, relation, key) ~ $1;
-- For the oracles, which do not ask the extension: what becomes of a statement, always undone.
CREATE FUNCTION outcome(statement text) RETURNS text LANGUAGE plpgsql AS $f$
DECLARE named text;
BEGIN
  EXECUTE statement;
  RAISE SQLSTATE 'UNDO0';
EXCEPTION
  WHEN SQLSTATE 'UNDO0' THEN RETURN 'accepted';
  WHEN OTHERS THEN GET STACKED DIAGNOSTICS named = CONSTRAINT_NAME; RETURN concat_ws(' ', SQLSTATE, nullif(named, ''));
END $f$;

-- Clean: nothing tells anything.
EXECUTE probe('');
SELECT count(*) AS remedies FROM tenantmig.probe_isolation(role => 'pk_app', tenant_root => 'companies', tables => '{"\"Cust\"\"omers\"",orders,lines}') WHERE attack IN ('foreign_key', 'unique') AND remedy <> '';

-- A name that holds the values that are tried is no difference between two answers.
ALTER TABLE orders RENAME CONSTRAINT orders_customer TO "of 5 or 1";
EXECUTE probe('foreign_key.*orders');
ALTER TABLE orders RENAME CONSTRAINT "of 5 or 1" TO orders_customer;

-- A foreign key without the tenant key: another tenant's customer can be referred to, one that is nowhere can't.
ALTER TABLE orders DROP CONSTRAINT orders_customer, ADD CONSTRAINT "Orders ""fk" FOREIGN KEY (customer_id) REFERENCES "Cust""omers";
EXECUTE probe('foreign_key.*orders');
SELECT DISTINCT remedy FROM tenantmig.probe_isolation(role => 'pk_app', tenant_root => 'companies', tables => '{"\"Cust\"\"omers\"",orders}') WHERE attack = 'foreign_key' AND status = 'FAIL';
SET ROLE pk_app;
SET tenantmig.tenant = '1';
SELECT outcome('UPDATE orders SET customer_id = 5 WHERE id = 1') AS of_tenant_2, outcome('UPDATE orders SET customer_id = 5000 WHERE id = 1') AS nowhere;
RESET ROLE;
RESET tenantmig.tenant;

-- A composite key beside it: the name in the error is the answer.
ALTER TABLE orders ADD CONSTRAINT orders_customer FOREIGN KEY ("Tenant ID", customer_id) REFERENCES "Cust""omers" ("Tenant ID", id);
EXECUTE probe('foreign_key.*orders');
SET ROLE pk_app;
SET tenantmig.tenant = '1';
SELECT outcome('UPDATE orders SET customer_id = 5 WHERE id = 1') AS of_tenant_2, outcome('UPDATE orders SET customer_id = 5000 WHERE id = 1') AS nowhere;
RESET ROLE;
RESET tenantmig.tenant;
-- The victim's row can't refer across: what is referenced is the tenant's own business.
EXECUTE probe('referenced_row.*orders');
ALTER TABLE orders DROP CONSTRAINT orders_customer;

-- Rows of others that refer to one's own: they keep it, or go with it.
EXECUTE probe('referenced_row.*orders');
ALTER TABLE orders DROP CONSTRAINT "Orders ""fk", ADD CONSTRAINT "Orders ""fk" FOREIGN KEY (customer_id) REFERENCES "Cust""omers" ON DELETE CASCADE;
EXECUTE probe('referenced_row.*orders');
-- ... further on: the row that would go with it is referred to itself.
CREATE TABLE parts ("Tenant ID" integer NOT NULL, order_id integer NOT NULL REFERENCES orders);
INSERT INTO parts SELECT "Tenant ID", id FROM orders;
EXECUTE probe('referenced_row.*orders');
DROP TABLE parts;
-- Such a row is there already; nobody can make one any more.
UPDATE orders SET customer_id = 4 WHERE id = 4;
REVOKE INSERT, UPDATE ON orders FROM pk_app;
EXECUTE probe('(foreign_key|referenced_row).*orders');
UPDATE orders SET customer_id = 5 WHERE id = 4;
REVOKE DELETE ON "Cust""omers" FROM pk_app;
EXECUTE probe('referenced_row.*orders');
GRANT DELETE ON "Cust""omers" TO pk_app;
GRANT INSERT ("Tenant ID", customer_id, period), UPDATE ("Tenant ID", customer_id, period) ON orders TO pk_app;

-- A trigger that keeps the tenants apart, and says so.
CREATE FUNCTION same_tenant() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $f$
BEGIN
  IF EXISTS (SELECT FROM "PK ""x"."Cust""omers" c WHERE c.id = NEW.customer_id AND c."Tenant ID" <> NEW."Tenant ID") THEN
    RAISE EXCEPTION 'customer % is not yours', NEW.customer_id USING ERRCODE = '23503';
  END IF;
  RETURN NEW;
END $f$;
CREATE TRIGGER same_tenant BEFORE INSERT OR UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION same_tenant();
EXECUTE probe('(foreign_key|referenced_row).*orders');
DROP TRIGGER same_tenant ON orders;
-- The guard same_tenant answers as the foreign key does.
SELECT guard, mode, outcome FROM tenantmig.attach_guard('"PK ""x".orders', '"Tenant ID"', 'same_tenant', '{"via": "customer_id"}') \gset
EXECUTE probe('(foreign_key|referenced_row).*orders');
SELECT :'mode' AS mode, outcome FROM tenantmig.detach_guard(:guard);
-- One that refuses everything tells nothing, and lets nothing be found out.
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN RAISE EXCEPTION 'closed' USING ERRCODE = '55000'; END $f$;
CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION refuse();
EXECUTE probe('(foreign_key|referenced_row).*orders');
DROP TRIGGER refuse ON orders;
ALTER TABLE orders DROP CONSTRAINT "Orders ""fk", ADD CONSTRAINT orders_customer FOREIGN KEY ("Tenant ID", customer_id) REFERENCES "Cust""omers" ("Tenant ID", id);

-- A partitioned table refers, deferred; and a table without a tenant key does.
ALTER TABLE lines DROP CONSTRAINT lines_customer, ADD CONSTRAINT lines_plain FOREIGN KEY (customer_id) REFERENCES "Cust""omers" DEFERRABLE INITIALLY DEFERRED;
EXECUTE probe('(foreign_key|referenced_row).*lines');
ALTER TABLE lines DROP CONSTRAINT lines_plain, ADD CONSTRAINT lines_customer FOREIGN KEY ("Tenant ID", customer_id) REFERENCES "Cust""omers" ("Tenant ID", id);
CREATE TABLE visits (customer_id integer REFERENCES "Cust""omers", at date);
INSERT INTO visits VALUES (1, '2026-01-01');
GRANT SELECT, INSERT ON visits TO pk_app;
EXECUTE probe('visits');
ALTER TABLE visits ENABLE ROW LEVEL SECURITY;
EXECUTE probe('visits');
DROP TABLE visits;

-- Unique without the tenant key: plain, deferred, by expression and of some rows only, in a partitioned table.
CREATE UNIQUE INDEX "E ""mail" ON "Cust""omers" (email);
EXECUTE probe('unique.*Cust');
SELECT DISTINCT remedy FROM tenantmig.probe_isolation(role => 'pk_app', tenant_root => 'companies', tables => '{"\"Cust\"\"omers\""}') WHERE attack = 'unique' AND status = 'FAIL';
SET ROLE pk_app;
SET tenantmig.tenant = '1';
SELECT outcome($$UPDATE "Cust""omers" SET email = 'u1@t2' WHERE id = 1$$) AS of_tenant_2, outcome($$UPDATE "Cust""omers" SET email = 'new' WHERE id = 1$$) AS nowhere;
RESET ROLE;
RESET tenantmig.tenant;
DROP INDEX "E ""mail";
CREATE UNIQUE INDEX living ON "Cust""omers" (lower(email)) WHERE NOT gone;
UPDATE "Cust""omers" SET gone = true WHERE email LIKE 'u1@%' OR email LIKE 'u2@%';
EXECUTE probe('unique.*living');
DROP INDEX living;
UPDATE "Cust""omers" SET gone = false WHERE gone;
ALTER TABLE "Cust""omers" ADD CONSTRAINT later UNIQUE (email) DEFERRABLE INITIALLY DEFERRED;
REVOKE UPDATE ON "Cust""omers" FROM pk_app; -- INSERT tells as well
EXECUTE probe('unique.*later');
ALTER TABLE "Cust""omers" DROP CONSTRAINT later;
CREATE UNIQUE INDEX lines_number ON lines (year, customer_id);
EXECUTE probe('unique.*lines');
DROP INDEX lines_number;
-- A generated column can't be written, and those that it is made of can.
ALTER TABLE "Cust""omers" ADD lower_email text GENERATED ALWAYS AS (lower(email)) STORED;
CREATE UNIQUE INDEX generated ON "Cust""omers" (lower_email);
EXECUTE probe('unique.*generated');
REVOKE INSERT ON "Cust""omers" FROM pk_app;
EXECUTE probe('unique.*generated');
GRANT INSERT ("Tenant ID", email, gone), UPDATE ("Tenant ID", email, gone) ON "Cust""omers" TO pk_app;
ALTER TABLE "Cust""omers" DROP lower_email;

-- An identity that is always generated is chosen all the same, by who may INSERT it.
GRANT INSERT ON "Cust""omers" TO pk_app;
EXECUTE probe('unique.*Cust');
SELECT DISTINCT remedy FROM tenantmig.probe_isolation(role => 'pk_app', tenant_root => 'companies', tables => '{"\"Cust\"\"omers\""}') WHERE attack = 'unique' AND status = 'FAIL';
SET ROLE pk_app;
SET tenantmig.tenant = '1';
SELECT outcome($$INSERT INTO "Cust""omers" (id, "Tenant ID", email) OVERRIDING SYSTEM VALUE VALUES (5, 1, 'x')$$) AS of_tenant_2, outcome($$INSERT INTO "Cust""omers" (id, "Tenant ID", email) OVERRIDING SYSTEM VALUE VALUES (5000, 1, 'x')$$) AS nowhere;
RESET ROLE;
RESET tenantmig.tenant;
REVOKE INSERT ON "Cust""omers" FROM pk_app;
GRANT INSERT ("Tenant ID", email, gone), UPDATE ("Tenant ID", email, gone) ON "Cust""omers" TO pk_app;

-- Two rows that must not overlap, whoever's they are.
ALTER TABLE orders ADD CONSTRAINT no_overlap EXCLUDE USING gist (period WITH &&);
EXECUTE probe('exclusion');
SELECT DISTINCT remedy FROM tenantmig.probe_isolation(role => 'pk_app', tenant_root => 'companies', tables => '{orders}') WHERE attack = 'exclusion' AND status = 'FAIL';
-- Without row-level security the error shows the other row's values, too.
ALTER TABLE orders DISABLE ROW LEVEL SECURITY;
GRANT SELECT ON orders TO pk_app;
EXECUTE probe('exclusion');
ALTER TABLE orders ENABLE ROW LEVEL SECURITY;
-- What refuses everything decides nothing.
CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION refuse();
EXECUTE probe('exclusion');
DROP TRIGGER refuse ON orders;
ALTER TABLE orders DROP CONSTRAINT no_overlap;
-- Nor does a table that one tenant alone has rows in.
CREATE TABLE lonely ("Tenant ID" integer NOT NULL REFERENCES companies, code text UNIQUE, customer_id integer REFERENCES "Cust""omers");
INSERT INTO lonely VALUES (1, 'a', 1);
GRANT SELECT, INSERT ON lonely TO pk_app;
SELECT isolate('lonely');
SELECT relation, attack, tenant, victim, seen, status
FROM tenantmig.probe_isolation(role => 'pk_app', tenant_root => 'companies', tables => '{"\"Cust\"\"omers\"",lonely}')
WHERE attack IN ('foreign_key', 'referenced_row', 'unique') AND relation ~ 'lonely';
DROP TABLE lonely;

-- What is not tried is no PASS; one tenant alone is an error.
ALTER TABLE orders DROP CONSTRAINT orders_customer, ADD CONSTRAINT orders_customer FOREIGN KEY (customer_id) REFERENCES "Cust""omers";
CREATE UNIQUE INDEX email ON "Cust""omers" (email);
SELECT relation, attack, tenant, victim, seen, status
FROM tenantmig.probe_isolation(role => 'pk_app', tenant_root => 'companies', tables => '{"\"Cust\"\"omers\"",orders}', writes => false)
WHERE attack IN ('foreign_key', 'referenced_row', 'unique');
SELECT relation, attack, tenant, victim, seen, status
FROM tenantmig.probe_isolation(role => 'pk_app', tenant_root => 'companies', tables => '{"\"Cust\"\"omers\"",orders}', tenants => '{2}')
WHERE attack IN ('foreign_key', 'referenced_row', 'unique');
\echo :SQLSTATE
DROP INDEX email;

-- Nothing has been changed by any of it, and nobody's rights suffice but those of role and owner.
SELECT digest() = :'before' AS undone;
CREATE ROLE pk_other;
GRANT EXECUTE ON FUNCTION tenantmig.probe_isolation TO pk_other;
GRANT USAGE ON SCHEMA tenantmig, "PK ""x" TO pk_other;
SET ROLE pk_other;
EXECUTE probe('');
\echo :SQLSTATE
RESET ROLE;
REVOKE EXECUTE ON FUNCTION tenantmig.probe_isolation FROM pk_other;
REVOKE USAGE ON SCHEMA tenantmig FROM pk_other;
DROP SCHEMA "PK ""x" CASCADE;
DROP ROLE pk_app, pk_other;
DEALLOCATE probe;
RESET search_path;
RESET client_min_messages;
