-- title: b3: batches of 1,000 touched for a trigger (pgroll's way)
\ir ../settle.sql
CREATE FUNCTION compute_company() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.company_id IS NULL THEN
    NEW.company_id := (SELECT s.company_id FROM settled s WHERE s.customer_id = NEW.id);
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER compute_company BEFORE INSERT OR UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION compute_company();
CREATE PROCEDURE touch_all(size integer) LANGUAGE plpgsql AS $$
DECLARE
  last_key bigint := 0;
  reached bigint;
BEGIN
  LOOP
    WITH batch AS (
      SELECT id FROM customers WHERE id > last_key ORDER BY id LIMIT size FOR NO KEY UPDATE
    ), touched AS (
      UPDATE customers c SET id = c.id FROM batch WHERE c.id = batch.id RETURNING c.id)
    SELECT max(id) INTO reached FROM touched;
    COMMIT;
    EXIT WHEN reached IS NULL;
    last_key := reached;
  END LOOP;
END $$;
CALL touch_all(1000);
DROP TRIGGER compute_company ON customers;
