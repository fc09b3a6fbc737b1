"""What a program wants sent, accepted while it waits for the answer: a campaign whose rows are all made at once.

Orders that come in the same moment share a transaction (``_Desk``): the log's flush to the disk, the counts and the
wake-up are then paid once. Whoever gets an answer has it stored.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Collection, Sequence
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
from providers.types import Feature, MessageType, Outgoing, Status

from . import attachments, inserting, ledger, parking, placing, wakeup
from .lean_rows import Lean
from .models import Campaign, Message, Route
from .placing import Placed
from .segments import measure

TOGETHER = 64  # orders of one transaction
GATHER = 0.001  # seconds for which others are waited for, while they come at once
FEW = 200  # messages up to which a statement names all of them
_CAMPAIGNS, _MESSAGES = Lean(Campaign), Lean(Message)


@dataclass(frozen=True, slots=True)
class Order:
    """``messages``: with clean numbers, no object twice. ``route``: ``account`` is then any of its accounts.

    ``due_at`` None: now. ``charge`` is called in the transaction with the parts of the messages that are kept, and may
    refuse them with a ProviderError before it has written anything; ``stored`` with the id of the campaign. ``proof``:
    what the order is based on; ``still`` is asked, once for many orders, which proofs hold.
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
    proof: Any = None
    still: Callable[[Collection[Any]], Collection[Any]] = lambda proofs: proofs


class Changed(Exception):
    """What the order was based on is not so any more."""


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
    """Store an order.

    Raises Changed, and what ``charge`` raises; Uncertain when the database went away in the middle of the commit,
    DatabaseError when surely nothing was stored.
    """
    entry = _Entry(order)
    _desk.bring(entry)
    if entry.error:
        raise entry.error
    return Accepted(entry.token, entry.rows)


# --- At the desk -----------------------------------------------------------------------------------------


class _Entry:
    """An order on its way through the desk."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.done = False
        self.error: Exception | None = None
        self.token = uuid.uuid4()
        self.pk = 0  # of its campaign
        self.kept: Sequence[Outgoing] = ()
        self.rows: Sequence[Row | None] = ()


class _Desk:
    """Whoever comes to the desk first stores what everybody else has brought by then. The others only wait for it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.waiting: deque[_Entry] = deque()
        self.company = 0  # how many were stored together last

    def bring(self, entry: _Entry) -> None:
        if connection.in_atomic_block:  # what becomes of it is up to the caller, so it is nobody else's business
            _write([entry])
            return
        self.waiting.append(entry)
        with self.lock:
            if not entry.done and self.company > 1:
                time.sleep(GATHER)
            while not entry.done:
                some = [self.waiting.popleft() for _ in range(min(TOGETHER, len(self.waiting)))]
                self.company = len(some)
                _store(some)


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
        wrong = _disproved(entries)
        out = opted_out(list({m.number for entry in entries for m in entry.order.messages}))
        taken = []
        for entry in sorted(entries, key=lambda entry: entry.order.client or 0):
            entry.error = None
            entry.kept = [m for m in entry.order.messages if m.number not in out] if out else entry.order.messages
            entry.rows = [None] * len(entry.order.messages)
            if entry.order.proof in wrong:
                entry.error = Changed()
            elif entry.kept and _charged(entry, len(entries) == 1):
                taken.append(entry)
        if taken:
            _make(taken, timezone.now())


def _disproved(entries: Sequence[_Entry]) -> Collection[Any]:
    """The proofs that do not hold."""
    asked: dict[Any, list[Any]] = {}
    for order in {entry.order.proof: entry.order for entry in entries if entry.order.proof}.values():
        asked.setdefault(order.still, []).append(order.proof)
    return {proof for still, proofs in asked.items() for proof in set(proofs).difference(still(proofs))}


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
    links = {link for entry in entries for m in entry.kept for link in m.attachments}
    if links:
        attachments.want(links)
    for entry, pk in zip(entries, _CAMPAIGNS.add([_campaign_row(entry, now) for entry in entries]), strict=True):
        entry.pk = pk
        entry.order.stored(pk)
    few: list[tuple[_Entry, list[_Stand]]] = []
    for entry in entries:
        stands = _stands(entry, now)
        if len(entry.kept) > FEW:
            _tell(entry, stands, _add_many(entry, stands, now))
        else:
            few.append((entry, stands))
    rows = [row for entry, stands in few for row in _message_rows(entry, stands, now)]
    ids = iter(_MESSAGES.add(rows) if rows else ())
    for entry, stands in few:
        _tell(entry, stands, [next(ids) for _ in entry.kept])
    for pk in sorted({row.account_id for e in entries for row in e.rows if row and row.status is Status.QUEUED}):
        wakeup.drain_often(pk)


def _tell(entry: _Entry, stands: Sequence[_Stand], ids: Sequence[int]) -> None:
    """The order of its messages."""
    made = {
        id(m): Row(pk, at.status, at.account_id, at.device, at.sim)
        for m, at, pk in zip(entry.kept, stands, ids, strict=True)
    }
    entry.rows = [made.get(id(m)) for m in entry.order.messages]


# --- Campaigns -------------------------------------------------------------------------------------------


def _due(order: Order, now: datetime) -> datetime:
    return max(order.due_at, now) if order.due_at else now


