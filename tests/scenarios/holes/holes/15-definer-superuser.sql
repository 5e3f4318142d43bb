-- A function for the log-in page, with a superuser's rights: it knows all companies' users.
CREATE FUNCTION find_user(address text) RETURNS bigint LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS 'SELECT u.company_id FROM public.users u WHERE u.email = address';
-- proof
SET tenantmig.tenant = '1';
SELECT find_user('user1@company2.example') = 2;
