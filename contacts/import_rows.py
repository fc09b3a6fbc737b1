"""What the cells of a row say about a person, by what each column is. No database.

A column is ``number``, ``name`` (several are joined), ``language``, ``zone``, ``opted_out``, ``lists``,
``unsubscribed``, ``field:city``, or empty: left out.
"""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from functools import cache, lru_cache
from typing import NamedTuple

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from . import fields, numbers, plans, tables
from .numbers import NumberError
from .tables import Block, Fault

NUMBER, NAME, LANGUAGE, ZONE = "number", "name", "language", "zone"
OPTED_OUT, LISTS, UNSUBSCRIBED, FIELD = "opted_out", "lists", "unsubscribed", "field:"
LONGEST_NAME, LONGEST_LANGUAGE = 100, 20
KEPT = 2_000  # characters of a rejected row


class Mistake(StrEnum):
    """Why a row is not taken, beside what numbers.Refusal and tables.Fault say."""

    TOO_MANY_CELLS = "too_many_cells"
    LONG_NAME = "long_name"
    LONG_VALUE = "long_value"
    LONG_LIST = "long_list"
    LANGUAGE = "language"
    ZONE = "zone"


REASONS: Mapping[str, str | Promise] = {
    **numbers.REASONS,
    numbers.Refusal.NO_COUNTRY: _("Its country is not clear. Choose a country for numbers without one."),
    numbers.Refusal.IMPOSSIBLE: _("The chosen country has no numbers of this length."),
    numbers.Refusal.SEVERAL: _("It holds more than one number. Keep one of them."),
    Fault.BAD_BYTES: _("Some bytes are no characters in the chosen encoding."),
    Fault.TOO_LONG: _("A cell has more than 65,536 characters, or the row more than a megabyte."),
    Fault.NOT_CLOSED: _("A quotation mark opens a cell and none closes it. Double it or take it out."),
    Mistake.TOO_MANY_CELLS: _("It has more cells than the table has columns. Put cells with a separator in quotes."),
    Mistake.LONG_NAME: _("The name has more than 100 characters."),
    Mistake.LONG_VALUE: _("A field has more than 500 characters."),
    Mistake.LONG_LIST: _("The name of a list has more than 100 characters."),
    Mistake.LANGUAGE: _("The language is not a code such as et or pt-BR. Correct it, or make the column a field."),
    Mistake.ZONE: _("The time zone is not known. Write one such as Europe/Tallinn, or make the column a field."),
}
"""All reasons for which a row is rejected, in words."""


class Person(NamedTuple):
    """``fields``: only those that the row has a value for. ``lists``, ``unsubscribed``: names of lists."""

    row: int
    number: str
    name: str
    language: str
    zone: str
    fields: Mapping[str, str]
    opted_out: bool = False
    lists: tuple[str, ...] = ()
    unsubscribed: tuple[str, ...] = ()


class Reject(NamedTuple):
    row: int
    reason: str
    cells: Sequence[str]


class People(NamedTuple):
    """The rows of a block that are not blank: each is a person or rejected."""

    found: list[Person]
    rejected: list[Reject]


class _Wrong(Exception):
    """A cell for whose sake the row is rejected; carries the reason."""


