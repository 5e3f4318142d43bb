-- Under whose identity user code runs, whoever calls; who may call what.
SET client_min_messages = warning;
\set SHOW_CONTEXT never
DROP EXTENSION IF EXISTS tenantmig CASCADE;
DROP SCHEMA IF EXISTS hostile, who CASCADE;
CREATE EXTENSION tenantmig;
CREATE ROLE regress_owner;                                     -- owns the tables, and means harm
CREATE ROLE regress_other;                                     -- owns nothing of it
CREATE ROLE regress_member IN ROLE regress_owner;              -- has the owner's privileges
CREATE ROLE regress_idle NOINHERIT IN ROLE regress_owner;      -- would have to SET ROLE first
CREATE ROLE regress_boss SUPERUSER;
CREATE ROLE regress_friend IN ROLE regress_boss;               -- a superuser's member is no superuser
SELECT r, tenantmig.grant_access(r, 'operator') FROM unnest('{regress_owner,regress_other,regress_member,regress_idle,regress_friend}'::text[]) r;
CREATE SCHEMA who;
GRANT USAGE, CREATE ON SCHEMA who TO PUBLIC;
CREATE FUNCTION who.attempt(command text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
  state text; message text; detail text; hint text;
BEGIN
  EXECUTE command;
  RETURN NEXT 'no error';
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
  RETURN NEXT state || ': ' || message;
  IF detail <> '' THEN RETURN NEXT 'DETAIL: ' || detail; END IF;
  IF hint <> '' THEN RETURN NEXT 'HINT: ' || hint; END IF;
END $$;

-- A place where code notes who it runs as; anybody may write there, so that nothing goes unnoticed.
CREATE TABLE who.ran (code text, as_role name, PRIMARY KEY (code, as_role));
GRANT INSERT, SELECT ON who.ran TO PUBLIC;
CREATE FUNCTION who.note(code text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO who.ran VALUES (code, current_user) ON CONFLICT DO NOTHING;
END $$;

-- The owner's tables: code of his wherever PostgreSQL lets him put some.
CREATE SCHEMA hostile AUTHORIZATION regress_owner;
SET ROLE regress_owner;
SET search_path = hostile;
CREATE TYPE kind AS ENUM ('gold', 'silver');
CREATE FUNCTION kind_text(k kind) RETURNS text IMMUTABLE LANGUAGE plpgsql AS $$
BEGIN
  PERFORM who.note('cast to text');
  RETURN CASE k WHEN 'gold' THEN 'gold' ELSE 'silver' END;
END $$;
CREATE CAST (kind AS text) WITH FUNCTION kind_text(kind);
CREATE FUNCTION code_ok(c text) RETURNS boolean IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN PERFORM who.note('CHECK of a domain'); RETURN true; END $$;
CREATE DOMAIN code AS text CHECK (hostile.code_ok(VALUE));
CREATE TYPE tag AS (c code);
CREATE FUNCTION checked(id bigint) RETURNS boolean IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN PERFORM who.note('CHECK of a table'); RETURN true; END $$;
CREATE FUNCTION indexed(id bigint) RETURNS bigint IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN PERFORM who.note('index expression'); RETURN id; END $$;
CREATE FUNCTION partial(id bigint) RETURNS boolean IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN PERFORM who.note('index predicate'); RETURN true; END $$;
CREATE FUNCTION generated(id bigint) RETURNS bigint IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN PERFORM who.note('generated column'); RETURN id; END $$;
CREATE FUNCTION policy() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN PERFORM who.note('policy'); RETURN true; END $$;
CREATE FUNCTION fire() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM who.note(lower(TG_WHEN || ' ' || TG_LEVEL || ' trigger'));
  RETURN NEW;
END $$;
CREATE FUNCTION fired_when(id bigint) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN PERFORM who.note('WHEN of a trigger'); RETURN true; END $$;
CREATE TABLE companies (id bigint PRIMARY KEY);
CREATE TABLE customers (
  id bigint, grade kind, company_id bigint CHECK (checked(company_id)), tag tag DEFAULT '(a)', deleted_at timestamptz,
  twice bigint GENERATED ALWAYS AS (generated(company_id)) STORED,
  PRIMARY KEY (id, grade));
CREATE INDEX ON customers (indexed(company_id));
CREATE INDEX ON customers (id) WHERE partial(company_id);
CREATE TRIGGER row_before BEFORE UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION fire();
CREATE TRIGGER row_after AFTER UPDATE ON customers FOR EACH ROW WHEN (fired_when(NEW.company_id)) EXECUTE FUNCTION fire();
CREATE TRIGGER statement_before BEFORE UPDATE ON customers EXECUTE FUNCTION fire();
CREATE TRIGGER statement_after AFTER UPDATE ON customers EXECUTE FUNCTION fire();
CREATE CONSTRAINT TRIGGER late AFTER UPDATE ON customers DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION fire();
CREATE TABLE orders (id bigint PRIMARY KEY, customer_id bigint, grade kind, company_id bigint, FOREIGN KEY (customer_id, grade) REFERENCES customers);
ALTER TABLE customers ENABLE ROW LEVEL SECURITY;
ALTER TABLE orders ENABLE ROW LEVEL SECURITY;
ALTER TABLE companies ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON customers USING (policy());
CREATE POLICY p ON orders USING (policy());
CREATE POLICY p ON companies USING (policy());
INSERT INTO companies VALUES (1), (2);
INSERT INTO customers SELECT n, CASE n % 2 WHEN 0 THEN 'gold' ELSE 'silver' END::kind FROM generate_series(1, 6) n;
INSERT INTO orders SELECT n, n, CASE n % 2 WHEN 0 THEN 'gold' ELSE 'silver' END::kind, 1 + n % 2 FROM generate_series(1, 4) n;
INSERT INTO orders SELECT 9, 4, 'gold', 2;
RESET ROLE;
RESET search_path;

-- the trap: a superuser's plain UPDATE, and a mere read, run all of it as the superuser
TRUNCATE who.ran;
BEGIN;
UPDATE hostile.customers SET company_id = 1 WHERE id = 1;
SELECT grade::text, '(x)'::hostile.tag AS tag FROM hostile.customers WHERE id = 1;
COMMIT;
SELECT * FROM who.ran ORDER BY 1, 2;
UPDATE hostile.customers SET company_id = NULL;

-- the superuser does all that tenantmig can do with these tables: his name does not occur
TRUNCATE who.ran;
SELECT tenantmig.create_migration('{"migration": "m", "tenants": {"table": "hostile.companies"}, "steps": [{"backfill": {
  "table": "hostile.customers", "column": "company_id", "soft_delete": "deleted_at", "where": {"tag": ["(a)"], "grade": ["gold", "silver"]},
  "sources": [{"via": "hostile.orders.customer_id", "where": {"grade": ["gold", "silver"]}}]}}]}');
