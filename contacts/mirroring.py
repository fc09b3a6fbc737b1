"""Lists that live at a provider too: what it has yet to be told, as rows beside the change. remote.py tells it.

Only the latest word about a contact counts, so there is one row for each contact on each list.
"""

from __future__ import annotations

from collections.abc import Sequence

from django.db.models import Exists, OuterRef
from django.utils import timezone
from django_q.tasks import async_task

from providers.models import ProviderAccount

from .bulk_sql import execute, source
from .models import ContactList, Mirror

SHOWN = 20  # failures that a list's page names
_LATEST = (
    "ON CONFLICT (list_id, contact_id) DO UPDATE SET action = excluded.action, next_at = excluded.next_at, "
    "version = contacts_mirror.version + 1, tries = 0, error = ''"
)
_INSERT = "INSERT INTO contacts_mirror (list_id, contact_id, action, version, tries, next_at, error)"


def put(of: ContactList, contact_ids: Sequence[int], action: str) -> None:
    """In the transaction of the change itself. Nothing, for a list that lives here alone."""
    if of.mirrored and contact_ids:
        execute(
            f"{_INSERT} SELECT %s, id, %s, 1, 0, %s, '' FROM {source(2)} WHERE TRUE {_LATEST}",
            [of.pk, action, timezone.now(), list(contact_ids)],
        )


def put_everywhere(contact_ids: Sequence[int], action: str) -> None:
    """On each mirrored list that these people are subscribed to."""
    if contact_ids:
        execute(
            f"{_INSERT} SELECT s.list_id, s.contact_id, %s, 1, 0, %s, '' FROM contacts_subscription s "
            "JOIN contacts_contactlist l ON l.id = s.list_id "
            "WHERE l.account_id IS NOT NULL AND l.remote_id <> '' AND l.deleted_at IS NULL AND s.subscribed = %s "
            f"AND s.contact_id IN {source(1)} {_LATEST}",
            [action, timezone.now(), True, list(contact_ids)],
        )


def due() -> list[int]:
    """The accounts that have to be told something by now."""
    told = Mirror.objects.filter(list=OuterRef("pk"), next_at__lte=timezone.now())
    lists = ContactList.objects.filter(Exists(told), account=OuterRef("pk"))
    return list(ProviderAccount.objects.filter(Exists(lists), enabled=True).values_list("pk", flat=True))


def wake(account_id: int) -> None:
    """Let a worker tell it. Twice does no harm."""
    async_task("contacts.tasks.mirror", account_id)


def failures(of: ContactList) -> list[Mirror]:
    """The latest changes that the provider could not be told so far, each with its reason."""
    if not of.mirrored:
        return []
    return list(Mirror.objects.filter(list=of).exclude(error="").select_related("contact").order_by("-pk")[:SHOWN])


def waits(of: ContactList) -> bool:
    return of.mirrored and Mirror.objects.filter(list=of, next_at__isnull=False).exists()


def try_again(of: ContactList) -> int:
    """Everything that failed is due at once."""
    return Mirror.objects.filter(list=of).exclude(error="").update(next_at=timezone.now(), tries=0)


def end(of: ContactList) -> None:
    """Nothing more is told of this list."""
    Mirror.objects.filter(list=of).delete()
