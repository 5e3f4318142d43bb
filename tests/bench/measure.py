"""Measures the variants in variants/*.sql against each other, in interleaved rounds on fresh copies of the same data.

A variant is an SQL file that psql runs in one session. Comments at its head say what it is:
  -- title: what the table calls it
  -- extension: yes               the database has the extension installed before the copy is measured
  -- target: time 1.00, wal 1.05  the most that it may cost, as ratios to the first variant (b0)
Each result is compared row by row with that of the first variant; a difference is an error.
"""
import argparse
import os
import platform
import re
import statistics
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
TEMPLATE = "bench_template"
MIB = 1024 * 1024


@dataclass
class Variant:
    name: str
    path: Path
    title: str
    extension: bool
    targets: dict = field(default_factory=dict)
    samples: list = field(default_factory=list)


@dataclass
class Sample:
    seconds: float
    wal: int
    private: int  # bytes of the backend's own memory at its highest
    resident: int  # the same with the shared memory that it touched
    heap: int
    indexes: int


def psql(database, *commands, check=True):
    """Runs commands in one session and returns what they print, unaligned."""
    arguments = ["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-d", database]
    for command in commands:
        arguments += ["-c", command]
    done = subprocess.run(arguments, capture_output=True, text=True)
    if check and done.returncode != 0:
        sys.exit(f"bench: {done.stderr.strip()}")
    return done.stdout.strip()


def load_variants(chosen):
    variants = []
    for path in sorted(HERE.glob("variants/*.sql")):
        head = dict(re.findall(r"^-- (\w+): (.*)$", path.read_text(), re.M))
        targets = {name: float(value) for name, value in re.findall(r"(\w+) ([0-9.]+)", head.get("target", ""))}
        variants.append(Variant(path.stem, path, head.get("title", path.stem), head.get("extension") == "yes", targets))
    # the yardstick first, whatever else is chosen
    names = ["b0"] + [name for name in (chosen or [v.name for v in variants]) if name != "b0"]
    by_name = {variant.name: variant for variant in variants}
    unknown = [name for name in names if name not in by_name]
    if unknown:
        sys.exit(f"bench: no variant {', '.join(unknown)}; there are {', '.join(by_name)}")
    return [by_name[name] for name in names]


