-- Deferred triggers: what a table's owner leaves behind must not run as somebody else at COMMIT. Each attack is shown to work
-- against plain SQL first.
SET client_min_messages = warning;
\set SHOW_CONTEXT never
DROP EXTENSION IF EXISTS tenantmig CASCADE;
DROP SCHEMA IF EXISTS late, trail CASCADE;
CREATE EXTENSION tenantmig;
CREATE ROLE regress_late;
SELECT tenantmig.grant_access('regress_late', 'operator');
CREATE SCHEMA trail;
CREATE TABLE trail.ran (at_step text, as_role name, number int GENERATED ALWAYS AS IDENTITY);
GRANT USAGE ON SCHEMA trail TO PUBLIC;
GRANT INSERT, SELECT ON trail.ran TO PUBLIC;
CREATE FUNCTION trail.show(OUT at_step text, OUT as_role name, OUT times bigint) RETURNS SETOF record LANGUAGE sql AS $$
  SELECT at_step, as_role, count(*) FROM trail.ran GROUP BY 1, 2 ORDER BY min(number)
$$;
CREATE PROCEDURE trail.again() LANGUAGE plpgsql AS $$
BEGIN
  UPDATE late.customers SET company_id = NULL;
  PERFORM tenantmig.drop_migration(migration, force => true) FROM tenantmig.migrations;
  COMMIT;
  TRUNCATE trail.ran;
END $$;
CREATE SCHEMA late AUTHORIZATION regress_late;
SET ROLE regress_late;
SET search_path = late;
CREATE TABLE companies (id bigint PRIMARY KEY);
CREATE TABLE customers (id bigint PRIMARY KEY, company_id bigint);
CREATE TABLE orders (customer_id bigint REFERENCES customers, company_id bigint);
INSERT INTO companies VALUES (1), (2);
INSERT INTO customers SELECT generate_series(1, 3);
INSERT INTO orders SELECT n, 1 FROM generate_series(1, 3) n;
CREATE FUNCTION fire() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO trail.ran VALUES (TG_NAME, current_user); RETURN NEW; END $$;
RESET ROLE;
RESET search_path;
\set backfill 'SELECT outcome, row_count FROM tenantmig.backfill(''late.customers'', ''company_id'', tenants => ''late.companies'')'

-- attack 1: a deferred trigger waits until the superuser is himself again
CREATE CONSTRAINT TRIGGER attack AFTER UPDATE ON late.customers DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION late.fire();
BEGIN;
SET LOCAL ROLE regress_late;
UPDATE late.customers SET company_id = 1 WHERE id = 1;      -- the trap
RESET ROLE;
COMMIT;
SELECT * FROM trail.show();
CALL trail.again();
TRUNCATE trail.ran;
BEGIN;
SET LOCAL ROLE regress_late;
:backfill;
RESET ROLE;
SELECT * FROM trail.show();                                  -- has run already, as the owner
COMMIT;
SELECT * FROM trail.show();
CALL trail.again();
TRUNCATE trail.ran;
BEGIN;
:backfill;                                                   -- the superuser without a change of role
SELECT * FROM trail.show();
COMMIT;
SELECT * FROM trail.show();
-- the same on the way back
TRUNCATE trail.ran;
BEGIN;
SELECT outcome, row_count FROM tenantmig.rollback((SELECT max(id) FROM tenantmig.runs));
SELECT * FROM trail.show();
COMMIT;
SELECT * FROM trail.show();
-- and for a decision
INSERT INTO late.customers VALUES (4);
SELECT outcome, row_count FROM tenantmig.backfill('late.customers.company_id');
TRUNCATE trail.ran;
BEGIN;
SELECT row_key, tenant FROM tenantmig.resolve((SELECT min(id) FROM tenantmig.review('late.customers.company_id')), '2');
SELECT * FROM trail.show();
COMMIT;
SELECT * FROM trail.show();
DELETE FROM late.customers WHERE id = 4;
CALL trail.again();

-- attack 2: a trigger defers again what was made immediate, and leaves an event of another table
DROP TRIGGER attack ON late.customers;
CREATE TABLE late.bait (id int);
ALTER TABLE late.bait OWNER TO regress_late;
CREATE CONSTRAINT TRIGGER attack AFTER INSERT ON late.bait DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION late.fire();
CREATE FUNCTION late.leave_bait() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  SET CONSTRAINTS ALL DEFERRED;
  INSERT INTO late.bait VALUES (1);
  RETURN NEW;
END $$;
ALTER FUNCTION late.leave_bait() OWNER TO regress_late;
CREATE TRIGGER leave_bait BEFORE UPDATE ON late.customers FOR EACH ROW EXECUTE FUNCTION late.leave_bait();
TRUNCATE trail.ran;
BEGIN;
SET CONSTRAINTS ALL IMMEDIATE;                               -- does not help
SET LOCAL ROLE regress_late;
UPDATE late.customers SET company_id = 1 WHERE id = 1;      -- the trap
RESET ROLE;
COMMIT;
SELECT * FROM trail.show();
ALTER TABLE late.customers DISABLE TRIGGER leave_bait;
CALL trail.again();
ALTER TABLE late.customers ENABLE TRIGGER leave_bait;
\set VERBOSITY sqlstate
:backfill;
BEGIN;
SET LOCAL ROLE regress_late;
:backfill;                                                   -- the owner himself, or who took his role
ROLLBACK;
SET SESSION AUTHORIZATION regress_late;
:backfill;
RESET SESSION AUTHORIZATION;
SELECT outcome FROM tenantmig.backfill('late.customers', 'company_id', tenants => 'late.companies', dry_run => true);
\set VERBOSITY default
:backfill;
SELECT * FROM trail.show();
SELECT count(*) AS runs FROM tenantmig.runs;
SELECT count(*) AS baits FROM late.bait;                      -- the one of the plain UPDATE
SELECT id, company_id FROM late.customers ORDER BY id;
-- swallowed by the trigger, the error leaves nothing behind either
CREATE OR REPLACE FUNCTION late.leave_bait() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  BEGIN
    SET CONSTRAINTS ALL DEFERRED;
    INSERT INTO late.bait VALUES (2);
  EXCEPTION WHEN insufficient_privilege THEN
    INSERT INTO trail.ran VALUES ('refused: ' || SQLERRM, current_user);
  END;
  RETURN NEW;
