-- Every kind of source, in every combination, under every rule of evidence; each result is compared with a model in plain SQL.
SET client_min_messages = warning;
DROP SCHEMA IF EXISTS sources CASCADE;
DROP EXTENSION IF EXISTS tenantmig CASCADE;
CREATE EXTENSION tenantmig;
CREATE SCHEMA sources;
SET search_path = sources;
SET datestyle = ISO;
SET jit = off; -- the comparisons below are many and short

CREATE TABLE companies (id integer PRIMARY KEY, name text);
CREATE TABLE branches (id integer PRIMARY KEY, company_id integer, open boolean);
CREATE TABLE regions (id integer PRIMARY KEY, firm integer REFERENCES companies);
CREATE TABLE managers (id integer PRIMARY KEY, region_id integer REFERENCES regions);
CREATE TABLE invoices (id integer PRIMARY KEY, company_id integer);
CREATE TABLE contracts (number integer PRIMARY KEY, company_id integer);
CREATE TABLE customers (id integer PRIMARY KEY, company_id integer, branch_id integer REFERENCES branches, manager_id integer REFERENCES managers, owner_id integer,
  owner_type text, name text);
CREATE TABLE appointments (id serial PRIMARY KEY, customer_id integer REFERENCES customers, company_id integer, status text);
CREATE TABLE phone_numbers (id serial PRIMARY KEY, customer_id integer, company_id integer); -- no foreign key
INSERT INTO companies SELECT n, 'company ' || n FROM generate_series(1, 5) n;
INSERT INTO branches SELECT n, CASE WHEN n % 6 = 0 THEN NULL WHEN n = 7 THEN 98 ELSE n % 5 + 1 END, n % 3 > 0 FROM generate_series(1, 12) n;
INSERT INTO regions SELECT n, CASE WHEN n = 4 THEN NULL ELSE n END FROM generate_series(1, 5) n;
INSERT INTO managers SELECT n, CASE WHEN n = 8 THEN NULL ELSE n % 5 + 1 END FROM generate_series(1, 8) n;
INSERT INTO invoices SELECT n, n % 5 + 1 FROM generate_series(1, 9) n;
INSERT INTO contracts SELECT n, CASE WHEN n = 3 THEN 97 ELSE n % 4 + 1 END FROM generate_series(1, 9) n;
INSERT INTO customers SELECT n, CASE WHEN n % 10 = 0 THEN 2 END, CASE WHEN n % 4 < 2 THEN n % 12 + 1 END, CASE WHEN n % 3 = 0 THEN n % 8 + 1 END, CASE WHEN n % 5 < 3 THEN n % 11 END,
  (ARRAY['Invoice', 'Contract', 'Person', NULL])[n % 4 + 1], 'customer ' || n FROM generate_series(1, 120) n;
INSERT INTO appointments (customer_id, company_id, status)
  SELECT n, CASE WHEN n % 17 = 0 THEN 99 WHEN n % 7 = 0 THEN (n + k) % 5 + 1 ELSE n % 5 + 1 END, CASE WHEN k = 3 THEN 'cancelled' WHEN k = 2 THEN NULL ELSE 'done' END
  FROM generate_series(1, 120) n, generate_series(1, 3) k WHERE n % 6 > 0 AND k <= n % 4;
INSERT INTO appointments (customer_id, company_id) VALUES (NULL, 1), (1, NULL);
INSERT INTO phone_numbers (customer_id, company_id) SELECT n, CASE WHEN n % 4 = 0 THEN n % 3 + 1 ELSE n % 5 + 1 END FROM generate_series(1, 130) n WHERE n % 3 < 2;

