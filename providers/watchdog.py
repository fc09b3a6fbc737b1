"""Kept connections on which no request is left hanging.

Exchanges with an end: time-outs bound the wait for the next byte, and an answer may trickle in for ever. One thread
looks after all exchanges of a process, and cuts the connections of those that take too long.

And none begins on a connection that nobody used for a while: the other side may be closing it, and then nobody knows
what it took. Of many kept connections a few serve most requests, so each has a clock of its own.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import requests.adapters
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

PULSE = 0.5  # seconds between two looks
IDLE = 1.5  # seconds without use after which a connection is closed; servers give them two at least


@dataclass(slots=True, eq=False)
class _Watch:
    """``end``: by time.monotonic. ``sock``: a connection lets its socket go when the answer says that it is the last
    one."""

    end: float
    connection: HTTPConnection | None = None
    sock: socket.socket | None = None
    late: bool = False

    def cut(self) -> None:
        self.late = True
        used = self.sock or (self.connection and self.connection.sock)
        if isinstance(used, socket.socket):
            with suppress(OSError):
                socket.socket.shutdown(used, socket.SHUT_RDWR)


_lock = threading.Lock()
_watches: dict[int, _Watch] = {}  # by thread
_dog: threading.Thread | None = None


@contextmanager
def watched(seconds: float) -> Iterator[None]:
    """For one exchange of this thread over connections of the class below. Raises requests.Timeout if it took too long,
    whatever came of it."""
    me, watch = threading.get_ident(), _Watch(time.monotonic() + seconds)
    _begin(me, watch)
    try:
        yield
    finally:
        with _lock:
            del _watches[me]
        if watch.late:
            raise requests.Timeout


def is_late() -> bool:
    """Is the time of this thread's exchange over?"""
    watch = _watches.get(threading.get_ident())
    return watch is not None and watch.late


def _begin(thread: int, watch: _Watch) -> None:
    global _dog
    with _lock:
        _watches[thread] = watch
        if _dog is None or not _dog.is_alive():  # as after a fork
            _dog = threading.Thread(target=_look, daemon=True)
            _dog.start()


def _look() -> None:
    """Again and again, for there may have been nothing to cut the first time. Under the lock, because a connection
    whose exchange is over may belong to another one."""
    while True:
        time.sleep(PULSE)
        with _lock:
            now = time.monotonic()
            for watch in _watches.values():
                if watch.end < now:
                    watch.cut()


class Watched(HTTPConnection):
    put_back = 0.0  # by time.monotonic, into the pool

    def request(self, *args: Any, **kwargs: Any) -> None:
        watch = _watches.get(threading.get_ident())
        if watch:
            watch.connection = self
        super().request(*args, **kwargs)
        if watch:
            watch.sock = self.sock


class _WatchedTLS(Watched, HTTPSConnection):
    pass


class _Fresh(HTTPConnectionPool):
    """A closed connection is opened anew by its next request."""

    def _get_conn(self, timeout: float | None = None) -> Any:
        connection = super()._get_conn(timeout)
        if isinstance(connection, Watched) and time.monotonic() - connection.put_back > IDLE:
            connection.close()
        return connection

    def _put_conn(self, conn: Any) -> None:
        if isinstance(conn, Watched):
            conn.put_back = time.monotonic()
        super()._put_conn(conn)


class _Pool(_Fresh):
    ConnectionCls = Watched


class _PoolTLS(_Fresh, HTTPSConnectionPool):
    ConnectionCls = _WatchedTLS


class Adapter(requests.adapters.HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _PoolTLS}
