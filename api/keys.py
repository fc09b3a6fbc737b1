"""Making and finding API keys. Only the maker ever sees one in clear."""

from __future__ import annotations

import secrets

from messaging.models import Route
from providers.models import ProviderAccount

from .access import digest
from .models import ApiKey


def create(name: str, account: ProviderAccount | None = None, route: Route | None = None) -> tuple[ApiKey, str, str]:
    """A new key: its row, the key and the secret. Keep the two; they cannot be shown again.

    Raises ValidationError.
    """
    key, secret = secrets.token_hex(20), secrets.token_urlsafe(24)
    row = ApiKey(name=name, account=account, route=route, hint=key[-4:])
    row.key_hash, row.secret_hash = digest(key), digest(secret)
    row.sealed = {"key": key}
    row.full_clean()
    row.save()
    return row, key, secret
