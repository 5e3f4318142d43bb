"""The watch on ALTER TABLE: what CREATE TABLE and DROP TABLE cost while it stands, beside none. The modes take turns in one session, in short
blocks, so that whatever else the machine does hits all of them; the ratio is the median of that of each turn."""
import statistics
import time

import psycopg2

from harness import psql
from tables import table

DATABASE = "ddl"
BLOCK = 150  # tables made and dropped at a stretch
MODES = ["off", "warn", "on"]


def processor(pid):
    with open(f"/proc/{pid}/stat") as file:
        words = file.read().rsplit(")", 1)[1].split()
    return (int(words[11]) + int(words[12])) / 100


def block(cursor):
    pid = cursor.connection.info.backend_pid
    spent, begun = processor(pid), time.perf_counter()
    for _ in range(BLOCK):
        cursor.execute("CREATE TABLE ddl_loop (id integer PRIMARY KEY, note text)")
        cursor.execute("DROP TABLE ddl_loop")
    return time.perf_counter() - begun, processor(pid) - spent


def part(options, figures):
    psql("postgres", f"DROP DATABASE IF EXISTS {DATABASE}", f"CREATE DATABASE {DATABASE}")
    psql(DATABASE, "CREATE EXTENSION tenantmig")
    connection = psycopg2.connect(dbname=DATABASE)
    connection.autocommit = True
    taken = {mode: [] for mode in MODES}
    with connection.cursor() as cursor:
        for turn in range(4 * options.rounds + 1):
            for mode in MODES if turn % 2 else reversed(MODES):
                cursor.execute("SELECT tenantmig.ddl_watch(%s)", (mode,))
                sample = block(cursor)
                if turn > 0:  # the first one warms up
                    taken[mode].append(sample)
    connection.close()
    rows = [("CREATE TABLE, DROP TABLE", "ms a pair", "of processor", "against off")]
    for mode in MODES:
        ratio = statistics.median(mine[0] / off[0] for mine, off in zip(taken[mode], taken["off"]))
        rows.append((mode, f"{statistics.median(s[0] for s in taken[mode]) / BLOCK * 1000:.3f}",
                     f"{statistics.median(s[1] for s in taken[mode]) / BLOCK * 1000:.3f}", f"{ratio:.3f}"))
        if mode != "off":
            figures.add(f"CREATE/DROP TABLE with the watch in mode {mode} against off", f"{BLOCK} pairs a turn", ratio, 1.05)
    print(table(rows))
    psql("postgres", f"DROP DATABASE {DATABASE}")
