"""The form in which a message is written."""

from __future__ import annotations

import uuid
import zoneinfo
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
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
from providers import hours as opening_hours
from providers import registry
from providers.models import ProviderAccount
from providers.types import Feature

from . import attachments, campaigns, merging, routes, segments
from .addressees import Addressees
from .campaigns import Draft
from .models import Route
from .phones import Phones

MOST_LINKS = 10
AHEAD = timedelta(days=366)
JUST_PAST = timedelta(minutes=2)  # the minute that was chosen is over by the time the form arrives
TIMES = ("due", "finish_by", "expires_at")
RARE = ("name", "hours", "by_recipient", "finish_by", "expires_at")  # folded away until they are used


def accounts() -> QuerySet[ProviderAccount]:
    """The accounts that can be chosen, those that send now first."""
    usable = ProviderAccount.objects.defer("credentials").filter(enabled=True, kind__in=registry.kinds())
    return usable.order_by(F("paused_at").asc(nulls_first=True), "name")


def recipients(pasted: str, account: ProviderAccount | None) -> Recipients:
    """Who gets a message through the account."""
    short_codes = account is not None and account.can(Feature.DEVICES)
    return choose(pasted, settings.SMSDASH_DEFAULT_REGION, short_codes=short_codes)


def _label(account: ProviderAccount) -> str:
    return _("%(name)s (paused)") % {"name": account.name} if account.paused_reason else account.name


def _carriers(route: Route) -> list[ProviderAccount]:
    return [m.account for m in routes.members(route) if m.account.enabled and routes.able(m.account)]


class CheckedField(forms.CharField):
    """A text whose absence is judged with the whole draft (``campaigns.check``)."""

    def validate(self, value: str) -> None:
        return


def _moment(**values: Any) -> forms.CharField:
    return forms.CharField(required=False, widget=forms.DateTimeInput(attrs={"type": "datetime-local"}), **values)


