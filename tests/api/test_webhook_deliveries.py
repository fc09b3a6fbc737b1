"""Posting: signed, in order, at least once, again after a failure, and never held up by somebody else's endpoint."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection
from django.utils import timezone
from django_q.models import OrmQ
from pytest_httpserver import HTTPServer
from standardwebhooks import Webhook as Receiver
from werkzeug import Request, Response

from api import clock, deliveries, formats, tasks, webhooks
from api.models import Delivery, DeliveryTry, Webhook
from providers import outbox
from providers.types import Status
from tests.api.hooks import allow, api_key, become, delivery, message, webhook
from tests.api.test_formats import node, php
from tests.base import account

pytestmark = pytest.mark.django_db

State = Delivery.State
HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def receiver() -> Iterator[HTTPServer]:
    with HTTPServer(host="127.0.0.1", threaded=True) as server:
        yield server


@pytest.fixture(autouse=True)
def prepared(receiver: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The receivers here may be called, and a run ends as soon as there is nothing to do."""
    allow("127.0.0.1")
    monkeypatch.setattr(deliveries, "LINGER", 0.0)
    monkeypatch.setattr(deliveries, "PULSE", 0.001)
    receiver.clear()
    cache.delete(deliveries.LEASE)
    yield
    receiver.clear()


@pytest.fixture
def answers(receiver: HTTPServer) -> Callable[..., str]:
    """Has the receiver answer so at a path, once for each; the last again and again. Returns the URL."""

    def prepare(*replies: int | Response, path: str = "/hook") -> str:
        rest = list(replies)

        def answer(request: Request) -> Response:
            reply = rest.pop(0) if len(rest) > 1 else rest[0]
            return reply if isinstance(reply, Response) else Response("thanks", reply)

        receiver.expect_request(path, method="POST").respond_with_handler(answer)
        return receiver.url_for(path)

    return prepare


def work() -> None:
    deliveries.run(lambda: None)


def later(row: Webhook) -> None:
    """What waits is due, and the webhook is left alone no longer."""
    past = timezone.now() - timedelta(minutes=1)
    row.deliveries.filter(state=State.WAITING).update(next_at=past)
    Webhook.objects.filter(pk=row.pk).update(hold_until=None)


def posts(receiver: HTTPServer) -> list[Request]:
    return [request for request, _response in receiver.log]


# --- What arrives --------------------------------------------------------------------------------------------


def test_what_happens_arrives_signed_and_in_order(receiver: HTTPServer, answers: Callable[..., str]) -> None:
    hook, row = webhook(url=answers(204)), account()
    sent = message(row, text="Õ/\u2028")
    become(sent, Status.SENT, Status.DELIVERED)
    work()
    read = [Receiver(hook.sealed["secret"]).verify(p.get_data(), dict(p.headers)) for p in posts(receiver)]
    assert [(body["type"], body["data"]["message"]) for body in read] == [
        ("message.sent", "Õ/\u2028"),
        ("message.delivered", "Õ/\u2028"),
    ]
    assert set(hook.deliveries.values_list("state", "attempts", "claimed_until")) == {("done", 1, None)}
    tried = DeliveryTry.objects.earliest("pk")
    assert (tried.status, tried.answer, tried.error) == (204, "", "")
    assert tried.headers["webhook-signature"] == posts(receiver)[0].headers["webhook-signature"]


@pytest.mark.parametrize("format", ["smsgateway", "smsprovider"])
def test_the_receivers_of_the_seeds_verify_it(receiver: HTTPServer, answers: Callable[..., str], format: str) -> None:
    key = api_key()
    hook = webhook(url=answers(200), format=format, key=key)
    become(message(account(), client=key.pk), Status.FAILED)
    work()
    (post,) = posts(receiver)
    headers = {name.lower(): value for name, value in post.headers}
    secret = key.sealed["key"] if format == "smsgateway" else hook.sealed["secret"]
    assert {"smsgateway": php, "smsprovider": node}[format](post.get_data(as_text=True), headers, secret)