-- The model: what each source says of each customer.
CREATE VIEW evidence (place, source, id, tenant, n) AS
  SELECT 1, 'appointments.customer_id', customer_id, company_id, count(*) FROM appointments WHERE customer_id IS NOT NULL AND company_id IS NOT NULL GROUP BY 3, 4
  UNION ALL SELECT 2, 'phone_numbers.customer_id', customer_id, company_id, count(*) FROM phone_numbers GROUP BY 3, 4
  UNION ALL SELECT 3, 'branch_id', c.id, b.company_id, 1 FROM customers c JOIN branches b ON b.id = c.branch_id WHERE b.company_id IS NOT NULL
  UNION ALL SELECT 4, 'manager_id/region_id', c.id, r.firm, 1 FROM customers c JOIN managers m ON m.id = c.manager_id JOIN regions r ON r.id = m.region_id WHERE r.firm IS NOT NULL
  UNION ALL SELECT 5, 'owner_id', c.id, i.company_id, 1 FROM customers c JOIN invoices i ON i.id = c.owner_id WHERE c.owner_type = 'Invoice'
  UNION ALL SELECT 5, 'owner_id', c.id, k.company_id, 1 FROM customers c JOIN contracts k ON k.number = c.owner_id WHERE c.owner_type = 'Contract'
  -- two more, of the same tables under conditions
  UNION ALL SELECT 6, 'appointments.customer_id', customer_id, company_id, count(*) FROM appointments WHERE customer_id IS NOT NULL AND company_id IS NOT NULL
    AND (status IN ('done') OR status IS NULL) GROUP BY 3, 4
  UNION ALL SELECT 7, 'branch_id', c.id, b.company_id, 1 FROM customers c JOIN branches b ON b.id = c.branch_id WHERE b.company_id IS NOT NULL AND b.open;
CREATE TABLE spelled (place integer, source jsonb);
INSERT INTO spelled VALUES (1, '{"via": "appointments.customer_id"}'), (2, '{"via": "phone_numbers.customer_id"}'), (3, '{"via": "branch_id"}'),
  (4, '{"path": ["manager_id", "region_id"]}'), (5, '{"via": "owner_id", "type_column": "owner_type", "types": {"Invoice": "invoices", "Contract": "contracts"}}'),
  (6, '{"via": "appointments.customer_id", "where": {"status": ["done", null]}}'), (7, '{"via": "branch_id", "where": {"open": true}}');

CREATE FUNCTION expected(places integer[], evidence_rule text, majority boolean, of_id integer[] DEFAULT NULL)
RETURNS TABLE (id integer, outcome text, tenant integer, source text, candidates jsonb) LANGUAGE sql AS $$
  WITH found AS (SELECT e.*, array_position(places, e.place) AS rank FROM evidence e WHERE e.place = ANY (places)),
  asked AS (SELECT f.* FROM found f WHERE evidence_rule = 'unanimous' OR f.rank = (SELECT min(g.rank) FROM found g WHERE g.id = f.id)),
  votes AS (SELECT a.id, a.tenant, sum(a.n) AS n FROM asked a GROUP BY a.id, a.tenant),
  settled AS (
    SELECT v.id, CASE WHEN count(*) = 1 THEN min(v.tenant)
      WHEN majority AND count(*) FILTER (WHERE v.n = m.most) = 1 THEN min(v.tenant) FILTER (WHERE v.n = m.most) END AS tenant
    FROM votes v JOIN (SELECT w.id, max(w.n) AS most FROM votes w GROUP BY w.id) m ON m.id = v.id GROUP BY v.id)
  SELECT c.id,
    CASE WHEN s.id IS NULL THEN 'orphan' WHEN s.tenant IS NULL THEN 'conflict' WHEN s.tenant IN (SELECT t.id FROM companies t) THEN 'assigned' ELSE 'unknown_tenant' END,
    CASE WHEN s.tenant IN (SELECT t.id FROM companies t) THEN s.tenant END,
    CASE WHEN s.tenant IN (SELECT t.id FROM companies t) THEN (SELECT a.source FROM asked a WHERE a.id = c.id AND a.tenant = s.tenant ORDER BY a.rank LIMIT 1)
      ELSE (SELECT string_agg(x.source, ', ' ORDER BY x.rank) FROM (SELECT DISTINCT a.source, a.rank FROM asked a WHERE a.id = c.id) x) END,
    (SELECT coalesce(jsonb_agg(jsonb_build_object('tenant', a.tenant, 'source', a.source, 'count', a.n) ORDER BY a.rank, a.tenant), '[]') FROM asked a WHERE a.id = c.id)
  FROM customers c LEFT JOIN settled s ON s.id = c.id WHERE c.company_id IS NULL AND (of_id IS NULL OR c.id = ANY (of_id))
