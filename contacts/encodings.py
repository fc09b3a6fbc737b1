"""Which encoding a text file is in: by its mark, by its zeros, by being good UTF-8, else by how it reads.

Read in the wrong encoding, a text is full of rare characters, of two scripts within a word, of capitals in the
middle of words. It is a guess, so a person sees it and may choose another. No database, no Django settings.
"""

from __future__ import annotations

import codecs
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

UTF_8 = "utf-8"
UTF_16 = ("utf-16-le", "utf-16-be")

LABELS: Mapping[str, str | Promise] = {
    UTF_8: _("Unicode (UTF-8)"),
    "utf-16-le": _("Unicode (UTF-16)"),
    "utf-16-be": _("Unicode (UTF-16, big-endian)"),
    "cp1252": _("Western European (Windows-1252)"),
    "cp1250": _("Central European (Windows-1250)"),
    "cp1251": _("Cyrillic (Windows-1251)"),
    "cp1253": _("Greek (Windows-1253)"),
    "cp1254": _("Turkish (Windows-1254)"),
    "cp1255": _("Hebrew (Windows-1255)"),
    "cp1256": _("Arabic (Windows-1256)"),
    "cp1257": _("Baltic (Windows-1257)"),
    "cp1258": _("Vietnamese (Windows-1258)"),
    "cp874": _("Thai (Windows-874)"),
    "gb18030": _("Chinese, simplified (GB18030)"),
    "big5hkscs": _("Chinese, traditional (Big5)"),
    "cp932": _("Japanese (Shift-JIS)"),
    "euc_jp": _("Japanese (EUC-JP)"),
    "cp949": _("Korean (CP949)"),
    "iso8859_2": _("Central European (ISO 8859-2)"),
    "iso8859_5": _("Cyrillic (ISO 8859-5)"),
    "iso8859_15": _("Western European (ISO 8859-15)"),
    "koi8_r": _("Cyrillic (KOI8-R)"),
    "cp866": _("Cyrillic (DOS, 866)"),
    "cp437": _("DOS (437)"),
    "cp850": _("Western European (DOS, 850)"),
    "mac_roman": _("Western European (Macintosh)"),
}
"""What a person may choose from; the names are Python's."""

