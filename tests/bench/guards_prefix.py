"""The guard of kind prefix: what it costs to insert rows, beside a CHECK and a trigger in PL/pgSQL that say the same; and
the check of rows that are there, beside the counting of them."""
import statistics
import subprocess

from harness import psql
from tables import table

DATABASE = "guards_prefix"
CONDITION = "starts_with(scope_id, domain || '.')"
VARIANTS = {
    "none": "",
    "guard": """SELECT tenantmig.attach_guard('{table}', 'scope_id', 'prefix', '{{"key": "domain", "separator": "."}}');""",
    "CHECK": "ALTER TABLE {table} ADD CHECK (" + CONDITION + ");",
    "PL/pgSQL": "CREATE TRIGGER embeds BEFORE INSERT OR UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION embeds();",
}
PREPARE = """
CREATE EXTENSION tenantmig;
CREATE TABLE source AS SELECT g AS id, d.domain, d.domain || '.prod.service' || g AS scope_id, 'what scope ' || g || ' is for' AS note
  FROM generate_series(1, {rows}) g, LATERAL (SELECT (ARRAY['finance', 'logistics', 'procurement', 'hr'])[1 + g % 4] AS domain) d;
CREATE FUNCTION embeds() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF starts_with(NEW.scope_id, NEW.domain || '.') IS NOT TRUE THEN
    RAISE EXCEPTION 'scope_id % does not embed domain prefix %', NEW.scope_id, NEW.domain USING ERRCODE = '23514';
  END IF;
  RETURN NEW; END $$;
"""


def timed(statement, before="SELECT tenantmig.version()"):
    """Wall-clock seconds of a statement inside its session, and those of the processor that the session took for it. What goes
    before it is not measured: the library is loaded once in a session."""
    script = f"""\\set QUIET on
\\pset tuples_only on
\\pset format unaligned
SELECT pg_backend_pid() AS pid \\gset
\\setenv PID :pid
{before} \\g /dev/null
\\! cut -d' ' -f14,15 /proc/$PID/stat
SELECT extract(epoch FROM clock_timestamp()) AS begun \\gset
{statement};
SELECT extract(epoch FROM clock_timestamp()) - :begun;
\\! cut -d' ' -f14,15 /proc/$PID/stat
"""
    done = subprocess.run(["psql", "-Xq", "-v", "ON_ERROR_STOP=1", "-d", DATABASE], input=script, capture_output=True, text=True, check=True)
    lines = [line for line in done.stdout.splitlines() if line.strip()]
    before, after = (sum(int(word) for word in lines[i].split()) for i in (0, -1))
    return float(lines[-2]), (after - before) / 100


def medians(samples):
    return [statistics.median(values) for values in zip(*samples)]


def inserts(options, figures, key):
    samples = {name: [] for name in VARIANTS}
    for number in range(options.rounds):
        for name, guard in VARIANTS.items():
            psql(DATABASE, "DROP TABLE IF EXISTS target", f"CREATE TABLE target (id bigint {key}, domain text, scope_id text, note text)")
            if guard:
                psql(DATABASE, guard.format(table="target"))
            psql(DATABASE, "CHECKPOINT")
            samples[name].append(timed("INSERT INTO target SELECT * FROM source"))
        print(f"guards: round {number + 1} of inserts: " + ", ".join(f"{name} {s[-1][0]:.2f} s" for name, s in samples.items()))
    base = medians(samples["none"])
    rows = [(f"insert of {options.rows} rows, {'with' if key else 'without'} a primary key", "seconds", "ratio", "CPU s", "CPU ratio")]
    for name, measured in samples.items():
        wall, cpu = medians(measured)
        rows.append((name, f"{wall:.2f}", f"{wall / base[0]:.2f}", f"{cpu:.2f}", f"{cpu / base[1]:.2f}"))
        if name == "guard":
            figures.add(f"insert with the prefix guard, {rows[0][0].split(', ')[1]}", f"{wall:.2f} s, {base[0]:.2f} s without", wall / base[0], 1.10)
    print("\n" + table(rows) + "\n")


def checks(options, figures):
    psql(DATABASE, "DROP TABLE IF EXISTS target", "CREATE TABLE target AS SELECT * FROM source")
    guard = psql(DATABASE, """SELECT guard FROM tenantmig.attach_guard('target', 'scope_id', 'prefix', '{"key": "domain", "separator": "."}')""")
    psql(DATABASE, "VACUUM (FREEZE, ANALYZE) target", "SELECT count(*) FROM target")
    statements = {"SELECT count(*)": "SELECT count(*) FROM target",
                  "check_guards": f"SELECT count(*) FROM tenantmig.check_guards(guard => {guard}) WHERE status = 'PASS'"}
    samples = {name: [] for name in statements}
    for _ in range(options.rounds):
        for name, statement in statements.items():
            samples[name].append(timed(statement, before=statement))
    base = medians(samples["SELECT count(*)"])[0]
    rows = [(f"{options.rows} rows that are there", "ms", "ratio")]
    for name, measured in samples.items():
        rows.append((name, f"{medians(measured)[0] * 1000:.0f}", f"{medians(measured)[0] / base:.2f}"))
    checked = medians(samples["check_guards"])[0]
    figures.add("check of the prefixes against SELECT count(*)", f"{checked * 1000:.0f} ms, {base * 1000:.0f} ms", checked / base, 1.30)
    print("\n" + table(rows) + "\n")


def measure(options, figures):
    psql("postgres", f"DROP DATABASE IF EXISTS {DATABASE}", f"CREATE DATABASE {DATABASE}")
    psql(DATABASE, PREPARE.format(rows=options.rows), "VACUUM (FREEZE, ANALYZE) source")
    checks(options, figures)
    inserts(options, figures, "PRIMARY KEY")
    inserts(options, figures, "")
    psql("postgres", f"DROP DATABASE {DATABASE}")
