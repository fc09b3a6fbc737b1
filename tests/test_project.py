"""What holds for the whole repository: sizes, settings, migrations, doors, papers."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from django.core.management import call_command
from django.template.loader import get_template
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.urls.converters import get_converters
from django.urls.resolvers import RegexPattern

ROOT = Path(__file__).resolve().parent.parent
NOT_OURS = re.compile(r"var/|(?:.*/)?\.(?!ci/)[^/]*/|.*__pycache__/|static/vendor/")
TEXTS = {".py", ".html", ".md", ".toml", ".txt", ".css", ".js", ".sh", ".yml", ""}

FILE_LINES, TEST_FILE_LINES, FUNCTION_LINES = 400, 450, 60
LONGER_FILES = {
    "providers/types.py": "the words of all wires, one dataclass after another",
}

# Read by our own processes, or by tests; nothing an operator sets.
INNER_VARIABLES = {"SMSDASH_CLUSTER_ID", "SMSDASH_STOP_FD", "SMSDASH_STALLED_AFTER"}


def repository(*suffixes: str) -> list[Path]:
    found = (path for path in _files() if not NOT_OURS.match(name(path)))
    return sorted(path for path in found if path.suffix in suffixes)


@cache
def _files() -> tuple[Path, ...]:
    places = (place for place in ROOT.iterdir() if not NOT_OURS.match(f"{place.name}/"))
    inside = (path for place in places for path in (place.rglob("*") if place.is_dir() else [place]))
    return tuple(path for path in inside if path.is_file())


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def text(path: str) -> str:
    return (ROOT / path).read_text()


# --- Source --------------------------------------------------------------------------------------------------


def test_files_can_be_read_in_one_sitting() -> None:
    long = {name(path): path.read_text().count("\n") for path in repository(".py", ".html", ".js")}
    too_long = {path: lines for path, lines in long.items() if lines > _lines_allowed(path)}
    assert {path: lines for path, lines in too_long.items() if path not in LONGER_FILES} == {}


def test_the_styles_stay_small() -> None:
    assert sum(path.read_text().count("\n") for path in repository(".css")) <= 500


def _lines_allowed(path: str) -> int:
    return TEST_FILE_LINES if path.startswith("tests/") else FILE_LINES


def test_functions_can_be_read_at_a_glance() -> None:
    long = [
        f"{name(path)}: {node.name}"
        for path in repository(".py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno >= FUNCTION_LINES
    ]
    assert long == []


def test_nothing_reads_the_clock_while_it_is_imported() -> None:
    """A server is imported days before, a test many minutes before its line runs: midnight may come between."""
    clock = re.compile(r"\b(now|today|localdate|localtime|time\.time)$")
    early = [
        f"{name(path)}:{call.lineno}"
        for path in repository(".py")
        for call in _calls_of_an_import(ast.parse(path.read_text()))
        if clock.search(ast.unparse(call.func))
    ]
    assert early == []


def _calls_of_an_import(node: ast.AST) -> Iterator[ast.Call]:
    """Every call outside of the bodies of functions."""
    if isinstance(node, ast.Call):
        yield node
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            for part in (child.args, *child.decorator_list):
                yield from _calls_of_an_import(part)
        elif not isinstance(child, ast.Lambda):
            yield from _calls_of_an_import(child)


def test_nothing_is_left_from_the_workbench() -> None:
    """No marks of unfinished work, no paths of one machine, no conflict marks."""
    left = re.compile(
        r"\b(TO" + r"DO|FIX" + r"ME|X" + r"XX)\b|/(?:work|root)/\w|^[<>]{7} |\bpdb\.set_trace|\bbreakpoint\(", re.M
    )
    found = [(name(path), match[0]) for path in repository(*TEXTS) if (match := left.search(_readable(path)))]
    assert found == []


def _readable(path: Path) -> str:
    return path.read_bytes().decode(errors="replace")


def test_requirements_are_pinned() -> None:
    lines = (text("requirements.txt") + text("requirements-dev.txt")).split("\n")
    loose = [line for line in lines if line and not re.fullmatch(r"-r requirements.txt|[\w.\[\]-]+==[\w.]+", line)]
    assert loose == ["Django>=5.2.19,<5.3"]  # every release of a long-term version is a security fix


# --- Templates -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [name(path) for path in repository(".html") if name(path).startswith("templates/")])
def test_a_template_can_be_compiled(path: str) -> None:
    get_template(path.removeprefix("templates/"))


def test_templates_hold_neither_script_nor_style() -> None:
    """The content security policy refuses both."""
    inline = re.compile(
        r"<style|\sstyle\s*=|\son[a-z]+\s*=|<script(?![^>]*\bsrc=)(?![^>]*application/json)|javascript:", re.I
    )
    found = [
        (name(path), number, line.strip())
        for path in repository(".html")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if inline.search(line)
    ]
    assert found == []


def test_pages_load_nothing_from_elsewhere() -> None:
    outside = re.compile(
        r"""(?:src|srcset|action)\s*=\s*["'](?:https?:)?//|<link[^>]*href\s*=\s*["'](?:https?:)?//|@import|url\(\s*["']?https?:"""
    )
    assert [name(path) for path in repository(".html", ".css") if outside.search(path.read_text())] == []


# --- Django --------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_no_migration_is_missing() -> None:
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


# Left to the proxy in front: the redirect to HTTPS, and what else the domain promises.
THE_PROXYS = {"security.W005", "security.W008", "security.W021"}


def test_a_deployment_behind_https_has_nothing_to_complain_of(installation: dict[str, str]) -> None:
    environment = installation | {"SMSDASH_HTTPS": "1"}
    command = [sys.executable, "manage.py", "check", "--deploy"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert set(re.findall(r"\((\w+\.\w+)\)", done.stderr)) == THE_PROXYS


OPEN_TO_ALL = ("/healthz", "/readyz", "/metrics", "/login/", "/logout/")
OWN_KEYS = ("/callbacks/", "/services/", "/sms_system/", "/api.php", "/v1/", "/api-v2/", "/sandbox/", "/admin/")
SAMPLES = {"int": "1", "str": "x", "slug": "x", "uuid": "00000000-0000-0000-0000-000000000001", "path": "x"}


def paths(resolver: URLResolver | None = None, before: str = "/") -> Iterator[str]:
    """Every path the project answers on, with a sample where a variable stands."""
    for entry in (resolver or get_resolver()).url_patterns:
        here = before + _sample(entry)
        if isinstance(entry, URLResolver):
            yield from paths(entry, here)
        else:
            yield here


def _sample(entry: URLPattern | URLResolver) -> str:
    kinds = {type(converter): kind for kind, converter in get_converters().items()}
    route = str(entry.pattern)
    if isinstance(entry.pattern, RegexPattern):  # of which only those are used that match one text, or what begins so
        return re.sub(r"\\(.)", r"\1", route.strip("^$"))
    for variable, converter in entry.pattern.converters.items():
        route = re.sub(rf"<(\w+:)?{variable}>", SAMPLES.get(kinds[type(converter)], "1"), route)
    return route


@pytest.mark.django_db
@pytest.mark.parametrize("method", ["get", "post"])
def test_every_page_asks_who_you_are(client: Client, method: str) -> None:
    open_to_strangers = {}
    for path in paths():
        if path.startswith(OWN_KEYS + OPEN_TO_ALL):
            continue
        reply = getattr(client, method)(path)
        asked = reply.status_code == 302 and reply["Location"].startswith("/login/")
        if not asked and reply.status_code not in (401, 403, 405):
            open_to_strangers[path] = reply.status_code
    assert open_to_strangers == {}


@pytest.mark.django_db
def test_every_page_refuses_a_person_without_rights(client: Client, django_user_model: type) -> None:
    client.force_login(django_user_model.objects.create_user("guest"))
    pages = [path for path in paths() if not path.startswith(OWN_KEYS + OPEN_TO_ALL)]
    assert [path for path in pages if client.get(path).status_code == 200] == ["/"]
    assert "smsdash/welcome.html" in [template.name for template in client.get("/").templates]


@pytest.mark.django_db
def test_nobody_makes_themselves_an_account(client: Client, django_user_model: type) -> None:
    fields = {"username": "me", "password1": "correct-horse-battery", "password2": "correct-horse-battery"}
    for path in paths():
        if "signup" in path:
            client.post(path, fields)
    assert django_user_model.objects.count() == 0


# --- Papers --------------------------------------------------------------------------------------------------


def test_the_readme_names_every_script() -> None:
    readme = text("README.md")
    scripts = [f"script/{path.name}" for path in (ROOT / "script").iterdir() if os.access(path, os.X_OK)]
    assert [script for script in scripts if script not in readme] == []


def test_every_variable_is_explained() -> None:
    read = re.compile(r"""(?:env\.\w+\(|environ\.get\(|environ\[)\s*"([A-Z_]+)\"""")
    sources = [path for path in repository(".py") if not name(path).startswith(("tests/", "manage.py", "bench/"))]
    variables = {found for path in sources for found in read.findall(path.read_text())} - INNER_VARIABLES
    assert {variable for variable in variables if f"`{variable}" not in text("docs/deploy.md")} == set()


def test_every_link_in_the_papers_leads_somewhere() -> None:
    link = re.compile(r"\]\((?!https?:|#|mailto:)([^)#]+)")
    dead = [
        (name(path), target)
        for path in repository(".md")
        for target in link.findall(path.read_text())
        if not (path.parent / target).exists()
    ]
    assert dead == []
