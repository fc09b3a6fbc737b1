"""Lists that live at a provider too: what it has yet to be told, as rows beside the change. remote.py tells it.

Only the latest word about a contact counts, so there is one row for each contact on each list.
"""

from __future__ import annotations

from collections.abc import Sequence

from django.utils import timezone
from django_q.tasks import async_task

from .bulk_sql import execute, source
from .models import ContactList, Mirror

_LATEST = (
    "ON CONFLICT (list_id, contact_id) DO UPDATE SET action = excluded.action, next_at = excluded.next_at, "
    "version = contacts_mirror.version + 1, tries = 0, error = ''"
)
_INSERT = "INSERT INTO contacts_mirror (list_id, contact_id, action, version, tries, next_at, error) "


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


def due() -> None:
    """Wake a worker for each account that has something to be told by now."""
    accounts = (
        ContactList.objects.filter(account__enabled=True, mirrors__next_at__lte=timezone.now())
        .order_by()
        .values_list("account_id", flat=True)
        .distinct()
    )
    for pk in accounts:
        async_task("contacts.tasks.mirror", pk)


def failures(of: ContactList) -> list[Mirror]:
    """The latest of what could not be mirrored so far, with its reason."""
    if not of.mirrored:
        return []
    return list(Mirror.objects.filter(list=of).exclude(error="").select_related("contact").order_by("-pk")[:20])


def try_again(of: ContactList) -> int:
    """Everything that failed is due at once."""
    return Mirror.objects.filter(list=of).exclude(error="").update(next_at=timezone.now(), tries=0)
