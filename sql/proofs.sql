-- Proofs: what is tried after constraints stand, on copies of rows, and undone: nothing is left behind, no sequence moves; SKIP with its reason, FAIL where a constraint does not do what it is there for.
\pset null -
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tenantmig CASCADE;
CREATE EXTENSION tenantmig;
CREATE ROLE regress_owner;
CREATE ROLE regress_landlord;
SELECT tenantmig.grant_access('regress_owner', 'operator');
CREATE SCHEMA shop AUTHORIZATION regress_owner;
GRANT USAGE ON SCHEMA shop TO regress_landlord;
SET search_path = shop;
SET ROLE regress_owner;
CREATE TABLE "Companies" ("Id" uuid PRIMARY KEY DEFAULT gen_random_uuid(), name varchar(20) NOT NULL UNIQUE, opened date DEFAULT '2020-01-01');
INSERT INTO "Companies" VALUES ('00000000-0000-0000-0000-000000000001', 'first of them all'), ('00000000-0000-0000-0000-000000000002', 'second of them');
CREATE TABLE staff (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "Company" uuid, number serial, code text CHECK (code <> 'bad'), twice integer GENERATED ALWAYS AS (number * 2) STORED,
  deleted_at timestamptz, UNIQUE (number));
INSERT INTO staff ("Company", code) VALUES ('00000000-0000-0000-0000-000000000001', 'a-1'), ('00000000-0000-0000-0000-000000000002', 'a-2'), (NULL, 'a-3');
UPDATE staff SET deleted_at = '2020-01-01' WHERE "Company" IS NULL;
CREATE TABLE noted (what text);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN INSERT INTO shop.noted VALUES (TG_OP); RETURN NULL; END$$;
CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON staff FOR EACH ROW EXECUTE FUNCTION note();
SELECT tenantmig.create_migration($${"migration": "m", "tenants": {"table": "\"Companies\""}, "steps": [
  {"constraint": {"table": "staff", "column": "\"Company\"", "not_null": "live", "soft_delete": "deleted_at", "references": "\"Companies\".\"Id\"", "on_delete": "restrict", "unique": ["\"Company\"", "code"]}},
  {"constraint": {"table": "staff", "column": "code", "not_null": true, "format": "^[a-z0-9-]+$"}}]}$$);
CALL tenantmig.prove('m');
\echo :LAST_ERROR_SQLSTATE
CREATE FUNCTION shown(text) RETURNS text LANGUAGE sql AS $$SELECT regexp_replace(regexp_replace($1, '[0-9a-f]{12}', 'RANDOM', 'g'), '[0-9a-f]{8}(-[0-9a-f]{4}){3}-', 'UUID-', 'g')$$;
CREATE TABLE state AS SELECT (SELECT md5(string_agg(s::text, ',' ORDER BY id)) FROM staff s) AS staff, (SELECT md5(string_agg(c::text, ',' ORDER BY "Id")) FROM "Companies" c) AS companies,
  (SELECT last_value FROM staff_id_seq) AS ids, (SELECT last_value FROM staff_number_seq) AS numbers;

CALL tenantmig.enforce('m');
SELECT number, title, expected, status, shown(actual) AS actual FROM tenantmig.proofs ORDER BY series, number;
SELECT DISTINCT migration, series, step IN (1, 2) AS step, proved_by = session_user || ' (as regress_owner)' AS by_us FROM tenantmig.proofs ORDER BY step;
-- nothing is left
SELECT s.staff = (SELECT md5(string_agg(s::text, ',' ORDER BY id)) FROM staff s) AS staff, s.companies = (SELECT md5(string_agg(c::text, ',' ORDER BY "Id")) FROM "Companies" c) AS companies,
  s.ids = (SELECT last_value FROM staff_id_seq) AS ids, s.numbers = (SELECT last_value FROM staff_number_seq) AS numbers, (SELECT count(*) FROM noted) AS noted FROM state s;

