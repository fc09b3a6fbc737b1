"""What was posted to callbacks, from the moment it is stored (keeping.py) to the moment it is worked on and gone.

A post goes away in the transaction that applies what it says, so a kill at any moment loses none. It may be worked on
twice: nothing that it says counts twice. Only what was signed is stored, so no signature is asked for again: the secret
may be another one by now. Posts of one account are worked on by one worker at a time, in their order, those with words
of people before reports. One that our own failure keeps back is tried again later and shown to operators
(report_views.py); the others do not wait for it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import NamedTuple

from django.core.cache import cache
from django.db import connection
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Length
from django.utils import timezone

from devices import ussd
from providers import errors, registry, traces
from providers.models import ProviderAccount
from providers.types import Event, Inbound, Report, Request, UssdReply

from . import inbound, inbox_optout, inbox_polling, ledger, reports, wakeup
from .models import Posted

log = logging.getLogger(__name__)

SLICE = 20.0  # seconds that a task works
LINGER = 1.0  # seconds without anything new until it ends
PULSE = 0.2  # seconds from look to look, so that more comes together
BREATH = 0.02  # seconds between two looks at least, in which others get to the database
PROMISE = 3.0  # seconds for which somebody who died is thought to be looking
AT_ONCE = 500  # posts, and reports, in one transaction
WORDS_AT_ONCE = 25  # of these, received messages
BYTES_AT_ONCE = 2 * 1024 * 1024
FIRST = 5  # seconds until what broke off is tried again; doubled each time
LONGEST = 3_600
WORKING = 0x504F  # the number of the locks, in PostgreSQL


class Post(NamedTuple):
    """A stored post and what it says."""

    row: Posted
    request: Request
    events: tuple[Event, ...]


# --- Working on it -----------------------------------------------------------------------------------------


def due() -> list[int]:
    """The accounts that have something to be worked on."""
    waiting = Exists(_ready(Posted.objects.filter(account_id=OuterRef("pk"))))
    return list(ProviderAccount.objects.filter(waiting, kind__in=registry.kinds()).values_list("pk", flat=True))


def try_now(rows: QuerySet[Posted]) -> int:
    """Do not let those of ``rows`` that broke off wait for their time. How many these are."""
    n = rows.filter(tries__gt=0).update(next_at=timezone.now())
    if n:
        wakeup.posted()
    return n


def _ready(rows: QuerySet[Posted]) -> QuerySet[Posted]:
    return rows.filter(Q(tries=0) | Q(next_at__lte=timezone.now()))


def watch(progress: Callable[[], object], stopping: Callable[[], bool]) -> bool:
    """Work on what is due, and go on looking until nothing has come for a while: a flood takes few wake-ups. True:
    there is more, but this took long enough."""
    if not cache.add(wakeup.WATCHED, True, PROMISE):
        return False  # somebody looks already, and once more after giving that up
    now = busy = kept = time.monotonic()
    end = now + SLICE
    try:
        while now < end and now - busy < LINGER and not stopping():
            if _round():
                busy = now
            if now - kept > PROMISE / 2:
                progress()
                cache.touch(wakeup.WATCHED, PROMISE)
                kept = now
            time.sleep(max(BREATH, PULSE - (time.monotonic() - now)))
            now = time.monotonic()
    finally:
        cache.delete(wakeup.WATCHED)
    return work(0.0 if stopping() else end - now)


def work(seconds: float = SLICE) -> bool:
    """Work on what is due until nothing is. True: there is more, but the time is up."""
    end = time.monotonic() + seconds
    while _round():
        if time.monotonic() > end:
            return True
    return False


def _round() -> bool:
    """The next posts of each account. False: there was nothing to do, or others do it."""
    done = [_work_on(pk) for pk in due()]
    return any(done)


def _work_on(account_id: int) -> bool:
    """The next posts of an account. False: there was nothing to do, or it cannot be done here and now."""
    try:
        rows = _next(account_id)
        account = ProviderAccount.objects.filter(pk=account_id).first() if rows else None
        return bool(account and _through(account, list(_read(account, rows))))
    except Exception:  # the other accounts do not wait for it; the clock comes back to it
        log.exception("What was posted for account %s could not be worked on", account_id)
        return False


def _next(account_id: int) -> list[Posted]:
    """As many as one transaction takes; what broke off before goes alone, so that it holds up nothing."""
    ready = _ready(Posted.objects.filter(account_id=account_id)).annotate(size=Length("body")).order_by("pk")
    ids, room = [], BYTES_AT_ONCE
    for urgent in (True, False):
        for pk, tries, size in ready.filter(urgent=urgent).values_list("pk", "tries", "size")[:AT_ONCE]:
            room -= size
            if ids and (tries or room < 0):
                break
            ids.append(pk)
            if tries:
                break
        if ids:
            break
    found = Posted.objects.in_bulk(ids)
    return [found[pk] for pk in ids if pk in found]


def _read(account: ProviderAccount, rows: Sequence[Posted]) -> Iterator[Post]:
    """What they say, until it is enough for a transaction. What cannot be read now is put off."""
    adapter, said, words = account.adapter(), 0, 0
    for row in rows:
        pairs = tuple((name, value) for name, value in row.query)
        request = Request(row.method, "", pairs, row.headers, bytes(row.body))
        try:
            post = Post(row, request, adapter.read_post(request))
        except Exception as error:
            _put_off(row, error)
            continue
        said += len(post.events)
        words += sum(isinstance(event, Inbound) for event in post.events)
        yield post
        if said >= AT_ONCE or words >= WORDS_AT_ONCE:
            return


def _through(account: ProviderAccount, posts: Sequence[Post]) -> bool:
    """Apply all of these, or those of them that can be: the ones to blame are found by halves."""
    try:
        return not posts or _apply(account, posts)
    except Exception as error:
        if len(posts) == 1:
            _put_off(posts[0].row, error)
            return True
    half = len(posts) // 2
    done = [_through(account, part) for part in (posts[:half], posts[half:])]
    return any(done)


def _put_off(row: Posted, error: Exception) -> None:
    """It is tried again, ever more seldom; operators see why."""
    log.error("Post %s of %s could not be worked on", row.pk, row.account_id, exc_info=error)
    wait = timedelta(seconds=min(LONGEST, FIRST * 2.0 ** min(row.tries, 20)))
    text = str(error) if isinstance(error, errors.ProviderError) else f"{type(error).__name__}: {error}"
    rows = Posted.objects.filter(pk=row.pk, tries=row.tries)
    rows.update(tries=row.tries + 1, next_at=timezone.now() + wait, error=text.replace("\x00", "\ufffd")[:300])


def _apply(account: ProviderAccount, posts: Sequence[Post]) -> bool:
    """Do what they say and take them away, in one transaction. False: somebody else works on this account."""
    for event in (event for post in posts for event in post.events if isinstance(event, UssdReply)):
        ussd.answer(account, event)  # in transactions of its own; twice is as good as once
    with ledger.together():
        if not _alone(account):
            return False
        ids = [post.row.pk for post in posts]
        here = set(Posted.objects.filter(pk__in=ids).values_list("pk", flat=True))
        mine = [post for post in posts if post.row.pk in here]
        stopped = _hear(account, mine)
        reports.apply(account, [event for post in mine for event in post.events if isinstance(event, Report)])
        Posted.objects.filter(pk__in=here).delete()
    if stopped:
        inbox_optout.skip_waiting(stopped)
    if any(isinstance(event, Inbound) for post in mine for event in post.events):
        inbox_polling.pushed(account)
    return True


def _alone(account: ProviderAccount) -> bool:
    """Until the transaction ends nobody else works on this account's posts. False: somebody does already."""
    if connection.vendor != "postgresql":
        return True
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s, %s)", [WORKING, account.pk])
        return bool(cursor.fetchone()[0])


def _hear(account: ProviderAccount, posts: Sequence[Post]) -> list[str]:
    """Store the received messages. The numbers that opted out."""
    stopped = []
    for post in posts:
        kept: int | None = None
        if account.kind_class.keeps_callbacks:
            kept = traces.keep_post(account, post.request, 200)
        for event in post.events:
            if isinstance(event, Inbound) and (heard := inbound.store(account, event, kept)) and heard.stopped:
                stopped.append(heard.message.number)
    return stopped
