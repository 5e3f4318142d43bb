-- lint: for every check a table that fails it, and nothing else that does.
\pset null -
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tenantmig CASCADE;
CREATE EXTENSION tenantmig;
CREATE SCHEMA lint_shop;
SET search_path = lint_shop;
CREATE FUNCTION shown(text) RETURNS text LANGUAGE sql AS $$SELECT replace($1, 'lint_shop.', '')$$;
CREATE FUNCTION found(root text, VARIADIC checks text[]) RETURNS TABLE (severity text, check_name text, object text, detail text, remedy text) LANGUAGE sql AS
  $$SELECT l.severity, l.check_name, lint_shop.shown(l.object), lint_shop.shown(l.detail), lint_shop.shown(l.remedy) FROM tenantmig.lint(root) l WHERE l.check_name = ANY (checks) OR l.check_name LIKE ANY (checks)$$;
\pset format unaligned
CREATE TABLE companies (id integer PRIMARY KEY);
INSERT INTO companies VALUES (1), (2), (3);
-- most tenant keys cascade, so that others stand out
CREATE TABLE branches (id integer PRIMARY KEY, company_id integer NOT NULL REFERENCES companies ON DELETE CASCADE, UNIQUE (company_id, id));
CREATE TABLE staff (id integer PRIMARY KEY, company_id integer NOT NULL REFERENCES companies ON DELETE CASCADE, UNIQUE (company_id, id));
CREATE TABLE services (id integer PRIMARY KEY, company_id integer NOT NULL REFERENCES companies ON DELETE CASCADE, UNIQUE (company_id, id));
INSERT INTO branches VALUES (1, 1), (2, 2);
INSERT INTO staff VALUES (1, 1), (2, 2);
\echo nothing is wrong with these
SELECT * FROM tenantmig.lint('companies');

\echo === tables
CREATE TABLE visits (id integer PRIMARY KEY, branch_id integer REFERENCES branches ON DELETE CASCADE);
CREATE INDEX ON visits (branch_id);
CREATE TABLE countries (code text PRIMARY KEY);
CREATE TABLE transfers (id integer PRIMARY KEY, from_company integer REFERENCES companies, to_company integer REFERENCES companies);
CREATE TABLE heap (company_id integer NOT NULL REFERENCES companies ON DELETE CASCADE);
CREATE INDEX ON heap (company_id);
CREATE UNLOGGED TABLE cache (id integer PRIMARY KEY, company_id integer NOT NULL REFERENCES companies ON DELETE CASCADE);
CREATE INDEX ON cache (company_id);
ALTER TABLE cache REPLICA IDENTITY NOTHING;
CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER note AFTER INSERT ON cache FOR EACH ROW EXECUTE FUNCTION nothing();
ALTER TABLE cache DISABLE TRIGGER note;
SELECT trigger_name IS NOT NULL AS attached FROM tenantmig.attach_guard(relation => 'cache', column_name => 'company_id', kind => 'immutable');
DO $$DECLARE t name; BEGIN SELECT tgname INTO t FROM pg_trigger WHERE tgrelid = 'cache'::regclass AND tgname LIKE '%guard%'; EXECUTE format('ALTER TABLE cache DISABLE TRIGGER %I', t); END$$;
SELECT severity, check_name, regexp_replace(object, '_\d+', '_N') AS object, detail, regexp_replace(remedy, '_\d+', '_N') AS remedy
FROM found('companies', 'tenant_key_missing', 'table_%', 'tenant_key_ambiguous', 'primary_key_missing', 'replica_identity', '%_disabled');
SELECT FROM tenantmig.detach_guard(guard => (SELECT id FROM tenantmig.guard));
SET client_min_messages = error;
CREATE PUBLICATION lint_pub FOR TABLE heap;
SET client_min_messages = warning;
SELECT severity, detail FROM found('companies', 'replica_identity') WHERE object = 'heap';
DROP PUBLICATION lint_pub;
DROP TABLE visits, countries, transfers, heap, cache;

