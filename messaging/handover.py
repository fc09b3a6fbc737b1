"""One request on its way to a provider: HTTP and nothing else. Runs in a pool, with no transaction open."""

from __future__ import annotations

import json
import logging
import time
from dataclasses import dataclass

from providers import errors
from providers.base import Adapter
from providers.types import Send, SendResult, Status, Trace

from .backlog import Waiting

log = logging.getLogger(__name__)

FRESH = 10.0  # seconds from its mark in which a request may leave; shorter than a lease, see leases.LENGTH


@dataclass(slots=True)
class Batch:
    """The messages of one request. ``exchange``: the row that says it is on its way. ``at``: the place in the rate
    limit that it took (the database's clock), ``tick`` the same moment by this process's clock; ``left``: when it was
    handed to the pool."""

    exchange: int
    messages: list[Waiting]
    op: Send
    at: float
    tick: float
    left: float
    status: Status = Status.QUEUED


@dataclass(frozen=True, slots=True)
class Answer:
    """``came``: when, by this process's clock."""

    batch: Batch
    result: SendResult | None
    error: errors.ProviderError | None
    trace: Trace | None
    came: float


def links(attachments: str) -> tuple[str, ...]:
    return () if attachments == "[]" else tuple(json.loads(attachments))


def hand_over(adapter: Adapter, batch: Batch) -> Answer:
    """Whoever stood still for long may have lost the account: another worker may have given these messages up, and
    asked the provider for them. So nothing leaves any more that was marked long ago."""
    seen: list[Trace] = []
    result, error = None, None
    try:
        if time.monotonic() - batch.tick > FRESH:
            raise errors.TooLate
        result = adapter.send(batch.op, seen)
    except errors.ProviderError as known:
        error = known
    except Exception as fault:  # a bug of ours must not leave the messages without an end
        log.exception("Handing over through %s failed", adapter.kind)
        error = errors.Uncertain(f"smsdash failed while handing over ({fault!r}).")
    return Answer(batch, result, error, seen[-1] if seen else None, time.monotonic())
