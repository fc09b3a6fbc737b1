"""Posting deliveries to their webhooks: at least once, in order for each subject, and nobody waits for another's slow
endpoint.

A delivery is claimed before it is posted, and claimed anew when whoever claimed it is gone. A webhook that answers has
a few posts under way at once; one that fails has one, with growing pauses between.
"""

from __future__ import annotations

import random
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from django.core.cache import cache
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from messaging.drain import stopping
from providers import base, guard
from providers.encryption import Locked
from providers.guard import Answer, Session

from . import formats, webhooks
from .models import ApiKey, Delivery, DeliveryTry, Webhook

SLICE = 25.0  # seconds that a run takes new posts
LINGER = 1.0  # seconds that it waits for more
PULSE = 0.05  # seconds between looks
THREADS = 64  # posts under way at once
EACH = 8  # posts to one webhook under way at once
LONGEST = 15.0  # seconds of one post; a run ends within the time-out of a task (Q_CLUSTER)
CLAIM = timedelta(seconds=30)
RENEW = 5.0  # seconds between renewals of claims and of the lease
KEPT = 2_000  # characters of an answer

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
PAUSES = (5 * SECOND, 30 * SECOND, 2 * MINUTE, 10 * MINUTE, 30 * MINUTE, HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR)
"""Between the tries of a delivery: ten tries within a day, and then it is given up."""
JITTER = 0.2  # by which a pause is longer or shorter, so that not all come at once
HOLDS = (0 * SECOND, 5 * SECOND, 30 * SECOND, 2 * MINUTE, 10 * MINUTE, 30 * MINUTE, HOUR)
"""For which a webhook is left alone after so many failures in a row; the last again and again."""
DEAD_AFTER, DEAD_FOR = 10, 12 * HOUR  # failures in a row, over so long: it is paused
LEASE, LEASED = "api-deliver", 15  # one run at a time; seconds

State = Delivery.State


