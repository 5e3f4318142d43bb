-- Partitioned tables as target, as evidence and as tenant root: partitions with another order of columns, dropped columns, several levels, rows in all of them; inheritance.
SET client_min_messages = warning;
DROP SCHEMA IF EXISTS partitions CASCADE;
DROP EXTENSION IF EXISTS tenantmig CASCADE;
CREATE EXTENSION tenantmig;
CREATE SCHEMA partitions;
SET search_path = partitions;

CREATE TABLE companies (id integer PRIMARY KEY, name text) PARTITION BY HASH (id);
CREATE TABLE companies_0 PARTITION OF companies FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE companies_1 PARTITION OF companies FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE customers (id integer, region text, company_id integer, note text, PRIMARY KEY (region, id)) PARTITION BY LIST (region);
CREATE TABLE customers_eu PARTITION OF customers FOR VALUES IN ('de', 'fr') PARTITION BY RANGE (id);
CREATE TABLE customers_eu_low PARTITION OF customers_eu FOR VALUES FROM (0) TO (50);
CREATE TABLE customers_eu_high (note text, gone integer, company_id integer, id integer NOT NULL, region text NOT NULL); -- another order, and a column that is dropped
ALTER TABLE customers_eu_high DROP gone;
ALTER TABLE customers_eu ATTACH PARTITION customers_eu_high FOR VALUES FROM (50) TO (1000);
CREATE TABLE customers_us (company_id integer, region text NOT NULL, id integer NOT NULL, note text);
ALTER TABLE customers ATTACH PARTITION customers_us FOR VALUES IN ('us');
CREATE TABLE customers_rest PARTITION OF customers DEFAULT;
CREATE TABLE orders (id integer, customer_id integer, region text, company_id integer, day date, FOREIGN KEY (region, customer_id) REFERENCES customers) PARTITION BY RANGE (day);
CREATE TABLE orders_old PARTITION OF orders FOR VALUES FROM (MINVALUE) TO ('2020-01-01');
CREATE TABLE orders_new PARTITION OF orders DEFAULT;
INSERT INTO companies SELECT n FROM generate_series(1, 9) n;
INSERT INTO customers SELECT n, (ARRAY['de', 'us', 'fr', 'jp'])[n % 4 + 1] FROM generate_series(0, 99) n;
INSERT INTO orders SELECT n, id, region, id % 9 + 1, date '2019-06-01' + id * 5 FROM customers, generate_series(1, 2) n WHERE id % 10 < 7;
INSERT INTO orders SELECT 3, id, region, 10 - id % 9 - 1, date '2025-01-01' FROM customers WHERE id % 10 = 6; -- disagree, across partitions
INSERT INTO orders SELECT 4, id, region, 77, date '2025-01-01' FROM customers WHERE id % 10 = 8;              -- nobody
CREATE TABLE original AS SELECT tableoid::regclass::text AS partition, * FROM customers;

SELECT * FROM tenantmig.backfill('customers', 'company_id', 'companies', sources => '[{"via": "orders.customer_id"}]');
-- plain SQL
WITH e AS (SELECT region, customer_id AS id, count(DISTINCT company_id) AS n, min(company_id) AS wanted FROM orders GROUP BY 1, 2)
SELECT CASE WHEN n IS NULL THEN 'orphan' WHEN n > 1 THEN 'conflict' WHEN wanted > 9 THEN 'unknown_tenant' ELSE 'assigned' END AS outcome, count(*)
FROM original LEFT JOIN e USING (region, id) GROUP BY 1 ORDER BY 1;
WITH e AS (SELECT region, customer_id AS id, count(DISTINCT company_id) AS n, min(company_id) AS wanted FROM orders GROUP BY 1, 2)
SELECT c.tableoid::regclass AS partition, count(*) AS rows, count(c.company_id) AS keys, count(*) FILTER (WHERE c.company_id IS DISTINCT FROM CASE WHEN n = 1 AND wanted <= 9 THEN wanted END) AS wrong
FROM customers c LEFT JOIN e USING (region, id) GROUP BY 1 ORDER BY min(c.tableoid::regclass::text);
SELECT relation, count(*), min(row_key::text), max(row_key::text) FROM tenantmig.changes GROUP BY 1;
SELECT class, count(*) FROM tenantmig.review('customers.company_id') GROUP BY 1 ORDER BY 1;
SELECT check_name, status, expected, actual FROM tenantmig.verify('customers.company_id');
SELECT row_key, tenant FROM tenantmig.resolve((SELECT id FROM tenantmig.review('customers.company_id') WHERE row_key @> '{"id": 56}'), '5');
SELECT tableoid::regclass AS partition, company_id FROM customers WHERE id = 56;
SELECT * FROM tenantmig.rollback(1);
SELECT count(*) AS differ FROM (SELECT tableoid::regclass::text, * FROM customers EXCEPT SELECT * FROM original) x;

