"""Comparison of what the product says and did with what the model expects. A difference is a Mismatch."""
from values import compact, family, quote


class Mismatch(Exception):
    pass


def differ(what, expected, actual, limit=6):
    """Compares two dictionaries and shows the first differences."""
    if expected == actual:
        return
    lines = []
    for key in sorted(set(expected) | set(actual), key=str):
        missing = object()
        left, right = expected.get(key, missing), actual.get(key, missing)
        if left != right:
            lines.append(f"  {key}\n    expected: {'(nothing)' if left is missing else left}\n    actual:   {'(nothing)' if right is missing else right}")
    raise Mismatch(f"{what}: {len(lines)} difference(s)\n" + "\n".join(lines[:limit]))


def expect(what, expected, actual):
    if expected != actual:
        raise Mismatch(f"{what}\n    expected: {expected}\n    actual:   {actual}")


class Database:
    """Reads a case's database as superuser, past row-level security, with fixed output formats."""

    def __init__(self, case, connection):
        self.case, self.connection, self.cursor = case, connection, connection.cursor()
        self.cursor.execute("SET DateStyle = 'ISO, YMD'; SET TimeZone = 'UTC'; SET statement_timeout = '120 s'")

    def rows(self, sql, arguments=None):
        self.cursor.execute(sql, arguments)
        return self.cursor.fetchall()

    def value(self, sql, arguments=None):
        return self.rows(sql, arguments)[0][0]

    def relation(self, table):
        return self.value("SELECT format('%%I.%%I', %s, %s)", (table.schema, table.name))

    @staticmethod
    def full(table):
        return f"{quote(table.schema)}.{quote(table.name)}"

    def key_text(self, table, values):
        return compact({name: int(v) if family(table.type_of(name)) == "int" else v for name, v in zip(table.key, values)})

    def table(self, table):
        """{row key: {column: text}}; of an inheriting table how often each row is there"""
        names = [c.name for c in table.columns]
        columns = ", ".join(f"{quote(n)}::text" for n in names)
        at = [names.index(k) for k in table.key]
        only = "" if table.partition else "ONLY "
        rows = {self.key_text(table, [row[i] for i in at]): dict(zip(names, row)) for row in self.rows(f"SELECT {columns} FROM {only}{self.full(table)}")}
        if table.heir:
            for number, row in enumerate(sorted(self.rows(f"SELECT {columns} FROM {quote(table.schema)}.{quote(table.heir)}"), key=str)):
                rows[f"inheriting {number}"] = dict(zip(names, row))
        return rows

    def tables(self):
        return {i: self.table(t) for i, t in enumerate(self.case.tables)}

    def audited(self, table):
        """(changes of the key, rows of statements) that the user's own triggers saw."""
        def read(name, what):
            return self.value(f"SELECT {what} FROM {quote(table.schema)}.{quote(name)}") if name else None
        return read(table.audit, "count(*)"), read(table.statement_audit, "coalesce(sum(row_count), 0)::int8")

    def own(self):
        """How many rows each table of the extension has: what a plan or dry run must not change."""
        return {name: self.value(f"SELECT count(*) FROM tenantmig.{name}")
                for (name,) in self.rows("SELECT relname FROM pg_class WHERE relnamespace = 'tenantmig'::regnamespace AND relkind = 'r' ORDER BY 1")}


def number(case, table):
    return next(i for i, t in enumerate(case.tables) if t is table)


def counts(database, results):
    """{(relation, outcome, source): (rows, soft-deleted)} of all steps."""
    return {(database.relation(r.step.table), outcome, source): both for r in results for (outcome, source), both in r.counts().items()}


def check_counts(what, expected, rows):
    """rows: (relation, outcome, source, row_count, deleted_count); zero counts may be listed or not."""
    actual = {}
    for relation, outcome, source, row_count, deleted in rows:
        if row_count or deleted:
            if (relation, outcome, source) in actual:
                raise Mismatch(f"{what}: listed twice: {(relation, outcome, source)}")
            actual[relation, outcome, source] = (row_count, deleted)
    differ(what, expected, actual)


