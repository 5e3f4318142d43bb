-- Columns that drop_column has removed (or add_column's way back), whose values are kept.
CREATE TABLE tenantmig.kept_column (
  migration_id  bigint NOT NULL REFERENCES tenantmig.migration (id) ON DELETE CASCADE,
  step          integer NOT NULL,
  kind          text NOT NULL CHECK (kind IN ('drop_column','add_column')),
  state         text NOT NULL CHECK (state IN ('preparing','filling','dropped','kept','restoring','purged')),
  schema_name   text NOT NULL,
  table_name    text NOT NULL,
  relation_oid  oid NOT NULL,
  database_oid  oid NOT NULL,
  column_name   text NOT NULL,
  column_number smallint NOT NULL,
  keep_schema   text,
  keep_table    text,
  journal_table text,
  key_columns   text[] NOT NULL DEFAULT '{}',
  shape         jsonb NOT NULL DEFAULT '{}',
  position      bigint NOT NULL DEFAULT 0,
  bound         bigint NOT NULL DEFAULT 0,
  row_count     bigint NOT NULL DEFAULT 0,
  restored      bigint NOT NULL DEFAULT 0,
  kept_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (migration_id, step)
);
COMMENT ON TABLE tenantmig.kept_column IS 'columns that a step has dropped, or is about to: where their values are kept (table keep_schema.keep_table, one row per row of the table: its key and the value; none for a generated column), and in shape all that hung on the column: type, default, constraints, indexes, grants, comments. state: preparing (tables made), filling (a trigger writes changes to the journal, values are copied up to block position of bound), dropped (the column is gone, the journal not yet worked in), kept, restoring (the column is back, values are written up to block position of bound), purged (the values are gone: no way back). Numbers are valid in the database of that OID, names everywhere';

CREATE SEQUENCE tenantmig.keep_seq AS bigint;
COMMENT ON SEQUENCE tenantmig.keep_seq IS 'order of the changes that the triggers of columns about to be dropped note';

SELECT pg_catalog.pg_extension_config_dump('tenantmig.kept_column', '');
SELECT pg_catalog.pg_extension_config_dump('tenantmig.keep_seq', '');

CREATE VIEW tenantmig.kept_columns AS
  SELECT m.name AS migration, k.step, format('%I.%I', k.schema_name, k.table_name) AS relation, k.column_name, k.row_count,
    pg_total_relation_size(c.oid) AS bytes, k.kept_at, format('%I.%I', k.keep_schema, k.keep_table) AS keep_table
  FROM tenantmig.kept_column k JOIN tenantmig.migration m ON m.id = k.migration_id
    LEFT JOIN (pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace) ON n.nspname = k.keep_schema AND c.relname = k.keep_table
  WHERE k.state IN ('dropped', 'kept', 'restoring') AND k.keep_table IS NOT NULL
  ORDER BY m.name, k.step;
COMMENT ON VIEW tenantmig.kept_columns IS 'columns that are dropped and whose values are kept, so that down brings them back';
COMMENT ON COLUMN tenantmig.kept_columns.migration IS 'name of the migration';
COMMENT ON COLUMN tenantmig.kept_columns.step IS 'number of the step that has dropped the column';
COMMENT ON COLUMN tenantmig.kept_columns.relation IS 'the table';
COMMENT ON COLUMN tenantmig.kept_columns.column_name IS 'the column, as it was called when it was dropped';
COMMENT ON COLUMN tenantmig.kept_columns.row_count IS 'rows whose value is kept';
COMMENT ON COLUMN tenantmig.kept_columns.bytes IS 'what they need on disk; NULL: the table that holds them is gone';
COMMENT ON COLUMN tenantmig.kept_columns.kept_at IS 'when the column was dropped';
COMMENT ON COLUMN tenantmig.kept_columns.keep_table IS 'the table that holds them, of the same owner';

CREATE FUNCTION tenantmig.keep_column() RETURNS trigger
  LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'tenantmig_keep_column';
COMMENT ON FUNCTION tenantmig.keep_column() IS
  'trigger function of a step drop_column while it copies the values of the column: notes what is written meanwhile in a journal table of the same owner. Made and removed by the step. Arguments: schema and name of the journal, the number of the column, then those of the key. Lets every write pass: a trigger whose journal or columns are not there any more does nothing. Errors: 39P01 (not called as such a trigger). Locks: ROW EXCLUSIVE on the journal.';
REVOKE ALL ON FUNCTION tenantmig.keep_column() FROM PUBLIC;
