"""What an operator does with many people: the selected ones, or everybody who matches a filter.

Each is a BulkChange. Everybody of a filter is worked off newest first in slices. A slice and the place where it ended
are one transaction, so a worker that is killed repeats nothing and leaves nobody out. The first slice is done in the
request.
"""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.contrib.humanize.templatetags.humanize import intcomma
from django.db import transaction
from django.db.models import Q
from django.http import QueryDict
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext, ngettext_lazy
from django.utils.translation import gettext_lazy as _
from django_q.tasks import async_task

from . import consent, directory, mirroring
from .models import BulkChange, ConsentEvent, ContactList, How, Mirror

AT_ONCE = 500  # people that are done in the request
SLICE = 5_000  # people of a transaction in the background
SECONDS = 20.0  # a task works so long, then it queues the rest
IDLE = 20.0  # seconds after which whoever worked on a change is taken for dead
SHOWN = timedelta(minutes=10)  # how long a change that is over is told of, and can be undone
NO_LIST, KEPT, OPTED_OUT, SAME = "no_list", "kept", "opted_out", "same"

REASONS: Mapping[str, str | Promise] = {
    OPTED_OUT: _("opted out of everything, and a list cannot undo that"),
    KEPT: _("opted out, so the number stays known, without name and fields"),
    SAME: _("were so already"),
    NO_LIST: _("could not be added, because the list was deleted"),
}


@dataclass(frozen=True, slots=True)
class Step:
    """What an action gets to do its work with: the change's values, the list of the page, who asked."""

    change: BulkChange
    list: ContactList | None
    by: str

    @property
    def how(self) -> How:
        return How.API if self.change.values.get("by") else How.OPERATOR

    @property
    def reason(self) -> str:
        return str(self.change.values.get("reason", ""))

    @property
    def place(self) -> ContactList:
        """The list that a page of members acts on. Raises ContactList.DoesNotExist without one."""
        if self.list is None:
            raise ContactList.DoesNotExist
        return self.list


@dataclass(frozen=True, slots=True)
class Action:
    """``do`` says how many people it changed, and whom it left as they were by a key of ``REASONS``.

    ``on_list``: it is about the list whose members are shown. ``asks``: it needs an answer before it is done.
    """

    do: Callable[[Sequence[int], Step], tuple[int, Mapping[str, int]]]
    said: Any  # what was done, for the number ``n``, written as ``shown``
    permission: str = "contacts.change_contact"
    on_list: bool = False
    asks: bool = True


def _subscribe(ids: Sequence[int], step: Step) -> tuple[int, Mapping[str, int]]:
    done = consent.subscribe(
        step.place, ids, step.how, step.by, resubscribe=True, reason=step.reason, change=step.change.pk
    )
    n = done.added + done.resubscribed
    return n, {OPTED_OUT: done.opted_out, SAME: max(0, len(ids) - n - done.opted_out)}


def _add(ids: Sequence[int], step: Step) -> tuple[int, Mapping[str, int]]:
    to = ContactList.objects.filter(pk=step.change.values["list"]).first()
    if to is None:
        return 0, {NO_LIST: len(ids)}
    done = consent.subscribe(to, ids, step.how, step.by, change=step.change.pk)
    return done.added, {SAME: done.existing}


def _unsubscribe(ids: Sequence[int], step: Step) -> tuple[int, Mapping[str, int]]:
    n = consent.unsubscribe(step.place, ids, step.how, step.by, step.reason, change=step.change.pk)
    return n, {SAME: len(ids) - n}


def _remove(ids: Sequence[int], step: Step) -> tuple[int, Mapping[str, int]]:
    return consent.remove(step.place, ids, step.how, step.by, step.reason, change=step.change.pk), {}


def _opt_out(ids: Sequence[int], step: Step) -> tuple[int, Mapping[str, int]]:
    n = consent.opt_out(ids, step.how, step.by, step.reason, change=step.change.pk)
    return n, {SAME: len(ids) - n}


def _opt_in(ids: Sequence[int], step: Step) -> tuple[int, Mapping[str, int]]:
    n = consent.opt_in(ids, step.how, step.by, step.reason)
    return n, {SAME: len(ids) - n}


def _delete(ids: Sequence[int], step: Step) -> tuple[int, Mapping[str, int]]:
    gone, kept = consent.forget(ids)
    return gone, {KEPT: kept}


