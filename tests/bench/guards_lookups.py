"""Guards that look at other rows: what tenant_key and same_tenant add to the insert of rows, beside a trigger in PL/pgSQL
of the same logic and beside a foreign key. Few parents, which a statement comes back to, and many."""
import statistics

from harness import psql
from tables import table

DATABASE = "guards_lookups"
PREPARE = """
CREATE EXTENSION tenantmig;
CREATE TABLE companies (id integer PRIMARY KEY);
INSERT INTO companies SELECT generate_series(1, 1000);
CREATE TABLE branches (id integer PRIMARY KEY, company_id integer NOT NULL REFERENCES companies, name text, UNIQUE (id, company_id));
INSERT INTO branches SELECT n, 1 + n % 1000, 'branch ' || n FROM generate_series(1, {parents}) n;
CREATE UNLOGGED TABLE source AS SELECT n AS id, (1 + n::bigint * 7919 % {parents})::integer AS branch_id, repeat('x', 40) AS note FROM generate_series(1, {rows}) n;
CREATE FUNCTION same_tenant() RETURNS trigger LANGUAGE plpgsql AS $$ DECLARE tenant integer; BEGIN
  IF NEW.branch_id IS NULL THEN RETURN NULL; END IF;
  SELECT b.company_id INTO tenant FROM branches b WHERE b.id = NEW.branch_id FOR KEY SHARE;
  IF FOUND AND tenant IS DISTINCT FROM NEW.company_id THEN
    RAISE EXCEPTION 'company % is not that of branch %', NEW.company_id, NEW.branch_id USING ERRCODE = '23514';
  END IF;
  RETURN NULL; END $$;
CREATE FUNCTION tenant_key() RETURNS trigger LANGUAGE plpgsql AS $$ DECLARE tenant integer; BEGIN
  SELECT b.company_id INTO tenant FROM branches b WHERE b.id = NEW.branch_id;
  IF NEW.company_id IS NULL THEN
    IF tenant IS NOT NULL AND EXISTS (SELECT FROM companies c WHERE c.id = tenant) THEN NEW.company_id = tenant; END IF;
  ELSIF tenant IS DISTINCT FROM NEW.company_id THEN
    RAISE EXCEPTION 'company % is not that of branch %', NEW.company_id, NEW.branch_id USING ERRCODE = '23514';
  END IF;
  RETURN NEW; END $$;
"""
FOREIGN_KEYS = "ALTER TABLE target ADD FOREIGN KEY (branch_id) REFERENCES branches, ADD FOREIGN KEY (company_id) REFERENCES companies"
# The plain form finds parents by the foreign keys; they stand aside so that only the guard is measured.
GUARD = FOREIGN_KEYS + "; ALTER TABLE target DISABLE TRIGGER ALL; CREATE TRIGGER g {} ON target FOR EACH ROW EXECUTE FUNCTION {}"
VARIANTS = {  # name: (statement that prepares the table, whether rows come with their key)
    "none": ("", True),
    "none, no key": ("", False),
    "foreign key": ("ALTER TABLE target ADD FOREIGN KEY (branch_id) REFERENCES branches", True),
    "same_tenant": (GUARD.format("AFTER INSERT OR UPDATE", "tenantmig.guard_same_tenant('company_id', 'branch_id')"), True),
    "same_tenant in PL/pgSQL": ("CREATE TRIGGER g AFTER INSERT OR UPDATE ON target FOR EACH ROW EXECUTE FUNCTION same_tenant()", True),
    "tenant_key fill": (GUARD.format("BEFORE INSERT OR UPDATE", "tenantmig.guard_tenant_key('company_id', 'fill', 'branch_id')"), False),
    "fill in PL/pgSQL": ("CREATE TRIGGER g BEFORE INSERT OR UPDATE ON target FOR EACH ROW EXECUTE FUNCTION tenant_key()", False),
    "tenant_key reject": (GUARD.format("BEFORE INSERT OR UPDATE", "tenantmig.guard_tenant_key('company_id', 'reject', 'branch_id')"), True),
    "reject in PL/pgSQL": ("CREATE TRIGGER g BEFORE INSERT OR UPDATE ON target FOR EACH ROW EXECUTE FUNCTION tenant_key()", True),
}
COMPARED = {"same_tenant": "same_tenant in PL/pgSQL", "tenant_key fill": "fill in PL/pgSQL", "tenant_key reject": "reject in PL/pgSQL"}


def seconds(keyed):
    key = "1 + branch_id % 1000" if keyed else "NULL::integer"
    return float(psql(DATABASE, "CREATE TEMP TABLE began AS SELECT clock_timestamp() AS at",
                      f"INSERT INTO target SELECT id, {key}, branch_id, note FROM source",
                      "SELECT extract(epoch FROM clock_timestamp() - at) FROM began").split()[-1])


def inserts(options, figures, parents):
    psql("postgres", f"DROP DATABASE IF EXISTS {DATABASE}", f"CREATE DATABASE {DATABASE}")
    psql(DATABASE, PREPARE.format(rows=options.rows, parents=parents), "VACUUM (ANALYZE)")
    samples = {name: [] for name in VARIANTS}
    for number in range(options.rounds):
        for name, (guard, keyed) in VARIANTS.items():
            psql(DATABASE, "DROP TABLE IF EXISTS target", "CREATE TABLE target (id integer, company_id integer, branch_id integer, note text)")
            if guard:
                psql(DATABASE, guard)
            psql(DATABASE, "CHECKPOINT")
            samples[name].append(seconds(keyed))
        print(f"guards: round {number + 1}, {parents} parents: " + ", ".join(f"{name} {s[-1]:.2f} s" for name, s in samples.items()))
    median = {name: statistics.median(values) for name, values in samples.items()}
    added = {name: median[name] - median["none" if VARIANTS[name][1] else "none, no key"] for name in VARIANTS}
    rows = [(f"insert of {options.rows} rows, {parents} parents", "seconds", "added, us a row", "of PL/pgSQL", "of a foreign key")]
    for name in VARIANTS:
        other = COMPARED.get(name)
        rows.append((name, f"{median[name]:.2f}", f"{added[name] / options.rows * 1e6:.2f}",
                     f"{added[name] / added[other]:.2f}" if other else "", f"{added[name] / added['foreign key']:.2f}" if other else ""))
        if other:
            for what, against, limit in ((other, added[other], 0.5), ("a foreign key", added["foreign key"], 1.0)):
                figures.add(f"time added by {name}, {parents} parents, against {what}", f"{added[name]:.2f} s, {against:.2f} s", added[name] / against, limit)
    print("\n" + table(rows) + "\n")


def measure(options, figures):
    for parents in (1000, 100000):
        inserts(options, figures, parents)
    psql("postgres", f"DROP DATABASE {DATABASE}")
