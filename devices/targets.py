"""Which phones and SIMs a campaign goes out through, and which of them each of its recipients gets."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Prefetch, Q
from django.utils.translation import gettext as _

from providers.types import Devices, Spread, Target

from .models import Device, Sim

ALL = {Spread.ALL_DEVICES: "devices", Spread.ALL_SIMS: "sims"}
_STORED = {name: spread for spread, name in ALL.items()}
_TYPED = {"all": Spread.ALL_DEVICES, "all devices": Spread.ALL_DEVICES, "all sims": Spread.ALL_SIMS}
_TARGET = re.compile(r"([^|\[\]{},\s]{1,40})(?:\|([0-9]{1,2}))?")

Place = tuple[str, int | None]
"""A phone and a slot of it, as in Message: ``("", None)`` is the primary phone, a slot of None the phone's choice."""


@dataclass(frozen=True, slots=True)
class Choice:
    """No targets and no spread: the primary phone. ``random``: one of the selection, for all messages.

    Stored as ``{"all": "devices"}`` (each with its default SIM), ``{"all": "sims"}`` or ``{"targets": ["1", "2|0"]}``,
    with ``"random": true`` where it is; ``{}`` is the primary phone.
    """

    spread: Spread = Spread.SPECIFIED
    targets: tuple[Target, ...] = ()
    random: bool = False

    @classmethod
    def of(cls, asked: Devices) -> Choice:
        """What a request on a wire asks for. One at random of no selection is the primary phone."""
        targets = tuple(dict.fromkeys(asked.targets)) if asked.spread is Spread.SPECIFIED else ()
        return cls(asked.spread, targets, asked.random and bool(asked.spread or targets))

    @classmethod
    def read(cls, given: str | Mapping[str, Any]) -> Choice:
        """Read what ``write`` wrote, or what a person typed: ``1``, ``1|0, 2``, ``all devices``, ``random all SIMs``.

        Raises ValueError with a sentence.
        """
        if isinstance(given, str):
            return cls._typed(given)
        names, everything = given.get("targets", []), given.get("all", "")
        known = given.keys() <= {"all", "targets", "random"} and everything in ("", *_STORED)
        if not known or not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ValueError(_("These are no phones: give “targets”, or “all” as “devices” or “sims”."))
        spread = _STORED[everything] if everything else Spread.SPECIFIED
        return cls._checked(spread, tuple(map(_target, names)), given.get("random") is True)

    @classmethod
    def _typed(cls, text: str) -> Choice:
        words = text.lower().split()
        random = words[:1] == ["random"]
        if spread := _TYPED.get(" ".join(words[random:])):
            return cls._checked(spread, (), random)
        names = [name for name in re.split(r"[,\s]+", text) if name][random:]
        return cls._checked(Spread.SPECIFIED, tuple(map(_target, names)), random)

    @classmethod
    def _checked(cls, spread: Spread, targets: tuple[Target, ...], random: bool) -> Choice:
        if random and not spread and not targets:
            raise ValueError(_("Say of which phones one is to be picked: all of them, or some."))
        return cls.of(Devices(spread, targets, random))

    def write(self) -> dict[str, Any]:
        """For Campaign.devices."""
        if not self:
            return {}
        found: dict[str, Any] = (
            {"all": ALL[self.spread]} if self.spread else {"targets": [str(target) for target in self.targets]}
        )
        return found | {"random": True} if self.random else found

    def __bool__(self) -> bool:
        """False: the primary phone."""
        return bool(self.spread or self.targets)


def _target(name: str) -> Target:
    found = _TARGET.fullmatch(name.strip())
    if not found:
        raise ValueError(
            _("“%(name)s” is no phone. Write its ID, as 1, or its ID and a slot counted from 0, as 1|0.")
            % {"name": name[:40]}
        )
    return Target(found[1], None if found[2] is None else int(found[2]))


