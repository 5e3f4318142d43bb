-- Row security: a zero is never an artefact of hidden rows, and the owner's triggers see what they always see.
SET client_min_messages = warning;
\set SHOW_CONTEXT never
DROP EXTENSION IF EXISTS tenantmig CASCADE;
DROP SCHEMA IF EXISTS hidden, elsewhere CASCADE;
CREATE EXTENSION tenantmig;
CREATE ROLE regress_hidden;
CREATE ROLE regress_elsewhere;
CREATE ROLE regress_both IN ROLE regress_hidden, regress_elsewhere;
SELECT tenantmig.grant_access(r, 'operator') FROM unnest('{regress_hidden,regress_elsewhere,regress_both}'::text[]) r;
CREATE SCHEMA hidden AUTHORIZATION regress_hidden;
CREATE SCHEMA elsewhere AUTHORIZATION regress_elsewhere;

SET ROLE regress_hidden;
CREATE TABLE hidden.companies (id int PRIMARY KEY);
CREATE TABLE hidden.customers (id int PRIMARY KEY, company_id int, note text);
CREATE TABLE hidden.orders (customer_id int REFERENCES hidden.customers, company_id int);
INSERT INTO hidden.companies VALUES (1), (2);
INSERT INTO hidden.customers SELECT generate_series(1, 5);
INSERT INTO hidden.orders VALUES (1, 1), (2, 2), (3, 1), (3, 2), (4, 9);
ALTER TABLE hidden.companies ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE hidden.customers ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE hidden.orders ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;

-- the trap: no policy, so the owner sees nothing and changes nothing, and nobody tells him
SELECT count(*) FROM hidden.customers WHERE company_id IS NULL;
UPDATE hidden.customers SET company_id = 1;
SELECT count(*) FROM hidden.companies;
-- a foreign key is marked valid although a row has no parent
ALTER TABLE hidden.orders ADD CONSTRAINT company FOREIGN KEY (company_id) REFERENCES hidden.companies;
SELECT convalidated FROM pg_constraint WHERE conname = 'company';
ALTER TABLE hidden.orders DROP CONSTRAINT company;

-- the owner himself, through tenantmig: every row is counted and written
\set spec '{"migration": "h", "tenants": {"table": "hidden.companies"}, "steps": [{"backfill": {"table": "hidden.customers", "column": "company_id", "sources": [{"via": "hidden.orders.customer_id"}]}}]}'
SELECT tenantmig.create_migration(:'spec');
SELECT outcome, source, row_count FROM tenantmig.plan('h');
SELECT check_name, status, actual FROM tenantmig.preflight('h');
SELECT outcome, source, row_count FROM tenantmig.backfill('h', dry_run => true);
SELECT outcome, source, row_count FROM tenantmig.backfill('h');
SELECT row_key, new_value FROM tenantmig.changes ORDER BY 1;
SELECT check_name, status, expected, actual FROM tenantmig.verify('h');
SELECT row_key, tenant FROM tenantmig.resolve((SELECT min(id) FROM tenantmig.review('h')), '2');
SELECT count(*) AS visible_to_the_owner FROM hidden.customers;
RESET ROLE;
SELECT id, company_id FROM hidden.customers ORDER BY id;
SET ROLE regress_hidden;
SELECT outcome, reason, row_count FROM tenantmig.rollback((SELECT max(id) FROM tenantmig.runs));
RESET ROLE;
SELECT count(*) AS nulls FROM hidden.customers WHERE company_id IS NULL;
-- a superuser, and a member: the same
SELECT tenantmig.drop_migration('h');
SELECT tenantmig.create_migration(:'spec');
SELECT outcome, source, row_count FROM tenantmig.backfill('h');
SELECT outcome, row_count FROM tenantmig.rollback((SELECT max(id) FROM tenantmig.runs));
SELECT tenantmig.drop_migration('h');
SET ROLE regress_both;
SELECT tenantmig.create_migration(:'spec');
SELECT outcome, source, row_count FROM tenantmig.backfill('h');
SELECT outcome, row_count FROM tenantmig.rollback((SELECT max(id) FROM tenantmig.runs));
-- whatever the session's row_security says
SET row_security = off;
SELECT outcome, source, row_count FROM tenantmig.plan('h');
SELECT outcome, source, row_count FROM tenantmig.backfill('h');
SHOW row_security;
SELECT outcome, row_count FROM tenantmig.rollback((SELECT max(id) FROM tenantmig.runs));
RESET row_security;
SELECT tenantmig.drop_migration('h');
RESET ROLE;

