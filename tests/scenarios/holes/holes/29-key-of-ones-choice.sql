-- The application may choose the number of an invoice's row: a refusal says that another company has it.
GRANT INSERT ON invoices TO shop_app;
-- proof
SET tenantmig.tenant = '1';
SELECT pg_temp.outcome($$INSERT INTO invoices (id, company_id, customer_id, number, net, tax, issued_on) OVERRIDING SYSTEM VALUE VALUES ((SELECT max(id) + 1 FROM invoices), 1, '00000000-0000-4000-8000-000001000001', 'x', 1, 0, '2026-01-01')$$) = '23505';
