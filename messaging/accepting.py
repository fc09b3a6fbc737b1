"""What a program wants sent, accepted while it waits for the answer: a campaign whose rows are all made at once.

Orders that come in the same moment share a transaction (``_Desk``): the log's flush to the disk, the counts and the
wake-up are then paid once. Whoever gets an answer has it stored.
"""

from __future__ import annotations

import json
import threading
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from django.utils import timezone

from contacts.recipients import OPTED_OUT, opted_out
from devices.targets import Choice
from providers import errors
from providers.models import ProviderAccount
from providers.types import Feature, Outgoing, Status

from . import attachments, inserting, ledger, parking, placing, wakeup
from .lean_rows import Lean
from .models import Campaign, Message, Route
from .placing import Placed
from .segments import measure

TOGETHER = 64  # orders of one transaction
FEW = 200  # messages up to which a statement names all of them

_CAMPAIGNS = Lean(
    Campaign, "token", "state", "account_id", "route_id", "text", "sender", "type", "attachments", "priority",
    "due_at", "devices", "total", "expanded", "complete", "skipped", "client", "created_by_id", "created_at",
)  # fmt: skip
_MESSAGES = Lean(
    Message, "account_id", "campaign_id", "number", "text", "sender", "type", "attachments", "segments", "status",
    "priority", "due_at", "route_id", "device", "sim", "error_code", "error_text", "client", "created_at",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Order:
    """``messages``: with clean numbers, no object twice. ``route``: ``account`` is then any of its accounts.

    ``due_at`` None: now. ``charge`` is called in the transaction with the parts of the messages that are kept, and may
    refuse them with a ProviderError before it has written anything; ``stored`` with the id of the campaign.
    """

    account: ProviderAccount
    messages: Sequence[Outgoing]
    route: Route | None = None
    sender: str = ""
    due_at: datetime | None = None
    priority: int = 0
    devices: Choice = field(default_factory=Choice)
    client: int | None = None
    user_id: int | None = None
    charge: Callable[[int], None] = lambda parts: None
    stored: Callable[[int], None] = lambda campaign_id: None


class Row(NamedTuple):
    """A message that was stored. ``device`` and ``sim`` as in Message."""

    id: int
    status: Status
    account_id: int
    device: str
    sim: int | None


@dataclass(frozen=True, slots=True)
class Accepted:
    """``rows``: for each message of the order its row, None where the recipient opted out."""

    token: uuid.UUID
    rows: Sequence[Row | None]


def accept(order: Order) -> Accepted:
    """Store an order. Raises what ``charge`` raises; Uncertain when the database went away in the middle of the commit,
    DatabaseError when surely nothing was stored."""
    entry = _Entry(order)
    _desk.bring(entry)
    if entry.error:
        raise entry.error
    return Accepted(entry.campaign.token, entry.rows)


# --- At the desk -----------------------------------------------------------------------------------------


class _Entry:
    """An order on its way through the desk."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.done = False
        self.error: Exception | None = None
        self.campaign = _campaign(order)
        self.kept: Sequence[Outgoing] = ()
        self.rows: Sequence[Row | None] = ()


class _Desk:
    """Whoever comes to the desk first stores what everybody else has brought by then. The others only wait for it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.waiting: deque[_Entry] = deque()

    def bring(self, entry: _Entry) -> None:
        if connection.in_atomic_block:  # what becomes of it is up to the caller, so it is nobody else's business
            _write([entry])
            return
        self.waiting.append(entry)
        with self.lock:
            while not entry.done:
                _store([self.waiting.popleft() for _ in range(min(TOGETHER, len(self.waiting)))])


_desk = _Desk()


def _store(entries: Sequence[_Entry]) -> None:
    """All in one transaction; if that fails, each in its own."""
    try:
        _commit(entries)
    except Exception as error:
        if len(entries) == 1 or isinstance(error, errors.Uncertain):
            for entry in entries:
                entry.error = error
        else:
            for entry in entries:
                _store([entry])
    finally:
        for entry in entries:
            entry.done = True


def _commit(entries: Sequence[_Entry]) -> None:
    """Raises Uncertain if nobody can know whether it was committed; after any other error it was not."""
    written = None
    try:
        with ledger.together():
            _write(entries)
            written = connection.connection
    except (DatabaseError, InterfaceError) as error:
        if written is not None and connection.connection is not written:  # dropped in the middle of the commit
            raise errors.Uncertain("The database went away while this was stored. It may have been taken.") from error
        raise


# --- In the transaction ----------------------------------------------------------------------------------


def _write(entries: Sequence[_Entry]) -> None:
    """Keys are locked first, in the order of their ids, and the counts last."""
    with ledger.together():
        out = opted_out(list({m.number for entry in entries for m in entry.order.messages}))
        taken = []
        for entry in sorted(entries, key=lambda entry: entry.order.client or 0):
            entry.error = None
            entry.kept = [m for m in entry.order.messages if m.number not in out] if out else entry.order.messages
            entry.rows = [None] * len(entry.order.messages)
            if entry.kept and _charged(entry, len(entries) == 1):
                taken.append(entry)
        if taken:
            _make(taken, timezone.now())


def _charged(entry: _Entry, alone: bool) -> bool:
    parts = {text: measure(text).parts for text in {m.text for m in entry.kept}}
    try:
        entry.order.charge(sum(parts[m.text] for m in entry.kept))
    except errors.ProviderError as error:
        if alone:
            raise
        entry.error = error
    return entry.error is None


def _make(entries: Sequence[_Entry], now: datetime) -> None:
    for entry in entries:
        _fill(entry, now)
    for entry, pk in zip(entries, _CAMPAIGNS.add([_campaign_row(e.campaign) for e in entries]), strict=True):
        entry.campaign.pk = pk
        entry.order.stored(pk)
    few: list[tuple[_Entry, list[Placed]]] = []
    for entry in entries:
        placed = _place(entry)
        if len(entry.kept) > FEW:
            _made(entry, placed, _add_many(entry, placed))
        else:
            few.append((entry, placed))
    rows = [row for entry, placed in few for row in _message_rows(entry, placed)]
    ids = iter(_MESSAGES.add(rows) if rows else ())
    for entry, placed in few:
        _made(entry, placed, [next(ids) for _ in entry.kept])
    for pk in sorted({row.account_id for e in entries for row in e.rows if row and row.status == Status.QUEUED}):
        wakeup.drain_often(pk)


def _campaign(order: Order) -> Campaign:
    first = order.messages[0]
    return Campaign(
        account=order.account,
        route=order.route,
        text=first.text,
        sender=order.sender,
        type=first.type.value,
        attachments=list(first.attachments),
        priority=order.priority,
        devices=order.devices.write(),
        client=order.client,
        created_by_id=order.user_id,
        complete=True,
    )


def _fill(entry: _Entry, now: datetime) -> None:
    """What is known of a campaign once it is known who opted out."""
    campaign, n = entry.campaign, len(entry.kept)
    campaign.created_at, campaign.due_at = now, max(entry.order.due_at or now, now)
    campaign.state = Campaign.State.APPROVAL if 0 < settings.SMSDASH_APPROVAL_ABOVE < n else Campaign.State.SENDING
    campaign.total = campaign.expanded = len(entry.order.messages)
    campaign.skipped = {OPTED_OUT: campaign.total - n} if n < campaign.total else {}
    attachments.want({link for m in entry.kept for link in m.attachments})


def _place(entry: _Entry) -> list[Placed]:
    campaign, account = entry.campaign, entry.order.account
    if entry.order.route is None and not account.hours and not account.can(Feature.DEVICES):
        return [Placed(account.pk, "", None, campaign.due_at)] * len(entry.kept)
    return placing.place(campaign, [m.number for m in entry.kept], 0, [len(m.text) for m in entry.kept])


def _standing(campaign: Campaign, placed: Placed) -> tuple[Status, datetime, str, str]:
    """Status, moment, error code and error text of a message that is placed so."""
    if parking.parks(campaign.state):
        why = parking.values()
        return Status.SCHEDULED, placed.due_at + parking.FAR, why["error_code"], why["error_text"]
    return (Status.SCHEDULED if placed.due_at > campaign.created_at else Status.QUEUED), placed.due_at, "", ""


def _made(entry: _Entry, placed: Sequence[Placed], ids: Sequence[int]) -> None:
    """Tell the order of its messages."""
    standing = {place: _standing(entry.campaign, place)[0] for place in set(placed)}
    made = (Row(pk, standing[at], at.account_id, at.device, at.sim) for pk, at in zip(ids, placed, strict=True))
    kept = {id(m): row for m, row in zip(entry.kept, made, strict=True)}
    entry.rows = [kept.get(id(m)) for m in entry.order.messages]


def _message_rows(entry: _Entry, placed: Sequence[Placed]) -> list[tuple[Any, ...]]:
    campaign, hour = entry.campaign, ledger.hour_of(entry.campaign.created_at)
    rows = []
    for m, at in zip(entry.kept, placed, strict=True):
        status, due_at, code, text = _standing(campaign, at)
        rows.append((
            at.account_id, campaign.pk, m.number, m.text, campaign.sender, m.type.value, list(m.attachments),
            measure(m.text).parts, status.value, campaign.priority, due_at, campaign.route_id, at.device, at.sim,
            code, text, campaign.client, campaign.created_at,
        ))  # fmt: skip
    ledger.count((row[0], campaign.pk, hour, row[8], 1) for row in rows)
    return rows


def _add_many(entry: _Entry, placed: Sequence[Placed]) -> list[int]:
    campaign, kept = entry.campaign, entry.kept
    ids = _MESSAGES.reserve(len(kept))
    columns: dict[str, Sequence[Any]] = {"id": ids, "number": [m.number for m in kept]}
    if any(m.text != kept[0].text for m in kept):
        columns |= {"text": [m.text for m in kept], "segments": [measure(m.text).parts for m in kept]}
    if any(m.attachments != kept[0].attachments for m in kept):
        columns["type"] = [m.type.value for m in kept]
        columns["attachments"] = [json.dumps(m.attachments) for m in kept]
    if any(at != placed[0] for at in placed):
        standing = {at: _standing(campaign, at) for at in set(placed)}
        columns |= {"account_id": [at.account_id for at in placed], "device": [at.device for at in placed]}
        columns |= {"sim": [at.sim for at in placed], "status": [standing[at][0].value for at in placed]}
        columns["due_at"] = [standing[at][1] for at in placed]
    inserting.add(_sample(campaign, kept[0], placed[0]), columns)
    return ids


def _sample(campaign: Campaign, message: Outgoing, placed: Placed) -> Message:
    status, due_at, code, text = _standing(campaign, placed)
    return Message(
        account_id=placed.account_id,
        campaign=campaign,
        text=message.text,
        sender=campaign.sender,
        type=message.type.value,
        attachments=list(message.attachments),
        segments=measure(message.text).parts,
        status=status.value,
        priority=campaign.priority,
        due_at=due_at,
        route_id=campaign.route_id,
        device=placed.device,
        sim=placed.sim,
        error_code=code,
        error_text=text,
        client=campaign.client,
        created_at=campaign.created_at,
    )


def _campaign_row(campaign: Campaign) -> tuple[Any, ...]:
    return tuple(getattr(campaign, name) for name in _CAMPAIGNS.columns)