-- a policy that lets through part of the rows, and checks what is written: neither cuts us short
CREATE POLICY part ON hidden.customers USING (id > 2) WITH CHECK (company_id = 1);
SET ROLE regress_hidden;
SELECT count(*) FROM hidden.customers;
UPDATE hidden.customers SET company_id = 2 WHERE id = 3; -- the trap
SELECT tenantmig.create_migration(:'spec');
SELECT outcome, source, row_count FROM tenantmig.backfill('h');
RESET ROLE;
SELECT id, company_id FROM hidden.customers ORDER BY id;
SELECT outcome, row_count FROM tenantmig.rollback((SELECT max(id) FROM tenantmig.runs));
SELECT tenantmig.drop_migration('h');
-- a reviewer with rights on columns only is subject to the policies: for him the row may be hidden
CREATE ROLE regress_reviewer;
SELECT tenantmig.grant_access('regress_reviewer', 'reviewer');
GRANT USAGE ON SCHEMA hidden TO regress_reviewer;
GRANT SELECT (id, company_id), UPDATE (company_id) ON hidden.customers TO regress_reviewer;
DELETE FROM hidden.orders WHERE customer_id IN (1, 4);
INSERT INTO hidden.orders VALUES (1, 1), (1, 2);
SELECT tenantmig.create_migration(:'spec');
SELECT outcome, source, row_count FROM tenantmig.backfill('h');
SET ROLE regress_reviewer;
SELECT row_key, class FROM tenantmig.review('h') ORDER BY id;
SELECT tenantmig.resolve(id, '1') FROM tenantmig.review('h') WHERE row_key ->> 'id' = '1';
\echo :LAST_ERROR_SQLSTATE
SELECT tenantmig.resolve(id, '2') FROM tenantmig.review('h') WHERE row_key ->> 'id' = '3';
\echo :LAST_ERROR_SQLSTATE
SELECT row_key, tenant FROM (SELECT id FROM tenantmig.review('h') WHERE row_key ->> 'id' = '3') r, tenantmig.resolve(r.id, '1');
RESET ROLE;
SELECT id, company_id FROM hidden.customers ORDER BY id;
SELECT outcome, row_count FROM tenantmig.rollback((SELECT max(id) FROM tenantmig.runs));
SELECT tenantmig.drop_migration('h');
DROP POLICY part ON hidden.customers;

-- evidence of another owner is read as that owner: neither owner may read the other's table, the caller has both privileges
SET ROLE regress_elsewhere;
CREATE TABLE elsewhere.visits (customer_id int, company_id int, region text);
INSERT INTO elsewhere.visits VALUES (1, 2, 'north'), (5, 1, 'south');
ALTER TABLE elsewhere.visits ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
RESET ROLE;
ALTER TABLE elsewhere.visits ADD FOREIGN KEY (customer_id) REFERENCES hidden.customers NOT VALID;
SELECT has_table_privilege('regress_hidden', 'hidden.customers', 'SELECT') AS own, has_schema_privilege('regress_hidden', 'elsewhere', 'USAGE') AS others;
\set spec2 '{"migration": "two", "tenants": {"table": "hidden.companies"}, "steps": [{"backfill": {"table": "hidden.customers", "column": "company_id", "sources": [{"via": "hidden.orders.customer_id"}, {"via": "elsewhere.visits.customer_id"}]}}]}'
SET ROLE regress_hidden;
SELECT tenantmig.create_migration(:'spec2');
\echo :LAST_ERROR_SQLSTATE
GRANT USAGE ON SCHEMA hidden TO regress_elsewhere;
RESET ROLE;
GRANT USAGE ON SCHEMA elsewhere TO regress_hidden;
SET ROLE regress_hidden;
SELECT tenantmig.create_migration(:'spec2');
\echo :LAST_ERROR_SQLSTATE
SET ROLE regress_elsewhere;
SELECT tenantmig.create_migration(:'spec2');
\echo :LAST_ERROR_SQLSTATE
SET ROLE regress_both;
SELECT tenantmig.create_migration(:'spec2');
SELECT outcome, source, row_count FROM tenantmig.plan('two');
SELECT outcome, source, row_count FROM tenantmig.backfill('two');
RESET ROLE;
SELECT id, company_id FROM hidden.customers ORDER BY id;
-- the right to one of the tables is taken away: refused, though the migration is still his
REVOKE regress_elsewhere FROM regress_both;
SET ROLE regress_both;
SELECT tenantmig.plan('two');
\echo :LAST_ERROR_SQLSTATE
SELECT tenantmig.backfill('two');
\echo :LAST_ERROR_SQLSTATE
SELECT tenantmig.verify('two');
\echo :LAST_ERROR_SQLSTATE
-- the tables that were written are his all the same: an undo is possible
SELECT outcome, row_count FROM tenantmig.rollback((SELECT max(id) FROM tenantmig.runs));
RESET ROLE;
SELECT tenantmig.drop_migration('two');

