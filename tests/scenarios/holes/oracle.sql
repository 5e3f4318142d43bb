-- For the proofs, which do not ask the extension: what becomes of a statement, always undone; and the plan of one.
CREATE FUNCTION pg_temp.outcome(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE statement;
  RAISE SQLSTATE 'HOLES';
EXCEPTION
  WHEN SQLSTATE 'HOLES' THEN RETURN '00000';
  WHEN OTHERS THEN RETURN SQLSTATE;
END $$;
CREATE FUNCTION pg_temp.plan(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE line text; lines text := '';
BEGIN
  FOR line IN EXECUTE 'EXPLAIN (COSTS off) ' || statement LOOP lines := lines || line || chr(10); END LOOP;
  RETURN lines;
END $$;
BEGIN;
