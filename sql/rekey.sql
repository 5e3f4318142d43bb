-- rekey: shapes of tables and keys. Each is taken up, compared with plain SQL, and taken back: catalogue by name and rows have to be as before.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA rekeyed;
SET search_path = rekeyed;
CREATE FUNCTION shape() RETURNS text LANGUAGE sql AS $$
  SELECT md5(string_agg(line, E'\n' ORDER BY line)) FROM (
    SELECT format('%s %s %s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid), convalidated, obj_description(oid, 'pg_constraint')) AS line
      FROM pg_constraint WHERE connamespace = 'rekeyed'::regnamespace
    UNION ALL SELECT format('%s.%s %s %s %s %s %s', attrelid::regclass, attname, format_type(atttypid, atttypmod), attnotnull, attacl, pg_get_expr(adbin, adrelid), col_description(attrelid, attnum))
      FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum JOIN pg_class c ON c.oid = attrelid
      WHERE c.relnamespace = 'rekeyed'::regnamespace AND c.relkind = 'r' AND attnum > 0 AND NOT attisdropped
    UNION ALL SELECT format('%s %s', pg_get_indexdef(indexrelid), indisvalid) FROM pg_index JOIN pg_class c ON c.oid = indexrelid WHERE c.relnamespace = 'rekeyed'::regnamespace
    UNION ALL SELECT format('%s %s', tgrelid::regclass, pg_get_triggerdef(oid)) FROM pg_trigger WHERE NOT tgisinternal AND tgrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'rekeyed'::regnamespace)) x $$;
CREATE FUNCTION keys(of name) RETURNS TABLE (relation text, definition text) LANGUAGE sql AS $$
  SELECT conrelid::regclass::text, conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'rekeyed'::regnamespace AND conrelid::regclass::text ~ of ORDER BY 1, 2 $$;

-- ---- unique within an organisation only: refused without within, composite with it
CREATE TABLE wi_domains (domain_id integer PRIMARY KEY, organization_id integer NOT NULL, name text NOT NULL);
CREATE TABLE wi_scopes (id integer PRIMARY KEY, organization_id integer NOT NULL, domain_id bigint NOT NULL REFERENCES wi_domains ON DELETE CASCADE, UNIQUE (domain_id, id));
INSERT INTO wi_domains SELECT n, n % 2, 'd' || n / 2 FROM generate_series(0, 9) n;
INSERT INTO wi_scopes SELECT n, n % 2, n % 10 FROM generate_series(1, 100) n;
SELECT tenantmig.create_migration('{"migration": "plain", "tenants": {"table": "wi_domains"}, "steps": [{"rekey": {"from": {"table": "wi_domains", "id": "domain_id", "key": "name"}, "column": "domain", "tables": ["wi_scopes"]}}]}');
CALL tenantmig.up('plain');
\echo :SQLSTATE
SELECT tenantmig.drop_migration('plain', true);
SELECT tenantmig.create_migration('{"migration": "within", "tenants": {"table": "wi_domains"}, "steps": [{"rekey": {"from": {"table": "wi_domains", "id": "domain_id", "key": "name"}, "column": "domain", "tables": ["wi_scopes"], "within": ["organization_id"]}}]}');
SELECT shape() AS before \gset
UPDATE wi_scopes SET organization_id = 7 WHERE id IN (3, 4);
CALL tenantmig.up('within');
\echo :SQLSTATE
UPDATE wi_scopes SET organization_id = id % 2 WHERE id IN (3, 4);
CALL tenantmig.up('within');
SELECT * FROM keys('^wi_');
SELECT count(*) FROM wi_scopes s JOIN wi_domains d USING (domain_id) WHERE s.domain IS DISTINCT FROM d.name;
INSERT INTO wi_scopes (id, organization_id, domain) VALUES (101, 1, 'd2'), (102, 0, 'd2') RETURNING id, domain_id;
INSERT INTO wi_scopes (id, organization_id, domain_id) VALUES (103, 1, 5) RETURNING domain;
INSERT INTO wi_scopes (id, organization_id, domain_id) VALUES (104, 0, 5);
\echo :SQLSTATE
DELETE FROM wi_scopes WHERE id > 100;
CALL tenantmig.down('within');
SELECT shape() = :'before' AS exactly_back;
DROP TABLE wi_scopes, wi_domains;

