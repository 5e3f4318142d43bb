"""Part fingerprint: schema and rows of N rows, against a sequential scan that hashes the rows in SQL.

Both read the same table of ten columns (numbers, text, times, numeric, NULLs) in one process, in turns. What SQL does is the least that somebody would
write by hand: one hash of each row's text form, summed up, which says neither which column differs nor anything of the schema.
"""
import statistics

from harness import psql

DATABASE = "bench_fingerprint"
LIMIT = 1.5  # of the scan in SQL
SETUP = """
CREATE EXTENSION tenantmig;
CREATE TABLE customers (id bigint PRIMARY KEY, company_id bigint, name text NOT NULL, email text NOT NULL, phone text, amount numeric(12, 2), active boolean,
  created_at timestamptz NOT NULL, updated_at timestamptz, deleted_at timestamptz);
INSERT INTO customers SELECT i, 1 + i % 1000, 'Ludwig Gruber ' || i, 'ludwig' || i || '@example.org', '+43 555 ' || i, i / 100.0, i % 2 = 0,
  timestamptz '2026-01-01' + i * interval '1 s', now(), NULL FROM generate_series(1, {rows}) i;
"""
BY_HAND = "(SELECT sum(hashtextextended(t::text, 0)) FROM customers t) x"


def timed(call):
    """Milliseconds in the server's own words, without psql's start."""
    return float(psql(DATABASE, f"DO $$ DECLARE begun timestamptz := clock_timestamp(); BEGIN PERFORM * FROM {call}; "
                      "PERFORM set_config('bench.ms', (extract(epoch FROM clock_timestamp() - begun) * 1000)::text, false); END $$",
                      "SELECT current_setting('bench.ms')"))


def part(options, figures):
    rows = options.rows
    print(f"\nfingerprint: {rows} rows", flush=True)
    psql("postgres", f"DROP DATABASE IF EXISTS {DATABASE}")
    psql("postgres", f"CREATE DATABASE {DATABASE}")
    psql(DATABASE, SETUP.format(rows=rows))
    psql(DATABASE, "VACUUM (FREEZE, ANALYZE)")
    psql("postgres", f"ALTER DATABASE {DATABASE} SET max_parallel_workers_per_gather = 0")
    by_hand, ours, schema = [], [], []
    for _ in range(max(options.rounds, 3)):
        by_hand.append(timed(BY_HAND))
        ours.append(timed("tenantmig.fingerprint(schemas => '{public}')"))
        schema.append(timed("tenantmig.fingerprint(schemas => '{public}', with_data => false)"))
    ratio = statistics.median(ours) / statistics.median(by_hand)
    print(f"in SQL: median {statistics.median(by_hand):.0f} ms; fingerprint(): {statistics.median(ours):.0f} ms, of which the schema {statistics.median(schema):.0f} ms; ratio {ratio:.2f}")
    figures.add(f"fingerprint() of {rows} rows, against a hash of each row in SQL", f"{statistics.median(ours) / 1000:.1f} s of {statistics.median(by_hand) / 1000:.1f} s", ratio, LIMIT)
    psql("postgres", f"DROP DATABASE {DATABASE}")
