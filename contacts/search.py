"""Looking for numbers: what is meant to be one, and how a stored number begins in any spelling of it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from django.conf import settings
from django.db import connection
from django.db.models import Q

from .numbers import parse_number

LOOKS_LIKE_A_NUMBER = re.compile(r"[+0-9\s\-./()\u00a0]*[0-9][+0-9\s\-./()\u00a0]*", re.ASCII)
_NOISE = re.compile(r"[\s\-./()\u00a0]+")
_LONGEST = 20  # characters of a number; no stored one is longer
_LAST_CHARACTER = "\U0010ffff"


def prefixes(number: str) -> list[str]:
    """How stored numbers begin that are meant: international, as a short code, and as dialled inside the country."""
    bare = _NOISE.sub("", number)
    if bare.startswith("00"):
        bare = "+" + bare.removeprefix("00")
    if not bare.removeprefix("+").isascii() or not bare.removeprefix("+").isdigit():
        return [number[:_LONGEST]]
    if bare.startswith("+"):
        return [bare[:_LONGEST]]
    return list(dict.fromkeys(["+" + bare[:_LONGEST], bare[:_LONGEST], *_national(bare)]))


def begins(column: str, those: Sequence[str]) -> Q:
    """The condition that a column begins with one of these, as an index of it understands it."""
    condition = Q()
    for prefix in those:
        condition |= _BEGINS[connection.vendor](column, prefix)
    return condition


# LIKE goes by the index with pattern operators; SQLite's LIKE knows no index, a range does
_BEGINS = {
    "postgresql": lambda column, prefix: Q(**{f"{column}__startswith": prefix}),
    "sqlite": lambda column, prefix: Q(**{f"{column}__gte": prefix, f"{column}__lt": prefix + _LAST_CHARACTER}),
}


def _national(digits: str) -> list[str]:
    try:
        return [parse_number(digits, settings.SMSDASH_DEFAULT_REGION).number]
    except ValueError:
        return []
