"""What an operator does with many messages: the selected ones, or all of a filter of the log.

All of a filter is a BulkAction, worked off newest first in slices. A slice and the place where it ended are one
transaction, so a worker that is killed repeats nothing and leaves nothing out. The first slice is done in the request.
"""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.humanize.templatetags.humanize import intcomma
from django.db import transaction
from django.db.models import Q
from django.http import QueryDict
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext, ngettext_lazy
from django.utils.translation import gettext_lazy as _

from providers.models import ProviderAccount
from providers.types import Status

from . import cancel, pages, reschedule, resend, resolve, wakeup
from .log import Filters, kept
from .models import BulkAction, Message

AT_ONCE = 500  # messages that are done in the request
SLICE = 2_000  # messages of a transaction in the background
SECONDS = 20.0  # a task works so long, then it queues the rest
IDLE = 20.0  # seconds after which whoever worked on an action is taken for dead
SHOWN = timedelta(minutes=2)  # how long the log tells of an action that is over

LATE, TOO_LATE, SETTLED = "late", "too_late", "settled"
REASONS: Mapping[str, str | Promise] = {
    **resend.REASONS,
    LATE: _("had left already"),
    TOO_LATE: _("had left already, or would have expired by then"),
    SETTLED: _("was not uncertain any more"),
}


@dataclass(frozen=True, slots=True)
class Did:
    """``n`` messages were acted on; the others were left out, by a key of ``REASONS``."""

    n: int
    skipped: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Action:
    """Something that can be done with messages in ``statuses``.

    ``do`` takes ids, the values of the BulkAction and who asked. ``asks``: it cannot be undone, or needs an answer.
    """

    statuses: frozenset[Status]
    do: Callable[[Sequence[int], Mapping[str, Any], str], Did]
    said: Any  # what was done, for the number ``n``, written as ``shown``
    permission: str = "messaging.change_message"
    asks: bool = True


def _cancel(ids: Sequence[int], values: Mapping[str, Any], by: str) -> Did:
    return _or(LATE, ids, cancel.cancel(ids, by))


def _reschedule(ids: Sequence[int], values: Mapping[str, Any], by: str) -> Did:
    return _or(TOO_LATE, ids, reschedule.reschedule(ids, datetime.fromisoformat(values["moment"]), by))


def _resend(ids: Sequence[int], values: Mapping[str, Any], by: str) -> Did:
    account = ProviderAccount.objects.get(pk=values["account"]) if values.get("account") else None
    found = resend.run(ids, by, account, bool(values.get("again")))
    return Did(len(found.made), found.skipped)


def _count_as_sent(ids: Sequence[int], values: Mapping[str, Any], by: str) -> Did:
    return _or(SETTLED, ids, resolve.count_as_sent(ids, by))


def _send_again(ids: Sequence[int], values: Mapping[str, Any], by: str) -> Did:
    return _or(SETTLED, ids, resolve.send_again(ids))


def _or(reason: str, ids: Sequence[int], n: int) -> Did:
    return Did(n, Counter({reason: len(ids) - n} if n < len(ids) else {}))


ACTIONS: Mapping[str, Action] = {
    "cancel": Action(
        cancel.CANCELABLE,
        _cancel,
        ngettext_lazy("%(shown)s message is canceled.", "%(shown)s messages are canceled.", "n"),
    ),
    "reschedule": Action(
        reschedule.MOVABLE,
        _reschedule,
        ngettext_lazy("%(shown)s message has a new time.", "%(shown)s messages have a new time.", "n"),
    ),
    "resend": Action(
        resend.RESENDABLE,
        _resend,
        ngettext_lazy("%(shown)s message is queued once more.", "%(shown)s messages are queued once more.", "n"),
        permission="messaging.add_message",
    ),
    "sent": Action(
        frozenset({Status.UNCERTAIN}),
        _count_as_sent,
        ngettext_lazy("%(shown)s message is counted as sent.", "%(shown)s messages are counted as sent.", "n"),
        asks=False,
    ),
    "again": Action(
        frozenset({Status.UNCERTAIN}),
        _send_again,
        ngettext_lazy("%(shown)s message is queued again.", "%(shown)s messages are queued again.", "n"),
    ),
}


def with_these(name: str, ids: Collection[int], values: Mapping[str, Any], by: str) -> Did:
    """Act on the selected messages at once. Those that do not suit the action are left out."""
    return ACTIONS[name].do(sorted(ids), values, by)


def count(name: str, filters: Filters) -> int | None:
    """The messages of a filter that suit an action; None: more than 500, and nobody counts them."""
    statuses = ACTIONS[name].statuses & filters.statuses
    if filters.counted:
        counts = kept(filters).counts
        return sum(counts[status] for status in statuses)
    found, edge = pages.ids(filters, statuses, pages.top(), AT_ONCE)
    return len(found) if edge is None else None


