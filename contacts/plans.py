"""Which E.164 numbers the world's numbering plans know, from the tables of ``phonenumbers``.

Says what ``phonenumbers.is_valid_number`` says, some forty times as quickly: a country's patterns become one
compiled expression, so a hundred thousand pasted numbers can be checked while a person waits.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import cache, lru_cache
from typing import NamedTuple

import phonenumbers
from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, NumberParseException, PhoneMetadata

_TYPES = (
    "premium_rate",
    "toll_free",
    "shared_cost",
    "voip",
    "personal_number",
    "pager",
    "uan",
    "voicemail",
    "fixed_line",
    "mobile",
)


class _Region(NamedTuple):
    """One of the regions that share a country code. ``leading``: how its numbers begin, where that decides."""

    name: str
    leading: re.Pattern[str] | None
    numbers: re.Pattern[str]


class _Plan(NamedTuple):
    """``start``: where the national part begins in ``+…``. ``trunk``: what is dialled first inside the country only."""

    start: int
    regions: tuple[_Region, ...]
    trunk: re.Pattern[str] | None


_REGIONS = {str(code): names for code, names in COUNTRY_CODE_TO_REGION_CODE.items()}
_UNKNOWN = _Plan(0, (), None)


def is_likely(number: str) -> bool:
    """Whether some plan has this number (``+`` and digits)."""
    start, regions, _ = _plan(number[1:4])
    for region in regions:
        if region.leading is None:
            if region.numbers.fullmatch(number, start):
                return True
        elif region.leading.match(number, start):
            return region.numbers.fullmatch(number, start) is not None
    return False


def region_of(number: str) -> str | None:
    """The region (``EE``) that a number (``+`` and digits) belongs to by its first digits, or whose plan has it."""
    start, regions, _ = _plan(number[1:4])
    for region in regions:
        belongs = region.leading.match if region.leading else region.numbers.fullmatch
        if belongs(number, start):
            return region.name
    return None


def regions(first_digits: str) -> tuple[str, ...]:
    """The regions that share the country code with which ``first_digits`` (three of them) begin, the main one first."""
    return tuple(region.name for region in _plan(first_digits).regions)


@cache
def trunk_prefix(first_digits: str) -> tuple[re.Pattern[str] | None, int]:
    """What is dialled first inside the country whose code ``first_digits`` (three of them) begin with, and where it
    would stand in ``+…``. None: nothing is."""
    plan = _plan(first_digits)
    return plan.trunk, plan.start


def without_trunk_prefix(number: str) -> str:
    """``+4407911123456`` (from ``+44 (0)7911…``) as ``+447911123456``, if that is likely; else the number as it is."""
    plan = _plan(number[1:4])
    if plan.trunk is None or not plan.trunk.match(number, plan.start):
        return number
    try:
        parsed = phonenumbers.parse(number)
    except NumberParseException:
        return number
    shorter = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
    return shorter if is_likely(shorter) else number


@lru_cache(maxsize=1000)
def _plan(first_digits: str) -> _Plan:
    """The plan of the country code that ``first_digits`` (three of them) begin with. No code begins with another."""
    for size in (1, 2, 3):
        if names := _REGIONS.get(first_digits[:size]):
            return _country_plan(int(first_digits[:size]), names, size + 1)
    return _UNKNOWN


def _country_plan(code: int, names: Collection[str], start: int) -> _Plan:
    found = [PhoneMetadata.metadata_for_region_or_calling_code(code, name) for name in names]
    trunk = found[0].national_prefix_for_parsing
    return _Plan(start, tuple(map(_region, names, found)), re.compile(trunk) if trunk else None)


def _region(name: str, metadata: PhoneMetadata) -> _Region:
    types = (getattr(metadata, name) for name in _TYPES)
    patterns = "|".join(
        f"(?:{desc.national_number_pattern})" for desc in types if desc and desc.national_number_pattern
    )
    numbers = re.compile(rf"(?=(?:{metadata.general_desc.national_number_pattern})\Z)(?:{patterns})")
    return _Region(name, re.compile(metadata.leading_digits) if metadata.leading_digits else None, numbers)