def places(account_id: int, choice: Choice) -> list[Place]:
    """The phones and SIMs that share the messages, in a steady order. Raises ValueError with a sentence for "all" of
    an account none of whose phones is known, switched on and not paused.

    Phones that are named are taken even where the inventory lacks them; those switched off or paused only if no other
    is left. What is paused keeps its messages waiting (see limits.py).
    """
    if not choice:
        return [_primary(account_id)]
    if not choice.spread:
        by_id = {phone.device_id: phone for phone in _phones(account_id)}
        named = list(dict.fromkeys(_default(by_id.get(target.device), target) for target in choice.targets))
        return [place for place in named if _sends(by_id.get(place[0]), place[1])] or named
    known = _phones(account_id)
    phones = [phone for phone in known if _sends(phone, None)]
    if not phones and any(phone.enabled and not phone.gone_at for phone in known):
        raise ValueError(_("All phones of this account are paused. Resume one on the page Devices, then send."))
    if not phones:
        raise ValueError(
            _("No phone of this account is known and switched on. Load its phones on the page Devices, then send.")
        )
    if choice.spread is Spread.ALL_DEVICES:
        return [_default(phone, Target(phone.device_id)) for phone in phones]
    return [(phone.device_id, slot) for phone in phones for slot in _slots(phone)]


def _phones(account_id: int) -> list[Device]:
    """With those of their SIMs that are there. Two queries."""
    sims = Sim.objects.filter(gone_at=None).order_by("slot")
    rows = Device.objects.filter(account_id=account_id).order_by("pk")
    return list(rows.prefetch_related(Prefetch("sims", sims)))


def _primary(account_id: int) -> Place:
    """The phone that was chosen as the primary one; else the provider's, which need not be named."""
    ours = Q(chosen=True) | Q(primary=True, default_slot__isnull=False)
    phone = Device.objects.filter(ours, account_id=account_id, gone_at=None).order_by("-chosen").first()
    return (phone.device_id, phone.default_slot) if phone else ("", None)


def _default(phone: Device | None, target: Target) -> Place:
    """The SIM that a phone uses where none is named. None: it decides itself, as long as none of its SIMs is paused."""
    if phone is None or target.sim is not None:
        return target.device, target.sim
    free, sims = _slots(phone), phone.sims.all()
    if phone.default_slot is not None and phone.default_slot in free:
        return target.device, phone.default_slot
    return target.device, free[0] if free and len(free) < len(sims) else None


def _sends(phone: Device | None, slot: int | None) -> bool:
    """Neither switched off, gone nor paused, as far as is known."""
    if phone is None:
        return True
    if not phone.enabled or phone.paused_at or phone.gone_at:
        return False
    known = [sim for sim in phone.sims.all() if slot in (None, sim.slot)]
    return not known or any(not sim.paused_at for sim in known)


def _slots(phone: Device) -> list[int | None]:
    """Those of its SIMs that are not paused. A phone whose SIMs are not known chooses one itself."""
    sims = phone.sims.all()
    found: list[int | None] = [sim.slot for sim in sims if not sim.paused_at]
    return found if sims else [None]


def assign(account_id: int, choice: Choice, n: int, offset: int = 0, seed: str = "") -> list[Place]:
    """The phone and SIM for each of ``n`` recipients, numbered from ``offset``: in turn, so evenly split.

    The same arguments give the same places. ``seed``, a campaign's token, decides what ``random`` picks. Raises
    ValueError as ``places`` does.
    """
    found = places(account_id, choice)
    if choice.random:
        found = [max(found, key=lambda place: _drawn(seed, place))]
    return [found[number % len(found)] for number in range(offset, offset + n)]


def _drawn(seed: str, place: Place) -> bytes:
    """Phones that come and go change the pick as little as can be."""
    return hashlib.sha256(f"{seed} {place}".encode()).digest()


def to_wire(device: str, sim: int | None) -> Devices:
    """What a request with messages for one phone and SIM asks for."""
    return Devices(targets=(Target(device, sim),)) if device else Devices()
