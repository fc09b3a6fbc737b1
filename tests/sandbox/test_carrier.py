from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.utils import timezone

from providers import errors
from providers.types import (
    Credential,
    Devices,
    GetAccount,
    ListDevices,
    ReadMessages,
    ReadUssd,
    RegisterWebhook,
    Resend,
    SaveContact,
    SendUssd,
    Spread,
    Status,
    Target,
    Unsubscribe,
)
from sandbox.accounts import login, open_account
from sandbox.models import Account, Message

from .base import KEY, carrier, ids, to

pytestmark = pytest.mark.django_db


def no_wait(seconds: float) -> None:
    pass


# Who may come in.


@pytest.mark.parametrize("key", ["", "sandbox", "test-sandbox-1", "sandbox-\x00", "sandbox-é", "sandbox-" + "x" * 200])
def test_other_keys_are_refused(key: str) -> None:
    with pytest.raises(errors.KeyRefused):
        open_account("smsprovider", key)
    assert not Account.objects.exists()


def test_an_account_is_made_once_for_each_kind_and_key() -> None:
    assert open_account("smsprovider", KEY) == open_account("smsprovider", KEY)
    assert open_account("smsprovider", KEY) != open_account("customersms", KEY)


@pytest.mark.parametrize(("secret", "taken"), [("sandbox-secret", True), (None, True), ("", False), ("ünknown", False)])
def test_a_secret_is_checked_where_the_wire_carries_one(secret: str | None, taken: bool) -> None:
    check = login("voipcommunications", no_wait)
    if taken:
        assert check(Credential(KEY, secret)).account.key == KEY
    else:
        with pytest.raises(errors.KeyRefused):
            check(Credential(KEY, secret))


@pytest.mark.parametrize(
    ("key", "field", "value"),
    [
        ("sandbox-broke-1", "credits", 0),
        ("sandbox-slow", "latency", 0.5),
        ("sandbox-tight.x", "rates", ["2/second"]),
        ("sandbox-any", "credits", 100_000),
        ("sandbox-any", "rates", ["10/second"]),
        ("sandbox-any", "webhook_secret", "sandbox-any"),
    ],
)
def test_the_beginning_of_a_key_says_what_is_special(key: str, field: str, value: object) -> None:
    assert getattr(open_account("smsprovider", key), field) == value


def test_phones_of_ones_own_cost_nothing() -> None:
    assert carrier("smsgateway").handle(GetAccount()).credits.unlimited


def test_it_tells_the_balance() -> None:
    info = carrier(credits=12).handle(GetAccount())
    assert (info.credits.amount, info.name, info.sender) == (12, "test", "SANDBOX")


def test_a_slow_account_waits_before_each_answer() -> None:
    engine, waits = carrier(key="sandbox-slow"), []
    engine.pause = waits.append
    engine.handle(GetAccount())
    assert waits == [0.5]


# Messages.


def test_messages_are_read_newest_first() -> None:
    engine = carrier()
    sent = [ids(engine.handle(to(f"+1555010000{n}")))[0] for n in range(3)]
    assert [info.id for info in engine.handle(ReadMessages())] == sent[::-1]


def test_an_answer_is_bounded() -> None:
    engine = carrier()
    engine.handle(to(*(f"+1555020{n:04d}" for n in range(600))))
    assert len(engine.handle(ReadMessages())) == 500


def test_messages_of_others_are_not_there() -> None:
    sent = ids(carrier().handle(to("+15550100001")))
    other = carrier(key="sandbox-other")
    assert other.handle(ReadMessages()) == ()
    with pytest.raises(errors.NotFound):
        other.handle(ReadMessages(id=sent[0]))


@pytest.mark.parametrize("id", ["nonsense", "-1", "0", "9" * 40, "1\x00", "²"])
def test_an_id_that_is_none_is_not_found(id: str) -> None:
    with pytest.raises(errors.NotFound):
        carrier().handle(ReadMessages(id=id))


def test_messages_are_found_by_group_and_status(clock: time_machine.Traveller) -> None:
    engine = carrier()
    first = engine.handle(to("+15550100001", "+15550100901"))
    clock.shift(2)
    engine.handle(to("+15550100002"))
    group = first.outcomes[0].group
    assert len(engine.handle(ReadMessages(group=group))) == 2
    assert [info.number for info in engine.handle(ReadMessages(status=Status.FAILED))] == ["+15550100901"]
    assert [info.number for info in engine.handle(ReadMessages(status=Status.QUEUED))] == ["+15550100002"]
    assert engine.handle(ReadMessages(group=group, status=Status.QUEUED)) == ()


