"""The same POST twice: done once, answered twice, also at the same time and over a crash."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.test import RequestFactory
from django.utils import timezone

from api import idempotency, keys
from api.models import Answered, ApiKey
from messaging import campaigns, ledger, wakeup
from messaging.campaigns import Draft
from messaging.models import Message
from providers import errors
from tests.api.calls import Program
from tests.base import account

BODY = b'{"to": "+11234567890"}'


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> ApiKey:
    monkeypatch.setattr(wakeup, "async_task", lambda *arguments: None)
    return keys.create("Shop", account())[0]


def request(name: str | None = "order-1", path: str = "/v1/messages", method: str = "POST") -> HttpRequest:
    headers = {} if name is None else {"Idempotency-Key": name}
    return RequestFactory().generic(method, path, BODY, "application/json", headers=headers)


def send(key: ApiKey, status: int = 200) -> HttpResponse:
    campaign = campaigns.submit(Draft(key.account, ["+11234567890"], "Hello"))
    return JsonResponse({"message_id": str(campaign.pk)}, status=status)


def once(key: ApiKey, asked: HttpRequest, body: bytes = BODY, status: int = 200) -> HttpResponse:
    return idempotency.once(key, asked, body, lambda: send(key, status))


@pytest.mark.django_db(transaction=True)
def test_twenty_at_once_send_one_message(key: ApiKey) -> None:
    def ask(_n: int) -> tuple[int, bytes, str | None]:
        try:
            said = once(key, request())
            return said.status_code, said.content, said.get(idempotency.REPLAYED)
        finally:
            connection.close()

    with ThreadPoolExecutor(20) as threads:
        answers = list(threads.map(ask, range(20)))
    assert Message.objects.count() == 1
    assert {(status, body) for status, body, _replayed in answers} == {answers[0][:2]}
    assert sorted(str(replayed) for _status, _body, replayed in answers) == ["None", *["true"] * 19]


@pytest.mark.django_db(transaction=True)
def test_a_crash_before_the_commit_leaves_nothing(key: ApiKey, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_arguments: object) -> None:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(idempotency, "_keep", crash)
        with pytest.raises(SystemExit):
            once(key, request())
    assert not Message.objects.exists() and not Answered.objects.exists()
    assert not ledger._open.deltas
    assert once(key, request()).get(idempotency.REPLAYED) is None
    assert Message.objects.count() == 1


@pytest.mark.django_db
def test_the_answer_is_given_again_with_its_headers(key: ApiKey) -> None:
    first, again = once(key, request(), status=201), once(key, request())
    assert (again.status_code, again.content, again["Content-Type"]) == (201, first.content, "application/json")
    assert Message.objects.count() == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("path", ["webhooks", "webhooks/as/standard"])
def test_a_host_is_looked_up_once_and_before_the_transaction(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    program, looked = Program(account()), []

    def resolve(*_arguments: object, **_more: object) -> list[tuple[Any, ...]]:
        looked.append(connection.in_atomic_block)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("8.8.8.8", 443))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    asked = {"url": "https://shop.example/hook", "events": ["message.sent"]}
    answers = [program.post(path, asked, **{"Idempotency-Key": "one"}) for _n in range(2)]
    assert answers[0][0] == 201 and answers[0] == answers[1]
    assert looked == [False]


@pytest.mark.django_db
@pytest.mark.parametrize("status", [401, 402, 422, 429, 500])
def test_an_error_takes_everything_back_and_is_not_kept(key: ApiKey, status: int) -> None:
    assert once(key, request(), status=status).status_code == status
    assert not Message.objects.exists() and not Answered.objects.exists()
    assert once(key, request()).status_code == 200


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("asked", "body"),
    [(request(), b"{}"), (request(path="/v1/campaigns"), BODY), (request(path="/v1/messages?x=1"), BODY)],
)
def test_another_request_with_the_same_name_is_refused(key: ApiKey, asked: HttpRequest, body: bytes) -> None:
    once(key, request())
    with pytest.raises(errors.InvalidRequest) as refused:
        once(key, asked, body)
    assert refused.value.code == idempotency.REUSED
    assert Message.objects.count() == 1


@pytest.mark.django_db
def test_each_api_key_has_names_of_its_own(key: ApiKey) -> None:
    other = keys.create("Other", key.account)[0]
    assert once(key, request()).content != once(other, request()).content


@pytest.mark.django_db
@pytest.mark.parametrize("asked", [request(None), request(method="PUT")])
def test_without_a_name_or_a_post_each_is_a_request_of_its_own(key: ApiKey, asked: HttpRequest) -> None:
    assert once(key, asked).content != once(key, asked).content


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["", "x" * 256, "a b", "naïve"])
def test_a_name_that_is_none_is_refused(key: ApiKey, name: str) -> None:
    with pytest.raises(errors.InvalidRequest) as refused:
        once(key, request(name))
    assert refused.value.code == idempotency.INVALID


@pytest.mark.django_db
def test_answers_are_forgotten_after_three_days(key: ApiKey) -> None:
    once(key, request())
    assert not idempotency.outdated(timezone.now() + timedelta(days=2.9)).exists()
    assert idempotency.outdated(timezone.now() + timedelta(days=3.1)).exists()
