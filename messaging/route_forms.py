"""The form of a route: its name, how it chooses, and a row for each of its accounts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from providers import registry
from providers.models import ProviderAccount

from .models import Route, RouteMember

PREFIX = "members"
MORE = 3  # empty rows that are offered
MOST = 50  # accounts on a route
HEAVIEST = 1_000
BEGINNING = re.compile(r"\+[1-9][0-9]{0,14}")


class RouteForm(forms.ModelForm):  # type: ignore[type-arg]  # Django's is not subscriptable
    class Meta:
        model = Route
        fields = ["name", "strategy"]
        error_messages = {
            "name": {
                "required": gettext_lazy("Give the route a name."),
                "unique": gettext_lazy("There is a route of this name. Choose another one."),
            }
        }


class PrefixesField(forms.CharField):
    """``+44, +353`` as the beginnings of E.164 numbers with a space between, each once."""

    def to_python(self, value: Any) -> str:
        found = dict.fromkeys((super().to_python(value) or "").replace(",", " ").split())
        for prefix in found:
            if not BEGINNING.fullmatch(prefix):
                raise ValidationError(
                    _("“%(prefix)s” is not how a number begins. Write a plus sign and digits, as +44 or +4477."),
                    params={"prefix": prefix[:20]},
                )
        return " ".join(found)


def _whole(label: Any, most: int, sentence: Any) -> forms.IntegerField:
    wrong = dict.fromkeys(("required", "invalid", "min_value", "max_value"), sentence)
    return forms.IntegerField(label=label, min_value=1, max_value=most, initial=1, error_messages=wrong)


class MemberForm(forms.Form):
    """One account; a row without account counts for nothing."""

    account = forms.TypedChoiceField(label=gettext_lazy("Account"), coerce=int, empty_value=None, required=False)
    position = _whole(gettext_lazy("Place"), 1_000, gettext_lazy("The place is a number from 1 to 1000."))
    weight = _whole(gettext_lazy("Weight"), HEAVIEST, gettext_lazy("The weight is a number from 1 to 1000."))
    prefixes = PrefixesField(
        label=gettext_lazy("Prefixes"),
        required=False,
        max_length=300,
        widget=forms.TextInput(attrs={"placeholder": "+44 +353", "class": "mono", "inputmode": "tel"}),
    )

    def __init__(self, *args: Any, accounts: Mapping[int, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["account"].choices = [("", "–"), *accounts.items()]

    def clean(self) -> None:
        data = self.cleaned_data
        if data.get("prefixes") and not data.get("account") and "account" not in self.errors:
            self.add_error("account", _("Choose the account that is to have these numbers."))


class BaseMembers(forms.BaseFormSet):  # type: ignore[type-arg]
    deletion_widget = forms.CheckboxInput

    def add_fields(self, form: forms.Form, index: int | None) -> None:
        super().add_fields(form, index)
        form.fields["position"].initial = (index or 0) + 1
        if "DELETE" in form.fields:
            form.fields["DELETE"].label = _("Remove")

    def clean(self) -> None:
        chosen = [row["account"] for row in self.rows()]
        if not chosen and not any(self.errors):
            raise ValidationError(_("A route needs at least one account. Choose one."))
        for account in chosen:
            if chosen.count(account) > 1:
                name = self.form_kwargs["accounts"][account]
                raise ValidationError(
                    _("%(account)s is on the route twice. Remove one of its rows.") % {"account": name}
                )

    def rows(self) -> list[dict[str, Any]]:
        """What was filled in, in its order."""
        filled = [form.cleaned_data for form in self.forms if getattr(form, "cleaned_data", {}).get("account")]
        return sorted((row for row in filled if not row.get("DELETE")), key=lambda row: row.get("position") or 0)


def members(
    data: Any = None, route: Route | None = None, initial: list[dict[str, Any]] | None = None, extra: int = 1
) -> BaseMembers:
    """The rows of a route's form: as posted, as stored, or with ``initial`` in them; ``extra`` empty ones follow."""
    if initial is None:
        stored = route.members.order_by("position", "id") if route else RouteMember.objects.none()
        initial = [
            {"account": m.account_id, "position": place, "weight": m.weight, "prefixes": m.prefixes}
            for place, m in enumerate(stored, 1)
        ]
    factory = forms.formset_factory(
        MemberForm, formset=BaseMembers, extra=extra, can_delete=True, max_num=MOST, validate_max=True
    )
    return factory(data, prefix=PREFIX, initial=initial, form_kwargs={"accounts": _accounts()})


def with_more_rows(data: Mapping[str, Any]) -> tuple[RouteForm, BaseMembers]:
    """The posted form again, unchecked, with empty rows to fill in."""
    total = str(data.get(f"{PREFIX}-TOTAL_FORMS", ""))
    names = ("account", "position", "weight", "prefixes")
    posted = [
        {name: data.get(f"{PREFIX}-{index}-{name}", "") for name in names}
        for index in range(min(int(total), MOST) if total.isdecimal() else 0)
        if not data.get(f"{PREFIX}-{index}-DELETE")
    ]
    filled = [row for row in posted if row["account"] or row["prefixes"]]
    return RouteForm(initial={name: data.get(name, "") for name in RouteForm.Meta.fields}), members(
        initial=filled, extra=MORE
    )


def save(form: RouteForm, rows: BaseMembers) -> Route:
    """Keep a valid form; the accounts of the route are then those of its rows."""
    with transaction.atomic():
        route: Route = form.save()
        route.members.all().delete()
        RouteMember.objects.bulk_create(
            RouteMember(
                route=route,
                account_id=row["account"],
                position=place,
                weight=row["weight"],
                prefixes=row["prefixes"],
            )
            for place, row in enumerate(rows.rows(), 1)
        )
    return route


def _accounts() -> dict[int, str]:
    found = ProviderAccount.objects.defer("credentials").filter(kind__in=registry.kinds())
    return {row.pk: row.name if row.enabled else _("%s (disabled)") % row.name for row in found}
