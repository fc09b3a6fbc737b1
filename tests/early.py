"""Loaded before pytest-django reads the settings: a data directory for this process, a database server for this run.

Workers of pytest-xdist find the server in their environment; each gets a database of its own there.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import tempfile
from collections.abc import Generator

import pytest

from tests import postgres

CLEARED = ("HOST", "PORT", "TZ", "DATABASE_URL", "Q_CLUSTER_NAME", "DJANGO_SETTINGS_MODULE")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--postgres",
        action="store_true",
        help="run the tests that touch the database on PostgreSQL (TEST_DATABASE_URL or TEST_PGHOST: on that server)",
    )


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Generator[None, object, object]:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what is to be done at the end is done
    server = os.environ.get("DATABASE_URL") if "PYTEST_XDIST_WORKER" in os.environ else None
    _forget_the_developers_settings()
    data_dir = tempfile.TemporaryDirectory(prefix="smsdash-test-", ignore_cleanup_errors=True)
    atexit.register(data_dir.cleanup)
    os.environ["SMSDASH_DATA_DIR"] = data_dir.name
    if early_config.known_args_namespace.postgres:
        os.environ["DATABASE_URL"] = server or postgres.url()
    return (yield)


def _forget_the_developers_settings() -> None:
    for name in list(os.environ):
        if name in CLEARED or name.startswith("SMSDASH_"):
            del os.environ[name]
