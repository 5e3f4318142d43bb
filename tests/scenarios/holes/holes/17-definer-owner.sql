-- A function of the tables' owner, over a table whose FORCE was taken off so that it works.
ALTER TABLE settings NO FORCE ROW LEVEL SECURITY;
CREATE FUNCTION currency_of(company bigint) RETURNS text LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS 'SELECT s.currency FROM public.settings s WHERE s.company_id = company';
ALTER FUNCTION currency_of(bigint) OWNER TO shop_owner;
-- proof
SET tenantmig.tenant = '1';
SELECT currency_of(2) = 'EUR';
