-- Evidence of the baselines that go by batches, gathered once. Without it each batch would read all appointments again,
-- as they have no index by customer; so this is in their favour.
CREATE TEMPORARY TABLE settled AS
  SELECT customer_id, min(company_id) AS company_id, 'appointments' AS source FROM appointments
  GROUP BY customer_id HAVING min(company_id) = max(company_id)
  ORDER BY customer_id;
CREATE UNIQUE INDEX settled_key ON settled (customer_id);
INSERT INTO settled
  SELECT customer_id, min(company_id), 'phone_numbers' FROM phone_numbers
  GROUP BY customer_id HAVING min(company_id) = max(company_id)
  ON CONFLICT DO NOTHING;
ANALYZE settled;
