"""On what terms a request to send is taken: what it goes out through, and what stands against it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import timedelta

from django.utils import timezone

from devices.targets import Choice
from messaging import attachments, routes
from messaging.models import Route
from providers import errors
from providers.models import ProviderAccount
from providers.types import Feature, MessageType, Outgoing, Problem, Send

from . import access, gateway_phones
from .models import ApiKey

MAX_TEXT = 10_000  # characters; many wires state no limit
MAX_LINKS = 10  # attachments of a message
MAX_SENDER = 20  # characters
FURTHEST = timedelta(days=5 * 366)  # that a message can be scheduled ahead
_SHORT_CODE = re.compile("[0-9]{3,6}", re.ASCII)
_NO_SHORT_CODE = Problem(errors.InvalidNumber.default_code, "Only phones with a SIM can write to a short code.")


@dataclass(frozen=True, slots=True)
class Way:
    """What a request goes out through."""

    account: ProviderAccount
    route: Route | None = None
    devices: Choice = Choice()

    def can(self, feature: Feature) -> bool:
        return feature in routes.features(self.route).any if self.route else self.account.can(feature)

    @property
    def max_text(self) -> int:
        """Characters that at least one of its accounts takes."""
        members = routes.members(self.route) if self.route else ()
        limits = [m.account.kind_class.max_text for m in members] or [self.account.kind_class.max_text]
        return MAX_TEXT if None in limits else max(limit for limit in limits if limit is not None)


def way_of(key: ApiKey, op: Send) -> Way:
    """Devices say the account themselves."""
    if op.devices.targets or op.devices.spread:
        account, choice = gateway_phones.devices_of(key, op.devices)
        return Way(account, devices=choice)
    return Way(*access.way(key))


def checked(op: Send, way: Way) -> Send:
    """As it can go that way: a sender ID that no account of it can show is left to the account, attachments of what is
    no MMS are left out. Raises TextTooLong and InvalidRequest."""
    messages = tuple(m if m.type is MessageType.MMS else _without_links(m) for m in op.messages)
    if longest := max((len(m.text) for m in messages), default=0):
        _check_length(longest, way.max_text)
    if any(m.type is MessageType.MMS for m in messages):
        if not way.can(Feature.MMS):
            raise errors.InvalidRequest("MMS cannot be sent through the account of this API key.")
        _check_links({m.attachments for m in messages})
    if op.schedule and op.schedule > timezone.now() + FURTHEST:
        raise errors.InvalidRequest("A message can be scheduled at most five years ahead.")
    if len(op.sender) > MAX_SENDER:
        raise errors.InvalidRequest(f"A sender ID has at most {MAX_SENDER} characters.")
    sender = op.sender if op.sender and way.can(Feature.SENDER_ID) else ""
    return replace(op, messages=messages, sender=sender)


def _without_links(message: Outgoing) -> Outgoing:
    return replace(message, attachments=()) if message.attachments else message


def _check_length(length: int, limit: int) -> None:
    if length > limit:
        raise errors.TextTooLong(f"The message has {length:,} characters; at most {limit:,} can be sent.")


def _check_links(every: Collection[tuple[str, ...]]) -> None:
    """Others look at what is behind them (messaging/attachments.py)."""
    if any(len(links) > MAX_LINKS for links in every):
        raise errors.InvalidRequest(f"An MMS has at most {MAX_LINKS} attachments.")
    for link in dict.fromkeys(link for links in every for link in links):
        if not attachments.opens(link):
            raise errors.InvalidRequest(f"“{link[:80]}” is not a link. Write it as https://host/path.")
        if wrong := attachments.plainly_wrong(link):
            raise errors.InvalidRequest(wrong)


def refused(messages: Iterable[Outgoing], way: Way) -> dict[str, Problem]:
    """The numbers that no account of the way can write to."""
    if way.can(Feature.DEVICES):
        return {}
    return {m.number: _NO_SHORT_CODE for m in messages if _SHORT_CODE.fullmatch(m.number)}
