"""People who write to us, for the tests of the inbox."""

from __future__ import annotations

import itertools
from typing import Any

from messaging import inbound
from messaging.models import Conversation, Message
from providers.models import ProviderAccount
from providers.types import Inbound
from tests.base import account

ADA, BO = "+37255500001", "+37255500002"
_ids = itertools.count(1)


def phones(name: str = "Phones", **values: Any) -> ProviderAccount:
    return account(name, kind="smsgateway", base_url="http://127.0.0.1:9", **values)


def write(at: ProviderAccount, text: str = "Hello", number: str = ADA, **values: Any) -> Message:
    """Somebody writes to the account; the message as it is stored."""
    values = {"device": "7", "sim": 1, **values}
    made = inbound.receive(at, Inbound(values.pop("id", f"in-{next(_ids)}"), number, text, **values))
    assert made is not None
    return made


def conversation(number: str = ADA) -> Conversation:
    return Conversation.objects.get(number=number)


def sent(number: str = ADA) -> list[Message]:
    """What went to the number, or waits, oldest first."""
    return list(Message.objects.filter(number=number).exclude(status="received").order_by("pk"))
