"""The account form: fields drawn from the kind, secrets write-only, refusals that say what to do."""

from __future__ import annotations

from typing import Any, cast
from urllib.parse import urlsplit

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from . import hours
from .base import Adapter
from .models import ProviderAccount
from .sentences import Sentences
from .types import Feature, Field, Rate

PREFIX = "credential_"


def _host(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.lower()}" if parts.netloc else ""


class RatesField(forms.CharField):
    """``100/minute, 5000/hour`` as a list of rates; one for each length of time."""

    def to_python(self, value: Any) -> Any:
        parts = [part for part in (super().to_python(value) or "").replace(";", ",").split(",") if part.strip()]
        try:
            rates = [Rate.parse(part) for part in parts]
        except ValueError as error:
            raise ValidationError(str(error)) from error
        if len({rate.seconds for rate in rates}) < len(rates):
            raise ValidationError(_("Give one limit for each length of time."))
        return [str(rate) for rate in rates]

    def prepare_value(self, value: Any) -> Any:
        return ", ".join(value) if isinstance(value, list) else value


class CredentialField(forms.CharField):
    """``stored``: there is a value already, and typing none keeps it."""

    stored = False


class AccountForm(Sentences, forms.ModelForm):  # type: ignore[type-arg]  # Django's is not subscriptable
    """``locked``: the stored credentials cannot be read, so they all have to be entered again."""

    base_url = forms.URLField(label=gettext_lazy("Base URL"), max_length=300, assume_scheme="https")
    rates = RatesField(label=gettext_lazy("Rate limits"), required=False)
    zone = forms.ChoiceField(label=gettext_lazy("Time zone"), required=False)

    class Meta:
        model = ProviderAccount
        fields = ["name", "base_url", "sender", "rates", "hours", "zone"]
        error_messages = {"name": {"unique": gettext_lazy("There is an account of that name. Choose another name.")}}

    def __init__(self, *args: Any, kind: type[Adapter], locked: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.kind, self.locked = kind, locked
        self.instance.kind = kind.kind
        self.fields["base_url"].widget.attrs["placeholder"] = kind.base_url_example
        self.fields["base_url"].help_text = self._base_url_help()
        self._set_up_rates()
        self._set_up_hours()
        if Feature.SENDER_ID in kind.supports:
            self.fields["sender"].help_text = _("Used where a message names no other. Empty: the provider's default.")
        else:
            del self.fields["sender"]
        for credential in kind.fields:
            self.fields[PREFIX + credential.name] = self._credential(credential)
        self.order_fields(["name", "base_url", *(PREFIX + credential.name for credential in kind.fields)])

    def _base_url_help(self) -> str:
        if not self.kind.base_url_ends:
            return _("Everything before the paths in the provider's documentation.")
        return _("It ends in %s.") % self.kind.base_url_ends

    def _set_up_rates(self) -> None:
        published = ", ".join(map(str, self.kind.rates))
        field = self.fields["rates"]
        field.widget.attrs["placeholder"] = published or "100/minute, 5000/hour"
        field.help_text = (
            _("Empty: the published limits, %s.") % published
            if published
            else _("Such as 100/minute, 5000/hour. All hold at once; empty: no limit.")
        )

    def _set_up_hours(self) -> None:
        self.fields["hours"].widget.attrs["placeholder"] = hours.EXAMPLE
        self.fields["hours"].help_text = _(
            "Such as Mon-Fri 08:00-20:00. Outside of them its messages wait; empty: always."
        )
        servers = _("The server's, %s") % timezone.get_default_timezone_name()
        names = dict.fromkeys(filter(None, (self.instance.zone, *hours.zones())))
        cast(forms.ChoiceField, self.fields["zone"]).choices = [("", servers), *((name, name) for name in names)]
        self.fields["zone"].help_text = _("The sending hours are meant by its clock.")

    def _credential(self, credential: Field) -> CredentialField:
        widget = forms.PasswordInput(attrs={"autocomplete": "off"}) if credential.secret else forms.TextInput()
        field = CredentialField(label=credential.label, required=credential.required, max_length=500, widget=widget)
        field.help_text = credential.help
        field.widget.attrs |= {"spellcheck": "false", "autocapitalize": "none"}
        stored = self._stored(credential.name)
        if not credential.secret:
            field.initial = stored or credential.default
        elif stored:
            field.required, field.stored = False, True
            field.widget.attrs["placeholder"] = f"•••• {self.instance.hints.get(credential.name, '')}".strip()
            field.help_text = " ".join((credential.help, _("Leave empty to keep the stored one."))).strip()
        return field

    def _stored(self, name: str) -> str:
        return "" if self.locked or not self.instance.pk else self.instance.credentials.get(name, "")

    def clean_base_url(self) -> str:
        url: str = self.cleaned_data["base_url"].rstrip("/")
        end = self.kind.base_url_ends
        if url.endswith(end):
            return url
        before, found, _rest = url.partition(end)
        raise ValidationError(
            _("The base URL of %(kind)s ends in %(end)s. Did you mean %(url)s?"),
            params={"kind": self.kind.label, "end": end, "url": before + end if found else url + end},
        )

    def clean(self) -> dict[str, Any]:
        """What is stored is sent to the host that it was typed for, and to no other."""
        data: dict[str, Any] = super().clean() or self.cleaned_data
        if _host(data.get("base_url", "")) not in ("", _host(self.initial.get("base_url", ""))):
            for name in (PREFIX + credential.name for credential in self.kind.fields if credential.required):
                if getattr(self.fields[name], "stored", False) and not data.get(name):
                    self.add_error(name, _("The base URL names another host. Type this again if it is meant for it."))
        return data

    def save(self, commit: bool = True) -> ProviderAccount:
        if self.locked:
            self.instance.credentials = {}
        names = (credential.name for credential in self.kind.fields)
        self.instance.set_credentials({name: self.cleaned_data[PREFIX + name] for name in names})
        saved: ProviderAccount = self.instance
        if not commit or not saved.pk:
            return cast(ProviderAccount, super().save(commit))
        # only these: a worker may pause the account at this moment
        saved.save(update_fields=[*self.Meta.fields, "credentials", "hints", "updated_at"])
        return saved

    @property
    def credential_fields(self) -> list[forms.BoundField]:
        return [self[PREFIX + credential.name] for credential in self.kind.fields]
