-- What a guard refuses must not tell somebody whose policies hide a row that the row exists, or whose it is.
\set VERBOSITY default
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS tenantmig;
RESET client_min_messages;
CREATE SCHEMA hidden;
SET search_path = hidden;
CREATE ROLE hidden_app;
GRANT USAGE ON SCHEMA hidden TO hidden_app;
CREATE TABLE companies (id bigint PRIMARY KEY, name text);
CREATE TABLE users (id bigint PRIMARY KEY, company_id bigint NOT NULL REFERENCES companies, name text);
CREATE TABLE notes (id bigint PRIMARY KEY, company_id bigint NOT NULL REFERENCES companies, subject_type text, subject_id bigint);
CREATE TABLE tasks (id bigint PRIMARY KEY, company_id bigint REFERENCES companies, user_id bigint CONSTRAINT tasks_user REFERENCES users);
CREATE TABLE mails (id bigint PRIMARY KEY, company_id bigint REFERENCES companies, user_id bigint CONSTRAINT mails_user REFERENCES users);
INSERT INTO companies VALUES (1, 'one'), (2, 'two');
INSERT INTO users VALUES (1, 1, 'Ann'), (5, 2, 'Bob');
GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA hidden TO hidden_app;
SELECT kind, relation FROM tenantmig.attach_guard('hidden.notes', 'company_id', 'reference', '{"via": "subject_id", "type_column": "subject_type", "types": {"User": "hidden.users"}}');
SELECT kind, relation FROM tenantmig.attach_guard('hidden.tasks', 'company_id', 'same_tenant', '{"via": "user_id"}');
SELECT tenantmig.create_migration('{"migration": "hidden mails", "tenants": {"table": "hidden.companies"}, "steps": [
  {"backfill": {"table": "hidden.mails", "column": "company_id", "sources": [{"via": "user_id"}]}},
  {"guard": {"kind": "tenant_key", "table": "hidden.mails", "column": "company_id", "mode": "reject"}}]}') IS NOT NULL AS created;
SELECT kind, relation FROM tenantmig.attach_guard('hidden mails');

-- whoever sees all is told all
SET ROLE hidden_app;
INSERT INTO hidden.notes VALUES (1, 1, 'User', 5);
INSERT INTO hidden.tasks VALUES (1, 1, 5);
INSERT INTO hidden.mails VALUES (1, 1, 5);
INSERT INTO hidden.mails VALUES (1, NULL, 5);
RESET ROLE;

ALTER TABLE users ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON users TO hidden_app USING (company_id = (SELECT nullif(current_setting('tenantmig.tenant', true), '')::bigint));
SET ROLE hidden_app;
SET tenantmig.tenant = '1';
SELECT id FROM hidden.users;
-- each pair: another tenant's row, and one that is nowhere. The same answer, but for the number that was given
INSERT INTO hidden.notes VALUES (1, 1, 'User', 5);
INSERT INTO hidden.notes VALUES (1, 1, 'User', 500);
INSERT INTO hidden.tasks VALUES (1, 1, 5);
INSERT INTO hidden.tasks VALUES (1, 1, 500);
INSERT INTO hidden.mails VALUES (1, 1, 5);
INSERT INTO hidden.mails VALUES (1, 1, 500);
-- the parents of a row without a key
INSERT INTO hidden.mails VALUES (1, NULL, 5);
INSERT INTO hidden.mails VALUES (1, NULL, NULL);
-- one's own
INSERT INTO hidden.notes VALUES (1, 1, 'User', 1);
INSERT INTO hidden.tasks VALUES (1, 1, 1);
INSERT INTO hidden.mails VALUES (1, 1, 1);
UPDATE hidden.tasks SET user_id = 5;
UPDATE hidden.tasks SET user_id = 500;
RESET ROLE;
-- whoever may not read the key, or has policies on it, is told no values
REVOKE SELECT ON hidden.mails FROM hidden_app;
ALTER TABLE tasks ENABLE ROW LEVEL SECURITY;
CREATE POLICY every ON tasks USING (true);
SET ROLE hidden_app;
INSERT INTO hidden.mails VALUES (2, 1, 5);
INSERT INTO hidden.mails VALUES (2, 1, 500);
INSERT INTO hidden.tasks VALUES (2, 1, 5);
INSERT INTO hidden.tasks VALUES (2, 1, 500);
RESET ROLE;
DROP POLICY every ON tasks;
RESET tenantmig.tenant;
-- the other way round: a parent whose children are hidden
ALTER TABLE users DISABLE ROW LEVEL SECURITY;
ALTER TABLE tasks ENABLE ROW LEVEL SECURITY;
SET ROLE hidden_app;
UPDATE hidden.users SET company_id = 2 WHERE id = 1;
RESET ROLE;
ALTER TABLE tasks DISABLE ROW LEVEL SECURITY;
SET ROLE hidden_app;
UPDATE hidden.users SET company_id = 2 WHERE id = 1;
RESET ROLE;

-- attached while a foreign key compares the tenant key itself: the guard does not depend on it
DELETE FROM tasks;
ALTER TABLE users ADD UNIQUE (company_id, id);
ALTER TABLE tasks DROP CONSTRAINT tasks_user, ADD CONSTRAINT tasks_both FOREIGN KEY (company_id, user_id) REFERENCES users (company_id, id);
SELECT outcome FROM tenantmig.detach_guard((SELECT id FROM tenantmig.guards WHERE relation = 'hidden.tasks'));
SELECT kind, relation FROM tenantmig.attach_guard('hidden.tasks', 'company_id', 'same_tenant', '{"via": "user_id"}');
INSERT INTO tasks VALUES (1, 1, 5);
INSERT INTO tasks VALUES (1, 1, 1);
ALTER TABLE tasks DROP CONSTRAINT tasks_both, ADD CONSTRAINT tasks_user FOREIGN KEY (user_id) REFERENCES users;
INSERT INTO tasks VALUES (2, 1, 5);
UPDATE users SET company_id = 2 WHERE id = 1;

SELECT tenantmig.drop_migration('hidden mails', force => true) IS NOT NULL AS dropped;
SET client_min_messages = warning;
DROP SCHEMA hidden CASCADE;
DROP ROLE hidden_app;
