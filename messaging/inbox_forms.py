"""The forms of a conversation: an answer, and until when it is put aside."""

from __future__ import annotations

import zoneinfo
from collections.abc import Callable, Mapping
from datetime import datetime, time, timedelta
from typing import Any

from django import forms
from django.contrib.auth import get_user_model
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.text import normalize_newlines
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from providers.models import ProviderAccount
from providers.types import Feature

from . import segments
from .forms import local_time
from .models import Conversation

MORNING, EVENING = time(9), time(18)
SHORTEST = timedelta(minutes=15)  # to snooze for
UNTIL_WHEN = gettext_lazy("Choose until when it is to be out of sight.")
PEOPLE = 200  # to whom a conversation can be given


class ReplyForm(forms.Form):
    """``account`` only where the one that received cannot send now: then another one has to be chosen."""

    token = forms.UUIDField(widget=forms.HiddenInput)
    account = forms.ModelChoiceField(
        label=gettext_lazy("Send through"), queryset=ProviderAccount.objects.none(), empty_label=None
    )
    text = forms.CharField(
        label=gettext_lazy("Reply"),
        max_length=segments.LONGEST,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 3, "data-counter": "#counter", "data-key": "r", "maxlength": False}),
        error_messages={"required": gettext_lazy("The message is empty. Write a text.")},
    )

    def __init__(self, *args: Any, conversation: Conversation, **values: Any) -> None:
        super().__init__(*args, **values)
        usual = conversation.account
        self.usual = usual if usual and usual.enabled and usual.can(Feature.SEND) else None
        if self.usual:
            del self.fields["account"]
        else:
            self.fields["account"].queryset = ProviderAccount.objects.filter(enabled=True)

    def clean_text(self) -> str:
        return normalize_newlines(self.cleaned_data["text"])

    def clean(self) -> None:
        if "token" in self.errors:
            raise forms.ValidationError(
                _("The form came without its number. Open the conversation anew and reply there.")
            )

    @property
    def chosen(self) -> ProviderAccount:
        return self.usual or self.cleaned_data["account"]


def _at(clock: time, days: Callable[[datetime], int]) -> Callable[[datetime], datetime]:
    """So many days from today, at that time, by the clock of whoever looks."""

    def moment(now: datetime) -> datetime:
        here = timezone.localtime(now)
        return timezone.make_aware(datetime.combine(here.date() + timedelta(days=days(here)), clock))

    return moment


SNOOZES: Mapping[str, tuple[str | Promise, Callable[[datetime], datetime]]] = {
    "hour": (gettext_lazy("An hour"), lambda now: now + timedelta(hours=1)),
    "evening": (gettext_lazy("This evening, 18:00"), _at(EVENING, lambda here: 0)),
    "tomorrow": (gettext_lazy("Tomorrow, 9:00"), _at(MORNING, lambda here: 1)),
    "week": (gettext_lazy("Monday, 9:00"), _at(MORNING, lambda here: 7 - here.weekday())),
}
CHOSEN = "chosen"


def snoozes() -> list[tuple[str, str | Promise]]:
    """Names and words of those whose time is still to come."""
    now = timezone.now()
    return [(name, words) for name, (words, at) in SNOOZES.items() if at(now) > now + SHORTEST]


class SnoozeForm(forms.Form):
    """``until``: one of SNOOZES, or CHOSEN for the time ``at``, by the clock of whoever looks. ``moment`` is there once
    it is valid."""

    until = forms.ChoiceField(
        choices=[*((name, words) for name, (words, _at) in SNOOZES.items()), (CHOSEN, gettext_lazy("Until then"))],
        error_messages={"required": UNTIL_WHEN, "invalid_choice": UNTIL_WHEN},
    )
    at = forms.CharField(required=False, max_length=40)

    def clean(self) -> None:
        until = self.cleaned_data.get("until")
        if until == CHOSEN:
            try:
                self.moment = local_time(
                    self.cleaned_data.get("at", ""), zoneinfo.ZoneInfo(timezone.get_current_timezone_name())
                )
            except ValueError as error:
                self.add_error("at", str(error))
        elif until:
            self.moment = SNOOZES[until][1](timezone.now())
            if self.moment <= timezone.now():
                self.add_error("until", _("This time is over. Choose a later one."))

    @property
    def wrong(self) -> str:
        """The first thing that is."""
        return next(iter(self.errors.values()))[0]


def people() -> QuerySet[Any]:
    """To whom a conversation can be given."""
    return get_user_model().objects.filter(is_active=True).only("username").order_by("username")[:PEOPLE]
