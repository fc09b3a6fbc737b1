"""Settling uncertain messages by asking the provider, wherever its wire can tell.

A message that has the provider's id is asked for by it. Others are looked for in the list of messages that the
provider keeps, by number and text. Not finding one means that it was never taken only if the list surely reaches
back to before the hand-over, and nothing in it could be the message in other words; the provider is asked at least
twice. What stays in doubt waits for the operator. What was asked, and what came, stands in ``error_text``.

The list is not narrowed to a phone: the provider may have taken another one than was asked for.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from providers.models import Exchange, ProviderAccount
from providers.types import Feature, MessageInfo, Problem, ReadMessages, Status

from . import gate, ledger, parking, reports, wakeup
from .asking import Asker
from .evidence import MARGIN, SURE_AFTER, Case, Evidence, Pair, alike, beside, could_be, is_it, plain
from .ledger import Change
from .models import Attempt, Message
from .wire_ids import wire_id, with_ids

INQUIRE_AFTER = timedelta(seconds=10)  # from a broken hand-over to the first question
ASK_AGAIN = 60.0  # seconds between two questions
PATIENCE = timedelta(minutes=15)  # for answers that leave it open
GIVE_UP = timedelta(hours=72)  # for no answers
LONGEST = 3600.0  # seconds between two questions, however often they were in vain
BACK = timedelta(days=1)  # how far before the hand-over a list begins of which no earlier message is known

ENDED: Mapping[Status, Status] = {
    Status.DELIVERED: Status.DELIVERED,
    Status.FAILED: Status.FAILED,
    Status.EXPIRED: Status.EXPIRED,
    Status.CANCELED: Status.FAILED,
}
NOT_KNOWN, NOT_TAKEN, OPEN = "not_known", "not_taken", "not_clear"
ASKED = frozenset({NOT_KNOWN, OPEN})  # what was asked, and what came, stands in error_text


def first(account: ProviderAccount, message_has_id: bool) -> datetime | None:
    """When to ask for a message that became uncertain just now; None: its provider cannot be asked."""
    by_id = message_has_id and account.can(Feature.STATUS)
    return timezone.now() + INQUIRE_AFTER if by_id or account.can(Feature.SEARCH) else None


def settle(asker: Asker, messages: Sequence[Message], until: datetime) -> int:
    """Ask for uncertain messages. Returns how many moved. ``until``: the ``poll_at`` that says they are ours to ask."""
    if not messages:
        return 0
    exchanges = Exchange.objects.filter(pk__in={m.exchange for m in messages if m.exchange})
    handed = dict(exchanges.values_list("pk", "at"))
    cases = [Case(m, handed.get(m.exchange or 0)) for m in messages]
    can = asker.account.kind_class.supports
    desk = Desk(asker.account, until)
    named, others = [], []
    for case in cases:
        (named if case.message.provider_id and Feature.STATUS in can else others).append(case)
    moved = sum(_by_id(asker, desk, case) for case in named)
    if others and Feature.SEARCH in can:
        moved += _by_search(asker, desk, others)
    elif others:
        desk.write([], [(case.message.pk, {"poll_at": None}) for case in others])
    return moved


# --- Asking ------------------------------------------------------------------------------------------


def _by_id(asker: Asker, desk: Desk, case: Case) -> int:
    if not asker.reserve(gently=False):
        return desk.put_back([case])
    wanted = case.message.provider_id
    answer = asker.ask(ReadMessages(id=wanted), keep=True)
    entry = next((entry for entry in answer or () if wire_id(entry.id) == wire_id(wanted)), None)
    if entry:
        return desk.write([_taken(asker.account, case, entry)], [])
    # an id came from the provider: it had the message, whatever it says now
    return desk.write([], [_no_answer(case, asker) if answer is None else _open(case)])


def _by_search(asker: Asker, desk: Desk, cases: Sequence[Case]) -> int:
    """One list for all of them."""
    if not asker.reserve(gently=False):
        return desk.put_back(cases)
    earliest = min(cases, key=lambda case: case.began)
    before = _sent_before(asker.account, earliest)
    start = before - MARGIN if before else earliest.began - BACK
    answer = asker.ask(ReadMessages(start=start), keep=True)
    if answer is None:
        return desk.write([], [_no_answer(case, asker) for case in cases])
    # in this order: what is taken now is either on its way still, or known by its id already
    busy = _on_their_way(asker.account, cases)
    same = asker.account.updated_at < earliest.began  # it may be another provider's list since
    evidence = _evidence(asker.account, answer, cases, dated=before is None and same)
    changes, notes = _judge(asker.account, [case for case in cases if case.message.number not in busy], evidence)
    return desk.write(changes, notes + [_open(case) for case in cases if case.message.number in busy])


def _on_their_way(account: ProviderAccount, cases: Sequence[Case]) -> set[str]:
    """The numbers to which something else is being handed over: an entry of the list may be that."""
    flying = Message.objects.filter(pk__in=gate.in_the_air([account.pk]))
    return set(flying.filter(number__in={case.message.number for case in cases}).values_list("number", flat=True))


def _sent_before(account: ProviderAccount, case: Case) -> datetime | None:
    """When the last message that was surely taken before this one was handed over."""
    taken = Message.objects.filter(account=account, pk__lt=case.message.pk, sent_at__lt=case.began)
    found = [
        taken.filter(status=status).exclude(provider_id="").order_by("-pk").values_list("sent_at", flat=True).first()
        for status in (Status.SENT, Status.DELIVERED)
    ]
    return max(filter(None, found), default=None)


def _evidence(account: ProviderAccount, answer: Sequence[MessageInfo], cases: Iterable[Case], dated: bool) -> Evidence:
    """A provider that was set up anew gives its ids once more, so an id alone does not say whose an entry is."""
    texts = {plain(case.message.text) for case in cases}
    entries = {wire_id(entry.id): entry for entry in answer if wire_id(entry.id)}
    known = with_ids(Message.objects.exclude(provider_id=""), account.pk, entries)
    ours: dict[str, Message] = {}
    doubtful: list[MessageInfo] = []
    for m in known.only("provider_id", "number", "text", "sent_at", "status", "exchange", "attempts").order_by("pk"):
        name = wire_id(m.provider_id)
        entry = entries[name]
        if _is_named(entry, m, texts):
            ours[name] = m
            if plain(entry.text) in texts and m.sent_at and (entry.sent_at or timezone.now()) - m.sent_at > BACK:
                doubtful.append(entry)
    handed = Exchange.objects.filter(pk__in={m.exchange for m in ours.values() if m.exchange})
    return Evidence(tuple(answer), ours, dated, tuple(doubtful), dict(handed.values_list("pk", "at")))


def _is_named(entry: MessageInfo, m: Message, texts: Container[str]) -> bool:
    """Whether an entry with a message's id has its number as well, and its text where that of another comes so."""
    text = plain(entry.text)
    return alike(entry.number, m.number) and (text not in texts or text == plain(m.text))


