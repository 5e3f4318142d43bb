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
