"""USSD codes dialled and read by programs, by the rules of the console: one at a time on a SIM, and with care."""

from __future__ import annotations

from collections.abc import Mapping

from devices import ussd
from devices.models import Device, Sim, UssdRequest
from messaging import log
from providers import errors
from providers.phones.bodies import USER
from providers.types import ReadUssd, SendUssd, UssdInfo

from . import access, gateway_phones
from .models import ApiKey, Scope

LISTED = 500  # requests of one answer


def send_ussd(key: ApiKey, op: SendUssd) -> UssdInfo:
    """Dial a code in the background. Without a slot it is the phone's default SIM, or else its first.

    A code that may change something is dialled for keys with the scopes ussd and admin alone. Raises NotFound for an
    unknown phone or SIM, Rejected while the SIM waits for another answer or when nothing can be dialled on it.
    """
    access.need(key, Scope.USSD)
    sim = _sim(key, op)
    try:
        row = ussd.ask(sim, op.code, key.owner, sure=True, allowed=Scope.ADMIN.value in key.scopes)
    except ussd.Dangerous as error:
        words = f"{error.what} Only an API key with the scopes “ussd” and “admin” may dial it."
        raise errors.KeyRefused(words, code=access.FORBIDDEN) from error
    except ussd.Refused as error:
        raise errors.Rejected(str(error)) from error
    return _info(row, {(row.account_id, row.device_id): str(sim.device_id)})


def read_ussd(key: ApiKey, op: ReadUssd) -> tuple[UssdInfo, ...]:
    """The codes dialled on phones of the key's accounts, whoever dialled them, newest first, LISTED at most."""
    access.need(key, Scope.USSD)
    phone = gateway_phones.find(key, op.device) if op.device else None
    if op.device and not phone:
        return ()
    asked = {
        "pk": (log.read_id(op.id) or 0) if op.id else None,
        "code": op.code or None,
        "account": phone and phone.account_id,
        "device_id": phone and phone.device_id,
        "sim": op.sim,
        "sent_at__gte": op.start,
        "sent_at__lt": op.end,
    }
    rows = UssdRequest.objects.filter(**{name: value for name, value in asked.items() if value is not None})
    mine = rows.filter(account__in=access.accounts(key).values("pk"))
    found = list(mine.order_by("-pk")[:LISTED])
    phones = gateway_phones.ids((row.account_id, row.device_id) for row in found)
    return tuple(_info(row, phones) for row in found)


def _sim(key: ApiKey, op: SendUssd) -> Sim:
    phone = gateway_phones.find(key, op.device)
    if phone is None:
        raise errors.NotFound(f"There is no device with the ID {op.device}.")
    there = {sim.slot: sim for sim in Sim.objects.filter(device=phone).select_related("device__account")}
    usable = [slot for slot, sim in sorted(there.items()) if sim.gone_at is None]
    slot = op.sim if op.sim is not None else _default(phone, usable)
    if slot not in there:
        raise errors.NotFound(f"Device {op.device} has no SIM in slot {op.sim}." if op.sim is not None else NO_SIM)
    return there[slot]


NO_SIM = "No SIM of this device is known. Load the account's phones in smsdash first."


def _default(phone: Device, usable: list[int]) -> int | None:
    if phone.default_slot in usable:
        return phone.default_slot
    return usable[0] if usable else None


def _info(row: UssdRequest, phones: Mapping[tuple[int, str], str]) -> UssdInfo:
    """A code that failed has the reason as its answer: programs wait for that, and the wire has no other place."""
    failed = row.state == UssdRequest.State.FAILED
    return UssdInfo(
        id=str(row.pk),
        code=row.code,
        device=phones.get((row.account_id, row.device_id), ""),
        sim=row.sim,
        response=row.error if failed else row.response,
        user=USER,
        sent_at=row.sent_at,
        answered_at=row.answered_at,
    )
