"""Rules that a script can check. Each check is a function that takes the root of a tree and yields what is wrong there.

lint.py ROOT [--tidy] prints "ok NAME" or "not ok NAME" with the findings below it. selftest.py holds, for each check, a
small tree on which it must fail.
"""
import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

LAYERS = {
    "core": {"core"},
    "bridge": {"bridge", "core"},
    "catalog": {"catalog", "bridge", "core"},
    "engine": {"engine", "catalog", "bridge", "core"},
    "steps": {"steps", "engine", "catalog", "bridge", "core"},
    "api": {"api", "steps", "engine", "catalog", "bridge", "core"},
    "guards": {"guards", "bridge", "core"},
}
SERVER_FOLDERS = r"(access|catalog|commands|common|datatype|executor|foreign|funcapi|libpq|lib|mb|nodes|optimizer|parser|" \
    r"pgstat|port|portability|postmaster|replication|rewrite|snowball|statistics|storage|tcop|tsearch|utils)"
SUITE_FOLDERS = {"bench", "boundary", "crash", "docs", "faults", "isolation", "lint", "mutants", "oracle", "run", "scenarios", "tap", "unit"}
MAX_LINES = 600
ERROR_SHARE = 7  # one assertion in so many is about an error


def files(root, *patterns):
    """Files below root that belong to the project, in a stable order."""
    found = set()
    for pattern in patterns:
        found.update(p for p in Path(root).glob(pattern) if p.is_file() and ".git" not in p.relative_to(root).parts)
    return sorted(p for p in found if not p.match("extension/tenantmig--*.sql"))


def cpp_files(root):
    return files(root, *(f"{top}/**/*.{ending}" for top in ("extension", "client", "tests") for ending in ("cpp", "hpp")))


def without_comments(sql):
    return re.sub(r"/\*.*?\*/", "", re.sub(r"--[^\n]*", "", sql), flags=re.S)


def check_layers(root):
    """Includes point one way, and PostgreSQL's headers come through bridge/ alone."""
    for path in cpp_files(root):
        parts = path.relative_to(root).parts
        if parts[:2] == ("extension", "src") and len(parts) > 3:
            layer, allowed = parts[2], LAYERS.get(parts[2])
            if allowed is None:
                yield f"{path.relative_to(root)}: there is no layer {layer}"
                continue
        elif parts[:2] == ("tests", "boundary"):
            layer, allowed = "tests", {"bridge", "core"}  # a module of its own, loaded by sql/boundary.sql
        else:
            layer, allowed = parts[0], {"core"}  # client and unit tests
        for number, line in enumerate(path.read_text().splitlines(), 1):
            include = re.match(r'\s*#\s*include\s*(["<])([^">]+)', line)
            if not include:
                continue
            quote, name = include.groups()
            where = f"{path.relative_to(root)}:{number}"
            first = name.split("/")[0]
            server = name.endswith(".h") and (
                re.match(SERVER_FOLDERS + "/", name) or name in ("postgres.h", "fmgr.h", "funcapi.h", "miscadmin.h", "pgstat.h", "varatt.h"))
            if server and layer != "bridge":
                yield f"{where}: PostgreSQL's {name} comes through bridge/ alone"
            elif quote == '"' and "/" in name and first in LAYERS and not server and first not in allowed:
                yield f"{where}: {layer} must not include {first}"


def created(root):
    """(kind, name, file) of each object that the DDL creates."""
    pattern = re.compile(
        r"^\s*CREATE\s+(?:OR\s+REPLACE\s+)?(?:UNLOGGED\s+)?(SCHEMA|TABLE|SEQUENCE|FUNCTION|PROCEDURE|AGGREGATE|VIEW|MATERIALIZED VIEW|TYPE|"
        r"DOMAIN|OPERATOR|EVENT TRIGGER)\s+(?:IF\s+NOT\s+EXISTS\s+)?([\w.\"]+)", re.I | re.M)
    for path in files(root, "extension/ddl/*.sql"):
        for kind, name in pattern.findall(without_comments(path.read_text())):
            yield kind.upper(), name.lower(), path.relative_to(root)


