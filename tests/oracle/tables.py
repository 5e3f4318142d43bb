"""Random tables for a case: the tenant root, row keys, tenant keys, columns for conditions."""
import random

from case import Case, Column, ForeignKey, Table
from values import Names, compact, family, key_values, literal, random_type

OWNERS = ["tenantmig_oracle_a", 'tenantmig oracle "B"', "Tenantmig_Oracle_Ü"]
OPERATOR = "tenantmig_oracle_operator"
STATUS = ["open", "closed", "a,b", "o'k", "", "NULL", 'x"y']
DAYS = ["2020-02-29", "2024-12-31", "1999-01-01"]


class Tables:
    def __init__(self, seed, big=None):
        self.rng = random.Random(f"tenantmig-{seed}")
        rng = self.rng
        self.case = Case(seed=seed, one_line=rng.random() < 0.18)
        self.strange = rng.choice([0, 0.15, 0.4, 0.9])
        self.big = rng.random() < 0.04 if big is None else big
        self.owned = rng.random() < 0.6
        self.table_names = Names(rng, self.strange)
        shared = Names(rng, self.strange)
        # Columns that a where may name carry the same names in all tables, so that one condition fits several tables.
        self.extra = {kind: shared.make(kind) for kind in ("status", "flag", "rank", "day")}
        self.key_name = shared.make(rng.choice(["company_id", "organization_id", "domain"]))
        self.tenant_type = random_type(rng)
        while self.tenant_type == "int2":
            self.tenant_type = random_type(rng)
        self.pools = []
        self.used_in_steps = []

    def chance(self, share):
        return self.rng.random() < share

    # --- tables -----------------------------------------------------------------------------------------------

    def new_table(self, word, schema=None):
        names = Names(self.rng, self.strange)
        names.used.update(self.extra.values())
        names.used.add(self.key_name)
        table = Table(schema or self.rng.choice(self.case.schemas), self.table_names.make(word), [], [])
        table.names = names
        if self.owned:
            table.owner = self.rng.choice(OWNERS)
            if self.chance(0.25):
                table.rls = self.rng.choice(["deny", "false", "setting"])
        self.case.tables.append(table)
        return table

    def add(self, table, word, type_name, **more):
        column = Column(table.names.make(word), type_name, **more)
        table.columns.append(column)
        return column.name

    def tenant_column_type(self):
        """A type of the tenant keys' family: int for bigint and the like."""
        kind = family(self.tenant_type)
        if kind == "int":
            small = all(abs(v) < 2**31 for v in self.tenants + self.unknown)
            return self.rng.choice(["int4", "int8"]) if small else "int8"
        return "uuid" if kind == "uuid" else self.rng.choice(["text", "text", "varchar"])

    def add_extras(self, table, rows, share=0.6):
        rng = self.rng
        for kind, name in self.extra.items():
            if table.has(name) or not self.chance(share):
                continue
            type_name, values = {
                "status": (rng.choice(["text", "varchar(20)"]), STATUS[:rng.randint(2, len(STATUS))] + [None]),
                "flag": ("bool", [True, False, None]),
                "rank": (rng.choice(["int2", "int4", "int8", "numeric"]), [0, 1, 2, -1, None]),
                "day": ("date", DAYS + [None])}[kind]
            if kind == "rank" and type_name == "numeric":
                values = ["1.50", "2", "0.0", None]
            if self.chance(0.2) and not table.partition:
                value = next(v for v in values if v is not None)
                table.columns.append(Column(name, type_name, default=literal(value), late=True))
                values = [value]
            else:
                table.columns.append(Column(name, type_name))
            for row in rows:
                row[name] = rng.choice(values)

    def conditions(self, tables, share):
        """A random where that all of `tables` can take."""
        if not self.chance(share):
            return {}
        rng, where = self.rng, {}
        for kind, name in self.extra.items():
            if not all(t.has(name) for t in tables) or not self.chance(0.6) or len(where) == 2:
                continue
            values = sorted({compact(r[name]): r[name] for t in tables for r in t.rows if r.get(name) is not None}.items())
            values = [v for _, v in values] or {"status": ["open"], "flag": [True], "rank": [1], "day": DAYS}[kind]
            if kind == "rank":
                values = [float(v) if isinstance(v, str) else v for v in values]
                if any(isinstance(v, float) for v in values) and not all(t.type_of(name) == "numeric" for t in tables):
                    values = [1, 2]
            some = rng.sample(values, min(len(values), rng.randint(1, 3)))
            where[name] = rng.choice([some[0], some, some + [None], None] if self.chance(0.6) else [some + [None], values])
        return where

    def make_root(self):
        rng = self.rng
        root = self.new_table(rng.choice(["companies", "organizations", "tenants"]))
        count = rng.randint(2, 9)
        values = key_values(rng, self.tenant_type, count + 3)
        self.tenants, self.unknown = values[:count], values[count:]
        id_name = self.add(root, "id" if self.chance(0.8) else "code", self.tenant_type, not_null=True)
        root.key = [id_name]
        root.rows = [{id_name: v} for v in self.tenants]
        if self.chance(0.15) and not self.case.one_line:  # the tenant key is unique, but not the primary key
            other = self.add(root, "number", "int4", not_null=True)
            for i, row in enumerate(root.rows):
                row[other] = i
            root.key, root.unique = [other], [id_name]
        self.add_extras(root, root.rows, 0.2)
        self.case.root, self.case.root_key = root, id_name

    def fill_key(self, table, words, count, styles):
        """Gives a table its row key and `count` rows; returns the column that others may refer to, or None."""
        rng = self.rng
        style = rng.choice(styles)
        table.rows = [{} for _ in range(count)]
        def column(word, not_null=True, unique=True):
            type_name = random_type(rng)
            name = self.add(table, word, type_name, not_null=not_null)
            values = key_values(rng, type_name, count) if unique else key_values(rng, type_name, 4)
            for i, row in enumerate(table.rows):
                row[name] = values[i] if unique else rng.choice(values)
            return name
        if style in ("pk", "unique"):
            table.key, table.key_kind = [column(words[0])], style
            return table.key[0]
        if style == "pk+ref":
            table.key, ref = [column(words[0])], column("code", not_null=self.chance(0.5))  # the primary key is the row key all the same
            table.unique = [ref]
            return ref
        # Two columns: the first alone is not unique, the second makes the pair so.
        first, second = column("region", unique=False), column(words[0])
        if self.chance(0.4):  # neither alone is unique
            firsts, seconds = key_values(rng, table.type_of(first), 2), key_values(rng, table.type_of(second), count)
            for i, row in enumerate(table.rows):
                row[first], row[second] = firsts[i % 2], seconds[i // 2]
        table.key = rng.choice([[first, second], [second, first]])
        table.key_kind = "unique" if style == "unique2" else "pk"
        if style == "pk2" and self.chance(0.15) and table.type_of(first) != "numeric":
            table.partition = ("list", first)
            return None
        ref = column("number", not_null=table.key_kind == "pk" and self.chance(0.5))
        table.unique = [ref]
        return ref

    def tenant_key(self, table, target_column):
        """Adds a tenant key to an evidence table; returns (name, whether the spec must name it)."""
        rng = self.rng
        how = rng.choice(["fk", "fk", "name", "name", "named"])
        if how == "named" and self.case.one_line:
            how = "name"
        if how == "name":
            table.columns.append(Column(target_column, self.tenant_column_type()))
            return target_column, False
        name = self.add(table, rng.choice(["tenant", "company", "owner_company"]), self.tenant_column_type())
        if how == "fk":
            table.fks.append(ForeignKey(name, self.case.root, self.case.root_key, valid=self.chance(0.5) or bool(table.partition)))
        return name, how == "named"

    def allowed(self, table, column, value):
        """A valid foreign key to the tenant root takes no unknown tenants."""
        fk = next((f for f in table.fks if f.column == column), None)
        return value if value is None or value in self.tenants or not (fk and fk.valid) else self.rng.choice(self.tenants)

    def make_pool(self, target_column, word, styles=("pk", "pk", "pk+ref")):
        """A table with a tenant key that rows may refer to."""
        rng = self.rng
        table = self.new_table(word)
        ref = self.fill_key(table, [rng.choice(["id", "code"])], rng.randint(4, 40), list(styles))
        if table.key == [ref] and self.chance(0.1):
            table.partition = ("hash", ref)
        tenant, named = self.tenant_key(table, target_column)
        for row in table.rows:
            row["__t"] = row[tenant] = self.allowed(table, tenant, rng.choice(self.tenants * 4 + self.unknown + [None, None]))
        self.add_extras(table, table.rows)
        table.ref, table.tenant, table.named, table.for_column = ref, tenant, named, target_column
        self.pools.append(table)
        return table