@pytest.mark.parametrize("seconds", [0, 0.4, 1.2, 5])
def test_finding_by_status_agrees_with_the_status(seconds: float, clock: time_machine.Traveller) -> None:
    engine = carrier(rates=[])
    engine.handle(to(*(f"+15550100{n}" for n in (100, 901, 902, 903, 904, 905, 906, 913, 915))))
    engine.handle(to("+15550100001", schedule=timezone.now() + timedelta(seconds=3)))
    clock.shift(seconds)
    for status in Status:
        assert {info.status for info in engine.handle(ReadMessages(status=status))} <= {status}
    found = sum(len(engine.handle(ReadMessages(status=status))) for status in Status)
    assert found == len(engine.handle(ReadMessages()))


def test_messages_are_found_by_phone_and_time(clock: time_machine.Traveller) -> None:
    engine = carrier("smsgateway")
    engine.handle(to("+15550100001", "+15550100002", devices=Devices(targets=(Target("1", 1), Target("2", 0)))))
    moment = timezone.now()
    assert [info.number for info in engine.handle(ReadMessages(device="1", sim=1))] == ["+15550100001"]
    assert engine.handle(ReadMessages(device="1", sim=0)) == ()
    assert len(engine.handle(ReadMessages(start=moment, end=moment))) == 2
    assert engine.handle(ReadMessages(start=moment + timedelta(seconds=1))) == ()


def test_a_time_at_the_edge_finds_nothing_or_is_refused() -> None:
    """PostgreSQL can compare it, SQLite cannot store it."""
    edge = datetime(1, 1, 1, tzinfo=UTC).replace(tzinfo=timezone.get_fixed_timezone(840))
    with suppress(errors.InvalidRequest):
        assert carrier().handle(ReadMessages(end=edge)) == ()


def test_a_failed_message_says_why(clock: time_machine.Traveller) -> None:
    engine = carrier()
    engine.handle(to("+15550100901"))
    clock.shift(1)
    (info,) = engine.handle(ReadMessages())
    assert (info.problem.code, info.delivered_at) == ("handset_unreachable", None)


def test_resending_starts_a_message_again(clock: time_machine.Traveller) -> None:
    engine = carrier(credits=10)
    sent = ids(engine.handle(to("+15550100901", "+15550100001")))
    clock.shift(5)
    (info,) = engine.handle(Resend(status=Status.FAILED))
    assert (info.id, info.status, info.retries) == (sent[0], Status.QUEUED, 1)
    assert Message.objects.get(pk=sent[0]).taken == 2
    assert Account.objects.get().credits == 7
    clock.shift(1)
    assert len(engine.handle(ReadMessages(status=Status.FAILED))) == 1


def test_there_must_be_something_to_resend() -> None:
    with pytest.raises(errors.NotFound):
        carrier().handle(Resend(status=Status.FAILED))


# Phones.


def test_there_are_three_phones_with_five_sims() -> None:
    devices = carrier("smsgateway").handle(ListDevices())
    assert [(d.id, d.enabled, d.online, d.primary, len(d.sims)) for d in devices] == [
        ("1", True, True, True, 2),
        ("2", True, True, False, 2),
        ("3", False, False, False, 1),
    ]
    assert timezone.now() - devices[2].last_seen > timedelta(days=8)


TWELVE = [f"+1555010{n:04d}" for n in range(12)]


@pytest.mark.parametrize(
    ("devices", "counts"),
    [
        (Devices(), {("1", 0): 12}),
        (
            Devices(targets=(Target("1"), Target("2", 0), Target("2", 1))),
            {("1", 0): 4, ("2", 0): 4, ("2", 1): 4},
        ),
        (Devices(Spread.ALL_DEVICES), {("1", 0): 6, ("2", 0): 6}),
        (Devices(Spread.ALL_SIMS), {("1", 0): 3, ("1", 1): 3, ("2", 0): 3, ("2", 1): 3}),
    ],
)
def test_messages_are_split_evenly(devices: Devices, counts: dict[tuple[str, int], int]) -> None:
    outcomes = carrier("smsgateway").handle(to(*TWELVE, devices=devices)).outcomes
    used = [(outcome.device, outcome.sim) for outcome in outcomes]
    assert {target: used.count(target) for target in used} == counts
    assert used[: len(counts)] == list(counts)


