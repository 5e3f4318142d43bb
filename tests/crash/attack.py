"""One round: a copy of the data, a run (or an undo) under load, kill -9 at some moment, resumed until it is done, and compared."""
import os
import random
import subprocess
import sys
import time
from dataclasses import dataclass, field

import psycopg2

import compare
from cluster import kill

# Where a batch is open, by phase; the rest of the points lie between batches.
OPEN = {
    "evidence": [],
    "walk": ["walk_batch_open", "walk_batch_written", "walk_batch_logged"],
    "check": ["sweep_batch_open", "sweep_batch_written", "check_takeback"],
    "undo": ["walk_batch_open", "walk_batch_written", "walk_batch_logged", "undo_batch_open", "undo_batch_written"],
}
# An undo walks the table, then looks by key for what is left: rows that the load has changed meanwhile.
AIM = {
    "evidence": ["evidence_read", "evidence_read", "run_started"],
    "walk": OPEN["walk"],
    "check": ["sweep_batch_open", "sweep_batch_written"],
    "undo": OPEN["undo"],
    "between": ["walk_batch_committed", "check_started", "step_done", "run_finishing"],
}
BATCH_POINTS = {point for points in OPEN.values() for point in points}
PATIENCE = 60  # seconds until a round counts as stuck


@dataclass
class Round:
    number: int
    phase: str       # what the first kill is aimed at; "any": a moment by chance
    way: str         # start2 start1 call client watch: of the last two the first runs in the client's session, the second in workers
    victim: str      # worker leader client postmaster
    load: str        # plain late
    settings: list   # of the database
    kills: int = 1
    resume: str = "resume"
    struck: list = field(default_factory=list)  # of each kill: (phase, victim, whether a batch was open, where)

    def describe(self):
        struck = ", ".join(f"{victim} at {where}{'' if batch else ' (no batch)'}" for _, victim, batch, where in self.struck)
        return f"{self.phase}, {self.way}, load {self.load}{', ' + ', '.join(self.settings) if self.settings else ''}: {struck or 'nothing killed'}"


