"""Asking for what was handed over: the end of what was sent where no report may come, and what is uncertain.

Whoever asks claims the messages first, by moving their ``poll_at`` a little on; after a crash that time just comes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from django.core.cache import cache
from django.db import connection, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from providers.models import ProviderAccount
from providers.types import MessageInfo, ReadMessages, Report, SentRef, Status

from . import inquiry, ledger, reports
from .asking import Asker
from .models import Message
from .wire_ids import wire_id, with_ids

AT_ONCE = 500  # messages a poll looks at
CLAIM = timedelta(seconds=60)  # longer than asking.SLICE and one HTTP time-out
LONGEST = 3600.0  # seconds between two looks at one message
GIVE_UP = timedelta(hours=72)
NO_REPORT = "no_report"
ENDS = (Status.DELIVERED, Status.FAILED, Status.EXPIRED)


def no_report() -> dict[str, str]:
    """What a message says whose end was never reported."""
    text = _("No report from the provider in 72 hours: it took the message, and what became of it is not known.")
    return {"error_code": NO_REPORT, "error_text": text}


def poll(account_id: int) -> int:
    """Ask for the messages whose time has come. Returns how many moved. Stops early when the rate limit says so.

    One run at a time for an account, so that no more than one worker is busy with it.
    """
    lock = f"messaging-poll-{account_id}"
    if not cache.add(lock, True, CLAIM.total_seconds()):
        return 0
    try:
        return _run(ProviderAccount.objects.get(pk=account_id))
    finally:
        cache.delete(lock)


def _run(account: ProviderAccount) -> int:
    messages, until = _claim(account.pk)
    asker = Asker(account)
    uncertain = [m for m in messages if m.status == Status.UNCERTAIN]
    sent = [m for m in messages if m.status == Status.SENT and m.provider_id]
    _set_time({m.pk for m in messages} - {m.pk for m in (*uncertain, *sent)}, until, None)
    return inquiry.settle(asker, uncertain, until) + _ask_for_ends(asker, sent, until)


def _claim(account_id: int) -> tuple[list[Message], datetime]:
    """The messages that nobody else asks for now, and the time by which ours are known."""
    now = timezone.now()
    until = now + CLAIM
    with transaction.atomic():
        free = Message.objects.select_for_update(skip_locked=connection.features.has_select_for_update_skip_locked)
        due = free.filter(account_id=account_id, poll_at__lte=now).order_by("poll_at")
        messages = list(due[:AT_ONCE])
        Message.objects.filter(pk__in=[m.pk for m in messages]).update(poll_at=until)
    return messages, until


def _set_time(ids: Iterable[int], until: datetime, to: datetime | None) -> None:
    """For what is still as it was claimed."""
    Message.objects.filter(pk__in=list(ids), poll_at=until).update(poll_at=to)


def _ask_for_ends(asker: Asker, messages: Sequence[Message], until: datetime) -> int:
    questions = asker.adapter.polls([SentRef(m.provider_id, m.provider_group, m.number) for m in messages])
    moved, waiting = 0, {m.pk for m in messages}
    for op, asked in zip(questions, _about(questions, messages), strict=True):
        if not asker.reserve():
            break
        _ask_later(asker, asked)
        waiting -= {m.pk for m in asked}
        moved += reports.apply(asker.account, _news(asker.account, asker.ask(op) or ()))
    if not asker.over:
        _set_time(waiting, until, timezone.now())
    return moved


def _about(questions: Sequence[ReadMessages], messages: Sequence[Message]) -> list[list[Message]]:
    """The messages that each question is about."""
    by_id: dict[tuple[str, str], list[Message]] = defaultdict(list)
    for m in messages:
        for key in ((m.provider_id, ""), ("", m.provider_group), (m.provider_id, m.provider_group), ("", "")):
            by_id[key].append(m)
    return [by_id[op.id, op.group] for op in questions]


def _news(account: ProviderAccount, found: Sequence[MessageInfo]) -> list[Report]:
    """Only what changes something: a poll sees the same status many times, and the messages of others."""
    known = with_ids(
        Message.objects.exclude(provider_id=""), account.pk, [info.id for info in found if wire_id(info.id)]
    )
    before = {wire_id(provider_id): status for provider_id, status in known.values_list("provider_id", "status")}
    return [
        Report(info.id, info.status, info.number, info.status.value, info.problem, info.delivered_at)
        for info in found
        if info.status in ENDS and before.get(wire_id(info.id), info.status) != info.status
    ]


def _ask_later(asker: Asker, messages: Sequence[Message]) -> None:
    """Set the next time before asking, doubling; a crash in between only delays. After GIVE_UP: no more."""
    now = timezone.now()
    first = asker.adapter.poll_after or 60.0
    ledger.note(
        (
            m.pk,
            {"polls": m.polls + 1, "poll_at": None, **no_report()}
            if m.sent_at and now - m.sent_at > GIVE_UP
            else {
                "polls": m.polls + 1,
                "poll_at": now + timedelta(seconds=min(LONGEST, first * 2.0 ** min(m.polls + 1, 20))),
            },
        )
        for m in messages
    )