SELECT step, relation, source, note FROM tenantmig.check_migration((SELECT spec FROM tenantmig.migrations));
SELECT outcome, source, row_count FROM tenantmig.plan('m');
SELECT length(tenantmig.plan_hash('m', with_counts => true)) > 64 AS hashed;
SELECT count(*) > 0 AS checked FROM tenantmig.preflight('m');
SELECT outcome, row_count FROM tenantmig.backfill('m', dry_run => true);
SELECT outcome, source, row_count FROM tenantmig.backfill('m');
SELECT count(*) > 0 AS checked FROM tenantmig.verify('m');
SELECT class, row_key FROM tenantmig.review('m') ORDER BY id;
SELECT row_key, tenant, state FROM tenantmig.resolve((SELECT min(id) FROM tenantmig.review('m')), '2');
SELECT row_key, state FROM tenantmig.dismiss((SELECT min(id) FROM tenantmig.review('m')));
SELECT length(tenantmig.report(max(id))) > 100 AS reported FROM tenantmig.runs;
SELECT count(*) > 0 AS checked FROM tenantmig.verify_changes((SELECT max(id) FROM tenantmig.runs));
SELECT count(*) > 0 AS script FROM tenantmig.undo_script((SELECT max(id) FROM tenantmig.runs));
SELECT outcome, reason, row_count FROM tenantmig.rollback((SELECT max(id) FROM tenantmig.runs));
SELECT outcome, source, row_count FROM tenantmig.backfill('hostile.customers', 'company_id', tenants => 'hostile.companies',
  sources => '[{"via": "hostile.orders.customer_id"}]', on_orphan => 'soft_delete', soft_delete => 'deleted_at', conditions => '{"tag": ["(a)"]}');
