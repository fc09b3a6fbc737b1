"""Exchanges with an end: time-outs bound the wait for the next byte, and an answer may trickle in for ever.

One thread for all connections of a process looks every second, and cuts those whose answer has taken too long.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import requests.adapters
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

LONGEST = 25.0  # seconds from the end of a request to the end of its answer
PULSE = 1.0  # seconds between two looks

_lock = threading.Lock()
_waiting: dict[int, tuple[float, socket.socket]] = {}  # by thread: when its answer has to be there, and where from
_cut: set[int] = set()  # the threads whose connection was cut
_dog: threading.Thread | None = None


class Adapter(requests.adapters.HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _SecretPool}


@contextmanager
def watched() -> Iterator[None]:
    """For one exchange of this thread. Raises requests.Timeout if it took too long, whatever came of it."""
    me = threading.get_ident()
    try:
        yield
    finally:
        with _lock:
            _waiting.pop(me, None)
            late = me in _cut
            _cut.discard(me)
        if late:
            raise requests.Timeout


class _Watched(HTTPConnection):
    def getresponse(self) -> Any:
        if isinstance(self.sock, socket.socket):
            _watch(self.sock)
        return super().getresponse()


class _WatchedSecret(_Watched, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Watched


class _SecretPool(HTTPSConnectionPool):
    ConnectionCls = _WatchedSecret


def _watch(sock: socket.socket) -> None:
    global _dog
    with _lock:
        _waiting[threading.get_ident()] = time.monotonic() + LONGEST, sock
        if _dog is None or not _dog.is_alive():  # as after a fork
            _dog = threading.Thread(target=_look, daemon=True)
            _dog.start()


def _look() -> None:
    while True:
        time.sleep(PULSE)
        with _lock:
            now = time.monotonic()
            for thread in [thread for thread, (end, _sock) in _waiting.items() if end < now]:
                _cut.add(thread)
                with suppress(OSError):
                    socket.socket.shutdown(_waiting.pop(thread)[1], socket.SHUT_RDWR)
