"""Attacks on isolation through a pool in transaction mode. Prints "ok …" and "not ok …"; POOL is the folder of pgbouncer's socket,
PGHOST and PGPORT are the server itself."""
import os
import random
import signal
import subprocess
import sys
import threading
import time

import psycopg2

POOL = os.environ["POOL"]
TENANTS = range(1, 6)
CLIENTS, ROUNDS = 24, 120
failed = False


def said(good, what, detail=""):
    global failed
    failed = failed or not good
    print(f"{'ok' if good else 'not ok'} {what}", flush=True)
    for line in str(detail).splitlines()[:20] if not good else ():
        print(f"    {line}", flush=True)


def client(database="pooling", user="pool_app"):
    return psycopg2.connect(host=POOL, port=6432, user=user, dbname=database)


def server():
    connection = psycopg2.connect(host=os.environ["PGHOST"], port=os.environ["PGPORT"], user=os.environ["PGUSER"], dbname="pooling")
    connection.autocommit = True
    return connection


def one(connection, sql, *values):
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return cursor.fetchone()


def run(connection, sql, *values):
    with connection.cursor() as cursor:
        cursor.execute(sql, values)


# What a transaction sees: tenants, rows, and which server connection it has got. The condition that must not matter is there
# so that a planner that pulls it up would be noticed.
SEEN = "SELECT coalesce(array_agg(DISTINCT tenant_id), '{}'), count(*), pg_backend_pid() FROM items WHERE body <> 'nothing'"


class Tally:
    """What all clients have seen; `wrong` holds what no transaction may see."""

    def __init__(self):
        self.lock = threading.Lock()
        self.kinds, self.wrong, self.served = {}, [], {}

    def note(self, kind, tenant, seen, number):
        tenants, rows, pid = seen
        with self.lock:
            self.kinds[kind] = self.kinds.get(kind, 0) + 1
            self.served.setdefault(pid, []).append((number, tenant))
            if tenant is None:
                if tenants or rows:
                    self.wrong.append(f"{kind}: no tenant was set, and {rows} rows of {tenants} are seen")
            elif tenants != [tenant] or rows < 100 * tenant:
                self.wrong.append(f"{kind}: tenant {tenant} sees {rows} rows of {tenants}")

    def refuse(self, what):
        with self.lock:
            self.wrong.append(what)


def expect_error(tally, connection, state, sql, *values):
    try:
        run(connection, sql, *values)
        tally.refuse(f"{sql}: was not refused")
    except psycopg2.Error as error:
        if error.pgcode != state:
            tally.refuse(f"{sql}: {error.pgcode} {error}")


SET = ["SELECT set_config('tenantmig.tenant', '{}', true)", "SET LOCAL tenantmig.tenant = '{}'", "SET LOCAL tenantmig.tenant TO {}"]


def transaction(tally, connection, kind, number, chance):
    """One transaction of a kind; psycopg2 has sent BEGIN with the first statement."""
    tenant = None if kind == "forgets" else chance.choice(TENANTS)
    if tenant:
        run(connection, chance.choice(SET).format(tenant))
    seen = one(connection, SEEN)
    if kind == "writes":
        run(connection, "INSERT INTO items (tenant_id, body) VALUES (%s, 'new')", tenant)
        seen = one(connection, SEEN)
    elif kind == "changes tenant":  # within one transaction, as a job over all tenants does
        tally.note(kind, tenant, seen, number)
        tenant = chance.choice(TENANTS)
        run(connection, SET[0].format(tenant))
        seen = one(connection, SEEN)
    elif kind == "savepoint":  # what is set inside goes with it
        other = chance.choice([t for t in TENANTS if t != tenant])
        run(connection, "SAVEPOINT s")
        run(connection, SET[1].format(other))
        tally.note(kind, other, one(connection, SEEN), number)
        run(connection, "ROLLBACK TO SAVEPOINT s")
        seen = one(connection, SEEN)
    elif kind == "fails":
        expect_error(tally, connection, "22012", "SELECT 1 / 0")
    elif kind == "refused":
        other = chance.choice([t for t in TENANTS if t != tenant])
        expect_error(tally, connection, "42501", "INSERT INTO items (tenant_id, body) VALUES (%s, 'foreign')", other)
    elif kind == "forgets":
        with connection.cursor() as cursor:
            cursor.execute("UPDATE items SET body = 'taken'")
            if cursor.rowcount:
                tally.refuse(f"forgets: {cursor.rowcount} rows updated")
        expect_error(tally, connection, "42501", "INSERT INTO items (tenant_id, body) VALUES (1, 'nobody')")
    tally.note(kind, tenant, seen, number)
    if kind in ("fails", "refused", "forgets", "rolled back"):
        connection.rollback()
    else:
        connection.commit()


KINDS = ["reads", "reads", "writes", "changes tenant", "savepoint", "fails", "refused", "rolled back", "forgets", "forgets", "goes away"]


