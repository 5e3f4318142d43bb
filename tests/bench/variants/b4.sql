-- title: b4: batches of 1,000 in sub-batches of 100 (GitLab's way, no pauses)
\ir ../settle.sql
CREATE TABLE migration_jobs (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, min_value bigint NOT NULL, max_value bigint NOT NULL,
  status text NOT NULL DEFAULT 'running', started_at timestamptz NOT NULL DEFAULT clock_timestamp(), finished_at timestamptz);
CREATE PROCEDURE run_jobs(batch_size integer, sub_batch_size integer) LANGUAGE plpgsql AS $$
DECLARE
  batch_from bigint := (SELECT min(id) FROM customers);
  batch_next bigint;
  sub_from bigint;
  sub_next bigint;
  job bigint;
BEGIN
  WHILE batch_from IS NOT NULL LOOP
    batch_next := (SELECT id FROM customers WHERE id >= batch_from ORDER BY id OFFSET batch_size LIMIT 1);
    INSERT INTO migration_jobs (min_value, max_value)
      VALUES (batch_from, coalesce(batch_next - 1, (SELECT max(id) FROM customers))) RETURNING id INTO job;
    COMMIT;
    sub_from := batch_from;
    WHILE sub_from IS NOT NULL LOOP
      sub_next := (SELECT id FROM customers WHERE id >= sub_from AND (batch_next IS NULL OR id < batch_next)
                   ORDER BY id OFFSET sub_batch_size LIMIT 1);
      UPDATE customers c SET company_id = s.company_id
      FROM settled s
      WHERE c.id >= sub_from AND (c.id < sub_next OR sub_next IS NULL) AND (c.id < batch_next OR batch_next IS NULL)
        AND s.customer_id = c.id AND c.company_id IS NULL;
      COMMIT;
      sub_from := sub_next;
    END LOOP;
    UPDATE migration_jobs SET status = 'succeeded', finished_at = clock_timestamp() WHERE id = job;
    COMMIT;
    batch_from := batch_next;
  END LOOP;
END $$;
CALL run_jobs(1000, 100);
