"""What is typed about people and lists, and what is asked before something is done with many of them."""

from __future__ import annotations

import zoneinfo
from collections.abc import Mapping
from typing import Any

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.http import QueryDict
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from providers.models import ProviderAccount
from providers.sentences import Sentences

from . import fields, lists
from .models import Contact, ContactList
from .numbers import NumberError, parse_number

BLANK = 3  # empty rows for further fields


class NumberField(forms.CharField):
    """A number in any spelling, as E.164."""

    def clean(self, value: Any) -> Any:
        try:
            return parse_number(super().clean(value), settings.SMSDASH_DEFAULT_REGION).number
        except NumberError as error:
            raise ValidationError(str(error)) from error


class PersonForm(Sentences, forms.ModelForm):  # type: ignore[type-arg]  # Django's is not subscriptable
    """A contact with its free fields, which come as pairs of ``key`` and ``value``."""

    number = NumberField(
        label=gettext_lazy("Number"),
        max_length=40,
        widget=forms.TextInput({"inputmode": "tel"}),
        error_messages={
            "unique": gettext_lazy("There is a contact with this number. Search for it, and change it there.")
        },
    )
    zone = forms.ChoiceField(label=gettext_lazy("Time zone"), required=False)

    class Meta:
        model = Contact
        fields = ["number", "name", "language", "zone"]

    def __init__(self, data: QueryDict | None = None, **kwargs: Any) -> None:
        super().__init__(data, **kwargs)
        zones = sorted(zoneinfo.available_timezones())
        self.fields["zone"].choices = [("", _("That of the number's country")), *((z, z) for z in zones)]  # type: ignore[attr-defined]
        self.fields["language"].help_text = _("As et or pt-BR.")
        self.pairs = list(self.instance.fields.items()) if data is None else _pairs(data)
        self.pair_errors: list[str] = []

    @property
    def rows(self) -> list[tuple[str, str]]:
        return [*self.pairs, *[("", "")] * BLANK]

    def clean_language(self) -> str:
        language: str = self.cleaned_data["language"].strip()
        if language and not language.replace("-", "").isalnum():
            raise ValidationError(_("Write a language as et or pt-BR."))
        return language

    def clean(self) -> dict[str, Any]:
        found: dict[str, str] = {}
        for key, value in self.pairs[: fields.MOST]:
            try:
                found[fields.clean_name(key)] = fields.clean_value(value)
            except ValueError as error:
                self.pair_errors.append(str(error))
        if self.pair_errors:
            raise ValidationError(_("Some of the further fields cannot be kept. See below."))
        self.instance.fields = found
        return super().clean() or self.cleaned_data


def _pairs(data: QueryDict) -> list[tuple[str, str]]:
    """Those with a name; emptied names are fields that go away."""
    typed = zip(data.getlist("key"), data.getlist("value"), strict=False)
    return [(key.strip(), value) for key, value in typed if key.strip()]


class MemberForm(Sentences, forms.Form):
    """Somebody for a list. Who is known already stays as they are."""

    number = NumberField(label=gettext_lazy("Number"), max_length=40, widget=forms.TextInput({"inputmode": "tel"}))
    name = forms.CharField(label=gettext_lazy("Name"), max_length=100, required=False)
    resubscribe = forms.BooleanField(
        label=gettext_lazy("Subscribe again if they unsubscribed from this list"), required=False
    )


class ListForm(Sentences, forms.ModelForm):  # type: ignore[type-arg]  # Django's is not subscriptable
    class Meta:
        model = ContactList
        fields = ["name", "description"]

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if ContactList.objects.filter(name=name).exclude(pk=self.instance.pk).exists():
            raise ValidationError(_("There is a list of that name. Choose another name."))
        return name


class LinkForm(forms.Form):
    """The list's twin at a provider."""

    account = forms.ModelChoiceField(
        ProviderAccount.objects.none(),
        label=gettext_lazy("Provider account"),
        required=False,
        empty_label=gettext_lazy("None: the list lives here alone"),
    )
    remote_id = forms.CharField(label=gettext_lazy("List ID at the provider"), max_length=100, required=False)
    members = forms.BooleanField(
        label=gettext_lazy("Also tell the provider of everybody who is subscribed by now"), required=False
    )  # fmt: skip

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices = ProviderAccount.objects.defer("credentials").filter(kind__in=lists.accounts())
        self.fields["account"].queryset = choices  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        if self.cleaned_data.get("account") and not self.cleaned_data.get("remote_id"):
            self.add_error("remote_id", _("Which list is it there? Copy its ID from the provider's pages."))
        return self.cleaned_data


# --- Before something is done with many ----------------------------------------------------------------


class Ask(Sentences, forms.Form):
    """``values``: what the answers mean to changes.py, as JSON has it."""

    title: str | Promise = ""
    text: str | Promise = ""
    button: str | Promise = ""
    danger = False

    @property
    def values(self) -> dict[str, Any]:
        return {"reason": self.cleaned_data.get("reason", "")}


def _reason(label: Any = None, **kwargs: Any) -> forms.CharField:
    return forms.CharField(label=label or gettext_lazy("Reason"), max_length=200, **kwargs)


class Subscribe(Ask):
    title = gettext_lazy("Subscribe these people again?")
    text = gettext_lazy("Who opted out of everything is left as they are: only they can undo that.")
    button = gettext_lazy("Subscribe")

    reason = _reason(gettext_lazy("How did they agree?"), required=False)


class Unsubscribe(Ask):
    title = gettext_lazy("Unsubscribe these people from this list?")
    text = gettext_lazy("They stay on the list, and nobody writes to them through it.")
    button = gettext_lazy("Unsubscribe")

    reason = _reason(required=False)


class Remove(Ask):
    title = gettext_lazy("Take these people off the list?")
    text = gettext_lazy("They stay contacts. For ten minutes this can be undone.")
    button = gettext_lazy("Take off the list")


class Add(Ask):
    title = gettext_lazy("Add these people to a list?")
    text = gettext_lazy("Who is on it already stays as they are there.")
    button = gettext_lazy("Add to the list")

    list = forms.ModelChoiceField(ContactList.objects.all(), label=gettext_lazy("List"), empty_label=None)

    @property
    def values(self) -> dict[str, Any]:
        return {"list": self.cleaned_data["list"].pk}


class OptOut(Ask):
    title = gettext_lazy("Opt these people out of everything?")
    text = gettext_lazy("Nobody writes to them any more, whatever list they are on.")
    button = gettext_lazy("Opt out")
    danger = True

    reason = _reason(required=False)


class OptIn(Ask):
    title = gettext_lazy("Write to these people again?")
    text = gettext_lazy("Do this only if they asked for it. What you write here is kept in their history.")
    button = gettext_lazy("Opt in")

    reason = _reason(
        gettext_lazy("How and when did they ask?"),
        error_messages={"required": gettext_lazy("Write how and when they asked for it.")},
    )


class Delete(Ask):
    title = gettext_lazy("Delete these people?")
    text = gettext_lazy(
        "Their names, fields, places on lists and history are gone for good. Messages stay in the log. Of those who "
        "opted out the number is kept, so that nobody writes to them again."
    )
    button = gettext_lazy("Delete for good")
    danger = True


FORMS: Mapping[str, type[Ask]] = {
    "subscribe": Subscribe,
    "unsubscribe": Unsubscribe,
    "remove": Remove,
    "add": Add,
    "opt_out": OptOut,
    "opt_in": OptIn,
    "delete": Delete,
}
