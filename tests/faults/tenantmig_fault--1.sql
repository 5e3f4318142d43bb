-- Helpers of the race specs: fault points (extension/src/bridge/fault.hpp) set, held and released, and calls whose error is looked at as rows.
-- Nothing of this is part of the product.

-- Each line: POINT ACTION [ARGUMENT] [hit=N] [percent=P]. Replaces all that was set; without a line, nothing is set any longer.
CREATE FUNCTION set(VARIADIC lines text[] DEFAULT '{}') RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE pg_catalog.format('COPY (SELECT pg_catalog.unnest(%L::text[])) TO %L', lines, pg_catalog.current_setting('data_directory') || '/tenantmig_faults');
END $$;

-- Whoever comes by a point that says "wait" waits for this session, until it releases the point.
CREATE FUNCTION hold(point text) RETURNS void LANGUAGE sql AS $$
  SELECT pg_catalog.pg_advisory_lock(7361, pg_catalog.hashtext(point))
$$;
CREATE FUNCTION release(point text) RETURNS boolean LANGUAGE sql AS $$
  SELECT pg_catalog.pg_advisory_unlock(7361, pg_catalog.hashtext(point))
$$;

-- How many processes wait at a point.
CREATE FUNCTION waiting(point text) RETURNS bigint LANGUAGE sql AS $$
  SELECT pg_catalog.count(*) FROM pg_catalog.pg_locks
  WHERE locktype = 'advisory' AND classid = 7361 AND objid = pg_catalog.hashtext(point)::bit(32)::bigint::oid AND NOT granted
    AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
$$;

-- Polls until the query says true, at most 30 s.
CREATE FUNCTION until(condition text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  met boolean;
BEGIN
  FOR i IN 1 .. 1500 LOOP
    EXECUTE condition INTO met;
    IF met THEN RETURN true; END IF;
    PERFORM pg_catalog.pg_sleep(0.02);
  END LOOP;
  RETURN false;
END $$;

-- Runs a command; its error comes back as rows: SQLSTATE and message, DETAIL, HINT.
CREATE FUNCTION attempt(command text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
  message text; detail text; hint text;
BEGIN
  EXECUTE command;
  RETURN NEXT 'done';
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
  RETURN QUERY SELECT line FROM (VALUES (SQLSTATE || ': ' || message), ('DETAIL: ' || nullif(detail, '')), ('HINT: ' || nullif(hint, ''))) v (line)
    WHERE line IS NOT NULL;
END $$;

-- Sets points to "wait" and holds them; what was set and held before is forgotten.
CREATE FUNCTION stop(VARIADIC points text[]) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_catalog.pg_advisory_unlock_all();
  PERFORM fault.set(VARIADIC ARRAY(SELECT p || ' wait' FROM pg_catalog.unnest(points) p));
  PERFORM fault.hold(p) FROM pg_catalog.unnest(points) p;
  RETURN 'the engine stops at ' || pg_catalog.array_to_string(points, ', ');
END $$;

-- Five customers: of company 1, of company 2, of both, of none, of company 1; and a migration "m" that finds that out from their branches (parents)
-- and orders (children).
CREATE FUNCTION shop() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM fault.close_shop();
  DROP EXTENSION IF EXISTS tenantmig CASCADE;
  CREATE EXTENSION tenantmig;
  CREATE TABLE public.companies (id int PRIMARY KEY);
  CREATE TABLE public.branches (id int PRIMARY KEY, company_id int);
  CREATE TABLE public.customers (id int PRIMARY KEY, company_id int REFERENCES public.companies, branch_id int REFERENCES public.branches, name text);
  CREATE TABLE public.orders (id int PRIMARY KEY, customer_id int REFERENCES public.customers ON UPDATE CASCADE ON DELETE CASCADE, company_id int);
  INSERT INTO public.companies VALUES (1), (2), (3);
  INSERT INTO public.branches VALUES (1, 1), (2, 2);
  INSERT INTO public.customers VALUES (1, NULL, 1, 'one'), (2, NULL, NULL, 'two'), (3, NULL, 1, 'three'), (4, NULL, NULL, 'four'), (5, NULL, 1, 'five');
  INSERT INTO public.orders VALUES (1, 1, 1), (2, 2, 2), (3, 3, 2);
  PERFORM fault.migration();
END $$;

CREATE FUNCTION migration() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  RETURN tenantmig.create_migration('{"migration": "m", "tenants": {"table": "companies"}, "steps": [{"backfill": {"table": "customers",
    "column": "company_id", "sources": [{"via": "branch_id"}, {"via": "orders.customer_id"}]}}]}');
END $$;

CREATE FUNCTION close_shop() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM fault.set();
  DROP TABLE IF EXISTS public.orders, public.customers, public.clients, public.branches, public.companies CASCADE;
END $$;

-- All that there is to see afterwards: runs, rows, changes, reviews, and the checks that do not pass.
CREATE FUNCTION look() RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
  RETURN QUERY SELECT pg_catalog.format('run: %s%s', state, ': ' || error) FROM tenantmig.runs ORDER BY id;
  IF pg_catalog.to_regclass('public.customers') IS NOT NULL THEN
    RETURN QUERY SELECT 'row: ' || pg_catalog.to_jsonb(c)::text FROM public.customers c ORDER BY id;
  END IF;
  RETURN QUERY SELECT pg_catalog.format('change: %s %s, %s to %s (%s)', row_key, column_name, coalesce(old_value, '-'), coalesce(new_value, '-'), source)
    FROM tenantmig.changes ORDER BY run_id, batch, row_key::text;
  RETURN QUERY SELECT pg_catalog.format('review: %s %s, %s', row_key, class, state) FROM tenantmig.review('m', true) ORDER BY row_key::text, id;
  RETURN QUERY SELECT 'chain: ' || v.status FROM tenantmig.runs r CROSS JOIN LATERAL tenantmig.verify_changes(r.id) v WHERE v.status <> 'PASS';
  IF EXISTS (SELECT FROM tenantmig.runs WHERE state = 'completed') THEN
    RETURN QUERY SELECT pg_catalog.format('check: %s %s, %s for %s %s', check_name, status, actual, expected, detail) FROM tenantmig.verify('m') WHERE status <> 'PASS';
  END IF;
END $$;
