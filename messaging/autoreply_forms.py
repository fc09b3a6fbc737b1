"""The form of a rule that answers by itself."""

from __future__ import annotations

import zoneinfo
from typing import Any

from django import forms
from django.db.models import Max
from django.utils.text import normalize_newlines
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from contacts.models import Contact
from contacts.optout import fold
from devices.models import Sim
from providers import hours
from providers.models import ProviderAccount
from providers.sentences import Sentences
from providers.types import Feature

from . import merging, segments
from .models import AutoReply

KNOWN = 2_000  # of the newest contacts, whose fields a text may name


class AutoReplyForm(Sentences, forms.ModelForm):  # type: ignore[type-arg]  # Django's is not subscriptable
    """``place``: where the message came in, as ``12`` (an account) or ``12|7|1`` (its device 7, slot 1)."""

    place = forms.ChoiceField(label=gettext_lazy("Received by"), required=False)

    class Meta:
        model = AutoReply
        fields = ["name", "match", "words", "place", "hours", "zone", "text", "enabled"]
        help_texts = {
            "words": gettext_lazy("One a line. Capitals, and signs around a word, do not count."),
            "text": gettext_lazy("It may hold merge fields, as {name|friend}."),
        }
        error_messages = {"name": {"unique": gettext_lazy("There is a rule of that name. Choose another name.")}}
        labels = {"hours": gettext_lazy("Only outside of these hours")}
        widgets = {
            "words": forms.Textarea(attrs={"rows": 3}),
            "text": forms.Textarea(attrs={"rows": 4, "data-counter": "#counter"}),
            "zone": forms.Select,
            "hours": forms.TextInput(attrs={"placeholder": hours.EXAMPLE, "autocomplete": "off"}),
        }

    def __init__(self, *args: Any, **values: Any) -> None:
        super().__init__(*args, **values)
        rule = self.instance
        slots = (str(rule.account_id), rule.device, "" if rule.sim is None else str(rule.sim))
        self.initial["place"] = "|".join(filter(None, slots)) if rule.account_id else ""
        self.fields["place"].choices = _places()
        names = dict.fromkeys(filter(None, (rule.zone, *hours.zones())))
        self.fields["zone"].widget.choices = [("", _("The server’s")), *((name, name) for name in names)]
        self.fields["hours"].help_text = _("Empty: at any time. The hours are meant by the clock of the time zone.")

    def clean_hours(self) -> str:
        try:
            return str(hours.parse(self.cleaned_data["hours"]))
        except ValueError as error:
            raise forms.ValidationError(str(error)) from error

    def clean_zone(self) -> str:
        zone: str = self.cleaned_data["zone"]
        if zone and zone not in zoneinfo.available_timezones():
            raise forms.ValidationError(_("There is no such time zone. Write it as Europe/Tallinn."))
        return zone

    def clean_words(self) -> str:
        lines = [line for text in self.cleaned_data["words"].splitlines() if (line := " ".join(text.split()))]
        if empty := next((line for line in lines if not fold(line)), None):
            raise forms.ValidationError(_("“%s” has neither letters nor digits, so no message fits it.") % empty)
        return "\n".join(dict.fromkeys(lines))

    def clean_text(self) -> str:
        text = normalize_newlines(self.cleaned_data["text"])
        if len(text) > segments.LONGEST:
            raise forms.ValidationError(_("The text is longer than %d characters. Shorten it.") % segments.LONGEST)
        if wrong := merging.check(text, _known_fields()):
            raise forms.ValidationError(" ".join(wrong[:3]))
        return text

    def clean(self) -> dict[str, Any]:
        values: dict[str, Any] = super().clean() or {}
        needs_words = values.get("match") != AutoReply.Match.ANY
        if needs_words and not values.get("words") and "words" not in self.errors:
            self.add_error("words", _("Write at least one word, or let the rule answer any message."))
        return values

    def save(self, commit: bool = True) -> AutoReply:
        """A new rule comes last."""
        rule: AutoReply = self.instance
        account, device, sim = (*self.cleaned_data["place"].split("|"), "", "", "")[:3]
        rule.account_id = int(account) if account else None
        rule.device, rule.sim = device, int(sim) if sim else None
        if rule.pk is None:
            rule.position = (AutoReply.objects.aggregate(last=Max("position"))["last"] or 0) + 1
        saved: AutoReply = super().save(commit)
        return saved


def _places() -> list[tuple[str, str]]:
    sims = Sim.objects.filter(gone_at=None).select_related("device").order_by("device__name", "device_id", "slot")
    by_account: dict[int, list[Sim]] = {}
    for sim in sims:
        by_account.setdefault(sim.device.account_id, []).append(sim)
    found = [("", _("Any account"))]
    for account in ProviderAccount.objects.only("name", "kind"):
        if account.can(Feature.INBOUND):
            found.append((str(account.pk), account.name))
            for sim in by_account.get(account.pk, ()):
                place = f"{account.pk}|{sim.device.device_id}|{sim.slot}"
                found.append((place, f"{account.name} · {sim.device} · {sim.title}"))
    return found


def _known_fields() -> set[str]:
    newest = Contact.objects.order_by("-pk").values_list("fields", flat=True)[:KNOWN]
    return {*merging.ALWAYS, *(name for fields in newest for name in fields)}
