"""Holding a client's connection from the server's side: wait without outstaying it, or break it.

Both need the socket under the request. gunicorn gives it in the WSGI environment; Django's own server (``runserver``
and the live server of tests) hides it under the body's stream.
"""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

from django.http import HttpRequest, HttpResponseBase, StreamingHttpResponse

Pause = Callable[[float], None]

SLICE = 0.1  # seconds between looks at whether waiting still makes sense


def pause_for(request: HttpRequest) -> Pause:
    """A sleep that ends early when the client has gone or the worker is told to stop."""
    connection = connection_of(request)

    def pause(seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not _stopping() and not _gone(connection):
            time.sleep(min(SLICE, left))

    return pause


def break_off(request: HttpRequest) -> HttpResponseBase:
    """An answer that the client never gets: its connection is shut before a byte of it is sent."""
    if connection := connection_of(request):
        with suppress(OSError):  # the client was faster
            connection.shutdown(socket.SHUT_RDWR)
    return StreamingHttpResponse(_aborted())


def _aborted() -> Iterator[bytes]:
    raise ConnectionAbortedError("The sandbox broke the connection off, as this number asks for.")
    yield b""


def connection_of(request: HttpRequest) -> socket.socket | None:
    """The socket of a request; None under a server that does not show it."""
    found = request.META.get("gunicorn.socket")
    if found is None:
        body = getattr(getattr(request.META.get("wsgi.input"), "_read", None), "__self__", None)
        found = getattr(getattr(body, "raw", None), "_sock", None)
    return found if isinstance(found, socket.socket) else None


def _gone(connection: socket.socket | None) -> bool:
    """Whether the client has closed its end. A client that has sent more is still there."""
    if connection is None:
        return False
    try:
        return connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def _stopping() -> bool:
    """Whether this is a gunicorn worker that was told to stop: its SIGTERM handler is a method of the worker."""
    worker = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return not getattr(worker, "alive", True)
