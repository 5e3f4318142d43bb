"""The independent model: what a backfill must do to each row, as plain SQL over copies of the tables.

It reads the case's abstract steps (or, for the one-line form, the server's catalogue) and nothing of the product. The
copies are temporary tables m0, m1, … with columns c0, c1, … and a row number; steps are worked off in order of
dependency, and each writes its result into the copies, so that the next step sees it.
"""
from dataclasses import dataclass, field

from case import Source
from values import compact, family, literal, quote


@dataclass
class Row:
    key: str              # {"column": value} as compact JSON
    outcome: str
    source: str           # None: no source
    tenant: str           # text; None: none
    candidates: list
    deleted: bool         # soft-deleted before
    written: str = None   # the column that the run writes, if it writes the row


@dataclass
class Result:
    step: object
    rows: dict = field(default_factory=dict)

    def counts(self):
        """{(outcome, source): (rows, soft-deleted ones)}"""
        counts = {}
        for row in self.rows.values():
            total, deleted = counts.get((row.outcome, row.source), (0, 0))
            counts[row.outcome, row.source] = (total + 1, deleted + row.deleted)
        return counts


def condition(alias, where, number):
    """SQL of a where; `number` gives a column's name in the copy."""
    parts = []
    for column, value in where.items():
        name = f"{alias}.c{number(column)}"
        values = value if isinstance(value, list) else [value]
        some = [literal(str(v).lower() if isinstance(v, bool) else v) for v in values if v is not None]
        either = ([f"{name} IN ({', '.join(some)})"] if some else []) + ([f"{name} IS NULL"] if None in values else [])
        parts.append("(" + " OR ".join(either) + ")")
    return "".join(" AND " + part for part in parts)