def _parks(entry: _Entry) -> bool:
    """Whether somebody has to agree first."""
    return 0 < settings.SMSDASH_APPROVAL_ABOVE < len(entry.kept)


def _campaign_row(entry: _Entry, now: datetime) -> dict[str, Any]:
    """Its columns that are not as usual."""
    order, first, total = entry.order, entry.order.messages[0], len(entry.order.messages)
    row: dict[str, Any] = {
        "token": entry.token,
        "account_id": order.account.pk,
        "text": first.text,
        "due_at": _due(order, now),
        "total": total,
        "expanded": total,
        "complete": True,
        "client": order.client,
        "created_by_id": order.user_id,
        "created_at": now,
    }
    unusual = {
        "route_id": order.route and order.route.pk,
        "state": Campaign.State.APPROVAL.value if _parks(entry) else "",
        "sender": order.sender,
        "type": first.type.value if first.type is not MessageType.SMS else "",
        "attachments": list(first.attachments),
        "priority": order.priority,
        "devices": order.devices.write(),
        "skipped": {OPTED_OUT: total - len(entry.kept)} if len(entry.kept) < total else {},
    }
    return row | {name: value for name, value in unusual.items() if value}


def _campaign(entry: _Entry, now: datetime) -> Campaign:
    """What placing.py has to know of it."""
    order, first = entry.order, entry.order.messages[0]
    return Campaign(
        pk=entry.pk,
        token=entry.token,
        account=order.account,
        route=order.route,
        text=first.text,
        sender=order.sender,
        type=first.type.value,
        priority=order.priority,
        due_at=_due(order, now),
        devices=order.devices.write(),
    )


# --- Messages --------------------------------------------------------------------------------------------


class _Stand(NamedTuple):
    """Where a message is placed, and how it stands there: the columns of the same names."""

    account_id: int
    device: str
    sim: int | None
    status: Status
    due_at: datetime


def _stands(entry: _Entry, now: datetime) -> list[_Stand]:
    order, numbers = entry.order, [m.number for m in entry.kept]
    if order.route is None and not order.account.hours and not order.account.can(Feature.DEVICES):
        placed = [Placed(order.account.pk, "", None, _due(order, now))] * len(numbers)
    else:
        placed = placing.place(_campaign(entry, now), numbers, 0, [len(m.text) for m in entry.kept])
    parked = _parks(entry)
    alike = {at: _stand(at, now, parked) for at in set(placed)}
    return [alike[at] for at in placed]


def _stand(at: Placed, now: datetime, parked: bool) -> _Stand:
    if parked:
        return _Stand(*at[:3], Status.SCHEDULED, at.due_at + parking.FAR)
    return _Stand(*at[:3], Status.SCHEDULED if at.due_at > now else Status.QUEUED, at.due_at)


def _message_rows(entry: _Entry, stands: Sequence[_Stand], now: datetime) -> list[dict[str, Any]]:
    """Their columns that are not as usual; counted."""
    same = _same(entry, now)
    rows = []
    for m, at in zip(entry.kept, stands, strict=True):
        row = same | {"account_id": at.account_id, "number": m.number, "text": m.text, "due_at": at.due_at}
        unusual = {
            "segments": parts if (parts := measure(m.text).parts) > 1 else 0,
            "type": m.type.value if m.type is not MessageType.SMS else "",
            "attachments": list(m.attachments),
            "status": at.status.value if at.status is not Status.QUEUED else "",
            "device": at.device,
        }
        row |= {name: value for name, value in unusual.items() if value}
        rows.append(row if at.sim is None else row | {"sim": at.sim})
    hour = ledger.hour_of(now)
    ledger.count((at.account_id, entry.pk, hour, at.status.value, 1) for at in stands)
    return rows


def _same(entry: _Entry, now: datetime) -> dict[str, Any]:
    """What all messages of an order have, as far as it is not as usual."""
    order = entry.order
    row: dict[str, Any] = {"campaign_id": entry.pk, "client": order.client, "created_at": now}
    unusual = {"route_id": order.route and order.route.pk, "sender": order.sender, "priority": order.priority}
    return row | {name: value for name, value in unusual.items() if value} | (parking.values() if _parks(entry) else {})


def _add_many(entry: _Entry, stands: Sequence[_Stand], now: datetime) -> list[int]:
    kept, first = entry.kept, entry.kept[0]
    ids = _MESSAGES.reserve(len(kept))
    columns: dict[str, Sequence[Any]] = {"id": list(map(str, ids)), "number": [m.number for m in kept]}
    if any(m.text != first.text for m in kept):
        columns |= {"text": [m.text for m in kept], "segments": [measure(m.text).parts for m in kept]}
    if any(m.attachments != first.attachments or m.type != first.type for m in kept):
        columns["type"] = [m.type.value for m in kept]
        columns["attachments"] = [json.dumps(m.attachments) for m in kept]
    if any(at is not stands[0] for at in stands):
        columns |= dict(zip(_Stand._fields, zip(*stands, strict=True), strict=True))
    sample = Message(
        **_same(entry, now) | stands[0]._asdict(),
        text=first.text,
        segments=measure(first.text).parts,
        type=first.type.value,
        attachments=list(first.attachments),
    )
    inserting.add(sample, columns)
    return ids
