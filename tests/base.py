"""The actors of the page tests: people with and without rights, and a provider account."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone

from providers.models import ProviderAccount

PASSWORD = "correct horse battery"


def person(name: str = "alice", *permissions: str, **values: Any) -> User:
    """A user who may do what is named (``messaging.view_message``), and nothing else."""
    user = get_user_model().objects.create_user(name, password=PASSWORD, **values)
    for permission in permissions:
        app, codename = permission.split(".")
        user.user_permissions.add(Permission.objects.get(content_type__app_label=app, codename=codename))
    return user


def administrator(name: str = "admin") -> User:
    return get_user_model().objects.create_superuser(name, "", PASSWORD)


def signed_in(user: User | None = None) -> Client:
    """A client logged in as ``user``, else as a new administrator."""
    client = Client()
    client.force_login(user or administrator())
    return client


def account(name: str = "Main", kind: str = "smsprovider", **values: Any) -> ProviderAccount:
    """An account whose every secret is ``secret-1234``, at an address where nobody listens."""
    values = dated(values)
    row = ProviderAccount(name=name, kind=kind)
    row.base_url = values.pop("base_url", f"http://127.0.0.1:9{row.kind_class.base_url_ends}")
    row.set_credentials(
        values.pop("credentials", {f.name: "secret-1234" if f.secret else f.default for f in row.kind_class.fields})
    )
    for column, value in values.items():
        setattr(row, column, value)
    row.full_clean()
    row.save()
    return row


def dated(values: dict[str, Any]) -> dict[str, Any]:
    """The values, each span of time among them as the moment that far from now.

    What a test is given is made long before it runs: a moment would be an old one by then, of yesterday perhaps.
    """
    now = timezone.now()
    return {name: now + value if isinstance(value, timedelta) else value for name, value in values.items()}
