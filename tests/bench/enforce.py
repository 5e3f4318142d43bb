"""Part enforce: how long a strong lock is held while constraints are applied, at each of SIZES.

NOT NULL, a foreign key, unique (an index built concurrently), composite and a format are applied by CALL enforce and taken back by CALL relax, ROUNDS
times. The engine says how long it held each strong lock, from the moment it was granted to the end of the transaction (view enforcements). Beside it two
probes, each in a session of its own, read and update single rows in a loop: their longest wait is what an application notices; it is shown next to
their longest without anything going on. And a sampler looks into pg_locks every few milliseconds: a strong lock that it meets twice in a row stood at
least as long.
"""
import threading
import time

import psycopg2

from harness import psql

DATABASE = "bench_enforce"
LIMIT = 10  # milliseconds
SPEC = """{"migration": "m", "tenants": {"table": "companies"}, "steps": [
  {"constraint": {"table": "customers", "column": "company_id", "not_null": true, "references": "companies.id", "on_delete": "restrict", "unique": ["company_id", "number"], "composite": true}},
  {"constraint": {"table": "customers", "column": "code", "format": "^c[0-9]+$"}}]}"""
STRONG = "SELECT pid FROM pg_locks WHERE relation = 'customers'::regclass AND mode IN ('AccessExclusiveLock', 'ShareRowExclusiveLock') AND granted"


def connect():
    connection = psycopg2.connect(dbname=DATABASE)
    connection.autocommit = True
    return connection.cursor()


class Probe(threading.Thread):
    """Runs a short statement again and again, and remembers the longest time that one took."""

    def __init__(self, statement):
        super().__init__(daemon=True)
        self.statement, self.longest, self.done = statement, 0.0, threading.Event()

    def run(self):
        cursor = connect()
        while not self.done.is_set():
            begun = time.monotonic()
            cursor.execute(self.statement)
            self.longest = max(self.longest, time.monotonic() - begun)
            time.sleep(0.0005)
        cursor.connection.close()

    def stop(self):
        self.done.set()
        self.join()
        return self.longest * 1000


class Sampler(threading.Thread):
    """The longest time over which a strong lock was seen without a break."""

    def __init__(self):
        super().__init__(daemon=True)
        self.longest, self.done = 0.0, threading.Event()

    def run(self):
        cursor = connect()
        since = None
        while not self.done.is_set():
            begun = time.monotonic()
            cursor.execute(STRONG)
            if not cursor.fetchone():
                since = None
            else:
                since = begun if since is None else since
                self.longest = max(self.longest, begun - since)
            time.sleep(0.002)
        cursor.connection.close()

    def stop(self):
        self.done.set()
        self.join()
        return self.longest * 1000


def beside(work):
    """Does the work with the probes beside it: seconds, and the longest read, update and sampled lock in milliseconds."""
    helpers = [Probe("SELECT company_id FROM customers WHERE id = 4711"), Probe("UPDATE customers SET note = 'x' WHERE id = 815"), Sampler()]
    for helper in helpers:
        helper.start()
    begun = time.monotonic()
    work()
    seconds = time.monotonic() - begun
    return seconds, [helper.stop() for helper in helpers]


def make(rows):
    psql("postgres", f"DROP DATABASE IF EXISTS {DATABASE}", f"CREATE DATABASE {DATABASE}")
    psql(DATABASE, "CREATE EXTENSION tenantmig", "SET synchronous_commit = off",
         "CREATE TABLE companies (id integer PRIMARY KEY)", "INSERT INTO companies SELECT generate_series(1, 100)",
         "CREATE TABLE customers (id bigint, company_id integer, number bigint, code text, note text)",
         f"INSERT INTO customers SELECT n, n % 100 + 1, n, 'c' || n FROM generate_series(1, {rows}) n",
         "ALTER TABLE customers ADD PRIMARY KEY (id)", "VACUUM ANALYZE customers", "CHECKPOINT", f"SELECT tenantmig.create_migration('{SPEC}')")


def part(options, figures):
    for rows in map(int, options.sizes.split()):
        make(rows)
        _, idle = beside(lambda: time.sleep(5))
        held, seen = [], []
        for number in range(options.rounds):
            seconds, waits = beside(lambda: psql(DATABASE, "CALL tenantmig.enforce('m', proofs => false)"))
            holds = [line.split("|") for line in psql(DATABASE, "SELECT kind, longest_hold_us / 1000.0 FROM tenantmig.enforcement ORDER BY id DESC LIMIT 5").splitlines()]
            psql(DATABASE, "CALL tenantmig.relax('m')")
            held.append(max(float(hold) for _, hold in holds))
            seen.append(waits)
            print(f"{rows} rows, round {number + 1}: enforce {seconds:.1f} s; held, ms: " + ", ".join(f"{kind} {float(hold):.2f}" for kind, hold in reversed(holds)) +
                  f"; longest read {waits[0]:.1f}, update {waits[1]:.1f}, lock seen {waits[2]:.1f} ms (idle: {idle[0]:.1f}, {idle[1]:.1f})", flush=True)
        figures.add(f"enforce: longest hold of a strong lock at {rows} rows", f"{max(held):.2f} ms", max(held), LIMIT)
        print(f"{rows} rows: longest hold {max(held):.2f} ms, longest read beside it {max(s[0] for s in seen):.1f} ms, longest update {max(s[1] for s in seen):.1f} ms")
        psql("postgres", f"DROP DATABASE {DATABASE}")
