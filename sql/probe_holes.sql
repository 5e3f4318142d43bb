-- probe_isolation: one hole at a time, each found by the attacks that it lets through, and closed by the remedy that stands beside.
SET client_min_messages = warning;
\set SHOW_CONTEXT never
DROP SCHEMA IF EXISTS holes CASCADE;
DROP EXTENSION IF EXISTS tenantmig CASCADE;
CREATE EXTENSION tenantmig;
CREATE ROLE regress_holes_owner;
CREATE ROLE regress_holes_app;
CREATE SCHEMA holes AUTHORIZATION regress_holes_owner;
SET search_path = holes;
SET ROLE regress_holes_owner;
GRANT USAGE ON SCHEMA holes TO regress_holes_app;
CREATE TABLE companies (id integer PRIMARY KEY);
CREATE TABLE customers (id integer PRIMARY KEY, company_id integer REFERENCES companies, name text);
CREATE TABLE events (id integer, company_id integer NOT NULL REFERENCES companies, happened date NOT NULL) PARTITION BY RANGE (happened);
CREATE TABLE events_2025 PARTITION OF events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE events_2026 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE TABLE lonely (id integer PRIMARY KEY, company_id integer NOT NULL REFERENCES companies);
INSERT INTO companies VALUES (1), (2), (3);
INSERT INTO customers SELECT g, nullif(g % 4, 0), 'customer ' || g FROM generate_series(1, 40) g;
INSERT INTO events SELECT g, 1 + g % 3, date '2025-11-01' + g FROM generate_series(1, 90) g;
INSERT INTO lonely VALUES (1, 2), (2, 2);
CREATE FUNCTION tenant() RETURNS integer STABLE LANGUAGE sql AS $$SELECT nullif(current_setting('tenantmig.tenant', true), '')::integer$$;
DO $$
DECLARE relation regclass;
BEGIN
  FOREACH relation IN ARRAY '{customers,events,events_2025,events_2026,lonely}'::regclass[] LOOP
    EXECUTE format('CREATE POLICY tenant ON %s TO regress_holes_app USING (company_id = (SELECT holes.tenant())) WITH CHECK (company_id = (SELECT holes.tenant()))', relation);
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', relation);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO regress_holes_app', relation);
  END LOOP;
END $$;
RESET ROLE;

CREATE FUNCTION holes.findings(wanted text) RETURNS TABLE (relation text, attack text, seen text, remedy text) LANGUAGE sql AS $$
  SELECT relation, attack, seen, remedy FROM tenantmig.probe_isolation(role => 'regress_holes_app', tenant_root => 'holes.companies')
    WHERE status = wanted AND attack ~ '^(superuser$|setting_|read_|prepared_|copy_|insert|merge_|conflict_|update|delete|move|returning_|foreign_rows|own_rows|all_tenants|null_rows|super_role|pairs|writes)' $$;
-- Makes a hole, looks, takes the first remedy, looks again; all of it is undone.
CREATE FUNCTION holes.hole(command text, wanted text DEFAULT 'FAIL') RETURNS TABLE (attacks text, first_seen text, first_remedy text, after_it integer) LANGUAGE plpgsql AS $$
BEGIN
  BEGIN
    EXECUTE command;
    SELECT string_agg(t.list, '; ' ORDER BY t.list), min(t.first), min(t.help) INTO attacks, first_seen, first_remedy FROM (SELECT f.relation || ': ' || string_agg(DISTINCT f.attack, ' ') AS list,
      min(f.attack || ': ' || f.seen) AS first, min(f.remedy) AS help FROM holes.findings(wanted) f GROUP BY f.relation) t;
    IF first_remedy ~ '^(ALTER|CREATE|REVOKE)' THEN
      EXECUTE first_remedy;
      SELECT count(*) INTO after_it FROM holes.findings(wanted);
    END IF;
    RAISE EXCEPTION USING ERRCODE = 'ZZZZZ';
  EXCEPTION WHEN SQLSTATE 'ZZZZZ' THEN NULL;
  END;
  RETURN NEXT;