def check_tables(what, case, results, before, after):
    """Every row and column: only what the model writes may differ, and what the user's triggers change along with it."""
    writes = {}
    for result in results:
        for key, row in result.rows.items():
            if row.written:
                writes.setdefault((number(case, result.step.table), key), []).append(row)
    for i, table in enumerate(case.tables):
        if before[i] == after[i] and not any(t == i for t, _ in writes):
            continue
        expected, actual = {}, {}
        touched = [column for kind, column in table.triggers if kind == "touch"]
        for key, old in before[i].items():
            new, want = after[i].get(key), dict(old)
            for row in writes.get((i, key), []):
                want[row.written] = row.tenant if row.tenant is not None else "(a time)"
                if new and row.tenant is None and new[row.written] is not None:
                    new = dict(new) | {row.written: "(a time)"}
                for column in touched:
                    if new and new[column] != old[column]:
                        new = dict(new) | {column: old[column]}
                    elif new:
                        want[column] = "(later: the table's own trigger fires)"
                for column in set(table.touched) - set(touched):
                    want[column] = "none" if row.tenant is None else row.tenant
            expected[key], actual[key] = want, new
        actual |= {key: "(a new row)" for key in set(after[i]) - set(before[i])}
        if expected != actual:
            differ(f"{what}: {table.schema}.{table.name}", columns_that_differ(expected, actual), columns_that_differ(actual, expected))


def columns_that_differ(left, right):
    """Of each row that differs only the columns that do."""
    return {key: {c: v for c, v in row.items() if right.get(key, {}).get(c) != v} if isinstance(row, dict) and isinstance(right.get(key), dict) else row
            for key, row in left.items() if right.get(key) != row}


def written(results):
    return [(result, key, row) for result in results for key, row in result.rows.items() if row.written]


def check_audit(what, database, case, results, before):
    """The table's own row and statement triggers saw exactly the writes."""
    for result in results:
        table = result.step.table
        rows = [r for r in result.rows.values() if r.written]
        old, new = before[number(case, table)], database.audited(table)
        expect(f"{what}: rows seen by the audit triggers of {table.name}",
               (None if old[0] is None else old[0] + sum(r.written == result.step.column for r in rows), None if old[1] is None else old[1] + len(rows)), new)


def check_changes(what, database, run, results):
    expected, actual = {}, {}
    for result, key, row in written(results):
        expected[database.relation(result.step.table), key, row.written] = (None, "(the row's)" if row.tenant is None else row.tenant, row.source)
    now = {database.relation(r.step.table): (r.step, database.table(r.step.table)) for r in results}
    for relation, row_key, column, old, new, source in database.rows(
            "SELECT relation, row_key, column_name, old_value, new_value, source FROM tenantmig.changes WHERE run_id = %s", (run,)):
        key = compact(row_key)
        if (relation, key, column) in actual:
            raise Mismatch(f"{what}: listed twice: {(relation, key, column)}")
        if relation in now and column == now[relation][0].soft_delete:
            step, rows = now[relation]
            held = rows.get(key, {}).get(column)
            same = database.value(f"SELECT %s::{step.table.type_of(column)} = %s::{step.table.type_of(column)}", (new, held))
            new = "(the row's)" if same else f"{new}, but the row has {held}"
        actual[relation, key, column] = (old, new, source)
    differ(what, expected, actual)


def wanted_reviews(database, results):
    """{(relation, key): (class, candidates)}"""
    return {(database.relation(result.step.table), key): (row.outcome, compact(row.candidates))
            for result in results for key, row in result.rows.items() if row.outcome != "assigned" and not row.written}


def check_reviews(what, database, rows, results, dismissed=None, settled=()):
    """rows: (run_id, relation, row_key, class, candidates, state) with closed ones; each row that needs a decision is queued exactly
    once. A dismissed one stays so while its class and candidates are the same. `settled`: (relation, key) of rows that somebody else gave
    a key or deleted before the run, which does not look at them; their old reviews may still be open."""
    expected = {}
    for where, says in wanted_reviews(database, results).items():
        expected[where] = says + ("dismissed" if (dismissed or {}).get(where) == says else "open",)
    actual = {}
    for _, relation, row_key, of_class, candidates, state in rows:
        where = (relation, compact(row_key))
        if state == "resolved" or state == "dismissed" and expected.get(where, ("", "", ""))[2] != "dismissed":
            continue
        if where in settled and where not in expected:
            continue
        if where in actual:
            raise Mismatch(f"{what}: queued twice: {where}")
        actual[where] = (of_class, compact(candidates), state)
    differ(what, expected, actual)


def check_statuses(what, rows):
    bad = [row for row in rows if row[1] not in ("PASS", "WARN")]
    if bad or not rows:
        raise Mismatch(f"{what}:\n" + "\n".join(f"  {row}" for row in bad or ["no row at all"]))


def check_verify(what, rows, contradictions):
    """What contradicts the evidence is counted exactly; everything else must be in order."""
    counted = ("mismatches ", "unknown_tenants")
    found = sorted((row[0], int(row[3])) for row in rows if row[0].startswith(counted))
    expect(f"{what}: rows that contradict the evidence, and unknown tenants", contradictions, found)
    for row in rows:
        if row[0].startswith(counted):
            expect(f"{what}: status of {row[0]}", "FAIL" if int(row[3]) else "PASS", row[1])
    check_statuses(what, [row for row in rows if not row[0].startswith(counted)])
