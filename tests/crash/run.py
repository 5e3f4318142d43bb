#!/usr/bin/python3
"""kill -9 of workers, leaders, clients and whole servers at random moments, under load: run.py --data DIR --rounds N.

DIR is a data directory whose server is stopped; it is started, killed and stopped here. Its module has fault points:
they let a process stand still in the phase that a round aims at, so that a kill hits what it is meant to hit; the moment
within is left to chance. Each round has a database of its own, and after the kill it is resumed as an operator would; then
its rows, log, reviews and chains are compared with those of an undisturbed run, and with what the data itself says.
The servers run with fsync = off: kill -9 takes no power away, what was written to files is there afterwards.

Exit status: 0 all rounds ended as they should, and enough of the kills hit an open batch; else 1.
"""
import argparse
import os
import random
import sys
import time
import traceback
from collections import Counter

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import compare  # noqa: E402
import shop  # noqa: E402
from attack import Attack, drop, plan_rounds  # noqa: E402
from cluster import Cluster  # noqa: E402

OPEN_SHARE = 0.8  # of the kills


# Each of these must be noticed: a comparison that finds nothing proves nothing.
TAMPER = {
    "a key that was lost": "UPDATE customers SET company_id = NULL WHERE id = 1",
    "another tenant's key": "UPDATE customers SET company_id = 1 + company_id % 20 WHERE id = 1",
    "an update that was lost": "UPDATE customers SET visits = visits + 1 WHERE id = 1",
    "a change without its log": "DELETE FROM tenantmig.change_log WHERE entry = 2",
    "a change that was logged twice": "UPDATE tenantmig.change_log SET keys = keys[1:1] || keys[1:1] || keys[3:] WHERE entry = 2",
    "a review that was lost": "DELETE FROM tenantmig.review_batch WHERE first_id = 1",
    "a run that does not say how many rows it wrote": "UPDATE tenantmig.run_log SET assigned = 0",
}


def unnoticed(connection, reference):
    """What the comparison would not notice."""
    connection.autocommit = False
    found = []
    for what, sql in TAMPER.items():
        connection.cursor().execute(sql)
        if not compare.differences(connection, reference, False, False):
            found.append(f"not noticed: {what}")
        connection.rollback()
    connection.autocommit = True
    return found


def prepare(cluster, rows):
    """The templates: the data before a run, and after an undisturbed one; and the end states to compare with."""
    admin = cluster.connect()
    cursor = admin.cursor()
    cursor.execute("CREATE DATABASE fresh")
    connection = cluster.connect("fresh")
    shop.build(connection, rows)
    connection.close()
    cursor.execute("CREATE DATABASE filled TEMPLATE fresh")
    connection = cluster.connect("filled")
    connection.cursor().execute("CALL tenantmig.run('m')")
    filled = compare.state(connection)
    wrong = compare.differences(connection, filled, False, True) + unnoticed(connection, filled)
    connection.close()
    cursor.execute("CREATE DATABASE undone TEMPLATE filled")
    connection = cluster.connect("undone")
    run = compare.rows_of(connection, "SELECT max(id) FROM tenantmig.runs")[0][0]
    connection.cursor().execute("CALL tenantmig.undo(%s)", (run,))
    undone = compare.state(connection)
    wrong += compare.differences(connection, undone, True, True)
    connection.close()
    cursor.execute("DROP DATABASE undone")
    admin.close()
    return filled, undone, wrong


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", required=True)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--seed", default="2026")
    parser.add_argument("--rows", type=int, default=12000)
    parser.add_argument("--only", help="numbers of rounds, by commas; the others are left out")
    arguments = parser.parse_args()
    seed = str(random.randrange(10**9)) if arguments.seed == "random" else arguments.seed
    print(f"{arguments.rounds} rounds, seed {seed}, {arguments.rows} rows", flush=True)

    cluster = Cluster(arguments.data)
    cluster.start()
    filled, undone, wrong = prepare(cluster, arguments.rows)
    print("ok undisturbed run and undo; what is tampered with is noticed" if not wrong else "not ok undisturbed run and undo", *wrong, sep="\n    ", flush=True)

    failed, struck = len(wrong), []
    for plan in plan_rounds(arguments.rounds, seed):
        if arguments.only and str(plan.number) not in arguments.only.split(","):
            continue
        begun, database = time.monotonic(), f"round_{plan.number}"
        undo = plan.phase == "undo"
        try:
            attack = Attack(cluster, plan, "filled" if undo else "fresh", database, arguments.rows, seed)
            wrong = attack.run(undone if undo else filled, plan.number % 5 == 0)
        except Exception:  # whatever it is: this round has failed, the next may not
            wrong = [traceback.format_exc()]
            cluster.make_sure()
        struck += plan.struck
        print(f"{'not ok' if wrong else 'ok'} {plan.number} {plan.describe()}, {time.monotonic() - begun:.1f} s", *wrong, sep="\n    ", flush=True)
        failed += bool(wrong)
        if not wrong:
            drop(cluster, database)
    failed += summary(struck, arguments.only)
    deaths = cluster.crashes()
    if deaths:
        print("not ok the server died of something else", *deaths[:10], sep="\n    ")
    cluster.stop()
    return 1 if failed or deaths else 0


def summary(struck, partial):
    batches = sum(batch for _, _, batch, _ in struck)
    for title, column in (("aimed at", 0), ("killed", 1), ("where", 3)):
        counts = Counter(kill[column] for kill in struck)
        print(f"{title}: " + ", ".join(f"{name} {number}" for name, number in sorted(counts.items())))
    enough = bool(struck) and batches >= OPEN_SHARE * len(struck)
    print(f"{'ok' if enough else 'not ok'} {batches} of {len(struck)} kills hit an open batch", flush=True)
    return 0 if enough or partial else 1


if __name__ == "__main__":
    sys.exit(main())