class MemoryWatch(threading.Thread):
    """Samples the memory of one backend until told to stop."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.status = Path(f"/proc/{pid}/status")
        self.private = self.resident = 0
        self.done = threading.Event()

    def run(self):
        while not self.done.wait(0.01):
            try:
                values = dict(re.findall(r"^(RssAnon|VmHWM):\s+(\d+) kB", self.status.read_text(), re.M))
            except OSError:
                return
            self.private = max(self.private, int(values.get("RssAnon", 0)) * 1024)
            self.resident = max(self.resident, int(values.get("VmHWM", 0)) * 1024)


def measure(variant, database):
    """Runs a variant once. Prewarmed and after a checkpoint, so that rounds start from the same state."""
    psql(database, "CREATE EXTENSION IF NOT EXISTS pg_prewarm",
         "SELECT sum(pg_prewarm(c.oid)) FROM pg_class c WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'i')",
         "DROP EXTENSION pg_prewarm", "CHECKPOINT")
    before = psql(database, "SELECT pg_current_wal_insert_lsn()")
    session = subprocess.Popen(
        ["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", "SELECT pg_backend_pid()", "-f", str(variant.path)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    watch = MemoryWatch(int(session.stdout.readline()))
    watch.start()
    begun = time.monotonic()
    _, errors = session.communicate()
    seconds = time.monotonic() - begun
    watch.done.set()
    watch.join()
    if session.returncode != 0:
        sys.exit(f"bench: {variant.name}: {errors.strip()}")
    wal, heap, indexes = psql(
        database, f"SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '{before}')::bigint || ' ' || "
        "pg_relation_size('customers') || ' ' || pg_indexes_size('customers')").split()
    return Sample(seconds, int(wal), watch.private, watch.resident, int(heap), int(indexes))


def dump_result(database, target):
    with open(target, "wb") as out:
        subprocess.run(["psql", "-Xq", "-d", database, "-c", "COPY (SELECT id, company_id FROM customers ORDER BY id) TO STDOUT"],
                       stdout=out, check=True)


def round_of(variants, work, number):
    reference = work / "reference"
    # turn about, so that no variant always comes after the same one; the first round makes the reference
    turn = number % len(variants)
    order = variants[turn:] + variants[:turn]
    for variant in order:
        psql("postgres", "DROP DATABASE IF EXISTS bench", f"CREATE DATABASE bench TEMPLATE {TEMPLATE} STRATEGY file_copy")
        if variant.extension:
            psql("bench", "CREATE EXTENSION tenantmig")
        sample = measure(variant, "bench")
        variant.samples.append(sample)
        result = work / "result"
        dump_result("bench", result)
        if variant.name == variants[0].name and not reference.exists():
            result.rename(reference)
        elif subprocess.run(["cmp", "-s", reference, result]).returncode != 0:
            sys.exit(f"bench: the result of {variant.name} differs from that of {variants[0].name}")
        print(f"round {number + 1}: {variant.name:<12} {sample.seconds:7.2f} s", file=sys.stderr, flush=True)
    psql("postgres", "DROP DATABASE IF EXISTS bench")


def machine():
    def first(pattern, path):
        found = re.search(pattern, Path(path).read_text(), re.M)
        return found.group(1).strip() if found else "unknown"

    cpu = first(r"^model name\s*:\s*(.*)$", "/proc/cpuinfo")
    memory = int(first(r"^MemTotal:\s+(\d+)", "/proc/meminfo")) / MIB
    return [
        ("CPU", f"{cpu}, {os.cpu_count()} cores"),
        ("memory", f"{memory:.0f} GiB"),
        ("kernel", platform.release()),
        ("PostgreSQL", psql("postgres", "SHOW server_version")),
        ("settings", ", ".join(
            f"{name} {psql('postgres', f'SHOW {name}')}"
            for name in ("shared_buffers", "max_wal_size", "maintenance_work_mem", "work_mem", "data_checksums"))),
    ]


def table(rows, left=1):
    """Aligned, and markdown at the same time; the first `left` columns are text, the others numbers."""
    widths = [max(len(str(row[i])) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for number, row in enumerate(rows):
        cells = [str(cell).ljust(w) if i < left else str(cell).rjust(w) for i, (cell, w) in enumerate(zip(row, widths))]
        lines.append("| " + " | ".join(cells) + " |")
        if number == 0:
            lines.append("|" + "|".join("-" * (w + 2) if i < left else "-" * (w + 1) + ":" for i, w in enumerate(widths)) + "|")
    return "\n".join(lines)


def median(variant, name):
    return statistics.median(getattr(sample, name) for sample in variant.samples)


def report(variants, rows, rounds, sizes):
    base = variants[0]
    out = [("variant", "seconds", "time", "WAL MB", "WAL", "own memory MB", "resident MB", "heap MB", "indexes MB")]
    for v in variants:
        out.append((v.title, f"{median(v, 'seconds'):.2f}", f"{median(v, 'seconds') / median(base, 'seconds'):.2f}",
                    f"{median(v, 'wal') / MIB:.0f}", f"{median(v, 'wal') / median(base, 'wal'):.2f}",
                    f"{max(s.private for s in v.samples) / MIB:.0f}", f"{max(s.resident for s in v.samples) / MIB:.0f}",
                    f"{median(v, 'heap') / MIB:.0f}", f"{median(v, 'indexes') / MIB:.0f}"))
    print(f"\n{rows} customers (heap {sizes[0]} MB, key {sizes[1]} MB), {sizes[2]} appointments, {sizes[3]} phone numbers; "
          f"medians of {rounds} interleaved rounds, memory the most of all.\n\"time\" and \"WAL\" without a unit are ratios "
          f"to the first line. Every result was equal to the first line's, row by row.\n")
    print(table(out))
    print()
    print(table([("machine", "")] + machine(), left=2))
    print()
    met = True
    for v in variants:
        for name, limit in v.targets.items():
            measured = median(v, {"time": "seconds"}.get(name, name)) / median(base, {"time": "seconds"}.get(name, name))
            met = met and measured <= limit
            print(f"{v.name}: {name} {measured:.2f}, target at most {limit:.2f}: {'met' if measured <= limit else 'NOT MET'}")
    for v in variants:
        print(f"{v.name}: seconds of each round {' '.join(f'{s.seconds:.2f}' for s in v.samples)}")
    return met


def main():
    parser = argparse.ArgumentParser(description="measures variants of a backfill against each other")
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--rounds", type=int, required=True)
    parser.add_argument("--variants", default="", help="names of variants, separated by blanks; all if empty")
    parser.add_argument("--server-folder", type=Path, required=True)
    options = parser.parse_args()
    variants = load_variants(options.variants.split())
    print(f"making {options.rows} customers …", file=sys.stderr, flush=True)
    psql("postgres", f"CREATE DATABASE {TEMPLATE}")
    subprocess.run(["psql", "-Xq", "-d", TEMPLATE, "-v", f"n={options.rows}", "-f", str(HERE / "generate.sql")], check=True)
    sizes = psql(TEMPLATE, "SELECT pg_relation_size('customers') / 1048576 || ' ' || pg_indexes_size('customers') / 1048576 || ' ' || "
                 "(SELECT count(*) FROM appointments) || ' ' || (SELECT count(*) FROM phone_numbers)").split()
    for number in range(options.rounds):
        round_of(variants, options.server_folder, number)
    met = report(variants, options.rows, options.rounds, sizes)
    return 0 if met else 4


if __name__ == "__main__":
    sys.exit(main())
