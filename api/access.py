"""Who calls, and what they may do: the key of a request, its limits, scopes, accounts and budget.

A program is told no more than it needs: an unknown key, a wrong secret and a key that is switched off are refused in
the same words. Who holds a key that has expired or was revoked is told so, because they cannot help themselves else.
"""

from __future__ import annotations

import hashlib
import math
import threading
import time
from collections.abc import Iterable
from datetime import timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from messaging import routes
from messaging.models import Message, Route
from providers import errors, pacing, registry
from providers.models import ProviderAccount
from providers.types import Rate, RateState, Status

from .models import ApiKey, Scope

REFUSED = "Invalid or inactive API key"  # in the words of the wires
FORBIDDEN = "403"  # code of a KeyRefused that says: the key is good, but not for this
SEEN_EVERY = timedelta(minutes=1)
_NOBODY = "0" * 64
_HEAVY = ("sealed", "log", "account__credentials")


def digest(value: str) -> str:
    """Keys are 160 random bits and more, so a plain hash is enough; finding one by it takes constant time."""
    return hashlib.sha256(value.encode(errors="replace")).hexdigest()


# --- Who -----------------------------------------------------------------------------------------------


def find(key: str, secret: str | None = None) -> ApiKey:
    """The row of a key, with its owner, account and route at hand: one query. ``secret`` where the wire has one.

    Raises KeyRefused.
    """
    sought = digest(key)
    rows = ApiKey.objects.select_related("owner", "account", "route").defer(*_HEAVY)
    row = rows.filter(key_hash=sought).first()
    kept = row.secret_hash if row else _NOBODY
    if row is None:
        row = rows.filter(previous_hash=sought, previous_until__gt=timezone.now()).exclude(previous_hash="").first()
        kept = row.previous_secret_hash if row else _NOBODY
    right = secret is None or constant_time_compare(digest(secret), kept)
    if row is None or not right:
        raise errors.KeyRefused(REFUSED)
    _check_state(row)
    return row


def _check_state(row: ApiKey) -> None:
    if row.revoked_at:
        raise errors.KeyRefused("This API key was revoked. Ask for a new one.")
    if row.expires_at and row.expires_at <= timezone.now():
        raise errors.KeyRefused("This API key has expired. Ask for a new one, or for more time.")
    if not row.enabled or (row.owner and not row.owner.is_active):
        raise errors.KeyRefused(REFUSED)


