"""The actors of the sandbox's tests: accounts of any kind, and short ways to send."""

from __future__ import annotations

from typing import Any

from providers import registry
from providers.base import Adapter
from providers.types import Account as Credentials
from providers.types import Outgoing, Send, SendResult
from sandbox.accounts import SECRET, open_account
from sandbox.carrier import Carrier
from sandbox.models import Account

KEY = "sandbox-test"


def account(kind: str = "smsprovider", key: str = KEY, **values: Any) -> Account:
    row = open_account(kind, key)
    for name, value in values.items():
        setattr(row, name, value)
    row.save()
    return row


def carrier(kind: str = "smsprovider", key: str = KEY, **values: Any) -> Carrier:
    """An account's carrier that does not wait."""
    return Carrier(account(kind, key, **values), lambda seconds: None)


def to(*numbers: str, text: str = "Hello", **values: Any) -> Send:
    return Send(tuple(Outgoing(number, text) for number in numbers), **values)


def ids(result: SendResult) -> list[str]:
    return [outcome.provider_id for outcome in result.outcomes]


def adapter(kind: str, server: str, key: str = KEY) -> Adapter:
    """A real adapter that talks to the sandbox at ``server``. Every credential that is not the key is a password."""
    cls = registry.adapter_class(kind)
    credentials = {f.name: key if f.name in ("api_key", "webhook_secret") else SECRET for f in cls.fields}
    return cls(Credentials(f"{server}/sandbox/{kind}{cls.base_url_ends}", credentials))
