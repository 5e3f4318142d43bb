-- probe_isolation: counts, settings, reads and writes on tables of many kinds that are isolated well, and its errors.
SET client_min_messages = warning;
\set SHOW_CONTEXT never
DROP SCHEMA IF EXISTS probe CASCADE;
DROP EXTENSION IF EXISTS tenantmig CASCADE;
CREATE EXTENSION tenantmig;
CREATE ROLE regress_probe_owner;
CREATE ROLE regress_probe_app;
CREATE ROLE regress_probe_operator IN ROLE regress_probe_owner, regress_probe_app;
CREATE ROLE regress_probe_stranger;
CREATE SCHEMA probe AUTHORIZATION regress_probe_owner;
SET ROLE regress_probe_owner;
GRANT USAGE ON SCHEMA probe TO regress_probe_app;
SET search_path = probe;

CREATE DOMAIN probe.positive AS integer CHECK (value > 0);
CREATE TABLE companies (id integer PRIMARY KEY, name text);
INSERT INTO companies SELECT g, 'company ' || g FROM generate_series(1, 4) g;
CREATE TABLE customers (id integer PRIMARY KEY, company_id integer NOT NULL REFERENCES companies, name text, born date, CHECK (name <> ''));
CREATE TABLE invoices (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, company_id probe.positive NOT NULL REFERENCES companies, customer_id integer REFERENCES customers DEFERRABLE INITIALLY DEFERRED,
  net numeric, gross numeric GENERATED ALWAYS AS (net * 1.19) STORED, tags text[], extra jsonb);
CREATE TABLE "Odd ""Table""" ("Key ID" integer, "Company's" integer REFERENCES companies, PRIMARY KEY ("Key ID", "Company's"));
CREATE TABLE notes (company_id integer REFERENCES companies, body text); -- no primary key, keys may be NULL
CREATE TABLE events (id integer, company_id integer NOT NULL REFERENCES companies, happened date NOT NULL) PARTITION BY RANGE (happened);
CREATE TABLE events_2025 PARTITION OF events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE events_2026 (happened date NOT NULL, company_id integer NOT NULL, id integer); -- other column numbers
ALTER TABLE events ATTACH PARTITION events_2026 FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE TABLE empty (id integer PRIMARY KEY, company_id integer REFERENCES companies);
CREATE TABLE lonely (id integer PRIMARY KEY, company_id integer NOT NULL REFERENCES companies);
CREATE TABLE secret (id integer PRIMARY KEY, company_id integer NOT NULL REFERENCES companies);
INSERT INTO customers SELECT g, 1 + g % 3, 'customer ' || g, date '1990-01-01' + g FROM generate_series(1, 30) g;
INSERT INTO invoices (company_id, customer_id, net, tags, extra) SELECT 1 + g % 3, 1 + g % 30, g, ARRAY['a', E'tab\tand \\ and\nline'], '{"a": 1}' FROM generate_series(1, 60) g;
INSERT INTO "Odd ""Table""" SELECT g, 1 + g % 2 FROM generate_series(1, 10) g;
INSERT INTO notes SELECT nullif(g % 3, 0), 'note ' || g FROM generate_series(1, 12) g;
INSERT INTO events SELECT g, 1 + g % 3, date '2025-11-01' + g FROM generate_series(1, 120) g;
INSERT INTO lonely VALUES (1, 2);
INSERT INTO secret VALUES (1, 1), (2, 2);

CREATE TABLE sites (site text PRIMARY KEY);
CREATE TABLE pages (id integer PRIMARY KEY, site text NOT NULL REFERENCES sites, title text);
CREATE TABLE pools (id uuid PRIMARY KEY);
CREATE TABLE drops (id bigint PRIMARY KEY, pool_id uuid NOT NULL REFERENCES pools);
INSERT INTO sites VALUES ('alpha'), ('be''ta'), ('ALPHA');
INSERT INTO pages SELECT g, ('{alpha,be''ta,ALPHA}'::text[])[1 + g % 3], 'page ' || g FROM generate_series(1, 9) g;
INSERT INTO pools VALUES ('00000000-0000-4000-8000-000000000001'), ('00000000-0000-4000-8000-000000000002');
INSERT INTO drops SELECT g, ('00000000-0000-4000-8000-00000000000' || 1 + g % 2)::uuid FROM generate_series(1, 9) g;

