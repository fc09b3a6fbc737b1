"""What an answer, or an error instead of one, means for the messages of a request and for the account.

Decides and writes nothing: the tables of errors and their consequences are here, whoever has the database does them.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.utils.translation import gettext as _

from providers import errors
from providers.types import Outcome, Problem, SendResult, Status

from . import ledger
from .backlog import Waiting
from .ledger import Change

MAX_ATTEMPTS = 100  # with the waits below about a day
BACKOFF = 4.0  # seconds before the first retry; doubled each time
LONGEST = 900.0  # seconds between two attempts
NOTHING = Problem("")
ENDS = {
    Status.FAILED: Status.FAILED,
    Status.CANCELED: Status.FAILED,
    Status.EXPIRED: Status.EXPIRED,
    Status.DELIVERED: Status.DELIVERED,
    Status.UNCERTAIN: Status.UNCERTAIN,
}  # any other word of an answer says that the provider took the message
TOO_DEAR = Decimal(10**7)  # a price that no column holds is none
AGAIN = 1.0  # seconds that a provider who asks to wait is left alone where it does not say how long


@dataclass(frozen=True, slots=True)
class Verdict:
    """``changes``: one for each message. ``back``: the ids of those whose hand-over settled nothing.

    ``hold``: seconds without a request; ``pause``: the error that stops the account; ``down``: why nothing gets
    through; ``up``: something did; ``doubt``: why nobody knows whether any of it did.
    """

    changes: list[Change] = field(default_factory=list)
    back: frozenset[int] = frozenset()
    hold: float | None = None
    pause: errors.ProviderError | None = None
    down: str = ""
    up: bool = False
    doubt: str = ""


def of_result(
    messages: Sequence[Waiting],
    exchange: int,
    result: SendResult,
    now: datetime,
    poll_after: float | None,
    ask: datetime | None,
) -> Verdict:
    """``poll_after``: seconds until a status is worth asking for; ``ask``: when to ask for what became uncertain."""
    polls = {Status.SENT: now + timedelta(seconds=poll_after) if poll_after else None, Status.UNCERTAIN: ask}
    changes = [_of_outcome(m, exchange, o, now, polls) for m, o in zip(messages, result.outcomes, strict=True)]
    return Verdict(changes, frozenset(c.id for c in changes if c.to is Status.UNCERTAIN), up=True)


def of_error(
    messages: Sequence[Waiting], exchange: int, error: errors.ProviderError, now: datetime, ask: datetime | None
) -> Verdict:
    reason = {"exchange": exchange, "error_code": error.code[:64], "error_text": error.sentence[:300]}
    ids = frozenset(m.id for m in messages)
    if error.maybe_taken:
        changes = [_ended(m, Status.UNCERTAIN, {**reason, "poll_at": ask}) for m in messages]
        return Verdict(changes, ids, doubt=error.sentence)
    if error.scope == "account":
        # says nothing about the messages: their attempts do not count
        changes = [Change(m.id, Status.QUEUED, reason) for m in messages]
        if not error.retry:
            return Verdict(changes, ids, pause=error)
        wait = error.retry_after if error.retry_after is not None else AGAIN
        return Verdict(changes, ids, hold=wait, down=error.sentence if isinstance(error, errors.Unavailable) else "")
    if error.retry:
        return Verdict([_again(m, reason, now) for m in messages], ids, down=error.sentence)
    if len(messages) > 1:
        # the request was refused as a whole: halved until the one that is to blame stands alone
        half = (len(messages) + 1) // 2
        return Verdict([Change(m.id, Status.QUEUED, {**reason, "batch_limit": half}) for m in messages], ids, up=True)
    return Verdict([_ended(m, Status.FAILED, {**reason, "done_at": now}) for m in messages], up=True)


def backoff(attempts: int) -> timedelta:
    """Doubling from BACKOFF to LONGEST, give or take a quarter."""
    return timedelta(seconds=min(LONGEST, BACKOFF * 2 ** min(attempts, 20)) * random.uniform(0.75, 1.25))


def _again(m: Waiting, reason: dict[str, Any], now: datetime) -> Change:
    if m.attempts + 1 >= MAX_ATTEMPTS:
        return _ended(m, Status.FAILED, {**reason, "done_at": now})
    return Change(m.id, Status.QUEUED, {**reason, "attempts": m.attempts + 1, "due_at": now + backoff(m.attempts)})


def _ended(m: Waiting, to: Status, values: dict[str, Any]) -> Change:
    return Change(m.id, to, {"attempts": m.attempts + 1, **values})


def _of_outcome(
    m: Waiting, exchange: int, outcome: Outcome, now: datetime, polls: Mapping[Status, datetime | None]
) -> Change:
    problem = outcome.problem or NOTHING
    to = ENDS.get(outcome.status, Status.SENT)
    values: dict[str, Any] = {
        "attempts": m.attempts + 1,
        "exchange": exchange,
        "provider_id": outcome.provider_id[:100],
        "provider_group": outcome.group[:100],
        "provider_status": outcome.status.value,
        "cost": outcome.cost if outcome.cost is None or abs(outcome.cost) < TOO_DEAR else None,
        "error_code": problem.code[:64],
        "error_text": _told(outcome.status, problem)[:300],
        "sent_at": now if outcome.taken else None,
        "done_at": now if to in ledger.FINAL else None,
        "poll_at": polls.get(to),
    }
    if outcome.device:
        values |= {"device": outcome.device[:40], "sim": outcome.sim}
    return Change(m.id, to, values)


def _told(status: Status, problem: Problem) -> str:
    """Why this recipient gets nothing, or may get nothing. Empty: there is nothing to tell."""
    if status is Status.FAILED:
        return _refused(problem)
    if status is Status.CANCELED:
        return _("The provider canceled it. Ask the provider why, then resend the message.")
    if status is Status.UNCERTAIN:
        return problem.text or _("The provider itself cannot tell whether it took the message.")
    return ""


def _refused(problem: Problem) -> str:
    if problem.text:
        return f"{errors.quote(problem.text)} {_('Mend that, then resend the message.')}"
    if problem.code:
        text = _("The provider refused it with the code %s. Ask the provider what it means, then resend the message.")
        return text % problem.code[:64]
    return _("The provider refused it without a reason. Ask the provider why, then resend the message.")
