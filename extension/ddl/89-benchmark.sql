-- Times of queries, against targets.

CREATE FUNCTION tenantmig.benchmark(queries jsonb,
  OUT name text, OUT runs integer, OUT p50 numeric, OUT p95 numeric, OUT p99 numeric, OUT row_count bigint, OUT shared_hit bigint, OUT shared_read bigint, OUT index_used text[],
  OUT expected_index text, OUT target numeric, OUT status text, OUT detail text, OUT plan jsonb, OUT warm_up numeric) RETURNS SETOF record
  LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'tenantmig_benchmark';
COMMENT ON FUNCTION tenantmig.benchmark(jsonb) IS
  'times queries. queries: a list of {name, sql, parameters, runs, target_ms, index, timeout_ms}; sql: one SELECT, WITH, VALUES or TABLE; parameters: a list, or a list of lists that take turns; runs: 20 unless given, after one that warms up; index: a name or a list of them that must be used; timeout_ms: of each execution, 30000. p50, p95, p99, target, warm_up: milliseconds in the server, planning included; row_count: of the last run; shared_hit, shared_read: blocks of the slowest set of parameters, run once more by EXPLAIN ANALYZE, whose plan is given. status: FAIL if p95 is above the target, an expected index of a large table is not used, or the query failed (detail: SQLSTATE and message); WARN if a large table is read whole, an expected index of a small one is not used, or no row is found; large: from min_parallel_table_scan_size on. Queries run with the caller''s rights, restricted, in a read-only subtransaction that is rolled back. Errors: 22023 (the list), 22004, 57014 (cancelled). Locks: those of the queries, ACCESS SHARE, to the end of the transaction.';
REVOKE ALL ON FUNCTION tenantmig.benchmark(jsonb) FROM PUBLIC;