SELECT outcome, reason, row_count FROM tenantmig.rollback((SELECT max(id) FROM tenantmig.runs));
SELECT tenantmig.drop_migration('hostile.customers.company_id', force => true);
SELECT tenantmig.drop_migration('m', force => true);
SELECT code, as_role FROM who.ran ORDER BY 1, 2;

-- what the owner's code does to the session goes no further: neither settings nor roles
SET ROLE regress_owner;
SET search_path = hostile;
CREATE FUNCTION grab() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM set_config('search_path', 'hostile', false), set_config('row_security', 'off', false), set_config('app.grabbed', 'yes', false);
  BEGIN
    EXECUTE 'RESET ROLE';
    PERFORM who.note('after RESET ROLE');
  EXCEPTION WHEN insufficient_privilege THEN PERFORM who.note('RESET ROLE refused: ' || SQLERRM);
  END;
  BEGIN
    EXECUTE 'SET ROLE postgres';
    PERFORM who.note('after SET ROLE');
  EXCEPTION WHEN insufficient_privilege THEN PERFORM who.note('SET ROLE refused: ' || SQLERRM);
  END;
  BEGIN
    EXECUTE 'SET SESSION AUTHORIZATION DEFAULT';
    PERFORM who.note('after SET SESSION AUTHORIZATION');
  EXCEPTION WHEN insufficient_privilege THEN PERFORM who.note('SET SESSION AUTHORIZATION refused: ' || SQLERRM);
  END;
  RETURN NEW;
END $$;
CREATE TRIGGER grab BEFORE UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION grab();
RESET ROLE;
SET search_path = public;
BEGIN;
UPDATE hostile.customers SET company_id = 1 WHERE id = 1;   -- the trap
SHOW search_path;
SHOW row_security;
SELECT DISTINCT code, as_role FROM who.ran WHERE code LIKE '%SET%' ORDER BY 1, 2;
ROLLBACK;
SHOW search_path;
TRUNCATE who.ran;
SELECT outcome, source, row_count FROM tenantmig.backfill('hostile.customers', 'company_id', tenants => 'hostile.companies', sources => '[{"via": "hostile.orders.customer_id"}]');
SHOW search_path;
SHOW row_security;
SELECT current_setting('app.grabbed', true) = 'yes' AS grabbed;
SELECT current_user = session_user AS unchanged;
SELECT DISTINCT code, as_role FROM who.ran WHERE code LIKE '%SET%' ORDER BY 1, 2;
SELECT outcome, row_count FROM tenantmig.rollback((SELECT max(id) FROM tenantmig.runs));
SELECT tenantmig.drop_migration('hostile.customers.company_id');
DROP TRIGGER grab ON hostile.customers;

-- who may: the owner, his members; not others, not members that do not inherit, not members of a superuser
CREATE FUNCTION who.as_role(r name, command text) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('SET LOCAL ROLE %I', r);
  RETURN QUERY SELECT * FROM who.attempt(command);
  RESET ROLE;
