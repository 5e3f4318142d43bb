"""Part isolation: what row-level security costs, and how long it takes to prove it.

speed: N rows of 1,000 tenants, isolated by tenantmig.isolate(). The rows of one tenant are read by the application under the generated policy, and by
the owner with the tenant written out, in interleaved rounds; through the index and without it. Conditions that people write by hand take the policy's
place, and two isolated tables are joined. Times are those of the whole statement as the client sees it, planning and fetching included, and beside
them the processor time of the server process, planning included: the figures are ratios of that, as it does not count what else the machine does.

probe: probe_isolation() and isolation_speed() on 10 and 100 isolated tables, and on 100 tables of ten times the rows.
"""
import json
import os
import statistics
import time
from pathlib import Path

import psycopg2
from harness import psql
from tables import table

DATABASE = "bench_isolation"
TENANTS = 1000
WITH_INDEX, SEQUENTIAL, PROBE_SECONDS = 1.1, 1.15, 60
SETUP = """
CREATE EXTENSION tenantmig;
CREATE ROLE bench_app NOLOGIN;
CREATE TABLE companies (id bigint PRIMARY KEY, name text NOT NULL);
INSERT INTO companies SELECT i, 'company ' || i FROM generate_series(1, {tenants}) i;
CREATE TABLE customers (id bigint PRIMARY KEY, company_id bigint NOT NULL REFERENCES companies, name text NOT NULL, email text NOT NULL, created_at timestamptz NOT NULL);
CREATE TABLE orders (id bigint PRIMARY KEY, company_id bigint NOT NULL REFERENCES companies, customer_id bigint NOT NULL, total integer NOT NULL, status text NOT NULL);
INSERT INTO customers SELECT i, 1 + i % {tenants}, 'Ludwig Gruber ' || i, 'ludwig' || i || '@example.org', now() FROM generate_series(1, {rows}) i;
INSERT INTO orders SELECT i, 1 + i % {tenants}, i, i % 100, 'open' FROM generate_series(1, {rows}) i;
CREATE INDEX customers_company_idx ON customers (company_id);
CREATE INDEX orders_company_idx ON orders (company_id);
GRANT SELECT ON companies, customers, orders TO bench_app;
CREATE FUNCTION tenant_volatile() RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN RETURN nullif(current_setting('tenantmig.tenant', true), '')::bigint; END $$;
CREATE FUNCTION tenant_stable() RETURNS bigint LANGUAGE plpgsql STABLE AS $$ BEGIN RETURN nullif(current_setting('tenantmig.tenant', true), '')::bigint; END $$;
"""
# What people write by hand: name, condition.
BY_HAND = [
    ("bare current_setting", "company_id = nullif(current_setting('tenantmig.tenant', true), '')::bigint"),
    ("STABLE function, bare", "company_id = tenant_stable()"),
    ("STABLE function in (SELECT …)", "company_id = (SELECT tenant_stable())"),
    ("VOLATILE function", "company_id = tenant_volatile()"),
]
LITERAL, POLICY = "SELECT * FROM customers WHERE company_id = 501", "SELECT * FROM customers"
JOIN_LITERAL = "SELECT * FROM customers c JOIN orders o ON o.customer_id = c.id WHERE c.company_id = 501 AND o.company_id = 501"
JOIN_POLICY = "SELECT * FROM customers c JOIN orders o ON o.customer_id = c.id"


class Session:
    """The owner, past row-level security, and the application as one tenant, turn about in one backend: two would be on processors that are not
    equally busy. One process only unless workers are wanted: what is compared is the work."""

    def __init__(self, workers=0):
        self.connection = psycopg2.connect(dbname=DATABASE)
        self.connection.autocommit = True
        self.cursor = self.connection.cursor()
        self.cursor.execute(f"SET max_parallel_workers_per_gather = {workers}; SET tenantmig.tenant = '501'")

    def act(self, application):
        self.cursor.execute("SET ROLE bench_app" if application else "RESET ROLE")

    def time(self, query):
        """Milliseconds of the whole statement, and how many rows came."""
        begun = time.perf_counter()
        self.cursor.execute(query)
        rows = self.cursor.fetchall()
        return (time.perf_counter() - begun) * 1000, len(rows)

    def processor(self):
        """Milliseconds that the server process has been on a processor so far. It is idle when we ask, so that nothing is missing."""
        return int(Path(f"/proc/{self.connection.get_backend_pid()}/schedstat").read_text().split()[0]) / 1e6

    def plan(self, query):
        self.cursor.execute("EXPLAIN (FORMAT JSON) " + query)
        node, names = self.cursor.fetchone()[0][0]["Plan"], []
        while node:
            names.append(node["Node Type"])
            node = next((child for child in node.get("Plans", []) if child.get("Parent Relationship") != "InitPlan"), None)
        return " < ".join(names)


