from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from messaging import ledger, reports
from messaging.models import DeliveryReport, Message
from messaging.wire_ids import with_ids
from providers.models import Exchange, ProviderAccount
from providers.types import Problem, Report, Status

pytestmark = pytest.mark.django_db


@pytest.fixture
def account() -> ProviderAccount:
    return ProviderAccount.objects.create(name="Main", kind="smsprovider", base_url="http://127.0.0.1:9/v1")


def sent(account: ProviderAccount, provider_id: str = "msg_1", number: str = "+11234567890") -> Message:
    row = Message(account=account, number=number, text="x", status="sent", provider_id=provider_id)
    return ledger.insert([row])[0]


def status_of(message: Message) -> str:
    message.refresh_from_db()
    return message.status


def test_a_report_moves_its_message(account: ProviderAccount) -> None:
    message = sent(account)
    assert reports.apply(account, [Report("msg_1", Status.DELIVERED, "+11234567890", "DELIVRD")]) == 1
    assert status_of(message) == "delivered"
    assert message.provider_status == "DELIVRD"
    assert message.done_at is not None


def test_the_same_report_twice_changes_nothing(account: ProviderAccount) -> None:
    message = sent(account)
    reports.apply(account, [Report("msg_1", Status.DELIVERED)])
    ended = Message.objects.get(pk=message.pk).done_at
    assert reports.apply(account, [Report("msg_1", Status.DELIVERED)]) == 0
    assert Message.objects.get(pk=message.pk).done_at == ended


def test_a_late_report_does_not_take_a_message_back(account: ProviderAccount) -> None:
    message = sent(account)
    reports.apply(account, [Report("msg_1", Status.DELIVERED), Report("msg_1", Status.SENT)])
    assert status_of(message) == "delivered"


def test_several_reports_about_one_message_in_one_post_are_applied_in_turn(account: ProviderAccount) -> None:
    message = sent(account)
    reports.apply(account, [Report("msg_1", Status.EXPIRED), Report("msg_1", Status.DELIVERED)])
    assert status_of(message) == "delivered"


def test_one_id_for_several_recipients_is_told_apart_by_the_number(account: ProviderAccount) -> None:
    first, second = sent(account, number="+11234567890"), sent(account, number="+19876543210")
    reports.apply(account, [Report("msg_1", Status.FAILED, "19876543210", problem=Problem("30003", "Off"))])
    assert (status_of(first), status_of(second)) == ("sent", "failed")
    assert (second.error_code, second.error_text) == ("30003", "Off")


def test_a_report_that_matches_nothing_is_kept(account: ProviderAccount) -> None:
    reports.apply(account, [Report("msg_9", Status.DELIVERED)])
    assert DeliveryReport.objects.get().message is None


def test_a_kept_report_is_replayed_when_its_message_appears(account: ProviderAccount) -> None:
    reports.apply(account, [Report("msg_1", Status.DELIVERED)])
    message = sent(account)
    reports.replay(account, ["msg_1"])
    assert status_of(message) == "delivered"
    assert DeliveryReport.objects.get().message == message


def test_another_accounts_message_is_left_alone(account: ProviderAccount) -> None:
    other = ProviderAccount.objects.create(name="Other", kind="smsprovider", base_url="http://127.0.0.1:9/v1")
    message = sent(other)
    reports.apply(account, [Report("msg_1", Status.DELIVERED)])
    assert status_of(message) == "sent"


def test_a_word_that_is_not_known_is_kept_and_moves_nothing(account: ProviderAccount) -> None:
    message = sent(account)
    reports.apply(account, [Report("msg_1", Status.UNKNOWN, raw_status="PONDERING")])
    assert status_of(message) == "sent"
    assert DeliveryReport.objects.get().raw_status == "PONDERING"


