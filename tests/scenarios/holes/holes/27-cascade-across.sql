-- A foreign key without the tenant key that deletes: when one company deletes a customer, rows of another one go with it.
ALTER TABLE invoices DROP CONSTRAINT invoices_company_id_customer_id_fkey;
ALTER TABLE invoices ADD CONSTRAINT invoices_customer_id_fkey FOREIGN KEY (customer_id) REFERENCES customers ON DELETE CASCADE;
-- proof
SET tenantmig.tenant = '1';
INSERT INTO customers (company_id, name, email) VALUES (1, 'Bait', 'bait@mail1.example') RETURNING id AS bait \gset
SET tenantmig.tenant = '2';
INSERT INTO invoices (company_id, customer_id, number, net, tax, issued_on) VALUES (2, :'bait', 'mine', 1, 0, '2026-01-01');
SET tenantmig.tenant = '1';
DELETE FROM customers WHERE id = :'bait';
SET tenantmig.tenant = '2';
SELECT count(*) = 0 FROM invoices WHERE number = 'mine';
