"""What the cells of a row say about a person, by what each column is. No database.

A column is ``number``, ``name`` (several are joined), ``language``, ``zone``, ``opted_out``, ``lists``,
``unsubscribed``, ``field:city``, or empty: left out.
"""

from __future__ import annotations

import re
import zoneinfo
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, lru_cache, partial
from itertools import compress
from typing import Any, NamedTuple

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

    number: str = ""
    name: str = ""
    language: str = ""
    zone: str = ""
    fields: Mapping[str, str] = {}
    opted_out: bool = False
    lists: tuple[str, ...] = ()
    unsubscribed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class People:
    """Some people, a column for each part of a Person, all of the same length; or empty, where nobody has it."""

    number: Sequence[str] = ()
    name: Sequence[str] = ()
    language: Sequence[str] = ()
    zone: Sequence[str] = ()
    fields: Sequence[Mapping[str, str]] = ()
    opted_out: Sequence[bool] = ()
    lists: Sequence[tuple[str, ...]] = ()
    unsubscribed: Sequence[tuple[str, ...]] = ()

    def __len__(self) -> int:
        return len(self.number)

    def __iter__(self) -> Iterator[Person]:
        n, absent = len(self), Person._field_defaults
        columns = (getattr(self, name) or [absent[name]] * n for name in Person._fields)
        return map(Person._make, zip(*columns, strict=True))


class Reject(NamedTuple):
    row: int
    reason: str
    cells: Sequence[str]


class Wrong(Exception):
    """A cell for whose sake a row is rejected. ``str()`` is the reason."""


class Reader:
    """Reads the rows of one file. ``region``: the country of numbers without one, or None.

    ``exact``: the file is an export of ours, whose lists stand on lines of their own.
    Raises ValueError for a region that does not exist.
    """

    def __init__(self, columns: Sequence[str], region: str | None = None, exact: bool = False) -> None:
        self.width = len(columns)
        self.places: dict[str, list[int]] = defaultdict(list)
        for at, column in enumerate(columns):
            if column:
                self.places[column].append(at)
        self.keys = [column for column in self.places if column.startswith(FIELD)]
        self.find_number = number_reader(region)
        lists = partial(read_lists, separator="\n" if exact else ";")
        self.read_cell: Mapping[str, Callable[[str], Any]] = {
            LANGUAGE: read_language,
            ZONE: read_zone,
            OPTED_OUT: read_opted_out,
            LISTS: lists,
            UNSUBSCRIBED: lists,
        }

    def read(self, block: Block) -> tuple[People, list[Reject]]:
        """The rows that are not blank: each is one of the people, or rejected."""
        rows, numbers, rejected = self._even(block)
        if not rows:
            return People(), rejected
        reasons: dict[int, str] = {}
        columns = tuple(zip(*rows, strict=True))
        found = self._columns(columns, reasons)
        if reasons:
            wrong = [(at, reason) for at, reason in sorted(reasons.items()) if not tables.is_blank(rows[at])]
            rejected += [Reject(numbers[at], reason, rows[at]) for at, reason in wrong]
            kept = [at not in reasons for at in range(len(rows))]
            found = {name: list(compress(column, kept)) for name, column in found.items() if column}
        return People(**found), rejected

    def _even(self, block: Block) -> tuple[list[list[str]], Sequence[int], list[Reject]]:
        """The rows with as many cells as there are columns, their numbers, and what is wrong already."""
        rows, width = block.rows, self.width
        odd = {at for at, cells in enumerate(rows) if len(cells) != width} | set(block.faults)
        if not odd:
            return rows, range(block.first, block.first + len(rows)), []
        even, numbers, rejected = [], [], []
        for at, cells in enumerate(rows):
            number = block.first + at
            if at in block.faults:
                rejected.append(Reject(number, block.faults[at], cells))
            elif at not in odd:
                even.append(cells)
                numbers.append(number)
            elif len(cells) > width and any(cells[width:]):
                rejected.append(Reject(number, Mistake.TOO_MANY_CELLS, cells))
            elif not tables.is_blank(cells):
                even.append((cells + [""] * width)[:width])
                numbers.append(number)
        return even, numbers, rejected

    def _columns(self, columns: Sequence[Sequence[str]], reasons: dict[int, str]) -> dict[str, Sequence[Any]]:
        """What each part of a Person is, row by row. Fills ``reasons``: by index, why a row is rejected."""
        found: dict[str, Sequence[Any]] = {
            "number": _each(self.find_number, columns[self.places[NUMBER][0]], reasons),
            "name": self._names([columns[at] for at in self.places.get(NAME, ())], reasons),
            "fields": self._fields(columns, reasons) if self.keys else (),
        }
        for name, read in self.read_cell.items():
            if name in self.places:
                found[name] = _each(read, columns[self.places[name][0]], reasons)
        return found

    def _names(self, columns: Sequence[Sequence[str]], reasons: dict[int, str]) -> Sequence[str]:
        if not columns:
            return ()
        names = _cleaned(columns[0], clean)
        for column in columns[1:]:
            names = [f"{one} {other}".strip() for one, other in zip(names, _cleaned(column, clean), strict=True)]
        return _limited(names, LONGEST_NAME, Mistake.LONG_NAME, reasons)

    def _fields(self, columns: Sequence[Sequence[str]], reasons: dict[int, str]) -> Sequence[Mapping[str, str]]:
        names = [key.removeprefix(FIELD) for key in self.keys]
        cleaned = (_cleaned(columns[self.places[key][0]], clean_value) for key in self.keys)
        parts = [_limited(column, fields.LONGEST_VALUE, Mistake.LONG_VALUE, reasons) for column in cleaned]
        rows = zip(*parts, strict=True)
        return [{name: value for name, value in zip(names, values, strict=True) if value} for values in rows]


