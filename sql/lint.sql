-- lint: a schema without findings; exemptions; rights; rows that policies hide; hostile names; arguments.
\pset null -
\pset format unaligned
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tenantmig CASCADE;
CREATE EXTENSION tenantmig;
CREATE ROLE regress_landlord;
CREATE ROLE regress_viewer;
SELECT tenantmig.grant_access('regress_viewer', 'viewer'), tenantmig.grant_access('regress_landlord', 'viewer');
CREATE SCHEMA lint_clean AUTHORIZATION regress_landlord;
GRANT USAGE ON SCHEMA lint_clean TO regress_viewer;
SET search_path = lint_clean;
SET ROLE regress_landlord;

-- one of everything, as it should be
CREATE TYPE priority AS ENUM ('low', 'high');
CREATE TABLE companies (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL);
CREATE TABLE branches (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, company_id bigint NOT NULL REFERENCES companies ON DELETE CASCADE, code text NOT NULL, UNIQUE (company_id, id), UNIQUE (company_id, code));
CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, company_id bigint NOT NULL REFERENCES companies ON DELETE CASCADE, branch_id bigint NOT NULL, parent_id bigint, priority priority NOT NULL,
  status text NOT NULL CHECK (status IN ('open', 'closed')), owner_type text NOT NULL CHECK (owner_type IN ('Company', 'Branch')), owner_id bigint NOT NULL, data jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(data) = 'object'),
  fee numeric(10,2), starts_at timestamptz, ends_at timestamptz, deleted_at timestamptz, token uuid UNIQUE, CHECK (ends_at >= starts_at), UNIQUE (company_id, id),
  FOREIGN KEY (company_id, branch_id) REFERENCES branches (company_id, id) ON DELETE CASCADE, FOREIGN KEY (company_id, parent_id) REFERENCES orders (company_id, id) ON DELETE CASCADE);
CREATE INDEX ON orders (company_id, branch_id);
CREATE INDEX ON orders (company_id, parent_id);
CREATE INDEX ON orders (owner_type, owner_id, status);
CREATE UNIQUE INDEX ON orders (company_id, owner_type, owner_id) WHERE deleted_at IS NULL;
INSERT INTO companies (name) VALUES ('one'), ('two');
INSERT INTO branches (company_id, code) VALUES (1, 'a'), (2, 'a');
INSERT INTO orders (company_id, branch_id, priority, status, owner_type, owner_id) VALUES (1, 1, 'low', 'open', 'Company', 1), (2, 2, 'high', 'open', 'Branch', 2);
RESET ROLE;
SELECT FROM tenantmig.attach_guard(relation => 'orders', column_name => 'company_id', kind => 'reference', options => '{"via": "owner_id", "type_column": "owner_type", "types": {"Company": "companies", "Branch": "branches"}}');
SELECT FROM tenantmig.attach_guard(relation => 'orders', column_name => 'parent_id', kind => 'acyclic');
\echo no finding but one for information
SELECT * FROM tenantmig.lint('companies');
\echo of another schema: nothing is looked at here
CREATE SCHEMA lint_other;
CREATE TABLE lint_other.heap (company_id bigint);
SELECT severity, check_name, object FROM tenantmig.lint('companies', schemas => '{lint_other}') ORDER BY 2;
SELECT count(*) FROM tenantmig.lint('lint_clean.companies') WHERE object LIKE 'lint_other%';

-- exemptions
CREATE TABLE visits (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, branch_id bigint REFERENCES branches ON DELETE CASCADE);
CREATE TABLE countries (code text PRIMARY KEY);
SELECT tenantmig.create_migration($${"migration": "exempting", "tenants": {"table": "companies"}, "steps": [{"constraint": {"table": "branches", "column": "company_id", "not_null": true}}],
  "exempt": [{"table": "countries", "reason": "shared by all"}, {"finding": "fk_index:lint_clean.visits.visits_branch_id_fkey", "reason": "never deleted"},
    {"finding": "fk_index:lint_clean.branches.nothing", "reason": "was true once"}, {"table": "branches", "reason": "had no key once"}]}$$);