class Model:
    def __init__(self, case, connection):
        self.case, self.cursor = case, connection.cursor()
        if case.one_line:
            case.steps[0].sources = self.discover(case.steps[0])

    def number(self, table):
        return next(i for i, t in enumerate(self.case.tables) if t is table)

    @staticmethod
    def column(table, name):
        return next(i for i, c in enumerate(table.columns) if c.name == name)

    def at(self, alias, table, name):
        return f"{alias}.c{self.column(table, name)}"

    def load(self):
        for number, table in enumerate(self.case.tables):
            columns = ", ".join(f"{quote(c.name)} AS c{i}" for i, c in enumerate(table.columns))
            self.cursor.execute(f"DROP TABLE IF EXISTS m{number}; CREATE TEMP TABLE m{number} AS SELECT row_number() OVER () AS rid, {columns} "
                                f"FROM {'' if table.partition else 'ONLY '}{quote(table.schema)}.{quote(table.name)}; ANALYZE m{number}")

    # --- evidence: (rid, src, tenant, n) per source -----------------------------------------------------------

    def evidence(self, step, index, source):
        target, m = step.table, self.number(step.table)
        head = f"SELECT t.rid, {index} AS src, %s::text AS tenant, count(*) AS n FROM m{m} t"
        tail = "GROUP BY 1, 2, 3"
        def where(alias, table):
            return condition(alias, source.where, lambda name: self.column(table, name))
        if source.kind in ("children", "parent"):
            other = source.table
            mine, theirs = (source.ref, source.column) if source.kind == "children" else (source.column, source.ref)
            tenant = self.at("e", other, source.tenant)
            more = "".join(f" AND {self.at('e', other, theirs)} = {self.at('t', target, mine)}" for theirs, mine in source.more)
            return (f"{head % tenant} JOIN m{self.number(other)} e ON {self.at('e', other, theirs)} = {self.at('t', target, mine)}{more} "
                    f"WHERE {tenant} IS NOT NULL{where('e', other)} {tail}")
        if source.kind == "path":
            joins, before, table = "", "t", target
            for i, (column, reached, ref) in enumerate(source.hops):
                joins += f" JOIN m{self.number(reached)} h{i} ON {self.at(f'h{i}', reached, ref)} = {self.at(before, table, column)}"
                before, table = f"h{i}", reached
            tenant = self.at(before, table, source.tenant)
            return f"{head % tenant}{joins} WHERE {tenant} IS NOT NULL{where('h0', source.hops[0][1])} {tail}"
        parts = []
        for word, (pool, ref, tenant_name) in source.types.items():
            tenant = self.at("p", pool, tenant_name)
            parts.append(f"{head % tenant} JOIN m{self.number(pool)} p ON {self.at('p', pool, ref)}::text = {self.at('t', target, source.column)}::text "
                         f"WHERE {self.at('t', target, source.type_column)} = {literal(word)} AND {tenant} IS NOT NULL{where('p', pool)} {tail}")
        return " UNION ALL ".join(parts)

    def resolve(self, step, with_key=False):
        """The outcome of each row without a key (or of those with one), as table r, and the candidates that count, as table asked."""
        target, case = step.table, self.case
        key = self.at("t", target, step.column)
        number = family(target.type_of(step.column)) == "int"
        labels = ", ".join(f"({i}, {literal(s.label)})" for i, s in enumerate(step.sources))
        majority = "true" if step.on_conflict == "majority" else "false"
        sources = " UNION ALL ".join(f"({self.evidence(step, i, s)})" for i, s in enumerate(step.sources))
        only_first = "src = first_src" if step.evidence == "first" else "true"
        soft = self.at("t", target, step.soft_delete) + " IS NOT NULL" if step.soft_delete else "false"
        self.cursor.execute(f"""
            DROP TABLE IF EXISTS todo, asked, r;
            CREATE TEMP TABLE todo AS
            SELECT t.rid, {soft} AS deleted FROM m{self.number(target)} t
            WHERE {key} IS {'NOT ' if with_key else ''}NULL{condition('t', step.where, lambda name: self.column(target, name))};
            ANALYZE todo;
            CREATE TEMP TABLE asked AS
            SELECT rid, src, tenant, n FROM (SELECT e.*, min(src) OVER (PARTITION BY rid) AS first_src FROM ({sources}) e
                                             WHERE rid IN (SELECT rid FROM todo)) evidence WHERE {only_first};
            ANALYZE asked;
            CREATE TEMP TABLE r AS
            WITH labels (src, label) AS (VALUES {labels}),
            by_tenant AS (SELECT rid, tenant, sum(n) AS n, min(src) AS src FROM asked GROUP BY rid, tenant),
            ranked AS (SELECT *, rank() OVER (PARTITION BY rid ORDER BY n DESC) AS place, count(*) OVER (PARTITION BY rid) AS tenants FROM by_tenant),
            winners AS (SELECT *, count(*) OVER (PARTITION BY rid) AS ties FROM ranked WHERE place = 1),
            chosen AS (SELECT rid, tenant, src FROM winners WHERE tenants = 1 OR ({majority} AND ties = 1)),
            listed AS (SELECT rid, jsonb_agg(jsonb_build_object('tenant', {'tenant::int8' if number else 'tenant'}, 'source', label, 'count', n)
                                             ORDER BY src, {'tenant::int8' if number else 'tenant COLLATE "C"'}) AS candidates
                       FROM asked JOIN labels USING (src) GROUP BY rid),
            named AS (SELECT rid, string_agg(label, ', ' ORDER BY src) AS all_labels
                      FROM (SELECT DISTINCT rid, src FROM asked) a JOIN labels USING (src) GROUP BY rid)
            SELECT todo.rid, todo.deleted, chosen.tenant, coalesce(candidates, '[]') AS candidates, all_labels, labels.label,
                   CASE WHEN all_labels IS NULL THEN 'orphan' WHEN chosen.rid IS NULL THEN 'conflict'
                        WHEN NOT EXISTS (SELECT FROM m{self.number(case.root)} k WHERE {self.at('k', case.root, case.root_key)}::text = chosen.tenant)
                        THEN 'unknown_tenant' ELSE 'assigned' END AS outcome
            FROM todo LEFT JOIN chosen USING (rid) LEFT JOIN labels USING (src) LEFT JOIN listed USING (rid) LEFT JOIN named USING (rid);
            ANALYZE r""")

    def contradictions(self, decided):
        """What verify must find in the tables as they are: sorted (check, count) of rows whose key contradicts a source, and of rows whose key
        the tenant root does not have. Under majority a row contradicts only if another tenant wins. `decided`: {(table number, key)} that
        a person gave a tenant."""
        self.load()
        found = []
        for step in self.case.steps:
            self.resolve(step, with_key=True)
            m, key = self.number(step.table), self.at("t", step.table, step.column)
            majority = "r.outcome = 'assigned' AND r.tenant <> " + key + "::text" if step.on_conflict == "majority" else "true"
            keys = ", ".join(f"t.c{self.column(step.table, name)}::text" for name in step.table.key)
            self.cursor.execute(f"SELECT DISTINCT asked.src, asked.rid, {keys} FROM asked JOIN m{m} t USING (rid) JOIN r USING (rid) "
                                f"WHERE asked.tenant <> {key}::text AND {majority}")
            counts = [0] * len(step.sources)
            for src, _, *row_key in self.cursor.fetchall():
                counts[src] += (m, self.key_text(step.table, row_key)) not in decided
            found += [("mismatches " + source.label, count) for source, count in zip(step.sources, counts)]
            self.cursor.execute(f"SELECT count(*) FROM todo JOIN m{m} t USING (rid) WHERE NOT EXISTS (SELECT FROM m{self.number(self.case.root)} k "
                                f"WHERE {self.at('k', self.case.root, self.case.root_key)}::text = {key}::text)")
            found.append(("unknown_tenants", self.cursor.fetchone()[0]))
        return sorted(found)

    def key_text(self, table, values):
        return compact({name: int(v) if family(table.type_of(name)) == "int" else v for name, v in zip(table.key, values)})

    def apply(self, step):
        """Reads the outcomes, with what the step does about orphans, and writes them into the copy."""
        target, m, result = step.table, self.number(step.table), Result(step)
        keys = ", ".join(f"t.c{self.column(target, name)}::text" for name in target.key)
        self.cursor.execute(f"SELECT r.rid, outcome, tenant, candidates, all_labels, label, deleted, {keys} FROM r JOIN m{m} t USING (rid)")
        assigned, soft = [], []
        for rid, outcome, tenant, candidates, all_labels, label, deleted, *key in self.cursor.fetchall():
            row = Row(self.key_text(target, key), outcome, None, None, candidates, deleted)
            if outcome == "assigned":
                row.source, row.tenant, row.written = label, tenant, step.column
            elif outcome != "orphan":
                row.source = all_labels
            elif isinstance(step.on_orphan, dict):
                row.outcome, row.source, row.tenant, row.written = "assigned", "assign", str(step.on_orphan["assign"]), step.column
            elif step.on_orphan == "soft_delete" and not deleted:
                row.source, row.written = "soft_delete", step.soft_delete
            if row.written == step.column:
                assigned.append((rid, row.tenant))
            elif row.written:
                soft.append(rid)
            result.rows[row.key] = row
        key_type = target.type_of(step.column)
        for i in range(0, len(assigned), 1000):
            values = ", ".join(f"({rid}, {literal(tenant)})" for rid, tenant in assigned[i:i + 1000])
            self.cursor.execute(f"UPDATE m{m} SET c{self.column(target, step.column)} = v.tenant::{key_type} FROM (VALUES {values}) v (rid, tenant) "
                                f"WHERE m{m}.rid = v.rid")
        if soft:
            self.cursor.execute(f"UPDATE m{m} SET c{self.column(target, step.soft_delete)} = now() WHERE rid IN ({', '.join(map(str, soft))})")
        return result

    def order(self):
        """Step numbers such that a step comes after those that fill its evidence."""
        steps = self.case.steps
        def ends(source):
            if source.kind == "path":
                return [(source.hops[-1][1], source.tenant)]
            if source.kind == "polymorphic":
                return [(table, tenant) for table, _, tenant in source.types.values()]
            return [(source.table, source.tenant)]
        needs = {i: {j for j, other in enumerate(steps) for s in step.sources for table, tenant in ends(s)
                     if table is other.table and tenant == other.column} for i, step in enumerate(steps)}
        done = []
        while len(done) < len(steps):
            done.append(next(i for i in needs if i not in done and needs[i] <= set(done)))
        return done

    def evaluate(self):
        """The results of all steps, in the order of the spec, for the tables as they are now."""
        self.load()
        results = [None] * len(self.case.steps)
        for i in self.order():
            step = self.case.steps[i]
            self.resolve(step)
            results[i] = self.apply(step)
        return results

    # --- the one-line form: sources found from foreign keys ---------------------------------------------------

    def discover(self, step):
        """Children by name, then parents by column, each with a tenant key: a foreign key to the tenant root, else the same name."""
        self.cursor.execute("""
            WITH f AS (SELECT conrelid, confrelid, a.attname AS col, b.attname AS ref
                       FROM pg_constraint c JOIN pg_attribute a ON a.attrelid = conrelid AND a.attnum = conkey[1]
                       JOIN pg_attribute b ON b.attrelid = confrelid AND b.attnum = confkey[1]
                       WHERE contype = 'f' AND cardinality(conkey) = 1 AND conparentid = 0
                         AND NOT (SELECT relispartition FROM pg_class WHERE oid = conrelid)),
            t AS (SELECT %(target)s::regclass AS target, %(root)s::regclass AS root),
            found AS (
              SELECT 1 AS kind, conrelid AS other, col, ref, row_number() OVER (ORDER BY n.nspname, k.relname, col) AS place
              FROM f JOIN t ON confrelid = target JOIN pg_class k ON k.oid = conrelid JOIN pg_namespace n ON n.oid = relnamespace
              WHERE conrelid <> target AND conrelid <> root
              UNION ALL
              SELECT 2, confrelid, col, ref, row_number() OVER (ORDER BY col)
              FROM f JOIN t ON conrelid = target WHERE confrelid <> target AND confrelid <> root)
            SELECT kind, nspname, relname, col, ref, format('%%I.%%I', relname, col), format('%%I', col),
                   coalesce((SELECT min(f.col) FROM f, t WHERE f.conrelid = other AND f.confrelid = root HAVING count(*) = 1),
                            (SELECT attname FROM pg_attribute WHERE attrelid = other AND attname = %(column)s AND NOT attisdropped))
            FROM found JOIN pg_class k ON k.oid = other JOIN pg_namespace n ON n.oid = relnamespace ORDER BY kind, place""",
            {"target": f"{quote(step.table.schema)}.{quote(step.table.name)}", "column": step.column,
             "root": f"{quote(self.case.root.schema)}.{quote(self.case.root.name)}"})
        sources = []
        for kind, schema, name, column, ref, child_label, parent_label, tenant in self.cursor.fetchall():
            table = next(t for t in self.case.tables if (t.schema, t.name) == (schema, name))
            if tenant:
                sources.append(Source("children" if kind == 1 else "parent", child_label if kind == 1 else parent_label, table, column, ref, tenant=tenant))
        return sources
