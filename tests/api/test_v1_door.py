"""The door of /v1: who is let in, and what everybody else is told, in one shape and never with a 5xx."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from ninja import Schema

from api.models import Scope
from messaging.models import Campaign, Message, Template
from tests.api.calls import NUMBER, Program
from tests.base import account

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_queue")]

TEMPLATE = {"name": "Hello", "text": "Hello {name}"}


def error(reply: Any) -> tuple[int, str]:
    body = reply.json()
    assert body["success"] is False and set(body) == {"success", "error"}
    assert set(body["error"]) == {"code", "message"} and body["error"]["message"]
    assert reply["Content-Type"] == "application/json"
    assert all(reply.has_header(f"X-RateLimit-{name}") for name in ("Limit", "Remaining", "Reset"))
    return reply.status_code, body["error"]["code"]


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer x"}, {"authorization": "Basic eDp5"}])
@pytest.mark.parametrize("path", ["messages", "nowhere", "", "campaigns/1/pause"])
def test_nobody_comes_in_without_a_key(headers: dict[str, str], path: str) -> None:
    assert error(Client().get(f"/v1/{path}", headers=headers)) == (401, "authentication_failed")


@pytest.mark.parametrize(
    ("path", "status"), [("templates", 200), ("account", 200), ("templates/9", 404), ("webhooks/1/test", 405)]
)
def test_head_is_answered_as_get_without_the_body(path: str, status: int) -> None:
    program = Program(account())
    full, head = program.client.get(f"/v1/{path}"), program.client.head(f"/v1/{path}")
    assert (head.status_code, head.content, full.status_code) == (status, b"", status)
    names = ("Content-Type", "X-RateLimit-Limit", "Allow")
    assert [head.get(name) for name in names] == [full.get(name) for name in names]
    assert int(head["Content-Length"]) == len(full.content)


@pytest.mark.parametrize(
    ("method", "path", "body", "content_type", "expected"),
    [
        ("GET", "/v1/nowhere", b"", "", (404, "not_found")),
        ("GET", "/v1/", b"", "", (404, "not_found")),
        ("GET", "/v1/templates/%00", b"", "", (404, "not_found")),
        ("GET", "/v1/templates/99999999999999999999", b"", "", (404, "not_found")),
        ("GET", "/v1/templates/-1", b"", "", (404, "not_found")),
        ("PUT", "/v1/messages", b"", "", (405, "method_not_allowed")),
        ("GET", "/v1/templates?limit=0", b"", "", (422, "invalid_request")),
        ("GET", "/v1/templates?limit=201", b"", "", (422, "invalid_request")),
        ("GET", "/v1/templates?cursor=x", b"", "", (422, "invalid_request")),
        ("GET", "/v1/messages?text=%00", b"", "", (422, "invalid_request")),
        ("GET", "/v1/messages?since=yesterday", b"", "", (422, "invalid_request")),
        ("GET", "/v1/messages?" + "&".join(f"p{n}=1" for n in range(1_100)), b"", "", (400, "invalid_request")),
        ("POST", "/v1/templates", b"", "application/json", (422, "invalid_request")),
        ("POST", "/v1/templates", b"[]", "application/json", (422, "invalid_request")),
        ("POST", "/v1/templates", b'{"name": 1, "text": "x"}', "application/json", (422, "invalid_request")),
        ("POST", "/v1/templates", b'{"name": "x", "text": "x", "y": 1}', "application/json", (422, "invalid_request")),
        ("POST", "/v1/templates", b'{"name": "x"', "application/json", (400, "invalid_request")),
        ("POST", "/v1/templates", b'{"name": "\xff", "text": "x"}', "application/json", (400, "invalid_request")),
        ("POST", "/v1/templates", b'{"name": "\\ud800", "text": "x"}', "application/json", (400, "invalid_request")),
        ("POST", "/v1/templates", b'{"name": "\\u0000", "text": "x"}', "application/json", (400, "invalid_request")),
        ("POST", "/v1/templates", b"[" * 100_000, "application/json", (400, "invalid_request")),
        ("POST", "/v1/templates", b'{"name": NaN, "text": "x"}', "application/json", (400, "invalid_request")),
        (
            "POST",
            "/v1/templates",
            b"name=x&text=x",
            "application/x-www-form-urlencoded",
            (415, "unsupported_media_type"),
        ),
    ],
)
def test_what_cannot_be_understood_is_refused(
    method: str, path: str, body: bytes, content_type: str, expected: tuple[int, str]
) -> None:
    reply = Program(account()).client.generic(method, path, body, content_type)
    assert error(reply) == expected
    assert not Template.objects.exists()


def test_a_body_that_is_too_long_is_refused(settings: Any) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1_000
    reply = Program(account()).client.post("/v1/templates", b" " * 1_001, "application/json")
    assert error(reply) == (413, "request_too_large")


def test_a_fault_of_ours_has_the_same_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object) -> None:
        raise RuntimeError

    monkeypatch.setattr("api.v1.texts._template", fail)
    program = Program(account())
    assert error(program.client.post("/v1/templates", TEMPLATE, "application/json")) == (500, "internal_error")


def test_a_405_tells_what_there_is() -> None:
    reply = Program(account()).client.delete("/v1/messages")
    assert (reply.status_code, reply["Allow"]) == (405, "GET, POST")


# --- Scopes and limits -------------------------------------------------------------------------------

NEEDS = {
    Scope.READ: [
        ("GET", "messages"), ("GET", "messages/1/details"), ("GET", "campaigns"), ("GET", "devices"),
        ("GET", "accounts"), ("GET", "templates"), ("GET", "conversations"), ("GET", "webhooks"),
        ("DELETE", "webhooks/1"),
    ],
    Scope.SEND: [
        ("POST", "messages/actions"), ("POST", "campaigns"), ("POST", "campaigns/1/pause"), ("POST", "templates"),
        ("POST", "devices/sync"), ("POST", "conversations/1/close"),
    ],
    Scope.CONTACTS: [
        ("GET", "contacts"), ("POST", "contacts"), ("DELETE", "contacts/1"), ("GET", "lists"),
        ("GET", "lists/1/members"), ("POST", "lists/1/subscribe"), ("POST", "contacts/1/opt_in"),
    ],
    Scope.USSD: [("GET", "ussd"), ("POST", "ussd")],
    Scope.ADMIN: [("POST", "devices/1/pause"), ("POST", "devices/1/sims/0/resume")],
}  # fmt: skip


@pytest.mark.parametrize("scope", list(NEEDS))
def test_each_operation_needs_its_scope(scope: Scope) -> None:
    main = account()
    without = Program(main, scopes=[each.value for each in Scope if each not in (scope, Scope.ADMIN)])
    having = Program(main, scopes=[scope.value])
    for method, path in NEEDS[scope]:
        assert error(without.client.generic(method, f"/v1/{path}")) == (403, "forbidden"), path
        assert having.client.generic(method, f"/v1/{path}").status_code != 403, path


def test_limits_are_told_and_kept() -> None:
    program = Program(account(), rates=["2/minute"])
    left = [program.client.get(f"/v1/{path}")["X-RateLimit-Remaining"] for path in ("key", "nowhere")]
    refused = program.client.get("/v1/key")
    assert left == ["1", "0"]
    assert error(refused) == (429, "rate_limit_exceeded")
    assert 0 < int(refused["Retry-After"]) <= 61 and refused["X-RateLimit-Remaining"] == "0"


def test_a_key_tells_of_itself() -> None:
    main = account()
    program = Program(main, scopes=["read"], credits=5)
    status, told = program.get("key")
    assert (status, told["name"], told["scopes"], told["credits_remaining"]) == (200, "Shop", ["read"], 5)
    assert (told["sends_through_account_id"], told["cannot_send"]) == (str(main.pk), "")
    assert program.key not in str(told)
    main.enabled = False
    main.save()
    assert program.get("key")[1]["cannot_send"] == "The account “Main” of this API key is switched off. Switch it on."


# --- Once --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "body", "rows"),
    [
        ("templates", TEMPLATE, Template),
        ("campaigns", {"to": NUMBER, "message": "Hello"}, Campaign),
        ("messages", {"to": NUMBER, "message": "Hello"}, Message),
    ],
)
def test_a_post_with_the_same_name_is_done_once(path: str, body: dict[str, str], rows: Any) -> None:
    program = Program(account())
    name = {"Idempotency-Key": "order-1"}
    first, again = (program.client.post(f"/v1/{path}", body, "application/json", headers=name) for _ in range(2))
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert (first.get("Idempotent-Replayed"), again["Idempotent-Replayed"]) == (None, "true")
    assert again.has_header("X-RateLimit-Limit") and rows.objects.count() == 1
    other = program.client.post(f"/v1/{path}", {**body, "from": "x"}, "application/json", headers=name)
    assert other.status_code in (400, 422) and other.json()["success"] is False and rows.objects.count() == 1


def test_an_error_may_be_asked_again_with_the_same_name() -> None:
    program, name = Program(account()), {"Idempotency-Key": "order-1"}
    assert program.post("templates", {"name": "", "text": "x"}, **name)[0] == 422
    assert program.post("templates", TEMPLATE, **name)[0] == 201
    status, body = program.post("templates", {"name": "Other", "text": "x"}, **name)
    assert (status, body["error"]["code"]) == (422, "idempotency_key_reused")


# --- Where -------------------------------------------------------------------------------------------


def test_the_description_needs_no_key() -> None:
    reply = Client().get("/v1/openapi.json")
    assert (reply.status_code, reply["Content-Type"]) == (200, "application/json")
    assert reply.json()["openapi"].startswith("3.")
    page = Client().get("/v1/docs")
    assert page.status_code == 200 and "https://" not in page.text
    assert page.has_header("Content-Security-Policy")


def test_each_shape_of_the_description_has_a_name_of_its_own() -> None:
    """Two of one name would stand for each other."""
    names = [shape.__name__ for shape in set(shapes(Schema)) if shape.__module__.startswith("api.v1.")]
    assert [name for name, n in Counter(names).items() if n > 1] == []


def shapes(base: type[Schema]) -> Iterator[type[Schema]]:
    for shape in base.__subclasses__():
        yield shape
        yield from shapes(shape)


def test_it_is_an_api_without_cookies() -> None:
    assert settings.SESSION_COOKIE_NAME not in Program(account()).client.get("/v1/key").cookies
