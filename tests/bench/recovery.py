"""Part resume: how soon after a kill -9 work is committed again.

A worker of a run is killed in the middle. PostgreSQL then restarts all of its processes and recovers; from the moment that
the server's log calls it ready, time counts until the first batch that was not there before is committed. resume() is called
as soon as the server lets somebody in. The end state is compared with that of b0.
"""
import os
import re
import signal
import statistics
import sys
import time
from datetime import datetime, timezone

import psycopg2

from harness import load_variants, measure, prepare, psql, same_result

MIDDLE = 0.3  # share of the rows done when the worker is killed
LIMIT = 1.0
PATIENCE = 120  # seconds for anything


def connect():
    connection = psycopg2.connect(dbname="bench")
    connection.autocommit = True
    return connection.cursor()


def ask(cursor, query):
    cursor.execute(query)
    return cursor.fetchone()


def until(what, condition, pause=0.005):
    """Asks again and again until the condition has an answer."""
    give_up = time.monotonic() + PATIENCE
    while time.monotonic() < give_up:
        answer = condition()
        if answer:
            return answer
        time.sleep(pause)
    sys.exit(f"bench: waited {PATIENCE} s for {what}")


def victim(cursor):
    """The process to kill, once enough is done: the last of the workers."""
    found = ask(cursor, "SELECT (SELECT w.pid FROM tenantmig.stat_workers w WHERE w.run_id = p.run_id AND w.state IN ('running', 'throttled') "
                f"ORDER BY w.worker DESC LIMIT 1), p.rows_done > {MIDDLE} * p.rows_total FROM tenantmig.stat_progress p")
    if found is None and ask(cursor, "SELECT count(*) > 0 FROM tenantmig.runs WHERE state IN ('completed', 'failed')")[0]:
        sys.exit("bench: the run was over before its worker could be killed; take more rows")
    return found[0] if found and found[1] else None


def let_in():
    try:
        return connect()
    except psycopg2.OperationalError:
        return None


def ready_at(log, begin):
    """When the server said that it was ready, in seconds since 1970. Its log is in UTC."""
    with open(log, errors="replace") as text:
        text.seek(begin)
        found = re.findall(r"^(\S+ \S+) UTC .*database system is ready to accept connections", text.read(), re.M)
    return datetime.strptime(found[-1], "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=timezone.utc).timestamp() if found else None


LAST_BATCH = "SELECT coalesce(max(batch), 0) FROM tenantmig.batches"


def sample(template, server_folder):
    """Seconds from readiness to the first new commit, and from the call of resume()."""
    prepare(template, True)
    psql("postgres", "CHECKPOINT")
    cursor = connect()
    ask(cursor, "SELECT tenantmig.start('bench', workers => 2)")
    pid = until("a run in its middle", lambda: victim(cursor))
    log_begin = os.path.getsize(server_folder / "log")
    os.kill(pid, signal.SIGKILL)
    until("the server to notice", lambda: not alive(cursor))
    cursor = until("the server to be back", let_in, 0.002)
    last = ask(cursor, LAST_BATCH)[0]
    called = time.time()
    ask(cursor, "SELECT tenantmig.resume('bench')")
    until("the first batch after resume", lambda: ask(cursor, LAST_BATCH)[0] > last)
    committed = time.time()
    ready = until("the server's log", lambda: ready_at(server_folder / "log", log_begin))
    cursor.connection.close()
    psql("bench", "CALL tenantmig.wait('bench')")
    return committed - ready, committed - called


def alive(cursor):
    try:
        return ask(cursor, "SELECT 1")
    except psycopg2.Error:
        return None


def part(options, figures):
    template = options.template("plain", options.rows)
    b0, online = load_variants(["b0", "online2"])
    if not (options.server_folder / f"b0.{template.name}").exists():
        prepare(template, False)
        measure(b0, options.server_folder)
        same_result(b0, template, options.server_folder)
    samples = []
    for number in range(options.rounds):
        samples.append(sample(template, options.server_folder))
        if not same_result(online, template, options.server_folder):
            sys.exit("bench: the result after kill and resume differs from that of b0")
        print(f"round {number + 1}: resume {samples[-1][0]:.3f} s", file=sys.stderr, flush=True)
    psql("postgres", "DROP DATABASE IF EXISTS bench")
    from_ready = statistics.median(s[0] for s in samples)
    print(f"\nkill -9 of a worker at {MIDDLE:.0%} of {template.rows} customers: first new commit {from_ready:.3f} s after the server was ready, "
          f"{statistics.median(s[1] for s in samples):.3f} s after resume was called (medians of {options.rounds}; "
          f"each {' '.join(f'{s[0]:.3f}' for s in samples)}). The end state was that of b0 each time.")
    figures.add("resume: kill -9 to the first new commit, beyond recovery", f"{from_ready:.3f} s", from_ready, LIMIT)
