"""Part latency: what a backfill does to the work beside it.

pgbench plays the business (load.pgbench) at 80 % of what the machine gave before. In each sample its latency is first taken
alone, then while the variant goes on. Latencies count from the moment that a transaction was due, as pgbench has it with
--rate, so that a stall shows in all that it held up. How long other sessions waited for one of our locks comes from the
server's log: with log_lock_waits and a deadlock_timeout of 1 ms it says who waited for whom, and how long in the end.
"""
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import time

from harness import HERE, Watch, load_variants, prepare, psql, start_session
from tables import table

CLIENTS = 8
SHARE = 0.8  # of the capacity
WARM_UP, ALONE = 4, 10  # seconds
KEPT_UP_MS = 100  # p99 alone above this: a backlog grows, and a ratio to it would say nothing
P99_LIMIT, RATE_LIMIT = 1.25, 0.2
PACE = {"work_share": 0.25, "batch_target_ms": 20}
# At full speed: nothing is looked at.
UNPACED = {"max_replica_lag_s": "off", "max_archive_backlog": "off", "wait_for_autovacuum": False, "max_lock_waiters": "off",
           "max_transaction_age_s": "off"}


class Load:
    """A pgbench that runs until stopped."""

    def __init__(self, rows, rate, folder):
        for old in folder.glob("pgbench_log.*"):
            old.unlink()
        self.folder = folder
        self.process = subprocess.Popen(pgbench(rows) + ["-T", "86400", "-R", str(rate), "-l", f"--log-prefix={folder}/pgbench_log", "bench"],
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def stop(self):
        """The alarm is how pgbench itself ends its time: it finishes in order and writes all of its log."""
        if self.process.poll() is not None:
            sys.exit(f"bench: pgbench ended early: {self.process.stdout.read().strip()}")
        self.process.send_signal(signal.SIGALRM)
        try:
            self.process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
            sys.exit("bench: pgbench did not end")

    def latencies(self, begin, end):
        """Milliseconds of each transaction that ended between two times of the clock, sorted."""
        found = []
        for path in self.folder.glob("pgbench_log.*"):
            with open(path) as lines:
                for line in lines:
                    words = line.split()
                    if begin <= int(words[4]) + int(words[5]) / 1e6 < end:
                        found.append(int(words[2]) / 1000)
        if not found:
            sys.exit("bench: pgbench has done nothing while it was measured")
        return sorted(found)


def pgbench(rows):
    return ["pgbench", "-n", "-M", "prepared", "-c", str(CLIENTS), "-j", "2", "-f", str(HERE / "load.pgbench"), "-D", f"rows={rows}"]


def capacity(rows):
    """Transactions a second that the machine gives at this moment when nothing holds them back."""
    tps = 0.0
    for _ in range(2):  # the first one is for the full-page images after the checkpoint
        done = subprocess.run(pgbench(rows) + ["-T", str(WARM_UP), "bench"], capture_output=True, text=True)
        found = re.search(r"^tps = ([\d.]+)", done.stdout, re.M)
        if not found:
            sys.exit(f"bench: pgbench: {done.stderr.strip()}")
        tps = float(found.group(1))
    return tps


def percentile(latencies, share):
    return latencies[min(len(latencies) - 1, int(len(latencies) * share))]


def longest_wait(text, ours):
    """Milliseconds that another session waited at the most for a lock held by one of ours, or for one who so waited."""
    waiting_for, longest = {}, 0.0
    event = r"\[(?P<pid>\d+)\] (?:LOG:  process \d+ (?P<what>still waiting for|acquired) .* after (?P<ms>[\d.]+) ms|" \
        r"DETAIL:  Process(?:es)? holding the lock: (?P<holders>[\d, ]+)\.)"
    for found in re.finditer(event, text):
        pid = int(found["pid"])
        if found["holders"]:
            waiting_for[pid] = set(map(int, found["holders"].split(",")))
        elif found["what"] == "acquired":
            holders = waiting_for.pop(pid, set())
            if pid not in ours and any(h in ours or waiting_for.get(h, set()) & ours for h in holders):
                longest = max(longest, float(found["ms"]))
    return longest


def sample(template, variant, pace, server_folder):
    """One copy: load alone, then load and variant. Returns what is printed of it."""
    prepare(template, variant.extension)
    target = None
    if variant.extension:
        settings = json.dumps(pace)
        target = json.loads(psql("bench", f"SELECT tenantmig.set_pace('bench', '{settings}')"))["batch_target_ms"]
    psql("postgres", "CHECKPOINT")
    rate = SHARE * capacity(template.rows)
    load = Load(template.rows, rate, server_folder)
    time.sleep(WARM_UP)
    alone = time.time()
    time.sleep(ALONE)
    log_begin = os.path.getsize(server_folder / "log")
    begin = time.time()
    session, backend = start_session("bench", variant.path)
    watch = Watch(backend, server_folder)
    watch.start()
    _, messages = session.communicate()
    end = time.time()
    load.stop()
    if session.returncode != 0:
        sys.exit(f"bench: {variant.name} under load: {messages.strip()}")
    watch.stop(variant)
    with open(server_folder / "log", errors="replace") as log:
        log.seek(log_begin)
        wait = longest_wait(log.read(), watch.pids)
    before, during = load.latencies(alone, begin), load.latencies(begin, end)
    p99, p99_alone = percentile(during, 0.99), percentile(before, 0.99)
    return {"seconds": end - begin, "p99": p99, "alone": p99_alone, "ratio": p99 / p99_alone, "most": during[-1],
            "most_alone": before[-1], "wait": wait, "target": target, "rate": rate}


def part(options, figures):
    template = options.template("plain", options.rows)
    b0, online = load_variants(["b0", "online1"])
    cases = [("paced", online, options.pace), ("unpaced", online, UNPACED), ("b0", b0, None)]
    samples = {name: [] for name, _, _ in cases}
    psql("postgres", "ALTER SYSTEM SET log_lock_waits = on", "ALTER SYSTEM SET deadlock_timeout = '1ms'", "SELECT pg_reload_conf()")
    for number in range(options.rounds):
        turn = number % len(cases)
        for name, variant, pace in cases[turn:] + cases[:turn]:
            got = sample(template, variant, pace, options.server_folder)
            samples[name].append(got)
            print(f"round {number + 1}: latency {name:<8} {got['seconds']:7.2f} s, p99 {got['p99']:.1f} ms, alone {got['alone']:.1f} ms, "
                  f"waited {got['wait']:.1f} ms", file=sys.stderr, flush=True)
    psql("postgres", "ALTER SYSTEM RESET log_lock_waits", "ALTER SYSTEM RESET deadlock_timeout", "SELECT pg_reload_conf()",
         "DROP DATABASE IF EXISTS bench")

    def median(name, what):
        return statistics.median(s[what] for s in samples[name])

    everything = [s for group in samples.values() for s in group]
    rows = [("beside the load", "seconds", "p99 ms", "alone ms", "p99", "longest ms", "waited for us ms"),
            ("nothing", "", f"{statistics.median(s['alone'] for s in everything):.1f}", "", "",
             f"{max(s['most_alone'] for s in everything):.0f}", "")]
    titles = {"paced": f"tenantmig, {json.dumps(options.pace)}", "unpaced": "tenantmig, pace off", "b0": b0.title}
    for name, _, _ in cases:
        rows.append((titles[name], f"{median(name, 'seconds'):.1f}", f"{median(name, 'p99'):.1f}", f"{median(name, 'alone'):.1f}",
                     f"{median(name, 'ratio'):.2f}", f"{max(s['most'] for s in samples[name]):.0f}", f"{max(s['wait'] for s in samples[name]):.1f}"))
    print(f"\npgbench, {CLIENTS} clients, at {statistics.median(s['rate'] for s in everything):.0f} transactions a second (80 % of the capacity just before), {template.rows} customers; medians of "
          f"{options.rounds} interleaved rounds, longest of all. \"alone\" was taken just before, in the same copy; \"p99\" is the ratio.\n")
    print(table(rows))
    alone = statistics.median(s["alone"] for s in everything)
    figures.add("latency: the load alone is kept up with (p99 in ms)", f"{alone:.1f} ms", alone, KEPT_UP_MS)
    figures.add("latency: p99 beside a paced run against alone", f"{median('paced', 'p99'):.1f} ms of {median('paced', 'alone'):.1f} ms",
                median("paced", "ratio"), P99_LIMIT)
    figures.add("latency: rate of the paced run against unpaced", f"{median('paced', 'seconds'):.1f} s, {median('unpaced', 'seconds'):.1f} s",
                median("unpaced", "seconds") / median("paced", "seconds"), RATE_LIMIT, at_least=True)
    for name in ("paced", "unpaced"):
        longest, target = max(s["wait"] for s in samples[name]), samples[name][0]["target"]
        figures.add(f"latency: longest wait for a lock of ours over the batch target, {name}", f"{longest:.1f} ms of {target:g} ms", longest / target, 1.0)
