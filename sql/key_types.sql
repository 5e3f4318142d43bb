-- Keys: every pair of type of the row's key and type of the tenant key, keys of several columns, unique indexes in place of a primary key, names that need quotes.
SET client_min_messages = warning;
DROP SCHEMA IF EXISTS key_types CASCADE;
DROP EXTENSION IF EXISTS tenantmig CASCADE;
CREATE EXTENSION tenantmig;
CREATE SCHEMA key_types;
SET search_path = key_types;

-- A value of a type, from a number: extreme ones and awkward ones among them.
CREATE FUNCTION value(type text, n integer) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE type
    WHEN 'number' THEN CASE n WHEN 1 THEN '-2147483648' WHEN 2 THEN '65540' ELSE n::text END
    WHEN 'big' THEN CASE n WHEN 1 THEN '-9223372036854775808' WHEN 2 THEN '4294967300' ELSE n::text END
    WHEN 'smallint' THEN CASE n WHEN 1 THEN '-32768' WHEN 2 THEN '32767' WHEN 3 THEN '0' ELSE n::text END
    WHEN 'integer' THEN CASE n WHEN 1 THEN '-2147483648' WHEN 2 THEN '2147483647' WHEN 3 THEN '0' ELSE n::text END
    WHEN 'bigint' THEN CASE n WHEN 1 THEN '-9223372036854775808' WHEN 2 THEN '9223372036854775807' WHEN 3 THEN '0' ELSE n::text END
    WHEN 'uuid' THEN CASE n WHEN 1 THEN '00000000-0000-0000-0000-000000000000' WHEN 2 THEN 'ffffffff-ffff-ffff-ffff-ffffffffffff' ELSE md5(n::text)::uuid::text END
    ELSE (ARRAY['', 'NULL', 'it''s "x"', E'two\nlines', '🦊', '{a,b}', 'back\slash', ' blank ', 'ÄÖ', '%s'])[n] END
