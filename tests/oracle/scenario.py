"""One case from plan to undo: what is called, in which order, and what must hold after each call."""
import json

import psycopg2

import compare
from chain import check_chain
from compare import Database, Mismatch, differ, expect
from model import Model
from tables import OPERATOR
from values import compact, literal, quote

REVIEW = "SELECT run_id, relation, row_key, class, candidates, state FROM tenantmig.review(%s, true)"
RESULT = "relation, outcome, source, row_count, deleted_count"


class Scenario:
    def __init__(self, case, admin, user, rng):
        self.case, self.rng, self.phase = case, rng, "connecting"
        self.database = Database(case, admin)
        self.model = Model(case, admin)
        self.user = user.cursor()
        if case.as_operator:
            self.user.execute(f"SET SESSION AUTHORIZATION {quote(OPERATOR)}")
        self.user.execute("SET statement_timeout = '120 s'")
        for name, value in case.settings.items():
            # a path is a list of quoted names, everything else one value
            self.user.execute(f"SET {name} = {value if name == 'search_path' else literal(value)}")
        self.name, self.mended = case.name, False

    def call(self, sql, arguments=None):
        self.user.execute(sql, arguments)
        return self.user.fetchall()

    def backfill(self, dry_run=False, first=True):
        """The call of the case; the one-line form may also be repeated by its migration's name."""
        case, more = self.case, {}
        if dry_run and self.rng.random() < 0.5:
            more = {"dry_run_full": True} if self.rng.random() < 0.5 else {"dry_run_rows": self.rng.choice([0, 1, 7])}
        if dry_run:
            more["dry_run"] = True
        if case.one_line and (first or self.rng.random() < 0.5):
            more |= {n: json.dumps(v, ensure_ascii=False) if n == "conditions" else v for n, v in case.arguments.items()}
        else:
            more["migration"] = self.name
            if not dry_run and self.rng.random() < 0.3:
                more["plan_hash"] = self.call("SELECT tenantmig.plan_hash(%s, %s)", (self.name, self.rng.random() < 0.5))[0][0]
        parts = [f"{n} => %({n})s" + ("::jsonb" if n == "conditions" else "") for n in more]
        return self.call(f"SELECT {RESULT} FROM tenantmig.backfill({', '.join(parts)})", more)

    def failing(self, results):
        """The SQLSTATEs with which the call must fail, if any."""
        states = set()
        for result in results:
            outcomes = {outcome for outcome, _ in result.counts()}
            if result.step.on_conflict == "fail" and "conflict" in outcomes:
                states.add("TM002")
            if result.step.on_orphan == "fail" and "orphan" in outcomes:
                states.add("TM003")
        return states

    def refused(self, states, call):
        try:
            call()
        except psycopg2.Error as error:
            expect(f"SQLSTATE ({str(error).strip()})", True, error.pgcode in states)
            return
        raise Mismatch(f"the call must fail with {sorted(states)}")

    # --- the phases -------------------------------------------------------------------------------------------

    def run(self):
        self.phase = "model"
        before = self.database.tables()
        results = self.model.evaluate()
        expected = compare.counts(self.database, results)
        states = self.failing(results)
        if not self.case.one_line:
            self.phase = "create_migration"
            expect("name of the migration", self.name, self.call("SELECT tenantmig.create_migration(%s)", (json.dumps(self.case.spec),))[0][0])
            self.plan(expected, before)
        self.dry_run(expected, states, before)
        if states:
            self.phase = "backfill that must fail"
            own = self.database.own()
            self.refused(states, self.backfill)
            expect("the extension's tables after a call that failed", own, self.database.own())
            compare.check_tables("after a call that failed", self.case, [], before, self.database.tables())
            return
        run = self.first(results, expected, before)
        if self.case.one_line:
            self.phase = "plan after the run"
            self.plan(compare.counts(self.database, self.model.evaluate()), self.database.tables())
        dismissed = self.decide(run, results) if self.rng.random() < 0.4 else {}
        if self.rng.random() < 0.7:
            self.again(run, dismissed)
        self.undo(run, before)

    def plan(self, expected, before):
        self.phase = "plan"
        own, digest = self.database.own(), self.call("SELECT tenantmig.plan_hash(%s)", (self.name,))
        rows = self.call(f"SELECT {RESULT} FROM tenantmig.plan(%s) WHERE kind = 'backfill'", (self.name,))
        compare.check_counts("plan", expected, rows)
        self.phase = "preflight"
        if not self.call("SELECT * FROM tenantmig.preflight(%s)", (self.name,)):
            raise Mismatch("preflight says nothing")
        expect("plan_hash before and after a plan", digest, self.call("SELECT tenantmig.plan_hash(%s)", (self.name,)))
        expect("the extension's tables before and after a plan", own, self.database.own())
        compare.check_tables("after a plan", self.case, [], before, self.database.tables())

    def dry_run(self, expected, states, before):
        self.phase = "dry run"
        own, audited = self.database.own(), [self.database.audited(t) for t in self.case.tables]
        if states:
            self.refused(states, lambda: self.backfill(dry_run=True))
        else:
            compare.check_counts("dry run", expected, self.backfill(dry_run=True))
        expect("the extension's tables after a dry run", own, self.database.own())
        compare.check_tables("after a dry run", self.case, [], before, self.database.tables())
        expect("what the tables' triggers wrote after a dry run", audited, [self.database.audited(t) for t in self.case.tables])

    def first(self, results, expected, before):
        self.phase = "backfill"
        audited = [self.database.audited(t) for t in self.case.tables]
        rows = self.backfill()
        if self.case.one_line:
            self.name = self.database.value("SELECT migration FROM tenantmig.migrations")
        compare.check_counts("backfill", expected, rows)
        self.phase = "after backfill"
        compare.check_tables("after backfill", self.case, results, before, self.database.tables())
        compare.check_audit("after backfill", self.database, self.case, results, audited)
        run = self.check_run(results, expected)
        compare.check_changes("changes", self.database, run, results)
        compare.check_reviews("review", self.database, self.call(REVIEW, (self.name,)), results)
        self.verify(run)
        return run

    def check_run(self, results, expected):
        self.phase = "runs"
        run, state, total, done, *numbers, listed = self.database.rows(
            "SELECT id, state, row_total, row_done, assigned, conflicts, orphans, unknown, counts FROM tenantmig.runs ORDER BY id DESC LIMIT 1")[0]
        of = {}
        for (_, outcome, _), (count, _) in expected.items():
            of[outcome] = of.get(outcome, 0) + count
        rows = sum(of.values())
        expect("runs: state, row_total, row_done, assigned, conflicts, orphans, unknown",
               ("completed", rows, rows) + tuple(of.get(o, 0) for o in ("assigned", "conflict", "orphan", "unknown_tenant")),
               (state, total, done) + tuple(numbers))
        compare.check_counts("runs.counts", expected, [tuple(c[n] for n in RESULT.split(", ")) for c in listed])
        return run

    def verify(self, run):
        self.phase = "verify"
        steps = {self.database.relation(s.table): compare.number(self.case, s.table) for s in self.case.steps}
        decided = {(steps[relation], compact(row_key)) for relation, row_key in self.database.rows(
            "SELECT relation, row_key FROM tenantmig.changes WHERE source = 'review'")}
        compare.check_verify("verify", self.call("SELECT * FROM tenantmig.verify(%s)", (self.name,)), self.model.contradictions(decided))
        digest = self.call("SELECT tenantmig.digest(%s)", (run,))[0][0]
        compare.check_statuses("verify_changes", self.call("SELECT * FROM tenantmig.verify_changes(%s, %s)", (run, digest)))
        json.loads(self.call("SELECT tenantmig.report(%s, 'json')", (run,))[0][0])
        check_chain("change log", self.database, run)
        if self.rng.random() < 0.5:
            self.tamper(run, digest)

    def tamper(self, run, digest):
        """What is changed in the log behind our back is noticed, whatever it is."""
        self.phase = "tampering"
        cursor, entry = self.database.cursor, None
        cursor.execute("SELECT entry FROM tenantmig.change_log WHERE run_id = %s ORDER BY entry", (run,))
        entries = [row[0] for row in cursor.fetchall()]
        if not entries:
            return
        entry = self.rng.choice(entries)
        change = self.rng.choice(["source = source || 'x'", "column_name = column_name || 'x'", "table_name = 'x'", "schema_name = 'x'", "kind = 'rollback'",
                                  "keys[1] = keys[1] || '0'", "new_values[1] = new_values[1] || '0'", "old_values = keys", "batch = batch + 1", "step = step + 1",
                                  "changed_at = changed_at + interval '1 second'", "key_columns[1] = key_columns[1] || 'x'", "delete", "delete"])
        where = f"WHERE run_id = {run} AND entry = {entry}"
        sql = f"DELETE FROM tenantmig.change_log {where}" if change == "delete" else f"UPDATE tenantmig.change_log SET {change} {where}"
        if change == "delete" and entry < entries[-1]:
            digest = None  # a gap shows without one
        cursor.execute("BEGIN")
        cursor.execute(sql)
        cursor.execute("SELECT * FROM tenantmig.verify_changes(%s, %s)", (run, digest))
        rows = cursor.fetchall()
        cursor.execute("ROLLBACK")
        expect(f"verify_changes after {sql}", True, any(row[1] == "FAIL" for row in rows))

    def decide(self, run, results):
        """Dismisses and resolves a few; returns {(relation, key): (class, candidates)} of the dismissed ones."""
        self.phase = "decisions"
        dismissed, open_rows = {}, self.call("SELECT id, relation, row_key, class, candidates FROM tenantmig.review(%s)", (self.name,))
        self.rng.shuffle(open_rows)
        tenants = [row[0] for row in self.database.rows(f"SELECT {quote(self.case.root_key)}::text FROM {Database.full(self.case.root)} ORDER BY 1")]
        steps = {self.database.relation(s.table): s for s in self.case.steps}
        for number, (review, relation, row_key, of_class, candidates) in enumerate(open_rows[:6]):
            if number % 2:
                expect("state after dismiss", "dismissed", self.call("SELECT state FROM tenantmig.dismiss(%s, 'not ours')", (review,))[0][0])
                dismissed[relation, compact(row_key)] = (of_class, compact(candidates))
                continue
            tenant = self.rng.choice(tenants)
            expect("state after resolve", "resolved", self.call("SELECT state FROM tenantmig.resolve(%s, %s)", (review, tenant))[0][0])
            step = steps[relation]
            expect("key after resolve", tenant, self.database.table(step.table)[compact(row_key)][step.column])
            logged = self.database.rows("SELECT old_value, new_value, source FROM tenantmig.changes WHERE relation = %s AND row_key = %s AND column_name = %s",
                                        (relation, json.dumps(row_key), step.column))
            expect("change after resolve", [(None, tenant, "review")], logged)
        self.verify(run)
        return dismissed

    def mend(self):
        """Somebody gives rows that wait for a decision a key, or deletes them, and tells nobody."""
        rows = self.call("SELECT relation, row_key FROM tenantmig.review(%s)", (self.name,))
        tenants = [row[0] for row in self.database.rows(f"SELECT {quote(self.case.root_key)}::text FROM {Database.full(self.case.root)} ORDER BY 1")]
        steps = {self.database.relation(s.table): s for s in self.case.steps}
        for relation, row_key in self.rng.sample(rows, min(len(rows), 3)):
            step = steps[relation]
            name = ("" if step.table.partition else "ONLY ") + Database.full(step.table)
            match = " AND ".join(f"{quote(column)} = {literal(value)}" for column, value in row_key.items())
            self.mended = True
            try:
                self.database.cursor.execute(f"DELETE FROM {name} WHERE {match}" if self.rng.random() < 0.3 else
                                             f"UPDATE {name} SET {quote(step.column)} = {literal(self.rng.choice(tenants))} WHERE {match}")
            except psycopg2.IntegrityError:
                pass  # a row that others refer to stays

    def again(self, first, dismissed):
        """A second run: what the model says of the tables as they are now, which without decisions is nothing new."""
        self.phase = "second backfill"
        if self.rng.random() < 0.3:
            self.mend()
        before, results = self.database.tables(), self.model.evaluate()
        audited = [self.database.audited(t) for t in self.case.tables]
        if not self.mended and not self.database.value("SELECT count(*) FROM tenantmig.changes WHERE source = 'review'"):
            expect("rows that the model assigns in a second run", 0, sum(r.written == s.step.column for s in results for r in s.rows.values()))
        expected = compare.counts(self.database, results)
        compare.check_counts("second backfill", expected, self.backfill(first=False))
        compare.check_tables("after the second backfill", self.case, results, before, self.database.tables())
        compare.check_audit("after the second backfill", self.database, self.case, results, audited)
        run = self.check_run(results, expected)
        expect("runs", True, run > first)
        compare.check_changes("changes of the second run", self.database, run, results)
        self.check_reviews("review after the second run", results, before, dismissed)
        self.verify(run)
        return run

    def edit(self, rows):
        """What somebody else does to rows after the run."""
        tenants = [row[0] for row in self.database.rows(f"SELECT {quote(self.case.root_key)}::text FROM {Database.full(self.case.root)} ORDER BY 1")]
        self.rng.shuffle(rows)
        chosen = rows[:self.rng.choice([0, 0, 4, 12])]
        for table, row_key, column in chosen:
            name = ("" if table.partition else "ONLY ") + Database.full(table)
            match = " AND ".join(f"{quote(name)} = {literal(value)}" for name, value in row_key.items())
            step = next(s for s in self.case.steps if s.table is table)
            change = self.rng.choice(["other", "other", "null", "delete", "touch", "soft"])
            sql = {"other": f"SET {quote(step.column)} = {literal(self.rng.choice(tenants))}", "null": f"SET {quote(column)} = NULL",
                   "soft": f"SET {quote(step.soft_delete or step.column)} = " + ("'2001-02-03 04:05:06'" if step.soft_delete else "NULL"),
                   "touch": f"SET {quote(table.key[0])} = {quote(table.key[0])}"}.get(change)
            try:
                if sql:
                    self.database.cursor.execute(f"UPDATE {name} {sql} WHERE {match}")
                else:
                    self.database.cursor.execute(f"DELETE FROM {name} WHERE {match}")
            except psycopg2.IntegrityError:
                pass  # a row that others refer to stays
        return len(chosen)

    def undo(self, run, before):
        self.phase = "edits before undo"
        case, database = self.case, self.database
        tables = {database.relation(s.table): s.table for s in case.steps}
        logged = database.rows("SELECT relation, row_key, column_name, old_value, new_value FROM tenantmig.changes WHERE run_id = %s", (run,))
        edited = self.edit([(tables[relation], row_key, column) for relation, row_key, column, _, _ in logged])
        now = database.tables()
        restored, skipped, wanted = {}, {}, {i: {k: dict(r) for k, r in rows.items()} for i, rows in now.items()}
        for relation, row_key, column, old, new in logged:
            table, key = tables[relation], compact(row_key)
            row = wanted[compare.number(case, table)].get(key)
            if row and row[column] is not None and self.same(table, column, row[column], new):
                row[column] = old
                restored[relation] = restored.get(relation, 0) + 1
            else:
                skipped[relation, key, column] = (row[column] if row else None, "value changed since" if row else "row is gone")
        script = self.rng.random() < 0.25
        if script:
            self.phase = "undo_script"
            self.run_script(run)
        else:
            self.phase = "rollback"
            self.rollback(run, restored, skipped)
        if not edited and not self.mended and not database.value("SELECT count(*) FROM tenantmig.changes WHERE run_id <> %s", (run,)):
            wanted = before
        compare_undone("after undo", case, wanted, database.tables(), before)
        if script:
            return
        self.phase = "after rollback"
        expect("state of the run", "rolled_back", database.value("SELECT state FROM tenantmig.runs WHERE id = %s", (run,)))
        left = [row for row in self.call(REVIEW, (self.name,)) if row[0] == run and row[5] == "open"]
        expect("open reviews of a run that was rolled back", [], left)
        compare.check_statuses("verify_changes after rollback", self.call("SELECT * FROM tenantmig.verify_changes(%s)", (run,)))
        self.refused({"55000"}, lambda: self.call("SELECT * FROM tenantmig.rollback(%s)", (run,)))
        if self.rng.random() < 0.5:
            self.after()

    def same(self, table, column, left, right):
        if left == right:
            return True
        kind = table.type_of(column)
        return kind.startswith("timestamp") and self.database.value(f"SELECT %s::{kind} = %s::{kind}", (left, right))

    def rollback(self, run, restored, skipped):
        rows = self.call("SELECT relation, outcome, reason, row_count FROM tenantmig.rollback(%s)", (run,))
        by_reason = {}
        for (relation, _, _), (_, reason) in skipped.items():
            by_reason[relation, "skipped", reason] = by_reason.get((relation, "skipped", reason), 0) + 1
        actual, total = {}, {}
        for relation, outcome, reason, count in rows:
            if outcome == "restored":
                total[relation] = total.get(relation, 0) + count
            elif count and outcome == "skipped":
                actual[relation, outcome, reason] = actual.get((relation, outcome, reason), 0) + count
        differ("rollback: restored", restored, {r: c for r, c in total.items() if c})
        differ("rollback: skipped", by_reason, actual)
        listed = {(relation, compact(row_key), column): (found, reason) for relation, row_key, column, found, reason in self.database.rows(
            "SELECT relation, row_key, column_name, found, reason FROM tenantmig.undo_skipped WHERE run_id = %s", (run,))}
        differ("undo_skipped", {k: (self.moment(v[0]), v[1]) for k, v in skipped.items()}, {k: (self.moment(v[0]), v[1]) for k, v in listed.items()})

    def moment(self, text):
        """Times as one text, whatever zone they are written in."""
        if text and text[:3] in ("200", "201", "202") and ":" in text:
            return self.database.value("SELECT (%s::timestamptz)::text", (text,))
        return text

    def run_script(self, run):
        lines = [row[0] for row in self.call("SELECT tenantmig.undo_script(%s)", (run,))]
        text = "\n".join(line for line in lines if not line.startswith("\\"))
        self.database.cursor.execute(text)

    def after(self):
        """The same migration once more after its undo, which withdrew the reviews of its run, dismissed ones too."""
        self.phase = "backfill after rollback"
        before, results = self.database.tables(), self.model.evaluate()
        states = self.failing(results)
        if states:
            return
        expected = compare.counts(self.database, results)
        compare.check_counts("backfill after rollback", expected, self.backfill(first=False))
        compare.check_tables("after the third backfill", self.case, results, before, self.database.tables())
        run = self.check_run(results, expected)
        compare.check_changes("changes after rollback", self.database, run, results)
        self.check_reviews("review after rollback", results, before)
        self.verify(run)

    def check_reviews(self, what, results, before, dismissed=None):
        """`before`: the tables before the run. Reviews of rows that had a key then, or were gone, are no business of the run."""
        rows = self.call(REVIEW, (self.name,))
        steps, settled = {self.database.relation(s.table): s for s in self.case.steps}, set()
        for _, relation, row_key, _, _, _ in rows:
            row = before[compare.number(self.case, steps[relation].table)].get(compact(row_key))
            if not row or row[steps[relation].column] is not None:
                settled.add((relation, compact(row_key)))
        compare.check_reviews(what, self.database, rows, results, dismissed, settled)


def compare_undone(what, case, wanted, actual, before):
    """All columns as before the run, but for what was edited; columns of the tables' own triggers may differ."""
    for i, table in enumerate(case.tables):
        touched = {column for kind, column in table.triggers if kind == "touch"}
        generated = set(table.touched) - touched
        def strip(rows, without):
            return {key: {c: v for c, v in row.items() if c not in without} for key, row in rows.items()}
        differ(f"{what}: {table.name}", strip(wanted[i], touched | generated), strip(actual[i], touched | generated))
        for key, row in actual[i].items():
            same = all(before[i][key][c] == v for c, v in row.items() if c not in touched | generated)
            if same and any(before[i][key][c] != row[c] for c in generated):
                raise Mismatch(f"{what}: a generated column of {table.name} {key} is not what it was")
