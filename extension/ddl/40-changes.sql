CREATE FUNCTION tenantmig.unpack(key_columns text[], key_types text[], keys text[], old_values text[], new_values text[],
  OUT row_key jsonb, OUT old_value text, OUT new_value text) RETURNS SETOF record
  LANGUAGE C IMMUTABLE ROWS 10000 AS 'MODULE_PATHNAME', 'tenantmig_unpack';
COMMENT ON FUNCTION tenantmig.unpack(text[], text[], text[], text[], text[]) IS
  'rows of one packed entry of the change log; row_key is {column: value}, integers as numbers. No locks.';
REVOKE ALL ON FUNCTION tenantmig.unpack(text[], text[], text[], text[], text[]) FROM PUBLIC;

CREATE FUNCTION tenantmig.row_key(key_columns text[], key_types text[], key text) RETURNS jsonb
  LANGUAGE C IMMUTABLE AS 'MODULE_PATHNAME', 'tenantmig_row_key';
COMMENT ON FUNCTION tenantmig.row_key(text[], text[], text) IS 'a packed key as {column: value}, integers as numbers. No locks.';
REVOKE ALL ON FUNCTION tenantmig.row_key(text[], text[], text) FROM PUBLIC;

CREATE VIEW tenantmig.changes AS
  SELECT l.run_id, l.batch, format('%I.%I', l.schema_name, l.table_name) AS relation, u.row_key, l.column_name, u.old_value, u.new_value, l.source, l.changed_at
  FROM tenantmig.change_log l
  CROSS JOIN LATERAL tenantmig.unpack(l.key_columns, l.key_types, l.keys, l.old_values, l.new_values) u;
COMMENT ON VIEW tenantmig.changes IS 'the change log, one row per change; source: the evidence, or soft_delete, assign, review, rollback';
COMMENT ON COLUMN tenantmig.changes.run_id IS 'run';
COMMENT ON COLUMN tenantmig.changes.batch IS 'batch of the run';
COMMENT ON COLUMN tenantmig.changes.relation IS 'table';
COMMENT ON COLUMN tenantmig.changes.row_key IS 'key of the row, {column: value}';
COMMENT ON COLUMN tenantmig.changes.column_name IS 'column that was written';
COMMENT ON COLUMN tenantmig.changes.old_value IS 'value before, as text';
COMMENT ON COLUMN tenantmig.changes.new_value IS 'value after, as text';
COMMENT ON COLUMN tenantmig.changes.source IS 'the source whose evidence decided, or assign, soft_delete, review, rollback';
COMMENT ON COLUMN tenantmig.changes.changed_at IS 'when the entry was written';

CREATE FUNCTION tenantmig.digest(run bigint) RETURNS text
  LANGUAGE C STABLE AS 'MODULE_PATHNAME', 'tenantmig_digest';
COMMENT ON FUNCTION tenantmig.digest(bigint) IS
  'fingerprint of a run''s change log, to keep outside of the database: "run=R entries=N rows=M" and the head of each chain. Errors: 42704. No locks on user tables.';
REVOKE ALL ON FUNCTION tenantmig.digest(bigint) FROM PUBLIC;

CREATE FUNCTION tenantmig.verify_changes(run bigint, digest text DEFAULT NULL,
  OUT check_name text, OUT status text, OUT expected text, OUT actual text, OUT detail text, OUT hint text) RETURNS SETOF record
  LANGUAGE C STABLE AS 'MODULE_PATHNAME', 'tenantmig_verify_changes';
COMMENT ON FUNCTION tenantmig.verify_changes(bigint, text) IS
  'whether a run''s change log was tampered with: recomputes the chains, names the first bad entry, and compares with a digest kept outside (which also notices a log that was shortened or replaced as a whole). Errors: 42704, 22023 (not a digest).';
REVOKE ALL ON FUNCTION tenantmig.verify_changes(bigint, text) FROM PUBLIC;
