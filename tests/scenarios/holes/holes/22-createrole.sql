-- Up to PostgreSQL 15, who may make roles may make itself a member of any that is no superuser.
ALTER ROLE shop_app CREATEROLE;
-- proof
SET tenantmig.tenant = '1';
GRANT shop_operator TO shop_app;
SELECT count(*) > 0 FROM customers WHERE company_id <> 1;
-- undo
ALTER ROLE shop_app NOCREATEROLE;