END $$;
SELECT * FROM who.as_role('regress_other', $$SELECT tenantmig.backfill('hostile.customers', 'company_id', tenants => 'hostile.companies')$$);
GRANT USAGE ON SCHEMA hostile TO regress_other, regress_idle, regress_friend;
GRANT ALL ON ALL TABLES IN SCHEMA hostile TO regress_other; -- rights on the tables are not enough: as for ALTER TABLE
\set call '''SELECT tenantmig.backfill(''''hostile.customers'''', ''''company_id'''', tenants => ''''hostile.companies'''', sources => ''''[{"via": "hostile.orders.customer_id"}]'''')'''
SELECT * FROM who.as_role('regress_other', :call);
SELECT * FROM who.as_role('regress_idle', :call);
SELECT * FROM who.as_role('regress_friend', :call);
SELECT * FROM who.as_role('regress_other', $$SELECT tenantmig.create_migration('{"migration": "o", "tenants": {"table": "hostile.companies"}, "steps": [{"backfill": {"table": "hostile.customers", "column": "company_id", "sources": [{"via": "hostile.orders.customer_id"}]}}]}')$$);
SELECT * FROM who.as_role('regress_member', :call);
SELECT migration, owner FROM tenantmig.migrations;
SELECT migration, started_by FROM tenantmig.runs WHERE migration = 'hostile.customers.company_id';

-- a migration belongs to its creator, even if others own the tables as well
SELECT * FROM who.as_role('regress_owner', $$SELECT tenantmig.backfill('hostile.customers.company_id')$$);
SELECT * FROM who.as_role('regress_owner', $$SELECT tenantmig.plan('hostile.customers.company_id')$$);
SELECT * FROM who.as_role('regress_owner', $$SELECT tenantmig.preflight('hostile.customers.company_id')$$);
SELECT * FROM who.as_role('regress_owner', $$SELECT tenantmig.verify('hostile.customers.company_id')$$);
SELECT * FROM who.as_role('regress_owner', $$SELECT tenantmig.plan_hash('hostile.customers.company_id')$$);
SELECT * FROM who.as_role('regress_owner', $$SELECT tenantmig.rollback(max(id)) FROM tenantmig.runs$$);
SELECT * FROM who.as_role('regress_owner', $$SELECT tenantmig.undo_script(max(id)) FROM tenantmig.runs$$);
SELECT * FROM who.as_role('regress_owner', $$SELECT tenantmig.drop_migration('hostile.customers.company_id', force => true)$$);
SELECT * FROM who.as_role('regress_other', $$SELECT tenantmig.resolve(min(id), '1') FROM tenantmig.review('hostile.customers.company_id')$$);
REVOKE ALL ON ALL TABLES IN SCHEMA hostile FROM regress_other;
SELECT * FROM who.as_role('regress_other', $$SELECT tenantmig.resolve(min(id), '1') FROM tenantmig.review('hostile.customers.company_id')$$);
SELECT * FROM who.as_role('regress_other', $$SELECT tenantmig.dismiss(min(id)) FROM tenantmig.review('hostile.customers.company_id')$$);
-- membership taken away takes the right away, although the migration still belongs to him
REVOKE regress_owner FROM regress_member;
SELECT * FROM who.as_role('regress_member', $$SELECT tenantmig.backfill('hostile.customers.company_id')$$);
SELECT * FROM who.as_role('regress_member', $$SELECT tenantmig.rollback(max(id)) FROM tenantmig.runs$$);
GRANT regress_owner TO regress_member;
SELECT * FROM who.as_role('regress_member', $$SELECT tenantmig.rollback(max(id)) FROM tenantmig.runs$$);
-- a superuser's migration is a superuser's; his members gain nothing
SELECT tenantmig.create_migration('{"migration": "super", "tenants": {"table": "hostile.companies"}, "steps": [{"backfill": {"table": "hostile.customers", "column": "company_id", "sources": [{"via": "hostile.orders.customer_id"}]}}]}');
SELECT * FROM who.as_role('regress_owner', $$SELECT tenantmig.backfill('super')$$);
SET ROLE regress_boss;
SELECT tenantmig.create_migration('{"migration": "boss", "tenants": {"table": "hostile.companies"}, "steps": [{"backfill": {"table": "hostile.customers", "column": "company_id", "sources": [{"via": "hostile.orders.customer_id"}]}}]}');
RESET ROLE;
SELECT * FROM who.as_role('regress_friend', $$SELECT tenantmig.backfill('boss')$$);
SELECT * FROM who.as_role('regress_friend', $$SELECT tenantmig.drop_migration('boss')$$);
CREATE TABLE who.bosses (id int PRIMARY KEY, company_id bigint);
ALTER TABLE who.bosses OWNER TO regress_boss;
SELECT * FROM who.as_role('regress_friend', $$SELECT tenantmig.backfill('who.bosses', 'company_id', tenants => 'hostile.companies')$$);
SELECT * FROM who.as_role('regress_boss', $$SELECT tenantmig.backfill('super', dry_run => true)$$);
-- the owner's role is gone: only a superuser goes on
CREATE ROLE regress_gone IN ROLE regress_owner;
SELECT tenantmig.grant_access('regress_gone', 'operator');
SELECT * FROM who.as_role('regress_gone', $$SELECT tenantmig.create_migration('{"migration": "gone", "tenants": {"table": "hostile.companies"}, "steps": [{"backfill": {"table": "hostile.customers", "column": "company_id", "sources": [{"via": "hostile.orders.customer_id"}]}}]}')$$);
DROP OWNED BY regress_gone;
DROP ROLE regress_gone;
SELECT * FROM who.as_role('regress_owner', $$SELECT tenantmig.backfill('gone')$$);
SELECT * FROM who.as_role('regress_boss', $$SELECT tenantmig.plan('gone')$$);
-- the name is what a dump keeps, so a role that is made later under that name takes it over; the tables take rights of their own
SELECT tenantmig.drop_migration(m) FROM unnest('{gone,boss,super}'::text[]) m;

