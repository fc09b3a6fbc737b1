"""How many messages a SIM sent in the last hour and day, and how many it may, so that its operator does not block it;
none while it is paused.

A limit holds for any 60 minutes and any 24 hours, not for those of the clock. A SIM without limits is counted, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from time import time

from django.db.models import Q

from providers import pacing
from providers.types import Rate

from .models import Device, Sim
from .targets import Place

HOUR, DAY = 3600, 86400
UNLIMITED = 10**9  # in the place of a limit that is not set: what was used is shown, and counts if it is set later
CLOSED = 60.0  # seconds until a SIM that is paused, or whose limit is 0, is looked at again


def counted(account_id: int) -> bool:
    """Is any phone of the account known? If not, ``take`` has nothing to say."""
    return Device.objects.filter(account_id=account_id).exists()


def take(account_id: int, wanted: Mapping[Place, int], now: float) -> dict[Place, tuple[int, float]]:
    """How many of the wanted messages may go now through each phone and SIM, and, where that is fewer, the seconds
    until the next may. They count as sent.

    In the caller's transaction. ``now``: Unix seconds, by ``pacing.now``. A place without a slot counts on the
    phone's first SIM, and no phone at all on the primary one's.
    """
    sims = _locked(account_id, {device for device, _slot in wanted})
    paused = _paused(account_id, {device for device, slot in wanted if (device, slot) not in sims})
    logs: dict[Sim, pacing.Log] = {}
    granted: dict[Place, tuple[int, float]] = {}
    for place, n in wanted.items():
        sim = sims.get(place)
        if place[0] in paused or (sim and (sim.paused_at or sim.device.paused_at)):
            granted[place] = 0, CLOSED
        elif sim is None:
            granted[place] = n, 0.0
        elif 0 in (sim.per_hour, sim.per_day):
            granted[place] = 0, CLOSED
        else:
            granted[place] = _take(logs.setdefault(sim, _log(sim)), n, now)
    changed = {sims[place] for place, (n, _wait) in granted.items() if n and sims.get(place) in logs}
    for sim in changed:
        sim.log = logs[sim].text()
    Sim.objects.bulk_update(changed, ["log"])
    return granted


def _take(log: pacing.Log, n: int, now: float) -> tuple[int, float]:
    wait = log.wait(now, urgent=True)  # also forgets what is over
    room = min(rate.limit - used for rate, used in log.used(now - pacing.MARGIN).items())
    taken = max(0, min(n, room))
    if taken:
        log.add(now, taken)
        wait = log.wait(now, urgent=True)
    return taken, max(wait, pacing.MARGIN) if taken < n else 0.0


def used(sim: Sim, now: float | None = None) -> dict[str, int]:
    """Messages in the last ``hour`` and the last ``day``."""
    found = _log(sim).used(time() if now is None else now)
    return {"hour" if rate.seconds == HOUR else "day": n for rate, n in found.items()}


def _paused(account_id: int, unknown: set[str]) -> set[str]:
    """Those of the phones whose SIMs are not known that are paused."""
    if not unknown:
        return set()
    rows = Device.objects.filter(account_id=account_id, paused_at__isnull=False)
    found = rows.filter(Q(device_id__in=unknown) | Q(primary=True)).values_list("device_id", "primary")
    return {name for device, primary in found for name in ((device, "") if primary else (device,))} & unknown


def _log(sim: Sim) -> pacing.Log:
    rates = (Rate(sim.per_hour or UNLIMITED, HOUR), Rate(sim.per_day or UNLIMITED, DAY))
    return pacing.Log(rates, sim.log, even=False)


def _locked(account_id: int, devices: set[str]) -> dict[Place, Sim]:
    """The SIMs of these phones, by every place that counts on them."""
    asked = Q(device__device_id__in=[device for device in devices if device])
    if "" in devices:
        asked |= Q(device__primary=True)
    rows = Sim.objects.filter(asked, device__account_id=account_id).select_related("device").order_by("pk")
    found: dict[Place, Sim] = {}
    for sim in sorted(rows.select_for_update(of=("self",)), key=lambda sim: (bool(sim.gone_at), sim.slot)):
        found[sim.device.device_id, sim.slot] = sim
        found.setdefault((sim.device.device_id, None), sim)
        if sim.device.primary:
            found.setdefault(("", None), sim)
    return found
