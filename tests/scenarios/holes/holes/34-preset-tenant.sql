-- A tenant is set for the role: a connection that forgot to set one is company 3's.
ALTER ROLE shop_app SET tenantmig.tenant = '3';
-- proof
SELECT count(*) > 0 FROM customers;
-- undo
ALTER ROLE shop_app RESET tenantmig.tenant;
