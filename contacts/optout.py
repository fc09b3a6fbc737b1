"""Opting out of everything by text message, and back in."""

from __future__ import annotations

from . import consent
from .models import Contact, How

STOP_WORDS = frozenset({"STOP", "STOPALL", "UNSUBSCRIBE", "END", "QUIT", "CANCEL", "REVOKE", "OPTOUT", "退订"})
START_WORDS = frozenset({"START", "UNSTOP", "YES", "订阅"})


def hear(number: str, text: str, source: str) -> None:
    """Act on a received text if it is exactly one of the words, in any case of letters. ``source``: which message."""
    word = text.strip().upper()
    proof = {"text": text.strip(), "source": source}
    if word in STOP_WORDS:
        consent.opt_out_numbers([number], How.STOP, source, proof=proof)
    elif word in START_WORDS:
        consent.opt_in(
            Contact.objects.filter(number=number).values_list("pk", flat=True), How.STOP, source, proof=proof
        )


def opt_out(number: str, by: str) -> None:
    consent.opt_out_numbers([number], How.OPERATOR, by)


def opt_in(number: str) -> None:
    consent.opt_in(_known(number), How.OPERATOR, "")


def _known(number: str) -> list[int]:
    return list(Contact.objects.filter(number=number).values_list("pk", flat=True))
