from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta

import pytest
from django.db import DatabaseError, connection
from django.utils import timezone
from django_q.models import OrmQ

from contacts import optout
from messaging import campaigns, clock, dispatch, drain, expanding, leases, reports, verdicts
from messaging.campaigns import Draft
from messaging.dispatch import Lane
from messaging.hands import Hands
from messaging.models import DeliveryReport, Lease, Message
from providers import errors, pacing, traces
from providers.models import Exchange, Pace, ProviderAccount
from providers.transport import HttpTransport
from providers.types import Reply, Report, Request, Status

pytestmark = pytest.mark.django_db(transaction=True)

GOOD = [f"+1555200{n:04d}" for n in range(10)]


class Provider:
    """The other end of the wire (smsprovider's): answers each request, and remembers what it took."""

    def __init__(self) -> None:
        self.taken: Counter[str] = Counter()
        self.requests: list[list[str]] = []
        self.answer: Callable[[list[str]], Reply | None] = lambda numbers: None

    def __call__(self, request: Request) -> Reply:
        to = json.loads(request.body)["to"]
        numbers = to if isinstance(to, list) else [to]
        self.requests.append(numbers)
        if reply := self.answer(numbers):
            return reply
        self.taken.update(numbers)
        return self.ok(numbers)

    def ok(self, numbers: list[str]) -> Reply:
        entries = [{"to": number, "message_id": f"msg_{number}"} for number in numbers]
        return json_reply(200, {"success": True, "message_id": "msg_0", "status": "queued", "messages": entries})


def json_reply(status: int, body: object, **headers: str) -> Reply:
    return Reply(status, {"content-type": "application/json", **headers}, json.dumps(body).encode())


def refusal(status: int, code: str, **headers: str) -> Reply:
    return json_reply(status, {"success": False, "error": {"code": code, "message": f"It is {code}."}}, **headers)


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Provider:
    provider = Provider()
    clock._woken.clear()
    monkeypatch.setattr(HttpTransport, "__call__", lambda self, request: provider(request))
    monkeypatch.setattr(drain, "LINGER", 0.0)
    monkeypatch.setattr(drain, "PATIENCE", 0.0)
    return provider


@pytest.fixture
def account(provider: Provider) -> ProviderAccount:
    account = ProviderAccount(name="Main", kind="smsprovider", base_url="http://127.0.0.1:9/v1", rates=["1000/second"])
    account.set_credentials({"api_key": "key-1234567890"})
    account.save()
    return account


def send(account: ProviderAccount, numbers: list[str], **values: object) -> None:
    campaigns.submit(Draft(account, numbers, "Hello", **values))  # type: ignore[arg-type]


def work(account: ProviderAccount) -> None:
    drain.drain(account.pk, lambda: None)


def mark_and_die(account: ProviderAccount) -> None:
    """Mark the next request, and stop before it leaves."""
    assert leases.acquire(account.pk, "dead")
    lane = Lane(account, "dead", Hands(1), ThreadPoolExecutor(1))
    lane.read(time.monotonic())
    batches, _left = lane.mark(lane.backlog.take(1))
    assert len(batches) == 1


def statuses() -> dict[str, str]:
    return dict(Message.objects.values_list("number", "status"))


def test_it_hands_over_every_message_once(account: ProviderAccount, provider: Provider) -> None:
    send(account, GOOD)
    work(account)
    work(account)
    assert provider.taken == Counter(GOOD)
    assert set(statuses().values()) == {"sent"}
    assert set(Message.objects.values_list("provider_id", flat=True)) == {f"msg_{n}" for n in GOOD}


def test_recipients_of_one_text_share_a_request(account: ProviderAccount, provider: Provider) -> None:
    send(account, GOOD)
    work(account)
    assert provider.requests == [GOOD]


def test_the_exchange_is_found_from_the_message_without_the_key(account: ProviderAccount, provider: Provider) -> None:
    send(account, GOOD[:1])
    work(account)
    exchange = Exchange.objects.get(pk=Message.objects.get().exchange)
    trace = traces.unpack(exchange)
    assert trace is not None
    assert (trace.method, exchange.status, exchange.verb, exchange.open) == ("POST", 200, "send", False)
    shown = json.dumps(dict(trace.request_headers)) + trace.request_body + trace.url
    assert "key-1234567890" not in shown
    assert account.callback_token not in shown


