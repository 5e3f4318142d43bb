-- lint on code that runs above the policies although the application may not call it, and on a foreign key that waits for COMMIT: each defect, undone
-- afterwards, and beside it what looks like it and is none. "healed": its remedy, as it stands, removes the finding.
\pset null -
\pset format unaligned
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tenantmig CASCADE;
CREATE EXTENSION tenantmig;
CREATE ROLE regress_lm_owner NOLOGIN;
CREATE ROLE regress_lm_app LOGIN;
CREATE ROLE regress_lm_other LOGIN;
CREATE SCHEMA shop AUTHORIZATION regress_lm_owner;
CREATE SCHEMA hidden AUTHORIZATION regress_lm_owner;
GRANT USAGE ON SCHEMA shop TO regress_lm_app, regress_lm_other;
SET search_path = shop;
SET ROLE regress_lm_owner;
CREATE TABLE companies (id bigint PRIMARY KEY);
CREATE TABLE customers (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, company_id bigint NOT NULL REFERENCES companies, secret text, UNIQUE (company_id, id));
CREATE TABLE payments (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, company_id bigint NOT NULL REFERENCES companies, customer_id bigint CONSTRAINT late REFERENCES customers DEFERRABLE);
CREATE INDEX ON payments (company_id);
CREATE INDEX ON payments (customer_id);
CREATE TABLE hidden.notes (x bigint PRIMARY KEY);
CREATE TABLE inbox (x bigint PRIMARY KEY);
GRANT SELECT, INSERT (company_id, secret), DELETE ON customers TO regress_lm_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON payments TO regress_lm_app;
GRANT INSERT ON inbox, hidden.notes TO regress_lm_app;
RESET ROLE;
CREATE FUNCTION fill() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  NEW.secret := (SELECT string_agg(c.secret, ', ') FROM shop.customers c);
  RETURN NEW;
END$$;
CREATE FUNCTION pass() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$BEGIN RETURN NEW; END$$;
CREATE FUNCTION assemble() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$BEGIN EXECUTE 'SELECT 1'; RETURN NEW; END$$;
CREATE FUNCTION gather(text, bigint) RETURNS text LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS 'SELECT max(c.secret) FROM shop.customers c';
CREATE FUNCTION finish(text) RETURNS text LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS 'SELECT max(c.secret) FROM shop.customers c';
CREATE FUNCTION keep(text, bigint) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT $1';
REVOKE EXECUTE ON FUNCTION fill(), pass(), assemble(), gather(text, bigint), finish(text) FROM PUBLIC;
SELECT kind, outcome FROM tenantmig.attach_guard('payments', 'company_id', 'same_tenant', '{"via": "customer_id"}');

-- Everything that lint says after `hole`, and whether its remedies heal it. All of it is undone.
CREATE FUNCTION new_findings(hole text) RETURNS TABLE (severity text, check_name text, object text, detail text, remedy text, healed boolean) LANGUAGE plpgsql AS $$
DECLARE
  found jsonb := '[]';
  after text[];
  one jsonb;
BEGIN
  BEGIN
    EXECUTE hole;
    SELECT coalesce(jsonb_agg(to_jsonb(l) ORDER BY n), '[]') INTO found FROM tenantmig.lint('shop.companies', with_data => false) WITH ORDINALITY l(severity, check_name, object, detail, remedy, key, exempt, n) WHERE l.check_name IN ('definer_function', 'definer_search_path', 'owner_rule', 'fk_same_tenant', 'owner_view');
    FOR one IN SELECT e FROM jsonb_array_elements(found) e LOOP
      EXECUTE one ->> 'remedy';
    END LOOP;
    after := ARRAY(SELECT l.key FROM tenantmig.lint('shop.companies', with_data => false) l);
    RAISE EXCEPTION 'undone' USING ERRCODE = 'ZZ000';
  EXCEPTION WHEN SQLSTATE 'ZZ000' THEN NULL;
  END;
  RETURN QUERY SELECT e ->> 'severity', e ->> 'check_name', e ->> 'object', e ->> 'detail', e ->> 'remedy', e ->> 'key' <> ALL (after) FROM jsonb_array_elements(found) e;
END $$;

\echo === a deferrable foreign key with a guard is enough while nothing is hidden
SELECT * FROM new_findings('SELECT');
SELECT tenantmig.create_migration('{"migration": "isolating", "tenants": {"table": "companies"}, "steps": [{"isolate": {"tables": [{"table": "companies", "column": "id"}, "customers", "payments"], "role": "regress_lm_app"}}]}') IS NOT NULL AS made;
CALL tenantmig.up('isolating');
\echo and not where row-level security hides rows
SELECT * FROM new_findings('SELECT');
ALTER TABLE payments ALTER CONSTRAINT late NOT DEFERRABLE;
\echo nor without a guard, whatever it is
SELECT severity, check_name, object, detail FROM new_findings($$SELECT tenantmig.detach_guard(g.id) FROM tenantmig.guards g$$);

