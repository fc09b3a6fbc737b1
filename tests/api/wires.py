"""What the tests of the served wires share: a key with its account, requests, and what was stored of them."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.test import Client
from django.utils import timezone

from api import keys
from api.models import ApiKey
from contacts.models import Contact
from messaging.models import Message
from providers.models import ProviderAccount
from tests.base import account

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Caller:
    """A program and its key. ``row`` is as it was when it was made."""

    row: ApiKey
    key: str
    secret: str
    account: ProviderAccount

    @property
    def bearer(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.key}"}

    @property
    def basic(self) -> dict[str, str]:
        return {"authorization": "Basic " + base64.b64encode(f"{self.key}:{self.secret}".encode()).decode()}


def caller(through: ProviderAccount | None = None, **settings: Any) -> Caller:
    through = through or account()
    return Caller(*keys.create("Shop", through, **settings), through)


def post(path: str, body: object, content_type: str = JSON, headers: Mapping[str, str] | None = None) -> Any:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Client().generic("POST", path, raw, content_type=content_type, headers=dict(headers or {}))


def stored() -> list[tuple[str, str]]:
    """Number and text of all messages, in their order."""
    return list(Message.objects.order_by("pk").values_list("number", "text"))


def ids() -> list[str]:
    return [str(pk) for pk in Message.objects.order_by("pk").values_list("pk", flat=True)]


def opted_out(number: str) -> None:
    Contact.objects.create(number=number, opted_out_at=timezone.now())
