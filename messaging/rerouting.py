"""Moving what waits on a route from an account that cannot send, or that would be late, to those that can.

Only what surely was not handed over is moved, and only behind the gate of the accounts (gate.py). Whatever was moved
stays where it is unless that account fails as well, or would be late itself.
"""

from __future__ import annotations

import functools
import math
import operator
import time
from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from django.db.models import Case, Exists, F, OuterRef, Q, QuerySet, Value, When
from django.db.models.functions import Least, Length
from django.utils import timezone

from providers import pacing, probing
from providers.models import ProviderAccount
from providers.types import Status

from . import gate, ledger, routes, wakeup
from .models import Attempt, Campaign, Message, Route, RouteMember, Tally

SLICE = 5_000  # messages that are moved in one transaction
SOON = timedelta(minutes=1)  # what is scheduled for later than that stays: the account may be back by then
FILL = 0.9  # of what an account can send in time is given to it, so that it is not late in its turn


class Row(NamedTuple):
    id: int
    number: str
    type: str
    sender: str
    due_at: datetime
    created_at: datetime
    length: int


Place = tuple[datetime, int]  # how far a queue was looked through: due_at and id
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC), 0


def due() -> list[int]:
    """The routes for which ``balance`` may have something to do."""
    on_route: dict[int, set[int]] = defaultdict(set)
    for route, account in RouteMember.objects.values_list("route_id", "account_id"):
        on_route[route].add(account)
    if not on_route:
        return []
    broken = _broken()
    saved = [route for route, accounts in on_route.items() if accounts - broken]
    stuck = [waiting.filter(account_id__in=broken, route=OuterRef("pk")) for waiting in _waiting()]
    stranded = Route.objects.filter(Exists(stuck[0]) | Exists(stuck[1]), pk__in=saved).values_list("pk", flat=True)
    return sorted({*stranded, *_in_a_hurry().filter(route__in=saved).values_list("route_id", flat=True)})


def balance(route_id: int, seconds: float = 20.0) -> bool:
    """Empty the accounts that cannot send, then help those that would be late. True: not done after ``seconds``."""
    route = Route.objects.filter(pk=route_id).first()
    if route is None:
        return False
    end = time.monotonic() + seconds
    for account in sorted(_broken()):
        for waiting in _waiting():
            _rescue(route, account, waiting, end)
    for campaign in _in_a_hurry().filter(route=route).order_by("finish_by").only("id", "finish_by"):
        _help(route, campaign, end)
    return time.monotonic() >= end


def give_chances() -> None:
    """Try accounts that are down and that no message of theirs would try: with a question, where the wire has one, else
    with one of the messages that wait elsewhere on their routes. (See also routes.choose.)"""
    for account in routes.untried():
        if probing.question(account.kind_class):
            account.is_tried()
            wakeup.knock(account.pk)
        elif _lend(account):
            account.is_tried()


def _lend(account: ProviderAccount) -> bool:
    """Move one message to the account, the one that would leave last. False: there is none for it."""
    for route in Route.objects.filter(members__account=account):
        members = routes.now(route)
        mine = {account.pk: next(member for member in members if member.account_id == account.pk)}
        queued = _waiting()[0].filter(route=route, priority=0, due_at__lte=timezone.now())
        for source in [member.account_id for member in members if member.account_id != account.pk]:
            rows = queued.filter(_meant_for(members, mine), account_id=source)
            found = _look(rows.order_by("-due_at", "-id"), 1)
            if _move(source, _assign(routes.Rules(route, members), found, mine)):
                return True
    return False


# --- Accounts that cannot send -----------------------------------------------------------------------


def _broken() -> set[int]:
    accounts = ProviderAccount.objects.defer("credentials")
    return {account.pk for account in accounts if not routes.can_send(account)}


def _rescue(route: Route, source: int, waiting: QuerySet[Message], end: float) -> None:
    """Move the route's messages from an account that cannot send, those that wait longest first."""
    after: Place | None = BEGINNING
    moved = 0
    rows = waiting.filter(account_id=source, route=route).order_by("due_at", "id")
    while after is not None and time.monotonic() < end and rows.exists():
        members = routes.now(route)
        ready = {m.account_id: m for m in members if routes.can_send(m.account) and m.account_id != source}
        if not ready or not _is_broken(source):
            return
        found = _look(rows.filter(_later(after), _meant_for(members, ready)), SLICE)
        moved += _move(source, _assign(routes.Rules(route, members, offset=moved), found, ready))
        after = (found[-1].due_at, found[-1].id) if len(found) == SLICE else None


def _meant_for(members: Sequence[RouteMember], ready: Container[int]) -> Q:
    """The numbers that those who are ready can have: theirs, and those that no member is meant for."""
    theirs = [member for member in members if member.account_id in ready]
    if not all(member.prefixes for member in theirs):
        return Q()
    return _begins_as_for(theirs) | ~_begins_as_for([member for member in members if member.prefixes])


def _begins_as_for(members: Iterable[RouteMember]) -> Q:
    begins = (Q(number__startswith=prefix) for member in members for prefix in member.prefixes.split())
    return functools.reduce(operator.or_, begins)


def _is_broken(account_id: int) -> bool:
    return not routes.can_send(ProviderAccount.objects.defer("credentials").get(pk=account_id))


def _later(after: Place) -> Q:
    return Q(due_at__gte=after[0]) & (Q(due_at__gt=after[0]) | Q(pk__gt=after[1]))


# --- Campaigns that would be late --------------------------------------------------------------------


def _in_a_hurry() -> QuerySet[Campaign]:
    """Campaigns on a route that should be finished at some time to come, and have messages in a queue."""
    queued = Tally.objects.filter(account_id=0, campaign_id=OuterRef("pk"), hour=0, status=Status.QUEUED, n__gt=0)
    return Campaign.objects.filter(Exists(queued), finish_by__gt=timezone.now(), route__isnull=False)


