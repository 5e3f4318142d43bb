-- A function is called LEAKPROOF, to be quick, and is not: it is asked before the policy, and its error says what it was given.
CREATE FUNCTION is_positive(value text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE LEAKPROOF COST 0.1 AS $f$ BEGIN RETURN value::bigint > 0; END $f$;
-- proof
SET tenantmig.tenant = '5';
SET enable_indexscan = off;
SET enable_bitmapscan = off;
SELECT pg_temp.outcome('SELECT FROM users WHERE is_positive(email)') = '22P02';
