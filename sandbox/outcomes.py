"""What becomes of a message: the last three digits of its number decide. docs/sandbox.md has the same table.

A fate is pure data. ``sending`` reads what happens while the request is under way, ``models`` where the message is
at a moment, ``agent`` which reports are posted when.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from providers import errors
from providers.types import Problem, Status

REPLY_AFTER = 0.3  # seconds from the end of a message until its recipient answers
HANG = 25.0  # seconds; longer than base.TIMEOUT waits


@dataclass(frozen=True, slots=True)
class Step:
    """A delivery report, ``after`` seconds from the moment the message starts."""

    after: float
    status: Status


SENT = Step(0.3, Status.SENT)
DELIVERED = Step(1.0, Status.DELIVERED)


@dataclass(frozen=True, slots=True)
class Fate:
    """``end`` None: nothing is heard after ``sent``. Times are seconds from the start of the message.

    ``refused``: this number is not taken. ``once``: the first request with this number and text is refused whole,
    nothing of it is taken; ``lost``: nor is it answered. ``fault``: how the answer is spoilt after everything was
    taken (see ``views.FAULTS``).
    ``early``: the reports due at 0 are posted before the request is answered. ``hang``: seconds the answer waits.
    """

    says: str
    final: Status = Status.DELIVERED
    sent: float = 0.3
    end: float | None = 1.0
    reports: tuple[Step, ...] = (SENT, DELIVERED)
    problem: Problem | None = None
    reply: str = ""
    refused: Problem | None = None
    once: type[errors.ProviderError] | None = None
    lost: bool = False
    fault: str = ""
    early: bool = False
    hang: float = 0.0


class Fault(Exception):
    """The answer is to be spoilt; the message was taken, unless it is to be lost. ``args[0]`` names how."""


NORMAL = Fate("Sent after 0.3 s, delivered after 1 s.")

FATES: Mapping[str, Fate] = {
    "901": Fate(
        "Fails after 1 s: the handset cannot be reached.",
        final=Status.FAILED,
        reports=(SENT, Step(1.0, Status.FAILED)),
        problem=Problem("handset_unreachable", "The handset could not be reached."),
    ),
    "902": Fate(
        "Expires after 1.5 s.",
        final=Status.EXPIRED,
        end=1.5,
        reports=(SENT, Step(1.5, Status.EXPIRED)),
        problem=Problem("expired", "The handset was off for too long."),
    ),
    "903": Fate("Stays sent for ever: no report after the first.", end=None, reports=(SENT,)),
    "904": Fate("Delivered; the recipient then answers STOP.", reply="STOP"),
    "905": Fate("Delivered; that report comes twice.", reports=(SENT, DELIVERED, Step(1.1, Status.DELIVERED))),
    "906": Fate(
        "Delivered; that report comes before the one that says sent.",
        reports=(Step(0.5, Status.DELIVERED), Step(1.0, Status.SENT)),
        end=0.5,
    ),
    "907": Fate("Taken and delivered, but the connection breaks instead of an answer.", fault="break"),
    "908": Fate(
        "Refused at once as an invalid number.",
        refused=Problem("invalid_number", "This is not a valid phone number."),
    ),
    "909": Fate("Taken and delivered, but the answer is HTTP 500.", fault="error"),
    "910": Fate("HTTP 503 the first time, nothing taken; accepted the next time.", once=errors.Unavailable),
    "911": Fate("HTTP 429 the first time, nothing taken; accepted the next time.", once=errors.RateLimited),
    "912": Fate("Taken and delivered, but the answer is an HTML page.", fault="html"),
    "913": Fate("Delivered; the recipient then answers with a normal text.", reply="Thank you, that works for me."),
    "914": Fate("Taken and delivered, but the answer takes 25 s.", hang=HANG),
    "915": Fate(
        "Delivered at once; the report is posted before the request is answered.",
        sent=0.0,
        end=0.0,
        reports=(Step(0.0, Status.DELIVERED),),
        early=True,
    ),
    "916": Fate("The connection breaks the first time, nothing taken; accepted the next time.", lost=True),
}


def digits(number: str) -> str:
    """The three digits that decide; empty for a number that is like all others."""
    return number[-3:] if number[-3:] in FATES else ""


def fate(code: str) -> Fate:
    """The fate behind what ``digits`` gave."""
    return FATES.get(code, NORMAL)
