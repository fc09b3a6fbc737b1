"""The form in which a message is written."""

from __future__ import annotations

import uuid
import zoneinfo
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from django import forms
from django.conf import settings
from django.core.validators import URLValidator
from django.db.models import F, QuerySet
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.text import normalize_newlines
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from contacts.recipients import Recipients, choose
from providers import registry
from providers.models import ProviderAccount
from providers.types import Feature

from . import campaigns
from .campaigns import Draft

LONGEST = 10_000  # characters; a phone puts at most 255 parts together
MOST_LINKS = 10
AHEAD = timedelta(days=366)
JUST_PAST = timedelta(minutes=2)  # the minute that was chosen is over by the time the form arrives


def accounts() -> QuerySet[ProviderAccount]:
    """The accounts that can be chosen, those that send now first."""
    usable = ProviderAccount.objects.defer("credentials").filter(enabled=True, kind__in=registry.kinds())
    return usable.order_by(F("paused_at").asc(nulls_first=True), "name")


def recipients(pasted: str, account: ProviderAccount | None) -> Recipients:
    """Who gets a message through the account."""
    short_codes = account is not None and account.can(Feature.DEVICES)
    return choose(pasted, settings.SMSDASH_DEFAULT_REGION, short_codes=short_codes)


@cache
def zones() -> list[str]:
    named = (name for name in zoneinfo.available_timezones() if "/" in name and not name.startswith("Etc/"))
    return ["UTC", *sorted(named)]


def _label(account: ProviderAccount) -> str:
    return _("%(name)s (paused)") % {"name": account.name} if account.paused_reason else account.name


class CheckedField(forms.CharField):
    """A text whose absence is judged with the whole draft (``campaigns.check``)."""

    def validate(self, value: str) -> None:
        return


