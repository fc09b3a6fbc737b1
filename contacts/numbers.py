"""Phone numbers as people paste them: split, brought to E.164, doubtful ones flagged, the rest refused with a reason.

What already has the shape of E.164 (ITU-T: ``+`` and 7 to 15 digits, no 0 first) is kept whatever numbering plans
say of it; that it is *unlikely* is a warning. Numbers typed without their country need a region (``EE``).
No database, no settings.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

import phonenumbers
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from phonenumbers import PhoneNumberType, ValidationResult

from providers.wire import clean_number

from .plans import is_likely, without_trunk_prefix


class Refusal(StrEnum):
    NO_NUMBER = "no_number"
    SEVERAL = "several"
    EXTENSION = "extension"
    ROUNDED = "rounded"
    TOO_SHORT = "too_short"
    TOO_LONG = "too_long"
    BAD_COUNTRY = "bad_country"
    NO_COUNTRY = "no_country"
    NO_AREA = "no_area"
    IMPOSSIBLE = "impossible"
    SHORT_CODE = "short_code"


REASONS: Mapping[Refusal, Promise] = {
    Refusal.NO_NUMBER: _("There is no phone number in it."),
    Refusal.SEVERAL: _("It holds more than one number. Put each number on a line of its own."),
    Refusal.EXTENSION: _("An extension cannot receive a text. Give a number that can be dialled directly."),
    Refusal.ROUNDED: _("A spreadsheet has shortened this number. Format its column as text and copy it again."),
    Refusal.TOO_SHORT: _("It is too short: write + and 7 to 15 digits."),
    Refusal.TOO_LONG: _("It is too long: a number has at most 15 digits. Put each number on a line of its own."),
    Refusal.BAD_COUNTRY: _("No country code begins with 0. Write + and the country code, then the number."),
    Refusal.NO_COUNTRY: _("Its country is not clear. Write + and the country code, then the number."),
    Refusal.NO_AREA: _("The area code is missing. Write + and the whole number."),
    Refusal.IMPOSSIBLE: _("Your country has no numbers of this length. Write + and the country code, then the number."),
    Refusal.SHORT_CODE: _("This is a short code. Only an account that sends through a SIM can send to it."),
}


class NumberError(ValueError):
    """A text that is not one number. ``str()`` is the sentence for the person who typed it."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal)
        self.refusal = refusal

    def __str__(self) -> str:
        return str(REASONS[self.refusal])


@dataclass(frozen=True, slots=True)
class Kept:
    """``number``: E.164 with ``+``, or a short code. ``line`` counts from 1.

    ``unlikely``: no numbering plan has such a number. A warning for a person, never a reason to refuse.
    """

    number: str
    line: int = 1
    unlikely: bool = False


@dataclass(frozen=True, slots=True)
class Rejected:
    """``text`` is as it was pasted, without the spaces around it."""

    text: str
    line: int
    refusal: Refusal

    @property
    def reason(self) -> Promise:
        return REASONS[self.refusal]


@dataclass(frozen=True, slots=True)
class Parsed:
    """``kept``: each number once, in order of first appearance. ``duplicates``: number → how many times *more*."""

    kept: tuple[Kept, ...]
    duplicates: Mapping[str, int]
    rejected: tuple[Rejected, ...]

    @property
    def numbers(self) -> list[str]:
        return [kept.number for kept in self.kept]

    @property
    def unlikely(self) -> list[str]:
        return [kept.number for kept in self.kept if kept.unlikely]

    @property
    def duplicate_count(self) -> int:
        return sum(self.duplicates.values())


def parse_numbers(pasted: str, region: str | None = None, *, short_codes: bool = False) -> Parsed:
    """Read a paste: numbers between line ends, commas, semicolons, tabs, pipes or, where they are whole, spaces.

    ``region``: two letters, the country of numbers typed without one; None: such numbers are refused, unless they
    read as a likely number with a + before them. Names around a number are left out. Raises ValueError for a
    region that does not exist.
    """
    reader, basket = _Reader(region, short_codes), _Basket()
    for line, text in enumerate(pasted.splitlines(), 1):
        if _E164.fullmatch(text):
            basket.keep(_international(text), line)
        else:
            found = [each for piece in _pieces(text) for each in reader.read(piece)]
            basket.sort(found, line, names=_NAMES_BESIDE.search(text) is not None)
    return Parsed(tuple(basket.kept.values()), dict(basket.again), tuple(basket.rejected))


def parse_number(text: str, region: str | None = None, *, short_codes: bool = False) -> Kept:
    """Read one number, as ``parse_numbers`` does. Raises NumberError; ValueError for a region that does not exist."""
    reader = _Reader(region, short_codes)
    found = [found for piece in _pieces(text) for found in reader.read(piece)]
    for each in found:
        if isinstance(each, _Refused):
            raise NumberError(each.refusal)
    numbers = [each for each in found if isinstance(each, _Number)]
    if len(numbers) != 1:
        raise NumberError(Refusal.SEVERAL if numbers else Refusal.NO_NUMBER)
    return Kept(numbers[0].number, unlikely=numbers[0].unlikely)


