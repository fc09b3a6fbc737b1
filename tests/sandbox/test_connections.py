"""What only shows over real connections: Django's test server here, gunicorn in test_gunicorn."""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace

import pytest
import requests
from django.test import RequestFactory
from pytest_django.live_server_helper import LiveServer
from pytest_httpserver import HTTPServer

from providers import errors, registry
from sandbox import outcomes, sending, waiting
from sandbox.models import Message

from .base import KEY, adapter, to

pytestmark = pytest.mark.django_db(transaction=True)
KINDS = sorted(registry.kinds())


@pytest.mark.parametrize("kind", KINDS)
def test_the_connection_breaks_after_the_message_was_taken(kind: str, live_server: LiveServer) -> None:
    made = adapter(kind, live_server.url)
    with pytest.raises(errors.Uncertain, match="broke"):
        made.call(to("+15550100907"))
    assert Message.objects.get().number == "+15550100907"
    assert made.call(to("+15550100001")).outcomes[0].taken


@pytest.mark.parametrize("kind", KINDS)
def test_the_connection_breaks_and_the_message_is_lost(kind: str, live_server: LiveServer) -> None:
    made = adapter(kind, live_server.url)
    with pytest.raises(errors.Uncertain, match="broke"):
        made.call(to("+15550100916"))
    assert not Message.objects.exists()
    assert made.call(to("+15550100916")).outcomes[0].taken


def test_not_a_byte_of_the_answer_arrives(live_server: LiveServer) -> None:
    headers = {"Authorization": f"Bearer {KEY}"}
    body = {"to": "+15550100907", "message": "Hello"}
    with pytest.raises(requests.ConnectionError, match="without response|aborted|reset"):
        requests.post(f"{live_server.url}/sandbox/smsprovider/v1/messages", json=body, headers=headers, timeout=60)


def test_a_report_comes_before_the_answer(live_server: LiveServer, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/hook").respond_with_data("ok")
    adapter("smsprovider", live_server.url).call(to("+15550100915", callback_url=httpserver.url_for("/hook")))
    assert len(httpserver.log) == 1


def test_a_client_that_goes_ends_the_hanging(live_server: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    seen = watch_pauses(monkeypatch, over)
    headers = {"Authorization": f"Bearer {KEY}"}
    with pytest.raises(requests.Timeout):
        requests.post(
            f"{live_server.url}/sandbox/smsprovider/v1/messages",
            json={"to": "+15550100914", "message": "Hello"},
            headers=headers,
            timeout=0.3,
        )
    assert over.wait(60)
    assert seen[0] < outcomes.HANG / 2
    assert Message.objects.exists()


def watch_pauses(monkeypatch: pytest.MonkeyPatch, over: threading.Event) -> list[float]:
    """How long the long pauses took; ``over`` is set at the end of the first."""
    seen: list[float] = []
    original = sending.send

    def watched(account: object, op: object, pause: Callable[[float], None]) -> object:
        def timed(seconds: float) -> None:
            start = time.monotonic()
            pause(seconds)
            if seconds == outcomes.HANG:
                seen.append(time.monotonic() - start)
                over.set()

        return original(account, op, timed)

    monkeypatch.setattr(sending, "send", watched)
    return seen


def test_a_stopping_worker_ends_the_hanging(monkeypatch: pytest.MonkeyPatch) -> None:
    class Worker:
        alive = False

        def handle_exit(self, *args: object) -> None: ...

    monkeypatch.setattr(signal, "getsignal", lambda number: Worker().handle_exit)
    start = time.monotonic()
    waiting.pause_for(RequestFactory().get("/"))(outcomes.HANG)
    assert time.monotonic() - start < outcomes.HANG / 2


def test_a_pause_lasts_as_long_as_asked() -> None:
    start = time.monotonic()
    waiting.pause_for(RequestFactory().get("/"))(0.15)
    assert 0.15 <= time.monotonic() - start < outcomes.HANG / 2


@pytest.mark.parametrize(("data", "gone"), [(b"x", False), (b"", False), (None, True)])
def test_a_client_is_gone_when_it_closed_its_end(data: bytes | None, gone: bool) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        if data is None:
            theirs.close()
        else:
            theirs.sendall(data)
        assert waiting._gone(ours) is gone


def test_a_connection_that_is_gone_breaks_as_well() -> None:
    with socket.socket() as never_connected:
        request = SimpleNamespace(META={"gunicorn.socket": never_connected})
        with pytest.raises(ConnectionAbortedError, match="broke the connection off"):
            b"".join(waiting.break_off(request))


def test_gunicorns_socket_is_found() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert waiting.connection_of(SimpleNamespace(META={"gunicorn.socket": ours})) is ours
