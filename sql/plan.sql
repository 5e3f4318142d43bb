-- plan() and plan_hash(): exact counts, what the hash covers and what it does not, and that looking changes nothing.
SET client_min_messages = warning;
DROP SCHEMA IF EXISTS plan CASCADE;
DROP EXTENSION IF EXISTS tenantmig CASCADE;
CREATE EXTENSION tenantmig;
CREATE SCHEMA plan;
SET search_path = plan;

CREATE TABLE companies (id integer PRIMARY KEY, name text);
CREATE TABLE customers (id integer PRIMARY KEY, company_id integer, name text, deleted_at timestamptz);
CREATE TABLE orders (id integer PRIMARY KEY, customer_id integer REFERENCES customers, company_id integer);
INSERT INTO companies SELECT n FROM generate_series(1, 10) n;
INSERT INTO customers SELECT n, NULL, 'customer ' || n, CASE WHEN n % 5 = 0 THEN now() END FROM generate_series(1, 1000) n;
INSERT INTO orders SELECT n, n, CASE WHEN n % 50 = 0 THEN 11 ELSE n % 10 + 1 END FROM generate_series(1, 900) n;
INSERT INTO orders SELECT 1000 + n, n, n % 3 + 1 FROM generate_series(1, 30) n;
ANALYZE;
CREATE FUNCTION fingerprint() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  relation regclass; part text; whole text := '';
BEGIN
  FOR relation IN SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE (n.nspname = 'plan' AND c.relkind = 'r') OR (n.nspname = 'tenantmig' AND c.relkind IN ('r', 'S')) ORDER BY c.oid LOOP
    EXECUTE format(CASE (SELECT relkind FROM pg_class WHERE oid = relation) WHEN 'S' THEN 'SELECT concat(last_value, is_called) FROM %s'
      ELSE 'SELECT md5(string_agg(concat_ws('' '', t.*::text, t.ctid, t.xmin), '','' ORDER BY t::text)) FROM %s t' END, relation) INTO part;
    whole := concat_ws('|', whole, relation, part, pg_relation_size(relation), pg_relation_filenode(relation));
  END LOOP;
  RETURN md5(whole || (SELECT count(*) FROM pg_class));
END $$;
CREATE FUNCTION attempt(command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  state text; message text; detail text; hint text;
BEGIN
  EXECUTE command;
  RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
  RETURN format(E'ERROR: %s: %s\nDETAIL: %s\nHINT: %s', state, message, regexp_replace(detail, '[0-9a-f]{64}', 'HASH', 'g'), hint);
END $$;

SELECT tenantmig.create_migration('{"migration": "m", "tenants": {"table": "companies"}, "steps": [{"backfill": {"table": "customers", "column": "company_id",
  "soft_delete": "deleted_at", "sources": [{"via": "orders.customer_id"}]}}]}');
SELECT fingerprint() AS before \gset

SELECT step, kind, relation, outcome, source, row_count, path, locks, note, deleted_count FROM tenantmig.plan('m');
-- the same in plain SQL
WITH e AS (SELECT customer_id, count(DISTINCT company_id) AS n, min(company_id) AS company_id FROM orders GROUP BY customer_id)
SELECT CASE WHEN n IS NULL THEN 'orphan' WHEN n > 1 THEN 'conflict' WHEN e.company_id > 10 THEN 'unknown_tenant' ELSE 'assigned' END AS outcome, count(*), count(deleted_at) AS deleted_count
FROM customers c LEFT JOIN e ON e.customer_id = c.id GROUP BY 1 ORDER BY 1;
SELECT outcome, est_seconds BETWEEN 0 AND 5 AS seconds, est_wal_bytes BETWEEN row_count * 50 AND row_count * 2000 + 1000000 AS wal FROM tenantmig.plan('m') WHERE outcome = 'assigned';

-- looking changes nothing, and works where nothing may be changed
BEGIN READ ONLY;
SELECT count(*) FROM tenantmig.plan('m');
SELECT length(tenantmig.plan_hash('m')), length(split_part(tenantmig.plan_hash('m', true), ':', 1)), split_part(tenantmig.plan_hash('m', true), ':', 2) AS counts;
SELECT check_name, status FROM tenantmig.preflight('m') WHERE check_name = 'read_only';
SELECT count(*) FROM tenantmig.check_migration((SELECT spec FROM tenantmig.migrations));
SELECT tenantmig.backfill('m');
ROLLBACK;
BEGIN READ ONLY;
SELECT tenantmig.backfill('m', dry_run => true);
ROLLBACK;
BEGIN READ ONLY;
SELECT tenantmig.create_migration('{"migration": "n", "tenants": {"table": "companies"}, "steps": [{"backfill": {"table": "customers", "column": "company_id",
  "sources": [{"via": "orders.customer_id"}]}}]}');
ROLLBACK;
SELECT fingerprint() = :'before' AS nothing_changed;