def _restore(ids: Sequence[int], step: Step) -> tuple[int, Mapping[str, int]]:
    """Bring back whom another change removed."""
    of = step.change.values["undoes"]
    removed = ConsentEvent.objects.filter(change=of, what=ConsentEvent.What.REMOVED, contact__in=ids)
    was: dict[bool, list[int]] = {True: [], False: []}
    for contact, proof in removed.values_list("contact_id", "proof"):
        was[bool(proof.get("subscribed"))].append(contact)
    reason = gettext("The removal was undone.")
    n = sum(consent.restore(step.place, some, yes, step.how, step.by, reason) for yes, some in was.items())
    return n, {}


def _mirror(ids: Sequence[int], step: Step) -> tuple[int, Mapping[str, int]]:
    mirroring.put(step.place, ids, Mirror.Action.SUBSCRIBE)
    return len(ids), {}


ACTIONS: Mapping[str, Action] = {
    "subscribe": Action(
        _subscribe,
        ngettext_lazy("%(shown)s person is subscribed.", "%(shown)s people are subscribed.", "n"),
        on_list=True,
    ),
    "unsubscribe": Action(
        _unsubscribe,
        ngettext_lazy("%(shown)s person is unsubscribed.", "%(shown)s people are unsubscribed.", "n"),
        on_list=True,
    ),
    "remove": Action(
        _remove,
        ngettext_lazy("%(shown)s person is off the list.", "%(shown)s people are off the list.", "n"),
        on_list=True,
        asks=False,
    ),
    "add": Action(
        _add, ngettext_lazy("%(shown)s person is added to the list.", "%(shown)s people are added to the list.", "n")
    ),
    "opt_out": Action(
        _opt_out, ngettext_lazy("%(shown)s person is opted out.", "%(shown)s people are opted out.", "n")
    ),
    "opt_in": Action(
        _opt_in,
        ngettext_lazy("%(shown)s person can be written to again.", "%(shown)s people can be written to again.", "n"),
    ),
    "delete": Action(
        _delete,
        ngettext_lazy("%(shown)s person is deleted.", "%(shown)s people are deleted.", "n"),
        permission="contacts.delete_contact",
    ),
    "restore": Action(
        _restore,
        ngettext_lazy("%(shown)s person is on the list again.", "%(shown)s people are on the list again.", "n"),
        on_list=True,
    ),
    "mirror": Action(
        _mirror,
        ngettext_lazy("The provider is told of %(shown)s person.", "The provider is told of %(shown)s people.", "n"),
        on_list=True,
    ),
}
OFFERED = frozenset(ACTIONS) - {"restore", "mirror"}  # what a person can ask for by name
UNDOABLE = frozenset({"remove"})


def with_these(
    name: str, ids: Sequence[int], of: ContactList | None, values: Mapping[str, Any], user: Any
) -> BulkChange:
    """Do it with the selected people, at once."""
    with transaction.atomic():
        now = timezone.now()
        change = BulkChange.objects.create(
            action=name,
            list=of,
            values={**_begun(values), "selected": True},
            below=0,
            created_by=user,
            finished_at=now,
        )
        _do(change, sorted(set(ids)))
        change.save()
    return change


def start(name: str, filters: directory.Filters, values: Mapping[str, Any], user: Any, token: uuid.UUID) -> BulkChange:
    """Do it with everybody whom a filter finds now. The same ``token`` twice is the same change. A program says ``by``
    whom in the ``values``."""
    with transaction.atomic():
        change, new = BulkChange.objects.get_or_create(
            token=token,
            defaults={
                "action": name,
                "list": filters.list,
                "filters": filters.query(),
                "values": _begun(values, filters.total),
                "below": directory.top(),
                "created_by": user,
            },
        )
        if new:
            _step(change, AT_ONCE, worker="")
    if new and change.finished_at is None:
        wake(change.pk)
    return change


def undo(pk: int, user: Any, by: str = "") -> BulkChange | None:
    """Bring back whom a change removed; None: it is not one of these, or was undone before. ``by``: a program."""
    with transaction.atomic():
        removals = BulkChange.objects.select_for_update().filter(action__in=UNDOABLE, finished_at__isnull=False)
        undone = removals.filter(pk=pk).first()
        if undone is None or undone.values.get("undone") or undone.list is None or undone.list.deleted_at:
            return None
        undone.values = {**undone.values, "undone": True}
        undone.save()
        values = _begun({"undoes": pk, "by": by}, undone.done)
        change = BulkChange(action="restore", list=undone.list, values=values, below=directory.top(), created_by=user)
        change.save()
        _step(change, AT_ONCE, worker="")
    if change.finished_at is None:
        wake(change.pk)
    return change


