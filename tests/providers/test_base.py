"""What every provider gets from the base: requests over real sockets, errors that say what left, clean traces."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from urllib.parse import quote, quote_plus, urlencode

import pytest

from providers import errors, redaction, watchdog
from providers import transport as http
from providers.adapters.customersms import Adapter as CustomerSms
from providers.base import HttpTransport, basic_auth, matched, retry_after
from providers.types import Account, Outgoing, Reply, Request, Send, Trace

from . import cases

POST = Request("POST", "/x", (("a", "b c"),), {"content-type": "text/plain"}, b"hello")
SECRET = 'cs/pro+ k"é\\y'
SEND = Send((Outgoing("+1234567890", "Hi"),))
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Thing: Yes\r\n\r\nhi"

Behaviour = Callable[[socket.socket], object]


@contextmanager
def server(*behaviours: Behaviour) -> Iterator[str]:
    """A server that treats its first connection with the first behaviour, and so on; yields its base URL."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(60)

        def run() -> None:
            for behave in behaviours:
                connection, _ = listening.accept()
                with connection:
                    connection.settimeout(60)
                    behave(connection)

        thread = threading.Thread(target=run)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/base/"
        thread.join(60)
        assert not thread.is_alive()


def request_of(connection: socket.socket) -> bytes:
    """Read one whole request."""
    data = b""
    while not data.endswith(POST.body):
        data += connection.recv(65536)
    return data


def answering(answer: bytes, seen: list[bytes] | None = None) -> Behaviour:
    def behave(connection: socket.socket) -> None:
        request = request_of(connection)
        if seen is not None:
            seen.append(request)
        connection.sendall(answer)

    return behave


def answer_once(connection: socket.socket) -> None:
    """Answer one request and keep the connection open until the client closes it."""
    answering(OK)(connection)
    assert connection.recv(1) == b""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def test_it_sends_the_request_and_reads_the_answer() -> None:
    seen: list[bytes] = []
    with server(answering(OK, seen)) as url:
        reply = HttpTransport(url)(POST)
    assert (reply.status, reply.body, reply.headers["x-thing"]) == (200, b"hi", "Yes")
    assert seen[0].startswith(b"POST /base/x?a=b+c HTTP/1.1\r\n")
    assert b"content-type: text/plain" in seen[0]
    assert seen[0].endswith(b"\r\n\r\nhello")


def test_a_refused_connection_is_unreachable() -> None:
    with pytest.raises(errors.Unreachable, match="Connection refused"):
        HttpTransport(f"http://127.0.0.1:{free_port()}")(POST)


def test_a_name_that_is_nowhere_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(errors.Unreachable):
        HttpTransport("http://nowhere.invalid")(POST)


def test_a_server_that_speaks_no_tls_is_unreachable() -> None:
    with (
        server(lambda connection: connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as url,
        pytest.raises(errors.Unreachable),
    ):
        HttpTransport(url.replace("http://", "https://"))(POST)


@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhi", b"nonsense\r\n\r\n",
     b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhi",
     b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nhi"],
    ids=["nothing", "half_a_body", "nonsense", "half_a_chunk", "false_gzip"],
)  # fmt: skip
def test_an_answer_that_breaks_off_is_uncertain(answer: bytes) -> None:
    with server(answering(answer)) as url, pytest.raises(errors.Uncertain) as caught:
        HttpTransport(url)(POST)
    assert type(caught.value) is errors.Uncertain


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi"])
def test_an_answer_that_does_not_come_is_uncertain(start: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "TIMEOUT", (3.0, 0.2))

    def stall(connection: socket.socket) -> None:
        request_of(connection)
        connection.sendall(start)
        assert connection.recv(1) == b""

    with server(stall) as url, pytest.raises(errors.Uncertain):
        HttpTransport(url)(POST)


def test_it_never_sends_a_request_again_by_itself() -> None:
    seen: list[bytes] = []
    with server(answering(b"", seen)) as url, pytest.raises(errors.Uncertain):
        HttpTransport(url)(POST)
    assert len(seen) == 1


def test_it_does_not_follow_a_redirect() -> None:
    redirect = f"HTTP/1.1 307 Moved\r\nLocation: http://127.0.0.1:{free_port()}/\r\nContent-Length: 0\r\n\r\n"
    with server(answering(redirect.encode())) as url:
        reply = HttpTransport(url)(POST)
    assert reply.status == 307


def test_it_stops_reading_an_endless_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "REPLY_LIMIT", 1_000)
    with (
        server(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n" + b"x" * 2_000)) as url,
        pytest.raises(errors.BadAnswer),
    ):
        HttpTransport(url)(POST)


def test_it_opens_a_new_connection_after_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "IDLE", -1.0)
    with server(answer_once, answering(OK)) as url:
        transport = HttpTransport(url)
        assert transport(POST).status == transport(POST).status == 200


def test_it_keeps_a_connection_that_is_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "IDLE", 60.0)

    def twice(connection: socket.socket) -> None:
        answering(OK)(connection)
        answering(OK)(connection)

    with server(twice) as url:
        transport = HttpTransport(url)
        assert transport(POST).status == transport(POST).status == 200


