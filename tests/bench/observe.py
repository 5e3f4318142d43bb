"""Part observe: how long it takes to look at a migration, at N rows.

A table of N rows in 1,000 tenants with an index on its tenant key, one source with as many rows. observe() goes through the index: its time must not
depend on N. observe(deep => true) compares every row with its evidence: the server's counters say how often it scanned the table and the source.
"""
import statistics
import sys
import time

from harness import psql

DATABASE = "bench_observe"
LIMIT = 50  # milliseconds
SETUP = """
CREATE EXTENSION tenantmig;
CREATE TABLE companies (id bigint PRIMARY KEY);
INSERT INTO companies SELECT generate_series(1, 1000);
CREATE TABLE customers (id bigint PRIMARY KEY, company_id bigint, name text NOT NULL, phone text, created_at timestamptz NOT NULL);
CREATE TABLE appointments (id bigint GENERATED ALWAYS AS IDENTITY, customer_id bigint NOT NULL, company_id bigint NOT NULL);
INSERT INTO customers SELECT i, CASE WHEN i % 1000 > 0 THEN 1 + i % 1000 END, 'Ludwig Gruber ' || i, '+43 555 ' || i, now() FROM generate_series(1, {rows}) i;
INSERT INTO appointments (customer_id, company_id) SELECT i, 1 + i % 1000 FROM generate_series(1, {rows}) i WHERE i % 50000 > 0;
CREATE INDEX customers_company_idx ON customers (company_id);
SELECT tenantmig.create_migration('{{"migration": "bench", "tenants": {{"table": "companies"}}, "steps": [{{"backfill": {{"table": "customers", "column": "company_id",
  "sources": [{{"via": "appointments.customer_id"}}]}}}}]}}');
SELECT count(*) FROM tenantmig.backfill('bench');
"""
SCANS = "SELECT seq_scan FROM pg_stat_user_tables WHERE relname = '{}'"


def timed(call):
    """Milliseconds in the server's own words, as \\timing would have them, without psql's start."""
    out = psql(DATABASE, f"DO $$ DECLARE begun timestamptz := clock_timestamp(); BEGIN PERFORM * FROM {call}; "
               "PERFORM set_config('bench.ms', (extract(epoch FROM clock_timestamp() - begun) * 1000)::text, false); END $$",
               "SELECT current_setting('bench.ms')")
    return float(out)


def scans():
    psql(DATABASE, "SELECT pg_stat_force_next_flush()")
    time.sleep(0.1)
    return {name: int(psql(DATABASE, SCANS.format(name))) for name in ("customers", "appointments")}


def part(options, figures):
    rows = options.rows
    print(f"\nobserve: {rows} rows, 1000 tenants", flush=True)
    psql("postgres", f"DROP DATABASE IF EXISTS {DATABASE}")
    psql("postgres", f"CREATE DATABASE {DATABASE}")
    psql(DATABASE, SETUP.format(rows=rows))
    psql(DATABASE, "VACUUM ANALYZE")
    looks = [timed("tenantmig.observe('bench')") for _ in range(max(options.rounds, 3))]
    failed = psql(DATABASE, "SELECT string_agg(check_name, ' ') FROM tenantmig.observe('bench') WHERE status = 'FAIL'")
    if failed:
        sys.exit(f"bench: observe found {failed}")
    before = scans()
    deep = timed("tenantmig.observe('bench', true)")
    after = scans()
    count = timed("(SELECT count(*) FROM customers) x")
    print(f"observe(): median {statistics.median(looks):.1f} ms, longest {max(looks):.1f} ms; deep: {deep:.0f} ms; SELECT count(*) of the table: {count:.0f} ms")
    figures.add(f"observe() at {rows} rows with a serving index, ms", f"{statistics.median(looks):.1f} ms", statistics.median(looks), LIMIT)
    for name in before:
        figures.add(f"observe(deep => true): scans of {name}", str(after[name] - before[name]), after[name] - before[name], 1)
    psql("postgres", f"DROP DATABASE {DATABASE}")
