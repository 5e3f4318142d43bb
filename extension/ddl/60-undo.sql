CREATE FUNCTION tenantmig.rollback(run bigint, OUT relation text, OUT outcome text, OUT reason text, OUT row_count bigint) RETURNS SETOF record
  LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'tenantmig_rollback';
COMMENT ON FUNCTION tenantmig.rollback(bigint) IS
  'undoes a run exactly, in the caller''s transaction, last change first: restores a value only where the row still holds what the run wrote; the others are counted by reason and listed in undo_skipped. Closes the run''s open reviews. Errors: 42704, 42501, 25006, 55000 (rolled back already), 55006 (a run is active), TM006 (its log was tampered with), 55P03. Locks: ROW EXCLUSIVE and row locks until the transaction ends.';
REVOKE ALL ON FUNCTION tenantmig.rollback(bigint) FROM PUBLIC;

CREATE FUNCTION tenantmig.undo_script(run bigint) RETURNS SETOF text
  LANGUAGE C STABLE AS 'MODULE_PATHNAME', 'tenantmig_undo_script';
COMMENT ON FUNCTION tenantmig.undo_script(bigint) IS
  'the same undo as plain SQL that works without the extension, line by line: one transaction of compare-and-set UPDATEs, last change first, and a count of what they restored. Errors: 42704, 42501.';
REVOKE ALL ON FUNCTION tenantmig.undo_script(bigint) FROM PUBLIC;

CREATE VIEW tenantmig.undo_skipped AS
  SELECT s.run_id, format('%I.%I', s.schema_name, s.table_name) AS relation, tenantmig.row_key(s.key_columns, s.key_types, s.key) AS row_key,
         s.column_name, s.wrote, s.found, s.reason, s.skipped_at
  FROM tenantmig.undo_skip s;
COMMENT ON VIEW tenantmig.undo_skipped IS 'rows that a rollback left alone, what the run wrote there and what stands there now';
COMMENT ON COLUMN tenantmig.undo_skipped.run_id IS 'run that was rolled back';
COMMENT ON COLUMN tenantmig.undo_skipped.relation IS 'table';
COMMENT ON COLUMN tenantmig.undo_skipped.row_key IS 'key of the row, {column: value}';
COMMENT ON COLUMN tenantmig.undo_skipped.column_name IS 'column';
COMMENT ON COLUMN tenantmig.undo_skipped.wrote IS 'value that the run wrote';
COMMENT ON COLUMN tenantmig.undo_skipped.found IS 'value that stood there instead';
COMMENT ON COLUMN tenantmig.undo_skipped.reason IS 'value changed since, row is gone, or update suppressed by a trigger, rule or policy';
COMMENT ON COLUMN tenantmig.undo_skipped.skipped_at IS 'when the rollback left it alone';

CREATE FUNCTION tenantmig.report(run bigint, format text DEFAULT 'markdown') RETURNS text
  LANGUAGE C STABLE AS 'MODULE_PATHNAME', 'tenantmig_report';
COMMENT ON FUNCTION tenantmig.report(bigint, text) IS
  'report of a run as markdown or json: times, counts per source, success rate, checks, open reviews, columns that the user''s triggers changed, how to undo. The other checks than that of the chain need the privileges of the migration''s owner. Errors: 42704, 42501, 22023 (unknown format).';
REVOKE ALL ON FUNCTION tenantmig.report(bigint, text) FROM PUBLIC;
