"""A small case worked out by hand, so that the model itself is held to something: each row shows one rule."""
from case import Case, Column, Source, Step, Table
from compare import differ
from model import Model

# customer: (key, branch, status, deleted_at), what its evidence is, and what follows under each policy
CUSTOMERS = [  # id, company_id, branch_id, status, deleted_at
    (1, None, None, "open", None), (2, None, None, "open", None), (3, None, 1, "open", None), (4, None, 1, "open", None),
    (5, None, 9, "open", None), (6, None, None, "open", "2024-01-01"), (7, 20, 1, "open", None), (8, None, None, "closed", None),
    (9, None, 3, None, None), (10, None, 2, "open", None)]
APPOINTMENTS = [  # id, customer_id, company_id, status
    (1, 1, 10, None), (2, 1, 10, "x"),                               # 1: both say 10
    (3, 2, 10, None), (4, 2, 10, None), (5, 2, 20, None),            # 2: 10 twice, 20 once
    (6, 3, 20, None), (7, 3, None, None),                            # 3: 20, where the branch says 10; NULL says nothing
    (8, 7, 10, None), (9, 8, 10, None), (10, 99, 10, None), (11, None, 10, None),
    (12, 10, 10, "x"), (13, 10, 99, None)]                           # 10: 10 and 99, of which there is no company
BRANCHES = [(1, 10), (2, 99), (3, 77)]                               # id, company_id; 4 has branch 1, 5 a branch that is not there

UNANIMOUS = {1: ("assigned", "a", "10"), 2: ("conflict", "a", None), 3: ("conflict", "a, b", None), 4: ("assigned", "b", "10"),
             5: ("orphan", None, None), 6: ("orphan", None, None), 9: ("unknown_tenant", "b", None), 10: ("conflict", "a, b", None)}
MAJORITY = UNANIMOUS | {2: ("assigned", "a", "10"), 10: ("unknown_tenant", "a, b", None)}  # 3 is a tie; 10: 99 twice, 10 once
FIRST = UNANIMOUS | {3: ("assigned", "a", "20"), 10: ("conflict", "a", None)}
BRANCH_FIRST = UNANIMOUS | {3: ("assigned", "b", "10"), 10: ("unknown_tenant", "b", None)}
SOFT = UNANIMOUS | {5: ("orphan", "soft_delete", None)}
ASSIGN = UNANIMOUS | {5: ("assigned", "assign", "20"), 6: ("assigned", "assign", "20")}
WHERE = UNANIMOUS | {10: ("unknown_tenant", "a, b", None)}           # appointments with status NULL only


def table(name, columns, rows):
    return Table("handmade", name, [Column(n, "int4" if n.endswith("id") else "timestamptz" if n == "deleted_at" else "text") for n in columns],
                 ["id"], rows=[dict(zip(columns, row)) for row in rows])


def check(connection):
    """Compares the model with the answers above; raises Mismatch."""
    root = table("companies", ["id"], [(10,), (20,)])
    customers = table("customers", ["id", "company_id", "branch_id", "status", "deleted_at"], CUSTOMERS)
    appointments = table("appointments", ["id", "customer_id", "company_id", "status"], APPOINTMENTS)
    branches = table("branches", ["id", "company_id"], BRANCHES)
    case = Case(seed=0, root=root, root_key="id", tables=[root, customers, appointments, branches], schemas=["handmade"])
    cursor = connection.cursor()
    cursor.execute("CREATE SCHEMA handmade")
    for t in case.tables:
        cursor.execute(f"CREATE TABLE handmade.{t.name} ({', '.join(f'{c.name} {c.type}' for c in t.columns)})")
        for row in t.rows:
            cursor.execute(f"INSERT INTO handmade.{t.name} VALUES ({', '.join(['%s'] * len(row))})", tuple(row.values()))
    a = Source("children", "a", appointments, "customer_id", "id", tenant="company_id")
    b = Source("parent", "b", branches, "branch_id", "id", tenant="company_id")
    a_where = Source(**(vars(a) | {"where": {"status": None}}))
    open_or_none = {"status": ["open", None]}
    for what, expected, sources, more in (
            ("unanimous", UNANIMOUS, [a, b], {}), ("majority", MAJORITY, [a, b], {"on_conflict": "majority"}), ("first", FIRST, [a, b], {"evidence": "first"}),
            ("the other first", BRANCH_FIRST, [b, a], {"evidence": "first"}), ("soft_delete", SOFT, [a, b], {"on_orphan": "soft_delete"}),
            ("assign", ASSIGN, [a, b], {"on_orphan": {"assign": 20}}), ("where", WHERE, [a_where, b], {})):
        case.steps = [Step(customers, "company_id", sources, "deleted_at", where=open_or_none, **more)]
        rows = Model(case, connection).evaluate()[0].rows
        # row 8 is left alone by the step's where, 7 has a key
        differ(f"the model's own example, {what}", {f'{{"id": {n}}}': e for n, e in expected.items()},
               {key: (r.outcome, r.source, r.tenant) for key, r in rows.items()})
        if what == "unanimous":
            differ("the candidates of the model's own example", {"3": [{"tenant": 20, "source": "a", "count": 1}, {"tenant": 10, "source": "b", "count": 1}]},
                   {"3": rows['{"id": 3}'].candidates})
    cursor.execute("DROP SCHEMA handmade CASCADE")
