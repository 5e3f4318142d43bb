-- The application may set the sequence back: nobody's payment can be written then.
GRANT UPDATE ON SEQUENCE payments_id_seq TO shop_app;
-- proof
SET tenantmig.tenant = '1';
SELECT setval('payments_id_seq', 1, false);
SELECT pg_temp.outcome('INSERT INTO payments (company_id, invoice_id, amount) SELECT 1, max(invoice_id), 1 FROM payments') = '23505';