def test_one_bad_number_fails_alone(account: ProviderAccount, provider: Provider) -> None:
    bad = GOOD[6]
    provider.answer = lambda numbers: refusal(422, "invalid_phone_number") if bad in numbers else None
    send(account, GOOD)
    for _ in range(2):
        work(account)
    assert statuses() == {number: "failed" if number == bad else "sent" for number in GOOD}
    assert provider.taken == Counter(number for number in GOOD if number != bad)
    assert "invalid_phone_number" in Message.objects.get(number=bad).error_text


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (refusal(401, "authentication_failed"), "key"),
        (refusal(402, "insufficient_credits"), "credits"),
        (Reply(302, {"location": "https://elsewhere/"}), "base URL"),
    ],
)
def test_an_error_of_the_account_pauses_it_and_keeps_the_queue(
    reply: Reply, reason: str, account: ProviderAccount, provider: Provider
) -> None:
    provider.answer = lambda numbers: reply
    send(account, GOOD)
    work(account)
    account.refresh_from_db()
    assert len(provider.requests) == 1
    assert set(statuses().values()) == {"queued"}
    assert account.paused_reason


def test_after_resuming_the_queue_goes_out(account: ProviderAccount, provider: Provider) -> None:
    provider.answer = lambda numbers: refusal(402, "insufficient_credits")
    send(account, GOOD)
    work(account)
    provider.answer = lambda numbers: None
    account.refresh_from_db()
    account.resume()
    work(account)
    assert provider.taken == Counter(GOOD)