def test_each_connection_has_its_own_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that waits below the others in the pool is not fresh because they are."""
    monkeypatch.setattr(watchdog, "IDLE", 60.0)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        pool = watchdog._Pool(*listening.getsockname(), maxsize=2)
        both = [pool._get_conn(), pool._get_conn()]
        for connection in both:
            connection.connect()
            pool._put_conn(connection)
        both[0].put_back -= 61
        again = {pool._get_conn(), pool._get_conn()}
        assert again == set(both) and [connection.sock is None for connection in both] == [True, False]
        both[1].close()


@pytest.mark.parametrize("url", ["customersms.pro", "ftp://customersms.pro", "http://", "http://[", "http://a b/"])
def test_a_base_url_that_is_none_is_a_wrong_address(url: str) -> None:
    with pytest.raises(errors.ProviderError) as caught:
        HttpTransport(url)(POST)
    assert isinstance(caught.value, errors.WrongAddress)


@pytest.mark.parametrize("value", ["Bearer ключ", "Bearer a\nb", "Bearer a\r\nX: y"])
def test_credentials_that_no_header_can_hold_are_refused(value: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening, pytest.raises(errors.KeyRefused):
        transport = HttpTransport(f"http://127.0.0.1:{listening.getsockname()[1]}")
        transport(Request("GET", "/x", headers={"authorization": value}))


class Echo(CustomerSms):
    """Writes its key in every way a wire might, and is answered with all of it."""

    def write_send(self, op: Send) -> Request:
        key = self.account.credentials["api_key"]
        headers = {"authorization": basic_auth(key, key), "x-key": key}
        form = urlencode({"key": key}).encode()
        body = super().write_send(op).body
        return Request("POST", f"/{quote(key)}", (("key", key),), headers, body + b"\n" + form)


def traced(reply: Callable[[Request], Reply]) -> tuple[Trace, errors.ProviderError]:
    traces: list[Trace] = []
    with pytest.raises(errors.ProviderError) as caught:
        Echo(Account("http://x.example", {"api_key": SECRET}), reply).call(SEND, traces)
    return traces[0], caught.value


def spellings() -> list[str]:
    return [SECRET, quote(SECRET), quote(SECRET, safe=""), quote_plus(SECRET),
            json.dumps(SECRET)[1:-1], json.dumps(SECRET, ensure_ascii=False)[1:-1],
            basic_auth(SECRET, SECRET)]  # fmt: skip


@pytest.mark.parametrize("secret", spellings())
def test_no_spelling_of_a_secret_gets_into_a_trace(secret: str) -> None:
    def echo(request: Request) -> Reply:
        location = f"http://x.example{request.path}?{urlencode(request.query)}"
        return Reply(200, {"location": location}, request.body)

    trace, error = traced(echo)
    shown = [trace.url, *trace.request_headers.values(), trace.request_body, *trace.reply_headers.values(),
             trace.reply_body, trace.error, str(error)]  # fmt: skip
    assert [text for text in shown if secret in text] == []
    assert "•••" in trace.request_body


@pytest.mark.parametrize("offset", range(0, 16, 3))
def test_a_cut_leaves_no_half_of_a_secret(offset: int) -> None:
    padding = b"x" * (redaction.BODY_KEPT - offset)
    trace, _ = traced(lambda request: Reply(500, {}, padding + SECRET.encode()))
    assert SECRET[:3] not in trace.reply_body


@pytest.mark.parametrize("offset", range(0, 16, 3))
def test_a_quoted_answer_leaves_no_half_of_a_secret(offset: int) -> None:
    for status in (200, 400, 500):
        body = b"x" * (120 - offset) + SECRET.encode()
        _, error = traced(lambda request, status=status, body=body: Reply(status, {}, body))  # type: ignore[misc]
        assert SECRET[:3] not in str(error)


def test_a_trace_tells_what_went_out_and_came_back() -> None:
    traces: list[Trace] = []
    adapter = cases.make_adapter("customersms", cases.json_reply(cases.data("customersms", "sent.json")))
    adapter.call(Send(tuple(Outgoing(number, "Hi") for number in ("+12125551234", "+13235554567"))), traces)
    [trace] = traces
    assert (trace.verb, trace.method, trace.status, trace.error) == ("send", "POST", 200, "")
    assert trace.url == "https://customersms.pro/sms_system/api.php"
    assert '"api_key":"•••"' in trace.request_body and "msg_123456" in trace.reply_body


def test_retry_after_is_seconds_or_a_date_or_the_reset() -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    window = {"x-ratelimit-limit": "10", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "9"}
    assert retry_after({"retry-after": "7"}) == 7.0
    assert retry_after({"retry-after": later}) == pytest.approx(60, abs=30)
    assert retry_after({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0.0
    assert retry_after(window) == 9.0
    assert retry_after({"retry-after": "soon"}) is None
    assert retry_after({"retry-after": "1e9"}) == 86_400.0
    assert retry_after({}) is None


@pytest.mark.parametrize("value", ["nan", "inf", "-5", "1e400", "Wed, 99 Oct 2015 07:28:00 GMT"])
def test_retry_after_is_a_time_that_can_be_waited(value: str) -> None:
    assert retry_after({"retry-after": value}) in (None, 0.0)


def test_a_date_without_a_zone_is_read_as_utc() -> None:
    later = (datetime.now(UTC) + timedelta(seconds=60)).strftime("%a, %d %b %Y %H:%M:%S")
    assert retry_after({"retry-after": later}) == pytest.approx(60, abs=30)


def test_a_character_that_cannot_be_sent_is_refused_before_anything_left() -> None:
    adapter = cases.make_adapter("customersms")
    with pytest.raises(errors.InvalidRequest):
        adapter.call(Send((Outgoing("+1234567890", "\ud800"),)))
    assert adapter.transport.requests == []  # type: ignore[attr-defined]


def test_entries_are_matched_by_number_each_once() -> None:
    op = Send(tuple(Outgoing(number, "Hi") for number in ("+1111111", "+2222222", "+1111111")))
    assert matched(op, ["1111111", "+1111111"], str) == ["1111111", None, "+1111111"]
    assert matched(op, ["x", "+2222222", "y"], str) == ["x", "+2222222", "y"]
