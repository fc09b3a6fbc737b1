"""How many SMS parts a text takes, and what makes it dear (3GPP TS 23.038 alphabets, TS 23.040 parts).

A text whose characters all stand in the GSM alphabet goes out as GSM-7: its units are septets, and a character of
the extension table takes two. Any other text goes out as UCS-2: its units are those of UTF-16, two for an emoji.
A pair of units is never cut in two. Providers may count otherwise, so the number of parts is an estimate.

``static/js/segments.js`` does the same in the browser, from the tables of ``browser_tables``.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Any

from gsmcodecs.charmaps import GSMCHARMAPS

LONGEST = 10_000  # characters of a text; a phone puts at most 255 parts together

_ESCAPE = "\x1b"  # opens a pair of septets, so it is no character of its own
BASIC = "".join(map(chr, sorted(GSMCHARMAPS[0]["locking"]["encode"]))).replace(_ESCAPE, "")
# The package's extension table repeats the space (a shifted septet that a phone does not know shows as one).
EXTENSION = "".join(c for c in map(chr, sorted(GSMCHARMAPS[0]["singleShift"]["encode"])) if c not in BASIC)


class Encoding(StrEnum):
    GSM7 = "GSM-7"
    UCS2 = "UCS-2"


# Units in a text of one part, and in each part of a longer one (its header takes the rest).
LIMITS: Mapping[Encoding, tuple[int, int]] = {Encoding.GSM7: (160, 153), Encoding.UCS2: (70, 67)}

# What looks the same, or like nothing at all, in the GSM alphabet. Joiners and direction marks stay:
# emoji and the letters of some scripts depend on them.
_GROUPS = {
    "'": "\u2018\u2019\u201a\u201b\u2032\u00b4\u02b9\u02bc`",
    '"': "\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb",
    "<": "\u2039",
    ">": "\u203a",
    "-": "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\u2022\u2043",
    "...": "\u2026",
    "/": "\u2044\u2215",
    "^": "\u02c6",
    "~": "\u02dc",
    "\u0394": "\u2206",
    " ": "\t\u00a0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000",
    "\n": "\u000b\u0085\u2028\u2029",
    "": "\u00ad\u200b\u2060\ufeff\u001b",
}
LOOKALIKES: Mapping[str, str] = {odd: plain for plain, odds in _GROUPS.items() for odd in odds}
_REPLACE = str.maketrans(dict(LOOKALIKES))

_JOINERS_AND_MARKS = "\u200c\u200d\u200e\u200f\ufe0f\u0300\u0301\u0302\u0303\u0308\u0327"


def _is_unseen(character: str) -> bool:
    return unicodedata.category(character)[0] in "ZCM"


# Names of the characters that a person meets and cannot see.
_UNSEEN = [c for c in (*LOOKALIKES, *_JOINERS_AND_MARKS) if _is_unseen(c)]
NAMES: Mapping[str, str] = {c: unicodedata.name(c).lower() for c in _UNSEEN if unicodedata.name(c, "")}

_PLAIN = re.compile(f"[{re.escape(BASIC)}]*")
_FOREIGN = re.compile(f"[^{re.escape(BASIC + EXTENSION)}]")
_ASTRAL = re.compile("[\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class Offender:
    """A character that forces UCS-2. ``positions`` count characters from 0.

    ``replacement``: the GSM look-alike, which can be several characters or none at all; None: there is no such.
    """

    character: str
    positions: tuple[int, ...]
    replacement: str | None

    @property
    def count(self) -> int:
        return len(self.positions)

    @property
    def label(self) -> str:
        """The character; for one that cannot be seen its name in English, or else ``U+`` and its number."""
        if not _is_unseen(self.character):
            return self.character
        return NAMES.get(self.character, f"U+{ord(self.character):04X}")


@dataclass(frozen=True, slots=True)
class Segments:
    """What a text takes. ``left``: units that still fit before another part begins.

    ``characters`` counts Unicode code points. ``text`` is kept where the encoding is UCS-2, for ``offending``.
    """

    encoding: Encoding
    parts: int
    units: int
    left: int
    characters: int
    text: str = field(default="", repr=False)

    @property
    def offending(self) -> tuple[Offender, ...]:
        """The characters that force UCS-2, in order of first appearance. Found when asked for: sending does not."""
        found: dict[str, list[int]] = defaultdict(list)
        for match in _FOREIGN.finditer(self.text):
            found[match[0]].append(match.start())
        return tuple(Offender(c, tuple(positions), LOOKALIKES.get(c)) for c, positions in found.items())


def measure(text: str) -> Segments:
    """Count the parts of ``text`` as it stands. An empty text is one GSM-7 part of no units.

    A form sends line ends as CR LF, two units: make them LF first (``django.utils.text.normalize_newlines``).
    """
    if _PLAIN.fullmatch(text):
        return _plain(len(text))
    encoding = _encoding(text)
    expanded = _expand(text, encoding)
    ends = _ends(expanded, encoding)
    single, each = LIMITS[encoding]
    left = single - len(expanded) if len(ends) == 1 else each - (len(expanded) - ends[-2])
    return Segments(encoding, len(ends), len(expanded), left, len(text), text if encoding is Encoding.UCS2 else "")


def split(text: str) -> list[str]:
    """The parts themselves, in order; at least one. Joined they are the text again."""
    encoding = _encoding(text)
    expanded = _expand(text, encoding)
    ends = _ends(expanded, encoding)
    return [_contract(expanded[start:end], encoding) for start, end in zip([0, *ends], ends, strict=False)]


def replace_lookalikes(text: str) -> str:
    """The text with look-alikes from the GSM alphabet, letters and their accents joined (NFC).

    What has no look-alike stays, so the text may need UCS-2 all the same.
    """
    return unicodedata.normalize("NFC", text).translate(_REPLACE)


def browser_tables() -> dict[str, Any]:
    """What ``static/js/segments.js`` measures with, by data attribute."""
    return {
        "gsm-basic": BASIC,
        "gsm-extension": EXTENSION,
        "gsm-lookalikes": dict(LOOKALIKES),
        "gsm-names": dict(NAMES),
        "segment-limits": {str(encoding): sizes for encoding, sizes in LIMITS.items()},
    }


@lru_cache(maxsize=4096)
def _plain(length: int) -> Segments:
    """A text of basic characters alone: one unit each, so only its length matters."""
    single, each = LIMITS[Encoding.GSM7]
    if length <= single:
        return Segments(Encoding.GSM7, 1, length, single - length, length)
    parts = -(-length // each)
    return Segments(Encoding.GSM7, parts, length, parts * each - length, length)


def _encoding(text: str) -> Encoding:
    return Encoding.UCS2 if _FOREIGN.search(text) else Encoding.GSM7


def _expand(text: str, encoding: Encoding) -> str:
    """The text with one character for each unit: escapes before extension characters, or surrogate pairs."""
    if encoding is Encoding.UCS2:
        return _ASTRAL.sub(_surrogates, text)
    for character in EXTENSION:  # ten replacements are ten times as quick as one translate
        text = text.replace(character, _ESCAPE + character)
    return text


def _surrogates(match: re.Match[str]) -> str:
    high, low = divmod(ord(match[0]) - 0x10000, 0x400)
    return chr(0xD800 + high) + chr(0xDC00 + low)


def _contract(units: str, encoding: Encoding) -> str:
    if encoding is Encoding.GSM7:
        return units.replace(_ESCAPE, "")
    return units.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def _ends(expanded: str, encoding: Encoding) -> list[int]:
    """Where each part ends, in units."""
    single, each = LIMITS[encoding]
    if len(expanded) <= single:
        return [len(expanded)]
    return list(_cuts(expanded, each))


def _cuts(expanded: str, each: int) -> Iterator[int]:
    end = 0
    while len(expanded) - end > each:
        end += each - _opens_pair(expanded[end + each - 1])
        yield end
    yield len(expanded)


def _opens_pair(unit: str) -> bool:
    return unit == _ESCAPE or "\ud800" <= unit <= "\udbff"
