"""How an account is doing, in a word and a sentence."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from . import registry
from .errors import NoCredits
from .models import ProviderAccount, pretty_amount

LOW = 50  # credits; less than that is worth a word


class Remedy(StrEnum):
    """The one thing that a person can do about it."""

    NONE = ""
    RESUME = "resume"
    ENABLE = "enable"
    SETTINGS = "settings"  # look at the key and the base URL
    TOP_UP = "top_up"  # at the provider; then resume, or wait


@dataclass(frozen=True, slots=True)
class Health:
    """``tone`` and ``icon`` as the pages draw them; ``reason`` is empty where all is well. ``since``: when that
    began; ``next_at``: when smsdash sees by itself whether it is mended."""

    tone: str
    icon: str
    word: str | Promise
    reason: str = ""
    since: datetime | None = None
    next_at: datetime | None = None
    remedy: Remedy = Remedy.NONE


FINE = Health("ok", "circle-check", gettext_lazy("Sending"))


def of(account: ProviderAccount) -> Health:
    """The first thing that keeps the account from sending, else the first that soon will. No query."""
    if account.kind not in registry.kinds():
        return Health("bad", "circle-alert", _("Unknown kind"), _("There is no adapter “%s” here.") % account.kind)
    if not account.enabled:
        reason = _("Nothing is sent through it until it is enabled.")
        return Health("quiet", "ban", _("Disabled"), reason, remedy=Remedy.ENABLE)
    if account.paused_reason:
        return _paused(account)
    if account.down_since:
        return Health("bad", "circle-alert", _("Not reached"), account.down_reason, account.down_since)
    return _credits(account) or FINE


def _paused(account: ProviderAccount) -> Health:
    remedy = Remedy.RESUME
    if account.paused_code:
        spent = is_spent(account) or account.paused_code == NoCredits.default_code
        remedy = Remedy.TOP_UP if spent else Remedy.SETTINGS
    next_at = account.probe_at if account.paused_code else None
    return Health("warn", "pause", _("Paused"), account.paused_reason, account.paused_at, next_at, remedy)


def is_spent(account: ProviderAccount) -> bool:
    """The last that is known of the account's credits is that none are left."""
    balance = account.balance
    return balance is not None and balance.amount is not None and balance.amount <= 0


def _credits(account: ProviderAccount) -> Health | None:
    balance = account.balance
    if balance is None or balance.amount is None or balance.amount >= LOW:
        return None
    if balance.amount <= 0:
        reason = _("The last answer said that nothing is left. Top it up at the provider.")
        return Health("bad", "circle-x", _("No credits"), reason, account.credits_seen_at)
    left = pretty_amount(balance.amount)
    return Health("warn", "triangle-alert", _("Low credits"), _("Credits left: %s.") % left)