SELECT severity, check_name, object, key, exempt FROM tenantmig.lint('companies') WHERE severity <> 'info' OR exempt IS NOT NULL;
SELECT detail, remedy FROM tenantmig.lint('companies') WHERE check_name = 'exemption_unneeded';
\echo of one migration only; with other schemas nothing is said of exemptions that are not looked at
SELECT count(*) FILTER (WHERE exempt IS NOT NULL) AS exempt, count(*) FILTER (WHERE check_name = 'exemption_unneeded') AS unneeded FROM tenantmig.lint('companies', migration => 'exempting');
SELECT count(*) FILTER (WHERE check_name = 'exemption_unneeded') AS unneeded FROM tenantmig.lint('companies', schemas => '{lint_other}');
\echo without rows: nothing is said of exempt findings that only rows can tell
SELECT count(*) FILTER (WHERE exempt IS NOT NULL) AS exempt, count(*) FILTER (WHERE check_name = 'exemption_unneeded') AS unneeded FROM tenantmig.lint('companies', with_data => false);
\echo the exemptions of a migration about another tenant root do not count
SELECT tenantmig.create_migration($${"migration": "elsewhere", "tenants": {"table": "countries"}, "steps": [{"constraint": {"table": "branches", "column": "code", "not_null": true}}], "exempt": [{"table": "visits", "reason": "not yours"}]}$$);
SELECT exempt FROM tenantmig.lint('companies') WHERE key = 'tenant_key_missing:lint_clean.visits';
SELECT tenantmig.drop_migration('exempting'), tenantmig.drop_migration('elsewhere');
DROP TABLE visits, countries;

-- a foreign key that PostgreSQL calls valid, because a policy hides the orphan from its check
SET ROLE regress_landlord;
CREATE TABLE notes (id bigint PRIMARY KEY, company_id bigint NOT NULL, branch_id bigint NOT NULL);
INSERT INTO notes VALUES (1, 1, 1), (2, 77, 88);
ALTER TABLE notes ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY p ON notes USING (company_id = 1);
CREATE INDEX ON notes (company_id); CREATE INDEX ON notes (branch_id);
ALTER TABLE notes ADD CONSTRAINT notes_company FOREIGN KEY (company_id) REFERENCES companies ON DELETE CASCADE;
ALTER TABLE notes ADD CONSTRAINT notes_branch FOREIGN KEY (branch_id) REFERENCES branches ON DELETE CASCADE;
SELECT count(*), bool_and(convalidated) AS valid FROM notes CROSS JOIN pg_constraint WHERE conname LIKE 'notes_%';
SELECT severity, check_name, object, detail FROM tenantmig.lint('companies') WHERE severity = 'error';
RESET ROLE;
SET ROLE regress_viewer;
\echo whoever may not read learns that nothing was read, not that there are none
SELECT severity, check_name, object, detail, remedy FROM tenantmig.lint('companies') WHERE check_name LIKE 'fk_%valid' OR check_name = 'rows_not_counted';
RESET ROLE;
\echo nothing but counts needs rights
SET ROLE regress_viewer;
SELECT severity, check_name, object FROM tenantmig.lint('companies', with_data => false) WHERE severity <> 'info';
RESET ROLE;
DROP TABLE notes;

-- user code runs as the owner of the table, never as who calls
SET ROLE regress_landlord;
CREATE FUNCTION spy(text) RETURNS boolean LANGUAGE plpgsql STRICT AS $$BEGIN RAISE WARNING 'a policy was asked, by %', current_user; RETURN false; END$$;
CREATE TYPE word AS (t text);
CREATE FUNCTION said(word) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$BEGIN RAISE WARNING 'user code runs as %', current_user; RETURN ($1).t; END$$;
CREATE CAST (word AS text) WITH FUNCTION said(word);
CREATE TABLE spied (id bigint PRIMARY KEY, company_id bigint NOT NULL REFERENCES companies ON DELETE CASCADE, owner_type text NOT NULL CHECK (owner_type <> ''), owner_id word NOT NULL);
CREATE INDEX ON spied (company_id); CREATE INDEX ON spied (owner_type, owner_id);
INSERT INTO spied VALUES (1, 1, 'Branch', ROW('1'));
ALTER TABLE spied ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY p ON spied USING (spy(owner_type));
RESET ROLE;
SELECT check_name, object, detail FROM tenantmig.lint('companies') WHERE object LIKE '%spied%';
DROP TABLE spied;

