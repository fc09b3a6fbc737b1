"""USSD codes: dialled on a SIM, one at a time, and their answers, posted to our callback or asked for.

A code is dialled at most once: whoever dials claims the request first, and one of which nobody knows whether it was
dialled is looked for at the provider, never dialled again.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from providers import outbox
from providers.errors import NotFound, ProviderError
from providers.models import ProviderAccount
from providers.types import Feature, ReadUssd, SendUssd, UssdInfo, UssdReply

from . import balances, calling, saved_codes, ussd_codes, wakeup
from .models import SavedCode, Sim, UssdRequest, UssdSchedule

log = logging.getLogger(__name__)

TIME_OUT = timedelta(minutes=3)  # from the click to "no answer"
FIRST = 2.0  # seconds until an answer is asked for; doubled each time
LONGEST = 60.0
CLAIM = timedelta(seconds=30)  # longer than one HTTP time-out
PATIENCE = 10.0  # seconds that a code waits for a place in the rate limit
SKEW = timedelta(minutes=1)  # by which a provider's clock may differ from ours
LATE = timedelta(days=1)  # so long an answer without an ID may still belong to a request

State = UssdRequest.State


class Refused(Exception):
    """A code is not dialled; says why, in a sentence."""


class Busy(Refused):
    """The SIM waits for another answer."""


class Dangerous(Refused):
    """The code may change something (``what``, a sentence), and the person did not confirm it or may not dial it."""

    def __init__(self, what: str, allowed: bool) -> None:
        words = _("Confirm that you want to dial it.")
        if not allowed:
            words = _("To dial it one needs the permission “Can dial codes that divert calls or change the network”.")
        super().__init__(f"{what} {words}")
        self.what, self.allowed = what, allowed


# --- Asking ------------------------------------------------------------------------------------------


def ask(
    sim: Sim,
    code: str,
    by: AbstractBaseUser | None,
    *,
    sure: bool = False,
    allowed: bool | None = None,
    saved: SavedCode | None = None,
    schedule: UssdSchedule | None = None,
) -> UssdRequest:
    """Dial a code exactly as it is given, in the background. ``sure``: whoever asks confirmed a dangerous one;
    ``allowed``: they may dial such (None: as the permissions of ``by`` say).

    The saved code of this SIM with the same digits, or ``saved``, says how the answer is read. Raises Refused.
    """
    if sentence := ussd_codes.wrong(code) or _impossible(sim):
        raise Refused(sentence)
    check_danger(code, by, sure, allowed)
    expire()
    request = UssdRequest(
        account=sim.device.account,
        device_id=sim.device.device_id,
        sim=sim.slot,
        code=code,
        saved=saved or saved_codes.of(sim, code),
        schedule=schedule,
        created_by=by,  # type: ignore[misc]  # whichever user model it is
        poll_at=timezone.now() + CLAIM,  # in case the wake-up is lost
    )
    try:
        with transaction.atomic():
            request.save(force_insert=True)
    except IntegrityError:
        words = _("%s still waits for the answer to another code. Dial this one when it is there.")
        raise Busy(words % sim) from None
    wakeup.ussd(request.pk)
    return request


def check_danger(code: str, by: Any, sure: bool, allowed: bool | None = None) -> None:
    """Raises Dangerous unless the code is harmless, or this person may dial it and is sure. ``allowed``: see ask."""
    if what := ussd_codes.danger(code):
        if allowed is None:
            allowed = by is not None and by.has_perm("devices.dial_dangerous_ussd")
        if not (allowed and sure):
            raise Dangerous(what, allowed)


def _impossible(sim: Sim) -> str:
    phone, account = sim.device, sim.device.account
    if sim.gone_at or phone.gone_at:
        return _("The provider no longer lists %s, so nothing can be dialled on it.") % sim
    if not phone.enabled:
        return _("The phone %s is switched off in its app. Switch it on to dial.") % phone
    if not account.enabled:
        return _("The account %s is switched off. Switch it on to dial.") % account
    if account.paused_code:
        return _("The account %(account)s is paused: %(reason)s") % {
            "account": account,
            "reason": account.paused_reason,
        }
    if not account.can(Feature.USSD):
        return _("Accounts of the kind of %s dial no codes.") % account
    return ""


# --- The work on a request ---------------------------------------------------------------------------


def due() -> list[int]:
    """The open requests that a worker is to look after now. Those that waited for too long end here."""
    now = timezone.now()
    waiting = dict(UssdRequest.objects.filter(poll_at__lte=now).values_list("pk", "sent_at"))
    if any(now - sent_at >= TIME_OUT for sent_at in waiting.values()):
        expire()
    return [pk for pk, sent_at in waiting.items() if now - sent_at < TIME_OUT]


def expire() -> int:
    """End what waited for too long. Returns how many."""
    late = UssdRequest.objects.filter(poll_at__isnull=False, sent_at__lte=timezone.now() - TIME_OUT)
    minutes = int(TIME_OUT.total_seconds() // 60)
    silent = _("No answer in %d minutes. The network may not know this code, or the phone has no service.") % minutes
    failed = _("It was not dialled: no background worker came to it in %d minutes.") % minutes
    n = late.filter(state=State.ASKED).update(state=State.SILENT, error=silent, poll_at=None)
    n += late.filter(state=State.QUEUED, error="").update(state=State.FAILED, error=failed, poll_at=None)
    return n + late.filter(state=State.QUEUED).update(state=State.FAILED, poll_at=None)


def work(pk: int) -> None:
    """Dial it, or ask for its answer. Twice at once: one of them does."""
    request = UssdRequest.objects.select_related("account").filter(pk=pk, state__in=UssdRequest.OPEN).first()
    now = timezone.now()
    if request is None or now - request.sent_at >= TIME_OUT:
        expire()
    elif request.state == State.QUEUED:
        if _moved(request, state=State.ASKED, poll_at=now + CLAIM):
            _dial(request)
    elif request.poll_at and request.poll_at <= now and _moved(request, poll_at=now + CLAIM, polls=request.polls + 1):
        _look(request)


def _moved(request: UssdRequest, **values: Any) -> bool:
    """Set columns if the row is as we read it."""
    rows = UssdRequest.objects.filter(pk=request.pk, state=request.state, polls=request.polls)
    if request.state == State.ASKED:
        rows = rows.filter(poll_at=request.poll_at)
    if not rows.update(**values):
        return False
    for name, value in values.items():
        setattr(request, name, value)
    return True


def _dial(request: UssdRequest) -> None:
    try:
        op = SendUssd(request.code, request.device_id, request.sim)
        info: UssdInfo = calling.call(request.account, op, PATIENCE)
    except ProviderError as error:
        _failed(request, error)
        return
    _note(request, provider_id=info.id.strip()[:64], poll_at=_later(0), error="")
    if info.response is not None:
        _hear(request, info)


def _failed(request: UssdRequest, error: ProviderError) -> None:
    """It surely was not dialled, and is again or not; or nobody knows, so that its answer is looked for."""
    text = str(error).replace("\x00", "\ufffd")[:300]
    if error.maybe_taken:
        _note(request, poll_at=_later(0), error=text)
    elif error.retry:
        wait = timedelta(seconds=max(5.0, error.retry_after or 0.0))
        _note(request, state=State.QUEUED, poll_at=timezone.now() + wait, error=text)
    else:
        _note(request, state=State.FAILED, poll_at=None, error=text)


def _look(request: UssdRequest) -> None:
    """Ask the provider for the answer; by the code where the request's id is not known."""
    where = {"device": request.device_id, "sim": request.sim}
    op = ReadUssd(id=request.provider_id) if request.provider_id else ReadUssd(code=request.code, **where)
    try:
        found: tuple[UssdInfo, ...] = calling.call(request.account, op)
    except NotFound:
        found = ()
    except ProviderError as error:
        log.info("Asking %s for a USSD answer failed: %s", request.account, error)
        found = ()
    info = _mine(request, found)
    _note(request, poll_at=_later(request.polls), **({"provider_id": info.id.strip()[:64]} if info else {}))
    if info and info.response is not None:
        _hear(request, info)


