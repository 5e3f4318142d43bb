"""Tests of the checks: for each one a small tree on which it passes, and changes to it on which it must fail."""
import sys
import tempfile
from pathlib import Path

import lint

# A tree that every check passes.
GOOD = {
    "extension/tenantmig.control": "default_version = '1.2.3'\n",
    "extension/ddl/00-schema.sql": "CREATE SCHEMA tenantmig;\nCOMMENT ON SCHEMA tenantmig IS 'x';\n"
    "CREATE FUNCTION tenantmig.f(a integer) RETURNS text LANGUAGE sql AS 'SELECT 1';\n"
    "COMMENT ON FUNCTION tenantmig.f(integer) IS 'x';\nREVOKE ALL ON FUNCTION tenantmig.f(integer) FROM PUBLIC;\n",
    "extension/src/bridge/pg.hpp": "#pragma once\n#include \"postgres.h\"\n",
    "extension/src/engine/run.cpp": "#include \"bridge/pg.hpp\"\n#include \"core/a.hpp\"\n",
    "extension/src/core/a.hpp": "#pragma once\n#include <string>\n",
    "META.json": '{"version": "1.2.3", "provides": {"tenantmig": {"version": "1.2.3"}}}\n',
    "CHANGELOG.md": "# Changelog\n\n## [1.2.3] - 2026-01-01\n\n## [1.2.2] - 2025-01-01\n",
    ".ci/run": "#!/bin/sh\nmake check\n",
    ".clang-format": "BasedOnStyle: LLVM\n",
    "sql/a.sql": "SELECT 1;\n",
    "expected/a.out": "(1 row)\nERROR:  no\n",
    "tests/lint/run": "#!/bin/sh\n",
    "tests/isolation/specs/b.spec": "x\n",
    "tests/isolation/expected/b.out": "(1 row)\n",
    "tests/unit/a.cpp": "#include \"core/a.hpp\"\n",
}