-- again, as a daily check; constraints that somebody took off or weakened are found out
CALL tenantmig.prove('m');
SELECT series = max(series) OVER () AS latest, count(*), count(*) FILTER (WHERE status = 'PASS') AS passed FROM tenantmig.proofs GROUP BY series ORDER BY series;
ALTER TABLE staff ALTER code DROP NOT NULL;
DO $$DECLARE c text; BEGIN FOR c IN SELECT conname FROM pg_constraint WHERE conrelid = 'staff'::regclass AND contype = 'f' LOOP
  EXECUTE format('ALTER TABLE staff DROP CONSTRAINT %1$I, ADD CONSTRAINT %1$I FOREIGN KEY ("Company") REFERENCES "Companies" ON DELETE CASCADE NOT VALID', c); END LOOP; END$$;
CALL tenantmig.prove('m');
SELECT number, title, expected, status, shown(actual) AS actual FROM tenantmig.proofs WHERE series = (SELECT max(series) FROM tenantmig.proofs) AND status <> 'PASS' ORDER BY number;


-- other actions on delete; a key that may be NULL
CREATE FUNCTION last(name text) RETURNS TABLE (number integer, title text, expected text, status text, actual text) LANGUAGE sql AS
  $$SELECT p.number, p.title, p.expected, p.status, shop.shown(p.actual) FROM tenantmig.proofs p WHERE p.migration = name AND p.series = (SELECT max(q.series) FROM tenantmig.proofs q WHERE q.migration = name) ORDER BY 1$$;
CREATE FUNCTION migrate(name text, steps text) RETURNS text LANGUAGE sql AS
  $$SELECT tenantmig.create_migration(format('{"migration": "%s", "tenants": {"table": "\"Companies\""}, "steps": [%s]}', name, steps)::jsonb)$$;
CREATE TABLE rooms (id smallint PRIMARY KEY, company uuid);
INSERT INTO rooms SELECT 32767, "Id" FROM "Companies" WHERE name LIKE 'first%';
CREATE TABLE keys (company uuid, label char(8) UNIQUE, made timestamptz UNIQUE, weight numeric(4, 1) UNIQUE, id serial PRIMARY KEY);
INSERT INTO keys SELECT "Id", 'abcdefgh', '2020-02-02', 9.5 FROM "Companies" LIMIT 1;
SELECT migrate('rest', '{"constraint": {"table": "rooms", "column": "company", "references": "\"Companies\"", "on_delete": "cascade"}}, {"constraint": {"table": "keys", "column": "company", "references": "\"Companies\"", "on_delete": "set null"}}');
CALL tenantmig.enforce('rest');
SELECT * FROM last('rest');

-- nothing to copy; nowhere to move to; nothing to vary
CREATE TABLE "One" (id integer PRIMARY KEY);
INSERT INTO "One" VALUES (1);
CREATE TABLE empty (id integer PRIMARY KEY, one integer);
CREATE TABLE alone (id boolean PRIMARY KEY, one integer);
INSERT INTO alone VALUES (true, 1);
CREATE TABLE nearly (id integer PRIMARY KEY, one integer);
INSERT INTO nearly VALUES (1, 1);
SELECT migrate('skips', '{"constraint": {"table": "empty", "column": "one", "not_null": true, "references": "\"One\""}}, {"constraint": {"table": "alone", "column": "one", "not_null": true}}, {"constraint": {"table": "nearly", "column": "one", "not_null": true, "references": "\"One\""}}');
CALL tenantmig.enforce('skips');
SELECT * FROM last('skips');

