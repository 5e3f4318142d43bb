"""docs/reference.md, made from the catalogue: signatures, COMMENTs, and who may call what once grant_access has been called.

Only what SQL has no COMMENT for stands here: the order of the page, and the columns of results. An object that is not in the
order, or a column without an explanation, is a failure, so that the page stays whole.
"""
import difflib
import json
import os
import re
import subprocess

PAGE = "docs/reference.md"

SECTIONS = [
    ("Migrations", "A migration is stored once and then called by its name. The spec is described in [spec.md](spec.md).",
     ["create_migration", "check_migration", "replace_migration", "spec_checksum", "spec_difference", "drop_migration"]),
    ("Whole migrations", "All steps, forward and back. See [steps.md](steps.md), [columns.md](columns.md) and [rekey.md](rekey.md).",
     ["up", "down", "migration_report", "step_rows", "keep_column", "rekey_sync"]),
    ("Before a run", "All of these read only. See [backfill.md](backfill.md).", ["plan", "plan_hash", "preflight"]),
    ("A run", "See [backfill.md](backfill.md) and [verify.md](verify.md).", ["backfill", "verify", "report"]),
    ("Online runs", "By batches, beside the workload. See [online.md](online.md) and [pace.md](pace.md).",
     ["run", "start", "wait", "pause", "resume", "cancel", "undo", "set_pace"]),
    ("Review", "See [review.md](review.md).", ["review", "resolve", "dismiss", "import_reviews"]),
    ("Change log and undo", "See [changelog.md](changelog.md).",
     ["digest", "verify_changes", "rollback", "undo_script", "unpack", "row_key"]),
    ("Guards", "See [guards.md](guards.md).", ["attach_guard", "detach_guard", "check_guards", "guard_prefix", "guard_tenant_key", "guard_same_tenant",
                                                "guard_reference", "guard_acyclic", "guard_immutable"]),
    ("Gate and proofs", "What stands before constraints, and what shows that they hold. See [gate.md](gate.md).",
     ["gate", "approve", "revoke_approval", "register_backup", "prove"]),
    ("Enforce and relax", "Constraints, applied and taken back. See [enforce.md](enforce.md).", ["enforce", "relax"]),
    ("Monitoring", "How a migration fares after its run. See [monitoring.md](monitoring.md).", ["observe", "daily_report", "health_rows", "clock"]),
    ("Watch on the catalogue", "Drift of constraints, guards and tables, and what happens to ALTER TABLE. See [ddl-watch.md](ddl-watch.md).",
     ["ddl_watch", "accept_tables", "ddl_warn", "ddl_refuse"]),
    ("Fingerprints", "Whether schema and rows are what they were. See [rehearse.md](rehearse.md#fingerprints).", ["fingerprint"]),
    ("Checks of schema and speed", "See [lint.md](lint.md) and [benchmark.md](benchmark.md).", ["lint", "lint_report", "benchmark"]),
    ("Isolation", "Row-level security, and the proof that it holds. See [isolation.md](isolation.md).",
     ["isolate", "isolation_criteria", "probe_isolation", "isolation_speed"]),
    ("Maintenance mode", "Writes of others are refused for a limited time. See [maintenance.md](maintenance.md).",
     ["maintenance", "written_tables", "maintenance_fence"]),
    ("Retention", "See [purge.md](purge.md).", ["purge"]),
    ("Access and version", "See [security.md](security.md).", ["grant_access", "version"]),
]
VIEWS = ["migrations", "steps", "execution_log", "kept_columns", "runs", "stat_progress", "stat_workers", "batches", "changes", "review_rows", "undo_counts", "undo_skipped",
         "guards", "guard_refusals", "drift", "maintenance_fences", "approvals", "backups", "proofs", "enforcements", "health", "soak", "week", "observations", "observed_days", "health_facts",
         "open_reviews", "last_changes", "active_migrations", "isolated_tables"]