class _Number(NamedTuple):
    number: str
    unlikely: bool


class _Refused(NamedTuple):
    text: str
    refusal: Refusal


class _Basket:
    """Gathers what was found; each number once."""

    def __init__(self) -> None:
        self.kept: dict[str, Kept] = {}
        self.again: Counter[str] = Counter()
        self.rejected: list[Rejected] = []

    def keep(self, found: _Number, line: int) -> None:
        if found.number in self.kept:
            self.again[found.number] += 1
        else:
            self.kept[found.number] = Kept(found.number, line, found.unlikely)

    def sort(self, found: list[_Number | _Refused], line: int, names: bool) -> None:
        """Take what one line held. ``names``: words beside a number are names and addresses, not refused entries."""
        has_number = names and any(isinstance(each, _Number) for each in found)
        for each in found:
            if isinstance(each, _Number):
                self.keep(each, line)
            elif not (has_number and _is_words(each)):
                self.rejected.append(Rejected(each.text, line, each.refusal))


def _is_words(refused: _Refused) -> bool:
    return refused.refusal is Refusal.NO_NUMBER and len(_DIGIT.findall(refused.text)) < 7


_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_DIGIT = re.compile(r"\d")
_NAMES_BESIDE = re.compile(
    r"[\t|\uff5c<(]"
)  # columns of a sheet, Anna <+372…>, +372… (Anna); between commas stand numbers
# Before "ext" these do not part two entries: ;ext=5 and , ext 5 belong to the number. Nor does the comma of 3,72E+11.
_SEPARATOR = re.compile(
    r"[,;\t|\uff0c\u3001\u060c\uff1b\u061b\uff5c](?!\s*ext|(?<=(?<!\d)\d,)\d+e\+?\d)", re.IGNORECASE
)


def _pieces(line: str) -> Iterator[str]:
    return filter(None, map(str.strip, _SEPARATOR.split(line)))


_EXTENSION = re.compile(r"\d\s*(?:[,;]?\s*ext(?:n|ension)?\s*[.:=]*|x|#)\s*\d", re.IGNORECASE)
_ROUNDED = re.compile(r"\d[eE]\+\d|\d[.,]\d+[eE]\d\d")  # 3.72555E+11, 3,72555E11
_CODE_OR_LINK = re.compile(r"\*|#\s*$|://")  # *100#, https://…/1234567
_IN_ANGLES = re.compile(r"<([^<>]*\d[^<>]*)>")
_FLOAT_END = re.compile(r"(?<=\d{7})\.0$")  # 13800138000.0, a number cell
_NOISE = re.compile(r"[-./()]+")
_NOISE_BETWEEN_DIGITS = re.compile(r"(?<=\d)[-./()]+(?=\d)")
_PLUS = re.compile(r"\s*\+\s*")
_RUN = re.compile(r"(?:\+|(?<![\w@+]))\d[\d ]*(?![\w@])")


class _Reader:
    """Reads the entries of one paste."""

    def __init__(self, region: str | None, short_codes: bool) -> None:
        self.region = _known_region(region)
        self.short_codes = short_codes

    def read(self, piece: str) -> list[_Number | _Refused]:
        """The numbers in one entry; what is refused comes with the part of the entry that is meant."""
        if _E164.fullmatch(piece):
            return [_international(piece)]
        try:
            runs = _runs(_in_ascii(piece))
        except NumberError as error:
            return [_Refused(piece, error.refusal)]
        return [found for run in runs for found in self._run(run, piece if len(runs) == 1 else run)]

    def _run(self, run: str, text: str) -> list[_Number] | list[_Refused]:
        """Digits with spaces: one number with gaps if that is likely, or else several that are each likely."""
        refusal, whole = Refusal.NO_NUMBER, None
        try:
            whole = self._number(run.replace(" ", ""))
        except NumberError as error:
            refusal = error.refusal
        if whole and not whole.unlikely:
            return [whole]
        several = self._several(run.split())
        if several and (whole is None or not any(number.unlikely for number in several)):
            return several
        return [whole] if whole else [_Refused(text, refusal)]

    def _several(self, words: list[str]) -> list[_Number]:
        """Each word as a whole number; empty unless all of them are."""
        if len(words) < 2 or any(len(word) < 7 for word in words):
            return []
        try:
            return [self._number(word) for word in words]
        except NumberError:
            return []

    def _number(self, digits: str) -> _Number:
        if digits.startswith(("+", "00")):
            return _international("+" + _INTERNATIONAL_PREFIX.sub("", digits))
        if len(digits) > _LONGEST_DIALLED:
            raise NumberError(Refusal.TOO_LONG)
        found, verdict = _national(digits, self.region) if self.region else (None, Refusal.NO_COUNTRY)
        if found and self.region and _lacks_plus(digits, self.region, found.number):
            return _Number("+" + digits, False)
        if len(digits) <= 6 and (found is None or found.unlikely):
            return self._short_code(digits)
        if found is None and is_likely("+" + digits):
            return _Number("+" + digits, False)
        if found is None:
            raise NumberError(verdict)
        return found

    def _short_code(self, digits: str) -> _Number:
        if len(digits) < 3:
            raise NumberError(Refusal.TOO_SHORT)
        if not self.short_codes:
            raise NumberError(Refusal.SHORT_CODE)
        return _Number(digits, False)