def ddl_text(root):
    return "\n".join(without_comments(p.read_text()) for p in files(root, "extension/ddl/*.sql"))


def check_comments(root):
    """Every SQL object has a COMMENT; of overloaded functions each has its own."""
    found = [(kind.upper(), name.lower()) for kind, name in
             re.findall(r"COMMENT\s+ON\s+([A-Z ]+?)\s+([\w.\"]+)\s*(?:\(|IS)", ddl_text(root), re.I)]
    for kind, name, path in created(root):
        if (kind, name) in found:
            found.remove((kind, name))
        else:
            yield f"{path}: {kind.lower()} {name} has no comment"


def check_revoke(root):
    """No function is for everybody: each is revoked from PUBLIC."""
    text = ddl_text(root)
    if re.search(r"ALTER\s+DEFAULT\s+PRIVILEGES\s+.*REVOKE\s+.*ON\s+(FUNCTIONS|ROUTINES)\s+FROM\s+PUBLIC", text, re.I):
        return
    found = [name.lower() for name in
             re.findall(r"REVOKE\s+(?:ALL|EXECUTE)\s+ON\s+(?:FUNCTION|PROCEDURE|ROUTINE)\s+([\w.\"]+)\s*\([^;]*?FROM\s+PUBLIC", text, re.I)]
    for kind, name, path in created(root):
        if kind not in ("FUNCTION", "PROCEDURE", "AGGREGATE"):
            continue
        if name in found:
            found.remove(name)
        else:
            yield f"{path}: {kind.lower()} {name} is not revoked from PUBLIC"


def check_version(root):
    """The version stands in the control file; everything else agrees with it."""
    root = Path(root)
    match = re.search(r"^default_version\s*=\s*'([^']+)'", (root / "extension/tenantmig.control").read_text(), re.M)
    if not match:
        yield "extension/tenantmig.control: no default_version"
        return
    version = match.group(1)
    meta = json.loads((root / "META.json").read_text())
    for what, found in (("version", meta.get("version")), ("provides.tenantmig.version", meta["provides"]["tenantmig"].get("version"))):
        if found != version:
            yield f"META.json: {what} is {found}, not {version}"
    head = re.search(r"^## \[([^\]]+)\]", (root / "CHANGELOG.md").read_text(), re.M)
    if not head or head.group(1) != version:
        yield f"CHANGELOG.md: the newest entry is {head.group(1) if head else 'missing'}, not {version}"
    client = root / "client/tenantmig"
    if client.exists():
        said = subprocess.run([client, "--version"], capture_output=True, text=True).stdout
        if version not in said.split():
            yield f"client/tenantmig --version says {said.strip()!r}, not {version}"
    for path in cpp_files(root):
        if path.relative_to(root).parts[0] != "tests" and f'"{version}"' in path.read_text():
            yield f"{path.relative_to(root)}: spells the version out; use TENANTMIG_VERSION"


def check_pairs(root):
    """Every case has its expected output, and every output its case."""
    for cases, ending, outputs in (("sql", "sql", "expected"), ("tests/isolation/specs", "spec", "tests/isolation/expected")):
        have = {p.stem for p in files(root, f"{cases}/*.{ending}")}
        expect = {p.stem for p in files(root, f"{outputs}/*.out")}
        for name in sorted(have - expect):
            yield f"{cases}/{name}.{ending} has no {outputs}/{name}.out"
        for name in sorted(expect - have):
            yield f"{outputs}/{name}.out has no {cases}/{name}.{ending}"