def secret_of(row: Webhook) -> str:
    (secret,) = deliveries.secrets_of(row).values()
    return secret


def test_which_secret_signs() -> None:
    key, gateway, provider = api_key(), Webhook.Format.SMSGATEWAY, Webhook.Format.SMSPROVIDER
    for values, own in (
        ({"format": gateway}, True),
        ({"format": gateway, "key": key}, False),
        ({"format": provider, "key": key, "for_campaigns": True, "sealed": {}}, False),
        ({"format": provider, "key": key}, True),
        ({"key": key}, True),
    ):
        row = webhook(**values)
        assert secret_of(row) == (row.sealed["secret"] if own else key.sealed["key"]), values
    registered = Webhook.objects.get(format=provider, for_campaigns=False)
    callback = Webhook.objects.get(for_campaigns=True)
    assert secret_of(callback) == registered.sealed["secret"]  # by now the program knows it


def test_a_webhook_whose_secret_is_locked_pauses(settings: Any, answers: Callable[..., str]) -> None:
    hook = webhook(url=answers(200))
    delivery(hook)
    settings.FIELD_KEYS = ["MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="]
    work()
    assert "SMSDASH_FIELD_KEYS" in Webhook.objects.defer("sealed").get().paused_reason


# --- Again and again -----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("still")
def test_a_failure_is_tried_again_for_a_day_and_then_given_up(
    receiver: HTTPServer, answers: Callable[..., str]
) -> None:
    hook = webhook(url=answers(Response("no\x00t now" + "!" * 3_000, 500)))
    row, waited = delivery(hook), timedelta()
    for n in range(1, 11):
        assert row.state == State.WAITING
        before = timezone.now()
        later(hook)
        work()
        row.refresh_from_db()
        assert row.attempts == n
        if n < 10:
            pause = row.next_at - before
            assert deliveries.PAUSES[n - 1] * 0.8 <= pause <= deliveries.PAUSES[n - 1] * 1.2 + timedelta(seconds=5)
            waited += deliveries.PAUSES[n - 1]
    assert (row.state, row.done_at is not None) == (State.FAILED, True)
    assert timedelta(hours=20) < waited < timedelta(hours=24)
    assert {post.headers["webhook-id"] for post in posts(receiver)} == {f"msg_{row.pk}"}
    tried = row.tries.earliest("pk")
    assert (tried.status, tried.error, len(tried.answer)) == (500, "It answered with the status 500.", 2_000)
    later(hook)
    work()
    assert row.tries.count() == 10


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (302, "It redirects (status 302), and redirects are not followed. Change the URL."),
        (404, "It answered with the status 404."),
        (429, "It answered with the status 429."),
    ],
)
def test_only_a_status_of_success_counts(answers: Callable[..., str], reply: int, error: str) -> None:
    location = {"Location": answers(200, path="/elsewhere"), "Retry-After": "7200"}
    hook = webhook(url=answers(Response("", reply, location)))
    row = delivery(hook)
    work()
    row.refresh_from_db()
    assert (row.state, row.tries.get().error) == (State.WAITING, error)
    assert row.next_at > timezone.now() + HOUR  # as it asked for


def test_nobody_there_is_a_failure_with_its_reason() -> None:
    hook = webhook(url="http://127.0.0.1:9/")
    row = delivery(hook)
    work()
    tried = row.tries.get()
    assert (tried.status, tried.error) == (None, "No answer came: Connection refused.")
    hook.refresh_from_db()
    assert (hook.failures, hook.failing_since is not None, hook.paused_reason) == (1, True, "")


