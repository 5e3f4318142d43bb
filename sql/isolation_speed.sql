-- isolation_speed: policies made by hand, good and bad; indexes that a policy makes unusable; partitions; unequal tenants; rights; arguments.
\pset null -
\pset format unaligned
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tenantmig CASCADE;
CREATE EXTENSION tenantmig;
CREATE ROLE regress_speed_owner;
CREATE ROLE regress_speed_app;
CREATE ROLE regress_speed_other;
SELECT tenantmig.grant_access('regress_speed_owner', 'viewer'), tenantmig.grant_access('regress_speed_other', 'viewer');
CREATE SCHEMA speed AUTHORIZATION regress_speed_owner;
GRANT USAGE ON SCHEMA speed TO regress_speed_app, regress_speed_other;
GRANT regress_speed_app TO regress_speed_owner;
SET search_path = speed;
SET max_parallel_workers_per_gather = 0;
SET min_parallel_table_scan_size = '256kB'; -- from here on a table is large
SET ROLE regress_speed_owner;
CREATE TABLE companies (id bigint PRIMARY KEY, name text NOT NULL);
INSERT INTO companies SELECT i, 'company ' || i FROM generate_series(1, 100) i;
CREATE TYPE state AS ENUM ('open', 'closed');

-- one of everything, 10,000 rows in 100 tenants
CREATE TABLE customers (id bigint PRIMARY KEY, company_id bigint NOT NULL REFERENCES companies, email text NOT NULL, name text NOT NULL, amount numeric NOT NULL, status state NOT NULL, tags text[] NOT NULL,
  doc jsonb NOT NULL, words tsvector NOT NULL, span int4range NOT NULL, created_at timestamptz NOT NULL, token uuid NOT NULL, address inet NOT NULL);
INSERT INTO customers SELECT i, 1 + i % 100, 'User' || i || '@example.org', 'name ' || i, i, CASE i % 2 WHEN 0 THEN 'open' ELSE 'closed' END::state, ARRAY['tag' || i % 7], jsonb_build_object('number', i),
  to_tsvector('simple', 'word' || i), int4range(i, i + 5), now() - i * interval '1 minute', md5(i::text)::uuid, '10.0.0.0'::inet + i FROM generate_series(1, 10000) i;
CREATE INDEX customers_company ON customers (company_id);
GRANT SELECT ON customers TO regress_speed_app;
ALTER TABLE customers ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON customers TO regress_speed_app USING (company_id = (SELECT nullif(current_setting('tenantmig.tenant', true), '')::bigint));
ANALYZE customers;
\echo the generated form: nothing to say against it, and a table without row-level security has nothing to compare
SELECT relation, check_name, object, expected, regexp_replace(actual, '[0-9]+\.[0-9]+', 'N', 'g') AS actual, ratio, status, remedy, acted_as FROM tenantmig.isolation_speed(role => 'regress_speed_app', tenant_root => 'companies');
ALTER TABLE customers FORCE ROW LEVEL SECURITY;
\echo an owner who is bound as well is read past that
SELECT check_name, ratio, status FROM tenantmig.isolation_speed(role => 'regress_speed_app', tenant_root => 'companies', tables => '{customers}') WHERE check_name = 'plan_cost';
ALTER TABLE customers NO FORCE ROW LEVEL SECURITY;
SELECT check_name, detail FROM tenantmig.isolation_speed(role => 'regress_speed_app', tenant_root => 'companies', tables => '{customers}');
\echo measured: times depend on the machine, rows do not
SELECT check_name, actual ~ '^[0-9.]+ ms against [0-9.]+ ms$' AS times, ratio > 0 AS ratio, status IN ('PASS', 'FAIL') AS judged, regexp_replace(detail, 'of \d+ executions', 'of N executions') ~ '^Tenant "1", 100 rows, medians of N executions each in turn, planning not included' AS detail
FROM tenantmig.isolation_speed(role => 'regress_speed_app', tenant_root => 'companies', tables => '{customers}', measure => true) WHERE check_name = 'execution_time';

