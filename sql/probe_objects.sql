-- probe_isolation: views, materialised views, partitions, inheritance, sequences, statistics, what tenantmig keeps. Row-level security
-- is made by hand; names are hostile, and the schema is in nobody's path.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS tenantmig;
CREATE ROLE po_app;
CREATE ROLE po_boss; -- sees all tenants
CREATE SCHEMA "PO x";
CREATE SCHEMA po_views;
GRANT USAGE ON SCHEMA "PO x", po_views TO po_app, po_boss;
SET search_path = "PO x";
CREATE TABLE companies (id integer PRIMARY KEY);
INSERT INTO companies VALUES (1), (2), (3);
CREATE TABLE shared (rate numeric);
INSERT INTO shared VALUES (19), (20);
CREATE SEQUENCE "Item ids";
CREATE TABLE "It""ems" ("Tenant" integer NOT NULL REFERENCES companies, id integer NOT NULL DEFAULT nextval('"Item ids"'), name text, PRIMARY KEY ("Tenant", id));
CREATE TABLE events ("Tenant" integer NOT NULL REFERENCES companies, id serial, year integer NOT NULL, PRIMARY KEY ("Tenant", id, year)) PARTITION BY LIST (year);
CREATE TABLE "Events 2025" PARTITION OF events FOR VALUES IN (2025);
CREATE TABLE events_2026 PARTITION OF events FOR VALUES IN (2026);
CREATE TABLE events_2027 PARTITION OF events FOR VALUES IN (2027);
CREATE TABLE above ("Tenant" integer, note text);
CREATE TABLE notes () INHERITS (above);
CREATE TABLE old_notes () INHERITS (notes);
INSERT INTO "It""ems" ("Tenant", name) SELECT t, format('item %s of %s', n, t) FROM generate_series(1, 3) t, generate_series(1, 5) n;
INSERT INTO events ("Tenant", year) SELECT t, y FROM generate_series(1, 3) t, generate_series(2025, 2026) y, generate_series(1, 3);
INSERT INTO notes SELECT t, 'note' FROM generate_series(1, 3) t, generate_series(1, 3);
INSERT INTO old_notes VALUES (2, 'old'), (2, 'older'); -- one tenant only
CREATE FUNCTION isolate(name regclass) RETURNS void LANGUAGE plpgsql AS $f$
BEGIN
  EXECUTE format('CREATE POLICY tenant ON %s TO po_app USING ("Tenant" = (SELECT nullif(current_setting(''tenantmig.tenant'', true), '''')::integer))', name);
  EXECUTE format('CREATE POLICY boss ON %s TO po_boss USING (true)', name);
  EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', name);
END $f$;
SELECT FROM unnest('{"\"It\"\"ems\"",events,"\"Events 2025\"",events_2026,events_2027,notes,old_notes}'::text[]) t, isolate(t::regclass);
GRANT SELECT, INSERT, UPDATE, DELETE ON "It""ems", events, notes TO po_app, po_boss;
GRANT SELECT ON shared TO po_app;
GRANT USAGE ON SEQUENCE "Item ids", events_id_seq TO po_app;
ANALYZE;

PREPARE probe (text) AS
  SELECT relation, attack, tenant, victim, seen, status
  FROM tenantmig.probe_isolation(role => 'po_app', tenant_root => 'companies', tables => '{"\"It\"\"ems\"",events,notes}')
  WHERE attack ~ '^(view|materialized|partition|child|parent|sequence|statistics|own_tables)' AND concat(attack, ' ', relation) ~ $1;
PREPARE remedy (text) AS
  SELECT DISTINCT relation, remedy
  FROM tenantmig.probe_isolation(role => 'po_app', tenant_root => 'companies', tables => '{"\"It\"\"ems\"",events,notes}')
  WHERE status = 'FAIL' AND attack ~ '^(view|materialized|partition|child|parent|sequence|statistics|own_tables)' AND concat(attack, ' ', relation) ~ $1;
-- All rows, to be compared at the end.
CREATE FUNCTION digest() RETURNS text LANGUAGE sql AS $f$
  SELECT md5(concat((SELECT string_agg(i::text, ',' ORDER BY i::text) FROM "It""ems" i), (SELECT string_agg(e::text, ',' ORDER BY e::text) FROM events e), (SELECT string_agg(a::text, ',' ORDER BY a::text) FROM above a)))
$f$;
SELECT digest() AS before \gset

-- Clean: the table above the isolated ones, partitions and children are out of reach.
EXECUTE probe('');

-- Partitions, one under policies and two not; one of those is empty.
GRANT SELECT, INSERT, UPDATE ON "Events 2025", events_2026, events_2027 TO po_app;
ALTER TABLE "Events 2025" DISABLE ROW LEVEL SECURITY;
DROP POLICY tenant ON events_2027;
ALTER TABLE events_2027 DISABLE ROW LEVEL SECURITY;
EXECUTE probe('^(partition|statistics)');
EXECUTE remedy('partition .*2025');
SET ROLE po_app;
SET tenantmig.tenant = '1';
SELECT count(*) FILTER (WHERE "Tenant" <> 1) AS others FROM "Events 2025";
SELECT count(*) FILTER (WHERE "Tenant" <> 1) AS others FROM events_2026;
SELECT count(*) > 0 AS statistics FROM pg_stats WHERE tablename = 'Events 2025';
SELECT count(*) > 0 AS statistics FROM pg_stats WHERE tablename = 'events_2026';
RESET ROLE;
ALTER TABLE "Events 2025" ENABLE ROW LEVEL SECURITY;
ALTER TABLE events_2027 ENABLE ROW LEVEL SECURITY;
EXECUTE probe('^partition');
REVOKE ALL ON "Events 2025", events_2026, events_2027 FROM po_app;

-- A child that only one tenant has rows in, and the table above.
GRANT SELECT, DELETE ON old_notes TO po_app;
EXECUTE probe('^(child|parent)');
ALTER TABLE old_notes DISABLE ROW LEVEL SECURITY;
GRANT SELECT (note) ON above TO po_app;
EXECUTE probe('^(child|parent)');
EXECUTE remedy('^(child|parent) ');
SET ROLE po_app;
SELECT count(*) AS old_notes, (SELECT count(note) FROM above) AS above FROM old_notes;
RESET ROLE;
ALTER TABLE old_notes ENABLE ROW LEVEL SECURITY;
REVOKE ALL ON old_notes, above FROM po_app;
REVOKE SELECT (note) ON above FROM po_app;

-- Views. Of those who ask; of the owner, whom no policy holds; over another view; in another schema; of a role that sees all.
CREATE VIEW po_views.asks WITH (security_invoker) AS SELECT * FROM "It""ems";
CREATE VIEW po_views."Owner's" AS SELECT id, name AS "Name" FROM "It""ems";
CREATE VIEW po_views.over AS SELECT "Name" FROM po_views."Owner's";
CREATE VIEW po_views.asks_over WITH (security_invoker) AS SELECT a.id, s.rate FROM po_views.asks a, shared s;
CREATE VIEW po_views.totals AS SELECT count(*) AS items FROM po_views.asks; -- the owner asks
CREATE VIEW po_views.totals_asks WITH (security_invoker) AS SELECT count(*) AS items FROM po_views.asks;
CREATE VIEW po_views.boss AS SELECT * FROM events;
ALTER VIEW po_views.boss OWNER TO po_boss;
CREATE VIEW po_views.same AS SELECT "Tenant", note FROM notes;
ALTER VIEW po_views.same OWNER TO po_app;
CREATE VIEW po_views.rates AS SELECT * FROM shared; -- of no tenant
GRANT SELECT ON ALL TABLES IN SCHEMA po_views TO po_app;
EXECUTE probe('^view');
EXECUTE remedy('Owner');
SET ROLE po_app;
SET tenantmig.tenant = '1';
SELECT (SELECT count(*) FROM po_views.asks) AS asks, (SELECT count(*) FROM po_views."Owner's") AS owners, (SELECT count(*) FROM po_views.over) AS over,
  (SELECT count(*) FROM po_views.asks_over) AS asks_over, (SELECT items FROM po_views.totals) AS totals, (SELECT items FROM po_views.totals_asks) AS totals_asks,
  (SELECT count(*) FROM po_views.boss WHERE "Tenant" <> 1) AS boss, (SELECT count(*) FROM po_views.same WHERE "Tenant" <> 1) AS same;
RESET ROLE;
DROP VIEW po_views.over, po_views."Owner's", po_views.totals, po_views.boss, po_views.same, po_views.rates;
-- Views that ask for the tenant themselves: with a barrier, without, and one that counts everything beside.
CREATE VIEW po_views.barrier WITH (security_barrier) AS SELECT "Tenant", id, name FROM "It""ems" WHERE "Tenant" = nullif(current_setting('tenantmig.tenant', true), '')::integer;
CREATE VIEW po_views.open AS SELECT id, name FROM "It""ems" WHERE "Tenant" = nullif(current_setting('tenantmig.tenant', true), '')::integer;
CREATE VIEW po_views.hidden WITH (security_barrier) AS SELECT id, (SELECT count(*) FROM events) AS all_events FROM "It""ems" WHERE "Tenant" = nullif(current_setting('tenantmig.tenant', true), '')::integer;
GRANT SELECT ON ALL TABLES IN SCHEMA po_views TO po_app;
EXECUTE probe('^view');
-- Under a view of who asks, the table is to be put right.
ALTER TABLE "It""ems" DISABLE ROW LEVEL SECURITY;
EXECUTE probe('^view .*asks');
EXECUTE remedy('^view .*asks');
ALTER TABLE "It""ems" ENABLE ROW LEVEL SECURITY;
-- A view of which the role may read one column only.
CREATE VIEW po_views.some AS SELECT * FROM "It""ems";
GRANT SELECT (id) ON po_views.some TO po_app;
EXECUTE probe('^view .*some');
DROP VIEW po_views.some;
-- Writing through views: past the policies, under them, with a check option, by a trigger.
GRANT INSERT, UPDATE, DELETE ON po_views.asks, po_views.barrier, po_views.open TO po_app;
CREATE VIEW po_views.checked WITH (security_barrier) AS SELECT "Tenant", id, name FROM "It""ems" WHERE "Tenant" = nullif(current_setting('tenantmig.tenant', true), '')::integer WITH CHECK OPTION;
CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN RETURN NULL; END $f$;
CREATE VIEW po_views.triggered WITH (security_invoker) AS SELECT * FROM events;
CREATE TRIGGER nothing INSTEAD OF INSERT ON po_views.triggered FOR EACH ROW EXECUTE FUNCTION nothing();
GRANT SELECT, INSERT, UPDATE ON po_views.checked, po_views.triggered TO po_app;
EXECUTE probe('^view_');
SET ROLE po_app;
SET tenantmig.tenant = '1';
BEGIN;
INSERT INTO po_views.barrier ("Tenant", id, name) VALUES (2, 99, 'not mine');
UPDATE po_views.barrier SET "Tenant" = 2 WHERE id = 1;
ROLLBACK;
INSERT INTO po_views.checked ("Tenant", id, name) VALUES (2, 99, 'not mine');
INSERT INTO po_views.asks ("Tenant", id, name) VALUES (2, 99, 'not mine');
RESET ROLE;
DROP SCHEMA po_views CASCADE;

-- Materialised views hold rows of all, also below a view of those who ask.
CREATE MATERIALIZED VIEW per_tenant AS SELECT "Tenant", count(*) FROM events GROUP BY "Tenant";
CREATE MATERIALIZED VIEW names AS SELECT name FROM "It""ems";
CREATE MATERIALIZED VIEW empty AS SELECT * FROM notes WITH NO DATA;
CREATE MATERIALIZED VIEW kept AS SELECT * FROM notes; -- nobody may read it
CREATE VIEW over_names AS SELECT name FROM names;
GRANT SELECT ON per_tenant, names, empty, over_names TO po_app;
EXECUTE probe('^(view|mat)');
EXECUTE remedy('per_tenant');
DROP MATERIALIZED VIEW per_tenant, names, empty, kept CASCADE;

-- Sequences: of a default, of a serial column.
GRANT SELECT ON SEQUENCE "Item ids" TO po_app;
GRANT UPDATE ON SEQUENCE events_id_seq TO po_app;
EXECUTE probe('^sequence');
EXECUTE remedy('^sequence');
SET ROLE po_app;
SELECT last_value FROM "Item ids";
RESET ROLE;
REVOKE ALL ON SEQUENCE "Item ids", events_id_seq FROM po_app;

-- Statistics: a table that is not under policies; extended ones; the catalogue itself.
ALTER TABLE "It""ems" DISABLE ROW LEVEL SECURITY;
CREATE STATISTICS item_names (mcv) ON "Tenant", name FROM "It""ems";
GRANT SELECT ON pg_statistic TO po_app;
EXECUTE probe('^statistics');
EXECUTE remedy('^statistics');
REVOKE SELECT ON pg_statistic FROM po_app;
ALTER TABLE "It""ems" ENABLE ROW LEVEL SECURITY;

-- What tenantmig keeps, through a role in between.
CREATE ROLE po_watchers;
GRANT po_watchers TO po_app;
SELECT FROM tenantmig.grant_access('po_watchers', 'viewer');
SELECT relation, attack, seen <> '' AS seen, status, remedy FROM tenantmig.probe_isolation(role => 'po_app', tenant_root => 'companies', tables => '{events}') WHERE attack = 'own_tables';
DROP OWNED BY po_watchers;
EXECUTE probe('^own_tables');
GRANT pg_read_all_data TO po_app;
EXECUTE remedy('own_tables');
REVOKE pg_read_all_data FROM po_app;

-- Nothing has been changed by any of it.
SELECT digest() = :'before' AS undone;
DROP SCHEMA "PO x" CASCADE;
DROP ROLE po_app, po_boss, po_watchers;
DEALLOCATE probe;
DEALLOCATE remedy;
RESET tenantmig.tenant;
RESET search_path;
RESET client_min_messages;
