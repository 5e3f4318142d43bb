CREATE FUNCTION tenantmig.create_migration(spec jsonb) RETURNS text
  LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'tenantmig_create_migration';
COMMENT ON FUNCTION tenantmig.create_migration(jsonb) IS
  'checks a spec, resolves every name in it and stores it; the caller becomes its owner. Returns its name. The same spec again changes nothing. Errors: TM001 (the document, with the path of what is wrong), 42710 (the name stands for another spec), 42501 (not the owner of a table), 42P01, 42703, 42804 (types that don''t go together), 42830 (a referenced column that is not unique), 2201B (a format that is no regular expression), 42809 (not a table), 428C9 (a generated column), 55000 (no usable key), 0A000, 25006. Locks: ACCESS SHARE on the tables named.';
REVOKE ALL ON FUNCTION tenantmig.create_migration(jsonb) FROM PUBLIC;

CREATE FUNCTION tenantmig.check_migration(spec jsonb,
  OUT step integer, OUT kind text, OUT relation text, OUT column_name text, OUT source text, OUT tenant_column text, OUT note text) RETURNS SETOF record
  LANGUAGE C STABLE AS 'MODULE_PATHNAME', 'tenantmig_check_migration';
COMMENT ON FUNCTION tenantmig.check_migration(jsonb) IS
  'what create_migration would store, stored nowhere: each step in the order of execution with its sources as they were resolved. Errors and locks as create_migration.';
REVOKE ALL ON FUNCTION tenantmig.check_migration(jsonb) FROM PUBLIC;

CREATE FUNCTION tenantmig.drop_migration(name text, force boolean DEFAULT false) RETURNS void
  LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'tenantmig_drop_migration';
COMMENT ON FUNCTION tenantmig.drop_migration(text, boolean) IS
  'removes a migration with its runs, reviews and change log. Errors: 42704 (no such migration), 42501 (not its owner), 55006 (a run is active; its log is still needed to undo a run, or constraints are enforced: force => true drops it all the same, the constraints stay).';
REVOKE ALL ON FUNCTION tenantmig.drop_migration(text, boolean) FROM PUBLIC;

CREATE VIEW tenantmig.migrations AS
  SELECT m.id, m.name AS migration, m.owner, m.description, m.version, jsonb_array_length(m.spec -> 'steps') AS steps,
         (SELECT r.state FROM tenantmig.run_log r WHERE r.migration_id = m.id ORDER BY r.id DESC LIMIT 1) AS last_run,
         (SELECT coalesce(sum(b.row_count), 0)::bigint - (SELECT count(*) FROM tenantmig.review_decision d JOIN tenantmig.review_batch b2
            ON d.id >= b2.first_id AND d.id < b2.first_id + b2.row_count WHERE b2.migration_id = m.id)
          FROM tenantmig.review_batch b WHERE b.migration_id = m.id) AS open_reviews,
         m.created_at, m.spec
  FROM tenantmig.migration m;
COMMENT ON VIEW tenantmig.migrations IS 'the catalogue: each migration with its owner, last run and open reviews';
COMMENT ON COLUMN tenantmig.migrations.id IS 'number of the migration';
COMMENT ON COLUMN tenantmig.migrations.migration IS 'its name';
COMMENT ON COLUMN tenantmig.migrations.owner IS 'the role that created it; it is run by those with this role''s privileges';
COMMENT ON COLUMN tenantmig.migrations.description IS 'as in the spec';
COMMENT ON COLUMN tenantmig.migrations.version IS 'as in the spec: the team''s own numbering';
COMMENT ON COLUMN tenantmig.migrations.steps IS 'number of steps';
COMMENT ON COLUMN tenantmig.migrations.last_run IS 'state of the newest run, NULL if there was none';
COMMENT ON COLUMN tenantmig.migrations.open_reviews IS 'rows that wait for a decision';
COMMENT ON COLUMN tenantmig.migrations.created_at IS 'when it was created';
COMMENT ON COLUMN tenantmig.migrations.spec IS 'the spec as it was given';