$$;

-- Plans, runs, compares row by row, undoes; returns the number of differences, which is 0.
CREATE FUNCTION differences(places integer[], evidence_rule text, on_conflict text, OUT assigned bigint, OUT conflicts bigint, OUT unknown bigint, OUT orphans bigint, OUT wrong bigint)
LANGUAGE plpgsql AS $$
DECLARE
  run bigint; before text; spec jsonb;
BEGIN
  spec := jsonb_build_object('migration', 'm', 'tenants', '{"table": "companies"}'::jsonb, 'steps', jsonb_build_array(jsonb_build_object('backfill', jsonb_build_object(
    'table', 'customers', 'column', 'company_id', 'evidence', evidence_rule, 'on_conflict', on_conflict,
    'sources', (SELECT jsonb_agg(s.source ORDER BY array_position(places, s.place)) FROM spelled s WHERE s.place = ANY (places))))));
  SELECT md5(string_agg(c::text, ',' ORDER BY id)) INTO before FROM customers c;
  CREATE TEMP TABLE model ON COMMIT DROP AS SELECT * FROM expected(places, evidence_rule, on_conflict = 'majority');
  PERFORM tenantmig.create_migration(spec);
  CREATE TEMP TABLE planned ON COMMIT DROP AS SELECT outcome, source, row_count FROM tenantmig.plan('m');
  CREATE TEMP TABLE done ON COMMIT DROP AS SELECT outcome, source, row_count FROM tenantmig.backfill('m');
  SELECT max(id) INTO run FROM tenantmig.runs;
  CREATE TEMP TABLE became ON COMMIT DROP AS
    SELECT (row_key ->> 'id')::integer AS id, 'assigned' AS outcome, new_value::integer AS tenant, source, NULL::jsonb AS candidates FROM tenantmig.changes WHERE run_id = run
    UNION ALL SELECT (row_key ->> 'id')::integer, class, NULL, NULL, candidates FROM tenantmig.review('m');
  SELECT count(*) FILTER (WHERE m.outcome = 'assigned'), count(*) FILTER (WHERE m.outcome = 'conflict'), count(*) FILTER (WHERE m.outcome = 'unknown_tenant'),
    count(*) FILTER (WHERE m.outcome = 'orphan') INTO assigned, conflicts, unknown, orphans FROM model m;
  SELECT
    -- each row: outcome, tenant, source, candidates
    (SELECT count(*) FROM model m FULL JOIN became b USING (id)
     WHERE m.outcome IS DISTINCT FROM b.outcome OR m.tenant IS DISTINCT FROM b.tenant OR (m.outcome = 'assigned' AND m.source IS DISTINCT FROM b.source)
       OR (m.outcome <> 'assigned' AND m.candidates IS DISTINCT FROM b.candidates))
    -- what stands in the table
    + (SELECT count(*) FROM model m JOIN customers c USING (id) WHERE c.company_id IS DISTINCT FROM m.tenant)
    -- plan and run, in groups
    + (SELECT count(*) FROM (SELECT outcome, source, count(*) AS n FROM model GROUP BY 1, 2) m FULL JOIN planned p ON (p.outcome, coalesce(p.source, '')) = (m.outcome, coalesce(m.source, ''))
       WHERE p.row_count IS DISTINCT FROM m.n)
    + (SELECT count(*) FROM (SELECT * FROM planned EXCEPT SELECT * FROM done) x) + (SELECT count(*) FROM (SELECT * FROM done EXCEPT SELECT * FROM planned) x)
    + (SELECT count(*) FROM tenantmig.verify('m') WHERE status = 'FAIL' AND check_name NOT LIKE 'mismatches%') -- those of rows that had a key before
  INTO wrong;
  PERFORM tenantmig.rollback(run);
  SELECT wrong + count(*) FROM (SELECT md5(string_agg(c::text, ',' ORDER BY id)) AS now FROM customers c) x WHERE now <> before INTO wrong;
  PERFORM tenantmig.drop_migration('m');
  DROP TABLE model, planned, done, became;
