from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client

from sandbox.models import Account, Message

from .base import KEY, account, carrier, to

pytestmark = pytest.mark.django_db


def post(what: str, key: str = KEY, /, **values: Any) -> tuple[int, dict[str, Any]]:
    body = json.dumps({"kind": "smsprovider", "key": KEY} | values)
    headers = {"authorization": f"Bearer {key}"} if key else {}
    response = Client().post(f"/sandbox/control/{what}/", body, content_type="application/json", headers=headers)
    return response.status_code, response.json()


def read(**query: Any) -> dict[str, Any]:
    headers = {"authorization": f"Bearer {KEY}"}
    response = Client().get("/sandbox/control/messages/", {"kind": "smsprovider", **query}, headers=headers)
    assert response.status_code == 200, response.content
    return response.json()


def test_an_account_is_set_up() -> None:
    status, answer = post(
        "account", credits=5, webhook_url="http://127.0.0.1:9/", webhook_secret="s", rates=["3/second"], latency=0.1
    )
    row = Account.objects.get()
    assert status == 200
    assert (row.credits, row.webhook_url, row.webhook_secret, row.rates, row.latency) == (
        5, "http://127.0.0.1:9/", "s", ["3/second"], 0.1,
    )  # fmt: skip
    assert (answer["credits"], answer["limited"]) == (5, 0)
    assert "webhook_secret" not in answer


def test_what_is_not_given_stays() -> None:
    account(credits=7)
    assert post("account", latency=0)[1]["credits"] == 7
    assert post("account", credits=None)[1]["credits"] is None


@pytest.mark.parametrize("what", ["account", "inbound"])
@pytest.mark.parametrize("key", ["", "sandbox-other", "wrong"])
def test_only_the_accounts_own_key_pulls_the_strings(what: str, key: str) -> None:
    assert post(what, key, number="+15550100001", text="Hi")[0] == 401
    assert not Account.objects.exists()


@pytest.mark.parametrize(
    "values",
    [
        {"kind": "pigeon"},
        {"kind": []},
        {"credits": "many"},
        {"credits": 1e300},
        {"rates": ["often"]},
        {"rates": 5},
        {"latency": 1000},
        {"latency": "nan"},
        {"webhook_url": []},
    ],
)
def test_nonsense_is_refused_with_a_sentence(values: dict[str, Any]) -> None:
    status, answer = post("account", **values)
    assert status == 400
    assert answer["error"]


def test_a_person_writes_to_the_account() -> None:
    account(webhook_url="http://127.0.0.1:9/")
    status, answer = post("inbound", number="+1 (555) 010-0001", text="Hi", to="+15550100999", device="1", sim=1)
    row = Message.objects.get()
    assert (status, answer) == (200, {"id": str(row.pk)})
    assert (row.number, row.text, row.sender, row.device, row.sim) == ("+15550100001", "Hi", "+15550100999", "1", 1)
    assert row.received
    assert row.next_at is not None


@pytest.mark.parametrize(
    "values", [{}, {"number": "x", "text": "Hi"}, {"number": "+15550100001", "text": [], "sim": 99}]
)
def test_a_message_needs_a_number_and_a_text(values: dict[str, Any]) -> None:
    assert post("inbound", **values)[0] == 400


@pytest.mark.usefixtures("clock")
def test_the_record_tells_how_often_each_message_was_taken() -> None:
    engine = carrier(rates=[])
    for number in ("+15550100001", "+15550100002", "+15550100001"):
        engine.handle(to(number))
    answer = read()
    assert answer["total"] == 3
    assert answer["counts"] == [
        {"number": "+15550100001", "text": "Hello", "taken": 2},
        {"number": "+15550100002", "text": "Hello", "taken": 1},
    ]
    assert [row["number"] for row in answer["messages"]] == ["+15550100001", "+15550100002", "+15550100001"]
    assert answer["messages"][0]["status"] == "queued"


def test_the_record_is_read_in_pages() -> None:
    carrier().handle(to(*(f"+1555010000{n}" for n in range(5))))
    seen, after = [], 0
    while after is not None:
        page = read(limit=2, after=after)
        seen += [row["number"] for row in page["messages"]]
        after = page["next"]
    assert seen == [f"+1555010000{n}" for n in range(5)]


def test_the_record_is_narrowed_by_number_and_text() -> None:
    carrier().handle(to("+15550100001", "+15550100002"))
    assert read(number="+15550100001", text="Hello")["total"] == 1
    assert read(text="Other")["messages"] == []


@pytest.mark.parametrize("query", [{"after": "x"}, {"limit": "x"}, {"after": "9" * 400}, {"limit": "-1"}])
def test_a_page_that_cannot_be_is_refused(query: dict[str, str]) -> None:
    headers = {"authorization": f"Bearer {KEY}"}
    response = Client().get("/sandbox/control/messages/", {"kind": "smsprovider", **query}, headers=headers)
    assert response.status_code in (200, 400)


def test_received_messages_are_not_on_the_record() -> None:
    post("inbound", number="+15550100001", text="Hi")
    assert read()["total"] == 0
