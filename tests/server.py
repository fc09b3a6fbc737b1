"""smsdash as its operator runs it: real processes, a data directory of its own, real HTTP."""

from __future__ import annotations

import os
import random
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import psycopg
import requests

from tests.forms import Forms

ROOT = Path(__file__).resolve().parent.parent
T = TypeVar("T")
PASSWORD = "correct-horse-battery"
BROKEN_OFF = re.compile("ConnectionAbortedError: The sandbox broke the connection off")


def until(what: str, check: Callable[[], T], seconds: float = 90.0, pause: float = 0.1) -> T:
    """Wait until ``check`` is true and give back what it said. Fails with ``what`` was waited for."""
    end = time.monotonic() + seconds
    while True:
        if value := check():
            return value
        assert time.monotonic() < end, f"Waited {seconds} s in vain: {what}. Last: {value!r}"
        time.sleep(pause)


_reserved: list[socket.socket] = []


def free_port() -> int:
    """One that stays free for this process: for other runs a name stands for it, and no connection gets it by chance
    for its other end. So a server may start on it later, stop, and come back."""
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = random.randrange(first // 2, first)
        name = socket.socket(socket.AF_UNIX)
        with socket.socket() as probe, suppress(OSError):
            name.bind(f"\0smsdash-test-port-{port}")
            probe.bind(("127.0.0.1", port))
            _reserved.append(name)
            return port
        name.close()


class Server:
    """``manage.py run`` in a subprocess. Start and stop it as often as you like; the data stays."""

    def __init__(self, installation: dict[str, str], ready: str = "/readyz", **environment: str) -> None:
        self.environment = {"SMSDASH_ADMIN_PASSWORD": PASSWORD, **installation, **environment}
        self.data = Path(self.environment["SMSDASH_DATA_DIR"])
        self.port, self.ready_path = int(self.environment["PORT"]), ready
        self.url = f"http://127.0.0.1:{self.port}"
        self.log_file = self.data / "server.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers["connection"] = "close"  # one that was kept may be closed by the time it is used again

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        if self.process and self.process.poll() is None:
            self.stop()

    # -- processes --

    @property
    def pid(self) -> int:
        """The supervisor's, also when it is gone."""
        assert self.process is not None
        return self.process.pid

    def start(self) -> None:
        self.data.mkdir(parents=True, exist_ok=True)
        with self.log_file.open("ab") as log:
            command = [sys.executable, "manage.py", "run"]
            self.process = subprocess.Popen(command, cwd=ROOT, env=self.environment, stdout=log, stderr=log)
        if self.ready_path:
            until("the server to be ready", self.ready, 120)

    def ready(self) -> bool:
        assert self.process is None or self.process.poll() is None, "The server ended:\n" + self.tail()
        try:
            return self.session.get(self.url + self.ready_path, timeout=30).status_code == 200
        except requests.RequestException:
            return False

    def run_to_the_end(self) -> subprocess.CompletedProcess[str]:
        """For a start that should fail."""
        self.data.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "manage.py", "run"]
        return subprocess.run(command, cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=120)

    def stop(self) -> int:
        """As Ctrl-C does. Returns the exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(120)

    def kill_everything(self) -> None:
        """kill -9 of the supervisor and of all that it started, in one moment."""
        _kill(self.pid)
        assert self.process is not None
        self.process.wait()

    def kill_workers(self) -> None:
        """kill -9 of the worker cluster in one moment."""
        _kill(self.workers()[0])

    def descendants(self, parent: int | None = None) -> list[int]:
        parent = parent or (self.process.pid if self.process else 0)
        found = []
        for pid in _children(parent):
            found += [pid, *self.descendants(pid)]
        return found

    def workers(self) -> list[int]:
        """The leader of the worker cluster first, then its processes."""
        assert self.process is not None
        for pid in _children(self.process.pid):
            if b"qcluster" in Path(f"/proc/{pid}/cmdline").read_bytes():
                return [pid, *self.descendants(pid)]
        return []

    def tail(self) -> str:
        return self.log_file.read_text()[-3000:] if self.log_file.exists() else ""

    def faults(self) -> list[str]:
        """What the log tells of exceptions, without the connections that the sandbox breaks off on purpose."""
        traces = re.split(r"^.*Traceback \(most.*\n", self.log_file.read_text(), flags=re.M)[1:]
        ends = [(re.search(r"^\S.*", trace, re.M), trace) for trace in traces]
        return [trace[:4000] for end, trace in ends if end is None or not BROKEN_OFF.match(end[0])]

    # -- as a person --

    def log_in(self) -> None:
        self.session.cookies.clear()
        reply = self.submit("/login/", login="admin", password=PASSWORD)
        assert reply.status_code == 200 and "/login/" not in reply.url, reply.text[:2000]

    def get(self, path: str) -> requests.Response:
        reply = self.session.get(self.url + path, timeout=60)
        assert reply.status_code == 200, f"{path}: {reply.status_code}\n{reply.text[:2000]}"
        return reply

    def submit(self, path: str, **fields: Any) -> requests.Response:
        """Fill in the form at ``path`` that has the first of ``fields``, and send it."""
        filled = Forms(self.get(path).text).with_field(next(iter(fields))) | fields
        return self.session.post(self.url + path, data=filled, headers={"referer": self.url + path}, timeout=60)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Ask the installation's own database, whichever it is."""
        if url := self.environment.get("DATABASE_URL"):
            with psycopg.connect(url) as connection:
                return connection.execute(sql).fetchall()  # type: ignore[call-overload,no-any-return]
        with closing(sqlite3.connect(self.data / "smsdash.sqlite3", timeout=60)) as connection:
            return connection.execute(sql).fetchall()

    def execute(self, sql: str) -> None:
        """Change the installation's own database, behind its back."""
        if url := self.environment.get("DATABASE_URL"):
            with psycopg.connect(url) as connection:
                connection.execute(sql)  # type: ignore[call-overload]
                return
        with closing(sqlite3.connect(self.data / "smsdash.sqlite3", timeout=60)) as connection, connection:
            connection.execute(sql)

    def manage(self, *arguments: str) -> str:
        command = [sys.executable, "manage.py", *arguments]
        done = subprocess.run(command, cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout


@contextmanager
def interrupted(
    new_installation: Callable[[], dict[str, str]], interrupt: Callable[[Server], bool], **environment: str
) -> Iterator[Server]:
    """A server on which ``interrupt`` killed the workers in the middle of something. It says whether it was in time:
    while a machine stands still the work may come to its end, and then it is begun once more elsewhere."""
    for _ in range(5):
        with Server(new_installation(), **environment) as server:
            if interrupt(server):
                yield server
                return
    raise AssertionError("The work was over each time before the workers could be killed.")


def _children(parent: int) -> list[int]:
    try:
        return [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def _kill(first: int) -> None:
    """All are held before the first one dies: so none notices that another is gone, and none has more children."""
    family = [first]
    for pid in family:
        _send(pid, signal.SIGSTOP)
        family += _children(pid)
    for pid in family:
        _send(pid, signal.SIGKILL)
    until("all to be gone", lambda: not any(alive(pid) for pid in family))


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _send(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