@pytest.mark.usefixtures("still")
def test_those_of_one_message_wait_for_each_other(receiver: HTTPServer) -> None:
    hook = webhook(url=receiver.url_for("/hook"))
    first, second, other = delivery(hook), delivery(hook), delivery(hook, "message:2")
    names = []

    def answer(request: Request) -> Response:
        names.append(request.headers["webhook-id"])
        return Response("", 500 if names[-1] == f"msg_{first.pk}" and names.count(names[-1]) == 1 else 200)

    receiver.expect_request("/hook").respond_with_handler(answer)
    work()
    states = [Delivery.objects.get(pk=row.pk).state for row in (first, second, other)]
    assert states == ["waiting", "waiting", "done"]
    later(hook)
    work()
    assert sorted(names[:2]) == sorted([f"msg_{first.pk}", f"msg_{other.pk}"])
    assert names[2:] == [f"msg_{first.pk}", f"msg_{second.pk}"]


def test_what_was_claimed_by_one_who_is_gone_is_posted_again(receiver: HTTPServer, answers: Callable[..., str]) -> None:
    """Killed between claim and answer: nobody knows whether it arrived, so it comes again under the same id."""
    hook = webhook(url=answers(200))
    row = delivery(hook)
    (lost,) = deliveries.claim(hook, 5)
    work()
    assert posts(receiver) == []  # another may still be at it
    Delivery.objects.update(claimed_until=timezone.now() - timedelta(seconds=1))
    work()
    (post,) = posts(receiver)
    assert post.headers["webhook-id"] == lost.headers["webhook-id"] == f"msg_{row.pk}"
    deliveries.record([(lost, deliveries.Result(None, 5, "No answer came."))])  # it was only slow
    assert Delivery.objects.get().state == State.DONE


@pytest.mark.django_db(transaction=True)
def test_two_never_claim_the_same() -> None:
    hook = webhook()
    rows = [delivery(hook, f"message:{n}") for n in range(40)]
    claimed: list[int] = []

    def claim() -> None:
        while found := deliveries.claim(hook, 3):
            claimed.extend(post.id for post in found)
        connection.close()

    threads = [threading.Thread(target=claim) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claimed) == [row.pk for row in rows]


# --- Endpoints that are slow or dead -------------------------------------------------------------------------


def test_a_slow_endpoint_delays_nobody_else(receiver: HTTPServer, answers: Callable[..., str]) -> None:
    others_done, waited = threading.Event(), []

    def slow(request: Request) -> Response:
        waited.append(others_done.wait(90))
        return Response("", 200)

    receiver.expect_request("/slow").respond_with_handler(slow)
    slow_hook = webhook(url=receiver.url_for("/slow"))
    seen = []

    def quick(request: Request) -> Response:
        seen.append(request.headers["webhook-id"])
        if len(seen) == 30:
            others_done.set()
        return Response("", 200)

    receiver.expect_request("/quick").respond_with_handler(quick)
    quick_hook = webhook(url=receiver.url_for("/quick"))
    for n in range(30):
        delivery(slow_hook, f"message:{n}") if n < 12 else None
        delivery(quick_hook, f"message:{n}")
    work()
    assert all(waited) and len(waited) == 12 and len(seen) == 30


@pytest.mark.usefixtures("still")
def test_an_endpoint_that_fails_is_left_alone_for_longer_and_longer(answers: Callable[..., str]) -> None:
    hook = webhook(url=answers(500))
    for n in range(20):
        delivery(hook, f"message:{n}")
    work()
    hook.refresh_from_db()
    tried = DeliveryTry.objects.count()
    assert tried <= deliveries.EACH + 1  # those under way together, and the one that came after
    assert (hook.failures, hook.hold_until > timezone.now()) == (2, True)
    for failures, hold in ((3, 30), (4, 120)):
        Webhook.objects.update(hold_until=timezone.now())
        work()
        hook.refresh_from_db()
        assert hook.failures == failures
        assert abs((hook.hold_until - timezone.now()).total_seconds() - hold) < 5
    assert DeliveryTry.objects.count() == tried + 2


