"""What programs read and send again: whose messages, by which criteria, and under which ids."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from api import access, gateway
from api.models import ApiKey
from contacts.models import Contact
from messaging import log, parking
from messaging.models import Campaign, Message
from providers import errors, wire
from providers.types import MessageInfo, MessageType, Problem, ReadMessages, Resend, Status
from tests.base import account

from .gateways import NUMBER, key, message, phones, shelf

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


def read(row: ApiKey, **asked: Any) -> list[int]:
    return [int(info.id) for info in gateway.read_messages(row, ReadMessages(**asked))]


def again(row: ApiKey, **asked: Any) -> list[Message]:
    return [Message.objects.get(pk=info.id) for info in gateway.resend(row, Resend(**asked))]


# --- Whose -----------------------------------------------------------------------------------------------


def test_a_key_reads_its_own_messages_and_what_its_accounts_received() -> None:
    mine, foreign = account("Mine"), account("Foreign")
    row, other = key(mine, accounts=[mine]), key(mine)
    own = [message(mine, row), message(foreign, row)]
    heard = message(mine, status="received")
    campaign = Campaign.objects.create(account=mine, text="Hello")
    hidden = [message(mine, client, campaign=campaign) for client in (other, None)]
    hidden.append(message(foreign, status="received", campaign=campaign))
    assert read(row) == [heard.pk, own[1].pk, own[0].pk]
    assert read(row, id=str(own[0].pk)) == [own[0].pk]
    assert [read(row, id=str(m.pk)) for m in hidden] == [[], [], []]
    assert read(row, group=campaign.token.hex) == []
    with pytest.raises(errors.NotFound):
        again(row, id=str(hidden[0].pk))


def test_one_that_reads_all_reads_all_of_its_accounts() -> None:
    mine, foreign = account("Mine"), account("Foreign")
    row = key(mine, accounts=[mine], reads_all=True)
    seen = [message(mine, status=status) for status in ("sent", "received", "failed")]
    message(foreign)
    assert read(row) == [m.pk for m in reversed(seen)]
    assert read(row, status=Status.FAILED) == [seen[2].pk]


@pytest.mark.parametrize("reads_all", [False, True])
def test_nothing_is_read_that_access_does_not_give(reads_all: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is searched for, and however."""
    mine, foreign = shelf("Mine"), shelf("Foreign")
    row = key(mine, accounts=[mine], reads_all=reads_all)
    statuses = [status for status in log.ALL if status != "received"]
    rows = [
        message(through, client, status=status, device=f"{through}-b", sim=1)
        for through in (mine, foreign)
        for client, some in ((row, statuses), (None, log.ALL))
        for status in some
    ]
    theirs = set(access.messages(row).values_list("pk", flat=True))
    allowed = {m.pk for m in rows} & theirs
    second = str(phones(mine)[1].pk)
    for few in (0, 20_000):
        monkeypatch.setattr(gateway, "FEW", few)
        for status in (None, *Status):
            wanted = {str(s) for s in gateway.WRITTEN_ALIKE.get(status, (status,))} if status else log.ALL
            for found in (read(row, status=status), read(row, status=status, sim=1)):
                assert {m.pk for m in rows if m.status in wanted and m.account_id == mine.pk} & theirs <= set(found)
                assert set(found) <= allowed
            there = {m.pk for m in rows if m.status in wanted and m.account_id == mine.pk}
            assert set(read(row, status=status, device=second)) == there & theirs


def test_the_scope_read_is_needed() -> None:
    row = key(account(), scopes=["send", "contacts", "ussd"])
    with pytest.raises(errors.KeyRefused, match="scope “read”"):
        read(row)


# --- Which -----------------------------------------------------------------------------------------------


def test_a_group_is_a_campaigns_token() -> None:
    main = account()
    row = key(main)
    campaign = Campaign.objects.create(account=main, text="Hello")
    first, second = (message(main, row, campaign=campaign, status=status) for status in ("failed", "sent"))
    message(main, row)
    assert read(row, group=campaign.token.hex) == [second.pk, first.pk]
    assert read(row, group=campaign.token.hex.upper(), status=Status.FAILED) == [first.pk]
    assert read(row, group=")V5LxqyBMEbQrl9*J$5bb4c03e8a07b7.62193871") == []
    assert gateway.read_messages(row, ReadMessages(id=str(first.pk)))[0].group == campaign.token.hex


