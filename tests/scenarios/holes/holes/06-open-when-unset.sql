-- No tenant set means all of them: a connection that forgot to set one reads every company's invoices.
ALTER POLICY tenantmig_tenant ON invoices USING (company_id = coalesce((SELECT nullif(current_setting('tenantmig.tenant', true), '')::bigint), company_id));
-- proof
SELECT count(DISTINCT company_id) > 1 FROM invoices;
