-- Attaching the guards that look at other rows (same_tenant, reference, acyclic): what they are resolved to, triggers on both sides, rights; and what check_guards counts of rows that are there, against plain SQL.
\pset null -
\set SHOW_CONTEXT never
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tenantmig CASCADE;
CREATE EXTENSION tenantmig;
CREATE ROLE regress_shop;
CREATE ROLE regress_hr;
SELECT tenantmig.grant_access(r, 'operator') FROM unnest(ARRAY['regress_shop', 'regress_hr']) r;
CREATE SCHEMA shop AUTHORIZATION regress_shop;
CREATE SCHEMA hr AUTHORIZATION regress_hr;
CREATE FUNCTION public.attempt(command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE d text; h text; r text;
BEGIN
  EXECUTE command INTO r;
  RETURN r;
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS d = PG_EXCEPTION_DETAIL, h = PG_EXCEPTION_HINT;
  RETURN concat_ws(E'\n', SQLSTATE || ': ' || SQLERRM, 'DETAIL: ' || nullif(d, ''), 'HINT: ' || regexp_replace(nullif(h, ''), '_guard\(\d+\)', '_guard(N)'));
END $$;
CREATE FUNCTION public.attach(relation text, column_name text, kind text, options jsonb DEFAULT '{}') RETURNS text LANGUAGE sql AS
  $$ SELECT public.attempt(format('SELECT concat_ws('' '', step, relation, column_name, kind, mode, outcome) FROM tenantmig.attach_guard(%L, %L, %L, %L)', relation, column_name, kind, options)) $$;
CREATE FUNCTION public.detach_all() RETURNS bigint LANGUAGE sql AS $$ SELECT count(*) FROM tenantmig.guards g, LATERAL tenantmig.detach_guard(g.id) $$;
CREATE VIEW public.triggers AS SELECT tgrelid::regclass AS relation, regexp_replace(pg_get_triggerdef(oid), '(guard_|'')[0-9]+', '\1N', 'g') AS trigger FROM pg_trigger
  WHERE NOT tgisinternal AND tgparentid = 0 AND tgname ~ 'tenantmig_guard' ORDER BY tgrelid::regclass::text COLLATE "C", tgargs, pg_get_triggerdef(oid) COLLATE "C";
GRANT SELECT ON public.triggers TO PUBLIC;
SET ROLE regress_shop;
SET search_path = shop, public;
CREATE TABLE companies (id integer PRIMARY KEY, name text);
INSERT INTO companies VALUES (1), (2);
CREATE TABLE "Branches" (id bigint PRIMARY KEY, "Tenant" bigint);
INSERT INTO "Branches" VALUES (10, 1), (20, 2), (30, NULL);
CREATE TABLE staff (company_id integer REFERENCES companies, number text, PRIMARY KEY (company_id, number), UNIQUE (number));
INSERT INTO staff VALUES (1, 'a'), (2, 'b');
CREATE TABLE visits (id integer PRIMARY KEY, company_id integer REFERENCES companies, branch bigint REFERENCES "Branches", seller text REFERENCES staff (number), owner_type text, owner_id text, parent integer REFERENCES visits);
INSERT INTO visits VALUES (1, 1, 10, 'a', 'Branch', '10', NULL), (2, 1, 20, 'b', 'Branch', '20', 3), (3, NULL, 10, 'a', 'Branch', '99', 2), (4, 2, 30, NULL, 'Nobody', '1', 4), (5, 2, NULL, NULL, NULL, NULL, NULL),
  (6, 2, 20, 'b', 'Branch', NULL, 1), (7, 2, 20, 'a', 'Company', '2', 6), (8, 1, NULL, NULL, 'Company', '2', 7), (9, 2, NULL, NULL, NULL, '1', 2), (10, 2, NULL, NULL, 'Company', '02', 10);

-- same_tenant: the parent by the foreign key, its tenant key by name, by foreign key to the tenant root, or as it is called there
SELECT attach('visits', 'company_id', 'same_tenant', '{"via": "branch"}');
SELECT attach('visits', 'company_id', 'same_tenant', '{"via": "branch", "tenant": "nothing"}');
SELECT attach('visits', 'company_id', 'same_tenant', '{"via": "owner_id"}');
SELECT attach('visits', 'company_id', 'same_tenant', '{"via": ["branch", "seller"]}');
SELECT attach('visits', 'company_id', 'same_tenant', '{"via": []}');
SELECT attach('visits', 'company_id', 'same_tenant');
SET client_min_messages = notice;
SELECT attach('visits', 'company_id', 'same_tenant', '{"via": "branch", "tenant": "Tenant"}');
SELECT attach('visits', 'company_id', 'same_tenant', '{"via": ["seller"]}');
SELECT attach('visits', 'company_id', 'same_tenant', '{"via": "seller", "tenant": "company_id"}');
SET client_min_messages = warning;
SELECT * FROM triggers;
SELECT relation, kind, enabled, parent, parent_trigger ~ '^tenantmig_guard_\d+_parent$' AS named, options FROM tenantmig.guards ORDER BY id;
SELECT check_name, status, expected, actual, detail FROM tenantmig.check_guards();
SELECT (SELECT count(*) FROM visits v JOIN "Branches" b ON b.id = v.branch WHERE (v.company_id = b."Tenant") IS NOT TRUE) AS branches,
  (SELECT count(*) FROM visits v JOIN staff s ON s.number = v.seller WHERE (v.company_id = s.company_id) IS NOT TRUE) AS staff;
-- the parent's trigger is one of the guard's: gone, disabled, made again
DO $$ BEGIN
  PERFORM tenantmig.ddl_watch('off');
EXCEPTION WHEN insufficient_privilege THEN NULL; END $$;
SELECT parent_trigger AS name FROM tenantmig.guards WHERE parent = 'shop.staff' \gset
SET client_min_messages = error;
ALTER TABLE staff DISABLE TRIGGER :name;
SELECT relation, parent, enabled FROM tenantmig.guards ORDER BY id;
SELECT check_name, status, actual, detail FROM tenantmig.check_guards() WHERE status = 'FAIL' AND check_name LIKE 'guard_trigger%';
SELECT attach('visits', 'company_id', 'same_tenant', '{"via": "seller"}');
SELECT parent_trigger AS name FROM tenantmig.guards WHERE parent = 'shop.staff' \gset
DROP TRIGGER :name ON staff;
SELECT relation, enabled, parent, parent_trigger FROM tenantmig.guards WHERE options->>'via' = 'seller' ;
SELECT attach('visits', 'company_id', 'same_tenant', '{"via": "seller"}');
SELECT attach('visits', 'company_id', 'same_tenant', '{"via": "seller"}');
SET client_min_messages = warning;
SELECT count(*) FROM triggers;
SELECT detach_all();
SELECT count(*) FROM triggers;
-- a foreign key of two columns, one that can be deferred, a table that is its own parent
ALTER TABLE visits ADD CONSTRAINT pair FOREIGN KEY (company_id, seller) REFERENCES staff NOT VALID, DROP CONSTRAINT visits_seller_fkey, DROP CONSTRAINT visits_branch_fkey, ADD FOREIGN KEY (branch) REFERENCES "Branches" DEFERRABLE;
CREATE UNIQUE INDEX ON "Branches" (id, "Tenant");
SET client_min_messages = notice;
SELECT attach('visits', 'company_id', 'same_tenant', '{"via": "branch", "tenant": "Tenant", "always": true}');
SELECT attach('visits', 'company_id', 'same_tenant', '{"via": ["seller", "company_id"]}');
SELECT attach('visits', 'company_id', 'same_tenant', '{"via": "parent"}');
SET client_min_messages = warning;
SELECT * FROM triggers;
SELECT relation, options->>'via' AS via, enabled, always, parent, parent_trigger IS NOT NULL AS on_parent FROM tenantmig.guards ORDER BY id;
SELECT detach_all();

-- reference: types are mapped to tables; with a tenant key or without
SELECT attach('visits', 'company_id', 'reference', '{"via": "owner_id", "type_column": "owner_type", "types": {"Branch": "\"Branches\"", "Company": "companies"}}');
SELECT attach('visits', 'company_id', 'reference', '{"via": "owner_id", "type_column": "owner_type", "types": {"Company": "companies"}}');
SELECT attach('visits', NULL, 'reference', '{"via": "owner_id", "type_column": "owner_type", "types": {"Branch": "\"Branches\"", "Company": "companies"}}');
SELECT attach('visits', '', 'reference', '{"via": "owner_id", "type_column": "owner_type", "types": {"Pair": "nowhere"}}');
SELECT attach('visits', '', 'reference', '{"via": "owner_id", "type_column": "owner_type", "types": {}}');
SELECT attach('visits', '', 'reference', '{"via": "owner_id", "types": {"Company": "companies"}}');
SELECT relation, column_name, kind, enabled FROM tenantmig.guards ORDER BY id;
SELECT * FROM triggers;
SELECT check_name, status, expected, actual, detail FROM tenantmig.check_guards();
SELECT (SELECT count(*) FROM visits v WHERE num_nulls(owner_type, owner_id) = 1 OR owner_type IS NOT NULL AND NOT coalesce(owner_type = 'Company' AND (SELECT c.id = v.company_id FROM companies c WHERE c.id::text = v.owner_id), false)) AS with_tenant,
  (SELECT count(*) FROM visits v WHERE num_nulls(owner_type, owner_id) = 1 OR owner_type IS NOT NULL AND NOT coalesce(owner_type = 'Company' AND EXISTS (SELECT FROM companies c WHERE c.id::text = v.owner_id)
     OR owner_type = 'Branch' AND EXISTS (SELECT FROM "Branches" b WHERE b.id::text = v.owner_id), false)) AS existence;
SELECT detach_all();

-- acyclic: by the foreign key, or the primary key
SELECT attach('visits', 'parent', 'acyclic');
SELECT attach('visits', 'company_id', 'acyclic');
SELECT attach('visits', 'id', 'acyclic');
SELECT attach('visits', 'owner_id', 'acyclic');
SELECT attach('staff', 'number', 'acyclic');
SELECT * FROM triggers;
SELECT check_name, status, expected, actual, detail FROM tenantmig.check_guards();
WITH RECURSIVE walk AS (SELECT id AS start, parent AS at FROM visits UNION SELECT w.start, v.parent FROM walk w JOIN visits v ON v.id = w.at) SELECT count(*) FROM walk WHERE at = start;
UPDATE visits SET parent = NULL WHERE id IN (2, 4, 10);
SELECT check_name, status, actual FROM tenantmig.check_guards();
SELECT detach_all();

-- rights: the parent's owner has to agree
RESET ROLE;
GRANT USAGE ON SCHEMA shop TO regress_hr;
GRANT USAGE ON SCHEMA hr TO regress_shop;
GRANT REFERENCES, SELECT ON shop.companies TO regress_hr;
SET ROLE regress_hr;
CREATE TABLE hr.people (id integer PRIMARY KEY, company_id integer REFERENCES shop.companies);
INSERT INTO hr.people VALUES (1, 1), (2, 2);
GRANT REFERENCES ON hr.people TO regress_shop;
SET ROLE regress_shop;
CREATE TABLE badges (id integer PRIMARY KEY, company_id integer REFERENCES companies, person integer REFERENCES hr.people, kind text);
INSERT INTO badges VALUES (1, 1, 1, 'Person'), (2, 1, 2, 'Person');
SELECT attach('badges', 'company_id', 'same_tenant', '{"via": "person"}');
SELECT attach('badges', NULL, 'reference', '{"via": "person", "type_column": "kind", "types": {"Person": "hr.people"}}');
SELECT attach('badges', 'company_id', 'acyclic');
RESET ROLE;
GRANT regress_hr TO regress_shop;
SET ROLE regress_shop;
SELECT attach('badges', 'company_id', 'same_tenant', '{"via": "person"}');
-- neither owner may read both tables; then one may
SELECT check_name, status, actual, detail, hint FROM tenantmig.check_guards();
RESET ROLE;
REVOKE regress_hr FROM regress_shop;
SELECT check_name, status, actual, detail, hint FROM tenantmig.check_guards() WHERE check_name LIKE 'guard_rows%';
GRANT SELECT ON hr.people TO regress_shop;
SELECT check_name, status, actual, detail, hint FROM tenantmig.check_guards() WHERE check_name LIKE 'guard_rows%';
-- and sees every row, under row level security too
ALTER TABLE shop.badges ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
SELECT check_name, status, actual FROM tenantmig.check_guards() WHERE check_name LIKE 'guard_rows%';
ALTER TABLE hr.people ENABLE ROW LEVEL SECURITY;
SELECT check_name, status, actual FROM tenantmig.check_guards() WHERE check_name LIKE 'guard_rows%';
SET ROLE regress_shop;
SELECT attempt($$SELECT count(*) FROM tenantmig.check_guards(guard => (SELECT max(id) FROM tenantmig.guards))$$);
SELECT attempt($$SELECT outcome FROM tenantmig.detach_guard((SELECT max(id) FROM tenantmig.guards))$$);
RESET ROLE;
SELECT detach_all();

-- a tenant key's guard: rows without a key, and those that contradict a parent
SET ROLE regress_shop;
SELECT tenantmig.create_migration('{"migration": "keys", "tenants": {"table": "companies"}, "steps": [
  {"backfill": {"table": "visits", "column": "company_id", "sources": [{"via": "branch", "tenant": "\"Tenant\""}, {"via": "owner_id", "type_column": "owner_type", "types": {"Branch": "\"Branches\""}, "tenant": "\"Tenant\""}]}},
  {"guard": {"kind": "tenant_key", "table": "visits", "column": "company_id", "mode": "warn"}},
  {"guard": {"kind": "acyclic", "table": "visits", "column": "parent"}},
  {"guard": {"kind": "same_tenant", "table": "visits", "column": "company_id", "via": "branch", "tenant": "\"Tenant\""}}]}');