$$;
-- Makes the tables, runs, and compares with plain SQL; undoes and compares again. What is not as it must be is returned; nothing is.
CREATE FUNCTION try(key_type text, tenant_type text, root_type text DEFAULT NULL) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  wrong text; reported bigint; root text := coalesce(root_type, tenant_type);
BEGIN
  EXECUTE format('CREATE TABLE tenants (id %s PRIMARY KEY)', root);
  EXECUTE format('CREATE TABLE parents (id %s PRIMARY KEY, tenant_id %s)', key_type, tenant_type);
  EXECUTE format('CREATE TABLE rows (id %s PRIMARY KEY, tenant_id %s, parent %1$s REFERENCES parents)', key_type, tenant_type);
  EXECUTE format('CREATE TABLE children (row_id %s REFERENCES rows, tenant_id %s)', key_type, tenant_type);
  EXECUTE format('INSERT INTO tenants SELECT value(%L, n)::%s FROM generate_series(1, 9) n', tenant_type, root);
  EXECUTE format('INSERT INTO parents SELECT value(%L, n)::%s, value(%L, n)::%s FROM generate_series(6, 10) n', key_type, key_type, tenant_type, tenant_type);
  EXECUTE format('INSERT INTO rows SELECT value(%L, n)::%s, NULL, CASE WHEN n > 5 THEN value(%1$L, n)::%2$s END FROM generate_series(1, 10) n', key_type, key_type);
  EXECUTE format('INSERT INTO children SELECT value(%L, n)::%s, value(%L, n)::%s FROM generate_series(1, 5) n', key_type, key_type, tenant_type, tenant_type);
  EXECUTE format('INSERT INTO children VALUES (value(%L, 4)::%s, value(%L, 5)::%s)', key_type, key_type, tenant_type, tenant_type); -- 4: a conflict; 10: unknown
  PERFORM tenantmig.create_migration('{"migration": "m", "tenants": {"table": "tenants"}, "steps": [{"backfill": {"table": "rows", "column": "tenant_id",
    "sources": [{"via": "children.row_id"}, {"via": "parent"}]}}]}');
  PERFORM tenantmig.backfill('m');
  EXECUTE format('SELECT string_agg(format(''row %%s is %%s, not %%s'', r.id, r.tenant_id, w.tenant_id), ''; '') FROM rows r JOIN (SELECT value(%L, n)::%s AS id,
    CASE WHEN n NOT IN (4, 10) THEN value(%L, n)::%s END AS tenant_id FROM generate_series(1, 10) n) w USING (id) WHERE r.tenant_id IS DISTINCT FROM w.tenant_id',
    key_type, key_type, tenant_type, tenant_type) INTO wrong;
  -- the change log in text form says the same, and so does the queue
  EXECUTE 'SELECT count(*) FROM tenantmig.changes c JOIN rows r ON r.id::text = c.row_key ->> ''id'' AND r.tenant_id::text = c.new_value' INTO reported;
  wrong := concat_ws('; ', wrong, CASE WHEN reported <> 8 THEN reported || ' rows in the log' END);
  EXECUTE format('SELECT count(*) FROM tenantmig.review(''m'') WHERE (class, row_key ->> ''id'') IN ((''conflict'', value(%L, 4)), (''unknown_tenant'', value(%1$L, 10)))', key_type) INTO reported;
  wrong := concat_ws('; ', wrong, CASE WHEN reported <> 2 THEN reported || ' rows in the queue' END,
    (SELECT string_agg(check_name || ' ' || actual, ', ') FROM tenantmig.verify('m') WHERE status = 'FAIL'));
  -- the conflict is decided, all is undone
  PERFORM tenantmig.resolve((SELECT id FROM tenantmig.review('m') WHERE class = 'conflict'), value(tenant_type, 2));
  EXECUTE format('SELECT count(*) FROM rows WHERE id = value(%L, 4)::%s AND tenant_id = value(%L, 2)::%s', key_type, key_type, tenant_type, tenant_type) INTO reported;
  PERFORM tenantmig.rollback((SELECT max(id) FROM tenantmig.runs));
  wrong := concat_ws('; ', wrong, CASE WHEN reported <> 1 THEN 'not resolved' END, (SELECT 'undone: ' || count(*) FROM rows WHERE tenant_id IS NOT NULL HAVING count(*) > 0));
  PERFORM tenantmig.drop_migration('m');
  DROP TABLE children, rows, parents, tenants;
  RETURN wrong;
END $$;
SELECT k AS key, t AS tenant_key, try(k, t) AS wrong FROM unnest('{smallint,integer,bigint,uuid,text,varchar}'::text[]) k, unnest('{smallint,integer,bigint,uuid,text,varchar(40)}'::text[]) t;
-- integers of different width are comparable, and so are text and varchar; a domain is what it stands on
SELECT try('integer', 'smallint', 'bigint') AS smaller, try('bigint', 'integer', 'bigint') AS larger;
CREATE DOMAIN code AS text CHECK (length(VALUE) < 50);
CREATE DOMAIN number AS integer CHECK (VALUE <> 13);
SELECT try('text', 'varchar', 'text') AS text_to_varchar, try('varchar', 'text', 'varchar') AS varchar_to_text;
CREATE DOMAIN big AS bigint;
SELECT try('code', 'text') AS domain_key, try('integer', 'integer', 'number') AS domain_root;
SELECT k AS key, t AS tenant_key, try(k, t) AS wrong FROM unnest('{number,big,code}'::text[]) k, unnest('{number,big,code}'::text[]) t;
-- two keys whose low bits are the same are two keys
CREATE TABLE tenants (id big PRIMARY KEY);
CREATE TABLE wide (id big PRIMARY KEY, tenant_id big);
CREATE TABLE of_wide (wide_id big, tenant_id big);
INSERT INTO tenants SELECT n FROM unnest('{1,65537,4294967297,-9223372036854775807}'::bigint[]) n;
INSERT INTO wide SELECT id FROM tenants;
INSERT INTO of_wide SELECT id, id FROM tenants;
SELECT outcome, row_count FROM tenantmig.backfill('wide', 'tenant_id', 'tenants', sources => '[{"via": "of_wide.wide_id"}]');
SELECT * FROM wide ORDER BY id;
DROP TABLE of_wide, wide, tenants;

