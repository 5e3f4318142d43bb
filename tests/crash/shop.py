"""The data that is migrated, what must come of it, and the migration.

A customer's number says what its evidence is (see KIND), so the right end state is known without the engine: an
independent check beside the comparison with an undisturbed run.
"""
import json

COMPANIES = 20
BASE = 1  # customers that are there from the beginning are numbered from here
LATE = 10_000_000  # customers that come without a key while the run is at work
KEYED = 20_000_000  # and those that come with one

# By number modulo 50: 44 of 50 have evidence that agrees, then conflicts, orphans, unknown tenants, and one with a key.
KIND = "CASE WHEN id % 50 < 44 THEN 'assigned' WHEN id % 50 < 46 THEN 'conflict' WHEN id % 50 < 48 THEN 'orphan' WHEN id % 50 = 48 THEN 'unknown_tenant' ELSE 'keyed' END"
TENANT = f"(1 + id % {COMPANIES})::int"

TABLES = f"""
CREATE TABLE companies (id int PRIMARY KEY, name text NOT NULL);
CREATE TABLE customers (id bigint PRIMARY KEY, company_id int REFERENCES companies, name text NOT NULL, note text, visits int NOT NULL DEFAULT 0);
CREATE TABLE appointments (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer_id bigint NOT NULL REFERENCES customers, company_id int);
CREATE TABLE phone_numbers (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer_id bigint NOT NULL REFERENCES customers, company_id int);
CREATE INDEX ON appointments (customer_id);
CREATE TABLE visit_log (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer_id bigint NOT NULL);
INSERT INTO companies SELECT i, 'company ' || i FROM generate_series(1, {COMPANIES}) i;
"""


def add_customers(ids):
    """SQL that adds customers with the evidence of their numbers; ids: a query of numbers, in a column id."""
    return f"""
WITH ids AS MATERIALIZED ({ids}),
customers AS (INSERT INTO customers (id, company_id, name, note)
  SELECT id, CASE WHEN {KIND} = 'keyed' THEN {TENANT} END, 'customer ' || id, repeat('x', (id % 60)::int) FROM ids),
first AS (INSERT INTO appointments (customer_id, company_id)
  SELECT id, CASE {KIND} WHEN 'unknown_tenant' THEN 900 ELSE {TENANT} END FROM ids WHERE {KIND} <> 'orphan'),
second AS (INSERT INTO appointments (customer_id, company_id)
  SELECT id, CASE {KIND} WHEN 'conflict' THEN 1 + {TENANT} % {COMPANIES} ELSE {TENANT} END FROM ids
  WHERE {KIND} = 'conflict' OR {KIND} = 'assigned' AND id % 3 = 0)
INSERT INTO phone_numbers (customer_id, company_id) SELECT id, {TENANT} FROM ids WHERE {KIND} = 'assigned' AND id % 2 = 0"""


SPEC = {
    "migration": "m", "tenants": {"table": "companies", "key": "id"},
    "steps": [{"backfill": {"table": "customers", "column": "company_id",
                            "sources": [{"via": "appointments.customer_id"}, {"via": "phone_numbers.customer_id"}]}}]}


def build(connection, rows):
    cursor = connection.cursor()
    for extension in ("tenantmig", "amcheck", "pg_visibility"):
        cursor.execute(f"CREATE EXTENSION {extension}")
    cursor.execute(TABLES)
    cursor.execute(add_customers(f"SELECT i AS id FROM generate_series({BASE}, {rows}) i"))
    cursor.execute("ANALYZE")
    cursor.execute("SELECT tenantmig.create_migration(%s)", (json.dumps(SPEC),))
    cursor.execute("SELECT tenantmig.set_pace('m', %s)", (json.dumps(PACE),))


PACE = {"batch_target_ms": 20, "first_batch_rows": 200, "max_batch_rows": 400}  # small batches: many of them, and many commits to be hit
