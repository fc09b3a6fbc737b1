"""What the overview shows, from the kept counts: it counts no message rows."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from urllib.parse import urlencode

from django.db.models import Max, Sum
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from messaging import waiting
from messaging.ledger import WAITING
from messaging.models import Message, Tally
from providers import health
from providers.health import Health
from providers.models import ProviderAccount
from providers.types import Status

from .templatetags.charts import Bar

HOURS = 24
SAMPLE = 500  # failed rows that are looked at, newest first

S = Status
UNDONE = frozenset({S.FAILED, S.EXPIRED})
OUT = frozenset(Status) - {S.RECEIVED, S.UNKNOWN}

Hourly = Mapping[int, Counter[str]]  # hour since 1970 → status → messages


@dataclass(frozen=True, slots=True)
class Figures:
    """The strip. ``rate`` in percent of the messages whose end is known; None: of none."""

    total: int
    waiting: int
    delivered: int
    failed: int
    received: int
    uncertain: int
    rate: float | None


@dataclass(frozen=True, slots=True)
class Reason:
    """``text``, ``last`` and ``message`` (its id) are of the newest one."""

    code: str
    text: str
    n: int
    last: datetime
    message: int


@dataclass(frozen=True, slots=True)
class AccountState:
    account: ProviderAccount
    health: Health
    sent: int  # in the last 24 hours
    waiting: int
    lasts: str  # how long the credits will, at that pace; empty: cannot be told


@dataclass(frozen=True, slots=True)
class Balance:
    """``total`` None: no account told a number."""

    total: Decimal | None
    known: int
    accounts: int
    unlimited: bool


def version() -> str:
    """Another with every change of any message's status or of an account, and with news of its phones. ``0-…``: there
    never was a message."""
    counts = Tally.objects.filter(hour=0, campaign_id=0).aggregate(all=Sum("version"))["all"] or 0
    touched = ProviderAccount.objects.aggregate(
        Max("updated_at"), Max("inventory__synced_at"), Max("devices__sims__balances__at")
    )
    return "-".join([str(counts), *(str(int(at.timestamp() * 1e6) if at else 0) for at in touched.values())])


def now_hour() -> int:
    return int(time.time()) // 3600


def tallies() -> list[Tally]:
    """One row per account, hour and status of the last 24 hours, this one included."""
    return list(Tally.objects.filter(hour__gt=now_hour() - HOURS, campaign_id=0).exclude(n=0))


def hourly(rows: Iterable[Tally]) -> Hourly:
    found: dict[int, Counter[str]] = defaultdict(Counter)
    for row in rows:
        found[row.hour][row.status] += row.n
    return found


def figures(by_hour: Hourly) -> Figures:
    counts: Counter[str] = sum(by_hour.values(), Counter())
    delivered, failed = counts[S.DELIVERED], sum(counts[s] for s in UNDONE)
    known = delivered + failed
    return Figures(
        total=sum(counts[s] for s in OUT),
        waiting=sum(counts[s] for s in WAITING),
        delivered=delivered,
        failed=failed,
        received=counts[S.RECEIVED],
        uncertain=counts[S.UNCERTAIN],
        rate=100 * delivered / known if known else None,
    )


def bars(by_hour: Hourly) -> list[Bar]:
    """One for each hour, oldest first: delivered, sent or on the way, failed. Linked to that hour in the log."""
    last = now_hour()
    return [_bar(hour, by_hour.get(hour, Counter())) for hour in range(last - HOURS + 1, last + 1)]


def _bar(hour: int, counts: Counter[str]) -> Bar:
    start = timezone.localtime(datetime.fromtimestamp(hour * 3600, UTC))
    delivered, failed = counts[S.DELIVERED], sum(counts[s] for s in UNDONE)
    rest = sum(counts[s] for s in OUT - UNDONE - {S.DELIVERED})
    label = date_format(start, "H:i")
    title = _("%(hour)s: %(delivered)s delivered, %(rest)s sent or waiting, %(failed)s failed") % {
        "hour": label, "delivered": delivered, "rest": rest, "failed": failed
    }  # fmt: skip
    period = {"from": f"{start:%Y-%m-%dT%H:%M}", "to": f"{start + timedelta(hours=1):%Y-%m-%dT%H:%M}"}
    href = f"{reverse('messaging-log')}?{urlencode(period)}"
    return Bar(label, title, href, (("ok", delivered), ("wait", rest), ("bad", failed)))


def reasons() -> tuple[list[Reason], bool]:
    """Why messages of the last 24 hours failed, the most frequent first; True when older ones were left out."""
    since = timezone.now() - timedelta(hours=HOURS)
    newest = (
        Message.objects.filter(status=S.FAILED)
        .order_by("-pk")
        .values_list("pk", "error_code", "error_text", "created_at")[:SAMPLE]
    )
    rows = [row for row in newest if row[3] >= since]
    counts = Counter(code or text for pk, code, text, at in rows)
    first = {code or text: (code, text, at, pk) for pk, code, text, at in reversed(rows)}
    found = [Reason(code, text, counts[key], at, pk) for key, (code, text, at, pk) in first.items()]
    return sorted(found, key=lambda reason: -reason.n), len(rows) == SAMPLE


def accounts(rows: Sequence[Tally]) -> list[AccountState]:
    """Every account with its health, those that need a person first."""
    sent: Counter[int] = Counter()
    for row in rows:
        if row.status in OUT:
            sent[row.account_id] += row.n
    queues = waiting.by_account()
    states = [
        AccountState(
            account, health.of(account), sent[account.pk], queues.get(account.pk, 0), _lasts(account, sent[account.pk])
        )
        for account in ProviderAccount.objects.defer("credentials")
    ]
    urgency = ("bad", "warn", "quiet", "ok")
    return sorted(states, key=lambda state: (urgency.index(state.health.tone), state.account.name.casefold()))


def _lasts(account: ProviderAccount, a_day: int) -> str:
    balance = account.balance
    if balance is None or balance.amount is None or not a_day or balance.amount <= 0:
        return ""
    days = float(balance.amount) / a_day
    if days < 2:
        return _("about %d hours at this pace") % (days * 24)
    return _("about %d days at this pace") % min(days, 999) if days < 1000 else ""


def balance(states: Sequence[AccountState]) -> Balance:
    told = [b for state in states if (b := state.account.balance)]
    numbers = [b.amount for b in told if b.amount is not None]
    return Balance(
        total=sum(numbers, Decimal()) if numbers else None,
        known=len(told),
        accounts=len(states),
        unlimited=any(b.unlimited for b in told),
    )