def _mine(request: UssdRequest, found: tuple[UssdInfo, ...]) -> UssdInfo | None:
    """Without an id: the newest that no other request of ours is known to be, and that is not older than this one."""
    if request.provider_id:
        return next((info for info in found if info.id.strip()[:64] == request.provider_id), None)
    ids = [info.id.strip()[:64] for info in found]
    known = UssdRequest.objects.filter(account=request.account, provider_id__in=ids)
    taken = set(known.values_list("provider_id", flat=True))
    for info, name in zip(found, ids, strict=True):
        young = info.sent_at is None or info.sent_at >= request.sent_at - SKEW
        if info.code == request.code and name not in taken and young:
            return info
    return None


def _later(polls: int) -> Any:
    return timezone.now() + timedelta(seconds=min(LONGEST, FIRST * 2.0**polls))


def _note(request: UssdRequest, **values: Any) -> None:
    """For a request that still waits: its answer may have come meanwhile. An id that is known stays."""
    if not values.get("provider_id"):
        values.pop("provider_id", None)
    UssdRequest.objects.filter(pk=request.pk, state=State.ASKED).update(**values)
    if "provider_id" in values:
        UssdRequest.objects.filter(pk=request.pk, provider_id="").update(provider_id=values["provider_id"])


# --- Answers -----------------------------------------------------------------------------------------