# --- Judging -----------------------------------------------------------------------------------------

Note = tuple[int, dict[str, Any]]


def _judge(account: ProviderAccount, cases: Sequence[Case], evidence: Evidence) -> tuple[list[Change], list[Note]]:
    free = evidence.free()
    found: list[Pair] = []
    notes: list[Note] = []
    missing: list[Case] = []
    for case in sorted(cases, key=lambda case: (case.began, case.message.pk)):
        entry = next((entry for entry in free if is_it(case, entry)), None)
        if entry is None:
            missing.append(case)
            continue
        free.remove(entry)
        found.append((case, entry))
    for case, entry in [pair for pair in beside(found, missing, free) if _is_alone(pair[0])]:
        missing.remove(case)
        free.remove(entry)
        found.append((case, entry))
    changes = [_taken(account, case, entry) for case, entry in found]
    for case in missing:
        if (
            not case.at
            or not evidence.covers(case)
            or any(could_be(case, entry) for entry in (*free, *evidence.doubtful))
        ):
            notes.append(_open(case))
        elif case.message.error_code == NOT_KNOWN and case.age >= SURE_AFTER:
            changes.append(_not_taken(case))
        else:
            notes.append(_not_known(case))
    return changes, notes


def _is_alone(case: Case) -> bool:
    """Was no other message to this person in its request?"""
    theirs = Message.objects.filter(number=case.message.number, exchange=case.message.exchange)
    return not theirs.exclude(pk=case.message.pk).exists()


def _taken(account: ProviderAccount, case: Case, entry: MessageInfo) -> Change:
    now, to = timezone.now(), ENDED.get(entry.status, Status.SENT)
    problem = (entry.problem or Problem(entry.status.value)) if to is Status.FAILED else Problem("")
    after = account.kind_class.poll_after
    return Change(
        case.message.pk,
        to,
        {
            "provider_id": entry.id[:100],
            "provider_group": entry.group[:100],
            "provider_status": entry.status.value,
            "device": (entry.device or case.message.device)[:40],
            "sim": case.message.sim if entry.sim is None else entry.sim,
            "error_code": problem.code[:64],
            "error_text": problem.text[:300],
            "sent_at": case.at or now,
            "done_at": (entry.delivered_at or now) if to in ledger.FINAL else None,
            "polls": 0,
            "poll_at": now + timedelta(seconds=after) if after and to is Status.SENT else None,
        },
    )


