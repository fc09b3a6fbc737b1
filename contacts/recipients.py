"""Who of a pasted list is sent to, and why not the others."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from .numbers import Parsed, parse_numbers

DUPLICATE, OPTED_OUT = "duplicate", "opted_out"
SENTENCES = {
    DUPLICATE: _("It is there more than once; it gets the message once."),
    OPTED_OUT: _("This person opted out. Nobody writes to them until they opt in again."),
}
CHUNK = 5_000  # numbers that one query asks for


@dataclass(frozen=True, slots=True)
class Dropped:
    """An entry that gets nothing. ``number`` None: there is none in ``text``. ``line`` counts from 1.

    ``reason``: ``duplicate``, ``opted_out`` or one of ``numbers.Refusal``. ``times``: how many entries it stands for.
    """

    text: str
    number: str | None
    reason: str
    sentence: str | Promise
    line: int
    times: int = 1


@dataclass(frozen=True, slots=True)
class Recipients:
    """``kept``: numbers in E.164 (or short codes), each once, in their order; ``unlikely`` are some of these."""

    kept: tuple[str, ...]
    dropped: tuple[Dropped, ...] = ()
    unlikely: tuple[str, ...] = ()

    @property
    def rejected(self) -> list[Dropped]:
        """What is not a number that could be written to: a person has to mend it or leave it out."""
        return [d for d in self.dropped if d.reason not in SENTENCES]

    @property
    def opted_out(self) -> list[Dropped]:
        return [d for d in self.dropped if d.reason == OPTED_OUT]

    @property
    def duplicates(self) -> int:
        """How many entries repeat another one."""
        return sum(d.times for d in self.dropped if d.reason == DUPLICATE)


def choose(pasted: str, region: str | None = None, *, short_codes: bool = False) -> Recipients:
    """Read a paste (see ``numbers.parse_numbers``) and leave out whoever opted out.

    ``short_codes``: the account can send to them. Raises ValueError for a region that does not exist.
    """
    parsed = parse_numbers(pasted, region, short_codes=short_codes)
    out = opted_out(parsed.numbers)
    return Recipients(
        kept=tuple(number for number in parsed.numbers if number not in out),
        dropped=tuple(_dropped(parsed, out)),
        unlikely=tuple(number for number in parsed.unlikely if number not in out),
    )


def opted_out(numbers: Sequence[str]) -> set[str]:
    """Those of the numbers whose people opted out; a query for each 5,000."""
    found: set[str] = set()
    listed, wrap = _LISTED[connection.vendor]
    with connection.cursor() as cursor:
        for start in range(0, len(numbers), CHUNK):
            cursor.execute(
                f"SELECT number FROM contacts_contact WHERE opted_out_at IS NOT NULL AND number {listed}",
                [wrap(list(numbers[start : start + CHUNK]))],
            )
            found.update(number for (number,) in cursor.fetchall())
    return found


_LISTED: Mapping[str, tuple[str, Callable[[list[str]], Any]]] = {
    "postgresql": ("= ANY(%s)", list),
    "sqlite": ("IN (SELECT value FROM json_each(%s))", json.dumps),
}


def _dropped(parsed: Parsed, out: set[str]) -> list[Dropped]:
    lines = {kept.number: kept.line for kept in parsed.kept} if out or parsed.duplicates else {}
    found = [Dropped(r.text, None, r.refusal.value, r.reason, r.line) for r in parsed.rejected]
    found += [Dropped(n, n, OPTED_OUT, SENTENCES[OPTED_OUT], lines[n]) for n in parsed.numbers if n in out]
    found += [Dropped(n, n, DUPLICATE, SENTENCES[DUPLICATE], lines[n], times) for n, times in parsed.duplicates.items()]
    return found