# --- In words ----------------------------------------------------------------------------------------


def said(name: str, n: int) -> str:
    return str(ACTIONS[name].said % {"n": n, "shown": intcomma(n)})


def left_out(skipped: Mapping[str, int]) -> str:
    """Empty: nobody was."""
    reasons = ", ".join(f"{intcomma(n)} {REASONS[reason]}" for reason, n in skipped.items() if n)
    return gettext("Left out: %s.") % reasons if reasons else ""


# --- All of a filter ---------------------------------------------------------------------------------


def start(name: str, filters: Filters, values: Mapping[str, Any], user: Any, token: str) -> BulkAction:
    """Act on all messages of a filter that there are now. The same ``token`` twice is the same action; ``user`` None: a
    program asks, whose requests somebody else keeps apart. Its ``values`` say ``by`` whom, and ``only`` with which
    messages: ``client`` (an id, or None: anybody's) and ``accounts`` (ids, or None: all)."""
    with transaction.atomic():
        if user:
            get_user_model().objects.select_for_update().get(pk=user.pk)  # a second click waits for the first
        known = BulkAction.objects.filter(created_by=user, values__token=token).first()
        if known:
            return known
        values = {**values, "token": token, "total": None if "only" in values else count(name, filters)}
        action = BulkAction(action=name, filters=filters.fixed, values=values, below=pages.top(), created_by=user)
        _step(action, AT_ONCE, worker="")
        if action.finished_at is None:
            wakeup.bulk(action.pk, "")
    return action


def work(pk: int, worker: str, seconds: float = SECONDS) -> None:
    """Go on with an action, a slice a transaction; then queue the rest. Safe to run twice, at once, after a crash.

    ``worker``: the chain of tasks that this one belongs to; empty: a new one. While one chain is at it, others end.
    """
    worker, end = worker or uuid.uuid4().hex, time.monotonic() + seconds
    while time.monotonic() < end:
        with transaction.atomic():
            action = BulkAction.objects.select_for_update().filter(pk=pk, finished_at=None).first()
            if action is None or (action.values["worker"] not in ("", worker) and not _is_idle(action)):
                return
            _step(action, SLICE, worker)
            if action.finished_at:
                return
    wakeup.bulk(pk, worker)


def _step(action: BulkAction, limit: int, worker: str) -> None:
    """The next slice, in the caller's transaction."""
    doing = ACTIONS[action.action]
    filters = Filters.from_query(QueryDict(action.filters))
    found, edge = pages.ids(filters, doing.statuses, action.below, limit)
    did = doing.do(_meant(action, found), action.values, action.values.get("by") or str(action.created_by or ""))
    skipped = Counter(action.values.get("skipped", {})) + did.skipped
    action.values = {**action.values, "skipped": skipped, "worker": worker, "at": time.time()}
    action.done += did.n
    action.below = edge or 0
    if edge is None:
        action.finished_at = timezone.now()
    action.save()


def _meant(action: BulkAction, ids: list[int]) -> list[int]:
    only = action.values.get("only")
    if only is None:
        return ids
    rows = Message.objects.filter(pk__in=ids)
    if only["client"] is not None:
        rows = rows.filter(client=only["client"])
    if only["accounts"] is not None:
        rows = rows.filter(account__in=only["accounts"])
    return list(rows.order_by("-pk").values_list("pk", flat=True))


def stop(pk: int, by: str) -> None:
    """What is done stays done."""
    with transaction.atomic():
        action = BulkAction.objects.select_for_update().filter(pk=pk, finished_at=None).first()
        if action:
            action.values = {**action.values, "stopped": by}
            action.finished_at = timezone.now()
            action.save()


def abandoned() -> list[int]:
    """Actions that nobody works on any more."""
    return [action.pk for action in BulkAction.objects.filter(finished_at=None) if _is_idle(action)]


@dataclass(frozen=True, slots=True)
class Progress:
    """An action in words. ``looked``: messages that were looked at, of ``total``; None: nobody counted them."""

    action: BulkAction
    said: str
    left_out: str
    looked: int
    total: int | None
    stopped: str


def shown() -> list[Progress]:
    """What runs and what is over since a moment, newest first."""
    latest = BulkAction.objects.order_by("-pk").values("pk")[:5]
    lately = Q(pk__in=latest, finished_at__gte=timezone.now() - SHOWN)
    found = BulkAction.objects.filter(Q(finished_at=None) | lately).select_related("created_by").order_by("-pk")
    return [_progress(action) for action in found]


def _progress(action: BulkAction) -> Progress:
    skipped = action.values["skipped"]
    return Progress(
        action,
        said(action.action, action.done),
        left_out(skipped),
        action.done + sum(skipped.values()),
        action.values["total"],
        action.values.get("stopped", ""),
    )


def _is_idle(action: BulkAction) -> bool:
    return bool(time.time() - action.values["at"] > IDLE)
