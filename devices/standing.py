"""How a phone is doing, in a word and a sentence."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from .models import Device, Sim


@dataclass(frozen=True, slots=True)
class Standing:
    """``tone`` as of a pill. ``text`` empty: nothing more to say."""

    tone: str
    icon: str
    word: str | Promise
    text: str = ""

    @property
    def wants_attention(self) -> bool:
        return self.tone in ("warn", "bad")


def of(phone: Device) -> Standing:
    """No query."""
    if phone.gone_at:
        text = _("The provider no longer lists it: it was removed there, or switched off.")
        return Standing("quiet", "circle-off", gettext_lazy("Gone"), text)
    if not phone.enabled:
        text = _("It is switched off in its app, so nothing goes out through it.")
        return Standing("quiet", "power-off", gettext_lazy("Switched off"), text)
    if not phone.online:
        text = _("It is offline. See whether it has power and a network, or move what waits for it to other phones.")
        return Standing("warn", "wifi-off", gettext_lazy("Offline"), text)
    if phone.silent:
        text = _("It went silent. See whether it has power and a network, or move what waits for it to other phones.")
        return Standing("warn", "bell-off", gettext_lazy("Silent"), text)
    if phone.paused_at:
        return Standing("quiet", "pause", gettext_lazy("Paused"), paused(phone))
    return Standing("ok", "smartphone", gettext_lazy("Online"))


def paused(row: Device | Sim) -> str:
    """Of one that is paused."""
    if not row.paused_by:
        return _("It is paused: what is meant for it waits.")
    return _("%(person)s paused it: what is meant for it waits.") % {"person": row.paused_by}


def set_paused(row: Device | Sim, paused: bool, by: str) -> None:
    """Nothing goes out through it any more, or it sends again. Who paused it first stays written down."""
    values = {"paused_at": timezone.now(), "paused_by": by[:150]} if paused else {"paused_at": None, "paused_by": ""}
    type(row)._default_manager.filter(pk=row.pk, paused_at__isnull=paused).update(**values)
