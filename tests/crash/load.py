#!/usr/bin/python3
"""The business that goes on while a run is at work, is killed and resumed: load.py SOCKET DATABASE MODE SEED ROWS.

Each transaction that updates a customer's visits also writes a row of visit_log, so that an update that got lost shows
as a difference between the two, whatever crashed in between. Nothing that it does changes the outcome of a row that is
there from the beginning; with MODE "late" it also adds customers without a key. Ends on SIGTERM, after its transaction.
"""
import random
import signal
import sys
import threading
import time

import psycopg2

import shop

stop = threading.Event()


def update(cursor, dice, rows, _):
    # a few neighbours, so that pages are hit that the run is at work on; in the order of numbers: no deadlocks among us
    first = dice.randint(shop.BASE, rows)
    cursor.execute("WITH u AS (UPDATE customers SET visits = visits + 1, note = repeat('y', %s) WHERE id = ANY (%s) RETURNING id) "
                   "INSERT INTO visit_log (customer_id) SELECT id FROM u",
                   (dice.randint(0, 60), list(range(first, first + dice.randint(1, 3)))))


def add_keyed(cursor, dice, rows, number):
    cursor.execute(f"INSERT INTO customers (id, company_id, name) SELECT id, {shop.TENANT}, 'new' FROM (SELECT {shop.KEYED + number}::bigint AS id) i")


def add_appointment(cursor, dice, rows, _):
    # one more that says what the others say
    customer = dice.randint(shop.BASE, rows) // 50 * 50 + dice.randint(0, 43)
    cursor.execute(f"INSERT INTO appointments (customer_id, company_id) SELECT id, {shop.TENANT} FROM customers WHERE id = {customer}")


def add_late(cursor, dice, rows, number):
    cursor.execute(shop.add_customers(f"SELECT {shop.LATE + number}::bigint AS id"))


def work(socket, database, actions, seed, rows, thread):
    dice, number, connection = random.Random(f"{seed}-{thread}"), thread, None
    while not stop.is_set():
        try:
            if connection is None:
                connection = psycopg2.connect(host=socket, port=5432, user="postgres", dbname=database)
            with connection.cursor() as cursor:
                dice.choice(actions)(cursor, dice, rows, number)
            connection.commit()
        except psycopg2.Error as error:
            if error.pgcode in ("40001", "40P01"):
                connection.rollback()
            else:
                connection = None  # the server was killed, or is not back yet
                time.sleep(0.05)
        number += 2
        stop.wait(0.004)


def main():
    socket, database, mode, seed, rows = sys.argv[1:6]
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    actions = [update, update, update, add_keyed, add_appointment] + ([add_late] if mode == "late" else [])
    threads = [threading.Thread(target=work, args=(socket, database, actions, seed, int(rows), i)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