CREATE FUNCTION isolate(relation regclass, key text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE condition text := format('%I = (SELECT nullif(current_setting(''tenantmig.tenant'', true), '''')::%s)', key,
  (SELECT format_type(CASE WHEN t.typbasetype <> 0 THEN t.typbasetype ELSE t.oid END, NULL) FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid WHERE a.attrelid = relation AND a.attname = key));
BEGIN
  EXECUTE format('CREATE POLICY tenant ON %s TO regress_probe_app USING (%s) WITH CHECK (%s)', relation, condition, condition);
  EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', relation);
  EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO regress_probe_app', relation);
END $$;
SELECT isolate(r, 'company_id') FROM unnest('{customers,invoices,notes,events,events_2025,events_2026,empty,lonely}'::regclass[]) r;
SELECT isolate('"Odd ""Table"""', 'Company''s');
SELECT isolate('pages', 'site');
SELECT isolate('drops', 'pool_id');
ALTER TABLE customers FORCE ROW LEVEL SECURITY;
RESET ROLE;
SELECT tenantmig.grant_access('regress_probe_operator', 'operator');
GRANT USAGE ON SCHEMA tenantmig TO regress_probe_stranger;
GRANT EXECUTE ON FUNCTION tenantmig.probe_isolation TO regress_probe_stranger;

-- what this file is about: the groups counts, settings, reads and writes
CREATE FUNCTION probe.here(attack text) RETURNS boolean LANGUAGE sql IMMUTABLE AS
  $$SELECT attack ~ '^(setting_|read_|prepared_|copy_|insert|merge_|conflict_|update|delete|move|returning_|foreign_rows|own_rows|all_tenants|null_rows|super_role|pairs|writes)'$$;
-- everything that an undone attack could leave behind
CREATE FUNCTION probe.state() RETURNS text LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE relation regclass; part text; whole text := '';
BEGIN
  FOR relation IN SELECT oid FROM pg_class WHERE relnamespace = 'probe'::regnamespace AND relkind IN ('r', 'p') ORDER BY relname LOOP
    EXECUTE format('SELECT md5(string_agg(concat_ws('' '', t.tableoid, t.ctid, t.xmin, t), '','' ORDER BY t.tableoid, t.ctid)) FROM %s t', relation) INTO part;
    whole := concat_ws(' ', whole, relation, part);
  END LOOP;
  RETURN md5(whole);
END $$;

SELECT probe.state() AS before \gset
BEGIN;
SET LOCAL search_path = probe;
SET LOCAL DateStyle = 'SQL, DMY';
CREATE TEMP TABLE as_superuser AS SELECT * FROM tenantmig.probe_isolation(role => 'regress_probe_app', tenant_root => 'companies');
-- nothing of the caller's has changed
SELECT current_user = session_user AS same_user, current_setting('row_security') AS row_security, current_setting('lock_timeout') AS lock_timeout, current_setting('search_path') AS path,
  current_setting('DateStyle') AS datestyle, current_setting('tenantmig.tenant', true) AS tenant, current_setting('client_min_messages') AS messages, current_setting('session_replication_role') AS triggers;
SELECT relation, count(*) FILTER (WHERE status = 'PASS') AS pass, count(*) FILTER (WHERE status = 'FAIL') AS fail, count(*) FILTER (WHERE status = 'SKIP') AS skip
  FROM as_superuser WHERE probe.here(attack) GROUP BY 1 ORDER BY 1;
SELECT relation, attack, seen, remedy FROM as_superuser WHERE probe.here(attack) AND status = 'SKIP';
SELECT relation, attack, seen FROM as_superuser WHERE probe.here(attack) AND status = 'FAIL';
SELECT attack, tenant, victim, expected, seen, status FROM as_superuser WHERE relation = 'probe.customers' AND probe.here(attack) AND tenant IS DISTINCT FROM '2';
SELECT attack, tenant, victim, expected, seen, status FROM as_superuser WHERE relation = 'probe.notes' AND probe.here(attack) AND tenant IS DISTINCT FROM '2';
SELECT attack, tenant, victim, expected, seen, status FROM as_superuser WHERE relation IN ('probe.lonely', 'probe.secret', 'probe.empty', 'probe.events_2026') AND probe.here(attack);
-- keys of other types; ALPHA is a tenant of its own
SELECT relation, attack, expected, seen, status FROM tenantmig.probe_isolation(role => 'regress_probe_app', tenant_root => 'sites', pairs => 1) WHERE attack IN ('setting_malformed', 'setting_case', 'setting_other', 'own_rows', 'read_key', 'insert', 'update');
SELECT relation, attack, expected, seen, status FROM tenantmig.probe_isolation(role => 'regress_probe_app', tenant_root => 'pools', pairs => 1) WHERE attack IN ('setting_malformed', 'setting_case', 'setting_other', 'own_rows', 'read_key', 'insert', 'update');
SELECT DISTINCT acted_as FROM as_superuser;
SELECT key FROM as_superuser WHERE relation LIKE '%Odd%' AND attack = 'read_key';
SELECT count(*) AS keys_of_two_findings FROM (SELECT FROM as_superuser GROUP BY key, tenant, victim HAVING count(*) > 1) s;
-- twice in one session: a setting that was used once is not NULL any more, the probe tries NULL all the same
CREATE TEMP TABLE again AS SELECT * FROM tenantmig.probe_isolation(role => 'regress_probe_app', tenant_root => 'companies');
SELECT count(*) AS differences FROM ((SELECT * FROM again EXCEPT SELECT * FROM as_superuser) UNION ALL (SELECT * FROM as_superuser EXCEPT SELECT * FROM again)) s;
COMMIT;
SELECT probe.state() = :'before' AS all_undone;

-- as somebody who is no superuser: the same
GRANT SELECT ON as_superuser TO regress_probe_operator;
SET ROLE regress_probe_operator;
SELECT count(*) > 500 AS rows FROM as_superuser;
SELECT count(*) AS differences FROM (SELECT relation, attack, tenant, victim, expected, seen, status, remedy FROM tenantmig.probe_isolation(role => 'regress_probe_app', tenant_root => 'probe.companies') WHERE probe.here(attack)
  EXCEPT SELECT relation, attack, tenant, victim, expected, seen, status, remedy FROM as_superuser) s;
SELECT current_user, current_setting('row_security') AS row_security;
RESET ROLE;
SELECT probe.state() = :'before' AS all_undone;

DROP TABLE as_superuser, again;

-- cancelled half-way: nothing is left, and the session is what it was
SET statement_timeout = '30ms';
SELECT count(*) FROM tenantmig.probe_isolation(role => 'regress_probe_app', tenant_root => 'probe.companies', pairs => 100);
RESET statement_timeout;
SELECT current_user = session_user AS same_user, current_setting('row_security') AS row_security, current_setting('lock_timeout') AS lock_timeout, current_setting('session_replication_role') AS triggers,
  probe.state() = :'before' AS all_undone;
-- a call from the inside of a function that runs as somebody else
CREATE FUNCTION probe.as_operator() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS $$SELECT count(*) FROM tenantmig.probe_isolation(role => 'regress_probe_app', tenant_root => 'probe.companies', tables => '{probe.customers}') WHERE status = 'PASS' AND attack ~ '^(read|insert|update)'$$;
ALTER FUNCTION probe.as_operator() OWNER TO regress_probe_operator;
SELECT probe.as_operator(), current_user = session_user AS same_user;
DROP FUNCTION probe.as_operator();

-- rights by column, and less than all of them: refused for want of a right, or by the policies
CREATE FUNCTION probe.with_rights(rights text) RETURNS TABLE (status text, attacks bigint, by_right bigint, by_policy bigint) LANGUAGE plpgsql AS $$
BEGIN
  REVOKE ALL ON probe.customers FROM regress_probe_app;
  EXECUTE format('GRANT %s ON probe.customers TO regress_probe_app', rights);
  RETURN QUERY SELECT p.status, count(*), count(*) FILTER (WHERE p.seen ~ 'permission denied|no right'), count(*) FILTER (WHERE p.seen ~ 'row-level security')
    FROM tenantmig.probe_isolation(role => 'regress_probe_app', tenant_root => 'probe.companies', tables => '{probe.customers}', pairs => 1) p WHERE probe.here(p.attack) GROUP BY 1 ORDER BY 1;
END $$;
BEGIN;
SELECT rights, r.* FROM unnest(ARRAY['SELECT (name), UPDATE (name)', 'SELECT (company_id, name), INSERT', 'INSERT, UPDATE, DELETE', 'SELECT (id), DELETE', 'TRUNCATE']) rights, probe.with_rights(rights) r;
-- and where a policy is missing, that is found all the same
ALTER TABLE probe.customers DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY;
SELECT rights, r.* FROM unnest(ARRAY['SELECT (name), UPDATE (name)', 'SELECT (company_id, name), INSERT', 'INSERT, UPDATE, DELETE', 'SELECT (id), DELETE', 'TRUNCATE']) rights, probe.with_rights(rights) r WHERE status = 'FAIL';
ROLLBACK;

-- what the caller has deferred stays so, and fires as the caller
BEGIN;
INSERT INTO probe.invoices (company_id, customer_id, net) VALUES (1, 999, 1);
SAVEPOINT here;
SELECT count(*) FROM tenantmig.probe_isolation(role => 'regress_probe_app', tenant_root => 'probe.companies');
ROLLBACK TO here;
INSERT INTO probe.customers VALUES (999, 1, 'late');
SELECT count(*) > 0 AS rows FROM tenantmig.probe_isolation(role => 'regress_probe_app', tenant_root => 'probe.companies', tables => '{probe.invoices}');
INSERT INTO probe.invoices (company_id, customer_id, net) VALUES (1, 1000, 1);
INSERT INTO probe.customers VALUES (1000, 1, 'later');
COMMIT;
DELETE FROM probe.invoices WHERE customer_id > 900;
DELETE FROM probe.customers WHERE id > 900;

-- arguments
SELECT attack, tenant, victim, status FROM tenantmig.probe_isolation(role => 'regress_probe_app', tenant_root => 'probe.companies', tables => '{probe.customers}', tenants => '{3,1}', pairs => 1, writes => false)
  WHERE attack IN ('read_key', 'insert', 'all_tenants');
SELECT attack, seen, status FROM tenantmig.probe_isolation(role => 'regress_probe_app', tenant_root => 'probe.companies', tables => '{probe.customers}', max_tenants => 2, writes => false)
  WHERE attack IN ('foreign_rows', 'all_tenants');
SELECT count(DISTINCT (tenant, victim)) AS pairs FROM tenantmig.probe_isolation(role => 'regress_probe_app', tenant_root => 'probe.companies', tables => '{probe.customers}', pairs => 100, writes => false) WHERE attack = 'read_key';
SELECT DISTINCT relation FROM tenantmig.probe_isolation(role => '"regress_probe_app"', tenant_root => 'probe.companies', tables => ARRAY['probe."Odd ""Table"""', 'probe.events_2026']) WHERE probe.here(attack) AND attack NOT LIKE 'setting_default' ORDER BY 1;
-- a tenant that is none in this type can't attack
SELECT relation, attack, tenant, victim, status FROM tenantmig.probe_isolation(role => 'regress_probe_app', tenant_root => 'probe.companies', tables => '{probe.customers}', tenants => '{1,x}') WHERE attack IN ('read_key', 'pairs', 'insert');
-- another setting than that of the policies: no tenant sees its rows
SELECT attack, seen, status, remedy FROM tenantmig.probe_isolation(role => 'regress_probe_app', tenant_root => 'probe.companies', tables => '{probe.customers}', setting => 'other.tenant', writes => false) WHERE status = 'FAIL' AND probe.here(attack);

-- errors
CREATE FUNCTION probe.refused(call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE m text; d text; h text;
BEGIN
  EXECUTE 'SELECT * FROM tenantmig.' || call;
  RETURN 'ACCEPTED';
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS m = MESSAGE_TEXT, d = PG_EXCEPTION_DETAIL, h = PG_EXCEPTION_HINT;
  RETURN concat_ws(E'\n', SQLSTATE || ' ' || m, nullif(d, ''), nullif(h, ''));
END $$;
\pset format unaligned
\t on
SELECT probe.refused($$probe_isolation()$$);
SELECT probe.refused($$probe_isolation('nonesuch')$$);
SELECT probe.refused($$probe_isolation(role => 'regress_probe_app')$$);
SELECT probe.refused($$probe_isolation(role => 'nonesuch', tenant_root => 'probe.companies')$$);
SELECT probe.refused($$probe_isolation(role => 'public', tenant_root => 'probe.companies')$$);
SELECT probe.refused($$probe_isolation(role => 'regress_probe_app', tenant_root => 'nonesuch')$$);
SELECT probe.refused($$probe_isolation(role => 'regress_probe_app', tenant_root => 'pg_catalog.pg_class')$$);
SELECT probe.refused($$probe_isolation(role => 'regress_probe_app', tenant_root => 'probe.notes')$$);
SELECT probe.refused($$probe_isolation(role => 'regress_probe_app', tenant_root => 'probe.secret')$$);
SELECT probe.refused($$probe_isolation(role => 'regress_probe_app', tenant_root => 'probe.companies', tables => '{probe.nonesuch}')$$);
SELECT probe.refused($$probe_isolation(role => 'regress_probe_app', tenant_root => 'probe.companies', tables => '{pg_catalog.pg_class}')$$);
SELECT probe.refused($$probe_isolation(role => 'regress_probe_app', tenant_root => 'probe.companies', tables => '{}')$$);
SELECT probe.refused($$probe_isolation(role => 'regress_probe_app', tenant_root => 'probe.companies', tables => '{NULL}')$$);
SELECT probe.refused($$probe_isolation(role => 'regress_probe_app', tenant_root => 'probe.companies', tenants => '{1}')$$);
SELECT probe.refused($$probe_isolation(role => 'regress_probe_app', tenant_root => 'probe.companies', pairs => 0)$$);
SELECT probe.refused($$probe_isolation(role => 'regress_probe_app', tenant_root => 'probe.companies', pairs => 101)$$);
SELECT probe.refused($$probe_isolation(role => 'regress_probe_app', tenant_root => 'probe.companies', pairs => NULL)$$);
SELECT probe.refused($$probe_isolation(role => 'regress_probe_app', tenant_root => 'probe.companies', max_tenants => 1)$$);
SELECT probe.refused($$probe_isolation(role => 'regress_probe_app', tenant_root => 'probe.companies', setting => 'role')$$);
SELECT tenantmig.create_migration('{"migration": "nothing", "tenants": {"table": "probe.companies"}, "steps": [{"index": {"table": "probe.notes", "columns": ["company_id"]}}]}');
SELECT probe.refused($$probe_isolation('nothing')$$);
SELECT count(*) > 100 AS probed_before_it_is_isolated FROM tenantmig.probe_isolation('nothing', role => 'regress_probe_app');
SELECT tenantmig.drop_migration('nothing');
GRANT USAGE ON SCHEMA probe TO regress_probe_stranger;
SET ROLE regress_probe_stranger;
SELECT probe.refused($$probe_isolation(role => 'regress_probe_app', tenant_root => 'probe.companies')$$);
RESET ROLE;
GRANT regress_probe_app TO regress_probe_stranger;
SET ROLE regress_probe_stranger;
SELECT probe.refused($$probe_isolation(role => 'regress_probe_app', tenant_root => 'probe.companies')$$);
RESET ROLE;
SET ROLE regress_probe_app;
SELECT probe.refused($$probe_isolation(role => 'regress_probe_app', tenant_root => 'probe.companies')$$);
RESET ROLE;
\pset format aligned
\t off
-- within a transaction that only reads nothing that writes can be decided: not one PASS
BEGIN READ ONLY;
SELECT DISTINCT status, seen FROM tenantmig.probe_isolation(role => 'regress_probe_app', tenant_root => 'probe.companies', tables => '{probe.customers}') WHERE attack IN ('insert', 'update', 'delete', 'move', 'merge_update') ORDER BY 1, 2;
COMMIT;
SELECT probe.state() = :'before' AS all_undone;

DROP SCHEMA probe CASCADE;
DROP EXTENSION tenantmig CASCADE;
DROP ROLE regress_probe_stranger, regress_probe_operator, regress_probe_app, regress_probe_owner;
