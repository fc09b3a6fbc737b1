"""The part of the compose form that chooses among the phones and SIMs behind an account."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import forms
from django.db.models import Prefetch
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from devices.models import Device, Sim
from devices.targets import Choice, places
from providers.models import ProviderAccount
from providers.types import Feature

SOME = "some"


class Phones(forms.Form):
    """``phones`` says which: the primary one, all phones, all SIMs, or some, checked in the account's own list.

    ``phone_lists``: those lists, a field for each account that has phones.
    """

    phones = forms.ChoiceField(
        label=gettext_lazy("Phones"),
        required=False,
        choices=[
            ("", gettext_lazy("The account’s primary phone")),
            ("devices", gettext_lazy("All phones, each with its default SIM")),
            ("sims", gettext_lazy("All SIMs of all phones")),
            (SOME, gettext_lazy("Some phones or SIMs")),
        ],
        help_text=gettext_lazy("Several of them share the messages evenly."),
    )
    random = forms.BooleanField(
        label=gettext_lazy("Pick one of them at random and send everything through it"), required=False
    )

    def add_phone_lists(self, accounts: Iterable[ProviderAccount]) -> None:
        having = {account.pk: account for account in accounts if account.can(Feature.DEVICES)}
        if not having:
            del self.fields["phones"], self.fields["random"]
        for pk, account in having.items():
            self.fields[_name(pk)] = forms.MultipleChoiceField(
                label=_("Phones and SIMs of “%(account)s”") % {"account": account},
                required=False,
                widget=forms.CheckboxSelectMultiple,
                error_messages={"invalid_choice": _("A phone or SIM is gone or switched off. Choose anew.")},
            )
        for pk, found in choices(having).items():
            self.fields[_name(pk)].choices = found
        self.phone_lists = [(pk, self[_name(pk)]) for pk in having]

    @property
    def phones_wrong(self) -> bool:
        return any(name.startswith("phones") for name in self.errors)

    def read_phones(self, account: ProviderAccount) -> dict[str, Any]:
        """What was chosen for this account, for Campaign.devices. Raises ValueError with a sentence."""
        if not account.can(Feature.DEVICES):
            return {}
        which, some = self.cleaned_data["phones"], self.cleaned_data.get(_name(account.pk), [])
        if which == SOME and not some:
            raise ValueError(_("Check the phones or SIMs that are to send, or choose another way."))
        selection = {"targets": some} if which in ("", SOME) else {"all": which}
        choice = Choice.read({**selection, "random": self.cleaned_data["random"]})
        places(account.pk, choice)
        return choice.write()


def initial(account: str, target: str) -> dict[str, Any]:
    """For a link that names an account and one of its phones or SIMs, as ``1`` or ``1|0``."""
    return {"phones": SOME, f"phones_{account}": [target]} if target else {}


def _name(account_id: int) -> str:
    return f"phones_{account_id}"


def choices(accounts: Iterable[int]) -> dict[int, list[tuple[str, str]]]:
    """By account: every phone that is switched on and not paused, followed by its SIMs."""
    found: dict[int, list[tuple[str, str]]] = {pk: [] for pk in accounts}
    if found:
        there = {"gone_at": None, "paused_at": None}
        phones = Device.objects.filter(account__in=found, enabled=True, **there).order_by("name", "pk")
        for phone in phones.prefetch_related(Prefetch("sims", Sim.objects.filter(**there).order_by("slot"))):
            found[phone.account_id] += _entries(phone)
    return found


def _entries(phone: Device) -> list[tuple[str, str]]:
    name = str(phone) if phone.online else _("%(phone)s (offline)") % {"phone": phone}
    sims = [(f"{phone.device_id}|{sim.slot}", f"{name}: {_sim_label(sim)}") for sim in phone.sims.all()]
    return [(phone.device_id, _("%(phone)s: its default SIM") % {"phone": name}), *sims]


def _sim_label(sim: Sim) -> str:
    called = _("SIM %(n)d") % {"n": sim.slot + 1}
    return ", ".join(filter(None, [called, sim.alias or sim.label, sim.number]))
