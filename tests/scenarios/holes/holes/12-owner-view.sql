-- A view with its owner's rights over a table whose FORCE was taken off: the owner is under no policy.
ALTER TABLE customers NO FORCE ROW LEVEL SECURITY;
CREATE VIEW customer_list AS SELECT id, company_id, name FROM customers WHERE deleted_at IS NULL;
ALTER VIEW customer_list OWNER TO shop_owner;
GRANT SELECT ON customer_list TO shop_app;
-- proof
SET tenantmig.tenant = '1';
SELECT count(*) > 0 FROM customer_list WHERE company_id <> 1;