def test_a_device_is_ours_by_its_number() -> None:
    main, other = shelf("One"), shelf("Two")
    row = key(main)
    theirs = {phone.pk: message(phone.account, row, device=phone.device_id, sim=1) for phone in phones(main)}
    theirs |= {phone.pk: message(phone.account, row, device=phone.device_id, sim=0) for phone in phones(other)}
    for pk, found in theirs.items():
        assert read(row, device=str(pk)) == [found.pk]
        assert read(row, device=str(pk), sim=1 - (found.sim or 0)) == []
    assert read(row, sim=0) == [m.pk for m in reversed(theirs.values()) if m.sim == 0]
    assert read(row, device="One-a") == read(row, device="999999999999") == read(row, device="0") == []


def test_a_time_is_when_we_took_or_heard_it() -> None:
    main = account()
    row = key(main)
    times = [NOW + timedelta(hours=hour) for hour in range(4)]
    made = [
        message(main, row, created_at=at, status=s).pk for at, s in zip(times, ("sent", "received") * 2, strict=True)
    ]
    assert read(row, start=times[1]) == made[:0:-1]
    assert read(row, end=times[1]) == made[:1]
    assert read(row, start=times[1], end=times[3]) == [made[2], made[1]]
    assert read(row, status=Status.RECEIVED, start=times[2]) == [made[3]]


def test_what_is_written_as_another_status_is_found_as_that() -> None:
    main = account()
    row = key(main)
    made = {status: message(main, row, status=status).pk for status in sorted(log.ALL)}
    assert read(row, status=Status.FAILED) == [made["failed"], made["expired"]]
    assert read(row, status=Status.SENDING) == [made["uncertain"], made["sending"]]
    assert read(row, status=Status.QUEUED) == [made["queued"]]


@pytest.mark.parametrize("id", ["0", "-1", "1.0", "٣", "abc", "9" * 30, "msg_1"])
def test_nobodys_ids_find_nothing(id: str) -> None:
    main = account()
    row = key(main)
    message(main, row)
    assert read(row, id=id) == []


def test_an_answer_is_bounded_and_asks_few_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    main = account()
    row = key(main)
    made = [message(main, row).pk for _ in range(4)]
    monkeypatch.setattr(gateway, "LISTED", 3)
    with CaptureQueriesContext(
        connection,
    ) as asked:
        assert read(row) == made[:0:-1]
    assert len(asked) <= 8


# --- What is told ----------------------------------------------------------------------------------------


def test_a_message_is_told_with_our_ids() -> None:
    main = shelf()
    row, second = key(main), phones(main)[1]
    made = message(
        main, row, device=second.device_id, sim=1, sender="X", type="mms", attachments=["https://a.example/1.png"],
        status="delivered", attempts=2, sent_at=NOW, done_at=NOW + timedelta(seconds=9), expires_at=NOW + timedelta(1),
    )  # fmt: skip
    assert gateway.message_info(made) == MessageInfo(
        id=str(made.pk), number=NUMBER, text="Hello", status=Status.DELIVERED, sender="X", type=MessageType.MMS,
        attachments=("https://a.example/1.png",), device=str(second.pk), sim=1, user="1", sent_at=NOW,
        delivered_at=NOW + timedelta(seconds=9), expires_at=NOW + timedelta(1), retries=1,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("status", "code", "problem"),
    [
        ("sent", "code", None),
        ("canceled", "canceled", None),
        ("scheduled", parking.CODE, None),
        ("failed", "4", Problem("4", "No service")),
        ("failed", "", Problem("failed", "No service")),
        ("expired", "x", Problem("x", "No service")),
    ],
)
def test_only_what_failed_has_an_error(status: str, code: str, problem: Problem | None) -> None:
    made = message(account(), status=status, error_code=code, error_text="No service", done_at=NOW)
    info = gateway.message_info(made)
    assert (info.problem, info.delivered_at) == (problem, None)


