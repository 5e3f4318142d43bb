-- A superuser's view that asks for the tenant itself, and is no security barrier: a function in a query's condition is given the rows of all.
CREATE VIEW my_users AS SELECT email, name FROM users WHERE company_id = (SELECT nullif(current_setting('tenantmig.tenant', true), '')::bigint);
GRANT SELECT ON my_users TO shop_app;
-- proof
SET tenantmig.tenant = '5';
SET enable_indexscan = off;
SET enable_bitmapscan = off;
CREATE FUNCTION pg_temp.leak(value text) RETURNS boolean LANGUAGE plpgsql COST 0.1 AS $f$ BEGIN RAISE SQLSTATE 'LEAKS'; END $f$;
SELECT pg_temp.outcome('SELECT FROM my_users WHERE pg_temp.leak(email)') = 'LEAKS';
