"""Addresses that strangers name: what is refused, and that the connection goes where the look went."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from providers import guard
from providers.models import AllowedHost

pytestmark = [pytest.mark.django_db, pytest.mark.once]

PUBLIC = "93.184.216.34"


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """What the world's name servers say; each look is noted under ``looks``."""
    known: dict[str, list[str]] = {"looks": []}

    def look_up(name: str, port: int) -> list[tuple[Any, ...]]:
        known["looks"].append(name)
        if name not in known:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(None, None, None, "", (address, port)) for address in known[name]]

    monkeypatch.setattr(guard, "_look_up", look_up)
    return known


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.8.9.1", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
        "192.0.0.1", "192.0.2.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "192.88.99.1",
        "::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::1",
        "2002:7f00:1::", "2001::1", "2001:20::1", "2001:db8::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12::1",
        "ff02::1", "5f00::1", "3fff::1", "100::1",
    ],
)  # fmt: skip
def test_it_refuses_what_is_not_public(names: dict[str, list[str]], address: str) -> None:
    names["hook.example"] = [address]
    with pytest.raises(guard.PrivateHost, match="private network"):
        guard.check("https://hook.example/x")


@pytest.mark.parametrize("address", [PUBLIC, "8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8"])
def test_it_lets_the_public_pass(names: dict[str, list[str]], address: str) -> None:
    names["hook.example"] = [address]
    guard.check("https://hook.example/x?y=z")


def test_one_private_address_among_public_ones_is_enough(names: dict[str, list[str]]) -> None:
    names["hook.example"] = [PUBLIC, "2606:4700::1111", "10.0.0.1"]
    with pytest.raises(guard.PrivateHost):
        guard.check("https://hook.example/")


@pytest.mark.parametrize(
    "url",
    [
        "", "hook.example", "//hook.example/", "ftp://hook.example/", "file:///etc/passwd", "https://", "https:///x",
        "http://user@hook.example/", "http://user:pw@hook.example/", "http://[::1/",
        "gopher://hook.example", "javascript:alert(1)", "http://hook.example:99999/", "http://hook.example:x/",
    ],
)  # fmt: skip
def test_it_refuses_what_is_no_plain_web_address(names: dict[str, list[str]], url: str) -> None:
    names["hook.example"] = [PUBLIC]
    with pytest.raises(guard.Refused):
        guard.check(url)
    with pytest.raises(guard.Refused), guard.session() as calls:
        guard.exchange(calls, "POST", url, body=b"x")
    assert names["looks"] == []


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f000001", "017700000001", "LOCALHOST", "localhost."])
def test_no_spelling_of_this_machine_passes(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    real = guard._look_up
    monkeypatch.setattr(guard, "_look_up", lambda name, port: real(_plain(name), port))
    with pytest.raises(guard.PrivateHost):
        guard.check(f"http://{host}/")


def _plain(name: str) -> str:
    """As the machine's own reader of addresses takes it: tests look up no other names."""
    return name if name == "localhost" else socket.inet_ntoa(socket.inet_aton(name))


def test_a_name_that_nobody_knows_is_told_apart(names: dict[str, list[str]]) -> None:
    with pytest.raises(guard.UnknownHost, match=r"no host named hook\.exmaple"):
        guard.check("https://hook.exmaple/")


def test_a_name_that_turns_private_after_the_look_is_refused(names: dict[str, list[str]]) -> None:
    names["hook.example"] = [PUBLIC]
    guard.check("http://hook.example/")
    names["hook.example"] = ["127.0.0.1"]
    with guard.session() as calls, pytest.raises(guard.PrivateHost):
        guard.exchange(calls, "POST", "http://hook.example/")


def test_it_connects_where_it_looked_and_looks_once(names: dict[str, list[str]], httpserver: HTTPServer) -> None:
    """The name stays in Host; the second address is tried when nobody listens at the first."""
    AllowedHost.objects.create(name="Hook.Example.")
    names["hook.example"] = ["127.0.0.2", "127.0.0.1"]
    httpserver.expect_request("/x").respond_with_handler(lambda request: Response(request.headers["Host"]))
    headers, body = guard.fetch(f"http://hook.example:{httpserver.port}/x", 100)
    assert (body.decode(), headers["content-type"]) == (f"hook.example:{httpserver.port}", "text/plain; charset=utf-8")
    assert names["looks"] == ["hook.example"]


def test_an_allowed_host_allows_no_other(httpserver: HTTPServer) -> None:
    AllowedHost.objects.create(name="localhost")
    guard.check(httpserver.url_for("/"))
    with pytest.raises(guard.PrivateHost) as refused:
        guard.check(f"http://127.0.0.1:{httpserver.port}/")
    assert refused.value.host == "127.0.0.1"


@pytest.fixture
def allowed() -> None:
    AllowedHost.objects.create(name="localhost")


def test_it_follows_no_redirect_and_keeps_no_cookie(allowed: None, httpserver: HTTPServer) -> None:
    where = {"Location": httpserver.url_for("/secret"), "Set-Cookie": "a=b"}
    httpserver.expect_request("/x").respond_with_data("moved", 302, where)
    with guard.session() as calls:
        answers = [guard.exchange(calls, "GET", httpserver.url_for("/x")) for _ in range(2)]
    assert [answer.status for answer in answers] == [302, 302]
    assert all("Cookie" not in request.headers for request, _response in httpserver.log)
    with pytest.raises(guard.Failed, match="302"):
        guard.fetch(httpserver.url_for("/x"), 100)


def test_the_environment_counts_for_nothing(
    allowed: None, httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Neither its proxies nor the passwords that somebody keeps there."""
    (tmp_path / "netrc").write_text("machine localhost login me password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    httpserver.expect_request("/x").respond_with_data("here")
    assert guard.fetch(httpserver.url_for("/x"), 100)[1] == b"here"
    ((request, _response),) = httpserver.log
    assert "Authorization" not in request.headers


def test_it_reads_no_further_than_it_was_told(allowed: None, httpserver: HTTPServer) -> None:
    def endless(request: Request) -> Response:
        return Response((b"x" * 65_536 for _ in range(100_000)), direct_passthrough=True)

    httpserver.expect_request("/endless").respond_with_handler(endless)
    with guard.session() as calls:
        assert len(guard.exchange(calls, "GET", httpserver.url_for("/endless"), limit=100).body) == 100
    with pytest.raises(guard.Failed, match="longer than 1000 bytes"):
        guard.fetch(httpserver.url_for("/endless"), 1_000)


@pytest.fixture
def dripping() -> Iterator[str]:
    """A server that sends a byte of its headers now and then, and never comes to an end."""
    listener, over = socket.create_server(("127.0.0.1", 0)), threading.Event()

    def serve() -> None:
        connection, _peer = listener.accept()
        with connection:
            connection.recv(1_000)
            connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
            while not over.wait(0.02):
                try:
                    connection.sendall(b"x")
                except OSError:
                    return

    thread = threading.Thread(target=serve)
    thread.start()
    yield f"http://localhost:{listener.getsockname()[1]}/"
    over.set()
    thread.join()
    listener.close()


def test_an_answer_that_trickles_is_cut(allowed: None, dripping: str) -> None:
    begun = time.monotonic()
    with guard.session() as calls, pytest.raises(guard.Failed, match="in time"):
        guard.exchange(calls, "POST", dripping, longest=0.3)
    assert time.monotonic() - begun < 20


def test_a_call_that_brings_nothing_says_why(allowed: None) -> None:
    with pytest.raises(guard.Failed, match="Connection refused"):
        guard.fetch("http://localhost:1/", 100)
