"""Builds a case's schema in an empty database: tables, rows, and what happens to tables in years of use."""
import io
import random

from tables import OPERATOR, OWNERS
from values import DOMAINS, copy_text, literal, quote


def full(table):
    return f"{quote(table.schema)}.{quote(table.name)}"


def declare(column):
    return " ".join([quote(column.name), column.type]
                    + (["NOT NULL"] if column.not_null else [])
                    + ([f"DEFAULT {column.default}"] if column.default else [])
                    + ([f"GENERATED ALWAYS AS ({column.generated}) STORED"] if column.generated else []))


class Builder:
    def __init__(self, case, connection):
        self.case, self.connection = case, connection
        self.cursor = connection.cursor()
        self.rng = random.Random(f"build-{case.seed}")
        self.statements = []

    def run(self, sql):
        self.statements.append(sql)
        self.cursor.execute(sql)

    def build(self):
        case = self.case
        self.run(DOMAINS)
        for schema in case.schemas:
            self.run(f"CREATE SCHEMA {quote(schema)}; GRANT USAGE ON SCHEMA {quote(schema)} TO PUBLIC")
        for table in case.tables:
            self.create(table)
        for table in case.tables:
            self.references(table)
        for table in case.tables:
            self.finish(table)
        if self.rng.random() < 0.5:
            self.run("ANALYZE")
        if case.as_operator:
            self.run(f"SELECT tenantmig.grant_access('{OPERATOR}', 'operator')")

    def create(self, table):
        rng, name = self.rng, full(table)
        columns = [c for c in table.columns if not c.late]
        rng.shuffle(columns)
        parts = [declare(c) for c in columns]
        gone = []
        for number in range(rng.choice([0, 0, 0, 1, 2])):
            gone.append(f"gone_{number}")
            parts.insert(rng.randrange(len(parts) + 1), f"gone_{number} {rng.choice(['int4', 'text', 'uuid'])}")
        by = f" PARTITION BY {table.partition[0]} ({quote(table.partition[1])})" if table.partition else ""
        self.run(f"CREATE TABLE {name} ({', '.join(parts)}){by}")
        if table.partition:
            for column in gone:
                self.run(f"ALTER TABLE {name} DROP COLUMN {column}")
            gone = []
            self.partitions(table, columns)
        if table.key_kind == "pk" and rng.random() < 0.5 or table.partition:
            self.key(table)
        self.copy(table, [c.name for c in columns if not c.generated])
        for column in gone:
            self.run(f"ALTER TABLE {name} DROP COLUMN {column}")
        for column in (c for c in table.columns if c.late):
            self.run(f"ALTER TABLE {name} ADD COLUMN {declare(column)}")
        if not self.has_key(name):
            self.key(table)
        for column in table.unique:
            self.run(f"ALTER TABLE {name} ADD UNIQUE ({quote(column)})")
        self.churn(table)
        if table.heir:  # an inheriting table is a table of its own: nobody asked for its rows
            heir = f"{quote(table.schema)}.{quote(table.heir)}"
            names = ", ".join(quote(c.name) for c in table.columns if not c.generated)
            self.run(f"CREATE TABLE {heir} () INHERITS ({name}); INSERT INTO {heir} ({names}) SELECT {names} FROM ONLY {name} LIMIT 3")

    def has_key(self, name):
        self.cursor.execute("SELECT EXISTS (SELECT FROM pg_index WHERE indrelid = %s::regclass)", (name,))
        return self.cursor.fetchone()[0]

    def key(self, table):
        columns = ", ".join(quote(c) for c in table.key)
        if table.key_kind == "pk":
            self.run(f"ALTER TABLE {full(table)} ADD PRIMARY KEY ({columns})")
            return
        # Indexes that look like a row key and are none come first.
        if self.rng.random() < 0.5:
            self.run(f"CREATE UNIQUE INDEX ON {full(table)} ({columns}) WHERE {quote(table.key[0])} IS NULL")
        if self.rng.random() < 0.5:
            self.run(f"CREATE UNIQUE INDEX ON {full(table)} (({quote(table.key[0])}::text || '!'), {columns})")
        self.run(f"CREATE UNIQUE INDEX ON {full(table)} ({columns})")

    def partitions(self, table, columns):
        kind, column = table.partition
        if kind == "hash":
            bounds = [f"WITH (MODULUS 3, REMAINDER {n})" for n in range(3)]
        elif kind == "range":
            bounds = ["FROM (MINVALUE) TO (10)", "FROM (10) TO (30)", "DEFAULT"]
        else:
            values = sorted({r[column] for r in table.rows}, key=str)
            bounds = [f"IN ({literal(v)})" for v in values[:2]] + ["DEFAULT"]
        for number, bound in enumerate(bounds):
            part = f"{quote(table.schema)}.{quote(f'part {number} of ' + str(self.case.tables.index(table)))}"
            clause = bound if bound == "DEFAULT" else f"FOR VALUES {bound}"
            if self.rng.random() < 0.5 or any(c.generated for c in columns):
                self.run(f"CREATE TABLE {part} PARTITION OF {full(table)} {clause}")
            else:  # attached: other order of columns, and one that has gone
                turned = [declare(c) for c in reversed(columns)]
                self.run(f"CREATE TABLE {part} (gone int8, {', '.join(turned)}); ALTER TABLE {part} DROP COLUMN gone")
                self.run(f"ALTER TABLE {full(table)} ATTACH PARTITION {part} {clause}")

    def copy(self, table, columns):
        text = "".join("\t".join(copy_text(row.get(c)) for c in columns) + "\n" for row in table.rows)
        self.cursor.copy_expert(f"COPY {full(table)} ({', '.join(quote(c) for c in columns)}) FROM STDIN", io.StringIO(text))

    def churn(self, table):
        """Rows that were updated or deleted before: dead tuples, update chains, free space."""
        rng, key = self.rng, quote(table.key[0])
        if rng.random() < 0.5:
            self.run(f"UPDATE {full(table)} SET {key} = {key} WHERE hashtext({key}::text) % {rng.randint(1, 4)} = 0")
        if rng.random() < 0.2:
            self.run(f"CREATE TABLE public.kept AS SELECT * FROM {full(table)}; DELETE FROM {full(table)} WHERE hashtext({key}::text) % 2 = 0")
            columns = ", ".join(quote(c.name) for c in table.columns if not c.generated)
            self.run(f"INSERT INTO {full(table)} ({columns}) SELECT {columns} FROM public.kept k WHERE hashtext({key}::text) % 2 = 0; DROP TABLE public.kept")

    def references(self, table):
        for fk in table.fks:
            columns, refs = (", ".join(quote(pair[i]) for pair in [(fk.column, fk.ref)] + fk.more) for i in (0, 1))
            self.run(f"ALTER TABLE {full(table)} ADD FOREIGN KEY ({columns}) REFERENCES {full(fk.table)} ({refs})"
                     + (" DEFERRABLE INITIALLY DEFERRED" if fk.deferred else "") + ("" if fk.valid else " NOT VALID"))

    def finish(self, table):
        name = full(table)
        for number, (kind, column) in enumerate(table.triggers):
            self.trigger(table, kind, column, f"{quote(table.schema)}.{quote(f'{kind} {number} of ' + str(self.case.tables.index(table)))}")
        if table.owner:
            self.cursor.execute("SELECT relid::text FROM pg_partition_tree(%s::regclass)", (name,))
            for (part,) in self.cursor.fetchall() or [(name,)]:
                self.run(f"ALTER TABLE {part} OWNER TO {quote(table.owner)}")
            for audit in (table.audit, table.statement_audit):
                if audit:
                    self.run(f"ALTER TABLE {quote(table.schema)}.{quote(audit)} OWNER TO {quote(table.owner)}")
        if table.rls:
            self.run(f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY; ALTER TABLE {name} FORCE ROW LEVEL SECURITY")
            if table.rls != "deny":
                rule = "false" if table.rls == "false" else f"{quote(table.key[0])}::text = current_setting('app.key')"
                self.run(f"CREATE POLICY some_rows ON {name} USING ({rule})")

    def trigger(self, table, kind, column, function):
        name, key = full(table), quote(column)
        head = f"CREATE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS "
        if kind == "touch":
            self.run(f"{head} $f$ BEGIN NEW.{key} := clock_timestamp(); RETURN NEW; END $f$")
            self.run(f"CREATE TRIGGER touch BEFORE UPDATE ON {name} FOR EACH ROW EXECUTE FUNCTION {function}()")
        elif kind == "audit":
            audit = f"{quote(table.schema)}.{quote(table.audit)}"
            self.run(f"CREATE TABLE {audit} (old_key text, new_key text)")
            self.run(f"{head} $f$ BEGIN INSERT INTO {audit} VALUES (OLD.{key}::text, NEW.{key}::text); RETURN NULL; END $f$")
            self.run(f"CREATE TRIGGER audit AFTER UPDATE OF {key} ON {name} FOR EACH ROW WHEN (OLD.{key} IS DISTINCT FROM NEW.{key}) "
                     f"EXECUTE FUNCTION {function}()")
        else:
            audit = f"{quote(table.schema)}.{quote(table.statement_audit)}"
            self.run(f"CREATE TABLE {audit} (row_count int8)")
            self.run(f"{head} $f$ BEGIN INSERT INTO {audit} SELECT count(*) FROM changed; RETURN NULL; END $f$")
            self.run(f"CREATE TRIGGER statement AFTER UPDATE ON {name} REFERENCING NEW TABLE AS changed FOR EACH STATEMENT "
                     f"EXECUTE FUNCTION {function}()")


def make_roles(connection):
    """Owners of tables, and one role that is a member of all of them; made once a server, left out when there."""
    cursor = connection.cursor()
    for role in OWNERS + [OPERATOR]:
        cursor.execute("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = %s)", (role,))
        if not cursor.fetchone()[0]:
            cursor.execute(f"CREATE ROLE {quote(role)}")
    for owner in OWNERS:
        cursor.execute(f"GRANT {quote(owner)} TO {quote(OPERATOR)}")


def drop_roles(connection):
    cursor = connection.cursor()
    for role in [OPERATOR] + OWNERS:
        cursor.execute(f"DROP ROLE IF EXISTS {quote(role)}")


def build(case, connection):
    builder = Builder(case, connection)
    builder.build()
    return builder.statements