END $$;

-- each kind alone
SELECT label, d.* FROM (VALUES (1, 'children'), (2, 'children without foreign key'), (3, 'parent'), (4, 'several hops'), (5, 'polymorphic'), (6, 'children with condition'),
  (7, 'parent with condition')) k (place, label), differences(ARRAY[place], 'unanimous', 'review') d ORDER BY place;
-- all together, both ways round
SELECT e AS evidence, c AS on_conflict, places, d.* FROM unnest('{unanimous,first}'::text[]) e, unnest('{review,majority}'::text[]) c,
  (VALUES ('{1,2,3,4,5}'::integer[]), ('{5,4,3,2,1}')) v (places), differences(places, e, c) d ORDER BY e, c, places;
-- every subset of the first five
SELECT count(*) AS cases, sum(d.wrong) AS wrong, count(DISTINCT d::text) > 40 AS they_differ
FROM generate_series(1, 31) mask, (VALUES ('unanimous', 'review'), ('unanimous', 'majority'), ('first', 'majority')) r (e, c),
  LATERAL (SELECT array_agg(p ORDER BY p) FROM generate_series(1, 5) p WHERE mask & (1 << (p - 1)) > 0) s (places), differences(places, e, c) d;

-- where at the step: other rows are not touched, not counted, not queued
SELECT tenantmig.create_migration('{"migration": "step", "tenants": {"table": "companies"}, "steps": [{"backfill": {"table": "customers", "column": "company_id",
  "where": {"owner_type": ["Person", null], "name": ["customer 2", "customer 3", "customer 6", "customer 7", "customer 10", "customer 12", "customer 4"]},
  "sources": [{"via": "appointments.customer_id"}]}}]}');
SELECT outcome, source, row_count FROM tenantmig.plan('step');
SELECT outcome, source, count(*) FROM expected('{1}', 'unanimous', false, '{2,3,6,7,10,12,4}') e JOIN customers c USING (id) -- the model
WHERE coalesce(owner_type, 'Person') = 'Person' GROUP BY 1, 2 ORDER BY 1, 2;
SELECT outcome, source, row_count FROM tenantmig.backfill('step');
SELECT id, owner_type, company_id FROM customers WHERE id IN (2, 3, 6, 7, 10, 12, 4) ORDER BY id;
SELECT row_key, class, candidates FROM tenantmig.review('step') ORDER BY id;
SELECT count(*) AS others FROM customers WHERE company_id IS NOT NULL AND id % 10 > 0 AND id NOT IN (2, 3, 6, 7);
SELECT * FROM tenantmig.rollback((SELECT max(id) FROM tenantmig.runs));

-- the same source under two conditions is two sources, told apart by number
SELECT tenantmig.create_migration('{"migration": "twice", "tenants": {"table": "companies"}, "steps": [{"backfill": {"table": "customers", "column": "company_id", "evidence": "first",
  "sources": [{"via": "appointments.customer_id", "where": {"status": "done"}}, {"via": "appointments.customer_id", "where": {"status": [null, "cancelled"]}}]}}]}');
UPDATE appointments SET status = NULL WHERE customer_id IN (1, 2);
SELECT outcome, source, row_count FROM tenantmig.plan('twice');

-- the tenant key of a source's end: named, by foreign key (under another name), by the target's name; the tenant root itself is an end, too
SELECT source, tenant_column, note FROM tenantmig.check_migration('{"migration": "ends", "tenants": {"table": "companies"}, "steps": [{"backfill": {"table": "customers", "column": "company_id",
  "sources": [{"via": "appointments.customer_id", "tenant": "id"}, {"path": ["manager_id", "region_id"]}, {"path": ["manager_id", "region_id", "firm"]}, {"via": "branch_id"}]}}]}');

DROP SCHEMA sources CASCADE;
DROP EXTENSION tenantmig;
