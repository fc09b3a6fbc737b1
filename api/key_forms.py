"""The form of an API key. Nobody gives a key more than they may do themselves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from django import forms
from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from messaging.models import Route
from providers import registry
from providers.forms import RatesField
from providers.models import ProviderAccount

from . import keys
from .models import ApiKey, Scope, networks

NEEDS: Mapping[str, str] = {
    Scope.SEND: "messaging.add_message",
    Scope.READ: "messaging.view_message",
    Scope.CONTACTS: "contacts.change_contact",
    Scope.USSD: "devices.add_ussdrequest",
    Scope.ADMIN: "api.change_apikey",
}
"""Scope to the permission that one must have to give it."""
MANAGE = "api.change_apikey"
FIRST, ROUTE = "first", "route:"


class NetworksField(forms.CharField):
    """Addresses and networks, on lines or with commas between, as a list."""

    def to_python(self, value: Any) -> Any:
        try:
            return networks((super().to_python(value) or "").replace(",", " ").split())
        except forms.ValidationError as error:
            raise forms.ValidationError(error.messages) from error

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value


class KeyForm(forms.ModelForm):  # type: ignore[type-arg]  # Django's is not subscriptable
    """``through``: ``first``, the id of an account, or ``route:ID``."""

    through = forms.ChoiceField(
        label=gettext_lazy("Sends through"),
        error_messages={"invalid_choice": gettext_lazy("This account or route is gone. Choose another one.")},
    )
    accounts = forms.MultipleChoiceField(
        label=gettext_lazy("Accounts that it may use"),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        error_messages={"invalid_choice": gettext_lazy("An account is gone. Choose anew.")},
    )
    scopes = forms.MultipleChoiceField(
        label=gettext_lazy("What it may do"),
        widget=forms.CheckboxSelectMultiple,
        error_messages={
            "required": gettext_lazy("Choose what the key may do."),
            "invalid_choice": gettext_lazy("You cannot let a key do what you may not do yourself."),
        },
    )
    rates = RatesField(label=gettext_lazy("Rate limits"), required=False)
    addresses = NetworksField(
        label=gettext_lazy("Only from these addresses"),
        required=False,
        widget=forms.Textarea(
            attrs={"rows": 2, "class": "mono", "spellcheck": "false", "placeholder": "203.0.113.0/24"}
        ),
        help_text=gettext_lazy("IP addresses or networks, one on a line. Empty: from anywhere."),
    )
    credits = forms.IntegerField(
        label=gettext_lazy("Budget"),
        required=False,
        min_value=0,
        max_value=10**15,
        show_hidden_initial=True,  # it falls while somebody looks at the form
        help_text=gettext_lazy("Parts of messages that it may still send. Empty: as many as it likes."),
    )

    class Meta:
        model = ApiKey
        fields = ["name", "owner", "scopes", "reads_all", "rates", "credits", "addresses", "expires_at"]
        widgets = {"expires_at": forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M")}
        help_texts = {
            "reads_all": gettext_lazy("Without it, it reads what it sent itself and what its accounts received."),
            "expires_at": gettext_lazy("It is refused from then on. Empty: never."),
        }
        error_messages = {"name": {"required": gettext_lazy("Give the key a name, such as the program that uses it.")}}

    def __init__(self, *args: Any, by: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.by, stored = by, self.instance.pk is not None
        self.fields["rates"].widget.attrs["placeholder"] = "100/minute, 5000/hour"
        self.fields["rates"].help_text = _("All hold at once, such as 10/second, 5000/hour. Empty: the usual limit.")
        self.fields["scopes"].choices = [
            (scope.value, scope.label)
            for scope in Scope
            if by.has_perm(NEEDS[scope]) or (stored and scope in self.instance.scopes)
        ]
        self.initial.setdefault("scopes", self.instance.scopes)
        if not (by.has_perm(NEEDS[Scope.READ]) or (stored and self.instance.reads_all)):
            del self.fields["reads_all"]
        self._offer_accounts(stored)
        if by.has_perm(MANAGE):
            self._offer_owners()
        else:
            del self.fields["owner"]

    def _offer_accounts(self, stored: bool) -> None:
        found = ProviderAccount.objects.filter(kind__in=registry.kinds()).only("name", "enabled")
        named = [(str(row.pk), row.name if row.enabled else _("%s (disabled)") % row.name) for row in found]
        routes = [(f"{ROUTE}{pk}", name) for pk, name in Route.objects.values_list("pk", "name")]
        groups = [(_("Routes"), routes)] if routes else []
        groups += [(_("Accounts"), named)] if named else []
        self.fields["through"].choices = [(FIRST, _("The first account that is switched on")), *groups]
        self.fields["accounts"].choices = named
        route = f"{ROUTE}{self.instance.route_id}" if self.instance.route_id else ""
        self.initial["through"] = route or str(self.instance.account_id or FIRST)
        chosen = self.instance.accounts.values_list("pk", flat=True) if stored else ()
        self.initial["accounts"] = [str(pk) for pk in chosen]

    def _offer_owners(self) -> None:
        known = {self.instance.owner_id} - {None}
        people = get_user_model().objects.filter(is_active=True) | get_user_model().objects.filter(pk__in=known)
        self.fields["owner"].queryset = people.order_by("username")
        self.fields["owner"].empty_label = _("Nobody")
        self.fields["owner"].help_text = _("It stops working when this person is no longer active.")

    def clean(self) -> dict[str, Any]:
        """``account`` and ``route`` are those of ``through`` then."""
        data: dict[str, Any] = super().clean() or self.cleaned_data
        through, allowed = data.get("through", FIRST), data.get("accounts") or []
        route = through.removeprefix(ROUTE) if through.startswith(ROUTE) else ""
        account = "" if route or through == FIRST else through
        self.instance.route_id, self.instance.account_id = int(route or 0) or None, int(account or 0) or None
        if account and allowed and account not in allowed:
            self.add_error("accounts", _("It sends through an account that it may not use. Check that one too."))
        return data

    def issue(self) -> tuple[str, str]:
        """Store a new key; the key and its secret."""
        if "owner" not in self.fields:
            self.instance.owner = self.by
        return keys.issue(self.instance, self._accounts())

    def save(self, commit: bool = True) -> ApiKey:
        """Only what was changed: at this moment the key may be used, spend its budget or be revoked."""
        changed = {*self.changed_data} - {"through", "accounts"}
        columns = changed | ({"account", "route"} if "through" in self.changed_data else set())
        with transaction.atomic():
            self.instance.save(update_fields=sorted(columns))
            if "accounts" in self.changed_data:
                self.instance.accounts.set(self._accounts())
        saved: ApiKey = self.instance
        return saved

    def _accounts(self) -> Iterable[ProviderAccount]:
        return ProviderAccount.objects.filter(pk__in=self.cleaned_data["accounts"]).only("pk")


class RotateForm(forms.Form):
    """``overlap`` is a timedelta once it is valid."""

    overlap = forms.TypedChoiceField(
        label=gettext_lazy("The key until now"),
        coerce=lambda seconds: timedelta(seconds=int(seconds)),
        choices=[
            (0, gettext_lazy("stops at once")),
            (3600, gettext_lazy("works for one more hour")),
            (86400, gettext_lazy("works for one more day")),
            (604800, gettext_lazy("works for seven more days")),
        ],
        initial=86400,
    )


def may_add(user: User) -> bool:
    return user.has_perm("api.add_apikey")


def may_see(user: User, row: ApiKey) -> bool:
    return user.has_perm("api.view_apikey") or may_change(user, row)


def may_change(user: User, row: ApiKey) -> bool:
    """All keys with the permission; without it those that one owns, if one may make keys."""
    return user.has_perm(MANAGE) or (may_add(user) and row.owner_id == user.pk)


def may_revoke(user: User, row: ApiKey) -> bool:
    return user.has_perm("api.delete_apikey") or (may_add(user) and row.owner_id == user.pk)