-- ---- the new key has its name already; the old one is unique without being the primary key; names in capital letters; a name that is an attack
CREATE TABLE "Roots" ("Id" bigint PRIMARY KEY, "Number" bigint NOT NULL UNIQUE, "Key" varchar(20) NOT NULL UNIQUE);
CREATE TABLE "O'Brien; --" ("Row" integer, "Number" bigint NOT NULL REFERENCES "Roots" ("Number"), "dot.ted" bigint, PRIMARY KEY ("Number", "Row"));
CREATE TABLE "Child" (id integer PRIMARY KEY, "Number" bigint NOT NULL, "Row" integer NOT NULL, FOREIGN KEY ("Number", "Row") REFERENCES "O'Brien; --" ON DELETE CASCADE);
INSERT INTO "Roots" SELECT n, n * 10, 'k' || n FROM generate_series(1, 5) n;
INSERT INTO "O'Brien; --" SELECT n, (1 + n % 5) * 10, n FROM generate_series(1, 50) n;
INSERT INTO "Child" SELECT n, (1 + n % 5) * 10, n FROM generate_series(1, 50) n;
SELECT shape() AS before \gset
SELECT tenantmig.create_migration('{"migration": "odd", "tenants": {"table": "\"Roots\""}, "steps": [{"rekey": {"from": {"table": "\"Roots\"", "id": "\"Number\"", "key": "\"Key\""}, "column": "\"Key\"", "tables": ["\"O''Brien; --\"", "\"Child\""]}}]}');
CALL tenantmig.up('odd');
SELECT * FROM keys('.');
SELECT count(*) FROM "Child" c JOIN "O'Brien; --" o USING ("Key", "Row") JOIN "Roots" r USING ("Key") WHERE c."Number" = r."Number" AND o."Number" = r."Number";
SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = '"Child"'::regclass AND attnum > 0;
UPDATE "Roots" SET "Key" = 'other' WHERE "Id" = 1;
\echo :SQLSTATE
CALL tenantmig.down('odd');
SELECT shape() = :'before' AS exactly_back;
DROP TABLE "Child", "O'Brien; --", "Roots";

-- ---- embedded: bigint ids with a sequence, references from the table itself and from one that has no tenant key; another owner
CREATE ROLE rekey_owner;
GRANT USAGE, CREATE ON SCHEMA rekeyed TO rekey_owner;
CREATE TABLE em_roots (id integer PRIMARY KEY, slug text NOT NULL);
CREATE TABLE em_nodes (node bigserial PRIMARY KEY, root integer NOT NULL REFERENCES em_roots, parent bigint REFERENCES em_nodes ON DELETE SET NULL, name text, UNIQUE (root, name));
CREATE TABLE em_notes (node bigint PRIMARY KEY REFERENCES em_nodes ON UPDATE CASCADE DEFERRABLE INITIALLY DEFERRED, note text);
ALTER TABLE em_roots OWNER TO rekey_owner;
ALTER TABLE em_nodes OWNER TO rekey_owner;
ALTER TABLE em_notes OWNER TO rekey_owner;
INSERT INTO em_roots VALUES (1, 'a'), (2, 'b');
INSERT INTO em_nodes (root, parent, name) SELECT 1 + n % 2, CASE WHEN n > 2 THEN n - 2 END, 'n' || n FROM generate_series(1, 60) n;
INSERT INTO em_notes SELECT node, 'note' FROM em_nodes WHERE node % 3 = 0;
SELECT shape() AS before \gset
SELECT md5(string_agg(n::text, '' ORDER BY node)) AS rows FROM em_nodes n \gset
SELECT tenantmig.create_migration('{"migration": "embed", "tenants": {"table": "em_roots"}, "steps": [{"rekey": {"from": {"table": "em_roots", "id": "id", "key": "slug"}, "column": "tenant", "tables": [{"table": "em_nodes", "via": "root"}],
  "embed": [{"table": "em_nodes", "column": "node", "separator": ":"}]}}]}');
CALL tenantmig.up('embed', workers => 2);
SELECT * FROM keys('^em_');
SELECT node, root, tenant, parent, node_old, parent_old FROM em_nodes WHERE name IN ('n1', 'n4') ORDER BY 1;
SELECT count(*) FROM em_notes o JOIN em_nodes n USING (node) WHERE o.node_old = n.node_old;
SELECT count(*), min(new_id) FROM em_nodes_node_map;
INSERT INTO em_nodes (node, tenant, parent, name) VALUES ('a:x', 'a', 'a:2', 'x'), ('a:1000', 'a', 'a:2', 'thousand') RETURNING node, root, parent, node_old, parent_old;
CALL tenantmig.down('embed');
\echo :SQLSTATE
DELETE FROM em_nodes WHERE node = 'a:x';
CALL tenantmig.up('embed');
CALL tenantmig.down('embed');
SELECT * FROM em_nodes WHERE name = 'thousand';
DELETE FROM em_nodes WHERE name = 'thousand';
SELECT shape() = :'before' AS exactly_back, (SELECT md5(string_agg(n::text, '' ORDER BY node)) FROM em_nodes n) = :'rows' AS same_rows;
SELECT kind, action, outcome FROM tenantmig.step_log WHERE migration_id = (SELECT id FROM tenantmig.migration WHERE name = 'embed') ORDER BY id;
DROP SCHEMA rekeyed CASCADE;
DROP ROLE rekey_owner;
SELECT tenantmig.drop_migration(m, true) FROM unnest(ARRAY['within', 'odd', 'embed']) m;
RESET search_path;
RESET client_min_messages;
