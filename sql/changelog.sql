-- The change log: unpacked, its digest, and every way to tamper with it.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS tenantmig CASCADE;
CREATE EXTENSION tenantmig;
CREATE SCHEMA shop;
SET search_path = shop, public;
CREATE FUNCTION attempt(command text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
  state text; message text; detail text; hint text;
BEGIN
  EXECUTE command;
  RETURN NEXT 'no error';
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
  RETURN NEXT state || ': ' || message;
  IF detail <> '' THEN RETURN NEXT 'DETAIL: ' || detail; END IF;
  IF hint <> '' THEN RETURN NEXT 'HINT: ' || hint; END IF;
END $$;

-- unpack and row_key: pure functions of packed entries
SELECT * FROM tenantmig.unpack('{id}', '{integer}', '{1,2,3}', NULL, '{10,NULL,30}');
SELECT * FROM tenantmig.unpack('{a,"b c"}', '{text,bigint}', ARRAY['{x,1}', '{"y,\"z\"",-2}', '{"",3}'], ARRAY['', NULL, 'NULL'], NULL);
SELECT * FROM tenantmig.unpack('{id}', '{uuid}', '{}', NULL, NULL);
SELECT tenantmig.row_key('{id}', '{integer}', '7'), tenantmig.row_key('{id}', '{text}', '7'), tenantmig.row_key('{id}', '{text}', E'a"\n\\');
SELECT tenantmig.row_key('{a,b}', '{smallint,uuid}', '{-1,00000000-0000-0000-0000-000000000001}');
SELECT tenantmig.row_key('{id}', '{integer}', 'seven'); -- no number: it was tampered with, and is still JSON
SELECT * FROM attempt($$SELECT * FROM tenantmig.unpack(NULL, '{integer}', '{1}', NULL, NULL)$$);
SELECT * FROM attempt($$SELECT * FROM tenantmig.unpack('{id}', NULL, '{1}', NULL, NULL)$$);
SELECT * FROM attempt($$SELECT * FROM tenantmig.unpack('{id}', '{integer}', NULL, NULL, NULL)$$);
SELECT * FROM attempt($$SELECT * FROM tenantmig.unpack('{id}', '{integer}', '{1,2}', '{1}', NULL)$$);
SELECT * FROM attempt($$SELECT * FROM tenantmig.unpack('{id}', '{integer,text}', '{1}', NULL, NULL)$$);
SELECT * FROM attempt($$SELECT * FROM tenantmig.unpack('{a,b}', '{integer,integer}', '{1}', NULL, NULL)$$);
SELECT * FROM attempt($$SELECT * FROM tenantmig.unpack('{}', '{}', '{1}', NULL, NULL)$$);
SELECT * FROM attempt($$SELECT tenantmig.row_key('{a,b}', '{integer,integer}', '{1,2,3}')$$);
SELECT * FROM attempt($$SELECT tenantmig.row_key('{a}', '{integer}', NULL)$$);

-- a run with several entries
CREATE TABLE companies (id bigint PRIMARY KEY);
INSERT INTO companies VALUES (1), (2);
CREATE TABLE customers (id bigint PRIMARY KEY, company_id bigint REFERENCES companies, deleted_at timestamptz);
CREATE TABLE appointments (customer_id bigint REFERENCES customers, company_id bigint REFERENCES companies);
CREATE TABLE calls (customer_id bigint REFERENCES customers, company_id bigint REFERENCES companies);
INSERT INTO customers SELECT n FROM generate_series(1, 9) n;
INSERT INTO appointments VALUES (1, 1), (2, 2), (3, 1);
INSERT INTO calls VALUES (4, 1), (5, 2);
SELECT outcome, source, row_count FROM tenantmig.backfill('customers', 'company_id', on_orphan => 'soft_delete', soft_delete => 'deleted_at');
SELECT run_id, batch, relation, row_key, column_name, old_value, CASE column_name WHEN 'deleted_at' THEN 'a time' ELSE new_value END AS new_value, source
FROM tenantmig.changes ORDER BY column_name, row_key;
SELECT entry, source, row_count, array_length(keys, 1) AS keys FROM tenantmig.change_log ORDER BY entry;
SELECT regexp_replace(tenantmig.digest(1), '=[0-9a-f]{64}', '=HASH') AS digest;
SELECT * FROM tenantmig.verify_changes(1);
SELECT tenantmig.digest(1) AS digest \gset

-- the digest, kept outside
SELECT check_name, status, expected = actual AS same, detail, hint FROM tenantmig.verify_changes(1, :'digest');
SELECT check_name, status FROM tenantmig.verify_changes(1, E'  ' || replace(:'digest', ' ', E'\n') || E'\n');
SELECT * FROM attempt('SELECT * FROM tenantmig.verify_changes(1, ''run=1'')');
SELECT * FROM attempt('SELECT * FROM tenantmig.verify_changes(1, '''')');
SELECT * FROM attempt('SELECT * FROM tenantmig.verify_changes(1, ''run=1 entries=1 rows=1 chain0=abc'')');
SELECT * FROM attempt('SELECT * FROM tenantmig.verify_changes(1, ''entries=1 run=1 rows=1'')');
SELECT * FROM attempt('SELECT * FROM tenantmig.verify_changes(1, ''run=2 entries=0 rows=0'')');
SELECT * FROM attempt('SELECT * FROM tenantmig.verify_changes(NULL)');
SELECT * FROM attempt('SELECT * FROM tenantmig.verify_changes(4711)');
SELECT * FROM attempt('SELECT tenantmig.digest(4711)');
SELECT * FROM attempt('SELECT tenantmig.digest(NULL)');

-- the hash does not depend on who reads it under which settings
SET timezone = 'Asia/Kolkata';
SET datestyle = 'SQL, DMY';
SET bytea_output = 'escape';
SET extra_float_digits = -5;
SELECT check_name, status FROM tenantmig.verify_changes(1, :'digest');
SELECT tenantmig.digest(1) = :'digest' AS same;
RESET timezone;
RESET datestyle;
RESET bytea_output;
RESET extra_float_digits;

-- tampering, each undone again
CREATE FUNCTION tamper(command text, digest text) RETURNS TABLE (check_name text, status text, actual text, detail text) LANGUAGE plpgsql AS $$
DECLARE
  found jsonb;
BEGIN
  BEGIN
    EXECUTE command;
    SELECT jsonb_agg(v) INTO found FROM tenantmig.verify_changes(1, tamper.digest) v;
    RAISE EXCEPTION 'undo' USING ERRCODE = 'P0099';
  EXCEPTION WHEN SQLSTATE 'P0099' THEN
  END;
  RETURN QUERY SELECT v.check_name, v.status, regexp_replace(v.actual, '=[0-9a-f]{64}', '=HASH', 'g'), v.detail
    FROM jsonb_to_recordset(found) v (check_name text, status text, actual text, detail text);
END $$;
SELECT * FROM tamper('SELECT 1', :'digest');
-- a value, a NULL, a key, an old value, a time, a source, a name, a key's type, a batch
SELECT * FROM tamper('UPDATE tenantmig.change_log SET new_values[2] = ''1'' WHERE entry = 1', :'digest');
SELECT * FROM tamper('UPDATE tenantmig.change_log SET new_values[2] = NULL WHERE entry = 2', :'digest');
SELECT * FROM tamper('UPDATE tenantmig.change_log SET keys[1] = ''9'' WHERE entry = 2', :'digest');
SELECT * FROM tamper('UPDATE tenantmig.change_log SET old_values = array_fill(NULL::text, ARRAY[row_count]) WHERE entry = 1', :'digest');
SELECT * FROM tamper('UPDATE tenantmig.change_log SET changed_at = changed_at + ''1 microsecond'' WHERE entry = 2', :'digest');
SELECT * FROM tamper('UPDATE tenantmig.change_log SET source = ''calls'' WHERE entry = 1', :'digest');
SELECT * FROM tamper('UPDATE tenantmig.change_log SET table_name = ''clients'' WHERE entry = 1', :'digest');
SELECT * FROM tamper('UPDATE tenantmig.change_log SET schema_name = ''shopc'', table_name = ''ustomers'' WHERE entry = 1', :'digest');
SELECT * FROM tamper('UPDATE tenantmig.change_log SET key_types = ''{text}'' WHERE entry = 1', :'digest');
SELECT * FROM tamper('UPDATE tenantmig.change_log SET key_columns = ''{i,d}'' WHERE entry = 1', :'digest');
SELECT * FROM tamper('UPDATE tenantmig.change_log SET batch = 7 WHERE entry = 3', :'digest');
SELECT * FROM tamper('UPDATE tenantmig.change_log SET kind = ''rollback'' WHERE entry = 3', :'digest');
SELECT * FROM tamper('UPDATE tenantmig.change_log SET row_count = row_count + 1 WHERE entry = 2', :'digest');
SELECT * FROM tamper('UPDATE tenantmig.change_log SET hash = sha256(hash) WHERE entry = 1', :'digest');
SELECT * FROM tamper('UPDATE tenantmig.change_log SET hash = '''' WHERE entry = 3', :'digest');
SELECT * FROM tamper('UPDATE tenantmig.change_log SET keys = keys || ''8''::text, new_values = new_values || ''8''::text, row_count = row_count + 1 WHERE entry = 1', :'digest');
-- an entry in the middle, the first, the last (only the digest notices), all (likewise)
SELECT * FROM tamper('DELETE FROM tenantmig.change_log WHERE entry = 2', :'digest');
SELECT * FROM tamper('DELETE FROM tenantmig.change_log WHERE entry = 1', :'digest');
SELECT * FROM tamper('DELETE FROM tenantmig.change_log WHERE entry = 3', :'digest');
SELECT * FROM tamper('DELETE FROM tenantmig.change_log', :'digest');
-- the gap closed by new numbers
SELECT * FROM tamper('DELETE FROM tenantmig.change_log WHERE entry = 2; UPDATE tenantmig.change_log SET entry = 2 WHERE entry = 3', :'digest');
-- two entries swapped, one moved to another chain, one copied
SELECT * FROM tamper('UPDATE tenantmig.change_log SET entry = -entry; UPDATE tenantmig.change_log SET entry = CASE entry WHEN -1 THEN 2 WHEN -2 THEN 1 ELSE -entry END', :'digest');
SELECT * FROM tamper('UPDATE tenantmig.change_log SET chain = 1, entry = 1 WHERE entry = 3', :'digest');
SELECT * FROM tamper('INSERT INTO tenantmig.change_log SELECT run_id, chain, 4, batch, step, kind, schema_name, table_name, column_name, key_columns, key_types, source, row_count, keys, old_values, new_values, changed_at, hash FROM tenantmig.change_log WHERE entry = 3', :'digest');
SELECT check_name, status FROM tenantmig.verify_changes(1, :'digest');

-- a log that cannot be trusted undoes nothing
BEGIN;
UPDATE tenantmig.change_log SET new_values[1] = '2' WHERE entry = 1;
SELECT * FROM attempt('SELECT * FROM tenantmig.rollback(1)');
SELECT count(*) FROM customers WHERE company_id IS NULL;
ROLLBACK;

-- an entry that the extension itself adds afterwards does not break the digest
INSERT INTO customers VALUES (20, NULL), (21, NULL);
INSERT INTO calls VALUES (20, 1), (20, 2);
SELECT outcome, source, row_count FROM tenantmig.backfill('customers', 'company_id', on_orphan => 'soft_delete', soft_delete => 'deleted_at');
SELECT tenantmig.digest(2) AS digest \gset
SELECT state, tenant FROM tenantmig.resolve((SELECT id FROM tenantmig.review('customers.company_id') WHERE row_key = '{"id": 20}'), '2');
SELECT check_name, status, detail FROM tenantmig.verify_changes(2, :'digest');
SELECT outcome, row_count FROM tenantmig.rollback(2);
SELECT check_name, status, detail FROM tenantmig.verify_changes(2, :'digest');
SELECT batch, row_key, column_name, coalesce(substr(old_value, 1, 2), '') AS old_value, coalesce(substr(new_value, 1, 2), '') AS new_value, source
FROM tenantmig.changes WHERE run_id = 2 ORDER BY batch, row_key;
SELECT outcome, row_count FROM tenantmig.rollback(1);
-- a run that wrote nothing has no chain, and its digest says so
CREATE TABLE empty (id bigint PRIMARY KEY, company_id bigint REFERENCES companies, customer_id bigint REFERENCES customers);
SELECT outcome, row_count FROM tenantmig.backfill('empty', 'company_id');
SELECT tenantmig.digest(3);
SELECT check_name, status, actual, detail FROM tenantmig.verify_changes(3, tenantmig.digest(3));
SELECT * FROM tenantmig.rollback(3);
SELECT id, state FROM tenantmig.runs ORDER BY id;

DROP SCHEMA shop CASCADE;
SELECT tenantmig.drop_migration(migration, true) FROM tenantmig.migrations;
