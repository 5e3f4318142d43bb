"""Variants, their samples, and rounds of them on fresh copies of the same data.

A variant is an SQL file, variants/NAME.sql, that psql runs in one session. What NAME.before.sql holds is run first and not
timed; NAME.SHAPE.sql takes its place for one shape of the data. Comments at its head say what it is:
  -- title: what the tables call it
  -- extension: yes               the extension and the migration "bench" are there before it is timed
  -- workers: yes                 it starts background workers; a sample that saw none is an error, as its figures would be empty
  -- result: b0|original|any      what the rows have to equal afterwards: those of b0 (the default), those before, nothing
  -- notice: WORD                 a NOTICE with this word is printed under the table
  -- target: time 0.50, time/b2 0.15, wal 0.70, growth 1.30
                                  the most that it may cost: ratios to b0 or to the variant after the slash; growth is heap
                                  and primary key, after against before
"""
import json
import re
import statistics
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
MIB = 1024 * 1024


def psql(database, *commands):
    """Runs commands in one session and returns what they print, unaligned."""
    arguments = ["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-d", database]
    for command in commands:
        arguments += ["-c", command]
    done = subprocess.run(arguments, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"bench: {done.stderr.strip()}")
    return done.stdout.strip()


@dataclass
class Sample:
    seconds: float
    wal: int
    private: int  # bytes of memory of their own of all processes at work, at its highest
    shared: int  # of the shared memory that they made for themselves
    heap: int
    heap_before: int
    key: int
    key_before: int
    updates: int
    hot: int
    notice: str

    @property
    def growth(self):
        return (self.heap + self.key) / (self.heap_before + self.key_before)

    @property
    def hot_share(self):
        return self.hot / self.updates if self.updates else 0.0


@dataclass
class Variant:
    name: str
    path: Path
    title: str
    extension: bool
    workers: bool
    result: str
    notice: str
    targets: list  # of (measure, name of the other variant, limit)
    samples: list = field(default_factory=list)

    def median(self, measure):
        return statistics.median(getattr(sample, measure) for sample in self.samples)


def load_variants(names, shape="plain"):
    variants = []
    for name in names:
        path = HERE / f"variants/{name}.{shape}.sql"
        path = path if path.exists() else HERE / f"variants/{name}.sql"
        if not path.exists():
            there = sorted(p.stem for p in HERE.glob("variants/*.sql") if "." not in p.stem)
            sys.exit(f"bench: no variant {name}; there are {', '.join(there)}")
        head = dict(re.findall(r"^-- (\w+): (.*)$", path.read_text(), re.M))
        targets = [(measure, other or "b0", float(limit))
                   for measure, other, limit in re.findall(r"(\w+)(?:/(\w+))? ([0-9.]+)", head.get("target", ""))]
        variants.append(Variant(name, path, head.get("title", name), head.get("extension") == "yes",
                                head.get("workers") == "yes", head.get("result", "b0"), head.get("notice", ""), targets))
    return variants


