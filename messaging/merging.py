"""Merge fields: the places of a text that each person's own words take.

``{name}``, ``{number}``, ``{language}``, or a free field of the contact by its name, as ``{city}``. What stands behind
a bar is written for those who have no such value: ``{name|friend}``. ``{{`` and ``}}`` are braces. A field begins with
a letter, so ``{1}``, ``:-}`` and ``{"a": 1}`` stay as they are.

Values are words and never read as a text again: braces in them are braces. Nothing here asks the database.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from django.utils.translation import gettext as _

from contacts.fields import LONGEST_VALUE

ALWAYS = ("name", "number", "language")  # every contact has these, if perhaps empty

_TOKEN = re.compile(r"\{\{|\}\}|\{[ \t]*([^\W\d_][^{}|\n]*)(?:\|([^{}\n]*))?\}")
_OPEN = re.compile(r"\{[ \t]*[^\W\d_][^{}\n]{0,40}")
_BRACES = {"{{": "{", "}}": "}"}
_UNSENDABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")


class Field(NamedTuple):
    name: str
    default: str = ""


class Text:
    """A text made ready to be written for many people."""

    def __init__(self, text: str) -> None:
        pieces, self.fields, self.unclosed = _read(text)
        self._frame = "%s".join(piece.replace("%", "%%") for piece in pieces)

    @property
    def names(self) -> list[str]:
        """The fields in their order, each once."""
        return list(dict.fromkeys(field.name for field in self.fields))

    def render(self, values: Mapping[str, Any]) -> str:
        """For one person (see ``values_of``). A value that is missing, empty or odd never stops it."""
        return self._frame % tuple([_word(values.get(name)) or default for name, default in self.fields])

    def gaps(self, values: Mapping[str, Any]) -> list[str]:
        """The fields that this person has no value for, and the text no other words."""
        return [name for name, default in self.fields if not default and not _word(values.get(name))]


def fields_of(text: str) -> list[str]:
    """The names of a text's merge fields in their order, each once."""
    return compiled(text).names


def check(text: str, known: Collection[str]) -> list[str]:
    """What is wrong with the merge fields: a sentence each. ``known``: the names that there are, see audience.py."""
    found = compiled(text)
    wrong = [_unknown(name, known) for name in found.names if name not in known]
    for beginning in found.unclosed:
        wrong.append(_("“%s” has no closing brace. Write } behind the field, or {{ for a brace.") % beginning)
    return wrong


def render(text: str, values: Mapping[str, Any]) -> str:
    """The text for one person. For many, keep one ``Text`` and ask that."""
    return compiled(text).render(values)


def values_of(
    number: str, name: str = "", language: str = "", fields: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """A contact's values by name; for a number that nobody knows, the number alone."""
    return {**(fields or {}), "name": name, "number": number, "language": language}


@lru_cache(maxsize=256)
def compiled(text: str) -> Text:
    return Text(text)


def _read(text: str) -> tuple[list[str], Sequence[Field], list[str]]:
    """The words around the fields (one more than there are fields), the fields, and what looks like a field that
    nobody closed."""
    pieces, fields, unclosed, end = [""], [], [], 0
    for token in _TOKEN.finditer(text):
        between = text[end : token.start()]
        unclosed += _OPEN.findall(between)
        end = token.end()
        pieces[-1] += between + _BRACES.get(token[0], "")
        if token[1]:
            fields.append(Field(" ".join(token[1].split()), (token[2] or "").strip()))
            pieces.append("")
    unclosed += _OPEN.findall(text[end:])
    pieces[-1] += text[end:]
    return pieces, fields, [beginning.strip() for beginning in unclosed]


def _unknown(name: str, known: Collection[str]) -> str:
    by_folded = {each.casefold(): each for each in known}
    close = difflib.get_close_matches(name.casefold(), by_folded, 1, 0.7)
    if close:
        return _("There is no field {%(name)s}. Did you mean {%(close)s}?") % {
            "name": name[:40],
            "close": by_folded[close[0]],
        }
    ordered = [*filter(known.__contains__, ALWAYS), *sorted(set(known) - set(ALWAYS))]
    there = ", ".join(f"{{{each}}}" for each in ordered)
    return _("Nobody here has a field {%(name)s}. There are %(there)s. For braces write {{%(name)s}}.") % {
        "name": name[:40],
        "there": there[:200],
    }


def _word(value: Any) -> str:
    """A value as it can stand in a text: one line, nothing that cannot be sent."""
    if not isinstance(value, str):
        value = "" if value is None or isinstance(value, bool | dict | list) else str(value)
    if not value.isprintable():
        value = " ".join(_UNSENDABLE.sub(" ", value).split())
    return value.strip()[:LONGEST_VALUE]