_MARKS = {codecs.BOM_UTF8: UTF_8, codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
SAMPLE = 32_768  # bytes of lines that are not ASCII, on which a guess is built


@dataclass(frozen=True, slots=True)
class Guess:
    """``sure``: the file says so itself, or holds nothing but ASCII or good UTF-8."""

    encoding: str
    sure: bool = False


def mark(beginning: bytes) -> tuple[str, int]:
    """The encoding that a byte order mark names, and its length; ('', 0): there is none."""
    return next(((name, len(bom)) for bom, name in _MARKS.items() if beginning.startswith(bom)), ("", 0))


class Detector:
    """Looks at a file as it goes by, piece after piece, and keeps little of it."""

    def __init__(self) -> None:
        self.beginning, self.sample = b"", b""
        self._decoder = codecs.getincrementaldecoder(UTF_8)()
        self._is_utf_8 = True
        self._rest = b""

    @classmethod
    def of(cls, data: bytes) -> Detector:
        detector = cls()
        detector.feed(data)
        return detector

    def feed(self, piece: bytes) -> None:
        if len(self.beginning) < SAMPLE:
            self.beginning += piece[: SAMPLE - len(self.beginning)]
        self._check(piece)
        if len(self.sample) < SAMPLE and not piece.isascii():
            self._sample(piece)

    def _check(self, piece: bytes, final: bool = False) -> None:
        try:
            if self._is_utf_8:
                self._decoder.decode(piece, final)
        except UnicodeDecodeError:
            self._is_utf_8 = False

    def _sample(self, piece: bytes) -> None:
        """Whole lines only: half a character would speak against the right encoding."""
        lines = (line for line in re.split(rb"[\r\n]+", piece)[1 if self.sample else 0 : -1] if not line.isascii())
        for line in lines:
            if len(self.sample) + len(line) > SAMPLE:
                break
            self.sample += line + b"\n"

    def guess(self) -> Guess:
        """Once all has gone by."""
        named, _length = mark(self.beginning)
        if named:
            return Guess(named, sure=True)
        if wide := _wide(self.beginning):
            return Guess(wide)
        self._check(b"", final=True)
        if self._is_utf_8:
            return Guess(UTF_8, sure=True)
        return Guess(by_reading(self.sample or self.beginning))


def _wide(beginning: bytes) -> str:
    """UTF-16 without a mark: the digits, separators and line ends of a table have a zero each, all on one side."""
    even, odd = beginning[::2].count(0), beginning[1::2].count(0)
    few, many = sorted((even, odd))
    if many < max(1, len(beginning) // 20) or few * 10 > many:
        return ""
    return "utf-16-be" if even > odd else "utf-16-le"


# --- By how it reads ---------------------------------------------------------------------------------


def by_reading(sample: bytes) -> str:
    """The encoding in which the sample reads best; the first of ``COMMON`` where several read alike."""
    scores = {name: score(sample, name) for name in COMMON}
    return max(scores, key=lambda name: scores[name])


def score(sample: bytes, encoding: str) -> float:
    """How well it reads: about 1 if every character beyond ASCII is a usual one, less for what does not fit."""
    text = sample.decode(encoding, "replace")  # a few broken bytes do not make a whole file another one
    beyond = Counter(filter(_beyond_ascii, text))
    if not beyond:
        return 0.0
    n = beyond.total()
    points = sum(times * _worth(character, encoding) for character, times in beyond.items())
    odd = len(_ODD.findall(text)) + len(_CROWDED.findall(text)) / 2
    return (points - odd) / n + _of_one_language(beyond, encoding) / 4 + _leaning(encoding, n)


def _beyond_ascii(character: str) -> bool:
    return character > "\x7f"


def _worth(character: str, encoding: str) -> float:
    if character in common(encoding):
        return 1.0
    if character == "\ufffd" or "\x80" <= character <= "\x9f" or "\ue000" <= character <= "\uf8ff":
        return -3.0
    return 0.2 if character.isalpha() else 0.0


def _of_one_language(beyond: Counter[str], encoding: str) -> float:
    """The share of the characters that the best fitting language of the encoding has."""
    alphabets = (frozenset(alphabet) for alphabet in COMMON[encoding])
    return max(sum(n for c, n in beyond.items() if c in alphabet or c in _SIGNS) for alphabet in alphabets) / (
        beyond.total()
    )


def _leaning(encoding: str, n: int) -> float:
    """Korean read as Chinese has common characters only. Chinese read as Korean has not, unless it is very short."""
    return 0.05 - 0.4 / n if encoding == "cp949" else 0.0


@cache
def common(encoding: str) -> frozenset[str]:
    """The characters beyond ASCII that an ordinary text in this encoding is made of."""
    return frozenset(_SIGNS).union(*COMMON[encoding])


_SMALL = "a-zà-öø-ÿ"
_CAPITAL = "A-ZÀ-ÖØ-Þ"
_EXTENDED = "".join(c for c in map(chr, range(0x100, 0x530)) if c.islower())
_EXTENDED_CAPITAL = "".join(c for c in map(chr, range(0x100, 0x530)) if c.isupper())
_OTHER = "\u0370-\u052f\u0590-\u06ff\u0e00-\u0e5b\u3040-\u9fff\uac00-\ud7af"
_LATIN = "A-Za-zÀ-ÖØ-öø-\u024f"
_ODD = re.compile(
    f"[{_SMALL}{_EXTENDED}](?=[{_CAPITAL}{_EXTENDED_CAPITAL}])|[{_LATIN}](?=[{_OTHER}])|[{_OTHER}](?=[{_LATIN}])"
)
"""A capital after a small letter; Latin beside another script, in one word."""
_CROWDED = re.compile("[À-ÖØ-öø-\u024f](?=[À-ÖØ-öø-\u024f])")
"""Two accented letters in a row: rare in any language with Latin letters."""
_SIGNS = (
    "\u2013\u2014\u2018\u2019\u201c\u201d\u201e\u00ab\u00bb\u00b0\u00a0、。，．：；？！（）「」《》【】・ー～\u3000"
)


def _both(*alphabets: str) -> tuple[str, ...]:
    """Small letters and capitals."""
    return tuple(letters + letters.upper() for letters in alphabets)


def _double(leads: range, trails: tuple[range, ...], encoding: str) -> str:
    """The characters in one part of the table of an encoding with two bytes to a character."""
    table = (bytes((lead, trail)) for lead in leads for part in trails for trail in part)
    return "".join(character.decode(encoding, "ignore") for character in table)


_ROW, _LOW = range(0xA1, 0xFF), range(0x40, 0x7F)
_CYRILLIC = _both("оеаинтсрвлкмдпуяыьгзбчй")
_JAPANESE = (
    _double(range(0x82, 0x84), (_LOW, range(0x80, 0xFD)), "cp932")
    + _double(range(0x88, 0x98), (_LOW, range(0x80, 0xFD)), "cp932"),
)

COMMON: Mapping[str, tuple[str, ...]] = {
    "cp1252": _both(
        "äöüß", "éèêëàâçîïôùûüœ", "áéíóúñü¿¡", "áâãàçéêíóôõú", "àèéìòù", "æøåéö", "äöåé", "áéíóúæö", "äöüõ", "éëïöü"
    ),
    "cp1250": _both("ąćęłńóśźż", "áčďéěíňóřšťúůýžäöüôľĺŕ", "áéíóöőúüű", "ăâîşţ", "čćžšđ", "äöüß"),
    "cp1254": _both("ğşçöüıâîİ"),
    "cp1257": _both("āčēģīķļņšūž", "ąčęėįšųūž", "äöüõšž"),
    "cp1251": (*_CYRILLIC, *_both("оеаинтсрвлкмдпуяіїєґўьйчбгз")),
    "cp1253": _both("αοιετσνηυρπκλμάέήίόύώγδθς"),
    "cp1255": ("יוהלארתבמשנםדפקחעגכצטןסז",),
    "cp1256": ("اليمونرتبةعدسحفقكجشأهى",),
    "cp874": ("านรอกเงมยลวดทสตะปคบิ่้ีัไ์หุ",),
    "gb18030": (_double(range(0xB0, 0xD8), (_ROW,), "gb2312"),),
    "euc_jp": _JAPANESE,
    "big5hkscs": (_double(range(0xA4, 0xC7), (_LOW, _ROW), "big5"),),
    "cp932": _JAPANESE,
    "cp949": (_double(range(0xB0, 0xC9), (_ROW,), "cp949"),),
    "koi8_r": _CYRILLIC,
    "cp866": _CYRILLIC,
    "iso8859_5": _CYRILLIC,
}
"""What can be told by reading: for each encoding the alphabets, or the common characters, of its languages."""
