CREATE VIEW tenantmig.review_rows AS
  SELECT b.first_id + u.position - 1 AS id, b.migration_id, b.run_id, b.step, b.schema_name, b.table_name, b.column_name, b.key_columns, b.key_types,
         u.key, b.class, u.candidates, coalesce(CASE d.state WHEN 'withdrawn' THEN 'dismissed' ELSE d.state END, 'open') AS state,
         coalesce(d.state = 'withdrawn', false) AS withdrawn, d.tenant, d.decided_by, d.decided_at, d.note
  FROM tenantmig.review_batch b
  CROSS JOIN LATERAL unnest(b.keys, b.candidates) WITH ORDINALITY u (key, candidates, position)
  LEFT JOIN tenantmig.review_decision d ON d.id = b.first_id + u.position - 1;
COMMENT ON VIEW tenantmig.review_rows IS 'the review queue unpacked, with its decisions; tenantmig.review() shows it to people';
COMMENT ON COLUMN tenantmig.review_rows.id IS 'number of the review: what resolve and dismiss take';
COMMENT ON COLUMN tenantmig.review_rows.migration_id IS 'migration';
COMMENT ON COLUMN tenantmig.review_rows.run_id IS 'run that queued it';
COMMENT ON COLUMN tenantmig.review_rows.step IS 'position of the step in the spec';
COMMENT ON COLUMN tenantmig.review_rows.schema_name IS 'schema of the table';
COMMENT ON COLUMN tenantmig.review_rows.table_name IS 'table';
COMMENT ON COLUMN tenantmig.review_rows.column_name IS 'tenant key';
COMMENT ON COLUMN tenantmig.review_rows.key_columns IS 'columns of the row''s key';
COMMENT ON COLUMN tenantmig.review_rows.key_types IS 'their types';
COMMENT ON COLUMN tenantmig.review_rows.key IS 'the row''s key in packed form; tenantmig.row_key(key_columns, key_types, key) unpacks it';
COMMENT ON COLUMN tenantmig.review_rows.class IS 'conflict, orphan or unknown_tenant';
COMMENT ON COLUMN tenantmig.review_rows.candidates IS '[{tenant, source, count}] as text, NULL for orphans';
COMMENT ON COLUMN tenantmig.review_rows.state IS 'open, resolved or dismissed';
COMMENT ON COLUMN tenantmig.review_rows.withdrawn IS 'dismissed by tenantmig itself: its run was rolled back, or newer evidence replaced it';
COMMENT ON COLUMN tenantmig.review_rows.tenant IS 'the tenant that was decided on';
COMMENT ON COLUMN tenantmig.review_rows.decided_by IS 'who decided';
COMMENT ON COLUMN tenantmig.review_rows.decided_at IS 'when';
COMMENT ON COLUMN tenantmig.review_rows.note IS 'why';

CREATE FUNCTION tenantmig.review(name text, include_closed boolean DEFAULT false,
  OUT id bigint, OUT run_id bigint, OUT relation text, OUT row_key jsonb, OUT class text, OUT candidates jsonb, OUT state text, OUT decided_by text,
  OUT decided_at timestamptz, OUT note text) RETURNS SETOF record
  LANGUAGE C STABLE AS 'MODULE_PATHNAME', 'tenantmig_review';
COMMENT ON FUNCTION tenantmig.review(text, boolean) IS
  'rows of a migration that need a decision; candidates: [{tenant, source, count}], count being the rows of evidence. include_closed: resolved and dismissed ones too. Errors: 42704. No locks on user tables.';
REVOKE ALL ON FUNCTION tenantmig.review(text, boolean) FROM PUBLIC;

CREATE FUNCTION tenantmig.resolve(id bigint, tenant text, note text DEFAULT NULL,
  OUT relation text, OUT row_key jsonb, OUT class text, OUT state text, OUT tenant text, OUT decided_by text) RETURNS SETOF record
  LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'tenantmig_resolve';
COMMENT ON FUNCTION tenantmig.resolve(bigint, text, text) IS
  'decides an open review: writes the tenant over NULL and records it in the change log. Needs UPDATE on the key''s column (the owner''s privileges where the table has row-level security). Errors: 42704, 42501, 22P02 (not a value of the key''s type), 23503 (no such tenant), 55000 (closed already, or the row has gone or has a key meanwhile). Locks: the row.';
REVOKE ALL ON FUNCTION tenantmig.resolve(bigint, text, text) FROM PUBLIC;

CREATE FUNCTION tenantmig.dismiss(id bigint, note text DEFAULT NULL,
  OUT relation text, OUT row_key jsonb, OUT class text, OUT state text, OUT decided_by text) RETURNS SETOF record
  LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'tenantmig_dismiss';
COMMENT ON FUNCTION tenantmig.dismiss(bigint, text) IS
  'closes an open review without writing; the row keeps its NULL and is queued again only when its evidence has changed. Errors: 42704, 42501, 55000 (closed already).';
REVOKE ALL ON FUNCTION tenantmig.dismiss(bigint, text) FROM PUBLIC;

CREATE FUNCTION tenantmig.import_reviews(name text, decisions jsonb, OUT outcome text, OUT row_count bigint) RETURNS SETOF record
  LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'tenantmig_import_reviews';
COMMENT ON FUNCTION tenantmig.import_reviews(text, jsonb) IS
  'applies a list of decisions [{line, id, decision: resolve | dismiss | "", tenant, note}] or none of it: the first bad one is an error of resolve or dismiss whose message starts with "line N: ". An empty decision leaves the review open. Errors: also TM012 (not a decision).';
REVOKE ALL ON FUNCTION tenantmig.import_reviews(text, jsonb) FROM PUBLIC;