class Compose(forms.Form):
    """``draft`` and ``recipients`` are there once it is valid. ``leave_out`` is the number of those that are left."""

    token = forms.UUIDField(widget=forms.HiddenInput)
    account = forms.ModelChoiceField(
        None,
        label=gettext_lazy("Send through"),
        empty_label=None,
        error_messages={
            "required": gettext_lazy("Choose the account to send through."),
            "invalid_choice": gettext_lazy("This account is gone or switched off. Choose another one."),
        },
    )
    numbers = CheckedField(
        label=gettext_lazy("Recipients"),
        widget=forms.Textarea(attrs={"rows": 3, "autocomplete": "off", "spellcheck": "false", "class": "mono"}),
        help_text=gettext_lazy("Phone numbers in any format, on lines or with commas between."),
    )
    leave_out = forms.CharField(required=False)
    sender = forms.CharField(label=gettext_lazy("Sender ID"), required=False, max_length=20)
    text = CheckedField(
        label=gettext_lazy("Message"),
        strip=False,
        max_length=LONGEST,
        widget=forms.Textarea(attrs={"rows": 5, "data-counter": "#counter"}),
    )
    attachments = forms.CharField(
        label=gettext_lazy("Attachments"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 2, "inputmode": "url", "spellcheck": "false"}),
        help_text=gettext_lazy("Links to pictures, one on a line. With one, the message goes out as an MMS."),
    )
    due = forms.CharField(
        label=gettext_lazy("Send later"), required=False, widget=forms.DateTimeInput(attrs={"type": "datetime-local"})
    )
    zone = forms.CharField(label=gettext_lazy("Time zone"), required=False)
    priority = forms.BooleanField(
        label=gettext_lazy("Priority: goes ahead of everything else that waits"), required=False
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.accounts = list(accounts())
        self.fields["account"].queryset = accounts()
        self.fields["account"].choices = [(account.pk, _label(account)) for account in self.accounts]
        self.fields["text"].widget.attrs.pop("maxlength", None)  # the browser would cut what is pasted
        self.initial.setdefault("token", uuid.uuid4())
        self.initial.setdefault("zone", timezone.get_current_timezone_name())

    @cached_property
    def recipients(self) -> Recipients:
        return recipients(self.cleaned_data.get("numbers", ""), self.cleaned_data.get("account"))

    def clean_text(self) -> str:
        return normalize_newlines(self.cleaned_data["text"])

    def clean_attachments(self) -> list[str]:
        links = self.cleaned_data["attachments"].split()
        if len(links) > MOST_LINKS:
            raise forms.ValidationError(_("At most %(n)d links fit in one message.") % {"n": MOST_LINKS})
        for link in links:
            _check_link(link)
        return links

    def clean_zone(self) -> zoneinfo.ZoneInfo:
        name = self.cleaned_data["zone"] or timezone.get_current_timezone_name()
        if name not in zoneinfo.available_timezones():
            raise forms.ValidationError(_("There is no such time zone."))
        return zoneinfo.ZoneInfo(name)

    def clean(self) -> None:
        if "token" not in self.cleaned_data:
            self.again()
            self.add_error(None, _("The form was damaged on its way. Look through it and send it again."))
        if "numbers" in self.cleaned_data:
            self._check_recipients()
        if self.cleaned_data.get("due") and "zone" in self.cleaned_data:
            self._check_due()
        if self.cleaned_data.get("account"):
            self._check_draft()

    def _check_recipients(self) -> None:
        found = self.recipients
        if found.rejected and self.cleaned_data.get("leave_out") != str(len(found.kept)):
            self.add_error("numbers", _rejected(found))
        elif not found.kept and found.opted_out:
            self.add_error("numbers", _("Nobody is left: everyone in the list opted out."))

    def _check_due(self) -> None:
        try:
            self.cleaned_data["due"] = local_time(self.cleaned_data["due"], self.cleaned_data["zone"])
        except ValueError as error:
            self.add_error("due", str(error))

    def _check_draft(self) -> None:
        for name, sentence in campaigns.check(self.draft()).items():
            if name not in self.errors:
                self.add_error(name, sentence)

    def draft(self, user: Any = None) -> Draft:
        data = self.cleaned_data
        due = data.get("due")
        return Draft(
            account=data["account"],
            numbers=self.recipients.kept,
            text=data.get("text", ""),
            sender=data.get("sender", ""),
            attachments=data.get("attachments", ()),
            due_at=due if isinstance(due, datetime) and due > timezone.now() else None,
            priority=int(data["priority"]),
            token=data.get("token") or uuid.uuid4(),
            user=user,
        )

    def again(self) -> None:
        """Give the form, with everything that was typed, a token of its own: it can be sent as another message."""
        self.data = self.data.copy()
        self.data["token"] = str(uuid.uuid4())


def _rejected(found: Recipients) -> str:
    first = found.rejected[0]
    values = {"line": first.line, "text": first.text[:60], "why": first.sentence, "n": len(found.rejected) - 1}
    if values["n"]:
        return _("Line %(line)d, “%(text)s”: %(why)s And %(n)d more, listed below.") % values
    return _("Line %(line)d, “%(text)s”: %(why)s") % values


_is_link = URLValidator(schemes=("http", "https"))


def _check_link(link: str) -> None:
    try:
        _is_link(link)
    except forms.ValidationError as error:
        raise forms.ValidationError(
            _("“%(link)s” is not a link. Write the whole address, as https://example.com/picture.jpg.")
            % {"link": link[:80]}
        ) from error


# --- Times -------------------------------------------------------------------------------------------


def local_time(text: str, zone: zoneinfo.ZoneInfo) -> datetime:
    """The moment that a clock in ``zone`` shows as ``2026-03-29T03:30``. Raises ValueError with a sentence."""
    moment = on_the_clock(text, zone)
    now = timezone.now()
    if moment < now - JUST_PAST:
        raise ValueError(_("This time is over. Choose a later one, or leave it empty to send now."))
    if moment > now + AHEAD:
        raise ValueError(_("This is more than a year ahead. Check the year."))
    return moment


def on_the_clock(text: str, zone: zoneinfo.ZoneInfo) -> datetime:
    try:
        shown = datetime.fromisoformat(text.strip())
    except ValueError:
        shown = None
    if shown is None or shown.tzinfo or not 1970 < shown.year < 3000:
        raise ValueError(_("This is not a date and time. Write it as 2026-12-31 18:30."))
    first, second = (shown.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    values = {"time": f"{shown:%Y-%m-%d %H:%M}", "zone": zone.key}
    if first.astimezone(zone).replace(tzinfo=None) != shown:
        values["instead"] = f"{first.astimezone(zone):%H:%M}"
        raise ValueError(
            _("There is no %(time)s in %(zone)s: the clocks go forward over it. %(instead)s is the same moment.")
            % values
        )
    if first != second:
        values |= {"first": f"{first:%Y-%m-%d %H:%M}", "second": f"{second:%Y-%m-%d %H:%M}"}
        raise ValueError(
            _(
                "The clocks in %(zone)s show %(time)s twice: they go back. Choose the time zone UTC, and there "
                "%(first)s for the first or %(second)s for the second."
            )
            % values
        )
    return first