-- Keys of several columns, and foreign keys of several columns.
CREATE TABLE companies (id integer PRIMARY KEY);
INSERT INTO companies VALUES (1), (2), (3);
CREATE TABLE lines (doc text, line integer, company_id integer, branch integer, floor integer, PRIMARY KEY (doc, line));
CREATE TABLE branches (branch integer, floor integer, company_id integer, PRIMARY KEY (branch, floor));
ALTER TABLE lines ADD FOREIGN KEY (branch, floor) REFERENCES branches;
ALTER TABLE lines ADD UNIQUE (line, doc);
CREATE TABLE parts (id integer PRIMARY KEY, doc text, line integer, company_id integer, FOREIGN KEY (line, doc) REFERENCES lines (line, doc));
INSERT INTO branches VALUES (1, 1, 1), (1, 2, 2);
INSERT INTO lines (doc, line, branch, floor) VALUES ('a', 1, NULL, NULL), ('a', 2, NULL, 1), ('b', 1, NULL, NULL), ('x, "y"', 1, NULL, NULL), ('{z}', 2, NULL, NULL), ('{z}', 3, 1, 1),
  ('{z}', 4, 1, NULL), ('', 1, 1, 2);
INSERT INTO parts VALUES (1, 'a', 1, 1), (2, 'a', 2, 2), (3, 'b', 1, 3), (4, 'b', 1, 3), (5, 'x, "y"', 1, 2), (6, '{z}', 2, 1), (7, '{z}', 2, 3), (8, 'a', NULL, 3), (9, NULL, 1, 3);
SELECT source, tenant_column, note FROM tenantmig.check_migration('{"migration": "several", "tenants": {"table": "companies"}, "steps": [{"backfill": {"table": "lines", "column": "company_id",
  "sources": [{"via": "parts.doc"}, {"via": "branch"}]}}]}');
SELECT * FROM tenantmig.backfill('lines', 'company_id', 'companies', sources => '[{"via": "parts.doc"}, {"via": "floor"}]');
SELECT l.doc, l.line, l.company_id, (SELECT array_agg(DISTINCT p.company_id) FROM parts p WHERE (p.doc, p.line) = (l.doc, l.line)) AS parts,
  (SELECT b.company_id FROM branches b WHERE (b.branch, b.floor) = (l.branch, l.floor)) AS branch FROM lines l ORDER BY doc COLLATE "C", line;
SELECT row_key, new_value, source FROM tenantmig.changes ORDER BY row_key;
SELECT row_key, class FROM tenantmig.review('lines.company_id') ORDER BY row_key;
SELECT row_key, tenant FROM tenantmig.resolve((SELECT id FROM tenantmig.review('lines.company_id') WHERE class = 'conflict'), '3');
SELECT check_name, status FROM tenantmig.verify('lines.company_id') WHERE status <> 'PASS';
SELECT relation, outcome, row_count FROM tenantmig.rollback((SELECT max(id) FROM tenantmig.runs));
SELECT count(company_id) FROM lines;

-- Without a primary key: a unique index over NOT NULL columns, the narrowest one; never a partial one, one of expressions or one that is not valid.
CREATE TABLE loose (a integer NOT NULL, b integer NOT NULL, c text NOT NULL, d integer, company_id integer);
CREATE UNIQUE INDEX ON loose (d);
CREATE UNIQUE INDEX ON loose ((a + 0));
CREATE UNIQUE INDEX ON loose (a) WHERE a > 0;
CREATE UNIQUE INDEX ON loose (a, b, c);
CREATE TABLE of_loose (a integer, company_id integer);
SELECT note FROM tenantmig.check_migration('{"migration": "loose", "tenants": {"table": "companies"}, "steps": [{"backfill": {"table": "loose", "column": "company_id",
  "sources": [{"via": "b", "type_column": "c", "types": {"x": "companies"}}]}}]}');
