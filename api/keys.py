"""Making, rotating and revoking API keys. Only the maker ever sees one in clear: hashes are stored, and the key sealed
because it signs webhooks."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from messaging.models import Route
from providers.encryption import Locked
from providers.models import ProviderAccount

from .access import digest
from .models import ApiKey

OVERLAPS = (timedelta(0), timedelta(hours=1), timedelta(days=1), timedelta(days=7))

# Without the key itself: a page that only looks must not fail when the key that it is sealed with is lost.
unread = ApiKey.objects.defer("sealed", "log", "account__credentials")


def create(
    name: str,
    account: ProviderAccount | None = None,
    route: Route | None = None,
    accounts: Iterable[ProviderAccount] = (),
    **settings: Any,
) -> tuple[ApiKey, str, str]:
    """A new key: its row, the key and the secret. Keep the two; they cannot be shown again.

    ``settings``: columns of ApiKey. Raises ValidationError.
    """
    row = ApiKey(name=name, account=account, route=route, **settings)
    return row, *issue(row, accounts)


def issue(row: ApiKey, accounts: Iterable[ProviderAccount] = ()) -> tuple[str, str]:
    """Give a row that is not stored yet its key and secret, and store it. Raises ValidationError."""
    key, secret = _set(row)
    row.full_clean()
    with transaction.atomic():
        row.save()
        row.accounts.set(accounts)
    return key, secret


def rotate(row: ApiKey, overlap: timedelta) -> tuple[str, str]:
    """A new key and secret for the row; those before are taken for ``overlap`` yet, those before them no more.

    Until then a webhook that is signed with the key is signed with the one before, which its receiver knows; see
    deliveries.secrets_of. Raises ValidationError for a revoked one.
    """
    with transaction.atomic():
        stored = unread.select_for_update(of=("self",)).get(pk=row.pk)
        if stored.revoked_at:
            raise ValidationError(_("The key is revoked for good. Make a new one."))
        kept = overlap > timedelta(0)
        stored.previous_hash = stored.key_hash if kept else ""
        stored.previous_secret_hash = stored.secret_hash if kept else ""
        stored.previous_until = timezone.now() + overlap if kept else None
        before = _sealed(stored) if kept else ""
        key, secret = _set(stored)
        stored.sealed = {"key": key, "previous": before}
        stored.save(
            update_fields=[
                "key_hash", "secret_hash", "sealed", "hint", "previous_hash", "previous_secret_hash", "previous_until",
            ]
        )  # fmt: skip
    return key, secret


def revoke(row: ApiKey) -> None:
    """Refuse it for good, and the one before it too."""
    ApiKey.objects.filter(pk=row.pk, revoked_at=None).update(
        revoked_at=timezone.now(), previous_hash="", previous_secret_hash="", previous_until=None
    )


def _sealed(row: ApiKey) -> str:
    """Empty where the key that it is sealed with is lost."""
    try:
        return row.sealed["key"]
    except Locked:
        return ""


def _set(row: ApiKey) -> tuple[str, str]:
    key, secret = secrets.token_hex(20), secrets.token_urlsafe(24)
    row.key_hash, row.secret_hash = digest(key), digest(secret)
    row.sealed, row.hint = {"key": key}, key[-4:]
    return key, secret