@pytest.mark.parametrize(
    "reply", [refusal(429, "rate_limit_exceeded", **{"retry-after": "90"}), Reply(503, {"retry-after": "90"}, b"")]
)
def test_a_provider_that_asks_to_wait_is_waited_for(
    reply: Reply, account: ProviderAccount, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider.answer = lambda numbers: reply if len(provider.requests) == 1 else None
    send(account, GOOD)
    work(account)
    assert len(provider.requests) == 1
    assert set(Message.objects.values_list("status", "attempts")) == {("queued", 0)}
    assert 60 < Pace.objects.get().held_until - pacing.now() <= 90
    Pace.objects.update(held_until=pacing.now() + 1)
    monkeypatch.setattr(drain, "PATIENCE", 5.0)
    work(account)
    assert provider.taken == Counter(GOOD)


@pytest.mark.usefixtures("still")
def test_an_unreachable_provider_is_tried_again_later(account: ProviderAccount, provider: Provider) -> None:
    def unreachable(numbers: list[str]) -> Reply:
        raise errors.Unreachable

    provider.answer = unreachable
    send(account, GOOD[:2])
    work(account)
    message = Message.objects.first()
    assert message is not None
    assert (message.status, message.attempts, message.error_code) == ("queued", 1, "unreachable")
    assert message.due_at > timezone.now()


def test_it_gives_up_after_enough_attempts(account: ProviderAccount, provider: Provider) -> None:
    def unreachable(numbers: list[str]) -> Reply:
        raise errors.Unreachable

    provider.answer = unreachable
    send(account, GOOD[:1])
    Message.objects.update(attempts=verdicts.MAX_ATTEMPTS - 1)
    work(account)
    assert statuses() == {GOOD[0]: "failed"}


@pytest.mark.parametrize("reply", [Reply(500, {}, b"oops"), Reply(502), Reply(200, {}, b"<html>"), Reply(200, {}, b"")])
def test_what_may_have_been_taken_is_uncertain_and_never_sent_again(
    reply: Reply, account: ProviderAccount, provider: Provider
) -> None:
    provider.answer = lambda numbers: reply
    send(account, GOOD)
    work(account)
    work(account)
    assert len(provider.requests) == 1
    assert set(statuses().values()) == {"uncertain"}


def test_a_provider_that_never_answers_clearly_does_not_use_up_the_queue(
    account: ProviderAccount, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account.kind_class, "max_batch", 3)
    monkeypatch.setattr(account.kind_class, "concurrency", 1)
    monkeypatch.setattr(dispatch, "SMALL", 0)
    monkeypatch.setattr(Lane, "patience", lambda lane: 600.0)
    send(account, [f"+1555300{n:04d}" for n in range(60)])
    provider.answer = lambda numbers: json_reply(500, {})
    work(account)
    account.refresh_from_db()
    assert account.down_since and "HTTP 500" in account.down_reason
    assert Counter(statuses().values()) == {"uncertain": 3 * dispatch.DOUBTS, "queued": 60 - 3 * dispatch.DOUBTS}

    del provider.requests[:]
    Pace.objects.update(held_until=0)
    work(account)
    assert [len(numbers) for numbers in provider.requests] == [1]

    provider.answer = lambda numbers: None
    Pace.objects.update(held_until=0)
    work(account)
    account.refresh_from_db()
    assert account.down_since is None
    assert Counter(statuses().values()) == {"uncertain": 16, "sent": 44}
    assert [len(numbers) for numbers in provider.requests[1:4]] == [1, 3, 3]


def test_a_bug_in_an_adapter_leaves_no_message_without_an_end(account: ProviderAccount, provider: Provider) -> None:
    def broken(numbers: list[str]) -> Reply:
        raise ZeroDivisionError

    provider.answer = broken
    send(account, GOOD[:1])
    work(account)
    assert statuses() == {GOOD[0]: "uncertain"}


def test_a_report_that_overtakes_the_answer_is_replayed(account: ProviderAccount, provider: Provider) -> None:
    def early(numbers: list[str]) -> None:
        reports.apply(account, [Report(f"msg_{number}", Status.DELIVERED, number) for number in numbers])
        connection.close()  # the pool's thread opened it

    provider.answer = early
    send(account, GOOD[:2])
    work(account)
    assert set(statuses().values()) == {"delivered"}
    assert not DeliveryReport.objects.filter(message=None).exists()


def test_who_opted_out_after_composing_is_not_written_to(account: ProviderAccount, provider: Provider) -> None:
    send(account, GOOD)
    optout.opt_out(GOOD[3], "a test")
    work(account)
    assert GOOD[3] not in provider.taken
    message = Message.objects.get(number=GOOD[3])
    assert (message.status, message.error_code) == ("canceled", "opted_out")
    assert len(provider.taken) == len(GOOD) - 1


def test_priority_goes_first(account: ProviderAccount, provider: Provider) -> None:
    send(account, GOOD[:2])
    send(account, GOOD[2:4], priority=1)
    work(account)
    assert provider.requests == [GOOD[2:4], GOOD[:2]]


def test_priority_leaves_when_an_hour_has_no_place_for_campaigns(account: ProviderAccount, provider: Provider) -> None:
    account.rates = ["1000/second", "100/hour"]
    account.save()
    assert pacing.reserve(account, account.windows, 98, urgent=True).places == 98
    send(account, GOOD[:2])
    work(account)
    assert provider.requests == []
    send(account, GOOD[2:3], priority=1)
    work(account)
    assert provider.requests == [GOOD[2:3]]


def test_scheduled_messages_wait_for_their_time(account: ProviderAccount, provider: Provider) -> None:
    send(account, GOOD, due_at=timezone.now() + timedelta(hours=1))
    work(account)
    assert provider.requests == []
    assert set(statuses().values()) == {"scheduled"}


def test_a_paused_or_disabled_account_sends_nothing(account: ProviderAccount, provider: Provider) -> None:
    send(account, GOOD)
    account.pause("Lunch")
    work(account)
    account.resume()
    ProviderAccount.objects.update(enabled=False)
    work(account)
    assert provider.requests == []


def test_messages_in_flight_when_a_worker_died_become_uncertain(account: ProviderAccount, provider: Provider) -> None:
    send(account, GOOD)
    first = Message.objects.order_by("pk")[:1]
    Message.objects.filter(pk__in=first).update(batch_limit=1)
    mark_and_die(account)
    Lease.objects.update(until=timezone.now() - timedelta(seconds=1))
    work(account)
    assert statuses() == {number: "uncertain" if number == GOOD[0] else "sent" for number in GOOD}
    assert GOOD[0] not in provider.taken


def test_a_lease_keeps_others_out(account: ProviderAccount, provider: Provider) -> None:
    send(account, GOOD)
    assert leases.acquire(account.pk, "somebody else")
    work(account)
    assert provider.requests == []


def test_a_worker_that_lost_its_lease_cannot_claim(account: ProviderAccount) -> None:
    send(account, GOOD)
    assert leases.acquire(account.pk, "one")
    lane = Lane(account, "one", Hands(1), ThreadPoolExecutor(1))
    Lease.objects.update(holder="two")
    with pytest.raises(leases.LeaseLost):
        lane.fill(time.monotonic())
    assert set(statuses().values()) == {"queued"}
    assert not Exchange.objects.exists()


def test_the_lease_is_free_after_a_drain(account: ProviderAccount, provider: Provider) -> None:
    send(account, GOOD)
    work(account)
    assert leases.acquire(account.pk, "next")


def test_the_same_token_is_one_campaign(account: ProviderAccount) -> None:
    draft = Draft(account, GOOD, "Hello")
    assert campaigns.submit(draft) == campaigns.submit(draft)
    assert Message.objects.count() == len(GOOD)


def test_a_large_campaign_is_expanded_in_the_background(
    account: ProviderAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(campaigns, "AT_ONCE", 3)
    monkeypatch.setattr(expanding, "SLICE", 4)
    campaign = campaigns.submit(Draft(account, GOOD, "Hello"))
    assert Message.objects.count() == 0
    campaigns.expand(campaign.pk, seconds=0.0)
    campaigns.expand(campaign.pk)
    campaigns.expand(campaign.pk)
    assert list(Message.objects.order_by("pk").values_list("number", flat=True)) == GOOD


def test_what_a_dead_worker_had_in_flight_is_found_without_other_work(account: ProviderAccount) -> None:
    send(account, GOOD)
    mark_and_die(account)
    clock.tick()
    assert set(statuses().values()) == {"queued"}
    Lease.objects.update(until=timezone.now() - timedelta(seconds=1))
    clock.tick()
    assert set(statuses().values()) == {"uncertain"}


def test_the_clock_queues_what_was_scheduled_and_wakes_a_worker_once(account: ProviderAccount) -> None:
    send(account, GOOD, due_at=timezone.now() + timedelta(hours=1))
    Message.objects.update(due_at=timezone.now())
    OrmQ.objects.all().delete()
    clock.tick()
    clock.tick()
    assert set(statuses().values()) == {"queued"}
    assert [task.func() for task in OrmQ.objects.all()].count("messaging.tasks.drain") == 1


def test_a_nul_in_an_answer_loses_nothing(account: ProviderAccount, provider: Provider) -> None:
    provider.answer = lambda numbers: refusal(422, "odd\x00code", **{"x-odd": "a\x00b"})
    send(account, GOOD[:1])
    work(account)
    assert statuses() == {GOOD[0]: "failed"}


def test_a_trace_that_cannot_be_kept_does_not_unsettle_the_messages(
    account: ProviderAccount, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise DatabaseError("The disk is full.")

    monkeypatch.setattr(traces, "pack", fail)
    send(account, GOOD)
    work(account)
    assert set(statuses().values()) == {"sent"}
    assert not Exchange.objects.filter(open=True).exists()


def test_a_lane_that_fails_at_the_end_takes_no_other_with_it(
    account: ProviderAccount, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = ProviderAccount.objects.create(name="Other", kind="smsprovider", base_url="http://127.0.0.1:9/v1")
    with closing(Hands(1)) as hands, ThreadPoolExecutor(1) as writer:
        drainer = drain.Drainer(hands, writer, lambda: None)
        drainer.open(account.pk)
        drainer.open(other.pk)
        monkeypatch.setattr(drainer.lanes[account.pk], "settle", lambda **how: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            drainer.close()
    assert leases.held() == {account.pk}