def address_of(request: HttpRequest) -> str:
    """Where a request came from: the other end of the connection, or what the outermost of our own SMSDASH_PROXIES
    proxies says it was. What a stranger wrote into X-Forwarded-For stands further left and is never believed."""
    near, proxies = request.META.get("REMOTE_ADDR", ""), settings.SMSDASH_PROXIES
    if not proxies:
        return near
    told = [part.strip() for part in request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")]
    return told[-proxies] if len(told) >= proxies and _parsed(told[-proxies]) else near


# --- How often and from where ------------------------------------------------------------------------


def admit(row: ApiKey, address: str) -> RateState:
    """Count a request of a key that ``find`` found. Not within another transaction.

    Raises KeyRefused for an address that it may not be used from, and RateLimited (its ``state`` is for the headers).
    """
    here = _parsed(address)
    if row.addresses and not _within(here, row.addresses):
        raise errors.KeyRefused(
            f"This API key may not be used from {here or 'an unknown address'}. Allow that address for it.",
            code=FORBIDDEN,
        )
    if row.rates:
        return _admit_by_row(row, here)
    state = _common.admit(row.pk, settings.SMSDASH_API_RATE)
    _keep_seen(row, here)
    return state


def _parsed(address: str) -> IPv4Address | IPv6Address | None:
    try:
        found = ip_address(address.strip())
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def within(address: str, networks: Iterable[str]) -> bool:
    """Whether an address lies in one of the networks, as ``203.0.113.0/24``."""
    return _within(_parsed(address), networks)


def _within(address: IPv4Address | IPv6Address | None, networks: Iterable[str]) -> bool:
    return address is not None and any(address in ip_network(network, strict=False) for network in networks)


def _admit_by_row(row: ApiKey, here: IPv4Address | IPv6Address | None) -> RateState:
    """By the key's own limits: exact across processes, on the clock of the database."""
    with transaction.atomic():
        kept = ApiKey.objects.select_for_update(no_key=True).filter(pk=row.pk).values_list("log", flat=True).first()
        if kept is None:
            raise errors.KeyRefused(REFUSED)
        log = pacing.Log((Rate.parse(text) for text in row.rates), kept, even=False)
        state = _count(log, pacing.now())
        seen = {"last_used_at": timezone.now(), "last_used_from": here and str(here)} if _stale(row) else {}
        ApiKey.objects.filter(pk=row.pk).update(log=log.text(), **seen)
    return state


def _count(log: pacing.Log, now: float) -> RateState:
    """Count one request and tell the window that has least room. Raises RateLimited; that request does not count."""
    if wait := log.wait(now, urgent=True):  # of the longer windows nothing is kept back
        full = _tightest(log, now)
        raise errors.RateLimited(
            f"The limit of this API key is {full}. Try again in {math.ceil(wait)} s.",
            retry_after=wait,
            state=RateState(full.limit, 0, math.ceil(wait)),
        )
    log.add(now)
    rate = _tightest(log, now)
    oldest = log.windows[rate.seconds][0].first
    return RateState(rate.limit, max(0, rate.limit - log.used(now)[rate]), math.ceil(oldest + rate.seconds - now))


def _tightest(log: pacing.Log, now: float) -> Rate:
    """The window with the least room; of those that are full the longest."""
    used = log.used(now)
    return min(used, key=lambda rate: (max(0, rate.limit - used[rate]), -rate.seconds))


class _Common:
    """The installation's limit for each key that has none of its own, in the memory of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._logs: dict[int, pacing.Log] = {}

    def admit(self, key_id: int, rate: Rate) -> RateState:
        with self._lock:
            log = self._logs.get(key_id)
            if log is None or log.rates != [rate]:
                log = self._logs[key_id] = pacing.Log([rate], even=False)
            return _count(log, time.monotonic())


_common = _Common()


def _stale(row: ApiKey) -> bool:
    return row.last_used_at is None or row.last_used_at <= timezone.now() - SEEN_EVERY


def _keep_seen(row: ApiKey, here: IPv4Address | IPv6Address | None) -> None:
    """When and from where it was last used, to the minute. Waits for nobody: the next request can do it as well."""
    if not _stale(row):
        return
    with transaction.atomic():
        free = ApiKey.objects.select_for_update(skip_locked=True, no_key=True)
        if free.filter(pk=row.pk, last_used_at=row.last_used_at).values_list("pk").first():
            seen = {"last_used_at": timezone.now(), "last_used_from": here and str(here)}
            ApiKey.objects.filter(pk=row.pk).update(**seen)


# --- What --------------------------------------------------------------------------------------------


def need(row: ApiKey, scope: str) -> None:
    """Raises KeyRefused (code FORBIDDEN) for what the key may not do."""
    if scope not in row.scopes and Scope.ADMIN.value not in row.scopes:
        raise errors.KeyRefused(f"This API key lacks the scope “{scope}”. Use one that has it.", code=FORBIDDEN)


def accounts(row: ApiKey) -> QuerySet[ProviderAccount]:
    """The accounts that it may use, without their credentials."""
    chosen = ApiKey.accounts.through.objects.filter(apikey=row.pk)
    mine = Exists(chosen.filter(provideraccount=OuterRef("pk")))
    return ProviderAccount.objects.filter(mine | ~Exists(chosen)).defer("credentials")


def way(row: ApiKey) -> tuple[ProviderAccount, Route | None]:
    """What it sends through. Raises Unavailable with a sentence when there is nothing."""
    if row.route:
        if problems := routes.check(row.route):
            raise errors.Unavailable(" ".join(problems))
        return routes.first(row.route), row.route
    account = row.account or _first_account(row)
    if account is None:
        raise errors.Unavailable("There is no account that this API key could send through. Add one, or enable one.")
    if not account.enabled:
        raise errors.Unavailable(f"The account “{account}” of this API key is switched off. Switch it on.")
    return account, None


def _first_account(row: ApiKey) -> ProviderAccount | None:
    """The oldest that is switched on."""
    return accounts(row).filter(enabled=True, kind__in=registry.kinds()).order_by("pk").first()


def messages(row: ApiKey) -> QuerySet[Message]:
    """What it may read: what it sent and what its accounts received; with ``reads_all`` everything of its accounts."""
    chosen = list(row.accounts.values_list("pk", flat=True))
    theirs = Q(account__in=chosen) if chosen else Q()
    if not row.reads_all:
        theirs &= Q(status=Status.RECEIVED.value)
    everything = row.reads_all and not chosen
    return Message.objects.all() if everything else Message.objects.filter(Q(client=row.pk) | theirs)


def spend(row: ApiKey, parts: int) -> int | None:
    """Take ``parts`` of messages from its budget, in the caller's transaction; what is left, or None: no limit.

    Raises NoCredits, and has taken nothing then.
    """
    if row.credits is None:
        return None
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE api_apikey SET credits = credits - %s "
            "WHERE id = %s AND (credits >= %s OR credits IS NULL) RETURNING credits",
            [parts, row.pk, parts],
        )
        if found := cursor.fetchone():
            return found[0]
    left = ApiKey.objects.filter(pk=row.pk).values_list("credits", flat=True).first() or 0
    raise errors.NoCredits(f"This takes {parts} credits, and {left} are left in the budget of this API key.")
