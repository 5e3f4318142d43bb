-- Likewise, by SET ROLE only.
ALTER ROLE shop_app NOINHERIT;
GRANT shop_operator TO shop_app;
-- proof
SET tenantmig.tenant = '1';
SET ROLE shop_operator;
SELECT count(*) > 0 FROM customers WHERE company_id <> 1;
-- undo
REVOKE shop_operator FROM shop_app;
ALTER ROLE shop_app INHERIT;