_LONGEST_DIALLED = 18  # 15 digits after an international prefix of three, as 011
_INTERNATIONAL_PREFIX = re.compile(r"\A\+?(?:00)?")
_VERDICTS = {
    ValidationResult.IS_POSSIBLE_LOCAL_ONLY: Refusal.NO_AREA,
    ValidationResult.TOO_SHORT: Refusal.TOO_SHORT,
    ValidationResult.TOO_LONG: Refusal.TOO_LONG,
}


def _known_region(region: str | None) -> str | None:
    if not region:
        return None
    if region.upper() not in phonenumbers.SUPPORTED_REGIONS:
        raise ValueError(f"“{region}” is not a country. Write the two letters of one, as EE or US.")
    return region.upper()


def _international(number: str) -> _Number:
    """Any number of the shape of E.164 with its ``+``. Raises NumberError for another shape."""
    if is_likely(number):
        return _Number(number, False)
    number = without_trunk_prefix(_shaped(number))
    return _Number(number, not is_likely(number))


def _shaped(number: str) -> str:
    if number.startswith("+0"):
        raise NumberError(Refusal.BAD_COUNTRY)
    try:
        return clean_number(number)
    except ValueError as error:
        raise NumberError(Refusal.TOO_LONG if len(number) > 16 else Refusal.TOO_SHORT) from error


def _national(digits: str, region: str) -> tuple[_Number | None, Refusal]:
    """The number as dialled inside ``region``, or None and why not."""
    try:
        parsed = phonenumbers.parse(digits, region)
    except phonenumbers.NumberParseException:
        return None, Refusal.IMPOSSIBLE
    verdict = phonenumbers.is_possible_number_with_reason(parsed)
    if verdict != ValidationResult.IS_POSSIBLE:
        return None, _VERDICTS.get(verdict, Refusal.IMPOSSIBLE)
    number = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
    return _Number(number, not is_likely(number)), Refusal.IMPOSSIBLE


def _lacks_plus(digits: str, region: str, dialled: str) -> bool:
    """Whether ``4915123456789`` in Germany is a mobile number with its country code, rather than a landline there."""
    whole = "+" + digits
    if whole == dialled or not digits.startswith(str(phonenumbers.country_code_for_region(region))):
        return False
    return is_likely(whole) and _is_mobile(whole) and not _is_mobile(dialled)


def _is_mobile(number: str) -> bool:
    kind = phonenumbers.number_type(phonenumbers.parse(number))
    return kind in (PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE)


def _runs(text: str) -> list[str]:
    """The runs of digits that are meant as numbers. Raises NumberError when that is not clear."""
    for pattern, refusal in _REFUSED_WHOLE.items():
        if pattern.search(text):
            raise NumberError(refusal)
    text = _tidy(" ; ".join(_IN_ANGLES.findall(text)) or text)
    runs = [run.strip() for run in _RUN.findall(text)]
    if any(map(str.isalpha, _RUN.sub("", text))):
        runs = _among_words(runs)
    if not runs:
        raise NumberError(Refusal.NO_NUMBER)
    return runs


_REFUSED_WHOLE = {
    _EXTENSION: Refusal.EXTENSION,
    _ROUNDED: Refusal.ROUNDED,
    _CODE_OR_LINK: Refusal.NO_NUMBER,
}


def _tidy(text: str) -> str:
    """``+1 (212) 555-1234`` as ``+1 212 5551234``; a plus always begins something new."""
    text = _NOISE_BETWEEN_DIGITS.sub("", _FLOAT_END.sub("", text))
    return _PLUS.sub(" +", _NOISE.sub(" ", text))


def _among_words(runs: list[str]) -> list[str]:
    """Beside words, runs with a + are numbers; without any, the one run that is long enough. House numbers are not."""
    marked = [run for run in runs if run.startswith("+")]
    bare = [run for run in runs if not run.startswith("+") and len(run.replace(" ", "")) >= 7]
    if (marked and bare) or len(bare) > 1:
        raise NumberError(Refusal.SEVERAL)
    return marked or bare


def _in_ascii(text: str) -> str:
    """Digits of any script, full-width signs, odd dashes and spaces as ASCII; invisible characters left out."""
    return text if text.isascii() else "".join(map(_ascii_character, text))


@lru_cache(maxsize=4096)
def _ascii_character(character: str) -> str:
    if character.isdecimal():
        return str(unicodedata.decimal(character))
    known = {"Cf": "", "Pd": "-", "Zs": " "}.get(unicodedata.category(character))
    if known is not None:
        return known
    plain = unicodedata.normalize("NFKC", character)
    return plain if plain in _SIGNS else character


_SIGNS = frozenset("+()./#*@=<>:")
