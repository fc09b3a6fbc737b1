"""What a campaign will take, as far as can be told beforehand: parts, credits, and time at the accounts' limits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import ROUND_UP, Decimal
from zoneinfo import ZoneInfo

from django.utils import timezone

from contacts.zones import zones_of
from providers import hours as opening_hours
from providers.models import ProviderAccount
from providers.pacing import Log
from providers.types import MessageType, Status

from . import routes, waiting, windows
from .audience import Reach, Sample
from .campaigns import Draft
from .merging import Text
from .models import Message, Route, Tally
from .segments import measure

PRICED = 200  # messages of an account, the newest that it took, by which a part's price is known
OPENINGS = 200  # of the sending hours, over which an end is looked for
DAY = 86_400


@dataclass(frozen=True, slots=True)
class Parts:
    """Of one message the least and the most, and of all together. ``about``: judged by a sample.

    ``too_long``: people whose text is longer than the account's provider takes. ``gaps``: people for whom a field
    leaves a gap, by field.
    """

    least: int
    most: int
    total: int
    about: bool = False
    too_long: int = 0
    gaps: Mapping[str, int] | None = None

    @property
    def one(self) -> bool:
        return self.least == self.most


def parts(draft: Draft, reach: Reach, some: Sample) -> Parts:
    """By each person's own text. Where the sample is not everybody, the rest is taken to be like it."""
    if draft.type is MessageType.MMS:
        return Parts(1, 1, reach.kept, reach.about)
    if not draft.merges or not some.people:
        n = measure(draft.text).parts
        return Parts(n, n, n * reach.kept, reach.about)
    text, longest = Text(draft.text), draft.account.kind_class.max_text
    least, most, total, too_long = 9_999, 0, 0.0, 0.0
    gaps: Counter[str] = Counter()
    for people, n in ((some.typed, reach.typed), (some.listed, reach.kept - reach.typed)):
        weight = n / len(people) if people else 0.0
        for person in people:
            written = text.render(person.values)
            size = measure(written).parts
            least, most, total = min(least, size), max(most, size), total + size * weight
            too_long += weight if longest is not None and len(written) > longest else 0
            gaps.update(dict.fromkeys(text.gaps(person.values), weight))  # type: ignore[arg-type]
    fair = {name: round(n) or 1 for name, n in gaps.items()}
    return Parts(least, most, round(total), not some.whole or reach.about, round(too_long), fair)


# --- Credits -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Price:
    """``left``: what the accounts have now, None: unlimited or not known (``known``). ``guessed``: nobody said what a
    part costs, so it is taken for one credit."""

    cost: Decimal
    left: Decimal | None
    known: bool
    guessed: bool

    @property
    def after(self) -> Decimal | None:
        return None if self.left is None else self.left - self.cost

    @property
    def enough(self) -> bool:
        return self.after is None or self.after >= 0


def price(draft: Draft, n: int) -> Price:
    """Of ``n`` parts."""
    accounts = _carriers(draft)
    each = _each(accounts)
    balances = [account.balance for account in accounts]
    amounts = [balance.amount for balance in balances if balance is not None]
    known = len(amounts) == len(accounts)
    finite = [amount for amount in amounts if amount is not None]
    left = sum(finite, Decimal(0)) if known and len(finite) == len(amounts) else None
    cost = (n * (each or 1) * Decimal(1)).quantize(Decimal("0.01"), ROUND_UP)
    return Price(cost, left, known, each is None)


def _each(accounts: Sequence[ProviderAccount]) -> Decimal | None:
    """What a part cost lately, where the provider tells."""
    cost, sizes = Decimal(0), 0
    for account in accounts:
        for status in (Status.SENT, Status.DELIVERED):
            taken = Message.objects.filter(account=account, status=status).order_by("-pk")
            for paid, size in taken.values_list("cost", "segments")[:PRICED]:
                cost, sizes = cost + (paid or 0), sizes + (size if paid is not None else 0)
    return cost / sizes if sizes and cost else None


def _carriers(draft: Draft) -> list[ProviderAccount]:
    """The accounts that will carry it, as things are now."""
    return [account for account, _share in _shares(draft)]