def plan_rounds(count, seed):
    """The rounds of a call: every phase, way, victim and setting by turns, shuffled."""
    dice = random.Random(f"rounds-{seed}")
    phases = dict(evidence=2, walk=11, check=5, undo=4, between=1, any=2)
    phases = [phase for phase, share in phases.items() for _ in range(share)] * (count // 25 + 1)
    phases = phases[:count] if count % 25 == 0 else dice.sample(phases, count)
    dice.shuffle(phases)
    ways, turn, rounds = ["start2", "call", "start1", "client", "start2", "watch"], {}, []
    for number, phase in enumerate(phases, 1):
        turn[phase] = turn.get(phase, -1) + 1
        way = "call" if phase == "undo" else ways[(turn[phase] + number // 7) % len(ways)]
        victims = {"start2": ["worker", "worker", "leader", "postmaster"], "start1": ["leader", "postmaster"],
                   "call": ["leader", "postmaster", "leader", "client"], "client": ["client", "leader", "postmaster"], "watch": ["client", "worker", "worker", "postmaster"]}[way]
        settings = []
        if number % 2 == 0:
            settings.append("synchronous_commit = off")
        if number % 3 == 0:
            settings.append("default_transaction_isolation = serializable")
        rounds.append(Round(number, phase, way, dice.choice(victims), "late" if number % 4 == 1 and phase != "undo" else "plain", settings,
                            kills=2 if dice.random() < 0.2 else 1, resume="call" if number % 3 == 1 else "resume"))
    return rounds


class Attack:
    def __init__(self, cluster, plan, template, database, rows, seed):
        self.cluster, self.plan, self.template, self.database, self.rows = cluster, plan, template, database, rows
        self.dice = random.Random(f"attack-{seed}-{plan.number}")
        self.seed = seed
        self.client = self.load = None

    def query(self, sql, *values):
        """One statement in a session of its own, so that a crash between two of them matters to none. Rows, if it has any."""
        connection = self.cluster.connect(self.database)
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql, values)
                return cursor.fetchall() if cursor.description else None
        finally:
            connection.close()

    def run_in_client(self, *command):
        with open(f"{self.cluster.socket}/client.log", "ab") as log:
            self.client = subprocess.Popen(command, env=self.cluster.environment(self.database), stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    # --- the beginning ---------------------------------------------------------------------------------------------

    def prepare(self):
        connection = self.cluster.connect()
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {self.database} TEMPLATE {self.template}")
            for setting in self.plan.settings:
                cursor.execute(f"ALTER DATABASE {self.database} SET {setting}")
            cursor.execute("CHECKPOINT")  # what is replayed after the kill is this round's
        connection.close()
        self.cluster.forget_marks()
        here = os.path.dirname(os.path.abspath(__file__))
        self.load = subprocess.Popen([sys.executable, f"{here}/load.py", self.cluster.socket, self.database, self.plan.load, f"{self.seed}-{self.plan.number}", str(self.rows)])

    def begin(self):
        if self.plan.phase == "undo":
            self.run_in_client("psql", "-qXc", f"CALL tenantmig.undo({self.latest()[0]})")
        elif self.plan.way == "call":
            self.run_in_client("psql", "-qXc", "CALL tenantmig.run('m')")
        elif self.plan.way == "client":
            self.run_in_client("tenantmig", "run", "m", "--foreground", "--reconnect", "0")
        elif self.plan.way == "watch":
            self.run_in_client("tenantmig", "run", "m", "--workers", "2", "--reconnect", "0")
        else:
            self.query("SELECT tenantmig.start('m', %s)", 2 if self.plan.way == "start2" else 1)

    # --- the kill --------------------------------------------------------------------------------------------------

    def latest(self):
        found = self.query("SELECT id, state, error FROM tenantmig.runs ORDER BY id DESC LIMIT 1")
        return found[0] if found else None

    def engine_pids(self):
        """Processes of the engine by their role, as the server shows them."""
        found = self.query("SELECT pid, backend_type, backend_xid IS NOT NULL FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
                           "AND (backend_type LIKE 'tenantmig%%' OR query ~* '^call tenantmig\\.(run|undo)')")
        return {pid: (kind, writes) for pid, kind, writes in found}

    def aim(self, phase):
        """Lets the engine stand still at a point of the phase; which one, and when, is left to chance."""
        if phase == "any":
            self.cluster.set_faults(*(f"{point} sleep {self.dice.randint(1, 15)} percent=50" for point in sorted(BATCH_POINTS)))
            return None
        points = AIM[phase] + (["worker_started", "worker_exit"] if phase == "between" and self.plan.way not in ("call", "client") else [])
        point = self.dice.choice(points)
        hit = self.dice.randint(1, 4) if point in OPEN["walk"] else 1
        self.cluster.set_faults(f"{point} sleep 2000 hit={hit}")
        return point

    def at_work(self):
        return bool(self.query("SELECT pid FROM tenantmig.active_migrations"))

    def strike(self, phase, point):
        """Waits for the moment and kills. Notes whether a batch was open in the process that was killed."""
        if point is None:
            time.sleep(self.dice.uniform(0.02, 0.6))
        else:
            begun = time.monotonic()
            while not self.cluster.marked() and time.monotonic() - begun < 10:
                time.sleep(0.002)
                if int((time.monotonic() - begun) * 500) % 100 == 99 and time.monotonic() - begun > 1 and not self.at_work():
                    break  # it is done, and did not come by
            time.sleep(self.dice.uniform(0, 0.03))
        if self.plan.way in ("start2", "watch") and self.plan.victim in ("leader", "worker") and point in BATCH_POINTS:
            time.sleep(0.1)  # the other one comes by too
        engine = self.engine_pids()
        marked = self.cluster.marked()
        victim, pid = self.choose(engine, marked)
        if victim == "postmaster":
            self.cluster.kill_all()
        elif pid is not None:
            kill(pid)
        where, batch = self.judge(engine, marked, victim, pid)
        if victim != "none":
            self.plan.struck.append((phase, victim, batch, where))
        self.cluster.set_faults()
        return victim

    def choose(self, engine, marked):
        if self.plan.victim == "postmaster":
            return "postmaster", None
        if self.plan.victim == "client" and self.client is not None and self.client.poll() is None:
            return "client", self.client.pid
        workers = dict(self.query("SELECT pid, worker FROM tenantmig.stat_workers WHERE state IN ('running', 'throttled')"))
        pids = [pid for pid in engine if (workers.get(pid, 1) == 1) == (self.plan.victim != "worker")] or list(engine)
        pids = [pid for pid in pids if pid in marked] or pids
        if not pids:
            return "none", None
        pid = self.dice.choice(pids)
        return ("worker" if workers.get(pid, 1) > 1 else "leader"), pid

    @staticmethod
    def judge(engine, marked, victim, pid):
        """Where the victim was, and whether it had a batch open: it stood at a point inside of one, or had written rows."""
        of = {pid} if victim in ("worker", "leader") else set(engine)
        points = [marked[p] for p in of if p in marked]
        if any(point in BATCH_POINTS for point in points):
            return next(point for point in points if point in BATCH_POINTS), True
        if any(engine[p][1] for p in of if p in engine):
            return points[0] if points else "some moment", True
        return points[0] if points else "some moment", False

    def recover(self, victim):
        if victim == "postmaster":
            self.cluster.start()
        else:
            time.sleep(0.05)  # the postmaster has to notice first
        self.cluster.wait_until_up()
        if victim == "client":
            self.client.wait()
        elif self.client is not None:
            self.client.wait(timeout=PATIENCE)
        self.client = None
        self.cluster.forget_marks()

    # --- the end ---------------------------------------------------------------------------------------------------

    def go_on(self):
        """What an operator does after a crash, nothing else. The last of several kills is done by then."""
        run = self.latest()
        if self.plan.phase == "undo":
            self.run_in_client("psql", "-qXc", f"CALL tenantmig.undo({run[0]})")
        elif run is None or self.plan.resume == "call":
            self.run_in_client("psql", "-qXc", "CALL tenantmig.run('m')")
        else:
            self.query("SELECT tenantmig.resume('m')")

    def finished(self):
        run = self.latest()
        return run is not None and run[1] == ("rolled_back" if self.plan.phase == "undo" else "completed")

    def settle(self):
        """Until nothing is at work. A client that was killed leaves its session at work, which is as good."""
        begun = time.monotonic()
        while self.at_work() or (self.client is not None and self.client.poll() is None):
            if time.monotonic() - begun > PATIENCE:
                raise RuntimeError(f"nothing has come of it in {PATIENCE} s: {self.query('SELECT * FROM tenantmig.stat_workers')}")
            time.sleep(0.02)
        self.client = None

    def finish(self):
        tries = 0
        self.settle()
        while not self.finished():
            tries += 1
            if tries > 3:
                raise RuntimeError(f"the run does not get done: {self.latest()}")
            try:
                self.go_on()
            except psycopg2.Error as error:
                if error.pgcode != "55006":
                    raise
            time.sleep(0.05)
            self.settle()

    def end_load(self):
        if self.load is not None:
            self.load.terminate()
            self.load.wait(timeout=30)
            self.load = None

    def run(self, reference, pages):
        """Lines that say what is wrong at the end."""
        try:
            self.prepare()
            time.sleep(0.1)  # the load comes up
            phase, victim = self.plan.phase, "none"
            for number in range(self.plan.kills):
                point = self.aim(phase)
                self.begin() if number == 0 else self.go_on()
                victim = self.strike(phase, point)
                self.recover(victim)
                if victim == "client":
                    self.settle()  # its session goes on without it
                if self.finished() or victim == "none":
                    break
            self.finish()
            self.end_load()
            if self.plan.load == "late":  # who came without a key behind the run's back
                self.query("CALL tenantmig.run('m')")
            connection = self.cluster.connect(self.database)
            wrong = compare.differences(connection, reference, self.plan.phase == "undo", pages)
            connection.close()
            return wrong
        finally:
            self.cluster.set_faults()
            self.end_load()
            if self.client is not None:
                self.client.kill()
                self.client.wait()


def drop(cluster, database):
    connection = cluster.connect()
    with connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")
    connection.close()

