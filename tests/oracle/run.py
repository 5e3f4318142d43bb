#!/usr/bin/python3
"""Compares tenantmig with the model over random cases: run.py --cases N --seed S --dsn "host=… user=postgres".

Case n of a call has the seed S + n, so `--cases 1 --seed THAT` (make oracle CASES=1 SEED=THAT) repeats it alone. Each
case has a database of its own, copied from a template with the extension. Exit status: 0 all agree, 1 some do not,
2 no connection or no extension.
"""
import argparse
import json
import os
import random
import sys
import time
import traceback

import psycopg2
from psycopg2 import extensions

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import handmade  # noqa: E402
from build import build, drop_roles, make_roles  # noqa: E402
from compare import Mismatch  # noqa: E402
from generate import generate  # noqa: E402
from scenario import Scenario  # noqa: E402


def connect(dsn, database=None):
    connection = psycopg2.connect(dsn, **({"dbname": database} if database else {}))
    connection.autocommit = True
    extensions.register_type(extensions.UNICODE, connection)
    return connection


class Runner:
    def __init__(self, dsn, keep):
        self.dsn, self.keep = dsn, keep
        self.admin = connect(dsn)
        self.template = f"tenantmig_oracle_template_{os.getpid()}"

    def prepare(self):
        make_roles(self.admin)
        self.admin.cursor().execute(f"CREATE DATABASE {self.template}")
        connection = connect(self.dsn, self.template)
        handmade.check(connection)
        connection.cursor().execute("CREATE EXTENSION tenantmig")
        connection.close()

    def drop(self, database):
        self.admin.cursor().execute(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")

    def finish(self):
        try:
            self.drop(self.template)
            if not self.keep:
                drop_roles(self.admin)
        except psycopg2.Error:
            pass  # roles that somebody else's objects still need, or a server that has gone

    def reconnect(self):
        """After a crash of the server: waits until it is back."""
        for _ in range(30):
            try:
                self.admin = connect(self.dsn)
                return
            except psycopg2.OperationalError:
                time.sleep(1)
        raise SystemExit("oracle: the server does not come back")

    def run(self, seed, big=None):
        """Runs one case; returns None or a text that says what differs."""
        case, database = generate(seed, big), f"tenantmig_oracle_{os.getpid()}_{seed}"
        failure, scenario = None, None
        try:
            self.admin.cursor().execute(f"CREATE DATABASE {database} TEMPLATE {self.template}")
            admin, user = connect(self.dsn, database), connect(self.dsn, database)
            try:
                build(case, admin)
                scenario = Scenario(case, admin, user, random.Random(f"scenario-{seed}"))
                scenario.run()
            finally:
                admin.close()
                user.close()
        except Mismatch as error:
            failure = str(error)
        except psycopg2.Error as error:
            diag = error.diag
            failure = f"{type(error).__name__} {error.pgcode}: {error}" + (f"  hint: {diag.message_hint}\n" if diag and diag.message_hint else "")
            failure += "".join(traceback.format_exception(error)[-3:-1])
            if error.pgcode is None or isinstance(error, psycopg2.OperationalError):
                self.reconnect()
        if failure:
            said = case.arguments if case.one_line else case.spec
            failure += f"\n  in: {scenario.phase if scenario else 'building the schema'}\n  as: {'operator' if case.as_operator else 'superuser'}"
            failure += f", settings {case.settings}\n  {'arguments' if case.one_line else 'spec'}: {json.dumps(said, ensure_ascii=False)}"
            if self.keep:
                failure += f"\n  kept: database {database}"
        if not (failure and self.keep):
            self.drop(database)
        return failure


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--seed", default="", help="a number; empty: a random one")
    parser.add_argument("--dsn", default="dbname=postgres", help="of a superuser; the extension must be available on the server")
    parser.add_argument("--keep", action="store_true", help="keep the database of a failing case")
    parser.add_argument("--verbose", action="store_true", help="a line for each case, not only for those that fail")
    parser.add_argument("--stop", type=int, default=1 if os.environ.get("MUTANTS") else 10, metavar="N",
                        help="stop after N failures (default 10; 1 when MUTANTS is set)")
    parser.add_argument("--big", action="store_true", help="thousands of rows in every case")
    options = parser.parse_args()
    seed = int(options.seed) if options.seed else random.randrange(10**6) * 1000
    print(f"# oracle: {options.cases} cases, seed {seed}", flush=True)
    try:
        runner = Runner(options.dsn, options.keep)
        runner.prepare()
    except (psycopg2.Error, Mismatch) as error:
        print(f"oracle: {error}", file=sys.stderr)
        return 2
    started, failures, done = time.time(), [], 0
    try:
        for number in range(options.cases):
            failure = runner.run(seed + number, options.big or None)
            done += 1
            if failure:
                failures.append(seed + number)
                print(f"not ok {number + 1} - seed {seed + number}")
                print("\n".join("#   " + line for line in failure.splitlines()))
                print(f"#   repeat: make oracle CASES=1 SEED={seed + number}", flush=True)
                if len(failures) >= options.stop:
                    break
            elif options.verbose:
                print(f"ok {number + 1} - seed {seed + number}", flush=True)
    finally:
        runner.finish()
    print(f"# oracle: {done} cases, {len(failures)} failed, {time.time() - started:.0f} s, seed {seed}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
