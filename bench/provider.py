"""A provider that takes everything at once. ``python -m bench.provider KIND`` prints the port that it serves."""

from __future__ import annotations

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count

from providers import registry
from providers.types import Outcome, Request, Send, SendResult, Status

ids = count(1)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # connections are kept
    wbufsize = -1  # one packet an answer
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        dialect = registry.dialect(sys.argv[1])
        headers = {name.lower(): value for name, value in self.headers.items()}
        path = self.path.removeprefix(registry.adapter_class(sys.argv[1]).base_url_ends)
        operation = dialect.operation(Request("POST", path, (), headers, body))
        assert isinstance(operation, Send)
        outcomes = [Outcome(Status.SENT, number=m.number, provider_id=f"m{next(ids)}") for m in operation.messages]
        reply = dialect.write(operation, SendResult(tuple(outcomes)))
        self.send_response(reply.status)
        for name, value in {**reply.headers, "content-length": str(len(reply.body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(reply.body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


class Server(ThreadingHTTPServer):
    request_queue_size = 128


if __name__ == "__main__":
    server = Server(("127.0.0.1", 0), Handler)
    print(server.server_port, flush=True)
    server.serve_forever()
