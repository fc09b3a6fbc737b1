"""Sending messages once more: new messages, each linked to the one that it repeats. The old ones stay untouched.

A resend belongs to no campaign. The counts of a campaign add up to its recipients, and the one whose message failed
is still one that failed; who wants to know what became of them follows ``resend_of``. So nobody is counted twice.

Nobody gets two of them by a double click, or by a filter that is resent again next week and matches the resends too:
a message that was resent is not resent any more, but its resend may be. Who asks for it ``again`` gets another one,
unless the last one still waits or is younger than a minute.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.db import transaction
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from contacts.recipients import opted_out
from providers.models import ProviderAccount
from providers.types import Status

from . import ledger, routes, wakeup
from .models import Message

log = logging.getLogger(__name__)

RESENDABLE = frozenset({Status.FAILED, Status.EXPIRED, Status.CANCELED, Status.SENT, Status.DELIVERED})
PAUSE = timedelta(minutes=1)
COPIED = ("number", "text", "sender", "type", "attachments", "segments", "priority", "client")

STATUS, OPTED_OUT, REPEATED, SWITCHED_OFF, UNABLE = "status", "opted_out", "repeated", "switched_off", "unable"
REASONS: Mapping[str, str | Promise] = {
    STATUS: _("still waits, is uncertain or was received"),
    OPTED_OUT: _("the person opted out"),
    REPEATED: _("was resent already"),
    SWITCHED_OFF: _("the account is switched off"),
    UNABLE: _("the account cannot send it: too long, or an MMS"),
}


@dataclass(frozen=True, slots=True)
class Resent:
    """The ids of the ``made`` messages, and for how many there are none, by reason (a key of ``REASONS``)."""

    made: list[int]
    skipped: Counter[str]


def resend(ids: Iterable[int], by: str, account: ProviderAccount | None = None) -> list[int]:
    """The ids of the new messages; see ``run``."""
    return run(ids, by, account).made


def run(ids: Iterable[int], by: str, account: ProviderAccount | None = None, again: bool = False) -> Resent:
    """Queue a copy of each message that may be resent, through its own account and route or through ``account``.

    ``by``: who, for the server's log. A copy for the same account keeps its phone and SIM.
    """
    with transaction.atomic():
        # locked: of two clicks, the second sees what the first made
        rows = list(Message.objects.select_for_update(no_key=True).filter(pk__in=list(ids)).order_by("pk"))
        accounts = {account.pk: account} if account else ProviderAccount.objects.in_bulk({m.account_id for m in rows})
        through = {m.pk: account or accounts[m.account_id] for m in rows}
        refused = _refused(rows, through, again)
        made = ledger.insert([_copy(m, account) for m in rows if m.pk not in refused])
        for pk in sorted({m.account_id for m in made}):
            wakeup.drain(pk)
    if made:
        log.info("%s resent %d messages", by, len(made))
    return Resent([m.pk for m in made], Counter(refused.values()))


def _copy(old: Message, account: ProviderAccount | None) -> Message:
    new = Message(resend_of=old, **{name: getattr(old, name) for name in COPIED})
    if account is None or account.pk == old.account_id:
        new.account_id, new.route_id, new.device, new.sim = old.account_id, old.route_id, old.device, old.sim
    else:
        new.account_id = account.pk
    return new


def _refused(rows: Sequence[Message], through: Mapping[int, ProviderAccount], again: bool) -> dict[int, str]:
    """The reason for each message that is not resent."""
    out = opted_out([m.number for m in rows])
    repeated = _repeated([m.pk for m in rows], again)
    return {m.pk: reason for m in rows if (reason := _reason(m, through[m.pk], out, repeated))}


def _reason(m: Message, account: ProviderAccount, out: set[str], repeated: set[int]) -> str:
    checks = {
        STATUS: m.status not in RESENDABLE,
        OPTED_OUT: m.number in out,
        REPEATED: m.pk in repeated,
        SWITCHED_OFF: not account.enabled,
        UNABLE: not routes.able(account, routes.need(m.type), len(m.text)),
    }
    return next((reason for reason, stands in checks.items() if stands), "")


def _repeated(ids: Sequence[int], again: bool) -> set[int]:
    """Those that have a resend, with ``again``: one that still waits or is younger than a minute."""
    resends = Message.objects.filter(resend_of__in=ids)
    young = timezone.now() - PAUSE
    found = resends.values_list("resend_of_id", "status", "created_at")
    return {old for old, status, at in found if not again or status in ledger.WAITING or at > young}