class Reader:
    """Reads the rows of one file. ``region``: the country of numbers without one, or None.

    ``exact``: the file is an export of ours, whose lists stand on lines of their own.
    Raises ValueError for a region that does not exist.
    """

    def __init__(self, columns: Sequence[str], region: str | None = None, exact: bool = False) -> None:
        self.columns, self.width = columns, len(columns)
        self.number = columns.index(NUMBER)
        self.names = [at for at, column in enumerate(columns) if column == NAME]
        self.fields = [
            (at, column.removeprefix(FIELD)) for at, column in enumerate(columns) if column.startswith(FIELD)
        ]
        self.others = {name: columns.index(name) for name in _OTHERS if name in columns}
        self.separators = re.compile("[\n\r]+" if exact else "[;\n\r]+")
        self.find_number = number_reader(region)

    def read(self, block: Block) -> People:
        people, rejected, width = [], [], self.width
        for index, cells in enumerate(block.rows):
            number = block.first + index
            fault = block.faults.get(index)
            if fault:
                rejected.append(Reject(number, fault, cells))
                continue
            if len(cells) != width:
                if tables.is_blank(cells):
                    continue
                cells = cells + [""] * (width - len(cells))
            try:
                people.append(self.person(number, cells))
            except NumberError as error:
                if not tables.is_blank(cells):
                    rejected.append(Reject(number, error.refusal, cells))
            except _Wrong as error:
                rejected.append(Reject(number, str(error), cells))
        return People(people, rejected)

    def person(self, row: int, cells: Sequence[str]) -> Person:
        """Raises NumberError, _Wrong."""
        if len(cells) > self.width and any(cells[self.width :]):
            raise _Wrong(Mistake.TOO_MANY_CELLS)
        number = self.find_number(cells[self.number])
        name = clean(cells[self.names[0]]) if len(self.names) == 1 else self._joined(cells)
        if len(name) > LONGEST_NAME:
            raise _Wrong(Mistake.LONG_NAME)
        values = {}
        for at, key in self.fields:
            if value := cells[at]:
                value = clean_value(value)
                if len(value) > fields.LONGEST_VALUE:
                    raise _Wrong(Mistake.LONG_VALUE)
                if value:
                    values[key] = value
        if not self.others:
            return Person(row, number, name, "", "", values)
        return self._with_others(Person(row, number, name, "", "", values), cells)

    def _joined(self, cells: Sequence[str]) -> str:
        return " ".join(filter(None, (clean(cells[at]) for at in self.names)))

    def _with_others(self, person: Person, cells: Sequence[str]) -> Person:
        found = {name: _OTHERS[name](self, cells[at]) for name, at in self.others.items() if cells[at]}
        return person._replace(**found) if found else person

    def _language(self, text: str) -> str:
        return read_language(text)

    def _zone(self, text: str) -> str:
        return read_zone(text)

    def _opted_out(self, text: str) -> bool:
        return clean(text).casefold() not in NOT_OUT

    def _lists(self, text: str) -> tuple[str, ...]:
        names = tuple(filter(None, (clean(name) for name in self.separators.split(text))))
        if any(len(name) > LONGEST_NAME for name in names):
            raise _Wrong(Mistake.LONG_LIST)
        return names


_OTHERS: Mapping[str, Callable[[Reader, str], object]] = {
    LANGUAGE: Reader._language,
    ZONE: Reader._zone,
    OPTED_OUT: Reader._opted_out,
    LISTS: Reader._lists,
    UNSUBSCRIBED: Reader._lists,
}
NOT_OUT = frozenset(
    {"", "0", "no", "n", "false", "f", "-", "nein", "non", "нет", "否", "不", "ei", "active", "subscribed"}
)
"""What an opt-out column says of whoever did not opt out; anything else is an opt-out."""

# --- Cells -------------------------------------------------------------------------------------------

_GUARDED = re.compile(r"'+[=+\-@\t\r\n＝＋－＠]")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8})*")


def clean(text: str) -> str:
    """On one line, without control characters and the apostrophe by which spreadsheets keep a text from being run."""
    if text[:1] == "'" and _GUARDED.match(text):
        text = text[1:]
    if not text.isprintable():
        text = " ".join(_CONTROL.sub("", text).split())
    return text.strip()


def clean_value(text: str) -> str:
    """The same, but lines stay lines."""
    if text[:1] == "'" and _GUARDED.match(text):
        text = text[1:]
    return (text if text.isprintable() else _CONTROL.sub("", text)).strip()


@lru_cache(maxsize=1_000)
def read_language(text: str) -> str:
    """Raises _Wrong."""
    language = clean(text).replace("_", "-")
    if language and (len(language) > LONGEST_LANGUAGE or not _LANGUAGE.fullmatch(language)):
        raise _Wrong(Mistake.LANGUAGE)
    return language


@lru_cache(maxsize=1_000)
def read_zone(text: str) -> str:
    """Raises _Wrong."""
    zone = clean(text)
    if zone and zone.casefold() not in _zones():
        raise _Wrong(Mistake.ZONE)
    return _zones()[zone.casefold()] if zone else ""


@cache
def _zones() -> Mapping[str, str]:
    return {name.casefold(): name for name in zoneinfo.available_timezones()}


_E164 = re.compile(r"\+[1-9][0-9]{6,14}")


def number_reader(region: str | None) -> Callable[[str], str]:
    """A function from a cell to E.164, which raises NumberError. Raises ValueError for a region that does not exist.

    What has the shape already, and no trunk prefix to be taken out, is not looked up anywhere.
    """
    if region:
        numbers.parse_number("+3725551234", region)
    shaped, has_trunk_prefix = _E164.fullmatch, plans.has_trunk_prefix

    @lru_cache(maxsize=20_000)
    def parse(text: str) -> str:
        return numbers.parse_number(clean(text), region).number

    def read(text: str) -> str:
        return text if shaped(text) and not has_trunk_prefix(text) else parse(text)

    return read