END $$;
BEGIN;
:backfill;
COMMIT;
SELECT * FROM trail.show();
SELECT count(*) AS baits FROM late.bait WHERE id = 2;
DROP TRIGGER leave_bait ON late.customers;
CALL trail.again();

-- from a read: code that a mere evaluation of rows runs (here a cast) cannot leave anything either
SET ROLE regress_late;
CREATE TYPE late.kind AS ENUM ('a', 'b');
CREATE FUNCTION late.kind_text(k late.kind) RETURNS text LANGUAGE plpgsql AS $$ BEGIN INSERT INTO late.bait VALUES (3); RETURN 'a'; END $$;
CREATE CAST (late.kind AS text) WITH FUNCTION late.kind_text(late.kind);
CREATE TABLE late.people (grade late.kind PRIMARY KEY, company_id bigint);
CREATE TABLE late.letters (grade late.kind REFERENCES late.people, company_id bigint);
INSERT INTO late.people VALUES ('a'), ('b');
INSERT INTO late.letters VALUES ('a', 1);
RESET ROLE;
TRUNCATE trail.ran;
BEGIN;
SELECT grade::text FROM late.people;                         -- the trap
COMMIT;
SELECT * FROM trail.show();
TRUNCATE trail.ran;
SELECT tenantmig.create_migration('{"migration": "read", "tenants": {"table": "late.companies"}, "steps": [{"backfill": {"table": "late.people", "column": "company_id", "sources": [{"via": "late.letters.grade"}]}}]}');
SELECT * FROM tenantmig.plan('read');
SELECT outcome FROM tenantmig.backfill('read');
SELECT * FROM trail.show();
SELECT tenantmig.drop_migration('read', force => true);
DROP TABLE late.people, late.letters;

-- what the caller himself had deferred fires before the switch, as the caller
CREATE TABLE late.mine (id int PRIMARY KEY);
CREATE CONSTRAINT TRIGGER mine AFTER INSERT ON late.mine DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION late.fire();
TRUNCATE trail.ran;
BEGIN;
INSERT INTO late.mine VALUES (1);
SELECT * FROM trail.show();
:backfill;
SELECT * FROM trail.show();
COMMIT;
SELECT * FROM trail.show();
-- a deferred constraint that the caller has violated is reported there and then
CREATE TABLE late.child (parent int REFERENCES late.mine DEFERRABLE INITIALLY DEFERRED);
BEGIN;
INSERT INTO late.child VALUES (7);
:backfill;
ROLLBACK;
BEGIN;
INSERT INTO late.child VALUES (7);
SELECT * FROM tenantmig.rollback((SELECT max(id) FROM tenantmig.runs));
ROLLBACK;
-- plan and the other reading functions leave it alone
BEGIN;
INSERT INTO late.child VALUES (7);
SELECT sum(row_count) FROM tenantmig.plan('late.customers.company_id');
SELECT count(*) > 0 AS checked FROM tenantmig.verify('late.customers.company_id');
INSERT INTO late.mine VALUES (7);
COMMIT;
CALL trail.again();

-- ordinary deferred foreign keys: checked at once within the backfill, and they work
ALTER TABLE late.customers ADD CONSTRAINT company FOREIGN KEY (company_id) REFERENCES late.companies DEFERRABLE INITIALLY DEFERRED;
BEGIN;
:backfill;
COMMIT;
SELECT id, company_id FROM late.customers ORDER BY id;
SELECT outcome, row_count FROM tenantmig.rollback((SELECT max(id) FROM tenantmig.runs));
-- the side effect: what is deferred by itself stays immediate up to the end of the transaction
BEGIN;
:backfill;
UPDATE late.customers SET company_id = 99 WHERE id = 1;
ROLLBACK;
BEGIN;
:backfill;
SET CONSTRAINTS ALL DEFERRED;                                -- unless the session says otherwise
UPDATE late.customers SET company_id = 99 WHERE id = 1;
UPDATE late.customers SET company_id = 1 WHERE id = 1;
COMMIT;
CALL trail.again();

-- temporary tables cannot be made inside: refused, not half done
CREATE FUNCTION late.temp() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN CREATE TEMP TABLE scratch (id int); RETURN NEW; END $$;
CREATE TRIGGER temp BEFORE UPDATE ON late.customers FOR EACH ROW WHEN (NEW.id = 2) EXECUTE FUNCTION late.temp();
UPDATE late.customers SET company_id = 1 WHERE id = 2;      -- as it works elsewhere
DROP TABLE scratch;
ALTER TABLE late.customers DISABLE TRIGGER temp;
UPDATE late.customers SET company_id = NULL;
ALTER TABLE late.customers ENABLE TRIGGER temp;
:backfill;
\echo :LAST_ERROR_SQLSTATE
SELECT id, company_id FROM late.customers ORDER BY id;
ALTER TABLE late.customers DISABLE TRIGGER temp;
:backfill;

DROP EXTENSION tenantmig CASCADE;
DROP SCHEMA late, trail CASCADE;
DROP ROLE regress_late;
