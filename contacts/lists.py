"""Lists as a whole: linked to a list at a provider, and deleted."""

from __future__ import annotations

import uuid
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from providers import registry
from providers.models import ProviderAccount
from providers.types import Feature

from . import changes, directory, mirroring
from .models import BulkChange, ContactList


def accounts() -> list[str]:
    """The kinds of account at which lists can live."""
    return [kind for kind in registry.kinds() if Feature.CONTACTS in registry.adapter_class(kind).supports]


def link(of: ContactList, account: ProviderAccount | None, remote_id: str, members: bool, user: Any) -> None:
    """From now on changes are told to the account's list, or with no account to nobody. ``members``: those who are
    subscribed already are told too, in the background."""
    with transaction.atomic():
        if (account.pk if account else None, remote_id) != (of.account_id, of.remote_id):
            mirroring.end(of)
        of.account, of.remote_id = account, remote_id if account else ""
        of.save(update_fields=["account", "remote_id"])
        if members and of.mirrored:
            filters = directory.Filters(list=of, status=directory.SUBSCRIBED)
            changes.start("mirror", filters, {}, user, uuid.uuid4())


def delete(of: ContactList, user: Any) -> None:
    """The list is gone at once; its members are taken off in the background, each with an event in their history. The
    people stay, and so does the list at the provider."""
    with transaction.atomic():
        BulkChange.objects.filter(list=of, finished_at=None).update(finished_at=timezone.now())
        mirroring.end(of)
        of.account, of.remote_id, of.deleted_at = None, "", timezone.now()
        of.save(update_fields=["account", "remote_id", "deleted_at"])
        changes.start("remove", directory.Filters(list=of), {"reason": _("The list was deleted.")}, user, uuid.uuid4())
