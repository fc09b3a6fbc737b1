"""Paused accounts that mend themselves: asked now and then whether the error that paused them is gone. And accounts
that could not be reached, asked whether they can be, while no message waits that would show it.

Where a wire can be asked without sending, it is. Elsewhere the account resumes and its next request is the probe: if
that is refused too, the account pauses again, for twice as long. An operator's pause is never lifted.
"""

from __future__ import annotations

import logging
from datetime import timedelta

from django.db.models import F
from django.utils import timezone

from . import pacing, registry, traces
from .base import Adapter
from .encryption import Locked
from .errors import NoCredits, ProviderError, Unavailable, Uncertain, Unreachable
from .models import ProviderAccount
from .types import AccountInfo, DeviceInfo, Feature, GetAccount, ListDevices, Trace

log = logging.getLogger(__name__)

# Without the credentials, which may be unreadable.
_paused = ProviderAccount.objects.filter(enabled=True).exclude(paused_code="").defer("credentials")


def due() -> list[int]:
    """The accounts that an error paused and whose next probe has come."""
    ready = _paused.filter(kind__in=registry.kinds(), probe_at__lte=timezone.now())
    return list(ready.values_list("pk", flat=True))


def probe(account_id: int) -> None:
    """Ask a paused account whether its error is mended, and resume it if so. Twice at once: one of them asks."""
    account = _paused.filter(pk=account_id, kind__in=registry.kinds()).first()
    if account is None or account.probe_at is None or account.probe_at > timezone.now():
        return
    asked = question(account.kind_class)
    grant = pacing.reserve(account, account.windows) if asked else pacing.Grant(1)
    if not grant.places:
        _paused.filter(pk=account.pk).update(probe_at=timezone.now() + timedelta(seconds=max(1.0, grant.wait)))
    elif _claim(account):
        _settle(account, _ask(account, asked) if asked else None)


def knock(account_id: int) -> None:
    """Ask an account that is down whether it answers again. What it answers is no matter."""
    down = ProviderAccount.objects.filter(down_since__isnull=False, enabled=True, paused_reason="")
    account = down.filter(pk=account_id, kind__in=registry.kinds()).defer("credentials").first()
    asked = question(account.kind_class) if account else None
    if account is None or asked is None or not pacing.reserve(account, account.windows).places:
        return
    error = _ask(account, asked)
    if not isinstance(error, Unreachable | Unavailable | Uncertain | Locked):
        account.saw_success()
        log.info("Account %s is reached again", account)


def question(kind: type[Adapter]) -> GetAccount | ListDevices | None:
    """What can be asked without sending anything. None: this wire has no such request."""
    if Feature.CREDITS in kind.supports:
        return GetAccount()
    return ListDevices() if Feature.DEVICES in kind.supports else None


def _claim(account: ProviderAccount) -> bool:
    """Count the probe and set the time of the next before this one begins."""
    later = timezone.now() + account.until_probe(account.probes + 1)
    mine = _paused.filter(pk=account.pk, probe_at=account.probe_at)
    return bool(mine.update(probe_at=later, probes=F("probes") + 1, updated_at=timezone.now()))


def _ask(account: ProviderAccount, asked: GetAccount | ListDevices) -> ProviderError | Locked | None:
    """What is still wrong with the account, or None. Keeps the exchange."""
    seen: list[Trace] = []
    try:
        answer: AccountInfo | tuple[DeviceInfo, ...] = account.adapter().call(asked, seen)
    except (ProviderError, Locked) as error:
        return error
    finally:
        traces.keep(account, seen)
    balance = answer.credits if isinstance(answer, AccountInfo) else None
    account.saw_credits(balance)
    return NoCredits() if balance and balance.amount is not None and balance.amount <= 0 else None


def _settle(account: ProviderAccount, error: ProviderError | Locked | None) -> None:
    """Resume, or tell what is wrong by now. An answer that says nothing of the account leaves the reason as it is."""
    if error is None:
        account.recover()
        log.info("Account %s sends again", account)
    elif isinstance(error, ProviderError) and error.scope == "account" and not error.retry:
        account.still_paused(error.sentence, error.default_code)
