"""The entries of the side navigation, and who sees them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _


@dataclass(frozen=True, slots=True)
class Entry:
    name: str  # of the URL
    label: Promise
    icon: str  # of lucide
    permission: str  # or several with spaces between: one of them is enough
    count: str = ""  # name of the URL that tells the number beside it

    @property
    def url(self) -> str:
        return reverse(self.name)


GROUPS: tuple[tuple[Promise | str, tuple[Entry, ...]], ...] = (
    (
        "",
        (
            Entry("overview", _("Overview"), "layout-dashboard", "messaging.view_message"),
            Entry("messaging-compose", _("Compose"), "square-pen", "messaging.add_message"),
            Entry("messaging-log", _("Message log"), "list", "messaging.view_message"),
            Entry(
                "messaging-inbox", _("Inbox"), "inbox", "messaging.view_conversation", count="messaging-inbox-unread"
            ),
            Entry("campaigns", _("Campaigns"), "megaphone", "messaging.view_campaign"),
            Entry("messaging-templates", _("Templates"), "file-text", "messaging.view_template"),
        ),
    ),
    (
        _("People"),
        (
            Entry("contacts-contacts", _("Contacts"), "contact", "contacts.view_contact"),
            Entry("contacts-lists", _("Lists"), "users", "contacts.view_contact"),
            Entry("contacts-imports", _("Imports"), "file-up", "contacts.view_import"),
        ),
    ),
    (
        _("Infrastructure"),
        (
            Entry("providers-accounts", _("Provider accounts"), "plug", "providers.view_provideraccount"),
            Entry("messaging-routes", _("Routes"), "route", "messaging.view_route"),
            Entry("devices-devices", _("Devices & SIMs"), "smartphone", "devices.view_device"),
            Entry("devices-ussd", _("USSD console"), "square-terminal", "devices.view_ussdrequest"),
            Entry("api-keys", _("API keys"), "key-round", "api.view_apikey api.add_apikey"),
            Entry("api-webhooks", _("Webhooks"), "webhook", "api.view_webhook"),
        ),
    ),
)


def context(request: HttpRequest) -> dict[str, Any]:
    """Template context: the groups with the entries this person may open, and the one they are at."""
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return {}
    groups = []
    for label, entries in GROUPS:
        if seen := [entry for entry in entries if any(map(user.has_perm, entry.permission.split()))]:
            groups.append((label, seen))
    return {"navigation": groups, "current_entry": _current(groups, request.path), "demo": settings.SMSDASH_DEMO}


def _current(groups: list[tuple[Promise | str, list[Entry]]], path: str) -> Entry | None:
    """The entry with the longest address that the path starts with; the overview only for itself."""
    here = [e for _, entries in groups for e in entries if path == e.url or (e.url != "/" and path.startswith(e.url))]
    return max(here, key=lambda entry: len(entry.url), default=None)