\echo === tenant keys
CREATE TABLE loose (id integer PRIMARY KEY, company_id integer DEFAULT 1);
INSERT INTO loose VALUES (1, 1), (2, NULL), (3, 9), (4, 9);
CREATE TABLE wide (id integer PRIMARY KEY, company_id bigint NOT NULL REFERENCES companies ON DELETE SET NULL);
CREATE TABLE strict (id integer PRIMARY KEY, firm_id integer NOT NULL REFERENCES companies ON DELETE RESTRICT, sold_to integer REFERENCES companies);
CREATE TABLE seconds (id integer PRIMARY KEY, company_id integer NOT NULL REFERENCES companies ON DELETE CASCADE, seller_id integer REFERENCES companies);
CREATE INDEX ON seconds (company_id); CREATE INDEX ON seconds (seller_id);
CREATE TABLE live (id integer PRIMARY KEY, company_id integer REFERENCES companies ON DELETE CASCADE, deleted_at timestamptz, CHECK (company_id IS NOT NULL OR deleted_at IS NOT NULL));
CREATE INDEX ON live (company_id) INCLUDE (deleted_at);
SELECT * FROM found('companies', 'tenant_key%');
ALTER TABLE strict DROP sold_to;
SELECT * FROM found('companies', 'tenant_key%') WHERE object LIKE 'strict%';
DROP TABLE loose, wide, strict, seconds, live;
CREATE TABLE domains (domain text UNIQUE, id integer PRIMARY KEY);
CREATE TABLE scopes (id integer PRIMARY KEY, domain varchar(20) NOT NULL);
CREATE INDEX ON scopes (domain);
SELECT severity, check_name, shown(object), shown(detail), shown(remedy) FROM tenantmig.lint('domains', tenant_key => 'domain') WHERE check_name LIKE 'tenant_%';
DROP TABLE domains, scopes;

\echo === foreign keys
CREATE TABLE orders (id integer PRIMARY KEY, company_id integer NOT NULL REFERENCES companies ON DELETE CASCADE, branch_id integer NOT NULL REFERENCES branches ON DELETE SET NULL,
  staff_id bigint REFERENCES staff ON DELETE SET DEFAULT, service_id integer REFERENCES services ON DELETE RESTRICT, parent_id integer REFERENCES orders, seller_id integer, UNIQUE (company_id, id));
ALTER TABLE orders ADD CONSTRAINT orders_branch_again FOREIGN KEY (branch_id) REFERENCES branches;
ALTER TABLE orders ADD CONSTRAINT orders_same_staff FOREIGN KEY (company_id, seller_id) REFERENCES staff (company_id, id) ON DELETE SET NULL;
CREATE TABLE bills (id integer PRIMARY KEY, company_id integer REFERENCES companies ON DELETE CASCADE, order_id integer, staff_id integer, branch_id integer);
ALTER TABLE bills ADD CONSTRAINT bills_order FOREIGN KEY (company_id, order_id) REFERENCES orders (company_id, id) ON DELETE CASCADE;
CREATE INDEX ON bills (company_id, staff_id);
INSERT INTO orders (id, company_id, branch_id, staff_id, parent_id) VALUES (1, 1, 1, 1, NULL), (2, 1, 2, 2, 3), (3, 1, 1, 1, 2), (4, 1, 1, NULL, 3), (5, 1, 1, NULL, 1);
INSERT INTO bills VALUES (1, 1, 1, 77, 1), (2, 1, 1, 78, 2);
ALTER TABLE bills ADD CONSTRAINT bills_staff FOREIGN KEY (staff_id) REFERENCES staff ON DELETE CASCADE NOT VALID;
\echo -- PostgreSQL calls a foreign key valid while its triggers are off
ALTER TABLE bills ADD CONSTRAINT bills_branch FOREIGN KEY (branch_id) REFERENCES branches ON DELETE CASCADE;
CREATE INDEX ON bills (branch_id);
ALTER TABLE bills DISABLE TRIGGER ALL;
INSERT INTO bills VALUES (3, 1, 1, 1, 99);
SELECT * FROM found('companies', 'fk_%', 'reference_%', 'self_%');
\echo -- called like a key, and none
ALTER TABLE bills DROP CONSTRAINT bills_branch;
SELECT * FROM found('companies', 'reference_without_fk');
DROP TABLE bills, orders;

\echo === indexes and unique constraints
CREATE TABLE items (id integer PRIMARY KEY, company_id integer NOT NULL REFERENCES companies ON DELETE CASCADE, code text NOT NULL, name text, flag integer, email text, deleted_at timestamptz, token uuid UNIQUE,
  CONSTRAINT items_code UNIQUE (code), CONSTRAINT items_name UNIQUE (company_id, name), CONSTRAINT items_mail UNIQUE (company_id, email, deleted_at));
