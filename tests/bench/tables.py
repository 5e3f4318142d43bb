"""What is printed: tables, figures against their targets, and the machine."""
import os
import platform
import re
from pathlib import Path

from harness import MIB, psql


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


class Figures:
    """Each figure that has a target: what, what was measured, as a ratio of what, and whether that is enough."""

    def __init__(self):
        self.rows = []
        self.met = True

    def add(self, what, measured, value, limit, at_least=False):
        good = value >= limit if at_least else value <= limit
        self.met = self.met and good
        self.rows.append((what, measured, f"{value:.2f}", f"{'≥' if at_least else '≤'} {limit:.2f}", "PASS" if good else "FAIL"))

    def print(self):
        if self.rows:
            print("\n" + table([("figure", "measured", "value", "target", "")] + self.rows, left=2))


def print_variants(template, variants, count):
    """The table of one set of interleaved rounds."""
    base = next(v for v in variants if v.name == "b0")
    out = [("variant", "seconds", "time", "WAL MB", "WAL", "heap", "key", "HOT", "memory MB", "shared MB")]
    for v in variants:
        out.append((v.title, f"{v.median('seconds'):.2f}", f"{v.median('seconds') / base.median('seconds'):.2f}",
                    f"{v.median('wal') / MIB:.0f}", f"{v.median('wal') / base.median('wal'):.2f}",
                    f"{v.median('heap') / v.median('heap_before'):.2f}", f"{v.median('key') / v.median('key_before'):.2f}",
                    f"{100 * v.median('hot_share'):.0f} %", f"{max(s.private for s in v.samples) / MIB:.0f}",
                    f"{max(s.shared for s in v.samples) / MIB:.0f}"))
    print(f"\n{template.describe()}; medians of {count} interleaved rounds, memory the most of all.\n"
          "\"time\" and \"WAL\" without a unit are ratios to the first line, \"heap\" and \"key\" the size after against before.\n")
    print(table(out))
    print()
    for v in variants:
        print(f"{v.name}: seconds of each round {' '.join(f'{s.seconds:.2f}' for s in v.samples)}")
    for v in variants:
        for notice in sorted({s.notice for s in v.samples if s.notice}):
            print(f"{v.name}: {notice}")


def add_targets(figures, variants):
    """The targets at the head of the variants' files."""
    by_name = {v.name: v for v in variants}
    names = {"time": "seconds"}
    for v in variants:
        for measure, other, limit in v.targets:
            if other not in by_name:
                continue
            value = v.median(names.get(measure, measure))
            if measure == "growth":
                figures.add(f"{v.name}: heap and key after against before", "", value, limit)
                continue
            base = by_name[other].median(names.get(measure, measure))
            shown = f"{value:.2f} s of {base:.2f} s" if measure == "time" else f"{value / MIB:.0f} MB of {base / MIB:.0f} MB"
            figures.add(f"{v.name}: {'WAL' if measure == 'wal' else measure} against {other}", shown, value / base, limit)


def print_machine():
    def first(pattern, path):
        found = re.search(pattern, Path(path).read_text(), re.M)
        return found.group(1).strip() if found else "unknown"

    cpu = first(r"^model name\s*:\s*(.*)$", "/proc/cpuinfo")
    memory = int(first(r"^MemTotal:\s+(\d+)", "/proc/meminfo")) / MIB
    settings = ("shared_buffers", "max_wal_size", "maintenance_work_mem", "work_mem", "data_checksums", "fsync", "synchronous_commit", "wal_level")
    print("\n" + table([("machine", ""), ("CPU", f"{cpu}, {os.cpu_count()} cores"), ("memory", f"{memory:.0f} GiB"),
                        ("kernel", platform.release()), ("PostgreSQL", psql("postgres", "SHOW server_version")),
                        ("settings", ", ".join(f"{name} {psql('postgres', f'SHOW {name}')}" for name in settings))], left=2))
