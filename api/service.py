"""What stands behind the served wires: each operation of providers/types.py, done for the key that asks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import tzinfo
from functools import cached_property
from typing import Any

from providers import errors
from providers.models import ProviderAccount
from providers.types import (
    AccountInfo,
    GetAccount,
    ListDevices,
    Operation,
    ReadMessages,
    ReadUssd,
    RegisterWebhook,
    Resend,
    Result,
    SaveContact,
    Send,
    SendUssd,
    Unsubscribe,
    WebhookInfo,
)

from . import access, gateway, sending, webhooks
from .models import ApiKey, Scope


def account(key: ApiKey, op: GetAccount) -> AccountInfo:
    """The budget of the key, and the sender ID of the account that it sends through. A key that only sends may ask."""
    if Scope.SEND not in key.scopes:
        access.need(key, Scope.READ)
    try:
        sender = access.way(key)[0].sender
    except errors.Unavailable:
        sender = ""
    return AccountInfo(sending.credits_of(key), key.name, sender)


def look_up_webhook(key: ApiKey, op: RegisterWebhook) -> None:
    access.need(key, Scope.SEND)
    webhooks.check(op.url)


def register_webhook(key: ApiKey, op: RegisterWebhook) -> WebhookInfo:
    """For the reports of the key's own messages; no events are all that the wire has words for."""
    row = webhooks.register(key, op.url, op.events)
    events = op.events or [name for name in row.events if name != "message.canceled"]  # told of as a failure
    return WebhookInfo(str(row.pk), row.url, tuple(events), str(row.sealed["secret"]))


HANDLERS: Mapping[type[Operation], Callable[[ApiKey, Any], Result]] = {
    Send: sending.send,
    GetAccount: account,
    ReadMessages: gateway.read_messages,
    Resend: gateway.resend,
    ListDevices: gateway.devices,
    SendUssd: gateway.send_ussd,
    ReadUssd: gateway.read_ussd,
    SaveContact: gateway.save_contact,
    Unsubscribe: gateway.unsubscribe,
    RegisterWebhook: register_webhook,
}


FIRST: Mapping[type[Operation], Callable[[ApiKey, Any], None]] = {RegisterWebhook: look_up_webhook}
"""What asks the network: never in a transaction."""


class Service:
    """``key``: as ``access.find`` gave it."""

    def __init__(self, key: ApiKey) -> None:
        self.key = key

    def prepare(self, op: Operation) -> None:
        """What comes before ``handle``, which may be in a transaction. Raises ProviderError."""
        if first := FIRST.get(type(op)):
            first(self.key, op)

    def handle(self, op: Operation) -> Result:
        """Raises ProviderError for anything that the caller should read."""
        return HANDLERS[type(op)](self.key, op)

    def limits(self) -> None:
        """They are counted at the door (compat.py)."""

    def clock(self) -> tzinfo:
        """Of times without a zone: that of the account which the key sends through."""
        return self._account.clock

    @cached_property
    def _account(self) -> ProviderAccount:
        return access.way(self.key)[0]
