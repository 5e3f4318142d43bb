-- Retention: what is deleted when, and the reports, which stay.

CREATE TABLE tenantmig.report_archive (
  run_id        bigint PRIMARY KEY,
  migration     text NOT NULL,
  digest        text NOT NULL,
  markdown      text NOT NULL,
  report        json NOT NULL,
  archived_at   timestamptz NOT NULL,
  archived_by   text NOT NULL,
  log_purged_at timestamptz,
  run_purged_at timestamptz
);
COMMENT ON TABLE tenantmig.report_archive IS 'reports of runs whose change log or record was purged, as they were then, with the digest of the log; kept for good, also when the migration is dropped. log_purged_at, run_purged_at: when these went; NULL: they are there';
SELECT pg_catalog.pg_extension_config_dump('tenantmig.report_archive', '');

CREATE FUNCTION tenantmig.purge(kinds text[] DEFAULT NULL, older_than interval DEFAULT NULL, execute boolean DEFAULT false, force boolean DEFAULT false,
  OUT kind text, OUT migration text, OUT row_count bigint, OUT oldest timestamptz, OUT newest timestamptz, OUT outcome text, OUT reason text) RETURNS SETOF record
  LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'tenantmig_purge';
COMMENT ON FUNCTION tenantmig.purge(text[], interval, boolean, boolean) IS
  'deletes what is older than its retention: kinds change_log, reviews, runs, observations, drift, kept_columns (values of dropped columns), one year each, and backups (registrations; 90 days), or older_than. Without execute => true it only shows what would go. outcome: would go, deleted, kept (reason says why). Never a part of a run''s log; reports and digests of purged runs are archived first. What undo still needs stays unless force => true. Looks at the migrations whose owner''s privileges the caller has. Errors: 22023 (not a kind; a negative or endless time), 22004, 25006. Locks: the row of each migration, none on user tables.';
REVOKE ALL ON FUNCTION tenantmig.purge(text[], interval, boolean, boolean) FROM PUBLIC;
