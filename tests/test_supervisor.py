"""The one command that runs everything: starts, stops, and what it does when something dies or stands still."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from types import SimpleNamespace

import pytest
import requests
from django.db import OperationalError, connection

from messaging import wakeup
from smsdash import supervisor
from tests.server import Server, alive, until

pytestmark = [pytest.mark.server, pytest.mark.once]


@pytest.fixture(scope="module")
def server(new_installation: Callable[..., dict[str, str]]) -> Iterator[Server]:
    """One for all tests, in their order: all but the last few leave it running."""
    settings = {"SMSDASH_DEMO": "0", "SMSDASH_WORKERS": "2", "SMSDASH_STALLED_AFTER": "8", "SMSDASH_ADMIN_PASSWORD": ""}
    with Server(new_installation(bare=True), **settings) as server:
        yield server


def test_it_says_who_may_log_in_and_where(server: Server) -> None:
    until("the address", lambda: f"http://127.0.0.1:{server.port}/" in server.tail())
    assert "admin password: " in server.tail()


def test_a_stop_is_clean_and_a_later_start_does_nothing_twice(server: Server) -> None:
    family = server.descendants()
    assert server.stop() == 0
    assert not [pid for pid in family if alive(pid)]
    server.start()
    until("the address", lambda: server.tail().count("smsdash is ready") == 2)
    once = ("Preparing the database", "Collecting static files", "admin password: ")
    assert [server.log_file.read_text().count(said) for said in once] == [1, 1, 1]


def test_a_web_server_that_died_is_started_again(server: Server) -> None:
    web = server.descendants()[0]
    os.kill(web, signal.SIGKILL)
    until("the log to say so", lambda: "web process ended by itself" in server.tail())
    until("it to serve again", server.ready)


def test_workers_that_died_are_started_again(server: Server) -> None:
    leader = server.workers()[0]
    os.kill(leader, signal.SIGKILL)
    until("new workers", lambda: server.workers()[:1] not in ([], [leader]))
    assert "workers process ended by itself" in server.tail()
    until("them to work", server.ready)


def test_a_cluster_that_stands_still_is_started_again(server: Server) -> None:
    """Even if it stands still in the middle of a transaction: here we hold the database's lock in its place."""
    family = server.workers()
    for pid in family:
        os.kill(pid, signal.SIGSTOP)
    with closing(sqlite3.connect(server.data / "smsdash.sqlite3", timeout=60, isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")
        until("the log to say so", lambda: "got nothing done" in server.tail())
    until("new workers", lambda: server.workers()[:1] not in ([], family[:1]))
    until("them to work", server.ready)
    assert not [pid for pid in family if alive(pid)]


def test_a_database_that_was_away_is_not_held_against_the_workers(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    now, restarts = [1_000.0], []
    monkeypatch.setattr(supervisor, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(wakeup, "beat", lambda: None)
    judge = supervisor.Supervisor()
    monkeypatch.setattr(judge, "_restart_workers", restarts.append)

    def look(later: float) -> None:
        now[0] += later
        judge._watch_workers()

    look(0)
    with connection.execute_wrapper(away), pytest.raises(OperationalError):
        look(1)
    look(10 * supervisor.STALLED)
    assert restarts == []
    look(supervisor.STALLED + 1)
    assert restarts == [supervisor.STALLED + 1]


def away(*arguments: object) -> None:
    raise OperationalError("The server closed the connection.")


def test_work_goes_on_after_idle_processes_were_killed(server: Server) -> None:
    """As the system does when memory is short. It can wedge a django-q2 cluster for ever, heartbeats still fresh."""
    for pid in server.workers()[2:]:
        os.kill(pid, signal.SIGKILL)
    before = last_progress(server)
    until("some work to be done", lambda: last_progress(server) > before)


def last_progress(server: Server) -> str:
    return str(server.query("SELECT max(progress_at) FROM messaging_worker")[0][0])


def test_nothing_is_left_when_the_supervisor_is_killed(server: Server) -> None:
    assert server.process is not None
    family = server.descendants()
    server.process.kill()
    server.process.wait()
    until("the rest to end", lambda: not [pid for pid in family if alive(pid)])
    server.start()


def test_sigterm_stops_it_too(server: Server) -> None:
    assert server.process is not None
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(90) == 0


def test_it_says_when_the_port_is_taken(server: Server) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        second = Server(server.environment, PORT=str(other.getsockname()[1]))
        done = second.run_to_the_end()
    assert done.returncode != 0
    assert f"Port {second.port} is taken" in done.stdout + done.stderr


def test_halves_can_run_apart(installation: dict[str, str]) -> None:
    with Server(installation, "/healthz", SMSDASH_DEMO="0", SMSDASH_WORKERS="0") as web:
        reply = requests.get(f"{web.url}/readyz", timeout=60)
        assert (reply.status_code, reply.json()["worker"]) == (503, False)
        assert web.workers() == []
        with Server(installation, "", SMSDASH_DEMO="0", SMSDASH_WEB="0") as host:
            until("the worker to be seen", lambda: requests.get(f"{web.url}/readyz", timeout=60).status_code == 200)
            assert len(host.workers()) > 1
