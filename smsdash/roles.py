"""The built-in roles: groups that are there from the first start, with all that the pages ask for.

A group belongs to the administrators once it is made. A later version adds the permissions that it brings, and nothing
else: what was taken away, renamed or deleted stays so. A new permission needs one more name in one of the sets below,
and tests/test_roles.py does not let it be forgotten.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib.auth.models import Group, Permission
from django.db import transaction
from django.db.models import Q

from .models import Role

SEES = {
    "messaging.view_message", "messaging.view_campaign", "messaging.view_conversation", "messaging.view_template",
    "messaging.view_autoreply", "messaging.view_route", "messaging.view_deliveryreport",
    "contacts.view_contact", "contacts.view_import",
    "devices.view_device", "devices.view_ussdrequest", "devices.view_savedcode", "devices.view_ussdschedule",
    "providers.view_provideraccount",
}  # fmt: skip
OPERATES = {
    "messaging.add_message", "messaging.change_message", "messaging.change_campaign", "messaging.change_conversation",
    "messaging.add_template", "messaging.change_template", "messaging.delete_template", "messaging.change_posted",
    "contacts.add_contact", "contacts.change_contact", "contacts.delete_contact",
    "contacts.add_contactlist", "contacts.change_contactlist", "contacts.delete_contactlist",
    "contacts.add_import", "contacts.change_import",
    "devices.change_device", "devices.add_ussdrequest",
    "devices.add_savedcode", "devices.change_savedcode", "devices.delete_savedcode",
    "devices.add_ussdschedule", "devices.change_ussdschedule", "devices.delete_ussdschedule",
}  # fmt: skip
MANAGES = {
    "messaging.add_route", "messaging.change_route", "messaging.delete_route",
    "messaging.add_autoreply", "messaging.change_autoreply", "messaging.delete_autoreply",
    "devices.change_sim", "devices.dial_dangerous_ussd",
    "providers.add_provideraccount", "providers.change_provideraccount", "providers.delete_provideraccount",
    "api.view_apikey", "api.add_apikey", "api.change_apikey", "api.delete_apikey",
    "api.view_webhook", "api.add_webhook", "api.change_webhook", "api.delete_webhook",
}  # fmt: skip
ADMINISTERS = {
    "providers.view_allowedhost", "providers.add_allowedhost", "providers.change_allowedhost",
    "providers.delete_allowedhost",
    "contacts.view_optoutword", "contacts.add_optoutword", "contacts.change_optoutword", "contacts.delete_optoutword",
    "contacts.view_optouttext", "contacts.add_optouttext", "contacts.change_optouttext", "contacts.delete_optouttext",
}  # fmt: skip
"""Of tables that are kept in the administration, which opens for people who are marked as staff."""


@dataclass(frozen=True, slots=True)
class BuiltIn:
    name: str
    permissions: frozenset[str]


ROLES = (
    BuiltIn("Viewer", frozenset(SEES)),
    BuiltIn("Operator", frozenset(SEES | OPERATES)),
    BuiltIn("Approver", frozenset(SEES | {"messaging.approve_campaign"})),
    BuiltIn("Manager", frozenset(SEES | OPERATES | MANAGES | ADMINISTERS)),
)


def provide() -> None:
    """Make the roles that were never made, and give each of them what is new in it. One query when nothing is."""
    known = {row.name: row for row in Role.objects.all()}
    for role in ROLES:
        if role.name not in known or role.permissions - {*known[role.name].given}:
            _provide(role)


@transaction.atomic
def _provide(role: BuiltIn) -> None:
    row = Role.objects.select_for_update().filter(name=role.name).first()
    if row is None:
        row = Role.objects.create(name=role.name, group=Group.objects.create(name=_free(role.name)))
    new = _permissions(role.permissions - {*row.given})
    if row.group:
        row.group.permissions.add(*new.values())
    row.given = sorted({*row.given, *new})
    row.save(update_fields=["given"])


def _free(name: str) -> str:
    """A name that no group of the administrators' own has."""
    taken = set(Group.objects.filter(name__startswith=name).values_list("name", flat=True))
    names = [name, f"{name} (built in)", *(f"{name} ({n})" for n in range(2, len(taken) + 2))]
    return next(each for each in names if each not in taken)


def _permissions(names: frozenset[str]) -> dict[str, Permission]:
    """By their names; what does not exist is left out."""
    asked = Q()
    for name in names:
        app, _dot, codename = name.partition(".")
        asked |= Q(content_type__app_label=app, codename=codename)
    rows = Permission.objects.filter(asked).select_related("content_type") if names else ()
    return {f"{row.content_type.app_label}.{row.codename}": row for row in rows}
