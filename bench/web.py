"""The web server as it runs, with a view that does nothing beside the others, and clients that keep it busy."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import requests

from smsdash import supervisor
from tests.server import free_port

NOTHING = "/callbacks/nothing"  # by the short way, as programs are answered
LONG_WAY = "/nothing"  # through all middleware, as pages are
CLIENTS = 16  # connections, as many as the server has threads
JSON = {"content-type": "application/json"}


@contextlib.contextmanager
def server() -> Iterator[int]:
    """The port of a web server of its own, on the database of the settings."""
    port = free_port()
    command = [*supervisor._gunicorn(), "--max-requests", "0"]  # a new process would close connections
    command[command.index("--bind") + 1] = f"127.0.0.1:{port}"
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "bench.web_settings"}
    process = subprocess.Popen(command, env=environment)
    try:
        _wait_for(f"http://127.0.0.1:{port}/healthz")
        yield port
    finally:
        process.terminate()
        process.wait()


def _wait_for(url: str) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with contextlib.suppress(requests.RequestException):
            if requests.get(url, timeout=5).ok:
                return
        time.sleep(0.1)
    raise RuntimeError("The web server did not start.")


def request(path: str, body: bytes, headers: Mapping[str, str] = JSON) -> bytes:
    """A POST as it goes over the wire."""
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def post(port: int, raw: Sequence[bytes]) -> float:
    """Post all of these over CLIENTS connections at once. Seconds. Every answer has to be a 2xx."""
    shares = [raw[n::CLIENTS] for n in range(CLIENTS)]
    begun = time.monotonic()
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(lambda share: _one_by_one(port, share), shares))
    return time.monotonic() - begun


def _one_by_one(port: int, raw: Sequence[bytes]) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for each in raw:
            connection.sendall(each)
            answer = _answer(connection)
            assert answer.startswith(b"HTTP/1.1 2"), answer[:300]


def _answer(connection: socket.socket) -> bytes:
    got = b""
    while (end := got.find(b"\r\n\r\n")) < 0:
        got += _more(connection)
    head = got[:end].lower()
    length = int(head.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
    while len(got) < end + 4 + length:
        got += _more(connection)
    return got


def _more(connection: socket.socket) -> bytes:
    got = connection.recv(65536)
    assert got, "The server closed the connection."
    return got
