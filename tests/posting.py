"""Posts to our callbacks, and what the workers make of them."""

from __future__ import annotations

from django.test import Client

from messaging import posted
from providers import registry
from providers.models import ProviderAccount
from providers.types import Event


def post_callback(
    account: ProviderAccount,
    body: bytes | str = b"",
    content_type: str = "application/json",
    query: str = "",
    **headers: str,
) -> int:
    """Post it and work it off. The HTTP status of the answer. ``headers``: with _ for -."""
    url = f"/callbacks/{account.callback_token}/{query}"
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    status = Client().post(url, body, content_type=content_type, headers=given).status_code
    while posted.work():
        pass
    return status


def post_event(account: ProviderAccount, event: Event, secret: str) -> int:
    """The same, written and signed as a provider of the account's kind does."""
    request = registry.dialect(account.kind).write_event(event, secret)
    assert request is not None
    headers = dict(request.headers)
    return post_callback(account, request.body, headers.pop("content-type"), **headers)
