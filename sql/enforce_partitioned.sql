-- Partitioned tables, nested, with columns in another order and partitions that had constraints of their own: per partition, then attached; taken back exactly.
\pset null -
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tenantmig CASCADE;
CREATE EXTENSION tenantmig;
CREATE SCHEMA shop;
SET search_path = shop;
CREATE TABLE companies (id integer PRIMARY KEY);
INSERT INTO companies SELECT generate_series(1, 3);
CREATE TABLE events (id integer, company_id integer, day integer, kind text) PARTITION BY RANGE (day);
CREATE TABLE events_1 (gone text, kind text, day integer, company_id integer, id integer);
ALTER TABLE events_1 DROP gone;
ALTER TABLE events ATTACH PARTITION events_1 FOR VALUES FROM (0) TO (10);
CREATE TABLE events_2 PARTITION OF events FOR VALUES FROM (10) TO (30) PARTITION BY LIST (kind);
CREATE TABLE events_2_a PARTITION OF events_2 FOR VALUES IN ('a');
CREATE TABLE events_2_b PARTITION OF events_2 FOR VALUES IN ('b');
CREATE TABLE empty_one PARTITION OF events FOR VALUES FROM (30) TO (40);
INSERT INTO events SELECT n, n % 3 + 1, n % 30, CASE WHEN n % 2 = 0 THEN 'a' ELSE 'b' END FROM generate_series(1, 90) n;
ALTER TABLE events_2_a ALTER company_id SET NOT NULL;
ALTER TABLE events_1 ADD CONSTRAINT own_key FOREIGN KEY (company_id) REFERENCES companies ON DELETE RESTRICT;
COMMENT ON CONSTRAINT own_key ON events_1 IS 'of the partition';
CREATE FUNCTION shape() RETURNS TABLE (line text) LANGUAGE sql AS $$
  SELECT format('%s: %s %s%s%s%s', conrelid::regclass, conname, pg_get_constraintdef(oid), CASE WHEN conparentid <> 0 OR coninhcount > 0 THEN ' (of the parent)' END, CASE WHEN NOT convalidated THEN ' INVALID' END,
    ' -- ' || obj_description(oid, 'pg_constraint')) FROM pg_constraint WHERE conrelid::regclass::text ~ '^(events|empty)'
  UNION ALL SELECT format('%s: %s NOT NULL', attrelid::regclass, attname) FROM pg_attribute JOIN pg_class c ON c.oid = attrelid AND relkind IN ('r', 'p') WHERE attrelid::regclass::text ~ '^(events|empty)' AND attnum > 0 AND attnotnull
  UNION ALL SELECT format('%s: index %s %s', indrelid::regclass, indexrelid::regclass, CASE WHEN indisvalid THEN 'valid' ELSE 'invalid' END) FROM pg_index WHERE indrelid::regclass::text ~ '^(events|empty)' ORDER BY 1 $$;
CREATE TABLE before AS SELECT * FROM shape();
CREATE FUNCTION changed() RETURNS SETOF text LANGUAGE sql AS $$
  (SELECT '+ ' || line FROM shape() WHERE line NOT IN (SELECT line FROM before)) UNION ALL (SELECT '- ' || line FROM before WHERE line NOT IN (SELECT line FROM shape())) ORDER BY 1 $$;
TABLE before;
SELECT tenantmig.create_migration('{"migration": "m", "tenants": {"table": "companies"}, "steps": [
  {"constraint": {"table": "events", "column": "company_id", "not_null": true, "references": "companies.id", "on_delete": "restrict", "unique": ["company_id", "id", "day", "kind"]}},
  {"constraint": {"table": "events", "column": "kind", "format": "^[ab]$"}}]}');
INSERT INTO events VALUES (100, NULL, 5, 'a');
CALL tenantmig.enforce('m');
SELECT * FROM changed();
DELETE FROM events WHERE id = 100;
CALL tenantmig.enforce('m');
SELECT * FROM changed();
SELECT status, count(*) FROM tenantmig.proofs WHERE status <> 'SKIP' GROUP BY status;
INSERT INTO events VALUES (100, NULL, 35, 'a');
INSERT INTO events VALUES (100, 99, 15, 'a');
INSERT INTO events VALUES (1, 2, 1, 'b');
DELETE FROM companies WHERE id = 1;
-- a partition that comes later has it all; it keeps nothing of it afterwards
CREATE TABLE later PARTITION OF events FOR VALUES FROM (40) TO (50);
INSERT INTO events VALUES (100, NULL, 45, 'a');
CALL tenantmig.enforce('m');
CALL tenantmig.relax('m');
SELECT * FROM changed();
SELECT conname FROM pg_constraint WHERE conrelid = 'later'::regclass;
SELECT attname FROM pg_attribute WHERE attrelid = 'later'::regclass AND attnum > 0 AND attnotnull;
DROP TABLE later;
SELECT tenantmig.drop_migration('m');

-- a foreign key of the whole table gives way to one with another action, and comes back with the names that it had in each partition
ALTER TABLE events ADD CONSTRAINT "Old" FOREIGN KEY (company_id) REFERENCES companies ON DELETE CASCADE;
ALTER TABLE events_2_b RENAME CONSTRAINT "Old" TO odd;
TRUNCATE before;
INSERT INTO before SELECT * FROM shape();
SELECT tenantmig.create_migration('{"migration": "m", "tenants": {"table": "companies"}, "steps": [{"constraint": {"table": "events", "column": "company_id", "on_delete": "set null"}}]}');
CALL tenantmig.enforce('m');
SELECT * FROM changed();
CALL tenantmig.relax('m');
SELECT * FROM changed();
SELECT tenantmig.drop_migration('m');

-- what could not be given back is refused beforehand
ALTER TABLE events_1 ADD CONSTRAINT alone UNIQUE (company_id, id, day);
SELECT tenantmig.create_migration('{"migration": "m", "tenants": {"table": "companies"}, "steps": [{"constraint": {"table": "events_1", "column": "company_id", "not_null": true}}]}');
DROP TABLE events_2;
SELECT tenantmig.create_migration('{"migration": "m", "tenants": {"table": "companies"}, "steps": [{"constraint": {"table": "events", "column": "company_id", "unique": ["company_id", "id", "day"]}}]}');
CALL tenantmig.enforce('m');
SELECT count(*) FROM tenantmig.enforcements;
DROP SCHEMA shop CASCADE;