def check_scheduled(root):
    """Every test file is where the runner looks for it, so that none is forgotten."""
    root = Path(root)
    places = {
        "sql": r"[a-z0-9_]+\.sql", "expected": r"[a-z0-9_]+\.out", "tests/isolation/specs": r"[a-z0-9_-]+\.spec",
        "tests/isolation/expected": r"[a-z0-9_-]+\.out", "tests/tap": r"([a-z0-9_-]+\.pl|lib/\w+\.pm|data/[^/]+)", "tests/unit": r"([a-z0-9_]+\.[ch]pp|unit_tests|.*\.[od])",
    }
    for folder, pattern in places.items():
        for path in files(root, f"{folder}/**/*"):
            name = str(path.relative_to(root / folder))
            if not re.fullmatch(pattern, name):
                yield f"{path.relative_to(root)}: the runner does not look there for such a file"
    for path in sorted((root / "tests").iterdir()):
        if path.is_dir() and path.name not in SUITE_FOLDERS:
            yield f"tests/{path.name}: no suite runs what is in there"
    for path in files(root, "**/*.spec", "**/*.pl"):
        if str(path.parent.relative_to(root)) not in ("tests/isolation/specs", "tests/tap"):
            yield f"{path.relative_to(root)}: stands where no suite looks"
    runners = [p / "run" for p in sorted((root / "tests/scenarios").glob("*")) if p.is_dir()]
    runners += [p for p in (root / "tests/docs/run", root / "tests/oracle/run.py", root / "tests/lint/run", root / ".ci/run")
                if p.parent.is_dir() and any(p.parent.iterdir())]
    for runner in runners:
        if not (runner.is_file() if runner.suffix else os.access(runner, os.X_OK)):
            yield f"{runner.relative_to(root)}: missing or not executable"
    if (root / ".ci/run").exists() and "check" not in (root / ".ci/run").read_text():
        yield ".ci/run does not call make check"


def check_elog(root):
    """elog reports an internal error; what users can reach has an SQLSTATE of its own."""
    for path in files(root, "extension/**/*.cpp", "extension/**/*.hpp"):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if re.search(r"\belog\s*\(\s*(ERROR|FATAL|PANIC)", line):
                yield f"{path.relative_to(root)}:{number}: elog(ERROR); use ereport with an SQLSTATE"


def check_marks(root):
    """Nothing unfinished lands."""
    words = ["TO" + "DO", "FIX" + "ME", "HA" + "CK", "X" * 3]
    pattern = re.compile(r"\b(" + "|".join(words) + r")\b|\b(not implemented|unimplemented)\b")
    for path in files(root, "extension/**/*", "client/**/*", "tests/**/*", "sql/*", "*.mk", "Makefile"):
        if path.suffix in (".o", ".d", ".so", ".pyc") or path.name in ("tenantmig", "unit_tests") or "tests/lint/" in str(path):
            continue
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            if found := pattern.search(line):
                yield f"{path.relative_to(root)}:{number}: {found.group(0)}"


def count(pattern, text):
    return len(re.findall(pattern, text, re.M))


def check_error_share(root):
    """The unhappy path is the product: one assertion in seven is about an error. Counted by their usual shapes."""
    total = errors = 0
    for path in files(root, "expected/*.out", "tests/isolation/expected/*.out"):
        text = path.read_text(errors="replace")
        bad = count(r"^(psql:\S+ )?(ERROR|FATAL):", text) + count(r"\|\s*(FAIL|ERROR|error)\b", text)
        total += bad + count(r"^\(\d+ rows?\)", text)
        errors += bad
    for path in files(root, "tests/unit/*.cpp"):
        text = path.read_text()
        total += count(r"\b(?:(?i:expect_\w*error)|(?:EXPECT|ASSERT)_\w+)\s*\(", text)
        errors += count(r"\b(?:(?i:expect_\w*error)|(?:EXPECT|ASSERT)_(?:ANY_)?THROW)\s*\(|"
                        r"\b(?:EXPECT|ASSERT)_\w+\s*\([^;\n]*(?:sqlstate|\.state\(\)|error|fail)", text)
    for path in files(root, "tests/tap/*.pl"):
        text = path.read_text()
        total += count(r"^\s*(is|ok|like|unlike|isnt|cmp_ok|is_deeply|command_\w+|client_\w+)\s*\(?", text)
        errors += count(r"^\s*(command_fails\w*|command_exit_is|command_checks_all|client_fails)|^\s*(is|like|ok|cmp_ok)\b.*(ERROR|error|fail|refus|SQLSTATE|[^\w](0A|22|23|25|42|53|55|TM)[0-9A-Z]{3}\b)", text)
    if total and errors * ERROR_SHARE < total:
        yield f"{errors} of {total} assertions are about errors; at least one in {ERROR_SHARE} should be"


