"""What the pages show of an account beside its settings."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from django.utils import timezone

from . import health, pacing, registry, tasks
from .base import Adapter
from .health import Health
from .models import Exchange, ProviderAccount
from .types import Feature, Rate

CALLED_BACK = frozenset({Feature.REPORTS, Feature.INBOUND, Feature.USSD})
NEAR = ("127.", "localhost", "[::1]", "::1", "0.0.0.0")
NOTABLE = 5.0  # seconds; a shorter wait for the rate limit is nothing to tell


@dataclass(frozen=True, slots=True)
class Kind:
    """The facts of an adapter class. Templates call what can be called, so they cannot have the class itself."""

    slug: str
    label: str
    doc_url: str
    base_url_example: str
    supports: frozenset[Feature]


def kind(adapter: type[Adapter]) -> Kind:
    return Kind(adapter.kind, adapter.label, adapter.doc_url, adapter.base_url_example, adapter.supports)


@dataclass(frozen=True, slots=True)
class Card:
    """``held_until``: the next request waits for the rate limit until then. ``out_of_reach``: the callback URL
    is this machine's own while the provider is not on it."""

    account: ProviderAccount
    kind: Kind | None
    health: Health
    limits: tuple[Rate, ...]
    held_until: datetime | None
    callback: bool
    webhooks: bool
    testable: bool
    out_of_reach: bool


@dataclass(frozen=True, slots=True)
class Window:
    """``used``: requests in the last ``rate.seconds``; None where counting them would take long."""

    rate: Rate
    used: int | None


def card(account: ProviderAccount) -> Card:
    """No query, if ``rate_windows`` are fetched."""
    adapter = registry.adapter_class(account.kind) if account.kind in registry.kinds() else None
    limits = account.windows if adapter else ()
    supports = adapter.supports if adapter else frozenset()
    return Card(
        account=account,
        kind=kind(adapter) if adapter else None,
        health=health.of(account),
        limits=limits,
        held_until=_held_until(account, limits),
        callback=bool(CALLED_BACK & supports),
        webhooks=Feature.WEBHOOKS in supports,
        testable=adapter is not None and tasks.question(adapter) is not None,
        out_of_reach=_is_near(account.callback_url) and not _is_near(account.base_url),
    )


def _held_until(account: ProviderAccount, limits: Sequence[Rate]) -> datetime | None:
    by_length = {row.seconds: row.next_at for row in account.rate_windows.all()}
    free = [
        by_length[rate.seconds] - pacing.burst(rate) * pacing.interval(rate)
        for rate in limits
        if rate.seconds in by_length
    ]
    moment = max(free, default=0.0)
    return datetime.fromtimestamp(moment, UTC) if moment > time.time() + NOTABLE else None


def _is_near(url: str) -> bool:
    return (urlsplit(url).hostname or "").startswith(NEAR)


def windows(account: ProviderAccount) -> list[Window]:
    """The limits, with what is used of those that are a minute or less. Counts no further than the limit."""
    if account.kind not in registry.kinds():
        return []
    return [Window(rate, _used(account, rate) if rate.seconds <= 60 else None) for rate in account.windows]


def _used(account: ProviderAccount, rate: Rate) -> int:
    since = timezone.now() - timedelta(seconds=rate.seconds)
    return Exchange.objects.filter(account=account, at__gt=since)[: rate.limit].count()