def test_one_that_is_dead_for_half_a_day_pauses_and_goes_on_when_resumed(answers: Callable[..., str]) -> None:
    hook = webhook(url=answers(503, 200))
    kept = [delivery(hook, f"message:{n}") for n in range(3)]
    Webhook.objects.update(failures=9, failing_since=timezone.now() - 13 * HOUR)
    work()
    hook.refresh_from_db()
    assert (hook.paused_reason, hook.failures) == ("It answered with the status 503.", 10)
    later(hook)
    work()
    assert set(hook.deliveries.values_list("state", flat=True)) == {"waiting"}
    webhooks.resume(hook)
    work()
    hook.refresh_from_db()
    assert (hook.paused_reason, hook.failures, hook.failing_since) == ("", 0, None)
    assert list(hook.deliveries.values_list("state", flat=True)) == ["done"] * len(kept)


def test_a_success_ends_the_failures(answers: Callable[..., str]) -> None:
    hook = webhook(url=answers(200))
    Webhook.objects.update(failures=9, failing_since=timezone.now() - 13 * HOUR)
    delivery(hook)
    work()
    hook.refresh_from_db()
    assert (hook.failures, hook.failing_since, hook.paused_reason) == (0, None, "")


def test_one_that_is_gone_pauses_at_once(receiver: HTTPServer, answers: Callable[..., str]) -> None:
    gone, private = webhook(url=answers(410)), webhook(url="http://10.0.0.1/")
    for hook in (gone, private):
        delivery(hook)
    work()
    gone.refresh_from_db()
    private.refresh_from_db()
    assert gone.paused_reason == "It answered that it is gone (status 410)."
    assert private.paused_reason.startswith("10.0.0.1 is an address in a private network.")
    assert set(Delivery.objects.values_list("state", flat=True)) == {"waiting"}


@pytest.mark.parametrize("values", [{"enabled": False}, {"paused_reason": "Paused by alice."}])
def test_nothing_leaves_while_it_is_off(receiver: HTTPServer, answers: Callable[..., str], values: Any) -> None:
    delivery(webhook(url=answers(200), **values))
    work()
    assert posts(receiver) == [] and not deliveries.due()


# --- By hand -------------------------------------------------------------------------------------------------


def test_what_failed_is_posted_once_more_under_its_id(receiver: HTTPServer, answers: Callable[..., str]) -> None:
    hook = webhook(url=answers(200))
    failed = delivery(hook, state=State.FAILED, attempts=10)
    assert webhooks.replay([failed]) == 1
    work()
    again = hook.deliveries.latest("pk")
    assert webhooks.replay([again]) == 1
    work()
    assert {post.headers["webhook-id"] for post in posts(receiver)} == {f"msg_{failed.pk}"}
    assert len(posts(receiver)) == 2
    assert set(hook.deliveries.values_list("replay_of", flat=True)) == {None, failed.pk}


@pytest.mark.parametrize("format", Webhook.Format.values)
def test_a_test_event_arrives(receiver: HTTPServer, answers: Callable[..., str], format: str) -> None:
    hook = webhook(url=answers(200), format=format)
    webhooks.test(hook)
    work()
    assert len(posts(receiver)) == 1
    assert hook.deliveries.get().state == State.DONE
    assert hook.deliveries.get().event == formats.TEST


# --- Who wakes whom ------------------------------------------------------------------------------------------


def woken() -> list[str]:
    names = [each.func() for each in OrmQ.objects.order_by("pk")]
    OrmQ.objects.all().delete()
    return names


@pytest.mark.django_db(transaction=True)
def test_the_clock_wakes_a_worker_when_there_is_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "AGAIN", 0.0)
    clock.tick()
    assert woken() == ["api.tasks.tidy"]
    clock.tick()
    assert woken() == []
    hook = webhook(["message.sent"])
    become(message(account()), Status.SENT)
    clock.tick()
    assert woken() == ["api.tasks.deliver"]
    assert webhooks.pass_on() and not outbox.waiting()
    clock.tick()
    assert woken() == ["api.tasks.deliver"]
    assert cache.add(deliveries.LEASE, "another", 15)  # it will see what is new by itself
    clock.tick()
    tasks.deliver()
    assert woken() == []
    assert hook.deliveries.get().attempts == 0