def check_length(root):
    """A file over 600 lines has more than one reason to change."""
    for path in files(root, "extension/**/*", "client/**/*", "tests/**/*", "sql/*.sql", "Makefile", "*.mk"):
        if path.suffix not in (".cpp", ".hpp", ".sql", ".pl", ".pm", ".py", ".sh", ".mk", ".spec", "") or path.name in ("tenantmig", "unit_tests"):
            continue
        lines = path.read_text(errors="replace").count("\n")
        if lines > MAX_LINES:
            yield f"{path.relative_to(root)}: {lines} lines, at most {MAX_LINES}"


def check_format(root):
    """C++ is laid out by clang-format 14; `make format` does it."""
    paths = cpp_files(root)
    if not paths:
        return
    done = subprocess.run(["clang-format-14", "--dry-run", "-Werror", *paths], capture_output=True, text=True)
    wrong = {}
    for line in done.stderr.splitlines():
        if found := re.match(r"(.+?):(\d+):\d+: error:", line):
            wrong.setdefault(found.group(1), []).append(found.group(2))
    for path, lines in wrong.items():
        yield f"{os.path.relpath(path, root)}: {len(lines)} places, the first in line {lines[0]}; make format"
    if done.returncode != 0 and not wrong:
        yield done.stderr.strip()


def check_tidy(root):
    """clang-tidy, with the exclusions of .clang-tidy."""
    def config(what):
        return subprocess.run([os.environ.get("PG_CONFIG", "pg_config"), what], capture_output=True, text=True).stdout.strip()

    flags = ["-std=c++20", f"-I{root}/extension/src", f"-I{root}/client/src", f"-I{root}/tests/unit", "-DTENANTMIG_VERSION=\"0\"",
             "-DPGDLLEXPORT=__attribute__((visibility(\"default\")))", "-Wno-register"]
    server = ["-isystem", config("--includedir-server")]
    client = ["-isystem", config("--includedir")]

    def tidy(path):
        pure = "src/core" in str(path) or not ("extension/src" in str(path) or "tests/boundary" in str(path))
        return subprocess.run(["clang-tidy-14", "--quiet", str(path), "--", *flags, *(client if pure else server)],
                              capture_output=True, text=True).stdout

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        findings = set()
        for output in pool.map(tidy, [p for p in cpp_files(root) if p.suffix == ".cpp"]):
            findings.update(line for line in output.splitlines() if re.search(r": (warning|error): ", line))
    yield from sorted(findings)


CHECKS = [check_layers, check_comments, check_revoke, check_version, check_pairs, check_scheduled, check_elog, check_marks,
          check_error_share, check_length, check_format]


def main():
    root = Path(sys.argv[1]).resolve()
    failed = False
    for check in CHECKS + ([check_tidy] if "--tidy" in sys.argv else []):
        findings = list(check(root))
        failed = failed or bool(findings)
        print(f"{'not ok' if findings else 'ok'} {check.__name__.removeprefix('check_')}")
        for finding in findings[:40]:
            print(f"    {finding}")
        if len(findings) > 40:
            print(f"    and {len(findings) - 40} more")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
