-- title: by hand: one UPDATE per source, no log
BEGIN;
UPDATE customers SET company_id = evidence.company_id
FROM (SELECT customer_id, min(company_id) AS company_id FROM appointments
      GROUP BY customer_id HAVING min(company_id) = max(company_id)) evidence
WHERE evidence.customer_id = customers.id AND customers.company_id IS NULL;
UPDATE customers SET company_id = evidence.company_id
FROM (SELECT customer_id, min(company_id) AS company_id FROM phone_numbers
      GROUP BY customer_id HAVING min(company_id) = max(company_id)) evidence
WHERE evidence.customer_id = customers.id AND customers.company_id IS NULL;
UPDATE customers SET company_id = evidence.company_id
FROM (SELECT customer_id, min(company_id) AS company_id FROM invoices
      GROUP BY customer_id HAVING min(company_id) = max(company_id)) evidence
WHERE evidence.customer_id = customers.id AND customers.company_id IS NULL;
COMMIT;
