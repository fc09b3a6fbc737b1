"""All messages and all people of a filter, by /v1."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from contacts import changes
from contacts.models import ConsentEvent, Contact, ContactList, How
from messaging import bulk
from messaging.models import BulkAction, Message
from providers.models import ProviderAccount
from tests.api.calls import NUMBER, OTHER, Program
from tests.api.gateways import message
from tests.base import account

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_queue")]


# --- Messages --------------------------------------------------------------------------------------------


def act(program: Program, action: str, filters: dict[str, Any] | None = None, **more: Any) -> Any:
    status, told = program.post("messages/bulk", {"action": action, "filters": filters or {}, **more})
    assert status == 202, told
    return told


def statuses() -> list[str]:
    return list(Message.objects.order_by("pk").values_list("status", flat=True))


@pytest.mark.parametrize(
    ("reads_all", "bound", "canceled"), [(False, False, [0, 1]), (True, False, [0, 1, 2, 3]), (True, True, [0, 1, 2])]
)
def test_it_acts_on_what_the_key_may_act_on(
    main: ProviderAccount, reads_all: bool, bound: bool, canceled: list[int]
) -> None:
    program, other = Program(main, accounts=[main] if bound else [], reads_all=reads_all), Program(main)
    for where, key in ((main, program), (main, program), (main, other), (account("Other"), other)):
        message(where, key.row, status="queued")
    told = act(program, "cancel", {"status": "queued"})
    assert (told["messages"], told["left_out"], told["stopped"]) == (len(canceled), [], False)
    assert [n for n, word in enumerate(statuses()) if word == "canceled"] == canceled
    assert told["finished_at"] and BulkAction.objects.get().values["total"] is None
    assert program.get(f"messages/bulk/{told['bulk_id']}") == (200, told)
    assert other.get(f"messages/bulk/{told['bulk_id']}")[0] == 404


def test_each_action_does_what_it_does_with_named_messages(main: ProviderAccount) -> None:
    program = Program(main)
    for status in ("uncertain", "failed", "scheduled", "sent"):
        message(main, program.row, status=status, due_at=timezone.now() + timedelta(days=1))
    when = "2031-01-01T00:00:00Z"
    assert act(program, "reschedule", scheduled_at=when)["messages"] == 1
    assert program.get(f"messages/{Message.objects.get(status='scheduled').pk}/details")[1]["due_at"] == when
    settled = act(program, "count_as_sent")
    assert (settled["action"], settled["messages"]) == ("count_as_sent", 1)
    assert statuses() == ["sent", "failed", "scheduled", "sent"]
    assert act(program, "resend", {"status": "failed"})["messages"] == 1
    assert Message.objects.get(resend_of__status="failed").client == program.row.pk
    told = act(program, "resend", {"status": "failed"})["left_out"]
    assert told == [{"reason": "was resent already", "messages": 1}]


def test_the_rest_is_done_behind_the_answer_until_it_is_stopped(
    main: ProviderAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "AT_ONCE", 1)
    monkeypatch.setattr(bulk, "SLICE", 1)
    program = Program(main)
    for _ in range(3):
        message(main, program.row, status="queued")
    told = act(program, "cancel")
    assert (told["messages"], told["finished_at"]) == (1, None)
    status, stopped = program.post(f"messages/bulk/{told['bulk_id']}/stop")
    assert (status, stopped["stopped"], statuses()) == (200, True, ["queued", "queued", "canceled"])
    again = act(program, "cancel")
    bulk.work(int(again["bulk_id"]), "")
    assert program.get(f"messages/bulk/{again['bulk_id']}")[1]["messages"] == 2


def test_it_is_begun_once(main: ProviderAccount) -> None:
    program = Program(main)
    body, name = {"action": "cancel", "filters": {}}, {"Idempotency-Key": "one"}
    assert program.post("messages/bulk", body, **name) == program.post("messages/bulk", body, **name)
    assert BulkAction.objects.count() == 1


@pytest.mark.parametrize(
    ("settings", "body", "status"),
    [
        ({}, {"action": "cancel"}, 422),
        ({}, {"action": "cancel", "filters": {"state": "queued"}}, 422),
        ({}, {"action": "cancel", "filters": {"device_id": "999999999999"}}, 422),
        ({}, {"action": "resend", "filters": {}, "account_id": "999999999999"}, 404),
        ({"credits": 5}, {"action": "resend", "filters": {}}, 422),
        ({"scopes": ["read"]}, {"action": "cancel", "filters": {}}, 403),
    ],
)
def test_what_cannot_be_begun_is_refused(
    main: ProviderAccount, settings: dict[str, Any], body: dict[str, Any], status: int
) -> None:
    assert Program(main, **settings).post("messages/bulk", body)[0] == status
    assert not BulkAction.objects.exists()


# --- People ----------------------------------------------------------------------------------------------


def ask(program: Program, action: str, filters: dict[str, Any], **more: Any) -> Any:
    status, told = program.post("contacts/bulk", {"action": action, "filters": filters, **more})
    assert status == 202, told
    return told


def test_people_of_a_filter_are_changed_and_the_key_is_named(main: ProviderAccount) -> None:
    program, news = Program(main), ContactList.objects.create(name="News")
    Contact.objects.bulk_create([Contact(number=NUMBER, name="Ann"), Contact(number=OTHER, name="Bob")])
    there = {"list_id": str(news.pk)}
    told = ask(program, "add", {"text": "Ann"}, to_list_id=str(news.pk))
    assert (told["people"], told["finished_at"] is not None) == (1, True)
    left_out = ask(program, "add", {}, to_list_id=str(news.pk))["left_out"]
    assert left_out == [{"reason": "were so already", "people": 1}]
    assert ask(program, "unsubscribe", there, reason="asked")["people"] == 2
    assert ask(program, "subscribe", {**there, "status": "unsubscribed"})["people"] == 2
    removed = ask(program, "remove", there)
    assert (removed["people"], removed["can_be_undone"]) == (2, True)
    status, back = program.post(f"contacts/bulk/{removed['bulk_id']}/undo")
    assert (status, back["action"], back["people"]) == (200, "restore", 2)
    assert program.post(f"contacts/bulk/{removed['bulk_id']}/undo")[0] == 409
    assert ask(program, "opt_out", {"text": "Bob"})["people"] == 1
    assert ask(program, "opt_in", {"status": "opted_out"}, reason="They wrote")["people"] == 1
    assert set(ConsentEvent.objects.values_list("how", "by")) == {(How.API, "Shop")}
    assert ask(program, "delete", {"text": "Bob"})["people"] == 1
    assert list(Contact.objects.values_list("name", flat=True)) == ["Ann"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"action": "remove", "filters": {}}, 422),
        ({"action": "add", "filters": {}}, 422),
        ({"action": "add", "filters": {}, "to_list_id": "999999999999"}, 404),
        ({"action": "opt_in", "filters": {}}, 422),
        ({"action": "delete", "filters": {"status": "unsubscribed"}}, 422),
        ({"action": "restore", "filters": {}}, 422),
        ({"action": "delete"}, 422),
    ],
)
def test_nobody_is_changed_by_mistake(main: ProviderAccount, body: dict[str, Any], status: int) -> None:
    Contact.objects.create(number=NUMBER)
    assert Program(main).post("contacts/bulk", body)[0] == status
    assert Contact.objects.count() == 1


def test_a_change_is_stopped(main: ProviderAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "AT_ONCE", 1)
    Contact.objects.bulk_create([Contact(number=number) for number in (NUMBER, OTHER)])
    program = Program(main)
    told = ask(program, "opt_out", {})
    assert (told["people"], told["finished_at"]) == (1, None)
    status, stopped = program.post(f"contacts/bulk/{told['bulk_id']}/stop")
    assert (status, stopped["stopped"], program.get(f"contacts/bulk/{told['bulk_id']}")[1]) == (200, True, stopped)
