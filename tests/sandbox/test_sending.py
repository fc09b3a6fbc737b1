from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
import time_machine
from django.utils import timezone

from providers import errors
from providers.types import Outgoing, Problem, ReadMessages, Send, Status
from sandbox.models import Message
from sandbox.outcomes import FATES, NORMAL, Fault
from sandbox.sending import parts

from .base import carrier, ids, to

pytestmark = pytest.mark.django_db
NORMAL_NUMBER = "+15550100001"


def status_after(seconds: float, number: str, clock: time_machine.Traveller) -> Status:
    engine = carrier()
    sent = ids(engine.handle(to(number)))
    clock.shift(seconds)
    (info,) = engine.handle(ReadMessages(id=sent[0]))
    return info.status


@pytest.mark.parametrize(
    ("digits", "seconds", "status"),
    [
        ("001", 0.0, Status.QUEUED),
        ("001", 0.4, Status.SENT),
        ("001", 1.0, Status.DELIVERED),
        ("901", 0.9, Status.SENT),
        ("901", 1.0, Status.FAILED),
        ("902", 1.2, Status.SENT),
        ("902", 1.5, Status.EXPIRED),
        ("903", 100_000.0, Status.SENT),
        ("904", 1.0, Status.DELIVERED),
        ("905", 1.0, Status.DELIVERED),
        ("906", 0.6, Status.DELIVERED),
        ("913", 1.0, Status.DELIVERED),
        ("915", 0.0, Status.DELIVERED),
    ],
)
def test_the_last_digits_decide_where_a_message_is(
    digits: str, seconds: float, status: Status, clock: time_machine.Traveller
) -> None:
    assert status_after(seconds, f"+15550100{digits}", clock) is status


@pytest.mark.parametrize("digits", [code for code, fate in FATES.items() if fate.fault])
def test_a_spoilt_answer_comes_after_the_message_was_taken(digits: str) -> None:
    with pytest.raises(Fault, match=FATES[digits].fault):
        carrier().handle(to(f"+15550100{digits}"))
    assert Message.objects.get().number == f"+15550100{digits}"


@pytest.mark.parametrize(("digits", "error"), [("910", errors.Unavailable), ("911", errors.RateLimited)])
def test_some_numbers_are_refused_the_first_time_only(digits: str, error: type[errors.ProviderError]) -> None:
    engine, op = carrier(), to(NORMAL_NUMBER, f"+15550100{digits}")
    with pytest.raises(error) as caught:
        engine.handle(op)
    assert caught.value.retry_after == 1
    assert not Message.objects.exists()
    assert len(engine.handle(op).outcomes) == 2
    with pytest.raises(error):
        engine.handle(to(f"+15550100{digits}", text="Another text"))


def test_a_request_that_holds_two_such_numbers_is_refused_once() -> None:
    engine, op = carrier(), to("+15550100910", "+15550100911")
    with pytest.raises(errors.Unavailable):
        engine.handle(op)
    assert len(engine.handle(op).outcomes) == 2


def test_a_bad_number_is_refused_alone() -> None:
    engine = carrier("customersms", credits=10)
    result = engine.handle(to(NORMAL_NUMBER, "+15550100908"))
    assert [outcome.status for outcome in result.outcomes] == [Status.QUEUED, Status.FAILED]
    assert result.outcomes[1].problem == Problem("invalid_number", "This is not a valid phone number.")
    assert Message.objects.count() == 1
    assert result.credits_used == 1
    assert result.credits.amount == 9


def test_a_bad_number_refuses_the_whole_request_where_the_documentation_knows_no_part() -> None:
    with pytest.raises(errors.InvalidNumber, match="908"):
        carrier("smsprovider").handle(to(NORMAL_NUMBER, "+15550100908"))
    assert not Message.objects.exists()


