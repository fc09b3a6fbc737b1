"""Uncertain messages, asked for over real HTTP at the sandbox's gateway of phones."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_django.live_server_helper import LiveServer

from messaging import inquiry, ledger, polling
from messaging.models import Attempt, Message
from providers import errors
from providers.models import Exchange, ProviderAccount
from providers.types import Outgoing, Send, Status
from sandbox.models import Message as Carried
from tests import base

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("still")]
TO, TEXT = "+15550100001", "Doors open at seven."


@pytest.fixture
def account(live_server: LiveServer) -> ProviderAccount:
    url, key = f"{live_server.url}/sandbox/smsgateway", {"api_key": "sandbox-inquiry"}
    return base.account(kind="smsgateway", base_url=url, credentials=key)


@pytest.fixture
def uncertain(account: ProviderAccount) -> Callable[..., Message]:
    """Makes a message whose hand-over broke off ``ago`` seconds ago, and whose time to be asked for has come."""

    def make(number: str = TO, text: str = TEXT, ago: float = 10, **values: Any) -> Message:
        at = timezone.now() - timedelta(seconds=ago)
        exchange = Exchange.objects.create(account=account, verb="send", at=at)
        row = Message(account=account, number=number, text=text, status="uncertain", error_code="no_answer")
        row.attempts, row.exchange, row.created_at, row.poll_at = 1, exchange.pk, at, timezone.now()
        for name, value in values.items():
            setattr(row, name, value)
        ledger.insert([row])
        Attempt.objects.create(message=row, account=account, exchange=exchange.pk, error_code="no_answer")
        return row

    return make


def hand_over(account: ProviderAccount, *numbers: str, text: str = TEXT) -> list[str]:
    """Send to the carrier; the ids it gave, none where its answer was spoilt."""
    try:
        result = account.adapter().send(Send(tuple(Outgoing(number, text) for number in numbers)))
    except errors.Uncertain:
        return []
    return [outcome.provider_id for outcome in result.outcomes]


def sent_earlier(account: ProviderAccount) -> Message:
    """A message of ours that the provider knows, handed over before all others."""
    (provider_id,) = hand_over(account, "+15550100002", text="Earlier")
    row = Message(account=account, number="+15550100002", text="Earlier", status="delivered", provider_id=provider_id)
    row.sent_at = row.created_at = timezone.now() - timedelta(hours=1)
    return ledger.insert([row])[0]


def poll(message: Message) -> Message:
    """Ask now, whenever the next time would be."""
    Message.objects.filter(pk=message.pk).update(poll_at=timezone.now())
    polling.poll(message.account_id)
    message.refresh_from_db()
    return message


def local(moment: datetime | None) -> str:
    assert moment is not None
    return timezone.localtime(moment).strftime("%H:%M")


# --- Found -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", ["+15550100907", "+15550100909", "+15550100912"])
def test_a_message_that_was_taken_is_found(
    number: str, account: ProviderAccount, uncertain: Callable[..., Message]
) -> None:
    assert hand_over(account, number) == []
    message = poll(uncertain(number))
    carried = Carried.objects.get()
    assert (message.provider_id, message.provider_group) == (str(carried.pk), carried.group)
    assert message.device == carried.device != ""
    assert (message.status, message.error_code, message.error_text) == ("sent", "", "")
    assert message.sent_at == Exchange.objects.get(pk=message.exchange).at
    assert message.poll_at is not None


def test_its_end_is_learnt_with_it(account: ProviderAccount, uncertain: Callable[..., Message]) -> None:
    hand_over(account, "+15550100907")
    Carried.objects.update(sent_at=timezone.now(), ended_at=timezone.now())
    message = poll(uncertain("+15550100907"))
    assert (message.status, message.poll_at) == ("delivered", None)
    assert message.done_at is not None


def test_line_ends_and_blanks_at_their_ends_make_no_difference(
    account: ProviderAccount, uncertain: Callable[..., Message]
) -> None:
    hand_over(account, TO, text="One\nTwo")
    assert poll(uncertain(text="One  \r\nTwo \r\n")).status == "sent"


def test_each_entry_is_used_once(account: ProviderAccount, uncertain: Callable[..., Message]) -> None:
    sent_earlier(account)
    hand_over(account, TO)
    first, second = uncertain(ago=20), uncertain(ago=10)
    poll(first)
    second.refresh_from_db()
    assert (first.status, second.status, second.error_code) == ("sent", "uncertain", "not_known")


def test_an_entry_of_another_message_is_not_taken(account: ProviderAccount, uncertain: Callable[..., Message]) -> None:
    (provider_id,) = hand_over(account, TO)
    ledger.insert([Message(account=account, number=TO, text=TEXT, status="sent", provider_id=provider_id)])
    message = poll(uncertain())
    assert (message.status, message.provider_id) == ("uncertain", "")


def test_what_is_on_its_way_to_the_same_number_is_waited_for(
    account: ProviderAccount, uncertain: Callable[..., Message]
) -> None:
    (flying,) = ledger.insert([Message(account=account, number=TO, text=TEXT, status="queued")])
    Exchange.objects.create(account=account, verb="send", open=True, refs=[flying.pk])
    hand_over(account, TO)
    message = poll(uncertain())
    assert (message.status, message.error_code) == ("uncertain", "not_clear")


def test_one_request_serves_all(account: ProviderAccount, uncertain: Callable[..., Message]) -> None:
    numbers = [f"+155501001{n:02}" for n in range(30)]
    hand_over(account, *numbers)
    rows = [uncertain(number) for number in numbers]
    before = Exchange.objects.count()
    assert polling.poll(account.pk) == 30
    assert Exchange.objects.count() == before + 1
    assert Message.objects.filter(pk__in=[row.pk for row in rows]).values("provider_id").distinct().count() == 30


def test_a_message_with_an_id_is_asked_for_by_it(account: ProviderAccount, uncertain: Callable[..., Message]) -> None:
    (provider_id,) = hand_over(account, TO, text="Another text")
    assert poll(uncertain(provider_id=f"0{provider_id}")).status == "sent"


@pytest.mark.parametrize(("number", "text"), [(TO, "Long ago"), ("+15550109999", TEXT)])
def test_one_that_has_the_id_of_an_old_message_is_found(
    account: ProviderAccount, uncertain: Callable[..., Message], number: str, text: str
) -> None:
    """The provider was set up anew, and gives its ids once more: the message would go out a second time."""
    sent_earlier(account)
    provider_id = a_month_ago(account, number, text)
    message = poll(uncertain())
    assert (message.status, message.provider_id) == ("sent", provider_id)


def a_month_ago(account: ProviderAccount, number: str, text: str) -> str:
    """A message of that time has the id that the carrier gives to the one that it takes now."""
    (provider_id,) = hand_over(account, TO)
    old = Message(account=account, number=number, text=text, status="sent", provider_id=provider_id)
    old.sent_at = old.created_at = timezone.now() - timedelta(days=30)
    ledger.insert([old])
    return provider_id


# --- Not found ---------------------------------------------------------------------------------------


def test_what_the_provider_never_got_goes_back_to_the_queue(
    account: ProviderAccount, uncertain: Callable[..., Message]
) -> None:
    sent_earlier(account)
    message = poll(uncertain(ago=170))
    assert (message.status, message.error_code) == ("uncertain", "not_known")
    assert message.poll_at is not None and 55 < (message.poll_at - timezone.now()).total_seconds() <= 60
    assert message.error_text == (
        f"The provider was asked at {local(timezone.now())} and does not know this message yet; "
        f"smsdash asks again at {local(message.poll_at)}."
    )
    Exchange.objects.filter(pk=message.exchange).update(at=timezone.now() - timedelta(seconds=190))
    poll(message)
    assert (message.status, message.error_code, message.poll_at) == ("queued", "not_taken", None)
    attempt = Attempt.objects.get()
    assert (attempt.exchange, attempt.error_code) == (message.exchange, "not_taken")
    assert attempt.error_text == message.error_text


def test_what_was_lost_on_its_way_arrives_once(account: ProviderAccount, uncertain: Callable[..., Message]) -> None:
    sent_earlier(account)
    number = "+15550100916"
    assert hand_over(account, number) == []
    assert poll(poll(uncertain(number, ago=200))).status == "queued"
    hand_over(account, number)
    assert Carried.objects.filter(number=number).count() == 1


def test_twice_within_three_minutes_is_too_early(account: ProviderAccount, uncertain: Callable[..., Message]) -> None:
    sent_earlier(account)
    message = uncertain(ago=100)
    assert poll(poll(message)).status == "uncertain"


def test_once_after_three_minutes_is_too_seldom(account: ProviderAccount, uncertain: Callable[..., Message]) -> None:
    sent_earlier(account)
    assert poll(uncertain(ago=600)).status == "uncertain"


def nothing_before(account: ProviderAccount) -> None: ...


def only_later_ones(account: ProviderAccount) -> None:
    hand_over(account, "+15550100003")


def cut_before_the_earlier_one(account: ProviderAccount) -> None:
    """The list ends before the message that was sent last, and holds one that was sent since."""
    earlier = sent_earlier(account)
    Carried.objects.all().delete()
    (provider_id,) = hand_over(account, "+15550100003")
    later = Message(account=account, number="+15550100003", text=TEXT, status="sent", provider_id=provider_id)
    later.sent_at = timezone.now()
    ledger.insert([later])
    assert earlier.provider_id != provider_id


def same_number_other_text(account: ProviderAccount) -> None:
    sent_earlier(account)
    hand_over(account, TO, text="Something else")


def same_number_as_written_at_home(account: ProviderAccount) -> None:
    sent_earlier(account)
    hand_over(account, "05550100001")


def strange_clock(account: ProviderAccount) -> None:
    sent_earlier(account)
    hand_over(account, TO)
    then = timezone.now() - timedelta(hours=1)
    Carried.objects.filter(number=TO).update(sent_at=then)


def the_same_a_month_ago(account: ProviderAccount) -> None:
    """The entry is that one, whose phone was off, or another one of a provider that was set up anew."""
    sent_earlier(account)
    a_month_ago(account, TO, TEXT)


def full_page(account: ProviderAccount) -> None:
    sent_earlier(account)
    hand_over(account, *(f"+155502001{n:02}" for n in range(24)))


@pytest.mark.parametrize(
    "given",
    [
        nothing_before,
        only_later_ones,
        cut_before_the_earlier_one,
        same_number_other_text,
        same_number_as_written_at_home,
        strange_clock,
        the_same_a_month_ago,
        full_page,
    ],
)
def test_an_answer_that_proves_nothing_leaves_it_to_the_operator(
    given: Callable[[ProviderAccount], None], account: ProviderAccount, uncertain: Callable[..., Message]
) -> None:
    given(account)
    message = poll(poll(uncertain(ago=300)))
    assert (message.status, message.error_code) == ("uncertain", "not_clear")
    assert message.poll_at is not None
    Exchange.objects.filter(pk=message.exchange).update(at=timezone.now() - timedelta(minutes=20))
    poll(message)
    assert (message.status, message.poll_at) == ("uncertain", None)
    assert "count it as sent or send it again" in message.error_text


def test_other_peoples_older_messages_show_how_far_the_answer_reaches(
    account: ProviderAccount, uncertain: Callable[..., Message]
) -> None:
    hand_over(account, "+15550100003")
    Carried.objects.update(accepted_at=timezone.now() - timedelta(hours=2), sent_at=timezone.now() - timedelta(hours=2))
    ProviderAccount.objects.update(updated_at=timezone.now() - timedelta(hours=1))
    message = poll(uncertain())
    assert message.error_code == "not_known"
    ProviderAccount.objects.update(updated_at=timezone.now())  # another key, perhaps: that is another list
    assert poll(message).error_code == "not_clear"


def test_a_clock_that_was_set_back_shows_nothing_as_handed_over_before(
    account: ProviderAccount, uncertain: Callable[..., Message]
) -> None:
    """It was an hour fast when the message was handed over, and right when a later one was."""
    sent_earlier(account)
    message = uncertain(ago=-3000)
    later = Exchange.objects.create(account=account, verb="send")
    Message.objects.filter(status="delivered").update(exchange=later.pk)
    assert poll(message).error_code == "not_clear"


def test_an_altered_text_is_known_by_its_neighbour_in_the_request(
    account: ProviderAccount, uncertain: Callable[..., Message]
) -> None:
    hand_over(account, TO, "+15550100004")
    Carried.objects.filter(number="+15550100004").update(text="Doors open at 7.")
    first = uncertain()
    second = uncertain("+15550100004", exchange=first.exchange)
    poll(first)
    second.refresh_from_db()
    assert (second.status, second.provider_id) == ("sent", str(Carried.objects.get(number=second.number).pk))


def test_a_provider_that_does_not_answer_is_asked_less_and_less_often(
    account: ProviderAccount, uncertain: Callable[..., Message]
) -> None:
    ProviderAccount.objects.update(base_url="http://127.0.0.1:9")
    message = poll(uncertain())
    assert (message.status, message.error_code) == ("uncertain", "no_answer")
    assert "gave no answer" in message.error_text and local(message.poll_at) in message.error_text
    first = message.poll_at
    assert first is not None and poll(message).poll_at > first + timedelta(seconds=30)
    Exchange.objects.filter(pk=message.exchange).update(at=timezone.now() - timedelta(days=4))
    assert poll(message).poll_at is None


def test_an_operator_who_is_quicker_is_right(account: ProviderAccount, uncertain: Callable[..., Message]) -> None:
    hand_over(account, TO)
    message = uncertain()
    (claimed,), until = polling._claim(account.pk)
    ledger.apply([ledger.Change(message.pk, Status.QUEUED)])
    assert inquiry.settle(polling.Asker(account), [claimed], until) == 0
    message.refresh_from_db()
    assert (message.status, message.provider_id) == ("queued", "")


# --- Who can be asked --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "with_id", "without"),
    [
        ("smsgateway", True, True),
        ("smsprovider", True, False),
        ("customersms", False, False),
        ("voipcommunications", False, False),
    ],
)
def test_it_asks_where_the_wire_can_tell(kind: str, with_id: bool, without: bool) -> None:
    row = base.account(kind=kind)
    assert [inquiry.first(row, has_id) is not None for has_id in (True, False)] == [with_id, without]


def test_what_cannot_be_asked_for_is_not_looked_at_again(live_server: LiveServer) -> None:
    row = Message(account=base.account(), number=TO, text=TEXT, status="uncertain", poll_at=timezone.now())
    message = ledger.insert([row])[0]
    assert (poll(message).status, message.poll_at) == ("uncertain", None)