\echo indexes whose conditions are not leakproof
CREATE INDEX a_lower ON customers (lower(email));
CREATE UNIQUE INDEX b_unique_lower ON customers (company_id, lower(email));
CREATE INDEX c_amount ON customers (amount);
CREATE INDEX d_enum ON customers (status) WHERE amount > 0;
CREATE INDEX e_array ON customers USING gin (tags);
CREATE INDEX f_json ON customers USING gin (doc);
CREATE INDEX g_words ON customers USING gin (words);
CREATE INDEX h_range ON customers USING gist (span);
CREATE INDEX i_like ON customers (name text_pattern_ops);
CREATE INDEX i_net ON customers USING gist (address inet_ops);
CREATE INDEX j_field ON customers ((doc ->> 'number'));
\echo these can be used all the same
CREATE INDEX k_time ON customers (created_at);
CREATE INDEX l_token ON customers (token);
CREATE INDEX m_text ON customers (name);
CREATE INDEX n_hash ON customers USING hash (email);
CREATE INDEX o_prefix ON customers USING spgist (email);
CREATE INDEX o_block ON customers USING brin (id);
ANALYZE customers;
SELECT object, expected, ratio > 1.1 AS dearer, status, detail, remedy FROM tenantmig.isolation_speed(role => 'regress_speed_app', tenant_root => 'companies', tables => '{customers}') WHERE check_name = 'index_condition';
\echo the planner says the same of each: what is a condition of an index under the policy, and what only filters
CREATE FUNCTION planned(condition text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE line text; found text := 'no index condition on it';
BEGIN
  FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) SELECT * FROM customers WHERE ' || condition LOOP
    line := regexp_replace(line, '\(InitPlan \d+\)\.col1', '$1', 'g'); -- as PostgreSQL 17 writes it
    IF line ~ 'Index Cond' AND line !~ 'Index Cond: \(company_id = \$\d+\)$' THEN found := regexp_replace(btrim(line), '\$\d+', '$', 'g'); END IF;
  END LOOP;
  RETURN found;
END $$;
SET ROLE regress_speed_app;
SET tenantmig.tenant = '7';
SELECT condition, planned(condition) FROM unnest(ARRAY[$$lower(email) = 'x'$$, $$amount = 7$$, $$status = 'open' AND amount > 0$$, $$tags @> '{tag1}'$$, $$doc @> '{"number": 7}'$$, $$words @@ 'word7'$$,
  $$span && int4range(7, 8)$$, $$name LIKE 'name 77%'$$, $$address << '10.0.1.0/24'$$, $$address = '10.0.0.7'$$, $$doc ->> 'number' = '7'$$, $$name ^@ 'name 77'$$, $$name = 'name 7'$$, $$token = '8f14e45f-ceea-367a-9a36-dedd4bea2543'$$, $$email = 'User7@example.org'$$,
  $$created_at > now() - interval '5 minutes'$$, $$created_at > current_date + 1$$]) condition;