-- hostile names: in quotes, and no comment that ends early
CREATE TABLE "x""; DROP TABLE companies; --
y" (id bigint PRIMARY KEY, "a'b" bigint REFERENCES companies, "company_id" bigint NOT NULL REFERENCES companies ON DELETE CASCADE, code text UNIQUE);
CREATE UNIQUE INDEX "i
DROP TABLE companies;" ON "x""; DROP TABLE companies; --
y" (lower(code));
SELECT check_name, object, remedy FROM tenantmig.lint('companies') WHERE object LIKE '%DROP%' AND check_name IN ('tenant_key_index', 'unique_index_without_tenant', 'unique_without_tenant', 'tenant_key_second');
SELECT count(*) AS line_breaks_in_comments FROM tenantmig.lint('companies') WHERE regexp_replace(remedy, $r$"[^"]*"|'[^']*'$r$, '', 'g') ~ E'--[^\n]*\n';
SELECT tenantmig.lint_report('companies', 'json')::jsonb -> 'counts' AS counts;
SELECT r -> '$schema' AS schema, r ->> 'version' AS version, jsonb_array_length(r #> '{runs,0,results}') AS results, r #>> '{runs,0,tool,driver,name}' AS driver,
  r #> '{runs,0,results,0}' ?& '{ruleId,ruleIndex,level,message,locations,partialFingerprints}' AS complete, r #>> '{runs,0,results,0,level}' AS level
FROM (SELECT tenantmig.lint_report('companies', 'sarif')::jsonb AS r) s;
SELECT x IS DOCUMENT AS well_formed, xpath('/testsuites/@tests', x) AS tests, (xpath('count(//failure)', x))[1] AS failures, (xpath('string(//testsuite[@name="unique_index_without_tenant"]/testcase/@name)', x))[1]::text AS name
FROM (SELECT xmlparse(DOCUMENT tenantmig.lint_report('companies', 'junit')) AS x) s;
DROP TABLE "x""; DROP TABLE companies; --
y";

-- partitioned tables count as a whole; a column of a generated or unsupported kind is no trouble
CREATE TABLE log (id bigint NOT NULL, company_id bigint NOT NULL REFERENCES companies ON DELETE CASCADE, at timestamptz NOT NULL, where_to point, PRIMARY KEY (company_id, id)) PARTITION BY HASH (company_id);
CREATE TABLE log_0 PARTITION OF log FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE log_1 PARTITION OF log FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO log SELECT n, 1 + n % 2, now() FROM generate_series(1, 10) n;
SELECT check_name, object FROM tenantmig.lint('companies') WHERE object LIKE '%log%';
DROP TABLE log;

-- arguments
SELECT * FROM tenantmig.lint(NULL);
SELECT * FROM tenantmig.lint('');
SELECT * FROM tenantmig.lint('nothing');
SELECT * FROM tenantmig.lint('companies_pkey');
SELECT * FROM tenantmig.lint('tenantmig.migration');
SELECT * FROM tenantmig.lint('companies', schemas => '{}');
SELECT * FROM tenantmig.lint('companies', schemas => '{NULL}');
SELECT * FROM tenantmig.lint('companies', schemas => '{lint_nowhere}');
SELECT * FROM tenantmig.lint('companies', migration => 'nothing');
SELECT * FROM tenantmig.lint('companies', tenant_key => 'nothing');
SELECT * FROM tenantmig.lint('companies', with_data => NULL);
SELECT tenantmig.lint_report('companies', 'html');
CREATE ROLE regress_nobody;
SET ROLE regress_nobody;
SELECT * FROM tenantmig.lint('companies');
RESET ROLE;

DROP SCHEMA lint_clean, lint_other CASCADE;
DROP EXTENSION tenantmig CASCADE;
DROP ROLE regress_landlord, regress_viewer, regress_nobody;