def _shares(draft: Draft) -> list[tuple[ProviderAccount, float]]:
    """Each account that carries some of it, and how much: by weight, or all by the first that can send."""
    if draft.route is None:
        return [(draft.account, 1.0)]
    members = routes.members(draft.route)
    ready = [member for member in members if routes.can_send(member.account)] or members[:1]
    if draft.route.strategy != Route.WEIGHTED:
        return [(ready[0].account, 1.0)]
    total = sum(member.weight for member in ready) or 1
    return [(member.account, member.weight / total) for member in ready if member.weight]


# --- Time --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Course:
    """``begins``: when the first may leave. ``ends`` None: at no known time; ``paced``: there is a limit at all."""

    begins: datetime
    ends: datetime | None
    paced: bool

    @property
    def lasts(self) -> timedelta | None:
        return self.ends - self.begins if self.ends else None


def course(draft: Draft, n: int, some: Sample, undo: timedelta) -> Course:
    """From when to when ``n`` messages leave, with those that wait before them at the same accounts."""
    start = max(draft.due_at or timezone.now(), timezone.now() + undo)
    numbers = [person.number for person in some.people] or list(draft.numbers[:1])
    shares = _shares(draft)
    opens = [at for account, _share in shares for at in windows.earliest(account, draft, numbers, start)]
    begins = min(opens, default=start)
    if not all(account.windows for account, _share in shares):
        return Course(begins, None, False)
    queued = _queued([account.pk for account, _share in shares])
    ends = [_end(draft, account, n * share + queued.get(account.pk, 0), numbers, start) for account, share in shares]
    known = [end for end in ends if end is not None]
    return Course(begins, max(known) if len(known) == len(ends) else None, True)


def _queued(accounts: Sequence[int]) -> dict[int, int]:
    kept = Tally.objects.filter(hour=0, campaign_id=0, status=Status.QUEUED, account_id__in=accounts)
    return dict(kept.values_list("account_id", "n"))


def _end(draft: Draft, account: ProviderAccount, n: float, numbers: Sequence[str], start: datetime) -> datetime | None:
    """When the last of ``n`` messages leaves. Limits of a day count days; shorter ones count while hours are open."""
    kind = account.kind_class
    together = kind.max_batch if kind.mixed_texts or not draft.merges else 1
    request = max(1, -int(-n // together))
    log = Log(account.windows)
    now = start.timestamp()
    waits = {rate: waiting.wait_of(log, rate, request, now, urgent=bool(draft.priority)) for rate in log.rates}
    open_for = max((wait for rate, wait in waits.items() if rate.seconds < DAY), default=0.0)
    days = max((wait for rate, wait in waits.items() if rate.seconds >= DAY), default=0.0)
    end = _after(draft, account, open_for, numbers, start)
    later = start + timedelta(seconds=days)
    return max(end, max(windows.earliest(account, draft, numbers, later), default=later)) if end else None


def _after(
    draft: Draft, account: ProviderAccount, seconds: float, numbers: Sequence[str], at: datetime
) -> datetime | None:
    """When sending hours have been open for so long. None: not in a time worth telling."""
    rules = [(opening_hours.parse(account.hours), account.clock)]
    if draft.hours and not draft.priority:
        rules.append((opening_hours.parse(draft.hours), _clock(draft, account, numbers)))
    left = timedelta(seconds=seconds)
    for _opening in range(OPENINGS):
        for hours, zone in (*rules, *rules):
            at = hours.opening(at, zone)
        ends = [end for hours, zone in rules if (end := hours.closing(at, zone))]
        close = min(ends, default=None)
        if close is None or at + left <= close:
            return (at + left).astimezone(UTC)
        left, at = left - (close - at), close
    return None


def _clock(draft: Draft, account: ProviderAccount, numbers: Sequence[str]) -> tzinfo:
    """With ``by_recipient``, that of most of them."""
    if not draft.by_recipient:
        return ZoneInfo(draft.zone) if draft.zone else account.clock
    zones = Counter(zones[0] for number in numbers if (zones := zones_of(number)))
    return zones.most_common(1)[0][0] if zones else account.clock
