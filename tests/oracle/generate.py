"""Random cases from a seed: schema, rows and spec. Knows nothing of outcomes; what a case means is the model's business."""
from dataclasses import replace

from case import Column, ForeignKey, Source, Step
from tables import Tables
from values import Names, compact, family, key_values, plain, quote


class Generator(Tables):
    # --- evidence ---------------------------------------------------------------------------------------------

    def wanted(self, row):
        """The tenant that a single-answer source should name for a target row, None for no answer."""
        rng, mode, tenant = self.rng, row["__mode"], row["__t"]
        if mode == "none" or self.chance(0.25):
            return None
        if mode == "mixed":
            return rng.choice(self.tenants)
        if mode == "skew":
            return tenant if self.chance(0.7) else rng.choice(self.tenants)
        return tenant

    def refer(self, row, column, pool, ref, wanted, dangling, by_tenant):
        rng = self.rng
        choices = by_tenant.get(wanted) or []
        if wanted is None and self.chance(0.4) or not choices:
            row[column] = rng.choice(dangling) if dangling and self.chance(0.5) else None
        else:
            row[column] = rng.choice(choices)[ref]

    @staticmethod
    def by_tenant(rows, ref):
        index = {}
        for row in rows:
            if row.get(ref) is not None:
                index.setdefault(row["__t"], []).append(row)
        return index

    def reference(self, table, word, pool, ref, wanted):
        """Adds a foreign key column from `table` to `pool` whose rows lead to the wanted tenants; returns its name."""
        rng = self.rng
        valid = self.chance(0.75) or bool(table.partition)
        type_name = pool.type_of(ref)
        name = self.add(table, word, type_name if family(type_name) != "text" else rng.choice(["text", type_name]))
        table.fks.append(ForeignKey(name, pool, ref, valid=valid))
        taken = {r[ref] for r in pool.rows}
        dangling = [] if valid else [v for v in key_values(rng, type_name, len(taken) + 5) if v not in taken][:3]
        index = self.by_tenant(pool.rows, ref)
        for row in table.rows:
            self.refer(row, name, pool, ref, wanted(row), dangling, index)
        return name

    def child_tenants(self, row):
        """The tenants of the evidence rows that point at a target row."""
        rng, mode, tenant = self.rng, row["__mode"], row["__t"]
        if mode == "none":
            return [None] * rng.choice([0, 0, 0, 1, 2])
        if self.chance(0.35):
            return []
        other = rng.choice(self.tenants + self.unknown[:1])
        if mode == "mixed":
            return [tenant] * rng.randint(0, 2) + [other] * rng.randint(0, 2) + [None] * rng.randint(0, 1)
        if mode == "skew":
            return [tenant] * rng.randint(2, 5) + [other] * rng.randint(1, 3) + [rng.choice(self.tenants)] * rng.randint(0, 2)
        return [tenant] * rng.randint(1, 3) + [None] * rng.choice([0, 0, 1])

    def add_children(self, step, ref):
        """A table whose rows point at the target: by one column or, where the target's key has two, by both (ref is None)."""
        rng, target = self.rng, step.table
        child = self.new_table(rng.choice(["appointments", "phone_numbers", "calls", "notes"]))
        refs = [ref] if ref else list(target.key)
        must = not ref or ref not in target.key or target.key_kind != "pk" or len(target.key) > 1 or self.case.one_line
        valid = self.chance(0.6)
        child_id = self.add(child, "id", "int8", not_null=True)
        child.key = [child_id]
        if self.chance(0.08):
            child.partition, valid = ("hash", child_id), True
        with_fk = must or self.chance(0.5)
        columns = []
        for other in refs:
            key_type = target.type_of(other)
            if family(key_type) == "text":
                key_type = rng.choice(["text", "varchar"])
            elif key_type == "int4" and self.chance(0.3):
                key_type = "int8"
            columns.append(self.add(child, rng.choice(["customer_id", "ref", "about"]), key_type))
        pairs = list(zip(columns, refs))
        tenant, named = self.tenant_key(child, step.column)
        if with_fk:
            child.fks.append(ForeignKey(columns[0], target, refs[0], valid=valid, more=pairs[1:]))
        for row in target.rows:
            if any(row[other] is None for other in refs):
                continue
            for value in self.child_tenants(row):
                child.rows.append({tenant: self.allowed(child, tenant, value), "__t": value} | {column: row[other] for column, other in pairs})
        child.rows += [{tenant: rng.choice(self.tenants), "__t": None} | self.stray(target, pairs, with_fk and valid) for _ in range(rng.randint(0, 6))]
        rng.shuffle(child.rows)
        for i, row in enumerate(child.rows):
            row[child_id] = i * 3
        self.add_extras(child, child.rows, 0.5)
        source = Source("children", "", child, columns[0], refs[0], pairs[1:], tenant, where=self.conditions([child], 0.25))
        source.json = {"via": self.sql_name(child, rng.choice(columns))} | ({"tenant": self.sql_column(tenant)} if named or self.explicit(child) else {})
        return source

    def stray(self, target, pairs, valid):
        """The reference of a row that points at nothing: (partly) NULL or, where nothing forbids it, dangling."""
        reference = {}
        for column, ref in pairs:
            taken = {r[ref] for r in target.rows}
            free = [v for v in key_values(self.rng, target.type_of(ref), len(taken) + 4) if v not in taken]
            reference[column] = None if valid or self.chance(0.5) else self.rng.choice(free)
        if valid and len(pairs) > 1 and target.rows and self.chance(0.5):
            reference[pairs[1][0]] = target.rows[0][pairs[1][1]]
        return reference

    def explicit(self, table):
        """Whether a spec names a tenant key that would be found anyway."""
        return self.chance(0.15)

    def pool_for(self, step, **more):
        """An evidence table for single-answer sources: a new one, an old one, or the target of an earlier step."""
        reusable = [p for p in self.pools if p.ref and (not p.named or True) and p.for_column == step.column]
        if reusable and self.chance(0.3):
            return self.rng.choice(reusable)
        return self.make_pool(step.column, self.rng.choice(["branches", "orders", "invoices", "owners"]), **more)

    def needs_tenant(self, step, pool):
        """Whether the spec must name the pool's tenant key: not found by foreign key or by the target column's name."""
        to_root = [f.column for f in pool.fks if f.table is self.case.root]
        found = to_root[0] if len(to_root) == 1 else step.column if not to_root and pool.has(step.column) else None
        return found != pool.tenant

    def add_parent(self, step, pool=None):
        pool = pool or self.pool_for(step)
        column = self.reference(step.table, "branch_id", pool, pool.ref, self.wanted)
        source = Source("parent", "", pool, column, pool.ref, tenant=pool.tenant, where=self.conditions([pool], 0.2))
        source.json = {"via": self.sql_column(column)}
        if self.needs_tenant(step, pool) or self.explicit(pool):
            source.json["tenant"] = self.sql_column(pool.tenant)
        return source

    def add_path(self, step):
        rng = self.rng
        end = self.pool_for(step)
        hops, reached, ref = [], end, end.ref
        for _ in range(rng.choice([1, 1, 2])):
            middle = self.new_table(rng.choice(["orders", "contracts", "visits"]))
            middle_ref = self.fill_key(middle, ["id"], rng.randint(5, 40), ["pk", "pk+ref"])
            column = self.reference(middle, "owner_id", reached, ref, lambda row: rng.choice(self.tenants * 3 + self.unknown[:1] + [None]))
            index = {r[ref]: r["__t"] for r in reached.rows}
            for row in middle.rows:
                row["__t"] = index.get(row[column])
            if self.chance(0.4):  # a tenant key of its own, which is not the end of the path and so is not asked
                middle.columns.append(Column(step.column, self.tenant_column_type()))
                for row in middle.rows:
                    row[step.column] = rng.choice(self.tenants + [None])
            self.add_extras(middle, middle.rows, 0.5)
            hops.insert(0, (column, reached, ref))
            reached, ref = middle, middle_ref
        column = self.reference(step.table, "order_id", reached, ref, self.wanted)
        hops.insert(0, (column, reached, ref))
        source = Source("path", "", hops=hops, tenant=end.tenant, where=self.conditions([reached], 0.2))
        source.json = {"path": [self.sql_column(hop[0]) for hop in hops]}
        if self.needs_tenant(step, end) or self.explicit(end):
            source.json["tenant"] = self.sql_column(end.tenant)
        return source

    def add_polymorphic(self, step):
        rng, target = self.rng, step.table
        pools = []
        for _ in range(rng.randint(1, 3)):
            pool = self.pool_for(step, styles=("pk",))
            if pool.key_kind == "pk" and pool.key == [pool.ref]:
                pools.append(pool)
        pools = pools or [self.make_pool(step.column, "invoices", styles=("pk",))]
        if len({p.tenant for p in pools}) > 1:  # `tenant` is one name for all types
            pools = [p for p in pools if not self.needs_tenant(step, p)] or pools[:1]
        named = any(self.needs_tenant(step, p) for p in pools)
        kinds = {family(p.type_of(p.ref)) for p in pools}
        id_type = {"int": "int8", "uuid": "uuid", "text": "text"}[kinds.pop()] if len(kinds) == 1 and self.chance(0.6) else "text"
        id_column = self.add(target, "owner_id", id_type)
        type_column = self.add(target, "owner_type", rng.choice(["text", "varchar(40)"]))
        words = rng.sample(["Invoice", "Order", "order", "App\\Models\\User", "o'wner", "", "Größe", "a,b"], len(pools) + 1)
        types = dict(zip(words, pools))
        indexes = {word: self.by_tenant(pool.rows, pool.ref) for word, pool in types.items()}
        for row in target.rows:
            wanted = self.wanted(row)
            if wanted is None or self.chance(0.05):
                row[type_column] = rng.choice([None, words[-1], words[0], "unmapped"])
                row[id_column] = rng.choice([None, "nothing"] if id_type == "text" else [None])
                if row[type_column] in (words[-1], "unmapped"):
                    row[id_column] = rng.choice(pools[0].rows)[pools[0].ref] if family(pools[0].type_of(pools[0].ref)) == family(id_type) else None
                continue
            word = rng.choice(list(types))
            row[type_column], pool = word, types[word]
            self.refer(row, id_column, pool, pool.ref, wanted, [], indexes[word])
        source = Source("polymorphic", "", column=id_column, type_column=type_column,
                        types={word: (p, p.ref, p.tenant) for word, p in types.items()}, where=self.conditions(pools, 0.2))
        source.json = {"via": self.sql_column(id_column), "type_column": self.sql_column(type_column),
                       "types": {word: self.sql_name(p) for word, p in types.items()}}
        if named:
            source.json["tenant"] = self.sql_column(pools[0].tenant)
        return source

    # --- spec -------------------------------------------------------------------------------------------------

    def sql_column(self, name):
        return name if plain(name) and self.chance(0.9) else quote(name)

    def sql_name(self, table, column=None):
        """A table (and column) as SQL writes it; the first schema is in the search path, the others must be named."""
        parts = [] if table.schema == self.case.schemas[0] and self.chance(0.85) else [table.schema]
        return ".".join(self.sql_column(p) for p in parts + [table.name] + ([column] if column else []))

    def spell(self, where):
        return {self.sql_column(name): value for name, value in where.items()}

    def make_step(self, number, earlier):
        rng, case = self.rng, self.case
        column_name = self.key_name if number == 0 or self.chance(0.7) else Names(rng, self.strange).make("owner_company")
        step = Step(self.new_table(["customers", "contacts", "tickets"][number]), column_name)
        target = step.table
        if self.big and number == 0:
            count = rng.randint(5000, 9000)  # with 1 MB of memory the evidence goes through temporary files
        else:
            count = rng.choice([0, 1, 10, 30, 30, 60, 60, 120, 200])
        styles = ["pk", "pk", "pk+ref", "unique"] if case.one_line else ["pk", "pk", "pk", "pk+ref", "pk2", "pk2", "unique", "unique2"]
        ref = self.fill_key(target, [rng.choice(["id", "number"])], count, styles)
        if target.key == [ref] and target.key_kind == "pk" and self.chance(0.12):
            target.partition = ("hash", ref) if self.chance(0.5) or family(target.type_of(ref)) != "int" else ("range", ref)
        for row in target.rows:
            row["__mode"] = rng.choices(["agree", "none", "mixed", "unknown", "skew"], [52, 12, 16, 8, 12])[0]
            row["__t"] = rng.choice(self.unknown if row["__mode"] == "unknown" else self.tenants)
        target.columns.append(Column(step.column, self.tenant_column_type()))
        if self.chance(0.4):
            target.fks.append(ForeignKey(step.column, case.root, case.root_key, valid=self.chance(0.5) or bool(target.partition), deferred=self.chance(0.2)))
        filled = 0 if self.chance(0.3) else rng.random() * 0.6
        for row in target.rows:
            row[step.column] = self.allowed(target, step.column, row["__t"]) if self.chance(filled) else None
        kinds = ["children", "parent"] if case.one_line else ["children", "children", "parent", "path", "polymorphic"]
        for other in earlier:
            if self.chance(0.75):
                step.sources.append(self.depend(step, other, ref))
        step.sources = [s for s in step.sources if s]
        wanted = rng.randint(1, 4)
        while len(step.sources) < wanted:
            kind = rng.choice(kinds)
            if kind == "children" and not ref and len(target.key) == 1:
                kind = "parent"
            step.sources.append(self.add_children(step, None if len(target.key) == 2 and self.chance(0.5) else ref) if kind == "children" else getattr(self, "add_" + kind)(step))
        rng.shuffle(step.sources)
        if self.chance(0.1) and not case.one_line:
            self.repeat_source(step)
        self.add_extras(target, target.rows, 0.6)
        if self.chance(0.4):
            step.soft_delete = self.add(target, "deleted_at", rng.choice(["timestamptz", "timestamptz", "timestamp"]))
            for row in target.rows:
                row[step.soft_delete] = "2025-03-04 05:06:07.123456" if self.chance(0.2) else None
        self.decorate(target, step)
        if not case.one_line or self.chance(0.3):
            step.where = self.conditions([target], 0.3)
        step.evidence = rng.choice(["unanimous", "unanimous", "first"])
        step.on_conflict = rng.choices(["review", "majority", "fail"], [50, 45, 5])[0]
        step.on_orphan = rng.choices(["review", "soft_delete", "fail", "assign"], [50, 30 if step.soft_delete else 0, 4, 16])[0]
        if step.on_orphan == "assign":
            step.on_orphan = {"assign": rng.choice([t for t in self.tenants if t != ""] or self.tenants)}  # an empty tenant is refused
        target.ref, target.tenant, target.named, target.for_column = ref, step.column, False, step.column
        return step

    def depend(self, step, other, ref):
        """A source of `step` whose evidence another step fills: the other's target as a parent or as a child."""
        if other.table.ref and self.chance(0.5):
            return self.add_parent(step, other.table)
        if not ref:
            return None
        child, target = other.table, step.table
        valid = self.chance(0.7) or bool(child.partition)
        column = self.add(child, "customer_id", target.type_of(ref))
        child.fks.append(ForeignKey(column, target, ref, valid=valid))
        index = self.by_tenant(target.rows, ref)
        for row in child.rows:
            choices = index.get(row["__t"] if self.chance(0.9) else self.rng.choice(self.tenants))
            row[column] = self.rng.choice(choices)[ref] if choices and self.chance(0.8) else None
        source = Source("children", "", child, column, ref, tenant=child.tenant)
        source.json = {"via": self.sql_name(child, column)}
        if self.needs_tenant(step, child):
            source.json["tenant"] = self.sql_column(child.tenant)
        return source

    def decorate(self, target, step):
        """Things that a real table has and an engine may stumble over."""
        if self.chance(0.5):
            name = self.add(target, "payload", "text")
            for row in target.rows:
                long = self.chance(0.03)
                row[name] = "%x" % self.rng.getrandbits(20000) if long else self.rng.choice(["x", "", None, "payload"])
        if self.chance(0.45):
            name = self.add(target, "updated_at", "timestamptz", default="'2020-01-01'", late=self.chance(0.3) and not target.partition)
            for row in target.rows:
                row[name] = "2020-01-01"
            target.triggers.append(("touch", name))
            target.touched.append(name)
        if self.chance(0.15):
            name = self.add(target, "shown", "text", generated=f"coalesce({quote(step.column)}::text, 'none')")
            target.touched.append(name)
        if self.chance(0.3):
            target.audit = self.table_names.make("audit")
            target.triggers.append(("audit", step.column))
        if self.chance(0.06) and not target.partition:
            target.heir = self.table_names.make("heir")
        if self.chance(0.15):
            target.statement_audit = self.table_names.make("statement_audit")
            target.triggers.append(("statement", step.column))

    def repeat_source(self, step):
        """The same way once more under another condition: such sources are told apart by a number."""
        source = self.rng.choice(step.sources)
        first_hop = {"children": [source.table], "parent": [source.table], "path": [h[1] for h in source.hops[:1]],
                     "polymorphic": [t for t, _, _ in source.types.values()]}[source.kind]
        where = self.conditions(first_hop, 1)
        if where and compact(where) != compact(source.where):
            step.sources.append(replace(source, where=where, json=dict(source.json)))

    def write_step(self, step):
        labels = []
        for source in step.sources:
            if source.where:
                source.json["where"] = self.spell(source.where)
            source.label = source.json.get("via") or "/".join(source.json["path"])
            labels.append(source.label)
            if labels.count(source.label) > 1:
                source.label += f" #{labels.count(source.label)}"
        body = {"table": self.sql_name(step.table), "column": self.sql_column(step.column), "sources": [s.json for s in step.sources]}
        for name, default in (("evidence", "unanimous"), ("on_conflict", "review"), ("on_orphan", "review")):
            value = getattr(step, name)
            if value != default or self.chance(0.3):
                body[name] = value
        if step.soft_delete:
            body["soft_delete"] = self.sql_column(step.soft_delete)
        if step.where:
            body["where"] = self.spell(step.where)
        step.json = body
        return {"backfill": body}

    def make(self):
        rng, case = self.rng, self.case
        schema_names = Names(rng, self.strange)
        case.schemas = [schema_names.make("app")] + ([schema_names.make("crm")] if self.chance(0.3) and not case.one_line else [])
        case.as_operator = self.owned and self.chance(0.7)
        case.name = rng.choice(["customers-company-id", "m 1", "o'x", "Größe", 'q"q']) if self.strange else "backfill-1"
        self.make_root()
        for number in range(1 if case.one_line else rng.choices([1, 2, 3], [60, 30, 10])[0]):
            case.steps.append(self.make_step(number, case.steps))
        if self.chance(0.4):
            rng.shuffle(case.steps)
        tenants = {"table": self.sql_name(case.root), "key": self.sql_column(case.root_key)}
        if case.root.key == [case.root_key] and self.chance(0.2):
            del tenants["key"]
        case.spec = {"migration": case.name, "tenants": tenants, "steps": [self.write_step(s) for s in case.steps]}
        if case.one_line:
            self.make_arguments()
        case.settings = {"search_path": ", ".join([quote(case.schemas[0]), "public"])}
        if self.big or self.chance(0.1):
            case.settings["maintenance_work_mem"] = "1MB"
        for name, values in (("DateStyle", ["SQL, DMY", "German", "Postgres, MDY"]), ("TimeZone", ["Asia/Kathmandu", "America/St_Johns"]),
                             ("default_transaction_isolation", ["repeatable read"]), ("enable_hashjoin", ["off"]), ("enable_seqscan", ["off"])):
            if self.chance(0.08):
                case.settings[name] = rng.choice(values)
        return case

    def make_arguments(self):
        """The one-line form: the sources are found, everything else is an argument."""
        case, step = self.case, self.case.steps[0]
        step.sources = []
        found = any(f.column == step.column for f in step.table.fks)
        case.arguments = {"relation": step.json["table"], "column_name": step.json["column"]}
        if not found or self.chance(0.3):
            case.arguments["tenants"] = case.spec["tenants"]["table"]
        for name in ("evidence", "on_conflict", "soft_delete"):
            if name in step.json:
                case.arguments[name] = step.json[name]
        if isinstance(step.on_orphan, dict):
            case.arguments |= {"on_orphan": "assign", "assign_orphans_to": str(step.on_orphan["assign"])}
        elif step.on_orphan != "review":
            case.arguments["on_orphan"] = step.on_orphan
        if step.where:
            case.arguments["conditions"] = step.json["where"]


def generate(seed, big=None):
    return Generator(seed, big).make()
