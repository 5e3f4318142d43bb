-- A foreign key without the tenant key: the error says whether another company has an invoice of that number, and a payment can be put on it.
ALTER TABLE payments DROP CONSTRAINT payments_company_id_invoice_id_fkey;
ALTER TABLE payments ADD CONSTRAINT payments_invoice_id_fkey FOREIGN KEY (invoice_id) REFERENCES invoices;
-- proof
SET tenantmig.tenant = '1';
SELECT pg_temp.outcome('INSERT INTO payments (company_id, invoice_id, amount) VALUES (1, (SELECT max(invoice_id) + 41 FROM payments), 1)') = '00000';