def work(pk: int, worker: str = "", seconds: float = SECONDS) -> None:
    """Go on with a change, a slice a transaction; then queue the rest. Safe to run twice, at once, after a crash.

    ``worker``: the chain of tasks that this one belongs to; empty: a new one. While one chain is at it, others end.
    """
    worker, end = worker or uuid.uuid4().hex, time.monotonic() + seconds
    while time.monotonic() < end:
        with transaction.atomic():
            change = BulkChange.objects.select_for_update().filter(pk=pk, finished_at=None).first()
            if change is None or (change.values["worker"] not in ("", worker) and not _is_idle(change)):
                return
            _step(change, SLICE, worker)
            if change.finished_at:
                return
    wake(pk, worker)


def stop(pk: int, by: str) -> None:
    """What is done stays done."""
    with transaction.atomic():
        change = BulkChange.objects.select_for_update().filter(pk=pk, finished_at=None).first()
        if change:
            change.values = {**change.values, "stopped": by}
            change.finished_at = timezone.now()
            change.save()


def abandoned() -> list[int]:
    """Changes that nobody works on any more."""
    return [change.pk for change in BulkChange.objects.filter(finished_at=None) if _is_idle(change)]


def wake(pk: int, worker: str = "") -> None:
    transaction.on_commit(lambda: async_task("contacts.tasks.change", pk, worker))


def _begun(values: Mapping[str, Any], total: int | None = None) -> dict[str, Any]:
    return {**values, "total": total, "worker": "", "at": time.time(), "skipped": {}}


def _is_idle(change: BulkChange) -> bool:
    return bool(time.time() - change.values["at"] > IDLE)


def _step(change: BulkChange, limit: int, worker: str) -> None:
    """The next slice, in the caller's transaction."""
    if change.action == "restore":
        found, edge = _removed(change, limit)
    else:
        filters = directory.Filters.from_query(QueryDict(change.filters), change.list)
        found, edge = directory.ids(filters, change.below, limit)
    _do(change, found)
    change.values = {**change.values, "worker": worker, "at": time.time()}
    change.below = edge or 0
    if edge is None:
        change.finished_at = timezone.now()
    change.save()


def _removed(change: BulkChange, limit: int) -> tuple[list[int], int | None]:
    """Whom the change that is undone removed, in slices by contact."""
    events = ConsentEvent.objects.filter(change=change.values["undoes"], what=ConsentEvent.What.REMOVED)
    start = change.values.get("seen", 0)
    some = list(events.filter(pk__gt=start).order_by("pk").values_list("pk", "contact_id")[:limit])
    if some:
        change.values = {**change.values, "seen": some[-1][0]}
    return [contact for _pk, contact in some], 1 if len(some) == limit else None


def _do(change: BulkChange, ids: Sequence[int]) -> None:
    if ids:
        by = change.values.get("by") or str(change.created_by or "")
        n, skipped = ACTIONS[change.action].do(ids, Step(change, change.list, by))
        change.done += n
        change.values = {**change.values, "skipped": Counter(change.values["skipped"]) + Counter(skipped)}


# --- In words ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Progress:
    """A change in words. ``looked``: people that were looked at, of ``total``; None: nobody counted them."""

    change: BulkChange
    said: str
    left_out: str
    looked: int
    total: int | None
    stopped: str
    undoable: bool


def progress(change: BulkChange) -> Progress:
    skipped = {reason: n for reason, n in change.values["skipped"].items() if n}
    reasons = ", ".join(f"{intcomma(n)} {REASONS[reason]}" for reason, n in skipped.items())
    return Progress(
        change,
        str(ACTIONS[change.action].said % {"n": change.done, "shown": intcomma(change.done)}),
        gettext("Left as they were: %s.") % reasons if reasons else "",
        change.done + sum(skipped.values()),
        change.values["total"],
        change.values.get("stopped", ""),
        bool(change.action in UNDOABLE and change.done and change.finished_at and not change.values.get("undone")),
    )


def shown(of: ContactList | None) -> list[Progress]:
    """What runs, and what is over since a while, of a list or of everybody; newest first.

    Of what was done with selected people, only what can be undone.
    """
    latest = BulkChange.objects.filter(list=of).order_by("-pk").values("pk")[:3]
    lately = Q(pk__in=latest, finished_at__gte=timezone.now() - SHOWN)
    mine = BulkChange.objects.filter(Q(finished_at=None) | lately, list=of)
    found = [progress(change) for change in mine.select_related("created_by").order_by("-pk")]
    return [one for one in found if one.undoable or not one.change.values.get("selected")]