CHECK = {"check_name": "the check; several lines have the same name where there are several steps", "status": "`PASS`, `WARN` or `FAIL`",
         "expected": "what was asked for", "actual": "what was found", "detail": "of what, and how many", "hint": "what to do; NULL for `PASS`"}
COUNT = {"relation": "table", "outcome": "`assigned`, `conflict`, `orphan`, `unknown_tenant`, or `skipped`: filled or deleted by somebody else meanwhile",
         "source": "the source whose evidence decided; for conflicts all that answered; or the rule, `assign` or `soft_delete`",
         "row_count": "rows", "deleted_count": "how many of them are soft-deleted already"}
DECISION = {"relation": "table", "row_key": "key of the row, `{column: value}`", "class": "`conflict`, `orphan` or `unknown_tenant`",
            "state": "`resolved` or `dismissed`", "tenant": "the tenant that was written", "decided_by": "who"}
GUARD = {"step": "position of the guard step in the spec, from 1; NULL for a guard of no migration", "relation": "table that it stands on",
         "column_name": "the tenant key; `prefix`: the text id; `acyclic`: the self reference; NULL where `reference` asks only whether rows exist",
         "kind": "`prefix`, `tenant_key`, `same_tenant`, `reference`, `acyclic` or `immutable`", "mode": "`fill`, `reject` or `warn`; `reject` for all kinds but `tenant_key`",
         "trigger_name": "the trigger that does the work", "guard": "number of the guard"}