@dataclass(frozen=True, slots=True)
class Post:
    """A claimed delivery on its way. ``failures``: of its webhook when it left. ``key``: the hash of the API key that
    signed it, where another would have been the first choice."""

    id: int
    webhook: int
    url: str
    failures: int
    attempts: int
    body: str
    headers: dict[str, str]
    at: datetime
    key: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of it. ``error`` empty: it was taken. ``gone``: nothing more is to be posted there."""

    answer: Answer | None
    milliseconds: int
    error: str = ""
    gone: bool = False


# --- A run -------------------------------------------------------------------------------------------------


def running() -> bool:
    return cache.get(LEASE) is not None


def due() -> bool:
    return _ready(timezone.now()).exists()


def run(progress: Callable[[], None]) -> bool:
    """Pass on what happened and post what is due, until nothing is left or the time is over. True: there may be more.

    ``progress`` is called now and then, to show that this worker lives.
    """
    holder = uuid.uuid4().hex
    if not cache.add(LEASE, holder, LEASED):
        return False
    with guard.session(EACH) as calls, ThreadPoolExecutor(THREADS) as pool:
        deliverer = Deliverer(calls, pool)
        try:
            more = deliverer.run(holder, progress)
        finally:
            if cache.get(LEASE) == holder:
                cache.delete(LEASE)  # another may begin while the slowest answers come in
            deliverer.finish()
    return more


class Deliverer:
    """The posts of one process, started and settled by one thread."""

    def __init__(self, calls: Session, pool: ThreadPoolExecutor) -> None:
        self.calls, self.pool = calls, pool
        self.flying: dict[Future[Result], Post] = {}

    def run(self, holder: str, progress: Callable[[], None]) -> bool:
        """False: there was nothing to do any more."""
        start = worked = renewed = time.monotonic()
        while time.monotonic() - start < SLICE and not stopping():
            if any([webhooks.pass_on(), self.fill(), self.settle()]) or self.flying:
                worked = time.monotonic()
            elif time.monotonic() - worked > LINGER:
                return False
            if time.monotonic() - renewed > RENEW:
                renewed = time.monotonic()
                self.renew()
                cache.set(LEASE, holder, LEASED)
                progress()
            self.rest()
        return True

    def rest(self) -> None:
        if self.flying:
            wait(self.flying, timeout=PULSE, return_when=FIRST_COMPLETED)
        else:
            time.sleep(PULSE)

    def fill(self) -> bool:
        """Start what may go. Half of the threads are for webhooks that have nothing under way and do not fail."""
        begun, under_way = len(self.flying), Counter(post.webhook for post in self.flying.values())
        for row in _ready(timezone.now()):
            crowded = len(self.flying) >= THREADS // 2
            most = 1 if crowded or row.failures else EACH
            if len(self.flying) >= THREADS or (crowded and row.failures):
                continue
            if (room := most - under_way[row.pk]) > 0:
                self.start(row, room)
        return len(self.flying) > begun

    def start(self, row: Webhook, n: int) -> None:
        try:
            posts = claim(row, min(n, THREADS - len(self.flying)))
        except Locked as error:
            webhooks.pause(row, str(error))
            return
        for post in posts:
            self.flying[self.pool.submit(deliver, self.calls, post)] = post

    def settle(self) -> bool:
        done = [future for future in self.flying if future.done()]
        if done:
            record([(self.flying[future], future.result()) for future in done])
            for future in done:
                del self.flying[future]
        return bool(done)

    def renew(self) -> None:
        ids = [post.id for post in self.flying.values()]
        Delivery.objects.filter(pk__in=ids, state=State.WAITING).update(claimed_until=timezone.now() + CLAIM)

    def finish(self) -> None:
        """Wait for what is under way, and keep what became of it."""
        while self.flying:
            self.rest()
            self.settle()


# --- Claiming ----------------------------------------------------------------------------------------------


def _ready(now: datetime) -> QuerySet[Webhook]:
    """The webhooks that take posts and have one due."""
    rows = Webhook.objects.filter(webhooks.working(), Q(hold_until=None) | Q(hold_until__lte=now), paused_reason="")
    return rows.filter(Exists(_due(now).filter(webhook=OuterRef("pk")))).defer("sealed").order_by("pk")


def _due(now: datetime) -> QuerySet[Delivery]:
    free = Q(claimed_until=None) | Q(claimed_until__lt=now)
    return Delivery.objects.filter(free, state=State.WAITING, next_at__lte=now)


def claim(row: Webhook, n: int) -> list[Post]:
    """At most ``n`` deliveries that are due, each the first of its subject that is not over."""
    now = timezone.now()
    same = {"webhook": OuterRef("webhook"), "subject": OuterRef("subject")}
    earlier = Delivery.objects.filter(**same, state=State.WAITING, pk__lt=OuterRef("pk"))
    with transaction.atomic():
        first = _due(now).filter(Q(subject="") | ~Exists(earlier), webhook=row.pk).order_by("next_at", "id")
        found = list(first.select_for_update(skip_locked=True, no_key=True, of=("self",))[:n])
        Delivery.objects.filter(pk__in=[each.pk for each in found]).update(claimed_until=now + CLAIM)
    secrets = list(secrets_of(row).items()) if found else []
    return [_post(row, each, secrets, now) for each in found]


def _post(row: Webhook, each: Delivery, secrets: Sequence[tuple[str, str]], now: datetime) -> Post:
    turn = each.attempts % len(secrets)
    key, secret = secrets[turn]
    name = f"msg_{each.replay_of_id or each.pk}"
    headers = {"user-agent": "smsdash", **formats.headers(row.format, name, each.body, secret, now)}
    return Post(each.pk, row.pk, row.url, row.failures, each.attempts, each.body, headers, now, key if turn else "")


def secrets_of(row: Webhook) -> dict[str, str]:
    """What its posts are signed with, by the hash of an API key: its own secret. With the API key itself one of a key
    in the format of smsgateway; and a callback_url, unless the key has a webhook of the same format, whose secret the
    program knows.

    While a key that was rotated works beside the new one, nobody can tell which of them the receiver knows: both are
    tried in turn, first the one that was taken last, or else the old one.
    """
    stored = Webhook.objects.select_related("key").defer("key__log").get(pk=row.pk)
    if stored.key is None:
        return {"": stored.sealed["secret"]}
    if stored.for_campaigns:
        others = Webhook.objects.filter(key=stored.key, format=stored.format, for_campaigns=False, enabled=True)
        stored = others.select_related("key").order_by("-pk").first() or stored
    if stored.format != Webhook.Format.SMSGATEWAY and not stored.for_campaigns:
        return {"": stored.sealed["secret"]}
    return _keys_of(cast(ApiKey, stored.key), stored.sealed.get("taken"))


def _keys_of(key: ApiKey, taken: str | None) -> dict[str, str]:
    new, old = {key.key_hash: key.sealed["key"]}, {key.previous_hash: key.sealed.get("previous", "")}
    both = key.previous_until and key.previous_until > timezone.now() and old[key.previous_hash]
    return (new | old if taken == key.key_hash else old | new) if both else new


# --- Posting -----------------------------------------------------------------------------------------------


def deliver(calls: Session, post: Post) -> Result:
    """Post it. Touches no database: it runs in a thread of its own."""
    begun = time.monotonic()
    answer, error, gone = None, "", False
    try:
        body = post.body.encode()
        answer = guard.exchange(
            calls, "POST", post.url, body=body, headers=post.headers, limit=4 * KEPT, longest=LONGEST
        )
        error, gone = _wrong(answer), answer.status == 410
    except guard.PrivateHost as refused:
        error, gone = str(refused), True
    except (guard.Refused, guard.Failed) as failed:
        error = str(failed)
    return Result(answer, round((time.monotonic() - begun) * 1000), error, gone)


def _wrong(answer: Answer) -> str:
    if 200 <= answer.status < 300:
        return ""
    if 300 <= answer.status < 400:
        return _("It redirects (status %d), and redirects are not followed. Change the URL.") % answer.status
    if answer.status == 410:
        return _("It answered that it is gone (status 410).")
    return _("It answered with the status %d.") % answer.status


# --- Settling ----------------------------------------------------------------------------------------------


def record(results: Iterable[tuple[Post, Result]]) -> None:
    """Keep what became of posts, all or nothing."""
    now = timezone.now()
    pairs = sorted(results, key=lambda pair: pair[0].id)
    with transaction.atomic():
        DeliveryTry.objects.bulk_create(_try(post, result) for post, result in pairs)
        taken = [post.id for post, result in pairs if not result.error]
        waiting = Delivery.objects.filter(state=State.WAITING)
        over: dict[str, Any] = {"attempts": F("attempts") + 1, "claimed_until": None}
        if taken:
            waiting.filter(pk__in=taken).update(**over, state=State.DONE, done_at=now)
        for post, result in pairs:
            if result.error:
                waiting.filter(pk=post.id).update(**over, **_after(post, result, now))
        _judge(pairs, now)


def _try(post: Post, result: Result) -> DeliveryTry:
    answer = result.answer
    text = answer.body.decode(errors="replace").replace("\x00", "\ufffd")[:KEPT] if answer else ""
    return DeliveryTry(
        delivery_id=post.id,
        at=post.at,
        headers=post.headers,
        status=answer.status if answer else None,
        answer=text,
        milliseconds=result.milliseconds,
        error=result.error[:300],
    )


def _after(post: Post, result: Result, now: datetime) -> dict[str, Any]:
    """What a delivery that failed waits for. When the webhook is gone, for somebody to mend that."""
    if result.gone:
        return {"next_at": now}
    if post.attempts >= len(PAUSES):
        return {"state": State.FAILED, "done_at": now}
    pause = PAUSES[post.attempts] * random.uniform(1 - JITTER, 1 + JITTER)
    asked = base.retry_after(result.answer.headers) if result.answer else None
    return {"next_at": now + max(pause, timedelta(seconds=asked or 0))}


def _judge(pairs: Iterable[tuple[Post, Result]], now: datetime) -> None:
    """Count failures in a row, one for all posts that were under way together; leave alone or pause who fails."""
    for post, result in sorted(pairs, key=lambda pair: (pair[0].webhook, pair[0].id)):
        row = Webhook.objects.filter(pk=post.webhook, failures=post.failures)
        if not result.error:
            if post.failures:
                row.update(failures=0, failing_since=None, hold_until=None)
            if post.key:
                webhooks.remember(post.webhook, post.key)
            continue
        found = row.select_for_update(no_key=True, of=("self",)).defer("sealed").first()
        if found is None:
            continue
        found.failures += 1
        found.failing_since = found.failing_since or now
        found.hold_until = now + HOLDS[min(found.failures, len(HOLDS)) - 1]
        dead = found.failures >= DEAD_AFTER and now - found.failing_since >= DEAD_FOR
        if (dead or result.gone) and not found.paused_reason:
            found.paused_reason, found.paused_at = result.error[:300], now
        found.save(update_fields=["failures", "failing_since", "hold_until", "paused_reason", "paused_at"])