CREATE INDEX items_order ON items (flag, company_id);
CREATE INDEX items_flag ON items (flag);
CREATE INDEX items_flag_again ON items (flag);
CREATE INDEX items_short ON items (company_id);
CREATE INDEX items_long ON items (company_id, code);
CREATE UNIQUE INDEX items_mail_leak ON items (lower(email)) WHERE deleted_at IS NULL;
CREATE INDEX items_broken ON items (name);
CREATE INDEX items_begun ON items (email);
UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'items_broken'::regclass;
UPDATE pg_index SET indisvalid = false, indisready = false WHERE indexrelid = 'items_begun'::regclass;
CREATE TABLE accounts (login text PRIMARY KEY, company_id integer REFERENCES companies ON DELETE CASCADE, n integer NOT NULL);
CREATE UNIQUE INDEX accounts_n ON accounts (company_id, n);
CREATE TABLE keyless (id integer PRIMARY KEY, company_id integer NOT NULL REFERENCES companies ON DELETE CASCADE);
CREATE INDEX keyless_partial ON keyless (company_id) WHERE id > 0;
INSERT INTO items SELECT n, 1 + n % 3, 'c' || n, repeat('name ', 20) || n, n % 2, 'm' || n, NULL, gen_random_uuid() FROM generate_series(1, 10000) n;
SELECT * FROM found('companies', 'index_%', 'unique_%', 'primary_key_without_tenant', 'tenant_key_index');
\echo -- read a thousand times, and never by this one
DO $$BEGIN FOR i IN 1..1000 LOOP PERFORM FROM keyless WHERE company_id = 1 LIMIT 1; END LOOP; PERFORM pg_stat_force_next_flush(); END$$;
SELECT severity, check_name, object, remedy FROM found('companies', 'index_unused');
DROP TABLE items, accounts, keyless;

\echo === enumerations, JSON, points in time, amounts, sequences
CREATE TYPE level AS ENUM ('low', 'high', 'never');
CREATE TABLE things (id integer PRIMARY KEY, company_id integer NOT NULL REFERENCES companies ON DELETE CASCADE, status text NOT NULL, kind text CHECK (kind IN ('a', 'b')), level level NOT NULL,
  settings json, data jsonb, payload text, fee double precision, seen_at timestamp, valid_from date, valid_to date, number smallserial, free_kind text, typed_data jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(typed_data) = 'object'));
CREATE INDEX ON things (company_id);
ALTER TABLE things ADD CONSTRAINT things_fee CHECK (fee > 0) NOT VALID;
INSERT INTO things (id, company_id, status, level, free_kind) SELECT n, 1, CASE n % 3 WHEN 0 THEN 'Open' WHEN 1 THEN 'open ' ELSE 'it''s closed' END, CASE n % 2 WHEN 0 THEN 'low' ELSE 'high' END::level, 'kind ' || n FROM generate_series(1, 30) n;
SELECT setval('things_number_seq', 20000) > 0 AS set;
SELECT * FROM found('companies', 'enum_%', 'check_%', 'json_%', 'timestamp_%', 'money_%', 'period_%', 'sequence_%');
SELECT setval('things_number_seq', 32000) > 0 AS set;
SELECT severity, detail FROM found('companies', 'sequence_%');
DROP TABLE things;

\echo === polymorphic pairs, soft deletion
CREATE TABLE notes (id integer PRIMARY KEY, company_id integer NOT NULL REFERENCES companies ON DELETE CASCADE, owner_type text, owner_id text, actor_type text, actor_id integer, target_type text NOT NULL, deleted_at timestamp NOT NULL DEFAULT now());
CREATE INDEX ON notes (company_id);
CREATE INDEX notes_wrong ON notes (actor_id, actor_type);
INSERT INTO notes (id, company_id, owner_type, owner_id, actor_type, actor_id, target_type) VALUES
  (1, 1, 'App\Models\Branch', '1', 'Staff', 1, 'Branch'), (2, 1, 'App\Models\Branch', '2', 'Staff', 9, 'Service'), (3, 1, 'App\Models\Branch', '9', 'Spaceship', 1, 'Branch'), (4, 1, 'Company', '2', NULL, NULL, 'Company');
CREATE TABLE flags (id integer PRIMARY KEY, company_id integer NOT NULL REFERENCES companies ON DELETE CASCADE, name text, is_deleted boolean);
CREATE INDEX ON flags (company_id);
SELECT * FROM found('companies', 'polymorphic_%', 'soft_%');
CREATE TABLE links (id integer PRIMARY KEY, company_id integer NOT NULL REFERENCES companies ON DELETE CASCADE, flag_id integer NOT NULL, deleted_at timestamptz, UNIQUE (company_id, flag_id));
SELECT * FROM found('companies', 'unique_soft%');
DROP TABLE notes, flags, links;

\echo === the tenant root
CREATE TABLE groups (id integer, name text);
CREATE TABLE members (id integer PRIMARY KEY, group_id integer NOT NULL);
SELECT severity, check_name, shown(object), shown(detail), shown(remedy) FROM tenantmig.lint('groups', tenant_key => 'id') WHERE check_name IN ('tenant_root_key', 'tenant_key_foreign_key');
SELECT * FROM tenantmig.lint('groups');

DROP SCHEMA lint_shop CASCADE;
DROP EXTENSION tenantmig CASCADE;
