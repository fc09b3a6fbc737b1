"""Which account of a route carries a message.

Accounts whose prefixes match a number come before those without prefixes, the longest match first; among equals the
route's strategy decides. Whoever cannot send now is passed over as long as another can. A number that no account of
the route is meant for goes to the first of all: nothing is lost.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from math import gcd

from django.db.models import Exists, OuterRef, Prefetch, QuerySet, prefetch_related_objects
from django.utils import timezone
from django.utils.translation import gettext as _

from providers import probing, registry
from providers.models import ProviderAccount
from providers.types import Feature, MessageType, Status

from .models import Message, Route, RouteMember

GRACE = timedelta(seconds=10)  # an account that is down for longer has its messages carried by others
BELIEVED = timedelta(hours=1)  # for so long an account that said it has no credits is not tried again


class NoMember(LookupError):
    """The route has no account (any more), so it cannot say where a message belongs."""


# --- Members -----------------------------------------------------------------------------------------


def _rows() -> QuerySet[RouteMember]:
    return RouteMember.objects.select_related("account").defer("account__credentials").order_by("position", "id")


def now(route: Route) -> list[RouteMember]:
    """The accounts of a route in their order, as they are stored at this moment."""
    return list(_rows().filter(route=route))


def members(route: Route) -> list[RouteMember]:
    """The accounts of a route in their order, read once for the same object."""
    prefetch_related_objects([route], Prefetch("members", _rows()))
    return list(route.members.all())


def can_send(account: ProviderAccount) -> bool:
    """Whether what is queued at the account leaves: it is switched on, not paused, not down, not without credits."""
    return account.kind in registry.kinds() and account.sending and not _is_down(account) and not _is_empty(account)


def _is_down(account: ProviderAccount) -> bool:
    return account.down_since is not None and account.down_since <= timezone.now() - GRACE


def untried() -> list[ProviderAccount]:
    """Accounts that are down, may send, and have nothing left by which they could show that they are up."""
    now = timezone.now()
    waits = Message.objects.filter(account=OuterRef("pk"), status=Status.QUEUED)
    down = ProviderAccount.objects.filter(down_since__isnull=False, enabled=True, paused_reason="")
    idle = down.filter(~Exists(waits), kind__in=registry.kinds()).exclude(pace__held_until__gt=now.timestamp())
    return [account for account in idle.defer("credentials") if account.is_untried(now) and account.opening(now) <= now]


def _on_trial(members: Iterable[RouteMember]) -> dict[int, ProviderAccount]:
    """Of these accounts those that get one message, to see whether they are up: they cannot be asked without one."""
    now = timezone.now()
    if not any(member.account.is_untried(now) for member in members):
        return {}
    return {account.pk: account for account in untried() if probing.question(account.kind_class) is None}


def _is_empty(account: ProviderAccount) -> bool:
    balance, seen = account.balance, account.credits_seen_at
    if balance is None or seen is None or balance.amount is None:
        return False
    return balance.amount <= 0 and seen > timezone.now() - BELIEVED


def need(type: str, sender: str = "") -> frozenset[Feature]:
    """What an account must be able to do for a message of this type and with this sender ID."""
    wanted = {Feature.SEND}
    if type == MessageType.MMS:
        wanted.add(Feature.MMS)
    if sender:
        wanted.add(Feature.SENDER_ID)
    return frozenset(wanted)


def able(account: ProviderAccount, need: frozenset[Feature] = frozenset(), length: int = 0) -> bool:
    """Whether its wire can carry what needs these features and has a text of ``length`` characters."""
    if account.kind not in registry.kinds():
        return False
    kind = account.kind_class
    return need <= kind.supports and (kind.max_text is None or length <= kind.max_text)


# --- Choosing ----------------------------------------------------------------------------------------


class Rules:
    """How a route spreads numbers over its accounts. ``offset``: how many it has placed before, for the weights.

    Takes turns by weight in a fixed order (smooth weighted round robin), so the shares of any run of numbers come out
    as exact as whole messages allow, and the same again after a restart.
    """

    def __init__(self, route: Route, members: Sequence[RouteMember], offset: int = 0) -> None:
        self.members, self.weighted, self.offset = members, route.strategy == Route.WEIGHTED, offset
        self.placed: Counter[tuple[int, ...]] = Counter()
        self.by_prefix: dict[str, list[RouteMember]] = {}
        for member in members:
            for prefix in member.prefixes.split() or [""]:
                self.by_prefix.setdefault(prefix, []).append(member)
        self.lengths = sorted({len(prefix) for prefix in self.by_prefix}, reverse=True)

    def covers(self, number: str) -> bool:
        """Whether any account of the route is meant for the number."""
        return any(number[:length] in self.by_prefix for length in self.lengths)

    def pick(self, number: str, among: Collection[int]) -> int | None:
        """The account for a number, of those in ``among`` (ids). None: none of these is meant for it."""
        for group in self._matching(number):
            if usable := [member for member in group if member.account_id in among]:
                return self._turn(usable)
        return None if self.covers(number) else self.fallback(among)

    def first(self, number: str, among: Collection[int]) -> int | None:
        """As ``pick``, but without taking turns: where a message waits until an account can send again."""
        groups = [*self._matching(number)] or [self.members]
        return next((m.account_id for group in groups for m in group if m.account_id in among), None)

    def fallback(self, among: Collection[int]) -> int | None:
        """The account for numbers that none is meant for: the first."""
        return next((member.account_id for member in self.members if member.account_id in among), None)

    def _matching(self, number: str) -> Iterator[Sequence[RouteMember]]:
        for length in self.lengths:
            if group := self.by_prefix.get(number[:length]):
                yield group

    def _turn(self, usable: Sequence[RouteMember]) -> int:
        if not self.weighted:
            return usable[0].account_id
        turns = _turns(tuple((member.account_id, member.weight) for member in usable))
        ids = tuple(member.account_id for member in usable)
        place = self.offset + self.placed[ids]
        self.placed[ids] += 1
        return turns[place % len(turns)]


@lru_cache(256)
def _turns(weights: tuple[tuple[int, int], ...]) -> tuple[int, ...]:
    """One round: every id as often as its weight says, spread evenly."""
    shared = gcd(*(weight for _, weight in weights)) or 1
    shares = {pk: max(1, weight // shared) for pk, weight in weights}
    total, credit, turns = sum(shares.values()), dict.fromkeys(shares, 0), []
    for _turn in range(total):
        for pk, share in shares.items():
            credit[pk] += share
        chosen = max(credit, key=credit.__getitem__)
        credit[chosen] -= total
        turns.append(chosen)
    return tuple(turns)


def choose(
    route: Route, numbers: Sequence[str], offset: int, need: frozenset[Feature] = frozenset(), length: int = 0
) -> list[int]:
    """The id of the account for each number. ``length``: characters of the text.

    ``offset`` grows by the numbers placed: ``campaign.pk + campaign.expanded`` lets campaigns of one number take turns
    as well. Where no account can send now, the first that matches and is able: a message waits there, and is moved
    when another can (rerouting.py). An account that was down for long gets one message if its turn comes. Raises
    NoMember.
    """
    found = now(route)
    if not found:
        raise NoMember(f"The route “{route}” has no account.")
    rules = Rules(route, found, offset)
    everyone = {member.account_id for member in found}
    fit = {member.account_id for member in found if able(member.account, need, length)} or everyone
    ready = {member.account_id for member in found if member.account_id in fit and can_send(member.account)}
    trial = _on_trial(found)
    usable, places = ready | (trial.keys() & fit), []
    for number in numbers:
        place = rules.pick(number, usable) or rules.first(number, fit) or rules.first(number, everyone)
        if place in trial and place in usable:
            usable.discard(place)
            trial[place].is_tried()
        places.append(place)
    return [place for place in places if place is not None]


def limits(route: Route) -> list[int]:
    """How long texts may be (characters) for the accounts that set a limit, each once, the shortest first."""
    kinds = (member.account.kind_class for member in now(route) if member.account.kind in registry.kinds())
    return sorted({kind.max_text for kind in kinds if kind.max_text is not None})


# --- For forms and pages -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Abilities:
    """What ``every`` account of a route can do, what ``any`` can, and the longest text (characters) that all take."""

    every: frozenset[Feature]
    any: frozenset[Feature]
    max_text: int | None


def every() -> list[Route]:
    """All routes by name, with their members at hand."""
    return list(Route.objects.prefetch_related(Prefetch("members", _rows())))


def options() -> list[Route]:
    """The routes that can be sent through, with their members at hand."""
    return [route for route in every() if not check(route)]


def first(route: Route) -> ProviderAccount:
    """The account that stands for the route where one has to be named. Raises NoMember."""
    found = members(route)
    if not found:
        raise NoMember(f"The route “{route}” has no account.")
    return next((member.account for member in found if can_send(member.account)), found[0].account)


def features(route: Route) -> Abilities:
    kinds = [m.account.kind_class for m in members(route) if m.account.enabled and m.account.kind in registry.kinds()]
    supports = [kind.supports for kind in kinds]
    limits = [kind.max_text for kind in kinds if kind.max_text is not None]
    if not supports:
        return Abilities(frozenset(), frozenset(), None)
    return Abilities(frozenset.intersection(*supports), frozenset.union(*supports), min(limits, default=None))


def uncovered(route: Route, numbers: Iterable[str]) -> int:
    """How many of the numbers no account of the route is meant for; its first account takes them."""
    rules = Rules(route, members(route))
    return sum(not rules.covers(number) for number in numbers)


def check(route: Route) -> list[str]:
    """What stands against sending through the route: a sentence each. Empty: it can be used."""
    found = members(route)
    if not found:
        return [_("The route %(route)s has no account. Add one to it.") % {"route": route}]
    if not any(member.account.enabled for member in found):
        return [_("Every account of the route %(route)s is switched off. Switch one on.") % {"route": route}]
    return []


def hints(route: Route) -> list[str]:
    """What an operator should know of a route that can be used: a sentence each."""
    found, said = members(route), []
    if found and not any(can_send(member.account) for member in found):
        said.append(_("No account of this route can send now. Messages wait until one can."))
    if found and all(member.prefixes for member in found):
        values = {"account": found[0].account}
        said.append(_("No account takes every number: what none is meant for goes through %(account)s.") % values)
    return said
