"""How an account is doing, in a word and a sentence."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from . import registry
from .models import ProviderAccount, pretty_amount

LOW = 50  # credits; less than that is worth a word


@dataclass(frozen=True, slots=True)
class Health:
    """``tone`` and ``icon`` as the pages draw them; ``reason`` is empty where all is well."""

    tone: str
    icon: str
    word: str | Promise
    reason: str = ""


FINE = Health("ok", "circle-check", gettext_lazy("Sending"))


def of(account: ProviderAccount) -> Health:
    """The first thing that keeps the account from sending, else the first that soon will. No query."""
    if account.kind not in registry.kinds():
        return Health("bad", "circle-alert", _("Unknown kind"), _("There is no adapter “%s” here.") % account.kind)
    if not account.enabled:
        return Health("quiet", "ban", _("Disabled"), _("Nothing is sent through it until it is enabled."))
    if account.paused_reason:
        return Health("warn", "pause", _("Paused"), account.paused_reason)
    return _credits(account) or FINE


def _credits(account: ProviderAccount) -> Health | None:
    balance = account.balance
    if balance is None or balance.amount is None or balance.amount >= LOW:
        return None
    if balance.amount <= 0:
        return Health("bad", "circle-x", _("No credits"), _("The last answer said that nothing is left. Top it up."))
    left = pretty_amount(balance.amount)
    return Health("warn", "triangle-alert", _("Low credits"), _("Credits left: %s.") % left)