-- a partition of another owner: its triggers would run as the owner of the whole table
CREATE TABLE who.parted (id int PRIMARY KEY, company_id bigint) PARTITION BY RANGE (id);
CREATE TABLE who.part PARTITION OF who.parted FOR VALUES FROM (0) TO (100) PARTITION BY RANGE (id);
CREATE TABLE who.subpart PARTITION OF who.part FOR VALUES FROM (0) TO (50);
CREATE TABLE who.pointers (id int REFERENCES who.parted, company_id bigint);
INSERT INTO who.parted VALUES (1);
INSERT INTO who.pointers VALUES (1, 1);
ALTER TABLE who.subpart OWNER TO regress_owner;
SET ROLE regress_owner;
CREATE TRIGGER fire BEFORE UPDATE ON who.subpart FOR EACH ROW EXECUTE FUNCTION hostile.fire();
RESET ROLE;
TRUNCATE who.ran;
BEGIN;
UPDATE who.parted SET company_id = 1;                        -- the trap
SELECT * FROM who.ran;
ROLLBACK;
SELECT * FROM who.attempt($$SELECT tenantmig.backfill('who.parted', 'company_id', tenants => 'hostile.companies', sources => '[{"via": "who.pointers.id"}]')$$);
ALTER TABLE who.parted OWNER TO regress_owner;
ALTER TABLE who.part OWNER TO regress_owner;
SELECT * FROM who.attempt($$SELECT tenantmig.backfill('who.parted', 'company_id', tenants => 'hostile.companies', sources => '[{"via": "who.pointers.id"}]')$$);
SELECT * FROM who.ran;
-- given away after the run: neither undone nor run again under the wrong name
ALTER TABLE who.parted OWNER TO postgres;
SELECT * FROM who.attempt($$SELECT tenantmig.rollback(max(id)) FROM tenantmig.runs$$);
ALTER TABLE who.subpart OWNER TO postgres;
ALTER TABLE who.part OWNER TO postgres;
SELECT * FROM who.attempt($$SELECT tenantmig.rollback(max(id)) FROM tenantmig.runs$$);

