"""What every test can rely on: its database, its browser, its processes, and no way out of this machine."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import hypothesis
import psycopg
import pytest
import time_machine
from django.conf import settings
from django.core.cache import cache
from django.test import Client, TransactionTestCase
from playwright.sync_api import Browser, Page, expect, sync_playwright
from pytest_django.live_server_helper import LiveServer

from messaging import wakeup
from providers.models import ProviderAccount
from tests import network
from tests.base import account
from tests.server import free_port

ROOT = Path(__file__).resolve().parent.parent
PREPARE = """
import os
os.environ["DJANGO_SETTINGS_MODULE"] = "smsdash.settings"
import django
django.setup()
from smsdash import setup
setup._database(print)
setup._static_files(print)
"""
DATABASE_FIXTURES = {"db", "transactional_db"}
CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
]


# How long an example takes on a busy machine is no matter of these tests. Each run tries the same ones: new ones are
# looked for with --hypothesis-profile=thorough. What fixtures keep from one example to the next is each test's matter.
CHECKS = [hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.function_scoped_fixture]
AT_LEISURE = {"deadline": None, "suppress_health_check": CHECKS}
hypothesis.settings.register_profile("smsdash", **AT_LEISURE, max_examples=50, derandomize=True)
hypothesis.settings.register_profile("thorough", **AT_LEISURE, max_examples=2_000)
hypothesis.settings.load_profile("smsdash")


def pytest_configure(config: pytest.Config) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    database = settings.DATABASES["default"]
    if database["ENGINE"].endswith("sqlite3"):
        command = database["OPTIONS"]["init_command"]
        database["OPTIONS"]["init_command"] = command.replace("synchronous=FULL", "synchronous=OFF")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On PostgreSQL, only what can come out differently there: tests with a database or with real processes. Those that
    take longest come first, so that no worker is left with one at the end."""
    wanted = _on_postgresql if config.getoption("postgres") else _on_sqlite
    dropped = [item for item in items if not wanted(item)]
    config.hook.pytest_deselected(items=dropped)
    gone = set(dropped)
    items[:] = sorted((item for item in items if item not in gone), key=_rank)


def _on_sqlite(item: pytest.Item) -> bool:
    return item.get_closest_marker("machines") is None


def _on_postgresql(item: pytest.Item) -> bool:
    return not (item.get_closest_marker("browser") or item.get_closest_marker("once")) and _touches_database(item)


def _rank(item: pytest.Item) -> int:
    """Files stay together, with the processes and the browsers that they share."""
    return 0 if item.get_closest_marker("server") else 1 if item.get_closest_marker("browser") else 2


def _touches_database(item: pytest.Item) -> bool:
    if item.get_closest_marker("django_db") or item.get_closest_marker("server"):
        return True
    case = getattr(item, "cls", None)
    if case is not None and issubclass(case, TransactionTestCase):
        return True
    return bool(DATABASE_FIXTURES & set(getattr(item, "fixturenames", ())))


@pytest.fixture(autouse=True, scope="session")
def only_this_machine() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        network.refuse_others(patch)
        yield


@pytest.fixture
def still() -> Iterator[time_machine.Traveller]:
    """The clock stands at the present moment, however long the machine takes: for tests that look at how much time
    is left. ``still.shift(seconds)`` moves it."""
    with time_machine.travel(datetime.now(UTC), tick=False) as clock:
        yield clock


@pytest.fixture(autouse=True, scope="session")
def rung_at_once() -> Iterator[None]:
    """No thread writes into the database of whichever test comes next. (``bell`` is for tests of that thread.)"""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wakeup, "_ring", wakeup._wake)
        yield


@pytest.fixture(autouse=True)
def empty_cache(request: pytest.FixtureRequest) -> Iterator[None]:
    """The cache's table belongs to no model, so the flush after a transactional test leaves it alone."""
    mark = request.node.get_closest_marker("django_db")
    if "transactional_db" not in request.fixturenames and not (mark and mark.kwargs.get("transaction")):
        yield
        return
    request.getfixturevalue("transactional_db")
    yield
    cache.clear()


@pytest.fixture
def main() -> ProviderAccount:
    return account()


# --- Browser ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The machine's Chromium. Playwright keeps a loop running in this thread, which Django has to put up with."""
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
    if not Path(path).exists():
        pytest.fail(f"There is no Chromium at {path}. Install it (apt-get install chromium) or set CHROMIUM.")
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
    with sync_playwright() as playwright:
        expect.set_options(timeout=30_000)
        running = playwright.chromium.launch(executable_path=path, args=CHROMIUM_ARGUMENTS)
        yield running
        running.close()


@pytest.fixture
def page_problems() -> list[str]:
    """What went wrong in the page so far. A test that expects something there takes it out."""
    return []


