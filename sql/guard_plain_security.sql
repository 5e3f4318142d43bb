-- Guards by hand look at nothing that the owner of the guarded table could not read: rights, schemas, row-level security.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tenantmig CASCADE;
CREATE EXTENSION tenantmig;
CREATE ROLE regress_plain_secret;
CREATE ROLE regress_plain_prober;
SELECT tenantmig.grant_access('regress_plain_prober', 'viewer');
CREATE SCHEMA secret AUTHORIZATION regress_plain_secret;
CREATE SCHEMA probe AUTHORIZATION regress_plain_prober;
SET ROLE regress_plain_secret;
CREATE TABLE secret.companies (id integer PRIMARY KEY);
INSERT INTO secret.companies VALUES (1), (2);
CREATE TABLE secret.accounts (id integer PRIMARY KEY, company_id integer REFERENCES secret.companies);
INSERT INTO secret.accounts VALUES (10, 1), (20, 2);
ALTER TABLE secret.accounts ENABLE ROW LEVEL SECURITY;
CREATE POLICY mine ON secret.accounts USING (company_id = 1);
GRANT USAGE ON SCHEMA secret TO regress_plain_prober;
GRANT SELECT, REFERENCES ON secret.accounts, secret.companies TO regress_plain_prober;
SET ROLE regress_plain_prober;
SELECT * FROM secret.accounts;
CREATE TABLE probe.links (t text, i text, company_id integer);
CREATE TRIGGER g AFTER INSERT ON probe.links FOR EACH ROW EXECUTE FUNCTION tenantmig.guard_reference('company_id', 't', 'i', 'S=secret.accounts');
CREATE TABLE probe.children (id integer, company_id integer, account_id integer REFERENCES secret.accounts);
CREATE TRIGGER f BEFORE INSERT ON probe.children FOR EACH ROW EXECUTE FUNCTION tenantmig.guard_tenant_key('company_id', 'fill', 'account_id');
CREATE TABLE probe.same (id integer, company_id integer, account_id integer REFERENCES secret.accounts);
CREATE TRIGGER s AFTER INSERT ON probe.same FOR EACH ROW EXECUTE FUNCTION tenantmig.guard_same_tenant('company_id', 'account_id');
-- rows that are hidden: neither what is in them nor whether they are there
INSERT INTO probe.links VALUES ('S', '20', 1);
\echo :LAST_ERROR_SQLSTATE
INSERT INTO probe.links VALUES ('S', '30', 1);
\echo :LAST_ERROR_SQLSTATE
INSERT INTO probe.children VALUES (1, NULL, 20) RETURNING company_id;
\echo :LAST_ERROR_SQLSTATE
INSERT INTO probe.same VALUES (1, 1, 20);
\echo :LAST_ERROR_SQLSTATE
-- without row-level security, the right to read is what counts, and that to the schema
RESET ROLE;
ALTER TABLE secret.accounts DISABLE ROW LEVEL SECURITY;
SET ROLE regress_plain_prober;
INSERT INTO probe.links VALUES ('S', '20', 1);
\echo :LAST_ERROR_SQLSTATE
INSERT INTO probe.children VALUES (1, NULL, 20) RETURNING company_id;
RESET ROLE;
REVOKE USAGE ON SCHEMA secret FROM regress_plain_prober;
\c -
SET client_min_messages = warning;
SET ROLE regress_plain_prober;
INSERT INTO probe.links VALUES ('S', '20', 2);
\echo :LAST_ERROR_SQLSTATE
RESET ROLE;
DROP SCHEMA probe, secret CASCADE;
DROP EXTENSION tenantmig CASCADE;
DROP ROLE regress_plain_secret, regress_plain_prober;