-- the undo as plain SQL
SELECT outcome, row_count FROM tenantmig.backfill('customers', 'company_id', 'companies', sources => '[{"via": "orders.customer_id"}]');
SELECT count(*) > 2 AS a_script FROM tenantmig.undo_script((SELECT max(id) FROM tenantmig.runs));
SELECT outcome, row_count FROM tenantmig.rollback((SELECT max(id) FROM tenantmig.runs));

-- one partition alone as the target: the others are left alone
SELECT * FROM tenantmig.backfill('customers_us', 'company_id', 'companies', sources => '[{"via": "orders.customer_id"}]');
SELECT tableoid::regclass AS partition, count(company_id) AS keys FROM customers c GROUP BY 1 ORDER BY min(c.tableoid::regclass::text);
SELECT outcome, row_count FROM tenantmig.rollback((SELECT max(id) FROM tenantmig.runs));

-- the tenant key is a partition key: rows would move
CREATE TABLE by_tenant (id integer, company_id integer) PARTITION BY LIST (company_id);
CREATE TABLE by_tenant_1 PARTITION OF by_tenant FOR VALUES IN (1);
CREATE TABLE by_tenant_none PARTITION OF by_tenant FOR VALUES IN (NULL);
CREATE UNIQUE INDEX ON by_tenant_none (id);
CREATE TABLE for_tenant (id integer, of_id integer, company_id integer);
INSERT INTO by_tenant VALUES (1, NULL), (2, NULL);
INSERT INTO for_tenant VALUES (1, 1, 1), (2, 2, 2);
SELECT tenantmig.backfill('by_tenant', 'company_id', 'companies', sources => '[{"via": "for_tenant.of_id"}]');
ALTER TABLE by_tenant_none ALTER id SET NOT NULL;
SELECT tenantmig.backfill('by_tenant_none', 'company_id', 'companies', sources => '[{"via": "for_tenant.of_id"}]');

-- inheritance: a table is itself, not its children: neither are their rows written with it, nor are they evidence, as for foreign keys
CREATE TABLE things (id integer PRIMARY KEY, company_id integer);
CREATE TABLE special_things (PRIMARY KEY (id), extra integer) INHERITS (things);
CREATE TABLE events (id integer PRIMARY KEY, thing_id integer, company_id integer);
CREATE TABLE special_events () INHERITS (events);
INSERT INTO things VALUES (1, NULL), (2, NULL);
INSERT INTO special_things VALUES (1, NULL), (3, NULL);
INSERT INTO events VALUES (1, 1, 1), (2, 3, 3);
INSERT INTO special_events VALUES (3, 2, 2);
SELECT * FROM tenantmig.backfill('things', 'company_id', 'companies', sources => '[{"via": "events.thing_id"}]');
SELECT tableoid::regclass AS member, id, company_id FROM things ORDER BY tableoid::regclass::text, id;
SELECT * FROM tenantmig.backfill('special_things', 'company_id', 'companies', sources => '[{"via": "events.thing_id"}]');
SELECT tableoid::regclass AS member, id, company_id FROM things ORDER BY tableoid::regclass::text, id;

DROP SCHEMA partitions CASCADE;
DROP EXTENSION tenantmig;
