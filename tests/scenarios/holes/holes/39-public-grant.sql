-- Everybody may read the table, and a policy for another role lets that one see all of it.
GRANT SELECT ON customers TO PUBLIC;
CREATE POLICY visitors ON customers FOR SELECT TO shop_visitor USING (deleted_at IS NULL);
-- proof as shop_visitor
SET tenantmig.tenant = '1';
SELECT count(*) > 0 FROM customers WHERE company_id <> 1;
