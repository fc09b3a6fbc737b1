"""Asking for the status of what was handed over, where no report is posted or one may have been missed."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import timedelta

from django.utils import timezone

from providers import errors, pacing
from providers.base import Adapter
from providers.models import ProviderAccount
from providers.types import MessageInfo, ReadMessages, Report, SentRef, Status, Trace

from . import ledger, reports
from .dispatch import keep_traces
from .models import Message

log = logging.getLogger(__name__)

AT_ONCE = 500  # messages a poll looks at
LONGEST = 900.0  # seconds between two looks at one message
GIVE_UP = timedelta(hours=72)


def poll(account_id: int) -> int:
    """Ask for the messages whose time has come. Returns how many moved. Stops early when the rate limit says so."""
    account = ProviderAccount.objects.get(pk=account_id)
    adapter = account.adapter()
    waiting = Message.objects.filter(account=account, poll_at__lte=timezone.now()).order_by("poll_at")
    messages = list(waiting.exclude(provider_id="")[:AT_ONCE])
    _ask_later(adapter, messages)
    refs = [SentRef(m.provider_id, m.provider_group, m.number) for m in messages]
    return sum(_ask(account, adapter, op) for op in adapter.polls(refs))


def _ask(account: ProviderAccount, adapter: Adapter, op: ReadMessages) -> int:
    if not pacing.reserve(account, account.windows).places:
        return 0  # sending goes first; these are asked again at their next time
    traces: list[Trace] = []
    try:
        found: tuple[MessageInfo, ...] = adapter.call(op, traces)
    except errors.ProviderError as error:
        log.info("Asking %s for the status of messages failed: %s", account, error)
        return 0
    finally:
        keep_traces(account, None, [trace for trace in traces if trace.error])
    return reports.apply(account, _news(account, found))


def _news(account: ProviderAccount, found: Sequence[MessageInfo]) -> list[Report]:
    """Only what changes something: a poll sees the same status many times."""
    known = Message.objects.filter(account=account, provider_id__in=[info.id for info in found])
    before = {m.provider_id: m.status for m in known}
    ends = {Status.DELIVERED, Status.FAILED, Status.EXPIRED}
    return [
        Report(info.id, info.status, info.number, info.status.value, info.problem, info.delivered_at)
        for info in found
        if info.id in before and info.status in ends and before[info.id] != info.status
    ]


def _ask_later(adapter: Adapter, messages: Sequence[Message]) -> None:
    """Set the next time before asking, doubling; a crash in between only delays. After GIVE_UP: no more."""
    now = timezone.now()
    first = adapter.poll_after or 60.0
    ledger.note(
        (
            m.pk,
            {
                "polls": m.polls + 1,
                "poll_at": None
                if m.sent_at and now - m.sent_at > GIVE_UP
                else now + timedelta(seconds=min(LONGEST, first * 1.5 ** (m.polls + 1))),
            },
        )
        for m in messages
    )
