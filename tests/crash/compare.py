"""The end state of a round, and what is wrong with it."""
from collections import Counter

import shop

# What an undisturbed run leaves of the customers that were there from the beginning: as sets of lines, to compare.
STATE = {
    "rows": "SELECT id, company_id FROM customers WHERE id < {late}",
    "changes": "SELECT relation, row_key, column_name, old_value, new_value, source FROM tenantmig.changes "
               "WHERE (row_key ->> 'id')::bigint < {late}",
    "reviews": "SELECT relation, row_key, class, candidates::text, state FROM tenantmig.review('m', true) WHERE (row_key ->> 'id')::bigint < {late}",
    "undone": "SELECT relation, outcome, coalesce(reason, ''), row_count FROM tenantmig.undo_counts",
}

# Each query returns one line for each thing that is wrong.
WRONG = {
    "a row without its key, or with another's":
        f"SELECT id, company_id FROM customers WHERE company_id IS DISTINCT FROM CASE WHEN {shop.KIND} IN ('assigned', 'keyed') OR id >= {shop.KEYED} THEN {shop.TENANT} END",
    "a row that is not in the log or the queue exactly once":
        f"SELECT c.id, count(x.id) FROM customers c LEFT JOIN (SELECT (row_key ->> 'id')::bigint AS id FROM tenantmig.changes "
        f"UNION ALL SELECT (row_key ->> 'id')::bigint FROM tenantmig.review('m') ) x ON x.id = c.id "
        f"WHERE c.id < {shop.KEYED} AND c.id % 50 <> 49 GROUP BY c.id HAVING count(x.id) <> 1",
    "a change or review of a row that had its key":
        f"SELECT row_key FROM tenantmig.changes WHERE (row_key ->> 'id')::bigint >= {shop.KEYED} OR (row_key ->> 'id')::bigint % 50 = 49",
    "a check of verify": "SELECT check_name, expected, actual, detail FROM tenantmig.verify('m') WHERE status = 'FAIL'",
    "counts of a run that are not those of its log":
        "SELECT r.id, r.assigned, count(c.*) FROM tenantmig.runs r LEFT JOIN tenantmig.changes c ON c.run_id = r.id GROUP BY r.id, r.assigned "
        "HAVING r.assigned <> count(c.*)",
    "counts of batches that are not those of the log":
        "SELECT run_id, sum(row_count), (SELECT count(*) FROM tenantmig.changes c WHERE c.run_id = b.run_id) FROM tenantmig.batches b "
        "WHERE error IS NULL GROUP BY run_id HAVING sum(row_count) <> (SELECT count(*) FROM tenantmig.changes c WHERE c.run_id = b.run_id)",
}

# After an undo.
WRONG_UNDONE = {
    "a row that is not as it was": f"SELECT id, company_id FROM customers WHERE company_id IS DISTINCT FROM "
                                   f"CASE WHEN {shop.KIND} = 'keyed' OR id >= {shop.KEYED} THEN {shop.TENANT} END",
    "a row whose change was not taken back exactly once":
        "SELECT row_key, count(*) FILTER (WHERE source = 'rollback'), count(*) FROM tenantmig.changes GROUP BY row_key "
        "HAVING count(*) FILTER (WHERE source = 'rollback') <> 1 OR count(*) <> 2",
}

ALWAYS = {
    "an update that got lost, or was done twice":
        "SELECT c.id, c.visits, count(v.id) FROM customers c LEFT JOIN visit_log v ON v.customer_id = c.id GROUP BY c.id, c.visits HAVING c.visits <> count(v.id)",
    "the chain of a run":
        "SELECT r.id, v.check_name, v.expected, v.actual, v.detail FROM tenantmig.runs r CROSS JOIN LATERAL "
        "tenantmig.verify_changes(r.id, tenantmig.digest(r.id)) v WHERE v.status <> 'PASS'",
    "a run in a wrong state": "SELECT id, state, error FROM tenantmig.runs WHERE state NOT IN ('completed', 'rolled_back') OR state = 'rolled_back' AND error IS NOT NULL",
    "something at work": "SELECT * FROM tenantmig.active_migrations",
}

# The server's own tools; they take longer.
PAGES = {
    "amcheck: a table": "SELECT t.relname, v.* FROM pg_class t CROSS JOIN LATERAL verify_heapam(t.oid) v "
                        "WHERE t.relkind = 'r' AND t.relnamespace IN ('public'::regnamespace, 'tenantmig'::regnamespace)",
    "pg_visibility: a page": "SELECT 'visible', t_ctid::text FROM pg_check_visible('customers') UNION ALL SELECT 'frozen', t_ctid::text FROM pg_check_frozen('customers')",
}
INDEXES = "SELECT i.indexrelid FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid " \
          "WHERE t.relnamespace IN ('public'::regnamespace, 'tenantmig'::regnamespace)"


def rows_of(connection, sql):
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall()


def state(connection):
    return {name: sorted(str(row) for row in rows_of(connection, sql.format(late=shop.LATE))) for name, sql in STATE.items()}


def differences(connection, reference, undone, pages):
    """Lines that say what is wrong; none is the aim."""
    found = []
    now = state(connection)
    for name, expected in reference.items():
        if now[name] != expected:
            missing, extra = difference(expected, now[name])
            found.append(f"{name}: {len(missing)} missing, as {missing[:2]}; {len(extra)} that should not be, as {extra[:2]}")
    queries = {**ALWAYS, **(WRONG_UNDONE if undone else WRONG), **(PAGES if pages else {})}
    for name, sql in queries.items():
        wrong = rows_of(connection, sql)
        if wrong:
            found.append(f"{name}: {len(wrong)}, as {wrong[:3]}")
    if pages:
        for index, in rows_of(connection, INDEXES):
            rows_of(connection, f"SELECT bt_index_parent_check({index}, true, true)")
    return found


def difference(expected, found):
    missing, extra = Counter(expected), Counter(found)
    return sorted((missing - extra).elements()), sorted((extra - missing).elements())