-- EXECUTE is nobody's (but the trigger function's, which adding a partition takes), nor are the tables and sequences; views and functions go by grant_access
CREATE ROLE regress_nobody;
SELECT p.oid::regprocedure AS open_to_all FROM pg_proc p WHERE p.pronamespace = 'tenantmig'::regnamespace
  AND (p.proacl IS NULL OR EXISTS (SELECT FROM aclexplode(p.proacl) a WHERE a.grantee = 0));
-- two functions run as the owner of the extension: they take no argument, and show what the views health and steps show
SELECT p.oid::regprocedure AS definer FROM pg_proc p WHERE p.pronamespace = 'tenantmig'::regnamespace AND (p.prosecdef OR p.proconfig IS NOT NULL) ORDER BY p.proname;
SELECT c.oid::regclass, a.grantee::regrole, a.privilege_type FROM pg_class c, aclexplode(c.relacl) a
  WHERE c.relnamespace = 'tenantmig'::regnamespace AND c.relkind IN ('r', 'S') AND a.grantee <> c.relowner;
SELECT c.oid::regclass, a.privilege_type FROM pg_class c, aclexplode(c.relacl) a
  WHERE c.relnamespace = 'tenantmig'::regnamespace AND c.relkind = 'v' AND a.grantee <> c.relowner AND a.privilege_type <> 'SELECT';
SELECT has_schema_privilege('regress_owner', 'tenantmig', 'CREATE') AS creates, has_schema_privilege('regress_nobody', 'tenantmig', 'USAGE') AS uses;
SELECT * FROM who.as_role('regress_nobody', $$SELECT tenantmig.version()$$);
SELECT DISTINCT a FROM (SELECT format('SELECT %s FROM tenantmig.%I', CASE relkind WHEN 'S' THEN 'last_value' ELSE '*' END, relname) AS c FROM pg_class
  WHERE relnamespace = 'tenantmig'::regnamespace AND relkind IN ('r', 'S')) t, LATERAL who.as_role('regress_owner', t.c) a ORDER BY 1;
SELECT * FROM who.as_role('regress_owner', $$INSERT INTO tenantmig.migration (name, owner, owner_oid, spec, identity) VALUES ('x', 'postgres', 10, '{}', '{}')$$);
SELECT * FROM who.as_role('regress_owner', $$UPDATE tenantmig.migration SET owner = 'regress_owner'$$);
SELECT * FROM who.as_role('regress_owner', $$DELETE FROM tenantmig.change_log$$);
SELECT * FROM who.as_role('regress_owner', $$TRUNCATE tenantmig.review_decision$$);
SELECT * FROM who.as_role('regress_owner', $$UPDATE tenantmig.runs SET state = 'completed'$$);
SELECT * FROM who.as_role('regress_owner', $$SELECT setval('tenantmig.run_id_seq', 1)$$);
SELECT * FROM who.as_role('regress_owner', $$CREATE TRIGGER t BEFORE INSERT ON tenantmig.run_log FOR EACH ROW EXECUTE FUNCTION hostile.fire()$$);
SELECT * FROM who.as_role('regress_owner', $$CREATE TABLE tenantmig.mine (id int)$$);
SELECT * FROM who.as_role('regress_owner', $$SELECT tenantmig.grant_access('regress_nobody', 'operator')$$);
SELECT * FROM who.as_role('regress_nobody', $$SELECT tenantmig.grant_access('regress_nobody', 'operator')$$);
SELECT * FROM who.as_role('regress_nobody', $$SELECT * FROM tenantmig.changes$$);

RESET search_path;
DROP EXTENSION tenantmig CASCADE;
DROP SCHEMA hostile, who CASCADE;
DROP ROLE regress_owner, regress_other, regress_member, regress_idle, regress_friend, regress_boss, regress_nobody;