CREATE UNIQUE INDEX ON loose (c) INCLUDE (a, b);
ALTER TABLE loose REPLICA IDENTITY FULL;
INSERT INTO loose SELECT n, n % 4, 'row ' || n, n FROM generate_series(1, 12) n;
UPDATE loose SET c = 'x' WHERE a = 1;
SELECT * FROM tenantmig.backfill('loose', 'company_id', 'companies', sources => '[{"via": "b", "type_column": "c", "types": {"x": "companies"}}]', conditions => '{"a": [1, 2]}');
SELECT row_key, new_value FROM tenantmig.changes WHERE relation LIKE '%loose';
SELECT outcome, row_count FROM tenantmig.rollback((SELECT max(id) FROM tenantmig.runs));

-- Names: reserved words, capitals, blanks, dots, quotes, percent signs, emoji, newlines, 63 bytes. The one-line form and the spec take them, and say them as SQL does.
CREATE TABLE "select" ("Group" integer PRIMARY KEY);
CREATE TABLE "My ""Table"".x" ("a.b" integer PRIMARY KEY, "Owner id" integer REFERENCES "select", "order" integer, "100 %s" text);
CREATE TABLE "🦊" ("a
b" integer PRIMARY KEY, "My ""key""" integer REFERENCES "My ""Table"".x", "Owner id" integer);
CREATE TABLE a23456789_b23456789_c23456789_d23456789_e23456789_f23456789_xyz ("order" integer PRIMARY KEY, "Owner id" integer);
ALTER TABLE "My ""Table"".x" ADD FOREIGN KEY ("order") REFERENCES a23456789_b23456789_c23456789_d23456789_e23456789_f23456789_xyz;
INSERT INTO "select" VALUES (1), (2);
INSERT INTO a23456789_b23456789_c23456789_d23456789_e23456789_f23456789_xyz VALUES (1, 2);
INSERT INTO "My ""Table"".x" VALUES (1, NULL, NULL, 'x'), (2, NULL, 1, 'x'), (3, NULL, NULL, 'y'), (4, NULL, NULL, '100 %s');
INSERT INTO "🦊" VALUES (1, 1, 1), (2, 2, 2), (3, 3, 1), (4, 3, 2);
SELECT * FROM tenantmig.backfill('"My ""Table"".x"', 'Owner id', conditions => '{"\"100 %s\"": ["x", "y"]}');
SELECT * FROM "My ""Table"".x" ORDER BY 1;
SELECT migration, spec #> '{steps,0,backfill,sources}' AS sources FROM tenantmig.migrations WHERE migration LIKE 'My%';
SELECT relation, row_key, column_name, new_value, source FROM tenantmig.changes WHERE relation LIKE '%My%' ORDER BY new_value;
SELECT row_key, class, candidates FROM tenantmig.review('My "Table".x.Owner id');
SELECT count(*) AS checks, count(*) FILTER (WHERE status = 'FAIL') AS failed FROM tenantmig.verify('My "Table".x.Owner id');
SELECT row_key, tenant FROM tenantmig.resolve((SELECT id FROM tenantmig.review('My "Table".x.Owner id')), '2');
SELECT * FROM tenantmig.rollback((SELECT max(id) FROM tenantmig.runs));
SELECT count("Owner id") FROM "My ""Table"".x";
SELECT source, tenant_column, note FROM tenantmig.check_migration('{"migration": "names", "tenants": {"table": "\"select\"", "key": "\"Group\""}, "steps": [{"backfill": {
  "table": "key_types.\"My \"\"Table\"\".x\"", "column": "\"Owner id\"", "sources": [{"via": "\"🦊\".\"My \"\"key\"\"\"", "tenant": "\"Owner id\""}, {"via": "\"order\""}]}}]}');

DROP SCHEMA key_types CASCADE;
DROP EXTENSION tenantmig;