class Compose(Phones, Addressees):
    """``draft`` and ``recipients`` are there once it is valid. ``leave_out`` is the number of those that are left.

    ``account`` takes the id of an account, or ``route:ID``; ``cleaned_data["route"]`` is then that route, and
    ``cleaned_data["account"]`` one of its accounts. All times, and the hours, are by the clock of ``zone``.
    """

    token = forms.UUIDField(widget=forms.HiddenInput)
    account = forms.ChoiceField(
        label=gettext_lazy("Send through"),
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
        max_length=segments.LONGEST,
        widget=forms.Textarea(attrs={"rows": 5, "data-counter": "#counter"}),
        help_text=gettext_lazy("{name} is each person’s name, {name|friend} “friend” for those without one."),
    )
    attachments = forms.CharField(
        label=gettext_lazy("Attachments"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 2, "inputmode": "url", "spellcheck": "false"}),
        help_text=gettext_lazy(
            "Links to pictures, sounds or films, one on a line. With one, the message goes out as an MMS, as soon as "
            "what stands behind it has been checked."
        ),
    )
    due = _moment(label=gettext_lazy("Send later"))
    zone = forms.CharField(label=gettext_lazy("Time zone"), required=False)
    priority = forms.BooleanField(
        label=gettext_lazy("Priority: goes ahead of everything else that waits"), required=False
    )

    name = forms.CharField(
        label=gettext_lazy("Name of the campaign"),
        required=False,
        max_length=100,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
        help_text=gettext_lazy("By which you find it again. Without one it is called by its text."),
    )
    hours = forms.CharField(
        label=gettext_lazy("Sending hours"),
        required=False,
        max_length=opening_hours.LONGEST,
        widget=forms.TextInput(attrs={"placeholder": opening_hours.EXAMPLE, "autocomplete": "off"}),
        help_text=gettext_lazy("By the clock of the time zone above. Outside of them only priority messages go out."),
    )
    by_recipient = forms.BooleanField(
        label=gettext_lazy("By the clock where each recipient’s number is from"), required=False
    )
    finish_by = _moment(
        label=gettext_lazy("Finish by"),
        help_text=gettext_lazy("When the last message should have left, through whichever account."),
    )
    expires_at = _moment(
        label=gettext_lazy("Do not send after"),
        help_text=gettext_lazy("What has not left by then does not go any more."),
    )

    def __init__(self, *args: Any, user: Any = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.offer_lists(user)
        self.accounts = {str(account.pk): account for account in accounts()}
        self.routes = {f"route:{route.pk}": route for route in routes.options() if _carriers(route)}
        self.fields["account"].choices = self._through()
        self.fields["text"].widget.attrs.pop("maxlength", None)  # the browser would cut what is pasted
        self.add_phone_lists(self.accounts.values())
        if not self.routes:
            del self.fields["finish_by"]
        self.initial.setdefault("token", uuid.uuid4())
        self.initial.setdefault("zone", timezone.get_current_timezone_name())

    def _through(self) -> list[Any]:
        named = [(value, _label(account)) for value, account in self.accounts.items()]
        if not self.routes:
            return named
        return [(_("Accounts"), named), (_("Routes"), [(value, route.name) for value, route in self.routes.items()])]

    @property
    def rare(self) -> bool:
        """Is any of the rarely used fields in use, or wrong?"""
        return any(self[name].value() or self[name].errors for name in RARE if name in self.fields)

    @cached_property
    def recipients(self) -> Recipients:
        through = None if self.cleaned_data.get("route") else self.cleaned_data.get("account")
        return recipients(self.cleaned_data.get("numbers", ""), through)

    def clean_account(self) -> ProviderAccount:
        chosen = self.cleaned_data["account"]
        self.cleaned_data["route"] = route = self.routes.get(chosen)
        return routes.first(route) if route else self.accounts[chosen]

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

    def clean_hours(self) -> str:
        try:
            return str(opening_hours.parse(self.cleaned_data["hours"]))
        except ValueError as error:
            raise forms.ValidationError(str(error)) from error

    def clean(self) -> None:
        if "token" not in self.cleaned_data:
            self.again()
            self.add_error(None, _("The form was damaged on its way. Look through it and send it again."))
        if "numbers" in self.cleaned_data:
            self._check_recipients()
            self._attempt("text", self._read_text)
        self._check_times()
        if self.cleaned_data["by_recipient"] and not self.cleaned_data.get("hours", "?"):
            sentence = _("Say which hours they are. Write them as %(example)s.") % {"example": opening_hours.EXAMPLE}
            self.add_error("hours", sentence)
        if self.cleaned_data.get("account"):
            self._check_phones()
            self._check_draft()

    def _check_recipients(self) -> None:
        found = self.recipients
        if found.rejected and self.cleaned_data.get("leave_out") != str(len(found.kept)):
            self.add_error("numbers", _rejected(found))
        elif self.chosen_lists and not self.reach.kept:
            self.add_error("lists", _("Nobody is left: there is nobody on these lists who can be written to."))
        elif not self.chosen_lists and not found.kept and found.opted_out:
            self.add_error("numbers", _("Nobody is left: everyone in the list opted out."))

    def _read_text(self) -> None:
        """With merge fields it stays as it was typed; without, doubled braces are braces from here on."""
        text = self.cleaned_data.get("text", "")
        self.check_fields(text)
        self.cleaned_data["merges"] = bool(merging.fields_of(text))
        if not self.cleaned_data["merges"]:
            self.cleaned_data["text"] = merging.render(text, {})

    def _check_times(self) -> None:
        data, now = self.cleaned_data, timezone.now()
        for name in TIMES:
            self._attempt(name, self._read_time, name)
        start = max(data.get("due") or now, now)
        for name in ("finish_by", "expires_at"):
            if data.get(name) and data[name] <= start:
                self.add_error(name, _("This is not after the time at which sending begins. Choose a later one."))
        if data.get("finish_by") and data.get("account") and not data["route"]:
            self.add_error(
                "finish_by", _("Only a route can be told when to finish. Send through one, or leave this empty.")
            )
        if data.get("expires_at") and data.get("hours") and not data["by_recipient"]:
            opens = opening_hours.parse(data["hours"]).opening(start, data["zone"])
            if opens >= data["expires_at"]:
                self.add_error("expires_at", _("There are no sending hours before then. Choose a later time."))

    def _read_time(self, name: str) -> None:
        """Without a zone, of which is told, a time means nothing."""
        typed, zone = self.cleaned_data.get(name), self.cleaned_data.get("zone")
        self.cleaned_data[name] = local_time(typed, zone) if typed and zone else None

    def _check_phones(self) -> None:
        self.cleaned_data["devices"] = {}
        if not self.cleaned_data["route"] and not self.phones_wrong:
            self._attempt("phones", self._read_phones)

    def _read_phones(self) -> None:
        self.cleaned_data["devices"] = self.read_phones(self.cleaned_data["account"])

    def _attempt(self, field: str, act: Callable[..., None], *args: Any) -> None:
        try:
            act(*args)
        except ValueError as error:
            self.add_error(field, str(error))

    def _check_draft(self) -> None:
        """Through a route, it is enough when one of its accounts can send it."""
        draft, route = self.draft(), self.cleaned_data["route"]
        through = _carriers(route) if route else [draft.account]
        against = [campaigns.check(replace(draft, account=account)) for account in through]
        if all(against):
            for name, sentence in against[0].items():
                if name not in self.errors:
                    self.add_error(name, sentence)

    def draft(self, user: Any = None) -> Draft:
        data = self.cleaned_data
        due, hours = data.get("due"), data.get("hours", "")
        return Draft(
            account=data["account"],
            numbers=self.recipients.kept,
            text=data.get("text", ""),
            sender=data.get("sender", ""),
            attachments=data.get("attachments", ()),
            due_at=due if due and due > timezone.now() else None,
            priority=int(data["priority"]),
            name=data.get("name", ""),
            route=data["route"],
            zone=data["zone"].key if "zone" in data and (due or hours) else "",
            hours=hours,
            by_recipient=data["by_recipient"] and bool(hours),
            finish_by=data.get("finish_by"),
            expires_at=data.get("expires_at"),
            devices=data.get("devices", {}),
            token=data.get("token") or uuid.uuid4(),
            user=user,
            lists=self.chosen_lists,
            merges=data.get("merges", False),
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
    if wrong := attachments.plainly_wrong(link):
        raise forms.ValidationError(wrong)


# --- Times -------------------------------------------------------------------------------------------


def local_time(text: str, zone: zoneinfo.ZoneInfo) -> datetime:
    """The moment that a clock in ``zone`` shows as ``2026-03-29T03:30``. Raises ValueError with a sentence."""
    moment = on_the_clock(text, zone)
    now = timezone.now()
    if moment < now - JUST_PAST:
        raise ValueError(_("This time is over. Choose a later one, or leave it empty."))
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