def _not_taken(case: Case) -> Change:
    now = timezone.now()
    text = _("The provider was asked again at %(at)s and never got this message, so it goes out once more.")
    said = {"error_code": NOT_TAKEN, "error_text": text % {"at": _clock(now)}}
    return Change(case.message.pk, Status.QUEUED, {"due_at": now, "polls": 0, "poll_at": None, **said})


def _not_known(case: Case) -> Note:
    text = _("The provider was asked at %(at)s and does not know this message yet; smsdash asks again at %(again)s.")
    return _again(case, ASK_AGAIN, NOT_KNOWN, text)


def _open(case: Case) -> Note:
    """The answer proves nothing. Asked a few times more, then it is left to the operator."""
    if case.age > PATIENCE:
        text = _(
            "The provider was asked at %(at)s, and its answer does not tell whether it took this message. "
            "Look for it at the provider, then count it as sent or send it again."
        )
        return _again(case, None, OPEN, text)
    text = _(
        "The provider was asked at %(at)s, and its answer does not tell whether it took this message; "
        "smsdash asks again at %(again)s."
    )
    return _again(case, _backoff(case), OPEN, text)


def _no_answer(case: Case, asker: Asker) -> Note:
    given_up = case.age > GIVE_UP
    if given_up:
        text = _(
            "The provider was asked until %(at)s and gave no answer: %(error)s "
            "Look for the message at the provider, then count it as sent or send it again."
        )
    else:
        text = _("The provider was asked at %(at)s and gave no answer: %(error)s smsdash asks again at %(again)s.")
    wait, code = (None, OPEN) if given_up else (_backoff(case), "")
    return _again(case, wait, code, text, error=str(asker.error)[:130])


def _backoff(case: Case) -> float:
    return min(LONGEST, ASK_AGAIN * 2.0 ** min(case.message.polls, 20))


def _again(case: Case, wait: float | None, code: str, text: str, **values: str) -> Note:
    """``wait`` None: it is not asked for any more. ``code`` empty: the old one stays."""
    now = timezone.now()
    poll_at = now + timedelta(seconds=wait) if wait is not None else None
    said = text % {"at": _clock(now), "again": _clock(poll_at or now), **values}
    note = {"polls": case.message.polls + 1, "poll_at": poll_at, "error_text": said[:300]}
    return case.message.pk, note | {"error_code": code} if code else note


def _clock(moment: datetime) -> str:
    return date_format(timezone.localtime(moment), "H:i")


# --- Writing -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Desk:
    """Writes down what was learnt of messages that are as they were claimed; an operator may have been quicker."""

    account: ProviderAccount
    until: datetime

    def write(self, changes: Sequence[Change], notes: Sequence[Note]) -> int:
        ids = [change.id for change in changes] + [pk for pk, _values in notes]
        with ledger.together():
            doubtful = Message.objects.select_for_update(no_key=True).filter(pk__in=ids, status=Status.UNCERTAIN)
            ours = doubtful.filter(poll_at=self.until)
            exchange_of = dict(ours.order_by("pk").values_list("pk", "exchange"))
            changes = [change for change in changes if change.id in exchange_of]
            ledger.note(note for note in notes if note[0] in exchange_of)
            ledger.apply(changes)
            back = [change for change in changes if change.to is Status.QUEUED]
            if back:
                self.keep_attempts(back, exchange_of)
                parking.end_with_campaign(change.id for change in back)
                wakeup.drain(self.account.pk)
        if found := [change.values["provider_id"] for change in changes if change.to is not Status.QUEUED]:
            reports.replay(self.account, found)
        return len(changes)

    def keep_attempts(self, back: Sequence[Change], exchange_of: Mapping[int, int | None]) -> None:
        """A hand-over that is known to have come to nothing, with the sentence that says so."""
        rows = {c.id: Attempt(message_id=c.id, exchange=exchange_of[c.id], account=self.account) for c in back}
        kept = Attempt.objects.filter(message__in=rows)
        rows |= {row.message_id: row for row in kept if row.exchange == exchange_of[row.message_id]}
        for change in back:
            rows[change.id].maybe_taken = False
            rows[change.id].error_code = change.values["error_code"]
            rows[change.id].error_text = change.values["error_text"]
        Attempt.objects.bulk_create(row for row in rows.values() if row.pk is None)
        known = [row for row in rows.values() if row.pk is not None]
        Attempt.objects.bulk_update(known, ["maybe_taken", "error_code", "error_text"])

    def put_back(self, cases: Sequence[Case]) -> int:
        """They could not be asked for now; the next run does it."""
        self.write([], [(case.message.pk, {"poll_at": timezone.now()}) for case in cases])
        return 0
