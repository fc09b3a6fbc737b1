from __future__ import annotations

import pytest

from messaging import ledger, reports
from messaging.models import DeliveryReport, Message
from providers.models import ProviderAccount
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