def _each(read: Callable[[str], Any], column: Sequence[str], reasons: dict[int, str]) -> list[Any]:
    """What ``read`` makes of each cell; None, and a reason, where it raises NumberError or Wrong."""
    found: list[Any] = []
    for at, cell in enumerate(column):
        try:
            found.append(read(cell))
        except (NumberError, Wrong) as error:
            reasons.setdefault(at, str(getattr(error, "refusal", error)))
            found.append(None)
    return found


def _cleaned(column: Sequence[str], clean: Callable[[str], str]) -> list[str]:
    """All at once where there is nothing special in any of them."""
    together = "".join(column)
    plain = together.isprintable() and "'" not in together
    return list(map(str.strip if plain else clean, column))


def _limited(column: list[str], most: int, reason: str, reasons: dict[int, str]) -> list[str]:
    if max(map(len, column)) > most:
        for at, value in enumerate(column):
            if len(value) > most:
                reasons.setdefault(at, reason)
    return column


# --- Cells -------------------------------------------------------------------------------------------

NOT_OUT = frozenset(
    {"", "0", "no", "n", "false", "f", "-", "nein", "non", "нет", "否", "不", "ei", "active", "subscribed"}
)
"""What an opt-out column says of whoever did not opt out; anything else is an opt-out."""
_GUARDED = re.compile(r"'+[=+\-@\t\r\n＝＋－＠]")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8})*")


def clean(text: str) -> str:
    """On one line, without control characters and the apostrophe by which spreadsheets keep a text from being run."""
    text = unguarded(text)
    return (text if text.isprintable() else " ".join(_CONTROL.sub("", text).split())).strip()


def clean_value(text: str) -> str:
    """The same, but lines stay lines."""
    text = unguarded(text)
    return (text if text.isprintable() else _CONTROL.sub("", text)).strip()


def unguarded(text: str) -> str:
    """Without the apostrophe that exporting.py puts before what a spreadsheet would run."""
    return text[1:] if text[:1] == "'" and _GUARDED.match(text) else text


def read_opted_out(text: str) -> bool:
    return clean(text).casefold() not in NOT_OUT if text else False


def read_lists(text: str, separator: str) -> tuple[str, ...]:
    """Raises Wrong."""
    if not text:
        return ()
    names = dict.fromkeys(filter(None, map(clean, re.split(f"[{separator}\r\n]+", text))))
    if any(len(name) > LONGEST_NAME for name in names):
        raise Wrong(Mistake.LONG_LIST)
    return tuple(names)


@lru_cache(maxsize=1_000)
def read_language(text: str) -> str:
    """Raises Wrong."""
    language = clean(text).replace("_", "-")
    if language and (len(language) > LONGEST_LANGUAGE or not _LANGUAGE.fullmatch(language)):
        raise Wrong(Mistake.LANGUAGE)
    return language


@lru_cache(maxsize=1_000)
def read_zone(text: str) -> str:
    """Raises Wrong."""
    zone = clean(text)
    if zone and zone.casefold() not in _zones():
        raise Wrong(Mistake.ZONE)
    return _zones()[zone.casefold()] if zone else ""


@cache
def _zones() -> Mapping[str, str]:
    return {name.casefold(): name for name in zoneinfo.available_timezones() if len(name) <= 40}


_E164 = re.compile(r"\+[1-9][0-9]{6,14}")


def number_reader(region: str | None) -> Callable[[str], str]:
    """A function from a cell to E.164, which raises NumberError. Raises ValueError for a region that does not exist.

    What has the shape already, and no trunk prefix to be taken out, is not looked up anywhere.
    """
    if region:
        numbers.parse_number("+3725551234", region)
    shaped, trunk_prefix = _E164.fullmatch, plans.trunk_prefix

    @lru_cache(maxsize=20_000)
    def parse(text: str) -> str:
        return numbers.parse_number(clean(text), region).number

    def read(text: str) -> str:
        if shaped(text):
            trunk, start = trunk_prefix(text[1:4])
            if trunk is None or not trunk.match(text, start):
                return text
        return parse(text)

    return read
