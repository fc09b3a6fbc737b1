"""Runs the web server, the workers and the sandbox's carrier as one thing, and keeps them running.

Each child leads a session of its own and gets SIGTERM alone (a signal to django-q2's whole process group makes it
hang); what is left of a group after its leader's end is killed. A worker cluster is judged by what it gets done:
a ``beat`` task every few seconds must come back, because a wedged cluster keeps its heartbeats fresh.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FrameType

from django.conf import settings
from django.db import DatabaseError, close_old_connections, connection

from api import clock as programs
from messaging import clock, wakeup
from messaging.models import Worker

log = logging.getLogger(__name__)

BEAT = 5.0  # seconds between beats
STALLED = float(os.environ.get("SMSDASH_STALLED_AFTER", "60"))  # seconds without progress
GRACE = 40.0  # seconds that a child has to end after SIGTERM; longer than a provider's time-out
TICK = 0.5  # seconds between looks
STEADY = 30.0  # seconds a child must run for its next death to count as the first


@dataclass
class Child:
    """A process we keep alive. ``environment`` makes the variables of each new start."""

    name: str
    command: list[str]
    environment: Callable[[], dict[str, str]] = dict
    pass_fds: tuple[int, ...] = ()
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    deaths: int = 0
    env: dict[str, str] = field(default_factory=dict)

    def start(self) -> None:
        self.env = self.environment()
        self.process = subprocess.Popen(
            self.command,
            cwd=settings.BASE_DIR,
            env={**os.environ, **self.env},
            start_new_session=True,
            pass_fds=self.pass_fds,
            preexec_fn=_end_with_parent,
        )
        self.started = time.monotonic()

    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def terminate(self) -> None:
        if self.alive() and self.process:
            self.process.terminate()

    def kill(self) -> None:
        """End the whole group, also what a dead leader left behind."""
        if self.process:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def _end_with_parent() -> None:
    """On Linux the kernel sends us SIGTERM when the supervisor is gone, however it went."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)


class Supervisor:
    def __init__(self) -> None:
        self.stop_read, self.stop_write = os.pipe()
        self.stopping = False
        self.cluster = ""
        self.progress: object = None
        self.asked: float | None = None  # since when a beat has been waited for
        self.last_beat = 0.0
        self.children = self._children()

    def _children(self) -> list[Child]:
        manage = [sys.executable, str(settings.BASE_DIR / "manage.py")]
        found = []
        if settings.SMSDASH_WEB:
            found.append(Child("web", _gunicorn()))
            if settings.SMSDASH_DEMO:
                found.append(Child("sandbox", [*manage, "sandbox_carrier"]))
        if settings.SMSDASH_WORKERS:
            found.append(Child("workers", [*manage, "qcluster"], self._new_cluster, (self.stop_read,)))
        return found

    def _new_cluster(self) -> dict[str, str]:
        self.cluster = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:6]}"
        self.progress, self.asked = None, time.monotonic()
        return {"SMSDASH_CLUSTER_ID": self.cluster, "SMSDASH_STOP_FD": str(self.stop_read)}

    # -- the run --

    def run(self) -> None:
        """Until SIGTERM or SIGINT; a second one ends everything at once."""
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, self._stop)
        connection.close()  # the children are forked: no connection may be shared
        for child in self.children:
            child.start()
        while not self.stopping:
            for child in self.children:
                self._look_after(child)
            self._keep_time()
            time.sleep(TICK)
        self._end()

    def _stop(self, number: int, frame: FrameType | None) -> None:
        if self.stopping:
            for child in self.children:
                child.kill()
        self.stopping = True

    def _look_after(self, child: Child) -> None:
        if child.alive():
            if time.monotonic() - child.started > STEADY:
                child.deaths = 0
            return
        child.kill()
        code = child.process.returncode if child.process else None
        pause = min(10.0, 0.5 * 2**child.deaths) if child.deaths else 0.0
        if time.monotonic() - child.started < pause:
            return
        child.deaths += 1
        log.error("The %s process ended by itself (exit %s); starting it again", child.name, code)
        child.start()

    def _keep_time(self) -> None:
        """The ticks, the beat, and the judgement on the workers. A database that is away is waited for."""
        if not settings.SMSDASH_WORKERS:
            return
        try:
            close_old_connections()
            self._watch_workers()
            clock.tick()
            programs.tick()
        except DatabaseError as error:
            log.error("The database does not answer: %s", error)
            connection.close()

    def _watch_workers(self) -> None:
        """Judged before anything is written: whoever stands still may hold the lock that a write would wait for."""
        now = time.monotonic()
        try:
            seen = Worker.objects.filter(name=self.cluster).values_list("progress_at", flat=True).first()
        except DatabaseError:  # nor could the workers get anything done
            self.asked = None
            raise
        if seen != self.progress:
            self.progress, self.asked = seen, None
        idle = 0.0 if self.asked is None else now - self.asked
        if idle > STALLED:
            self._restart_workers(idle)
        # beats may be taken by another host's workers: when ours are quiet, ask more often
        if now - self.last_beat > (BEAT if idle < 3 * BEAT else 1.0):
            self.last_beat = now
            self.asked = now if self.asked is None else self.asked
            wakeup.beat()

    def _restart_workers(self, idle: float) -> None:
        log.error("The workers got nothing done for %.0f seconds; they are stopped and started again", idle)
        for child in self.children:
            if child.name == "workers":
                child.kill()
                child.start()

    def _end(self) -> None:
        log.info("Stopping; requests under way are finished first")
        os.close(self.stop_write)  # the workers see it and take nothing new
        for child in self.children:
            child.terminate()
        deadline = time.monotonic() + GRACE
        while any(child.alive() for child in self.children) and time.monotonic() < deadline:
            time.sleep(0.05)
        for child in self.children:
            if child.alive():
                log.error("The %s process did not end in time; it is killed", child.name)
            child.kill()
        Worker.objects.filter(name=self.cluster).delete()
        log.info("Stopped")


def _gunicorn() -> list[str]:
    return [
        sys.executable, "-m", "gunicorn", "smsdash.wsgi", "--bind", f"{settings.HOST}:{settings.PORT}",
        "--worker-class", "gthread", "--workers", "2", "--threads", "8", "--preload", "--keep-alive", "5",
        "--graceful-timeout", "30", "--timeout", "60", "--max-requests", "20000", "--max-requests-jitter", "2000",
        "--log-level", "warning",
    ]  # fmt: skip