def test_every_message_costs_a_credit() -> None:
    engine = carrier(credits=3)
    assert engine.handle(to("+15550100001", "+15550100002")).credits.amount == Decimal(1)
    with pytest.raises(errors.NoCredits):
        engine.handle(to("+15550100001", "+15550100002"))
    assert Message.objects.count() == 2


def test_unlimited_credits_stay_unlimited() -> None:
    assert carrier(credits=None).handle(to(NORMAL_NUMBER)).credits.amount is None


def test_a_text_over_the_kinds_limit_is_refused() -> None:
    with pytest.raises(errors.TextTooLong):
        carrier("smsprovider").handle(to(NORMAL_NUMBER, text="x" * 1601))


def test_no_recipient_is_an_invalid_request() -> None:
    with pytest.raises(errors.InvalidRequest):
        carrier().handle(Send(()))


@pytest.mark.parametrize(("length", "count"), [(0, 1), (160, 1), (161, 2), (306, 2), (307, 3)])
def test_a_long_text_goes_in_parts(length: int, count: int) -> None:
    assert parts("x" * length) == count


def test_a_scheduled_message_waits_for_its_time(clock: time_machine.Traveller) -> None:
    engine, later = carrier(), timezone.now() + timedelta(hours=1)
    result = engine.handle(to(NORMAL_NUMBER, schedule=later))
    assert result.outcomes[0].status is Status.SCHEDULED
    (info,) = engine.handle(ReadMessages(id=ids(result)[0]))
    assert (info.status, info.sent_at, info.schedule) == (Status.SCHEDULED, None, later)
    clock.shift(3601)
    (info,) = engine.handle(ReadMessages(id=ids(result)[0]))
    assert (info.status, info.delivered_at) == (Status.DELIVERED, later + timedelta(seconds=1))


def test_a_schedule_in_the_past_means_now(clock: time_machine.Traveller) -> None:
    result = carrier().handle(to(NORMAL_NUMBER, schedule=timezone.now() - timedelta(days=1)))
    assert result.outcomes[0].status is Status.QUEUED


def test_a_schedule_at_the_end_of_time_is_refused() -> None:
    with pytest.raises(errors.InvalidRequest):
        carrier().handle(
            to(NORMAL_NUMBER, schedule=timezone.datetime.max.replace(tzinfo=timezone.get_default_timezone()))
        )


def test_a_request_is_one_group_and_each_message_has_an_id() -> None:
    engine = carrier()
    first, second = engine.handle(to("+15550100001", "+15550100002")), engine.handle(to("+15550100001"))
    assert len({outcome.group for outcome in first.outcomes}) == 1
    assert first.outcomes[0].group != second.outcomes[0].group
    assert len({*ids(first), *ids(second)}) == 3


def test_messages_of_a_request_may_differ() -> None:
    carrier().handle(Send((Outgoing("+15550100001", "One"), Outgoing("+15550100002", "Two"))))
    assert list(Message.objects.order_by("id").values_list("text", flat=True)) == ["One", "Two"]


def test_nul_is_kept_out_of_the_database() -> None:
    carrier().handle(to(NORMAL_NUMBER, text="a\x00b"))
    assert Message.objects.get().text == "a\ufffdb"


def test_a_reply_shows_when_its_time_has_come(clock: time_machine.Traveller) -> None:
    engine = carrier()
    engine.handle(to("+15550100904"))
    assert len(engine.handle(ReadMessages())) == 1
    clock.shift(1.31)
    reply, _ = engine.handle(ReadMessages())
    assert (reply.status, reply.text, reply.number) == (Status.RECEIVED, "STOP", "+15550100904")


def test_the_answer_hangs_after_the_message_was_taken() -> None:
    engine, waits = carrier(), []
    engine.pause = waits.append
    engine.handle(to("+15550100914"))
    assert waits == [0.0, 25.0]
    assert Message.objects.exists()


def test_normal_numbers_are_normal() -> None:
    assert not (NORMAL.fault or NORMAL.once or NORMAL.refused or NORMAL.hang or NORMAL.early)