def _help(route: Route, campaign: Campaign, end: float) -> None:
    """Move what its accounts cannot send by ``finish_by``, from the end of their queues, to accounts with room."""
    assert campaign.finish_by is not None
    seconds = (campaign.finish_by - timezone.now()).total_seconds()
    members = [member for member in routes.now(route) if routes.can_send(member.account)]
    queued = _queued(member.account_id for member in members)
    capacity = {member.account_id: in_time(member.account, seconds) for member in members}
    room = {pk: math.floor(min(capacity[pk] * FILL - queued[pk], 1e9)) for pk in capacity}
    for source in capacity:
        surplus = math.ceil(max(0.0, queued[source] - capacity[source]))
        while surplus > 0 and time.monotonic() < end:
            moved = _hand_on(route, campaign, source, members, room, min(surplus, SLICE))
            surplus = surplus - moved if moved else 0


def _hand_on(
    route: Route, campaign: Campaign, source: int, members: Sequence[RouteMember], room: dict[int, int], most: int
) -> int:
    """Move at most ``most`` messages of a campaign to accounts with room, which shrinks. Returns how many."""
    others = {m.account_id: m for m in members if m.account_id != source and room[m.account_id] > 0}
    if not others:
        return 0
    queued = _waiting()[0].filter(account_id=source, route=route, campaign=campaign)
    found = _look(queued.order_by("-due_at", "-id"), most)
    return _move(source, _assign(routes.Rules(route, members), found, others, room))


def in_time(account: ProviderAccount, seconds: float) -> float:
    """How many messages the account's rate limits let through in the next ``seconds``, the tightest of them."""
    places = (
        rate.limit * seconds / rate.seconds if seconds >= rate.seconds else rate.limit - used
        for rate, used in pacing.used(account, account.windows).items()
    )
    return max(0.0, min(places, default=math.inf)) * account.kind_class.max_batch


def _queued(accounts: Iterable[int]) -> dict[int, int]:
    """How many wait in the queues of these accounts, by the kept counts."""
    ids = list(accounts)
    counts = Tally.objects.filter(account_id__in=ids, campaign_id=0, hour=0, status=Status.QUEUED)
    return dict.fromkeys(ids, 0) | dict(counts.values_list("account_id", "n"))


# --- What may be moved, where to, and the move -------------------------------------------------------


def _waiting() -> tuple[QuerySet[Message], QuerySet[Message]]:
    """What waits: in a queue, and scheduled so that it soon will be. Apart, because each has an index of its own."""
    soon = timezone.now() + SOON
    queued = Message.objects.filter(status=Status.QUEUED)
    return queued, Message.objects.filter(status=Status.SCHEDULED, due_at__lte=soon)


def _look(rows: QuerySet[Message], most: int) -> list[Row]:
    """Without those of which somebody may have taken an earlier attempt."""
    unknown = Attempt.objects.filter(message=OuterRef("pk"), maybe_taken=True)
    columns = ("id", "number", "type", "sender", "due_at", "created_at", Length("text"))
    return [Row(*row) for row in rows.filter(~Exists(unknown), provider_id="").values_list(*columns)[:most]]


def _assign(
    rules: routes.Rules, rows: Iterable[Row], members: Mapping[int, RouteMember], room: dict[int, int] | None = None
) -> dict[int, list[Row]]:
    """The rows by the account that is to have them, of these ``members``. Those that suit none are left out."""
    moves: dict[int, list[Row]] = defaultdict(list)
    able: dict[tuple[str, bool, int], set[int]] = {}
    for row in rows:
        key = (row.type, bool(row.sender), row.length)
        if key not in able:
            need = routes.need(row.type, row.sender)
            able[key] = {pk for pk, m in members.items() if routes.able(m.account, need, row.length)}
        fit = able[key] if room is None else {pk for pk in able[key] if room[pk] > 0}
        target = rules.pick(row.number, fit)
        if target is not None:
            moves[target].append(row)
            if room is not None:
                room[target] -= 1
    return moves


def _move(source: int, wanted: Mapping[int, Sequence[Row]]) -> int:
    """Give the rows to other accounts, with the kept counts: an UPDATE for each account. Returns how many.

    Whatever has left meanwhile is left alone. What was put off for another attempt goes at once.
    """
    if not wanted:
        return 0
    with gate.closed({source, *wanted}) as flying:
        still = _still(source, [row for rows in wanted.values() for row in rows if row.id not in flying])
        moves = {target: [row for row in rows if row.id in still] for target, rows in wanted.items()}
        for target, rows in moves.items():
            Message.objects.filter(pk__in=[row.id for row in rows]).update(account_id=target, **_afresh())
            wakeup.drain(target)
        ledger.count(
            (account, None, ledger.hour_of(row.created_at), still[row.id], n)
            for target, rows in moves.items()
            for row in rows
            for account, n in ((source, -1), (target, 1))
        )
    return len(still)


def _still(source: int, rows: Iterable[Row]) -> dict[int, str]:
    """The status of those that still wait at the account; locked."""
    waiting = Message.objects.filter(account_id=source, status__in=(Status.SCHEDULED, Status.QUEUED))
    locked = waiting.filter(pk__in=[row.id for row in rows]).select_for_update(no_key=True).order_by("pk")
    return dict(locked.values_list("id", "status"))


def _afresh() -> dict[str, Any]:
    at_once = Least(F("due_at"), Value(timezone.now()))
    return {
        "due_at": Case(When(status=Status.QUEUED, then=at_once), default=F("due_at")),
        "device": "",
        "sim": None,
        "batch_limit": None,
        "error_code": "",
        "error_text": "",
    }
