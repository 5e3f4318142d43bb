CREATE FUNCTION tenantmig.create_migration(spec jsonb) RETURNS text
  LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'tenantmig_create_migration';
COMMENT ON FUNCTION tenantmig.create_migration(jsonb) IS
  'checks a spec, resolves every name in it that can be there by now and stores it; names of steps after a structural one are resolved when up reaches them. The caller becomes its owner. Returns its name. The same spec again changes nothing. Errors: TM001 (the document, with the path of what is wrong), 42710 (the name stands for another spec), 42501 (not the owner of a table), 42P01, 42703, 42804 (types that don''t go together), 42830 (a referenced column that is not unique), 2201B (a format that is no regular expression), 42809 (not a table), 428C9 (a generated column), 55000 (no usable key), 0A000, 25006. Locks: ACCESS SHARE on the tables named.';
REVOKE ALL ON FUNCTION tenantmig.create_migration(jsonb) FROM PUBLIC;

CREATE FUNCTION tenantmig.check_migration(spec jsonb,
  OUT step integer, OUT kind text, OUT relation text, OUT column_name text, OUT source text, OUT tenant_column text, OUT note text) RETURNS SETOF record
  LANGUAGE C STABLE AS 'MODULE_PATHNAME', 'tenantmig_check_migration';
COMMENT ON FUNCTION tenantmig.check_migration(jsonb) IS
  'what create_migration would store, stored nowhere: each step in the order of execution, backfills with their sources as they were resolved, others as the document writes them. Names of steps after a structural one (sql, add_column, drop_column, index, rekey) are resolved when that is applied; note says so. Errors and locks as create_migration.';
REVOKE ALL ON FUNCTION tenantmig.check_migration(jsonb) FROM PUBLIC;

CREATE FUNCTION tenantmig.drop_migration(name text, force boolean DEFAULT false) RETURNS void
  LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'tenantmig_drop_migration';
COMMENT ON FUNCTION tenantmig.drop_migration(text, boolean) IS
  'removes a migration with its runs, reviews and change log. Errors: 42704 (no such migration), 42501 (not its owner), 55006 (a run is active; its log is still needed to undo a run, steps are applied or half-way, or constraints are enforced: force => true drops it all the same, what was applied stays).';
REVOKE ALL ON FUNCTION tenantmig.drop_migration(text, boolean) FROM PUBLIC;