\echo === as it is now: nothing
SELECT * FROM new_findings('SELECT');

\echo === triggers
SELECT * FROM new_findings('CREATE TRIGGER fill BEFORE INSERT ON customers FOR EACH ROW EXECUTE FUNCTION fill()');
SELECT * FROM new_findings('CREATE VIEW mine WITH (security_invoker) AS SELECT * FROM customers; GRANT DELETE ON mine TO PUBLIC; CREATE TRIGGER fill INSTEAD OF DELETE ON mine FOR EACH ROW EXECUTE FUNCTION fill()');
SELECT * FROM new_findings('CREATE TRIGGER pass BEFORE INSERT ON inbox FOR EACH ROW EXECUTE FUNCTION pass()');
\echo not what the application may not do, what is disabled, runs under the policies, is put together, or is as whoever writes
SELECT * FROM new_findings('CREATE TRIGGER fill BEFORE UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION fill()');
SELECT * FROM new_findings('CREATE TRIGGER fill BEFORE INSERT ON hidden.notes FOR EACH ROW EXECUTE FUNCTION fill()');
SELECT * FROM new_findings('GRANT UPDATE ON customers TO regress_lm_other; CREATE TRIGGER fill BEFORE UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION fill()');
SELECT * FROM new_findings('CREATE TRIGGER fill BEFORE INSERT ON customers FOR EACH ROW EXECUTE FUNCTION fill(); ALTER TABLE customers DISABLE TRIGGER fill');
SELECT * FROM new_findings('CREATE TRIGGER fill BEFORE INSERT ON customers FOR EACH ROW EXECUTE FUNCTION fill(); ALTER FUNCTION fill() OWNER TO regress_lm_owner');
SELECT * FROM new_findings('CREATE TRIGGER assemble BEFORE INSERT ON customers FOR EACH ROW EXECUTE FUNCTION assemble()');
SELECT * FROM new_findings('CREATE TRIGGER fill BEFORE INSERT ON customers FOR EACH ROW EXECUTE FUNCTION fill(); ALTER FUNCTION fill() SECURITY INVOKER');

\echo === aggregates
SELECT * FROM new_findings('CREATE AGGREGATE gathered(bigint) (sfunc = gather, stype = text)');
SELECT * FROM new_findings('CREATE AGGREGATE finished(bigint) (sfunc = keep, stype = text, finalfunc = finish)');
\echo not what the application may not use, or whose owner may not
SELECT * FROM new_findings('CREATE AGGREGATE gathered(bigint) (sfunc = gather, stype = text); REVOKE EXECUTE ON FUNCTION gathered(bigint) FROM PUBLIC');
SELECT * FROM new_findings('CREATE AGGREGATE hidden.gathered(bigint) (sfunc = gather, stype = text)');
SELECT * FROM new_findings('CREATE AGGREGATE gathered(bigint) (sfunc = gather, stype = text); ALTER FUNCTION gathered(bigint) OWNER TO regress_lm_owner');
SELECT * FROM new_findings('CREATE AGGREGATE kept(bigint) (sfunc = keep, stype = text)');

\echo === rules
SELECT * FROM new_findings('ALTER TABLE inbox OWNER TO CURRENT_USER; GRANT INSERT ON inbox TO regress_lm_app; CREATE RULE "Tell; me" AS ON INSERT TO inbox DO ALSO SELECT c.secret FROM customers c');
SELECT * FROM new_findings('CREATE VIEW lines AS SELECT 1 AS n; GRANT DELETE ON lines TO PUBLIC; CREATE RULE away AS ON DELETE TO lines DO INSTEAD DELETE FROM customers');
\echo not what the application may not do, is disabled, has nothing to do with tenants, or is of an owner that the policies hold for
SELECT * FROM new_findings('ALTER TABLE inbox OWNER TO CURRENT_USER; CREATE RULE away AS ON DELETE TO inbox DO ALSO DELETE FROM customers');
SELECT * FROM new_findings('ALTER TABLE inbox OWNER TO CURRENT_USER; CREATE RULE tell AS ON INSERT TO inbox DO ALSO SELECT c.secret FROM customers c; ALTER TABLE inbox DISABLE RULE tell');
SELECT * FROM new_findings('ALTER TABLE inbox OWNER TO CURRENT_USER; CREATE RULE tell AS ON INSERT TO inbox DO ALSO SELECT n.x FROM hidden.notes n');
SELECT * FROM new_findings('CREATE RULE tell AS ON INSERT TO inbox DO ALSO SELECT c.secret FROM customers c');

\echo === errors
SET ROLE regress_lm_app;
SELECT FROM tenantmig.lint('companies');
RESET ROLE;
DROP SCHEMA shop, hidden CASCADE;
DROP EXTENSION tenantmig CASCADE;
DROP ROLE regress_lm_owner, regress_lm_app, regress_lm_other;