END $$;
SELECT * FROM holes.findings('FAIL');
SELECT * FROM holes.findings('SKIP');
\x on
\t on
-- an oracle for the first: what plain SQL says
BEGIN;
ALTER TABLE holes.customers DISABLE ROW LEVEL SECURITY;
SET LOCAL ROLE regress_holes_app;
SET LOCAL tenantmig.tenant = '1';
SELECT count(*) AS of_others FROM holes.customers WHERE company_id = 2;
UPDATE holes.customers SET name = name WHERE id = 2;
INSERT INTO holes.customers VALUES (99, 2, 'mine');
ROLLBACK;
SELECT * FROM holes.hole('ALTER TABLE holes.customers DISABLE ROW LEVEL SECURITY');
SELECT * FROM holes.hole('ALTER TABLE holes.customers DISABLE ROW LEVEL SECURITY; DROP POLICY tenant ON holes.customers');
SELECT * FROM holes.hole('ALTER TABLE holes.lonely DISABLE ROW LEVEL SECURITY; ALTER POLICY tenant ON holes.lonely RENAME TO tenantmig_tenant; ALTER POLICY tenantmig_tenant ON holes.lonely TO regress_holes_owner');
SELECT * FROM holes.hole('ALTER POLICY tenant ON holes.customers USING (true)');
-- the check alone is missing: a row can be given away
BEGIN;
ALTER POLICY tenant ON holes.customers WITH CHECK (true);
SET LOCAL ROLE regress_holes_app;
SET LOCAL tenantmig.tenant = '1';
INSERT INTO holes.customers VALUES (99, 2, 'for you');
ROLLBACK;
SELECT * FROM holes.hole('ALTER POLICY tenant ON holes.customers WITH CHECK (true)');
SELECT * FROM holes.hole('ALTER POLICY tenant ON holes.customers USING (company_id = (SELECT holes.tenant()) OR current_setting(''tenantmig.tenant'', true) IS NULL)');
SELECT * FROM holes.hole('ALTER POLICY tenant ON holes.customers USING (company_id = (SELECT holes.tenant()) OR current_setting(''tenantmig.tenant'', true) = '''')');
SELECT * FROM holes.hole('ALTER POLICY tenant ON holes.customers USING (CASE current_setting(''tenantmig.tenant'', true) WHEN ''*'' THEN true ELSE company_id = (SELECT holes.tenant()) END)');
SELECT * FROM holes.hole('ALTER POLICY tenant ON holes.customers USING (company_id = (SELECT holes.tenant()) OR (SELECT holes.tenant()) = 0)');
SELECT * FROM holes.hole('ALTER POLICY tenant ON holes.customers USING (company_id::text LIKE current_setting(''tenantmig.tenant'', true))');
SELECT * FROM holes.hole('ALTER ROLE regress_holes_app BYPASSRLS');
SELECT * FROM holes.hole('ALTER ROLE regress_holes_app SUPERUSER');
SELECT * FROM holes.hole('ALTER TABLE holes.lonely OWNER TO regress_holes_app');
SELECT * FROM holes.hole('GRANT regress_holes_owner TO regress_holes_app');
SELECT * FROM holes.hole('CREATE POLICY more ON holes.customers FOR SELECT USING (true)');
SELECT * FROM holes.hole('CREATE POLICY more ON holes.customers FOR SELECT TO regress_holes_app USING (name LIKE ''customer 1%'')');
-- a policy of one command only shows where no column is named: then those for SELECT are not asked
BEGIN;
CREATE POLICY more ON holes.customers FOR UPDATE USING (true) WITH CHECK (true);
SET LOCAL ROLE regress_holes_app;
SET LOCAL tenantmig.tenant = '1';
UPDATE holes.customers SET name = 'x' WHERE company_id = 2;
UPDATE holes.customers SET name = 'x';
ROLLBACK;
SELECT * FROM holes.hole('CREATE POLICY more ON holes.customers FOR UPDATE USING (true) WITH CHECK (true)');
SELECT * FROM holes.hole('CREATE POLICY more ON holes.customers FOR UPDATE USING (company_id = (SELECT holes.tenant())) WITH CHECK (true)');
SELECT * FROM holes.hole('CREATE POLICY more ON holes.customers FOR DELETE USING (true)');
SELECT * FROM holes.hole('CREATE POLICY more ON holes.customers FOR INSERT WITH CHECK (true)');
SELECT * FROM holes.hole('ALTER POLICY tenant ON holes.customers USING (company_id IS NULL OR company_id = (SELECT holes.tenant())) WITH CHECK (company_id = (SELECT holes.tenant()))');
SELECT * FROM holes.hole('ALTER POLICY tenant ON holes.customers WITH CHECK (company_id IS NULL OR company_id = (SELECT holes.tenant()))');
-- a slow policy: the attacks that count what it lets pass don't come before it
SELECT * FROM holes.hole('CREATE FUNCTION holes.slow() RETURNS integer LANGUAGE plpgsql AS $f$BEGIN RETURN nullif(current_setting(''tenantmig.tenant'', true), '''')::integer; END$f$; ALTER POLICY tenant ON holes.customers USING (company_id = holes.slow())');
-- a policy that is meant for others: the membership is the hole
SELECT * FROM holes.hole('CREATE ROLE regress_holes_all; CREATE ROLE regress_holes_team IN ROLE regress_holes_all; GRANT regress_holes_team TO regress_holes_app; CREATE POLICY more ON holes.customers TO regress_holes_all USING (true)');
-- a policy that is folded into the plan
SELECT * FROM holes.hole('ALTER FUNCTION holes.tenant() IMMUTABLE; ALTER POLICY tenant ON holes.customers USING (company_id = holes.tenant())');
-- too few rows
SELECT * FROM holes.hole('ALTER POLICY tenant ON holes.customers USING (company_id = (SELECT holes.tenant()) AND id > 9)');
SELECT * FROM holes.hole('ALTER FUNCTION holes.tenant() RENAME TO other; CREATE FUNCTION holes.tenant() RETURNS integer STABLE LANGUAGE sql AS $f$SELECT 1$f$; ALTER POLICY tenant ON holes.customers USING (company_id = (SELECT holes.tenant()))');
SELECT * FROM holes.hole('ALTER ROLE regress_holes_app SET tenantmig.tenant = ''1''');
SELECT * FROM holes.hole('ALTER TABLE holes.events_2026 DISABLE ROW LEVEL SECURITY');
SELECT * FROM holes.hole('CREATE TABLE holes.events_2027 PARTITION OF holes.events FOR VALUES FROM (''2027-01-01'') TO (''2028-01-01''); GRANT SELECT ON holes.events_2027 TO regress_holes_app; INSERT INTO holes.events VALUES (1, 1, ''2027-01-01'')');
SELECT * FROM holes.hole('ALTER TABLE holes.lonely DISABLE ROW LEVEL SECURITY');
-- an inheritance child with rows of the same identity: one row is touched, not two
CREATE FUNCTION holes.two() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN IF (SELECT count(*) FROM gone) > 1 THEN RAISE EXCEPTION 'two rows'; END IF; RETURN NULL; END $$;
SELECT * FROM holes.hole('CREATE TABLE holes.child () INHERITS (holes.customers); INSERT INTO holes.child SELECT * FROM holes.customers; ALTER POLICY tenant ON holes.customers USING (true);
  CREATE TRIGGER two AFTER DELETE ON holes.customers REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION holes.two()');
-- a constraint that refuses what the policy let pass
SELECT * FROM holes.hole('ALTER POLICY tenant ON holes.customers WITH CHECK (true); ALTER TABLE holes.customers ADD CHECK (company_id = (id % 4)) NOT VALID');
-- triggers: one that refuses before the policy is asked; one that hides a hole (nothing can be said); one that repairs the row
CREATE FUNCTION holes.refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'not this way' USING ERRCODE = 'P0999'; END $$;
CREATE FUNCTION holes.repair() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.company_id := holes.tenant(); RETURN NEW; END $$;
SELECT * FROM holes.hole('CREATE TRIGGER refuse BEFORE INSERT ON holes.customers FOR EACH ROW EXECUTE FUNCTION holes.refuse()');
SELECT * FROM holes.hole('CREATE TRIGGER refuse BEFORE INSERT ON holes.customers FOR EACH ROW EXECUTE FUNCTION holes.refuse()', 'SKIP');
SELECT * FROM holes.hole('ALTER POLICY tenant ON holes.customers WITH CHECK (true); CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON holes.customers FOR EACH ROW EXECUTE FUNCTION holes.refuse()');
SELECT * FROM holes.hole('ALTER POLICY tenant ON holes.customers WITH CHECK (true); CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON holes.customers FOR EACH ROW EXECUTE FUNCTION holes.refuse()', 'SKIP');
SELECT * FROM holes.hole('ALTER POLICY tenant ON holes.customers WITH CHECK (true); CREATE TRIGGER repair BEFORE INSERT OR UPDATE ON holes.customers FOR EACH ROW EXECUTE FUNCTION holes.repair()');
-- rules write elsewhere
SELECT * FROM holes.hole('CREATE RULE elsewhere AS ON INSERT TO holes.customers DO INSTEAD NOTHING', 'SKIP');
-- odd names in the way
SELECT * FROM holes.hole('ALTER TABLE holes.lonely RENAME COLUMN id TO "Weird ""id"""; ALTER TABLE holes.lonely DISABLE ROW LEVEL SECURITY');

\t off
\x off
DROP SCHEMA holes CASCADE;
DROP EXTENSION tenantmig CASCADE;
DROP ROLE regress_holes_app, regress_holes_owner;
