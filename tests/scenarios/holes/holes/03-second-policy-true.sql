-- A second policy, for support: permissive ones are joined by OR, so every company reads all invoices.
CREATE POLICY support ON invoices FOR SELECT TO shop_app USING (true);
-- proof
SET tenantmig.tenant = '1';
SELECT count(*) > 0 FROM invoices WHERE company_id <> 1;
