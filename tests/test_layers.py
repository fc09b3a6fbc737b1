"""Imports point down: house rules, judged from the source itself, also inside functions."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

MAY_IMPORT: dict[str, set[str]] = {
    "providers": set(),
    "contacts": {"providers"},
    "devices": {"providers"},
    "sandbox": {"providers"},
    "messaging": {"providers", "contacts", "devices"},
    "api": {"providers", "contacts", "devices", "messaging"},
    "smsdash": {"providers", "contacts", "devices", "messaging", "api", "sandbox"},
}

# Within providers, from the ground up; what is not named here stands above them all.
_FLOORS = "types errors wire signing redaction watchdog transport phones base serving words adapters registry"
FLOORS = tuple(_FLOORS.split())
PLAIN = FLOORS[:-1]  # know no Django

# Apps whose tasks a string may name: django-q2 finds a task by its path.
TASK_PATH = re.compile(r"(\w+)\.tasks\.\w+")


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def files(app: str) -> list[Path]:
    return sorted((ROOT / app).rglob("*.py"))


def module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and absolute name of every module, or name in a module, that the file imports."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = path.relative_to(ROOT).parent.parts
                base = ".".join((*package[: len(package) - node.level + 1], *([base] if base else ())))
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)


def constants(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


def where(path: Path, line: int, what: str) -> str:
    return f"{path.relative_to(ROOT)}:{line}: {what}"


def floor(name: str) -> int:
    """How high a module of providers stands."""
    part = (name.split(".") + [""])[1]
    return FLOORS.index(part) if part in FLOORS else len(FLOORS)


@pytest.mark.parametrize("app", MAY_IMPORT)
def test_an_app_imports_only_what_stands_below_it(app: str) -> None:
    above = set(MAY_IMPORT) - MAY_IMPORT[app] - {app}
    wrong = [
        where(path, line, name) for path in files(app) for line, name in imports(path) if name.split(".")[0] in above
    ]
    assert wrong == []


@pytest.mark.parametrize("app", [app for app in MAY_IMPORT if app != "smsdash"])
def test_no_string_hides_an_upward_call(app: str) -> None:
    above = set(MAY_IMPORT) - MAY_IMPORT[app] - {app}
    dotted = re.compile(rf"({'|'.join(sorted(above))})\.[a-z_][\w.]*")
    names = {module(path) for other in above for path in files(other)}
    wrong = [
        where(path, line, text)
        for path in files(app)
        for line, text in constants(path)
        if dotted.fullmatch(text) and ".".join(text.split(".")[:2]) in names
    ]
    assert wrong == []


@pytest.mark.parametrize("app", MAY_IMPORT)
def test_a_task_is_named_in_its_own_app_only(app: str) -> None:
    found = [
        where(path, line, text)
        for path in files(app)
        for line, text in constants(path)
        if (match := TASK_PATH.fullmatch(text)) and match[1] in MAY_IMPORT and match[1] != app
    ]
    assert found == []


def test_providers_stand_on_their_floors() -> None:
    wrong = [
        where(path, line, name)
        for path in files("providers")
        for line, name in imports(path)
        if name.startswith("providers.") and floor(name) > floor(module(path))
    ]
    assert wrong == []


def test_wires_know_no_django() -> None:
    wrong = [
        where(path, line, name)
        for path in files("providers")
        if floor(module(path)) < len(PLAIN) and module(path) != "providers"
        for line, name in imports(path)
        if name.split(".")[0] == "django"
    ]
    assert wrong == []


def test_adapters_do_not_import_each_other() -> None:
    kinds = {path.stem for path in files("providers/adapters")}
    wrong = [
        where(path, line, name)
        for path in files("providers/adapters")
        for line, name in imports(path)
        if name.startswith("providers.adapters.") and name.split(".")[2] in kinds - {path.stem}
    ]
    assert wrong == []


def test_nobody_asks_for_a_kind_by_name() -> None:
    """Ask what it supports instead: then a fifth provider is one file."""
    outside = [path for app in MAY_IMPORT for path in files(app) if "adapters" not in path.parts]
    wrong = [
        where(path, node.lineno, ast.unparse(node))
        for path in outside
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Compare | ast.Match) and _names_a_kind(node)
    ]
    assert wrong == []


def _names_a_kind(node: ast.Compare | ast.Match) -> bool:
    """``account.kind == "…"``, ``kind in ("…", "…")``, ``match kind``; a kind's own name anywhere counts as well."""
    asked = [node.subject] if isinstance(node, ast.Match) else [node.left, *node.comparators]
    about_kind = any(isinstance(item, ast.Name | ast.Attribute) and _last_name(item) == "kind" for item in asked)
    texts = {part.value for item in asked for part in ast.walk(item) if isinstance(part, ast.Constant)}
    texts &= {text for text in texts if isinstance(text, str) and text}
    kinds = {path.stem for path in files("providers/adapters")} - {"__init__"}
    return about_kind and bool(texts or isinstance(node, ast.Match)) or bool(texts & kinds)


def _last_name(node: ast.Name | ast.Attribute) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr


def test_templates_do_not_ask_for_a_kind_by_name() -> None:
    asked = re.compile(r"""\bkind\s*(==|!=|in)\s*["']""")
    found = [
        where(path, number, line.strip())
        for path in sorted((ROOT / "templates").rglob("*.html"))
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if asked.search(line)
    ]
    assert found == []