-- the owner's triggers: search_path and row_security as in his own plain UPDATE
CREATE TABLE elsewhere.limits (company_id int, most int);
INSERT INTO elsewhere.limits VALUES (1, 10), (2, 20);
ALTER TABLE elsewhere.limits OWNER TO regress_elsewhere;
ALTER TABLE elsewhere.limits ENABLE ROW LEVEL SECURITY;
CREATE POLICY one ON elsewhere.limits FOR SELECT TO regress_hidden USING (company_id = 1);
GRANT SELECT ON elsewhere.limits TO regress_hidden;
CREATE FUNCTION hidden.limited() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  -- unqualified names, and a table of somebody else whose policies apply to the owner of this one
  SELECT format('%s limits, row_security %s, search_path %s, lock_timeout %s, %s companies', count(*), current_setting('row_security'), current_setting('search_path'), current_setting('lock_timeout'),
    (SELECT count(*) FROM companies)) INTO NEW.note FROM limits;
  RETURN NEW;
END $$;
ALTER FUNCTION hidden.limited() OWNER TO regress_hidden;
CREATE TRIGGER limited BEFORE UPDATE OF company_id ON hidden.customers FOR EACH ROW EXECUTE FUNCTION hidden.limited();
ALTER TABLE hidden.companies NO FORCE ROW LEVEL SECURITY;
ALTER TABLE hidden.customers NO FORCE ROW LEVEL SECURITY;
ALTER TABLE hidden.orders NO FORCE ROW LEVEL SECURITY;
SET search_path = hidden, elsewhere;
SET ROLE regress_hidden;
BEGIN;
UPDATE customers SET company_id = 1 WHERE id = 2;        -- as in a plain UPDATE
SELECT note FROM customers WHERE id = 2;
ROLLBACK;
SELECT tenantmig.create_migration(:'spec');
SELECT outcome, source, row_count FROM tenantmig.backfill('h');
SELECT DISTINCT note FROM customers WHERE company_id IS NOT NULL;
SELECT outcome, row_count FROM tenantmig.rollback((SELECT max(id) FROM tenantmig.runs));
RESET ROLE;
SELECT outcome, source, row_count FROM tenantmig.backfill('h');
SELECT DISTINCT note FROM customers WHERE company_id IS NOT NULL;
SET search_path = public;                                -- and fails as a plain UPDATE does
SELECT outcome, row_count FROM tenantmig.rollback((SELECT max(id) FROM tenantmig.runs));
\echo :LAST_ERROR_SQLSTATE
SET search_path = hidden, elsewhere;
SELECT outcome, row_count FROM tenantmig.rollback((SELECT max(id) FROM tenantmig.runs));
SELECT DISTINCT note FROM customers WHERE note <> '';
SHOW lock_timeout;

RESET search_path;
DROP EXTENSION tenantmig CASCADE;
DROP SCHEMA hidden, elsewhere CASCADE;
DROP ROLE regress_both, regress_reviewer, regress_hidden, regress_elsewhere;
