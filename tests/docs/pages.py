"""One page of the documentation: its blocks, executed in order. The convention stands at the top of `run`."""
import difflib
import os
import re
import shutil
import signal
import subprocess
import tempfile

TIME = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d(\.\d+)?)?( UTC|Z|[+-]\d\d(:?\d\d)?)?")
HASH = re.compile(r"\b[0-9a-f]{64}\b")
# and the entries of the log of client.md's online run, which are as many as workers and page passes made; and how many attacks a probe makes
DURATION = re.compile(r"\b\d+(\.\d+)? (ms|s|min)\b|(?<=rows per second)( +\| )\d+|(?<=run 2: )\d+(?= entries, 28 rows)|\b\d+(?= probes, )|(?<= failed, )\d+(?= skipped)")
MARK = "--- end of block ---"
SECONDS = 120


class Block:
    """A fenced block or a directive; `first` and `last` are the lines of its content in the page."""

    def __init__(self, kind, first, last, lines):
        self.kind, self.first, self.last, self.lines = kind, first, last, lines

    @property
    def text(self):
        return "\n".join(self.lines)


def blocks_of(lines):
    found, at = [], 0
    while at < len(lines):
        fence = re.match(r"(\s*)(`{3,})\s*(\w*)\s*$", lines[at])
        directive = re.match(r"<!-- docs: (.*?)\s*(-->)?$", lines[at])
        if fence:
            end = next(i for i in range(at + 1, len(lines)) if lines[i].strip() == fence.group(2))
            found.append(Block(fence.group(3), at + 1, end, [line.removeprefix(fence.group(1)) for line in lines[at + 1:end]]))
            at = end
        elif directive and directive.group(2):
            found.append(Block("docs: " + directive.group(1), at, at, []))
        elif directive:
            end = next(i for i in range(at + 1, len(lines)) if lines[i] == "-->")
            found.append(Block("docs: " + directive.group(1), at + 1, end, lines[at + 1:end]))
            at = end
        at += 1
    return found


def masked(text, tmp):
    """The text without what differs from run to run, and whether there was any of that."""
    text = text.replace(tmp, "FOLDER")
    result = DURATION.sub(lambda m: (m.group(3) or "") + "DURATION", HASH.sub("HASH", TIME.sub("TIME", text)))
    return "\n".join(line.rstrip() for line in result.splitlines()), result != text


def loose(text):
    return re.sub(r"-{2,}", "--", re.sub(r" {2,}", " ", text))


class Session:
    """A program that reads statements or commands from a pipe; `run` returns what it prints for some of them."""

    def __init__(self, command, mark, environment, folder):
        self.mark = mark
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                        env=environment, cwd=folder, start_new_session=True)

    def run(self, text):
        def too_late(*_):
            raise TimeoutError
        previous = signal.signal(signal.SIGALRM, too_late)
        signal.alarm(SECONDS)
        output = []
        try:
            self.process.stdin.write(f"{text}\n{self.mark}\n")
            self.process.stdin.flush()
            while True:
                line = self.process.stdout.readline()
                if line.rstrip("\n") == MARK:
                    break
                if not line:
                    output.append("(the session ended)\n")
                    break
                output.append(line)
        except TimeoutError:
            output.append(f"(no end after {SECONDS} s)\n")
        except BrokenPipeError:
            output.append("(the session has ended)\n")
        finally:
            signal.alarm(0)
            signal.signal(signal.SIGALRM, previous)
        return "".join(output).rstrip()

    def close(self):
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


