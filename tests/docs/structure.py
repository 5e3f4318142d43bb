"""What holds between the pages: links, paths, and that lists of things are whole."""
import os
import re


def anchor(heading):
    """As GitHub makes it."""
    text = re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
    return re.sub(r" ", "-", re.sub(r"[^\w\- ]", "", text))


def without_blocks(text):
    return re.sub(r"^\s*(`{3,})[^`]*?^\s*\1\s*$", "", text, flags=re.M | re.S)


def anchors(path):
    with open(path, encoding="utf-8") as file:
        return {anchor(line.lstrip("# ")) for line in without_blocks(file.read()).splitlines() if line.startswith("#")}


def broken_links(root, name):
    with open(os.path.join(root, name), encoding="utf-8") as file:
        text = without_blocks(file.read())
    for target in re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:src|href)="([^"]+)"', text):
        if re.match(r"https?://|mailto:", target):
            continue
        path, _, fragment = target.partition("#")
        full = os.path.normpath(os.path.join(root, os.path.dirname(name), path)) if path else os.path.join(root, name)
        if not os.path.exists(full):
            yield f"{target}: there is no such file"
        elif fragment and full.endswith(".md") and fragment not in anchors(full):
            yield f"{target}: there is no such heading"
    for path in re.findall(r"`((?:tests|extension|client|docs|sql|expected)/[\w./-]+)`", text):
        placeholder = re.search(r"/[A-Z]+(/|$)", path)
        if not placeholder and not os.path.exists(os.path.join(root, path)):
            yield f"`{path}`: there is no such file"


def check(root, names, said):
    for name in [*names, "CONTRIBUTING.md", "CHANGELOG.md"]:
        findings = sorted(set(broken_links(root, name)))
        said(not findings, f"{name}: links and paths", "\n".join(findings))

    with open(os.path.join(root, "docs/README.md"), encoding="utf-8") as file:
        index = file.read()
    missing = [name for name in names if name.startswith("docs/") and name != "docs/README.md" and f"]({name.removeprefix('docs/')})" not in index]
    said(not missing, "docs/README.md names every page", "\n".join(missing))

    with open(os.path.join(root, "extension/src/core/error.hpp"), encoding="utf-8") as file:
        states = set(re.findall(r'char \w+\[\] = "(\w{5})"', file.read()))
    with open(os.path.join(root, "docs/errors.md"), encoding="utf-8") as file:
        explained = set(re.findall(r"^\|\s*`(\w{5})`", file.read(), re.M))
    wrong = [f"{state} is not explained" for state in sorted(states - explained)]
    wrong += [f"{state} is no SQLSTATE of extension/src/core/error.hpp" for state in sorted(explained - states)]
    said(not wrong, "docs/errors.md has every SQLSTATE", "\n".join(wrong))