class Watch(threading.Thread):
    """Follows the memory of a session's backend and of tenantmig's own processes, until told to stop.

    It reads /proc alone: a query would hold a snapshot, which is what page passes must not meet."""

    def __init__(self, backend, server_folder):
        super().__init__(daemon=True)
        self.backend = backend
        self.postmaster = int((server_folder / "data/postmaster.pid").read_text().split()[0])
        self.pids = {backend}
        self.private = self.shared = 0
        self.own = 0  # how many of tenantmig's own processes were seen
        self.done = threading.Event()

    def find(self):
        children = Path(f"/proc/{self.postmaster}/task/{self.postmaster}/children").read_text().split()
        for pid in map(int, children):
            if pid not in self.pids:
                try:
                    title = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
                except OSError:
                    continue
                if "tenantmig" in title or f"parallel worker for PID {self.backend}" in title:
                    self.pids.add(pid)
                    self.own += "tenantmig" in title

    def look(self, segments_too):
        private, segments = 0, {}
        for pid in self.pids:
            try:
                found = re.search(r"^RssAnon:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.M)
                private += int(found.group(1)) * 1024 if found else 0
                if segments_too:
                    for begin, end, name in re.findall(r"^(\w+)-(\w+) \S+ \S+ \S+ \S+\s+/dev/shm/(PostgreSQL\S+)",
                                                       Path(f"/proc/{pid}/maps").read_text(), re.M):
                        segments[name] = max(segments.get(name, 0), int(end, 16) - int(begin, 16))
            except OSError:
                continue
        self.private = max(self.private, private)
        self.shared = max(self.shared, sum(segments.values()))

    def run(self):
        tick = 0
        while not self.done.wait(0.02):
            if tick % 5 == 0:
                try:
                    self.find()
                except OSError:
                    return
            self.look(tick % 5 == 0)
            tick += 1

    def stop(self, variant):
        self.done.set()
        self.join()
        if variant.workers and not self.own:
            sys.exit(f"bench: {variant.name}: no process with tenantmig in its title was seen")


def prepare(template, extension, database="bench"):
    """A fresh copy, prewarmed and after a checkpoint, so that all samples start from the same state."""
    template.copy(database)
    if extension:
        spec = json.dumps(template.shape.spec()).replace("'", "''")
        psql(database, "CREATE EXTENSION tenantmig", f"SELECT tenantmig.create_migration('{spec}')")
    psql(database, "CREATE EXTENSION IF NOT EXISTS pg_prewarm",
         "SELECT sum(pg_prewarm(c.oid)) FROM pg_class c WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'i')",
         "DROP EXTENSION pg_prewarm")


def start_session(database, path):
    """psql on a file. Returns the process and the pid of its backend."""
    session = subprocess.Popen(
        ["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", "SELECT pg_backend_pid()", "-f", str(path)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return session, int(session.stdout.readline())


SIZES = ("SELECT concat_ws(' ', pg_relation_size('customers'), (SELECT pg_relation_size(conindid) FROM pg_constraint "
         "WHERE conrelid = 'customers'::regclass AND contype = 'p'))")
UPDATES = "SELECT concat_ws(' ', n_tup_upd, n_tup_hot_upd) FROM pg_stat_user_tables WHERE relname = 'customers'"


def measure(variant, server_folder, database="bench"):
    """Runs a variant once, in a database that prepare() made."""
    before_file = HERE / f"variants/{variant.name}.before.sql"
    if before_file.exists():
        done = subprocess.run(["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-d", database, "-f", str(before_file)], capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"bench: {before_file.name}: {done.stderr.strip()}")
        time.sleep(0.2)  # for its counts to arrive
    psql("postgres", "CHECKPOINT")
    heap_before, key_before = map(int, psql(database, SIZES).split())
    updates_before, hot_before = map(int, psql(database, UPDATES).split())
    position = psql(database, "SELECT pg_current_wal_insert_lsn()")
    begun = time.monotonic()
    session, backend = start_session(database, variant.path)
    watch = Watch(backend, server_folder)
    watch.start()
    _, messages = session.communicate()
    seconds = time.monotonic() - begun
    if session.returncode != 0:
        sys.exit(f"bench: {variant.name}: {messages.strip()}")
    watch.stop(variant)
    wal = int(psql(database, f"SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '{position}')::bigint"))
    time.sleep(0.2)
    heap, key = map(int, psql(database, SIZES).split())
    updates, hot = map(int, psql(database, UPDATES).split())
    notice = next((line for line in messages.splitlines() if variant.notice and variant.notice in line), "")
    return Sample(seconds, wal, watch.private, watch.shared, heap, heap_before, key, key_before, updates - updates_before,
                  hot - hot_before, re.sub(r"^.*NOTICE:\s*", "", notice))


def dump_result(database, target):
    with open(target, "wb") as out:
        subprocess.run(["psql", "-Xq", "-d", database, "-c", "COPY (SELECT id, company_id FROM customers ORDER BY id) TO STDOUT"],
                       stdout=out, check=True)


def same_result(variant, template, work, database="bench"):
    """Compares the rows with those that are expected; the first b0 says what these are."""
    if variant.result == "any":
        return True
    expected = work / f"{variant.result}.{template.name}"
    if variant.result == "original" and not expected.exists():
        dump_result(template.name, expected)
    result = work / "result"
    dump_result(database, result)
    if not expected.exists():
        result.rename(expected)
        return True
    return subprocess.run(["cmp", "-s", expected, result]).returncode == 0


def rounds_of(template, variants, count, server_folder):
    """Interleaved: turn about, so that no variant always comes after the same one. The very first sample is b0's."""
    for number in range(count):
        turn = number % len(variants)
        for variant in variants[turn:] + variants[:turn]:
            prepare(template, variant.extension)
            sample = measure(variant, server_folder)
            variant.samples.append(sample)
            if not same_result(variant, template, server_folder):
                sys.exit(f"bench: the result of {variant.name} is not what it should be ({variant.result})")
            print(f"round {number + 1}: {template.name} {variant.name:<10} {sample.seconds:7.2f} s", file=sys.stderr, flush=True)
    psql("postgres", "DROP DATABASE IF EXISTS bench")