def compare(what, literal, policy, options, workers=0):
    """One line of the table, and the ratio of the medians. A round takes executions of each, turn about, for half a second (2 to 20), and keeps the
    fastest: what is measured is the query, not what else the machine did meanwhile."""
    session = Session(workers)
    whole, alone = ([], []), ([], [])
    for number in range(options.rounds + 1):
        best, best_alone, counts = [float("inf")] * 2, [float("inf")] * 2, [0, 0]
        begun = time.monotonic()
        for i in range(20):
            for side in ((0, 1) if (number + i) % 2 else (1, 0)):
                session.act(application=side == 1)
                query = policy if side else literal
                before = session.processor()
                taken, counts[side] = session.time(query)
                best[side] = min(best[side], taken)
                best_alone[side] = min(best_alone[side], session.processor() - before)
            if counts[0] != counts[1]:
                raise SystemExit(f"bench: {what}: {counts[1]} rows under the policy, {counts[0]} with a literal")
            if i and time.monotonic() - begun > 0.5:
                break
        if number:  # the first warms up
            for side in (0, 1):
                whole[side].append(best[side])
                alone[side].append(best_alone[side])
    medians = [statistics.median(times) for times in whole + alone]
    ratio, ratio_alone = medians[1] / medians[0], medians[3] / medians[2]
    session.act(application=True)
    line = (what, session.plan(policy), f"{medians[0]:.2f}", f"{medians[1]:.2f}", f"{ratio:.2f}", f"{medians[2]:.2f}", f"{medians[3]:.2f}",
            f"{ratio_alone:.2f}")
    print(f"{what}: ms of each round {' '.join(f'{a:.2f}/{b:.2f}' for a, b in zip(*whole))}", flush=True)
    session.connection.close()
    return line, ratio if workers else ratio_alone


def speed(options, figures):
    rows = options.rows
    print(f"\nisolation: {rows} rows, {TENANTS} tenants, load {' '.join(f'{x:.1f}' for x in os.getloadavg())}", flush=True)
    psql("postgres", f"DROP DATABASE IF EXISTS {DATABASE}", "DROP ROLE IF EXISTS bench_app", f"CREATE DATABASE {DATABASE}")
    psql(DATABASE, SETUP.format(rows=rows, tenants=TENANTS))
    psql(DATABASE, "VACUUM ANALYZE")
    psql(DATABASE, "CALL tenantmig.isolate(tables => '{customers,orders}', role => 'bench_app', tenants => 'companies')")
    condition = psql(DATABASE, "SELECT pg_get_expr(polqual, polrelid) FROM pg_policy WHERE polrelid = 'customers'::regclass AND polname = 'tenantmig_tenant'")
    lines = [("query", "plan under the policy", "literal ms", "policy ms", "ratio", "CPU ms", "policy", "ratio")]
    line, with_index = compare("one tenant, generated policy", LITERAL, POLICY, options)
    lines.append(line)
    lines.append(compare("join of two isolated tables", JOIN_LITERAL, JOIN_POLICY, options)[0])
    for name, by_hand in BY_HAND:
        psql(DATABASE, f"ALTER POLICY tenantmig_tenant ON customers USING ({by_hand})")
        lines.append(compare(name, LITERAL, POLICY, options)[0])
    psql(DATABASE, f"ALTER POLICY tenantmig_tenant ON customers USING {condition}", "DROP INDEX customers_company_idx")
    line, sequential = compare("no index: generated policy", LITERAL, POLICY, options)
    lines.append(line)
    lines.append(compare("no index, two parallel workers", LITERAL, POLICY, options, workers=2)[0])
    for name, by_hand in BY_HAND:
        psql(DATABASE, f"ALTER POLICY tenantmig_tenant ON customers USING ({by_hand})")
        lines.append(compare(f"no index: {name}", LITERAL, POLICY, options)[0])
    print(f"\nThe policy's condition: {condition}\nMedians of {options.rounds} interleaved rounds, milliseconds.\n")
    print(table(lines, left=2))
    figures.add(f"one tenant of {rows} rows under the policy against a literal, with index", lines[1][6] + " ms of " + lines[1][5] + " ms", with_index, WITH_INDEX)
    figures.add("the same, sequential", next(f"{l[6]} ms of {l[5]} ms" for l in lines if l[0].startswith("no index: generated")), sequential, SEQUENTIAL)
    psql("postgres", f"DROP DATABASE {DATABASE}", "DROP ROLE bench_app")


