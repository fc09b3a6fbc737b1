"""Opting out of everything by text message, and back in."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from django.conf import settings

from . import consent
from .models import Contact, How, OptOutText, OptOutWord

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
SETTINGS = {kind: f"SMSDASH_{kind.name}_TEXT" for kind in Kind}


class Heard(NamedTuple):
    """What a received text means. ``kind``: of its word, empty for none. ``changed``: the contact was opted out or in
    by it. ``near``: no word alone, but a word of opting out is in it, so a person should look. ``language``: the
    word's."""

    kind: str = ""
    changed: bool = False
    near: bool = False
    language: str = ""


class Word(NamedTuple):
    kind: str
    language: str


def hear(number: str, text: str, source: str, proof: Mapping[str, Any] | None = None) -> Heard:
    """Act on a received text if it is exactly one of the words. ``source``: which message; ``proof``: more about it.

    In the caller's transaction.
    """
    heard = meaning(text)
    proof = {"text": text.strip(), "source": source, **(proof or {})}
    if heard.kind == Kind.STOP:
        return heard._replace(changed=consent.opt_out_numbers([number], How.STOP, source, proof=proof) > 0)
    if heard.kind == Kind.START:
        return heard._replace(changed=consent.opt_in(_known(number), How.STOP, source, proof=proof) > 0)
    return heard


def meaning(text: str) -> Heard:
    """What a text means that is one of the words alone, or whether opting out may be meant otherwise. Nothing is
    changed."""
    said, known = fold(text), words()
    if word := known.get(said):
        return Heard(word.kind, language=word.language)
    return Heard(near=_is_near(said, [stop for stop, word in known.items() if word.kind == Kind.STOP]))


def words() -> dict[str, Word]:
    """What each word means, by the word folded."""
    rows = OptOutWord.objects.values_list("word", "kind", "language")
    stored = {folded: Word(*rest) for word, *rest in rows if (folded := fold(word))}
    usual = {fold(word): Word(kind.value, "") for kind, line in USUAL.items() for word in line.split()}
    return stored or usual


def answer(heard: Heard) -> str:
    """What people are told who wrote the word, in its language; empty: nothing. An empty setting silences all."""
    usual: str = getattr(settings, SETTINGS[heard.kind]) if heard.kind else ""
    rows = OptOutText.objects.filter(kind=heard.kind, language=heard.language)
    own = rows.values_list("text", flat=True).first() if usual and heard.language else None
    return usual if own is None else own


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
