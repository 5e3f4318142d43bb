"""The shapes of data that are measured, all made by generate.sql, and their databases to copy from."""
import subprocess
import sys
from dataclasses import dataclass, field

from harness import HERE, psql

APPOINTMENTS = {"via": "appointments.customer_id"}
PHONE_NUMBERS = {"via": "phone_numbers.customer_id"}


@dataclass
class Shape:
    name: str
    title: str
    variables: dict = field(default_factory=dict)  # of generate.sql
    after: tuple = ()  # statements that follow it
    sources: tuple = (APPOINTMENTS, PHONE_NUMBERS)

    def spec(self):
        return {"migration": "bench", "tenants": {"table": "companies"}, "steps": [
            {"backfill": {"table": "customers", "column": "company_id", "sources": list(self.sources)}}]}


SHAPES = {shape.name: shape for shape in (
    Shape("plain", "primary key alone"),
    Shape("extra_index", "a second index", after=("CREATE INDEX ON customers (phone)",)),
    Shape("trigger", "a BEFORE UPDATE trigger in PL/pgSQL", after=(
        "CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.updated_at := now(); RETURN NEW; END'",
        "CREATE TRIGGER touch BEFORE UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION touch()")),
    Shape("key_index", "an index on the tenant key", after=("CREATE INDEX ON customers (company_id)",)),
    Shape("foreign_key", "a foreign key on the tenant key", after=(
        "ALTER TABLE customers ADD FOREIGN KEY (company_id) REFERENCES companies",)),
    Shape("fillfactor85", "fillfactor 85", {"fillfactor": "85"}),
    Shape("uuid_keys", "uuid keys", {"key_type": "uuid", "key_expression": "SELECT md5($1::text)::uuid"}),
    Shape("composite_key", "a primary key of two columns", {"primary_key": "created_at, id"}),
    Shape("parent_hop", "most evidence one parent hop away", {"hop": "true"}, sources=({"via": "branch_id"}, PHONE_NUMBERS)),
    Shape("three_sources", "three sources", {"third": "true"}, sources=(APPOINTMENTS, PHONE_NUMBERS, {"via": "invoices.customer_id"})),
)}


def chosen_shapes(names):
    unknown = [name for name in names if name not in SHAPES]
    if unknown:
        sys.exit(f"bench: no shape {', '.join(unknown)}; there are {', '.join(SHAPES)}")
    return [SHAPES[name] for name in names]


class Template:
    """A database with the data of one shape and size, that each sample is taken from a copy of."""

    def __init__(self, shape, rows):
        self.shape, self.rows, self.name = shape, rows, f"bench_{shape.name}_{rows}"
        print(f"making {rows} customers, {shape.title} …", file=sys.stderr, flush=True)
        psql("postgres", f"CREATE DATABASE {self.name}")
        command = ["psql", "-Xq", "-d", self.name, "-v", f"n={rows}"]
        for name, value in shape.variables.items():
            command += ["-v", f"{name}={value}"]
        made = subprocess.run(command + ["-f", str(HERE / "generate.sql")], stdout=subprocess.DEVNULL)
        if made.returncode != 0:
            sys.exit("bench: the data could not be made")
        if shape.after:
            psql(self.name, *shape.after, "ANALYZE customers")
        self.sizes = psql(self.name, "SELECT pg_relation_size('customers') / 1048576 || ' ' || pg_indexes_size('customers') / 1048576 || ' ' "
                          "|| (SELECT count(*) FROM appointments) || ' ' || (SELECT count(*) FROM phone_numbers)").split()

    def copy(self, database="bench"):
        psql("postgres", f"DROP DATABASE IF EXISTS {database}",
             f"CREATE DATABASE {database} TEMPLATE {self.name} STRATEGY file_copy")

    def drop(self):
        psql("postgres", f"DROP DATABASE {self.name}")

    def describe(self):
        heap, indexes, appointments, phone_numbers = self.sizes
        return (f"{self.rows} customers (heap {heap} MB, indexes {indexes} MB), {appointments} appointments, "
                f"{phone_numbers} phone numbers; {self.shape.title}")