def test_a_received_message_has_both_times() -> None:
    made = message(account(), status="received", sent_at=NOW, done_at=NOW + timedelta(1))
    info = gateway.message_info(made)
    assert (info.sent_at, info.delivered_at, info.group) == (NOW, NOW + timedelta(1), "")


def test_a_schedule_is_told_also_when_it_is_over() -> None:
    main = account()
    later = timezone.now() + timedelta(hours=2)
    campaign = Campaign.objects.create(account=main, text="Hello", due_at=later)
    at_once = Campaign.objects.create(account=main, text="Hello")
    cases = [
        ({"campaign": campaign, "status": "scheduled", "due_at": later + timedelta(1)}, later + timedelta(1)),
        ({"campaign": campaign, "status": "sent", "due_at": later}, later),
        ({"campaign": campaign, "status": "scheduled", "due_at": later + parking.FAR}, later),
        ({"campaign": at_once, "status": "queued", "due_at": later}, None),
        ({"status": "sent"}, None),
    ]
    for values, schedule in cases:
        assert gateway.message_info(message(main, **values)).schedule == schedule


# --- Again -----------------------------------------------------------------------------------------------


def test_a_resend_is_a_new_message_of_the_key_and_costs_its_budget() -> None:
    main = account()
    row = key(main, credits=5, reads_all=True)
    old = message(main, None, status="failed", segments=3)
    (new,) = again(row, id=str(old.pk))
    row.refresh_from_db()
    assert (new.resend_of, new.client, new.status, row.credits) == (old, row.pk, "queued", 2)


def test_what_the_budget_cannot_pay_is_not_sent_at_all() -> None:
    main = account()
    row = key(main, credits=5)
    for _ in range(2):
        message(main, row, status="failed", segments=3)
    with pytest.raises(errors.NoCredits):
        again(row, status=Status.FAILED)
    assert Message.objects.count() == 2


def test_of_a_group_each_goes_once_more_and_one_by_its_id_whenever_it_is_asked_for() -> None:
    main = account()
    row = key(main)
    campaign = Campaign.objects.create(account=main, text="Hello")
    rows = [message(main, row, campaign=campaign, status=s) for s in ("failed", "failed", "sent", "queued")]
    assert [m.resend_of for m in again(row, group=campaign.token.hex, status=Status.FAILED)] == rows[:2]
    assert [m.resend_of for m in again(row, group=campaign.token.hex)] == [None, rows[2]]
    assert again(row, group=campaign.token.hex) == rows[3:]  # it waits
    Message.objects.filter(pk=rows[3].pk).update(status="uncertain")
    with pytest.raises(errors.Rejected, match=r"No message was sent again: .*waits.*\(1\), was resent already \(3\)|3"):
        again(row, group=campaign.token.hex)
    Message.objects.exclude(resend_of=None).update(status="failed", created_at=NOW - timedelta(1))
    assert again(row, id=str(rows[0].pk))[0].resend_of == rows[0]


def test_what_may_not_be_sent_again_is_refused_with_the_reason() -> None:
    main, closed = account("Main"), account("Closed")
    row = key(main, accounts=[main])
    Contact.objects.create(number=NUMBER, opted_out_at=NOW)
    stopped, waiting = message(main, row), message(main, row, number="+12125551234", status="queued")
    heard, foreign = message(main, status="received"), message(closed, row)
    cases = [
        (stopped, errors.Rejected, "the person opted out"),
        (heard, errors.NotFound, "no message to send again"),
        (foreign, errors.NotFound, "no message to send again"),
    ]
    for old, kind, words in cases:
        with pytest.raises(kind, match=words):
            again(row, id=str(old.pk))
    assert again(row, id=str(waiting.pk)) == [waiting]
    with pytest.raises(errors.KeyRefused, match="scope “send”"):
        again(key(main, scopes=["read"]), id=str(stopped.pk))


def test_nobody_sends_more_again_than_fits_in_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    main = account()
    row = key(main)
    monkeypatch.setattr(gateway, "MAX_RECIPIENTS", 2)
    for _ in range(3):
        message(main, row, status="failed")
    with pytest.raises(errors.InvalidRequest, match="More than 2 messages match"):
        again(row, status=Status.FAILED)
    assert wire.MAX_RECIPIENTS == 5_000
