"""What the log asks before it acts on messages: a question, and a form where an answer is needed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from providers.models import ProviderAccount

from .forms import local_time


class Ask(forms.Form):
    """``values``: what the answers mean to bulk.py, as JSON has it."""

    title: str | Promise = ""
    text: str | Promise = ""
    button: str | Promise = ""
    danger = False

    @property
    def values(self) -> dict[str, Any]:
        return {}


class Cancel(Ask):
    title = _("Cancel these messages?")
    text = _("They are not sent, and that cannot be undone. What has left in the meantime stays as it is.")
    button = _("Cancel messages")
    danger = True


class Reschedule(Ask):
    """The time is by the person's clock; none is as soon as possible."""

    title = _("Give these messages another time?")
    text = _("Sending hours still hold. What has left in the meantime stays as it is.")
    button = _("Reschedule messages")

    moment = forms.CharField(
        label=_("When"),
        required=False,
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}),
        help_text=_("By your clock. Empty: as soon as possible."),
    )

    def clean_moment(self) -> str:
        typed = self.cleaned_data["moment"]
        if not typed:
            return timezone.now().isoformat()
        try:
            return local_time(typed, ZoneInfo(timezone.get_current_timezone_name())).isoformat()
        except ValueError as error:
            raise forms.ValidationError(str(error)) from error

    @property
    def values(self) -> dict[str, Any]:
        return {"moment": self.cleaned_data["moment"]}


class SendAgain(Ask):
    title = _("Send these messages again?")
    text = _("If the provider took them the first time, they arrive twice.")
    button = _("Send again")
    danger = True


class Resend(Ask):
    title = _("Send these messages once more?")
    text = _("Each becomes a new message; the old ones stay as they are. Who opted out in the meantime is left out.")
    button = _("Send once more")

    account = forms.ModelChoiceField(
        ProviderAccount.objects.filter(enabled=True).only("name"),
        label=_("Send through"),
        required=False,
        empty_label=_("The account or route of each message"),
    )
    again = forms.BooleanField(label=_("Also those that were sent once more before"), required=False)

    @property
    def values(self) -> dict[str, Any]:
        account = self.cleaned_data["account"]
        return {"account": account.pk if account else None, "again": self.cleaned_data["again"]}


FORMS: Mapping[str, type[Ask]] = {
    "cancel": Cancel,
    "reschedule": Reschedule,
    "resend": Resend,
    "sent": Ask,
    "again": SendAgain,
}