# (check, what is changed in the good tree (None removes a file), a part of the finding)
BAD = [
    ("layers", {"extension/src/core/a.hpp": '#pragma once\n#include "postgres.h"\n'}, "through bridge"),
    ("layers", {"extension/src/core/a.hpp": '#pragma once\n#include "utils/rel.h"\n'}, "through bridge"),
    ("layers", {"extension/src/core/a.hpp": '#pragma once\n#include "bridge/pg.hpp"\n'}, "core must not include bridge"),
    ("layers", {"extension/src/catalog/a.cpp": '#include "engine/b.hpp"\n'}, "catalog must not include engine"),
    ("layers", {"extension/src/engine/run.cpp": '#include "catalog/pg_type.h"\n'}, "through bridge"),
    ("layers", {"extension/src/guards/a.cpp": '#include "engine/b.hpp"\n'}, "guards must not include engine"),
    ("layers", {"client/src/a.cpp": '#include "bridge/pg.hpp"\n'}, "client must not include bridge"),
    ("layers", {"tests/unit/a.cpp": '#include "engine/a.hpp"\n'}, "tests must not include engine"),
    ("layers", {"extension/src/extra/a.cpp": "\n"}, "no layer extra"),
    ("comments", {"extension/ddl/10.sql": "CREATE VIEW tenantmig.v AS SELECT 1;\n"}, "view tenantmig.v has no comment"),
    ("comments", {"extension/ddl/10.sql": "CREATE FUNCTION tenantmig.f(b text) RETURNS text;\n"}, "function tenantmig.f has no comment"),
    ("comments", {"extension/ddl/10.sql": "CREATE SEQUENCE tenantmig.s;\n-- COMMENT ON SEQUENCE tenantmig.s IS 'x';\n"}, "sequence tenantmig.s"),
    ("revoke", {"extension/ddl/10.sql": "CREATE FUNCTION tenantmig.g() RETURNS text;\n"}, "tenantmig.g is not revoked"),
    ("revoke", {"extension/ddl/10.sql": "CREATE PROCEDURE tenantmig.p() LANGUAGE sql;\nREVOKE ALL ON PROCEDURE tenantmig.p() FROM x;\n"}, "tenantmig.p is not"),
    ("revoke", {"extension/ddl/10.sql": "CREATE FUNCTION tenantmig.f(b text) RETURNS text;\n"}, "tenantmig.f is not revoked"),
    ("version", {"extension/tenantmig.control": "default_version = '1.2.4'\n"}, "not 1.2.4"),
    ("version", {"extension/tenantmig.control": "comment = 'x'\n"}, "no default_version"),
    ("version", {"META.json": '{"version": "1.2.3", "provides": {"tenantmig": {"version": "1.2.2"}}}\n'}, "provides.tenantmig.version"),
    ("version", {"CHANGELOG.md": "## [1.2.2] - 2025-01-01\n"}, "CHANGELOG.md"),
    ("version", {"client/src/a.cpp": 'const char *v = "1.2.3";\n'}, "spells the version out"),
    ("version", {"client/tenantmig": "#!/bin/sh\necho tenantmig 1.2.2\n"}, "--version says"),
    ("pairs", {"sql/b.sql": "SELECT 1;\n"}, "has no expected/b.out"),
    ("pairs", {"expected/b.out": "\n"}, "has no sql/b.sql"),
    ("pairs", {"tests/isolation/expected/b.out": None}, "has no tests/isolation/expected/b.out"),
    ("scheduled", {"sql/sub/b.sql": "SELECT 1;\n"}, "does not look there"),
    ("scheduled", {"tests/tap/crash.t": "x\n"}, "does not look there"),
    ("scheduled", {"tests/crash.pl": "x\n"}, "stands where no suite looks"),
    ("scheduled", {"tests/fuzz/run": "x\n"}, "no suite runs"),
    ("scheduled", {"tests/scenarios/x/schema.sql": "x\n"}, "tests/scenarios/x/run: missing"),
    ("scheduled", {"tests/docs/example.py": "x\n"}, "tests/docs/run: missing"),
    ("scheduled", {".ci/run": "#!/bin/sh\nmake all\n"}, ".ci/run does not call"),
    ("elog", {"extension/src/bridge/a.cpp": 'elog(ERROR, "no");\n'}, "elog(ERROR)"),
    ("elog", {"extension/src/bridge/a.hpp": 'elog (PANIC, "no");\n'}, "elog(ERROR)"),
    ("marks", {"client/src/a.cpp": "// TO" + "DO: later\n"}, "client/src/a.cpp:1"),
    ("marks", {"sql/a.sql": "SELECT 1; -- FIX" + "ME\n"}, "sql/a.sql:1"),
    ("marks", {"extension/src/api/a.cpp": 'throw "not implemented";\n'}, "not implemented"),
    ("error_share", {"expected/a.out": "(1 row)\n" * 7}, "0 of 8"),
    ("error_share", {"tests/unit/a.cpp": "EXPECT_EQ(1, 1);\n" * 20}, "1 of 23"),
    ("length", {"client/src/a.cpp": "\n" * 601}, "601 lines"),
    ("length", {"tests/oracle/a.py": "\n" * 601}, "601 lines"),
    ("format", {"client/src/a.cpp": "int  main( ){return 0 ;}\n"}, "make format"),
]


def findings(check, tree):
    with tempfile.TemporaryDirectory() as root:
        for name, content in tree.items():
            if content is None:
                continue
            path = Path(root, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
            if content.startswith("#!"):
                path.chmod(0o755)
        return list(getattr(lint, f"check_{check}")(Path(root)))


def main():
    problems = []
    for check in lint.CHECKS:
        name = check.__name__.removeprefix("check_")
        if found := findings(name, GOOD):
            problems.append(f"{name} finds fault with the good tree: {found}")
        if not any(name == bad[0] for bad in BAD):
            problems.append(f"{name} has no tree on which it must fail")
    for name, change, part in BAD:
        found = findings(name, {**GOOD, **change})
        if not any(part in finding for finding in found):
            problems.append(f"{name} misses {list(change)}: expected {part!r}, found {found}")
    print(f"{'not ok' if problems else 'ok'} the checks fail where they should ({len(BAD)} trees)")
    for problem in problems:
        print(f"    {problem}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
