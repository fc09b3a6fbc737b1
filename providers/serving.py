"""Answering the requests of a wire: who calls, what is asked, what the service behind it says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from . import errors, wire
from .base import Dialect
from .types import Credential, Operation, Outcome, Problem, RateState, Reply, Request, Result, Send, SendResult, Status


class Service(Protocol):
    """What stands behind a Dialect: smsdash itself, or the sandbox's carrier."""

    def handle(self, op: Operation) -> Result:
        """Do the operation. Raises ProviderError for anything the caller should read."""

    def limits(self) -> RateState | None:
        """The caller's rate window after this request; None: not limited."""


def serve(dialect: Dialect, request: Request, login: Callable[[Credential], Service]) -> Reply:
    """Answer one request of a wire: who, what, do, write. ``login`` raises KeyRefused."""
    service: Service | None = None
    try:
        service = login(dialect.credential(request))
        op = dialect.operation(request)
        reply = dialect.write(op, handle(service, op))
    except errors.ProviderError as error:
        reply = dialect.refuse(error)
    return dialect.with_limits(reply, service.limits() if service else None)


def handle(service: Service, op: Operation) -> Result:
    """Do the operation. In a Send, what has not the shape of a number is refused alone and never gets to the service.

    Raises InvalidNumber when no recipient is left, else what the service raises.
    """
    refused = _bad_numbers(op) if isinstance(op, Send) and not op.list_id else {}
    if not isinstance(op, Send) or not refused:
        return service.handle(op)
    good = tuple(message for place, message in enumerate(op.messages) if place not in refused)
    if not good:
        raise errors.InvalidNumber(refused[0].text)
    result = service.handle(replace(op, messages=good))
    assert isinstance(result, SendResult)
    taken = iter(result.outcomes)
    outcomes = (
        Outcome(Status.FAILED, number=message.number, problem=refused[place]) if place in refused else next(taken)
        for place, message in enumerate(op.messages)
    )
    return replace(result, outcomes=tuple(outcomes))


def _bad_numbers(op: Send) -> dict[int, Problem]:
    found = {}
    for place, message in enumerate(op.messages):
        try:
            wire.clean_number(message.number)
        except ValueError as error:
            found[place] = Problem(errors.InvalidNumber.default_code, str(error))
    return found
