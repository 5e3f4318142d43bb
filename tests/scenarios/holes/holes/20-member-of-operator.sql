-- The role for reports is a member of the platform's role: the policy of the latter is its own.
GRANT shop_operator TO shop_reader;
-- proof as shop_reader
SET tenantmig.tenant = '1';
SELECT count(*) > 0 FROM customers WHERE company_id <> 1;
-- undo
REVOKE shop_operator FROM shop_reader;
