from __future__ import annotations

from datetime import timedelta

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_httpserver import HTTPServer
from werkzeug.wrappers import Request as Received
from werkzeug.wrappers import Response

from providers import registry
from providers.errors import BadSignature
from providers.types import Event, Feature, Inbound, Report, Request, SendUssd, Status, UssdReply
from sandbox import agent
from sandbox.models import Message
from sandbox.sending import received
from tests.server import free_port

from .base import adapter, carrier, ids, to

pytestmark = pytest.mark.django_db
NUMBER = "+15550100001"


@pytest.fixture
def callback(httpserver: HTTPServer) -> str:
    httpserver.expect_request("/hook").respond_with_data("ok")
    return httpserver.url_for("/hook")


def requests_to(httpserver: HTTPServer) -> list[Request]:
    return [_request(asked) for asked, _ in httpserver.log]


def _request(asked: Received) -> Request:
    headers = {name.lower(): value for name, value in asked.headers.items()}
    return Request(asked.method, asked.path, tuple(asked.args.items(multi=True)), headers, asked.get_data())


def events(kind: str, httpserver: HTTPServer) -> list[Event]:
    """What was posted, read and verified by the adapter of the kind."""
    reader = adapter(kind, "http://unused")
    return [event for request in requests_to(httpserver) for event in reader.read_callback(request)]


def statuses(httpserver: HTTPServer, kind: str = "smsprovider") -> list[Status]:
    return [event.status for event in events(kind, httpserver) if isinstance(event, Report)]


def live_through(clock: time_machine.Traveller, seconds: float) -> None:
    """Let the agent tick ten times a second."""
    for _ in range(round(seconds * 10)):
        clock.shift(0.1)
        agent.tick()


def kinds_that(feature: Feature) -> list[str]:
    return [slug for slug, kind in registry.kinds().items() if feature in kind.adapter.supports]


@pytest.mark.parametrize("kind", kinds_that(Feature.REPORTS))
def test_reports_are_posted_signed(
    kind: str, callback: str, httpserver: HTTPServer, clock: time_machine.Traveller
) -> None:
    sent = ids(carrier(kind, webhook_url=callback).handle(to(NUMBER)))
    live_through(clock, 2)
    assert statuses(httpserver, kind) == [Status.SENT, Status.DELIVERED]
    assert {event.provider_id for event in events(kind, httpserver)} == set(sent)


@pytest.mark.parametrize("kind", kinds_that(Feature.INBOUND))
@pytest.mark.parametrize(("digits", "text"), [("904", "STOP"), ("913", "Thank you, that works for me.")])
def test_replies_are_posted_after_delivery(
    kind: str, digits: str, text: str, callback: str, httpserver: HTTPServer, clock: time_machine.Traveller
) -> None:
    carrier(kind, webhook_url=callback).handle(to(f"+15550100{digits}"))
    live_through(clock, 2)
    last = events(kind, httpserver)[-1]
    assert isinstance(last, Inbound)
    assert (last.text, last.number) == (text, f"+15550100{digits}")


@pytest.mark.parametrize("kind", kinds_that(Feature.USSD))
def test_ussd_answers_are_posted(
    kind: str, callback: str, httpserver: HTTPServer, clock: time_machine.Traveller
) -> None:
    carrier(kind, webhook_url=callback).handle(SendUssd("*100#", "2", 1))
    live_through(clock, 1.5)
    (event,) = events(kind, httpserver)
    assert isinstance(event, UssdReply)
    assert (event.code, event.device, event.sim) == ("*100#", "2", 1)
    assert "12.50 EUR" in event.response


@pytest.mark.parametrize(
    ("digits", "expected"),
    [
        ("901", [Status.SENT, Status.FAILED]),
        ("902", [Status.SENT, Status.EXPIRED]),
        ("903", [Status.SENT]),
        ("905", [Status.SENT, Status.DELIVERED, Status.DELIVERED]),
        ("906", [Status.DELIVERED, Status.SENT]),
        ("915", [Status.DELIVERED]),
    ],
)
def test_the_last_digits_decide_which_reports_come(
    digits: str, expected: list[Status], callback: str, httpserver: HTTPServer, clock: time_machine.Traveller
) -> None:
    carrier().handle(to(f"+15550100{digits}", callback_url=callback))
    live_through(clock, 3)
    assert statuses(httpserver) == expected
    assert not Message.objects.filter(next_at__isnull=False).exists()


def test_a_report_can_come_before_the_answer(callback: str, httpserver: HTTPServer) -> None:
    carrier().handle(to("+15550100915", callback_url=callback))
    assert statuses(httpserver) == [Status.DELIVERED]


def test_reports_go_where_the_message_said(
    callback: str, httpserver: HTTPServer, clock: time_machine.Traveller
) -> None:
    carrier(webhook_url="http://127.0.0.1:9/elsewhere").handle(to(NUMBER, callback_url=callback))
    live_through(clock, 2)
    assert len(statuses(httpserver)) == 2


def test_a_registered_secret_signs(callback: str, httpserver: HTTPServer, clock: time_machine.Traveller) -> None:
    carrier(webhook_secret="whsec_new").handle(to(NUMBER, callback_url=callback))
    live_through(clock, 1)
    with pytest.raises(BadSignature):
        events("smsprovider", httpserver)


