from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from django.db import DatabaseError

from sandbox import agent
from sandbox.management.commands import sandbox_carrier

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def connections_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox_carrier, "close_old_connections", lambda: None)


def test_it_looks_again_at_once_while_there_is_work(monkeypatch: pytest.MonkeyPatch) -> None:
    work = [200, 3, 0]
    monkeypatch.setattr(agent, "tick", lambda: work.pop(0))
    assert [sandbox_carrier.once() for _ in range(3)] == [0.0, 0.0, sandbox_carrier.POLL]


def test_a_database_that_fails_is_asked_again_later(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> int:
        raise DatabaseError("database is locked")

    monkeypatch.setattr(agent, "tick", fail)
    assert sandbox_carrier.once() == sandbox_carrier.AFTER_FAULT
    assert "database is locked" in caplog.text


def test_it_stops_when_told(monkeypatch: pytest.MonkeyPatch) -> None:
    stop = threading.Event()
    ticks: list[int] = []
    monkeypatch.setattr(agent, "tick", lambda: stop.set() or ticks.append(1) or 0)
    sandbox_carrier.run(stop)
    assert ticks == [1]


def test_it_stops_when_its_parent_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    parents = [100, 100, 1]
    ticks: list[int] = []
    monkeypatch.setattr(os, "getppid", lambda: parents.pop(0))
    monkeypatch.setattr(agent, "tick", lambda: ticks.append(1) or 1)
    sandbox_carrier.run(threading.Event())
    assert ticks == [1]


@pytest.mark.server
def test_sigterm_ends_the_process_cleanly(tmp_path: Path) -> None:
    environment = {**os.environ, "SMSDASH_DATA_DIR": str(tmp_path), "SMSDASH_LOG_LEVEL": "INFO"}
    environment.pop("DATABASE_URL", None)
    command = [sys.executable, "manage.py", "sandbox_carrier"]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert "database failed" in process.stderr.readline()  # no tables yet: it waits for them
        process.send_signal(signal.SIGTERM)
        assert process.wait(90) == 0