COLUMNS = {
    "attach_guard": {**GUARD, "outcome": "`attached`, `unchanged` or `replaced`"}, "detach_guard": {**GUARD, "outcome": "`detached` or `missing`"},
    "check_migration": {"step": "position in the spec, from 1; the lines stand in the order of execution", "kind": "kind of the step", "relation": "table",
                        "column_name": "its tenant key", "source": "a source of the step, by the name that it has in counts and log",
                        "tenant_column": "where the evidence stands", "note": "kind of the source, and what identifies a row"},
    "plan": {"step": "position of the step in the spec", "kind": "kind of the step", **COUNT,
             "outcome": "`assigned`, `conflict`, `orphan`, `unknown_tenant`, or `nothing to do`",
             "path": "how a run by batches writes the rows: `direct`, below SQL, or `sql` and why (`backfill` writes all through SQL); `none` for rows that are not written", "locks": "locks that a run takes",
             "est_seconds": "estimated time, see [performance.md](performance.md#what-a-plan-estimates)", "est_wal_bytes": "estimated WAL",
             "note": "triggers that fire and the columns that they change; whether evidence goes through temporary files"},
    "preflight": CHECK, "verify": CHECK, "gate": CHECK, "isolation_criteria": CHECK, "check_guards": CHECK, "verify_changes": CHECK, "backfill": COUNT,
    "review": {"id": "number of the review", "run_id": "run that queued it", **DECISION, "candidates": "`[{tenant, source, count}]`, count being rows of evidence; `[]` for orphans",
               "state": "`open`, `resolved` or `dismissed`", "decided_at": "when", "note": "why"},
    "resolve": DECISION, "dismiss": DECISION,
    "import_reviews": {"outcome": "`resolved`, `dismissed` or `left open`", "row_count": "decisions"},
    "rollback": {"relation": "table", "outcome": "`restored` or `skipped`", "reason": "why rows were skipped", "row_count": "values"},
    "health_rows": dict.fromkeys("migration health reasons soak soak_since last_observed last_deep open_reviews nulls new_nulls unknown_tenants mismatches drift run_id".split(),
                                 "as in the view health"),
    "spec_difference": {"path": "place in the document", "stored": "what is stored there; NULL: nothing", "given": "what is given; NULL: nothing"},
    "step_rows": dict.fromkeys("migration step kind relation column_name state phase error started_at finished_at next_command applied".split(), "as in the view steps"),
    "observe": {"migration": "name of the migration", **CHECK},
    "accept_tables": {"relation": "a table that counts as known from now on", "outcome": "`accepted`"},
    "maintenance": {"relation": "table", "state": "`fenced` or `open`", "fenced_until": "when it ends by itself; NULL for `open`"},
    "written_tables": {"relation": "table, quoted as SQL needs it", "schema_name": "its schema", "table_name": "its name", "key_columns": "its tenant keys, as they are called now"},
    "purge": {"kind": "`change_log`, `reviews`, `runs`, `observations`, `drift`, `backups` or `kept_columns`", "migration": "migration; NULL for drift and backups of none", "row_count": "changes of a log, reviews, runs, observations, entries, backups or values",
              "oldest": "time of the oldest of them", "newest": "time of the newest", "outcome": "`would go`, `deleted` or `kept`", "reason": "why"},
    "lint": {"severity": "`error`, `warning` or `info`", "check_name": "what was checked, see [lint.md](lint.md#checks)", "object": "what it is about, by its name", "detail": "what was found",
             "remedy": "SQL to paste; behind `--` what has to be decided first", "key": "stable, for the list `exempt` of a spec", "exempt": "why it is none; NULL: it counts"},
    "probe_isolation": {"relation": "table, view, partition or sequence", "attack": "what was tried, see [isolation.md](isolation.md#the-probe)", "tenant": "for whom the attacker works; NULL: it set none, or no tenant matters",
                        "victim": "whose rows were attacked", "expected": "what isolation means here", "seen": "what came of it; of `SKIP`, why nothing was tried", "status": "`PASS`, `FAIL` or `SKIP`",
                        "remedy": "SQL to paste, or a sentence", "key": "stable, for the list `exempt` of a spec", "exempt": "why it is none; NULL: it counts", "acted_as": "the application's role"},
    "isolation_speed": {"relation": "table", "check_name": "what was checked, see [isolation.md](isolation.md#speed)", "object": "the policy, index or column that it is about", "expected": "what was asked for",
                        "actual": "what was found; of costs and times: under the policy against the literal predicate", "ratio": "the first to the second", "status": "`PASS`, `WARN`, `FAIL` or `SKIP`",
                        "detail": "why, and for which tenant", "remedy": "SQL to paste; behind `--` what has to be decided first", "acted_as": "the application's role"},
    "fingerprint": {"part": "`schema` or `data`", "object": "its kind and name; of data, the table", "row_count": "of data: its rows", "hash": "32 hexadecimal digits",
                    "definition": "what a schema row's hash is made of; of data, where a difference is"},
    "benchmark": {"name": "name of the query", "runs": "how often it was measured", "p50": "milliseconds of the median", "p95": "of the 95th percentile", "p99": "of the 99th percentile",
                  "row_count": "rows of the last run", "shared_hit": "blocks found in shared buffers", "shared_read": "blocks read", "index_used": "indexes of the plan",
                  "expected_index": "indexes that must be used", "target": "milliseconds that p95 must not exceed", "status": "`PASS`, `WARN` or `FAIL`", "detail": "why",
                  "plan": "of EXPLAIN (ANALYZE, BUFFERS), with the slowest parameters", "warm_up": "milliseconds of the run before the first that is measured"},
    "unpack": {"row_key": "key of the row", "old_value": "value before", "new_value": "value after"},
}

