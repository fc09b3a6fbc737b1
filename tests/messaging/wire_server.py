"""A provider's server that says what a test wants it to, over real sockets, and breaks off where a test wants that."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

from providers.types import Reply, Request


class Breaks(Enum):
    """How a connection ends instead of an answer. All of them have the whole request."""

    NO_ANSWER = "closed without an answer"
    HALF_HEAD = "closed within the head of the answer"
    HALF_BODY = "closed within the body of the answer"
    RESET = "reset without an answer"
    SILENCE = "open, and nothing comes"
    SLOW_HEAD = "open, and a byte of the head comes now and then"
    SLOW_BODY = "open, and a byte of the body comes now and then"


Says = Callable[[str, Request], Reply | Breaks]  # the first part of the path, and the request below it


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: WireServer

    def do_POST(self) -> None:
        parts = urlsplit(self.path)
        _, name, rest = parts.path.split("/", 2)
        headers = {key.lower(): value for key, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", 0)))
        said = self.server.says(name, Request("POST", f"/{rest}", tuple(parse_qsl(parts.query)), headers, body))
        if isinstance(said, Breaks):
            self._break(said)
        else:
            self._answer(said)

    def _answer(self, reply: Reply) -> None:
        self.send_response_only(reply.status)
        for name, value in {**reply.headers, "content-length": str(len(reply.body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(reply.body)

    def _break(self, how: Breaks) -> None:
        self.close_connection = True
        if how is Breaks.HALF_HEAD:
            self.wfile.write(b"HTTP/1.1 200 O")
        elif how is Breaks.HALF_BODY:
            self.wfile.write(b'HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{"success": tr')
        elif how is Breaks.RESET:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
            self.connection.close()
        elif how is Breaks.SILENCE:
            self.server.over.wait(30)
        elif how is Breaks.SLOW_HEAD:
            self._trickle(b"HTTP/1.1 200 OK\r\nx-padding: ")
        elif how is Breaks.SLOW_BODY:
            self._trickle(b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n")

    def _trickle(self, start: bytes) -> None:
        self.wfile.write(start)
        while not self.server.over.wait(0.5):
            self.wfile.write(b"x")

    def log_message(self, format: str, *args: object) -> None:
        pass


class WireServer(ThreadingHTTPServer):
    """``url`` is where it listens until the test is over."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, says: Says, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.says, self.over = says, threading.Event()
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.server_port}"
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_side=True)

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that go away are what is tested here."""


@contextlib.contextmanager
def listening(says: Says, tls: ssl.SSLContext | None = None) -> Iterator[WireServer]:
    with WireServer(says, tls) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.over.set()
            server.shutdown()
            thread.join()