def session(tally, number, rounds, kinds):
    chance = random.Random(number)
    connection = client()
    try:
        for _ in range(rounds):
            kind = chance.choice(kinds)
            if kind == "goes away":  # in the middle of a transaction, without a word
                run(connection, chance.choice(SET).format(chance.choice(TENANTS)))
                tally.kinds[kind] = tally.kinds.get(kind, 0) + 1
                connection.close()
                connection = client()
            else:
                transaction(tally, connection, kind, number, chance)
    except Exception as error:  # whatever it is, the test must say so
        tally.refuse(f"client {number}: {type(error).__name__} {error}")
    finally:
        connection.close()


def together(tally, clients, rounds, kinds):
    threads = [threading.Thread(target=session, args=(tally, number, rounds, kinds)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def forgotten(database="pooling", times=40):
    """Rows that clients see who set no tenant: new clients, old ones, single statements and transactions."""
    most, lent = 0, set()
    old = client(database)
    for number in range(times):
        connection = old if number % 2 else client(database)
        connection.autocommit = number % 4 < 2
        rows, pid = one(connection, "SELECT count(*), pg_backend_pid() FROM items")
        most, lent = max(most, rows), lent | {pid}
        if not connection.autocommit:
            connection.rollback()
        if connection is not old:
            connection.close()
    old.close()
    return most, lent


def many_clients():
    calm = Tally()
    together(calm, CLIENTS, ROUNDS, [kind for kind in KINDS if kind != "goes away"])
    said(not calm.wrong, f"{sum(calm.kinds.values())} looks of {CLIENTS} clients: each sees the rows of its own tenant, and no others", "\n".join(calm.wrong))
    said(calm.kinds.get("forgets", 0) > 300, "and hundreds of them, that set no tenant, see and change nothing", calm.kinds)
    said(all(calm.kinds.get(kind) for kind in KINDS if kind != "goes away"), "some read, write, fail, are refused, change their tenant, roll back", calm.kinds)
    shared = [len({number for number, _ in served}) for served in calm.served.values()]
    said(len(calm.served) == 2 and min(shared) > CLIENTS // 2 and all({t for _, t in served} >= set(TENANTS) for served in calm.served.values()),
         "they shared two server connections, and each served every tenant", f"{len(calm.served)} connections, {shared} clients")

    rude = Tally()
    together(rude, CLIENTS, 30, KINDS + ["goes away"] * 3)
    said(not rude.wrong and rude.kinds["goes away"] > 50, "the same with clients that go away in the middle of transactions", "\n".join(rude.wrong) or rude.kinds)


def killed():
    """kill -9 of clients that have set their tenant: while they are idle in the transaction, and while the server is at work."""
    seen, victims = 0, 0
    for number in range(12):
        rest = "" if number % 2 else "SELECT pg_sleep(30) FROM items LIMIT 1;"
        process = subprocess.Popen(["psql", "-Xq", "-h", POOL, "-p", "6432", "-U", "pool_app", "-d", "pooling"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        process.stdin.write(f"BEGIN; SET LOCAL tenantmig.tenant = '{1 + number % 5}'; SELECT 'here', count(*) FROM items;\n{rest}\n".encode())
        process.stdin.flush()
        while b"here" not in (line := process.stdout.readline()) and line:
            pass
        time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        victims += process.wait() == -signal.SIGKILL
        seen = max(seen, forgotten(times=4)[0])
    said(victims == 12 and seen == 0, "12 clients are killed in the middle of a transaction: whoever comes after them sees nothing", f"{victims} killed, {seen} rows seen")
    with server() as connection:
        for _ in range(100):
            left = one(connection, "SELECT count(*) FROM pg_stat_activity WHERE usename = 'pool_app' AND xact_start < now() - interval '2 s'")[0]
            if not left:
                break
            time.sleep(0.1)
    said(left == 0, "and their transactions are gone from the server")


def foreign_roles():
    """A pool belongs to one role: a connection of the role that sees everything is never handed to the application."""
    with client(user="pool_admin") as admin:
        rows, pid = one(admin, "SELECT count(*), pg_backend_pid() FROM items")
    admin.close()
    seen, lent = forgotten()
    said(rows >= 1500 and seen == 0 and pid not in lent, "the connection of the role that sees all tenants is never lent to the application", f"{rows} rows, then {seen}; {pid} in {lent}")


def execute_prepared(connection, tenant):
    """PREPARE where the connection does not know it yet: by SQL it stays on the server connection, for whoever comes next."""
    for _ in range(3):
        try:
            run(connection, SET[0].format(tenant))
            return one(connection, "EXECUTE everything")
        except psycopg2.errors.InvalidSqlStatementName:
            connection.rollback()
            try:
                run(connection, SET[0].format(tenant))
                run(connection, "PREPARE everything AS " + SEEN)
                connection.commit()
            except psycopg2.errors.DuplicatePreparedStatement:
                connection.rollback()
    raise RuntimeError("the statement could not be prepared")


def prepared():
    tally = Tally()
    foreign = 0
    for mode in ("force_generic_plan", "force_custom_plan", "auto"):
        connections = [client() for _ in range(5)]
        for number in range(150):
            connection, tenant = connections[number % 5], random.choice(TENANTS)
            run(connection, f"SET LOCAL plan_cache_mode = {mode}")
            tally.note("prepared", tenant, execute_prepared(connection, tenant), number % 5)
            connection.commit()
            run(connection, "SELECT 1")
            try:
                rows = one(connection, "EXECUTE everything")[1]  # without a tenant: nothing
                foreign = max(foreign, rows)
            except psycopg2.errors.InvalidSqlStatementName:
                pass  # on the other server connection nobody has prepared it yet
            connection.rollback()
        for connection in connections:
            connection.close()
    said(not tally.wrong and foreign == 0, "statements prepared by one client and executed by others, as generic and as custom plans: the tenant is that of the transaction", "\n".join(tally.wrong) or foreign)


def session_state():
    """The pitfall: what is set for the session stays with the server connection, and the next client has it."""
    for label, statement in (("SET", "SET tenantmig.tenant = '3'"), ("set_config(…, false)", "SELECT set_config('tenantmig.tenant', '3', false)")):
        with client("single") as careless:
            run(careless, statement)
        careless.close()
        seen, _ = forgotten("single")
        said(seen >= 300, f"a plain {label} is carried over: another client, who sets nothing, sees all of tenant 3 (which shows that this test can fail)", f"{seen} rows")
        with client("single") as connection:
            run(connection, "SET LOCAL tenantmig.tenant = '2'")
            tenants = one(connection, SEEN)[0]
        connection.close()
        said(tenants == [2], "whoever sets its tenant for the transaction is right even then", tenants)
        with client("single") as connection:
            run(connection, "RESET tenantmig.tenant")
        connection.close()
        said(forgotten("single")[0] == 0, "RESET takes it away")

    # rolled back, it is not there; committed, it is
    with client("single") as careless:
        run(careless, "SET tenantmig.tenant = '3'")
        careless.rollback()
    careless.close()
    said(forgotten("single")[0] == 0, "a plain SET in a transaction that is rolled back is not carried over")

    admin = client("pgbouncer", "pool_admin")
    admin.autocommit = True
    run(admin, "SET server_reset_query_always = 1")
    with client("single") as careless:
        run(careless, "SET tenantmig.tenant = '3'")
    careless.close()
    seen, _ = forgotten("single")
    run(admin, "SET server_reset_query_always = 0")
    admin.close()
    said(seen == 0, "with server_reset_query_always pgbouncer takes it away itself", f"{seen} rows")

    with client("whole") as careless:
        run(careless, "SET tenantmig.tenant = '3'")
    careless.close()
    seen = 0
    for _ in range(5):
        connection = client("whole")
        seen = max(seen, one(connection, "SELECT count(*) FROM items")[0])
        connection.close()
    said(seen == 0, "in session mode the connection is cleared before the next client has it", f"{seen} rows")


def what_remains():
    """After the first transaction that set it, the setting is there, and empty: a policy must take that for no tenant."""
    with client("single") as connection:
        run(connection, "SET LOCAL tenantmig.tenant = '1'")
    with connection:
        value, rows = one(connection, "SELECT current_setting('tenantmig.tenant', true), (SELECT count(*) FROM items)")
    said(value == "" and rows == 0, "what remains of SET LOCAL is an empty setting, not an unset one, and nothing is visible with it", f"{value!r}, {rows} rows")
    for wanted, sql in (("22P02", "SELECT current_setting('tenantmig.tenant')::integer"), (None, "SELECT nullif(current_setting('tenantmig.tenant', true), '')::integer")):
        try:
            with connection:
                run(connection, sql)
            state = None
        except psycopg2.Error as error:
            state = error.pgcode
        said(state == wanted, f"{sql}: {wanted or 'NULL'}", state)
    connection.close()


def untouched():
    with server() as connection:
        bad = one(connection, "SELECT count(*) FROM items WHERE body IN ('foreign', 'nobody', 'taken')")[0]
        rows = one(connection, "SELECT count(*) FROM items WHERE body = 'new'")[0]
    said(bad == 0 and rows > 0, "as the owner of the table sees it: every refused row is missing, every accepted one is there", f"{bad} bad, {rows} new")


for test in (many_clients, killed, foreign_roles, prepared, session_state, what_remains, untouched):
    try:
        test()
    except Exception as error:
        said(False, f"{test.__name__} came to its end", f"{type(error).__name__}: {error}")
sys.exit(failed)
