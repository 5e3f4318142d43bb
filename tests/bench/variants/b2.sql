-- title: b2: procedure, key ranges of 5,000, commits, log
\ir ../settle.sql
CREATE TABLE company_log (customer_id bigint NOT NULL, new_company bigint NOT NULL, source text NOT NULL, changed_at timestamptz NOT NULL DEFAULT now());
CREATE PROCEDURE fill_by_ranges(size bigint) LANGUAGE plpgsql AS $$
DECLARE
  low bigint;
  high bigint;
BEGIN
  SELECT min(id), max(id) INTO low, high FROM customers;
  WHILE low <= high LOOP
    WITH changed AS (
      UPDATE customers c SET company_id = s.company_id
      FROM settled s
      WHERE c.id >= low AND c.id < low + size AND s.customer_id >= low AND s.customer_id < low + size
        AND s.customer_id = c.id AND c.company_id IS NULL
      RETURNING c.id, c.company_id, s.source)
    INSERT INTO company_log (customer_id, new_company, source) SELECT id, company_id, source FROM changed;
    COMMIT;
    low := low + size;
  END LOOP;
END $$;
CALL fill_by_ranges(5000);
