-- title: b5: WHERE key IS NULL LIMIT 5,000
-- result: any
-- notice: stalled
\ir ../settle.sql
CREATE PROCEDURE fill_by_limit(size integer, most_rounds integer) LANGUAGE plpgsql AS $$
DECLARE
  done bigint := 0;
  written bigint;
  resolvable bigint := (SELECT count(*) FROM customers c JOIN settled s ON s.customer_id = c.id WHERE c.company_id IS NULL);
BEGIN
  FOR i IN 1 .. most_rounds LOOP
    WITH batch AS (SELECT id FROM customers WHERE company_id IS NULL LIMIT size FOR UPDATE SKIP LOCKED)
    UPDATE customers c SET company_id = s.company_id
    FROM batch b JOIN settled s ON s.customer_id = b.id
    WHERE c.id = b.id;
    GET DIAGNOSTICS written = ROW_COUNT;
    COMMIT;
    done := done + written;
    IF written = 0 THEN
      RAISE NOTICE 'stalled at % of % rows that have evidence: round % found % rows without any, and so does every round after it',
        done, resolvable, i, size;
      RETURN;
    END IF;
  END LOOP;
  RAISE NOTICE 'stalled at % of % rows that have evidence after % rounds', done, resolvable, most_rounds;
END $$;
CALL fill_by_limit(5000, 2000);
