"""What the pages show of an account beside its settings."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

from django.utils import timezone

from . import health, pacing, probing, registry
from .base import Adapter
from .health import Health
from .models import ProviderAccount
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
class Window:
    """``used``: requests in the last ``rate.seconds``."""

    rate: Rate
    used: int


@dataclass(frozen=True, slots=True)
class Card:
    """``held_until``: the next request waits for the rate limit until then. ``closed_until``: for the sending hours.
    ``out_of_reach``: the callback URL is this machine's own while the provider is not on it."""

    account: ProviderAccount
    kind: Kind | None
    health: Health
    limits: tuple[Window, ...]
    held_until: datetime | None
    closed_until: datetime | None
    callback: bool
    webhooks: bool
    testable: bool
    out_of_reach: bool


def card(account: ProviderAccount) -> Card:
    """No query, if ``pace`` is fetched."""
    adapter = registry.adapter_class(account.kind) if account.kind in registry.kinds() else None
    supports = adapter.supports if adapter else frozenset()
    return Card(
        account=account,
        kind=kind(adapter) if adapter else None,
        health=health.of(account),
        limits=_windows(account) if adapter else (),
        held_until=_held_until(account),
        closed_until=account.closed_until(timezone.now()),
        callback=bool(CALLED_BACK & supports),
        webhooks=Feature.WEBHOOKS in supports,
        testable=adapter is not None and probing.question(adapter) is not None,
        out_of_reach=_is_near(account.callback_url) and not _is_near(account.base_url),
    )


def _held_until(account: ProviderAccount) -> datetime | None:
    pace = getattr(account, "pace", None)
    return datetime.fromtimestamp(pace.held_until, UTC) if pace and pace.held_until > time.time() + NOTABLE else None


def _is_near(url: str) -> bool:
    return (urlsplit(url).hostname or "").startswith(NEAR)


def _windows(account: ProviderAccount) -> tuple[Window, ...]:
    """The limits, with what is used of each by this machine's clock."""
    pace = getattr(account, "pace", None)
    log = pacing.Log(account.windows, pace.log if pace else "")
    return tuple(Window(rate, used) for rate, used in log.used(time.time()).items())