SELECT step, kind, mode, outcome FROM tenantmig.attach_guard('keys');
SELECT step, kind, outcome FROM tenantmig.attach_guard('keys');
SELECT check_name, status, actual, detail FROM tenantmig.check_guards('keys');
SELECT count(*) FROM visits v LEFT JOIN "Branches" a ON a.id = v.branch LEFT JOIN "Branches" b ON b.id::text = v.owner_id AND v.owner_type = 'Branch' WHERE v.company_id IS NULL OR a."Tenant" <> v.company_id OR b."Tenant" <> v.company_id;
-- renamed parents are the same parents
ALTER TABLE "Branches" RENAME "Tenant" TO tenant_number;
ALTER TABLE "Branches" RENAME TO offices;
ALTER TABLE visits RENAME branch TO office;
SELECT check_name, status, actual, detail FROM tenantmig.check_guards('keys');
SELECT step, kind, outcome FROM tenantmig.attach_guard('keys');
SELECT relation, enabled, parent FROM tenantmig.guards WHERE kind = 'same_tenant';
SELECT tenantmig.drop_migration('keys');
SELECT count(*) FROM triggers;
RESET ROLE;
DROP EXTENSION tenantmig CASCADE;
DROP VIEW public.triggers;
DROP FUNCTION public.attach, public.attempt, public.detach_all;
DROP SCHEMA shop, hr CASCADE;
DROP OWNED BY regress_shop, regress_hr;
DROP ROLE regress_shop, regress_hr;
CREATE EXTENSION tenantmig;