@pytest.fixture
def page(browser: Browser, page_problems: list[str]) -> Iterator[Page]:
    """An empty page; errors in its console, and requests to other machines, fail the test."""
    context = browser.new_context(locale="en", timezone_id="UTC", reduced_motion="reduce")
    context.set_default_timeout(30_000)
    page = context.new_page()
    page.on("console", lambda message: message.type == "error" and page_problems.append(message.text))
    page.on("pageerror", lambda error: page_problems.append(str(error)))
    page.on("request", lambda request: _is_foreign(request.url) and page_problems.append(request.url))
    yield page
    context.close()
    assert page_problems == []


def _is_foreign(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme in ("http", "https", "ws", "wss") and not network.is_local(parts.hostname or "")


@pytest.fixture
def admin_page(page: Page, live_server: LiveServer, admin_client: Client) -> Page:
    """A page in which the administrator is signed in."""
    session = admin_client.cookies[settings.SESSION_COOKIE_NAME].value
    page.context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": live_server.url}])
    return page


# --- The pattern of all databases and installations -----------------------------------------------------------


@pytest.fixture(scope="session")
def pattern(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> dict[str, str]:
    """The environment of an installation with its tables and static files: what all others, and the databases of the
    tests, are copies of. Whichever worker of the run needs it first makes it."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if hasattr(request.config, "workerinput") else base
    with (shared / "pattern.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        known = shared / "pattern.json"
        if not known.exists():
            known.write_text(json.dumps(_new_pattern(shared / "pattern", request.config.getoption("postgres"))))
        return dict(json.loads(known.read_text()))


def _new_pattern(data_dir: Path, postgres: bool) -> dict[str, str]:
    data_dir.mkdir()
    environment = {**_common_environment(), "SMSDASH_DATA_DIR": str(data_dir)}
    if postgres:
        environment["DATABASE_URL"] = _new_database()
    subprocess.run([sys.executable, "-c", PREPARE], cwd=ROOT, env=environment, check=True)
    for name in ("secret-key", "field-key"):
        (data_dir / name).unlink()
    return environment


def pytest_unconfigure(config: pytest.Config) -> None:
    """A database that was copied by all workers goes with the last of them."""
    factory: pytest.TempPathFactory | None = getattr(config, "_tmp_path_factory", None)
    if factory is None or hasattr(config, "workerinput") or not config.getoption("postgres"):
        return
    known = factory.getbasetemp() / "pattern.json"
    if known.exists():
        _drop_database(json.loads(known.read_text())["DATABASE_URL"])


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix: None, pattern: dict[str, str]) -> None:
    """No test database is migrated anew."""
    database = settings.DATABASES["default"]
    if url := pattern.get("DATABASE_URL"):
        database["TEST"]["TEMPLATE"] = urlsplit(url).path[1:]
    else:
        shutil.copy(Path(pattern["SMSDASH_DATA_DIR"], "smsdash.sqlite3"), database["TEST"]["NAME"])


@pytest.fixture(scope="session")
def django_db_keepdb(request: pytest.FixtureRequest) -> bool:
    """On SQLite the copy is there already; it goes with the run's data directory."""
    return not request.config.getoption("postgres")


# --- Real processes -----------------------------------------------------------------------------------------


def _common_environment() -> dict[str, str]:
    known = {"PATH", "HOME", "LANG", "TMPDIR"}
    return {name: value for name, value in os.environ.items() if name in known or name.startswith("PIP_")}


@pytest.fixture(scope="session")
def new_installation(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Callable[..., dict[str, str]]]:
    """Makes the environment of an installation: data directory, port, and a database of the run's kind.

    The tables and the static files are there already, unless it is to be ``bare``.
    """
    with contextlib.ExitStack() as databases:

        def make(bare: bool = False) -> dict[str, str]:
            origin = {} if bare else request.getfixturevalue("pattern")
            environment = {
                **_common_environment(),
                "SMSDASH_DATA_DIR": str(tmp_path_factory.mktemp("installation")),
                "PORT": str(free_port()),
                "PYTHONUNBUFFERED": "1",
            }
            if request.config.getoption("postgres"):
                environment["DATABASE_URL"] = _new_database(origin.get("DATABASE_URL"))
                databases.callback(_drop_database, environment["DATABASE_URL"])
            if origin:
                shutil.copytree(origin["SMSDASH_DATA_DIR"], environment["SMSDASH_DATA_DIR"], dirs_exist_ok=True)
            return environment

        yield make


def _new_database(copied: str | None = None) -> str:
    """The URL of a database on the run's server: empty, or a copy of the one at the URL ``copied``."""
    server = urlsplit(os.environ["DATABASE_URL"])
    name = f"smsdash_{uuid.uuid4().hex[:12]}"
    template = f' TEMPLATE "{urlsplit(copied).path[1:]}"' if copied else ""
    with psycopg.connect(urlunsplit(server), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"{template}')
    return urlunsplit(server._replace(path=f"/{name}"))


def _drop_database(url: str) -> None:
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{urlsplit(url).path[1:]}" WITH (FORCE)')


@pytest.fixture
def installation(new_installation: Callable[..., dict[str, str]]) -> dict[str, str]:
    """The environment of an installation of its own, not started yet."""
    return new_installation()
