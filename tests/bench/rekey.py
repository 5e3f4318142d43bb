"""Part rekey: the scenario domain-identity at size: a surrogate tenant key gives way to a natural one on four tables, and the ids of one become text
that begins with it.

CALL up with two workers against one transaction by hand (rekey/by_hand.sql: plain UPDATEs and ALTER TYPE, everything else standing still), in turns, each
on a fresh copy, with a checkpoint before. The keys and ids that both have written are compared. Then once more beside pgbench (rekey/load.pgbench, two
clients that write, with the old key only): time, longest strong lock as the engine has measured it, and the longest transaction of pgbench.
"""
import statistics
import subprocess
import time

from harness import HERE, psql
from tables import table

TEMPLATE, DATABASE = "rekey_template", "rekey"
LIMIT, LOCK_MS = 0.8, 10
SPEC = """{"migration": "domain-identity", "tenants": {"table": "mandate.domains", "key": "domain_id"}, "steps": [{"rekey": {"from": {"table": "mandate.domains", "id":
 "domain_id", "key": "name"}, "column": "domain", "format": "^[a-z0-9_-]+$", "tables": ["mandate.scopes", "mandate.policy_snapshots", "mandate.decision_events",
 "mandate.verdict_events"], "embed": [{"table": "mandate.scopes", "column": "scope_id", "separator": "."}]}}]}"""
CONTENT = [
    "SELECT md5(string_agg(domain || scope_id, ',' ORDER BY scope_id)) FROM mandate.scopes",
    "SELECT md5(string_agg(domain || scope_id, ',' ORDER BY id)) FROM mandate.policy_snapshots",
    "SELECT md5(string_agg(domain, ',' ORDER BY id)) FROM mandate.decision_events",
    "SELECT md5(string_agg(domain, ',' ORDER BY id)) FROM mandate.verdict_events",
]


def fresh():
    psql("postgres", f"DROP DATABASE IF EXISTS {DATABASE}", f"CREATE DATABASE {DATABASE} TEMPLATE {TEMPLATE}", "CHECKPOINT")


def by_hand():
    fresh()
    begun = time.monotonic()
    subprocess.run(["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-d", DATABASE, "-f", str(HERE / "rekey" / "by_hand.sql")], check=True)
    return time.monotonic() - begun


def step_by_step(workers, load=None):
    fresh()
    psql(DATABASE, "CREATE EXTENSION tenantmig", f"SELECT tenantmig.create_migration('{SPEC}')")
    beside = load() if load else None
    begun = time.monotonic()
    psql(DATABASE, "SET client_min_messages = warning", f"CALL tenantmig.up('domain-identity', workers => {workers})")
    taken = time.monotonic() - begun
    hold = float(psql(DATABASE, "SELECT detail->>'longest_lock_ms' FROM tenantmig.step_log WHERE action = 'up' AND outcome = 'done'"))
    return taken, hold, beside


def part(options, figures):
    psql("postgres", f"DROP DATABASE IF EXISTS {TEMPLATE}", f"CREATE DATABASE {TEMPLATE}")
    subprocess.run(["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-v", f"rows={options.rows}", "-d", TEMPLATE, "-f", str(HERE / "rekey" / "schema.sql")], check=True)
    hand, online, holds = [], [], []
    for turn in range(options.rounds):
        hand.append(by_hand())
        wanted = [psql(DATABASE, query) for query in CONTENT]
        taken, hold, _ = step_by_step(2)
        found = [psql(DATABASE, query) for query in CONTENT]
        if wanted != found:
            raise SystemExit("bench: rekey has written other values than SQL by hand")
        online.append(taken)
        holds.append(hold)
        print(f"  round {turn + 1}: by hand {hand[-1]:.1f} s, up {taken:.1f} s, longest strong lock {hold:.1f} ms")
    folder = options.server_folder
    for old in folder.glob("rekey_log.*"):
        old.unlink()

    def load():
        psql(DATABASE, "CREATE SEQUENCE mandate.more")
        return subprocess.Popen(["pgbench", "-n", "-M", "simple", "-c", "2", "-j", "2", "-R", "200", "-T", "3600", "-D", f"rows={options.rows}", "-f",
                                 str(HERE / "rekey" / "load.pgbench"), "-l", f"--log-prefix={folder}/rekey_log", DATABASE],
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    beside, hold, process = step_by_step(2, load)
    if process.poll() is not None:
        raise SystemExit(f"bench: pgbench ended early: {process.stdout.read().strip()}")
    process.terminate()
    process.wait()
    waits = []
    for path in folder.glob("rekey_log.*"):
        with open(path) as lines:
            waits += [int(words[2]) / 1000 for words in map(str.split, lines) if len(words) > 5 and words[2].isdigit()]
    wrong = psql(DATABASE, "SELECT (SELECT count(*) FROM mandate.verdict_events v JOIN mandate.domains d USING (domain_id) WHERE v.domain IS DISTINCT FROM d.name)")
    if wrong != "0":
        raise SystemExit(f"bench: {wrong} rows that were written meanwhile have another key than their domain")
    slow, fast = statistics.median(hand), statistics.median(online)
    print(table([("domain-identity", "seconds", "against by hand", "longest strong lock, ms", "longest transaction beside it, ms"),
                 ("one transaction by hand", f"{slow:.1f}", "1.00", "all of it", "all of it"),
                 ("CALL up, two workers", f"{fast:.1f}", f"{fast / slow:.2f}", f"{max(holds):.1f}", ""),
                 (f"the same beside 200 transactions/s ({len(waits)})", f"{beside:.1f}", f"{beside / slow:.2f}", f"{hold:.1f}", f"{max(waits, default=0):.0f}")]))
    figures.add("rekey: domain-identity, two workers, against one transaction by hand", f"{fast:.1f} s of {slow:.1f} s", fast / slow, LIMIT)
    figures.add("rekey: longest strong lock", f"{max(holds):.1f} ms", max(holds), LOCK_MS)
    figures.add("rekey: longest strong lock beside a load", f"{hold:.1f} ms", hold, LOCK_MS)
    psql("postgres", f"DROP DATABASE {DATABASE}", f"DROP DATABASE {TEMPLATE}")
