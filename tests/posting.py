"""Posts to our callbacks, and what the workers make of them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any
from urllib.parse import urlencode

from django.test import Client

from messaging import posted
from providers import registry
from providers.models import ProviderAccount
from providers.types import Event, Request


def post(account: ProviderAccount, request: Request, client: Client | None = None) -> Any:
    """Posted, and not worked on yet. The answer."""
    headers = dict(request.headers)
    kind = headers.pop("content-type", "application/octet-stream")
    url = f"/callbacks/{account.callback_token}/"
    return (client or Client()).generic(request.method, url, request.body, kind, headers=headers)


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
    status: int = post(account, written(account, event, secret)).status_code
    while posted.work():
        pass
    return status


def written(account: ProviderAccount, event: Event, secret: str) -> Request:
    """As a provider of the account's kind writes and signs it."""
    request = registry.dialect(account.kind).write_event(event, secret)
    assert request is not None
    return request


def signed(body: bytes, secret: str) -> Request:
    """Any body, signed as smsprovider does."""
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    headers = {"content-type": "application/json", "x-smsprovider-signature": signature}
    return Request("POST", "", headers=headers, body=body)


def gateway(secret: str, *messages: dict[str, Any], field: str = "messages") -> Request:
    """An array as smsgateway posts and signs it."""
    value = json.dumps(messages)
    signature = base64.b64encode(hmac.new(secret.encode(), value.encode(), hashlib.sha256).digest()).decode()
    headers = {"content-type": "application/x-www-form-urlencoded", "x-sg-signature": signature}
    return Request("POST", "", headers=headers, body=urlencode({field: value}).encode())


def gateway_message(name: str, number: str, status: str, text: str = "x") -> dict[str, Any]:
    return {"ID": name, "number": number, "message": text, "deviceID": "1", "simSlot": "0", "status": status}