SET ROLE regress_speed_owner;
SELECT planned('company_id = 7 AND lower(email) = ''x''') AS of_the_owner;
\echo what helps, as advised: the finding goes, and the plan changes
ALTER TABLE customers ADD COLUMN lower_email text GENERATED ALWAYS AS (lower(email)) STORED;
CREATE INDEX p_generated ON customers (company_id, lower_email);
ANALYZE customers;
SELECT object, status, detail, remedy FROM tenantmig.isolation_speed(role => 'regress_speed_app', tenant_root => 'companies', tables => '{customers}') WHERE check_name = 'index_condition' AND object IN ('a_lower', 'b_unique_lower', 'p_generated');
SET ROLE regress_speed_app;
SELECT planned('lower_email = lower(''User7@example.org'')') AS generated;
SET ROLE regress_speed_owner;
\echo partial indexes are used, and rows come in the order of an index behind the tenant key
CREATE INDEX q_partial ON customers (company_id) WHERE status = 'closed' AND amount > 9000;
CREATE INDEX r_order ON customers (company_id, amount);
ANALYZE customers;
CREATE FUNCTION used(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE line text; found text;
BEGIN
  FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP found := concat_ws(' ', found, substring(line FROM '(Sort|\w+ Scan (?:using|on) [a-z]_\w+)')); END LOOP;
  RETURN found;
END $$;
SET ROLE regress_speed_app;
SELECT used('SELECT * FROM customers WHERE status = ''closed'' AND amount > 9500') AS partial_index, used('SELECT * FROM customers ORDER BY amount LIMIT 5') AS in_order;
SET ROLE regress_speed_owner;
DROP INDEX q_partial, r_order, o_prefix, a_lower, b_unique_lower, c_amount, d_enum, e_array, f_json, g_words, h_range, i_like, i_net, j_field, p_generated;

\echo policies: volatile, inlined, immutable, bare, a subquery for each row, and two that are joined by OR
CREATE FUNCTION asked() RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN RETURN nullif(current_setting('tenantmig.tenant', true), '')::bigint; END $$;
CREATE FUNCTION inlined() RETURNS bigint LANGUAGE sql AS $$ SELECT nullif(current_setting('tenantmig.tenant', true), '')::bigint $$;
CREATE FUNCTION kept() RETURNS bigint LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN nullif(current_setting('tenantmig.tenant', true), '')::bigint; END $$;
CREATE FUNCTION fails() RETURNS bigint LANGUAGE plpgsql STABLE AS $$ BEGIN RAISE EXCEPTION 'no tenant today' USING ERRCODE = '42501'; END $$;
CREATE FUNCTION shown(OUT check_name text, OUT object text, OUT actual text, OUT ratio text, OUT status text, OUT remedy text) RETURNS SETOF record LANGUAGE sql AS $$
  SELECT check_name, object, regexp_replace(actual, '[0-9]+\.[0-9]+', 'N', 'g'), CASE WHEN ratio > 1.1 THEN 'more than 1.1' ELSE 'at most 1.1' END, status, remedy
  FROM tenantmig.isolation_speed(role => 'regress_speed_app', tenant_root => 'speed.companies', tables => '{speed.customers}') WHERE check_name <> 'index_condition' $$;
ALTER POLICY tenant ON customers USING (company_id = asked());
SELECT * FROM shown();
ALTER POLICY tenant ON customers USING (company_id = inlined());
SELECT * FROM shown();
ALTER POLICY tenant ON customers USING (company_id = kept());
SELECT * FROM shown();
\echo a plan that is kept: what the finding is about
SET ROLE regress_speed_app;
SET tenantmig.tenant = '1';
PREPARE mine AS SELECT DISTINCT company_id FROM customers;
EXECUTE mine;
SET tenantmig.tenant = '2';
EXECUTE mine;
DEALLOCATE mine;
SET tenantmig.tenant = '7';
SET ROLE regress_speed_owner;
ALTER POLICY tenant ON customers USING (company_id = nullif(current_setting('tenantmig.tenant', true), '')::bigint);
SELECT * FROM shown();
ALTER POLICY tenant ON customers USING (EXISTS (SELECT FROM companies c WHERE c.id = company_id AND c.id = (SELECT nullif(current_setting('tenantmig.tenant', true), '')::bigint)));
GRANT SELECT ON companies TO regress_speed_app;
SELECT * FROM shown();
ALTER POLICY tenant ON customers USING (company_id = (SELECT asked()));
SELECT * FROM shown();
CREATE POLICY another ON customers TO regress_speed_app USING (status = 'open' AND email LIKE 'Service%');
SELECT * FROM shown();
DROP POLICY another ON customers;
ALTER POLICY tenant ON customers USING (company_id = fails());
SELECT check_name, status, detail FROM tenantmig.isolation_speed(role => 'regress_speed_app', tenant_root => 'companies', tables => '{customers}');
ALTER POLICY tenant ON customers USING (company_id = (SELECT nullif(current_setting('tenantmig.tenant', true), '')::bigint));

\echo a policy of UPDATE alone: the query that reads is none the worse
CREATE POLICY changes ON customers FOR UPDATE TO regress_speed_app USING (company_id = asked());
SELECT check_name, object, actual, status FROM shown() WHERE status <> 'PASS';
DROP POLICY changes ON customers;

\echo the index: gone from a large table; from a small one
DROP INDEX customers_company;
SELECT * FROM shown();
SET min_parallel_table_scan_size = '1GB';
SELECT * FROM shown();
CREATE INDEX customers_company ON customers (company_id) WHERE status = 'open';
\echo one that leaves rows out is none
SELECT check_name, status, remedy FROM shown() WHERE check_name = 'tenant_index';
DROP INDEX customers_company;
CREATE INDEX customers_company ON customers (company_id);
SET min_parallel_table_scan_size = '256kB';

\echo a small table is read whole, and that is right
CREATE TABLE notes (id bigint PRIMARY KEY, company_id bigint NOT NULL REFERENCES companies, body text NOT NULL);
INSERT INTO notes SELECT i, 1 + i % 10, 'note' FROM generate_series(1, 50) i;
CREATE INDEX notes_company ON notes (company_id);
GRANT SELECT (id, company_id) ON notes TO regress_speed_app;
ALTER TABLE notes ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON notes TO regress_speed_app USING (company_id = (SELECT nullif(current_setting('tenantmig.tenant', true), '')::bigint));
ANALYZE notes;
SELECT check_name, actual, ratio, status, detail FROM tenantmig.isolation_speed(role => 'regress_speed_app', tenant_root => 'companies', tables => '{notes}') WHERE check_name <> 'policy';
\echo nothing in it; nothing known of it; no right; no policy; policies that do not count
TRUNCATE notes;
ANALYZE notes;
SELECT check_name, actual, ratio, status, detail FROM tenantmig.isolation_speed(role => 'regress_speed_app', tenant_root => 'companies', tables => '{notes}') WHERE check_name <> 'policy';
CREATE TABLE unknown AS SELECT * FROM customers;
ALTER TABLE unknown ADD FOREIGN KEY (company_id) REFERENCES companies;
CREATE INDEX unknown_company ON unknown (company_id);
GRANT SELECT ON unknown TO regress_speed_app;
ALTER TABLE unknown ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON unknown TO regress_speed_app USING (company_id = (SELECT nullif(current_setting('tenantmig.tenant', true), '')::bigint));
SELECT check_name, status, detail, remedy FROM tenantmig.isolation_speed(role => 'regress_speed_app', tenant_root => 'companies', tables => '{unknown}') WHERE check_name = 'statistics';
REVOKE SELECT ON unknown FROM regress_speed_app;
SELECT check_name, actual, status, detail, remedy FROM tenantmig.isolation_speed(role => 'regress_speed_app', tenant_root => 'companies', tables => '{unknown}');
GRANT SELECT ON unknown TO regress_speed_app;
DROP POLICY tenant ON unknown;
SELECT check_name, actual, status, detail, remedy FROM tenantmig.isolation_speed(role => 'regress_speed_app', tenant_root => 'companies', tables => '{unknown}');
ALTER TABLE unknown DISABLE ROW LEVEL SECURITY;
SELECT check_name, actual, status, detail, remedy FROM tenantmig.isolation_speed(role => 'regress_speed_app', tenant_root => 'companies', tables => '{unknown}');
DROP TABLE unknown;
SELECT check_name, actual, status FROM tenantmig.isolation_speed(role => 'regress_speed_owner', tenant_root => 'companies', tables => '{notes}');

\echo partitions: left out when the query is executed; costs are compared for those that are read
CREATE TABLE events (id bigint NOT NULL, company_id bigint NOT NULL REFERENCES companies, body text NOT NULL) PARTITION BY HASH (company_id);
SELECT format('CREATE TABLE events_%s PARTITION OF events FOR VALUES WITH (MODULUS 4, REMAINDER %s)', i, i) FROM generate_series(0, 3) i \gexec
CREATE INDEX events_company ON events (company_id);
INSERT INTO events SELECT i, 1 + i % 100, 'event' FROM generate_series(1, 20000) i;
GRANT SELECT ON events TO regress_speed_app;
ALTER TABLE events ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON events TO regress_speed_app USING (company_id = (SELECT nullif(current_setting('tenantmig.tenant', true), '')::bigint));
ANALYZE events;
SELECT relation, check_name, actual ~ 'against' AS compared, ratio <= 1.1 AS ratio, status, detail FROM tenantmig.isolation_speed(role => 'regress_speed_app', tenant_root => 'companies', tables => '{events}') WHERE check_name IN ('plan_cost', 'partition_pruning');
SELECT check_name, status IN ('PASS', 'WARN') AS good, regexp_replace(detail, ', medians.*included\.( The fastest.* ms\.)?', '') AS detail FROM tenantmig.isolation_speed(role => 'regress_speed_app', tenant_root => 'companies', tables => '{events}', measure => true) WHERE check_name = 'execution_time';

\echo a partitioned table with few rows a tenant, known by their share
CREATE TABLE seats (id bigint NOT NULL, company_id bigint NOT NULL, body text NOT NULL) PARTITION BY HASH (company_id);
SELECT format('CREATE TABLE seats_%s PARTITION OF seats FOR VALUES WITH (MODULUS 2, REMAINDER %s)', i, i) FROM generate_series(0, 1) i \gexec
CREATE INDEX seats_company ON seats (company_id);
INSERT INTO companies SELECT i, 'company ' || i FROM generate_series(101, 4000) i;
INSERT INTO seats SELECT i, 1 + i % 4000, 'seat' FROM generate_series(1, 12000) i;
ALTER TABLE seats ADD FOREIGN KEY (company_id) REFERENCES companies;
GRANT SELECT ON seats TO regress_speed_app;
ALTER TABLE seats ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON seats TO regress_speed_app USING (company_id = (SELECT nullif(current_setting('tenantmig.tenant', true), '')::bigint));
ANALYZE seats;
SELECT n_distinct < 0 AS by_share FROM pg_stats WHERE tablename = 'seats' AND attname = 'company_id';
SELECT check_name, ratio, status, regexp_replace(detail, '"\d+"', 'T') AS detail FROM tenantmig.isolation_speed(role => 'regress_speed_app', tenant_root => 'companies', tables => '{seats}') WHERE check_name = 'plan_cost';
\echo a role that may not even enter the schema
RESET ROLE;
REVOKE USAGE ON SCHEMA speed FROM regress_speed_app;
SELECT check_name, actual, status FROM tenantmig.isolation_speed(role => 'regress_speed_app', tenant_root => 'companies', tables => '{seats}');
GRANT USAGE ON SCHEMA speed TO regress_speed_app;
SET ROLE regress_speed_owner;
DROP TABLE seats;
\echo a child without the index of its parent
CREATE TABLE loose (LIKE events);
INSERT INTO loose SELECT i, 1 + i % 100, repeat('event', 20) FROM generate_series(1, 5000) i;
DROP TABLE events CASCADE;
CREATE TABLE parent (id bigint NOT NULL, company_id bigint NOT NULL REFERENCES companies, body text NOT NULL);
CREATE INDEX ON parent (company_id);
GRANT SELECT ON parent TO regress_speed_app;
ALTER TABLE parent ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON parent TO regress_speed_app USING (company_id = (SELECT nullif(current_setting('tenantmig.tenant', true), '')::bigint));
ALTER TABLE loose INHERIT parent;
ANALYZE parent;
SELECT check_name, object, actual, status, detail, remedy FROM tenantmig.isolation_speed(role => 'regress_speed_app', tenant_root => 'companies', tables => '{parent}') WHERE check_name = 'tenant_index';
DROP TABLE parent, loose;

\echo unequal tenants: two have nearly all, one has ten rows
CREATE TABLE visits (id bigint NOT NULL, company_id bigint NOT NULL REFERENCES companies, body text NOT NULL);
INSERT INTO visits SELECT i, CASE WHEN i % 2000 = 0 THEN 3 WHEN i % 5 < 3 THEN 1 ELSE 2 END, 'visit' FROM generate_series(1, 20000) i;
CREATE INDEX visits_company ON visits (company_id);
GRANT SELECT ON visits TO regress_speed_app;
ALTER TABLE visits ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON visits TO regress_speed_app USING (company_id = (SELECT nullif(current_setting('tenantmig.tenant', true), '')::bigint));
ANALYZE visits;
\echo one plan for all, through the index
SELECT check_name, status, detail FROM tenantmig.isolation_speed(role => 'regress_speed_app', tenant_root => 'companies', tables => '{visits}') WHERE check_name = 'unequal_tenants';
\echo where the planner prefers to read the table
SET enable_bitmapscan = off;
SET random_page_cost = 20;
SELECT check_name, actual, ratio > 1.1 AS dearer, status, detail, remedy FROM tenantmig.isolation_speed(role => 'regress_speed_app', tenant_root => 'companies', tables => '{visits}') WHERE check_name <> 'policy';
\echo as advised
ALTER TABLE visits ALTER COLUMN company_id SET (n_distinct = 1000);
ANALYZE visits;
SELECT check_name, object, actual ~ 'used' AS used, status FROM tenantmig.isolation_speed(role => 'regress_speed_app', tenant_root => 'companies', tables => '{visits}') WHERE check_name <> 'policy';

RESET enable_bitmapscan;
RESET random_page_cost;

\echo names, types and values of other people
CREATE DOMAIN "key's" AS text;
CREATE TABLE "Ten ants" ("i""d" "key's" PRIMARY KEY);
INSERT INTO "Ten ants" SELECT 'it''s \ "' || i FROM generate_series(1, 20) i;
CREATE TABLE "or'ders" (id integer PRIMARY KEY, "com""pany" "key's" NOT NULL REFERENCES "Ten ants", "E Mail" text NOT NULL);
INSERT INTO "or'ders" SELECT i, 'it''s \ "' || 1 + i % 20, 'x' FROM generate_series(1, 20000) i;
CREATE INDEX "ten""ant" ON "or'ders" ("com""pany");
CREATE INDEX "lo'wer" ON "or'ders" (upper("E Mail"));
GRANT SELECT ON "or'ders" TO regress_speed_app;
ALTER TABLE "or'ders" ENABLE ROW LEVEL SECURITY;
CREATE POLICY "no'body" ON "or'ders" TO regress_speed_app USING ("com""pany" = (SELECT nullif(current_setting('my.tenant', true), '')));
ANALYZE "or'ders";
SELECT check_name, object, CASE check_name WHEN 'execution_time' THEN actual ~ ' ms against ' ELSE ratio <= 1.1 END AS good, CASE WHEN check_name <> 'execution_time' THEN status END AS status, remedy
FROM tenantmig.isolation_speed(role => 'regress_speed_app', tenant_root => '"Ten ants"', setting => 'my.tenant', measure => true);
\echo the wrong setting: rows of others, or none, are no comparison
SELECT check_name, actual, status, regexp_replace(detail, '^Tenant .* sees', 'Tenant … sees') AS detail FROM tenantmig.isolation_speed(role => 'regress_speed_app', tenant_root => '"Ten ants"', measure => true) WHERE check_name = 'execution_time';

\echo by migration: what isolate makes has nothing against it, for each role; partitions and children are read through their parents
RESET ROLE;
CREATE ROLE regress_speed_second;
GRANT USAGE ON SCHEMA speed TO regress_speed_second;
CREATE TABLE invoices (id bigint PRIMARY KEY, company_id bigint NOT NULL REFERENCES companies, total integer NOT NULL);
CREATE TABLE invoices_old (CHECK (id > 0)) INHERITS (invoices);
INSERT INTO invoices SELECT i, 1 + i % 100, i FROM generate_series(1, 20000) i;
CREATE INDEX invoices_company ON invoices (company_id);
CREATE INDEX invoices_old_company ON invoices_old (company_id);
GRANT SELECT ON invoices TO regress_speed_app, regress_speed_second;
ANALYZE invoices;
CALL tenantmig.isolate(tables => '{speed.invoices}', role => 'regress_speed_app,regress_speed_second', tenants => 'speed.companies', name => 'speedy');
SELECT relation, check_name, object, ratio, status, remedy, acted_as FROM tenantmig.isolation_speed('speedy');
SELECT relation, check_name, status, acted_as FROM tenantmig.isolation_speed('speedy', role => 'regress_speed_second', tables => '{invoices}', measure => true) WHERE check_name <> 'execution_time' OR status = 'SKIP';
SELECT FROM tenantmig.isolation_speed('speedy', role => 'regress_speed_other');
SELECT FROM tenantmig.isolation_speed('speedy', tables => '{customers}');
CALL tenantmig.down('speedy');
SELECT FROM tenantmig.isolation_speed('speedy');
DROP TABLE invoices CASCADE;
SET ROLE regress_speed_owner;

\echo rights: those of the owner and of the role, both
RESET ROLE;
SET ROLE regress_speed_other;
SELECT * FROM tenantmig.isolation_speed(role => 'regress_speed_app', tenant_root => 'companies');
RESET ROLE;
GRANT regress_speed_app TO regress_speed_other;
SET ROLE regress_speed_other;
SELECT * FROM tenantmig.isolation_speed(role => 'regress_speed_app', tenant_root => 'companies', tables => '{customers}');
RESET ROLE;
SELECT has_function_privilege('regress_speed_app', 'tenantmig.isolation_speed(text, text, text[], text, text, boolean)', 'EXECUTE') AS everybody;

\echo nothing changes, and what a policy does is undone
SET ROLE regress_speed_owner;
CREATE TABLE calls (at timestamptz);
GRANT INSERT ON calls TO regress_speed_app;
CREATE FUNCTION writes() RETURNS bigint LANGUAGE plpgsql VOLATILE AS $$ BEGIN INSERT INTO speed.calls VALUES (now()); RETURN 7; END $$;
ALTER POLICY tenant ON customers USING (company_id = (SELECT writes()));
SELECT check_name, status <> 'SKIP' AS judged, actual ~ 'ms' AS measured FROM tenantmig.isolation_speed(role => 'regress_speed_app', tenant_root => 'companies', tables => '{customers}', measure => true) WHERE check_name IN ('policy', 'execution_time');
SELECT count(*) AS calls FROM calls;
SELECT current_user, current_setting('row_security') AS row_security, current_setting('tenantmig.tenant') AS tenant, current_setting('max_parallel_workers_per_gather') AS workers;
\echo arguments
SELECT * FROM tenantmig.isolation_speed();
SELECT * FROM tenantmig.isolation_speed(role => 'regress_speed_app');
SELECT * FROM tenantmig.isolation_speed('nothing');
SELECT * FROM tenantmig.isolation_speed(role => 'regress_speed_nobody', tenant_root => 'companies');
SELECT * FROM tenantmig.isolation_speed(role => 'regress_speed_app', tenant_root => 'companies', tables => '{nothing}');
SELECT * FROM tenantmig.isolation_speed(role => 'regress_speed_app', tenant_root => 'companies', tables => '{NULL}');
SELECT * FROM tenantmig.isolation_speed(role => 'regress_speed_app', tenant_root => 'companies', setting => 'work_mem');
SELECT * FROM tenantmig.isolation_speed(role => 'regress_speed_app', tenant_root => 'companies', measure => NULL);

RESET ROLE;
RESET search_path;
DROP SCHEMA speed CASCADE;
DROP EXTENSION tenantmig;
DROP ROLE regress_speed_owner, regress_speed_app, regress_speed_other, regress_speed_second;