-- triggers: one refuses, and says who it is; one fills in; one holds rows back; one moves the copy elsewhere
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN IF NEW.one IS NULL OR TG_OP = 'UPDATE' THEN RAISE EXCEPTION 'refused as %', current_user; END IF; RETURN NEW; END$$;
CREATE FUNCTION fill() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.one := coalesce(NEW.one, 1); RETURN NEW; END$$;
CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NULL; END$$;
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN UPDATE shop.touches SET touched = true WHERE id = NEW.id; RETURN NULL; END$$;
CREATE TABLE refuses (LIKE nearly INCLUDING ALL);
CREATE TABLE fills (LIKE nearly INCLUDING ALL);
CREATE TABLE holds (LIKE nearly INCLUDING ALL);
CREATE TABLE touches (LIKE nearly INCLUDING ALL, touched boolean);
INSERT INTO refuses VALUES (1, 1);
INSERT INTO fills VALUES (1, 1);
INSERT INTO holds VALUES (1, 1);
INSERT INTO touches VALUES (1, 1);
CREATE TRIGGER t BEFORE INSERT OR UPDATE ON refuses FOR EACH ROW EXECUTE FUNCTION refuse();
CREATE TRIGGER t BEFORE INSERT OR UPDATE ON fills FOR EACH ROW EXECUTE FUNCTION fill();
CREATE TRIGGER t BEFORE INSERT ON holds FOR EACH ROW EXECUTE FUNCTION hold();
CREATE TRIGGER t AFTER INSERT ON touches FOR EACH ROW EXECUTE FUNCTION touch();
SELECT migrate('triggers', string_agg(format('{"constraint": {"table": "%s", "column": "one", "not_null": true}}', x), ',')) FROM unnest(ARRAY['refuses', 'fills', 'holds', 'touches']) x;
RESET ROLE;
CALL tenantmig.enforce('triggers');
SELECT * FROM last('triggers');

-- a partitioned table, its tenants another role's; a guard that fills stands aside
CREATE TABLE landlords (id bigint PRIMARY KEY);
INSERT INTO landlords VALUES (1), (2);
ALTER TABLE landlords OWNER TO regress_landlord;
GRANT REFERENCES ON landlords TO regress_owner;
SET ROLE regress_owner;
CREATE TABLE flats (day integer, n integer, landlord integer, house integer, PRIMARY KEY (day, n)) PARTITION BY LIST (day);
CREATE TABLE flats_1 PARTITION OF flats FOR VALUES IN (1);
CREATE TABLE flats_2 PARTITION OF flats FOR VALUES IN (2);
INSERT INTO flats VALUES (1, 1, 1, 5), (2, 1, 2, 6);
CREATE UNIQUE INDEX ON flats_1 (house);
RESET ROLE;
SELECT tenantmig.create_migration('{"migration": "flats", "tenants": {"table": "landlords"}, "steps": [{"constraint": {"table": "flats", "column": "landlord", "not_null": true, "references": "landlords", "composite": true}}]}');
CALL tenantmig.enforce('flats');
SELECT * FROM last('flats');
-- the right to reference the landlords is none to write there
SET ROLE regress_owner;
CREATE TABLE cellars (id integer PRIMARY KEY, landlord bigint);
INSERT INTO cellars VALUES (1, 1);
SELECT migrate('cellars', '{"constraint": {"table": "cellars", "column": "landlord", "references": "landlords"}}');
CALL tenantmig.enforce('cellars');
SELECT * FROM last('cellars');
INSERT INTO cellars VALUES (2, 2);
CALL tenantmig.prove('cellars');
SELECT * FROM last('cellars') WHERE title ~ 'move';
CREATE TABLE houses (id integer PRIMARY KEY, company uuid);
CREATE TABLE doors (id integer PRIMARY KEY, house integer REFERENCES houses, company uuid);
INSERT INTO houses SELECT row_number() OVER (ORDER BY name), "Id" FROM "Companies";
INSERT INTO doors VALUES (1, 1, NULL), (2, 2, NULL);
SELECT migrate('doors', '{"backfill": {"table": "doors", "column": "company", "sources": [{"via": "house"}]}}, {"guard": {"kind": "tenant_key", "table": "doors", "column": "company", "mode": "fill"}}, {"constraint": {"table": "doors", "column": "company", "not_null": true}}');
SELECT outcome, row_count FROM tenantmig.backfill('doors');
SELECT outcome FROM tenantmig.attach_guard('doors');
CALL tenantmig.enforce('doors');
SELECT * FROM last('doors');
INSERT INTO doors VALUES (3, 1, NULL) RETURNING company;
SELECT count(*) FROM tenantmig.drift WHERE migration = 'doors';

-- without proofs
SELECT migrate('silent', '{"constraint": {"table": "houses", "column": "company", "not_null": true}}');
CALL tenantmig.enforce('silent', proofs => false);
SELECT count(*) FROM last('silent');

RESET ROLE;
RESET search_path;
DROP EXTENSION tenantmig CASCADE;
DROP SCHEMA shop CASCADE;
DROP ROLE regress_owner, regress_landlord;