def test_a_scheduled_message_is_reported_when_it_has_gone(
    callback: str, httpserver: HTTPServer, clock: time_machine.Traveller
) -> None:
    carrier().handle(to(NUMBER, callback_url=callback, schedule=timezone.now() + timedelta(seconds=2)))
    live_through(clock, 1.9)
    assert statuses(httpserver) == []
    live_through(clock, 1.5)
    assert statuses(httpserver) == [Status.SENT, Status.DELIVERED]


def test_what_is_overdue_comes_in_order(callback: str, httpserver: HTTPServer, clock: time_machine.Traveller) -> None:
    carrier().handle(to(NUMBER, callback_url=callback))
    clock.shift(3600)
    assert (agent.tick(), agent.tick(), agent.tick()) == (1, 1, 0)
    assert statuses(httpserver) == [Status.SENT, Status.DELIVERED]


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_callback_that_fails_is_tried_again(
    status: int, httpserver: HTTPServer, clock: time_machine.Traveller
) -> None:
    httpserver.expect_ordered_request("/hook").respond_with_response(Response(status=status))
    httpserver.expect_ordered_request("/hook").respond_with_data("ok")
    carrier().handle(to("+15550100903", callback_url=httpserver.url_for("/hook")))
    live_through(clock, 2)
    assert statuses(httpserver) == [Status.SENT, Status.SENT]


@pytest.mark.parametrize("status", [200, 204, 302, 400, 404])
def test_any_other_answer_ends_it(status: int, httpserver: HTTPServer, clock: time_machine.Traveller) -> None:
    httpserver.expect_request("/hook").respond_with_response(Response(status=status, headers={"Location": "/hook"}))
    carrier().handle(to("+15550100903", callback_url=httpserver.url_for("/hook")))
    live_through(clock, 3)
    assert statuses(httpserver) == [Status.SENT]


def test_a_callback_that_is_gone_is_tried_for_about_an_hour(clock: time_machine.Traveller) -> None:
    carrier().handle(to("+15550100903", callback_url=nobody()))
    tried = []
    clock.shift(0.3)
    while (row := Message.objects.get()).next_at:
        clock.move_to(row.next_at)
        tried.append(timezone.now())
        assert agent.tick() == 1
    assert len(tried) == 14
    assert timedelta(minutes=55) < tried[-1] - tried[0] < timedelta(minutes=75)


def test_a_dead_callback_holds_nobody_up(
    callback: str, httpserver: HTTPServer, clock: time_machine.Traveller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent, "THREADS", 1)
    agent._pool.cache_clear()
    tries = []
    send = agent._send
    monkeypatch.setattr(agent, "_send", lambda url, request: tries.append(url) or send(url, request))
    dead = nobody()
    engine = carrier(rates=[])
    engine.handle(to(*(f"+1555020{n:04d}" for n in range(20)), callback_url=dead))
    engine.handle(to(NUMBER, callback_url=callback))
    clock.shift(0.5)
    assert agent.tick() == 21
    agent._pool.cache_clear()
    assert tries.count(dead) == 1
    assert statuses(httpserver) == [Status.SENT]


def nobody() -> str:
    """An address on this machine where nobody listens."""
    return f"http://127.0.0.1:{free_port()}/hook"


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("http://127.0.0.1:8000/x", True),
        ("http://[::1]/x", True),
        ("http://localhost/x", True),
        ("https://dash.example/callbacks/t/", True),
        ("https://your-server.com/sms-webhook", False),
        ("http://169.254.169.254/latest", False),
        ("http://10.0.0.1/", False),
        ("http://127.0.0.1.nip.io/", False),
        ("http://[", False),
        ("", False),
    ],
)
def test_it_posts_to_this_installation_only(url: str, allowed: bool, settings: object) -> None:
    settings.SMSDASH_PUBLIC_URL = "https://dash.example"
    assert agent._allowed(url) is allowed


def test_a_callback_elsewhere_is_dropped(clock: time_machine.Traveller) -> None:
    carrier().handle(to("+15550100903", callback_url="https://your-server.com/sms-webhook"))
    live_through(clock, 1)
    assert Message.objects.get().next_at is None


def test_without_a_callback_there_is_nothing_to_do(clock: time_machine.Traveller) -> None:
    carrier().handle(to(NUMBER))
    clock.shift(5)
    assert agent.tick() == 0


def test_events_that_a_wire_lacks_are_left_out(callback: str, httpserver: HTTPServer) -> None:
    row = carrier("customersms", webhook_url=callback).account
    received(row, NUMBER, "Hi", timezone.now()).save()
    assert agent.tick() == 1
    assert httpserver.log == []
    assert agent.tick() == 0


def test_hundreds_of_reports_take_a_handful_of_statements(callback: str, clock: time_machine.Traveller) -> None:
    carrier().handle(to(*(f"+1555020{n:04d}" for n in range(500)), callback_url=callback))
    clock.shift(0.5)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert agent.tick() == agent.BATCH
    assert len(queries) <= 4
    assert agent.tick() + agent.tick() == 300
    clock.shift(1)
    while agent.tick():
        pass
    assert not Message.objects.filter(next_at__isnull=False).exists()
