-- probe_isolation: what the catalogue says of the role: which roles it can become, which rights get around the policies, which
-- functions run above them. Nothing of that is executed.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS tenantmig;
CREATE ROLE "Pr owner";
CREATE ROLE "Pr app";
CREATE ROLE pr_super; -- sees all tenants
CREATE ROLE pr_group;
CREATE SCHEMA "PR x" AUTHORIZATION "Pr owner";
GRANT USAGE ON SCHEMA "PR x" TO "Pr app", pr_super, pr_group;
SET search_path = "PR x";
SET ROLE "Pr owner";
CREATE TABLE companies (id integer PRIMARY KEY);
INSERT INTO companies VALUES (1), (2), (3);
CREATE TABLE "Or""ders" (tenant integer NOT NULL REFERENCES companies, id integer NOT NULL, note text, PRIMARY KEY (tenant, id));
CREATE TABLE items (tenant integer NOT NULL REFERENCES companies, id integer NOT NULL, year integer NOT NULL, PRIMARY KEY (tenant, id, year)) PARTITION BY LIST (year);
CREATE TABLE items_2026 PARTITION OF items FOR VALUES IN (2026);
CREATE TABLE shared (rate numeric);
INSERT INTO "Or""ders" SELECT 1 + n % 3, n, 'n' FROM generate_series(1, 9) n;
INSERT INTO items SELECT 1 + n % 3, n, 2026 FROM generate_series(1, 9) n;
CREATE FUNCTION isolate(name regclass) RETURNS void LANGUAGE plpgsql AS $f$
BEGIN
  EXECUTE format('CREATE POLICY tenant ON %s USING (tenant = (SELECT nullif(current_setting(''tenantmig.tenant'', true), '''')::integer))', name);
  EXECUTE format('CREATE POLICY super ON %s TO pr_super USING (true)', name);
  EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', name);
END $f$;
SELECT FROM unnest('{"\"Or\"\"ders\"",items,items_2026}'::text[]) t, isolate(t::regclass);
GRANT SELECT, INSERT, UPDATE, DELETE ON "Or""ders", items TO "Pr app", pr_super;
GRANT SELECT ON shared TO "Pr app";
RESET ROLE;

PREPARE probe (text) AS
  SELECT relation, attack, tenant, victim, seen, status
  FROM tenantmig.probe_isolation(role => '"Pr app"', tenant_root => 'companies', tables => '{"\"Or\"\"ders\"",items}')
  WHERE attack IN ('bypassrls', 'createrole', 'replication', 'member', 'set_role', 'owner', 'truncate', 'references', 'trigger', 'schema', 'definer_function') AND concat(attack, ' ', relation) ~ $1;
PREPARE findings (text) AS
  SELECT relation, attack, tenant, victim, seen, status, remedy
  FROM tenantmig.probe_isolation(role => '"Pr app"', tenant_root => 'companies', tables => '{"\"Or\"\"ders\"",items}')
  WHERE attack IN ('bypassrls', 'createrole', 'replication', 'member', 'set_role', 'owner', 'truncate', 'references', 'trigger', 'schema', 'definer_function') AND status <> 'PASS' AND concat(attack, ' ', relation) ~ $1;

-- Clean.
EXECUTE probe('');

-- Attributes of the role.
ALTER ROLE "Pr app" BYPASSRLS CREATEROLE REPLICATION;
CREATE PUBLICATION "Pr feed" FOR TABLE "Or""ders";
EXECUTE findings('');
SET ROLE "Pr app";
SET tenantmig.tenant = '1';
SELECT count(*) FILTER (WHERE tenant <> 1) AS others FROM "Or""ders";
RESET ROLE;
ALTER ROLE "Pr app" NOBYPASSRLS NOCREATEROLE NOREPLICATION;
EXECUTE probe('^(replication|bypassrls|createrole)');
DROP PUBLICATION "Pr feed";

-- Members of the owner, of who sees all, of a superuser, of a role of the server's files; through a role in between, too.
GRANT "Pr owner" TO pr_group;
GRANT pr_group TO "Pr app";
EXECUTE findings('');
REVOKE "Pr owner" FROM pr_group;
GRANT pr_super TO pr_group;
ALTER ROLE "Pr app" NOINHERIT;
EXECUTE findings('');
SET ROLE "Pr app";
SET ROLE pr_super;
SELECT count(*) FILTER (WHERE tenant <> 1) AS others FROM "Or""ders";
RESET ROLE;
ALTER ROLE "Pr app" INHERIT;
REVOKE pr_super FROM pr_group;
EXECUTE probe('^(member|set_role)');
REVOKE pr_group FROM "Pr app";
CREATE ROLE pr_root SUPERUSER;
GRANT pr_root TO "Pr app";
GRANT pg_read_server_files, pg_read_all_data, pg_monitor TO "Pr app";
EXECUTE probe('^(member|set_role)');
REVOKE pr_root, pg_read_server_files, pg_read_all_data, pg_monitor FROM "Pr app";
-- Whom it may make itself a member of.
GRANT pr_super TO pr_group WITH ADMIN OPTION;
GRANT pr_group TO "Pr app";
EXECUTE probe('^(member|set_role)');
REVOKE pr_group FROM "Pr app";
REVOKE pr_super FROM pr_group;
-- The application as owner, and as owner of the schema.
ALTER TABLE items_2026 OWNER TO "Pr app";
ALTER SCHEMA "PR x" OWNER TO "Pr app";
EXECUTE findings('');
ALTER SCHEMA "PR x" OWNER TO "Pr owner";
ALTER TABLE items_2026 OWNER TO "Pr owner";
GRANT USAGE ON SCHEMA "PR x" TO "Pr app"; -- lost with the owner
GRANT CREATE ON SCHEMA "PR x" TO "Pr app";
EXECUTE findings('');
REVOKE CREATE ON SCHEMA "PR x" FROM "Pr app";

-- TRUNCATE, REFERENCES, TRIGGER: of its own, everybody's, a group's, on a column, on a partition.
SET ROLE "Pr owner";
GRANT TRUNCATE ON items_2026 TO "Pr app", PUBLIC;
GRANT REFERENCES (id) ON "Or""ders" TO pr_group;
GRANT TRIGGER ON items TO "Pr app";
RESET ROLE;
GRANT pr_group TO "Pr app";
EXECUTE findings('^(truncate|references|trigger)');
BEGIN;
SET LOCAL ROLE "Pr app";
TRUNCATE items_2026;
ROLLBACK;
SET ROLE "Pr owner";
REVOKE ALL ON items_2026 FROM PUBLIC, "Pr app";
REVOKE REFERENCES (id) ON "Or""ders" FROM pr_group;
REVOKE TRIGGER ON items FROM "Pr app";
RESET ROLE;
EXECUTE findings('^(truncate|references|trigger)');
REVOKE pr_group FROM "Pr app";

-- Functions with their owner's rights: by text, by dependency, by another function, by a view, in a string, put together.
CREATE VIEW all_orders AS SELECT * FROM "Or""ders";
CREATE FUNCTION by_text() RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path = "PR x" AS 'SELECT count(*) FROM "Or""ders"';
CREATE FUNCTION by_body() RETURNS bigint LANGUAGE sql SECURITY DEFINER BEGIN ATOMIC SELECT count(*) FROM items; END;
CREATE FUNCTION helper() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM "PR x".ITEMS_2026';
CREATE FUNCTION by_function() RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER AS $f$ BEGIN RETURN "PR x".Helper(); END $f$;
CREATE FUNCTION by_view() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'SELECT count(*) FROM "PR x".all_orders';
CREATE FUNCTION by_string() RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER AS $f$ DECLARE n bigint; BEGIN EXECUTE 'SELECT count(*) FROM "PR x".items' INTO n; RETURN n; END $f$;
CREATE PROCEDURE put_together(what text) LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $f$ BEGIN EXECUTE what; END $f$;
-- No finding: a comment, another table, somebody else's, a trigger's, the rights of who asks; owners that policies hold for.
CREATE FUNCTION comment_only() RETURNS integer LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog AS $f$ SELECT 1 /* items */ -- items
$f$;
CREATE FUNCTION other_table() RETURNS numeric LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog AS 'SELECT max(rate) FROM "PR x".shared';
CREATE FUNCTION not_its() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'SELECT count(*) FROM "PR x".items';
REVOKE EXECUTE ON FUNCTION not_its FROM PUBLIC;
CREATE FUNCTION of_trigger() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $f$ BEGIN PERFORM FROM "PR x".items; RETURN NEW; END $f$;
CREATE FUNCTION of_caller() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM "PR x".items';
CREATE FUNCTION under() RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog AS 'SELECT count(*) FROM "PR x".items';
ALTER FUNCTION under() OWNER TO "Pr owner"; -- FORCE holds for it
-- Its search_path is the caller's: a note, and more once the caller can make objects.
CREATE FUNCTION "not Pinned"(a integer, b text[]) RETURNS integer LANGUAGE sql SECURITY DEFINER AS 'SELECT 1';
EXECUTE probe('definer');
EXECUTE findings('by_text|Pinned');
SET ROLE "Pr app";
SELECT by_text(), by_body(), by_function(), by_view(), by_string(), under();
RESET ROLE;
GRANT CREATE ON SCHEMA "PR x" TO "Pr app";
EXECUTE probe('definer.*Pinned');
REVOKE CREATE ON SCHEMA "PR x" FROM "Pr app";
-- The owner of the function is above the policies: without FORCE; as a role that sees all.
ALTER TABLE items NO FORCE ROW LEVEL SECURITY;
EXECUTE probe('definer.*under');
ALTER TABLE items FORCE ROW LEVEL SECURITY;
ALTER FUNCTION under() OWNER TO pr_super;
EXECUTE probe('definer.*under');
-- A function that the role may not call, called by one that it may.
CREATE FUNCTION calls_it() RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog AS 'SELECT "PR x".not_its()';
ALTER FUNCTION calls_it() OWNER TO "Pr owner";
EXECUTE probe('definer.*not_its');

-- A superuser as application: nothing is attempted, and that is said.
SELECT DISTINCT attack, seen, status FROM tenantmig.probe_isolation(role => 'pr_root', tenant_root => 'companies', tables => '{items}') WHERE status = 'FAIL';

-- Who calls must have the role's privileges, and the owner's.
CREATE ROLE pr_other;
GRANT "Pr app" TO pr_other;
GRANT EXECUTE ON FUNCTION tenantmig.probe_isolation TO pr_other;
GRANT USAGE ON SCHEMA tenantmig, "PR x" TO pr_other;
SET ROLE pr_other;
EXECUTE probe('');
\echo :SQLSTATE
RESET ROLE;
-- ... of the owner too: then roles that only the application can become are not tried, and functions not judged by their policies.
GRANT "Pr owner" TO pr_other;
GRANT pr_group TO "Pr app";
GRANT SELECT ON items TO pr_group;
ALTER ROLE "Pr app" NOINHERIT;
SET ROLE pr_other;
EXECUTE probe('^(set_role|definer.*under)');
RESET ROLE;
ALTER ROLE "Pr app" INHERIT;
REVOKE EXECUTE ON FUNCTION tenantmig.probe_isolation FROM pr_other;
REVOKE USAGE ON SCHEMA tenantmig FROM pr_other;
DROP SCHEMA "PR x" CASCADE;
DROP ROLE "Pr owner", "Pr app", pr_super, pr_group, pr_root, pr_other;
DEALLOCATE probe;
DEALLOCATE findings;
RESET tenantmig.tenant;
RESET search_path;
RESET client_min_messages;
