"""Measures tenantmig against SQL written by hand, in parts (README.md says what each part shows and takes)."""
import argparse
import json
import sys
from pathlib import Path

import ddl
import enforce
import fingerprint
import guards_lookups
import guards_prefix
import isolation
import latency
import observe
import recovery
import rehearse
import rekey
from harness import load_variants, rounds_of
from shapes import SHAPES, Template, chosen_shapes
from tables import Figures, add_targets, print_machine, print_variants

ONLINE = "b0 b2 floor backfill run1 online1 online2 undo"
PARTS = {"online", "baselines", "undo", "shapes", "size", "latency", "resume", "ddl", "enforce", "guards", "observe", "rekey", "fingerprint",
         "rehearse", "isolation"}


def part_variants(options, figures, names):
    """The plain shape, with the targets at the head of each variant."""
    template = options.template("plain", options.rows)
    variants = load_variants(["b0"] + [name for name in names if name != "b0"])
    rounds_of(template, variants, options.rounds, options.server_folder)
    print_variants(template, variants, options.rounds)
    add_targets(figures, variants)


def part_shapes(options, figures):
    """Other shapes: none slower than by hand."""
    for shape in chosen_shapes(options.shapes.split() or [name for name in SHAPES if name != "plain"]):
        template = Template(shape, options.rows)
        variants = load_variants(options.variants.split() or ["b0", "backfill", "run1", "online2"], shape.name)
        rounds_of(template, variants, options.rounds, options.server_folder)
        print_variants(template, variants, options.rounds)
        base = variants[0].median("seconds")
        for v in variants[1:]:
            if v.extension:
                figures.add(f"{shape.title}: {v.name}: time against b0", f"{v.median('seconds'):.2f} s of {base:.2f} s",
                            v.median("seconds") / base, 1.0)
        template.drop()


def part_size(options, figures):
    """Rate and ratio at each size against those at the first. Noise of 10 % is granted to the ratios to b0."""
    rounds = min(options.rounds, 3)
    first = {}
    for rows in map(int, options.sizes.split()):
        template = options.template("plain", rows)
        variants = load_variants(options.variants.split() or ["b0", "run1", "online2"])
        rounds_of(template, variants, rounds, options.server_folder)
        print_variants(template, variants, rounds)
        for v in variants:
            if not v.extension:
                continue
            rate, ratio = rows / v.median("seconds"), v.median("seconds") / variants[0].median("seconds")
            if v.name not in first:
                first[v.name] = (rate, ratio, rows)
                continue
            rate_then, ratio_then, rows_then = first[v.name]
            figures.add(f"{v.name}: rate at {rows} rows against {rows_then}", f"{rate:.0f}/s of {rate_then:.0f}/s", rate / rate_then, 0.6, at_least=True)
            figures.add(f"{v.name}: time against b0 at {rows} rows, over that at {rows_then}", f"{ratio:.2f} of {ratio_then:.2f}", ratio / ratio_then, 1.1)
        options.drop_template("plain", rows)


class Options:
    """The command line, and the templates that more than one part uses."""

    def __init__(self):
        parser = argparse.ArgumentParser(description="measures variants of a backfill against each other")
        parser.add_argument("--rows", type=int, required=True)
        parser.add_argument("--rounds", type=int, required=True)
        parser.add_argument("--parts", default="online", help=f"of {', '.join(sorted(PARTS))}")
        parser.add_argument("--variants", default="", help="names of variants, separated by blanks, in place of a part's own")
        parser.add_argument("--shapes", default="", help="names of shapes; all if empty")
        parser.add_argument("--sizes", default="1000000 4000000 16000000", help="rows, of part size")
        parser.add_argument("--pace", type=json.loads, default=latency.PACE, help="settings of the paced run of part latency, as JSON")
        parser.add_argument("--server-folder", type=Path, required=True)
        parser.parse_args(namespace=self)
        unknown = set(self.parts.split()) - PARTS
        if unknown:
            parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(sorted(PARTS))}")
        self.templates = {}

    def template(self, shape, rows):
        if (shape, rows) not in self.templates:
            self.templates[shape, rows] = Template(SHAPES[shape], rows)
        return self.templates[shape, rows]

    def drop_template(self, shape, rows):
        self.templates.pop((shape, rows)).drop()


def run_parts(options, figures):
    for part in options.parts.split():
        if part == "online":
            part_variants(options, figures, (options.variants or ONLINE).split())
        elif part == "baselines":
            part_variants(options, figures, ["b0", "b1", "b2", "b3", "b4", "b5", "floor"])
        elif part == "undo":
            part_variants(options, figures, ["b0", "run1", "undo"])
        elif part == "shapes":
            part_shapes(options, figures)
        elif part == "size":
            part_size(options, figures)
        elif part == "latency":
            latency.part(options, figures)
        elif part == "resume":
            recovery.part(options, figures)
        elif part == "ddl":
            ddl.part(options, figures)
        elif part == "enforce":
            enforce.part(options, figures)
        elif part == "guards":
            guards_prefix.measure(options, figures)
            guards_lookups.measure(options, figures)
        elif part == "observe":
            observe.part(options, figures)
        elif part == "rekey":
            rekey.part(options, figures)
        elif part == "fingerprint":
            fingerprint.part(options, figures)
        elif part == "rehearse":
            rehearse.part(options, figures)
        elif part == "isolation":
            isolation.part(options, figures)


def main():
    sys.stdout.reconfigure(line_buffering=True)  # in order with the lines of each round
    options = Options()
    figures = Figures()
    try:
        run_parts(options, figures)
    finally:  # a part that failed does not take along what others measured in hours
        figures.print()
    print_machine()
    return 0 if figures.met else 4


if __name__ == "__main__":
    sys.exit(main())