@pytest.mark.parametrize("status", [Status.DELIVERED, Status.FAILED, Status.EXPIRED])
def test_an_end_stops_the_polling(status: Status, account: ProviderAccount) -> None:
    message = sent(account)
    ledger.note([(message.pk, {"poll_at": message.created_at})])
    reports.apply(account, [Report("msg_1", status)])
    message.refresh_from_db()
    assert message.poll_at is None


# --- Ids in any spelling -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stored", "reported"),
    [
        ("MSG_1", "msg_1"),
        ("msg_1", "MSG_1"),
        ("SMaB3f", "smAb3F"),
        ("007", "7"),
        ("7", "0000000007"),
        ("7", 7),
        ("+15", "15"),
        ("15", " 15 "),
        (" 15 ", "+015"),
    ],
)
def test_an_id_is_found_in_any_spelling(stored: str, reported: str, account: ProviderAccount) -> None:
    message = sent(account, stored)
    reports.apply(account, [Report(reported, Status.DELIVERED)])
    assert (status_of(message), message.provider_id) == ("delivered", stored)


def test_the_same_spelling_comes_first(account: ProviderAccount) -> None:
    first, second = sent(account, "abc"), sent(account, "ABC")
    reports.apply(account, [Report("ABC", Status.DELIVERED)])
    assert (status_of(first), status_of(second)) == ("sent", "delivered")


def test_an_id_that_could_be_two_is_neither(account: ProviderAccount) -> None:
    first, second = sent(account, "abc"), sent(account, "ABC")
    reports.apply(account, [Report("Abc", Status.DELIVERED)])
    assert (status_of(first), status_of(second)) == ("sent", "sent")


def test_one_id_for_several_recipients_tells_nothing_without_a_number(account: ProviderAccount) -> None:
    first, second = sent(account, number="+11234567890"), sent(account, number="+19876543210")
    reports.apply(account, [Report("msg_1", Status.DELIVERED)])
    assert (status_of(first), status_of(second)) == ("sent", "sent")


@pytest.mark.parametrize("name", ["", "0", " + "])
def test_what_is_no_id_matches_nothing(name: str, account: ProviderAccount) -> None:
    message = sent(account, "")
    other = sent(account, "000")
    reports.apply(account, [Report(name, Status.DELIVERED)])
    assert (status_of(message), status_of(other)) == ("sent", "sent")
    reports.apply(account, [Report(name, Status.DELIVERED)])
    assert DeliveryReport.objects.count() == 1


def test_a_received_message_is_not_meant(account: ProviderAccount) -> None:
    ledger.insert([Message(account=account, number="+1", text="x", status="received", provider_id="msg_1")])
    message = sent(account)
    reports.apply(account, [Report("msg_1", Status.DELIVERED)])
    assert status_of(message) == "delivered"


def test_ids_are_found_by_their_index(account: ProviderAccount) -> None:
    rows = [Message(account=account, number="+1", text="x", status="sent", provider_id=f"m{i}") for i in range(9000)]
    ledger.insert(rows)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    found = with_ids(Message.objects.exclude(provider_id=""), account.pk, [f"M{i}" for i in range(300)])
    assert "message_by_wire_id" in found.explain()


# --- Many --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("known", [True, False])
def test_what_is_said_again_is_stored_once(known: bool, account: ProviderAccount) -> None:
    if known:
        sent(account)
    for _ in range(3):
        again = Report("MSG_1", Status.DELIVERED, "+11234567890", "DELIVRD")
        reports.apply(account, [Report("msg_1", Status.DELIVERED, "+11234567890", "DELIVRD"), again])
    assert DeliveryReport.objects.count() == 1
    reports.apply(account, [Report("msg_1", Status.DELIVERED, "+11234567890", "READ")])
    assert DeliveryReport.objects.count() == 2


