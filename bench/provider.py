"""A provider that takes everything. ``python -m bench.provider KIND SECONDS`` prints the port that it serves; it
answers after so many seconds. GET tells when requests came (Unix seconds)."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count

from providers import registry
from providers.types import Outcome, Request, Send, SendResult, Status

ids = count(1)
came: list[float] = []


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # connections are kept
    wbufsize = -1  # one packet an answer
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self.answer(200, {"content-type": "application/json"}, json.dumps(came).encode())

    def do_POST(self) -> None:
        came.append(time.time())
        body = self.rfile.read(int(self.headers["content-length"]))
        dialect = registry.dialect(sys.argv[1])
        headers = {name.lower(): value for name, value in self.headers.items()}
        path = self.path.removeprefix(registry.adapter_class(sys.argv[1]).base_url_ends)
        operation = dialect.operation(Request("POST", path, (), headers, body))
        assert isinstance(operation, Send)
        outcomes = [Outcome(Status.SENT, number=m.number, provider_id=f"m{next(ids)}") for m in operation.messages]
        reply = dialect.write(operation, SendResult(tuple(outcomes)))
        time.sleep(float(sys.argv[2]))
        self.answer(reply.status, reply.headers, reply.body)

    def answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in {**headers, "content-length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


class Server(ThreadingHTTPServer):
    request_queue_size = 128


if __name__ == "__main__":
    server = Server(("127.0.0.1", 0), Handler)
    print(server.server_port, flush=True)
    server.serve_forever()
