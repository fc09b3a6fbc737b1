"""Opting out of everything by text message, and back in."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from . import consent
from .models import Contact, How, OptOutWord

Kind = OptOutWord.Kind
NEAR = 6  # words of a text in which one that opts out may be meant, though others are with it
CLOSE = 0.8  # how much a single word has to look like one that opts out
UNSEEN = "PSZC"  # punctuation, signs, blanks and what is not seen: the first letters of their categories
_WORDS = re.compile(r"[^\W_]+")

USUAL = {
    Kind.STOP: "STOP STOPALL UNSUBSCRIBE END QUIT CANCEL REVOKE OPTOUT 退订",
    Kind.START: "START UNSTOP YES 订阅",
    Kind.HELP: "HELP INFO 帮助",
}
"""What holds while the table of words is empty."""


class Heard(NamedTuple):
    """What a received text means. ``kind``: of its word, empty for none. ``changed``: the contact was opted out or in
    by it. ``near``: no word alone, but a word of opting out is in it, so a person should look."""

    kind: str = ""
    changed: bool = False
    near: bool = False


def hear(number: str, text: str, source: str, proof: Mapping[str, Any] | None = None) -> Heard:
    """Act on a received text if it is exactly one of the words. ``source``: which message; ``proof``: more about it.

    In the caller's transaction.
    """
    kind, near = meaning(text)
    proof = {"text": text.strip(), "source": source, **(proof or {})}
    if kind == Kind.STOP:
        return Heard(kind, consent.opt_out_numbers([number], How.STOP, source, proof=proof) > 0)
    if kind == Kind.START:
        return Heard(kind, consent.opt_in(_known(number), How.STOP, source, proof=proof) > 0)
    return Heard(kind, False, near)


def meaning(text: str) -> tuple[str, bool]:
    """The kind of a text that is one of the words alone, else empty; and whether opting out may be meant otherwise."""
    said = fold(text)
    kinds = words()
    if said in kinds:
        return kinds[said], False
    stops = [word for word, kind in kinds.items() if kind == Kind.STOP]
    return "", _is_near(said, stops)


def words() -> dict[str, str]:
    """The kind of each word, folded."""
    stored = dict(OptOutWord.objects.values_list("word", "kind"))
    usual = {word: kind.value for kind, line in USUAL.items() for word in line.split()}
    return {fold(word): kind for word, kind in (stored or usual).items()}


def _is_near(said: str, stops: Sequence[str]) -> bool:
    parts = _WORDS.findall(said)
    if not parts or len(parts) > NEAR or len(said) > 160:
        return False
    if len(parts) == 1 and len(said) > 3 and difflib.get_close_matches(said, stops, 1, CLOSE):
        return True
    return not set(parts).isdisjoint(stops) or any(not stop.isascii() and stop in said for stop in stops)


def fold(text: str) -> str:
    """A word as it is compared: capitals, full-width forms, and the blanks and signs around it do not count."""
    plain = unicodedata.normalize("NFKC", text).replace("\ufe0f", "").casefold()
    start, end = 0, len(plain)
    while start < end and _is_unseen(plain[start]):
        start += 1
    while end > start and _is_unseen(plain[end - 1]):
        end -= 1
    return " ".join(plain[start:end].split())


def _is_unseen(character: str) -> bool:
    return unicodedata.category(character)[0] in UNSEEN


def opt_out(number: str, by: str) -> None:
    consent.opt_out_numbers([number], How.OPERATOR, by)


def opt_in(number: str) -> None:
    consent.opt_in(_known(number), How.OPERATOR, "")


def _known(number: str) -> list[int]:
    return list(Contact.objects.filter(number=number).values_list("pk", flat=True))