def _hear(request: UssdRequest, info: UssdInfo) -> None:
    _keep(request, info.response or "", info.answered_at)


def answer(account: ProviderAccount, reply: UssdReply) -> UssdRequest | None:
    """Write the network's answer to the request it belongs to: by id, else the latest with that code and SIM.

    Returns None when none waits for it, as when the same answer is posted twice.
    """
    request = _asked(account, reply)
    if request is None or not _keep(request, reply.response, reply.at):
        return None
    if reply.id:
        UssdRequest.objects.filter(pk=request.pk, provider_id="").update(provider_id=reply.id.strip()[:64])
    request.refresh_from_db()
    return request


# An empty text may have been posted before there was an answer.
_WAITS = Q(state__in=(State.ASKED, State.SILENT)) | Q(state=State.ANSWERED, response="")


def _asked(account: ProviderAccount, reply: UssdReply) -> UssdRequest | None:
    rows = UssdRequest.objects.filter(account=account).select_related("saved").order_by("-pk")
    if name := reply.id.strip()[:64]:
        if known := rows.filter(provider_id=name).first():
            return known
        rows = rows.filter(provider_id="")  # it overtook the answer to the request, or that one was lost
    rows = rows.filter(_WAITS, code=reply.code, sent_at__gte=timezone.now() - LATE)
    if reply.device:
        rows = rows.filter(device_id=reply.device[:40])
    if reply.sim is not None:
        rows = rows.filter(Q(sim=reply.sim) | Q(sim=None))
    if reply.at:
        rows = rows.filter(sent_at__lte=reply.at + SKEW)
    return rows.first()


def _keep(request: UssdRequest, response: str, at: Any) -> bool:
    """False: another had written the answer. The pattern runs before the transaction: it may take a while."""
    text, now = response.replace("\x00", "\ufffd")[:10_000], timezone.now()
    value = balances.read(request.saved, text)
    with transaction.atomic():
        mine = UssdRequest.objects.filter(_WAITS, pk=request.pk)
        values = {"response": text, "value": value, "answered_at": min(at or now, now), "error": "", "poll_at": None}
        if not mine.update(state=State.ANSWERED, **values):
            return False
        if value is not None:
            balances.keep(request, value, values["answered_at"])
        outbox.put({"ussd.answered": [request.pk]})
    return True