QUERY = """
BEGIN;
CREATE ROLE docs_nobody; CREATE ROLE docs_viewer; CREATE ROLE docs_reviewer; CREATE ROLE docs_operator;
SELECT tenantmig.grant_access('docs_viewer', 'viewer'), tenantmig.grant_access('docs_reviewer', 'reviewer'), tenantmig.grant_access('docs_operator', 'operator')
\\g /dev/null
SELECT json_build_object('functions', (
  SELECT json_agg(json_build_object('name', p.proname, 'procedure', p.prokind = 'p', 'result', pg_get_function_result(p.oid), 'comment', obj_description(p.oid, 'pg_proc'),
    'arguments', (SELECT json_agg(json_build_object('name', p.proargnames[n], 'type', format_type(t, NULL), 'default', pg_get_function_arg_default(p.oid, n::integer)) ORDER BY n)
      FROM unnest(coalesce(p.proallargtypes, p.proargtypes::oid[])) WITH ORDINALITY a (t, n) WHERE coalesce(p.proargmodes[n] IN ('i', 'b', 'v'), true)),
    'columns', (SELECT json_agg(json_build_object('name', p.proargnames[n], 'type', format_type(t, NULL)) ORDER BY n)
      FROM unnest(p.proallargtypes) WITH ORDINALITY a (t, n) WHERE p.proargmodes[n] IN ('o', 'b', 't')),
    'level', CASE WHEN has_function_privilege('docs_nobody', p.oid, 'EXECUTE') THEN 'everybody' WHEN has_function_privilege('docs_viewer', p.oid, 'EXECUTE') THEN 'viewer' WHEN has_function_privilege('docs_reviewer', p.oid, 'EXECUTE')
      THEN 'reviewer' WHEN has_function_privilege('docs_operator', p.oid, 'EXECUTE') THEN 'operator' ELSE 'owner' END)
    ORDER BY p.pronargs DESC) FROM pg_proc p WHERE p.pronamespace = 'tenantmig'::regnamespace),
  'views', (
  SELECT json_object_agg(c.relname, json_build_object('comment', obj_description(c.oid, 'pg_class'), 'columns', (
    SELECT json_agg(json_build_object('name', a.attname, 'type', format_type(a.atttypid, NULL), 'meaning', col_description(c.oid, a.attnum)) ORDER BY a.attnum)
    FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0)))
  FROM pg_class c WHERE c.relnamespace = 'tenantmig'::regnamespace AND c.relkind = 'v'));
ROLLBACK;
"""
LEVELS = {"everybody": "everybody, see [security.md](security.md)", "viewer": "viewer, reviewer, operator", "reviewer": "reviewer, operator", "operator": "operator", "owner": "the extension's owner, superusers"}

HEAD = """# Reference

Everything in the schema `tenantmig`, made from the database's own comments by `tests/docs/reference.py`; the tests fail if this page
and the catalogue differ. `\\df+ tenantmig.*` and `\\d+ tenantmig.runs` show the same in psql.

- **Functions run in the caller's transaction.** Nothing is committed behind your back, and `ROLLBACK` takes back what a call did; what
  `start` and `resume` set going begins when it commits.
- **Procedures** are called with `CALL`, outside of transaction blocks: they commit as they go.
- **Nothing is for everybody**, the trigger functions of guards excepted. EXECUTE is revoked from PUBLIC; `grant_access(role, level)` opens it. "Who" names the levels; a
  function that reads or writes user tables needs the table owner's privileges besides, see [security.md](security.md).
- **Errors** are explained in [errors.md](errors.md). Any function can also fail with 22004 where an argument must not be NULL.
- **Table names** in arguments are written as SQL writes them: `customers`, `crm.customers`, `"My Customers"`.
"""


def one_line(text):
    return text.replace("|", "\\|")


def shown_default(text):
    return re.sub(r"^(.*?)::[\w ]+(\[\])?$", r"\1", text) if text else text


def signature(function):
    arguments = [f"{a['name']} {a['type']}" + (f" DEFAULT {shown_default(a['default'])}" if a["default"] else "") for a in function["arguments"] or []]
    if function["procedure"]:
        return called("CALL ", function["name"], arguments, "")
    result = "rows, see below" if function["columns"] else re.sub("^SETOF ", "rows of ", function["result"])
    return called("", function["name"], arguments, f" → {result}")


def called(verb, name, arguments, result):
    """On as few lines as fit."""
    line = f"{verb}tenantmig.{name}({', '.join(arguments)}){result}"
    if len(line) <= 120:
        return line
    if len(", ".join(arguments)) > 90:
        return f"{verb}tenantmig.{name}(\n  " + ",\n  ".join(arguments) + f"\n){result}"
    return f"{verb}tenantmig.{name}({', '.join(arguments)})\n{result.strip()}"


