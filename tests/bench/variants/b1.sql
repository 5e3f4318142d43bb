-- title: b1: by hand, with a log row per change
CREATE TABLE company_log (customer_id bigint NOT NULL, new_company bigint NOT NULL, source text NOT NULL, changed_at timestamptz NOT NULL DEFAULT now());
BEGIN;
WITH changed AS (
  UPDATE customers SET company_id = evidence.company_id
  FROM (SELECT customer_id, min(company_id) AS company_id FROM appointments
        GROUP BY customer_id HAVING min(company_id) = max(company_id)) evidence
  WHERE evidence.customer_id = customers.id AND customers.company_id IS NULL
  RETURNING customers.id, customers.company_id)
INSERT INTO company_log (customer_id, new_company, source) SELECT id, company_id, 'appointments' FROM changed;
WITH changed AS (
  UPDATE customers SET company_id = evidence.company_id
  FROM (SELECT customer_id, min(company_id) AS company_id FROM phone_numbers
        GROUP BY customer_id HAVING min(company_id) = max(company_id)) evidence
  WHERE evidence.customer_id = customers.id AND customers.company_id IS NULL
  RETURNING customers.id, customers.company_id)
INSERT INTO company_log (customer_id, new_company, source) SELECT id, company_id, 'phone_numbers' FROM changed;
COMMIT;
