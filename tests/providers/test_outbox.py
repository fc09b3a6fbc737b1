"""What somebody wants to hear of is written with what happened, once and in order, and nothing else is."""

from __future__ import annotations

import threading

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from contacts import consent
from contacts.models import Contact
from devices import ussd
from devices.models import UssdRequest
from messaging import ledger
from messaging.ledger import Change, Known
from messaging.models import Message
from providers import outbox
from providers.models import Occurrence
from providers.types import Status, UssdReply
from tests.base import account

pytestmark = pytest.mark.django_db

WRITING = f"INTO {Occurrence._meta.db_table}"


def written() -> list[tuple[str, int]]:
    return list(Occurrence.objects.order_by("pk").values_list("name", "subject"))


def messages(n: int, status: Status = Status.QUEUED) -> list[Message]:
    row = account()
    return ledger.insert([Message(account=row, number="+15550100001", text="x", status=status) for _ in range(n)])


def test_only_what_is_wanted_is_written_and_in_its_order() -> None:
    outbox.want(["a", "c"])
    outbox.put_all([("c", 9), ("b", 1), ("a", 2), ("c", 1)])
    assert written() == [("c", 9), ("a", 2), ("c", 1)]
    outbox.want(["b"])
    outbox.put({"a": [3], "b": [4, 5]})
    assert [(each.name, each.subject) for each in outbox.take(4)] == [("c", 9), ("a", 2), ("c", 1), ("b", 4)]
    assert written() == [("b", 5)]
    assert outbox.waiting()


def test_what_was_taken_is_back_when_the_taker_breaks_off() -> None:
    outbox.want(["a"])
    outbox.put({"a": [1, 2]})
    with pytest.raises(RuntimeError), transaction.atomic():
        assert len(outbox.take(10)) == 2
        raise RuntimeError
    assert written() == [("a", 1), ("a", 2)]


@pytest.mark.django_db(transaction=True)
def test_nobody_takes_beside_another() -> None:
    """Of two at once one would write what happened later first."""
    outbox.want(["a"])
    outbox.put({"a": [1, 2]})
    taking, taken = threading.Event(), threading.Event()
    second: list[int] = []

    def other() -> None:
        taking.wait(60)
        if connection.vendor == "postgresql":  # on SQLite it waits for the first to be through
            second.append(len(outbox.take(10)))
        taken.set()
        connection.close()

    thread = threading.Thread(target=other)
    thread.start()
    with transaction.atomic():
        assert len(outbox.take(1)) == 1
        taking.set()
        assert taken.wait(60)
    thread.join()
    assert second in ([], [0])
    assert written() == [("a", 2)]


TOLD = {status: f"message.{status}" for status in (*Status,) if status in ledger.TOLD}


def test_every_end_and_every_step_out_of_the_house_is_told() -> None:
    outbox.want(TOLD.values())
    for status in (Status.SENT, Status.DELIVERED, Status.FAILED, Status.EXPIRED, Status.CANCELED, Status.UNCERTAIN):
        (row,) = ledger.insert([Message(account=account(status), number="+15550100001", text="x", status="queued")])
        ledger.apply([Change(row.pk, status)])
        ledger.apply([Change(row.pk, status)])  # a report that comes twice
        assert [(each.name, each.subject) for each in outbox.take(9)] == [(f"message.{status}", row.pk)]


def test_each_way_of_changing_tells_of_it() -> None:
    outbox.want(TOLD.values())
    one, two, three, four = messages(4)
    known = {row.pk: Known(Status.QUEUED, row.account_id, None, ledger.hour_of(row.created_at)) for row in (one, two)}
    with ledger.together():
        ledger.settle([Change(one.pk, Status.SENT), Change(two.pk, Status.FAILED)], known)
        ledger.apply([Change(one.pk, Status.DELIVERED)])
        ledger.move({three.pk: Known(Status.QUEUED, three.account_id, None, 0)}, Status.CANCELED)
        ledger.move({four.pk: Known(Status.CANCELED, four.account_id, None, 0)}, Status.CANCELED)
    expected = [("sent", one), ("failed", two), ("delivered", one), ("canceled", three)]
    assert written() == [(f"message.{word}", row.pk) for word, row in expected]
    outbox.take(9)
    (came,) = ledger.insert([Message(account=one.account, number="+1555", text="hi", status=Status.RECEIVED)])
    assert written() == [("message.received", came.pk)]


def test_what_was_taken_back_is_not_told() -> None:
    outbox.want(TOLD.values())
    (row,) = messages(1)
    with pytest.raises(RuntimeError), ledger.together():
        ledger.apply([Change(row.pk, Status.SENT)])
        raise RuntimeError
    ledger.apply([Change(row.pk, Status.FAILED)])
    assert written() == [("message.failed", row.pk)]


@pytest.mark.parametrize("wanted", [[], ["contact.opted_out"], ["message.sent"]])
def test_it_costs_one_statement_when_wanted_and_none_else(wanted: list[str]) -> None:
    outbox.want(wanted)
    rows = messages(50)
    with CaptureQueriesContext(connection) as asked:
        ledger.apply(Change(row.pk, Status.SENT) for row in rows)
    statements = [query["sql"] for query in asked if WRITING in query["sql"].replace('"', "")]
    assert len(statements) == bool(wanted)
    assert len(written()) == (50 if "message.sent" in wanted else 0)


def test_opting_out_and_in_is_told_of_those_who_changed() -> None:
    outbox.want(["contact.opted_out", "contact.opted_in"])
    one, two = (Contact.objects.create(number=f"+1555010000{n}").pk for n in (1, 2))
    consent.opt_out([one], "page", "alice")
    consent.opt_out([one, two], "page", "alice")
    consent.opt_in([two], "page", "alice")
    assert written() == [("contact.opted_out", one), ("contact.opted_out", two), ("contact.opted_in", two)]


def test_the_answer_to_a_code_is_told_once() -> None:
    outbox.want(["ussd.answered"])
    row = account("Phones", "smsgateway")
    asked = UssdRequest.objects.create(account=row, device_id="1", sim=0, code="*100#", state=UssdRequest.State.ASKED)
    for _ in range(2):
        ussd.answer(row, UssdReply("*100#", "Balance: 5", "1", 0))
    assert written() == [("ussd.answered", asked.pk)]
