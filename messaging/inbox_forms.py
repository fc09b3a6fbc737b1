"""The forms of a conversation: an answer, and until when it is put aside."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, time, timedelta
from typing import Any

from django import forms
from django.contrib.auth import get_user_model
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.text import normalize_newlines
from django.utils.translation import gettext_lazy

from providers.models import ProviderAccount
from providers.types import Feature

from .models import Conversation

LONGEST = 10_000  # characters
MORNING = time(9)
PEOPLE = 200  # to whom a conversation can be given


class ReplyForm(forms.Form):
    """``account`` only where the one that received cannot send now: then another one has to be chosen."""

    token = forms.UUIDField(widget=forms.HiddenInput)
    account = forms.ModelChoiceField(
        label=gettext_lazy("Send through"), queryset=ProviderAccount.objects.none(), empty_label=None
    )
    text = forms.CharField(
        label=gettext_lazy("Reply"),
        max_length=LONGEST,
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

    @property
    def chosen(self) -> ProviderAccount:
        return self.usual or self.cleaned_data["account"]


def _later(**span: int) -> Callable[[datetime], datetime]:
    return lambda now: now + timedelta(**span)


def _morning(days: Callable[[datetime], int]) -> Callable[[datetime], datetime]:
    def at(now: datetime) -> datetime:
        day = timezone.localtime(now).date() + timedelta(days=days(timezone.localtime(now)))
        return timezone.make_aware(datetime.combine(day, MORNING))

    return at


SNOOZES: Mapping[str, tuple[str | Promise, Callable[[datetime], datetime]]] = {
    "hour": (gettext_lazy("for an hour"), _later(hours=1)),
    "hours": (gettext_lazy("for four hours"), _later(hours=4)),
    "tomorrow": (gettext_lazy("until tomorrow, 9:00"), _morning(lambda now: 1)),
    "monday": (gettext_lazy("until Monday, 9:00"), _morning(lambda now: 7 - now.weekday())),
}


class SnoozeForm(forms.Form):
    until = forms.ChoiceField(choices=[(name, words) for name, (words, _at) in SNOOZES.items()])

    @property
    def moment(self) -> datetime:
        return SNOOZES[self.cleaned_data["until"]][1](timezone.now())


def people() -> QuerySet[Any]:
    """To whom a conversation can be given."""
    return get_user_model().objects.filter(is_active=True).only("username").order_by("username")[:PEOPLE]