def sentences(comment):
    """The comment's parts: what it says, then what it says after "Errors:" and "Locks:"."""
    parts = {"": comment}
    match = re.match(r"(.*?)(?:\s*Errors: (.*?))?(?:\s*Locks: (.*?)|\s*(No locks[^.]*\.))?$", comment, re.S)
    parts = {"": match.group(1), "Errors": match.group(2), "Locks": match.group(3) or match.group(4)}
    text = parts[""].strip()
    parts[""] = text[:1].upper() + text[1:]
    if not parts[""].endswith("."):
        parts[""] += "."
    return parts


def write_function(function, problems):
    parts = sentences(function["comment"])
    out = ["```text", signature(function), "```", "", one_line(parts[""]), ""]
    out += ["| | |", "|---|---|", f"| who | {LEVELS[function['level']]} |"]
    for name in ("Errors", "Locks"):
        if parts[name]:
            out.append(f"| {name.lower()} | {one_line(parts[name].rstrip('.'))} |")
    out.append("")
    if function["columns"]:
        words = COLUMNS.get(function["name"], {})
        out += ["| column | type | meaning |", "|---|---|---|"]
        for column in function["columns"]:
            if column["name"] not in words:
                problems.append(f"reference.py does not explain the column {column['name']} of {function['name']}")
            out.append(f"| `{column['name']}` | {column['type']} | {one_line(words.get(column['name'], ''))} |")
        out.append("")
    return out


def write(catalogue):
    problems, out = [], [HEAD]
    listed = [name for _, _, names in SECTIONS for name in names]
    problems += [f"{f['name']} is in no section" for f in catalogue["functions"] if f["name"] not in listed]
    problems += [f"view {name} is in no section" for name in catalogue["views"] if name not in VIEWS]
    for title, text, names in SECTIONS:
        out += [f"## {title}", "", text, ""]
        for name in names:
            functions = [f for f in catalogue["functions"] if f["name"] == name]
            if not functions:
                problems.append(f"there is no function {name}")
            out += [f"### {name}", ""]
            for function in functions:
                out += write_function(function, problems)
    out += ["## Views", "", "Read by every level. Times are of type `timestamp with time zone`; counts are of type `bigint`.", ""]
    for name in VIEWS:
        view = catalogue["views"].get(name, {"comment": "", "columns": []})
        comment = view["comment"]
        out += [f"### View {name}", "", one_line(comment[:1].upper() + comment[1:]) + ".", "", "| column | type | meaning |", "|---|---|---|"]
        for column in view["columns"]:
            if not column["meaning"]:
                problems.append(f"{name}.{column['name']} has no COMMENT")
            out.append(f"| `{column['name']}` | {column['type']} | {one_line(column['meaning'] or '')} |")
        out.append("")
    return "\n".join(out).rstrip() + "\n", problems


def check(root, said, update):
    def psql(database, text):
        done = subprocess.run(["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-d", database], input=text, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr)
        return done.stdout
    psql("postgres", "DROP DATABASE IF EXISTS docs_reference;\nCREATE DATABASE docs_reference;")
    psql("docs_reference", "CREATE EXTENSION tenantmig")
    catalogue = json.loads(psql("docs_reference", QUERY))
    psql("postgres", "DROP DATABASE docs_reference")
    wanted, problems = write(catalogue)
    path = os.path.join(root, PAGE)
    if update:
        with open(path, "w", encoding="utf-8") as file:
            file.write(wanted)
    found = ""
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            found = file.read()
    diff = list(difflib.unified_diff(found.splitlines(), wanted.splitlines(), PAGE, "catalogue", lineterm="", n=1))
    said(not diff, f"{PAGE} is what the catalogue says", "\n".join(diff))
    said(not problems, f"{PAGE} explains everything", "\n".join(problems))