class Page:
    def __init__(self, root, name, said, update):
        self.root, self.name, self.said, self.update = root, name, said, update
        with open(os.path.join(root, name), encoding="utf-8") as file:
            self.lines = file.read().split("\n")
        self.psql = self.shell = self.folder = None
        self.replaced = []  # (first line, last line, new lines), for --update

    def admin(self, *statements):
        arguments = [part for statement in statements for part in ("-c", statement)]
        done = subprocess.run(["psql", "-Xq", "-At", "-v", "ON_ERROR_STOP=1", "-d", "postgres", *arguments], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr)
        return done.stdout.split()

    def open(self, kind):
        """A new database and new sessions in it."""
        self.close()
        self.admin("DROP DATABASE IF EXISTS customers WITH (FORCE)", "CREATE DATABASE customers")
        scenario = os.path.join(self.root, "tests/scenarios/customers")
        environment = dict(os.environ, PGDATABASE="customers", PSQL_PAGER="", PGTZ="UTC", COLUMNS="200", SCENARIO=scenario)
        command = ["psql", "-Xq", "-v", "ON_ERROR_STOP=1", "-f", f"{scenario}/schema.sql", "-f", f"{scenario}/data.sql"]
        if kind == "customers":
            command += ["-c", "CREATE EXTENSION tenantmig"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr)
        if self.folder is None:
            self.folder = tempfile.mkdtemp(prefix="docs.", dir=os.environ.get("TENANTMIG_TMP"))
        self.psql = Session(["stdbuf", "-oL", "psql", "-X"], f"\\echo {MARK}", environment, self.folder)
        self.shell = Session(["bash", "--noprofile", "--norc"], f"{{ status=$?; echo '{MARK}'; (exit $status); }}", environment, self.folder)

    def close(self):
        for session in (self.psql, self.shell):
            if session:
                session.close()
        self.psql = self.shell = None

    def run(self):
        roles = set(self.admin("SELECT quote_ident(rolname) FROM pg_roles"))
        try:
            self.execute(blocks_of(self.lines))
        finally:
            self.close()
            self.admin("DROP DATABASE IF EXISTS customers WITH (FORCE)")
            for role in set(self.admin("SELECT quote_ident(rolname) FROM pg_roles")) - roles:
                self.admin(f"DROP ROLE {role}")
            if self.folder:
                shutil.rmtree(self.folder, ignore_errors=True)
        if self.update:
            for first, last, lines in reversed(self.replaced):
                self.lines[first:last] = lines
            with open(os.path.join(self.root, self.name), "w", encoding="utf-8") as file:
                file.write("\n".join(self.lines))

    def execute(self, blocks):
        skip = file = None
        for number, block in enumerate(blocks):
            if block.kind.startswith("docs: "):
                word, _, rest = block.kind.removeprefix("docs: ").partition(" ")
                if word == "skip":
                    skip = rest
                elif word == "file":
                    file = rest
                elif word == "database":
                    self.open(rest)
                elif word in ("sql", "shell"):
                    if self.psql is None:
                        self.open("customers")
                    self.must_work(block, "psql" if word == "sql" else "shell")
                else:
                    self.said(False, f"{self.name}:{block.first + 1}", f"unknown directive: {word}")
                continue
            if skip is not None:
                skip = None
                continue
            if self.psql is None and (file or block.kind in ("sql", "console", "sh", "yaml", "json")):
                self.open("customers")
            if file:
                with open(os.path.join(self.folder, file), "w", encoding="utf-8") as out:
                    out.write(block.text + "\n")
                file = None
            if block.kind == "sql":
                output = blocks[number + 1] if number + 1 < len(blocks) else None
                if output and output.kind == "text" and not "".join(self.lines[block.last + 1:output.first - 1]).strip():
                    self.compare(block, output.first, output.last, output.lines, self.psql.run(block.text))
                else:
                    self.must_work(block, "psql")
            elif block.kind == "console":
                self.console(block)
            elif block.kind == "sh":
                self.must_work(block, "shell")
            elif block.kind in ("yaml", "json") and re.search(r'^\W*migration\b', block.text, re.M):
                path = os.path.join(self.folder, f"block.{block.kind}")
                with open(path, "w", encoding="utf-8") as out:
                    out.write(block.text + "\n")
                self.must_work(Block("sh", block.first, block.last, [f"tenantmig validate --offline {path} >/dev/null"]), "shell")

    def must_work(self, block, session):
        if session == "psql":
            output = self.psql.run(block.text)
            good = not re.search(r"^(psql:\S+ )?(ERROR|FATAL):|\(the session|\(no end", output, re.M)
        else:
            output = self.shell.run(f"{{ {block.text}\n}}; echo \"status $?\"")
            good = output.endswith("status 0")
        if not block.kind.startswith("docs: ") or not good:
            self.said(good, f"{self.name}:{block.first + 1}", "" if good else output)

    def console(self, block):
        """Its commands one by one, each with the lines that follow it."""
        at = 0
        if not block.lines or not block.lines[0].startswith("$ "):
            self.said(False, f"{self.name}:{block.first + 1}", "a console block begins with a command")
            return
        while at < len(block.lines):
            command = [block.lines[at].removeprefix("$ ")]
            at += 1
            while at < len(block.lines) and block.lines[at].startswith("> "):
                command.append(block.lines[at].removeprefix("> "))
                at += 1
            start = at
            while at < len(block.lines) and not block.lines[at].startswith("$ "):
                at += 1
            self.compare(block, block.first + start, block.first + at, block.lines[start:at], self.shell.run("\n".join(command)))

    def compare(self, block, first, last, expected_lines, actual):
        tmp = self.folder + "/"
        expected, had = masked("\n".join(expected_lines), tmp)
        found, has = masked(actual, tmp)
        if had or has:
            expected, found = loose(expected), loose(found)
        good = expected.strip("\n") == found.strip("\n")
        what = f"{self.name}:{block.first + 1}"
        if not good and self.update:
            lines = [line.rstrip() for line in actual.replace(tmp, "").split("\n")] if actual else []
            self.replaced.append((first, last, lines))
            self.said(True, f"{what} (written: read the difference)")
            return
        diff = difflib.unified_diff(expected.split("\n"), found.split("\n"), "page", "actual", lineterm="", n=2)
        self.said(good, what, "" if good else "\n".join(diff))