def tables_setup(count, rows):
    """`count` tables that refer to each other in a chain, with what applications have: a unique constraint, an expression index, a sequence."""
    sql = ["CREATE EXTENSION tenantmig", "CREATE ROLE bench_app NOLOGIN",
           "CREATE TABLE companies (id bigint PRIMARY KEY, name text NOT NULL)", "INSERT INTO companies SELECT i, 'company ' || i FROM generate_series(1, 20) i"]
    for i in range(count):
        parent = f", parent_id bigint, FOREIGN KEY (company_id, parent_id) REFERENCES table_{i - 1} (company_id, id)" if i else ", parent_id bigint"
        sql.append(f"CREATE TABLE table_{i} (company_id bigint NOT NULL REFERENCES companies, id bigint GENERATED ALWAYS AS IDENTITY, name text NOT NULL, code text NOT NULL, "
                   f"amount integer, created_at timestamptz NOT NULL DEFAULT now(){parent}, PRIMARY KEY (company_id, id), UNIQUE (company_id, code))")
        sql.append(f"INSERT INTO table_{i} (company_id, name, code, amount) SELECT 1 + i % 20, 'name ' || i, 'code ' || i, i % 100 FROM generate_series(1, {rows}) i")
        sql.append(f"GRANT SELECT, DELETE ON table_{i} TO bench_app")
        sql.append(f"GRANT INSERT (company_id, name, code, amount, parent_id), UPDATE (company_id, name, code, amount, parent_id) ON table_{i} TO bench_app")
    return sql


def timed(call):
    begun = time.perf_counter()
    out = psql(DATABASE, f"SELECT coalesce(json_object_agg(status, count), '{{}}') FROM (SELECT status, count(*) FROM {call} GROUP BY 1) x")
    return time.perf_counter() - begun, json.loads(out)


def probe(options, figures):
    lines = [("tables", "rows each", "tenants", "probe_isolation s", "attacks", "isolation_speed s", "with measure s")]
    for count, rows in ((10, 1000), (100, 1000), (100, 10000), (10, 100000)):
        psql("postgres", f"DROP DATABASE IF EXISTS {DATABASE}", "DROP ROLE IF EXISTS bench_app", f"CREATE DATABASE {DATABASE}")
        psql(DATABASE, *tables_setup(count, rows))
        psql(DATABASE, "VACUUM ANALYZE")
        names = ",".join(f"table_{i}" for i in range(count))
        begun = time.perf_counter()
        psql(DATABASE, f"CALL tenantmig.isolate(tables => '{{{names}}}', role => 'bench_app', tenants => 'companies')")
        print(f"isolate of {count} tables: {time.perf_counter() - begun:.1f} s", flush=True)
        whole, statuses = timed("tenantmig.probe_isolation('isolation', pairs => 2)")
        planned, verdicts = timed("tenantmig.isolation_speed('isolation')")
        measured, timings = timed("tenantmig.isolation_speed('isolation', measure => true)")
        print(f"{count} tables of {rows} rows: probe {whole:.1f} s {statuses}; speed {planned:.1f} s {verdicts}, measured {measured:.1f} s {timings}", flush=True)
        holes = statuses.get("FAIL", 0) + verdicts.get("FAIL", 0)
        if holes:
            print(psql(DATABASE, "SELECT DISTINCT attack, seen, remedy FROM tenantmig.probe_isolation('isolation', pairs => 2) WHERE status = 'FAIL' LIMIT 5"))
        figures.add(f"holes that they find in what isolate made of {count} tables of {rows} rows", str(holes), holes, 0)
        lines.append((str(count), str(rows), "20", f"{whole:.1f}", str(sum(statuses.values())), f"{planned:.2f}", f"{measured:.2f}"))
        if count == 100:
            figures.add(f"probe of 100 tables of {rows} rows, 2 pairs, s", f"{whole:.1f} s", whole, PROBE_SECONDS)
    print("\n" + table(lines, left=0))
    psql("postgres", f"DROP DATABASE {DATABASE}", "DROP ROLE bench_app")


def part(options, figures):
    speed(options, figures)
    probe(options, figures)
