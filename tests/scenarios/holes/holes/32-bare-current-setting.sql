-- The setting is read bare: an error where none is set, and once a row instead of once a query.
ALTER POLICY tenantmig_tenant ON order_items USING (company_id = current_setting('tenantmig.tenant')::bigint);
-- proof
SELECT pg_temp.outcome('SELECT count(*) FROM order_items') = '42704';