def test_random_takes_one_phone_for_all() -> None:
    outcomes = carrier("smsgateway").handle(to(*TWELVE, devices=Devices(Spread.ALL_SIMS, random=True))).outcomes
    assert len({(outcome.device, outcome.sim) for outcome in outcomes}) == 1


@pytest.mark.parametrize("target", [Target("9"), Target("1", 7), Target("3"), Target("x\x00")])
def test_a_phone_that_cannot_send_is_refused(target: Target) -> None:
    with pytest.raises(errors.InvalidRequest):
        carrier("smsgateway").handle(to("+15550100001", devices=Devices(targets=(target,))))


def test_without_phones_none_can_be_asked_for() -> None:
    with pytest.raises(errors.InvalidRequest):
        carrier("smsprovider").handle(to("+15550100001", devices=Devices(targets=(Target("1"),))))


# USSD.


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("*100#", "Your balance is 12.50 EUR. Valid until"),
        ("*150#", "1. Balance"),
        ("*#06#", "IMEI"),
        ("*999#", "Connection problem or invalid MMI code."),
    ],
)
def test_a_ussd_code_is_answered_after_a_second(code: str, words: str, clock: time_machine.Traveller) -> None:
    engine = carrier("smsgateway")
    asked = engine.handle(SendUssd(code, "1"))
    assert (asked.response, asked.sim) == (None, 0)
    clock.shift(1)
    (info,) = engine.handle(ReadUssd(id=asked.id))
    assert words in info.response
    assert info.answered_at == timezone.now()


def test_ussd_requests_are_found(clock: time_machine.Traveller) -> None:
    engine = carrier("smsgateway")
    for code, device in (("*100#", "1"), ("*100#", "2"), ("*150#", "2")):
        engine.handle(SendUssd(code, device))
    assert [info.device for info in engine.handle(ReadUssd(code="*100#"))] == ["2", "1"]
    assert [info.code for info in engine.handle(ReadUssd(device="2"))] == ["*150#", "*100#"]
    assert engine.handle(ReadUssd(start=timezone.now() + timedelta(seconds=1))) == ()


@pytest.mark.parametrize("op", [SendUssd("*100#", "8"), SendUssd("*100#", "1", 5), ReadUssd(id="77"), ReadUssd(id="x")])
def test_ussd_needs_a_phone_and_an_id_that_exist(op: SendUssd | ReadUssd) -> None:
    with pytest.raises(errors.Rejected):
        carrier("smsgateway").handle(op)


# Lists and webhooks.


def test_a_contact_that_exists_stays_as_it_is() -> None:
    engine = carrier("smsgateway")
    first = engine.handle(SaveContact("1", "+15550100001", "Ann"))
    assert engine.handle(SaveContact("1", "+15550100001", "Bob")) == first
    assert engine.handle(SaveContact("2", "+15550100001", "Bob")).id != first.id


def test_who_unsubscribed_comes_back_only_when_asked_for() -> None:
    engine = carrier("smsgateway")
    engine.handle(SaveContact("1", "+15550100001"))
    assert not engine.handle(Unsubscribe("1", "+15550100001")).subscribed
    assert not engine.handle(SaveContact("1", "+15550100001")).subscribed
    assert engine.handle(SaveContact("1", "+15550100001", resubscribe=True)).subscribed
    with pytest.raises(errors.NotFound):
        engine.handle(Unsubscribe("1", "+15550100002"))


def test_a_list_gets_the_message() -> None:
    engine = carrier("smsgateway")
    for number in ("+15550100001", "+15550100002", "+15550100003"):
        engine.handle(SaveContact("7", number))
    engine.handle(Unsubscribe("7", "+15550100002"))
    outcomes = engine.handle(to("", list_id="7")).outcomes
    assert [outcome.number for outcome in outcomes] == ["+15550100001", "+15550100003"]


def test_an_unknown_list_is_not_found() -> None:
    with pytest.raises(errors.NotFound):
        carrier("smsgateway").handle(to("", list_id="7"))


def test_registering_a_webhook_gives_its_secret() -> None:
    engine = carrier()
    info = engine.handle(RegisterWebhook("http://127.0.0.1:9/hook", ("message.delivered",)))
    row = Account.objects.get()
    assert (row.webhook_url, row.webhook_secret) == (info.url, info.secret)
    assert info.secret.startswith("whsec_")
    assert info.events == ("message.delivered",)