-- the hash follows what a plan stands on. Each line: a change, undone at once
CREATE TABLE changes (number serial, what text, command text, changes boolean);
INSERT INTO changes (what, command, changes) VALUES
  ('rows of the target', 'UPDATE customers SET name = name; DELETE FROM customers WHERE id > 990', false),
  ('rows of evidence', 'DELETE FROM orders WHERE id % 2 = 0; ANALYZE', false),
  ('another table', 'CREATE TABLE other (id integer REFERENCES companies)', false),
  ('search_path', 'SET LOCAL search_path = pg_catalog', false),
  ('trigger', 'CREATE TRIGGER t BEFORE UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()', true),
  ('trigger on evidence', 'CREATE TRIGGER t BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()', true),
  ('CHECK constraint', 'ALTER TABLE customers ADD CHECK (company_id > 0)', true),
  ('CHECK constraint not validated', 'ALTER TABLE customers ADD CHECK (company_id > 0) NOT VALID', true),
  ('foreign key dropped', 'ALTER TABLE orders DROP CONSTRAINT orders_customer_id_fkey', true),
  ('foreign key added', 'ALTER TABLE customers ADD FOREIGN KEY (company_id) REFERENCES companies', true),
  ('NOT NULL', 'ALTER TABLE orders ALTER customer_id SET NOT NULL', true),
  ('index', 'CREATE INDEX ON customers (company_id)', true),
  ('index of evidence', 'CREATE INDEX ON orders (customer_id)', true),
  ('type of the tenant key', 'ALTER TABLE customers ALTER company_id TYPE bigint', true),
  ('type of a column that has nothing to do with it', 'ALTER TABLE customers ALTER name TYPE varchar(100)', true),
  ('new column', 'ALTER TABLE customers ADD extra integer', true),
  ('owner of the target', 'ALTER TABLE customers OWNER TO regress_owner', true),
  ('owner of evidence', 'ALTER TABLE orders OWNER TO regress_owner', true),
  ('name of the target', 'ALTER TABLE customers RENAME TO clients', true),
  ('name of the tenant key', 'ALTER TABLE customers RENAME company_id TO firm', true),
  ('rule', 'CREATE RULE r AS ON UPDATE TO customers DO ALSO NOTHING', true),
  ('row-level security', 'ALTER TABLE customers ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', false),
  ('session_replication_role', 'SET LOCAL session_replication_role = replica', true);
CREATE ROLE regress_owner;
GRANT CREATE, USAGE ON SCHEMA plan TO regress_owner;
CREATE FUNCTION hash_after(command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  hash text;
BEGIN
  BEGIN
    EXECUTE command;
    hash := tenantmig.plan_hash('m');
    RAISE SQLSTATE 'UN000';
  EXCEPTION WHEN SQLSTATE 'UN000' THEN
    RETURN hash;
  WHEN OTHERS THEN
    RETURN SQLSTATE || ': ' || SQLERRM;
  END;
END $$;
SELECT what, CASE WHEN hash_after(command) = tenantmig.plan_hash('m') THEN 'same' WHEN hash_after(command) ~ '^[0-9a-f]{64}$' THEN 'another' ELSE hash_after(command) END AS hash,
  CASE WHEN changes THEN 'another' ELSE 'same' END AS wanted FROM changes ORDER BY number;
SELECT tenantmig.plan_hash('m') = tenantmig.plan_hash('m') AS stable;

-- approved is what is run: the hash, and with counts also these
SELECT tenantmig.plan_hash('m') AS hash, tenantmig.plan_hash('m', true) AS counted \gset
CREATE INDEX one_more ON customers (company_id);
SELECT attempt(format('SELECT tenantmig.backfill(%L, plan_hash => %L)', 'm', :'hash'));
DROP INDEX one_more;
DELETE FROM orders WHERE id IN (1, 2, 3, 4, 5, 6, 7, 8, 1001, 1002, 1003, 1004, 1005, 1006, 1007, 1008); -- 8 more orphans
SELECT split_part(tenantmig.plan_hash('m', true), ':', 2) AS now, split_part(:'counted', ':', 2) AS approved;
SELECT attempt(format('SELECT tenantmig.backfill(%L, plan_hash => %L)', 'm', :'counted'));
SELECT attempt(format('SELECT tenantmig.backfill(%L, plan_hash => %L, max_count_change => 0.05)', 'm', :'counted'));
SELECT attempt(format('SELECT tenantmig.backfill(%L, plan_hash => %L, max_count_change => 0)', 'm', :'counted'));
SELECT count(*) AS runs FROM tenantmig.runs;
SELECT outcome, row_count FROM tenantmig.backfill('m', plan_hash => :'hash');
SELECT plan_hash = :'hash' AS recorded, assigned FROM tenantmig.runs;
SELECT * FROM tenantmig.rollback(1);
SELECT outcome, row_count FROM tenantmig.backfill('m', plan_hash => :'counted', max_count_change => 1);

-- what is left is planned, no more
SELECT outcome, row_count FROM tenantmig.plan('m');
UPDATE customers SET company_id = 1;
SELECT outcome, row_count, path, note FROM tenantmig.plan('m');

DROP SCHEMA plan CASCADE;
DROP EXTENSION tenantmig;
DROP ROLE regress_owner;
