-- A view that was made by a superuser: nothing holds it, FORCE included.
CREATE VIEW invoice_list AS SELECT company_id, number, total FROM invoices;
GRANT SELECT ON invoice_list TO shop_app;
-- proof
SET tenantmig.tenant = '1';
SELECT count(*) > 0 FROM invoice_list WHERE company_id <> 1;
