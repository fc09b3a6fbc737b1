"""The forms of phones and SIMs, of saved codes and of schedules."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from providers.sentences import Sentences

from . import patterns, saved_codes, ussd, ussd_codes
from .models import Device, SavedCode, Sim, UssdRequest, UssdSchedule, spelled

FAR = timedelta(days=3_650)  # from now, at which a code may be scheduled


class PhoneForm(Sentences, forms.ModelForm):  # type: ignore[type-arg]  # Django's is not subscriptable
    """Our name for a phone, whether it is the primary one, and its default SIM."""

    default_slot = forms.TypedChoiceField(
        label=gettext_lazy("Default SIM"),
        required=False,
        coerce=int,
        empty_value=None,
        help_text=gettext_lazy("It sends where a message names the phone alone."),
    )

    class Meta:
        model = Device
        fields = ["alias", "default_slot", "chosen"]

    def __init__(self, *args: Any, sims: list[Sim], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["alias"].help_text = _("Shown instead of the name that the provider knows it by.")
        self.fields["chosen"].label = _("Primary phone of its account")
        self.fields["chosen"].help_text = _(
            "It sends where a message names no phone, instead of the provider's choice."
        )
        slots = [(sim.slot, f"{_('SIM %d') % (sim.slot + 1)}: {sim.title}") for sim in sims if not sim.gone_at]
        self.fields["default_slot"].choices = [("", _("As the phone decides")), *slots]  # type: ignore[attr-defined]

    def save(self, commit: bool = True) -> Device:
        """Only these columns, and no two chosen phones: the inventory may write the row at this moment."""
        phone: Device = self.instance
        with transaction.atomic():
            if phone.chosen:
                others = Device.objects.filter(account_id=phone.account_id, chosen=True)
                others.exclude(pk=phone.pk).update(chosen=False)
            phone.save(update_fields=self.Meta.fields)
        return phone

    def validate_constraints(self) -> None:
        """Another phone that is chosen gives way."""


class SimForm(Sentences, forms.ModelForm):  # type: ignore[type-arg]
    """Our names for a SIM, and how much it may send."""

    class Meta:
        model = Sim
        fields = ["alias", "operator", "per_hour", "per_day"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["operator"].widget.attrs["placeholder"] = self.instance.label
        self.fields["operator"].help_text = _("Empty: as the phone calls it.")
        self.fields["per_day"].help_text = _("In any 24 hours. Empty: no limit.")
        self.fields["per_hour"].help_text = _("In any 60 minutes.")

    def save(self, commit: bool = True) -> Sim:
        """Only what was changed: the log of what it sent may have grown since."""
        self.instance.save(update_fields=self.changed_data)
        saved: Sim = self.instance
        return saved


class SimField(forms.ModelChoiceField):
    def __init__(self, sims: list[Sim], **kwargs: Any) -> None:
        super().__init__(Sim.objects.filter(gone_at=None).select_related("device__account"), **kwargs)
        empty = [] if self.required and len(sims) == 1 else [("", "---------")]
        self.choices = [*empty, *((sim.pk, described(sim)) for sim in sims)]


def described(sim: Sim) -> str:
    """In one line, as for a choice."""
    called = _("SIM %d") % (sim.slot + 1)
    return f"{sim.device}: " + ", ".join(filter(None, [called, sim.alias or sim.label, sim.number]))


class SavedCodeForm(Sentences, forms.ModelForm):  # type: ignore[type-arg]
    """``scope``: all SIMs, those of an operator (``operator:…``), or one (``sim:7``). ``sample``: an answer to try the
    pattern on. ``sure``: asked for when the code may change something."""

    scope = forms.ChoiceField(label=gettext_lazy("For"), required=False)
    sample = forms.CharField(
        label=gettext_lazy("An answer to try it on"), required=False, widget=forms.Textarea(attrs={"rows": 3})
    )
    sure = forms.BooleanField(label=gettext_lazy("I know what this code changes"), required=False)

    class Meta:
        model = SavedCode
        fields = ["name", "code", "pattern", "decimal", "unit", "warn_below"]
        field_classes = {"code": forms.CharField, "pattern": forms.CharField}

    def __init__(self, *args: Any, by: Any, sims: list[Sim], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.by = by
        for name in ("code", "pattern"):
            self.fields[name].strip = False  # type: ignore[attr-defined]
            self.fields[name].widget.attrs |= {"spellcheck": "false", "autocapitalize": "none", "class": "mono"}
        self.fields["code"].widget.attrs["placeholder"] = "*100#"
        self.fields["pattern"].widget.attrs["placeholder"] = "balance is ([0-9.,]+)"
        self.fields["pattern"].help_text = _(
            "A regular expression that finds a number in the answer: its group named “balance”, or else its first."
        )
        self.fields["unit"].widget.attrs["placeholder"] = "EUR"
        self.fields["warn_below"].help_text = _("Of the number found. Empty: never.")
        if self.instance.warn_below is not None:
            self.initial["warn_below"] = f"{self.instance.warn_below.normalize():f}"
        self._set_up_scope(sims)
        if not self.is_bound and self.instance.pk:
            self.fields["sample"].initial = last_answer(self.instance.code)

    def _set_up_scope(self, sims: list[Sim]) -> None:
        row = self.instance
        operators = saved_codes.operators(sims)
        if row.operator and row.operator not in operators:
            operators.append(row.operator)
        self.fields["scope"].choices = [  # type: ignore[attr-defined]
            ("", _("All SIMs")),
            *((f"operator:{name}", _("SIMs of %s") % name) for name in operators),
            *((f"sim:{sim.pk}", described(sim)) for sim in sims),
        ]
        self.fields["scope"].initial = (
            f"sim:{row.sim_id}" if row.sim_id else row.operator and f"operator:{row.operator}"
        )

    def clean_code(self) -> str:
        code: str = self.cleaned_data["code"]
        if sentence := ussd_codes.wrong(code):
            raise ValidationError(sentence)
        return code

    def clean_pattern(self) -> str:
        pattern: str = self.cleaned_data["pattern"]
        if pattern:
            try:
                patterns.find(pattern, "")
            except patterns.WrongPattern as error:
                raise ValidationError(str(error)) from error
        return pattern

    def clean(self) -> dict[str, Any]:
        """Raises what one would be told at dialling: a saved code must be no way around it."""
        found: dict[str, Any] = super().clean() or self.cleaned_data
        if "code" in found:
            try:
                ussd.check_danger(found["code"], self.by, found.get("sure", False))
            except ussd.Dangerous as error:
                words = _("Confirm below that you want to save it.") if error.allowed else str(error)[len(error.what) :]
                self.add_error("code", f"{error.what} {words.strip()}")
                self.dangerous = error.allowed
        return found

    dangerous = False

    def tried(self) -> dict[str, str]:
        """What the pattern finds in the sample: ``found`` or ``wrong``, a sentence."""
        pattern, sample = self.data.get("pattern", ""), self.data.get("sample", "")
        if not pattern:
            return {"wrong": _("Write a pattern first.")}
        if not sample:
            return {"wrong": _("There is no answer to try it on yet: dial the code once, or paste an answer.")}
        try:
            found = patterns.value(pattern[:200], sample, self.data.get("decimal", ""))
        except patterns.WrongPattern as error:
            return {"wrong": str(error)}
        if found is None:
            return {"wrong": _("The pattern finds no number in this answer.")}
        return {"found": spelled(found, self.data.get("unit", ""))}

    def save(self, commit: bool = True) -> SavedCode:
        scope, _colon, name = (self.cleaned_data["scope"] or "").partition(":")
        self.instance.sim_id = int(name) if scope == "sim" else None
        self.instance.operator = name if scope == "operator" else ""
        saved: SavedCode = super().save(commit)
        return saved


def last_answer(code: str) -> str:
    """The newest answer to a code on any SIM; empty: none came yet."""
    found = UssdRequest.objects.filter(code=code, state=UssdRequest.State.ANSWERED).order_by("-pk")
    return found.values_list("response", flat=True).first() or ""


class ScheduleForm(Sentences, forms.ModelForm):  # type: ignore[type-arg]
    sure = forms.BooleanField(label=gettext_lazy("I know what this code changes"), required=False)

    class Meta:
        model = UssdSchedule
        fields = ["saved", "sim", "every", "next_at", "enabled"]
        widgets = {"next_at": forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M")}

    def __init__(self, *args: Any, by: Any, sims: list[Sim], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.by = by
        self.fields["sim"] = SimField(sims, label=_("SIM"))
        self.fields["saved"].empty_label = None  # type: ignore[attr-defined]
        self.fields["next_at"].label = _("Next time")
        if not self.instance.pk and not self.is_bound:
            self.initial.setdefault("next_at", timezone.localtime())

    def clean_next_at(self) -> datetime:
        at: datetime = self.cleaned_data["next_at"]
        if abs(at - timezone.now()) > FAR:
            raise ValidationError(_("Choose a time in the next ten years."))
        return at

    def clean(self) -> dict[str, Any]:
        found: dict[str, Any] = super().clean() or self.cleaned_data
        saved, sim = found.get("saved"), found.get("sim")
        if saved and sim and not saved_codes.suits(saved, sim):
            self.add_error(
                "sim", _("This code is not meant for this SIM. Choose another, or change whom the code is for.")
            )
        if saved:
            try:
                ussd.check_danger(saved.code, self.by, found.get("sure", False))
            except ussd.Dangerous as error:
                self.add_error("saved", str(error))
                self.dangerous = error.allowed
        return found

    dangerous = False

    def save(self, commit: bool = True) -> UssdSchedule:
        """Whoever saved it last answers for it."""
        self.instance.created_by, self.instance.error = self.by, ""
        saved: UssdSchedule = super().save(commit)
        return saved
