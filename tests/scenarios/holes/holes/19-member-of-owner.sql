-- The application may become the tables' owner: it takes FORCE off, or the policy, and reads everything.
ALTER ROLE shop_app NOINHERIT;
GRANT shop_owner TO shop_app;
-- proof
SET tenantmig.tenant = '1';
SET ROLE shop_owner;
ALTER TABLE customers NO FORCE ROW LEVEL SECURITY;
SELECT count(*) > 0 FROM customers WHERE company_id <> 1;
-- undo
REVOKE shop_owner FROM shop_app;
ALTER ROLE shop_app INHERIT;