def test_a_flood_takes_no_more_queries_than_a_few(account: ProviderAccount) -> None:
    queries = []
    for n in (2, 200):
        messages = [sent(account, f"{n}-{i}") for i in range(n)]
        news = [Report(m.provider_id, status) for m in messages for status in (Status.DELIVERED, Status.SENT)]
        with CaptureQueriesContext(connection) as seen:
            assert reports.apply(account, [*news, Report(f"{n}-x", Status.SENT)]) == n
        queries.append(len(seen))
    assert queries[1] <= queries[0] + 4  # one database takes 99 new rows at once


@pytest.mark.parametrize("words", [(Status.SENT, Status.DELIVERED), (Status.DELIVERED, Status.FAILED, Status.SENT)])
def test_the_order_makes_no_difference(words: tuple[Status, ...], account: ProviderAccount) -> None:
    first, second = sent(account, "a"), sent(account, "b")
    reports.apply(account, [Report("a", word) for word in words])
    for word in reversed(words):
        reports.apply(account, [Report("b", word)])
    assert status_of(first) == status_of(second) == "delivered"


def test_no_character_stops_it(account: ProviderAccount) -> None:
    sent(account)
    problem = Problem("a\x00b" * 50, "c\x00d" * 200)
    reports.apply(account, [Report("msg_1", Status.FAILED, "1\x002", "x\x00" * 50, problem)])
    reports.apply(account, [Report("msg\x00" * 50, Status.FAILED)])
    assert Message.objects.get().status == "failed"


# --- Early, and late ---------------------------------------------------------------------------------


def race(account: ProviderAccount, minutes: float) -> Message:
    """A report that was stored while its message was being settled, some minutes ago."""
    reports.apply(account, [Report("MSG_1", Status.DELIVERED)])
    DeliveryReport.objects.update(seen_at=timezone.now() - timedelta(minutes=minutes))
    return sent(account)


def test_the_clock_catches_up_with_a_report_that_nobody_saw(account: ProviderAccount) -> None:
    message = race(account, minutes=1)
    assert reports.replay_recent() == 1
    assert status_of(message) == "delivered"
    assert DeliveryReport.objects.get().message == message


def test_the_clock_looks_at_young_reports_only(account: ProviderAccount) -> None:
    message = race(account, minutes=20)
    with CaptureQueriesContext(connection) as seen:
        assert reports.replay_recent() == 0
    assert len(seen) == 1
    reports.apply(account, [Report("msg_2", Status.DELIVERED)])
    assert reports.replay_recent() == 0
    assert status_of(message) == "sent"


def test_the_clock_has_nothing_to_do_where_nothing_is_left_over(account: ProviderAccount) -> None:
    with CaptureQueriesContext(connection) as seen:
        reports.replay_recent()
    assert len(seen) == 1


def test_a_report_that_comes_again_finds_the_one_that_came_early(account: ProviderAccount) -> None:
    race(account, minutes=20)
    reports.apply(account, [Report("msg_1", Status.DELIVERED)])
    assert DeliveryReport.objects.get().message is not None


def test_the_report_of_an_uncertain_message_settles_it(account: ProviderAccount) -> None:
    message = sent(account)
    Message.objects.update(status="uncertain", error_code="no_answer", poll_at=timezone.now())
    at = datetime(2026, 5, 4, 12, tzinfo=UTC)
    reports.apply(account, [Report("msg_1", Status.SENT, at=at)])
    assert (status_of(message), message.error_code, message.sent_at) == ("sent", "", at)
    assert message.poll_at is not None and message.poll_at > timezone.now()


@pytest.mark.parametrize(("flying", "status"), [(False, "delivered"), (True, "queued")])
def test_what_is_to_be_sent_again_stays_once_its_first_report_comes(
    flying: bool, status: str, account: ProviderAccount
) -> None:
    message = sent(account)
    Message.objects.update(status="queued")
    if flying:
        Exchange.objects.create(account=account, verb="send", open=True, refs=[message.pk])
    reports.apply(account, [Report("msg_1", Status.DELIVERED)])
    assert status_of(message) == status
